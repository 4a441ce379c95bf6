"""Refused and skipped rows as iterate_rows of the uploaded file: its columns, and why.

Read page by page from the staged rows, never a second time from the file. It knows no HTTP
and no format of a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from django.db import connection
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from imports import error_messages
from imports.importer import Cell, Column, get_importer_or_placeholder
from imports.models import ImportJob
from imports.pipeline.header_detection import (
    REASON_HEADER_PREFIX,
    DetectedColumns,
    find_reason_columns,
    get_header,
    match_columns,
)

MAX_PAGE_ROWS = 1_000
MAX_PAGE_BYTES = 2 << 20  # A row may hold a megabyte.

# Behind the last row's number, not by OFFSET; the window ends the page where it gets heavy.
PAGE = """
SELECT number, cells, cleaned, errors
  FROM (SELECT number, cells, cleaned, errors, row_number() OVER so_far AS place,
               sum(coalesce(octet_length(cells::text), 0)
                   + coalesce(octet_length(cleaned::text), 0)) OVER so_far AS bytes
          FROM (SELECT number, cells, cleaned, errors
                  FROM imports_importrow
                 WHERE job_id = %(job)s AND outcome = %(outcome)s AND number > %(after)s
                 ORDER BY number LIMIT %(rows)s) AS page
        WINDOW so_far AS (ORDER BY number)) AS sized
 WHERE place = 1 OR bytes <= %(bytes)s
 ORDER BY number
"""
WIDEST = """
SELECT coalesce(max(jsonb_array_length(cells)), 0)
  FROM imports_importrow
 WHERE job_id = %(job)s AND outcome IN ('failed', 'skipped')
"""


class NoFailedRows(Exception):
    """This import has no such rows: none was refused, or they are no longer kept."""


class OutputRow(NamedTuple):
    cells: list[Cell]  # The reason among them.
    reasons: dict[int, str]  # Of bad cells, by position.


class StagedRow(NamedTuple):
    number: int
    cells: list[Cell] | None
    cleaned: list[str | None] | None
    errors: list[dict[str, Any]]


class FailedRows:
    """An import's refused and skipped rows, in the layout of the file they came in."""

    def __init__(self, job: ImportJob) -> None:
        self.job = job
        self.importer = get_importer_or_placeholder(job.importer)
        self._said: dict[tuple[str, ...], str] = {}
        self.layout = (
            DetectedColumns(**job.detected_columns)
            if job.detected_columns
            else DetectedColumns(0, [], {}, [])
        )
        self.positions = self.layout.positions
        headers = self.layout.headers or [None] * (max(self.positions.values(), default=-1) + 1)
        width = max(len(headers), self._widest())
        # Of a report that was corrected and uploaded, the column is there already.
        self.reason = next(iter(find_reason_columns(self.layout.headers)), width)
        self.width = max(width, self.reason + 1)
        self.headers = self._recognisable([*headers, *[None] * (self.width - len(headers))])
        self.headers[self.reason] = f"{REASON_HEADER_PREFIX} {_('Reason')}"

    def iterate_rows(self, outcome: str) -> Iterator[OutputRow]:
        for page in self._pages(outcome):
            lookups = self._natural_keys(page)
            for row in page:
                cells = row.cells or self._cells_of(row.cleaned or [], lookups)
                yield self._line(row, cells, outcome)

    def _recognisable(self, headers: list[str | None]) -> list[str | None]:
        """The file's own headers, unless its columns were not recognised by them."""
        found = match_columns(headers, self.importer)
        if found.columns() == self.layout.columns():
            return headers
        names = {column.field: get_header(column, self.importer) for column in self._columns()}
        first = {self.positions[field]: name for field, name in names.items()}
        # Another column of such a name would be read as well, or instead.
        ours = set(chain.from_iterable(self.layout.columns().values()))
        others = set(chain.from_iterable(found.columns().values())) - ours
        return [
            _("%(column)s (not used)") % {"column": name} if index in others else name
            for index, name in enumerate(first.get(i, name) for i, name in enumerate(headers))
        ]

    def _columns(self) -> list[Column]:
        return [column for column in self.importer.columns if column.field in self.positions]

    def _line(self, row: StagedRow, cells: list[Cell], outcome: str) -> OutputRow:
        reasons: dict[int, list[str]] = {}
        sentences = [_("Row %(row)s.") % {"row": row.number}]  # Of the file that was uploaded.
        for error in row.errors:
            sentence = self._sentence(error, outcome)
            position = self.positions.get(error["column"], -1)
            if position >= 0:
                reasons.setdefault(position, []).append(sentence)
            named = self.get_column_label(error["column"])
            sentences.append(f"{named}: {sentence}" if named else sentence)
        cells = [*cells, *[None] * (self.width - len(cells))]
        cells[self.reason] = " ".join(sentences)
        return OutputRow(cells, {position: " ".join(said) for position, said in reasons.items()})

    def _sentence(self, error: dict[str, Any], outcome: str) -> str:
        """The words for an error; half a million rows mostly say the same few things."""
        if error["params"]:
            return error_messages.describe_row_error(error, self.job.importer, outcome)
        kind = error["code"], error["column"], outcome
        if kind not in self._said:
            self._said[kind] = error_messages.describe_row_error(error, self.job.importer, outcome)
        return self._said[kind]

    def get_column_label(self, field: str | None) -> str:
        """The column as its reader knows it: by the file's header, else by its own name."""
        if field is None:
            return ""
        position = self.positions.get(field, -1)
        return (position >= 0 and self.headers[position]) or capfirst(self.importer.label(field))

    def _cells_of(self, cleaned: list[str | None], lookups: dict[str, dict[str, Any]]) -> list:
        """The values at their columns' places: the row had no other cells."""
        columns = self.importer.columns
        if not columns:  # Its app is gone, and nobody knows which value is which.
            return cleaned
        cells: list[Cell] = [None] * self.width
        # The importer may have got another column since.
        for column, value in zip(columns, cleaned, strict=False):
            if column.field in self.positions:
                keys = lookups.get(column.field, {})
                cells[self.positions[column.field]] = keys.get(value, value)
        return cells

    def _natural_keys(self, page: list[StagedRow]) -> dict[str, dict[str, Any]]:
        """Of columns that look a record up, what the file held instead of its primary key."""
        found = {}
        for index, column in enumerate(self.importer.columns):
            if column.lookup:
                keys = {row.cleaned[index] for row in page if row.cleaned} - {None}
                related = self.importer.model._meta.get_field(column.field).related_model
                records = related._default_manager.filter(pk__in=keys)
                pairs = records.values_list("pk", column.lookup)
                found[column.field] = {str(pk): str(natural) for pk, natural in pairs}
        return found

    def _pages(self, outcome: str) -> Iterator[list[StagedRow]]:
        after = 0
        while page := self._page(outcome, after):
            yield page
            after = page[-1].number

    def _page(self, outcome: str, after: int) -> list[StagedRow]:
        these = {"job": self.job.pk, "outcome": outcome, "after": after}
        with connection.cursor() as cursor:
            cursor.execute(PAGE, these | {"rows": MAX_PAGE_ROWS, "bytes": MAX_PAGE_BYTES})
            return [
                StagedRow(number, cells and json.loads(cells), cleaned, json.loads(errors or "[]"))
                for number, cells, cleaned, errors in cursor.fetchall()
            ]

    def _widest(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(WIDEST, {"job": self.job.pk})
            return cursor.fetchone()[0]
