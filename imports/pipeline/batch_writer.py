"""The rows of one batch, written inside its transaction; every row gets exactly one outcome.

A plain INSERT … SELECT first, which is half the price. Where that meets a key someone has
taken since the rows were judged, they are matched again. What the database still refuses
is halved until only the rows to blame fail.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Q, UniqueConstraint

from imports.importer import get_importer
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.pipeline.duplicates import get_duplicate_outcome, match_existing_records
from imports.pipeline.target_table import IN_ROW_RANGE, TargetTable
from imports.pipeline.transactions import get_constraint_name, get_sqlstate, is_row_error
from imports.statuses import OnDuplicate, Outcome

OutcomeCounts = Counter[str]  # How many rows got which outcome.

UNIQUE_VIOLATION = "23505"
ROUNDS = 3  # Of matching again: someone may take a key between our look and our insert.

# Under the policy `update`, a record that appeared meanwhile may be one that another row of
# this file takes too; a later row never silently overwrites an earlier one.
REFUSE_TAKEN = """
UPDATE imports_importrow r
   SET outcome = 'failed', errors = jsonb_build_array(jsonb_build_object(
       'column', NULL, 'code', 'repeats_row',
       'params', jsonb_build_object('row', taken.number), 'value', ''))
  FROM clash, imports_importrow taken
 WHERE r.job_id = %(job)s AND r.number = clash.number AND r.outcome IS NULL
   AND taken.job_id = r.job_id AND taken.matched AND taken.target_id = r.target_id
   AND taken.number <> r.number
   AND (taken.outcome IN ('updated', 'unchanged')
        OR (taken.outcome IS NULL AND taken.number < r.number))
"""
STILL_OPEN = f"""
UPDATE imports_importrow r
   SET outcome = %(outcome)s, errors = jsonb_build_array(jsonb_build_object(
       'column', NULL, 'code', %(code)s, 'params', jsonb_build_object(), 'value', ''))
 WHERE {IN_ROW_RANGE} AND r.outcome IS NULL AND r.matched = %(matched)s
   AND NOT EXISTS (SELECT FROM {{table}} c WHERE c.{{pk}} = {{id}})
"""
# Locks the matched records in one order, keeps what was there, writes only what differs.
UPDATE = f"""
WITH m AS MATERIALIZED (
    SELECT r.number, c.{{pk}} AS id, ARRAY[{{was}}] AS was, {{new}},
           ROW({{old}}) IS DISTINCT FROM ROW({{values}}) AS differs
      FROM imports_importrow r JOIN {{table}} c ON c.{{pk}} = {{id}}
     WHERE {IN_ROW_RANGE} AND r.outcome IS NULL AND r.matched
     ORDER BY c.{{pk}} FOR UPDATE OF c),
u AS (UPDATE {{table}} c SET {{assignments}} FROM m WHERE c.{{pk}} = m.id AND m.differs)
UPDATE imports_importrow r
   SET outcome = CASE WHEN m.differs THEN 'updated' ELSE 'unchanged' END,
       previous_values = CASE WHEN m.differs THEN m.was END
  FROM m
 WHERE r.job_id = %(job)s AND r.number = m.number
