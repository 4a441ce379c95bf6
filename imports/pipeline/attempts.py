"""Attempts to apply or undo a batch, recorded so that crashed workers can be counted.

A worker commits a row of `imports_importattempt` before it starts to work on a batch, and deletes
that row when it ends in an orderly way. An attempt whose database session is gone has crashed. An
attempt whose session still exists may end in an orderly way, so it does not count as a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import F

from imports.models import ImportAttempt, ImportBatch
from imports.pipeline.transactions import run_or_defer, short_transaction
from imports.postgres import open_cursor

INSERT_ATTEMPT = """
INSERT INTO imports_importattempt (batch_id, session, worker, started_at)
SELECT batch.id, session.pid || ' ' || session.backend_start, %(worker)s, now()
  FROM imports_importbatch batch, pg_stat_activity session
 WHERE batch.job_id = %(job)s AND batch.number = %(number)s
   AND (batch.applied_at IS NOT NULL) = %(is_undo)s AND batch.undone_at IS NULL
   AND session.pid = pg_backend_pid()
RETURNING id, batch_id
"""
COUNT_CRASHES = """
SELECT batch.crashes + (
           SELECT count(*) FROM imports_importattempt attempt
            WHERE attempt.batch_id = batch.id AND attempt.id <> %(attempt)s
              AND NOT EXISTS (
                  SELECT FROM pg_stat_activity session
                   WHERE session.pid || ' ' || session.backend_start = attempt.session))
  FROM imports_importbatch batch
 WHERE batch.id = %(batch)s
"""


# After so many statement time-outs in succession, a batch is not tried again.
MAX_TIMEOUTS = 5


class BatchNotAvailable(Exception):
    """The batch is done already, another worker holds it, or its import has another status."""


@dataclass(frozen=True)
class Attempt:
    id: int
    crashes: int  # Number of earlier attempts at the same batch that crashed.


def begin_attempt(job_id: UUID, number: int, worker: str, *, is_undo: bool = False) -> Attempt:
    """Record an attempt at a batch and commit the record before the work starts.

    `number` is the number of the batch within its import, `worker` the name of the worker process.
    With `is_undo`, the batch is to be undone, not to be applied.

    Raises:
        BatchNotAvailable: The batch does not exist, or is applied or undone already.
        TransientError: The database is not available. Nothing is recorded.
    """
    parameters: dict[str, UUID | int | str] = {
        "job": job_id,
        "number": number,
        "worker": worker,
        "is_undo": is_undo,
    }
    with short_transaction(durable=False), open_cursor() as cursor:
        cursor.execute(INSERT_ATTEMPT, parameters)
        if (row := cursor.fetchone()) is None:
            raise BatchNotAvailable
        attempt_id, batch_id = row
        cursor.execute(COUNT_CRASHES, {"attempt": attempt_id, "batch": batch_id})
        (crashes,) = cursor.fetchone()
        return Attempt(attempt_id, crashes)


def end_attempt(attempt: Attempt) -> None:
    """Delete an attempt that ended in an orderly way.

    While the database is not available, the deletion is deferred: see `run_or_defer`.
    """

    def delete_now() -> None:
        with short_transaction(durable=False):
            delete_attempt(attempt)

    run_or_defer(delete_now)


def delete_attempt(attempt: Attempt) -> None:
    """Delete an attempt within the caller's transaction."""
    ImportAttempt.objects.filter(pk=attempt.id).delete()


def mark_crashed(attempt: Attempt) -> None:
    """Count an attempt as a crash although its session still exists.

    An unexpected error leads here: retrying it without a count would never end. While the database
    is not available, the update is deferred: see `run_or_defer`.
    """

    def clear_session() -> None:
        with short_transaction(durable=False):
            ImportAttempt.objects.filter(pk=attempt.id).update(session="")

    run_or_defer(clear_session)


def count_timeout(job_id: UUID, number: int) -> int:
    """Count a statement of the batch that its time-out has ended; return how many there were.

    Raises:
        TransientError: The database is not available.
    """
    with short_transaction(durable=False):
        batch = ImportBatch.objects.filter(job=job_id, number=number)
        batch.update(timeouts=F("timeouts") + 1)
        return batch.values_list("timeouts", flat=True).first() or 0
