"""The deletion of old data: once a day by whichever worker is first, and after a "delete now".

A run of the deletion is a row of `PurgeRun`. It consists of steps. Each step is one short
transaction that looks for something to delete, deletes it and counts it, so a run has no position
that a crash could lose: whoever continues a run finds what is left. An advisory lock, held until
the end of a step, keeps two processes from working at the same time.

A worker does the steps in turns of IMPORTS_TURN_SECONDS, so that imports come in between. Each turn
has a message with the number of the turn, and is begun once: see `imports.actors`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Exists, F, OuterRef, ProtectedError, Q, QuerySet, RestrictedError
from django.db.models.functions import Now
from django.utils import timezone

from imports import advisory_locks, orphans, retention
from imports.conf import app_settings
from imports.error_log import log_error
from imports.history import SYSTEM, Command, record_event
from imports.idempotency import select_expired_keys
from imports.models import (
    HookCall,
    ImportAttempt,
    ImportBatch,
    ImportJob,
    ImportRow,
    PurgeRun,
    TransitionNotAllowed,
)
from imports.pipeline.transactions import TransientError, short_transaction
from imports.postgres import atomic, on_commit, open_cursor
from imports.progress import publish
from imports.statuses import Hook, Status

log = logging.getLogger(__name__)

STEP_ROWS = 5_000
# A call of `after_batch` reads the rows of its batch. The rows wait for it at most this long.
MAX_WAIT_FOR_HOOKS = timedelta(days=1)
BUSY_PAUSE_SECONDS = 0.1
MAX_FAILURES_IN_SUCCESSION = 20

# What is counted. The first four are fields of PurgeRun.
CANCELLED = "cancelled"
PURGED = "purged"  # Imports whose contents were deleted.
ROWS = "rows"
DELETED = "deleted"  # Imports.
FILES = "files"  # Stored files without an import.
KEYS = "keys"  # Idempotency keys.
STORED_COUNTS = (CANCELLED, PURGED, ROWS, DELETED)

# Two statements, because the range of keys must be known before the rows are deleted: a worker may
# not lock rows in another order than that of their keys.
SELECT_LAST_NUMBER = """
SELECT max(number) FROM (
    SELECT number FROM imports_importrow WHERE job_id = %(job)s AND number > %(after)s
     ORDER BY number LIMIT %(limit)s) AS step
"""
DELETE_ROWS = """
DELETE FROM imports_importrow WHERE job_id = %(job)s AND number > %(after)s AND number <= %(last)s
"""

Counts = Counter[str]


class PurgeBusy(Exception):
    """Another process does a step of the deletion."""


class Turn(NamedTuple):
    """A turn of a run that is to be begun."""

    run_id: int
    number: int


# Imports that cannot be deleted, because a model of the project protects them. Each process logs
# them once.
_protected_ids: set[UUID] = set()

# By import: the number of the last row that this process has deleted. Only an optimisation.
_last_numbers: dict[UUID, int] = {}


# --- Scheduling --------------------------------------------------------------


def get_last_purge_time(now: datetime) -> datetime:
    """Return the latest time before `now` at which the hour of the daily run began."""
    local = timezone.localtime(now, timezone.get_default_timezone())
    today = local.replace(hour=app_settings.PURGE_HOUR, minute=0, second=0, microsecond=0)
    return today if today <= local else today - timedelta(days=1)


def is_due() -> bool:
    """Whether a run is unfinished, or a new run has something to do."""
    last = get_last_purge_time(timezone.now())
    runs = PurgeRun.objects.filter(Q(finished_at=None) | Q(started_at__gte=last))
    ends = list(runs.values_list("finished_at", flat=True))
    if None in ends or select_purgeable_imports().exists():
        return True
    if ends:
        return False
    # On a new site there is nothing to delete before its first night.
    return PurgeRun.objects.exists() or ImportJob.objects.filter(created_at__lt=last).exists()


def claim_message() -> Turn | None:
    """Return the next turn, for which the caller sends the message, and begin a run if one is due.

    None if nothing is due, if a message was sent within IMPORTS_MESSAGE_TIMEOUT_SECONDS, or if
    another process does a step.

    Raises:
        TransientError: The database is not available.
    """
    if not is_due():
        return None
    lost_before = Now() - timedelta(seconds=app_settings.MESSAGE_TIMEOUT_SECONDS)
    with short_transaction():
        if not advisory_locks.try_lock(advisory_locks.PURGE, "") or not is_due():
            return None
        run = PurgeRun.objects.get_or_create(finished_at=None)[0]
        has_no_message = Q(enqueued_at=None) | Q(enqueued_at__lt=lost_before)
        if not PurgeRun.objects.filter(has_no_message, pk=run.pk).update(enqueued_at=Now()):
            return None
        return Turn(run.pk, run.turns)


def begin_turn(turn: Turn) -> bool:
    """Begin a turn; return False if it was begun before, or if the run is finished."""
    with short_transaction():
        run = PurgeRun.objects.filter(pk=turn.run_id, turns=turn.number, finished_at=None)
        return run.update(turns=turn.number + 1, enqueued_at=Now()) > 0


def run_turn(run_id: int, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Do steps of a run until IMPORTS_TURN_SECONDS are over; return whether another turn is needed.

    Raises:
        TransientError: The database is not available.
    """
    started = time.monotonic()
    try:
        for _ in iterate_steps(run_id):
            if should_stop() or time.monotonic() - started >= app_settings.TURN_SECONDS:
                return True
    except PurgeBusy:  # The other process goes on.
        return False
    return False


