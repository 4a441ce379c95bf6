"""The results of an import's rows: read page by page, and grouped into problems.

`ImportRow.outcome` alone does not say the result of a row: the row of a created record has none
(see `list_rows`). No query here counts or loads all rows of a large import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict
from uuid import UUID

from django.db.models import Case, Exists, F, Max, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, Length

from imports.models import ImportBatch, ImportJob, ImportRow
from imports.postgres import open_cursor
from imports.statuses import Outcome

# The first rows of each outcome that are grouped. A million failed rows have few causes.
MAX_GROUPED_ROWS = 50_000
MAX_DISPLAYED_VALUES_CHARS = 20_000  # Of one row's cells or values, as JSON or array text.
MAX_PROBLEMS = 100
MAX_EXAMPLE_ROWS = 5

# The row creates a record. The record exists if the row's batch is applied.
IS_NEW_RECORD = Q(outcome=None, matched=False)

GROUP_PROBLEMS = """
WITH grouped AS (
    (SELECT number, outcome, errors FROM imports_importrow
      WHERE job_id = %(job)s AND outcome = 'failed' ORDER BY number LIMIT %(max_grouped)s)
    UNION ALL
    (SELECT number, outcome, errors FROM imports_importrow
      WHERE job_id = %(job)s AND outcome = 'skipped' ORDER BY number LIMIT %(max_grouped)s)),
row_errors AS (
    SELECT number, outcome, error ->> 'field' AS field, error ->> 'code' AS code
      FROM grouped, jsonb_array_elements(errors) AS error),
cause AS (
    SELECT outcome, field, code, count(*) AS count,
           (array_agg(number ORDER BY number))[1:%(max_examples)s] AS rows
      FROM row_errors GROUP BY outcome, field, code
     ORDER BY count DESC, outcome, field, code LIMIT %(max_problems)s)
SELECT cause.outcome, cause.field, cause.code, cause.count, cause.rows, example.error
  FROM cause CROSS JOIN LATERAL (
       SELECT error FROM imports_importrow r, jsonb_array_elements(r.errors) AS error
        WHERE r.job_id = %(job)s AND r.number = cause.rows[1]
          AND error ->> 'code' = cause.code
          AND error ->> 'field' IS NOT DISTINCT FROM cause.field
        LIMIT 1) AS example
 ORDER BY cause.count DESC, cause.outcome, cause.field, cause.code
