"""Cells to values or errors: every row is cleaned and judged by itself, by the importer.

Whether it repeats another row or clashes with an existing record is settled later, for all
rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from imports.cell_values import FormattedCell
from imports.importer import Cell, Column, Importer, InvalidValue
from imports.pipeline.field_cleaning import (
    UNSTORABLE_CHARACTERS,
    VALUE_SEPARATOR,
    CellCleaner,
    PreparedCell,
    get_cleaner,
    get_preparer,
    max_placeholder_chars,
)
from imports.pipeline.header_detection import DetectedColumns, get_column_name
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.reader.cell_conversion import FORMULA_WITHOUT_VALUE
from imports.pipeline.reader_client import Row

RowError = dict[str, Any]  # {"column", "code", "params", "value"}
MAX_QUOTED_VALUE_CHARS = 200  # Of a bad value, in its error.


class ValidatedRow(NamedTuple):
    """A row that can be staged: its values in the importer's order, or what is wrong with it."""

    number: int
    cleaned: list[str | None] | None
    errors: list[RowError] | None = None
    cells: list[Cell] | None = None  # As read; of a refused row as they can be stored.


class Step(NamedTuple):
    """How the cells of one field are checked."""

    position: int  # Of the first column that fills the field; -1: none does.
    has_further: bool  # Other columns fill it as well.
    max_placeholder_chars: int  # Longer text is no placeholder; 0: the field has none.
    prepare: Callable[[Cell], PreparedCell]
    clean: CellCleaner
    column: Column


class RowValidator:
    """Checks the rows of one file, whose columns are those of `layout`.

    What was done that the user should know of is added to `summary`.
    """

    def __init__(
        self, importer: type[Importer], layout: DetectedColumns, summary: ReadSummary | None = None
    ) -> None:
        self.summary = summary or ReadSummary()
        self._steps = [
            Step(
                position=layout.positions.get(column.field, -1),
                has_further=len(layout.get_columns(column.field)) > 1,
                max_placeholder_chars=max_placeholder_chars(importer, column),
                prepare=get_preparer(importer, column),
                clean=get_cleaner(importer, column),
                column=column,
            )
            for column in importer.columns
        ]
        self._columns = importer.columns
        self._layout = layout
        # Code and field to rows, of the rows that are checked together.
        self._noted: dict[tuple[str, str], list[int]] = {}
        self._lookups = [
            (index, column) for index, column in enumerate(importer.columns) if column.lookup
        ]
        self._model = importer.model

    def check(self, rows: Sequence[Row]) -> list[ValidatedRow]:
        self._noted.clear()
        checked = [self._check_row(number, cells) for number, cells in rows]
        for (code, field), numbers in self._noted.items():
            self.summary.add_rows(code, numbers, column=field, **self._said_of(code, field))
        for index, column in self._lookups:
            checked = self._look_up(checked, index, column)
        return checked

    def _check_row(self, number: int, cells: list[Cell]) -> ValidatedRow:
        values: list[str | None] = []
        errors: list[RowError] = []
        width = len(cells)
        for step in self._steps:
            position, has_further, max_placeholder, prepare, clean, column = step
            cell = cells[position] if 0 <= position < width else None
            try:
                if has_further:
                    cell = self._join(number, cells, step)
                # Most cells need no preparation, and it would double the time of the others.
                if type(cell) is str:
                    if len(cell) <= max_placeholder or VALUE_SEPARATOR in cell:
                        cell, code = prepare(cell)
                        self._note(code, column, number)
                elif isinstance(cell, str):
                    cell, code = prepare(cell)
                    self._note(code, column, number)
                value = clean(cell)
                if not (value is None or isinstance(value, str)):
                    raise TypeError("a rule returns text or None")
            except InvalidValue as invalid:
                errors.append(_error(column, cell, invalid))
                value = None
            except Exception as error:  # A rule with a bug costs this row, not the import.
                invalid = InvalidValue("rule_failed", error=type(error).__name__)
                errors.append(_error(column, cell, invalid))
                value = None
            else:
                if not value and column.required:
                    errors.append(_error(column, cell, InvalidValue("required")))
            values.append(value)
        # An importer's own rule may let through what PostgreSQL would refuse for the whole chunk.
        if not errors and UNSTORABLE_CHARACTERS.search("".join(filter(None, values))):
            errors = [
                _error(column, value, InvalidValue("forbidden_character"))
                for value, column in zip(values, self._columns, strict=True)
                if value and UNSTORABLE_CHARACTERS.search(value)
            ]
        if errors:
            return ValidatedRow(number, None, errors, self._stored_cells(cells, errors))
        return ValidatedRow(number, values, None, cells)

    def _note(self, code: str | None, column: Column, number: int) -> None:
        if code:
            self._noted.setdefault((code, column.field), []).append(number)

    def _join(self, number: int, cells: list[Cell], step: Step) -> Cell:
        """The first filled cell of the columns that fill one field.

        Raises Invalid if a column of the same rank holds another value.
        """
        indexes = self._layout.get_columns(step.column.field)
        prepared = {i: step.prepare(cells[i])[0] for i in indexes if i < len(cells)}
        filled = [index for index, cell in prepared.items() if not is_empty(cell)]
        if not filled:  # The first may hold a placeholder, which is noted.
            return next((cells[i] for i in indexes if i < len(cells)), None)
        if filled[0] != indexes[0]:
            self._note("columns_joined", step.column, number)
        equals = {indexes[0], *self._layout.equals.get(step.column.field, ())}
        values = [prepared[index] for index in filled if index in equals]
        if len({_comparable(step.clean, value) for value in values}) > 1:
            raise InvalidValue("several_values", values=", ".join(map(str, values)))
        return cells[filled[0]]

    def _said_of(self, code: str, field: str) -> dict[str, Any]:
        """What an entry of the read summary names beside the field."""
        if code != "columns_joined":
            return {}
        columns = self._layout.get_columns(field)
        return {"columns": [get_column_name(self._layout, index) for index in columns]}

    def _stored_cells(self, cells: list[Cell], errors: list[RowError]) -> list[Cell]:
        """The cells of a failed row: those with an error as the spreadsheet program shows them."""
        failed = {error["column"] for error in errors}
        positions = {step.position for step in self._steps if step.column.field in failed}
        return [
            make_storable(as_shown(cell) if index in positions else cell)
            for index, cell in enumerate(cells)
        ]

    def _look_up(self, rows: list[ValidatedRow], index: int, column: Column) -> list[ValidatedRow]:
        """Natural keys to primary keys, one query for all rows; what is not there is an error."""
        related = self._model._meta.get_field(column.field).related_model
        wanted = {row.cleaned[index] for row in rows if row.cleaned} - {None}
        found = related._default_manager.filter(**{f"{column.lookup}__in": wanted})
        keys = {str(natural): str(pk) for natural, pk in found.values_list(column.lookup, "pk")}
        return [_resolve(row, index, column, keys) for row in rows]


