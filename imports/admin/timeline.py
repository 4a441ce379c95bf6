"""The timeline of an import in the admin: its phases, history, workers, batches and attempts.

The database aggregates the batches, and only a few are listed, so that a large import is never
loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypedDict, cast

from django.db.models import (
    Avg,
    BooleanField,
    Count,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Sum,
)
from django.db.models.expressions import RawSQL
from django.utils import timezone
from django.utils.translation import gettext as _

from imports.history import Command
from imports.models import ImportAttempt, ImportBatch, ImportEvent, ImportJob
from imports.statuses import Status

MAX_BATCHES = 50  # On the page of an import. The list of batches shows all of them.
MAX_WORKERS = 50
MAX_EVENTS = 100
# More than the time from the beginning of a command's transaction to its entry in the history.
EVENT_DELAY = timedelta(seconds=0.1)

DURATION = ExpressionWrapper(F("applied_at") - F("started_at"), output_field=DurationField())
# The session of a running attempt still exists: the same test as in imports.pipeline.attempts.
IS_RUNNING = RawSQL(
    "EXISTS (SELECT FROM pg_stat_activity session WHERE session.pid || ' ' ||"
    " session.backend_start = imports_importattempt.session)",
    [],
    output_field=BooleanField(),
)

Context = dict[str, object]

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class JobAnnotations(TypedDict):
        writing_started_at: datetime | None

    class BatchAnnotations(TypedDict):
        duration: timedelta | None
        has_attempts: bool

    class AttemptAnnotations(TypedDict):
        is_running: bool

    AnnotatedJob = WithAnnotations[ImportJob, JobAnnotations]
    AnnotatedBatch = WithAnnotations[ImportBatch, BatchAnnotations]
    AnnotatedAttempt = WithAnnotations[ImportAttempt, AttemptAnnotations]


class Phase(NamedTuple):
    """One line of the timeline: a period that has ended or is current, or a single moment."""

    label: str
    started_at: datetime
    ended_at: datetime | None = None
    rows: int | None = None
    is_current: bool = False

    @property
    def is_moment(self) -> bool:
        return self.ended_at is None and not self.is_current

    @property
    def duration(self) -> timedelta:
        return (self.ended_at or timezone.now()) - self.started_at


class TimelineEntry(NamedTuple):
    """One line of the timeline: a phase, or an event of the history."""

    at: datetime  # For the order.
    phase: Phase | None = None
    event: ImportEvent | None = None


class BatchTotals(NamedTuple):
    """Totals over the batches of an import."""

    batches: int
    applied: int
    first_started_at: datetime | None
    last_applied_at: datetime | None
    rows: int | None  # Rows of the applied batches.


class WorkerTotals(TypedDict):
    """Totals over the batches that one worker has written."""

    worker: str
    batches: int
    total_rows: int
    first_started_at: datetime
    last_applied_at: datetime
    average: timedelta
    longest: timedelta


def build_timeline_context(job: ImportJob) -> Context:
    totals = BatchTotals(
        **job.batches.aggregate(
            batches=Count("pk"),
            applied=Count("applied_at"),
            first_started_at=Min("started_at"),
            last_applied_at=Max("applied_at"),
            rows=Sum("rows", filter=Q(applied_at__isnull=False)),
        )
    )
    batches = list_batches(job) if totals.batches else []
    phases = [*_list_past_phases(job, totals), _get_current_phase(job, totals)]
    newest_first = job.events.select_related("user").order_by("-at", "-pk")
    events = list(newest_first[: MAX_EVENTS + 1])
    return {
        "timeline": _merge_timeline(phases, events[:MAX_EVENTS]),
        "has_more_events": len(events) > MAX_EVENTS,
        "reader_crashes": count_reader_crashes(job),
        "batch_totals": totals,
        "workers": list(summarize_workers(job)) if totals.applied else [],
        "batches": batches,
        "has_more_batches": totals.batches > len(batches),
    }


def _merge_timeline(phases: Sequence[Phase], events: Sequence[ImportEvent]) -> list[TimelineEntry]:
    """Return phases and events in the order of time.

    The phases keep their order: `finished_at` is the beginning of the transaction that writes the
    last batch. The last phase follows the command that it began with, although the command is
    recorded last in their transaction.
    """
    begin = phases[0].started_at
    entries = [
        TimelineEntry(begin if event.command == Command.UPLOAD else event.at, event=event)
        for event in events
    ]
    latest = begin
    for phase in phases:
        delay = EVENT_DELAY if phase is phases[-1] else timedelta()
        latest = max(latest, phase.started_at + delay)
        entries.append(TimelineEntry(latest, phase=phase))
    return sorted(entries, key=lambda entry: entry.at)


def _list_past_phases(job: ImportJob, totals: BatchTotals) -> Iterator[Phase]:
    """Yield the phases that have ended, as far as the import and its batches record them."""
    if not job.events.filter(command=Command.UPLOAD).exists():
        yield Phase(_("Uploaded"), job.created_at)
    if job.started_at is None:
        return
    yield Phase(_("Waited for a worker"), job.created_at, job.started_at)
    if job.status != Status.CHECKING:
        yield _get_check_phase(job, job.started_at)
    started_at = totals.first_started_at
    wait_ended_at = started_at or job.finished_at
    if job.check_first and job.checked_at and wait_ended_at:
        yield Phase(_("Waited for the start"), job.checked_at, wait_ended_at)
    if started_at and job.status != Status.RUNNING:
        yield Phase(_("Rows written"), started_at, totals.last_applied_at, totals.rows)


def _get_check_phase(job: ImportJob, started_at: datetime) -> Phase:
    ended_at = job.checked_at or job.finished_at or job.phase_started_at
    # `started_at` is the start of the first check. If the columns were mapped or the file was
    # checked again, the time since then includes waiting for the user.
    had_missing_columns = (job.detected_columns or {}).get("missing")
    waited = job.run > 1 or (had_missing_columns and job.status != Status.MAPPING)
    label = _("Checked, and waited for the user") if waited else _("Rows checked")
    return Phase(label, started_at, ended_at, None if waited else job.checked)


def _get_current_phase(job: ImportJob, totals: BatchTotals) -> Phase:
    label = job.status_label
    if job.finished_at is not None:
        return Phase(label, job.finished_at)
    rows = None
    if job.status == Status.CHECKING:
        rows = job.checked
    elif job.status == Status.RUNNING:
        rows = totals.rows
    return Phase(label, job.phase_started_at, rows=rows, is_current=True)


def compute_working_time(job: AnnotatedJob) -> timedelta | None:
    """Return the time from the first check to the end, without the wait for the start.

    None before the first check. Needs the annotation `writing_started_at`: the start of the first
    batch.
    """
    if job.started_at is None:
        return None
    is_waiting = job.status in (Status.MAPPING, Status.READY, Status.PAUSED)
    ended_at = job.finished_at or (job.phase_started_at if is_waiting else timezone.now())
    duration = ended_at - job.started_at
    if job.check_first and job.checked_at and ended_at > job.checked_at:
        wait = (job.writing_started_at or ended_at) - job.checked_at
        duration -= max(wait, timedelta())
    return duration


def count_reader_crashes(job: ImportJob) -> int:
    """Return how many attempts to read the file have crashed, without the running attempt."""
    is_running = job.reader_heartbeat_at and job.status in (Status.CHECKING, Status.CANCELLED)
    return max(job.reader_crashes - (1 if is_running else 0), 0)


def summarize_workers(job: ImportJob) -> QuerySet[ImportBatch, WorkerTotals]:
    """Return the totals of each worker that wrote batches, most rows first."""
    applied = job.batches.filter(applied_at__isnull=False).order_by()
    totals = applied.values("worker").annotate(
        batches=Count("pk"),
        total_rows=Sum("rows"),
        first_started_at=Min("started_at"),
        last_applied_at=Max("applied_at"),
        average=Avg(DURATION),
        longest=Max(DURATION),
    )
    return totals.order_by("-total_rows", "worker")[:MAX_WORKERS]


def list_batches(job: ImportJob) -> list[AnnotatedBatch]:
    """Return the first batches; those with failed or running attempts come before the others."""
    batches = annotate_attempts(job.batches.all()).order_by("-has_attempts", "number")
    return list(batches[:MAX_BATCHES])


def annotate_attempts(batches: QuerySet[ImportBatch]) -> QuerySet[AnnotatedBatch]:
    """Add to each batch its `duration`, whether it `has_attempts`, and prefetched `attempts`.

    An ImportAttempt is deleted when it succeeds, so that these attempts failed or are running.
    """
    recorded = Exists(ImportAttempt.objects.filter(batch=OuterRef("pk")))
    has_attempts = ExpressionWrapper(Q(crashes__gt=0) | Q(recorded), BooleanField())
    attempts = Prefetch("attempts", ImportAttempt.objects.annotate(is_running=IS_RUNNING))
    return batches.annotate(duration=DURATION, has_attempts=has_attempts).prefetch_related(attempts)


def count_attempts(batch: ImportBatch) -> int:
    """Return the number of attempts, including those of the batch it was split from."""
    return batch.crashes + len(batch.attempts.all()) + (batch.applied_at is not None)


def list_attempts(batch: ImportBatch) -> list[AnnotatedAttempt]:
    """Return the prefetched attempts that failed or are running. See `annotate_attempts`."""
    return cast("list[AnnotatedAttempt]", list(batch.attempts.all()))


def describe_attempt(attempt: AnnotatedAttempt) -> str:
    if attempt.is_running:
        return _("running")
    return _("crashed") if attempt.session else _("failed with an error")
