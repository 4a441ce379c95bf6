"""How a file was understood: its sheet, what no header says, columns left alone, its letters."""

from __future__ import annotations

import codecs
from operator import itemgetter
from typing import Any

from imports.importer import shown_importer
from imports.models import ImportJob
from imports.pages.mapping import header_of
from imports.pages.options import ENCODINGS
from imports.pages.shown import name_of
from imports.pipeline.columns import Layout, reason_positions

MOST_COLUMNS = 10
MOST_SHEETS = 10
# What says by itself what it is; the rest is somebody's guess, however good.
UNICODE = ("utf", "ascii")

Context = dict[str, Any]


def understood(job: ImportJob) -> Context:
    columns = left_alone(job)
    return {
        "sheet": sheet_among_others(job),
        "in_order": columns_in_order(job),
        "as_earlier": columns_as_earlier(job),
        "left_alone": columns[:MOST_COLUMNS],
        "more_left_alone": max(len(columns) - MOST_COLUMNS, 0),
        "read_encoding": read_encoding(job),
    }


def sheet_among_others(job: ImportJob) -> Context | None:
    """Which sheet was read, where the workbook has more than one."""
    opened = job.opened or {}
    others = [name for name in opened.get("sheets", []) if name != opened["sheet"]]
    return {"name": opened["sheet"], "others": others[:MOST_SHEETS]} if others else None


def columns_in_order(job: ImportJob) -> list[str]:
    """What the columns were taken for where no row names them and nobody has said so."""
    told = not job.has_header_row or job.column_mapping is not None
    if told or not job.layout or job.layout["headers"]:
        return []
    importer, positions = shown_importer(job.importer), job.layout["positions"]
    return [name_of(importer, field) for field in sorted(positions, key=positions.get)]


def columns_as_earlier(job: ImportJob) -> list[Context]:
    """Which column fills which field, where that was said of an earlier file and not of this."""
    if not job.layout or job.column_mapping is not None:
        return []
    layout, importer = Layout(**job.layout), shown_importer(job.importer)
    if not layout.remembered:
        return []
    return [
        {"name": name_of(importer, field), "header": header_of(layout, index)}
        for field, index in sorted(layout.positions.items(), key=itemgetter(1))
    ]


def left_alone(job: ImportJob) -> list[Context]:
    """Columns that hold something and fill nothing, each with what it looks like."""
    if not job.layout:
        return []
    layout, importer = Layout(**job.layout), shown_importer(job.importer)
    ours = {*layout.positions.values(), *reason_positions(layout.headers)}
    found = []
    for index in range(layout.width):
        has_header = index < len(layout.headers) and layout.headers[index].strip()
        if index in ours or not (has_header or layout.samples[index]):
            continue
        field = layout.suggestions.get(str(index))
        like = name_of(importer, field) if field else ""
        found.append({"header": header_of(layout, index), "like": like})
    return found


def read_encoding(job: ImportJob) -> Any:
    encoding = (job.opened or {}).get("encoding")
    if not encoding or encoding.startswith(UNICODE):
        return ""
    names = {codecs.lookup(name).name: label for name, label in ENCODINGS.items()}
    return names.get(codecs.lookup(encoding).name, encoding)
