"""Which workers are alive, and why an import makes no progress.

Everything is read from the rows that workers write with their heartbeats, from the sessions of
PostgreSQL, and from Redis. A process keeps what it has read for a second or two, because it builds
many snapshots a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db.models.functions import Now
from django.utils import timezone

from imports.broker import is_queue_on_redis, is_redis_usable
from imports.conf import app_settings
from imports.models import ImportJob, Worker
from imports.postgres import open_cursor
from imports.statuses import ACTIVE_STATUSES, StalledReason, Status

# With the heartbeat timeout (6 s) and the interval at which streams poll (2 s), a page reports
# within 10 s that the last worker has crashed.
WORKERS_CACHE_SECONDS = 1
REDIS_CACHE_SECONDS = 2
# An import that waits in the queue for longer than this asks whether Redis answers.
MAX_EXPECTED_WAIT_SECONDS = 5
# The statement of a session counts as slow after this time.
SLOW_STATEMENT_SECONDS = 5

LOCK_SQLSTATES = frozenset({"55P03", "40P01", "40001"})
# Time-outs, and the classes of errors of a server that is overloaded or restarts.
SLOW_DATABASE_SQLSTATES = frozenset({"57014", "25P03"})
SLOW_DATABASE_CLASSES = frozenset({"08", "53", "57", "58"})

# What the sessions do that write or undo batches of the import, and how often its next batches
# crashed.
FIND_SESSIONS = """
WITH next_batches AS (
    SELECT id, crashes FROM imports_importbatch
     WHERE job_id = %(job)s AND undone_at IS NULL AND (applied_at IS NOT NULL) = %(is_undo)s
     ORDER BY applied_at DESC, CASE WHEN %(is_undo)s THEN -number ELSE number END
     LIMIT %(in_flight)s),
attempts AS (
    SELECT attempt.batch_id, session.pid, session.wait_event_type = 'Lock' AS waits_for_lock,
           session.state = 'active'
           AND session.query_start < now() - %(slow)s * interval '1 second' AS is_slow
      FROM next_batches
      JOIN imports_importattempt attempt ON attempt.batch_id = next_batches.id
      LEFT JOIN pg_stat_activity session
        ON session.pid || ' ' || session.backend_start = attempt.session)
SELECT coalesce((SELECT bool_or(waits_for_lock) FROM attempts), false),
       coalesce((SELECT bool_or(is_slow) FROM attempts), false),
       coalesce((SELECT max(crashes) FROM next_batches), 0)
       + (SELECT count(*) FROM attempts WHERE pid IS NULL)
"""

Value = TypeVar("Value")


class LiveWorker(NamedTuple):
    """A worker process with a recent heartbeat, as of that heartbeat."""

    name: str
    threads: int
    current_work: list[dict[str, object]]  # See `worker_process.CurrentWork`.
    interruptions: list[dict[str, object]]  # See `worker_process.Interruption`.

    @property
    def is_busy(self) -> bool:
        """Whether all of its threads have work."""
        return len(self.current_work) >= self.threads


class _Cached(Generic[Value]):
    """The result of a function, which is called again when the result is older than `seconds`."""

    def __init__(self, function: Callable[[], Value], seconds: float) -> None:
        self.function = function
        self.seconds = seconds
        self.expires_at = 0.0

    def get(self) -> Value:
        if time.monotonic() >= self.expires_at:
            self.value = self.function()
            self.expires_at = time.monotonic() + self.seconds
        return self.value


def _read_live_workers() -> list[LiveWorker]:
    oldest_heartbeat = Now() - timedelta(seconds=app_settings.WORKER_HEARTBEAT_TIMEOUT_SECONDS)
    workers = Worker.objects.filter(heartbeat_at__gt=oldest_heartbeat).order_by("name")
    return [LiveWorker(*row) for row in workers.values_list(*LiveWorker._fields)]


_live_workers = _Cached(_read_live_workers, WORKERS_CACHE_SECONDS)
_redis_state = _Cached(is_redis_usable, REDIS_CACHE_SECONDS)


def forget_cached_status() -> None:
    """Read workers and Redis anew at the next call."""
    _live_workers.expires_at = _redis_state.expires_at = 0.0


def list_live_workers() -> list[LiveWorker]:
    """Return the workers with a recent heartbeat, as they were at most a second ago."""
    return _live_workers.get()


def count_live_workers() -> int:
    """Return the number of workers with a recent heartbeat."""
    return len(list_live_workers())


def can_use_redis() -> bool:
    """Return whether Redis answers and stores messages, as it was at most two seconds ago."""
    return _redis_state.get()


def find_stalled_reason(job: ImportJob) -> StalledReason | None:
    """Return why an import makes no progress; None if it does, or if it needs no worker.

    An import that waits in the queue while workers are busy is not stalled.
    """
    is_queued = job.status == Status.QUEUED
    if not is_queued and job.status not in ACTIVE_STATUSES:
        return None
    workers = list_live_workers()
    if not workers:
        return StalledReason.NO_WORKER
    seconds = (timezone.now() - job.updated_at).total_seconds()
    if is_queued and seconds > MAX_EXPECTED_WAIT_SECONDS and _is_queue_lost():
        return StalledReason.REDIS_UNAVAILABLE
    if seconds <= app_settings.STALLED_AFTER_SECONDS:
        return None
    if is_queued:
        return None if any(worker.current_work for worker in workers) else StalledReason.UNKNOWN
    return (
        _find_interruption(job.pk, workers)
        or _find_cause_in_database(job)
        or (StalledReason.REDIS_UNAVAILABLE if _is_queue_lost() else None)
        or (StalledReason.WORKERS_BUSY if _is_waiting_for_thread(job.pk, workers) else None)
        or StalledReason.UNKNOWN
    )


def _is_queue_lost() -> bool:
    return is_queue_on_redis() and not can_use_redis()


def _find_interruption(job_id: UUID, workers: Sequence[LiveWorker]) -> StalledReason | None:
    """Return why a worker could not complete a step of the import a short time ago."""
    sqlstates = {
        str(interruption["sqlstate"])
        for worker in workers
        for interruption in worker.interruptions
        if interruption["job"] == str(job_id)
    }
    if sqlstates & LOCK_SQLSTATES:
        return StalledReason.WAITING_FOR_LOCK
    if any(
        state in SLOW_DATABASE_SQLSTATES or state[:2] in SLOW_DATABASE_CLASSES
        for state in sqlstates
    ):
        return StalledReason.DATABASE_SLOW
    return None


def _find_cause_in_database(job: ImportJob) -> StalledReason | None:
    parameters: dict[str, UUID | int] = {
        "job": job.pk,
        "is_undo": job.status == Status.UNDOING,
        "in_flight": app_settings.MAX_BATCHES_IN_FLIGHT,
        "slow": SLOW_STATEMENT_SECONDS,
    }
    with open_cursor() as cursor:
        cursor.execute(FIND_SESSIONS, parameters)
        waits_for_lock, is_slow, crashes = cursor.fetchone()
    if waits_for_lock:
        return StalledReason.WAITING_FOR_LOCK
    # The attempt that is under way counts as one.
    if crashes or (job.status == Status.CHECKING and job.reader_crashes > 1):
        return StalledReason.REPEATED_CRASHES
    return StalledReason.DATABASE_SLOW if is_slow else None


def _is_waiting_for_thread(job_id: UUID, workers: Sequence[LiveWorker]) -> bool:
    """Return whether all threads of all workers work on other imports."""
    work = [str(step["what"]) for worker in workers for step in worker.current_work]
    return all(worker.is_busy for worker in workers) and not any(
        str(job_id) in what for what in work
    )
