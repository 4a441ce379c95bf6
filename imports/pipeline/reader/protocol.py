"""What the child tells its parent: JSON lines, each of bounded length.

Blank rows are left out and rows of an earlier attempt are skipped here, for every format
alike; so are the limits that a row can break.
"""

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

ROWS_A_LINE = 1_000
ROWS_IN_THE_FIRST_LINE = 500  # So that progress starts early.
CHARACTERS_A_LINE = 256_000
CHARACTERS_A_ROW = 1_000_000  # A line holds one such row at most: the parent refuses longer ones.
CHARACTERS_A_NUMBER = 24
CHARACTERS_OF_NOTHING = 5  # A null and its comma.
# What all cells hold, at most: a string that every cell shows and a row that is said to be
# repeated are long once, and read a million times.
CHARACTERS_A_BYTE = 50
CHARACTERS_OF_ANY_FILE = 32 << 20


class Refused(Exception):
    """The file cannot be read, as a code and numbers or names of sheets; never a cell's text."""

    def __init__(self, code: str, **params: int | list[str]) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


class Order(NamedTuple):
    """What is to be read, and how."""

    limits: dict
    after: int  # The row behind which reading begins.
    sheet: str  # These three are empty where it is to be found out.
    encoding: str
    delimiter: str
    fields: list  # See `headers`.
    # What an earlier reader of this file found out: of lines that are not text in `encoding`.
    second_encoding: str = ""


class Answers:
    def __init__(self, limits: dict, *, file_size: int, after: int = 0) -> None:
        self.limits = limits
        much = max(CHARACTERS_OF_ANY_FILE, CHARACTERS_A_BYTE * file_size)
        self.most_characters = min(much, limits["inflated_bytes"])
        self.after = after
        self.is_open = False
        self.position: int | None = None  # Of the sheet that is read.
        self.last_row = 0
        self.fraction = 0.0
        self.room = ROWS_IN_THE_FIRST_LINE
        self.characters = 0
        self._start_line()

    def opened(self, kind: str, **how: str | bool | list[str] | list[int]) -> None:
        """Say what was opened, once."""
        if not self.is_open:
            _write({"opened": {"format": kind, **how}})
        self.is_open = True

    def row(self, number: int, cells: list, fraction: float, notes: Sequence[str] = ()) -> None:
        """Take the next row of the file; `fraction` is how much of the file it ends.

        A cell is a plain value or a list `[kind, value, detail]` (see
        `imports.cell_values.make_cell`).
        `notes` are codes of what the user should be told of this row, such as "hidden_row".
        """
        if number > self.limits["rows"]:  # Blank ones too: they take their time.
            raise Refused("too_many_rows", limit=self.limits["rows"])
        self.last_row = number
        self.fraction = fraction
        while cells and cells[-1] is None:
            cells.pop()
        if is_blank(cells):
            return
        size = self._measure(number, cells)
        if size > self.limits["cell_length"] and self._shorten(cells):
            notes = [*notes, "cell_shortened"]
            size = self._measure(number, cells)
        if size > CHARACTERS_A_ROW:
            raise Refused("row_too_long", row=number, limit=CHARACTERS_A_ROW)
        self.size += size
        if number > self.after:
            self.numbers.append(number)
            self.rows.append(cells)
            for code in notes:
                self.notes.setdefault(code, []).append(number)
        if len(self.rows) >= self.room or self.size > CHARACTERS_A_LINE:
            self.flush()

    def flush(self) -> None:
        self.characters += self.size
        if self.characters > self.most_characters:
            limit = self.most_characters
            raise Refused("too_large_inflated", bytes=self.characters, limit=limit)
        if self.rows:
            fraction = round(min(self.fraction, 1.0), 4)
            _write([fraction, self.last_row, self.numbers, self.rows, self.notes])
            self.room = ROWS_A_LINE
        self._start_line()

    def end(self) -> None:
        self.flush()
        _write({"end": {"last_row": self.last_row}})

    def refuse(self, code: str, params: dict) -> None:
        self._start_line()
        _write({"error": {"code": code, "params": params}})

    def _start_line(self) -> None:
        self.numbers: list[int] = []
        self.rows: list[list] = []
        self.notes: dict[str, list[int]] = {}  # Code to the rows that it is said of.
        self.size = 0

    def _measure(self, number: int, cells: list) -> int:
        """How many characters the row takes. Refused if it has too many columns."""
        if len(cells) > self.limits["columns"]:
            raise Refused("too_many_columns", row=number, limit=self.limits["columns"])
        width, nothing = CHARACTERS_A_NUMBER, CHARACTERS_OF_NOTHING
        size = sum([
            len(cell) if type(cell) is str else nothing if cell is None else width for cell in cells
        ])  # fmt: skip
        if list in map(type, cells):
            size += sum(_text_length(cell) for cell in cells if type(cell) is list)
        return size

    def _shorten(self, cells: list) -> bool:
        """Cut every text that is longer than a cell may be; return whether there was one.

        The row fails only if a field takes the cell: nobody is stopped by a long remark.
        """
        limit = self.limits["cell_length"]
        long = [i for i, cell in enumerate(cells) if type(cell) is str and len(cell) > limit]
        for position in long:
            text = cells[position]
            cells[position] = ["shortened", text[:limit], len(text)]
        return bool(long)


def _text_length(cell: list) -> int:
    return sum(len(part) for part in cell if type(part) is str)


def is_blank(cells: list) -> bool:
    for cell in cells:  # Ends at the first cell of nearly every row; all() would cost thrice.
        if cell is not None and not (type(cell) is str and not cell.strip()):
            return False
    return True


def _write(answer: object) -> None:
    # Plain ASCII: line breaks and lone surrogates in a cell stay inside their line.
    line = memoryview(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
    while line:
        line = line[os.write(1, line) :]
