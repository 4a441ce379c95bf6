"""The snapshot: one small JSON object that reports the progress of one import.

Every snapshot is complete. A client that missed ten snapshots needs only the newest one. A
snapshot holds codes and counts, but no personal data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple, TypedDict
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import override

from imports import error_messages
from imports.models import ImportJob
from imports.statuses import ACTIVE_STATUSES, CHECKING_PERCENT, Status
from imports.worker_status import count_live_workers, find_stalled_reason

# An import stays in feeds for this long after its end, in case the message of its end was lost.
FEED_RETENTION_SECONDS = 60
MAX_FEED_IMPORTS = 200


class TopicKind(Enum):
    IMPORT = "import"
    OWNER = "owner"
    ALL_OWNERS = "all owners"


class StreamTopic(NamedTuple):
    """What a stream shows: one import, the feed of one owner, or the feed of all owners.

    `key` is the id of the import or the primary key of the owner, as text; it is empty for all
    owners. A primary key may be any text, so only `kind` keeps an owner apart from an import.
    """

    kind: TopicKind
    key: str = ""


ALL_OWNERS = StreamTopic(TopicKind.ALL_OWNERS)


class LiveState(TypedDict):
    """The part of a snapshot that changes without a new version of the import."""

    queue_position: int | None  # From 1; None unless the import is QUEUED.
    workers: int  # Workers that are alive.
    stalled: bool  # It needs a worker, and makes no progress: see `worker_status`.
    stalled_reason: str | None  # A StalledReason; None unless it is stalled.
    rows_per_second: int | None  # None while it is not known.
    eta_seconds: int | None  # Until the end of the phase; None while it is not known.


class Snapshot(TypedDict):
    """How far an import is. The names and their order are part of the REST API.

    Times are text, see `format_time`. The other fields are described in `imports.models.ImportJob`.
    """

    id: str
    version: int
    run: int
    status: str
    error_code: str | None
    message: str  # English, for programs and logs; pages translate the codes.
    total: int | None
    checked: int
    processed: int
    progress_percent: int
    created: int
    updated: int
    unchanged: int
    skipped: int
    failed: int
    # What undo did with the records that were created or updated.
    removed: int
    restored: int
    kept: int
    success: str | None
    waits_for: str | None  # What a person must do; None if the import needs nobody.
    created_at: str
    started_at: str | None
    finished_at: str | None
    updated_at: str
    live: LiveState


def build_snapshot(job: ImportJob, *, waiting: Sequence[UUID] | None = None) -> Snapshot:
    """Return the snapshot of an import.

    `waiting` is the result of `list_waiting_ids`; None reads it from the database if the import is
    QUEUED.
    """
    return {
        "id": str(job.id),
        "version": job.version,
        "run": job.run,
        "status": job.status,
        "error_code": job.error_code,
        "message": get_status_message(job),
        "total": job.total,
        "checked": job.checked,
        "processed": job.processed,
        "progress_percent": job.progress_percent,
        "created": job.created,
        "updated": job.updated,
        "unchanged": job.unchanged,
        "skipped": job.skipped,
        "failed": job.failed,
        "removed": job.removed,
        "restored": job.restored,
        "kept": job.kept,
        "success": job.success,
        "waits_for": job.waits_for,
        "created_at": format_time(job.created_at),
        "started_at": format_optional_time(job.started_at),
        "finished_at": format_optional_time(job.finished_at),
        "updated_at": format_time(job.updated_at),
        "live": build_live_state(job, waiting),
    }


def format_time(moment: datetime) -> str:
    """Return a time as the API sends it: 2026-11-02T09:15:00.120000Z.

    It is in UTC, whatever the time zone of the site, and has always six decimals.
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def format_optional_time(moment: datetime | None) -> str | None:
    """Return a time as `format_time` does, and None as None."""
    return None if moment is None else format_time(moment)


def get_status_message(job: ImportJob) -> str:
    """Return the English sentence for the import's error, or else for its status."""
    with override("en"):
        if job.error_code:
            return error_messages.describe_job_error(job.error_code, job.error_params)
        if job.has_only_failed_rows:
            return str(error_messages.NOTHING_IMPORTED)
        return str(Status(job.status).label)


