"""Store validated rows as staged rows, together with the cursor that says how far the file is read.

A chunk of rows and the new cursor commit in one transaction. The cursor moves by compare-and-set:
a second reader of the same file, or a reader that uses an earlier column mapping, cannot add rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from imports.models import ImportJob
from imports.pipeline.header_detection import find_reason_columns
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.reader_client import Chunk
from imports.pipeline.row_block import RowBlock
from imports.pipeline.row_validation import ValidatedBlock, make_storable
from imports.pipeline.target_table import TargetTable
from imports.pipeline.transactions import JobNotActive, short_transaction
from imports.postgres import copy_into_table, get_connection
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
# Stands for NULL until the lines are complete. PostgreSQL cannot store it, so no value contains it.
NULL_MARKER = "\0"
NEEDS_ESCAPE = re.compile(r'[\\"\t\n\r]')
ESCAPES_IN_COPY = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class Stager:
    """Stages the chunks of one file. While it stages one, the caller checks the next one.

    The first chunk is staged in the thread of the caller, the others in a thread with a database
    connection of its own. Within a transaction of the caller, as in tests, all of them are staged
    in the thread of the caller.

    Leaving the context waits for the chunk that is being staged.
    """

    def __init__(
        self, job: ImportJob, target: TargetTable, on_progress: Callable[[ImportJob], None]
    ) -> None:
        """`on_progress` is called with the import after each commit, in the staging thread."""
        self._job = job
        self._target = target
        self._on_progress = on_progress
        self._executor: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._is_first = True

    def __enter__(self) -> Stager:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._executor is not None:
            self._executor.submit(_close_connection)
            self._executor.shutdown()

    def stage(
        self, chunk: Chunk, blocks: Sequence[ValidatedBlock], read_summary: ReadSummary
    ) -> None:
        """Stage the rows of a chunk. It may be called again before they are staged.

        Raises:
            JobNotActive: The chunk, or an earlier one, could not be staged: see `stage_rows`.
            TransientError: The database was not available.
        """
        self.wait()
        # A copy, because the caller adds the entries of the next chunk meanwhile.
        stage_chunk = partial(self._stage, chunk, blocks, ReadSummary(read_summary.entries()))
        if self._is_first or get_connection().in_atomic_block:
            self._is_first = False
            stage_chunk()
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="staging")
        self._pending = self._executor.submit(stage_chunk)

    def wait(self) -> ImportJob:
        """Wait until all rows are staged, and return the import as it is then.

        Raises:
            JobNotActive: A chunk could not be staged: see `stage_rows`.
            TransientError: The database was not available.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
        return self._job

    def _stage(
        self, chunk: Chunk, blocks: Sequence[ValidatedBlock], read_summary: ReadSummary
    ) -> None:
        self._job = stage_rows(
            self._job,
            self._target,
            blocks,
            cursor_row=chunk.last_row,
            fraction=chunk.fraction,
            read_summary=read_summary,
        )
        self._on_progress(self._job)


def _close_connection() -> None:
    """Close the database connection of this thread."""
    get_connection().close()


def stage_rows(
    job: ImportJob,
    target: TargetTable,
    blocks: Sequence[ValidatedBlock],
    *,
    cursor_row: int,
    fraction: float,
    read_summary: ReadSummary | None = None,
) -> ImportJob:
    """Store rows and move the cursor from `job.cursor_row` to `cursor_row`.

    `fraction` is how much of the file is read, from 0 to 1. `read_summary` replaces that of the
    import; None leaves it as it is. Returns the import as the statement left it.

    Raises:
        JobNotActive: The import is no longer CHECKING, its check was started again, or another
            reader has moved the cursor.
        TransientError: The database is not available.
    """
    rows, failed = sum(map(len, blocks)), sum(len(block.errors) for block in blocks)
    summary = read_summary.entries() if read_summary else job.read_summary
    parameters = {
        "job": job.pk,
        "generation": job.check_generation,
        "previous_cursor_row": job.cursor_row,
        "cursor_row": cursor_row,
        "rows": rows,
        "failed": failed,
        "percent": int(CHECKING_PERCENT * fraction),
        "read_summary": json.dumps(summary),
    }
    with short_transaction():
        moved = next(iter(ImportJob.objects.raw(MOVE_CURSOR, parameters)), None)
        if moved is None:
            raise JobNotActive
        keys = iter(target.draw_keys(rows - failed))
        copy_rows(format_block(moved, block, keys) for block in blocks)
    return moved


def copy_rows(blocks: Iterable[str]) -> None:
    """Insert blocks of lines in COPY's text format into the table of staged rows."""
    # All lines are in memory before COPY starts: no timeout ends a client that stops inside COPY.
    if content := "".join(blocks):
        copy_into_table(COPY_ROWS, content)


def format_block(job: ImportJob, block: ValidatedBlock, keys: Iterator[str]) -> str:
    """Return the rows as lines of COPY's text format.

    `keys` are the primary keys of the records that the rows without errors will create.
    """
    numbers, errors, job_id = block.rows.numbers, block.errors, str(job.pk)
    row_keys = [None if index in errors else next(keys) for index in range(len(numbers))]
    # The separator holds the quotation marks, so the values need not be quoted one by one.
    rows = map('","'.join, zip(*map(_escape, block.cleaned), strict=True))
    lines = [
        f'{job_id}\t{number}\t\\N\t{key}\t{{"{values}"}}\t\\N\t{cells}\n'
        for number, key, values, cells in zip(
            numbers, row_keys, rows, _format_stored_cells(job, block.rows), strict=True
        )
    ]
    for index, row_errors in errors.items():
        details = f"{_format_json(row_errors)}\t{_format_json(block.stored_cells[index])}"
        lines[index] = f"{job_id}\t{numbers[index]}\t{Outcome.FAILED}\t\\N\t\\N\t{details}\n"
    return "".join(lines).replace(f'"{NULL_MARKER}"', "NULL")


def _escape(values: Sequence[str | None]) -> Iterable[str]:
    """Return the values of a column, escaped for a quoted array item in COPY's text format.

    None becomes NULL_MARKER.
    """
    # One search through all values costs less than a search through each. Few columns need escapes.
    if NEEDS_ESCAPE.search("".join(filter(None, values))):
        values = [value and value.translate(ESCAPES_IN_ARRAY) for value in values]
    return [NULL_MARKER if value is None else value for value in values]


def _format_stored_cells(job: ImportJob, rows: RowBlock) -> list[str]:
    """Return for each row its cells if a filled cell belongs to no field, else NULL.

    The cells of such a row are stored besides its cleaned values, so that the row is complete in
    the file of failed rows if it fails later. Most files have no such column.
    """
    columns = job.detected_columns or {"positions": {}, "headers": []}
    taken = {*columns["positions"].values(), *find_reason_columns(columns["headers"])}
    free = [cells for index, cells in enumerate(rows.columns) if index not in taken]
    stored = ["\\N"] * len(rows)
    for index, cells in enumerate(zip(*free, strict=True)):
        if any(cell is not None for cell in cells):
            stored[index] = _format_json([make_storable(cell) for cell in rows.get_cells(index)])
    return stored


def _format_json(value: object) -> str:
    return json.dumps(value).translate(ESCAPES_IN_COPY)
