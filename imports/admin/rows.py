"""The rows of an import in the admin: why some were not imported, and each with its outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse
from django.utils.text import capfirst

from imports import error_messages, row_results
from imports.importer import Importer, get_importer_or_placeholder
from imports.models import ImportJob, ImportRow
from imports.statuses import Outcome

ROWS_A_PAGE = 100

Context = dict[str, Any]
LinkTo = Callable[[str], str]  # From a record's key to its page; to nothing where there is none.


def address(job: ImportJob) -> str:
    return reverse("admin:imports_importjob_rows", args=[job.pk])


def problems_shown(job: ImportJob) -> Context:
    """Each cause with its count, an example and the way to its rows."""
    problems = row_results.group_problems(job) if job.failed or job.skipped else []
    return {
        "problems": [problem_shown(problem, job) for problem in problems],
        "has_exact_counts": row_results.has_exact_problem_counts(job),
        "rows_looked_at": row_results.MAX_GROUPED_ROWS,
    }


def problem_shown(problem: Context, job: ImportJob) -> Context:
    cause = {"column": problem["column"] or "", "code": problem["code"]}
    query = urlencode({"outcome": problem["outcome"], **cause})
    return {
        "count": problem["count"],
        "outcome": Outcome(problem["outcome"]).label,
        "column": name_of(get_importer_or_placeholder(job.importer), problem["column"]),
        "reason": error_messages.describe_cause(
            problem["example"], job.importer, problem["outcome"]
        ),
        "value": problem["example"]["value"],
        # Each number leads to the page that begins with its row.
        "rows": [(row, f"{address(job)}?{query}&after={row - 1}") for row in problem["rows"]],
        "all": f"{address(job)}?{query}",
    }


def rows_shown(job: ImportJob, asked: QueryDict, link_to: LinkTo) -> Context:
    """One page of rows: all, or those of one outcome or cause."""
    outcome = asked.get("outcome") if asked.get("outcome") in Outcome.values else ""
    after = asked.get("after", "")
    after = int(after) if after.isdecimal() and len(after) < 10 else 0
    code, column = (asked.get(name, "").replace("\x00", "") for name in ("code", "column"))
    cause = {"column": column or None, "code": code} if code else None
    found = row_results.list_rows(
        job, outcome=outcome, after=after, most=ROWS_A_PAGE + 1, values=True, cause=cause
    )
    rows, importer = found[:ROWS_A_PAGE], get_importer_or_placeholder(job.importer)
    query = {"outcome": outcome, "column": column, "code": code}
    return {
        "outcome": outcome,
        "outcomes": [(value, label, getattr(job, value)) for value, label in Outcome.choices],
        "cause": cause_shown(rows, cause, job),
        "after": after,
        "query": urlencode({name: value for name, value in query.items() if value}),
        "headers": [name_of(importer, column.field) for column in importer.columns],
        "rows": [row_shown(row, job, link_to) for row in rows],
        "has_errors": any(row.errors for row in rows),
        "next": rows[-1].number if len(found) > ROWS_A_PAGE else None,
    }


def cause_shown(rows: list[ImportRow], cause: Context | None, job: ImportJob) -> Context | None:
    if not cause or not rows:
        return None
    example = next(error for error in rows[0].errors if cause.items() <= error.items())
    importer = get_importer_or_placeholder(job.importer)
    reason = error_messages.describe_cause(example, job.importer, rows[0].outcome)
    return {"column": name_of(importer, cause["column"]), "reason": reason}


def row_shown(row: ImportRow, job: ImportJob, link_to: LinkTo) -> Context:
    importer, key = get_importer_or_placeholder(job.importer), row_results.get_record_key(row)
    return {
        "number": row.number,
        "outcome": Outcome(row.result).label if row.result else "",
        "record": key,
        "record_address": link_to(key) if key else "",
        "values": values_of(row, job),
        "errors": [
            {
                "column": name_of(importer, error["column"]),
                "value": error["value"],
                "words": error_messages.describe_row_error(error, job.importer, row.outcome),
            }
            for error in row.errors or []
        ],
    }


def values_of(row: ImportRow, job: ImportJob) -> list[Any] | None:
    """In the order of the headers, as stored or else as read; None where they are too long."""
    fields = [column.field for column in get_importer_or_placeholder(job.importer).columns]
    if row.shown_cleaned is not None:
        return [*row.shown_cleaned, *[None] * (len(fields) - len(row.shown_cleaned))]
    if row.shown_cells is None:
        return None
    positions = (job.detected_columns or {}).get("positions", {})
    places = [positions.get(field, len(row.shown_cells)) for field in fields]
    return [row.shown_cells[at] if at < len(row.shown_cells) else None for at in places]


def name_of(importer: type[Importer], field: str | None) -> str:
    return capfirst(importer.label(field)) if field else ""