def build_live_state(job: ImportJob, waiting: Sequence[UUID] | None = None) -> LiveState:
    """Return the state that changes without a new version. `waiting` as in `build_snapshot`."""
    rate, seconds_left = estimate_speed(job)
    stalled_reason = find_stalled_reason(job)
    return {
        "queue_position": get_queue_position(job, waiting),
        "workers": count_live_workers(),
        "stalled": stalled_reason is not None,
        "stalled_reason": stalled_reason,
        "rows_per_second": rate,
        "eta_seconds": seconds_left,
    }


def estimate_speed(job: ImportJob) -> tuple[int | None, int | None]:
    """Return the rows per second of the current phase, and the seconds until its end.

    Both are None if the import is not active, or has no row done in this phase.
    """
    if job.status not in ACTIVE_STATUSES:
        return None, None
    seconds = max((job.updated_at - job.phase_started_at).total_seconds(), 0.001)
    done, total = _get_phase_progress(job)
    if done <= job.phase_rows:
        return None, None
    rate = (done - job.phase_rows) / seconds
    if total is not None:
        return round(rate), round((total - done) / rate)
    # The number of rows is not known yet. The reader's percentage says how much of the file is
    # left.
    left = CHECKING_PERCENT / max(job.progress_percent, 1) - 1
    return round(rate), round(seconds * left)


def _get_phase_progress(job: ImportJob) -> tuple[int, int | None]:
    """Return how many rows the current phase has done, and of how many, if that is known."""
    match job.status:
        case Status.CHECKING:
            return job.checked, None
        case Status.UNDOING:
            return job.undone, job.written
        case _:
            return job.processed, job.total


def get_queue_position(job: ImportJob, waiting: Sequence[UUID] | None = None) -> int | None:
    """Return the import's position in the queue, from 1; None if it is not in the queue.

    `waiting` as in `build_snapshot`.
    """
    if job.status != Status.QUEUED:
        return None
    if waiting is None:
        waiting = list_waiting_ids([job])
    return waiting.index(job.pk) + 1 if job.pk in waiting else None


def list_waiting_ids(jobs: Iterable[ImportJob]) -> list[UUID]:
    """Return the ids of all imports in the queue, in order; nothing if none of `jobs` is QUEUED.

    One query serves the snapshots of many imports.
    """
    if all(job.status != Status.QUEUED for job in jobs):
        return []
    return list(ImportJob.objects.waiting().values_list("pk", flat=True))


def read_snapshots(job_ids: Collection[UUID | str]) -> list[Snapshot]:
    """Return the snapshots of these imports, in any order. Ids that do not exist are left out."""
    jobs = list(ImportJob.objects.defer(*ImportJob.LARGE_FIELDS).filter(id__in=job_ids))
    waiting = list_waiting_ids(jobs)
    return [build_snapshot(job, waiting=waiting) for job in jobs]


def make_import_topic(job_id: UUID | str) -> StreamTopic:
    return StreamTopic(TopicKind.IMPORT, str(job_id))


def make_owner_topic(owner_id: object) -> StreamTopic:
    """Return the topic of an owner's feed. `owner_id` is the primary key of the user."""
    return StreamTopic(TopicKind.OWNER, str(owner_id))


def read_feed(topics: Collection[StreamTopic]) -> list[tuple[StreamTopic | None, Snapshot]]:
    """Return what these feeds show, the newest import first.

    Each snapshot comes with the topic of its owner's feed, or None for an import without an owner.
    A feed shows imports that are not final, and imports that have ended within
    FEED_RETENTION_SECONDS, and no previews.
    """
    recently = Now() - timedelta(seconds=FEED_RETENTION_SECONDS)
    jobs = ImportJob.objects.defer(*ImportJob.LARGE_FIELDS)
    jobs = jobs.filter(Q(finished_at=None) | Q(finished_at__gt=recently), is_preview=False)
    if ALL_OWNERS not in topics:
        owner_ids = [topic.key for topic in topics if topic.kind == TopicKind.OWNER]
        # The field of the primary key parses the text.
        jobs = jobs.filter(owner__in=owner_ids)  # type: ignore[misc]
    newest = list(jobs.order_by("-created_at")[:MAX_FEED_IMPORTS])
    waiting = list_waiting_ids(newest)
    return [
        (
            None if job.owner_id is None else make_owner_topic(job.owner_id),
            build_snapshot(job, waiting=waiting),
        )
        for job in newest
    ]
