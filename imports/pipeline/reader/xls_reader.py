"""Rows of a workbook of Excel 97 to 2003 (.xls), which holds at most 65,536 of them.

xlrd reads it and not calamine, which gives its error cells as empty ones. What xlrd gives up,
calamine reads.
"""

import io
import mmap
from collections.abc import Iterator
from functools import partial
from io import BufferedReader

import xlrd
from displayed_numbers import Numbers
from hyperlinks import Links, is_address
from merged_cells import filled, spans_of
from number_formats import BUILTIN_FORMATS
from protocol import Answers, Order, Refused
from sheets import Row, Sheet, hidden_columns
from xlrd.biffh import XL_CELL_BOOLEAN, XL_CELL_DATE, XL_CELL_ERROR, XL_CELL_NUMBER, XL_CELL_TEXT
from xlrd.formatting import std_format_strings
from xlsx_reader import answer_sheets, answer_with_calamine

VISIBLE = 0
NOT_A_WORKBOOK = "Can't find workbook"


def read_old_workbook(file: BufferedReader, answers: Answers, order: Order) -> None:
    """Answer with the rows of one sheet.

    Raises Refused.
    """
    try:
        answer_sheets("xls", sheets(file), answers, order)
    except (Refused, MemoryError):
        raise
    except Exception:  # xlrd minds what other programs do not; it has a dozen ways of saying so.
        answer_with_calamine("xls", file, answers, order, is_second=True)


def sheets(file: BufferedReader) -> list[Sheet]:
    """The worksheets."""
    book = _opened(file)
    numbers = Numbers(_number_formats(book), is_1904=bool(book.datemode))
    return [
        _sheet(book, position, name, visibility == VISIBLE, numbers)
        for position, (name, visibility) in enumerate(
            zip(book.sheet_names(), book._sheet_visibility, strict=True)
        )
    ]


def _sheet(book: xlrd.Book, position: int, name: str, is_visible: bool, numbers: Numbers) -> Sheet:
    hidden_rows: set[int] = set()
    rows = partial(_rows, book, position, numbers, hidden_rows)
    columns = partial(_hidden_columns, book, position)
    return Sheet(name, is_visible, rows, hidden_rows, columns)


def _hidden_columns(book: xlrd.Book, position: int) -> list[int]:
    columns = book.sheet_by_index(position).colinfo_map
    return hidden_columns((index, index) for index, info in columns.items() if info.hidden)


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
    codes = {number: own.format_str for number, own in formats.items()}
    for number, code in BUILTIN_FORMATS.items():
        if codes.get(number) == std_format_strings.get(number):
            codes[number] = code
    return {
        n: codes[style.format_key]
        for n, style in enumerate(book.xf_list)
        if style.format_key in codes
    }


def _rows(book: xlrd.Book, position: int, numbers: Numbers, hidden_rows: set[int]) -> Iterator[Row]:
    sheet = book.sheet_by_index(position)
    hidden_rows.update(
        index + 1 for index, info in sheet.rowinfo_map.items() if info.hidden or info.height == 0
    )
    spans = spans_of((top + 1, bottom, left) for top, bottom, left, _ in sheet.merged_cells)
    rows = _numbered(sheet, numbers, _links(sheet))
    return filled(rows, spans) if spans else rows


def _links(sheet: xlrd.sheet.Sheet) -> Links:
    return Links(
        ((link.frowx + 1, link.lrowx + 1, link.fcolx, link.lcolx), link.url_or_path)
        for link in sheet.hyperlink_list
        if type(link.url_or_path) is str and is_address(link.url_or_path)
    )


def _numbered(sheet: xlrd.sheet.Sheet, numbers: Numbers, links: Links) -> Iterator[Row]:
    for index in range(sheet.nrows):
        cells = [_value(cell, numbers) for cell in sheet.row(index)]
        links.apply(index + 1, cells)
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
