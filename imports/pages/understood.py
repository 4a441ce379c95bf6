"""How a file was understood: columns that were left alone, and an encoding that was guessed."""

from __future__ import annotations

import codecs
from typing import Any

from imports.importer import shown_importer
from imports.models import ImportJob
from imports.pages.mapping import header_of
from imports.pages.options import ENCODINGS
from imports.pages.shown import name_of
from imports.pipeline.columns import Layout, reason_positions

MOST_COLUMNS = 10
# What says by itself what it is; the rest is a guess, however good.
UNICODE = ("utf", "ascii")

Context = dict[str, Any]


def understood(job: ImportJob) -> Context:
    columns = left_alone(job)
    return {
        "left_alone": columns[:MOST_COLUMNS],
        "more_left_alone": max(len(columns) - MOST_COLUMNS, 0),
        "guessed_encoding": guessed_encoding(job),
    }


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


def guessed_encoding(job: ImportJob) -> Any:
    encoding = (job.opened or {}).get("encoding")
    if not encoding or job.read_options.get("encoding") or encoding.startswith(UNICODE):
        return ""
    names = {codecs.lookup(name).name: label for name, label in ENCODINGS.items()}
    return names.get(codecs.lookup(encoding).name, encoding)
