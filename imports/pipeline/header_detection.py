"""Header cells to fields: which column of the file fills which field of the model.

Only columns that the importer declares can be filled, whatever a header says.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain

from django.conf import settings
from django.utils.text import capfirst
from django.utils.translation import override

from imports.importer import Cell, Column, Importer
from imports.pipeline.field_cleaning import get_cleaner, prepare_cell
from imports.pipeline.reader.cell_conversion import FORMULA_WITHOUT_VALUE
from imports.pipeline.reader.headers import MAX_HEADER_SEARCH_ROWS, FieldHeaders, fold_text
from imports.pipeline.reader_client import Row

MIN_GROUPED_CHARS = 3  # "a" above "d" is not the Turkish "ad".
MAX_GROUPED_COLUMNS = 1_000  # Further columns are named by one row of the header alone.
# Begins the header of the column that our reports add; folded away, it names no field.
REASON_HEADER_PREFIX = "\u26a0"


@dataclass(frozen=True)
class DetectedHeader:
    """The row that names the columns; with groups in the row above, both rows together."""

    number: int  # Of the lower row; 0: names that the file gives beside its rows.
    cells: list[Cell]
    first_number: int = 0  # Of the row with the groups; the same as `number` where there is none.


class FieldColumns:
    """Which columns fill which field; several may fill one.

    The columns of a field are asked for a value in this order: the one of `positions`, those of
    `equals`, those of `fallbacks`. The first that is filled counts. Of `equals` a second,
    different value is an error; of `fallbacks` it is not.
    """

    positions: dict[str, int]
    equals: dict[str, list[int]]
    fallbacks: dict[str, list[int]]

    def get_columns(self, field: str) -> list[int]:
        """The columns that fill the field, by index, in the order they are asked for a value."""
        first = [self.positions[field]] if field in self.positions else []
        return [*first, *self.equals.get(field, ()), *self.fallbacks.get(field, ())]

    def columns(self) -> dict[str, list[int]]:
        return {field: self.get_columns(field) for field in self.positions}


@dataclass(frozen=True)
class DetectedColumns(FieldColumns):
    header_row: int  # 0: the file has no header row.
    headers: list[str]  # The header cells as text; none without a header row.
    positions: dict[str, int]  # Field to index in a row's cells.
    missing: list[str]  # Required fields that no header was recognised for.
    # For whom is asked which column is which: a few values below each header, and what fields
    # the columns might be that were not recognised, by their index as text.
    samples: list[list[str]] = dataclasses.field(default_factory=list)
    suggestions: dict[str, str] = dataclasses.field(default_factory=dict)
    from_saved_mapping: bool = False  # The positions were chosen for an earlier file.
    # Field to further columns that fill it, by index; see ColumnsOfFields.
    equals: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    fallbacks: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    # Hidden columns that name a field which a visible column fills.
    hidden_ignored: list[int] = dataclasses.field(default_factory=list)
    first_header_row: int = 0  # Of a header in two rows; else `header_row`.

    @property
    def width(self) -> int:
        """How many columns there are, with or without a header."""
        return len(self.samples)


def detect_columns(
    rows: Sequence[Row], importer: type[Importer], hidden: Iterable[int] = ()
) -> DetectedColumns:
    """Find the header among the first rows that are not blank, or that there is none.

    Number 0 is no row of the file: names that it gives beside its rows. `hidden` are the indexes
    of columns that the workbook hides: they fill a field only where no visible column names it.
    """
    header = find_header(rows[:MAX_HEADER_SEARCH_ROWS], importer)
    if header is None:
        in_order = {column.field: index for index, column in enumerate(importer.columns)}
        return DetectedColumns(0, [], in_order, [])
    below = [cells for number, cells in rows if number > header.number]
    found = match_columns(header.cells, importer, frozenset(hidden), below)
    return DetectedColumns(
        header_row=header.number,
        headers=[get_cell_text(cell) for cell in header.cells],
        positions=found.positions,
        missing=find_missing_fields(found.positions, importer),
        equals=found.equals,
        fallbacks=found.fallbacks,
        hidden_ignored=found.hidden_ignored,
        first_header_row=header.first_number if header.first_number != header.number else 0,
    )


def find_header(rows: Sequence[Row], importer: type[Importer]) -> DetectedHeader | None:
    """The first row that names most fields, if no record stands above it.

    Where none does, it is the row above the first record, or below the titles.
    """
    candidates = [DetectedHeader(number, cells, number) for number, cells in rows]
    named = [match_positions(cells, importer) for _, cells in rows]
    for index in range(1, len(rows)):
        grouped = _with_groups(rows[index - 1], rows[index], importer)
        found = match_positions(grouped.cells, importer)
        if len(found) > max(len(named[index - 1]), len(named[index])):
            candidates[index], named[index] = grouped, found
    scores = [(not find_missing_fields(found, importer), len(found)) for found in named]
    best = max(range(len(rows)), key=lambda index: (len(named[index]) > 0, *scores[index]))
    fields = len(named[best])
    records = [
        index
        for index, (number, cells) in enumerate(rows)
        if number and is_record(cells, importer) and _width(cells) >= min(fields, 2)
    ]
    if fields and not any(index < best for index in records):
        return candidates[best]
    above = candidates[: records[0]] if records else candidates
    several = [row for row in above if _width(row.cells) > 1]
    if records:
        return several[-1] if several else None
    widest = max(_width(row.cells) for row in candidates)
    return next(row for row in candidates if _width(row.cells) > widest / 2)


def _with_groups(above: Row, below: Row, importer: type[Importer]) -> DetectedHeader:
    """The two rows as one header, where a cell of the upper row names a group of columns.

    A group reaches to the right over blank cells. "Name" above "First" is "First Name" where that
    names a field; "Contact" above "Phone" is "Phone"; what names no field is "Address / Street".
    """
    known = _known_names(importer)
    cells: list[Cell] = []
    group = ""
    for index, cell in enumerate(below[1][:MAX_GROUPED_COLUMNS]):
        own = get_cell_text(above[1][index]).strip() if index < len(above[1]) else ""
        group, name = own or group, get_cell_text(cell).strip()
        cells.append(_name_in_group(group, name, known) if group and name else cell or own or None)
    return DetectedHeader(below[0], cells + below[1][MAX_GROUPED_COLUMNS:], above[0])


def _name_in_group(group: str, name: str, known: frozenset[str]) -> str:
    if min(len(fold_text(group)), len(fold_text(name))) < MIN_GROUPED_CHARS:
        return name
    for combined in (f"{name} {group}", f"{group} {name}"):
        if fold_text(combined) in known:
            return combined
    return name if fold_text(name) in known else f"{group} / {name}"


def _width(cells: list[Cell]) -> int:
    return sum(1 for cell in cells if get_cell_text(cell).strip())


def get_field_headers(importer: type[Importer]) -> FieldHeaders:
    """What the importer's fields are called in headers, as the reader asks for it."""
    names, fallbacks = get_unambiguous_names(importer), get_fallback_names(importer)
    return [
        (sorted({*chain(*names[column.field]), *fallbacks[column.field]}), column.required)
        for column in importer.columns
    ]


