"""Suggest which field a column may fill that was not recognized, for a person to confirm.

A suggestion is based on a similar header, and on values that the column's rule accepts, unless the
rule accepts everything. The samples of values are personal data: they stay with the import.
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
from imports.pipeline.row_block import Row
from imports.pipeline.row_validation import make_storable_text

MAX_SAMPLED_ROWS = 20
MAX_SAMPLES = 3  # Of one column.
MAX_SAMPLE_CHARS = 60
MAX_COMPARED_COLUMNS = 50
# A workbook may have 16,384 columns. What is kept of them is stored with the import, and sent to
# everyone who opens the page that asks which column is which.
MAX_SAMPLED_COLUMNS = 100
MAX_HEADERS_BYTES = 600_000  # Of all headers together.
MAX_SHORT_SAMPLE_CHARS = 20
MIN_SIMILARITY = 0.75
CONTAINED_NAME_SIMILARITY = 0.9
MAX_COMPARED_WORDS = 10
MIN_CONTAINED_NAME_CHARS = 4  # For example "phone" within "customer phone no."
VALUES_SCORE = 0.6
MIN_SCORE = VALUES_SCORE


def add_suggestions(
    columns: DetectedColumns, rows: Sequence[Row], importer: type[Importer]
) -> DetectedColumns:
    """Return the columns with samples, and with suggestions for those that fill no field.

    `rows` are the first rows of the file, the header included.
    """
    below = [cells for number, cells in rows if number > columns.header_row][:MAX_SAMPLED_ROWS]
    width = max([len(columns.headers), *map(len, below)], default=0)
    values = [
        [cells[i] for cells in below if i < len(cells) and get_cell_text(cells[i]).strip()]
        for i in range(width)
    ]
    columns = replace(
        columns,
        headers=_shorten_headers(columns),
        samples=[_make_samples(cells) for cells in values],
    )
    return replace(columns, suggestions=_make_suggestions(columns, values, len(below), importer))


def trim_samples(columns: DetectedColumns) -> DetectedColumns:
    """Return the columns without most samples of those that no page shows."""
    displayed = {*chain.from_iterable(columns.columns().values()), *map(int, columns.suggestions)}
    samples = [
        sample
        if index in displayed or index < MAX_SAMPLED_COLUMNS
        else _make_short_sample(columns, index)
        for index, sample in enumerate(columns.samples)
    ]
    return replace(columns, samples=samples)


def _shorten_headers(columns: DetectedColumns) -> list[str]:
    """Return the headers, the longest ones cut so that all have at most MAX_HEADERS_BYTES.

    Headers of columns that fill a field are not cut.
    """
    names = [make_storable_text(name)[:MAX_HEADER_CHARS] for name in columns.headers]
    taken = set(columns.positions.values())
    max_chars = MAX_HEADER_CHARS
    while max_chars and sum(len(name.encode()) for name in names) > MAX_HEADERS_BYTES:
        max_chars = max_chars * 9 // 10
        names = [name if i in taken else name[:max_chars] for i, name in enumerate(names)]
    return names


def _make_short_sample(columns: DetectedColumns, index: int) -> list[str]:
    """Return enough of a column that no page shows to know that it holds something."""
    has_header = index < len(columns.headers) and columns.headers[index].strip()
    if has_header:
        return []
    return [sample[:MAX_SHORT_SAMPLE_CHARS] for sample in columns.samples[index][:1]]


def _make_samples(values: list[Cell]) -> list[str]:
    texts = (make_storable_text(get_cell_text(value))[:MAX_SAMPLE_CHARS] for value in values)
    return list(dict.fromkeys(texts))[:MAX_SAMPLES]


def _make_suggestions(
    columns: DetectedColumns, values: list[list[Cell]], row_count: int, importer: type[Importer]
) -> dict[str, str]:
    wanted = [column for column in importer.columns if column.field not in columns.positions]
    free = find_ignored_columns(columns)[:MAX_COMPARED_COLUMNS]
    compared = {*free, *columns.positions.values(), *range(MAX_COMPARED_COLUMNS)}
    compared &= set(range(len(values)))
    scores = []
    for column in wanted:
        accepted = {i: _get_accepted_share(column, values[i], importer) for i in compared}
        for index in free:
            header = columns.headers[index] if index < len(columns.headers) else ""
            names = set[str]().union(*get_unambiguous_names(importer)[column.field])
            score = _compute_score(header, names, index, accepted)
            if score >= MIN_SCORE and _is_plausible(column, values[index], row_count):
                scores.append((-score, index, column.field))
    return _pick_best(sorted(scores))


def _is_plausible(column: Column, values: list[Cell], row_count: int) -> bool:
    """Return whether the values fit the field.

    A required field must be filled in most rows, and most values of a unique field must differ.
    """
    if column.required and row_count and len(values) <= row_count / 2:
        return False
    if not column.unique or not values:
        return True
    return len(set(map(get_cell_text, values))) > len(values) / 2


def _get_accepted_share(
    column: Column, cells: list[Cell], importer: type[Importer]
) -> float | None:
    """Return the share of values that the column's rule accepts; None if there are no values."""
    accepted = [is_valid_cell(importer, column, cell) for cell in cells]
    return sum(accepted) / len(accepted) if accepted else None


def _compute_score(
    header: str, names: set[str], index: int, accepted: dict[int, float | None]
) -> float:
    words = [fold_text(word) for word in re.split(r"[\W_]+", header[:MAX_HEADER_CHARS])]
    similarity = max((_compute_similarity(words, name) for name in names), default=0.0)
    share = accepted[index]
    if share == 0:
        return 0.0  # The header does not count if all values are something else.
    # A rule that accepts the values of most columns says nothing about this one.
    is_selective = any(other is not None and other < 1 / 2 for other in accepted.values())
    values_score = VALUES_SCORE if share == 1 and is_selective else 0.0
    return (similarity if similarity >= MIN_SIMILARITY else 0.0) + values_score


def _compute_similarity(words: Sequence[str], name: str) -> float:
    """Return how similar a header and a name are, from 0 to 1.

    A name within a header must be whole words: "mark" is not in "Marketing consent" or "Remarks".
    """
    header = "".join(words)
    if not header or not name:
        return 0.0
    if min(len(header), len(name)) >= MIN_CONTAINED_NAME_CHARS:
        word_count = len(words[:MAX_COMPARED_WORDS])
        spans = ("".join(words[i:j]) for i, j in combinations(range(word_count + 1), 2))
        if name in spans or name.startswith(header) or name.endswith(header):
            return CONTAINED_NAME_SIMILARITY
    matcher = SequenceMatcher(None, header, name, autojunk=False)
    # These upper bounds cost a fraction of the ratio.
    if matcher.real_quick_ratio() < MIN_SIMILARITY or matcher.quick_ratio() < MIN_SIMILARITY:
        return 0.0
    return matcher.ratio()


def _pick_best(scores: list[tuple[float, int, str]]) -> dict[str, str]:
    """Return column index (as text) to field, best scores first, each column and field once."""
    suggestions: dict[str, str] = {}
    for _, index, field in scores:
        if str(index) not in suggestions and field not in suggestions.values():
            suggestions[str(index)] = field
    return suggestions
