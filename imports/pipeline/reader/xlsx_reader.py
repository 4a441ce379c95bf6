"""Rows of an .xlsx file: calamine reads it if it fits in memory, otherwise openpyxl.

calamine loads a whole sheet before it returns the first row; it is many times as fast. openpyxl
reads row by row. openpyxl also reads the workbooks of any size that calamine reads
differently (see `zip_inspection`).

A small file can need much memory, too, for example if every cell shows the same long string. The
memory of calamine is therefore limited. If it needs more, this process ends, and the parent starts
another one that uses openpyxl.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Set
from functools import partial
from io import BufferedReader
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from cell_conversion import CONVERTERS, MIN_ROUNDED_INTEGER, convert_float
from hyperlinks import SheetLinks
from merged_cells import fill_merged_rows, group_spans
from protocol import ReadError, ReadRequest, RowWriter
from sandbox import limit_memory
from sheets import Sheet, SheetRow, choose_sheet, list_visible_names
from xlsx_overrides import AmbiguousXml, CellOverrides, SheetXml, WorkbookFormats
from zip_inspection import (
    HIDDEN_MARKS,
    LINK_MARKS,
    OVERRIDE_MARKS,
    STREAM_ONLY_MARKS,
    InspectedArchive,
)

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

# Enough for a workbook of `calamine_bytes` uncompressed bytes.
CALAMINE_MEMORY_FRACTION = 0.45
EXPAT_NO_MEMORY = 1  # XML_ERROR_NO_MEMORY
HIDDEN_ROW_NOTES = ("hidden_row",)
DATE_TYPES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)


def read_xlsx(
    file: BufferedReader, writer: RowWriter, request: ReadRequest, archive: InspectedArchive
) -> None:
    """Write the rows of one sheet.

    Raises:
        ReadError: The workbook is damaged, or a row breaks a limit.
        MemoryError: The workbook needs more memory than the process may use.
    """
    fits = archive.inflated_bytes <= request.limits["calamine_bytes"]
    is_readable = fits and not archive.marks & STREAM_ONLY_MARKS
    if is_readable and _read_all_with_calamine(file, writer, request, archive):
        return
    from xlsx_stream_reader import list_streamed_sheets

    read_sheets("xlsx", partial(list_streamed_sheets, file, request.limits), writer, request)


def _read_all_with_calamine(
    file: BufferedReader, writer: RowWriter, request: ReadRequest, archive: InspectedArchive
) -> bool:
    """Return whether calamine has read all rows. If not, openpyxl continues where it stopped.

    calamine panics on some valid files, for example on a duration of a million years. A panic is a
    BaseException.
    """
    try:
        with limit_memory(CALAMINE_MEMORY_FRACTION):
            formats = WorkbookFormats(file)
            sheets = list_calamine_sheets(
                file,
                lambda position: SheetOverrides(SheetXml(file, position), formats, archive.marks),
            )
            write_sheet_rows("xlsx", sheets, writer, request)
    except ReadError:
        raise
    except BaseException:
        return False
    return True


def read_sheets(
    format_name: str,
    list_sheets: Callable[[], list[Sheet]],
    writer: RowWriter,
    request: ReadRequest,
) -> None:
    """Write the rows of one sheet.

    Raises:
        ReadError: The parser has failed, or a row breaks a limit.
        MemoryError: The workbook needs more memory than the process may use.
    """
    try:
        write_sheet_rows(format_name, list_sheets(), writer, request)
    except (ReadError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, ParseError) and error.code == EXPAT_NO_MEMORY:
            raise MemoryError from None
        raise ReadError("damaged_file") from None


def read_with_calamine(
    format_name: str,
    file: BufferedReader,
    writer: RowWriter,
    request: ReadRequest,
    *,
    is_second_reader: bool = False,
) -> None:
    """Write the rows of one sheet with the plain values that calamine returns.

    is_second_reader: another parser has failed. Rows that it has written are skipped.

    Raises:
        ReadError: The workbook is damaged, or a row breaks a limit.
        MemoryError: The workbook needs more memory than the process may use.
    """
    try:
        sheets = list_calamine_sheets(file)
        write_sheet_rows(format_name, sheets, writer, request, is_second_reader=is_second_reader)
    except (ReadError, MemoryError):
        raise
    except BaseException:  # A panic of calamine is not an Exception.
        raise ReadError("damaged_file") from None


def write_sheet_rows(
    format_name: str,
    sheets: list[Sheet],
    writer: RowWriter,
    request: ReadRequest,
    *,
    is_second_reader: bool = False,
) -> None:
    """Choose a sheet and write its format and its rows. Rows that are already written are skipped.

    is_second_reader: see `read_with_calamine`.

    Raises:
        ReadError: There is no such sheet, or a row breaks a limit.
    """
    chosen = choose_sheet(sheets, request, writer.sheet_position)
    writer.sheet_position = chosen.position
    sheet = sheets[chosen.position]
    writer.write_format(
        format_name,
        sheet=chosen.name,
        sheets=list_visible_names(sheets),
        hidden_columns=sheet.find_hidden_columns(),
        second_reader=is_second_reader,
    )
    hidden_rows = sheet.hidden_rows
    for number, cells, fraction in chosen.rows:
        if number > writer.last_row:
            notes = HIDDEN_ROW_NOTES if number in hidden_rows else ()
            writer.write_row(number, cells, fraction, notes)


def list_calamine_sheets(
    file: BufferedReader, make_overrides: Callable[[int], SheetOverrides] | None = None
) -> list[Sheet]:
    """Return the worksheets. Their rows are read when they are iterated.

    make_overrides: return the overrides for the sheet at this index; None if the sheets are not
        XML.
    """
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    file.seek(0)
    book = CalamineWorkbook.from_filelike(file)
    sheets = []
    for position, sheet in enumerate(book.sheets_metadata):
        if sheet.typ != SheetTypeEnum.WorkSheet:
            continue
        is_visible = sheet.visible == SheetVisibleEnum.Visible
        if make_overrides is None:
            rows = partial(_iter_plain_rows, book, position)
            sheets.append(Sheet(sheet.name, is_visible, rows))
            continue
        overrides = make_overrides(position)
        rows = partial(_iter_overridden_rows, book, position, overrides)
        sheets.append(
            Sheet(
                sheet.name,
                is_visible,
                rows,
                overrides.hidden_rows,
                overrides.find_hidden_columns,
            )
        )
    return sheets


def _iter_plain_rows(book: CalamineWorkbook, position: int) -> Iterator[SheetRow]:
    sheet = book.get_sheet_by_index(position)
    return _fill_merged(sheet, _iter_sheet_rows(sheet, CONVERTERS))


def _iter_overridden_rows(
    book: CalamineWorkbook, position: int, overrides: SheetOverrides
) -> Iterator[SheetRow]:
    sheet = book.get_sheet_by_index(position)
    return _fill_merged(
        sheet, overrides.override_rows(_iter_sheet_rows(sheet, overrides.converters))
    )


def _fill_merged(sheet: CalamineSheet, rows: Iterator[SheetRow]) -> Iterator[SheetRow]:
    merged = sheet.merged_cell_ranges or ()
    spans = group_spans((top + 1, bottom + 1, left) for (top, left), (bottom, _) in merged)
    return fill_merged_rows(rows, spans) if spans else rows


def _iter_sheet_rows(
    sheet: CalamineSheet, converters: dict[type, Callable[[Any], object]]
) -> Iterator[SheetRow]:
    """Yield all rows. calamine leaves out empty columns on the left, which are added here."""
    if sheet.start is None or sheet.end is None:
        return
    left: list[object] = [None] * sheet.start[1]
    height = sheet.end[0] + 1
    for number, values in enumerate(sheet.iter_rows(), start=1):
        # Most cells are text. The check takes half the time of a call.
        cells = [v or None if type(v) is str else converters[type(v)](v) for v in values]
        yield number, left + cells, number / height


class SheetOverrides:
    """Complete the values of calamine with what the XML of the sheet says.

    The XML is read only if it is needed. Hidden rows and links are read if the archive has marks of
    them. Cells are read if the workbook has number formats that calamine does not report, or when
    calamine returns a date or a number of more than fifteen digits.

    hidden_rows: empty until `find_hidden_columns` is called.
    """

    def __init__(self, xml: SheetXml, formats: WorkbookFormats, marks: Set[bytes]) -> None:
        self.hidden_rows: set[int] = set()
        self._xml = xml
        self._formats = formats
        self._has_hidden = bool(marks & HIDDEN_MARKS)
        self._has_links = bool(marks & LINK_MARKS)
        self._has_marks = bool(marks & OVERRIDE_MARKS)
        # Of the current row.
        self._dates: list[object] = []
        self._long_numbers: list[object] = []
        self.converters: dict[type, Callable[[Any], object]] = CONVERTERS | {
            float: self._convert_number,
            int: self._convert_number,
        }
        for date_type in DATE_TYPES:
            self.converters[date_type] = partial(self._convert_date, CONVERTERS[date_type])

    def find_hidden_columns(self) -> list[int]:
        """Return the indices of hidden columns, and set `hidden_rows`."""
        if not self._has_hidden:
            return []
        rows, columns = self._xml.find_hidden()
        self.hidden_rows.update(rows)
        return columns

    def override_rows(self, rows: Iterator[SheetRow]) -> Iterator[SheetRow]:
        """Yield the rows with their cells replaced.

        rows: must use `converters`, which note the dates and long numbers of the current row.

        Raises:
            AmbiguousXml: openpyxl must read the workbook.
        """
        links = self._xml.find_links() if self._has_links else SheetLinks()
        overrides = self._find_cells(
            self._formats.styles if self._formats.has_formatted_numbers else None
        )
        long_numbers: CellOverrides | None = None
        for number, cells, fraction in rows:
            if self._dates and overrides is None:
                overrides = self._find_cells(self._formats.styles)
            if self._long_numbers and long_numbers is None:
                long_numbers = self._require(self._xml.find_cells(only_long_numbers=True))
            if overrides is not None:
                self._apply(number, cells, overrides, self._dates)
            if long_numbers is not None:
                self._apply(number, cells, long_numbers, self._long_numbers)
            if links:
                links.apply_to_row(number, cells)
            yield number, cells, fraction

    def _find_cells(self, styles: Set[int] | None) -> CellOverrides | None:
        """Find the cells of these styles, and the errors and formulas of the sheet.

        Return None if the sheet needs no overrides.

        styles: None if no style needs overrides.
        """
        if styles is None and not self._has_marks:
            return None
        return self._require(self._xml.find_cells(styles or self._formats.styles))

    def _require(self, overrides: CellOverrides | None) -> CellOverrides:
        if overrides is None:
            raise AmbiguousXml
        return overrides

    def _apply(
        self, number: int, cells: list[object], overrides: CellOverrides, expected: list[object]
    ) -> None:
        """Replace cells of the row. The XML must have all numbers that calamine has returned."""
        if overrides.apply_to_row(number, cells, self._formats.numbers) < len(expected):
            raise AmbiguousXml
        expected.clear()

    def _convert_number(self, value: float) -> object:
        if -MIN_ROUNDED_INTEGER < value < MIN_ROUNDED_INTEGER:
            return int(value) if value.is_integer() else value
        cell = convert_float(value)
        self._long_numbers.append(cell)
        return cell

    def _convert_date(self, convert: Callable[[object], object], value: object) -> object:
        self._dates.append(value)
        return convert(value)