def match_positions(cells: list[Cell], importer: type[Importer]) -> dict[str, int]:
    """Field to index, for each field that the headers name without doubt."""
    return match_columns(cells, importer).positions


@dataclass(frozen=True)
class MatchedColumns(FieldColumns):
    """Which columns name which fields."""

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
    """Find the columns of each field by their headers.

    The field's own name goes before its aliases, and these before its fallback aliases. Two
    different aliases name one field only if none of `rows`, the cells of the first rows below the
    header, holds different values in them: else someone has to choose.
    """
    headers = [fold_text(get_cell_text(cell)) for cell in cells]
    matched = MatchedColumns({}, {}, {}, [])
    for field, (own, aliases) in get_unambiguous_names(importer).items():
        last = get_fallback_names(importer)[field]
        naming = [i for i, header in enumerate(headers) if header in own | aliases | last.keys()]
        visible = [i for i in naming if i not in hidden] or naming
        by_own = [i for i in visible if headers[i] in own]
        by_alias = [i for i in visible if headers[i] in aliases]
        by_fallback = sorted(
            (i for i in visible if headers[i] in last), key=lambda i: last[headers[i]]
        )
        equals = by_own or by_alias or by_fallback[:1]
        if not equals or not _name_one_value(equals, headers, rows):
            continue
        matched.positions[field] = equals[0]
        if equals[1:]:
            matched.equals[field] = equals[1:]
        if others := [i for i in by_alias + by_fallback if i not in equals]:
            matched.fallbacks[field] = others
        matched.hidden_ignored.extend(i for i in naming if i not in visible)
    return matched


def _name_one_value(indexes: list[int], headers: list[str], rows: Sequence[list[Cell]]) -> bool:
    """Whether the columns have one header, or never hold different values in a row."""
    if len({headers[index] for index in indexes}) == 1:
        return True
    filled = [
        {get_cell_text(cells[i]).strip() for i in indexes if i < len(cells)} - {""}
        for cells in rows
    ]
    return any(filled) and all(len(values) <= 1 for values in filled)


