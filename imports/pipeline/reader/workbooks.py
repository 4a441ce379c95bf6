"""Rows of a workbook: calamine reads what fits in memory, openpyxl the giants.

calamine opens a whole sheet before it gives the first row, many times as fast; openpyxl
streams. What calamine cannot tell us (see `archives`), openpyxl reads whatever its size.
"""

from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import chain, islice
from xml.etree.ElementTree import ParseError

from answers import Answers, Refused, is_blank
from archives import ERROR_CELLS, ODD_CELLS, inspect
from cells import CELL
from errors import error_cells

# Number of the row, its cells, how much of the sheet it ends.
Row = tuple[int, list, float]
Sheet = tuple[str, Iterator[Row]]
MOST_SHEETS = 100  # Are looked into, in search of one that is not blank.
OUT_OF_MEMORY = 1  # expat's XML_ERROR_NO_MEMORY


def read_workbook(file: BufferedReader, answers: Answers, limits: dict) -> None:
    inflated_bytes, marks = inspect(file, limits)
    fits = inflated_bytes <= limits["calamine_bytes"] and not marks & ODD_CELLS
    if fits and _calamine_manages(file, answers, has_errors=bool(marks & ERROR_CELLS)):
        return
    from streaming import sheets

    try:
        _answer(sheets(file), answers)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # Whatever a part that is not as it should be leads openpyxl into.
        if isinstance(error, ParseError) and error.code == OUT_OF_MEMORY:
            raise MemoryError from None
        raise Refused("damaged_file") from None


def _calamine_manages(file: BufferedReader, answers: Answers, *, has_errors: bool) -> bool:
    """Whether calamine read all; if not, openpyxl goes on where it stopped.

    A duration of a million years is enough to make it panic, and a panic is no Exception.
    """
    try:
        _answer(calamine_sheets(file, has_errors=has_errors), answers)
    except (Refused, MemoryError):
        raise
    except BaseException:
        return False
    return True


def _answer(sheets: Iterable[Sheet], answers: Answers) -> None:
    name, rows = first_filled(sheets)
    answers.opened("xlsx", sheet=name)
    for number, cells, fraction in rows:
        if number > answers.last_row:
            answers.row(number, cells, fraction)


def first_filled(sheets: Iterable[Sheet]) -> Sheet:
    """The first sheet with a cell that is not blank; if all are blank, the first."""
    first = None
    for name, rows in islice(sheets, MOST_SHEETS):
        first = first or (name, iter(()))
        for row in rows:
            if not is_blank(row[1]):
                return name, chain([row], rows)
    if first is None:
        raise Refused("no_sheet")
    return first


def calamine_sheets(file: BufferedReader, *, has_errors: bool) -> Iterator[Sheet]:
    """The visible worksheets."""
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    file.seek(0)
    book = CalamineWorkbook.from_filelike(file)
    for position, sheet in enumerate(book.sheets_metadata):
        if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet:
            rows = _calamine_rows(book.get_sheet_by_index(position))
            yield sheet.name, _with_errors(rows, file, position) if has_errors else rows


def _calamine_rows(sheet) -> Iterator[Row]:
    """Every row from the sheet's first on; calamine leaves out empty columns on the left."""
    if sheet.start is None:
        return
    left = [None] * sheet.start[1]
    height = sheet.end[0] + 1
    for number, values in enumerate(sheet.iter_rows(), start=1):
        # Most cells are text: asked here, it costs half of what a call would.
        cells = [v or None if type(v) is str else CELL[type(v)](v) for v in values]
        yield number, left + cells, number / height


def _with_errors(rows: Iterable[Row], file: BufferedReader, sheet: int) -> Iterator[Row]:
    """The rows, with the error cells that calamine leaves empty."""
    errors = error_cells(file, sheet)
    if errors is None:
        raise ValueError("not certain")  # openpyxl reads the workbook then.
    for number, cells, fraction in rows:
        for column, text in errors.get(number, {}).items():
            cells += [None] * (column + 1 - len(cells))
            cells[column] = text
        yield number, cells, fraction
