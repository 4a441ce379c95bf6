"""Choice of the sheet of a workbook: the requested one, or the one with the best header."""

from collections.abc import Callable, Iterable, Iterator, Set
from itertools import chain, islice
from typing import NamedTuple

from headers import MAX_HEADER_SEARCH_ROWS, match_fields
from protocol import ReadError, ReadRequest, is_blank

# The number of the row, its cells, and the part of the sheet that ends with it (0 to 1).
SheetRow = tuple[int, list[object], float]
MAX_SHEETS = 100  # More are neither searched for a header nor listed.
MAX_HIDDEN_COLUMNS = 1_000
MAX_SHEET_NAME_CHARS = 100


def find_no_hidden_columns() -> list[int]:
    return []


class Sheet(NamedTuple):
    """One sheet of a workbook.

    iterate_rows: start reading; rows come in ascending order.
    hidden_rows: the numbers of hidden rows. The set may grow during the iteration; it contains a
        row at the latest when `iterate_rows` yields the row.
    find_hidden_columns: return the indices of hidden columns; 0 is the first column. May be slow.
    """

    name: str
    is_visible: bool
    iterate_rows: Callable[[], Iterator[SheetRow]]
    hidden_rows: Set[int] = frozenset()
    find_hidden_columns: Callable[[], list[int]] = find_no_hidden_columns


class ChosenSheet(NamedTuple):
    position: int
    name: str
    rows: Iterator[SheetRow]


def clean_sheet_name(name: str) -> str:
    """Return the name cut and without unprintable characters: the name comes from the file."""
    return "".join(c for c in name[:MAX_SHEET_NAME_CHARS] if c.isprintable())


def choose_sheet(
    sheets: list[Sheet], request: ReadRequest, position: int | None = None
) -> ChosenSheet:
    """Choose the sheet to read, and start reading it.

    position: the index of the sheet; None for the sheet that the request names, or, if it names
        none, for the visible sheet with the best header.

    Raises:
        ReadError: There is no such sheet, or a sheet has too many rows.
    """
    if position is None and request.sheet:
        position = _find_by_name(sheets, request.sheet)
    if position is not None:
        sheet = sheets[position]
        return ChosenSheet(position, clean_sheet_name(sheet.name), sheet.iterate_rows())
    candidates = [(index, sheet) for index, sheet in enumerate(sheets) if sheet.is_visible]
    if not candidates:
        raise ReadError("no_sheet")
    return _choose_by_header(candidates[:MAX_SHEETS], request)


def expand_hidden_columns(ranges: Iterable[tuple[int, int]]) -> list[int]:
    """Return the indices of hidden columns, at most MAX_HIDDEN_COLUMNS of them, ascending.

    ranges: the first and the last index of each hidden range.
    """
    columns: set[int] = set()
    for first, last in ranges:
        columns.update(range(first, min(last + 1, first + MAX_HIDDEN_COLUMNS)))
        if len(columns) >= MAX_HIDDEN_COLUMNS:
            break
    return sorted(columns)[:MAX_HIDDEN_COLUMNS]


def list_visible_names(sheets: list[Sheet]) -> list[str]:
    return [clean_sheet_name(sheet.name) for sheet in sheets if sheet.is_visible][:MAX_SHEETS]


def _find_by_name(sheets: list[Sheet], requested: str) -> int:
    """Find the sheet of this name, hidden sheets included.

    An exact match wins. Otherwise case does not matter, as in Excel.
    """
    names = [clean_sheet_name(sheet.name) for sheet in sheets]
    if requested in names:
        return names.index(requested)
    folded_names = [name.strip().casefold() for name in names]
    folded = requested.strip().casefold()
    if folded in folded_names:
        return folded_names.index(folded)
    raise ReadError("no_such_sheet", sheets=list_visible_names(sheets))


def _choose_by_header(candidates: list[tuple[int, Sheet]], request: ReadRequest) -> ChosenSheet:
    """Return the first sheet whose header names all required fields, or else most fields.

    If no header names a field, return the first sheet that is not blank.
    """
    best = None
    best_score = -1
    for position, sheet in candidates:
        rows = _skip_blank_start(sheet.iterate_rows(), request.limits["rows"])
        first = list(islice(rows, MAX_HEADER_SEARCH_ROWS))
        scores = [match_fields(cells, request.fields) for _, cells, _ in first] or [(-1, False)]
        score, is_complete = max(scores, key=lambda score: score[::-1])
        if best is None or is_complete or score > best_score:
            best = ChosenSheet(position, clean_sheet_name(sheet.name), chain(first, rows))
            best_score = score
        if is_complete:
            break
    assert best is not None
    return best


def _skip_blank_start(rows: Iterator[SheetRow], max_rows: int) -> Iterator[SheetRow]:
    for row in rows:
        if row[0] > max_rows:  # Blank rows count, too: they take time.
            raise ReadError("too_many_rows", limit=max_rows)
        if not is_blank(row[1]):
            yield row
            yield from rows
