"""Check the bytes of a posted list before a JSON parser sees them.

ijson is fast because its parser is written in C. Two inputs harm it: an integer that is longer
than Python accepts ends the process, and a long string is copied with every chunk that continues
it, which takes minutes.
"""

from __future__ import annotations

import json
import re
from typing import IO

from imports.api import error_hints
from imports.api.errors import MalformedRequest

MAX_DIGITS = 1_000  # Python accepts 4,300. No value of a customer has so many.
# The characters before the digits exclude digits inside a string.
TOO_LONG_NUMBER = re.compile(rb"[:,[\s-][0-9]{%d}" % (MAX_DIGITS + 1))
MAX_STRING_BYTES = 400_000  # A cell of 32,767 characters, each written as \uXXXX\uXXXX.


class GuardedStream:
    """A binary stream whose `read` rejects long numbers and long strings.

    It remembers the last chunk, in which a parser that fails has found its error.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._chunk = b""
        self._chunk_start = 0  # The offset of the chunk in the body.
        self._last_bytes = b""  # The end of the body so far: its digits may go on.
        self._open_escape = b""  # A backslash at the end of the chunk before.
        self._bytes_since_quote = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the stream.

        Raises:
            MalformedRequest: They hold a number or a string that is too long.
        """
        if chunk := self._stream.read(size):
            self._chunk_start += len(self._chunk)
            self._chunk = chunk
            self._check_numbers(chunk)
            self._check_strings(chunk)
        return chunk

    def _check_numbers(self, chunk: bytes) -> None:
        data = self._last_bytes + chunk
        self._last_bytes = data[-MAX_DIGITS - 1 :]
        if TOO_LONG_NUMBER.search(data):
            raise MalformedRequest(
                f"A number of more than {MAX_DIGITS:,} digits cannot be imported."
            )

    def _check_strings(self, chunk: bytes) -> None:
        # An escaped quote is replaced by two dots. A string that ends in an escaped backslash is
        # therefore measured together with the bytes up to the next quote.
        data = (self._open_escape + chunk).replace(rb"\"", b"..")
        self._open_escape = b"\\" if data.endswith(b"\\") else b""
        before, quote, _ = data.partition(b'"')
        if self._bytes_since_quote + len(before) > MAX_STRING_BYTES:
            raise MalformedRequest(
                f"More than {MAX_STRING_BYTES:,} bytes without a quotation mark cannot be imported."
            )
        bytes_after_quote = len(data) - data.rfind(b'"') - 1
        self._bytes_since_quote = (
            bytes_after_quote if quote else self._bytes_since_quote + len(data)
        )

    def describe_error(self) -> str:
        """Return where the JSON is invalid, after the parser has failed in the last chunk."""
        if self._chunk_start:
            end = self._chunk_start + len(self._chunk)
            return error_hints.describe_broken_json(self._chunk_start, end)
        try:
            json.loads(self._chunk)
        except (ValueError, RecursionError) as error:
            return error_hints.describe_unreadable_body(error)
        # Only NaN and Infinity: Python's own parser accepts them.
        return error_hints.describe_unreadable_body(ValueError())
