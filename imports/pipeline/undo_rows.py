"""Undo what rows of one batch have written, within its transaction: each row gets one result.

A record that a row has updated gets its previous values back, and a record that a row has created
is removed. Both happen only if the imported columns still hold what the row wrote. A record is
removed only if nothing refers to it. Every other record is kept, and its row says why.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import DatabaseError

from imports.importer import get_importer
from imports.models import ImportBatch, ImportJob
from imports.pipeline.references import Reference, list_references
from imports.pipeline.target_table import IN_ROW_RANGE, TargetColumn, TargetTable
from imports.pipeline.transactions import is_row_error
from imports.postgres import (
    atomic,
    get_connection,
    get_constraint_name,
    get_sqlstate,
    get_table_name,
    open_cursor,
)

UndoCounts = Counter[str]  # "removed", "restored" and "kept" to number of rows.

FOREIGN_KEY_VIOLATION = "23503"
# Unique violation, exclusion violation.
TAKEN_SQLSTATES = {"23505", "23P01"}
# The database reports no error if a trigger suppresses the change of a row.
NO_DATA = "02000"

IS_CREATED = "(r.outcome IS NULL AND NOT r.matched)"
IS_UPDATED = "(r.outcome = 'updated')"
IN_NUMBERS = "r.job_id = %(job)s AND r.number = ANY(%(numbers)s::int[])"

LIST_WRITTEN_ROWS = f"""
SELECT r.number, {IS_UPDATED} FROM imports_importrow r
 WHERE {IN_ROW_RANGE} AND ({IS_CREATED} OR {IS_UPDATED})
 ORDER BY r.number
"""
# A statement of its own: the statements after it see everything that was committed before the
# locks were granted, also what transactions wrote for which this one waited. FOR UPDATE keeps
# other transactions from adding a foreign key to the records.
LOCK_RECORDS = f"""
SELECT r.number
  FROM imports_importrow r JOIN {{table}} c ON c.{{pk}} = {{id}}
 WHERE {IN_ROW_RANGE} AND ({IS_CREATED} OR {IS_UPDATED})
 ORDER BY c.{{pk}} FOR UPDATE OF c
"""
FIND_EDITED = f"""
SELECT r.number
  FROM imports_importrow r JOIN {{table}} c ON c.{{pk}} = {{id}}
 WHERE {IN_ROW_RANGE} AND ({IS_CREATED} OR {IS_UPDATED}) AND {{is_edited}}
"""
RESTORE_RECORDS = f"""
UPDATE {{table}} c SET {{assignments}}
  FROM imports_importrow r
 WHERE {IN_NUMBERS} AND c.{{pk}} = {{id}}
RETURNING r.number
"""
FIND_REFERRED_TO = f"""
SELECT number, reference
  FROM (SELECT r.number, {{reference}} AS reference
          FROM imports_importrow r JOIN {{table}} c ON c.{{pk}} = {{id}}
         WHERE {IN_NUMBERS}) AS row
 WHERE reference IS NOT NULL
"""
REMOVE_RECORDS = f"""
DELETE FROM {{table}} c USING imports_importrow r
 WHERE {IN_NUMBERS} AND c.{{pk}} = {{id}}
RETURNING r.number
"""
STORE_REASONS = """
UPDATE imports_importrow r SET kept = reason.kept
  FROM unnest(%(numbers)s::int[], %(reasons)s::jsonb[]) AS reason (number, kept)
 WHERE r.job_id = %(job)s AND r.number = reason.number
