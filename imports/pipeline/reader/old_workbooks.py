"""Rows of a workbook of Excel 97 to 2003 (.xls), which holds at most 65,536 of them.

xlrd reads it and not calamine, which gives its error cells as empty ones.
"""

import io
import mmap
from collections.abc import Iterator
from functools import partial
from io import BufferedReader

import xlrd
from answers import Refused
from merged import filled, spans_of
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH
from sheets import Row, Sheet
from shown import Numbers
from xlrd.biffh import XL_CELL_BOOLEAN, XL_CELL_DATE, XL_CELL_ERROR, XL_CELL_NUMBER, XL_CELL_TEXT

EPOCHS = {0: WINDOWS_EPOCH, 1: MAC_EPOCH}
VISIBLE = 0
NOT_A_WORKBOOK = "Can't find workbook"


def sheets(file: BufferedReader) -> list[Sheet]:
    """The worksheets."""
    book = _opened(file)
    numbers = Numbers(_number_formats(book), EPOCHS[book.datemode])
    return [
        Sheet(name, visibility == VISIBLE, partial(_rows, book, position, numbers))
        for position, (name, visibility) in enumerate(
            zip(book.sheet_names(), book._sheet_visibility, strict=True)
        )
    ]


def _opened(file: BufferedReader) -> xlrd.Book:
    content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return xlrd.open_workbook(
            file_contents=content,
            logfile=io.StringIO(),  # Its own is our way to speak.
            formatting_info=True,
            on_demand=True,
            ragged_rows=True,
        )
    except xlrd.XLRDError as error:
        if "encrypted" in str(error):
            raise Refused("encrypted_file") from None
        if str(error).startswith(NOT_A_WORKBOOK):
            raise Refused("not_a_spreadsheet") from None
        raise


def _number_formats(book: xlrd.Book) -> dict[int, str]:
    """The number format of each cell style."""
    formats = book.format_map
    return {
        n: formats[style.format_key].format_str
        for n, style in enumerate(book.xf_list)
        if style.format_key in formats
    }


def _rows(book: xlrd.Book, position: int, numbers: Numbers) -> Iterator[Row]:
    sheet = book.sheet_by_index(position)
    spans = spans_of((top + 1, bottom, left) for top, bottom, left, _ in sheet.merged_cells)
    rows = _numbered(sheet, numbers)
    return filled(rows, spans) if spans else rows


def _numbered(sheet: xlrd.sheet.Sheet, numbers: Numbers) -> Iterator[Row]:
    for index in range(sheet.nrows):
        cells = [_value(cell, numbers) for cell in sheet.row(index)]
        yield index + 1, cells, (index + 1) / sheet.nrows


def _value(cell: xlrd.sheet.Cell, numbers: Numbers) -> object:
    if cell.ctype == XL_CELL_TEXT:
        return cell.value or None
    if cell.ctype in {XL_CELL_NUMBER, XL_CELL_DATE}:
        return numbers.shown(cell.value, cell.xf_index)
    if cell.ctype == XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == XL_CELL_ERROR:
        return xlrd.error_text_from_code.get(cell.value, "#VALUE!")
    return None
