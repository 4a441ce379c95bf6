"""Rows of a workbook of Excel 97 to 2003 (.xls). A sheet has at most 65,536 rows.

xlrd reads the file, because calamine returns error cells as empty. If xlrd fails, calamine reads
the file.
"""

import io
import mmap
from collections.abc import Iterator
from functools import partial
from io import BufferedReader

import xlrd
from displayed_numbers import NumberFormatter
from hyperlinks import SheetLinks, is_contact_address
from merged_cells import fill_merged_rows, group_spans
from number_formats import BUILTIN_FORMATS
from protocol import ReadError, ReadRequest, RowWriter
from sheets import Sheet, SheetRow, expand_hidden_columns
from xlrd.biffh import XL_CELL_BOOLEAN, XL_CELL_DATE, XL_CELL_ERROR, XL_CELL_NUMBER, XL_CELL_TEXT
from xlrd.formatting import std_format_strings
from xlsx_reader import read_with_calamine, write_sheet_rows

XLS_VISIBLE = 0
NOT_A_WORKBOOK_MESSAGE = "Can't find workbook"


def read_xls(file: BufferedReader, writer: RowWriter, request: ReadRequest) -> None:
    """Write the rows of one sheet.

    Raises:
        ReadError: Neither parser can read the file, or a row breaks a limit.
    """
    try:
        write_sheet_rows("xls", list_xls_sheets(file), writer, request)
    except (ReadError, MemoryError):
        raise
    except Exception:  # xlrd raises many types, also for damage that other programs ignore.
        read_with_calamine("xls", file, writer, request, is_second_reader=True)


def list_xls_sheets(file: BufferedReader) -> list[Sheet]:
    """Return the worksheets.

    Raises:
        ReadError: The file is encrypted, or is no workbook.
    """
    book = _open_book(file)
    numbers = NumberFormatter(_read_number_formats(book), is_1904=bool(book.datemode))
    return [
        _make_sheet(book, position, name, visibility == XLS_VISIBLE, numbers)
        for position, (name, visibility) in enumerate(
            zip(book.sheet_names(), book._sheet_visibility, strict=True)
        )
    ]


def _make_sheet(
    book: xlrd.Book, position: int, name: str, is_visible: bool, numbers: NumberFormatter
) -> Sheet:
    hidden_rows: set[int] = set()
    rows = partial(_iter_filled_rows, book, position, numbers, hidden_rows)
    columns = partial(_find_hidden_columns, book, position)
    return Sheet(name, is_visible, rows, hidden_rows, columns)


def _find_hidden_columns(book: xlrd.Book, position: int) -> list[int]:
    columns = book.sheet_by_index(position).colinfo_map
    return expand_hidden_columns((index, index) for index, info in columns.items() if info.hidden)


def _open_book(file: BufferedReader) -> xlrd.Book:
    content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return xlrd.open_workbook(
            file_contents=content,
            logfile=io.StringIO(),  # By default xlrd prints to standard output.
            formatting_info=True,
            on_demand=True,
            ragged_rows=True,
        )
    except xlrd.XLRDError as error:
        if "encrypted" in str(error):
            raise ReadError("encrypted_file") from None
        if str(error).startswith(NOT_A_WORKBOOK_MESSAGE):
            raise ReadError("not_a_spreadsheet") from None
        raise


def _read_number_formats(book: xlrd.Book) -> dict[int, str]:
    """Return the number format of each cell style."""
    formats = book.format_map
    codes = {number: entry.format_str for number, entry in formats.items()}
    for number, code in BUILTIN_FORMATS.items():
        if codes.get(number) == std_format_strings.get(number):
            codes[number] = code
    return {
        index: codes[style.format_key]
        for index, style in enumerate(book.xf_list)
        if style.format_key in codes
    }


def _iter_filled_rows(
    book: xlrd.Book, position: int, numbers: NumberFormatter, hidden_rows: set[int]
) -> Iterator[SheetRow]:
    sheet = book.sheet_by_index(position)
    hidden_rows.update(
        index + 1 for index, info in sheet.rowinfo_map.items() if info.hidden or info.height == 0
    )
    spans = group_spans((top + 1, bottom, left) for top, bottom, left, _ in sheet.merged_cells)
    rows = _iter_rows(sheet, numbers, _read_links(sheet))
    return fill_merged_rows(rows, spans) if spans else rows


def _read_links(sheet: xlrd.sheet.Sheet) -> SheetLinks:
    return SheetLinks(
        ((link.frowx + 1, link.lrowx + 1, link.fcolx, link.lcolx), link.url_or_path)
        for link in sheet.hyperlink_list
        if type(link.url_or_path) is str and is_contact_address(link.url_or_path)
    )


def _iter_rows(
    sheet: xlrd.sheet.Sheet, numbers: NumberFormatter, links: SheetLinks
) -> Iterator[SheetRow]:
    for index in range(sheet.nrows):
        cells = [_convert_cell(cell, numbers) for cell in sheet.row(index)]
        links.apply_to_row(index + 1, cells)
        yield index + 1, cells, (index + 1) / sheet.nrows


def _convert_cell(cell: xlrd.sheet.Cell, numbers: NumberFormatter) -> object:
    if cell.ctype == XL_CELL_TEXT:
        return cell.value or None
    if cell.ctype in {XL_CELL_NUMBER, XL_CELL_DATE}:
        return numbers.convert(cell.value, cell.xf_index)
    if cell.ctype == XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == XL_CELL_ERROR:
        return xlrd.error_text_from_code.get(cell.value, "#VALUE!")
    return None
