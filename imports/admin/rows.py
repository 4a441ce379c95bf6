"""Template context of an import's rows in the admin: why rows failed, and every row."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from django.http import QueryDict

from imports import failed_row_table, permissions, row_results
from imports.error_messages import get_field_label
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob
from imports.permissions import User
from imports.statuses import Outcome
from imports.value_mask import ValueMask

if TYPE_CHECKING:
    from imports.failed_row_table import AnnotatedRow

ROWS_PER_PAGE = 100

Context = dict[str, object]
GetRecordUrl = Callable[[str], str]  # From the key of a record to its page; "" for no page.


def build_admin_problems_context(job: ImportJob, rows_url: str, user: User) -> Context:
    """Return the problems of failed and skipped rows, each with links to its rows.

    There are none if the rows were deleted, also before they are purged. `rows_url` is the address
    of the page with all rows of the import.
    """
    mask = permissions.get_value_mask(user, job)
    problems = failed_row_table.list_problems(job, mask) if job.has_contents else []
    return {
        "problems": [_build_problem(problem, rows_url) for problem in problems],
        "has_exact_counts": row_results.has_exact_problem_counts(job),
        "max_counted_rows": row_results.MAX_GROUPED_ROWS,
    }


def _build_problem(problem: failed_row_table.Problem, rows_url: str) -> Context:
    url = f"{rows_url}?{problem.row_query.query_string}"
    return {
        "count": problem.count,
        "outcome": Outcome(problem.row_query.outcome).label,
        "description": problem.description,
        "example": problem.example,
        # Each number links to the page that starts with its row.
        "rows": [(row, f"{url}&after={row - 1}") for row in problem.first_rows],
        "url": url,
    }


def build_admin_rows_context(
    job: ImportJob, params: QueryDict, get_record_url: GetRecordUrl, user: User
) -> Context:
    """Return one page of rows, of one outcome or problem if the query string names one."""
    row_query = failed_row_table.parse_row_query(
        params, outcomes=Outcome.values, default_outcome=""
    )
    after = failed_row_table.parse_after(params)
    mask = permissions.get_value_mask(user, job)
    page = failed_row_table.fetch_row_page(
        job, row_query, mask, after=after, page_rows=ROWS_PER_PAGE, values=True
    )
    importer = get_importer_or_placeholder(job.importer)
    visible_keys = permissions.find_visible_keys(
        user, job, map(row_results.get_record_key, page.rows)
    )
    return {
        "outcome": row_query.outcome,
        "outcomes": [(value, label, getattr(job, value)) for value, label in Outcome.choices],
        "problem": page.problem,
        "after": after,
        "query": row_query.query_string,
        "headers": [get_field_label(importer, column.field) for column in importer.columns],
        "rows": [_build_row(row, job, visible_keys, get_record_url, mask) for row in page.rows],
        "has_errors": any(row.errors for row in page.rows),
        "next_after": page.next_after,
    }


def _build_row(
    row: AnnotatedRow,
    job: ImportJob,
    visible_keys: Container[str],
    get_record_url: GetRecordUrl,
    mask: ValueMask,
) -> Context:
    key = row_results.get_record_key(row)
    if key not in visible_keys:
        key = None
    return {
        "number": row.number,
        "outcome": Outcome(row.result).label if row.result else "",
        "record": key,
        "record_url": get_record_url(key) if key else "",
        "values": _list_values(row, job, mask),
        "errors": failed_row_table.describe_errors(row, job, mask),
    }


def _list_values(row: AnnotatedRow, job: ImportJob, mask: ValueMask) -> list[object] | None:
    """Return the cleaned values, else the cells as read, in the order of the headers.

    None if they are too long to display.
    """
    fields = [column.field for column in get_importer_or_placeholder(job.importer).columns]
    if row.shown_cleaned is not None:
        values = [*row.shown_cleaned, *[None] * (len(fields) - len(row.shown_cleaned))]
    elif row.shown_cells is not None:
        cells, positions = row.shown_cells, (job.detected_columns or {}).get("positions", {})
        indexes = [positions.get(field, len(cells)) for field in fields]
        values = [cells[i] if i < len(cells) else None for i in indexes]
    else:
        return None
    # Without its importer, the values of an import have no fields, and values are left over.
    named = [*fields, *[None] * (len(values) - len(fields))]
    return [mask.mask_value(field, value) for field, value in zip(named, values, strict=True)]
