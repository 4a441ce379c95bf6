"""Cells of a workbook that say more than calamine gives: looked up in the sheet's XML.

They are errors such as #REF! and formulas without a result, which it gives as empty, and numbers
whose format shows them as something else. Hidden rows and links stand there, too. Only what is
certain counts: where a mark of one is not plainly a cell with a place and a value, nothing is
said, and openpyxl reads the workbook.
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

from cell_conversion import FORMULA_WITHOUT_VALUE
from displayed_numbers import DATES, Numbers, as_number
from hyperlinks import Area, Links, formula_target, is_address, linked
from number_formats import BUILTIN_FORMATS, NumberFormat, format_codes
from padding import padding
from sheets import hidden_columns

ERROR = re.compile(rb"""\st=["']e["']""")
FORMULA = re.compile(rb"<f[\s>/]")
# Numbers that may have more than fifteen digits.
LARGE = re.compile(rb"<v>-?(?:[\d.]{15}|[\d.]+[eE])")
NUMBER = re.compile(rb"""\st=["'](?!n["'])""")
TEXT = re.compile(rb"""\st=["']str["']""")
STYLE = re.compile(rb"""\ss=["'](\d+)["']""")
PLACE = re.compile(rb"""\sr=["']([A-Z]{1,3})([0-9]{1,7})["']""")
VALUE = re.compile(rb"<v(?:\s[^>]*)?>([^<]*)</v>")
HYPERLINK = re.compile(rb"<f(?:\s[^>]*)?>([^<]*HYPERLINK[^<]*)</f>", re.IGNORECASE)
CODE = re.compile(rb"""formatCode=["']([^"']*)""")
FORMAT_NUMBER = re.compile(rb"""numFmtId=["'](\d{1,3})["']""")
CELL_BEGINS, CELL_ENDS = b"<c ", b"</c>"
HIDDEN = re.compile(rb"""\shidden=["'](?:1|true)["']""")
NAMED_VALUE = re.compile(rb"""\s(?:\w+:)?(\w+)=(?:"([^"]*)"|'([^']*)')""")
LINK = re.compile(rb"<hyperlink(\s[^>]*)>")
AREA = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})(?::\$?([A-Z]{1,3})\$?(\d{1,7}))?")
PIECE_BYTES = 1 << 18
MAX_TAG_BYTES = 1 << 20  # With the text before it.
COLUMN_BITS = 14
MAX_STYLES = 1 << 16

BOOK, BOOK_RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
IS_1904 = re.compile(rb"""\bdate1904=["'](?:1|true)["']""")
# Row to column to text; both are counted as a person does and as a list does: 1 and 0.
Texts = dict[int, dict[int, str]]


class NotCertain(ValueError):
    """The XML does not plainly say what is asked for."""


class Marked:
    """What was found in a sheet: texts and links of cells, and numbers with their styles."""

    def __init__(self) -> None:
        self.texts: Texts = {}
        self.targets: Texts = {}
        # Of each number its place, which is row and column in one, its value and its style.
        self._places = array("Q")
        self._values = array("d")
        self._styles = array("H")
        self._position = 0

    def add_number(self, row: int, column: int, value: float, style: int) -> None:
        if column >> COLUMN_BITS or style >= MAX_STYLES:
            raise NotCertain
        self._places.append(row << COLUMN_BITS | column)
        self._values.append(value)
        self._styles.append(style)

    def sort(self) -> None:
        """Put the numbers in the order of their rows, which is the order of nearly every file."""
        places = self._places
        if all(map(int.__le__, places, places[1:])):
            return
        order = sorted(range(len(places)), key=places.__getitem__)
        self._places = array("Q", [places[n] for n in order])
        self._values = array("d", [self._values[n] for n in order])
        self._styles = array("H", [self._styles[n] for n in order])

    def complete(self, row: int, cells: list, numbers: Numbers) -> int:
        """Put what was found into the cells of this row; rows are asked for ascending.

        Returns how many numbers it has put there.
        """
        places, position = self._places, self._position
        first, end = row << COLUMN_BITS, row + 1 << COLUMN_BITS
        while position < len(places) and places[position] < first:
            position += 1
        begin = position
        while position < len(places) and places[position] < end:
            cell = numbers.shown(self._values[position], self._styles[position])
            put(cells, places[position] - first, cell)
            position += 1
        self._position = position
        for column, text in self.texts.get(row, {}).items() if self.texts else ():
            put(cells, column, text)
        for column, target in self.targets.get(row, {}).items() if self.targets else ():
            if column < len(cells):
                cells[column] = linked(cells[column], target)
        return position - begin


def put(cells: list, column: int, cell: object) -> None:
    if column >= len(cells):
        cells += [None] * (column + 1 - len(cells))
    cells[column] = cell


