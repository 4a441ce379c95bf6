"""Cells to values or errors: every row is cleaned and judged by itself, by the importer.

Whether it repeats another row or clashes with an existing record is settled later, for all
rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from imports.cells import FormattedCell
from imports.importer import Cell, Column, Importer, Invalid
from imports.pipeline.cleaning import UNSTORABLE, clean_of
from imports.pipeline.columns import Layout
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.reader.cells import FORMULA_WITHOUT_VALUE
from imports.pipeline.reading import Row

RowError = dict[str, Any]  # {"column", "code", "params", "value"}
SHOWN_LENGTH = 200  # Of a bad value, in its error.


class CheckedRow(NamedTuple):
    """A row that can be staged: its values in the importer's order, or what is wrong with it."""

    number: int
    cleaned: list[str | None] | None
    errors: list[RowError] | None = None
    cells: list[Cell] | None = None  # As read; of a refused row as they can be stored.


class Checker:
    """Checks the rows of one file, whose columns are those of `layout`.

    What was done that the user should know of is added to `summary`.
    """

    def __init__(
        self, importer: type[Importer], layout: Layout, summary: ReadSummary | None = None
    ) -> None:
        self.summary = summary or ReadSummary()
        self._steps = [
            (layout.positions.get(column.field, -1), clean_of(importer, column), column)
            for column in importer.columns
        ]
        self._lookups = [
            (index, column) for index, column in enumerate(importer.columns) if column.lookup
        ]
        self._model = importer.model

    def check(self, rows: Sequence[Row]) -> list[CheckedRow]:
        checked = [self._check_row(number, cells) for number, cells in rows]
        for index, column in self._lookups:
            checked = self._look_up(checked, index, column)
        return checked

    def _check_row(self, number: int, cells: list[Cell]) -> CheckedRow:
        values: list[str | None] = []
        errors: list[RowError] = []
        width = len(cells)
        for position, clean, column in self._steps:
            cell = cells[position] if 0 <= position < width else None
            try:
                value = clean(cell)
                if not (value is None or isinstance(value, str)):
                    raise TypeError("a rule returns text or None")
            except Invalid as invalid:
                errors.append(_error(column, cell, invalid))
                value = None
            except Exception as error:  # A rule with a bug costs this row, not the import.
                invalid = Invalid("rule_failed", error=type(error).__name__)
                errors.append(_error(column, cell, invalid))
                value = None
            else:
                if not value and column.required:
                    errors.append(_error(column, cell, Invalid("required")))
            values.append(value)
        # An importer's own rule may let through what PostgreSQL would refuse for the whole chunk.
        if not errors and UNSTORABLE.search("".join(filter(None, values))):
            errors = [
                _error(column, value, Invalid("forbidden_character"))
                for value, (_, _, column) in zip(values, self._steps, strict=True)
                if value and UNSTORABLE.search(value)
            ]
        if errors:
            return CheckedRow(number, None, errors, self._stored_cells(cells, errors))
        return CheckedRow(number, values, None, cells)

    def _stored_cells(self, cells: list[Cell], errors: list[RowError]) -> list[Cell]:
        """The cells of a failed row: those with an error as the spreadsheet program shows them."""
        failed = {error["column"] for error in errors}
        positions = {position for position, _, column in self._steps if column.field in failed}
        return [
            storable(as_shown(cell) if index in positions else cell)
            for index, cell in enumerate(cells)
        ]

    def _look_up(self, rows: list[CheckedRow], index: int, column: Column) -> list[CheckedRow]:
        """Natural keys to primary keys, one query for all rows; what is not there is an error."""
        related = self._model._meta.get_field(column.field).related_model
        wanted = {row.cleaned[index] for row in rows if row.cleaned} - {None}
        found = related._default_manager.filter(**{f"{column.lookup}__in": wanted})
        keys = {str(natural): str(pk) for natural, pk in found.values_list(column.lookup, "pk")}
        return [_resolve(row, index, column, keys) for row in rows]


def _resolve(row: CheckedRow, index: int, column: Column, keys: dict[str, str]) -> CheckedRow:
    if row.cleaned is None or (natural := row.cleaned[index]) is None:
        return row
    if natural in keys:
        row.cleaned[index] = keys[natural]
        return row
    error = _error(column, natural, Invalid("not_found"))
    return CheckedRow(row.number, None, [error], [storable(cell) for cell in row.cells])


def _error(column: Column, cell: Cell, invalid: Invalid) -> RowError:
    if cell == FORMULA_WITHOUT_VALUE:
        cell, invalid = None, Invalid("formula_without_value")
    cell = as_shown(cell)
    value = "" if cell is None else storable(str(cell)[:SHOWN_LENGTH])
    return {
        "column": column.field,
        "code": invalid.code,
        "params": {name: _plain(value) for name, value in invalid.params.items()},
        "value": value,
    }


def _plain(value: Any) -> Cell:
    """A parameter of an error as JSON has it: a number as it is, all else as text."""
    return value if isinstance(value, int | float) else storable(str(value))


def as_shown(cell: Cell) -> Cell:
    """A formatted cell as the spreadsheet program shows it, so that a corrected file holds that."""
    return cell.shown if isinstance(cell, FormattedCell) and cell.shown else cell


def storable(cell: Cell) -> Cell:
    if cell == FORMULA_WITHOUT_VALUE:
        return None
    if not isinstance(cell, str) or (cell.isascii() and "\0" not in cell):
        return cell  # Most are, and cells are searched for surrogates at a tenth of the speed.
    return UNSTORABLE.sub("\ufffd", cell)
