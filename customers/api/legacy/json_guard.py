"""The bytes of a posted list, looked at before a parser sees them.

ijson is fast because its parser is C. An integer longer than Python takes ends the process
there, and a string is begun anew with every piece that brings more of it, which takes minutes
for a long one.
"""

from __future__ import annotations

import json
import re
from typing import BinaryIO

from imports.api import error_hints
from imports.api.errors import MalformedRequest

MOST_DIGITS = 1_000  # Python takes 4,300, and no customer has a number of so many.
NUMBER_TOO_LONG = re.compile(rb"[:,[\s-][0-9]{%d}" % (MOST_DIGITS + 1))  # No text of digits.
LONGEST_STRING_BYTES = 400_000  # A cell of 32,767 characters, each written as \uXXXX\uXXXX.


class GuardedStream:
    """What is read, piece by piece; in the last piece it breaks. Raises Malformed."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.begins = 0  # Of the piece, in the body.
        self.piece = b""
        self._digits = b""  # The end of the piece before: a number may go on.
        self._backslash = b""  # Half of an escape, at the end of the piece before.
        self._since_quote = 0  # How many bytes.

    def read(self, size: int = -1) -> bytes:
        if piece := self.stream.read(size):
            self.begins += len(self.piece)
            self.piece = piece
            self._refuse_long_numbers(piece)
            self._refuse_long_strings(piece)
        return piece

    def _refuse_long_numbers(self, piece: bytes) -> None:
        seen = self._digits + piece
        self._digits = seen[-MOST_DIGITS - 1 :]
        if NUMBER_TOO_LONG.search(seen):
            raise MalformedRequest(
                f"A number of more than {MOST_DIGITS:,} digits cannot be imported."
            )

    def _refuse_long_strings(self, piece: bytes) -> None:
        # One that ends in a backslash is measured with what stands between it and the next.
        seen = (self._backslash + piece).replace(rb"\"", b"..")
        self._backslash = b"\\" if seen.endswith(b"\\") else b""
        before, quote, _ = seen.partition(b'"')
        if self._since_quote + len(before) > LONGEST_STRING_BYTES:
            raise MalformedRequest(
                f"More than {LONGEST_STRING_BYTES:,} bytes without a quotation mark are no text "
                "that can be imported."
            )
        behind = len(seen) - seen.rfind(b'"') - 1
        self._since_quote = behind if quote else self._since_quote + len(seen)

    def where_it_breaks(self) -> str:
        if self.begins:
            return error_hints.describe_broken_json(self.begins, self.begins + len(self.piece))
        try:
            json.loads(self.piece)
        except (ValueError, RecursionError) as error:
            return error_hints.describe_unreadable_body(error)
        return error_hints.describe_unreadable_body(
            ValueError()
        )  # NaN, which only Python's own parser takes.
