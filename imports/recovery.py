"""Recovery: every worker regularly enqueues what a lost message or a crashed worker left undone.

The rows in PostgreSQL say what should be in progress; recovery sends the messages that are missing.
All of it is idempotent and may run in several workers at the same time.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db.models.functions import Now

from imports import actors, advisory_locks, hooks, notice_delivery, worker_process
from imports.models import HookCall, ImportBatch, ImportJob, Worker
from imports.pipeline.transactions import run_deferred, short_transaction, terminate_frozen_sessions
from imports.statuses import Status

log = logging.getLogger(__name__)

MAX_WORKER_SILENCE = timedelta(hours=1)  # After that, the row of a worker is deleted.

STATUSES_FOR_WORKERS = (Status.QUEUED, Status.CHECKING, Status.RUNNING, Status.UNDOING)

_worker_id = uuid.uuid4()


@worker_process.periodic
def beat() -> None:
    """Write this worker's heartbeat and what its threads do."""
    state = {
        "threads": worker_process.count_threads(),
        "current_work": worker_process.list_current_work(),
        "interruptions": worker_process.list_interruptions(),
    }
    if not Worker.objects.filter(id=_worker_id).update(heartbeat_at=Now(), **state):
        Worker.objects.create(id=_worker_id, name=worker_process.WORKER_NAME, **state)


@worker_process.on_shutdown
def deregister() -> None:
    """Delete this worker's row."""
    Worker.objects.filter(id=_worker_id).delete()


@worker_process.periodic
def recover() -> None:
    """Enqueue what is missing. One worker does so at a time; the others skip it."""
    run_deferred()
    if not remove_stuck_workers():
        return
    statuses = find_statuses_for_workers()
    if Status.QUEUED in statuses or Status.CHECKING in statuses:
        actors.enqueue_check_if_waiting()
    if Status.RUNNING in statuses:
        for job in ImportJob.objects.filter(status=Status.RUNNING):
            actors.enqueue_due_batches(job)
    if Status.UNDOING in statuses:
        for job in ImportJob.objects.filter(status=Status.UNDOING):
            actors.enqueue_due_undo(job)
    if hooks.has_due_calls():
        actors.enqueue_hooks()
    if notice_delivery.has_due_notices():
        actors.enqueue_notices()
    actors.enqueue_purge()


def find_statuses_for_workers() -> set[str]:
    """Return the statuses of the imports that need a worker.

    This takes one query, so recovery sends no query for each status if no import needs a worker.
    """
    imports = ImportJob.objects.filter(status__in=STATUSES_FOR_WORKERS).order_by()
    return set(imports.values_list("status", flat=True).distinct())


def remove_stuck_workers() -> bool:
    """Terminate frozen database sessions and delete the rows of silent workers.

    Returns False, and does nothing, while another worker does the same.
    """
    with short_transaction():
        if not advisory_locks.try_lock(advisory_locks.MAINTENANCE, ""):
            return False
        if frozen := terminate_frozen_sessions():
            log.warning("ended %s sessions frozen inside a step", frozen)
        Worker.objects.filter(heartbeat_at__lt=Now() - MAX_WORKER_SILENCE).delete()
    return True


# --- On demand ---------------------------------------------------------------


@dataclass(frozen=True)
class RescueReport:
    """What `rescue` has done."""

    frozen_sessions: int  # Database sessions that were ended.
    abandoned_checks: int  # Files whose reader has crashed, and that another worker reads on.
    waiting_checks: int  # Files that wait for their check to begin.
    batches: int  # Messages that were sent to write batches or to undo them.
    hook_calls: int  # Calls of hooks that are due.
    # Whether the queue accepted all messages that were due; True if none was.
    is_queue_reachable: bool


def rescue() -> RescueReport:
    """Do at once what recovery does every few seconds, without waiting for a message to expire.

    A message that is not lost is sent a second time, which does no harm.

    Raises:
        TransientError: The database is not available.
    """
    with short_transaction(lock_timeout="10s"):
        advisory_locks.lock_exclusively(advisory_locks.MAINTENANCE, "")
        frozen_sessions = terminate_frozen_sessions()
    _expire_messages()
    are_sent = [
        is_sent
        for job in ImportJob.objects.filter(status=Status.RUNNING)
        for is_sent in actors.enqueue_due_batches(job)
    ]
    undoing = ImportJob.objects.filter(status=Status.UNDOING).values_list("pk", flat=True)
    are_sent += [actors.enqueue_undo(job_id) for job_id in undoing]
    batches = sum(are_sent)
    abandoned_checks = ImportJob.objects.with_expired_heartbeat().count()
    waiting_checks = ImportJob.objects.waiting().count()
    hook_calls = HookCall.objects.filter(due_at__lte=Now(), gave_up_at=None).count()
    if abandoned_checks or waiting_checks:
        are_sent.append(actors.enqueue_check())
    if hook_calls:
        are_sent.append(actors.enqueue_hooks())
    return RescueReport(
        frozen_sessions=frozen_sessions,
        abandoned_checks=abandoned_checks,
        waiting_checks=waiting_checks,
        batches=batches,
        hook_calls=hook_calls,
        is_queue_reachable=all(are_sent),
    )


def _expire_messages() -> None:
    """Treat the messages of all unapplied batches as lost, except of those that a worker holds."""
    unclaimed = ImportBatch.objects.filter(
        job__status=Status.RUNNING, applied_at=None, enqueued_at__isnull=False
    ).select_for_update(of=("self",), skip_locked=True)
    with short_transaction():
        ImportBatch.objects.filter(pk__in=unclaimed.values("pk")).update(enqueued_at=None)
