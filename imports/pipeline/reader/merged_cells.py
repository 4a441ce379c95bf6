"""Cells merged over several rows: each of those rows means the value it shows.

Only rows that have a value of their own; a record whose every cell is merged over two rows is
one record. Across columns nothing is filled: the value belongs to the first of them.
"""

from collections.abc import Iterable, Iterator

from protocol import Refused, is_blank

MOST = 100_000

# First row to last row and column; rows are counted as a person does, columns as a list does.
Spans = dict[int, list[tuple[int, int]]]


def spans_of(merged: Iterable[tuple[int, int, int]]) -> Spans:
    """The spans by their first row, of (first row, last row, column)."""
    spans: Spans = {}
    for count, (first, last, column) in enumerate(merged, start=1):
        if count > MOST:
            raise Refused("too_many_merged", limit=MOST)
        if last > first:
            spans.setdefault(first, []).append((last, column))
    return spans


def filled(rows: Iterable[tuple[int, list, float]], spans: Spans) -> Iterator[tuple]:
    """The rows, with what is merged down into them; `spans` may grow as they are read."""
    below: dict[int, tuple[int, object]] = {}  # Column to last row and value.
    for number, cells, fraction in rows:
        if below:
            below = {column: span for column, span in below.items() if span[0] >= number}
            if not is_blank(cells):
                _fill(cells, below)
        for last, column in spans.pop(number, ()):
            if column < len(cells) and cells[column] is not None:
                below[column] = (last, cells[column])
        yield number, cells, fraction


def _fill(cells: list, below: dict[int, tuple[int, object]]) -> None:
    for column, (_, value) in below.items():
        cells += [None] * (column + 1 - len(cells))
        if cells[column] is None:
            cells[column] = value