"""


class ProblemGroup(TypedDict):
    """The errors with the same outcome, field and code."""

    outcome: str
    field: str | None  # None for an error of the whole row.
    code: str
    count: int
    is_count_exact: bool  # Whether all rows with this outcome are counted.
    rows: list[int]  # The numbers of the first rows, at most MAX_EXAMPLE_ROWS.
    example: dict[str, Any]  # The error of the first row: {"field", "code", "params"}.


def list_rows(
    job: ImportJob,
    *,
    outcome: str | None = None,
    after: int = 0,
    limit: int = 100,
    values: bool = False,
    cause: Mapping[str, str | None] | None = None,
    is_kept: bool | None = None,
) -> list[ImportRow]:
    """Return at most `limit` rows with a number greater than `after`, in the order of the file.

    With `values`, each row has also `shown_cells` and `shown_cleaned`, which are None if they are
    longer than MAX_DISPLAYED_VALUES_CHARS. The rest is as in `select_rows`.
    """
    rows = select_rows(job, outcome=outcome, cause=cause, is_kept=is_kept)
    rows = rows.filter(number__gt=after)
    rows = annotate_values(rows) if values else rows
    return list(rows.order_by("number")[:limit])


def select_rows(
    job: ImportJob,
    *,
    outcome: str | None = None,
    cause: Mapping[str, str | None] | None = None,
    is_kept: bool | None = None,
) -> QuerySet[ImportRow]:
    """Return rows of the import. Each has the attribute `result`: its outcome, or None if pending.

    `outcome` selects the rows with this result. `cause` selects the rows with an error that has
    this "field" and "code". `is_kept` selects the rows whose records undo has kept, or the others.
    """
    rows = ImportRow.objects.filter(job=job)
    if is_kept is not None:
        rows = rows.filter(kept__isnull=not is_kept)
    rows = rows.filter(errors__contains=[cause]) if cause else rows
    if outcome == Outcome.CREATED:
        # Ends the scan after the last applied batch, however many rows are pending.
        rows = rows.filter(IS_NEW_RECORD, _is_applied(), number__lte=_get_last_applied_row(job))
    elif outcome:
        rows = rows.filter(outcome=outcome)
    # A row may hold a megabyte of each.
    return annotate_result(rows.defer("cells", "cleaned", "previous_values"))


def annotate_result(rows: QuerySet[ImportRow]) -> QuerySet[ImportRow]:
    """Return the rows with the attribute `result`: the outcome, or None if the row is pending."""
    created = When(IS_NEW_RECORD & Q(_is_applied()), then=Value(Outcome.CREATED.value))
    result = Coalesce(F("outcome"), Case(created))
    # The model declares the attributes for the type checker, as here and below they are set.
    return rows.annotate(result=result)  # type: ignore[no-redef]


def annotate_values(rows: QuerySet[ImportRow]) -> QuerySet[ImportRow]:
    """Return the rows with `shown_cells` and `shown_cleaned`, which are None if they are large."""
    cells, cleaned = (Cast(name, TextField()) for name in ("cells", "cleaned"))
    rows = rows.annotate(cells_size=Length(cells), cleaned_size=Length(cleaned))
    return rows.annotate(  # type: ignore[no-redef]
        shown_cells=Case(When(cells_size__lte=MAX_DISPLAYED_VALUES_CHARS, then="cells")),
        shown_cleaned=Case(When(cleaned_size__lte=MAX_DISPLAYED_VALUES_CHARS, then="cleaned")),
    )


def _is_applied() -> Exists:
    """Whether the row's batch is applied."""
    holds_row = Q(first_row__lte=OuterRef("number"), last_row__gte=OuterRef("number"))
    return Exists(
        ImportBatch.objects.filter(holds_row, job=OuterRef("job_id"), applied_at__isnull=False)
    )


def _get_last_applied_row(job: ImportJob) -> int:
    applied = job.batches.filter(applied_at__isnull=False)
    return applied.aggregate(last=Max("last_row"))["last"] or 0


def get_record_key(row: ImportRow) -> str | None:
    """Return the primary key of the record that the row has created or matched, or None.

    `row` comes from `list_rows`.
    """
    return row.target_id if row.matched or row.result == Outcome.CREATED else None


def group_problems(job: ImportJob, *, has_limit: bool = True) -> list[ProblemGroup]:
    """Return why rows failed or were skipped: groups of equal errors, the most frequent first.

    Only the first MAX_GROUPED_ROWS rows of each outcome are grouped. With `has_limit`, only the
    first MAX_PROBLEMS groups are returned.
    """
    params: dict[str, int | UUID | None] = {
        "job": job.pk,
        "max_grouped": MAX_GROUPED_ROWS,
        "max_examples": MAX_EXAMPLE_ROWS,
        "max_problems": MAX_PROBLEMS if has_limit else None,
    }
    counts = {Outcome.FAILED.value: job.failed, Outcome.SKIPPED.value: job.skipped}
    with open_cursor() as cursor:
        cursor.execute(GROUP_PROBLEMS, params)
        groups = cursor.fetchall()
    return [
        {
            "outcome": outcome,
            "field": field,
            "code": code,
            "count": count,
            "is_count_exact": counts[outcome] <= MAX_GROUPED_ROWS,
            "rows": rows,
            "example": json.loads(example),
        }
        for outcome, field, code, count, rows, example in groups
    ]


def has_exact_problem_counts(job: ImportJob) -> bool:
    """Whether `group_problems` counts all failed and skipped rows of the import."""
    return max(job.failed, job.skipped) <= MAX_GROUPED_ROWS