RETURNING r.outcome
"""


def write_rows(batch: ImportBatch, target: TargetTable, *, expect_clashes: bool) -> OutcomeCounts:
    return _write(batch, target, batch.first_row, batch.last_row, clashing=expect_clashes)


def _write(
    batch: ImportBatch, target: TargetTable, first: int, last: int, *, clashing: bool
) -> OutcomeCounts:
    """Write these rows; halve what the database refuses until only the rows to blame fail."""
    create = _create_around_clashes if clashing else _create
    try:
        with transaction.atomic():  # A savepoint: a refusal undoes these rows only.
            return create(batch, target, first, last) + _update(batch, target, first, last)
    except DatabaseError as error:
        if not is_row_error(error):
            raise
        if not clashing and get_sqlstate(error) == UNIQUE_VIOLATION:
            return _write(batch, target, first, last, clashing=True)
        if first == last:
            return _refuse(batch, first, error)
    middle = (first + last) // 2
    lower = _write(batch, target, first, middle, clashing=clashing)
    return lower + _write(batch, target, middle + 1, last, clashing=clashing)


def _create(batch: ImportBatch, target: TargetTable, first: int, last: int) -> OutcomeCounts:
    with connection.cursor() as cursor:
        cursor.execute(target.insert, _these(batch, first, last) | target.defaults())
        return OutcomeCounts({Outcome.CREATED: cursor.rowcount})


def _create_around_clashes(
    batch: ImportBatch, target: TargetTable, first: int, last: int
) -> OutcomeCounts:
    """Match again what is open, insert what is still new, until every row has its place."""
    counts, these = OutcomeCounts(), _these(batch, first, last)
    insert = f"{target.insert} ON CONFLICT DO NOTHING"  # Rows that are in already stay in.
    with connection.cursor() as cursor:
        for _ in range(ROUNDS):
            counts += _match_again(batch, target, first, last)
            cursor.execute(insert, these | target.defaults())
            counts += OutcomeCounts({Outcome.CREATED: cursor.rowcount})
            if counts[Outcome.CREATED] == _open_rows(batch, first, last).count():
                return counts
        outcome = get_duplicate_outcome(batch.job.on_duplicate)
        if batch.job.on_duplicate == OnDuplicate.UPDATE:
            outcome = Outcome.FAILED
    return counts + _close(target, these, outcome=outcome, code="exists", matched=False)


def _match_again(batch: ImportBatch, target: TargetTable, first: int, last: int) -> OutcomeCounts:
    counts = OutcomeCounts(match_existing_records(target, batch.job, first=first, last=last))
    if batch.job.on_duplicate == OnDuplicate.UPDATE and counts:
        with connection.cursor() as cursor:
            cursor.execute(REFUSE_TAKEN, {"job": batch.job_id})
            counts += OutcomeCounts({Outcome.FAILED: cursor.rowcount})
    return counts


def _open_rows(batch: ImportBatch, first: int, last: int) -> Any:
    rows = ImportRow.objects.filter(job=batch.job_id, number__range=(first, last))
    return rows.filter(outcome=None, matched=False)


def _update(batch: ImportBatch, target: TargetTable, first: int, last: int) -> OutcomeCounts:
    if batch.job.on_duplicate != OnDuplicate.UPDATE:
        return OutcomeCounts()
    these = _these(batch, first, last)
    with connection.cursor() as cursor:
        cursor.execute(_update_statement(target, batch.job), these)
        counts = OutcomeCounts(outcome for (outcome,) in cursor.fetchall())
    return counts + _close(target, these, outcome=Outcome.FAILED, code="gone", matched=True)


def _update_statement(target: TargetTable, job: ImportJob) -> str:
    cells = list(enumerate(target.cells))
    new = target.updated_values(job)
    assignments = [f"{cell.column} = m.n{index}" for index, cell in cells]
    return UPDATE.format(
        table=target.table,
        pk=target.pk,
        id=target.id_of_row,
        was=", ".join(f"c.{cell.column}::text" for _, cell in cells),
        old=", ".join(f"c.{cell.column}" for _, cell in cells),
        values=", ".join(new),
        new=", ".join(f"{value} AS n{index}" for index, value in enumerate(new)),
        assignments=", ".join(assignments + [f"{stamp} = now()" for stamp in target.stamps]),
    )


def _close(
    target: TargetTable, these: dict[str, Any], *, outcome: Outcome, code: str, matched: bool
) -> OutcomeCounts:
    """Give up on rows whose record is not there: never written, or gone since it matched."""
    statement = STILL_OPEN.format(table=target.table, pk=target.pk, id=target.id_of_row)
    with connection.cursor() as cursor:
        cursor.execute(statement, these | {"outcome": outcome, "code": code, "matched": matched})
        return OutcomeCounts({outcome: cursor.rowcount})


def _refuse(batch: ImportBatch, number: int, error: DatabaseError) -> OutcomeCounts:
    broken = get_constraint_name(error)
    if get_sqlstate(error) == UNIQUE_VIOLATION:
        return fail_rows(batch, "exists", {}, number, column=_field_of(batch, broken))
    params = {"sqlstate": get_sqlstate(error), "constraint": broken}
    return fail_rows(batch, "refused_by_database", params, number)


def fail_rows(
    batch: ImportBatch,
    code: str,
    params: dict[str, Any],
    number: int | None = None,
    *,
    column: str | None = None,
) -> OutcomeCounts:
    """Refuse the batch's open rows, or the one of this number."""
    rows = ImportRow.objects.filter(job=batch.job_id, outcome=None)
    span = (number, number) if number is not None else (batch.first_row, batch.last_row)
    error = {"column": column, "code": code, "params": params, "value": ""}
    refused = rows.filter(number__range=span).update(outcome=Outcome.FAILED, errors=[error])
    return OutcomeCounts({Outcome.FAILED: refused})


def _field_of(batch: ImportBatch, constraint_name: str | None) -> str | None:
    constraints = get_importer(batch.job.importer).model._meta.constraints
    for unique in constraints:
        if isinstance(unique, UniqueConstraint) and unique.name == constraint_name:
            return unique.fields[0] if unique.fields else None  # It may be one of expressions.
    return None


def get_written_keys(batch: ImportBatch, target: TargetTable) -> list[Any]:
    """The primary keys of the records that this batch has created or updated."""
    rows = ImportRow.objects.filter(
        Q(outcome=None, matched=False) | Q(outcome=Outcome.UPDATED),
        job=batch.job_id,
        number__range=(batch.first_row, batch.last_row),
    )
    return [target.pk_field.to_python(key) for key in rows.values_list("target_id", flat=True)]


def _these(batch: ImportBatch, first: int, last: int) -> dict[str, Any]:
    return {"job": batch.job_id, "first": first, "last": last}
