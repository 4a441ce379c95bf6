"""Rows of an OpenDocument spreadsheet (.ods), read one by one in bounded memory.

calamine is not used: it returns error cells as empty, and does not support repeated rows and merged
cells.
"""

import datetime
import math
import re
import zipfile
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from typing import IO
from xml.etree.ElementTree import Element

from cell_conversion import (
    CONVERTERS,
    FORMULA_WITHOUT_VALUE,
    MIN_ROUNDED_INTEGER,
    ONE_DAY,
    TIME_ORIGIN,
    format_datetime,
    format_timedelta,
)
from hyperlinks import add_link, find_formula_target, is_contact_address
from merged_cells import MergedSpans, fill_merged_rows
from number_formats import MAX_DISPLAY_CHARS
from protocol import LimitValues, ReadError
from sheets import Sheet, SheetRow, expand_hidden_columns
from xml_stream import get_local_name, iter_events
from zip_inspection import ODS_CONTENT_PART

ISO_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d+))?S)?)?")
ODS_WHITESPACE = re.compile(r"[ \t\r\n]+")
NUMBER_TYPES = frozenset({"float", "percentage", "currency"})
PADDED_NUMBER = re.compile(r"[(+]?0[\d ()+/\u00a0-]*")
NO_SEPARATORS = str.maketrans("", "", " ()+/\u00a0-")
# The displayed text of a number whose format is scientific, or a fraction.
EXPONENT_TEXT = re.compile(r"-?\d+(?:[.,]\d+)?E[+-]?\d+")
FRACTION_TEXT = re.compile(r"-?(?:\d+ +)?\d+ */ *\d+")
MAX_SIGNIFICANT_DIGITS = 15  # Spreadsheet programs keep so many digits of a number.
HIDDEN_VISIBILITIES = frozenset({"collapse", "filter"})
GROUP_ELEMENTS = frozenset({"table-row-group", "table-column-group"})
UNDISPLAYED_ELEMENTS = frozenset({"annotation", "ruby-text"})


def list_ods_sheets(file: BufferedReader, limits: LimitValues) -> list[Sheet]:
    """Return the tables of the document. Their rows are read when they are iterated."""
    archive = zipfile.ZipFile(file)
    return [
        _make_sheet(archive, position, limits, name, is_visible, columns)
        for position, (name, is_visible, columns) in enumerate(_list_tables(archive))
    ]


def _make_sheet(
    archive: zipfile.ZipFile,
    position: int,
    limits: LimitValues,
    name: str,
    is_visible: bool,
    columns: list[int],
) -> Sheet:
    hidden: set[int] = set()
    rows = partial(_iter_filled_rows, archive, position, limits, hidden)
    return Sheet(name, is_visible, rows, hidden, lambda: columns)


class _ColumnVisibility:
    """The hidden columns of a table, collected from its column elements.

    count: the number of columns so far.
    """

    def __init__(self) -> None:
        self.hidden: list[tuple[int, int]] = []
        self.count = 0

    def add(self, element: Element, *, is_hidden: bool) -> None:
        count = _get_count(element, "number-columns-repeated")
        if is_hidden or _get_attribute(element, "visibility") in HIDDEN_VISIBILITIES:
            self.hidden.append((self.count, self.count + count - 1))
        self.count += count


def _list_tables(archive: zipfile.ZipFile) -> list[tuple[str, bool, list[int]]]:
    """Return the name of each table, whether it is visible, and its hidden columns."""
    tables: list[tuple[str, str]] = []
    hidden: set[str] = set()
    style = ""
    columns: list[_ColumnVisibility] = []
    groups = _GroupStack()
    with archive.open(ODS_CONTENT_PART) as source:
        for event, element in iter_events(source, "table-row"):
            name = get_local_name(element)
            if event == "start" and name == "style":
                style = _get_attribute(element, "name")
            elif event == "start" and name == "table-properties":
                if _get_attribute(element, "display") == "false":
                    hidden.add(style)
            elif event == "start" and name == "table":
                tables.append(
                    (_get_attribute(element, "name"), _get_attribute(element, "style-name"))
                )
                columns.append(_ColumnVisibility())
            elif event == "start" and name == "table-column" and columns:
                columns[-1].add(element, is_hidden=groups.is_hidden)
            groups.update(event, element)
    return [
        (name, style not in hidden, expand_hidden_columns(visibility.hidden))
        for (name, style), visibility in zip(tables, columns, strict=True)
    ]


