"""Values to staged rows, cursor by cursor.

A chunk of rows and the cursor that says "read up to here" commit together, and the cursor
moves by compare-and-set: whoever reads the same file beside us, or an old mapping of it,
can add no row.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

from django.db import connection

from imports.importer import Cell
from imports.models import ImportJob
from imports.pipeline.header_detection import find_reason_columns
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.row_validation import ValidatedRow, make_storable
from imports.pipeline.target_table import TargetTable
from imports.pipeline.transactions import JobNotActive, short_transaction
from imports.statuses import CHECKING_PERCENT, Outcome

MOVE_CURSOR = """
UPDATE imports_importjob
   SET cursor_row = %(upto)s, checked = checked + %(rows)s, failed = failed + %(refused)s,
       processed = processed + %(refused)s, version = version + 1, updated_at = now(),
       reader_heartbeat_at = now(), progress_percent = greatest(progress_percent, %(percent)s),
       read_summary = %(read_summary)s::jsonb,
       -- What makes progress is not what kills its readers.
       reader_crashes = CASE WHEN %(upto)s > cursor_row THEN 1 ELSE reader_crashes END
 WHERE id = %(job)s AND status = 'CHECKING' AND check_generation = %(round)s AND cursor_row = %(at)s
RETURNING *
"""
COPY = """
COPY imports_importrow (job_id, number, outcome, target_id, cleaned, errors, cells)
FROM STDIN
"""
# A value inside an array inside COPY's text format: quoted once for each.
IN_ARRAY = str.maketrans({"\\": r"\\\\", '"': r"\\" + '"', "\t": r"\t", "\n": r"\n", "\r": r"\r"})
SPECIAL = re.compile(r'[\\"\t\n\r]')
IN_COPY = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def stage_rows(
    job: ImportJob,
    target: TargetTable,
    rows: Sequence[ValidatedRow],
    *,
    upto: int,
    fraction: float,
    read_summary: ReadSummary | None = None,
) -> ImportJob:
    """Add `rows` and move the cursor from where `job` saw it to `upto`, or raise Stopped.

    `read_summary` replaces the job's own, which stays as it is where None is given. Returns the
    job as that left it.
    """
    refused = sum(row.errors is not None for row in rows)
    cursor_move = {
        "job": job.pk,
        "round": job.check_generation,
        "at": job.cursor_row,
        "upto": upto,
        "rows": len(rows),
        "refused": refused,
        "percent": int(CHECKING_PERCENT * fraction),
        "read_summary": json.dumps(read_summary.entries() if read_summary else job.read_summary),
    }
    with short_transaction():
        moved = next(iter(ImportJob.objects.raw(MOVE_CURSOR, cursor_move)), None)
        if moved is None:
            raise JobNotActive
        keys = iter(target.draw_keys(len(rows) - refused))
        copy_rows(_lines(moved, rows, keys))
    return moved


def copy_rows(lines: Iterable[str]) -> None:
    # Complete in memory before COPY begins: no timeout reaches a client that stops inside it.
    content = io.StringIO("".join(lines))
    if content.getvalue():
        # Django wraps the errors of its own calls only, and this one is psycopg2's.
        with connection.wrap_database_errors, connection.cursor() as cursor:
            cursor.copy_expert(COPY, content)


def _lines(job: ImportJob, rows: Sequence[ValidatedRow], keys: Iterator[str]) -> Iterator[str]:
    quote, is_lost = _quoter(rows), _lost_without_cells(job)
    for row in rows:
        if row.cleaned is not None:
            values = ",".join(["NULL" if v is None else quote(v) for v in row.cleaned])
            cells = _json([make_storable(c) for c in row.cells]) if is_lost(row.cells) else "\\N"
            yield f"{job.pk}\t{row.number}\t\\N\t{next(keys)}\t{{{values}}}\t\\N\t{cells}\n"
        else:
            errors, cells = _json(row.errors), _json(row.cells)
            yield f"{job.pk}\t{row.number}\t{Outcome.FAILED}\t\\N\t\\N\t{errors}\t{cells}\n"


def _lost_without_cells(job: ImportJob) -> Callable[[list[Cell] | None], bool]:
    """Whether a good row has a filled cell that no field takes, so that its values are not all.

    A row that is refused later goes back as it came. Most files have no such column, and their
    rows are only asked for their length.
    """
    layout = job.detected_columns or {"positions": {}, "headers": []}
    taken = {*layout["positions"].values(), *find_reason_columns(layout["headers"])}
    first_free = next(index for index in count() if index not in taken)

    def is_lost(cells: list[Cell] | None) -> bool:
        if cells is None or len(cells) <= first_free:
            return False
        return any(
            cell is not None and index not in taken
            for index, cell in enumerate(cells[first_free:], first_free)
        )

    return is_lost


def _quoter(rows: Sequence[ValidatedRow]) -> Callable[[str], str]:
    """One look at all values tells whether any of them needs escaping; mostly none does."""
    values = "".join([value for row in rows if row.cleaned for value in row.cleaned if value])
    if SPECIAL.search(values):
        return lambda value: f'"{value.translate(IN_ARRAY)}"'
    return '"{}"'.format


def _json(value: object) -> str:
    return json.dumps(value).translate(IN_COPY)
