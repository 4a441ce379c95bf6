"""Apply one batch: write its staged rows to the target table in one transaction, exactly once.

A call for a batch that is applied already, or that another worker holds, changes nothing. The lock
on the batch's row is the lease. If the worker crashes, PostgreSQL rolls the transaction back and
releases the lock. This module does not use the queue or Redis.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db import Error
from django.db.models import QuerySet
from django.db.models.functions import Now

from imports import advisory_locks
from imports.error_log import log_error
from imports.importer import get_importer, has_hook, is_registered
from imports.models import HookCall, ImportBatch, ImportJob, TransitionNotAllowed
from imports.pipeline import attempts, batch_writer, poison_batches
from imports.pipeline.attempts import Attempt, BatchNotAvailable
from imports.pipeline.batch_writer import OutcomeCounts
from imports.pipeline.check_completion import complete_job_if_done
from imports.pipeline.target_table import TargetTable, get_job_target
from imports.pipeline.transactions import (
    JobNotActive,
    StatementTimeout,
    TransientError,
    short_transaction,
)
from imports.postgres import get_sqlstate, open_cursor
from imports.statuses import APPLYING_PERCENT, CHECKING_PERCENT, Hook, Status

log = logging.getLogger(__name__)

# Deadlock, lock not available, serialization failure.
CONFLICT_SQLSTATES = {"40P01", "55P03", "40001"}

# The last statement of the transaction: it locks the import's row until the commit only, so a
# cancellation never waits for a whole batch. It returns no row if the import was paused or
# cancelled in the meantime.
ADD_COUNTS = """
UPDATE imports_importjob
   SET created = created + %(created)s, updated = updated + %(updated)s,
       unchanged = unchanged + %(unchanged)s, skipped = skipped + %(skipped)s,
       failed = failed + %(failed)s, processed = processed + %(rows)s,
       progress_percent = greatest(progress_percent,
           least(99, %(checking_percent)s + %(applying_percent)s
                     * (processed + %(rows)s)::bigint / greatest(total, 1))),
       version = version + 1, updated_at = now()
 WHERE id = %(job)s AND status = 'RUNNING'
