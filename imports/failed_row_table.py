"""Build the data of the tables of failed and skipped rows, which the pages and the admin show.

One table lists problems: the errors of all rows, grouped by outcome, column and error code. The
other table lists rows with their errors, page by page.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, cast
from urllib.parse import urlencode

from django.http import QueryDict

from imports import error_messages, row_results
from imports.error_messages import get_field_label
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob, ImportRow
from imports.value_mask import ValueMask

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class RowAnnotations(TypedDict):
        result: str | None
        shown_cleaned: list[str | None] | None
        shown_cells: list[object] | None

    AnnotatedRow = WithAnnotations[ImportRow, RowAnnotations]

MAX_ROW_NUMBER_DIGITS = 9


@dataclass(frozen=True)
class RowQuery:
    """Which rows of an import a table lists, as named in the query string of a URL."""

    outcome: str  # "" for the rows of every outcome.
    column: str  # The field of the error; "" for errors that concern a whole row.
    code: str  # The code of the error; "" for the rows of every problem.

    @property
    def query_string(self) -> str:
        values = {"outcome": self.outcome, "column": self.column, "code": self.code}
        return urlencode({name: value for name, value in values.items() if value})

    @property
    def cause(self) -> dict[str, str | None] | None:
        """The part of an error that all rows of the problem share; None for every problem."""
        return {"field": self.column or None, "code": self.code} if self.code else None


@dataclass(frozen=True)
class ProblemDescription:
    """A problem in the user's language."""

    column: str  # The label of the field; "" for errors that concern a whole row.
    reason: str


@dataclass(frozen=True)
class Problem:
    """One line of the table of problems."""

    row_query: RowQuery
    description: ProblemDescription
    example: str | None  # The value of one of the rows; None if the cell was empty.
    count: int
    first_rows: list[int]


@dataclass(frozen=True)
class ErrorDescription:
    """One error of one row, in the user's language."""

    column: str  # The label of the field; "" for errors that concern the whole row.
    value: str | None
    reason: str


@dataclass(frozen=True)
class RowPage:
    """One page of the table of rows."""

    rows: list[AnnotatedRow]
    problem: ProblemDescription | None  # The problem that all rows share; None without a code.
    next_after: int | None  # The row number after which the next page starts; None on the last.


def list_problems(job: ImportJob, mask: ValueMask) -> list[Problem]:
    """Return why rows of the import failed or were skipped, the most frequent problem first."""
    problems = row_results.group_problems(job) if job.failed or job.skipped else []
    return [
        Problem(
            row_query=RowQuery(problem["outcome"], problem["field"] or "", problem["code"]),
            description=_describe_problem(job, example, problem["outcome"]),
            example=example["value"],
            count=problem["count"],
            first_rows=problem["rows"],
        )
        for problem in problems
        for example in [mask.mask_error(problem["example"])]
    ]


def parse_row_query(
    params: QueryDict, *, outcomes: Container[str | None], default_outcome: str
) -> RowQuery:
    """Read the query from a query string. Unknown outcomes become `default_outcome`."""
    outcome = params.get("outcome", "")
    return RowQuery(
        outcome=outcome if outcome in outcomes else default_outcome,
        column=params.get("column", "").replace("\x00", ""),
        code=params.get("code", "").replace("\x00", ""),
    )


def parse_after(params: QueryDict) -> int:
    """Return the row number after which a page starts; 0 for the first page."""
    text = params.get("after", "")
    return int(text) if text.isdecimal() and len(text) <= MAX_ROW_NUMBER_DIGITS else 0


def fetch_row_page(
    job: ImportJob,
    row_query: RowQuery,
    mask: ValueMask,
    *,
    after: int,
    page_rows: int,
    values: bool = False,
) -> RowPage:
    """Return at most `page_rows` rows with a number greater than `after`, in their order.

    With `values`, each row has `shown_cleaned` and `shown_cells`, which are not masked.
    """
    found = row_results.list_rows(
        job,
        outcome=row_query.outcome,
        after=after,
        limit=page_rows + 1,
        values=values,
        cause=row_query.cause,
    )
    rows = cast("list[AnnotatedRow]", found[:page_rows])
    return RowPage(
        rows=rows,
        problem=_describe_problem_of_rows(job, rows, row_query, mask),
        next_after=rows[-1].number if len(found) > page_rows else None,
    )


def describe_errors(row: ImportRow, job: ImportJob, mask: ValueMask) -> list[ErrorDescription]:
    """Return the errors of the row in the user's language."""
    importer = get_importer_or_placeholder(job.importer)
    return [
        ErrorDescription(
            column=get_field_label(importer, error["field"]),
            value=error["value"],
            reason=error_messages.describe_row_error(error, job.importer, row.outcome),
        )
        for error in map(mask.mask_error, row.errors or [])
    ]


def _describe_problem_of_rows(
    job: ImportJob, rows: list[AnnotatedRow], row_query: RowQuery, mask: ValueMask
) -> ProblemDescription | None:
    cause = row_query.cause
    if not cause or not rows:
        return None
    example = next(error for error in rows[0].errors or [] if cause.items() <= error.items())
    return _describe_problem(job, mask.mask_error(example), rows[0].outcome)


def _describe_problem(
    job: ImportJob, error: Mapping[str, Any], outcome: str | None
) -> ProblemDescription:
    return ProblemDescription(
        column=get_field_label(get_importer_or_placeholder(job.importer), error["field"]),
        reason=error_messages.describe_cause(error, job.importer, outcome),
    )
