"""Recovery: every worker regularly enqueues what a lost message or a crashed worker left undone.

The rows in PostgreSQL say what should be in progress; recovery sends the messages that are missing.
All of it is idempotent and may run in several workers at the same time.
"""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta

from django.db.models.functions import Now

from imports import actors, advisory_locks, hooks, worker_process
from imports.models import ImportJob, Worker
from imports.pipeline.transactions import run_deferred, short_transaction, terminate_frozen_sessions
from imports.statuses import Status

log = logging.getLogger(__name__)

MAX_WORKER_SILENCE = timedelta(hours=1)  # After that, the row of a worker is deleted.

_worker_id = uuid.uuid4()


@worker_process.periodic
def beat() -> None:
    """Write this worker's heartbeat and what its threads do."""
    current_work = worker_process.list_current_work()
    Worker.objects.update_or_create(
        id=_worker_id,
        defaults={"heartbeat_at": Now(), "current_work": current_work},
        create_defaults={"name": worker_process.WORKER_NAME, "current_work": current_work},
    )


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
    actors.enqueue_check_if_waiting()
    for job in ImportJob.objects.filter(status=Status.RUNNING):
        actors.enqueue_due_batches(job)
    for job in ImportJob.objects.filter(status=Status.UNDOING):
        actors.enqueue_due_undo(job)
    if hooks.has_due_calls():
        actors.enqueue_hooks()


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
