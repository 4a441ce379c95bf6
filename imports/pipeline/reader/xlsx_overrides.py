"""Cells that calamine does not return as they are displayed, read from the XML of the sheet.

These are errors such as #REF! and formulas without a result, which calamine returns as empty, and
numbers whose format shows them as something else. Hidden rows and links are read, too. The XML is
searched with patterns, not parsed. If a match is not clearly a cell with a reference and a value,
the result is ambiguous, and openpyxl reads the workbook instead.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from array import array
from collections.abc import Iterator, Set
from functools import cached_property
from html import unescape
from io import BufferedReader
from typing import NamedTuple
from xml.etree.ElementTree import Element

from cell_conversion import FORMULA_WITHOUT_VALUE
from displayed_numbers import DATE_KINDS, NumberFormatter, parse_number
from hyperlinks import CellArea, SheetLinks, add_link, find_formula_target, is_contact_address
from number_formats import BUILTIN_FORMATS, NumberFormat, parse_padding, read_format_codes
from sheets import expand_hidden_columns

ERROR_TYPE = re.compile(rb"""\st=["']e["']""")
FORMULA_TAG = re.compile(rb"<f[\s>/]")
# NumberFormatter that may have more than fifteen digits.
LONG_NUMBER = re.compile(rb"<v>-?(?:[\d.]{15}|[\d.]+[eE])")
NON_NUMBER_TYPE = re.compile(rb"""\st=["'](?!n["'])""")
STRING_TYPE = re.compile(rb"""\st=["']str["']""")
STYLE_ATTRIBUTE = re.compile(rb"""\ss=["'](\d+)["']""")
CELL_REFERENCE = re.compile(rb"""\sr=["']([A-Z]{1,3})([0-9]{1,7})["']""")
VALUE_TAG = re.compile(rb"<v(?:\s[^>]*)?>([^<]*)</v>")
HYPERLINK_FORMULA_TAG = re.compile(rb"<f(?:\s[^>]*)?>([^<]*HYPERLINK[^<]*)</f>", re.IGNORECASE)
FORMAT_CODE = re.compile(rb"""formatCode=["']([^"']*)""")
FORMAT_ID = re.compile(rb"""numFmtId=["'](\d{1,3})["']""")
CELL_START, CELL_END = b"<c ", b"</c>"
HIDDEN_TRUE = re.compile(rb"""\shidden=["'](?:1|true)["']""")
XML_ATTRIBUTE = re.compile(rb"""\s(?:\w+:)?(\w+)=(?:"([^"]*)"|'([^']*)')""")
HYPERLINK_TAG = re.compile(rb"<hyperlink(\s[^>]*)>")
AREA_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})(?::\$?([A-Z]{1,3})\$?(\d{1,7}))?")
SHEET_CHUNK_BYTES = 1 << 18
MAX_TAG_BYTES = 1 << 20  # Of a tag and the text before it.
COLUMN_BITS = 14
MAX_STYLES = 1 << 16

WORKBOOK_PART, WORKBOOK_RELATIONS_PART = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
DATE_1904 = re.compile(rb"""\bdate1904=["'](?:1|true)["']""")
# Row to column to text. Rows count from 1, columns from 0.
CellTexts = dict[int, dict[int, str]]


class AmbiguousXml(ValueError):
    """The XML does not have the common form, so patterns cannot read it safely."""


class CellOverrides:
    """What the XML of a sheet says about its cells.

    texts: the text of cells with an error, or with a formula without a result.
    targets: the link targets of formulas.
    """

    def __init__(self) -> None:
        self.texts: CellTexts = {}
        self.targets: CellTexts = {}
        # For each number: its position (row and column in one integer), its value and its style.
        self._positions = array("Q")
        self._values = array("d")
        self._styles = array("H")
        self._next = 0

    def add_number(self, row: int, column: int, value: float, style: int) -> None:
        if column >> COLUMN_BITS or style >= MAX_STYLES:
            raise AmbiguousXml
        self._positions.append(row << COLUMN_BITS | column)
        self._values.append(value)
        self._styles.append(style)

    def sort(self) -> None:
        """Sort the numbers by position. Nearly every file has them in this order."""
        positions = self._positions
        if all(map(int.__le__, positions, positions[1:])):
            return
        order = sorted(range(len(positions)), key=positions.__getitem__)
        self._positions = array("Q", [positions[n] for n in order])
        self._values = array("d", [self._values[n] for n in order])
        self._styles = array("H", [self._styles[n] for n in order])

    def apply_to_row(self, row: int, cells: list[object], numbers: NumberFormatter) -> int:
        """Replace the cells of this row. Must be called for ascending rows.

        Return the number of replaced numbers.
        """
        positions, index = self._positions, self._next
        first, end = row << COLUMN_BITS, row + 1 << COLUMN_BITS
        while index < len(positions) and positions[index] < first:
            index += 1
        start = index
        while index < len(positions) and positions[index] < end:
            cell = numbers.convert(self._values[index], self._styles[index])
            set_cell(cells, positions[index] - first, cell)
            index += 1
        self._next = index
        for column, text in self.texts.get(row, {}).items() if self.texts else ():
            set_cell(cells, column, text)
        for column, target in self.targets.get(row, {}).items() if self.targets else ():
            if column < len(cells):
                cells[column] = add_link(cells[column], target)
        return index - start


