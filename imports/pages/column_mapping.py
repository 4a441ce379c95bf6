"""The form that maps the columns of a file to fields: its template context and its answer."""

from __future__ import annotations

from itertools import chain

from django.http import QueryDict
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from imports import error_messages, permissions
from imports.error_messages import get_field_label
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob
from imports.permissions import User
from imports.pipeline.column_mapping import InvalidMapping
from imports.pipeline.column_suggestions import MAX_SAMPLED_COLUMNS
from imports.pipeline.header_detection import DetectedColumns, find_ignored_columns
from imports.statuses import Status

MAX_OFFERED_COLUMNS = MAX_SAMPLED_COLUMNS

Context = dict[str, object]


class FieldSelectedTwice(Exception):
    """One field is selected for two columns of the file."""


def build_mapping_context(
    job: ImportJob, user: User, submitted: QueryDict | None = None
) -> Context:
    """Return each offered column with samples and its field: submitted, detected or suggested.

    Return an empty context if no columns were detected, or if the import has failed.
    """
    if not job.detected_columns or job.status == Status.FAILED:
        return {}
    mask = permissions.get_value_mask(user, job)
    detected = DetectedColumns(**mask.mask_samples(job.detected_columns))
    importer = get_importer_or_placeholder(job.importer)
    field_of_index = {index: field for field, index in detected.positions.items()}
    offered, unlisted_count = list_offered_columns(detected)
    return {
        "header_row": detected.header_row,
        "mapping_fields": [
            (column.field, get_field_label(importer, column.field), column.required)
            for column in importer.columns
        ],
        "mapping_columns": [
            {
                "name": f"column-{index}",
                "header": get_column_header(detected, index),
                "samples": detected.samples[index],
                "field": (
                    submitted.get(f"column-{index}", "")
                    if submitted
                    else field_of_index.get(index) or detected.suggestions.get(str(index), "")
                ),
                "is_suggestion": (
                    not submitted
                    and index not in field_of_index
                    and str(index) in detected.suggestions
                ),
            }
            for index in offered
        ],
        "unlisted_count": unlisted_count,
    }


def list_offered_columns(detected: DetectedColumns) -> tuple[list[int], int]:
    """Return the columns that the form offers, by index, and how many others hold something.

    Of more than MAX_OFFERED_COLUMNS, the form offers those that fill a field or may fill one, then
    those that have a name.
    """
    joined = chain(*detected.equals.values(), *detected.fallbacks.values())
    used = {*detected.positions.values(), *map(int, detected.suggestions), *joined}
    columns = sorted({*used, *find_ignored_columns(detected)} & set(range(detected.width)))
    named = {index for index, header in enumerate(detected.headers) if header.strip()}
    by_priority = sorted(columns, key=lambda index: (index not in used, index not in named, index))
    limit = max(MAX_OFFERED_COLUMNS, len(used))
    return sorted(by_priority[:limit]), len(by_priority[limit:])


def get_column_header(detected: DetectedColumns, index: int) -> str:
    """Return the header of the column, or "Column 3" if it has none."""
    headers = detected.headers[index : index + 1]
    return headers[0] if headers and headers[0] else _("Column %(n)s") % {"n": index + 1}


def read_mapping(job: ImportJob, submitted: QueryDict) -> dict[str, int | None]:
    """Return the column index that was selected for each field; None for no column.

    Raises:
        FieldSelectedTwice: If one field is selected for two columns. Its text is for the user.
    """
    assert job.detected_columns is not None
    detected = DetectedColumns(**job.detected_columns)
    importer = get_importer_or_placeholder(job.importer)
    mapping: dict[str, int | None] = {column.field: None for column in importer.columns}
    for index in range(detected.width):
        field = submitted.get(f"column-{index}")
        if field not in mapping:
            continue
        if mapping[field] is not None:
            raise FieldSelectedTwice(
                _("%(name)s is selected for more than one column. Keep only one of them.")
                % {"name": get_field_label(importer, field)}
            )
        mapping[field] = index
    return mapping


def describe_invalid_mapping(job: ImportJob, error: FieldSelectedTwice | InvalidMapping) -> str:
    """Return what is wrong with a submitted mapping, in the user's language."""
    if isinstance(error, FieldSelectedTwice):
        return str(error)
    importer = get_importer_or_placeholder(job.importer)
    missing = [field for field, (code, _) in error.problems.items() if code == "column_required"]
    if not missing:
        return " ".join(
            error_messages.describe_mapping_problem(*problem) for problem in error.problems.values()
        )
    labels = get_text_list([get_field_label(importer, field) for field in missing], _("and"))
    return _("Select a column for: %(names)s.") % {"names": labels}
