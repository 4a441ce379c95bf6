"""When an import did what: its phases, the workers that wrote it, its batches and attempts.

Nothing here loads a large import: batches are summed up by the database, and few are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

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

from imports.models import ImportAttempt, ImportBatch, ImportJob
from imports.statuses import Status

MOST_BATCHES = 50  # On an import's own page; the list of batches has them all.
MOST_WORKERS = 50

TOOK = ExpressionWrapper(F("applied_at") - F("started_at"), output_field=DurationField())
# As pipeline.attempts tells the killed from those that still work.
IS_ALIVE = RawSQL(
    "EXISTS (SELECT FROM pg_stat_activity session WHERE session.pid || ' ' ||"
    " session.backend_start = imports_importattempt.session)",
    [],
    output_field=BooleanField(),
)

Context = dict[str, Any]


class Phase(NamedTuple):
    what: str
    began: datetime
    ended: datetime | None = None
    rows: int | None = None
    is_now: bool = False

    @property
    def is_moment(self) -> bool:
        return self.ended is None and not self.is_now

    @property
    def time(self) -> timedelta:
        return (self.ended or timezone.now()) - self.began


def timeline_of(job: ImportJob) -> Context:
    written = job.batches.aggregate(
        batches=Count("pk"),
        applied=Count("applied_at"),
        began=Min("started_at"),
        ended=Max("applied_at"),
        rows=Sum("rows", filter=Q(applied_at__isnull=False)),
    )
    batches = batches_of(job) if written["batches"] else []
    return {
        "phases": [*_past(job, written), _present(job, written)],
        "reader_crashes": reader_crashes(job),
        "written": written,
        "workers": list(workers_of(job)) if written["applied"] else [],
        "batches": batches,
        "more_batches": written["batches"] > len(batches),
    }


def _past(job: ImportJob, written: Context) -> Iterator[Phase]:
    """What is over, as far as the import's row and its batches tell."""
    yield Phase(_("Uploaded"), job.created_at)
    if job.started_at is None:
        return
    yield Phase(_("Waited for a worker"), job.created_at, job.started_at)
    if job.status != Status.CHECKING:
        yield _checked(job)
    if job.check_first and job.checked_at and (begun := written["began"] or job.finished_at):
        yield Phase(_("Waited to be started"), job.checked_at, begun)
    if written["began"] and job.status != Status.RUNNING:
        yield Phase(_("Rows written"), written["began"], written["ended"], written["rows"])


def _checked(job: ImportJob) -> Phase:
    ended = job.checked_at or job.finished_at or job.phase_started_at
    # Its beginning is that of the first check: what lies between was a person's turn.
    missed = (job.detected_columns or {}).get("missing") and job.status != Status.MAPPING
    waited = job.run > 1 or missed
    what = _("Checked, and waited for someone") if waited else _("Rows checked")
    return Phase(what, job.started_at, ended, None if waited else job.checked)


def _present(job: ImportJob, written: Context) -> Phase:
    label = job.get_status_display()
    if job.is_final:
        return Phase(label, job.finished_at)
    rows = {Status.CHECKING: job.checked, Status.RUNNING: written["rows"]}.get(job.status)
    return Phase(label, job.phase_started_at, rows=rows, is_now=True)


def worked(job: ImportJob) -> timedelta | None:
    """From its first check to its end, but for the time it waited to be started.

    Needs `writing_began`: when the first batch was written.
    """
    if job.started_at is None:
        return None
    waits = job.status in (Status.MAPPING, Status.READY, Status.PAUSED)
    ended = job.finished_at or (job.phase_started_at if waits else timezone.now())
    time = ended - job.started_at
    if job.check_first and job.checked_at and ended > job.checked_at:
        time -= max((job.writing_began or ended) - job.checked_at, timedelta())
    return time


def reader_crashes(job: ImportJob) -> int:
    """How many attempts to read the file did not end in order, the one in hand not among them."""
    is_in_hand = job.reader_heartbeat_at and job.status in (Status.CHECKING, Status.CANCELLED)
    return max(job.reader_crashes - (1 if is_in_hand else 0), 0)


def workers_of(job: ImportJob) -> QuerySet[ImportBatch, Context]:
    """Who has written how many batches and rows, the busiest first."""
    applied = job.batches.filter(applied_at__isnull=False).order_by()
    summed = applied.values("worker").annotate(
        batches=Count("pk"),
        summed_rows=Sum("rows"),
        began=Min("started_at"),
        ended=Max("applied_at"),
        average=Avg(TOOK),
        longest=Max(TOOK),
    )
    return summed.order_by("-summed_rows", "worker")[:MOST_WORKERS]


def batches_of(job: ImportJob) -> list[ImportBatch]:
    """The first of them, those in front whose attempts did not all end in order."""
    batches = with_attempts(job.batches.all()).order_by("-is_suspect", "number")
    return list(batches[:MOST_BATCHES])


def with_attempts(batches: QuerySet[ImportBatch]) -> QuerySet[ImportBatch]:
    """Each with its `attempts` not ended in order, its time, and whether it `is_suspect`."""
    left = Exists(ImportAttempt.objects.filter(batch=OuterRef("pk")))
    is_suspect = ExpressionWrapper(Q(crashes__gt=0) | Q(left), BooleanField())
    attempts = Prefetch("attempts", ImportAttempt.objects.annotate(is_alive=IS_ALIVE))
    return batches.annotate(took=TOOK, is_suspect=is_suspect).prefetch_related(attempts)


def attempts_at(batch: ImportBatch) -> int:
    """Those that failed, that of the batch it was cut from too, that under way, and the last."""
    return batch.crashes + len(batch.attempts.all()) + (batch.applied_at is not None)


def became_of(attempt: ImportAttempt) -> str:
    if attempt.is_alive:
        return _("under way")
    return _("killed") if attempt.session else _("ended in an error")
