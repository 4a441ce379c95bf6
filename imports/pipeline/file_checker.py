"""Check one file: read it, recognize its columns, validate and stage its rows, resolve duplicates.

A check can be started again at any time and continues at the cursor. A fresh heartbeat keeps a
second reader from starting. If one starts anyway, the compare-and-set on `cursor_row` rejects its
writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

from django.db import Error
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Now

from imports.conf import app_settings
from imports.importer import Importer, get_importer, has_hook, is_registered
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.pipeline.check_completion import finish_check, try_lock_check_completion
from imports.pipeline.column_mapping import InvalidMapping, apply_mapping
from imports.pipeline.column_suggestions import add_suggestions, trim_samples
from imports.pipeline.field_values import InvalidFieldValues, compute_field_values
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
    UnreadableFile,
    open_rows,
)
from imports.pipeline.row_block import Row, RowBlock
from imports.pipeline.row_filter import RowFilter
from imports.pipeline.row_validation import RowValidator, ValidatedBlock
from imports.pipeline.rule_bugs import ColumnRuleFailed, RuleBugs
from imports.pipeline.staging import Stager
from imports.pipeline.target_table import get_job_target
from imports.pipeline.transactions import (
    JobNotActive,
    StatementTimeout,
    TransientError,
    is_row_error,
    is_transient,
    run_or_defer,
    short_transaction,
)
from imports.postgres import get_sqlstate
from imports.quotas import find_exceeded_row_quota
from imports.statuses import OnMissingColumns, Outcome, Status
from imports.storage import StoredFileNotFound

log = logging.getLogger(__name__)

OnProgress = Callable[[ImportJob], None]

# Errors of a reader with small limits. A reader with the full limits may read the file.
LIMIT_ERROR_CODES = frozenset({"too_large_inflated", "too_much_memory", "too_slow_to_read"})
# The rows that a retry of a completed import reads again.
IS_RETRIED = Q(outcome=Outcome.FAILED) & ~Q(errors__contains=[{"code": "repeats_row"}])
MAX_TIMEOUTS = 3  # Statement time-outs in succession. After that, the import fails.
MAX_READER_CRASHES = 3  # Without progress in between. After that, the import fails.
FIRST_CHUNK_ROWS = 500  # Small, so that progress is visible early. Later chunks grow.
MAX_CHUNK_BYTES = 8 << 20
MAX_LISTED_COLUMNS = 10
INITIAL_CHECK_FIELDS: dict[str, Any] = {
    "cursor_row": 0,
    "reader_crashes": 0,
    "checked": 0,
    "processed": 0,
    "created": 0,
    "updated": 0,
    "unchanged": 0,
    "skipped": 0,
    "failed": 0,
    "to_update": 0,
    "total": None,
    "checked_at": None,
    "read_summary": [],
    "field_values": None,
    "timeouts": 0,
    "continues_check": False,
}


def check_file(
    job_id: UUID,
    *,
    on_progress: OnProgress,
    should_stop: Callable[[], bool] = lambda: False,
    limits: ReaderLimits | None = None,
    is_small: bool = False,
) -> ImportJob | None:
    """Check a waiting or abandoned import, and return it with the status that it has now.

    `on_progress` is called with the import after each commit. If `should_stop` returns True, the
    check ends between two chunks, and the next call continues it. With `is_small`, the reader gets
    the limits for small files (unless `limits` are given); a file that needs more is QUEUED again
    for a reader with the full limits.

    Returns None if this call did not bring the import out of CHECKING: another worker checks it, it
    was stopped, the reader crashed, or someone changed the status meanwhile.

    Raises:
        TransientError: The database is not available. The check should be retried.
        Exception: Any other error. The attempt counts as a crash.
    """
    job = acquire_lease(job_id)
    if job is None or job.status != Status.CHECKING:
        return job
    on_progress(job)
    try:
        limits = limits or ReaderLimits.from_settings(is_small=is_small)
        return _check(job, on_progress, should_stop, limits)
    except UnreadableFile as error:
        if is_small and error.code in LIMIT_ERROR_CODES:
            return requeue(job)
        return fail_job(job, error.code, error.params)
    except StoredFileNotFound:
        return fail_job(job, "file_deleted", {})
    except (InvalidFieldValues, ColumnRuleFailed) as error:
        return fail_job(job, error.code, error.params)
    except JobNotActive:
        return None
    except StatementTimeout as error:
        release_lease(job)
        times = _count_timeout(job)
        if times < MAX_TIMEOUTS:
            raise
        return fail_job(job, "database_timeout", error.make_error_params(times))
    except TransientError:
        release_lease(job)
        raise
    except Error as error:
        return _handle_database_error(job, error)
    except ReaderCrashed:
        release_lease(job, has_crashed=True)
        return None
    except Exception:
        release_lease(job, has_crashed=True)
        raise


def _handle_database_error(job: ImportJob, error: Error) -> ImportJob | None:
    """Fail the import for an error of its rows; for any other, let the check be retried.

    Raises:
        TransientError: The error is not one of the rows.
    """
    if is_row_error(error):  # The importer's own rule accepted a value that the database rejects.
        return fail_job(job, "database_error", {"sqlstate": get_sqlstate(error)})
    # A wrong statement fails each time. It counts as a crash, so that the retries end.
    release_lease(job, has_crashed=not is_transient(error))
    raise TransientError(get_sqlstate(error)) from None


def acquire_lease(job_id: UUID) -> ImportJob | None:
    """Take an import that no worker reads, and count the attempt before the file is opened.

    Returns None if the import does not wait, or if another worker reads it or finishes its check.
    Returns a FAILED import if its readers have crashed MAX_READER_CRASHES times.

    Raises:
        TransientError: The database is not available.
    """
    with short_transaction():
        free = ImportJob.objects.waiting() | ImportJob.objects.with_expired_heartbeat()
        job = free.order_by().select_for_update(skip_locked=True).filter(pk=job_id).first()
        # A worker that finishes the check sends no heartbeat for a long time, but holds this lock.
        if job is None or not try_lock_check_completion(job.pk):
            return None
        if job.status == Status.QUEUED and job.continues_check:
            _continue_check(job)
        elif job.status == Status.QUEUED:
            reset_for_check(job)
        elif job.reader_crashes >= MAX_READER_CRASHES:
            return ImportJob.objects.transition(job_id, Status.FAILED, error_code="crashed_reader")
        leased = ImportJob.objects.filter(pk=job_id)
        leased.update(reader_crashes=F("reader_crashes") + 1, reader_heartbeat_at=Now())
        return leased.get()


def reset_for_check(job: ImportJob) -> None:
    """Delete the rows of an earlier check and move the import to CHECKING.

    The generation of the check rises, so a reader of an earlier check can no longer write.
    """
    ImportRow.objects.filter(job=job).delete()
    ImportBatch.objects.filter(job=job).delete()
    ImportJob.objects.filter(pk=job.pk).update(
        **INITIAL_CHECK_FIELDS, check_generation=F("check_generation") + 1
    )
    ImportJob.objects.transition(job.pk, Status.CHECKING)


def _continue_check(job: ImportJob) -> None:
    """Move the import to CHECKING, and keep the rows that an earlier check has staged.

    The generation of the check rises, so a reader of an earlier check can no longer write.
    """
    ImportJob.objects.filter(pk=job.pk).update(
        check_generation=F("check_generation") + 1, continues_check=False
    )
    ImportJob.objects.transition(job.pk, Status.CHECKING)


def _count_timeout(job: ImportJob) -> int:
    """Count a statement of the check that its time-out has ended; return how many there were.

    Raises:
        TransientError: The database is not available.
    """
    with short_transaction(durable=False):
        ImportJob.objects.filter(pk=job.pk).update(timeouts=F("timeouts") + 1)
        times: int = ImportJob.objects.values_list("timeouts", flat=True).get(pk=job.pk)
        return times


def _check(
    job: ImportJob,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
    limits: ReaderLimits,
) -> ImportJob | None:
    if not is_registered(job.importer):
        log.error(
            "import %s needs the importer %r, which is not registered in this process: restart "
            "the workers after a change of the code",
            job.pk,
            job.importer,
        )
        return fail_job(job, "unknown_importer", {})
    if not job.cursor_row and (exceeded := find_exceeded_row_quota(job)):
        return fail_job(job, "too_many_stored_rows", exceeded)
    importer = get_importer(job.importer)
    _store_field_values(job, importer)
    target = get_job_target(job)
    bugs = RuleBugs(importer, job.pk)
    with (
        ExitStack() as at_end,
        job.file.storage.open(str(job.file.name)) as file,
        open_rows(
            file,
            after=job.cursor_row,
            limits=limits,
            options=_get_read_options(job),
            fields=get_field_headers(importer),
            while_waiting=partial(_renew_lease, job),
        ) as reader,
    ):
        at_end.callback(bugs.log_counts)
        stager = at_end.enter_context(Stager(job, target, on_progress))
        columns = summary = validator = None
        if job.detected_columns and job.cursor_row:
            columns = DetectedColumns(**job.detected_columns)
        for chunk in _merge_chunks(reader):
            if columns is None and chunk.row_count:
                columns, wrong_fields = _detect_columns(job, importer, reader, chunk.list_rows())
                if wrong_fields:
                    return _request_mapping(job, "wrong_column_mapping", wrong_fields)
                if columns.missing:
                    return _request_mapping(job, "missing_columns", columns.missing)
            summary = summary or ReadSummary(job.read_summary)
            validated: list[ValidatedBlock] = []
            if columns is not None:
                if validator is None:
                    context = job.make_context()
                    validator = RowValidator(importer, columns, summary, context, bugs)
                validated = validator.validate(
                    _select_records(chunk, columns, importer, summary, job)
                )
            stager.stage(chunk, validated, summary)
            if should_stop():
                release_lease(stager.wait())
                return None
        job = stager.wait()
    return finish_check(job)


def _store_field_values(job: ImportJob, importer: type[Importer]) -> None:
    """Compute the values of fields that no column fills, unless an earlier reader did.

    Raises:
        InvalidFieldValues: The importer has no valid values.
        JobNotActive: The import is no longer CHECKING, or another reader has stored values.
    """
    if job.field_values is not None or not has_hook(importer, "values"):
        return
    job.field_values = compute_field_values(job, importer)
    waiting = _leased_job(job).filter(field_values__isnull=True)
    if not waiting.update(field_values=job.field_values):
        raise JobNotActive


def _select_records(
    chunk: Chunk,
    columns: DetectedColumns,
    importer: type[Importer],
    summary: ReadSummary,
    job: ImportJob,
) -> list[RowBlock]:
    """Return the rows below the header that hold records.

    Hidden rows are left out if the user asked for that. In a file of failed rows, formulas that
    were neutralized are restored.
    """
    skip_hidden = job.read_options.get("hidden_rows") == "skip"
    detected_format = job.detected_format or {}
    encodings = {name: detected_format.get(name) for name in ("encoding", "second_encoding")}
    blocks = [
        block.keep(number > columns.header_row for number in block.numbers)
        for block in chunk.blocks
    ]
    notes = dict(chunk.notes)
    if job.retry_of_id is not None:
        retried = _list_retried_rows(job, [n for block in blocks for n in block.numbers])
        blocks = [block.keep(number in retried for number in block.numbers) for block in blocks]
        notes = {code: [n for n in numbers if n in retried] for code, numbers in notes.items()}
    if skip_hidden and (hidden := set(notes.pop("hidden_row", ()))):
        blocks = [block.drop(hidden) for block in blocks]
        notes["hidden_row_skipped"] = sorted(hidden)
    blocks = RowFilter(importer, columns).keep_records(blocks, summary)
    for code, numbers in notes.items():
        below = [number for number in numbers if number > columns.header_row]
        summary.add_rows(code, below, **(encodings if code == "other_encoding" else {}))
    if find_reason_columns(columns.headers):
        return [
            RowBlock(block.numbers, [list(map(restore_formula, cells)) for cells in block.columns])
            for block in blocks
        ]
    return blocks


def _list_retried_rows(job: ImportJob, numbers: list[int]) -> set[int]:
    """Return which of these rows the import reads again: those that failed in `job.retry_of`.

    A row that repeats an earlier row of the file would fail again, so it is left out.

    Raises:
        StoredFileNotFound: The rows of `job.retry_of` are being deleted, so some may be missing.
    """
    rows = ImportRow.objects.filter(job=job.retry_of_id, number__in=numbers)
    retried = set(rows.filter(IS_RETRIED).values_list("number", flat=True))
    # Read after the rows: the time is stored before the first row is deleted.
    if not ImportJob.objects.filter(pk=job.retry_of_id, contents_deleted_at=None).exists():
        raise StoredFileNotFound("The rows of the retried import were deleted.")
    return retried


def _merge_chunks(reader: ReaderClient) -> Iterator[Chunk]:
    """Merge the reader's chunks into larger ones: small at first, large if there are many rows.

    A row may hold a megabyte, so a chunk is limited in bytes, too.
    """
    blocks: list[RowBlock] = []
    notes: dict[str, list[int]] = {}
    staged = rows = size = 0
    for chunk in reader:
        blocks += chunk.blocks
        rows += chunk.row_count
        size += chunk.size
        for code, numbers in chunk.notes.items():
            notes.setdefault(code, []).extend(numbers)
        chunk_rows = min(app_settings.CHUNK_ROWS, max(FIRST_CHUNK_ROWS, staged))
        is_last = chunk.fraction >= 1 and not chunk.blocks
        if rows >= chunk_rows or size >= MAX_CHUNK_BYTES or is_last:
            yield Chunk(blocks, chunk.fraction, chunk.last_row, size, notes)
            staged += rows
            blocks, notes, rows, size = [], {}, 0, 0


def _get_read_options(job: ImportJob) -> dict[str, str]:
    """Return how to read the file: as the user said, else as the first reader detected it."""
    detected = job.detected_format if job.detected_format and job.cursor_row else {}
    names = ("sheet", "encoding", "delimiter", "second_encoding")
    options = {name: detected[name] for name in names if detected.get(name)}
    return {**options, **job.read_options}


def _detect_columns(
    job: ImportJob, importer: type[Importer], reader: ReaderClient, rows: list[Row]
) -> tuple[DetectedColumns, list[str]]:
    """Detect the columns and store them with the import, for a reader that continues the check.

    Returns the columns, and the fields for which the mapping of the import does not fit the file.
    If there are any, the columns are those that were detected.

    Raises:
        JobNotActive: The import is no longer CHECKING, or another reader has moved the cursor.
    """
    detected_format = reader.detected_format
    # Some formats name the columns beside the rows; the names count as row 0.
    header_rows = [(0, reader.headers)] if reader.headers else []
    columns = detect_columns(
        [*header_rows, *rows], importer, detected_format.hidden_columns, job.has_header_row
    )
    columns = add_suggestions(columns, rows, importer)
    wrong_fields: list[str] = []
    try:
        columns = apply_mapping(job, columns, importer)
        if job.column_mapping is not None:
            fields = [column.field for column in importer.columns]
            job.column_mapping = {field: columns.positions.get(field) for field in fields}
    except InvalidMapping as error:
        wrong_fields = list(error.problems)
    columns = trim_samples(columns)
    job.detected_format = asdict(detected_format)
    job.read_summary = summarize_file(columns, detected_format).entries()
    is_stored = (
        _leased_job(job)
        .filter(cursor_row=0)
        .update(
            detected_columns=asdict(columns),
            detected_format=job.detected_format,
            column_mapping=job.column_mapping,
            read_summary=job.read_summary,
        )
    )
    if not is_stored:
        raise JobNotActive
    return columns, wrong_fields


def summarize_file(columns: DetectedColumns, detected_format: DetectedFormat) -> ReadSummary:
    """Return the read summary of the whole file, before its rows are validated."""
    summary = ReadSummary()
    if ignored := find_ignored_columns(columns):
        names = [get_column_name(columns, index) for index in ignored[:MAX_LISTED_COLUMNS]]
        summary.add("columns_ignored", count=len(ignored), columns=names)
    if hidden := columns.hidden_ignored:
        names = [get_column_name(columns, index) for index in hidden[:MAX_LISTED_COLUMNS]]
        summary.add("hidden_columns_ignored", count=len(hidden), columns=names)
    if first := columns.first_header_row:
        summary.add("header_in_two_rows", first=first, last=columns.header_row)
    if detected_format.second_reader:
        summary.add("second_reader")
    if detected_format.format == "xlsb":
        summary.add("binary_workbook")
    return summary


def _request_mapping(job: ImportJob, code: str, fields: list[str]) -> ImportJob | None:
    """Let the import wait for a person who chooses the columns of these fields, or fail."""
    is_unattended = job.on_missing_columns == OnMissingColumns.FAIL
    target = Status.FAILED if is_unattended else Status.MAPPING
    return _transition_if_leased(job, target, code, {"columns": fields})


def fail_job(job: ImportJob, code: str, params: dict[str, Any]) -> ImportJob | None:
    """Move the import to FAILED with an error code, and return it.

    Returns None if the import is no longer CHECKING or its check was started again.

    Raises:
        TransientError: The database is not available.
    """
    return _transition_if_leased(job, Status.FAILED, code, params)


def requeue(job: ImportJob) -> ImportJob | None:
    """Move the import back to QUEUED, for a reader with the full limits, and return it.

    Returns None if the import is no longer CHECKING or its check was started again.

    Raises:
        TransientError: The database is not available.
    """
    return _transition_if_leased(
        job, Status.QUEUED, **INITIAL_CHECK_FIELDS, started_at=None, needs_main_reader=True
    )


def _transition_if_leased(
    job: ImportJob,
    target: Status,
    code: str | None = None,
    params: dict[str, Any] | None = None,
    **changes: Any,
) -> ImportJob | None:
    with short_transaction():
        # The update locks the import's row until the commit, so no other transition intervenes.
        values = {"reader_heartbeat_at": None, "reader_crashes": 0} | changes
        if not _leased_job(job).update(**values):
            return None
        return ImportJob.objects.transition(job.pk, target, error_code=code, error_params=params)


def release_lease(job: ImportJob, *, has_crashed: bool = False) -> None:
    """Let the next reader start at once. Unless it crashed, this attempt no longer counts.

    While the database is not available, the update is deferred: see `run_or_defer`.
    """
    crashes = F("reader_crashes") if has_crashed else Greatest(F("reader_crashes") - 1, 0)

    def release_now() -> None:
        with short_transaction(durable=False):
            _leased_job(job).update(reader_heartbeat_at=None, reader_crashes=crashes)

    run_or_defer(release_now)


def _renew_lease(job: ImportJob) -> None:
    """Send a heartbeat while waiting for the reader process.

    Raises:
        JobNotActive: The import is no longer CHECKING, or its check was started again.
    """
    if not _leased_job(job).update(reader_heartbeat_at=Now()):
        raise JobNotActive


def _leased_job(job: ImportJob) -> QuerySet[ImportJob]:
    return ImportJob.objects.filter(
        pk=job.pk, status=Status.CHECKING, check_generation=job.check_generation
    )


def list_checkable_jobs(*, is_small: bool = False) -> list[UUID]:
    """Return the imports that could be checked now: abandoned ones first, then waiting ones.

    With `is_small`, only files that may be read beside another one are returned. At most ten
    waiting imports are returned.
    """
    abandoned, waiting = ImportJob.objects.with_expired_heartbeat(), ImportJob.objects.waiting()
    if is_small:
        # A file that crashed two readers may have needed more than the limits for small files.
        is_readable = Q(
            file_size__lte=app_settings.SMALL_FILE_BYTES,
            needs_main_reader=False,
            reader_crashes__lt=2,
        )
        abandoned, waiting = abandoned.filter(is_readable), waiting.filter(is_readable)
    return [*abandoned.values_list("pk", flat=True), *waiting.values_list("pk", flat=True)[:10]]