class _GroupStack:
    """The groups of rows or columns around the current element.

    A collapsed group hides its content.
    """

    def __init__(self) -> None:
        self._closed: list[bool] = []

    @property
    def is_hidden(self) -> bool:
        return any(self._closed)

    def update(self, event: str, element: Element) -> None:
        if get_local_name(element) not in GROUP_ELEMENTS:
            return
        if event == "start":
            self._closed.append(_get_attribute(element, "display") == "false")
        else:  # At the end of the element, its attributes are gone.
            self._closed.pop()


def _iter_filled_rows(
    archive: zipfile.ZipFile, position: int, limits: LimitValues, hidden: set[int]
) -> Iterator[SheetRow]:
    """Yield the rows of the table at this position that are not empty."""
    spans: MergedSpans = {}
    return fill_merged_rows(_iter_rows(archive, position, limits, spans, hidden), spans)


def _iter_rows(
    archive: zipfile.ZipFile,
    position: int,
    limits: LimitValues,
    spans: MergedSpans,
    hidden: set[int],
) -> Iterator[SheetRow]:
    number, size = 1, archive.getinfo(ODS_CONTENT_PART).file_size
    with archive.open(ODS_CONTENT_PART) as source:
        for element, is_hidden in _iter_row_elements(source, position):
            count = _get_count(element, "number-rows-repeated")
            cells = _read_cells(element, number, limits, spans)
            if cells:
                fraction = source.tell() / size
                for offset in range(count):
                    if is_hidden:
                        hidden.add(number + offset)
                    yield number + offset, list(cells), fraction
            number += count


def _iter_row_elements(source: IO[bytes], position: int) -> Iterator[tuple[Element, bool]]:
    """Yield the row elements of the table at this position, and whether each is hidden."""
    table, groups = -1, _GroupStack()
    for event, element in iter_events(source, "table-row"):
        name = get_local_name(element)
        if event == "start":
            table += name == "table"
        elif name == "table-row" and table == position:
            is_hidden = (
                groups.is_hidden or _get_attribute(element, "visibility") in HIDDEN_VISIBILITIES
            )
            yield element, is_hidden
        groups.update(event, element)
        if table > position:
            return


def _read_cells(row: Element, number: int, limits: LimitValues, spans: MergedSpans) -> list[object]:
    """Return the cells up to the last one that is not empty, and add merged cells to `spans`."""
    cells: list[object] = []
    column = 0
    for cell in row:
        if get_local_name(cell) not in {"table-cell", "covered-table-cell"}:
            continue
        count = _get_count(cell, "number-columns-repeated")
        value = _read_cell(cell) if get_local_name(cell) == "table-cell" else None
        if value is not None:
            if column + count > limits["columns"]:
                raise ReadError("too_many_columns", row=number, limit=limits["columns"])
            cells += [None] * (column - len(cells)) + [value] * count
            rows = _get_count(cell, "number-rows-spanned")
            if rows > 1:
                spans.setdefault(number, []).append((number + rows - 1, column))
        column += count
    return cells


def _read_cell(cell: Element) -> object:
    value = _read_value(cell)
    target = _find_link(cell) if type(value) is str else None
    return add_link(value, target) if target else value


def _find_link(cell: Element) -> str | None:
    """Return the target of the link in the cell or in its formula, or None."""
    if target := find_formula_target(_get_attribute(cell, "formula")):
        return target
    for element in cell.iter():
        if get_local_name(element) == "a" and is_contact_address(
            target := _get_attribute(element, "href")
        ):
            return target
    return None


def _read_value(cell: Element) -> object:
    kind = _get_attribute(cell, "value-type")
    if _get_attribute(cell, "value-type", "calc:") == "error":
        text = _read_text(cell)
        return text if text.startswith("#") else "#VALUE!"
    if kind in NUMBER_TYPES:
        return _convert_number(_get_attribute(cell, "value"), _read_text(cell), kind)
    if kind == "boolean":
        return _get_attribute(cell, "boolean-value") == "true"
    if kind == "date":
        return _convert_date(_get_attribute(cell, "date-value"), _read_display_text(cell))
    if kind == "time":
        return _convert_time(_get_attribute(cell, "time-value"), _read_display_text(cell))
    text = _read_text(cell) or _get_attribute(cell, "string-value")
    if not text and not kind and _get_attribute(cell, "formula"):
        return FORMULA_WITHOUT_VALUE
    return text or None


