"""Rows of a workbook that is too large to hold: openpyxl, row after row in bounded memory.

openpyxl knows the workbook, its sheets and its number formats. The cells are read here,
by the rules of calamine, so that a file reads the same whichever of the two takes it.
"""

import datetime
import math
import re
import warnings
from collections.abc import Iterator
from io import BufferedReader
from typing import IO
from xml.etree.ElementTree import Element

import openpyxl
from answers import Refused
from cells import CELL, duration, moment
from defusedxml.ElementTree import iterparse
from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.cell import coordinate_to_tuple
from openpyxl.utils.datetime import from_excel

if not openpyxl.DEFUSEDXML:
    raise RuntimeError("openpyxl reads XML without defusedxml: install it")

Row = tuple[int, list, float]
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml."
SHARED_STRINGS, STYLES = TYPE + "sharedStrings+xml", TYPE + "styles+xml"
PRESERVE = "{http://www.w3.org/XML/1998/namespace}space"
ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
SPACE = " \t\r\n"
DAY_AFTER_THE_LAST = 2_958_466  # 1 January 10000: beyond it a date is a number.
PIECE_BYTES = 1 << 20
MIDNIGHT = datetime.datetime(1, 1, 1)  # noqa: DTZ001  Spreadsheets know no time zones.
DAY_MILLISECONDS = 86_400_000
ROWS, COLUMNS = 1_048_576, 16_384


def sheets(file: BufferedReader) -> Iterator[tuple[str, Iterator[Row]]]:
    """The visible worksheets."""
    warnings.simplefilter("ignore")  # They quote the file.
    file.seek(0)
    book = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    book.read_manifest()
    book.read_workbook()
    formats = _number_formats(book)
    strings = None
    for sheet, relation in book.parser.find_sheets():
        if sheet.state == "visible" and relation.Type.endswith("/worksheet"):
            strings = strings or _shared_strings(book)
            yield sheet.name, _Sheet(book, strings, formats).rows(relation.target)


def _number_formats(book: ExcelReader) -> list[str]:
    """The number format of each cell style.

    openpyxl's own stylesheet minds colours and borders too, and refuses what Excel accepts.
    """
    part = book.package.find(STYLES)
    if part is None:
        return []
    formats = dict(BUILTIN_FORMATS)
    for element in _part(book, part, "numFmts"):
        formats |= {int(own.get("numFmtId")): own.get("formatCode") for own in element}
    uses = [use.get("numFmtId") for uses in _part(book, part, "cellXfs") for use in uses]
    return [formats.get(int(number or 0), "General") for number in uses]


def _shared_strings(book: ExcelReader) -> list[str]:
    part = book.package.find(SHARED_STRINGS)
    if part is None:
        return []
    return [_text(element) for element in _part(book, part, "si")]


def _part(book: ExcelReader, part, name: str) -> Iterator[Element]:
    with book.archive.open(part.PartName.lstrip("/")) as source:
        yield from _elements(source, name)


def _elements(source: IO[bytes], name: str) -> Iterator[Element]:
    """The elements of that name, one by one; nothing of the document is kept behind them."""
    ancestors: list[Element] = []
    within = 0  # How deep in one that will be given out.
    events = ("start", "end")
    for event, element in iterparse(_LargePieces(source), events=events, forbid_dtd=True):
        if event == "start":
            ancestors.append(element)
            within += bool(within) or _name(element) == name
            continue
        ancestors.pop()
        within -= bool(within)
        if within:
            continue
        if _name(element) == name:
            yield element
        if ancestors:
            ancestors[-1].clear()


