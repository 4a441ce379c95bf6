"""Write the rows of one batch within its transaction, so that every row gets one outcome.

A plain INSERT … SELECT comes first, because it costs half as much as one with ON CONFLICT. If it
meets a key that another record took after the check, the rows are matched with the table again.
If the database still reports an error, the range of rows is halved until only the rows that cause
errors fail.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db import DatabaseError
from django.db.models import Q, QuerySet, UniqueConstraint

from imports.importer import get_importer
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.pipeline.duplicates import get_duplicate_outcome, match_existing_records
from imports.pipeline.target_table import IN_ROW_RANGE, TargetTable
from imports.pipeline.transactions import is_row_error
from imports.postgres import atomic, get_constraint_name, get_sqlstate, open_cursor
from imports.statuses import OnDuplicate, Outcome

OutcomeCounts = Counter[str]  # Outcome to number of rows.

UNIQUE_VIOLATION = "23505"
MAX_MATCH_ROUNDS = 3  # Another session may take a key between the match and the INSERT.

# Under the policy `update`, a record that appeared after the check may match a second row of the
# file. That row fails, so that a later row never overwrites an earlier one without notice.
FAIL_ROWS_OF_TAKEN_RECORDS = """
UPDATE imports_importrow r
   SET outcome = 'failed', errors = jsonb_build_array(jsonb_build_object(
       'field', NULL, 'code', 'repeats_row',
       'params', jsonb_build_object('row', taken.number), 'value', ''))
  FROM existing_match, imports_importrow taken
 WHERE r.job_id = %(job)s AND r.number = existing_match.number AND r.outcome IS NULL
   AND taken.job_id = r.job_id AND taken.matched AND taken.target_id = r.target_id
   AND taken.number <> r.number
   AND (taken.outcome IN ('updated', 'unchanged')
        OR (taken.outcome IS NULL AND taken.number < r.number))
"""
CLOSE_ROWS_WITHOUT_RECORD = f"""
UPDATE imports_importrow r
   SET outcome = %(outcome)s, errors = jsonb_build_array(jsonb_build_object(
       'field', NULL, 'code', %(code)s, 'params', jsonb_build_object(), 'value', ''))
 WHERE {IN_ROW_RANGE} AND r.outcome IS NULL AND r.matched = %(matched)s
   AND NOT EXISTS (SELECT FROM {{table}} c WHERE c.{{pk}} = {{id}})
"""
# Locks the matched records in the order of their keys, so that two workers cannot deadlock. Keeps
# the previous values, and writes only the records that change.
UPDATE_RECORDS = f"""
WITH m AS MATERIALIZED (
    SELECT r.number, c.{{pk}} AS id, ARRAY[{{previous}}] AS previous, {{new}},
           ROW({{old}}) IS DISTINCT FROM ROW({{values}}) AS differs
      FROM imports_importrow r JOIN {{table}} c ON c.{{pk}} = {{id}}
     WHERE {IN_ROW_RANGE} AND r.outcome IS NULL AND r.matched
     ORDER BY c.{{pk}} FOR UPDATE OF c),
u AS (UPDATE {{table}} c SET {{assignments}} FROM m WHERE c.{{pk}} = m.id AND m.differs)
UPDATE imports_importrow r
   SET outcome = CASE WHEN m.differs THEN 'updated' ELSE 'unchanged' END,
       previous_values = CASE WHEN m.differs THEN m.previous END
  FROM m
 WHERE r.job_id = %(job)s AND r.number = m.number
