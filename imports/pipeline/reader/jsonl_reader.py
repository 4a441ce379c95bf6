"""Rows of JSON lines: one object a line, whose names are the columns."""

import json
import os
from collections.abc import Iterable, Iterator
from io import BufferedReader

from cell_conversion import LARGEST_INTEGER, number
from protocol import CHARACTERS_A_ROW, Answers, Refused

LONGEST_LINE_BYTES = 16 * CHARACTERS_A_ROW
MOST_DIGITS = 1_000  # Of what is read as a number; Python itself refuses more than 4,300.
PLAIN = (str, bool, type(None))


def is_object(line: bytes) -> bool:
    try:
        return isinstance(_parsed(line), dict)
    except (ValueError, RecursionError):
        return False


def is_wrapper(line: bytes) -> bool:
    """Whether an object on one line holds the rows: one of its values is an array of objects."""
    values = _parsed(line).values()
    return any(isinstance(v, list) and v and all(isinstance(o, dict) for o in v) for v in values)


def read_lines(file: BufferedReader, answers: Answers) -> None:
    names = _names(file, answers.limits)
    answers.opened("jsonl", headers=names)
    size = os.fstat(file.fileno()).st_size
    for row, one in _objects(file):
        answers.row(row, [json_cell(one.get(name)) for name in names], file.tell() / size)


def _names(file: BufferedReader, limits: dict) -> list[str]:
    return names_of(_objects(file), limits)


def names_of(objects: Iterable[tuple[int, dict]], limits: dict) -> list[str]:
    """Every name that an object has, in the order they are met: the first may lack some."""
    names: dict[str, None] = {}
    for row, one in objects:
        names |= dict.fromkeys(one)
        if len(names) > limits["columns"]:
            raise Refused("too_many_columns", row=row, limit=limits["columns"])
        if any(len(name) > limits["cell_length"] for name in one):
            raise Refused("cell_too_long", row=row, limit=limits["cell_length"])
    return list(names)


def _objects(file: BufferedReader) -> Iterator[tuple[int, dict]]:
    file.seek(0)
    row = 0
    while line := file.readline(LONGEST_LINE_BYTES):
        row += 1
        if len(line) == LONGEST_LINE_BYTES:
            raise Refused("row_too_long", row=row, limit=LONGEST_LINE_BYTES)
        if line.strip():
            yield row, _object(line, row)


def _object(line: bytes, row: int) -> dict:
    try:
        one = _parsed(line)
    except (ValueError, RecursionError):
        raise Refused("damaged_file", row=row) from None
    if not isinstance(one, dict):
        raise Refused("damaged_file", row=row)
    return one


def _parsed(line: bytes) -> object:
    return json.loads(line, parse_int=parse_integer)


def parse_integer(text: str) -> int | str:
    return int(text) if len(text) <= MOST_DIGITS else text


def json_cell(value: object) -> object:
    if isinstance(value, PLAIN):
        return None if value == "" else value
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int) and abs(value) < LARGEST_INTEGER:
        return value
    return json.dumps(value, ensure_ascii=False)