def run_to_end() -> Counts:
    """Do all steps of the unfinished run or of a new one, and return what this process deleted.

    Waits while another process does a step.

    Raises:
        TransientError: The database is not available for several steps in succession.
    """
    total: Counts = Counter()
    failures = 0
    while True:
        try:
            for counts in iterate_steps(_open_run()):
                total += counts
                failures = 0
            return total
        except PurgeBusy:
            pass
        except TransientError:
            failures += 1
            if failures == MAX_FAILURES_IN_SUCCESSION:
                raise
        time.sleep(BUSY_PAUSE_SECONDS)


def _open_run() -> int:
    with short_transaction():
        # An insert that finds the row of another process waits for its commit, and then reads it.
        return PurgeRun.objects.get_or_create(finished_at=None)[0].pk


# --- Steps -------------------------------------------------------------------


def iterate_steps(run_id: int) -> Iterator[Counts]:
    """Do the steps of a run, each in one transaction, and yield what each has deleted.

    The run is finished after the last step.

    Raises:
        PurgeBusy: Another process does a step.
        TransientError: The database is not available, or a lock was not free in time.
    """
    yield from _repeat(partial(_cancel_next_import, run_id))
    yield from _repeat(partial(_expire_next_contents, run_id))
    while (job_id := _read(_get_next_purgeable_id)) is not None:
        yield from _delete_rows(run_id, job_id)
        yield _finish_purge(run_id, job_id)
    yield from _repeat(partial(_delete_next_import, run_id))
    while (job_id := _read(orphans.find_import_of_orphan_rows)) is not None:
        yield from _delete_rows(run_id, job_id)
    yield from _repeat(partial(_delete_orphan_files, run_id))
    yield from _repeat(partial(_delete_expired_keys, run_id))
    # Outside of a transaction, because another storage may be slow.
    for name in orphans.list_orphan_names():
        yield Counter({FILES: int(orphans.delete_file_outside(name))})
    _finish_run(run_id)


def _read(find: Callable[[], UUID | None]) -> UUID | None:
    with short_transaction():
        return find()


def _repeat(step: Callable[[], Counts]) -> Iterator[Counts]:
    while counts := step():
        yield counts


@contextmanager
def _step(run_id: int, *, durable: bool = True) -> Iterator[Counts]:
    """Open the transaction of a step. The counts that the block adds are stored with the run."""
    counts: Counts = Counter()
    with short_transaction(durable=durable):
        if not advisory_locks.try_lock(advisory_locks.PURGE, ""):
            raise PurgeBusy
        yield counts
        changes: dict[str, Any] = {
            name: F(name) + counts[name] for name in STORED_COUNTS if counts[name]
        }
        if changes:
            PurgeRun.objects.filter(pk=run_id).update(**changes)


def _cancel_next_import(run_id: int) -> Counts:
    """Cancel one import that has waited for a person for too long."""
    with _step(run_id) as counts:
        job = _lock_first(retention.select_imports_waiting_too_long(), "phase_started_at")
        if job is None:
            return counts
        job = ImportJob.objects.transition(job.pk, Status.CANCELLED, only_from=Status(job.status))
        record_event(job.pk, Command.CANCEL, SYSTEM)
        counts[CANCELLED] += 1
        if job.is_preview:
            job = _delete_contents(job, counts)
        on_commit(partial(publish, job))
        return counts


def _expire_next_contents(run_id: int) -> Counts:
    """Delete the file of one import whose contents are kept no longer, and mark its rows."""
    refused: set[UUID] = set()
    while True:
        job: ImportJob | None = None
        try:
            with _step(run_id) as counts:
                expired = retention.select_imports_with_expired_contents()
                job = _lock_first(expired.exclude(pk__in=refused), "finished_at")
                if job is not None:
                    _delete_contents(job, counts)
                return counts
        except TransitionNotAllowed:
            # The failed rows of the import were retried a moment ago.
            assert job is not None
            refused.add(job.pk)


def _delete_contents(job: ImportJob, counts: Counts) -> ImportJob:
    counts[PURGED] += 1
    job = retention.mark_contents_deleted(retention.lock_import(job.pk))
    record_event(job.pk, Command.DELETE, SYSTEM)
    return job


def _lock_first(jobs: QuerySet[ImportJob], order: str) -> ImportJob | None:
    """Lock the first of these imports, and return it. Imports that others have locked do not count.

    A command that came first has changed or locked the import, and wins.
    """
    return jobs.order_by(order).select_for_update(skip_locked=True, no_key=True).first()


