"""Undo an import: batch after batch, in the reverse order of writing, each exactly once.

One transaction undoes one batch. The lock on the batch's row is the lease: it is the batch that
was written last, so no two batches of an import are undone at the same time. If the worker
crashes, PostgreSQL rolls the transaction back and releases the lock. This module does not use the
queue or Redis.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db import Error
from django.db.models import QuerySet
from django.db.models.functions import Now

from imports import advisory_locks
from imports.error_log import log_error
from imports.importer import is_registered
from imports.models import ImportAttempt, ImportBatch, ImportJob, TransitionNotAllowed
from imports.pipeline import attempts, poison_batches, undo_rows
from imports.pipeline.attempts import Attempt, BatchNotAvailable
from imports.pipeline.batch_applier import CONFLICT_SQLSTATES
from imports.pipeline.target_table import get_job_target
from imports.pipeline.transactions import (
    JobNotActive,
    StatementTimeout,
    TransientError,
    short_transaction,
)
from imports.pipeline.undo_rows import UndoCounts
from imports.postgres import get_sqlstate, open_cursor
from imports.statuses import Status

log = logging.getLogger(__name__)

# The last statement of the transaction: it locks the import's row until the commit only.
ADD_COUNTS = """
UPDATE imports_importjob
   SET removed = removed + %(removed)s, restored = restored + %(restored)s,
       kept = kept + %(kept)s,
       progress_percent = greatest(progress_percent, least(99,
           99 * (removed + restored + kept + %(rows)s)::bigint / greatest(created + updated, 1))),
       version = version + 1, updated_at = now()
 WHERE id = %(job)s AND status = 'UNDOING'
