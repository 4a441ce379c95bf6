"""Which sheet of a workbook is read: the one asked for, or the one that names the columns."""

from collections.abc import Callable, Iterable, Iterator, Set
from itertools import chain, islice
from typing import NamedTuple

from headers import MAX_HEADER_SEARCH_ROWS, named_fields
from protocol import Order, Refused, is_blank

# Number of the row, its cells, how much of the sheet it ends.
Row = tuple[int, list, float]
MOST_SHEETS = 100  # Are looked into, and told of.
MAX_HIDDEN_COLUMNS = 1_000
LONGEST_NAME = 100


def show_all() -> list[int]:
    """No column is hidden."""
    return []


class Sheet(NamedTuple):
    """One sheet of a workbook.

    hidden_rows: the numbers of hidden rows; a row is in it when `rows` gives the row, at the
        latest.
    hidden_columns: gives the indices of hidden columns, 0 is the first. May be slow.
    """

    name: str
    is_visible: bool
    rows: Callable[[], Iterator[Row]]
    hidden_rows: Set[int] = frozenset()
    hidden_columns: Callable[[], list[int]] = show_all


class Chosen(NamedTuple):
    position: int
    name: str
    rows: Iterator[Row]


def shown(name: str) -> str:
    """The name of a sheet is the file's: cut, and without what cannot be printed."""
    return "".join(c for c in name[:LONGEST_NAME] if c.isprintable())


def choose(sheets: list[Sheet], order: Order, position: int | None = None) -> Chosen:
    """The sheet at this position, or of the name asked for, or with the best header."""
    if position is None and order.sheet:
        position = _named(sheets, order.sheet)
    if position is not None:
        return Chosen(position, shown(sheets[position].name), sheets[position].rows())
    candidates = [(n, sheet) for n, sheet in enumerate(sheets) if sheet.is_visible]
    if not candidates:
        raise Refused("no_sheet")
    return _best(candidates[:MOST_SHEETS], order)


def hidden_columns(ranges: Iterable[tuple[int, int]]) -> list[int]:
    """The first of the columns that these ranges hide, each of its first and last index."""
    columns: set[int] = set()
    for first, last in ranges:
        columns.update(range(first, min(last + 1, first + MAX_HIDDEN_COLUMNS)))
        if len(columns) >= MAX_HIDDEN_COLUMNS:
            break
    return sorted(columns)[:MAX_HIDDEN_COLUMNS]


def visible(sheets: list[Sheet]) -> list[str]:
    return [shown(sheet.name) for sheet in sheets if sheet.is_visible][:MOST_SHEETS]


def _named(sheets: list[Sheet], wanted: str) -> int:
    """Also a hidden one, for who names it means it; case does not matter, as in Excel."""
    names = [shown(sheet.name) for sheet in sheets]
    for spelled in (str, lambda name: name.strip().casefold()):
        same = [n for n, name in enumerate(names) if spelled(name) == spelled(wanted)]
        if same:
            return same[0]
    raise Refused("no_such_sheet", sheets=visible(sheets))


def _best(candidates: list[tuple[int, Sheet]], order: Order) -> Chosen:
    """The first whose header names most fields; one that names all that are required will do.

    Where none names any, it is the first that is not blank.
    """
    best, most = None, -1
    for position, sheet in candidates:
        rows = _from_first_filled(sheet.rows(), order.limits["rows"])
        first = list(islice(rows, MAX_HEADER_SEARCH_ROWS))
        scores = [named_fields(cells, order.fields) for _, cells, _ in first] or [(-1, False)]
        score, is_complete = max(scores, key=lambda score: score[::-1])
        if best is None or is_complete or score > most:
            best, most = Chosen(position, shown(sheet.name), chain(first, rows)), score
        if is_complete:
            break
    return best


def _from_first_filled(rows: Iterator[Row], most: int) -> Iterator[Row]:
    for row in rows:
        if row[0] > most:  # Blank ones too: they take their time.
            raise Refused("too_many_rows", limit=most)
        if not is_blank(row[1]):
            yield row
            yield from rows
