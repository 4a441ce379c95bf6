"""Batches that kill their workers: found out by counting, and given up row by row.

Two violent crashes, and the batch is cut to single rows; one more with a single row in hand,
and that row is refused with `crashed_worker`. A suspect runs alone in its process, so that
no innocent batch dies beside it a third time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from django.db import connection

from imports.models import ImportBatch, ImportJob
from imports.pipeline.transactions import JobNotActive, short_transaction

MIN_CRASHES_TO_SPLIT = 2
MAX_CRASHES = 3

# Locks the job's row, so that two batches cut at once get different numbers.
TOUCH = """
UPDATE imports_importjob SET version = version + 1, updated_at = now()
 WHERE id = %(job)s AND status = 'RUNNING'
RETURNING *
"""
CUT = """
WITH whole AS (
    DELETE FROM imports_importbatch
     WHERE job_id = %(job)s AND number = %(number)s AND applied_at IS NULL
    RETURNING id, first_row, last_row),
forgotten AS (
    DELETE FROM imports_importattempt USING whole WHERE batch_id = whole.id),
last AS (SELECT max(number) AS number FROM imports_importbatch WHERE job_id = %(job)s)
INSERT INTO imports_importbatch (job_id, number, first_row, last_row, rows, crashes, worker)
SELECT %(job)s, last.number + row_number() OVER (ORDER BY r.number), r.number, r.number, 1,
       %(crashes)s, ''
  FROM last, whole JOIN imports_importrow r
    ON r.job_id = %(job)s AND r.number BETWEEN whole.first_row AND whole.last_row
 WHERE r.outcome IS NULL
"""


def split_batch(job_id: UUID, number: int, crashes: int) -> ImportJob | None:
    """Split a suspicious batch into single rows, which inherit its crashes.

    Return None if the batch is not suspicious.
    """
    if crashes < MIN_CRASHES_TO_SPLIT:
        return None
    with short_transaction(), connection.cursor() as cursor:
        if not ImportBatch.objects.filter(job=job_id, number=number, rows__gt=1).exists():
            return None
        these = {"job": job_id, "number": number, "crashes": crashes}
        job = next(iter(ImportJob.objects.raw(TOUCH, these)), None)
        if job is None:
            raise JobNotActive
        cursor.execute(CUT, these)
        return job


class _Room:
    """Many ordinary batches at a time, or one suspect."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ordinary = 0
        self._suspects = 0  # Waiting or inside: ordinary ones let them pass.
        self._occupied = False

    @contextmanager
    def ordinary(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._suspects)
            self._ordinary += 1
        try:
            yield
        finally:
            with self._changed:
                self._ordinary -= 1
                self._changed.notify_all()

    @contextmanager
    def suspect(self) -> Iterator[None]:
        with self._changed:
            self._suspects += 1
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._ordinary and not self._occupied)
                self._occupied = True
            try:
                yield
            finally:
                self._occupied = False
        finally:
            with self._changed:
                self._suspects -= 1
                self._changed.notify_all()


_room = _Room()


def batch_slot(crashes: int) -> AbstractContextManager[None]:
    """The place to run a batch with so many violent crashes behind it."""
    return _room.suspect() if crashes >= MIN_CRASHES_TO_SPLIT else _room.ordinary()
