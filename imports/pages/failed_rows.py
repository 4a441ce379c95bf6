"""Rows that were refused or skipped: grouped by cause, and the rows of one cause."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import QueryDict

from imports import error_messages, row_results
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob, ImportRow
from imports.pages.presenters import name_of
from imports.statuses import Outcome

ROWS_A_PAGE = 50
LISTED = (Outcome.FAILED, Outcome.SKIPPED)

Context = dict[str, Any]


def problems_shown(job: ImportJob) -> Context:
    problems = row_results.group_problems(job) if job.failed or job.skipped else []
    has_exact_counts = row_results.has_exact_problem_counts(job)
    return {
        "problems": [
            {
                "outcome": problem["outcome"],
                "title": cause_title(job, problem, problem["example"]),
                "value": problem["example"]["value"],
                "count": problem["count"],
                "shown": f"{intcomma(problem['count'])}{'' if has_exact_counts else '+'}",
                "query": query_of(problem["outcome"], problem),
            }
            for problem in problems
        ],
        "has_exact_counts": has_exact_counts,
    }


def query_of(outcome: str, cause: Context) -> str:
    return urlencode({"outcome": outcome, "column": cause["column"] or "", "code": cause["code"]})


def cause_title(job: ImportJob, cause: Context, error: Context) -> Context:
    importer, column = get_importer_or_placeholder(job.importer), cause["column"]
    return {
        "column": name_of(importer, column) if column else "",
        "reason": error_messages.describe_cause(error, job.importer, cause["outcome"]),
    }


def rows_shown(job: ImportJob, asked: QueryDict) -> Context:
    """One page of rows, of one cause if the reader asked for one."""
    outcome = asked.get("outcome") if asked.get("outcome") in LISTED else Outcome.FAILED
    after = asked.get("after", "")
    after = int(after) if after.isdecimal() and len(after) < 10 else 0
    cause = (
        {"column": asked.get("column") or None, "code": asked["code"]}
        if asked.get("code")
        else None
    )
    most = ROWS_A_PAGE
    found = row_results.list_rows(job, outcome=outcome, after=after, most=most + 1, cause=cause)
    rows = found[:most]
    return {
        "outcome": outcome,
        "cause": cause_title(job, cause | {"outcome": outcome}, example_of(rows, cause))
        if cause and rows
        else None,
        "rows": [(row.number, reasons(row, job)) for row in rows],
        "query": query_of(outcome, cause) if cause else urlencode({"outcome": outcome}),
        "after": after,
        "next": rows[-1].number if len(found) > most else None,
    }


def example_of(rows: list[ImportRow], cause: Context) -> Context:
    return next(error for error in rows[0].errors if cause.items() <= error.items())


def reasons(row: ImportRow, job: ImportJob) -> list[Context]:
    importer = get_importer_or_placeholder(job.importer)
    return [
        {
            "column": name_of(importer, error["column"]) if error["column"] else "",
            "value": error["value"],
            "reason": error_messages.describe_row_error(error, job.importer, row.outcome),
        }
        for error in row.errors or []
    ]
