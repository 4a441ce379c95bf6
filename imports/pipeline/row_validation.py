"""Validate rows: clean the cells of each column by the importer's rules, and collect the errors.

The cells of a column are cleaned together where that is possible (see `column_cleaning`). A cell
that this does not accept goes through the rule for single cells, which also gives its error.

Duplicates are resolved later, for all rows at once: see `duplicates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NotRequired, TypedDict

from django.core.exceptions import ValidationError
from django.db import Error
from django.utils.translation import override

from imports.cell_values import (
    UNSTORABLE_CHARACTERS,
    FormattedFloat,
    FormattedInteger,
    FormattedText,
)
from imports.importer import Cell, Column, ImportContext, Importer, InvalidValue
from imports.pipeline.column_cleaning import (
    CleanedColumn,
    PlainCellsCleaner,
    get_plain_cells_cleaner,
)
from imports.pipeline.field_cleaning import (
    CellCleaner,
    PreparedCell,
    get_cleaner,
    get_preparer,
)
from imports.pipeline.header_detection import DetectedColumns, get_column_name
from imports.pipeline.lookups import LookupResolver, make_lookup_resolvers
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.reader.cell_conversion import FORMULA_WITHOUT_VALUE
from imports.pipeline.row_block import RowBlock
from imports.pipeline.row_rules import make_row_check
from imports.pipeline.rule_bugs import RuleBugs, make_bug_error, make_wrong_type
from imports.pipeline.transactions import is_transient
from imports.validator_errors import convert_error

MAX_QUOTED_VALUE_CHARS = 200  # Of an invalid value, in its error.


class StoredRowError(TypedDict):
    """An error of one row, as it is stored."""

    field: str | None  # None for an error of the row as a whole.
    code: str
    params: dict[str, Any]
    value: str  # The invalid value, cut to MAX_QUOTED_VALUE_CHARS.
    message: NotRequired[str]  # Of a Django validator, untranslated and without its parameters.


@dataclass(frozen=True)
class ValidatedBlock:
    """Rows that can be staged, column by column.

    rows: the rows as they were read.
    cleaned: for each column of the importer the cleaned values, as many as there are rows.
    errors: the errors of the failed rows, by the index of the row. The cleaned values of these
        rows have no meaning.
    stored_cells: the cells of each failed row in a form that can be stored.
    """

    rows: RowBlock
    cleaned: list[list[str | None]]
    errors: dict[int, list[StoredRowError]] = field(default_factory=dict)
    stored_cells: dict[int, list[Cell]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


class FieldStep(NamedTuple):
    """How the cells of one field are validated."""

    position: int  # Index of the first column that fills the field; -1 if there is none.
    has_further_columns: bool  # Other columns fill the field, too.
    prepare: Callable[[Cell], PreparedCell]
    clean: CellCleaner
    clean_plain_cells: PlainCellsCleaner
    column: Column


class RowValidator:
    """Validates the rows of one file, whose columns are `columns`.

    Adds to `summary` what was done to cells that the user may not expect. Without a `context`, the
    importer must not have a lookup with a queryset. `bugs` logs the exceptions of rules; the
    validators of one check share it.
    """

    def __init__(
        self,
        importer: type[Importer],
        columns: DetectedColumns,
        summary: ReadSummary | None = None,
        context: ImportContext | None = None,
        bugs: RuleBugs | None = None,
    ) -> None:
        self.summary = summary or ReadSummary()
        self._steps = [
            FieldStep(
                position=columns.positions.get(column.field, -1),
                has_further_columns=len(columns.get_columns(column.field)) > 1,
                prepare=get_preparer(importer, column),
                clean=get_cleaner(importer, column),
                clean_plain_cells=get_plain_cells_cleaner(importer, column),
                column=column,
            )
            for column in importer.columns
        ]
        self._importer = importer
        self._columns = columns
        self._check_row = make_row_check(importer, self._log_row_rule_bug)
        # Code and field to row numbers, of the rows that are validated together.
        self._noted_rows: dict[tuple[str, str], list[int]] = {}
        self._lookups = make_lookup_resolvers(importer, context)
        self._order = {column.field: index for index, column in enumerate(importer.columns)}
        self._bugs = bugs or RuleBugs(importer, context.import_id if context else None)
        self._row = 0  # The number of the row that is being cleaned.

    def validate(self, blocks: Sequence[RowBlock]) -> list[ValidatedBlock]:
        """Validate rows in ascending order. Makes a few queries for each foreign key.

        Raises:
            ColumnRuleFailed: The queryset of a lookup cannot be used.
            Error: The database reported an error that is not about a value.
        """
        self._noted_rows.clear()
        # Messages are stored untranslated, and pages translate them.
        with override(None):
            validated = [self._validate_block(block) for block in blocks]
        for (code, field_name), numbers in sorted(self._noted_rows.items(), key=self._get_order):
            params = self._get_note_params(code, field_name)
            self.summary.add_rows(code, numbers, column=field_name, **params)
        for index, resolver in self._lookups.items():
            self._resolve_lookup(validated, index, resolver)
        for block in validated:
            for index, errors in block.errors.items():
                cells = self._make_storable_cells(block.rows.get_cells(index), errors)
                block.stored_cells[index] = cells
        return validated

    def _validate_block(self, rows: RowBlock) -> ValidatedBlock:
        """Return the rows with the errors of their cells. Cells with errors have the value None."""
        errors: dict[int, list[StoredRowError]] = {}
        self._row = rows.numbers[0] if rows.numbers else 0
        cleaned = [self._clean_column(step, rows, errors) for step in self._steps]
        self._reject_unstorable(cleaned, errors)
        if self._check_row is not None:
            for index, values in enumerate(zip(*cleaned, strict=True)):
                self._row = rows.numbers[index]
                failed_fields = {str(error["field"]) for error in errors.get(index, ())}
                for invalid in self._check_row(values, failed_fields):
                    error = self._make_row_error(rows.get_cells(index), invalid)
                    errors.setdefault(index, []).append(error)
        return ValidatedBlock(rows, cleaned, errors)

    def _clean_column(
        self, step: FieldStep, rows: RowBlock, errors: dict[int, list[StoredRowError]]
    ) -> list[str | None]:
        """Return the values of one field. Adds the errors of its cells to `errors`."""
        values: list[str | None] = [None] * len(rows)
        column = step.column
        if step.has_further_columns:
            remaining: Collection[int] = range(len(rows))
        else:
            has_column = 0 <= step.position < len(rows.columns)
            no_cells: list[Cell] = [None] * len(rows)
            cells = rows.columns[step.position] if has_column else no_cells
            values, remaining = self._clean_plain_cells(step, cells)
        for index in remaining:
            cell_errors: list[StoredRowError]
            values[index], cell_errors = self._clean_cell(step, rows, index)
            if cell_errors:
                errors.setdefault(index, []).extend(cell_errors)
        if column.required and not all(values):
            cleaned_singly = frozenset(remaining)
            for index, value in enumerate(values):
                if not value and index not in cleaned_singly:
                    error = _make_error(column, None, InvalidValue("required"))
                    errors.setdefault(index, []).append(error)
        return values

    def _clean_plain_cells(self, step: FieldStep, cells: list[Cell]) -> CleanedColumn:
        """Clean the plain cells of a column together.

        If the rule for whole columns has a bug, all cells go through the rule for single cells.

        Raises:
            Error: The rule has queried the database, which reported a transient error.
        """
        try:
            return step.clean_plain_cells(cells)
        except Exception as error:
            if isinstance(error, Error) and is_transient(error):
                raise
            self._bugs.add(f"the rule for whole columns of {step.column.field}", self._row, error)
            return CleanedColumn([None] * len(cells), list(range(len(cells))))

    def _clean_cell(
        self, step: FieldStep, rows: RowBlock, index: int
    ) -> tuple[str | None, list[StoredRowError]]:
        """Return the value of one cell, or None and the errors of the cell."""
        number = self._row = rows.numbers[index]
        column, position = step.column, step.position
        cell = rows.columns[position][index] if 0 <= position < len(rows.columns) else None
        try:
            if step.has_further_columns:
                cell = self._join_columns(number, rows.get_cells(index), step)
            if isinstance(cell, str):
                cell, code = step.prepare(cell)
                self._note(code, column, number)
            value = step.clean(cell)
            if not (value is None or isinstance(value, str)):
                raise make_wrong_type("wrong_clean_result", column.clean or step.clean, value)
        except Exception as error:
            return None, self._make_cell_errors(column, cell, error)
        if not value and column.required:
            return value, [_make_error(column, cell, InvalidValue("required"))]
        return value, []

    def _reject_unstorable(
        self, cleaned: list[list[str | None]], errors: dict[int, list[StoredRowError]]
    ) -> None:
        """Add an error for each value that PostgreSQL cannot store.

        An importer's own rule may accept such a value, and PostgreSQL would reject the whole chunk.
        """
        for column, values in zip(self._importer.columns, cleaned, strict=True):
            if not UNSTORABLE_CHARACTERS.search("".join(filter(None, values))):
                continue
            for index, value in enumerate(values):
                if value and UNSTORABLE_CHARACTERS.search(value):
                    error = _make_error(column, value, InvalidValue("forbidden_character"))
                    errors.setdefault(index, []).append(error)
                    values[index] = None

    def _get_order(self, item: tuple[tuple[str, str], list[int]]) -> tuple[int, int]:
        """Return the sort key of an entry of `_noted_rows`: its first row, then its column."""
        (_, field_name), numbers = item
        return numbers[0], self._order[field_name]

    def _make_cell_errors(
        self, column: Column, cell: Cell, error: Exception
    ) -> list[StoredRowError]:
        """Return the errors of a cell whose rule raised an exception.

        A bug in a rule fails the row, not the import.

        Raises:
            Error: The rule read the database, which reported a transient error.
        """
        if isinstance(error, ValidationError):
            error = convert_error(error)
        if isinstance(error, InvalidValue):
            return [_make_error(column, cell, each) for each in (error, *error.further)]
        if isinstance(error, Error) and is_transient(error):
            raise error
        self._bugs.add(f"the rule of column {column.field}", self._row, error)
        return [_make_error(column, cell, make_bug_error("rule_failed", error))]

    def _log_row_rule_bug(self, error: Exception) -> None:
        self._bugs.add("check_row", self._row, error)

    def _make_row_error(self, cells: list[Cell], invalid: InvalidValue) -> StoredRowError:
        """Return an error of `Importer.check_row`, with the cell of the column that it names."""
        column = next((c for c in self._importer.columns if c.field == invalid.field), None)
        cell = None if column is None else self._get_cell(cells, column)
        return _make_error(column, cell, invalid)

    def _note(self, code: str | None, column: Column, number: int) -> None:
        if code:
            self._noted_rows.setdefault((code, column.field), []).append(number)

    def _join_columns(self, number: int, cells: list[Cell], step: FieldStep) -> Cell:
        """Return the first filled cell of the columns that fill one field.

        Raises:
            InvalidValue: A column of the same rank holds another value.
        """
        field = step.column.field
        indexes = self._columns.get_columns(field)
        prepared = {i: step.prepare(cells[i])[0] for i in indexes if i < len(cells)}
        filled = [index for index, cell in prepared.items() if not _is_empty(cell)]
        if not filled:  # The first cell may hold a placeholder, which is noted later.
            return next((cells[i] for i in indexes if i < len(cells)), None)
        if filled[0] != indexes[0]:
            self._note("columns_joined", step.column, number)
        equals = {indexes[0], *self._columns.equals.get(field, ())}
        values = [prepared[index] for index in filled if index in equals]
        if len({_clean_or_keep(step.clean, value) for value in values}) > 1:
            raise InvalidValue("several_values", values=", ".join(map(str, values)))
        return cells[filled[0]]

    def _get_note_params(self, code: str, field: str) -> dict[str, Any]:
        """Return what an entry of the read summary names besides the field."""
        if code != "columns_joined":
            return {}
        indexes = self._columns.get_columns(field)
        return {"columns": [get_column_name(self._columns, index) for index in indexes]}

    def _make_storable_cells(self, cells: list[Cell], errors: list[StoredRowError]) -> list[Cell]:
        """Return the cells of a failed row in a form that can be stored.

        Cells with an error are those that the spreadsheet program displays.
        """
        failed = {error["field"] for error in errors}
        positions = {step.position for step in self._steps if step.column.field in failed}
        return [
            make_storable(_get_displayed(cell) if index in positions else cell)
            for index, cell in enumerate(cells)
        ]

    def _resolve_lookup(
        self, blocks: list[ValidatedBlock], index: int, resolver: LookupResolver
    ) -> None:
        """Replace the values of one column by the keys of the records that they name.

        A value that names no record or several records is an error of its row.
        """
        column = self._importer.columns[index]
        results = resolver.resolve({v for block in blocks for v in block.cleaned[index] if v})
        for block in blocks:
            values = block.cleaned[index]
            for place, value in enumerate(values):
                if not value:
                    continue
                result = results[value]
                if isinstance(result, str):
                    values[place] = result
                else:
                    values[place] = None
                    cell = self._get_cell(block.rows.get_cells(place), column)
                    error = _make_error(column, cell, result)
                    errors = block.errors.get(place, [])
                    block.errors[place] = self._insert_error(errors, error)

    def _get_cell(self, cells: list[Cell], column: Column) -> Cell:
        """Return the first filled cell of the columns that fill the field."""
        indexes = self._columns.get_columns(column.field)
        filled = (cells[i] for i in indexes if i < len(cells) and not _is_empty(cells[i]))
        return next(filled, None)

    def _insert_error(
        self, errors: list[StoredRowError], error: StoredRowError
    ) -> list[StoredRowError]:
        """Return the errors with another one, before the first error of a later column."""
        orders = [self._order.get(each["field"] or "", len(self._order)) for each in errors]
        own = self._order[str(error["field"])]
        place = next((i for i, order in enumerate(orders) if order > own), len(errors))
        return [*errors[:place], error, *errors[place:]]


def _is_empty(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _clean_or_keep(clean: CellCleaner, cell: Cell) -> Cell:
    """Return the cleaned value, so that two ways to write one value are equal."""
    try:
        return clean(cell)
    except InvalidValue:
        return cell


def _make_error(column: Column | None, cell: Cell, invalid: InvalidValue) -> StoredRowError:
    if cell == FORMULA_WITHOUT_VALUE:
        cell, invalid = None, InvalidValue("formula_without_value")
    cell = _get_displayed(cell)
    value = "" if cell is None else make_storable_text(str(cell)[:MAX_QUOTED_VALUE_CHARS])
    error: StoredRowError = {
        "field": column.field if column else None,
        "code": str(invalid.code),
        "params": {name: _make_json_value(value) for name, value in invalid.params.items()},
        "value": value,
    }
    if invalid.message:
        error["message"] = make_storable_text(invalid.message)
    return error


def _make_json_value(value: object) -> Cell:
    """Return a number as it is and anything else as text."""
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return make_storable_text(str(value))


def _get_displayed(cell: Cell) -> Cell:
    """Return a formatted cell as the spreadsheet program displays it, others as they are.

    The file of failed rows then holds what the user knows from the original file.
    """
    if isinstance(cell, FormattedText | FormattedInteger | FormattedFloat) and cell.shown:
        return cell.shown
    return cell


def make_storable(cell: Cell) -> Cell:
    """Return the cell without characters that PostgreSQL cannot store.

    They are replaced by U+FFFD. A formula without a value becomes None.
    """
    # Most cells are ASCII text, and the search for surrogates takes ten times as long.
    if not isinstance(cell, str) or (cell.isascii() and "\0" not in cell):
        return cell
    return None if cell == FORMULA_WITHOUT_VALUE else make_storable_text(cell)


def make_storable_text(text: str) -> str:
    """Return the text with U+FFFD in place of characters that PostgreSQL cannot store."""
    return UNSTORABLE_CHARACTERS.sub("\ufffd", text)
