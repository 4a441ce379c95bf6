"""The messages between the reader process and its parent.

The parent passes one request as a JSON argument. The reader process answers with JSON lines of
bounded length. A line with rows holds their cells column by column. `RowWriter` writes the lines.
It leaves out blank rows and the rows that an earlier attempt has read, and it enforces the limits
on rows, for every file format.
"""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, TypedDict

from headers import FieldHeaders

MAX_LINE_ROWS = 1_000
MAX_FIRST_LINE_ROWS = 500  # Fewer, so that progress starts early.
MAX_LINE_CHARS = 256_000
# In a line, every row has as many cells as the widest one. A row may have 16,384 cells.
MAX_LINE_CELLS = 50_000
# One row of this size fits into a line of the longest length that the parent accepts.
MAX_ROW_CHARS = 1_000_000
# What a number and an empty cell count for, in JSON.
NUMBER_CHARS = 24
JSON_NULL_CHARS = 5
# Limit on the characters of all cells together. A shared string or a repeated row is stored once
# in the file and can be read a million times.
MAX_CHARS_PER_FILE_BYTE = 50
MIN_TOTAL_CHARS_LIMIT = 32 << 20


class ReadError(Exception):
    """The file cannot be read.

    code: why.
    params: numbers, and names of sheets. Never the text of a cell.
    """

    def __init__(self, code: str, **params: int | list[str]) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


class LimitValues(TypedDict):
    """`imports.pipeline.reader_client.ReaderLimits` as the request carries them."""

    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float
    inflated_bytes: int
    rows: int
    columns: int
    cell_length: int
    calamine_bytes: int
    file_bytes: int


class ReadRequest(NamedTuple):
    """What to read, and how.

    after: the row after which reading starts. The first row is 1, so 0 reads all rows.
    sheet, encoding, delimiter: "" if the reader detects them.
    second_encoding: the encoding of the lines that are not text in `encoding`, as an earlier
        reading of the same file has detected it; "" otherwise.
    all_texts: write all texts of a workbook instead of the rows of a sheet: see `all_texts`.
    """

    limits: LimitValues
    after: int
    sheet: str
    encoding: str
    delimiter: str
    fields: FieldHeaders
    second_encoding: str = ""
    all_texts: bool = False


