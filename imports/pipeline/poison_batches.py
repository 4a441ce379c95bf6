"""Poison batches: batches that crash their workers repeatedly.

After MIN_CRASHES_TO_SPLIT crashes a batch is split into batches of one row. After MAX_CRASHES
crashes with one row in hand, that row fails with `crashed_worker`. A batch with
MIN_CRASHES_TO_SPLIT crashes or more runs alone in its process, so that its crash takes no other
batch down.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from imports.models import ImportBatch, ImportJob
from imports.pipeline.attempts import Attempt, begin_attempt, end_attempt
from imports.pipeline.transactions import JobNotActive, short_transaction
from imports.postgres import open_cursor
from imports.statuses import Status

MIN_CRASHES_TO_SPLIT = 2
MAX_CRASHES = 3

# Locks the import's row, so that two batches that are split at the same time get different numbers.
LOCK_JOB = """
UPDATE imports_importjob SET version = version + 1, updated_at = now()
 WHERE id = %(job)s AND status = %(status)s
RETURNING *
"""
# Of an applied batch, every row that has written a record stays in an applied batch.
SPLIT_BATCH = """
WITH whole AS (
    DELETE FROM imports_importbatch
     WHERE job_id = %(job)s AND number = %(number)s
       AND (applied_at IS NOT NULL) = %(is_undo)s AND undone_at IS NULL
    RETURNING id, first_row, last_row, started_at, applied_at, worker),
deleted_attempts AS (
    DELETE FROM imports_importattempt USING whole WHERE batch_id = whole.id),
last AS (SELECT max(number) AS number FROM imports_importbatch WHERE job_id = %(job)s)
INSERT INTO imports_importbatch (
       job_id, number, first_row, last_row, rows, crashes, started_at, applied_at, worker)
SELECT %(job)s, last.number + row_number() OVER (ORDER BY r.number), r.number, r.number, 1,
       %(crashes)s, whole.started_at, whole.applied_at, whole.worker
  FROM last, whole JOIN imports_importrow r
    ON r.job_id = %(job)s AND r.number BETWEEN whole.first_row AND whole.last_row
 WHERE r.outcome IS NULL OR (%(is_undo)s AND r.outcome = 'updated')
"""


def split_batch(
    job_id: UUID, number: int, crashes: int, *, is_undo: bool = False
) -> ImportJob | None:
    """Split a batch that crashed repeatedly into single rows, and return its import.

    The new batches start with the crashes of the split one. With `is_undo`, the batch is an applied
    one that is being undone; the new batches are applied, too. Returns None if there is nothing to
    split: the batch has crashed less than MIN_CRASHES_TO_SPLIT times, or it has one row.

    Raises:
        JobNotActive: The import is no longer RUNNING; with `is_undo`, no longer UNDOING.
        TransientError: The database is not available.
    """
    if crashes < MIN_CRASHES_TO_SPLIT:
        return None
    with short_transaction(), open_cursor() as cursor:
        if not ImportBatch.objects.filter(job=job_id, number=number, rows__gt=1).exists():
            return None
        parameters: dict[str, UUID | int | str] = {
            "job": job_id,
            "number": number,
            "crashes": crashes,
            "is_undo": is_undo,
            "status": Status.UNDOING if is_undo else Status.RUNNING,
        }
        job = next(iter(ImportJob.objects.raw(LOCK_JOB, parameters)), None)
        if job is None:
            raise JobNotActive
        cursor.execute(SPLIT_BATCH, parameters)
        return job


class _BatchSlots:
    """Runs many ordinary batches at a time, or one poison batch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ordinary = 0
        self._poison = 0  # Waiting or running. Ordinary batches wait until there is none.
        self._is_exclusive = False

    @contextmanager
    def shared_slot(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._poison)
            self._ordinary += 1
        try:
            yield
        finally:
            with self._changed:
                self._ordinary -= 1
                self._changed.notify_all()

    @contextmanager
    def exclusive_slot(self) -> Iterator[None]:
        with self._changed:
            self._poison += 1
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._ordinary and not self._is_exclusive)
                self._is_exclusive = True
            try:
                yield
            finally:
                self._is_exclusive = False
        finally:
            with self._changed:
                self._poison -= 1
                self._changed.notify_all()


_slots = _BatchSlots()


@contextmanager
def attempt_in_slot(
    job_id: UUID, number: int, worker: str, *, is_undo: bool = False
) -> Iterator[Attempt]:
    """Wait until the batch may run, and record an attempt at it. Arguments as of `begin_attempt`.

    No attempt is recorded while the batch waits. Otherwise the crash of the batch for which it
    waits would count as its own.

    Raises:
        BatchNotAvailable: The batch does not exist, or is applied or undone already.
        TransientError: The database is not available. Nothing is recorded.
    """
    crashes = 0
    while True:
        with batch_slot(crashes):
            attempt = begin_attempt(job_id, number, worker, is_undo=is_undo)
            if is_poison(attempt.crashes) == is_poison(crashes):
                yield attempt
                return
            end_attempt(attempt)  # It needs the other kind of slot.
        crashes = attempt.crashes


def is_poison(crashes: int) -> bool:
    """Whether a batch with so many crashes runs alone."""
    return crashes >= MIN_CRASHES_TO_SPLIT


def batch_slot(crashes: int) -> AbstractContextManager[None]:
    """Return a context manager that waits until a batch with so many crashes may run.

    A batch with MIN_CRASHES_TO_SPLIT crashes or more gets an exclusive slot of this process.
    """
    return _slots.exclusive_slot() if is_poison(crashes) else _slots.shared_slot()
