"""Rows of a workbook: calamine reads what fits in memory, openpyxl the giants.

calamine opens a whole sheet before it gives the first row, many times as fast; openpyxl
streams. What calamine cannot tell us (see `archives`), openpyxl reads whatever its size. A small
file can hold a giant, too: a long string that every cell shows, a cell in the far corner. So
calamine's memory is bounded; where it wants more, this process ends, and our parent starts
another, for openpyxl.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BufferedReader
from xml.etree.ElementTree import ParseError

from answers import Answers, Order, Refused
from archives import LOOKED_UP, ODD, Archive
from cells import CELL
from confinement import part_of_the_memory
from marked import Paddings, marked_cells, paddings
from merged import filled, spans_of
from sheets import Row, Sheet, choose, visible

PART = 0.45  # Of the memory: what calamine needs for a workbook just within `calamine_bytes`.
OUT_OF_MEMORY = 1  # expat's XML_ERROR_NO_MEMORY


def read_workbook(file: BufferedReader, answers: Answers, order: Order, archive: Archive) -> None:
    fits = archive.inflated_bytes <= order.limits["calamine_bytes"]
    if fits and not archive.marks & ODD and _calamine_manages(file, answers, order, archive):
        return
    from streaming import sheets

    answer("xlsx", partial(sheets, file, order.limits), answers, order)


def _calamine_manages(
    file: BufferedReader, answers: Answers, order: Order, archive: Archive
) -> bool:
    """Whether calamine read all; if not, openpyxl goes on where it stopped.

    A duration of a million years is enough to make it panic, and a panic is no Exception.
    """
    try:
        has_marks = bool(archive.marks & LOOKED_UP)
        with part_of_the_memory(PART):
            _answer("xlsx", calamine_sheets(file, has_marks=has_marks), answers, order)
    except Refused:
        raise
    except BaseException:
        return False
    return True


def answer(kind: str, sheets: Callable[[], list[Sheet]], answers: Answers, order: Order) -> None:
    """Answer with the rows of one sheet; whatever a parser stumbles over, the file is to blame."""
    try:
        _answer(kind, sheets(), answers, order)
    except (Refused, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, ParseError) and error.code == OUT_OF_MEMORY:
            raise MemoryError from None
        raise Refused("damaged_file") from None


def _answer(kind: str, sheets: list[Sheet], answers: Answers, order: Order) -> None:
    chosen = choose(sheets, order, answers.position)
    answers.position = chosen.position
    answers.opened(kind, sheet=chosen.name, sheets=visible(sheets))
    for number, cells, fraction in chosen.rows:
        if number > answers.last_row:
            answers.row(number, cells, fraction)


def calamine_sheets(file: BufferedReader, *, has_marks: bool) -> list[Sheet]:
    """The worksheets."""
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    padded = paddings(file)
    file.seek(0)
    book = CalamineWorkbook.from_filelike(file)
    look_up = partial(_with_marked, file, paddings=padded) if has_marks or padded else None
    return [
        Sheet(
            sheet.name,
            sheet.visible == SheetVisibleEnum.Visible,
            partial(_calamine_rows, book, position, look_up),
        )
        for position, sheet in enumerate(book.sheets_metadata)
        if sheet.typ == SheetTypeEnum.WorkSheet
    ]


def _calamine_rows(book, position: int, look_up: Callable | None) -> Iterator[Row]:
    sheet = book.get_sheet_by_index(position)
    rows = _plain_rows(sheet)
    if look_up:
        rows = look_up(rows, position)
    merged = sheet.merged_cell_ranges or ()
    spans = spans_of((top + 1, bottom + 1, left) for (top, left), (bottom, _) in merged)
    return filled(rows, spans) if spans else rows


def _plain_rows(sheet) -> Iterator[Row]:
    """Every row from the sheet's first on; calamine leaves out empty columns on the left."""
    if sheet.start is None:
        return
    left = [None] * sheet.start[1]
    height = sheet.end[0] + 1
    for number, values in enumerate(sheet.iter_rows(), start=1):
        # Most cells are text: asked here, it costs half of what a call would.
        cells = [v or None if type(v) is str else CELL[type(v)](v) for v in values]
        yield number, left + cells, number / height


def _with_marked(
    file: BufferedReader, rows: Iterable[Row], sheet: int, *, paddings: Paddings
) -> Iterator[Row]:
    """The rows, with the cells that calamine gives otherwise than they show."""
    marked = marked_cells(file, sheet, paddings)
    if marked is None:
        raise ValueError("not certain")  # openpyxl reads the workbook then.
    for number, cells, fraction in rows:
        for column, text in marked.get(number, {}).items():
            cells += [None] * (column + 1 - len(cells))
            cells[column] = text
        yield number, cells, fraction
