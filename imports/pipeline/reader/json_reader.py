"""Rows of a JSON document: an array of objects. The names of their members are the columns.

Three other shapes are read, too: an array of arrays, each of which is a row; an object with such an
array as one of its values, as APIs return it; and a single object, which is one row. The number of
a row is its position in the array, counted from 1. The text is parsed value by value, from a window
of bounded size.
"""

import codecs
import json
import os
import re
from collections.abc import Iterator
from io import BufferedReader

from encoding_detection import detect_encodings
from jsonl_reader import collect_names, convert_json_value, parse_integer
from protocol import ReadError, ReadRequest, RowWriter

JSON_READ_BYTES = 1 << 18
MAX_JSON_VALUE_CHARS = 16 << 20  # Of one row, or of one value before the array.
SEPARATORS = re.compile(r"[\s,]*")  # Superfluous commas are accepted.
ARRAY_START = re.compile(r"\[\s*(\S)")


def read_json(file: BufferedReader, writer: RowWriter, request: ReadRequest) -> None:
    """Write the rows of a JSON document.

    Raises:
        ReadError: The document is damaged, or a row breaks a limit.
    """
    encodings = detect_encodings(file, request.encoding)
    first = next(_JsonDocument(file, encodings.main).rows(), (1, {}))[1]
    size = os.fstat(file.fileno()).st_size
    rows = _JsonDocument(file, encodings.main).rows()
    if isinstance(first, list):
        writer.write_format("json", headers=[])
        for number, values in rows:
            if not isinstance(values, list):
                raise ReadError("damaged_file", row=number)
            writer.write_row(
                number, [convert_json_value(value) for value in values], file.tell() / size
            )
        return
    names = collect_names(_check_objects(rows), writer.limits)
    writer.write_format("json", headers=names)
    for number, record in _check_objects(_JsonDocument(file, encodings.main).rows()):
        writer.write_row(
            number, [convert_json_value(record.get(name)) for name in names], file.tell() / size
        )


def _check_objects(rows: Iterator[tuple[int, object]]) -> Iterator[tuple[int, dict[str, object]]]:
    for number, record in rows:
        if not isinstance(record, dict):
            raise ReadError("damaged_file", row=number)
        yield number, record


class _JsonDocument:
    """The text of a JSON document, seen through a window.

    window: the part of the text that is in memory.
    position: where in the window the next value starts.
    is_whole: no text follows the window.
    row: the number of the current row; 0 before the first one.
    """

    def __init__(self, file: BufferedReader, encoding: str) -> None:
        file.seek(0)
        self.file = file
        self.decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self.parse = json.JSONDecoder(parse_int=parse_integer).raw_decode
        self.window = ""
        self.position = 0
        self.is_whole = False
        self.row = 0

    def rows(self) -> Iterator[tuple[int, object]]:
        """Yield the rows of the document with their numbers. Can be called once.

        Raises:
            ReadError: The document is damaged, or a row is too long.
        """
        if self._skip_to_next() == "{" and (single_record := self._enter_row_array()) is not None:
            yield 1, single_record
            return
        self.position += 1  # Skip the opening bracket.
        while self._skip_to_next() != "]":
            self.row += 1
            yield self.row, self._parse_value()

    def _enter_row_array(self) -> dict[str, object] | None:
        """Move to the array of rows in an object and return None.

        If the object has no such array, return the whole object.
        """
        values: dict[str, object] = {}
        self.position += 1
        while self._skip_to_next() != "}":
            name = self._parse_value()
            if not isinstance(name, str) or self._skip_to_next() != ":":
                raise ReadError("damaged_file", row=1)
            self.position += 1
            if self._skip_to_next() == "[" and self._is_row_array():
                return None
            values[name] = self._parse_value()
        return values

    def _is_row_array(self) -> bool:
        """Return whether the array at this position contains objects or arrays."""
        while not (first := ARRAY_START.match(self.window, self.position)):
            if not self._read_more():
                return False
        return first[1] in {"{", "["}

    def _skip_to_next(self) -> str:
        """Move to the next character that is neither a space nor a comma, and return it."""
        while True:
            separators = SEPARATORS.match(self.window, self.position)
            self.position = separators.end() if separators else self.position
            if self.position < len(self.window):
                return self.window[self.position]
            if not self._read_more():
                raise ReadError("damaged_file", row=self.row or 1)

    def _parse_value(self) -> object:
        """Return the value at this position, and move behind it.

        A value that continues after the window is parsed again with more text.
        """
        while True:
            try:
                value, end = self.parse(self.window, self.position)
            except (ValueError, RecursionError):
                if not self._read_more():
                    raise ReadError("damaged_file", row=self.row or 1) from None
            else:
                # A number at the end of the window may have more digits.
                if end < len(self.window) or not self._read_more():
                    self.position = end
                    return value

    def _read_more(self) -> bool:
        """Extend the window, to twice its length each time. Return whether there was more text."""
        if self.is_whole:
            return False
        held = self.window[self.position :]
        if len(held) > MAX_JSON_VALUE_CHARS:
            raise ReadError("row_too_long", row=self.row or 1, limit=MAX_JSON_VALUE_CHARS)
        raw = self.file.read(max(JSON_READ_BYTES, len(held)))
        self.is_whole = not raw
        self.window = held + self.decoder.decode(raw, final=self.is_whole)
        self.window = self.window.removeprefix("\ufeff") if not held else self.window
        self.position = 0
        return bool(raw)