"""
# A cast to text, because two values that are equal in their type may differ: in the case of a
# letter, for example.
DIFFERS = '({stored})::text COLLATE "C" IS DISTINCT FROM (({written})::{type})::text COLLATE "C"'


class Reason(NamedTuple):
    """Why a record is kept: a code of `error_messages.KEPT_MESSAGES`, and its parameters."""

    code: str
    params: dict[str, Any]


class UndoConditions(NamedTuple):
    """The conditions of undo, as SQL in which `r` is the row and `c` its record."""

    is_edited: str
    reference: str  # The index in `references` of the first reference to the record, or NULL.
    references: list[Reference]


def build_conditions(job: ImportJob, target: TargetTable) -> UndoConditions:
    """Return the conditions under which undo keeps a record of the import."""
    created = [_build_created_difference(column) for column in (*target.columns, *target.constants)]
    updated = [
        DIFFERS.format(stored=f"c.{column.column}", written=written, type=column.full_type)
        for column, written in zip(target.columns, target.written_values(job), strict=True)
    ]
    is_edited = (
        f"(CASE WHEN {IS_UPDATED} THEN {' OR '.join(updated)} ELSE {' OR '.join(created)} END)"
    )
    references = list_references(get_importer(job.importer).model, target)
    arms = (f"WHEN {each.condition} THEN {index}" for index, each in enumerate(references))
    reference = f"CASE {' '.join(arms)} END" if references else "NULL::int"
    return UndoConditions(is_edited, reference, references)


def _build_created_difference(column: TargetColumn) -> str:
    """Return SQL for whether a created record has another value than the row wrote.

    If the default of the field is a function, the value of an empty cell is not known.
    """
    has_static_default = column.default != "NULL" and not column.has_callable_default
    differs = DIFFERS.format(
        stored=f"c.{column.column}",
        written=f"coalesce({column.value}, {column.default})"
        if has_static_default
        else column.value,
        type=column.full_type,
    )
    if column.has_callable_default:
        return f"({column.value} IS NOT NULL AND {differs})"
    return f"({differs})"


def get_static_defaults(target: TargetTable) -> dict[str, Any]:
    """Return the parameters of `UndoConditions.is_edited`: the defaults that are no functions."""
    return {
        name: field.get_db_prep_save(field.get_default(), get_connection())
        for name, field in target.default_fields.items()
        if not callable(field.default)
    }


def undo_rows(batch: ImportBatch, target: TargetTable) -> UndoCounts:
    """Undo every written row of the batch within the caller's transaction.

    Raises:
        DatabaseError: An error that no single row causes, see `is_row_error`.
    """
    undo = _BatchUndo(batch, target)
    undo.run()
    return undo.store_reasons()


def keep_rows(batch: ImportBatch, target: TargetTable, code: str) -> UndoCounts:
    """Keep the record of every written row of the batch for the reason `code`."""
    undo = _BatchUndo(batch, target)
    undo.keep(undo.list_written_rows(), Reason(code, {}))
    return undo.store_reasons()


class _BatchUndo:
    """The undo of one batch: how many rows are done, and why the others are kept."""

    def __init__(self, batch: ImportBatch, target: TargetTable) -> None:
        self.batch, self.target = batch, target
        self.conditions = build_conditions(batch.job, target)
        self.counts, self.reasons = UndoCounts(), dict[int, Reason]()

    def run(self) -> None:
        """Undo every written row."""
        written = self.list_written_rows()
        locked = self._list_numbers(LOCK_RECORDS)
        self.keep(written.keys() - locked, Reason("deleted", {}))
        edited = self._list_numbers(FIND_EDITED)
        self.keep(edited, Reason("edited", {}))
        left = [number for number in written if number in locked - edited]
        # A restored record may release a value that another one needs, and a removed record may be
        # the last one that refers to another. So the rest is tried again while anything changes.
        # The order alternates, because a chain of values may run in either direction.
        is_upper_first = True
        while done := self._restore([n for n in left if written[n]], is_upper_first) | self._remove(
            [n for n in left if not written[n]]
        ):
            left = [number for number in left if number not in done]
            is_upper_first = not is_upper_first

    def list_written_rows(self) -> dict[int, bool]:
        """Return, by row number, whether the row has updated a record; if not, it created one."""
        return dict(self._execute(LIST_WRITTEN_ROWS, self._get_range()))

    def keep(self, numbers: Iterable[int], reason: Reason) -> None:
        self.reasons |= dict.fromkeys(numbers, reason)

    def store_reasons(self) -> UndoCounts:
        """Store in the rows why their records are kept, and return the counts."""
        parameters: dict[str, Any] = {
            "job": self.batch.job_id,
            "numbers": list(self.reasons),
            "reasons": [json.dumps(reason._asdict()) for reason in self.reasons.values()],
        }
        with open_cursor() as cursor:
            cursor.execute(STORE_REASONS, parameters)
        return self.counts + UndoCounts(kept=len(self.reasons))

    def _restore(self, numbers: list[int], is_upper_first: bool) -> set[int]:
        """Restore the records of these rows if their values are free; return the rows done."""
        done = self._change_records(RESTORE_RECORDS, numbers, is_upper_first)
        self.counts["restored"] += len(done)
        return done

    def _remove(self, numbers: list[int]) -> set[int]:
        """Remove the records of these rows to which nothing refers; return the rows done."""
        if not numbers:
            return set()
        parameters = {"job": self.batch.job_id, "numbers": numbers}
        referred_to = dict(self._execute(FIND_REFERRED_TO, parameters))
        for number, index in referred_to.items():
            self.reasons[number] = _make_referred_to(self.conditions.references[index])
        free = [number for number in numbers if number not in referred_to]
        done = self._change_records(REMOVE_RECORDS, free, is_upper_first=True)
        self.counts["removed"] += len(done)
        return done

    def _change_records(self, statement: str, numbers: list[int], is_upper_first: bool) -> set[int]:
        """Execute the statement for these rows, and return the rows whose record has changed.

        After an error the rows are halved until only those that cause errors are left. A batch is
        written with the lower half first, so the upper half is undone first: a later row may have
        taken a value that an earlier row released.
        """
        if not numbers:
            return set()
        try:
            with atomic():  # A savepoint: an error undoes these rows only.
                rows = self._execute(statement, {"job": self.batch.job_id, "numbers": numbers})
        except DatabaseError as error:
            if not is_row_error(error):
                raise
            if len(numbers) == 1:
                self.reasons[numbers[0]] = self._describe_error(error, statement)
                return set()
        else:
            done = {number for (number,) in rows}
            # The database reports no error if a trigger suppresses the change of a record.
            self.keep(set(numbers) - done, _make_database_error(NO_DATA, None))
            self.reasons = {n: reason for n, reason in self.reasons.items() if n not in done}
            return done
        middle = len(numbers) // 2
        halves = (
            [numbers[middle:], numbers[:middle]]
            if is_upper_first
            else [numbers[:middle], numbers[middle:]]
        )
        return set().union(
            *(self._change_records(statement, half, is_upper_first) for half in halves)
        )

    def _describe_error(self, error: DatabaseError, statement: str) -> Reason:
        sqlstate = get_sqlstate(error)
        if sqlstate in TAKEN_SQLSTATES:
            return Reason("values_taken", {})
        if sqlstate == FOREIGN_KEY_VIOLATION and statement == REMOVE_RECORDS:
            table = get_table_name(error)
            for reference in self.conditions.references:
                if reference.table == table:
                    return _make_referred_to(reference)
        return _make_database_error(sqlstate, get_constraint_name(error))

    def _list_numbers(self, statement: str) -> set[int]:
        return {number for (number,) in self._execute(statement, self._get_range())}

    def _execute(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Execute a statement with the pieces of this undo, and return its rows."""
        target = self.target
        pairs = zip(target.columns, target.restored_values(), strict=True)
        assignments = [f"{column.column} = {value}" for column, value in pairs]
        statement = statement.format(
            table=target.table,
            pk=target.pk,
            id=target.id_of_row,
            is_edited=self.conditions.is_edited,
            reference=self.conditions.reference,
            assignments=", ".join(assignments + [f"{stamp} = now()" for stamp in target.stamps]),
        )
        with open_cursor() as cursor:
            cursor.execute(statement, parameters | get_static_defaults(target))
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _get_range(self) -> dict[str, Any]:
        batch = self.batch
        return {"job": batch.job_id, "first": batch.first_row, "last": batch.last_row}


def _make_referred_to(reference: Reference) -> Reason:
    return Reason("referred_to", {"model": reference.label})


def _make_database_error(sqlstate: str, constraint: str | None) -> Reason:
    return Reason("database_error", {"sqlstate": sqlstate, "constraint": constraint})
