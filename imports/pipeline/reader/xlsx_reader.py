"""Rows of a workbook: calamine reads what fits in memory, openpyxl the giants.

calamine opens a whole sheet before it gives the first row, many times as fast; openpyxl
streams. What calamine cannot tell us (see `archives`), openpyxl reads whatever its size. A small
file can hold a giant, too: a long string that every cell shows, a cell in the far corner. So
calamine's memory is bounded; where it wants more, this process ends, and our parent starts
another, for openpyxl.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Set
from functools import partial
from io import BufferedReader
from xml.etree.ElementTree import ParseError

from cell_conversion import CELL, FIRST_ROUNDED_INTEGER
from cell_conversion import number as number_cell
from hyperlinks import Links
from merged_cells import filled, spans_of
from protocol import Answers, Order, Refused
from sandbox import part_of_the_memory
from sheets import Row, Sheet, choose, visible
from xlsx_overrides import Formats, Marked, NotCertain, SheetXml
from zip_inspection import HIDING, LINKING, LOOKED_UP, ODD, Archive

PART = 0.45  # Of the memory: what calamine needs for a workbook just within `calamine_bytes`.
OUT_OF_MEMORY = 1  # expat's XML_ERROR_NO_MEMORY
HIDDEN_ROW = ("hidden_row",)
DATES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)


def read_workbook(file: BufferedReader, answers: Answers, order: Order, archive: Archive) -> None:
    fits = archive.inflated_bytes <= order.limits["calamine_bytes"]
    if fits and not archive.marks & ODD and _calamine_manages(file, answers, order, archive):
        return
    from xlsx_stream_reader import sheets

    answer("xlsx", partial(sheets, file, order.limits), answers, order)


def _calamine_manages(
    file: BufferedReader, answers: Answers, order: Order, archive: Archive
) -> bool:
    """Whether calamine read all; if not, openpyxl goes on where it stopped.

    A duration of a million years is enough to make it panic, and a panic is no Exception.
    """
    try:
        with part_of_the_memory(PART):
            formats = Formats(file)
            sheets = calamine_sheets(
                file, lambda position: LookUp(SheetXml(file, position), formats, archive.marks)
            )
            answer_sheets("xlsx", sheets, answers, order)
    except Refused:
        raise
    except BaseException:
        return False
    return True


def answer(kind: str, sheets: Callable[[], list[Sheet]], answers: Answers, order: Order) -> None:
    """Answer with the rows of one sheet; whatever a parser stumbles over, the file is to blame."""
    try:
        answer_sheets(kind, sheets(), answers, order)
    except (Refused, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, ParseError) and error.code == OUT_OF_MEMORY:
            raise MemoryError from None
        raise Refused("damaged_file") from None


def answer_with_calamine(
    kind: str, file: BufferedReader, answers: Answers, order: Order, *, is_second: bool = False
) -> None:
    """Answer with the values that calamine gives, of a workbook that no other parser reads.

    is_second: whether another parser has given the workbook up; rows that were sent are skipped.

    Raises Refused.
    """
    try:
        answer_sheets(kind, calamine_sheets(file), answers, order, is_second=is_second)
    except (Refused, MemoryError):
        raise
    except BaseException:  # A panic of calamine is no Exception.
        raise Refused("damaged_file") from None


def answer_sheets(
    kind: str, sheets: list[Sheet], answers: Answers, order: Order, *, is_second: bool = False
) -> None:
    """Answer with the rows of one of the sheets, from the last row that was sent on.

    is_second: see `answer_with_calamine`.
    """
    chosen = choose(sheets, order, answers.position)
    answers.position = chosen.position
    sheet = sheets[chosen.position]
    answers.opened(
        kind,
        sheet=chosen.name,
        sheets=visible(sheets),
        hidden_columns=sheet.hidden_columns(),
        second_reader=is_second,
    )
    hidden_rows = sheet.hidden_rows
    for number, cells, fraction in chosen.rows:
        if number > answers.last_row:
            notes = HIDDEN_ROW if number in hidden_rows else ()
            answers.row(number, cells, fraction, notes)


def calamine_sheets(
    file: BufferedReader, look_up: Callable[[int], LookUp] | None = None
) -> list[Sheet]:
    """The worksheets.

    look_up: for the position of a sheet, what its XML says besides; None where there is no XML.
    """
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    file.seek(0)
    book = CalamineWorkbook.from_filelike(file)
    sheets = []
    for position, sheet in enumerate(book.sheets_metadata):
        if sheet.typ != SheetTypeEnum.WorkSheet:
            continue
        is_visible = sheet.visible == SheetVisibleEnum.Visible
        if look_up is None:
            rows = partial(_values_only, book, position)
            sheets.append(Sheet(sheet.name, is_visible, rows))
            continue
        own = look_up(position)
        rows = partial(_calamine_rows, book, position, own)
        sheets.append(Sheet(sheet.name, is_visible, rows, own.hidden_rows, own.hidden_columns))
    return sheets


def _values_only(book, position: int) -> Iterator[Row]:
    sheet = book.get_sheet_by_index(position)
    return _merged(sheet, _plain_rows(sheet, CELL))


def _calamine_rows(book, position: int, look_up: LookUp) -> Iterator[Row]:
    sheet = book.get_sheet_by_index(position)
    return _merged(sheet, look_up.completed(_plain_rows(sheet, look_up.cell_of)))


def _merged(sheet, rows: Iterator[Row]) -> Iterator[Row]:
    merged = sheet.merged_cell_ranges or ()
    spans = spans_of((top + 1, bottom + 1, left) for (top, left), (bottom, _) in merged)
    return filled(rows, spans) if spans else rows


def _plain_rows(sheet, cell_of: dict[type, Callable]) -> Iterator[Row]:
    """Every row from the sheet's first on; calamine leaves out empty columns on the left."""
    if sheet.start is None:
        return
    left = [None] * sheet.start[1]
    height = sheet.end[0] + 1
    for number, values in enumerate(sheet.iter_rows(), start=1):
        # Most cells are text: asked here, it costs half of what a call would.
        cells = [v or None if type(v) is str else cell_of[type(v)](v) for v in values]
        yield number, left + cells, number / height


