"""Column mappings: validate the one that a person gives, apply it, and save it.

A mapping is saved for the owner of the import, and applies to the owner's next file with the same
headers. The person who gives it may be someone else.
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
from imports.pipeline.row_validation import make_storable_text

ColumnPositions = dict[str, int | None]  # Field to column index; None leaves the field out.
MappingProblem = tuple[str, dict[str, Any]]  # An error code and its parameters.
MappingProblems = dict[str, MappingProblem]  # By field.
MAX_QUOTED_HEADER_CHARS = 50  # In an error.


class InvalidMapping(Exception):
    """The mapping does not fit the columns of the file. `problems` says why, by field."""

    def __init__(self, problems: MappingProblems) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


def resolve_mapping(
    mapping: Mapping[str, Any], columns: DetectedColumns, importer: type[Importer]
) -> ColumnPositions:
    """Return the column of each field: as `mapping` says, else as it was detected.

    `mapping` names a column by its header or by its index, 0 for the first; None leaves the field
    out.

    Raises:
        InvalidMapping: A field or column is unknown or ambiguous, a column is used twice, or a
            required field has no column.
    """
    positions, problems = _find_positions(mapping, columns, importer)
    required: MappingProblems = {
        field: ("column_required", {}) for field in find_missing_fields(positions, importer)
    }
    if problems := required | problems:
        raise InvalidMapping(problems)
    return positions


def validate_mapping(mapping: Mapping[str, Any], importer: type[Importer]) -> None:
    """Check a mapping before the file is read.

    Raises:
        InvalidMapping: A field is unknown, or an entry cannot name a column of any file.
    """
    fields = [column.field for column in importer.columns]
    problems = {
        quote_header(field): problem
        for field, column in mapping.items()
        if (problem := _find_unknown_field(field, fields) or _find_wrong_entry(column))
    }
    if problems:
        raise InvalidMapping(problems)


def _find_positions(
    mapping: Mapping[str, Any], columns: DetectedColumns, importer: type[Importer]
) -> tuple[ColumnPositions, MappingProblems]:
    """Return the column of each field, and why entries of the mapping cannot be applied."""
    fields = [column.field for column in importer.columns]
    positions: ColumnPositions = {field: columns.positions.get(field) for field in fields}
    problems: MappingProblems = {}
    for field, column in mapping.items():
        if problem := _find_unknown_field(field, fields) or _find_problem(column, columns):
            problems[quote_header(field)] = problem
        else:
            positions[field] = _find_columns(column, columns)[0] if column is not None else None
    return positions, _find_columns_used_twice(positions, mapping, columns) | problems


def _find_unknown_field(field: str, fields: list[str]) -> MappingProblem | None:
    if field in fields:
        return None
    return "unknown_field", {"field": quote_header(field), "fields": fields}


def _find_wrong_entry(column: Any) -> MappingProblem | None:
    """Return a problem if the entry names no column of any file."""
    # No header of a file has characters that cannot be stored.
    if not _is_entry(column) or (isinstance(column, str) and column != make_storable_text(column)):
        return "invalid_column", {}
    return None


def _is_entry(column: Any) -> bool:
    """Return whether the value is a header, an index, or None."""
    return column is None or (isinstance(column, int | str) and not isinstance(column, bool))


def _find_problem(column: Any, columns: DetectedColumns) -> MappingProblem | None:
    if column is None:
        return None
    if not _is_entry(column):
        return "invalid_column", {}
    indexes = _find_columns(column, columns)
    if not indexes:
        return "unknown_column", {"column": quote_header(column), "last": columns.width - 1}
    if len(indexes) > 1:
        return "several_columns", {"column": quote_header(column), "indexes": indexes}
    return None


def _find_columns(column: int | str, columns: DetectedColumns) -> list[int]:
    """Return the columns with this index or header.

    Headers that are written exactly like this take precedence over those that only fold the same.
    """
    if isinstance(column, int):
        return [column] if 0 <= column < columns.width else []
    headers = list(enumerate(columns.headers))
    exact = [index for index, header in headers if header == column]
    return exact or [
        index for index, header in headers if _fold_header(header) == _fold_header(column)
    ]


def _find_columns_used_twice(
    positions: ColumnPositions, mapping: Mapping[str, Any], columns: DetectedColumns
) -> MappingProblems:
    """Return a problem for each second field on one column.

    A field that `mapping` names is second to one that was detected.
    """
    problems: MappingProblems = {}
    taken: dict[int, str] = {}
    for field in sorted(positions, key=lambda field: field in mapping):
        if (index := positions[field]) is None:
            continue
        if index in taken:
            header = columns.headers[index] if index < len(columns.headers) else ""
            params = {"column": quote_header(header or index), "field": taken[index]}
            problems[field] = ("column_used_twice", params)
        taken.setdefault(index, field)
    return problems


def quote_header(column: int | str) -> str:
    """Return a header or a column index as an error quotes it: short and storable."""
    return make_storable_text(str(column)[:MAX_QUOTED_HEADER_CHARS])


def _fold_header(header: str) -> str:
    """Return what headers are compared by: the folded header, or the header if that is empty."""
    return fold_text(header) or header.strip()


# --- While the file is read --------------------------------------------------


def apply_mapping(
    job: ImportJob, columns: DetectedColumns, importer: type[Importer]
) -> DetectedColumns:
    """Return the columns with the mapping of the import, or with the owner's saved mapping.

    Without either, the columns are returned as they were detected.

    Raises:
        InvalidMapping: The mapping of the import was given before the file was read, and does not
            fit the columns of the file.
    """
    if job.has_header_row is False and columns.header_row:
        columns = _remove_header(columns, importer)
    if job.column_mapping is not None:
        fields = {column.field for column in importer.columns}
        mapping = {field: job.column_mapping[field] for field in job.column_mapping.keys() & fields}
        positions, problems = _find_positions(mapping, columns, importer)
        if problems:
            raise InvalidMapping(problems)
        return _set_positions(positions, columns, importer)
    if (saved := _load_saved_mapping(job, columns)) is not None:
        mapped = replace(_set_positions(saved, columns, importer), from_saved_mapping=True)
        # If the importer has changed since, the saved mapping may lack a required field.
        return columns if mapped.missing else mapped
    return columns


def _remove_header(columns: DetectedColumns, importer: type[Importer]) -> DetectedColumns:
    """Return the columns of a file without a header row, in the order of the importer."""
    positions = {
        column.field: index
        for index, column in enumerate(importer.columns)
        if index < columns.width
    }
    return replace(
        columns,
        header_row=0,
        headers=[],
        positions=positions,
        missing=find_missing_fields(positions, importer),
        equals={},
        fallbacks={},
        hidden_ignored=[],
        first_header_row=0,
    )


def _set_positions(
    mapping: ColumnPositions, columns: DetectedColumns, importer: type[Importer]
) -> DetectedColumns:
    fields = {column.field for column in importer.columns}
    positions = {
        field: index for field, index in mapping.items() if field in fields and index is not None
    }
    taken = set(positions.values())

    def keep_free_columns(further: dict[str, list[int]]) -> dict[str, list[int]]:
        """Keep the further columns of fields whose first column the mapping does not change."""
        free = {
            field: [index for index in indexes if index not in taken]
            for field, indexes in further.items()
            if field in positions and positions[field] == columns.positions.get(field)
        }
        return {field: indexes for field, indexes in free.items() if indexes}

    return replace(
        columns,
        positions=positions,
        missing=find_missing_fields(positions, importer),
        suggestions={},
        equals=keep_free_columns(columns.equals),
        fallbacks=keep_free_columns(columns.fallbacks),
        hidden_ignored=[index for index in columns.hidden_ignored if index not in taken],
    )


def _load_saved_mapping(job: ImportJob, columns: DetectedColumns) -> ColumnPositions | None:
    if job.owner_id is None or not columns.headers:
        return None
    saved = SavedMapping.objects.filter(
        owner=job.owner_id, importer=job.importer, headers_digest=digest_headers(columns.headers)
    )
    return saved.values_list("positions", flat=True).first()


def save_mapping(job: ImportJob) -> None:
    """Save the mapping that a person gave for this import, if any row can be imported with it.

    Nothing is saved for an import without an owner, or for a file without headers.
    """
    headers = job.detected_columns["headers"] if job.detected_columns else []
    if job.column_mapping is None or job.owner_id is None or not headers:
        return
    if job.checked == job.failed:
        return
    saved = SavedMapping(
        owner_id=job.owner_id,
        importer=job.importer,
        headers_digest=digest_headers(headers),
        positions=job.column_mapping,
    )
    SavedMapping.objects.bulk_create(
        [saved],
        update_conflicts=True,
        unique_fields=["owner", "importer", "headers_digest"],
        update_fields=["positions", "saved_at"],
    )


def digest_headers(headers: list[str]) -> str:
    """Return a SHA-256 digest of the headers and their order, without case, accents and spaces."""
    names = json.dumps([_fold_header(header) for header in headers])
    return hashlib.sha256(names.encode()).hexdigest()