def select_purgeable_imports() -> QuerySet[ImportJob]:
    """Return the imports whose rows are to be deleted now: no hook will read them."""
    waiting = HookCall.objects.filter(
        job=OuterRef("pk"),
        hook=Hook.AFTER_BATCH,
        gave_up_at=None,
        created_at__gt=Now() - MAX_WAIT_FOR_HOOKS,
    )
    return ImportJob.objects.filter(~Exists(waiting), needs_purge=True)


def _get_next_purgeable_id() -> UUID | None:
    jobs = select_purgeable_imports().order_by("contents_deleted_at")
    return jobs.values_list("pk", flat=True).first()


def _delete_rows(run_id: int, job_id: UUID) -> Iterator[Counts]:
    """Delete the rows of an import, STEP_ROWS at a time, in the order of their keys.

    A turn begins where the last turn of this process ended. To find the first row again would read
    the entries of all deleted rows in the index, which stay until a vacuum.
    """
    after: int | None = _last_numbers.pop(job_id, -1)
    while after is not None:
        with _step(run_id, durable=False) as counts, open_cursor() as cursor:
            parameters: dict[str, UUID | int | None]
            parameters = {"job": job_id, "after": after, "limit": STEP_ROWS}
            cursor.execute(SELECT_LAST_NUMBER, parameters)
            (after,) = cursor.fetchone()
            if after is not None:
                cursor.execute(DELETE_ROWS, parameters | {"last": after})
                counts[ROWS] += cursor.rowcount
        if after is not None:
            _last_numbers[job_id] = after
            yield counts
    _last_numbers.pop(job_id, None)


def _finish_purge(run_id: int, job_id: UUID) -> Counts:
    """Delete the batches, attempts and hook calls of an import without rows."""
    with _step(run_id) as counts:
        if not ImportRow.objects.filter(job_id=job_id).exists():
            ImportAttempt.objects.filter(batch__job=job_id).delete()
            ImportBatch.objects.filter(job=job_id).delete()
            is_done = Q(hook=Hook.AFTER_BATCH) | Q(gave_up_at__isnull=False)
            is_done |= Q(created_at__lte=Now() - MAX_WAIT_FOR_HOOKS)
            HookCall.objects.filter(is_done, job=job_id).delete()
            ImportJob.objects.filter(pk=job_id).update(needs_purge=False)
        return counts


def _delete_next_import(run_id: int) -> Counts:
    """Delete one import whose history is kept no longer, with all that refers to it."""
    with _step(run_id) as counts:
        jobs = retention.select_imports_with_expired_history().exclude(pk__in=_protected_ids)
        while not counts and (job := _lock_first(jobs, "finished_at")) is not None:
            try:
                with atomic():
                    job.delete()
                counts[DELETED] += 1
            except (ProtectedError, RestrictedError, IntegrityError) as error:
                log_error(log, f"deleting import {job.pk}", error)
                _protected_ids.add(job.pk)
                jobs = jobs.exclude(pk=job.pk)
        return counts


def _delete_orphan_files(run_id: int) -> Counts:
    with _step(run_id) as counts:
        counts[FILES] += orphans.delete_orphan_files()
        return +counts


def _delete_expired_keys(run_id: int) -> Counts:
    with _step(run_id) as counts:
        expired = select_expired_keys().values("pk")[:STEP_ROWS]
        counts[KEYS] += select_expired_keys().filter(pk__in=expired).delete()[0]
        return +counts


def _finish_run(run_id: int) -> None:
    """Repeat the deletion of files that has failed before, delete old runs, and end the run."""
    with _step(run_id):
        orphans.delete_orphan_attempts()
        for job in retention.select_imports_with_undeleted_files():
            retention.repeat_file_deletion(job)
        history = timedelta(days=app_settings.KEEP_HISTORY_DAYS)
        PurgeRun.objects.filter(finished_at__lt=Now() - history).delete()
        PurgeRun.objects.filter(pk=run_id, finished_at=None).update(finished_at=Now())


# --- What a run would delete -------------------------------------------------


def count_due() -> Counts:
    """Return what a run would delete now. Changes nothing."""
    waiting = retention.select_imports_waiting_too_long()
    expired = set(retention.select_imports_with_expired_contents().values_list("pk", flat=True))
    expired |= set(waiting.filter(is_preview=True).values_list("pk", flat=True))
    purgeable = set(select_purgeable_imports().values_list("pk", flat=True))
    deleted = set(retention.select_imports_with_expired_history().values_list("pk", flat=True))
    in_future = ImportJob.objects.filter(pk__in=expired | purgeable)
    deleted |= set(in_future.filter(retention.has_expired_history()).values_list("pk", flat=True))
    rows = ImportRow.objects.filter(job__in=expired | purgeable).count()
    counts: Counts = Counter(
        {
            CANCELLED: waiting.count(),
            PURGED: len(expired),
            ROWS: rows + orphans.select_orphan_rows().count(),
            DELETED: len(deleted),
            FILES: orphans.count_orphan_files(),
            KEYS: select_expired_keys().count(),
        }
    )
    return +counts
