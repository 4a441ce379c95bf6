"""Rows of JSON lines: one object per line. The names of the members are the columns."""

import json
import os
from collections.abc import Iterable, Iterator
from io import BufferedReader

from cell_conversion import MAX_EXACT_INTEGER, convert_float
from protocol import MAX_ROW_CHARS, LimitValues, ReadError, RowWriter

MAX_JSON_LINE_BYTES = 16 * MAX_ROW_CHARS
MAX_NUMBER_DIGITS = 1_000  # Python itself raises ValueError for more than 4,300.


def is_json_object(line: bytes) -> bool:
    """Return whether the line is one JSON object."""
    try:
        return isinstance(_parse_line(line), dict)
    except (ValueError, RecursionError):
        return False


def has_nested_rows(line: bytes) -> bool:
    """Return whether an object contains the rows: one of its values is an array of objects.

    line: must be a JSON object.
    """
    values = _parse_object(line, 1).values()
    return any(isinstance(v, list) and v and all(isinstance(o, dict) for o in v) for v in values)


def read_jsonl(file: BufferedReader, writer: RowWriter) -> None:
    """Write the rows of JSON lines. The row number is the line number.

    Raises:
        ReadError: A line is not a JSON object, or breaks a limit.
    """
    names = collect_names(_iter_objects(file), writer.limits)
    writer.write_format("jsonl", headers=names)
    size = os.fstat(file.fileno()).st_size
    for row, record in _iter_objects(file):
        writer.write_row(
            row, [convert_json_value(record.get(name)) for name in names], file.tell() / size
        )


def collect_names(
    objects: Iterable[tuple[int, dict[str, object]]], limits: LimitValues
) -> list[str]:
    """Return the names of all objects, in the order of their first occurrence.

    objects: row number and object.

    Raises:
        ReadError: There are too many names, or one is too long.
    """
    names: dict[str, None] = {}
    for row, record in objects:
        names |= dict.fromkeys(record)
        if len(names) > limits["columns"]:
            raise ReadError("too_many_columns", row=row, limit=limits["columns"])
        if any(len(name) > limits["cell_length"] for name in record):
            raise ReadError("cell_too_long", row=row, limit=limits["cell_length"])
    return list(names)


def _iter_objects(file: BufferedReader) -> Iterator[tuple[int, dict[str, object]]]:
    file.seek(0)
    row = 0
    while line := file.readline(MAX_JSON_LINE_BYTES):
        row += 1
        if len(line) == MAX_JSON_LINE_BYTES:
            raise ReadError("row_too_long", row=row, limit=MAX_JSON_LINE_BYTES)
        if line.strip():
            yield row, _parse_object(line, row)


def _parse_object(line: bytes, row: int) -> dict[str, object]:
    try:
        record = _parse_line(line)
    except (ValueError, RecursionError):
        raise ReadError("damaged_file", row=row) from None
    if not isinstance(record, dict):
        raise ReadError("damaged_file", row=row)
    return record


def _parse_line(line: bytes) -> object:
    return json.loads(line, parse_int=parse_integer)


def parse_integer(text: str) -> int | str:
    """Return the integer, or the text itself if it has too many digits."""
    return int(text) if len(text) <= MAX_NUMBER_DIGITS else text


def convert_json_value(value: object) -> object:
    """Return the cell for a parsed JSON value. Arrays and objects become JSON text."""
    if value is None or isinstance(value, str | bool):
        return None if value == "" else value
    if isinstance(value, float):
        return convert_float(value)
    if isinstance(value, int) and abs(value) < MAX_EXACT_INTEGER:
        return value
    return json.dumps(value, ensure_ascii=False)
