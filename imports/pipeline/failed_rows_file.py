"""Write the failed, skipped or kept rows of an import to a workbook or a CSV file.

People correct failed rows in the file and upload it again. The rows are written as they are read,
so only one page of rows and the comments are in memory. Texts are in the active language.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import TYPE_CHECKING, BinaryIO

from django.utils.translation import gettext as _

from imports.importer import Cell
from imports.models import ImportJob
from imports.pipeline.failed_rows import KEPT, FailedRows, NoFailedRows, OutputRow
from imports.pipeline.formula_injection import (
    double_apostrophes,
    is_formula,
    neutralize_formula,
)
from imports.statuses import Outcome
from imports.workbooks import create_workbook

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

MAX_SHEET_ROWS = 1_048_576  # Excel's limit. Further rows go to further sheets.
MAX_EXACT_NUMBER = 10**15  # Excel keeps 15 digits of a number.
# Excel takes long to open a sheet with many comments, and they are held in memory. Cells beyond
# this number of comments have only their color and the column with the reasons.
MAX_COMMENTS = 1_000
COLUMN_WIDTH_CHARS = 18
REASON_WIDTH_CHARS = 80
ERROR_COLOR = "#FFC7CE"


def write_workbook(job: ImportJob, file: BinaryIO) -> None:
    """Write failed rows to the first sheet of a workbook, and skipped rows to the second.

    Raises:
        NoFailedRows: The import has no failed and no skipped rows.
        WorkbooksNotSupported: XlsxWriter is not installed.
    """
    failed_rows = FailedRows(job)
    with create_workbook(file, constant_memory=True) as book:
        book.use_zip64()
        writer = WorkbookWriter(book)
        row_count = writer.write(_("Failed"), failed_rows, Outcome.FAILED)
        if job.skipped:
            row_count += writer.write(_("Skipped"), failed_rows, Outcome.SKIPPED)
    if not row_count:
        raise NoFailedRows


def write_kept_workbook(job: ImportJob, file: BinaryIO) -> None:
    """Write the rows whose records undo has kept to a workbook.

    Raises:
        NoFailedRows: Undo has kept no record.
        WorkbooksNotSupported: XlsxWriter is not installed.
    """
    with create_workbook(file, constant_memory=True) as book:
        book.use_zip64()
        row_count = WorkbookWriter(book).write(_("Kept"), FailedRows(job), KEPT)
    if not row_count:
        raise NoFailedRows


def write_csv(job: ImportJob, file: BinaryIO, *, selection: str = Outcome.FAILED) -> None:
    """Write failed rows, or those of another selection, as CSV.

    The delimiter is that of the uploaded file.

    Raises:
        NoFailedRows: The import has no such rows.
    """
    failed_rows = FailedRows(job)
    # Excel needs the byte order mark to read accents.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    delimiter = (job.detected_format or {}).get("delimiter") or ","
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(map(neutralize_formula, failed_rows.headers))
    is_empty = True
    for row in failed_rows.iterate_rows(selection):
        writer.writerow(map(neutralize_formula, row.cells))
        is_empty = False
    text.detach()  # The caller closes the file.
    if is_empty:
        raise NoFailedRows


class WorkbookWriter:
    """Writes the sheets of one workbook. MAX_COMMENTS counts for all of them."""

    def __init__(self, book: Workbook) -> None:
        self.book = book
        self.comments_left = MAX_COMMENTS
        self.header_format = book.add_format({"bold": True, "num_format": "@"})
        # The text format keeps leading zeros after an edit; the quote prefix keeps a formula text.
        self.text_formats = {
            (has_error, is_quoted): book.add_format(
                {
                    "num_format": "@",
                    **({"bg_color": ERROR_COLOR} if has_error else {}),
                    **({"quote_prefix": True} if is_quoted else {}),
                }
            )
            for has_error in (False, True)
            for is_quoted in (False, True)
        }
        self.number_error_format = book.add_format({"bg_color": ERROR_COLOR})

    def write(self, name: str, failed_rows: FailedRows, selection: str) -> int:
        """Write the rows of this selection to a sheet, or to several if they do not fit.

        Returns the number of rows. A sheet is written even if there are none.
        """
        rows, row_count, title = failed_rows.iterate_rows(selection), 0, name
        for number in count(2):
            sheet = self._add_sheet(title, failed_rows)
            row_count += self._write_rows(sheet, islice(rows, MAX_SHEET_ROWS - 1))
            next_row = next(rows, None)
            if next_row is None:
                break
            rows, title = chain([next_row], rows), f"{name} {number}"
        return row_count

    def _add_sheet(self, name: str, failed_rows: FailedRows) -> Worksheet:
        sheet = self.book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, failed_rows.width - 1, COLUMN_WIDTH_CHARS)
        sheet.set_column(failed_rows.reason, failed_rows.reason, REASON_WIDTH_CHARS)
        for column, header in enumerate(failed_rows.headers):
            self._write_cell(sheet, 0, column, header, self.header_format)
        return sheet

    def _write_rows(self, sheet: Worksheet, rows: Iterator[OutputRow]) -> int:
        number = 0
        for number, row in enumerate(rows, start=1):
            for column, cell in enumerate(row.cells):
                if cell is not None or column in row.reasons:
                    cell_format = self._get_format(cell, has_error=column in row.reasons)
                    self._write_cell(sheet, number, column, cell, cell_format)
            for column, reason in row.reasons.items():
                self._write_comment(sheet, number, column, reason)
        return number

    def _get_format(self, cell: Cell, *, has_error: bool) -> Format | None:
        if isinstance(cell, int | float):
            return self.number_error_format if has_error else None
        return self.text_formats[has_error, isinstance(cell, str) and is_formula(cell)]

    def _write_cell(
        self, sheet: Worksheet, row: int, column: int, cell: Cell, cell_format: Format | None
    ) -> None:
        """Write a number as a number, and text as text, even if it looks like something else."""
        if cell is None:
            sheet.write_blank(row, column, None, cell_format)
        elif isinstance(cell, bool):
            sheet.write_boolean(row, column, cell, cell_format)
        elif isinstance(cell, int | float) and abs(cell) < MAX_EXACT_NUMBER:
            sheet.write_number(row, column, cell, cell_format)
        else:
            self._write_text(sheet, row, column, str(cell), cell_format)

    def _write_text(
        self, sheet: Worksheet, row: int, column: int, text: str, cell_format: Format | None
    ) -> None:
        # When the file is uploaded again, an apostrophe in front of a formula is removed.
        text = double_apostrophes(text)
        if text.startswith("<r>") and text.endswith("</r>"):
            # XlsxWriter takes such text for its own markup and writes it to the XML without
            # escapes, unless it comes in parts.
            sheet.write_rich_string(row, column, text[:1], text[1:3], text[3:], cell_format)
        else:
            sheet.write_string(row, column, text, cell_format)

    def _write_comment(self, sheet: Worksheet, row: int, column: int, reason: str) -> None:
        if self.comments_left:
            self.comments_left -= 1
            sheet.write_comment(row, column, reason, {"x_scale": 2})
