"""The results of an import's rows: read page by page, and grouped into problems.

`ImportRow.outcome` alone does not say the result of a row: the row of a created record has none
(see `list_rows`). No query here counts or loads all rows of a large import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from django.db import connection
from django.db.models import Case, Exists, F, Max, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, Length

from imports.models import ImportBatch, ImportJob, ImportRow
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
errors AS (
    SELECT number, outcome, error ->> 'column' AS "column", error ->> 'code' AS code
      FROM grouped, jsonb_array_elements(errors) AS error),
cause AS (
    SELECT outcome, "column", code, count(*) AS count,
           (array_agg(number ORDER BY number))[1:%(max_examples)s] AS rows
      FROM errors GROUP BY outcome, "column", code
     ORDER BY count DESC, outcome, "column", code LIMIT %(max_problems)s)
SELECT cause.outcome, cause."column", cause.code, cause.count, cause.rows, example.error
  FROM cause CROSS JOIN LATERAL (
       SELECT error FROM imports_importrow r, jsonb_array_elements(r.errors) AS error
        WHERE r.job_id = %(job)s AND r.number = cause.rows[1]
          AND error ->> 'code' = cause.code
          AND error ->> 'column' IS NOT DISTINCT FROM cause."column"
        LIMIT 1) AS example
 ORDER BY cause.count DESC, cause.outcome, cause."column", cause.code
"""


def list_rows(
    job: ImportJob,
    *,
    outcome: str | None = None,
    after: int = 0,
    most: int = 100,
    values: bool = False,
    cause: dict[str, str | None] | None = None,
) -> list[ImportRow]:
    """At most `most` rows behind number `after`, each with its `result`: an outcome or None.

    With `values`, each has `shown_cleaned` and `shown_cells` too, None where they are large. A
    `cause` is the column and code of one of their errors.
    """
    rows = ImportRow.objects.filter(job=job, number__gt=after)
    rows = rows.filter(errors__contains=[cause]) if cause else rows
    rows = annotate_values(rows) if values else rows
    if outcome == Outcome.CREATED:
        # Nothing behind the last written batch is looked at, however large the rest is.
        rows = rows.filter(IS_NEW_RECORD, _is_written(), number__lte=_last_written(job))
    elif outcome:
        rows = rows.filter(outcome=outcome)
    rows = rows.defer("cells", "cleaned", "previous_values")  # A row may hold a megabyte of each.
    created = When(IS_NEW_RECORD & Q(_is_written()), then=Value(Outcome.CREATED.value))
    result = Coalesce(F("outcome"), Case(created))
    return list(rows.annotate(result=result).order_by("number")[:most])


def annotate_values(rows: QuerySet[ImportRow]) -> QuerySet[ImportRow]:
    """The rows with their `values`, where these are small enough to be shown."""
    cells, cleaned = (Cast(name, TextField()) for name in ("cells", "cleaned"))
    rows = rows.annotate(cells_size=Length(cells), cleaned_size=Length(cleaned))
    return rows.annotate(
        shown_cells=Case(When(cells_size__lte=MAX_DISPLAYED_VALUES_CHARS, then="cells")),
        shown_cleaned=Case(When(cleaned_size__lte=MAX_DISPLAYED_VALUES_CHARS, then="cleaned")),
    )


def _is_written() -> Exists:
    """Whether the row's batch is applied."""
    around = Q(first_row__lte=OuterRef("number"), last_row__gte=OuterRef("number"))
    return Exists(
        ImportBatch.objects.filter(around, job=OuterRef("job_id"), applied_at__isnull=False)
    )


def _last_written(job: ImportJob) -> int:
    written = job.batches.filter(applied_at__isnull=False)
    return written.aggregate(last=Max("last_row"))["last"] or 0


def get_record_key(row: ImportRow) -> str | None:
    """The key of the record that the row has created or belongs to."""
    return row.target_id if row.matched or row.result == Outcome.CREATED else None


def group_problems(job: ImportJob) -> list[dict[str, Any]]:
    """Why rows were refused or skipped: each cause with its count, first rows and an example."""
    these = {
        "job": job.pk,
        "looked_at": MAX_GROUPED_ROWS,
        "first": MAX_EXAMPLE_ROWS,
        "most": MAX_PROBLEMS,
    }
    names = ("outcome", "column", "code", "count", "rows", "example")
    with connection.cursor() as cursor:
        cursor.execute(GROUP_PROBLEMS, these)
        found = cursor.fetchall()
    problems = [dict(zip(names, values, strict=True)) for values in found]
    return [problem | {"example": json.loads(problem["example"])} for problem in problems]


def has_exact_problem_counts(job: ImportJob) -> bool:
    """Whether the counts of `problems_of` are those of the whole import."""
    return max(job.failed, job.skipped) <= MAX_GROUPED_ROWS
