"""Rows of a workbook that is too large to hold: openpyxl, row after row in bounded memory.

openpyxl knows the workbook, its sheets and its number formats. The cells are read here,
by the rules of calamine, so that a file reads the same whichever of the two takes it.
"""

import re
import warnings
from collections.abc import Iterator
from functools import cached_property, partial
from io import BufferedReader
from xml.etree.ElementTree import Element

import openpyxl
from answers import Refused
from cells import FORMULA_WITHOUT_VALUE
from merged import filled, spans_of
from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.numbers import BUILTIN_FORMATS
from openpyxl.utils.cell import coordinate_to_tuple, range_boundaries
from shared_strings import SharedStrings
from sheets import Row, Sheet
from shown import Numbers
from xml_pieces import PIECE_BYTES, elements, local_name

if not openpyxl.DEFUSEDXML:
    raise RuntimeError("openpyxl reads XML without defusedxml: install it")

TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml."
SHARED_STRINGS, STYLES = TYPE + "sharedStrings+xml", TYPE + "styles+xml"
PRESERVE = "{http://www.w3.org/XML/1998/namespace}space"
ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
SPACE = " \t\r\n"
MERGED = b"mergeCell"  # Twice at least, so that one is not cut in two.
ROWS, COLUMNS = 1_048_576, 16_384


def sheets(file: BufferedReader, limits: dict) -> list[Sheet]:
    """The worksheets."""
    warnings.simplefilter("ignore")  # They quote the file.
    file.seek(0)
    book = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    book.read_manifest()
    book.read_workbook()
    parts = _Parts(book, limits)
    return [
        Sheet(sheet.name, sheet.state == "visible", partial(parts.rows, relation.target))
        for sheet, relation in book.parser.find_sheets()
        if relation.Type.endswith("/worksheet")
    ]


def _number_formats(book: ExcelReader) -> dict[int, str]:
    """The number format of each cell style.

    openpyxl's own stylesheet minds colours and borders too, and refuses what Excel accepts.
    """
    part = book.package.find(STYLES)
    if part is None:
        return {}
    formats = dict(BUILTIN_FORMATS)
    for element in _part(book, part, "numFmts"):
        formats |= {int(own.get("numFmtId")): own.get("formatCode") for own in element}
    uses = [use.get("numFmtId") for uses in _part(book, part, "cellXfs") for use in uses]
    return {n: formats.get(int(number or 0), "General") for n, number in enumerate(uses)}


def _shared_strings(book: ExcelReader, limits: dict) -> SharedStrings:
    strings = SharedStrings(limits)
    part = book.package.find(SHARED_STRINGS)
    for element in () if part is None else _part(book, part, "si"):
        strings.append(_text(element))
    return strings


def _part(book: ExcelReader, part, name: str) -> Iterator[Element]:
    with book.archive.open(part.PartName.lstrip("/")) as source:
        yield from elements(source, name)


def _text(element: Element) -> str:
    """The text of a string and its runs, without the reading aids of Asian text."""
    if local_name(element) == "t":
        text = element.text or ""
        return _unescape(text if element.get(PRESERVE) == "preserve" else text.strip(SPACE))
    return "".join([_text(child) for child in element if local_name(child) in {"t", "r"}])


def _unescape(text: str) -> str:
    return ESCAPED.sub(_character, text) if "_x" in text else text


def _character(match: re.Match) -> str:
    code = int(match[1], 16)
    return match[0] if 0xD800 <= code < 0xE000 else chr(code)


class _Parts:
    """The parts of one workbook: its worksheets, their strings and their number formats."""

    def __init__(self, book: ExcelReader, limits: dict) -> None:
        self.archive = book.archive
        self.book = book
        self.limits = limits
        self.numbers = Numbers(_number_formats(book), book.wb.epoch)

    @cached_property
    def strings(self) -> SharedStrings:
        return _shared_strings(self.book, self.limits)

    def rows(self, path: str) -> Iterator[Row]:
        spans = spans_of(self._merged(path))
        return filled(self._rows(path), spans) if spans else self._rows(path)

    def _merged(self, path: str) -> Iterator[tuple[int, int, int]]:
        """What is merged is said behind the rows, so it is looked for before they are read."""
        with self.archive.open(path) as source:
            if not any(MERGED in piece for piece in iter(partial(source.read, PIECE_BYTES), b"")):
                return
        with self.archive.open(path) as source:
            for element in elements(source, "mergeCell"):
                left, top, _, bottom = range_boundaries(element.get("ref"))
                yield top, bottom, left - 1

    def _rows(self, path: str) -> Iterator[Row]:
        """What the sheet says about its own size is not asked: rows outside it are rows too."""
        last = 0
        size = self.archive.getinfo(path).file_size
        with self.archive.open(path) as source:
            for element in elements(source, "row"):
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
        raw, strings, formula = "", None, False
        for child in cell:
            if local_name(child) == "v":
                raw = child.text or ""
            elif local_name(child) == "f":
                formula = True
            elif local_name(child) == "is":
                strings = child
        if strings is not None:
            return _text(strings) or None
        kind = cell.get("t", "n")
        if formula and not raw and kind != "str":  # Text may well be empty.
            return FORMULA_WITHOUT_VALUE
        return self._typed(kind, raw, int(cell.get("s", 0))) if raw else None

    def _typed(self, kind: str, raw: str, style: int) -> object:
        if kind == "n":
            return self._number(raw, style)
        if kind == "s":
            return self.strings[int(raw)] or None
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
        return self.numbers.shown(value, style)


def _place(cell: Element, row: int, column: int) -> tuple[int, int]:
    """Row and column of a cell; where it does not say, it follows the one before."""
    coordinate = cell.get("r")
    return coordinate_to_tuple(coordinate) if coordinate else (row, column + 1)