RETURNING *
"""


def filter_batches_to_undo(job_id: UUID) -> QuerySet[ImportBatch]:
    """Return the written batches of an import that are not undone, the next one first."""
    batches = ImportBatch.objects.filter(job=job_id, applied_at__isnull=False, undone_at=None)
    return batches.order_by("-applied_at", "-number")


def prepare_undo(job_id: UUID) -> None:
    """Forget what applying has recorded about the batches. Call it when the undo begins."""
    batches = filter_batches_to_undo(job_id)
    ImportAttempt.objects.filter(batch__in=batches.values("pk")).delete()
    batches.update(crashes=0, timeouts=0, enqueued_at=None)


def undo_next_batch(job_id: UUID, *, worker: str = "") -> ImportJob | None:
    """Undo the batch that is next, and return its import with the new counts.

    `worker` is the name of the worker process. A batch that crashed its workers repeatedly is split
    into single rows instead. An error that a retry cannot correct ends the undo: the import is
    FAILED then. The import is returned in these cases, too.

    Returns None if this call changed nothing: another worker undoes a batch of the import, or the
    import is not UNDOING.

    Raises:
        TransientError: A lock, a timeout or a lost connection. The batch should be retried, and
            the attempt does not count as a crash.
    """
    with short_transaction(durable=False):
        batch = filter_batches_to_undo(job_id).first()
        job = ImportJob.objects.filter(pk=job_id, status=Status.UNDOING).first()
    if job is None:
        return None
    if batch is None:
        return _fail(job_id, "rows_missing")
    if not is_registered(job.importer):
        return _fail(job_id, "unknown_importer")
    try:
        with poison_batches.attempt_in_slot(job_id, batch.number, worker, is_undo=True) as attempt:
            return _undo_attempt(job_id, batch.number, attempt)
    except BatchNotAvailable:
        return None


def _undo_attempt(job_id: UUID, number: int, attempt: Attempt) -> ImportJob | None:
    try:
        job = poison_batches.split_batch(job_id, number, attempt.crashes, is_undo=True)
        return job or _undo_with_retry(job_id, number, attempt)
    except (BatchNotAvailable, JobNotActive):
        attempts.end_attempt(attempt)
        return None
    except StatementTimeout:
        attempts.end_attempt(attempt)
        if attempts.count_timeout(job_id, number) >= attempts.MAX_TIMEOUTS:
            return _fail(job_id, "timeout")
        raise
    except TransientError:
        attempts.end_attempt(attempt)
        raise
    except Exception as error:
        attempts.end_attempt(attempt)
        sqlstate = f" {get_sqlstate(error)}" if isinstance(error, Error) else ""
        log_error(log, f"undo of batch {number} of import {job_id}", error, sqlstate.strip())
        return _fail(job_id, f"{type(error).__name__}{sqlstate}")


def _undo_with_retry(job_id: UUID, number: int, attempt: Attempt) -> ImportJob:
    """Undo the batch with a shared lock on its table; after a conflict, with an exclusive lock."""
    try:
        with short_transaction():
            return _undo_in_transaction(job_id, number, attempt, is_exclusive=False)
    except TransientError as error:
        if str(error) not in CONFLICT_SQLSTATES:
            raise
    # The time-outs are longer, because the batch waits for the exclusive lock.
    with short_transaction(lock_timeout="60s", statement_timeout="90s"):
        return _undo_in_transaction(job_id, number, attempt, is_exclusive=True)


def _undo_in_transaction(
    job_id: UUID, number: int, attempt: Attempt, *, is_exclusive: bool
) -> ImportJob:
    batch = claim_batch(job_id, number)
    target = get_job_target(batch.job)
    lock = advisory_locks.lock_exclusively if is_exclusive else advisory_locks.lock_shared
    lock(advisory_locks.TARGET_TABLE, target.table)
    with open_cursor() as cursor:
        # Django defers foreign key checks to the commit, where the row is not known.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    if attempt.crashes >= poison_batches.MAX_CRASHES:
        counts = undo_rows.keep_rows(batch, target, "crashed_worker")
    else:
        counts = undo_rows.undo_rows(batch, target)
    ImportBatch.objects.filter(pk=batch.pk).update(undone_at=Now())
    # This worker goes on with the next batch, so recovery need not send a message for it.
    next_batch = filter_batches_to_undo(job_id).values("pk")[:1]
    ImportBatch.objects.filter(pk__in=next_batch).update(enqueued_at=Now())
    attempts.delete_attempt(attempt)
    return _add_counts(job_id, counts)


def claim_batch(job_id: UUID, number: int) -> ImportBatch:
    """Lock the batch until the end of the transaction. Never waits for a lock.

    Raises:
        BatchNotAvailable: The batch is not the next one to undo, another worker holds it, or its
            import is not UNDOING.
    """
    next_batch = filter_batches_to_undo(job_id).values("pk")[:1]
    free = filter_batches_to_undo(job_id).filter(number=number, pk__in=next_batch)
    free = free.select_for_update(of=("self",), skip_locked=True).select_related("job")
    batch = free.filter(job__status=Status.UNDOING).first()
    if batch is None:
        raise BatchNotAvailable
    return batch


def _add_counts(job_id: UUID, counts: UndoCounts) -> ImportJob:
    """Add the counts of a batch to those of its import. The last batch ends the undo.

    Raises:
        JobNotActive: The import is no longer UNDOING.
    """
    parameters: dict[str, Any] = {"removed": 0, "restored": 0, "kept": 0, **counts}
    parameters |= {"job": job_id, "rows": counts.total()}
    job = next(iter(ImportJob.objects.raw(ADD_COUNTS, parameters)), None)
    if job is None:
        raise JobNotActive
    if job.undone == job.written:
        return ImportJob.objects.transition(job_id, Status.UNDONE)
    return job


def _fail(job_id: UUID, reason: str) -> ImportJob | None:
    """End the undo with the error `undo_failed`. What was undone stays undone."""
    try:
        with short_transaction():
            return ImportJob.objects.transition(
                job_id,
                Status.FAILED,
                only_from=Status.UNDOING,
                error_code="undo_failed",
                error_params={"error": reason},
            )
    except TransitionNotAllowed:
        return None
