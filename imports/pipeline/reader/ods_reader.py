"""Rows of an OpenDocument spreadsheet (.ods), one after another in bounded memory.

Read here and not by calamine, which gives error cells as empty ones and knows no repeated or
merged cells as they are shown.
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

from cell_conversion import CELL, FIRST_ROUNDED_INTEGER, FORMULA_WITHOUT_VALUE, duration, moment
from hyperlinks import formula_target, is_address, linked
from merged_cells import Spans, filled
from number_formats import MAX_SHOWN_CHARS
from protocol import Refused
from sheets import Row, Sheet, hidden_columns
from xml_stream import events, local_name
from zip_inspection import CONTENT

TIME = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d+))?S)?)?")
MIDNIGHT = datetime.datetime(1, 1, 1)  # noqa: DTZ001  Spreadsheets know no time zones.
DAY = datetime.timedelta(days=1)
SPACE = re.compile(r"[ \t\r\n]+")
NUMBERS = frozenset({"float", "percentage", "currency"})
PADDED = re.compile(r"[(+]?0[\d ()+/\u00a0-]*")
NO_SEPARATORS = str.maketrans("", "", " ()+/\u00a0-")
# What a number shows where its format is scientific, or a fraction.
EXPONENT = re.compile(r"-?\d+(?:[.,]\d+)?E[+-]?\d+")
FRACTION = re.compile(r"-?(?:\d+ +)?\d+ */ *\d+")
KEPT_DIGITS = 15  # Of a number by a spreadsheet program.
HIDING = frozenset({"collapse", "filter"})
GROUPS = frozenset({"table-row-group", "table-column-group"})
NOT_SHOWN = frozenset({"annotation", "ruby-text"})


def sheets(file: BufferedReader, limits: dict) -> list[Sheet]:
    archive = zipfile.ZipFile(file)
    return [
        _sheet(archive, position, limits, name, is_visible, columns)
        for position, (name, is_visible, columns) in enumerate(_tables(archive))
    ]


def _sheet(
    archive: zipfile.ZipFile,
    position: int,
    limits: dict,
    name: str,
    is_visible: bool,
    columns: list[int],
) -> Sheet:
    hidden: set[int] = set()
    rows = partial(_rows, archive, position, limits, hidden)
    return Sheet(name, is_visible, rows, hidden, lambda: columns)


class _Columns:
    """The hidden columns of a table, from the descriptions of its columns."""

    def __init__(self) -> None:
        self.hidden: list[tuple[int, int]] = []
        self.count = 0

    def add(self, element: Element, *, is_hidden: bool) -> None:
        times = _repeated(element, "number-columns-repeated")
        if is_hidden or _attribute(element, "visibility") in HIDING:
            self.hidden.append((self.count, self.count + times - 1))
        self.count += times


def _tables(archive: zipfile.ZipFile) -> list[tuple[str, bool, list[int]]]:
    """Name of each table, whether its style shows it, and its hidden columns."""
    tables, hidden, style = [], set(), ""
    columns: list[_Columns] = []
    groups = _Groups()
    with archive.open(CONTENT) as source:
        for event, element in events(source, "table-row"):
            name = local_name(element)
            if event == "start" and name == "style":
                style = _attribute(element, "name")
            elif event == "start" and name == "table-properties":
                if _attribute(element, "display") == "false":
                    hidden.add(style)
            elif event == "start" and name == "table":
                tables.append((_attribute(element, "name"), _attribute(element, "style-name")))
                columns.append(_Columns())
            elif event == "start" and name == "table-column" and columns:
                columns[-1].add(element, is_hidden=groups.is_hidden)
            groups.follow(event, element)
    return [
        (name, style not in hidden, hidden_columns(own.hidden))
        for (name, style), own in zip(tables, columns, strict=True)
    ]


class _Groups:
    """The groups of rows or columns around an element; one that is closed hides what is in it."""

    def __init__(self) -> None:
        self._are_closed: list[bool] = []

    @property
    def is_hidden(self) -> bool:
        return any(self._are_closed)

    def follow(self, event: str, element: Element) -> None:
        if local_name(element) not in GROUPS:
            return
        if event == "start":
            self._are_closed.append(_attribute(element, "display") == "false")
        else:  # Its attributes are gone by now.
            self._are_closed.pop()


def _rows(archive: zipfile.ZipFile, position: int, limits: dict, hidden: set[int]) -> Iterator[Row]:
    """The rows of the table at this position that hold something."""
    spans: Spans = {}
    return filled(_numbered(archive, position, limits, spans, hidden), spans)


def _numbered(
    archive: zipfile.ZipFile, position: int, limits: dict, spans: Spans, hidden: set[int]
) -> Iterator[Row]:
    number, size = 1, archive.getinfo(CONTENT).file_size
    with archive.open(CONTENT) as source:
        for element, is_hidden in _row_elements(source, position):
            times = _repeated(element, "number-rows-repeated")
            cells = _cells(element, number, limits, spans)
            if cells:
                fraction = source.tell() / size
                for offset in range(times):
                    if is_hidden:
                        hidden.add(number + offset)
                    yield number + offset, list(cells), fraction
            number += times


def _row_elements(source: IO[bytes], position: int) -> Iterator[tuple[Element, bool]]:
    """The rows of the table at this position, and whether each is hidden."""
    table, groups = -1, _Groups()
    for event, element in events(source, "table-row"):
        name = local_name(element)
        if event == "start":
            table += name == "table"
        elif name == "table-row" and table == position:
            is_hidden = groups.is_hidden or _attribute(element, "visibility") in HIDING
            yield element, is_hidden
        groups.follow(event, element)
        if table > position:
            return


def _cells(row: Element, number: int, limits: dict, spans: Spans) -> list:
    """The cells up to the last that holds something."""
    cells: list = []
    column = 0
    for cell in row:
        if local_name(cell) not in {"table-cell", "covered-table-cell"}:
            continue
        times = _repeated(cell, "number-columns-repeated")
        value = _value(cell) if local_name(cell) == "table-cell" else None
        if value is not None:
            if column + times > limits["columns"]:
                raise Refused("too_many_columns", row=number, limit=limits["columns"])
            cells += [None] * (column - len(cells)) + [value] * times
            rows = _repeated(cell, "number-rows-spanned")
            if rows > 1:
                spans.setdefault(number, []).append((number + rows - 1, column))
        column += times
    return cells


def _value(cell: Element) -> object:
    value = _plain_value(cell)
    target = _target(cell) if type(value) is str else None
    return linked(value, target) if target else value


def _target(cell: Element) -> str | None:
    """The address that a link in the cell, or its formula, leads to."""
    if target := formula_target(_attribute(cell, "formula")):
        return target
    for element in cell.iter():
        if local_name(element) == "a" and is_address(target := _attribute(element, "href")):
            return target
    return None


def _plain_value(cell: Element) -> object:
    kind = _attribute(cell, "value-type")
    if _attribute(cell, "value-type", "calc:") == "error":
        text = _text(cell)
        return text if text.startswith("#") else "#VALUE!"
    if kind in NUMBERS:
        return _number(_attribute(cell, "value"), _text(cell), kind)
    if kind == "boolean":
        return _attribute(cell, "boolean-value") == "true"
    if kind == "date":
        return _moment(_attribute(cell, "date-value"), _shown(cell))
    if kind == "time":
        return _time(_attribute(cell, "time-value"), _shown(cell))
    text = _text(cell) or _attribute(cell, "string-value")
    if not text and not kind and _attribute(cell, "formula"):
        return FORMULA_WITHOUT_VALUE
    return text or None


def _shown(cell: Element) -> str:
    return _text(cell)[:MAX_SHOWN_CHARS]


def _number(raw: str, shown: str, kind: str) -> object:
    """The number, or what the cell shows where its format puts zeros before it."""
    value = float(raw)
    digits = shown.translate(NO_SEPARATORS)
    if PADDED.fullmatch(shown) and value.is_integer() and digits.lstrip("0") == str(int(value)):
        return shown
    plain = CELL[float](value)
    number = plain[1] if type(plain) is list else plain
    kind = _kind_of_number(value, shown, kind)
    return [kind, number, shown[:MAX_SHOWN_CHARS]] if kind else number


def _kind_of_number(value: float, shown: str, kind: str) -> str | None:
    """Which kind of formatted number this is; None for a plain one."""
    if not math.isfinite(value):
        return None
    if kind == "percentage":
        return kind
    if FRACTION.fullmatch(shown.strip()):
        return "fraction"
    is_rounded = value.is_integer() and abs(value) >= FIRST_ROUNDED_INTEGER
    # Of a large number, the general format shows an exponent, too: then all of its digits.
    is_general = is_rounded and _count_digits(value) >= KEPT_DIGITS
    if EXPONENT.fullmatch(shown.strip()) and not is_general:
        return "exponent"
    return "rounded" if is_rounded else None


def _count_digits(value: float) -> int:
    """How many of its digits are significant, of the fifteen that are kept."""
    return len(f"{value:.14e}".partition("e")[0].lstrip("-").replace(".", "").rstrip("0"))


def _moment(raw: str, shown: str) -> object:
    try:
        return ["date", moment(datetime.datetime.fromisoformat(raw)), shown]
    except ValueError:
        return raw


def _time(raw: str, shown: str) -> object:
    """A time of the day where it is one, else a duration."""
    match = TIME.fullmatch(raw)
    if not match:
        return raw
    sign, days, hours, minutes, seconds, fraction = match.groups(default="")
    milliseconds = int(f"{fraction:0<3}"[:3])
    time = datetime.timedelta(
        days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0),
        seconds=int(seconds or 0), milliseconds=milliseconds,
    )  # fmt: skip
    if sign or time >= DAY:
        return ["duration", duration(-time if sign else time), shown]
    return ["time", (MIDNIGHT + time).time().isoformat(), shown]


def _text(cell: Element) -> str:
    """What the cell shows: its paragraphs, without the notes pinned to it."""
    paragraphs = [child for child in cell if local_name(child) in {"p", "h"}]
    return "\n".join(["".join(_pieces(paragraph)) for paragraph in paragraphs])


def _pieces(element: Element) -> Iterator[str]:
    yield SPACE.sub(" ", element.text or "")
    for child in element:
        name = local_name(child)
        if name == "s":
            yield " " * _repeated(child, "c")
        elif name in {"tab", "line-break"}:
            yield "\t" if name == "tab" else "\n"
        elif name not in NOT_SHOWN:
            yield from _pieces(child)
        yield SPACE.sub(" ", child.tail or "")


def _repeated(element: Element, name: str) -> int:
    times = int(_attribute(element, name) or 1)
    if times < 1:
        raise Refused("damaged_file")
    return times


def _attribute(element: Element, name: str, namespace: str = "") -> str:
    """An attribute by its local name; of two, the one of that namespace."""
    for key, value in element.attrib.items():
        uri, _, local = key.rpartition("}")
        if local == name and ("calcext" in uri) == bool(namespace):
            return value
    return ""
