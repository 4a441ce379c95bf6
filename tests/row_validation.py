"""Validate rows that a test gives one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

from imports.cell_values import Cell
from imports.pipeline.row_block import Row, RowBlock
from imports.pipeline.row_validation import RowValidator


class ValidatedRow(NamedTuple):
    """A row of a ValidatedBlock. `cleaned` is None for a failed row, `errors` for other rows."""

    number: int
    cleaned: list[str | None] | None
    errors: list[Any] | None
    cells: list[Cell] | None  # The stored cells of a failed row.


def validate_rows(validator: RowValidator, rows: list[Row]) -> list[ValidatedRow]:
    (block,) = validator.validate([RowBlock.from_rows(rows)])
    return [
        ValidatedRow(
            number,
            None if index in block.errors else [values[index] for values in block.cleaned],
            block.errors.get(index),
            block.stored_cells.get(index),
        )
        for index, (number, _) in enumerate(rows)
    ]
