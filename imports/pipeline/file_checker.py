"""One file from its first byte to settled rows: reads, recognises, checks, stages, settles.

Can be asked for again at any time: it goes on where the cursor stands. A reader beside us
is spared by the heartbeat, and refused by the cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now

from imports.importer import Importer, get_importer, is_registered
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.pipeline.column_mapping import apply_mapping
from imports.pipeline.column_suggestions import add_suggestions, trim_samples
from imports.pipeline.duplicates import finish_check, try_lock_end_of_check
from imports.pipeline.formula_injection import restore_formula
from imports.pipeline.header_detection import (
    DetectedColumns,
    detect_columns,
    find_ignored_columns,
    find_reason_columns,
    get_column_name,
    get_field_headers,
)
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.reader_client import (
    Chunk,
    DetectedFormat,
    ReaderClient,
    ReaderCrashed,
    ReaderLimits,
    Row,
    UnreadableFile,
    open_rows,
)
from imports.pipeline.row_filter import RowFilter
from imports.pipeline.row_validation import RowValidator
from imports.pipeline.staging import stage_rows
from imports.pipeline.target_table import get_target_table
from imports.pipeline.transactions import (
    JobNotActive,
    TransientError,
    get_sqlstate,
    is_row_error,
    is_transient,
    run_or_defer,
    short_transaction,
)
from imports.statuses import Status
from imports.storage import StoredFileNotFound

OnProgress = Callable[[ImportJob], None]

# What may be read all the same by a reader that is given more.
OF_COST = frozenset({"too_large_inflated", "too_much_memory", "too_slow_to_read"})
MAX_READER_CRASHES = 3  # A file that kills its reader so often without a step forward is given up.
FIRST_CHUNK_ROWS = 500  # Small, so that the bar moves early; later ones double.
LARGEST_CHUNK_BYTES = 8 << 20
MAX_LISTED_COLUMNS = 10
VALUES_BEFORE_CHECK = {
    **dict.fromkeys(
        ("cursor_row", "reader_crashes", "checked", "processed", "created", "updated"), 0
    ),
    **dict.fromkeys(("unchanged", "skipped", "failed", "to_update"), 0),
    **dict.fromkeys(("total", "checked_at"), None),
    "read_summary": [],
}


def check_file(
    job_id: UUID,
    *,
    on_progress: OnProgress,
    should_stop: Callable[[], bool] = lambda: False,
    limits: ReaderLimits | None = None,
    is_small: bool = False,
) -> ImportJob | None:
    """Bring a waiting or abandoned import out of CHECKING; None if it was not ours to do.

    Taken for a small file, it is given little, and is QUEUED again if that was too little.
    `on_progress` is called after each commit. When `should_stop` says so, it ends between two
    chunks and leaves the rest to whoever asks next. Raises Interrupted when nobody is to
    blame and it should be asked for again.
    """
    job = acquire_lease(job_id)
    if job is None or job.status != Status.CHECKING:
        return job
    on_progress(job)
    try:
        return _check(
            job, on_progress, should_stop, limits or ReaderLimits.from_settings(is_small=is_small)
        )
    except UnreadableFile as error:
        if is_small and error.code in OF_COST:
            return requeue(job)
        return fail_job(job, error.code, error.params)
    except StoredFileNotFound:
        return fail_job(job, "file_gone", {})
    except JobNotActive:
        return None  # Cancelled, or another reader was quicker.
    except TransientError:
        release_lease(job)
        raise
    except Error as error:
        return _judge(job, error)
    except Exception as error:  # The reader's death, or an error of ours: counted, tried again.
        release_lease(job, died=True)
        if isinstance(error, ReaderCrashed):
            return None
        raise


def _judge(job: ImportJob, error: Error) -> ImportJob | None:
    """Between two steps the database spoke up: against the rows, or for want of a connection."""
    if is_row_error(error):  # An importer's rule has let through what is no value at all.
        return fail_job(job, "refused_by_database", {"sqlstate": get_sqlstate(error)})
    # A statement that is wrong would be wrong for ever: counted, so that there is an end.
    release_lease(job, died=not is_transient(error))
    raise TransientError(get_sqlstate(error)) from None


def acquire_lease(job_id: UUID) -> ImportJob | None:
    """Take an import that nobody reads; its attempt is counted before the file is opened."""
    with short_transaction():
        free = ImportJob.objects.waiting() | ImportJob.objects.with_expired_heartbeat()
        job = free.order_by().select_for_update(skip_locked=True).filter(pk=job_id).first()
        # A worker that ends the check of a large file sends no heartbeat for a long time.
        if job is None or not try_lock_end_of_check(job.pk):
            return None
        if job.status == Status.QUEUED:
            reset_for_check(job)
        elif job.reader_crashes >= MAX_READER_CRASHES:
            return ImportJob.objects.transition(job_id, Status.FAILED, error_code="crashed_reader")
        mine = ImportJob.objects.filter(pk=job_id)
        mine.update(reader_crashes=F("reader_crashes") + 1, reader_heartbeat_at=Now())
        return mine.get()


def reset_for_check(job: ImportJob) -> None:
    """Enter CHECKING in a new round: a reader of an earlier one can add nothing any more."""
    ImportRow.objects.filter(job=job).delete()
    ImportBatch.objects.filter(job=job).delete()
    ImportJob.objects.filter(pk=job.pk).update(
        **VALUES_BEFORE_CHECK, check_generation=F("check_generation") + 1
    )
    ImportJob.objects.transition(job.pk, Status.CHECKING)


def _check(
    job: ImportJob, on_progress: OnProgress, should_stop: Callable[[], bool], limits: ReaderLimits
) -> ImportJob | None:
    if not is_registered(job.importer):
        return fail_job(job, "unknown_importer", {})
    importer = get_importer(job.importer)
    target = get_target_table(importer)
    still_here = partial(_still_here, job)
    with (
        job.file.storage.open(job.file.name) as file,
        open_rows(
            file,
            after=job.cursor_row,
            limits=limits,
            options=_options(job),
            fields=get_field_headers(importer),
            while_waiting=still_here,
        ) as reader,
    ):
        layout = (
            DetectedColumns(**job.detected_columns)
            if job.detected_columns and job.cursor_row
            else None
        )
        for chunk in _growing(reader):
            if layout is None and chunk.rows:
                layout = _recognise(job, importer, reader, chunk.rows)
                if layout.missing:
                    return _ask_for_columns(job, layout)
            summary = ReadSummary(job.read_summary)
            rows = _records(chunk, layout, importer, summary, job) if layout else []
            checker = RowValidator(importer, layout, summary) if rows else None
            job = stage_rows(
                job,
                target,
                checker.check(rows) if checker else [],
                upto=chunk.last_row,
                fraction=chunk.fraction,
                read_summary=summary,
            )
            on_progress(job)
            if should_stop():
                release_lease(job)
                return None
    return finish_check(job)


def _records(
    chunk: Chunk,
    layout: DetectedColumns,
    importer: type[Importer],
    summary: ReadSummary,
    job: ImportJob,
) -> list[Row]:
    """The rows below the header that hold records, without hidden ones if the user wants that.

    Each cell is as it was before a report of ours made it harmless.
    """
    skip_hidden = job.read_options.get("hidden_rows") == "skip"
    encodings = {name: job.detected_format[name] for name in ("encoding", "second_encoding")}
    rows = [row for row in chunk.rows if row[0] > layout.header_row]
    notes = dict(chunk.notes)
    if skip_hidden and (hidden := set(notes.pop("hidden_row", ()))):
        rows = [row for row in rows if row[0] not in hidden]
        notes["hidden_row_skipped"] = sorted(hidden)
    rows = RowFilter(importer, layout).keep_records(rows, summary)
    for code, numbers in notes.items():
        below = [number for number in numbers if number > layout.header_row]
        summary.add_rows(code, below, **(encodings if code == "other_encoding" else {}))
    if find_reason_columns(layout.headers):
        return [(number, [restore_formula(cell) for cell in cells]) for number, cells in rows]
    return rows


def _growing(reader: ReaderClient) -> Iterator[Chunk]:
    """The reader's chunks put together: small ones at first, large ones when there is much.

    Rows can be a megabyte each, so what is held is bounded in bytes too.
    """
    rows: list[Row] = []
    notes: dict[str, list[int]] = {}
    staged = size = 0
    for chunk in reader:
        rows += chunk.rows
        size += chunk.size
        for code, numbers in chunk.notes.items():
            notes.setdefault(code, []).extend(numbers)
        enough = min(settings.IMPORT_CHUNK_ROWS, max(FIRST_CHUNK_ROWS, staged))
        is_last = chunk.fraction >= 1 and not chunk.rows
        if len(rows) >= enough or size >= LARGEST_CHUNK_BYTES or is_last:
            yield Chunk(rows, chunk.fraction, chunk.last_row, size, notes)
            staged += len(rows)
            rows, notes, size = [], {}, 0


def _options(job: ImportJob) -> dict[str, str]:
    """How to read the file: as someone said, or as whoever began found it out to be."""
    found = job.detected_format if job.detected_format and job.cursor_row else {}
    found_out = ("sheet", "encoding", "delimiter", "second_encoding")
    return {n: found[n] for n in found_out if found.get(n)} | job.read_options


def _recognise(
    job: ImportJob, importer: type[Importer], reader: ReaderClient, rows: list[Row]
) -> DetectedColumns:
    """Find out which column is which, and keep that for whoever goes on after us."""
    named = [(0, reader.headers)] if reader.headers else []
    layout = add_suggestions(
        detect_columns([*named, *rows], importer, reader.opened.hidden_columns), rows, importer
    )
    layout = trim_samples(apply_mapping(job, layout, importer))
    job.detected_format = asdict(reader.opened)
    job.read_summary = summarize_file(layout, reader.opened).entries()
    found = {
        "detected_columns": asdict(layout),
        "detected_format": job.detected_format,
        "read_summary": job.read_summary,
    }
    if not _mine(job).filter(cursor_row=0).update(**found):
        raise JobNotActive
    return layout


def summarize_file(layout: DetectedColumns, opened: DetectedFormat) -> ReadSummary:
    """What is known of the whole file before its rows are checked."""
    summary = ReadSummary()
    if ignored := find_ignored_columns(layout):
        shown = [get_column_name(layout, index) for index in ignored[:MAX_LISTED_COLUMNS]]
        summary.add("columns_ignored", count=len(ignored), columns=shown)
    if hidden := layout.hidden_ignored:
        shown = [get_column_name(layout, index) for index in hidden[:MAX_LISTED_COLUMNS]]
        summary.add("hidden_columns_ignored", count=len(hidden), columns=shown)
    if first := layout.first_header_row:
        summary.add("header_in_two_rows", first=first, last=layout.header_row)
    if opened.second_reader:
        summary.add("second_reader")
    if opened.format == "xlsb":
        summary.add("binary_workbook")
    return summary


def _ask_for_columns(job: ImportJob, layout: DetectedColumns) -> ImportJob | None:
    return _leave(job, Status.MAPPING, "missing_columns", {"columns": layout.missing})


def fail_job(job: ImportJob, code: str, params: dict[str, Any]) -> ImportJob | None:
    """Give the file up, unless someone else has decided on it meanwhile."""
    return _leave(job, Status.FAILED, code, params)


def requeue(job: ImportJob) -> ImportJob | None:
    """Let it wait, as if nobody had opened it, for a reader that may take more."""
    return _leave(
        job, Status.QUEUED, **VALUES_BEFORE_CHECK, started_at=None, needs_main_reader=True
    )


def _leave(
    job: ImportJob,
    target: Status,
    code: str | None = None,
    params: dict[str, Any] | None = None,
    **changed: Any,
) -> ImportJob | None:
    with short_transaction():
        if not _mine(job).update(**{"reader_heartbeat_at": None, "reader_crashes": 0} | changed):
            return None  # The row is ours until the commit, so nobody comes in between.
        return ImportJob.objects.transition(job.pk, target, error_code=code, error_params=params)


def release_lease(job: ImportJob, *, died: bool = False) -> None:
    """Let the next reader begin at once; an attempt that ended in order is not counted."""
    crashes = F("reader_crashes") if died else Greatest(F("reader_crashes") - 1, 0)

    def let_go() -> None:
        with short_transaction(durable=False):
            _mine(job).update(reader_heartbeat_at=None, reader_crashes=crashes)

    run_or_defer(let_go)


def _still_here(job: ImportJob) -> None:
    if not _mine(job).update(reader_heartbeat_at=Now()):
        raise JobNotActive  # Cancelled, or begun anew: there is no need to read on.


def _mine(job: ImportJob) -> Any:
    return ImportJob.objects.filter(
        pk=job.pk, status=Status.CHECKING, check_generation=job.check_generation
    )


def list_checkable_jobs(*, is_small: bool = False) -> list[UUID]:
    """Imports that could be checked now, in order: what was abandoned, then what waits.

    With `is_small` only those that may be read beside another one.
    """
    abandoned, waiting = ImportJob.objects.with_expired_heartbeat(), ImportJob.objects.waiting()
    if is_small:
        # What has killed more than one reader may have died of what it was not given.
        may_be = Q(
            file_size__lte=settings.IMPORT_SMALL_FILE_BYTES,
            needs_main_reader=False,
            reader_crashes__lt=2,
        )
        abandoned, waiting = abandoned.filter(may_be), waiting.filter(may_be)
    return [*abandoned.values_list("pk", flat=True), *waiting.values_list("pk", flat=True)[:10]]