def set_cell(cells: list[object], column: int, cell: object) -> None:
    if column >= len(cells):
        cells += [None] * (column + 1 - len(cells))
    cells[column] = cell


class WorkbookFormats:
    """The number formats of a workbook, parsed when they are needed."""

    def __init__(self, file: BufferedReader) -> None:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            name = next((n for n in names if n.lower().endswith("styles.xml")), None)
            self._xml = archive.read(name) if name else b""
            self._is_1904 = WORKBOOK_PART in names and bool(
                DATE_1904.search(archive.read(WORKBOOK_PART))
            )

    @cached_property
    def numbers(self) -> NumberFormatter:
        from defusedxml.ElementTree import fromstring

        codes = read_format_codes(fromstring(self._xml)) if self._xml else {}
        return NumberFormatter(codes, is_1904=self._is_1904)

    @cached_property
    def has_formatted_numbers(self) -> bool:
        """Whether there are styles, other than those of dates, that change what a cell shows.

        calamine recognises dates by itself.
        """
        codes = {unescape(code.decode(errors="replace")) for code in FORMAT_CODE.findall(self._xml)}
        codes |= {BUILTIN_FORMATS.get(int(number), "") for number in FORMAT_ID.findall(self._xml)}
        if not any(
            parse_padding(c) or NumberFormat(c).kind not in {None, *DATE_KINDS} for c in codes
        ):
            return False
        return bool(self.numbers.find_styles(of_dates=False))

    @cached_property
    def styles(self) -> set[int]:
        """The styles whose cells differ from their plain number."""
        numbers = self.numbers
        styles = numbers.find_styles(of_dates=True) | numbers.find_styles(of_dates=False)
        return {style for style in styles if style < MAX_STYLES}