class Formats:
    """The number formats of a workbook; they are parsed only if they are needed."""

    def __init__(self, file: BufferedReader) -> None:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            name = next((n for n in names if n.lower().endswith("styles.xml")), None)
            self._xml = archive.read(name) if name else b""
            self._is_1904 = BOOK in names and bool(IS_1904.search(archive.read(BOOK)))

    @cached_property
    def numbers(self) -> Numbers:
        from defusedxml.ElementTree import fromstring

        codes = format_codes(fromstring(self._xml)) if self._xml else {}
        return Numbers(codes, is_1904=self._is_1904)

    @cached_property
    def has_others(self) -> bool:
        """Whether there may be styles of interest besides those of dates, which calamine knows."""
        codes = {unescape(code.decode(errors="replace")) for code in CODE.findall(self._xml)}
        codes |= {
            BUILTIN_FORMATS.get(int(number), "") for number in FORMAT_NUMBER.findall(self._xml)
        }
        if not any(padding(c) or NumberFormat(c).kind not in {None, *DATES} for c in codes):
            return False
        return bool(self.numbers.styles(of_dates=False))

    @cached_property
    def styles(self) -> set[int]:
        """The styles whose cells say more than their number."""
        own = self.numbers.styles(of_dates=True) | self.numbers.styles(of_dates=False)
        return {style for style in own if style < MAX_STYLES}


class SheetXml:
    """The XML of the workbook's sheet at this position."""

    def __init__(self, file: BufferedReader, position: int) -> None:
        self._file = file
        self._position = position

    def find_cells(self, styles: Set[int] = frozenset(), *, large: bool = False) -> Marked | None:
        """Find errors, formulas, and numbers of these styles; None if that is not certain.

        large: find numbers of many digits instead, with their styles.
        """
        pattern = None if large else _with_styles(styles)
        marked = Marked()
        with self._archive() as archive:
            part = self._part(archive)
            if part is None:
                return None
            rest = b""
            with archive.open(part) as source:
                while piece := source.read(PIECE_BYTES):
                    whole, rest = _whole_cells(rest + piece)
                    if not _collect(whole, pattern, marked, large=large):
                        return None
            if not _collect(rest, pattern, marked, large=large):
                return None
        marked.sort()
        return marked

    def find_hidden(self) -> tuple[set[int], list[int]]:
        """The numbers of the hidden rows, and the indices of hidden columns.

        Raises NotCertain.
        """
        rows: set[int] = set()
        columns: list[tuple[int, int]] = []
        for tag in self._tags(HIDDEN):
            name, values = tag.split(maxsplit=1)[0], _values(tag)
            if name == b"<row":
                rows.add(_whole(values.get("r")))
            elif name == b"<col":
                columns.append((_whole(values.get("min")) - 1, _whole(values.get("max")) - 1))
        return rows, hidden_columns(columns)

    def find_links(self) -> Links:
        """The addresses behind cells. Raises NotCertain."""
        with self._archive() as archive:
            targets = relation_targets(archive, self._certain_part(archive))
        return Links(self._links(targets))

    def _links(self, targets: dict[str, str]) -> Iterator[tuple[Area, str]]:
        for tag in self._tags(LINK):
            values = _values(tag)
            target = targets.get(values.get("id", ""), values.get("location"))
            area = area_of(values.get("ref", ""))
            if area and target and is_address(target):
                yield area, target

    def _tags(self, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
        """The tags in which the pattern is found, without their closing bracket."""
        rest = b""
        with self._archive() as archive, archive.open(self._certain_part(archive)) as source:
            while piece := source.read(PIECE_BYTES):
                xml = rest + piece
                end = xml.rfind(b">") + 1
                seen = 0
                for match in pattern.finditer(xml, 0, end):
                    if match.start() >= seen:
                        begin = xml.rfind(b"<", 0, match.start() + 1)
                        seen = xml.find(b">", match.start())
                        yield xml[begin:seen]
                rest = xml[end:]
                if len(rest) > MAX_TAG_BYTES:
                    raise NotCertain

    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self._file)

    def _certain_part(self, archive: zipfile.ZipFile) -> str:
        part = self._part(archive)
        if part is None:
            raise NotCertain
        return part

    def _part(self, archive: zipfile.ZipFile) -> str | None:
        """Which part of the archive holds the sheet."""
        from defusedxml.ElementTree import fromstring

        if not {BOOK, BOOK_RELATIONS} <= set(archive.namelist()):
            return None
        book = fromstring(archive.read(BOOK))
        sheets = [element for element in book.iter() if _is(element, "sheet")]
        attributes = sheets[self._position].attrib
        ids = [v for name, v in attributes.items() if name.endswith("relationships}id")]
        for relation in fromstring(archive.read(BOOK_RELATIONS)):
            if [relation.get("Id")] == ids:
                return posixpath.normpath(posixpath.join("/xl", relation.get("Target")))[1:]
        return None


