"""Failed, skipped and kept rows in the columns of the uploaded file, each with its reason.

Rows are read from the staged rows page by page; the file is not read again. This module knows
neither HTTP nor file formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from imports import error_messages
from imports.importer import Cell, Column, get_importer_or_placeholder, get_lookup
from imports.model_fields import get_related_model, get_target_field
from imports.models import ImportJob
from imports.pipeline.header_detection import (
    REASON_HEADER_PREFIX,
    DetectedColumns,
    find_reason_columns,
    get_header,
    match_columns,
)
from imports.pipeline.row_validation import StoredRowError
from imports.postgres import open_cursor

MAX_PAGE_ROWS = 1_000
MAX_PAGE_BYTES = 2 << 20  # A row may hold a megabyte.

# A page starts after the last row number of the page before, which costs less than OFFSET. The
# window function ends a page at MAX_PAGE_BYTES, but not before its first row.
SELECT_PAGE = """
SELECT number, cells, cleaned, errors, kept
  FROM (SELECT number, cells, cleaned, errors, kept, row_number() OVER so_far AS place,
               sum(coalesce(octet_length(cells::text), 0)
                   + coalesce(octet_length(cleaned::text), 0)) OVER so_far AS bytes
          FROM (SELECT number, cells, cleaned, errors, kept
                  FROM imports_importrow
                 WHERE job_id = %(job)s AND {is_selected} AND number > %(after)s
                 ORDER BY number LIMIT %(rows)s) AS page
        WINDOW so_far AS (ORDER BY number)) AS sized
 WHERE place = 1 OR bytes <= %(bytes)s
 ORDER BY number
"""
SELECT_MAX_WIDTH = """
SELECT coalesce(max(jsonb_array_length(cells)), 0)
  FROM imports_importrow
 WHERE job_id = %(job)s AND (outcome IN ('failed', 'skipped') OR kept IS NOT NULL)
