"""Header cells to fields: which column of the file fills which field of the model.

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
from imports.pipeline.cleaning import clean_of
from imports.pipeline.reader.cells import FORMULA_WITHOUT_VALUE
from imports.pipeline.reader.headers import LOOKED_AT, Fields, folded
from imports.pipeline.reading import Row

# Begins the header of the column that our reports add; folded away, it names no field.
REASON_MARK = "\u26a0"


@dataclass(frozen=True)
class Layout:
    header_row: int  # 0: the file has no header row.
    headers: list[str]  # The header cells as text; none without a header row.
    positions: dict[str, int]  # Field to index in a row's cells.
    missing: list[str]  # Required fields that no header was recognised for.
    # For whom is asked which column is which: a few values below each header, and what fields
    # the columns might be that were not recognised, by their index as text.
    samples: list[list[str]] = dataclasses.field(default_factory=list)
    suggestions: dict[str, str] = dataclasses.field(default_factory=dict)
    remembered: bool = False  # The positions are what was told for an earlier file.
    # Field to further columns that mean it, by index, in the order in which they are asked for a
    # value: the first that is filled counts. Of `equals` a second, different value is an error;
    # of `fallbacks` it is not.
    equals: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    fallbacks: dict[str, list[int]] = dataclasses.field(default_factory=dict)

    @property
    def width(self) -> int:
        """How many columns there are, with or without a header."""
        return len(self.samples)


def recognise(rows: Sequence[Row], importer: type[Importer]) -> Layout:
    """Find the header among the first rows that are not blank, or that there is none.

    Number 0 is no row of the file: names that it gives beside its rows.
    """
    header = find_header(rows[:LOOKED_AT], importer)
    if header is None:
        in_order = {column.field: index for index, column in enumerate(importer.columns)}
        return Layout(0, [], in_order, [])
    number, cells = header
    positions = match(cells, importer)
    return Layout(
        number, [as_text(cell) for cell in cells], positions, missing(positions, importer)
    )


def find_header(rows: Sequence[Row], importer: type[Importer]) -> Row | None:
    """The first row that names most fields, if no record stands above it.

    Where none does, it is the row above the first record, or below the titles.
    """
    named = [match(cells, importer) for _, cells in rows]
    scores = [(not missing(found, importer), len(found)) for found in named]
    best = max(range(len(rows)), key=lambda index: (len(named[index]) > 0, *scores[index]))
    fields = len(named[best])
    records = [
        index
        for index, (number, cells) in enumerate(rows)
        if number and is_record(cells, importer) and _width(cells) >= min(fields, 2)
    ]
    if fields and not any(index < best for index in records):
        return rows[best]
    above = rows[: records[0]] if records else rows
    several = [row for row in above if _width(row[1]) > 1]
    if records:
        return several[-1] if several else None
    widest = max(_width(cells) for _, cells in rows)
    return next(row for row in rows if _width(row[1]) > widest / 2)


def _width(cells: list[Cell]) -> int:
    return sum(1 for cell in cells if as_text(cell).strip())


def names_known(importer: type[Importer]) -> Fields:
    """What the importer's fields are called in headers, as the reader asks for it."""
    names = unshared_names(importer)
    return [
        (sorted(set().union(*names[column.field])), column.required) for column in importer.columns
    ]


def match(cells: list[Cell], importer: type[Importer]) -> dict[str, int]:
    """Field to index, for each field that the headers name without doubt."""
    headers = [folded(as_text(cell)) for cell in cells]
    positions = {}
    for field, (own, aliases) in unshared_names(importer).items():
        # What the field itself is called beats an alias; of two aliases neither does.
        named = [h for h in headers if h in own] or [h for h in headers if h in aliases]
        if len(set(named)) == 1:
            positions[field] = headers.index(named[0])  # Said twice, the first column counts.
    return positions


def unshared_names(importer: type[Importer]) -> dict[str, tuple[set[str], set[str]]]:
    """Each field's own names and its aliases, without those that another field claims too."""
    names = {column.field: names_of(column, importer) for column in importer.columns}
    claims = Counter(name for own, aliases in names.values() for name in own | aliases)
    shared = {name for name, count in claims.items() if count > 1} | {""}
    return {field: (own - shared, aliases - shared) for field, (own, aliases) in names.items()}


def names_of(column: Column, importer: type[Importer]) -> tuple[set[str], set[str]]:
    """The field's own names and its aliases, folded; what it is in other languages is one."""
    languages = dict.fromkeys([settings.LANGUAGE_CODE, *dict(settings.LANGUAGES)])
    name, *translated = map(partial(verbose_name, column, importer), languages)
    own = {folded(column.field), folded(name)}
    return own, {folded(alias) for alias in (*column.aliases, *translated)} - own


def verbose_name(column: Column, importer: type[Importer], language: str) -> str:
    with override(language):
        return str(importer.model._meta.get_field(column.field).verbose_name)


def as_text(cell: Cell) -> str:
    return "" if cell is None or cell == FORMULA_WITHOUT_VALUE else str(cell)


def header_of(column: Column, importer: type[Importer]) -> str:
    """A header that is recognised as this column, whatever the reader's language."""
    names = [verbose_name(column, importer, "en"), column.field, *column.aliases]
    own, aliases = unshared_names(importer)[column.field]
    found = next((name for name in names if folded(name) in own | aliases), column.field)
    return capfirst(found)


def reason_positions(headers: Iterable[str]) -> list[int]:
    """Where a report of ours, uploaded again, says why its rows were refused."""
    return [index for index, name in enumerate(headers) if name.startswith(REASON_MARK)]


def ignored_columns(layout: Layout) -> list[int]:
    """The columns that hold something and fill no field, by index."""
    further = chain(*layout.equals.values(), *layout.fallbacks.values())
    taken = {*layout.positions.values(), *further, *reason_positions(layout.headers)}
    return [
        index
        for index in range(layout.width)
        if index not in taken and (layout.samples[index] or _has_header(layout, index))
    ]


def column_name(layout: Layout, index: int) -> str:
    """The column's header as it stands in the file, or its number, counted from 1."""
    return layout.headers[index] if _has_header(layout, index) else f"{index + 1}"


def _has_header(layout: Layout, index: int) -> bool:
    return index < len(layout.headers) and bool(layout.headers[index].strip())


def missing(positions: Mapping[str, int | None], importer: type[Importer]) -> list[str]:
    required = [column.field for column in importer.columns if column.required]
    return [field for field in required if positions.get(field) is None]


def is_record(cells: list[Cell], importer: type[Importer]) -> bool:
    """Whether the cells, in the importer's own order, pass every column's rules."""
    columns = importer.columns
    if len(cells) > len(columns):
        return False
    padded = [*cells, *[None] * (len(columns) - len(cells))]
    return all(passes(importer, *pair) for pair in zip(columns, padded, strict=True))


def passes(importer: type[Importer], column: Column, cell: Cell) -> bool:
    try:
        value = clean_of(importer, column)(cell)
    except Exception:  # Invalid, or a rule with a bug: no record either way.
        return False
    return bool(value) or not column.required