RETURNING r.outcome
"""


def write_rows(
    batch: ImportBatch, target: TargetTable, *, expect_duplicates: bool
) -> OutcomeCounts:
    """Write all open rows of the batch within the caller's transaction.

    `expect_duplicates` matches the rows with the table again before the first INSERT.

    Raises:
        DatabaseError: An error that no single row causes, see `is_row_error`.
    """
    return _write_range(
        batch, target, batch.first_row, batch.last_row, expect_duplicates=expect_duplicates
    )


def _write_range(
    batch: ImportBatch, target: TargetTable, first: int, last: int, *, expect_duplicates: bool
) -> OutcomeCounts:
    """Write a range of rows; halve it after an error until only the rows that cause it fail."""
    create = _create_with_rematch if expect_duplicates else _create_records
    try:
        with atomic():  # A savepoint: an error undoes this range only.
            return create(batch, target, first, last) + _update_records(batch, target, first, last)
    except DatabaseError as error:
        if not is_row_error(error):
            raise
        if not expect_duplicates and get_sqlstate(error) == UNIQUE_VIOLATION:
            return _write_range(batch, target, first, last, expect_duplicates=True)
        if first == last:
            return _fail_row(batch, first, error)
    middle = (first + last) // 2
    lower = _write_range(batch, target, first, middle, expect_duplicates=expect_duplicates)
    upper = _write_range(batch, target, middle + 1, last, expect_duplicates=expect_duplicates)
    return lower + upper


def _create_records(
    batch: ImportBatch, target: TargetTable, first: int, last: int
) -> OutcomeCounts:
    with open_cursor() as cursor:
        cursor.execute(
            target.insert, _make_range_parameters(batch, first, last) | target.defaults()
        )
        return OutcomeCounts({Outcome.CREATED: cursor.rowcount})


def _create_with_rematch(
    batch: ImportBatch, target: TargetTable, first: int, last: int
) -> OutcomeCounts:
    """Match the open rows again and insert the new ones, until every row has its outcome."""
    counts, parameters = OutcomeCounts(), _make_range_parameters(batch, first, last)
    # Rows that an earlier round inserted conflict with themselves and stay as they are.
    insert = f"{target.insert} ON CONFLICT DO NOTHING"
    with open_cursor() as cursor:
        for _ in range(MAX_MATCH_ROUNDS):
            counts += _match_again(batch, target, first, last)
            cursor.execute(insert, parameters | target.defaults())
            counts += OutcomeCounts({Outcome.CREATED: cursor.rowcount})
            if counts[Outcome.CREATED] == _filter_rows_to_create(batch, first, last).count():
                return counts
        outcome = get_duplicate_outcome(batch.job.on_duplicate)
        if batch.job.on_duplicate == OnDuplicate.UPDATE:
            outcome = Outcome.FAILED
    return counts + _close_rows(target, parameters, outcome=outcome, code="exists", matched=False)


def _match_again(batch: ImportBatch, target: TargetTable, first: int, last: int) -> OutcomeCounts:
    counts = OutcomeCounts(match_existing_records(target, batch.job, first=first, last=last))
    if batch.job.on_duplicate == OnDuplicate.UPDATE and counts:
        with open_cursor() as cursor:
            cursor.execute(FAIL_ROWS_OF_TAKEN_RECORDS, {"job": batch.job_id})
            counts += OutcomeCounts({Outcome.FAILED: cursor.rowcount})
    return counts


def _filter_rows_to_create(batch: ImportBatch, first: int, last: int) -> QuerySet[ImportRow]:
    rows = ImportRow.objects.filter(job=batch.job_id, number__range=(first, last))
    return rows.filter(outcome=None, matched=False)


def _update_records(
    batch: ImportBatch, target: TargetTable, first: int, last: int
) -> OutcomeCounts:
    if batch.job.on_duplicate != OnDuplicate.UPDATE:
        return OutcomeCounts()
    parameters = _make_range_parameters(batch, first, last)
    with open_cursor() as cursor:
        cursor.execute(_build_update(target, batch.job), parameters)
        counts = OutcomeCounts(outcome for (outcome,) in cursor.fetchall())
    return counts + _close_rows(
        target, parameters, outcome=Outcome.FAILED, code="record_deleted", matched=True
    )


def _build_update(target: TargetTable, job: ImportJob) -> str:
    columns = list(enumerate(target.columns))
    new = target.updated_values(job)
    assignments = [f"{column.column} = m.n{index}" for index, column in columns]
    return UPDATE_RECORDS.format(
        table=target.table,
        pk=target.pk,
        id=target.id_of_row,
        previous=", ".join(f"c.{column.column}::text" for _, column in columns),
        old=", ".join(f"c.{column.column}" for _, column in columns),
        values=", ".join(new),
        new=", ".join(f"{value} AS n{index}" for index, value in enumerate(new)),
        assignments=", ".join(assignments + [f"{stamp} = now()" for stamp in target.stamps]),
    )


def _close_rows(
    target: TargetTable,
    parameters: dict[str, Any],
    *,
    outcome: Outcome,
    code: str,
    matched: bool,
) -> OutcomeCounts:
    """Give `outcome` to open rows whose record does not exist.

    The record was never inserted (`matched` is False), or it was deleted after it was matched.
    """
    statement = CLOSE_ROWS_WITHOUT_RECORD.format(
        table=target.table, pk=target.pk, id=target.id_of_row
    )
    with open_cursor() as cursor:
        cursor.execute(
            statement, parameters | {"outcome": outcome, "code": code, "matched": matched}
        )
        return OutcomeCounts({outcome: cursor.rowcount})


def _fail_row(batch: ImportBatch, number: int, error: DatabaseError) -> OutcomeCounts:
    constraint_name = get_constraint_name(error)
    if get_sqlstate(error) == UNIQUE_VIOLATION:
        field = _get_unique_field(batch, constraint_name)
        return fail_rows(batch, "exists", {}, number, field=field)
    params = {"sqlstate": get_sqlstate(error), "constraint": constraint_name}
    return fail_rows(batch, "database_error", params, number)


def fail_rows(
    batch: ImportBatch,
    code: str,
    params: dict[str, Any],
    number: int | None = None,
    *,
    field: str | None = None,
) -> OutcomeCounts:
    """Fail the open row of this number, or all open rows of the batch if `number` is None.

    `code` and `params` become the row's only error. `field` is the field that the error is about,
    or None if it is about the row as a whole.
    """
    rows = ImportRow.objects.filter(job=batch.job_id, outcome=None)
    row_range = (number, number) if number is not None else (batch.first_row, batch.last_row)
    error = {"field": field, "code": code, "params": params, "value": ""}
    failed = rows.filter(number__range=row_range).update(outcome=Outcome.FAILED, errors=[error])
    return OutcomeCounts({Outcome.FAILED: failed})


def _get_unique_field(batch: ImportBatch, constraint_name: str | None) -> str | None:
    """Return the first field of a unique constraint; None if the constraint has no fields."""
    constraints = get_importer(batch.job.importer).model._meta.constraints
    for constraint in constraints:
        if isinstance(constraint, UniqueConstraint) and constraint.name == constraint_name:
            # A constraint over expressions has no fields.
            return constraint.fields[0] if constraint.fields else None
    return None


def get_written_keys(batch: ImportBatch, target: TargetTable) -> list[Any]:
    """Return the primary keys of the records that this applied batch created or updated."""
    rows = ImportRow.objects.filter(
        Q(outcome=None, matched=False) | Q(outcome=Outcome.UPDATED),
        job=batch.job_id,
        number__range=(batch.first_row, batch.last_row),
    )
    return [target.pk_field.to_python(key) for key in rows.values_list("target_id", flat=True)]


def _make_range_parameters(batch: ImportBatch, first: int, last: int) -> dict[str, Any]:
    return {"job": batch.job_id, "first": first, "last": last}