"""
# The selection of the rows whose records undo has kept. The others are outcomes.
KEPT = "kept"


class NoFailedRows(Exception):
    """The import has no such rows: none failed, or they are deleted by now."""


class OutputRow(NamedTuple):
    """A row as it is written to a file of failed rows."""

    cells: list[Cell]  # The reason is one of them.
    reasons: dict[int, str]  # Index of a cell with an error to its message.


class StagedRow(NamedTuple):
    """A row as it is stored."""

    number: int
    cells: list[Cell] | None
    cleaned: list[str | None] | None
    errors: list[StoredRowError]
    kept: dict[str, Any] | None  # Why undo has kept the record.


class FailedRows:
    """The failed, skipped and kept rows of an import, in the columns of its file.

    Attributes:
        headers: One for each column of the output; None for a column without a header.
        reason: Index of the column with the reasons.
        width: Number of columns, the one with the reasons included.
    """

    def __init__(self, job: ImportJob) -> None:
        self.job = job
        self.importer = get_importer_or_placeholder(job.importer)
        self._messages: dict[tuple[str, str | None, str], str] = {}
        self.columns = (
            DetectedColumns(**job.detected_columns)
            if job.detected_columns
            else DetectedColumns(0, [], {}, [])
        )
        self.positions = self.columns.positions
        min_width = max(self.positions.values(), default=-1) + 1
        headers: list[str | None] = [*self.columns.headers] or [None] * min_width
        width = max(len(headers), self._get_max_width())
        # A file of failed rows that is uploaded again has the column already.
        self.reason = next(iter(find_reason_columns(self.columns.headers)), width)
        self.width = max(width, self.reason + 1)
        headers += [None] * (self.width - len(headers))
        self.headers = self._make_recognizable(headers)
        self.headers[self.reason] = f"{REASON_HEADER_PREFIX} {_('Reason')}"

    def iterate_rows(self, selection: str) -> Iterator[OutputRow]:
        """Iterate over the rows with this outcome, or those of KEPT, in the order of the file.

        Messages are in the active language.
        """
        for page in self._iterate_pages(selection):
            lookups = self._get_natural_keys(page)
            for row in page:
                cells = row.cells or self._restore_cells(row.cleaned or [], lookups)
                yield self._make_output_row(row, cells, selection)

    def _make_recognizable(self, headers: list[str | None]) -> list[str | None]:
        """Return the file's headers if they name the same columns as in the import.

        Otherwise, for example after a column mapping, return headers that do.
        """
        matched = match_columns([*headers], self.importer)
        if matched.columns() == self.columns.columns():
            return headers
        names = {
            self.positions[column.field]: get_header(column, self.importer)
            for column in self._get_filled_columns()
        }
        # Another column whose header names a field would be read as well, or instead.
        used = set(chain.from_iterable(self.columns.columns().values()))
        unused = set(chain.from_iterable(matched.columns().values())) - used
        return [
            _("%(column)s (not used)") % {"column": name} if index in unused else name
            for index, name in enumerate(names.get(i, name) for i, name in enumerate(headers))
        ]

    def _get_filled_columns(self) -> list[Column]:
        return [column for column in self.importer.columns if column.field in self.positions]

    def _make_output_row(self, row: StagedRow, cells: list[Cell], outcome: str) -> OutputRow:
        messages: dict[int, list[str]] = {}
        reasons = [_("Row %(row)s.") % {"row": row.number}]  # Of the file that was uploaded.
        if row.kept is not None:
            reasons.append(error_messages.describe_kept(row.kept))
        for error in row.errors:
            message = self._get_message(error, outcome)
            field = error["field"]
            if field is not None and field in self.positions:
                messages.setdefault(self.positions[field], []).append(message)
            label = self.get_column_label(field)
            reasons.append(f"{label}: {message}" if label else message)
        cells = [*cells, *[None] * (self.width - len(cells))]
        cells[self.reason] = " ".join(reasons)
        return OutputRow(cells, {index: " ".join(texts) for index, texts in messages.items()})

    def _get_message(self, error: StoredRowError, outcome: str) -> str:
        """Return the message of an error. Messages without parameters are computed once."""
        if error["params"]:
            return error_messages.describe_row_error(error, self.job.importer, outcome)
        key = error["code"], error["field"], outcome
        if key not in self._messages:
            message = error_messages.describe_row_error(error, self.job.importer, outcome)
            self._messages[key] = message
        return self._messages[key]

    def get_column_label(self, field: str | None) -> str:
        """Return the header of the column that fills the field, else the field's own label.

        Returns an empty text for None, which stands for the row as a whole.
        """
        if field is None:
            return ""
        header = self.headers[self.positions[field]] if field in self.positions else None
        return header or capfirst(self.importer.label(field))

    def _restore_cells(
        self, cleaned: list[str | None], lookups: dict[str, dict[str | None, str]]
    ) -> list[Cell]:
        """Return the cleaned values in the file's columns, for a row whose cells are not kept."""
        columns = self.importer.columns
        if not columns:  # The importer is gone, so the fields of the values are not known.
            return [*cleaned]
        cells: list[Cell] = [None] * self.width
        # The importer may have got a further column since the import.
        for column, value in zip(columns, cleaned, strict=False):
            if column.field in self.positions:
                keys = lookups.get(column.field, {})
                cells[self.positions[column.field]] = keys.get(value, value)
        return cells

    def _get_natural_keys(self, page: list[StagedRow]) -> dict[str, dict[str | None, str]]:
        """Return, for each field with a lookup, primary key to natural key, as the file has it."""
        natural_keys: dict[str, dict[str | None, str]] = {}
        for index, column in enumerate(self.importer.columns):
            if lookup := get_lookup(self.importer.model, column):
                keys = {row.cleaned[index] for row in page if row.cleaned} - {None}
                target = get_target_field(self.importer.model, column.field).attname
                related = get_related_model(self.importer.model, column.field)
                records = related._default_manager.filter(**{f"{target}__in": keys})
                natural_keys[column.field] = {
                    str(key): next((str(name) for name in names if name not in (None, "")), "")
                    for key, *names in records.values_list(target, *lookup.fields)
                }
        return natural_keys

    def _iterate_pages(self, selection: str) -> Iterator[list[StagedRow]]:
        after = 0
        while page := self._load_page(selection, after):
            yield page
            after = page[-1].number

    def _load_page(self, selection: str, after: int) -> list[StagedRow]:
        is_selected = "kept IS NOT NULL" if selection == KEPT else "outcome = %(outcome)s"
        with open_cursor() as cursor:
            cursor.execute(
                SELECT_PAGE.format(is_selected=is_selected),
                {
                    "job": self.job.pk,
                    "outcome": selection,
                    "after": after,
                    "rows": MAX_PAGE_ROWS,
                    "bytes": MAX_PAGE_BYTES,
                },
            )
            return [
                StagedRow(
                    number,
                    cells and json.loads(cells),
                    cleaned,
                    json.loads(errors or "[]"),
                    kept and json.loads(kept),
                )
                for number, cells, cleaned, errors, kept in cursor.fetchall()
            ]

    def _get_max_width(self) -> int:
        with open_cursor() as cursor:
            cursor.execute(SELECT_MAX_WIDTH, {"job": self.job.pk})
            return int(cursor.fetchone()[0])
