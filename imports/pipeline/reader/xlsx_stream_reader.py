"""Rows of an .xlsx file that does not fit in memory, read one by one in bounded memory.

openpyxl reads the workbook, its sheets and its number formats. This module reads the cells by the
rules of calamine, so that a workbook reads the same with each parser.
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
from displayed_numbers import NumberFormatter, parse_number
from hyperlinks import CellArea, SheetLinks, add_link, find_formula_target, is_contact_address
from merged_cells import MergedSpans, fill_merged_rows, group_spans
from number_formats import read_format_codes
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils.cell import coordinate_to_tuple, range_boundaries
from openpyxl.utils.datetime import MAC_EPOCH
from protocol import LimitValues, ReadError
from shared_strings import SharedStrings
from sheets import Sheet, SheetRow, expand_hidden_columns
from xlsx_overrides import parse_area, read_link_targets
from xml_stream import XML_READ_BYTES, get_local_name, iter_elements, iter_events

if not openpyxl.DEFUSEDXML:
    raise RuntimeError("openpyxl reads XML without defusedxml: install it")

SPREADSHEET_TYPE_PREFIX = "application/vnd.openxmlformats-officedocument.spreadsheetml."
SHARED_STRINGS_TYPE, STYLES_TYPE = (
    SPREADSHEET_TYPE_PREFIX + "sharedStrings+xml",
    SPREADSHEET_TYPE_PREFIX + "styles+xml",
)
XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
ESCAPED_CHARACTER = re.compile("_x([0-9A-Fa-f]{4})_")
XML_WHITESPACE = " \t\r\n"
# Each of these occurs twice in a sheet that has it, so that not all are cut by the end of a chunk.
MERGED_MARK = b"mergeCell"
LINKED_MARK = b"hyperlink"
XML_TRUE = frozenset({"1", "true"})
# The namespaces of strict workbooks, and those that openpyxl supports.
STRICT_NAMESPACE = b"http://purl.oclc.org/ooxml/"
TRANSITIONAL_NAMESPACES = (
    (
        STRICT_NAMESPACE + b"spreadsheetml/main",
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    ),
    (
        STRICT_NAMESPACE + b"officeDocument/relationships",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    ),
)
XLSX_MAX_ROWS, XLSX_MAX_COLUMNS = 1_048_576, 16_384


def list_streamed_sheets(file: BufferedReader, limits: LimitValues) -> list[Sheet]:
    """Return the worksheets. Their rows are read when they are iterated."""
    warnings.simplefilter("ignore")  # The warnings of openpyxl quote the file.
    file.seek(0)
    book = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    book.archive = _TransitionalArchive(file)
    book.read_manifest()
    book.read_workbook()
    parts = _WorkbookParts(book, limits)
    worksheets = [
        (sheet.name, sheet.state == "visible", relation.target)
        for sheet, relation in book.parser.find_sheets()
        if relation.Type.endswith("/worksheet")
    ]
    return [parts.make_sheet(*worksheet) for worksheet in worksheets]


class _TransitionalArchive(zipfile.ZipFile):
    """An archive that translates the namespaces of a strict workbook for openpyxl.

    Only parts that are read as a whole are translated.
    """

    def read(self, name: str | zipfile.ZipInfo, pwd: bytes | None = None) -> bytes:
        content = super().read(name, pwd)
        if STRICT_NAMESPACE in content:
            for strict, transitional in TRANSITIONAL_NAMESPACES:
                content = content.replace(strict, transitional)
        return content


def _read_number_formats(book: ExcelReader) -> dict[int, str]:
    """Return the number format of each cell style.

    The stylesheet parser of openpyxl is not used: it also reads colours and borders, and fails on
    files that Excel accepts.
    """
    part = _find_part_name(book, STYLES_TYPE)
    if part is None:
        return {}
    return read_format_codes(
        element
        for name in ("numFmts", "cellXfs")
        for element in _iter_part_elements(book, part, name)
    )


def _read_shared_strings(book: ExcelReader, limits: LimitValues) -> SharedStrings:
    strings = SharedStrings(limits)
    part = _find_part_name(book, SHARED_STRINGS_TYPE)
    for element in () if part is None else _iter_part_elements(book, part, "si"):
        strings.append(_read_text(element))
    return strings


def _find_part_name(book: ExcelReader, content_type: str) -> str | None:
    part = book.package.find(content_type)  # type: ignore[no-untyped-call]  # No types in openpyxl.
    return None if part is None else part.PartName.lstrip("/")


def _iter_part_elements(book: ExcelReader, part: str, name: str) -> Iterator[Element]:
    with book.archive.open(part) as source:
        yield from iter_elements(source, name)


def _read_text(element: Element) -> str:
    """Return the text of a string and its runs, without phonetic hints for Asian text."""
    if get_local_name(element) == "t":
        text = element.text or ""
        return _unescape(
            text if element.get(XML_SPACE) == "preserve" else text.strip(XML_WHITESPACE)
        )
    return "".join([_read_text(child) for child in element if get_local_name(child) in {"t", "r"}])


def _unescape(text: str) -> str:
    return ESCAPED_CHARACTER.sub(_decode_character, text) if "_x" in text else text


def _decode_character(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return match[0] if 0xD800 <= code < 0xE000 else chr(code)


class _WorkbookParts:
    """The parts of one workbook: worksheets, shared strings and number formats."""

    def __init__(self, book: ExcelReader, limits: LimitValues) -> None:
        self.archive = book.archive
        self.book = book
        self.limits = limits
        self.numbers = NumberFormatter(
            _read_number_formats(book), is_1904=book.wb.epoch == MAC_EPOCH
        )

    @cached_property
    def strings(self) -> SharedStrings:
        return _read_shared_strings(self.book, self.limits)

    def make_sheet(self, name: str, is_visible: bool, path: str) -> Sheet:
        hidden: set[int] = set()
        rows = partial(self._iter_filled_rows, path, hidden)
        return Sheet(name, is_visible, rows, hidden, partial(self._find_hidden_columns, path))

    def _iter_filled_rows(self, path: str, hidden: set[int]) -> Iterator[SheetRow]:
        spans, links = self._find_merged_and_linked(path)
        rows = self._iter_rows(path, hidden, links)
        return fill_merged_rows(rows, spans) if spans else rows

    def _find_merged_and_linked(self, path: str) -> tuple[MergedSpans, SheetLinks]:
        """Return the merged cells and the links of a sheet.

        In the XML they follow the rows, but they are needed to read the rows.
        """
        has_merged = has_links = False
        with self.archive.open(path) as source:
            for chunk in iter(partial(source.read, XML_READ_BYTES), b""):
                has_merged = has_merged or MERGED_MARK in chunk
                has_links = has_links or LINKED_MARK in chunk
        spans = group_spans(self._iter_merged(path)) if has_merged else {}
        return spans, SheetLinks(self._iter_links(path)) if has_links else SheetLinks()

    def _iter_merged(self, path: str) -> Iterator[tuple[int, int, int]]:
        with self.archive.open(path) as source:
            for element in iter_elements(source, "mergeCell"):
                left, top, _, bottom = range_boundaries(element.get("ref", ""))
                if left is None or top is None or bottom is None:
                    raise ReadError("damaged_file")
                yield top, bottom, left - 1

    def _iter_links(self, path: str) -> Iterator[tuple[CellArea, str]]:
        targets = read_link_targets(self.archive, path)
        with self.archive.open(path) as source:
            for element in iter_elements(source, "hyperlink"):
                relation = next((v for n, v in element.items() if n.endswith("}id")), "")
                target = targets.get(relation, element.get("location"))
                area = parse_area(element.get("ref", ""))
                if area and target and is_contact_address(target):
                    yield area, target

    def _find_hidden_columns(self, path: str) -> list[int]:
        """Return the indices of hidden columns. In the XML they precede the rows."""
        with self.archive.open(path) as source:
            for event, element in iter_events(source, "cols"):
                name = get_local_name(element)
                if event == "end" and name == "cols":
                    return expand_hidden_columns(
                        (int(column.get("min", "")) - 1, int(column.get("max", "")) - 1)
                        for column in element
                        if column.get("hidden") in XML_TRUE
                    )
                if name == "sheetData":
                    break
        return []

    def _iter_rows(self, path: str, hidden: set[int], links: SheetLinks) -> Iterator[SheetRow]:
        """Yield the rows. The declared dimension of the sheet is ignored, as it may be wrong."""
        last = 0
        size = self.archive.getinfo(path).file_size
        with self.archive.open(path) as source:
            for element in iter_elements(source, "row"):
                number, cells = self._read_row(element, after=last)
                if cells:
                    if element.get("hidden") in XML_TRUE:
                        hidden.add(number)
                    if links:
                        links.apply_to_row(number, cells)
                    yield number, cells, source.tell() / size
                last = number

    def _read_row(self, element: Element, *, after: int) -> tuple[int, list[object]]:
        number = int(element.get("r") or 0)
        values, column = {}, 0
        for cell in element:
            row, column = _find_position(cell, number or after + 1, column)
            number = number or row
            if row != number or column > XLSX_MAX_COLUMNS:
                raise ReadError("damaged_file")
            values[column] = self._read_cell(cell)
        number = number or after + 1
        if not after < number <= XLSX_MAX_ROWS:
            raise ReadError("damaged_file", row=after)  # A stream cannot sort rows.
        return number, [values.get(column) for column in range(1, max(values, default=0) + 1)]

    def _read_cell(self, cell: Element) -> object:
        raw, strings, formula = "", None, None
        for child in cell:
            if get_local_name(child) == "v":
                raw = child.text or ""
            elif get_local_name(child) == "f":
                formula = child.text or ""
            elif get_local_name(child) == "is":
                strings = child
        if strings is not None:
            return _read_text(strings) or None
        kind = cell.get("t", "n")
        # The result of a formula of type "str" may be empty text.
        if formula is not None and not raw and kind != "str":
            return FORMULA_WITHOUT_VALUE
        value = self._convert_value(kind, raw, int(cell.get("s", 0))) if raw else None
        target = find_formula_target(formula) if formula else None
        return add_link(value, target) if target else value

    def _convert_value(self, kind: str, raw: str, style: int) -> object:
        if kind == "n":
            return self._convert_number(raw, style)
        if kind == "s":
            return self.strings[int(raw)] or None
        if kind in {"str", "e"}:
            return _unescape(raw)
        if kind == "b":
            return {"1": True, "true": True, "0": False, "false": False}[raw.strip()]
        if kind == "d":
            return self._convert_date(raw.strip(), style)
        raise ReadError("damaged_file")

    def _convert_number(self, raw: str, style: int) -> object:
        value = parse_number(raw)
        return raw if value is None else self.numbers.convert(value, style)

    def _convert_date(self, raw: str, style: int) -> object:
        """Return the cell for a date stored as ISO 8601 text, as strict workbooks store it."""
        try:
            if ":" in raw and "-" not in raw:
                return self.numbers.convert_time(datetime.time.fromisoformat(raw), style)
            day = datetime.datetime.fromisoformat(raw)
        except ValueError:
            return raw
        cell = self.numbers.convert_date(day.replace(tzinfo=None), style)
        return cell if day.tzinfo is None else [cell[0], raw, cell[2]]


def _find_position(cell: Element, row: int, column: int) -> tuple[int, int]:
    """Return the row and the column of a cell, counted from 1.

    A cell without a reference follows the previous one.

    row: the row of the cell if it has no reference.
    column: the column of the previous cell.
    """
    coordinate = cell.get("r")
    return coordinate_to_tuple(coordinate) if coordinate else (row, column + 1)
