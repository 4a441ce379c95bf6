"""Template context of failed and skipped rows: the problems, and the rows of one problem."""

from __future__ import annotations

from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import QueryDict

from imports import failed_row_table, permissions, row_results
from imports.error_messages import describe_kept, get_field_label
from imports.failed_row_table import ErrorDescription
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob, ImportRow
from imports.permissions import User
from imports.statuses import Outcome
from imports.value_mask import ValueMask

FAILED_ROWS_PER_PAGE = 50
KEPT = "kept"
LISTED_OUTCOMES = (Outcome.FAILED, Outcome.SKIPPED)

Context = dict[str, object]


def build_problems_context(job: ImportJob, user: User) -> Context:
    """Return the problems of failed and skipped rows, each with its count and its query string."""
    is_exact = row_results.has_exact_problem_counts(job)
    return {
        "problems": [
            {
                "outcome": problem.row_query.outcome,
                "description": problem.description,
                "example": problem.example,
                "count": problem.count,
                "shown_count": f"{intcomma(problem.count)}{'' if is_exact else '+'}",
                "query": problem.row_query.query_string,
            }
            for problem in failed_row_table.list_problems(
                job, permissions.get_value_mask(user, job)
            )
        ],
        "has_exact_counts": is_exact,
    }


def build_rows_context(job: ImportJob, params: QueryDict, user: User) -> Context:
    """Return one page of failed or skipped rows, of one problem if the query string names one.

    With the outcome KEPT, it is a page of the rows whose records undo has kept.
    """
    mask = permissions.get_value_mask(user, job)
    if params.get("outcome") == KEPT:
        return _build_kept_rows_context(job, failed_row_table.parse_after(params), mask)
    row_query = failed_row_table.parse_row_query(
        params, outcomes=LISTED_OUTCOMES, default_outcome=Outcome.FAILED
    )
    after = failed_row_table.parse_after(params)
    page = failed_row_table.fetch_row_page(
        job, row_query, mask, after=after, page_rows=FAILED_ROWS_PER_PAGE
    )
    return {
        "outcome": row_query.outcome,
        "problem": page.problem,
        "rows": [
            (row.number, failed_row_table.describe_errors(row, job, mask)) for row in page.rows
        ],
        "query": row_query.query_string,
        "after": after,
        "next_after": page.next_after,
    }


def _build_kept_rows_context(job: ImportJob, after: int, mask: ValueMask) -> Context:
    limit = FAILED_ROWS_PER_PAGE
    found = row_results.list_rows(job, after=after, limit=limit + 1, values=True, is_kept=True)
    rows = found[:limit]
    return {
        "outcome": KEPT,
        "rows": [(row.number, [_describe_kept_row(row, job, mask)]) for row in rows],
        "query": f"outcome={KEPT}",
        "after": after,
        "next_after": rows[-1].number if len(found) > limit else None,
    }


def _describe_kept_row(row: ImportRow, job: ImportJob, mask: ValueMask) -> ErrorDescription:
    """Return the reason, with the value of the first column, by which people know the row."""
    importer = get_importer_or_placeholder(job.importer)
    field = importer.columns[0].field if importer.columns else None
    value = mask.mask_value(field, row.shown_cleaned[0] if row.shown_cleaned else None)
    return ErrorDescription(get_field_label(importer, field), value, describe_kept(row.kept or {}))