def relation_targets(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    """The addresses that the relations of a part lead to, by their ids."""
    from defusedxml.ElementTree import fromstring

    folder, _, name = part.rpartition("/")
    relations = f"{folder}/_rels/{name}.rels".lstrip("/")
    if relations not in archive.namelist():
        return {}
    return {
        relation.get("Id", ""): target
        for relation in fromstring(archive.read(relations))
        if is_address(target := relation.get("Target"))
    }


def area_of(reference: str) -> Area | None:
    """The cells of a reference such as "D2" or "D2:E9"."""
    match = AREA.fullmatch(reference)
    if not match:
        return None
    left, top, right, bottom = match.groups()
    first = _column(left.encode())
    last = _column(right.encode()) if right else first
    return int(top), int(bottom or top), first, last


class _Styled(NamedTuple):
    """Patterns of the cells of some styles."""

    style: re.Pattern[bytes]
    # The cell as nearly every program writes it: cells without numbers match without a value.
    cell: re.Pattern[bytes]


def _with_styles(styles: Set[int]) -> _Styled | None:
    if not styles:
        return None
    own = b"|".join(b"%d" % style for style in sorted(styles))
    return _Styled(
        re.compile(rb"""\ss=["'](?:%s)["']""" % own),
        re.compile(
            rb'<c r="([A-Z]{1,3})(\d{1,7})" s="(%s)"'
            rb'(?:/>| t="s"><v>|(?: t="n")?>(?:<f>[^<]*</f>)?<v>([^<]*)</v></c>)' % own
        ),
    )


def _is(element, name: str) -> bool:
    return element.tag.endswith("}" + name)


def _values(tag: bytes) -> dict[str, str]:
    """The attributes of a tag by their local names."""
    return {
        name.decode(): unescape((double or single).decode(errors="replace"))
        for name, double, single in NAMED_VALUE.findall(tag)
    }


def _whole(value: str | None) -> int:
    if not value or not value.isascii() or not value.isdigit():
        raise NotCertain
    return int(value)


def _whole_cells(xml: bytes) -> tuple[bytes, bytes]:
    """Cut behind the last cell that has ended."""
    end = xml.rfind(CELL_ENDS) + len(CELL_ENDS) if CELL_ENDS in xml else len(xml) - PIECE_BYTES
    return xml[: max(end, 0)], xml[max(end, 0) :]


def _collect(xml: bytes, styled: _Styled | None, marked: Marked, *, large: bool) -> bool:
    """Add what some cells show; False where one of them is not plain to see."""
    if styled and _collect_plain(xml, styled, marked):
        styled = None
    seen = 0
    for mark in _marks(xml, styled, large=large):
        if mark.start() < seen:
            continue  # Of the same cell.
        begin = xml.rfind(CELL_BEGINS, seen, mark.start() + 1)
        seen = xml.find(CELL_ENDS, begin if begin >= 0 else mark.start())
        head, _, body = xml[begin:seen].partition(b">")
        is_inside = 0 <= begin < mark.start() < seen
        if not is_inside or head.endswith(b"/"):
            if not STYLE.match(mark[0]):
                return False
            seen = mark.end()  # A row of that style, or a cell without a value.
        elif not _add(head, body, styled, marked, large=large):
            return False
    return True


def _collect_plain(xml: bytes, styled: _Styled, marked: Marked) -> bool:
    """Add the numbers if all cells of these styles are written as most programs do."""
    count = len(styled.style.findall(xml))
    if not count:
        return True
    cells = styled.cell.findall(xml)
    if len(cells) != count:
        return False
    for letters, row, style, raw in cells:
        value = as_number(raw.decode(errors="replace")) if raw else None
        if value is not None:
            marked.add_number(int(row), _column(letters), value, int(style))
    return True


def _marks(xml: bytes, styled: _Styled | None, *, large: bool) -> list[re.Match]:
    """Marks in their order; one pattern for all of them would take thrice as long."""
    if large:
        return list(LARGE.finditer(xml))
    patterns = [styled.style] if styled else []
    patterns += [ERROR] if b't="e"' in xml or b"t='e'" in xml else []
    patterns += [FORMULA] if b"<f" in xml else []
    return sorted([m for p in patterns for m in p.finditer(xml)], key=re.Match.start)


def _add(head: bytes, body: bytes, styled: _Styled | None, marked: Marked, *, large: bool) -> bool:
    is_error, is_formula = bool(ERROR.search(head)), bool(FORMULA.search(body))
    is_number = not NUMBER.search(head)
    style = STYLE.search(head)
    is_styled = bool(is_number and style and styled and styled.style.search(head))
    if not (is_error or is_formula or is_styled or large):
        return False
    place, values = PLACE.search(head), VALUE.findall(body)
    if not place or len(values) > 1 or (is_error and not values):
        return False
    row, column = int(place[2]), _column(place[1])
    value = values[0] if values else b""
    if is_error:
        marked.texts.setdefault(row, {})[column] = unescape(value.decode())
    elif is_formula and not value and not TEXT.search(head):  # Text may well be empty.
        marked.texts.setdefault(row, {})[column] = FORMULA_WITHOUT_VALUE
    elif is_number and (is_styled or large):
        number = as_number(value.decode(errors="replace"))
        if number is not None:
            marked.add_number(row, column, number, int(style[1]) if style else 0)
    if is_formula and (target := _formula_target(body)):
        marked.targets.setdefault(row, {})[column] = target
    return True


def _formula_target(body: bytes) -> str | None:
    formula = HYPERLINK.search(body)
    return formula_target(unescape(formula[1].decode(errors="replace"))) if formula else None


def _column(letters: bytes) -> int:
    """A to 0, Z to 25, AA to 26."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
