"""Cells to values or errors: every row is cleaned and judged by itself, by the importer.

Whether it repeats another row or clashes with an existing record is settled later, for all
rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from imports.importer import Cell, Column, Importer, Invalid
from imports.pipeline.cleaning import UNSTORABLE, Clean, clean_of
from imports.pipeline.columns import Layout, column_name
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
            (
                layout.positions.get(column.field, -1),
                clean_of(importer, column),
                column,
                len(layout.columns_of(column.field)) > 1,
            )
            for column in importer.columns
        ]
        self._layout = layout
        # Code and field to rows, of the rows that are checked together.
        self._noted: dict[tuple[str, str], list[int]] = {}
        self._lookups = [
            (index, column) for index, column in enumerate(importer.columns) if column.lookup
        ]
        self._model = importer.model

    def check(self, rows: Sequence[Row]) -> list[CheckedRow]:
        self._noted.clear()
        checked = [self._check_row(number, cells) for number, cells in rows]
        for (code, field), numbers in self._noted.items():
            self.summary.add_rows(code, numbers, column=field, **self._said_of(code, field))
        for index, column in self._lookups:
            checked = self._look_up(checked, index, column)
        return checked

    def _check_row(self, number: int, cells: list[Cell]) -> CheckedRow:
        values: list[str | None] = []
        errors: list[RowError] = []
        width = len(cells)
        for position, clean, column, has_further in self._steps:
            cell = cells[position] if 0 <= position < width else None
            try:
                if has_further:
                    cell = self._join(number, cells, column, clean)
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
                for value, (_, _, column, _) in zip(values, self._steps, strict=True)
                if value and UNSTORABLE.search(value)
            ]
        if errors:
            return CheckedRow(number, None, errors, [storable(cell) for cell in cells])
        return CheckedRow(number, values, None, cells)

    def _join(self, number: int, cells: list[Cell], column: Column, clean: Clean) -> Cell:
        """The first filled cell of the columns that fill one field.

        Raises Invalid if a column of the same rank holds another value.
        """
        indexes = self._layout.columns_of(column.field)
        filled = [i for i in indexes if i < len(cells) and not is_empty(cells[i])]
        if not filled:
            return None
        if filled[0] != indexes[0]:
            self._noted.setdefault(("columns_joined", column.field), []).append(number)
        equals = {indexes[0], *self._layout.equals.get(column.field, ())}
        values = [cells[index] for index in filled if index in equals]
        if len({_comparable(clean, value) for value in values}) > 1:
            raise Invalid("several_values", values=", ".join(map(str, values)))
        return cells[filled[0]]

    def _said_of(self, code: str, field: str) -> dict[str, Any]:
        """What an entry of the read summary names beside the field."""
        if code != "columns_joined":
            return {}
        columns = self._layout.columns_of(field)
        return {"columns": [column_name(self._layout, index) for index in columns]}

    def _look_up(self, rows: list[CheckedRow], index: int, column: Column) -> list[CheckedRow]:
        """Natural keys to primary keys, one query for all rows; what is not there is an error."""
        related = self._model._meta.get_field(column.field).related_model
        wanted = {row.cleaned[index] for row in rows if row.cleaned} - {None}
        found = related._default_manager.filter(**{f"{column.lookup}__in": wanted})
        keys = {str(natural): str(pk) for natural, pk in found.values_list(column.lookup, "pk")}
        return [_resolve(row, index, column, keys) for row in rows]


def is_empty(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _comparable(clean: Clean, cell: Cell) -> Cell:
    """What a cell means to its column: two ways of writing one value are equal."""
    try:
        return clean(cell)
    except Invalid:
        return cell


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


def storable(cell: Cell) -> Cell:
    if cell == FORMULA_WITHOUT_VALUE:
        return None
    if not isinstance(cell, str) or (cell.isascii() and "\0" not in cell):
        return cell  # Most are, and cells are searched for surrogates at a tenth of the speed.
    return UNSTORABLE.sub("\ufffd", cell)
