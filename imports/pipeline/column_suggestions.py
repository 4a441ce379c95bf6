"""What the columns might be that were not recognised: for whom is asked, never taken as said.

A name that is close counts, and so do values that a column's rule accepts, where that rule is
not one that accepts everything. The values shown are somebody's data: they stay in the job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import chain, combinations

from imports.importer import Cell, Column, Importer
from imports.pipeline.header_detection import (
    DetectedColumns,
    find_ignored_columns,
    get_cell_text,
    get_unambiguous_names,
    is_valid_cell,
)
from imports.pipeline.reader.headers import MAX_HEADER_CHARS, fold_text
from imports.pipeline.reader_client import Row
from imports.pipeline.row_validation import make_storable

ROWS_LOOKED_AT = 20
SAMPLES = 3
LONGEST_SAMPLE = 60
MAX_COMPARED_COLUMNS = 50  # Are compared with the names we know.
# A workbook may have 16,384 columns. What is kept of them is stored with the import, and sent to
# whoever asks which column is which.
MAX_SAMPLED_COLUMNS = 100
MAX_HEADERS_BYTES = 600_000  # Of all headers together.
MAX_SHORT_SAMPLE_CHARS = 20
CLOSE = 0.75
MOST_WORDS = 10
SHORTEST_PART = 4  # "phone" within "customer phone no."
VALUES_TELL = 0.6


def add_suggestions(
    layout: DetectedColumns, rows: Sequence[Row], importer: type[Importer]
) -> DetectedColumns:
    """The layout with samples of its columns, and a guess at those that are not recognised."""
    below = [cells for number, cells in rows if number > layout.header_row][:ROWS_LOOKED_AT]
    width = max([len(layout.headers), *map(len, below)], default=0)
    values = [
        [c[i] for c in below if i < len(c) and get_cell_text(c[i]).strip()] for i in range(width)
    ]
    layout = replace(
        layout,
        headers=_shortened(layout),
        samples=[_samples(column) for column in values],
    )
    return replace(layout, suggestions=_suggestions(layout, values, len(below), importer))


def trim_samples(layout: DetectedColumns) -> DetectedColumns:
    """The layout with samples of the columns that a page shows, and hardly any of the others."""
    shown = {*chain.from_iterable(layout.columns().values()), *map(int, layout.suggestions)}
    samples = [
        sample if index in shown or index < MAX_SAMPLED_COLUMNS else _short_sample(layout, index)
        for index, sample in enumerate(layout.samples)
    ]
    return replace(layout, samples=samples)


def _shortened(layout: DetectedColumns) -> list[str]:
    """Cut the longest headers, so that all of them together have at most MAX_HEADERS_BYTES.

    Those of columns that fill a field stay whole.
    """
    names = [make_storable(name)[:MAX_HEADER_CHARS] for name in layout.headers]
    taken = set(layout.positions.values())
    longest = MAX_HEADER_CHARS
    while longest and sum(len(name.encode()) for name in names) > MAX_HEADERS_BYTES:
        longest = longest * 9 // 10
        names = [name if i in taken else name[:longest] for i, name in enumerate(names)]
    return names


def _short_sample(layout: DetectedColumns, index: int) -> list[str]:
    """What is kept of a column that no page shows: enough to tell that it holds something."""
    has_header = index < len(layout.headers) and layout.headers[index].strip()
    return [] if has_header else [s[:MAX_SHORT_SAMPLE_CHARS] for s in layout.samples[index][:1]]


def _samples(values: list[Cell]) -> list[str]:
    different = dict.fromkeys(
        make_storable(get_cell_text(value))[:LONGEST_SAMPLE] for value in values
    )
    return list(different)[:SAMPLES]


def _suggestions(
    layout: DetectedColumns, values: list[list[Cell]], rows: int, importer: type[Importer]
) -> dict[str, str]:
    wanted = [column for column in importer.columns if column.field not in layout.positions]
    free = find_ignored_columns(layout)[:MAX_COMPARED_COLUMNS]
    compared = {*free, *layout.positions.values(), *range(MAX_COMPARED_COLUMNS)} & set(
        range(len(values))
    )
    scores = []
    for column in wanted:
        accepted = {index: _accepted(column, values[index], importer) for index in compared}
        for index in free:
            header = layout.headers[index] if index < len(layout.headers) else ""
            names = set().union(*get_unambiguous_names(importer)[column.field])
            score = _score(header, names, index, accepted)
            if score >= VALUES_TELL and _may_be(column, values[index], rows):
                scores.append((-score, index, column.field))
    return _one_each(sorted(scores))


def _may_be(column: Column, values: list[Cell], rows: int) -> bool:
    """Most rows have what is required, and what is unique does not repeat itself: no remark."""
    if column.required and rows and len(values) <= rows / 2:
        return False
    return not column.unique or len(set(map(get_cell_text, values))) > len(values) / 2 or not values


def _accepted(column: Column, cells: list[Cell], importer: type[Importer]) -> float | None:
    """Which share of the values the column's rule accepts; None if there are none."""
    passed = [is_valid_cell(importer, column, cell) for cell in cells]
    return sum(passed) / len(passed) if passed else None


def _score(header: str, names: set[str], index: int, accepted: dict[int, float | None]) -> float:
    words = [fold_text(word) for word in re.split(r"[\W_]+", header[:MAX_HEADER_CHARS])]
    closeness = max((_closeness(words, name) for name in names), default=0.0)
    share = accepted[index]
    if share == 0:
        return 0.0  # Whatever it is called, its values are something else.
    tells = any(other is not None and other < 1 / 2 for other in accepted.values())
    by_values = VALUES_TELL if share == 1 and tells else 0.0
    return (closeness if closeness >= CLOSE else 0.0) + by_values


def _closeness(words: Sequence[str], name: str) -> float:
    """Whole words count: "mark" is none of those in "Marketing consent" and "Remarks"."""
    header = "".join(words)
    if not header or not name:
        return 0.0
    if min(len(header), len(name)) >= SHORTEST_PART:
        spans = (
            "".join(words[i:j]) for i, j in combinations(range(len(words[:MOST_WORDS]) + 1), 2)
        )
        if name in spans or name.startswith(header) or name.endswith(header):
            return 0.9
    matcher = SequenceMatcher(None, header, name, autojunk=False)
    # Upper bounds, which cost a fraction of the ratio.
    if matcher.real_quick_ratio() < CLOSE or matcher.quick_ratio() < CLOSE:
        return 0.0
    return matcher.ratio()


def _one_each(scores: list[tuple[float, int, str]]) -> dict[str, str]:
    """The best first; no column twice, no field twice."""
    suggestions: dict[str, str] = {}
    for _, index, field in scores:
        if str(index) not in suggestions and field not in suggestions.values():
            suggestions[str(index)] = field
    return suggestions