class LookUp:
    """What the XML of a sheet says besides the values that calamine gives.

    It is read only as far as it is needed: hidden rows and links where the archive has marks of
    them; number formats where the workbook has formats that calamine does not tell, or as soon as
    calamine gives a date or a number of more than fifteen digits.
    """

    def __init__(self, xml: SheetXml, formats: Formats, marks: Set[bytes]) -> None:
        self.hidden_rows: set[int] = set()
        self._xml = xml
        self._formats = formats
        self._has_hidden = bool(marks & HIDING)
        self._has_links = bool(marks & LINKING)
        self._has_marks = bool(marks & LOOKED_UP)
        self._dates: list[object] = []  # Of the row that is being read.
        self._large: list[object] = []
        self.cell_of = CELL | {
            float: self._number,
            int: self._number,
            **{kind: partial(self._date, make) for kind, make in CELL.items() if kind in DATES},
        }

    def hidden_columns(self) -> list[int]:
        """The indices of hidden columns. The hidden rows are known then, too."""
        if not self._has_hidden:
            return []
        rows, columns = self._xml.find_hidden()
        self.hidden_rows.update(rows)
        return columns

    def completed(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows with what the XML says of their cells.

        Raises NotCertain where that is not plain to see: openpyxl reads the workbook then.
        """
        links = self._xml.find_links() if self._has_links else Links()
        marked = self._find(self._formats.styles if self._formats.has_others else None)
        large: Marked | None = None
        for number, cells, fraction in rows:
            if self._dates and marked is None:
                marked = self._find(self._formats.styles)
            if self._large and large is None:
                large = self._certain(self._xml.find_cells(large=True))
            if marked is not None:
                self._complete(number, cells, marked, self._dates)
            if large is not None:
                self._complete(number, cells, large, self._large)
            if links:
                links.apply(number, cells)
            yield number, cells, fraction

    def _find(self, styles: Set[int] | None) -> Marked | None:
        """The cells of these styles, and errors and formulas where the sheet has them."""
        if styles is None and not self._has_marks:
            return None
        return self._certain(self._xml.find_cells(styles or self._formats.styles))

    def _certain(self, marked: Marked | None) -> Marked:
        if marked is None:
            raise NotCertain
        return marked

    def _complete(self, number: int, cells: list, marked: Marked, expected: list[object]) -> None:
        """Put what is marked into the row; at least as many numbers as calamine gave are."""
        if marked.complete(number, cells, self._formats.numbers) < len(expected):
            raise NotCertain
        expected.clear()

    def _number(self, value: float) -> object:
        if -FIRST_ROUNDED_INTEGER < value < FIRST_ROUNDED_INTEGER:
            return int(value) if value.is_integer() else value
        cell = number_cell(value)
        self._large.append(cell)
        return cell

    def _date(self, make: Callable, value: object) -> object:
        self._dates.append(value)
        return make(value)
