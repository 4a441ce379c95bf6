"""A person's word on which column is which: judged, put to use, and remembered.

It is remembered for the owner's next file with the same headers, whoever has given it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imports.importer import Importer
from imports.models import ImportJob, SavedMapping
from imports.pipeline.header_detection import DetectedColumns, find_missing_fields
from imports.pipeline.reader.headers import fold_text
from imports.pipeline.row_validation import make_storable

ColumnPositions = dict[str, int | None]  # Of every field; None leaves it out.
MappingProblem = tuple[str, dict[str, Any]]  # A code and its parameters.
MappingProblems = dict[str, MappingProblem]  # By field.
MAX_QUOTED_HEADER_CHARS = 50  # Of a header, in an error.


class InvalidMapping(Exception):
    """This is no mapping of the file's columns."""

    def __init__(self, problems: MappingProblems) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


def resolve_mapping(
    told: Mapping[str, Any], layout: DetectedColumns, importer: type[Importer]
) -> ColumnPositions:
    """Where each field stands, by what was told of some and is known of the others.

    A column is told by its header or by its number, 0 for the first. Raises WrongMapping.
    """
    fields = [column.field for column in importer.columns]
    positions: ColumnPositions = {field: layout.positions.get(field) for field in fields}
    problems: MappingProblems = {}
    for field, column in told.items():
        if field not in positions:
            named = {"field": shown(field), "fields": fields}
            problems[named["field"]] = ("unknown_field", named)
        elif problem := _problem_of(column, layout):
            problems[field] = problem
        else:
            positions[field] = _columns_named(column, layout)[0] if column is not None else None
    needed = {field: ("column_needed", {}) for field in find_missing_fields(positions, importer)}
    if problems := needed | _used_twice(positions, told, layout) | problems:
        raise InvalidMapping(problems)
    return positions


def _problem_of(column: Any, layout: DetectedColumns) -> MappingProblem | None:
    if column is None:
        return None
    if isinstance(column, bool) or not isinstance(column, int | str):
        return "invalid_column", {}
    found = _columns_named(column, layout)
    if not found:
        return "unknown_column", {"column": shown(column), "last": layout.width - 1}
    if len(found) > 1:
        return "several_columns", {"column": shown(column), "indexes": found}
    return None


def _columns_named(column: int | str, layout: DetectedColumns) -> list[int]:
    """Columns of this number or header; what is written the same goes before what folds so."""
    if isinstance(column, int):
        return [column] if 0 <= column < layout.width else []
    headers = list(enumerate(layout.headers))
    same = [index for index, header in headers if header == column]
    return same or [index for index, header in headers if known_by(header) == known_by(column)]


def _used_twice(
    positions: ColumnPositions, told: Mapping[str, Any], layout: DetectedColumns
) -> MappingProblems:
    """Of two fields on one column the one that was told is to blame, or the later one."""
    problems: MappingProblems = {}
    taken: dict[int, str] = {}
    for field in sorted(positions, key=lambda field: field in told):
        if (index := positions[field]) is None:
            continue
        if index in taken:
            header = layout.headers[index] if index < len(layout.headers) else ""
            named = {"column": shown(header or index), "field": taken[index]}
            problems[field] = ("used_twice", named)
        taken.setdefault(index, field)
    return problems


def shown(column: int | str) -> str:
    return make_storable(str(column)[:MAX_QUOTED_HEADER_CHARS])


def known_by(header: str) -> str:
    """What headers are compared by: their fold, or themselves where nothing is left of it."""
    return fold_text(header) or header.strip()


# --- While the file is read --------------------------------------------------


def apply_mapping(
    job: ImportJob, layout: DetectedColumns, importer: type[Importer]
) -> DetectedColumns:
    """The layout by what was told for this import, or for an earlier one with these headers."""
    if not job.has_header_row and layout.header_row:
        layout = _without_header(layout, importer)
    if job.column_mapping is not None:
        return _with(job.column_mapping, layout, importer)
    if (known := _recall(job, layout)) is not None:
        told = replace(_with(known, layout, importer), from_saved_mapping=True)
        return layout if told.missing else told  # The importer has changed since.
    return layout


def _without_header(layout: DetectedColumns, importer: type[Importer]) -> DetectedColumns:
    """Its first row is a row like the others: columns in the importer's own order."""
    in_order = {column.field: i for i, column in enumerate(importer.columns) if i < layout.width}
    return replace(
        layout,
        header_row=0,
        headers=[],
        positions=in_order,
        missing=find_missing_fields(in_order, importer),
        equals={},
        fallbacks={},
        hidden_ignored=[],
        first_header_row=0,
    )


def _with(
    told: ColumnPositions, layout: DetectedColumns, importer: type[Importer]
) -> DetectedColumns:
    fields = {column.field for column in importer.columns}
    positions = {f: index for f, index in told.items() if f in fields and index is not None}
    taken = set(positions.values())

    def keep(further: dict[str, list[int]]) -> dict[str, list[int]]:
        """Those of a field whose first column is the one that was told, too."""
        same = {f: ns for f, ns in further.items() if positions.get(f) == layout.positions.get(f)}
        free = {f: [n for n in ns if n not in taken] for f, ns in same.items() if f in positions}
        return {field: indexes for field, indexes in free.items() if indexes}

    return replace(
        layout,
        positions=positions,
        missing=find_missing_fields(positions, importer),
        suggestions={},
        equals=keep(layout.equals),
        fallbacks=keep(layout.fallbacks),
        hidden_ignored=[index for index in layout.hidden_ignored if index not in taken],
    )


def _recall(job: ImportJob, layout: DetectedColumns) -> ColumnPositions | None:
    if job.owner_id is None or not layout.headers:
        return None
    known = SavedMapping.objects.filter(
        owner=job.owner_id, importer=job.importer, headers_digest=digest_headers(layout.headers)
    )
    return known.values_list("positions", flat=True).first()


def save_mapping(job: ImportJob) -> None:
    """Keep what a person has told, now that it has led to rows that can be imported."""
    headers = job.detected_columns["headers"] if job.detected_columns else []
    if job.column_mapping is None or job.owner_id is None or not headers:
        return
    if job.checked == job.failed:
        return  # It has led to nothing.
    told = SavedMapping(
        owner_id=job.owner_id,
        importer=job.importer,
        headers_digest=digest_headers(headers),
        positions=job.column_mapping,
    )
    SavedMapping.objects.bulk_create(
        [told],
        update_conflicts=True,
        unique_fields=["owner", "importer", "headers_digest"],
        update_fields=["positions", "saved_at"],
    )


def digest_headers(headers: list[str]) -> str:
    """The same for the same headers in the same order, over case, accents and spaces."""
    names = json.dumps([known_by(header) for header in headers])
    return hashlib.sha256(names.encode()).hexdigest()