class SheetXml:
    """The XML of one sheet.

    position: the index of the sheet in the workbook.
    """

    def __init__(self, file: BufferedReader, position: int) -> None:
        self._file = file
        self._position = position

    def find_cells(
        self, styles: Set[int] = frozenset(), *, only_long_numbers: bool = False
    ) -> CellOverrides | None:
        """Find errors, formulas, and numbers of these styles.

        Return None if the XML is ambiguous.

        only_long_numbers: find numbers of many digits instead, of all styles.
        """
        pattern = None if only_long_numbers else _compile_style_patterns(styles)
        overrides = CellOverrides()
        with self._open_archive() as archive:
            part = self._find_part(archive)
            if part is None:
                return None
            rest = b""
            with archive.open(part) as source:
                while chunk := source.read(SHEET_CHUNK_BYTES):
                    whole, rest = _split_after_last_cell(rest + chunk)
                    if not _collect_cells(
                        whole, pattern, overrides, only_long_numbers=only_long_numbers
                    ):
                        return None
            if not _collect_cells(rest, pattern, overrides, only_long_numbers=only_long_numbers):
                return None
        overrides.sort()
        return overrides

    def find_hidden(self) -> tuple[set[int], list[int]]:
        """Return the numbers of hidden rows, and the indices of hidden columns.

        Raises:
            AmbiguousXml: A row or column has no number.
        """
        rows: set[int] = set()
        columns: list[tuple[int, int]] = []
        for tag in self._iter_tags(HIDDEN_TRUE):
            name, values = tag.split(maxsplit=1)[0], _parse_attributes(tag)
            if name == b"<row":
                rows.add(_parse_index(values.get("r")))
            elif name == b"<col":
                columns.append(
                    (_parse_index(values.get("min")) - 1, _parse_index(values.get("max")) - 1)
                )
        return rows, expand_hidden_columns(columns)

    def find_links(self) -> SheetLinks:
        """Return the links of the sheet.

        Raises:
            AmbiguousXml: The sheet is not found, or has a tag that is too long.
        """
        with self._open_archive() as archive:
            targets = read_link_targets(archive, self._require_part(archive))
        return SheetLinks(self._iter_links(targets))

    def _iter_links(self, targets: dict[str, str]) -> Iterator[tuple[CellArea, str]]:
        for tag in self._iter_tags(HYPERLINK_TAG):
            values = _parse_attributes(tag)
            target = targets.get(values.get("id", ""), values.get("location"))
            area = parse_area(values.get("ref", ""))
            if area and target and is_contact_address(target):
                yield area, target

    def _iter_tags(self, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
        """Yield the tags that contain a match, without their closing bracket."""
        rest = b""
        with self._open_archive() as archive, archive.open(self._require_part(archive)) as source:
            while chunk := source.read(SHEET_CHUNK_BYTES):
                xml = rest + chunk
                end = xml.rfind(b">") + 1
                tag_end = 0
                for match in pattern.finditer(xml, 0, end):
                    if match.start() >= tag_end:
                        start = xml.rfind(b"<", 0, match.start() + 1)
                        tag_end = xml.find(b">", match.start())
                        yield xml[start:tag_end]
                rest = xml[end:]
                if len(rest) > MAX_TAG_BYTES:
                    raise AmbiguousXml

    def _open_archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self._file)

    def _require_part(self, archive: zipfile.ZipFile) -> str:
        part = self._find_part(archive)
        if part is None:
            raise AmbiguousXml
        return part

    def _find_part(self, archive: zipfile.ZipFile) -> str | None:
        """Return the name of the part that contains the sheet, or None."""
        from defusedxml.ElementTree import fromstring

        if not {WORKBOOK_PART, WORKBOOK_RELATIONS_PART} <= set(archive.namelist()):
            return None
        book = fromstring(archive.read(WORKBOOK_PART))
        sheets = [element for element in book.iter() if _has_name(element, "sheet")]
        attributes = sheets[self._position].attrib
        ids = [v for name, v in attributes.items() if name.endswith("relationships}id")]
        for relation in fromstring(archive.read(WORKBOOK_RELATIONS_PART)):
            if [relation.get("Id")] == ids:
                return posixpath.normpath(posixpath.join("/xl", relation.get("Target", "")))[1:]
        return None


