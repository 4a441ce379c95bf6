"""Staged rows to records: one batch, one transaction, exactly once.

Asked again for a batch that is done, or in another worker's hands, it does nothing; killed
at any instant it leaves nothing half done. The batch's row lock is the lease, the rollback
is the recovery. It knows no queue and no Redis.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from imports import advisory_locks
from imports.importer import Importer, get_importer, is_registered
from imports.models import ImportBatch, ImportJob
from imports.pipeline import attempts, batch_writer, poison_batches
from imports.pipeline.attempts import Attempt
from imports.pipeline.batch_writer import OutcomeCounts
from imports.pipeline.duplicates import complete_job_if_done
from imports.pipeline.target_table import TargetTable, get_target_table
from imports.pipeline.transactions import JobNotActive, TransientError, short_transaction
from imports.statuses import APPLYING_PERCENT, CHECKING_PERCENT, Status

PATIENCE = {"lock_timeout": "60s", "statement_timeout": "90s"}  # For the turn to be alone.
TROUBLE = {"40P01", "55P03", "40001"}  # Deadlock, lock not available, serialization failure.

# Comes last of all: the import's row stays locked for a commit only, so cancel never waits.
# No row comes back when the import was paused or cancelled while we worked.
COUNT = """
UPDATE imports_importjob
   SET created = created + %(created)s, updated = updated + %(updated)s,
       unchanged = unchanged + %(unchanged)s, skipped = skipped + %(skipped)s,
       failed = failed + %(failed)s, processed = processed + %(rows)s,
       progress_percent = greatest(progress_percent, least(99, %(checking_percent)s
           + %(applying_percent)s * (processed + %(rows)s)::bigint / greatest(total, 1))),
       version = version + 1, updated_at = now()
 WHERE id = %(job)s AND status = 'RUNNING'
RETURNING *
"""


def apply_batch(job_id: UUID, number: int, *, worker: str = "") -> ImportJob | None:
    """Write one batch and return its import as that left it; None if it was not ours to do.

    Raises Interrupted when nobody is to blame and it should be asked for again.
    """
    attempt = attempts.begin_attempt(job_id, number, worker)
    if attempt is None:
        return None  # Applied already.
    try:
        with poison_batches.batch_slot(attempt.crashes):
            job = poison_batches.split_batch(job_id, number, attempt.crashes)
            job = job or _apply_patiently(job_id, number, attempt, worker)
    except JobNotActive:
        job = None
    except TransientError:
        attempts.end_attempt(attempt)
        raise
    except Exception:
        # Ours or a row's: a batch that can never be written must not be asked for for ever.
        attempts.mark_crashed(attempt)
        raise
    if job is None:  # Otherwise the transaction that wrote the batch has forgotten it.
        attempts.end_attempt(attempt)
    return job


def _apply_patiently(job_id: UUID, number: int, attempt: Attempt, worker: str) -> ImportJob | None:
    """Beside other imports into the same table; after trouble with one of them, alone."""
    try:
        with short_transaction():
            return _apply(job_id, number, attempt, worker, alone=False)
    except TransientError as interrupted:
        if str(interrupted) not in TROUBLE:
            raise
    with short_transaction(**PATIENCE):
        return _apply(job_id, number, attempt, worker, alone=True)


def _apply(
    job_id: UUID, number: int, attempt: Attempt, worker: str, *, alone: bool
) -> ImportJob | None:
    batch = claim_batch(job_id, number)
    if batch is None:
        return None  # In another worker's hands, or the import is paused or cancelled.
    importer = get_importer(batch.job.importer)
    target = get_target_table(importer)
    # Imports into one table share this lock. After a deadlock a batch takes it exclusively: two
    # imports of the same people in opposite order ended in 20 deadlocks without the lock, and in
    # none with it.
    lock = advisory_locks.lock_exclusively if alone else advisory_locks.lock_shared
    lock(advisory_locks.TARGET_TABLE, target.table)
    with connection.cursor() as cursor:
        # Django's foreign keys wait for the commit, which is too late to find the row to blame.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    counts = _outcomes(batch, target, attempt, alone=alone)
    unapplied(job_id, number).update(
        started_at=TransactionNow(),
        applied_at=Now(),
        worker=worker,
        after_batch_at=None if has_after_batch(importer) else Now(),
    )
    attempts.delete_attempt(attempt)
    return add_batch_counts(batch, counts)


def _outcomes(
    batch: ImportBatch, target: TargetTable, attempt: Attempt, *, alone: bool
) -> OutcomeCounts:
    if attempt.crashes >= poison_batches.MAX_CRASHES:
        return batch_writer.fail_rows(batch, "crashed_worker", {})
    return batch_writer.write_rows(batch, target, expect_clashes=alone)


def unapplied(job_id: UUID, number: int) -> QuerySet[ImportBatch]:
    return ImportBatch.objects.filter(job=job_id, number=number, applied_at=None)


def claim_batch(job_id: UUID, number: int) -> ImportBatch | None:
    """The batch, locked until we commit, roll back or die. Never waits."""
    free = unapplied(job_id, number).select_for_update(of=("self",), skip_locked=True)
    return free.select_related("job").filter(job__status=Status.RUNNING).first()


def add_batch_counts(batch: ImportBatch, counts: OutcomeCounts) -> ImportJob:
    """Add the batch to its import's counts; the last one completes the import."""
    if counts.total() != batch.rows:
        raise AssertionError(f"Batch {batch.pk} has {batch.rows} rows, not {counts.total()}.")
    outcomes = {"created": 0, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 0, **counts}
    percents = {"checking_percent": CHECKING_PERCENT, "applying_percent": APPLYING_PERCENT}
    these = {"job": batch.job_id, "rows": batch.rows, **percents, **outcomes}
    job = next(iter(ImportJob.objects.raw(COUNT, these)), None)
    if job is None:
        raise JobNotActive
    return complete_job_if_done(job)


# --- After the commit --------------------------------------------------------


def has_after_batch(importer: type[Importer]) -> bool:
    return any("after_batch" in vars(base) for base in importer.__mro__ if base is not Importer)


def run_after_batch(job_id: UUID, number: int) -> None:
    """Call the importer's after_batch for an applied batch, once more if nobody knows it ran."""
    batch = (
        ImportBatch.objects.select_related("job")
        .filter(job=job_id, number=number, applied_at__isnull=False, after_batch_at=None)
        .first()
    )
    if batch is None:
        return
    if is_registered(batch.job.importer):
        importer = get_importer(batch.job.importer)
        importer.after_batch(batch_writer.get_written_keys(batch, get_target_table(importer)))
    ImportBatch.objects.filter(pk=batch.pk).update(after_batch_at=Now())
