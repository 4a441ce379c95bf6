"""How a file was read: what needs attention, its sheet, its columns, its letters."""

from __future__ import annotations

import codecs
from operator import itemgetter
from typing import Any

from imports.error_messages import ReadNote, describe_read_summary
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob
from imports.pages.column_mapping import header_of
from imports.pages.presenters import name_of
from imports.pages.read_options import ENCODINGS
from imports.pipeline.header_detection import DetectedColumns, find_ignored_columns
from imports.statuses import Status

MOST_COLUMNS = 10
MOST_SHEETS = 10
# What says by itself what it is; the rest is somebody's guess, however good.
UNICODE = ("utf", "ascii")
# Entries of a read summary that the page tells in its own way.
TOLD_OTHERWISE = {"columns_ignored"}

Context = dict[str, Any]


def understood(job: ImportJob) -> Context:
    """What the page tells of how the file was read; nothing where all was as expected."""
    shown = {
        "read_notes": read_notes(job),
        "sheet": sheet_among_others(job),
        "read_encoding": read_encoding(job),
    }
    if job.status != Status.MAPPING:  # There, each column is shown with a choice.
        columns = left_alone(job)
        shown |= {
            "in_order": columns_in_order(job),
            "as_earlier": columns_as_earlier(job),
            "left_alone": columns[:MOST_COLUMNS],
            "more_left_alone": max(len(columns) - MOST_COLUMNS, 0),
        }
    return shown | {"is_told": any(shown.values())}


def read_notes(job: ImportJob) -> list[ReadNote]:
    entries = [entry for entry in job.read_summary if entry["code"] not in TOLD_OTHERWISE]
    return describe_read_summary(entries, job.importer)


def sheet_among_others(job: ImportJob) -> Context | None:
    """Which sheet was read, where the workbook has more than one."""
    opened = job.detected_format or {}
    others = [name for name in opened.get("sheets", []) if name != opened["sheet"]]
    return {"name": opened["sheet"], "others": others[:MOST_SHEETS]} if others else None


def columns_in_order(job: ImportJob) -> list[str]:
    """What the columns were taken for where no row names them and nobody has said so."""
    told = not job.has_header_row or job.column_mapping is not None
    if told or not job.detected_columns or job.detected_columns["headers"]:
        return []
    importer, positions = (
        get_importer_or_placeholder(job.importer),
        job.detected_columns["positions"],
    )
    return [name_of(importer, field) for field in sorted(positions, key=positions.get)]


def columns_as_earlier(job: ImportJob) -> list[Context]:
    """Which column fills which field, where that was said of an earlier file and not of this."""
    if not job.detected_columns or job.column_mapping is not None:
        return []
    layout, importer = (
        DetectedColumns(**job.detected_columns),
        get_importer_or_placeholder(job.importer),
    )
    if not layout.from_saved_mapping:
        return []
    return [
        {"name": name_of(importer, field), "header": header_of(layout, index)}
        for field, index in sorted(layout.positions.items(), key=itemgetter(1))
    ]


def left_alone(job: ImportJob) -> list[Context]:
    """Columns that hold something and fill nothing, each with what it looks like.

    Those of which the read summary gives a reason of their own are not among them.
    """
    if not job.detected_columns:
        return []
    layout, importer = (
        DetectedColumns(**job.detected_columns),
        get_importer_or_placeholder(job.importer),
    )
    hidden = [e["params"] for e in job.read_summary if e["code"] == "hidden_columns_ignored"]
    told = {header for params in hidden for header in params.get("columns", [])}
    found = []
    for index in find_ignored_columns(layout):
        header = header_of(layout, index)
        if header in told:
            continue
        field = layout.suggestions.get(str(index))
        found.append({"header": header, "like": name_of(importer, field) if field else ""})
    return found


def read_encoding(job: ImportJob) -> Any:
    encoding = (job.detected_format or {}).get("encoding")
    if not encoding or encoding.startswith(UNICODE):
        return ""
    names = {codecs.lookup(name).name: label for name, label in ENCODINGS.items()}
    return names.get(codecs.lookup(encoding).name, encoding)
