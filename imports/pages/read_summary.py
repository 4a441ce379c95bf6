"""Template context of the read summary: how the file of an import was read."""

from __future__ import annotations

import codecs
from operator import itemgetter

from imports.error_messages import ReadNote, describe_read_summary, get_field_label
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob
from imports.pages.column_mapping import get_column_header
from imports.pipeline.header_detection import DetectedColumns, find_ignored_columns
from imports.statuses import ENCODING_LABELS, Status

MAX_DISPLAYED_COLUMNS = 10
MAX_DISPLAYED_SHEETS = 10
# A file in these encodings identifies its encoding. Any other encoding is a guess.
CERTAIN_ENCODING_PREFIXES = ("utf", "ascii")
# Codes of read summary entries that the page does not list, because it shows the columns itself.
UNLISTED_CODES = {"columns_ignored"}

Context = dict[str, object]


def build_read_summary_context(job: ImportJob) -> Context:
    """Return what the page shows about how the file was read.

    `has_entries` tells whether there is anything to show.
    """
    context: Context = {
        "read_notes": describe_read_notes(job),
        "sheet": describe_sheet(job),
        "read_encoding": describe_uncertain_encoding(job),
    }
    if job.status != Status.MAPPING:  # The mapping form shows every column.
        columns = list_ignored_columns(job)
        context |= {
            "fields_in_order": list_fields_in_order(job),
            "saved_mapping": list_saved_mapping(job),
            "ignored_columns": columns[:MAX_DISPLAYED_COLUMNS],
            "more_ignored_columns": max(len(columns) - MAX_DISPLAYED_COLUMNS, 0),
        }
    return context | {"has_entries": any(context.values())}


def describe_read_notes(job: ImportJob) -> list[ReadNote]:
    entries = [entry for entry in job.read_summary if entry["code"] not in UNLISTED_CODES]
    return describe_read_summary(entries, job.importer)


def describe_sheet(job: ImportJob) -> Context | None:
    """Return which sheet was read and which others there are; None if there is only one."""
    detected = job.detected_format or {}
    others = [name for name in detected.get("sheets", []) if name != detected["sheet"]]
    return {"name": detected["sheet"], "others": others[:MAX_DISPLAYED_SHEETS]} if others else None


def list_fields_in_order(job: ImportJob) -> list[str]:
    """Return the labels of the fields that the columns fill, if they were mapped by their order.

    They are mapped by their order if the file has no header row, and the user has neither said so
    nor mapped the columns.
    """
    is_known = job.has_header_row is False or job.column_mapping is not None
    if is_known or not job.detected_columns or job.detected_columns["headers"]:
        return []
    importer, positions = (
        get_importer_or_placeholder(job.importer),
        job.detected_columns["positions"],
    )
    return [
        get_field_label(importer, field) for field in sorted(positions, key=positions.__getitem__)
    ]


def list_saved_mapping(job: ImportJob) -> list[Context]:
    """Return which column fills which field, if that comes from a saved mapping."""
    if not job.detected_columns or job.column_mapping is not None:
        return []
    detected = DetectedColumns(**job.detected_columns)
    importer = get_importer_or_placeholder(job.importer)
    if not detected.from_saved_mapping:
        return []
    return [
        {"name": get_field_label(importer, field), "header": get_column_header(detected, index)}
        for field, index in sorted(detected.positions.items(), key=itemgetter(1))
    ]


def list_ignored_columns(job: ImportJob) -> list[Context]:
    """Return the columns that contain values and fill no field, each with its suggested field.

    Hidden columns are not included, because the read summary has an entry for them.
    """
    if not job.detected_columns:
        return []
    detected = DetectedColumns(**job.detected_columns)
    importer = get_importer_or_placeholder(job.importer)
    hidden = {
        header
        for entry in job.read_summary
        if entry["code"] == "hidden_columns_ignored"
        for header in entry["params"].get("columns", [])
    }
    columns: list[Context] = []
    for index in find_ignored_columns(detected):
        header = get_column_header(detected, index)
        if header in hidden:
            continue
        field = detected.suggestions.get(str(index))
        suggestion = get_field_label(importer, field) if field else ""
        columns.append({"header": header, "suggestion": suggestion})
    return columns


def describe_uncertain_encoding(job: ImportJob) -> str:
    """Return the name of the encoding; "" if the file has none or identifies it itself."""
    encoding = (job.detected_format or {}).get("encoding")
    if not encoding or encoding.startswith(CERTAIN_ENCODING_PREFIXES):
        return ""
    names = {codecs.lookup(name).name: label for name, label in ENCODING_LABELS.items()}
    return str(names.get(codecs.lookup(encoding).name, encoding))