def _read_display_text(cell: Element) -> str:
    return _read_text(cell)[:MAX_DISPLAY_CHARS]


def _convert_number(raw: str, display_text: str, kind: str) -> object:
    """Return the cell for a number. If its format adds zeros, this is the displayed text."""
    value = float(raw)
    digits = display_text.translate(NO_SEPARATORS)
    if (
        PADDED_NUMBER.fullmatch(display_text)
        and value.is_integer()
        and digits.lstrip("0") == str(int(value))
    ):
        return display_text
    plain = CONVERTERS[float](value)
    number = plain[1] if type(plain) is list else plain
    number_kind = _classify_number(value, display_text, kind)
    return [number_kind, number, display_text[:MAX_DISPLAY_CHARS]] if number_kind else number


def _classify_number(value: float, display_text: str, kind: str) -> str | None:
    """Return the kind of a formatted number, or None for a plain number."""
    if not math.isfinite(value):
        return None
    if kind == "percentage":
        return kind
    if FRACTION_TEXT.fullmatch(display_text.strip()):
        return "fraction"
    is_rounded = value.is_integer() and abs(value) >= MIN_ROUNDED_INTEGER
    # The general format also shows an exponent for a large number, but with all kept digits.
    is_general = is_rounded and _count_digits(value) >= MAX_SIGNIFICANT_DIGITS
    if EXPONENT_TEXT.fullmatch(display_text.strip()) and not is_general:
        return "exponent"
    return "rounded" if is_rounded else None


def _count_digits(value: float) -> int:
    """Return the number of significant digits, of the fifteen that are kept."""
    return len(f"{value:.14e}".partition("e")[0].lstrip("-").replace(".", "").rstrip("0"))


def _convert_date(raw: str, display_text: str) -> object:
    try:
        return ["date", format_datetime(datetime.datetime.fromisoformat(raw)), display_text]
    except ValueError:
        return raw


def _convert_time(raw: str, display_text: str) -> object:
    """Return the cell for a time of day, or for a duration if it is a day or more, or negative."""
    match = ISO_DURATION.fullmatch(raw)
    if not match:
        return raw
    sign, days, hours, minutes, seconds, fraction = match.groups(default="")
    milliseconds = int(f"{fraction:0<3}"[:3])
    time = datetime.timedelta(
        days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0),
        seconds=int(seconds or 0), milliseconds=milliseconds,
    )  # fmt: skip
    if sign or time >= ONE_DAY:
        return ["duration", format_timedelta(-time if sign else time), display_text]
    return ["time", (TIME_ORIGIN + time).time().isoformat(), display_text]


def _read_text(cell: Element) -> str:
    """Return the displayed text: the paragraphs without comments."""
    paragraphs = [child for child in cell if get_local_name(child) in {"p", "h"}]
    return "\n".join(["".join(_iter_text(paragraph)) for paragraph in paragraphs])


def _iter_text(element: Element) -> Iterator[str]:
    yield ODS_WHITESPACE.sub(" ", element.text or "")
    for child in element:
        name = get_local_name(child)
        if name == "s":
            yield " " * _get_count(child, "c")
        elif name in {"tab", "line-break"}:
            yield "\t" if name == "tab" else "\n"
        elif name not in UNDISPLAYED_ELEMENTS:
            yield from _iter_text(child)
        yield ODS_WHITESPACE.sub(" ", child.tail or "")


def _get_count(element: Element, name: str) -> int:
    count = int(_get_attribute(element, name) or 1)
    if count < 1:
        raise ReadError("damaged_file")
    return count


def _get_attribute(element: Element, name: str, namespace: str = "") -> str:
    """Return the attribute of this local name, or "".

    namespace: not empty for the attribute of the calc extension, empty for all others.
    """
    for key, value in element.attrib.items():
        uri, _, local = key.rpartition("}")
        if local == name and ("calcext" in uri) == bool(namespace):
            return value
    return ""