@cache
def get_unambiguous_names(importer: type[Importer]) -> dict[str, tuple[set[str], set[str]]]:
    """Each field's own names and its aliases, without those that another field claims too."""
    names = {column.field: get_header_names(column, importer) for column in importer.columns}
    claims = Counter(name for own, aliases in names.values() for name in own | aliases)
    shared = {name for name, count in claims.items() if count > 1} | {""}
    return {field: (own - shared, aliases - shared) for field, (own, aliases) in names.items()}


@cache
def _known_names(importer: type[Importer]) -> frozenset[str]:
    """All names that the importer's fields have in headers, folded."""
    names = chain.from_iterable(get_unambiguous_names(importer).values())
    return frozenset(chain(*names, *get_fallback_names(importer).values()))


@cache
def get_fallback_names(importer: type[Importer]) -> dict[str, dict[str, int]]:
    """Each field's fallback aliases, folded, with their rank: 0 is asked for a value first.

    Names that another field, or the field itself, claims too are left out.
    """
    names = {
        c.field: [*dict.fromkeys(map(fold_text, c.fallback_aliases))] for c in importer.columns
    }
    claims = Counter(chain.from_iterable(names.values()))
    for own, aliases in get_unambiguous_names(importer).values():
        claims.update(own | aliases)
    return {
        field: {name: rank for rank, name in enumerate(own) if name and claims[name] == 1}
        for field, own in names.items()
    }


def get_header_names(column: Column, importer: type[Importer]) -> tuple[set[str], set[str]]:
    """The field's own names and its aliases, folded; what it is in other languages is one."""
    languages = dict.fromkeys([settings.LANGUAGE_CODE, *dict(settings.LANGUAGES)])
    name, *translated = map(partial(get_verbose_name, column, importer), languages)
    own = {fold_text(column.field), fold_text(name)}
    return own, {fold_text(alias) for alias in (*column.aliases, *translated)} - own


def get_verbose_name(column: Column, importer: type[Importer], language: str) -> str:
    with override(language):
        return str(importer.model._meta.get_field(column.field).verbose_name)


def get_cell_text(cell: Cell) -> str:
    return "" if cell is None or cell == FORMULA_WITHOUT_VALUE else str(cell)


def get_header(column: Column, importer: type[Importer]) -> str:
    """A header that is recognised as this column, whatever the reader's language."""
    names = [get_verbose_name(column, importer, "en"), column.field, *column.aliases]
    own, aliases = get_unambiguous_names(importer)[column.field]
    found = next((name for name in names if fold_text(name) in own | aliases), column.field)
    return capfirst(found)


def find_reason_columns(headers: Iterable[str]) -> list[int]:
    """Where a report of ours, uploaded again, says why its rows were refused."""
    return [index for index, name in enumerate(headers) if name.startswith(REASON_HEADER_PREFIX)]


def find_ignored_columns(layout: DetectedColumns) -> list[int]:
    """The columns that hold something and fill no field, by index."""
    further = chain(*layout.equals.values(), *layout.fallbacks.values())
    ours = chain(layout.hidden_ignored, find_reason_columns(layout.headers))
    taken = {*layout.positions.values(), *further, *ours}
    return [
        index
        for index in range(layout.width)
        if index not in taken and (layout.samples[index] or _has_header(layout, index))
    ]


def get_column_name(layout: DetectedColumns, index: int) -> str:
    """The column's header as it stands in the file, or its number, counted from 1."""
    return layout.headers[index] if _has_header(layout, index) else f"{index + 1}"


def _has_header(layout: DetectedColumns, index: int) -> bool:
    return index < len(layout.headers) and bool(layout.headers[index].strip())


def find_missing_fields(positions: Mapping[str, int | None], importer: type[Importer]) -> list[str]:
    required = [column.field for column in importer.columns if column.required]
    return [field for field in required if positions.get(field) is None]


def is_record(cells: list[Cell], importer: type[Importer]) -> bool:
    """Whether the cells, in the importer's own order, pass every column's rules."""
    columns = importer.columns
    if len(cells) > len(columns):
        return False
    padded = [*cells, *[None] * (len(columns) - len(cells))]
    return all(is_valid_cell(importer, *pair) for pair in zip(columns, padded, strict=True))


def is_valid_cell(importer: type[Importer], column: Column, cell: Cell) -> bool:
    try:
        value = get_cleaner(importer, column)(prepare_cell(importer, column, cell)[0])
    except Exception:  # Invalid, or a rule with a bug: no record either way.
        return False
    return bool(value) or not column.required
