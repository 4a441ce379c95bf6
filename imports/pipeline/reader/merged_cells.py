"""Cells merged over several rows: each of these rows gets the value of the merged cell.

Only rows that have a value of their own get it: if every cell of a record is merged over two rows,
it is one record. Cells merged over several columns fill only the first of these columns.
"""

from collections.abc import Iterable, Iterator

from protocol import ReadError, is_blank
from sheets import SheetRow

MAX_MERGED_RANGES = 100_000

# First row to pairs of last row and column. Rows count from 1, columns from 0.
MergedSpans = dict[int, list[tuple[int, int]]]


def group_spans(merged: Iterable[tuple[int, int, int]]) -> MergedSpans:
    """Group merged cells of several rows by their first row.

    merged: first row, last row and column of each merged cell.

    Raises:
        ReadError: There are too many merged cells.
    """
    spans: MergedSpans = {}
    for count, (first, last, column) in enumerate(merged, start=1):
        if count > MAX_MERGED_RANGES:
            raise ReadError("too_many_merged", limit=MAX_MERGED_RANGES)
        if last > first:
            spans.setdefault(first, []).append((last, column))
    return spans


def fill_merged_rows(rows: Iterable[SheetRow], spans: MergedSpans) -> Iterator[SheetRow]:
    """Yield the rows with the values of merged cells filled in.

    spans: may grow during the iteration, as long as it has the spans that start at a row when
        `rows` yields that row. Spans are removed once they are used.
    """
    active: dict[int, tuple[int, object]] = {}  # Column to last row and value.
    for number, cells, fraction in rows:
        if active:
            active = {column: span for column, span in active.items() if span[0] >= number}
            if not is_blank(cells):
                _fill_row(cells, active)
        for last, column in spans.pop(number, ()):
            if column < len(cells) and cells[column] is not None:
                active[column] = (last, cells[column])
        yield number, cells, fraction


def _fill_row(cells: list[object], active: dict[int, tuple[int, object]]) -> None:
    for column, (_, value) in active.items():
        cells += [None] * (column + 1 - len(cells))
        if cells[column] is None:
            cells[column] = value
