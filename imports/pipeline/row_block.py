"""Rows of a file, column by column.

The rules of an importer apply to columns, and to clean a thousand cells of a column together costs
a fraction of cleaning them one by one. A block has at most about a thousand rows, because the
values of larger blocks do not stay in the cache of the processor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, zip_longest

from imports.cell_values import Cell

Row = tuple[int, list[Cell]]  # The spreadsheet's own row number, counted from 1, and the cells.


@dataclass(frozen=True)
class RowBlock:
    """Rows of a file in ascending order.

    numbers: the spreadsheet's own row numbers, counted from 1.
    columns: the cells of each column of the file, as many as there are rows.
    """

    numbers: list[int]
    columns: list[list[Cell]]

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> RowBlock:
        """Return the block with these rows. Short rows get empty cells at their end."""
        columns = zip_longest(*[cells for _, cells in rows])
        return cls([number for number, _ in rows], [list(column) for column in columns])

    def __len__(self) -> int:
        return len(self.numbers)

    def get_cells(self, index: int) -> list[Cell]:
        """Return the cells of one row, without the empty cells at its end."""
        cells = [column[index] for column in self.columns]
        while cells and cells[-1] is None:
            cells.pop()
        return cells

    def list_rows(self) -> list[Row]:
        return [(number, self.get_cells(index)) for index, number in enumerate(self.numbers)]

    def keep(self, is_kept: Iterable[bool]) -> RowBlock:
        """Return a block with the rows for which `is_kept` is true, in their order."""
        mask = list(is_kept)
        if all(mask):
            return self
        columns = [list(compress(column, mask)) for column in self.columns]
        return RowBlock(list(compress(self.numbers, mask)), columns)

    def drop(self, numbers: Collection[int]) -> RowBlock:
        """Return a block without the rows of these numbers."""
        if not numbers:
            return self
        return self.keep(number not in numbers for number in self.numbers)
