"""Find the header of a file, and which of its columns fill which field of the model.

Only columns that the importer declares can be filled, whatever a header says.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from django.conf import settings
from django.utils.text import capfirst
from django.utils.translation import override

from imports.importer import Cell, Column, Importer
from imports.model_fields import get_model_field
from imports.pipeline.class_cache import cache
from imports.pipeline.field_cleaning import get_cleaner, prepare_cell
from imports.pipeline.reader.cell_conversion import FORMULA_WITHOUT_VALUE
from imports.pipeline.reader.headers import MAX_HEADER_SEARCH_ROWS, FieldHeaders, fold_text
from imports.pipeline.row_block import Row

MIN_GROUPED_CHARS = 3  # So that "a" above "d" is not the Turkish header "ad".
MAX_GROUPED_COLUMNS = 1_000  # Columns to the right of these are named by one row alone.
# Starts the header of the column with the reasons in a file of failed rows. Folding removes it, so
# the header names no field.
REASON_HEADER_PREFIX = "\u26a0"


@dataclass(frozen=True)
class DetectedHeader:
    """The row that names the columns; with groups in the row above, both rows together."""

    number: int  # Of the lower row. 0 if the file gives the names beside its rows.
    cells: list[Cell]
    first_number: int = 0  # Of the row with the groups; `number` if there is none.


class FieldColumns:
    """Which columns fill which field. Several columns may fill one field.

    The first filled cell counts, in this order: the column in `positions`, those in `equals`, those
    in `fallbacks`. A second, different value in a column of `equals` is an error; in a column of
    `fallbacks` it is not. Columns are indexes, counted from 0.
    """

    positions: dict[str, int]
    equals: dict[str, list[int]]
    fallbacks: dict[str, list[int]]

    def get_columns(self, field: str) -> list[int]:
        """Return the columns that fill the field, in the order in which they count."""
        first = [self.positions[field]] if field in self.positions else []
        return [*first, *self.equals.get(field, ()), *self.fallbacks.get(field, ())]

    def columns(self) -> dict[str, list[int]]:
        return {field: self.get_columns(field) for field in self.positions}


@dataclass(frozen=True)
class DetectedColumns(FieldColumns):
    """The columns of a file, as they are stored with its import."""

    header_row: int  # 0 if the file has no header row.
    headers: list[str]  # The header cells as text; empty without a header row.
    positions: dict[str, int]
    missing: list[str]  # Required fields that no column fills.
    # For the page that asks which column is which: a few values of each column, and the field that
    # a column may fill, by its index as text.
    samples: list[list[str]] = dataclasses.field(default_factory=list)
    suggestions: dict[str, str] = dataclasses.field(default_factory=dict)
    from_saved_mapping: bool = False  # The positions are those of a saved mapping.
    equals: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    fallbacks: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    # Hidden columns whose header names a field that a visible column fills.
    hidden_ignored: list[int] = dataclasses.field(default_factory=list)
    first_header_row: int = 0  # Of a header in two rows; 0 for a header in one row.

    @property
    def width(self) -> int:
        """The number of columns, with or without a header."""
        return len(self.samples)


def detect_columns(
    rows: Sequence[Row],
    importer: type[Importer],
    hidden: Iterable[int] = (),
    has_header_row: bool | None = None,
) -> DetectedColumns:
    """Find the header among the first rows that are not blank, and match it with the fields.

    If there is no header, the columns have the order of the importer. A row with the number 0 is
    not a row of the file: it holds the names that some formats give beside their rows. `hidden` are
    the indexes of columns that the workbook hides: such a column fills a field only if no visible
    column names it. With `has_header_row`, the first row is the header if none is found.
    """
    header = _find_header(rows[:MAX_HEADER_SEARCH_ROWS], importer)
    if header is None and has_header_row:
        number, cells = rows[0]
        header = DetectedHeader(number, cells, number)
    if header is None:
        positions = {column.field: index for index, column in enumerate(importer.columns)}
        return DetectedColumns(0, [], positions, [])
    below = [cells for number, cells in rows if number > header.number]
    matched = match_columns(header.cells, importer, frozenset(hidden), below)
    return DetectedColumns(
        header_row=header.number,
        headers=[get_cell_text(cell) for cell in header.cells],
        positions=matched.positions,
        missing=find_missing_fields(matched.positions, importer),
        equals=matched.equals,
        fallbacks=matched.fallbacks,
        hidden_ignored=matched.hidden_ignored,
        first_header_row=header.first_number if header.first_number != header.number else 0,
    )


def _find_header(rows: Sequence[Row], importer: type[Importer]) -> DetectedHeader | None:
    """Return the header among the rows; None if the first row is a record.

    The header is the first row that names most fields, unless a record stands above it. If no row
    names a field, it is the row above the first record, or the first wide row below the titles.
    """
    candidates = [DetectedHeader(number, cells, number) for number, cells in rows]
    matches = [match_positions(cells, importer) for _, cells in rows]
    for index in range(1, len(rows)):
        grouped = _combine_with_groups(rows[index - 1], rows[index], importer)
        positions = match_positions(grouped.cells, importer)
        if len(positions) > max(len(matches[index - 1]), len(matches[index])):
            candidates[index], matches[index] = grouped, positions
    scores = [
        (not find_missing_fields(positions, importer), len(positions)) for positions in matches
    ]
    best = max(range(len(rows)), key=lambda index: (len(matches[index]) > 0, *scores[index]))
    field_count = len(matches[best])
    records = [
        index
        for index, (number, cells) in enumerate(rows)
        if number and _is_record(cells, importer) and _count_filled(cells) >= min(field_count, 2)
    ]
    if field_count and not any(index < best for index in records):
        return candidates[best]
    above = candidates[: records[0]] if records else candidates
    with_several_cells = [row for row in above if _count_filled(row.cells) > 1]
    if records:
        return with_several_cells[-1] if with_several_cells else None
    width = max(_count_filled(row.cells) for row in candidates)
    return next(row for row in candidates if _count_filled(row.cells) > width / 2)


def _combine_with_groups(above: Row, below: Row, importer: type[Importer]) -> DetectedHeader:
    """Return the two rows as one header, where cells of the upper row name groups of columns.

    A group extends to the right over blank cells. "Name" above "First" becomes "First Name" if that
    names a field. "Contact" above "Phone" becomes "Phone". If neither names a field, the name
    becomes "Address / Street".
    """
    known = _get_known_names(importer)
    cells: list[Cell] = []
    group = ""
    for index, cell in enumerate(below[1][:MAX_GROUPED_COLUMNS]):
        own = get_cell_text(above[1][index]).strip() if index < len(above[1]) else ""
        group, name = own or group, get_cell_text(cell).strip()
        is_grouped = group and name
        cells.append(_combine_names(group, name, known) if is_grouped else cell or own or None)
    return DetectedHeader(below[0], cells + below[1][MAX_GROUPED_COLUMNS:], above[0])


def _combine_names(group: str, name: str, known: frozenset[str]) -> str:
    if min(len(fold_text(group)), len(fold_text(name))) < MIN_GROUPED_CHARS:
        return name
    for combined in (f"{name} {group}", f"{group} {name}"):
        if fold_text(combined) in known:
            return combined
    return name if fold_text(name) in known else f"{group} / {name}"


def _count_filled(cells: list[Cell]) -> int:
    return sum(1 for cell in cells if get_cell_text(cell).strip())


def get_field_headers(importer: type[Importer]) -> FieldHeaders:
    """Return the folded headers of each field, and whether the field is required.

    The reader process uses them to find the sheet and the delimiter.
    """
    names, fallbacks = get_unambiguous_names(importer), get_fallback_names(importer)
    return [
        (sorted({*chain(*names[column.field]), *fallbacks[column.field]}), column.required)
        for column in importer.columns
    ]


def match_positions(cells: list[Cell], importer: type[Importer]) -> dict[str, int]:
    """Return field to column index, for each field that the headers name unambiguously."""
    return match_columns(cells, importer).positions


@dataclass(frozen=True)
class MatchedColumns(FieldColumns):
    """Which columns name which fields by their headers."""

    positions: dict[str, int]
    equals: dict[str, list[int]]
    fallbacks: dict[str, list[int]]
    hidden_ignored: list[int]


def match_columns(
    cells: list[Cell],
    importer: type[Importer],
    hidden: frozenset[int] = frozenset(),
    rows: Sequence[list[Cell]] = (),
) -> MatchedColumns:
    """Match header cells with the fields that they name.

    A field's own name takes precedence over its aliases, and these over its fallback aliases.
    Columns with different aliases fill one field only if no row of `rows` (the cells of the first
    rows below the header) holds different values in them. Otherwise a person must choose.
    """
    headers = [fold_text(get_cell_text(cell)) for cell in cells]
    matched = MatchedColumns({}, {}, {}, [])
    for field, (own, aliases) in get_unambiguous_names(importer).items():
        ranks = get_fallback_names(importer)[field]
        naming = [i for i, header in enumerate(headers) if header in own | aliases | ranks.keys()]
        visible = [i for i in naming if i not in hidden] or naming
        by_own = [i for i in visible if headers[i] in own]
        by_alias = [i for i in visible if headers[i] in aliases]
        by_fallback = sorted(
            (i for i in visible if headers[i] in ranks), key=lambda i: ranks[headers[i]]
        )
        equals = by_own or by_alias or by_fallback[:1]
        if not equals or not _has_one_value_per_row(equals, headers, rows):
            continue
        matched.positions[field] = equals[0]
        if equals[1:]:
            matched.equals[field] = equals[1:]
        if others := [i for i in by_alias + by_fallback if i not in equals]:
            matched.fallbacks[field] = others
        matched.hidden_ignored.extend(i for i in naming if i not in visible)
    return matched


def _has_one_value_per_row(
    indexes: list[int], headers: list[str], rows: Sequence[list[Cell]]
) -> bool:
    """Return whether the columns have one header, or never hold different values in a row."""
    if len({headers[index] for index in indexes}) == 1:
        return True
    filled = [
        {get_cell_text(cells[i]).strip() for i in indexes if i < len(cells)} - {""}
        for cells in rows
    ]
    return any(filled) and all(len(values) <= 1 for values in filled)


@cache
def get_unambiguous_names(importer: type[Importer]) -> dict[str, tuple[set[str], set[str]]]:
    """Return each field's own names and its aliases, without those that two fields claim."""
    names = {column.field: get_header_names(column, importer) for column in importer.columns}
    claims = Counter(name for own, aliases in names.values() for name in own | aliases)
    shared = {name for name, count in claims.items() if count > 1} | {""}
    return {field: (own - shared, aliases - shared) for field, (own, aliases) in names.items()}


