"""The state of the whole app: database, Redis, workers, the queue, and imports that need attention.

It holds no personal data: no file names, no owners.
"""

from __future__ import annotations

import time
from datetime import datetime
from threading import Lock
from typing import TypedDict

from django.db import Error
from django.db.models import Min
from django.utils import timezone

from imports.models import ImportJob
from imports.postgres import close_lost_connection, open_cursor
from imports.statuses import Status
from imports.worker_status import can_use_redis, count_live_workers

HEALTH_CACHE_SECONDS = 2.0


class Health(TypedDict):
    """What a platform or a monitor asks for."""

    # The database answers, Redis stores messages, and a worker is running.
    is_healthy: bool
    database: bool
    redis: bool
    workers: int | None  # None if the database does not answer.
    # How long the import that has waited longest for a worker has waited; None without one.
    oldest_waiting_seconds: int | None


_lock = Lock()
_cached: tuple[float, Health] | None = None


def read_health() -> Health:
    """Return the state of the app, as it was at most two seconds ago. Never raises.

    However many requests come, the database and Redis are asked once in HEALTH_CACHE_SECONDS.
    """
    global _cached
    with _lock:
        if _cached is None or time.monotonic() - _cached[0] > HEALTH_CACHE_SECONDS:
            health = _read_now()
            _cached = (time.monotonic(), health)
        return _cached[1]


def forget_cached_health() -> None:
    """Read the state anew at the next call."""
    global _cached
    _cached = None


def _read_now() -> Health:
    workers: int | None = None
    waiting_since: datetime | None = None
    try:
        workers = count_live_workers()
        waiting_since = get_oldest_waiting_time()
        is_database_reachable = True
    except Error:
        close_lost_connection()
        is_database_reachable = False
    is_redis_usable = can_use_redis()
    return {
        "is_healthy": is_database_reachable and is_redis_usable and bool(workers),
        "database": is_database_reachable,
        "redis": is_redis_usable,
        "workers": workers,
        "oldest_waiting_seconds": (
            None
            if waiting_since is None
            else max(0, round((timezone.now() - waiting_since).total_seconds()))
        ),
    }


def get_oldest_waiting_time() -> datetime | None:
    """Return since when the oldest import of the queue waits for a worker; None without one."""
    waiting = ImportJob.objects.filter(status=Status.QUEUED)
    oldest: datetime | None = waiting.aggregate(since=Min("phase_started_at"))["since"]
    return oldest


def can_reach_database() -> bool:
    """Return whether the database answers this process."""
    try:
        with open_cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        close_lost_connection()
        return False
    return True