RETURNING *
"""


class UnknownImporter(Exception):
    """The importer of the import is not registered in this process."""


def apply_batch(job_id: UUID, number: int, *, worker: str = "") -> ImportJob | None:
    """Write one batch and return its import with the new counts.

    `number` is the number of the batch within its import, `worker` the name of the worker process.
    A batch that crashed its workers repeatedly is split into single rows instead. An error that
    ends the writing makes the import FAILED: its importer is not registered in this process, a
    statement of the batch has exceeded its time-out repeatedly, or a statement is wrong. The import
    is returned in these cases, too.

    Returns None if this call changed nothing: the batch is applied already, another worker holds
    it, or the import is not RUNNING.

    Raises:
        TransientError: A lock, a timeout or a lost connection. The batch should be retried, and
            the attempt does not count as a crash.
        Exception: Any other error. The attempt counts as a crash.
    """
    try:
        with poison_batches.attempt_in_slot(job_id, number, worker) as attempt:
            return _apply_attempt(job_id, number, attempt, worker)
    except BatchNotAvailable:
        return None


def _apply_attempt(job_id: UUID, number: int, attempt: Attempt, worker: str) -> ImportJob | None:
    try:
        job = poison_batches.split_batch(job_id, number, attempt.crashes)
        return job or _apply_with_retry(job_id, number, attempt, worker)
    except (BatchNotAvailable, JobNotActive):
        attempts.end_attempt(attempt)
        return None
    except UnknownImporter:
        attempts.end_attempt(attempt)
        return _fail_applying(job_id, "unknown_importer", {})
    except StatementTimeout as error:
        attempts.end_attempt(attempt)
        times = attempts.count_timeout(job_id, number)
        if times < attempts.MAX_TIMEOUTS:
            raise
        return _fail_applying(job_id, "database_timeout", error.make_error_params(times))
    except TransientError:
        attempts.end_attempt(attempt)
        raise
    except Error as error:
        # A statement is wrong for every row, for example because a migration was not applied.
        attempts.end_attempt(attempt)
        sqlstate = get_sqlstate(error)
        log_error(log, f"batch {number} of import {job_id}", error, sqlstate)
        return _fail_applying(job_id, "writing_failed", {"sqlstate": sqlstate})
    except Exception:
        # Count the crash. Otherwise a batch that always fails would be retried forever.
        attempts.mark_crashed(attempt)
        raise


def _fail_applying(job_id: UUID, code: str, params: dict[str, Any]) -> ImportJob | None:
    """Move the import to FAILED and return it; None if it is no longer RUNNING.

    Raises:
        TransientError: The database is not available.
    """
    try:
        with short_transaction():
            return ImportJob.objects.transition(
                job_id,
                Status.FAILED,
                only_from=Status.RUNNING,
                error_code=code,
                error_params=params,
            )
    except TransitionNotAllowed:
        return None


def _apply_with_retry(job_id: UUID, number: int, attempt: Attempt, worker: str) -> ImportJob:
    """Apply the batch with a shared lock on its table; after a conflict, with an exclusive lock."""
    try:
        with short_transaction():
            return _apply_in_transaction(job_id, number, attempt, worker, is_exclusive=False)
    except TransientError as error:
        if str(error) not in CONFLICT_SQLSTATES:
            raise
    # The time-outs are longer, because the batch waits for the exclusive lock.
    with short_transaction(lock_timeout="60s", statement_timeout="90s"):
        return _apply_in_transaction(job_id, number, attempt, worker, is_exclusive=True)


def _apply_in_transaction(
    job_id: UUID, number: int, attempt: Attempt, worker: str, *, is_exclusive: bool
) -> ImportJob:
    batch = claim_batch(job_id, number)
    if not is_registered(batch.job.importer):
        raise UnknownImporter
    importer = get_importer(batch.job.importer)
    target = get_job_target(batch.job)
    # Imports into one table share this lock; a batch that met a conflict takes it exclusively.
    # Without the lock, two imports of the same people in opposite order ended in 20 deadlocks;
    # with it, in none.
    lock = advisory_locks.lock_exclusively if is_exclusive else advisory_locks.lock_shared
    lock(advisory_locks.TARGET_TABLE, target.table)
    with open_cursor() as cursor:
        # Django defers foreign key checks to the commit, where the failed row is not known.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    counts = _write_rows(batch, target, attempt, is_exclusive=is_exclusive)
    _filter_unapplied_batch(job_id, number).update(
        started_at=TransactionNow(),
        applied_at=Now(),
        worker=worker,
    )
    if has_hook(importer, "after_batch"):
        HookCall.objects.create(job=batch.job, hook=Hook.AFTER_BATCH, batch_number=number)
    attempts.delete_attempt(attempt)
    return add_batch_counts(batch, counts)


def _write_rows(
    batch: ImportBatch, target: TargetTable, attempt: Attempt, *, is_exclusive: bool
) -> OutcomeCounts:
    if attempt.crashes >= poison_batches.MAX_CRASHES:
        return batch_writer.fail_rows(batch, "crashed_worker", {})
    return batch_writer.write_rows(batch, target, expect_duplicates=is_exclusive)


def _filter_unapplied_batch(job_id: UUID, number: int) -> QuerySet[ImportBatch]:
    return ImportBatch.objects.filter(job=job_id, number=number, applied_at=None)


def claim_batch(job_id: UUID, number: int) -> ImportBatch:
    """Lock the batch until the end of the transaction. Never waits for a lock.

    Raises:
        BatchNotAvailable: The batch is applied, another worker holds it, or its import is not
            RUNNING.
    """
    free = _filter_unapplied_batch(job_id, number).select_for_update(of=("self",), skip_locked=True)
    batch = free.select_related("job").filter(job__status=Status.RUNNING).first()
    if batch is None:
        raise BatchNotAvailable
    return batch


def add_batch_counts(batch: ImportBatch, counts: OutcomeCounts) -> ImportJob:
    """Add the outcomes of a batch to its import's counts. The last batch completes the import.

    Raises:
        AssertionError: The outcomes do not add up to the rows of the batch.
        JobNotActive: The import is no longer RUNNING.
    """
    if counts.total() != batch.rows:
        raise AssertionError(f"Batch {batch.pk} has {batch.rows} rows, not {counts.total()}.")
    outcomes = {"created": 0, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 0, **counts}
    parameters = {
        "job": batch.job_id,
        "rows": batch.rows,
        "checking_percent": CHECKING_PERCENT,
        "applying_percent": APPLYING_PERCENT,
        **outcomes,
    }
    job = next(iter(ImportJob.objects.raw(ADD_COUNTS, parameters)), None)
    if job is None:
        raise JobNotActive
    return complete_job_if_done(job)
