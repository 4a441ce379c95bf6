"""The snapshot: one small JSON object that says how far an import is.

Every snapshot is complete. A client that missed ten snapshots needs only the newest one. It holds
codes and counts, and no personal data.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import override

from imports import error_messages
from imports.models import ImportJob, Worker
from imports.statuses import ACTIVE_STATUSES, CHECKING_PERCENT, Status

Snapshot = dict[str, Any]
FIELDS_BEFORE = ("version", "run", "status", "error_code")
FIELDS = (
    *("total", "checked", "processed", "progress_percent"),
    *("created", "updated", "unchanged", "skipped", "failed", "success"),
    *("created_at", "started_at", "finished_at", "updated_at"),
)
WORKER_COUNT_CACHE_SECONDS = 2
ALL_OWNERS = "everyone"
FEED_SECONDS = 60
MAX_FEED_IMPORTS = 200

_workers = (-1e9, 0)  # When they were counted, and how many were alive.


def build_snapshot(job: ImportJob, *, waiting: Sequence[UUID] | None = None) -> Snapshot:
    """How far one import is; `waiting` spares asking for the queue once for each of many."""
    return {
        "id": str(job.id),
        **{name: getattr(job, name) for name in FIELDS_BEFORE},
        "message": get_status_message(job),
        **{name: to_json_value(getattr(job, name)) for name in FIELDS},
        "live": build_live_state(job, waiting),
    }


def to_json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def get_status_message(job: ImportJob) -> str:
    with override("en"):  # For programs and logs; pages put the codes into words.
        if job.error_code:
            return error_messages.describe_job_error(job.error_code, job.error_params)
        if job.has_only_failed_rows:
            return str(error_messages.NOTHING_IMPORTED)
        return str(Status(job.status).label)


def build_live_state(job: ImportJob, waiting: Sequence[UUID] | None = None) -> dict[str, Any]:
    """What is true only now: no change of the import, so it has no version."""
    silent = (timezone.now() - job.updated_at).total_seconds()
    rate, eta = estimate_speed(job)
    return {
        "queue_position": get_queue_position(job, waiting),
        "workers": count_live_workers(),
        "stalled": job.status in ACTIVE_STATUSES and silent > settings.IMPORT_STALLED_SECONDS,
        "rows_per_second": rate,
        "eta_seconds": eta,
    }


def estimate_speed(job: ImportJob) -> tuple[int | None, int | None]:
    """Rows a second in this phase, and seconds until the end; None while nothing is known."""
    if job.status not in ACTIVE_STATUSES:
        return None, None
    seconds = max((job.updated_at - job.phase_started_at).total_seconds(), 0.001)
    done = (job.checked if job.status == Status.CHECKING else job.processed) - job.phase_rows
    if done <= 0:
        return None, None
    rate = done / seconds
    if job.total is not None:
        return round(rate), round((job.total - job.processed) / rate)
    # How large the file is shows in how far its reader has come.
    left = CHECKING_PERCENT / max(job.progress_percent, 1) - 1
    return round(rate), round(seconds * left)


def get_queue_position(job: ImportJob, waiting: Sequence[UUID] | None = None) -> int | None:
    if job.status != Status.QUEUED:
        return None
    if waiting is None:
        waiting = list_waiting_ids([job])
    return waiting.index(job.pk) + 1 if job.pk in waiting else None


def list_waiting_ids(jobs: Iterable[ImportJob]) -> list[UUID]:
    """Who waits, in order, if any of these imports does; one query for all of them."""
    if all(job.status != Status.QUEUED for job in jobs):
        return []
    return list(ImportJob.objects.waiting().values_list("pk", flat=True))


def count_live_workers() -> int:
    """How many workers have been heard of lately; asked every two seconds at most."""
    global _workers
    counted, alive = _workers
    if time.monotonic() - counted > WORKER_COUNT_CACHE_SECONDS:
        since = Now() - timedelta(seconds=settings.IMPORT_WORKER_SILENT_SECONDS)
        alive = Worker.objects.filter(heartbeat_at__gt=since).count()
        _workers = (time.monotonic(), alive)
    return alive


def read_snapshots(job_ids: Collection[UUID | str]) -> list[Snapshot]:
    jobs = list(ImportJob.objects.defer(*ImportJob.LARGE_FIELDS).filter(id__in=job_ids))
    waiting = list_waiting_ids(jobs)
    return [build_snapshot(job, waiting=waiting) for job in jobs]


def read_feed(feeds: Collection[int | str]) -> list[tuple[int | None, Snapshot]]:
    """What these owners' feeds show now, newest first: each import's owner and snapshot.

    All that is unfinished, and what has finished so lately that a message of it may be lost.
    """
    lately = Now() - timedelta(seconds=FEED_SECONDS)
    jobs = ImportJob.objects.defer(*ImportJob.LARGE_FIELDS)
    jobs = jobs.filter(Q(finished_at=None) | Q(finished_at__gt=lately))
    if ALL_OWNERS not in feeds:
        jobs = jobs.filter(owner__in=feeds)
    shown = list(jobs.order_by("-created_at")[:MAX_FEED_IMPORTS])
    waiting = list_waiting_ids(shown)
    return [(job.owner_id, build_snapshot(job, waiting=waiting)) for job in shown]


def is_feed_topic(watched: int | str) -> bool:
    """Whether this is an owner, or EVERYONE, rather than one import."""
    return isinstance(watched, int) or watched == ALL_OWNERS
