"""Rows of a workbook that is too large to hold: openpyxl, row after row in bounded memory.

openpyxl knows the workbook, its sheets and its number formats. The cells are read here,
by the rules of calamine, so that a file reads the same whichever of the two takes it.
"""

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator
from functools import cached_property, partial
from io import BufferedReader
from xml.etree.ElementTree import Element

import openpyxl
from cell_conversion import FORMULA_WITHOUT_VALUE
from displayed_numbers import Numbers, as_number
from hyperlinks import Area, Links, formula_target, is_address, linked
from merged_cells import Spans, filled, spans_of
from number_formats import format_codes
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils.cell import coordinate_to_tuple, range_boundaries
from openpyxl.utils.datetime import MAC_EPOCH
from protocol import Refused
from shared_strings import SharedStrings
from sheets import Row, Sheet, hidden_columns
from xlsx_overrides import area_of, relation_targets
from xml_stream import PIECE_BYTES, elements, events, local_name

if not openpyxl.DEFUSEDXML:
    raise RuntimeError("openpyxl reads XML without defusedxml: install it")

TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml."
SHARED_STRINGS, STYLES = TYPE + "sharedStrings+xml", TYPE + "styles+xml"
PRESERVE = "{http://www.w3.org/XML/1998/namespace}space"
ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
SPACE = " \t\r\n"
MERGED = b"mergeCell"  # Twice at least, so that one is not cut in two.
LINKED = b"hyperlink"  # Likewise.
TRUE = frozenset({"1", "true"})
# The namespaces of strict workbooks, and those that openpyxl knows.
STRICT = b"http://purl.oclc.org/ooxml/"
TRANSITIONAL = (
    (STRICT + b"spreadsheetml/main", b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"),
    (
        STRICT + b"officeDocument/relationships",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    ),
)
ROWS, COLUMNS = 1_048_576, 16_384


def sheets(file: BufferedReader, limits: dict) -> list[Sheet]:
    """The worksheets."""
    warnings.simplefilter("ignore")  # They quote the file.
    file.seek(0)
    book = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    book.archive = _Archive(file)
    book.read_manifest()
    book.read_workbook()
    parts = _Parts(book, limits)
    found = [
        (sheet.name, sheet.state == "visible", relation.target)
        for sheet, relation in book.parser.find_sheets()
        if relation.Type.endswith("/worksheet")
    ]
    return [parts.sheet(*one) for one in found]


class _Archive(zipfile.ZipFile):
    """An archive whose strict workbook openpyxl knows: parts that are read whole are translated."""

    def read(self, name, pwd: bytes | None = None) -> bytes:
        content = super().read(name, pwd)
        if STRICT in content:
            for strict, transitional in TRANSITIONAL:
                content = content.replace(strict, transitional)
        return content


def _number_formats(book: ExcelReader) -> dict[int, str]:
    """The number format of each cell style.

    openpyxl's own stylesheet minds colours and borders too, and refuses what Excel accepts.
    """
    part = book.package.find(STYLES)
    if part is None:
        return {}
    return format_codes(
        element for name in ("numFmts", "cellXfs") for element in _part(book, part, name)
    )


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
        self.numbers = Numbers(_number_formats(book), is_1904=book.wb.epoch == MAC_EPOCH)

    @cached_property
    def strings(self) -> SharedStrings:
        return _shared_strings(self.book, self.limits)

    def sheet(self, name: str, is_visible: bool, path: str) -> Sheet:
        hidden: set[int] = set()
        rows = partial(self._filled, path, hidden)
        return Sheet(name, is_visible, rows, hidden, partial(self._hidden_columns, path))

    def _filled(self, path: str, hidden: set[int]) -> Iterator[Row]:
        spans, links = self._behind_the_rows(path)
        rows = self._rows(path, hidden, links)
        return filled(rows, spans) if spans else rows

    def _behind_the_rows(self, path: str) -> tuple[Spans, Links]:
        """What is merged or linked stands behind the rows; it is found before they are read."""
        has_merged = has_links = False
        with self.archive.open(path) as source:
            for piece in iter(partial(source.read, PIECE_BYTES), b""):
                has_merged = has_merged or MERGED in piece
                has_links = has_links or LINKED in piece
        spans = spans_of(self._merged(path)) if has_merged else {}
        return spans, Links(self._links(path)) if has_links else Links()

    def _merged(self, path: str) -> Iterator[tuple[int, int, int]]:
        with self.archive.open(path) as source:
            for element in elements(source, "mergeCell"):
                left, top, _, bottom = range_boundaries(element.get("ref"))
                yield top, bottom, left - 1

    def _links(self, path: str) -> Iterator[tuple[Area, str]]:
        targets = relation_targets(self.archive, path)
        with self.archive.open(path) as source:
            for element in elements(source, "hyperlink"):
                relation = next((v for n, v in element.items() if n.endswith("}id")), "")
                target = targets.get(relation, element.get("location"))
                area = area_of(element.get("ref", ""))
                if area and target and is_address(target):
                    yield area, target

    def _hidden_columns(self, path: str) -> list[int]:
        """The columns are described before the rows."""
        with self.archive.open(path) as source:
            for event, element in events(source, "cols"):
                name = local_name(element)
                if event == "end" and name == "cols":
                    return hidden_columns(
                        (int(column.get("min")) - 1, int(column.get("max")) - 1)
                        for column in element
                        if column.get("hidden") in TRUE
                    )
                if name == "sheetData":
                    break
        return []

    def _rows(self, path: str, hidden: set[int], links: Links) -> Iterator[Row]:
        """What the sheet says about its own size is not asked: rows outside it are rows too."""
        last = 0
        size = self.archive.getinfo(path).file_size
        with self.archive.open(path) as source:
            for element in elements(source, "row"):
                number, cells = self._row(element, after=last)
                if cells:
                    if element.get("hidden") in TRUE:
                        hidden.add(number)
                    if links:
                        links.apply(number, cells)
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
        raw, strings, formula = "", None, None
        for child in cell:
            if local_name(child) == "v":
                raw = child.text or ""
            elif local_name(child) == "f":
                formula = child.text or ""
            elif local_name(child) == "is":
                strings = child
        if strings is not None:
            return _text(strings) or None
        kind = cell.get("t", "n")
        if formula is not None and not raw and kind != "str":  # Text may well be empty.
            return FORMULA_WITHOUT_VALUE
        value = self._typed(kind, raw, int(cell.get("s", 0))) if raw else None
        target = formula_target(formula) if formula else None
        return linked(value, target) if target else value

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
            return self._date(raw.strip(), style)
        raise Refused("damaged_file")

    def _number(self, raw: str, style: int) -> object:
        value = as_number(raw)
        return raw if value is None else self.numbers.shown(value, style)

    def _date(self, raw: str, style: int) -> object:
        """A date that is written as text, ISO 8601, as strict workbooks have them."""
        try:
            if ":" in raw and "-" not in raw:
                return self.numbers.shown_time(datetime.time.fromisoformat(raw), style)
            day = datetime.datetime.fromisoformat(raw)
        except ValueError:
            return raw
        cell = self.numbers.shown_date(day.replace(tzinfo=None), style)
        return cell if day.tzinfo is None else [cell[0], raw, cell[2]]


def _place(cell: Element, row: int, column: int) -> tuple[int, int]:
    """Row and column of a cell; where it does not say, it follows the one before."""
    coordinate = cell.get("r")
    return coordinate_to_tuple(coordinate) if coordinate else (row, column + 1)