@cache
def _get_known_names(importer: type[Importer]) -> frozenset[str]:
    """Return all folded headers that name a field of the importer."""
    names = chain.from_iterable(get_unambiguous_names(importer).values())
    return frozenset(chain(*names, *get_fallback_names(importer).values()))


@cache
def get_fallback_names(importer: type[Importer]) -> dict[str, dict[str, int]]:
    """Return each field's fallback aliases, folded, with their rank; rank 0 takes precedence.

    Names that another field claims, or that the field itself claims otherwise, are left out.
    """
    names = {
        column.field: list(dict.fromkeys(map(fold_text, column.fallback_aliases)))
        for column in importer.columns
    }
    claims = Counter(chain.from_iterable(names.values()))
    for own, aliases in get_unambiguous_names(importer).values():
        claims.update(own | aliases)
    return {
        field: {name: rank for rank, name in enumerate(own) if name and claims[name] == 1}
        for field, own in names.items()
    }


def get_header_names(column: Column, importer: type[Importer]) -> tuple[set[str], set[str]]:
    """Return the field's own names and its aliases, folded.

    The field's name and its verbose name in the site's language are its own names. Its verbose
    names in other languages are aliases.
    """
    languages = dict.fromkeys([settings.LANGUAGE_CODE, *dict(settings.LANGUAGES)])
    name, *translated = map(partial(get_verbose_name, column, importer), languages)
    own = {fold_text(column.field), fold_text(name)}
    return own, {fold_text(alias) for alias in (*column.aliases, *translated)} - own


