"""Template context of failed and skipped rows: the problems, and the rows of one problem."""

from __future__ import annotations

from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import QueryDict

from imports import failed_row_table, row_results
from imports.models import ImportJob
from imports.statuses import Outcome

FAILED_ROWS_PER_PAGE = 50
LISTED_OUTCOMES = (Outcome.FAILED, Outcome.SKIPPED)

Context = dict[str, object]


def build_problems_context(job: ImportJob) -> Context:
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
            for problem in failed_row_table.list_problems(job)
        ],
        "has_exact_counts": is_exact,
    }


def build_rows_context(job: ImportJob, params: QueryDict) -> Context:
    """Return one page of failed or skipped rows, of one problem if the query string names one."""
    row_query = failed_row_table.parse_row_query(
        params, outcomes=LISTED_OUTCOMES, default_outcome=Outcome.FAILED
    )
    after = failed_row_table.parse_after(params)
    page = failed_row_table.fetch_row_page(
        job, row_query, after=after, page_rows=FAILED_ROWS_PER_PAGE
    )
    return {
        "outcome": row_query.outcome,
        "problem": page.problem,
        "rows": [(row.number, failed_row_table.describe_errors(row, job)) for row in page.rows],
        "query": row_query.query_string,
        "after": after,
        "next_after": page.next_after,
    }