def is_empty(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _comparable(clean: CellCleaner, cell: Cell) -> Cell:
    """What a cell means to its column: two ways of writing one value are equal."""
    try:
        return clean(cell)
    except InvalidValue:
        return cell


def _resolve(row: ValidatedRow, index: int, column: Column, keys: dict[str, str]) -> ValidatedRow:
    if row.cleaned is None or (natural := row.cleaned[index]) is None:
        return row
    if natural in keys:
        row.cleaned[index] = keys[natural]
        return row
    error = _error(column, natural, InvalidValue("not_found"))
    return ValidatedRow(row.number, None, [error], [make_storable(cell) for cell in row.cells])


def _error(column: Column, cell: Cell, invalid: InvalidValue) -> RowError:
    if cell == FORMULA_WITHOUT_VALUE:
        cell, invalid = None, InvalidValue("formula_without_value")
    cell = as_shown(cell)
    value = "" if cell is None else make_storable(str(cell)[:MAX_QUOTED_VALUE_CHARS])
    return {
        "column": column.field,
        "code": invalid.code,
        "params": {name: _plain(value) for name, value in invalid.params.items()},
        "value": value,
    }


def _plain(value: Any) -> Cell:
    """A parameter of an error as JSON has it: a number as it is, all else as text."""
    return value if isinstance(value, int | float) else make_storable(str(value))


def as_shown(cell: Cell) -> Cell:
    """A formatted cell as the spreadsheet program shows it, so that a corrected file holds that."""
    return cell.shown if isinstance(cell, FormattedCell) and cell.shown else cell


def make_storable(cell: Cell) -> Cell:
    if cell == FORMULA_WITHOUT_VALUE:
        return None
    if not isinstance(cell, str) or (cell.isascii() and "\0" not in cell):
        return cell  # Most are, and cells are searched for surrogates at a tenth of the speed.
    return UNSTORABLE_CHARACTERS.sub("\ufffd", cell)
