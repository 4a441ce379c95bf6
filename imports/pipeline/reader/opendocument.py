"""Rows of an OpenDocument spreadsheet (.ods), one after another in bounded memory.

Read here and not by calamine, which gives error cells as empty ones and knows no repeated or
merged cells as they are shown.
"""

import datetime
import re
import zipfile
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from typing import IO
from xml.etree.ElementTree import Element

from answers import Refused
from archives import CONTENT
from cells import CELL, FORMULA_WITHOUT_VALUE, duration, moment
from merged import Spans, filled
from sheets import Row, Sheet
from xml_pieces import events, local_name

TIME = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d+))?S)?)?")
MIDNIGHT = datetime.datetime(1, 1, 1)  # noqa: DTZ001  Spreadsheets know no time zones.
DAY = datetime.timedelta(days=1)
SPACE = re.compile(r"[ \t\r\n]+")
NUMBERS = frozenset({"float", "percentage", "currency"})
PADDED = re.compile(r"[(+]?0[\d ()+/\u00a0-]*")
NO_SEPARATORS = str.maketrans("", "", " ()+/\u00a0-")
NOT_SHOWN = frozenset({"annotation", "ruby-text"})


def sheets(file: BufferedReader, limits: dict) -> list[Sheet]:
    archive = zipfile.ZipFile(file)
    return [
        Sheet(name, is_visible, partial(_rows, archive, position, limits))
        for position, (name, is_visible) in enumerate(_tables(archive))
    ]


def _tables(archive: zipfile.ZipFile) -> list[tuple[str, bool]]:
    """Name of each table, and whether its style shows it."""
    tables, hidden, style = [], set(), ""
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
    return [(name, style not in hidden) for name, style in tables]


def _rows(archive: zipfile.ZipFile, position: int, limits: dict) -> Iterator[Row]:
    """The rows of the table at this position that hold something."""
    spans: Spans = {}
    return filled(_numbered(archive, position, limits, spans), spans)


def _numbered(archive: zipfile.ZipFile, position: int, limits: dict, spans: Spans) -> Iterator[Row]:
    number, size = 1, archive.getinfo(CONTENT).file_size
    with archive.open(CONTENT) as source:
        for element in _row_elements(source, position):
            times = _repeated(element, "number-rows-repeated")
            cells = _cells(element, number, limits, spans)
            if cells:
                fraction = source.tell() / size
                for offset in range(times):
                    yield number + offset, list(cells), fraction
            number += times


def _row_elements(source: IO[bytes], position: int) -> Iterator[Element]:
    table = -1
    for event, element in events(source, "table-row"):
        name = local_name(element)
        if event == "start":
            table += name == "table"
        elif name == "table-row" and table == position:
            yield element
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
    kind = _attribute(cell, "value-type")
    if _attribute(cell, "value-type", "calc:") == "error":
        text = _text(cell)
        return text if text.startswith("#") else "#VALUE!"
    if kind in NUMBERS:
        return _number(_attribute(cell, "value"), _text(cell))
    if kind == "boolean":
        return _attribute(cell, "boolean-value") == "true"
    if kind == "date":
        return _moment(_attribute(cell, "date-value"))
    if kind == "time":
        return _time(_attribute(cell, "time-value"))
    text = _text(cell) or _attribute(cell, "string-value")
    if not text and not kind and _attribute(cell, "formula"):
        return FORMULA_WITHOUT_VALUE
    return text or None


def _number(raw: str, shown: str) -> object:
    """The number, or what the cell shows where its format puts zeros before it."""
    value = float(raw)
    digits = shown.translate(NO_SEPARATORS)
    if PADDED.fullmatch(shown) and value.is_integer() and digits.lstrip("0") == str(int(value)):
        return shown
    return CELL[float](value)


def _moment(raw: str) -> str:
    try:
        return moment(datetime.datetime.fromisoformat(raw))
    except ValueError:
        return raw


def _time(raw: str) -> str:
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
        return duration(-time if sign else time)
    return (MIDNIGHT + time).time().isoformat()


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
