"""Rows of a JSON document: an array of objects, whose names are the columns.

Read as well: an array of arrays, which are rows as they stand; an object with such an array as one
of its values, as programs answer requests; and an object alone, which is one row. A row's number is
its place in the array, counted from 1. The text is parsed value by value from a window of bounded
size, never as a whole.
"""

import codecs
import json
import os
import re
from collections.abc import Iterator
from io import BufferedReader

from encoding_detection import find_encodings
from jsonl_reader import json_cell, names_of, parse_integer
from protocol import Answers, Order, Refused

READ_BYTES = 1 << 18
MAX_VALUE_CHARS = 16 << 20  # Of one row, or of what stands before the array.
BETWEEN = re.compile(r"[\s,]*")  # Superfluous commas are accepted.
FIRST_OF_ARRAY = re.compile(r"\[\s*(\S)")


def read_json(file: BufferedReader, answers: Answers, order: Order) -> None:
    encodings = find_encodings(file, order.encoding)
    first = next(_Document(file, encodings.main).rows(), (1, {}))[1]
    size = os.fstat(file.fileno()).st_size
    rows = _Document(file, encodings.main).rows()
    if isinstance(first, list):
        answers.opened("json", headers=[])
        for number, values in rows:
            if not isinstance(values, list):
                raise Refused("damaged_file", row=number)
            answers.row(number, [json_cell(value) for value in values], file.tell() / size)
        return
    names = names_of(_objects(rows), answers.limits)
    answers.opened("json", headers=names)
    for number, one in _objects(_Document(file, encodings.main).rows()):
        answers.row(number, [json_cell(one.get(name)) for name in names], file.tell() / size)


def _objects(rows: Iterator[tuple[int, object]]) -> Iterator[tuple[int, dict]]:
    for number, one in rows:
        if not isinstance(one, dict):
            raise Refused("damaged_file", row=number)
        yield number, one


class _Document:
    """A window on the text of a JSON document, and the place in it that is parsed next."""

    def __init__(self, file: BufferedReader, encoding: str) -> None:
        file.seek(0)
        self.file = file
        self.decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self.parse = json.JSONDecoder(parse_int=parse_integer).raw_decode
        self.window = ""
        self.place = 0
        self.is_whole = False  # No text follows the window.
        self.row = 0

    def rows(self) -> Iterator[tuple[int, object]]:
        """The rows of the document with their numbers. Raises Refused (damaged_file)."""
        if self._next() == "{" and (alone := self._find_rows()) is not None:
            yield 1, alone
            return
        self.place += 1  # Behind the bracket.
        while self._next() != "]":
            self.row += 1
            yield self.row, self._value()

    def _find_rows(self) -> dict | None:
        """Go to the array of rows in an object; return the whole object where there is none."""
        values: dict[str, object] = {}
        self.place += 1
        while self._next() != "}":
            name = self._value()
            if not isinstance(name, str) or self._next() != ":":
                raise Refused("damaged_file", row=1)
            self.place += 1
            if self._next() == "[" and self._begins_rows():
                return None
            values[name] = self._value()
        return values

    def _begins_rows(self) -> bool:
        """Whether the array at this place holds objects or arrays."""
        while not (first := FIRST_OF_ARRAY.match(self.window, self.place)):
            if not self._read():
                return False
        return first[1] in {"{", "["}

    def _next(self) -> str:
        """Go to the next character that is no space or comma, and return it."""
        while True:
            self.place = BETWEEN.match(self.window, self.place).end()
            if self.place < len(self.window):
                return self.window[self.place]
            if not self._read():
                raise Refused("damaged_file", row=self.row or 1)

    def _value(self) -> object:
        """The value at this place. A value that the window cuts is parsed again with more text."""
        while True:
            try:
                value, end = self.parse(self.window, self.place)
            except (ValueError, RecursionError):
                if not self._read():
                    raise Refused("damaged_file", row=self.row or 1) from None
            else:
                if end < len(self.window) or not self._read():  # More digits may follow.
                    self.place = end
                    return value

    def _read(self) -> bool:
        """Widen the window, twice as far each time; return whether there was more text."""
        if self.is_whole:
            return False
        held = self.window[self.place :]
        if len(held) > MAX_VALUE_CHARS:
            raise Refused("row_too_long", row=self.row or 1, limit=MAX_VALUE_CHARS)
        raw = self.file.read(max(READ_BYTES, len(held)))
        self.is_whole = not raw
        self.window = held + self.decoder.decode(raw, final=self.is_whole)
        self.window = self.window.removeprefix("\ufeff") if not held else self.window
        self.place = 0
        return bool(raw)