class RowWriter:
    """Write the answers of the reader process to standard output.

    sheet_position: the index of the sheet that is read; None if the file has no sheets.
    last_row: the number of the last row that a parser has passed on, blank rows included.
    """

    def __init__(self, limits: LimitValues, *, file_size: int, after: int = 0) -> None:
        self.limits = limits
        max_chars = max(MIN_TOTAL_CHARS_LIMIT, MAX_CHARS_PER_FILE_BYTE * file_size)
        self.max_chars = min(max_chars, limits["inflated_bytes"])
        self.after = after
        self.has_format = False
        self.sheet_position: int | None = None
        self.last_row = 0
        self.fraction = 0.0
        self.max_line_rows = MAX_FIRST_LINE_ROWS
        self.total_chars = 0
        self.line_width = 0  # Cells of the widest row.
        self._reset_line()

    def write_format(self, name: str, **details: str | bool | list[str] | list[int]) -> None:
        """Write the detected format. Calls after the first one have no effect."""
        if not self.has_format:
            _write({"opened": {"format": name, **details}})
        self.has_format = True

    def write_row(
        self, number: int, cells: list[object], fraction: float, notes: Sequence[str] = ()
    ) -> None:
        """Write the next row of the file. Rows are buffered; the order must be ascending.

        cells: plain values, or lists `[kind, value, detail]` (see `imports.cell_values.make_cell`).
            This method changes the list.
        fraction: the part of the file that ends with this row, 0 to 1.
        notes: codes of the read summary for this row, such as "hidden_row".

        Raises:
            ReadError: The row breaks a limit.
        """
        if number > self.limits["rows"]:  # Blank rows count, too: they take time.
            raise ReadError("too_many_rows", limit=self.limits["rows"])
        while cells and cells[-1] is None:
            cells.pop()
        # `last_row` is still that of the row before: this row does not belong to the line.
        if len(self.rows) * max(self.line_width, len(cells)) > MAX_LINE_CELLS:
            self.flush()
        self.last_row = number
        self.fraction = fraction
        if is_blank(cells):
            return
        size = self._count_chars(number, cells)
        if size > self.limits["cell_length"] and self._shorten_cells(cells):
            notes = [*notes, "cell_shortened"]
            size = self._count_chars(number, cells)
        if size > MAX_ROW_CHARS:
            raise ReadError("row_too_long", row=number, limit=MAX_ROW_CHARS)
        self.line_chars += size
        if number > self.after:
            self.line_width = max(self.line_width, len(cells))
            self.row_numbers.append(number)
            self.rows.append(cells)
            for code in notes:
                self.notes.setdefault(code, []).append(number)
        if len(self.rows) >= self.max_line_rows or self.line_chars > MAX_LINE_CHARS:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows as one line.

        Raises:
            ReadError: The cells of all rows have too many characters.
        """
        self.total_chars += self.line_chars
        if self.total_chars > self.max_chars:
            limit = self.max_chars
            raise ReadError("too_large_inflated", bytes=self.total_chars, limit=limit)
        if self.rows:
            fraction = round(min(self.fraction, 1.0), 4)
            columns = list(zip_longest(*self.rows))
            _write([fraction, self.last_row, self.row_numbers, columns, self.notes])
            self.max_line_rows = MAX_LINE_ROWS
        self._reset_line()

    def write_end(self) -> None:
        self.flush()
        _write({"end": {"last_row": self.last_row}})

    def write_error(self, code: str, params: Mapping[str, int | list[str]]) -> None:
        """Write the error that ends the reading. Buffered rows are dropped."""
        self._reset_line()
        _write({"error": {"code": code, "params": params}})

    def _reset_line(self) -> None:
        self.row_numbers: list[int] = []
        self.rows: list[list[object]] = []
        self.notes: dict[str, list[int]] = {}  # Row numbers by code.
        self.line_chars = 0
        self.line_width = 0

    def _count_chars(self, number: int, cells: list[object]) -> int:
        """Return how many characters the row takes.

        Raises:
            ReadError: The row has too many columns.
        """
        if len(cells) > self.limits["columns"]:
            raise ReadError("too_many_columns", row=number, limit=self.limits["columns"])
        width, null = NUMBER_CHARS, JSON_NULL_CHARS
        size = sum([
            len(cell) if type(cell) is str else null if cell is None else width for cell in cells
        ])  # fmt: skip
        if list in map(type, cells):
            size += sum(_count_text_chars(cell) for cell in cells if type(cell) is list)
        return size

    def _shorten_cells(self, cells: list[object]) -> bool:
        """Cut every text that is longer than a cell may be. Return whether there was one.

        A shortened cell is no error of the file: its row fails only if a field uses the cell.
        """
        limit = self.limits["cell_length"]
        has_long_cell = False
        for position, cell in enumerate(cells):
            if type(cell) is str and len(cell) > limit:
                cells[position] = ["shortened", cell[:limit], len(cell)]
                has_long_cell = True
        return has_long_cell


def _count_text_chars(cell: list[object]) -> int:
    return sum(len(part) for part in cell if type(part) is str)


def is_blank(cells: Sequence[object]) -> bool:
    # A loop, because it ends at the first cell of nearly every row. all() takes three times as
    # long.
    for cell in cells:
        if cell is not None and not (type(cell) is str and not cell.strip()):
            return False
    return True


def _write(message: object) -> None:
    # ASCII only: line breaks and lone surrogates in a cell are escaped, so they do not break the
    # line.
    line = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    while line:
        line = line[os.write(1, line) :]
