"""Store validated rows as staged rows, together with the cursor that says how far the file is read.

A chunk of rows and the new cursor commit in one transaction. The cursor moves by compare-and-set:
a second reader of the same file, or a reader that uses an earlier column mapping, cannot add rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

from imports.importer import Cell
from imports.models import ImportJob
from imports.pipeline.header_detection import find_reason_columns
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.row_validation import ValidatedRow, make_storable
from imports.pipeline.target_table import TargetTable
from imports.pipeline.transactions import JobNotActive, short_transaction
from imports.postgres import copy_into_table
from imports.statuses import CHECKING_PERCENT, Outcome

MOVE_CURSOR = """
UPDATE imports_importjob
   SET cursor_row = %(cursor_row)s, checked = checked + %(rows)s, failed = failed + %(failed)s,
       processed = processed + %(failed)s, version = version + 1, updated_at = now(),
       reader_heartbeat_at = now(), progress_percent = greatest(progress_percent, %(percent)s),
       read_summary = %(read_summary)s::jsonb,
       -- A file whose reading makes progress is not the cause of the crashes and the time-outs.
       reader_crashes = CASE WHEN %(cursor_row)s > cursor_row THEN 1 ELSE reader_crashes END,
       timeouts = CASE WHEN %(cursor_row)s > cursor_row THEN 0 ELSE timeouts END
 WHERE id = %(job)s AND status = 'CHECKING' AND check_generation = %(generation)s
   AND cursor_row = %(previous_cursor_row)s
RETURNING *
"""
COPY_ROWS = """
COPY imports_importrow (job_id, number, outcome, target_id, cleaned, errors, cells)
FROM STDIN
"""
# Escapes of a value within an array within COPY's text format: one for the array, one for COPY.
ESCAPES_IN_ARRAY = str.maketrans(
    {"\\": r"\\\\", '"': r"\\" + '"', "\t": r"\t", "\n": r"\n", "\r": r"\r"}
)
NEEDS_ESCAPE = re.compile(r'[\\"\t\n\r]')
ESCAPES_IN_COPY = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def stage_rows(
    job: ImportJob,
    target: TargetTable,
    rows: Sequence[ValidatedRow],
    *,
    cursor_row: int,
    fraction: float,
    read_summary: ReadSummary | None = None,
) -> ImportJob:
    """Store `rows` and move the cursor from `job.cursor_row` to `cursor_row`.

    `fraction` is how much of the file is read, from 0 to 1. `read_summary` replaces that of the
    import; None leaves it as it is. Returns the import as the statement left it.

    Raises:
        JobNotActive: The import is no longer CHECKING, its check was started again, or another
            reader has moved the cursor.
        TransientError: The database is not available.
    """
    failed = sum(row.errors is not None for row in rows)
    summary = read_summary.entries() if read_summary else job.read_summary
    parameters = {
        "job": job.pk,
        "generation": job.check_generation,
        "previous_cursor_row": job.cursor_row,
        "cursor_row": cursor_row,
        "rows": len(rows),
        "failed": failed,
        "percent": int(CHECKING_PERCENT * fraction),
        "read_summary": json.dumps(summary),
    }
    with short_transaction():
        moved = next(iter(ImportJob.objects.raw(MOVE_CURSOR, parameters)), None)
        if moved is None:
            raise JobNotActive
        keys = iter(target.draw_keys(len(rows) - failed))
        copy_rows(_format_rows(moved, rows, keys))
    return moved


def copy_rows(lines: Iterable[str]) -> None:
    """Insert lines of COPY's text format into the table of staged rows."""
    # All lines are in memory before COPY starts: no timeout ends a client that stops inside COPY.
    if content := "".join(lines):
        copy_into_table(COPY_ROWS, content)


def _format_rows(
    job: ImportJob, rows: Sequence[ValidatedRow], keys: Iterator[str]
) -> Iterator[str]:
    quote, loses_cells = _get_quote(rows), _get_cell_loss_test(job)
    for row in rows:
        if row.cleaned is not None:
            values = ",".join(["NULL" if v is None else quote(v) for v in row.cleaned])
            is_kept = row.cells is not None and loses_cells(row.cells)
            cells = _format_json([make_storable(c) for c in row.cells or ()]) if is_kept else "\\N"
            yield f"{job.pk}\t{row.number}\t\\N\t{next(keys)}\t{{{values}}}\t\\N\t{cells}\n"
        else:
            errors, cells = _format_json(row.errors), _format_json(row.cells)
            yield f"{job.pk}\t{row.number}\t{Outcome.FAILED}\t\\N\t\\N\t{errors}\t{cells}\n"


def _get_cell_loss_test(job: ImportJob) -> Callable[[list[Cell]], bool]:
    """Return a function that says whether a row has a filled cell that no field takes.

    Such a row keeps its cells besides its cleaned values, so that it is complete in the file of
    failed rows if it fails later. Most files have no such column. Then the length of a row is the
    only test.
    """
    columns = job.detected_columns or {"positions": {}, "headers": []}
    taken = {*columns["positions"].values(), *find_reason_columns(columns["headers"])}
    first_free = next(index for index in count() if index not in taken)

    def loses_cells(cells: list[Cell]) -> bool:
        if len(cells) <= first_free:
            return False
        return any(
            cell is not None and index not in taken
            for index, cell in enumerate(cells[first_free:], first_free)
        )

    return loses_cells


def _get_quote(rows: Sequence[ValidatedRow]) -> Callable[[str], str]:
    """Return a function that quotes a value; it escapes only if any value needs an escape.

    One search through all values costs less than an escape of each. Few chunks need escapes.
    """
    values = "".join([value for row in rows if row.cleaned for value in row.cleaned if value])
    if NEEDS_ESCAPE.search(values):
        return lambda value: f'"{value.translate(ESCAPES_IN_ARRAY)}"'
    return '"{}"'.format


def _format_json(value: object) -> str:
    return json.dumps(value).translate(ESCAPES_IN_COPY)