def read_link_targets(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    """Return the e-mail addresses and phone numbers in the relations of a part, by relation id."""
    from defusedxml.ElementTree import fromstring

    folder, _, name = part.rpartition("/")
    relations = f"{folder}/_rels/{name}.rels".lstrip("/")
    if relations not in archive.namelist():
        return {}
    return {
        relation.get("Id", ""): target
        for relation in fromstring(archive.read(relations))
        if is_contact_address(target := relation.get("Target"))
    }


def parse_area(reference: str) -> CellArea | None:
    """Return the cells of a reference such as "D2" or "D2:E9", or None if it is not one."""
    match = AREA_REFERENCE.fullmatch(reference)
    if not match:
        return None
    left, top, right, bottom = match.groups()
    first = _parse_column(left.encode())
    last = _parse_column(right.encode()) if right else first
    return int(top), int(bottom or top), first, last


class _StylePatterns(NamedTuple):
    """Patterns for the cells of some styles.

    style: the attribute of a cell or row.
    cell: a whole cell as nearly every program writes it. A cell without a number matches without a
        value.
    """

    style: re.Pattern[bytes]
    cell: re.Pattern[bytes]


def _compile_style_patterns(styles: Set[int]) -> _StylePatterns | None:
    if not styles:
        return None
    own = b"|".join(b"%d" % style for style in sorted(styles))
    return _StylePatterns(
        re.compile(rb"""\ss=["'](?:%s)["']""" % own),
        re.compile(
            rb'<c r="([A-Z]{1,3})(\d{1,7})" s="(%s)"'
            rb'(?:/>| t="s"><v>|(?: t="n")?>(?:<f>[^<]*</f>)?<v>([^<]*)</v></c>)' % own
        ),
    )


def _has_name(element: Element, name: str) -> bool:
    return element.tag.endswith("}" + name)


def _parse_attributes(tag: bytes) -> dict[str, str]:
    """Return the attributes of a tag by their local names."""
    return {
        name.decode(): unescape((double or single).decode(errors="replace"))
        for name, double, single in XML_ATTRIBUTE.findall(tag)
    }


def _parse_index(value: str | None) -> int:
    if not value or not value.isascii() or not value.isdigit():
        raise AmbiguousXml
    return int(value)


def _split_after_last_cell(xml: bytes) -> tuple[bytes, bytes]:
    """Split the XML after the last complete cell."""
    end = xml.rfind(CELL_END) + len(CELL_END) if CELL_END in xml else len(xml) - SHEET_CHUNK_BYTES
    return xml[: max(end, 0)], xml[max(end, 0) :]


def _collect_cells(
    xml: bytes,
    patterns: _StylePatterns | None,
    overrides: CellOverrides,
    *,
    only_long_numbers: bool,
) -> bool:
    """Add the cells to `overrides`. Return False if one of them is ambiguous."""
    if patterns and _collect_common_cells(xml, patterns, overrides):
        patterns = None
    cell_end = 0
    for mark in _find_marks(xml, patterns, only_long_numbers=only_long_numbers):
        if mark.start() < cell_end:
            continue  # Another match in the same cell.
        start = xml.rfind(CELL_START, cell_end, mark.start() + 1)
        cell_end = xml.find(CELL_END, start if start >= 0 else mark.start())
        head, _, body = xml[start:cell_end].partition(b">")
        is_inside = 0 <= start < mark.start() < cell_end
        if not is_inside or head.endswith(b"/"):
            if not STYLE_ATTRIBUTE.match(mark[0]):
                return False
            cell_end = mark.end()  # A row of this style, or a cell without a value.
        elif not _add_cell(head, body, patterns, overrides, only_long_numbers=only_long_numbers):
            return False
    return True


def _collect_common_cells(xml: bytes, patterns: _StylePatterns, overrides: CellOverrides) -> bool:
    """Add the numbers and return True if all cells of these styles have the common form."""
    count = len(patterns.style.findall(xml))
    if not count:
        return True
    cells = patterns.cell.findall(xml)
    if len(cells) != count:
        return False
    for letters, row, style, raw in cells:
        value = parse_number(raw.decode(errors="replace")) if raw else None
        if value is not None:
            overrides.add_number(int(row), _parse_column(letters), value, int(style))
    return True


def _find_marks(
    xml: bytes, patterns: _StylePatterns | None, *, only_long_numbers: bool
) -> list[re.Match[bytes]]:
    """Return the matches in order. One pattern for all of them would take three times as long."""
    if only_long_numbers:
        return list(LONG_NUMBER.finditer(xml))
    searched = [patterns.style] if patterns else []
    searched += [ERROR_TYPE] if b't="e"' in xml or b"t='e'" in xml else []
    searched += [FORMULA_TAG] if b"<f" in xml else []
    return sorted([m for p in searched for m in p.finditer(xml)], key=re.Match.start)


def _add_cell(
    head: bytes,
    body: bytes,
    patterns: _StylePatterns | None,
    overrides: CellOverrides,
    *,
    only_long_numbers: bool,
) -> bool:
    is_error, is_formula = bool(ERROR_TYPE.search(head)), bool(FORMULA_TAG.search(body))
    is_number = not NON_NUMBER_TYPE.search(head)
    style = STYLE_ATTRIBUTE.search(head)
    is_styled = bool(is_number and style and patterns and patterns.style.search(head))
    if not (is_error or is_formula or is_styled or only_long_numbers):
        return False
    reference, values = CELL_REFERENCE.search(head), VALUE_TAG.findall(body)
    if not reference or len(values) > 1 or (is_error and not values):
        return False
    row, column = int(reference[2]), _parse_column(reference[1])
    value = values[0] if values else b""
    if is_error:
        overrides.texts.setdefault(row, {})[column] = unescape(value.decode())
    elif is_formula and not value and not STRING_TYPE.search(head):  # Empty text is a result, too.
        overrides.texts.setdefault(row, {})[column] = FORMULA_WITHOUT_VALUE
    elif is_number and (is_styled or only_long_numbers):
        number = parse_number(value.decode(errors="replace"))
        if number is not None:
            overrides.add_number(row, column, number, int(style[1]) if style else 0)
    if is_formula and (target := _find_formula_link(body)):
        overrides.targets.setdefault(row, {})[column] = target
    return True


def _find_formula_link(body: bytes) -> str | None:
    formula = HYPERLINK_FORMULA_TAG.search(body)
    return find_formula_target(unescape(formula[1].decode(errors="replace"))) if formula else None


def _parse_column(letters: bytes) -> int:
    """Return the index of a column: 0 for A, 25 for Z, 26 for AA."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
