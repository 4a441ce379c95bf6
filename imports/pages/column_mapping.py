"""Which column of the file is which of ours: the form, and what was chosen in it."""

from __future__ import annotations

from itertools import chain
from typing import Any

from django.http import QueryDict
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from imports import error_messages
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob
from imports.pages.presenters import name_of
from imports.pipeline.column_mapping import InvalidMapping
from imports.pipeline.column_suggestions import MAX_SAMPLED_COLUMNS
from imports.pipeline.header_detection import DetectedColumns, find_ignored_columns
from imports.statuses import Status

MAX_OFFERED_COLUMNS = MAX_SAMPLED_COLUMNS

Context = dict[str, Any]


class ChosenTwice(Exception):
    """Two columns of the file were said to be the same one of ours."""


def mapping_shown(job: ImportJob, sent: QueryDict | None = None) -> Context:
    """Each column of the file with its samples, and what it is known, guessed or said to be."""
    if not job.detected_columns or job.status == Status.FAILED:  # Its columns are of no use then.
        return {}
    layout, importer = (
        DetectedColumns(**job.detected_columns),
        get_importer_or_placeholder(job.importer),
    )
    known = {index: field for field, index in layout.positions.items()}
    fields = [(c.field, name_of(importer, c.field), c.required) for c in importer.columns]
    offered, left_out = offered_columns(layout)
    return {
        "header_row": layout.header_row,
        "mapping_fields": fields,
        "mapping_columns": [
            {
                "name": f"column-{index}",
                "header": header_of(layout, index),
                "samples": layout.samples[index],
                "field": sent.get(f"column-{index}", "") if sent else guess(layout, known, index),
                "is_guess": not sent and index not in known and str(index) in layout.suggestions,
            }
            for index in offered
        ],
        "columns_left_out": left_out,
    }


def offered_columns(layout: DetectedColumns) -> tuple[list[int], int]:
    """Return the columns that the form offers, by index, and how many others hold something.

    Of more than MAX_COLUMNS, the form offers those that fill a field or may fill one, then those
    that have a name.
    """
    joined = chain(*layout.equals.values(), *layout.fallbacks.values())
    known = {*layout.positions.values(), *map(int, layout.suggestions), *joined}
    offered = sorted({*known, *find_ignored_columns(layout)} & set(range(layout.width)))
    is_named = {index for index, header in enumerate(layout.headers) if header.strip()}
    first = sorted(offered, key=lambda index: (index not in known, index not in is_named, index))
    most = max(MAX_OFFERED_COLUMNS, len(known))
    return sorted(first[:most]), len(first[most:])


def header_of(layout: DetectedColumns, index: int) -> str:
    headers = layout.headers[index : index + 1]
    return headers[0] if headers and headers[0] else _("Column %(n)s") % {"n": index + 1}


def guess(layout: DetectedColumns, known: dict[int, str], index: int) -> str:
    return known.get(index) or layout.suggestions.get(str(index), "")


def chosen(job: ImportJob, sent: QueryDict) -> dict[str, int | None]:
    """Of every field the column that was chosen for it. Raises ChosenTwice."""
    layout, importer = (
        DetectedColumns(**job.detected_columns),
        get_importer_or_placeholder(job.importer),
    )
    told: dict[str, int | None] = {column.field: None for column in importer.columns}
    for index in range(layout.width):
        field = sent.get(f"column-{index}")
        if field not in told:
            continue
        if told[field] is not None:
            said = {"name": name_of(importer, field)}
            raise ChosenTwice(_("%(name)s is chosen for more than one column. Keep one.") % said)
        told[field] = index
    return told


def problem_with(job: ImportJob, error: ChosenTwice | InvalidMapping) -> str:
    if isinstance(error, ChosenTwice):
        return str(error)
    importer = get_importer_or_placeholder(job.importer)
    needed = [field for field, (code, _) in error.problems.items() if code == "column_needed"]
    if not needed:
        return " ".join(
            error_messages.describe_mapping_problem(*problem) for problem in error.problems.values()
        )
    names = get_text_list([name_of(importer, field) for field in needed], _("and"))
    return _("Say which column holds: %(names)s.") % {"names": names}