class _LargePieces:
    """A file that is read by the megabyte, however little is asked for.

    At each piece expat begins an unfinished tag or comment anew: in pieces of 16 KB, as
    ElementTree asks for, a comment of 70 MB keeps it busy for minutes.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source

    def read(self, _size: int) -> bytes:
        return self.source.read(PIECE_BYTES)


def _name(element: Element) -> str:
    """Without its namespace: workbooks saved as "strict" have another one."""
    return element.tag.rpartition("}")[2]


def _text(element: Element) -> str:
    """The text of a string and its runs, without the reading aids of Asian text."""
    if _name(element) == "t":
        text = element.text or ""
        return _unescape(text if element.get(PRESERVE) == "preserve" else text.strip(SPACE))
    return "".join([_text(child) for child in element if _name(child) in {"t", "r"}])


def _unescape(text: str) -> str:
    return ESCAPED.sub(_character, text) if "_x" in text else text


def _character(match: re.Match) -> str:
    code = int(match[1], 16)
    return match[0] if 0xD800 <= code < 0xE000 else chr(code)


class _Sheet:
    """One worksheet, its strings and its number formats."""

    def __init__(self, book: ExcelReader, strings: list[str], formats: list[str]) -> None:
        self.archive = book.archive
        self.strings = strings
        self.epoch = book.wb.epoch
        self.dates = {n for n, code in enumerate(formats) if is_date_format(code)}
        self.durations = {n for n, code in enumerate(formats) if is_timedelta_format(code)}

    def rows(self, path: str) -> Iterator[Row]:
        """What the sheet says about its own size is not asked: rows outside it are rows too."""
        last = 0
        size = self.archive.getinfo(path).file_size
        with self.archive.open(path) as source:
            for element in _elements(source, "row"):
                number, cells = self._row(element, after=last)
                if cells:
                    yield number, cells, source.tell() / size
                last = number

    def _row(self, element: Element, *, after: int) -> tuple[int, list]:
        number = int(element.get("r") or 0)
        values, column = {}, 0
        for cell in element:
            row, column = _place(cell, number or after + 1, column)
            number = number or row
            if row != number or column > COLUMNS:
                raise Refused("damaged_file")
            values[column] = self._value(cell)
        number = number or after + 1
        if not after < number <= ROWS:
            raise Refused("damaged_file", row=after)  # A stream cannot put rows in order.
        return number, [values.get(column) for column in range(1, max(values, default=0) + 1)]

    def _value(self, cell: Element) -> object:
        raw, strings = "", None
        for child in cell:
            if _name(child) == "v":
                raw = child.text or ""
            elif _name(child) == "is":
                strings = child
        if strings is not None:
            return _text(strings) or None
        return self._typed(cell.get("t", "n"), raw, int(cell.get("s", 0))) if raw else None

    def _typed(self, kind: str, raw: str, style: int) -> object:
        if kind == "n":
            return self._number(raw, style)
        if kind == "s":
            return self.strings[_index(raw)] or None
        if kind in {"str", "e"}:
            return _unescape(raw)
        if kind == "b":
            return {"1": True, "true": True, "0": False, "false": False}[raw.strip()]
        if kind == "d":
            return raw.strip()
        raise Refused("damaged_file")

    def _number(self, raw: str, style: int) -> object:
        try:
            value = float(raw)
        except ValueError:
            return raw
        if not raw.isascii() or "_" in raw or raw != raw.strip():
            return raw  # A number to Python alone.
        if not math.isfinite(value):
            return CELL[float](value)
        if style in self.durations:
            return self._duration(value)
        if style in self.dates and value < DAY_AFTER_THE_LAST:
            return self._moment(value)
        return CELL[float](value)

    def _duration(self, value: float) -> str:
        try:
            return duration(from_excel(value, timedelta=True))
        except (OverflowError, ValueError):
            return "#VALUE!"

    def _moment(self, value: float) -> str:
        if value >= 1:
            return moment(from_excel(value, self.epoch))
        # The time alone; before 1900 there are no days either.
        time = MIDNIGHT + datetime.timedelta(milliseconds=round(value % 1 * DAY_MILLISECONDS))
        return time.time().isoformat()


def _place(cell: Element, row: int, column: int) -> tuple[int, int]:
    """Row and column of a cell; where it does not say, it follows the one before."""
    coordinate = cell.get("r")
    return coordinate_to_tuple(coordinate) if coordinate else (row, column + 1)


def _index(raw: str) -> int:
    index = int(raw)
    if index < 0:
        raise Refused("damaged_file")
    return index
