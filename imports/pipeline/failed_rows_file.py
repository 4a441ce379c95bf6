"""Refused and skipped rows to a workbook or a CSV file, to be corrected and uploaded again.

Written to the disk as it is read, so that memory holds a page of rows and the comments.
Words are in the language that is active.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import BinaryIO

from django.utils.translation import gettext as _
from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from imports.importer import Cell
from imports.models import ImportJob
from imports.pipeline.failed_rows import FailedRows, NoFailedRows, OutputRow
from imports.pipeline.formula_injection import is_formula, neutralize_formula
from imports.statuses import Outcome

MAX_SHEET_ROWS = 1_048_576  # Excel's own limit; what is over it stands on a further sheet.
MAX_EXACT_NUMBER = 10**15  # Excel keeps no more of a number than that.
# Excel takes long to open a sheet of many comments, and they are held in memory: behind so
# many, the colour and the reason's column tell.
MAX_COMMENTS = 1_000
COLUMN_WIDTH, REASON_WIDTH = 18, 80


def write_workbook(job: ImportJob, file: BinaryIO) -> None:
    """Refused rows on the first sheet, skipped ones on the second; or NoFailedRows."""
    failed_rows = FailedRows(job)
    with Workbook(file, {"constant_memory": True}) as book:
        book.use_zip64()
        pen = WorkbookWriter(book)
        rows = pen.write(_("Failed"), failed_rows, Outcome.FAILED)
        rows += pen.write(_("Skipped"), failed_rows, Outcome.SKIPPED) if job.skipped else 0
    if not rows:
        raise NoFailedRows


def write_csv(job: ImportJob, file: BinaryIO) -> None:
    """Refused rows as CSV, delimited as the uploaded file was; or NoFailedRows."""
    failed_rows = FailedRows(job)
    # With the mark without which Excel misreads accents.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    delimiter = (job.detected_format or {}).get("delimiter") or ","
    iterate_rows = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    iterate_rows.writerow(map(neutralize_formula, failed_rows.headers))
    is_empty = True
    for line in failed_rows.iterate_rows(Outcome.FAILED):
        iterate_rows.writerow(map(neutralize_formula, line.cells))
        is_empty = False
    text.detach()  # The file is not ours to close.
    if is_empty:
        raise NoFailedRows


class WorkbookWriter:
    """Writes sheets of one workbook, with its formats and its count of comments."""

    def __init__(self, book: Workbook) -> None:
        self.book = book
        self.comments_left = MAX_COMMENTS
        self.header = book.add_format({"bold": True, "num_format": "@"})
        # As text, so that zeros survive an edit; a formula stays text even when it is edited.
        self.formats = {
            (is_bad, is_quoted): book.add_format(
                {
                    "num_format": "@",
                    **({"bg_color": "#FFC7CE"} if is_bad else {}),
                    **({"quote_prefix": True} if is_quoted else {}),
                }
            )
            for is_bad in (False, True)
            for is_quoted in (False, True)
        }
        self.bad_number = book.add_format({"bg_color": "#FFC7CE"})

    def write(self, name: str, failed_rows: FailedRows, outcome: str) -> int:
        """A sheet of these rows, or several if one cannot hold them."""
        iterate_rows, rows, title = failed_rows.iterate_rows(outcome), 0, name
        for number in count(2):
            sheet = self.new_sheet(title, failed_rows)
            rows += self.fill(sheet, islice(iterate_rows, MAX_SHEET_ROWS - 1))
            following = next(iterate_rows, None)
            if following is None:
                break
            iterate_rows, title = chain([following], iterate_rows), f"{name} {number}"
        return rows

    def new_sheet(self, name: str, failed_rows: FailedRows) -> Worksheet:
        sheet = self.book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, failed_rows.width - 1, COLUMN_WIDTH)
        sheet.set_column(failed_rows.reason, failed_rows.reason, REASON_WIDTH)
        for column, header in enumerate(failed_rows.headers):
            self.write_cell(sheet, 0, column, header, self.header)
        return sheet

    def fill(self, sheet: Worksheet, iterate_rows: Iterator[OutputRow]) -> int:
        row = 0
        for row, line in enumerate(iterate_rows, start=1):
            for column, cell in enumerate(line.cells):
                if cell is not None or column in line.reasons:
                    shape = self.shape_of(cell, is_bad=column in line.reasons)
                    self.write_cell(sheet, row, column, cell, shape)
            for column, reason in line.reasons.items():
                self.comment(sheet, row, column, reason)
        return row

    def shape_of(self, cell: Cell, *, is_bad: bool) -> Format | None:
        if isinstance(cell, int | float):
            return self.bad_number if is_bad else None
        return self.formats[is_bad, isinstance(cell, str) and is_formula(cell)]

    def write_cell(
        self, sheet: Worksheet, row: int, column: int, cell: Cell, shape: Format | None
    ) -> None:
        """Numbers stay numbers; text is written as text, whatever it looks like."""
        if cell is None:
            sheet.write_blank(row, column, None, shape)
        elif isinstance(cell, bool):
            sheet.write_boolean(row, column, cell, shape)
        elif isinstance(cell, int | float) and abs(cell) < MAX_EXACT_NUMBER:
            sheet.write_number(row, column, cell, shape)
        else:
            self.write_text(sheet, row, column, str(cell), shape)

    def write_text(
        self, sheet: Worksheet, row: int, column: int, text: str, shape: Format | None
    ) -> None:
        if text.startswith("'"):
            text = neutralize_formula(
                text
            )  # Of the apostrophes in a report one is taken off again.
        if text.startswith("<r>") and text.endswith("</r>"):
            # XlsxWriter takes it for its own markup and lets it into the XML as it is, unless
            # it comes in pieces.
            sheet.write_rich_string(row, column, text[:1], text[1:3], text[3:], shape)
        else:
            sheet.write_string(row, column, text, shape)

    def comment(self, sheet: Worksheet, row: int, column: int, reason: str) -> None:
        if self.comments_left:
            self.comments_left -= 1
            sheet.write_comment(row, column, reason, {"x_scale": 2})