def get_verbose_name(column: Column, importer: type[Importer], language: str) -> str:
    """Return the verbose name of the column's field in a language."""
    with override(language):
        return str(get_model_field(importer.model, column.field).verbose_name)


def get_cell_text(cell: Cell) -> str:
    """Return the cell as text; empty for an empty cell and for a formula without a value."""
    return "" if cell is None or cell == FORMULA_WITHOUT_VALUE else str(cell)


def get_header(column: Column, importer: type[Importer]) -> str:
    """Return a header that names this column, whatever the language of the reader.

    It is the first of these that no other field claims: the English verbose name, the field's
    name, the aliases.
    """
    names = [get_verbose_name(column, importer, "en"), column.field, *column.aliases]
    own, aliases = get_unambiguous_names(importer)[column.field]
    header = next((name for name in names if fold_text(name) in own | aliases), column.field)
    return capfirst(header)


def find_reason_columns(headers: Iterable[str]) -> list[int]:
    """Return the indexes of the columns with reasons, if this is a file of failed rows."""
    return [index for index, name in enumerate(headers) if name.startswith(REASON_HEADER_PREFIX)]


def find_ignored_columns(columns: DetectedColumns) -> list[int]:
    """Return the indexes of the columns that have a header or values, but fill no field."""
    further = chain(*columns.equals.values(), *columns.fallbacks.values())
    expected = chain(columns.hidden_ignored, find_reason_columns(columns.headers))
    taken = {*columns.positions.values(), *further, *expected}
    return [
        index
        for index in range(columns.width)
        if index not in taken and (columns.samples[index] or _has_header(columns, index))
    ]


def get_column_name(columns: DetectedColumns, index: int) -> str:
    """Return the column's header as it stands in the file, or its number, counted from 1."""
    return columns.headers[index] if _has_header(columns, index) else f"{index + 1}"


def _has_header(columns: DetectedColumns, index: int) -> bool:
    return index < len(columns.headers) and bool(columns.headers[index].strip())


def find_missing_fields(positions: Mapping[str, int | None], importer: type[Importer]) -> list[str]:
    """Return the required fields that no column fills."""
    required = [column.field for column in importer.columns if column.required]
    return [field for field in required if positions.get(field) is None]


def _is_record(cells: list[Cell], importer: type[Importer]) -> bool:
    """Return whether the cells, in the order of the importer, are valid for every column."""
    columns = importer.columns
    if len(cells) > len(columns):
        return False
    padded = [*cells, *[None] * (len(columns) - len(cells))]
    return all(is_valid_cell(importer, *pair) for pair in zip(columns, padded, strict=True))


def is_valid_cell(importer: type[Importer], column: Column, cell: Cell) -> bool:
    """Return whether the column's rule accepts the cell, and a required column has a value."""
    try:
        value = get_cleaner(importer, column)(prepare_cell(importer, column, cell)[0])
    except Exception:  # InvalidValue, or a bug in the rule.
        return False
    return bool(value) or not column.required
