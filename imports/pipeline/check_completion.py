"""Finish a check: resolve duplicates, plan the batches, and change the status."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from imports import advisory_locks
from imports.conf import app_settings
from imports.models import ImportJob, ImportRow
from imports.pipeline.column_mapping import save_mapping
from imports.pipeline.duplicates import fail_duplicates_in_file, match_existing_records
from imports.pipeline.target_table import get_job_target
from imports.pipeline.transactions import JobNotActive, short_transaction
from imports.postgres import open_cursor
from imports.statuses import CHECKING_PERCENT, OnDuplicate, Outcome, Status

IS_LEASED = (
    "status = 'CHECKING' AND check_generation = %(generation)s AND cursor_row = %(cursor_row)s"
)
FIND_LEASED_JOB = f"SELECT FROM imports_importjob WHERE id = %(job)s AND {IS_LEASED}"
MIN_BATCH_ROWS = 50
# Batches hold only rows that still need to be written; the row numbers of a batch may have gaps.
PLAN_BATCHES = """
INSERT INTO imports_importbatch (job_id, number, first_row, last_row, rows, crashes, worker)
SELECT %(job)s, batch_index + 1, min(number), max(number), count(*), 0, ''
  FROM (SELECT number, (row_number() OVER (ORDER BY number) - 1) / %(size)s AS batch_index
          FROM imports_importrow WHERE job_id = %(job)s AND outcome IS NULL) AS unfinished_rows
 GROUP BY batch_index
"""
STORE_TOTALS = f"""
UPDATE imports_importjob
   SET total = checked, checked_at = now(), to_update = %(to_update)s,
       reader_crashes = 0, reader_heartbeat_at = NULL,
       skipped = skipped + %(skipped)s, failed = failed + %(failed)s,
       processed = processed + %(skipped)s + %(failed)s,
       progress_percent = greatest(progress_percent, %(percent)s)
 WHERE id = %(job)s AND {IS_LEASED}
"""


def finish_check(job: ImportJob) -> ImportJob:
    """Resolve duplicates, plan the batches, and change the status of the import.

    `job` is the import as its reader last saw it. The new status is READY if the import waits for
    a review, COMPLETE or RUNNING if not, and FAILED if the file has no rows. One transaction does
    all of it, so an import is never checked in part.

    Raises:
        JobNotActive: The import is no longer CHECKING, its check was started again, or another
            reader has moved the cursor or is finishing the check.
        TransientError: The database is not available, or a statement took too long.
    """
    limit = app_settings.FINISH_CHECK_TIMEOUT
    with (
        short_transaction(
            timeout_setting="IMPORTS_FINISH_CHECK_TIMEOUT",
            statement_timeout=limit,
            idle_in_transaction_session_timeout=limit,
        ),
        open_cursor() as cursor,
    ):
        cursor.execute("SET LOCAL work_mem = '16MB'")
        parameters = {
            "job": job.pk,
            "generation": job.check_generation,
            "cursor_row": job.cursor_row,
        }
        if not try_lock_check_completion(job.pk) or not _affects_one_row(
            cursor, FIND_LEASED_JOB, parameters
        ):
            raise JobNotActive
        if job.checked == 0:
            return ImportJob.objects.transition(job.pk, Status.FAILED, error_code="no_rows")
        target = get_job_target(job)
        existing = match_existing_records(target, job, first=0, last=job.cursor_row)
        repeats = fail_duplicates_in_file(target, job)
        cursor.execute(PLAN_BATCHES, {"job": job.pk, "size": compute_batch_size(job.checked)})
        if not _affects_one_row(
            cursor, STORE_TOTALS, parameters | _get_totals(job, existing, repeats)
        ):
            raise JobNotActive
        save_mapping(job)
        if job.check_first:
            return ImportJob.objects.transition(job.pk, Status.READY)
        return start_applying(job.pk, only_from=Status.CHECKING)


def try_lock_check_completion(job_id: UUID) -> bool:
    """Keep other transactions from finishing the check of this import; return False if one does.

    Finishing the check of a million rows takes more than a minute, in which no heartbeat is sent.
    The lock is an advisory lock, not a lock of the import's row, so that a cancellation never
    waits.
    """
    return advisory_locks.try_lock(advisory_locks.CHECK_COMPLETION, str(job_id))


def _affects_one_row(cursor: CursorWrapper, statement: str, parameters: dict[str, Any]) -> bool:
    cursor.execute(statement, parameters)
    return bool(cursor.rowcount == 1)


def start_applying(job_id: UUID, *, only_from: Status) -> ImportJob:
    """Move the import from `only_from` to RUNNING, and to COMPLETE if there is nothing to write.

    Raises:
        TransitionNotAllowed: The import is in another status.
    """
    job = ImportJob.objects.transition(job_id, Status.RUNNING, only_from=only_from)
    return complete_job_if_done(job)


def complete_job_if_done(job: ImportJob) -> ImportJob:
    """Move the import to COMPLETE if every row has its outcome.

    Call it in the transaction that gives the last rows their outcomes.
    """
    if job.processed == job.total:
        return ImportJob.objects.transition(job.pk, Status.COMPLETE)
    return job


def compute_batch_size(total: int) -> int:
    """Return the number of rows in a batch for an import of `total` rows.

    Large batches are faster. A small file gets small batches, so that its progress is visible.
    """
    size = -(-total // app_settings.BATCHES_PER_SMALL_FILE)  # Rounded up.
    return min(app_settings.BATCH_ROWS, max(MIN_BATCH_ROWS, size))


def _get_totals(job: ImportJob, existing: dict[str, int], repeats: int) -> dict[str, int]:
    matched = ImportRow.objects.filter(job=job, outcome=None, matched=True)
    return {
        "skipped": existing.get(Outcome.SKIPPED, 0),
        "failed": existing.get(Outcome.FAILED, 0) + repeats,
        "percent": CHECKING_PERCENT,
        "to_update": matched.count() if job.on_duplicate == OnDuplicate.UPDATE else 0,
    }
