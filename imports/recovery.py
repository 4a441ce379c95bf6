"""What a lost message left behind is sent again, from every worker, every few seconds.

PostgreSQL's rows say what should be under way; this asks for what is not. Everything here
may be done twice, or by two workers at once.
"""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from imports import actors, advisory_locks, worker_process
from imports.models import ImportBatch, ImportJob, Worker
from imports.pipeline.transactions import run_deferred, short_transaction, terminate_frozen_sessions
from imports.statuses import Status

log = logging.getLogger(__name__)

FORGET_WORKERS_AFTER = timedelta(hours=1)


_this_worker = uuid.uuid4()


@worker_process.periodic
def beat() -> None:
    current_work = worker_process.list_current_work()
    Worker.objects.update_or_create(
        id=_this_worker,
        defaults={"heartbeat_at": Now(), "current_work": current_work},
        create_defaults={"name": worker_process.WORKER_NAME, "current_work": current_work},
    )


@worker_process.on_shutdown
def deregister() -> None:
    Worker.objects.filter(id=_this_worker).delete()


@worker_process.periodic
def recover() -> None:
    run_deferred()
    if not remove_stuck_workers():
        return  # Another worker is at it.
    actors.enqueue_check_if_waiting()
    for job in ImportJob.objects.filter(status=Status.RUNNING):
        actors.enqueue_due_batches(job)
    run_missed_after_batch()


def remove_stuck_workers() -> bool:
    """End what is frozen, forget who is gone; False if another worker is doing it right now."""
    with short_transaction():
        if not advisory_locks.try_lock(advisory_locks.MAINTENANCE, ""):
            return False
        if frozen := terminate_frozen_sessions():
            log.warning("ended %s sessions frozen inside a step", frozen)
        Worker.objects.filter(heartbeat_at__lt=Now() - FORGET_WORKERS_AFTER).delete()
    return True


def run_missed_after_batch() -> None:
    """Call after_batch where the worker died between its commit and the call."""
    long_ago = Now() - timedelta(seconds=settings.IMPORT_RESEND_SECONDS)
    late = ImportBatch.objects.filter(after_batch_at=None, applied_at__lt=long_ago)
    # In no order, so that some that always fail do not keep the others waiting.
    for job_id, number in late.order_by("?").values_list("job_id", "number")[:20]:
        actors.run_after_batch_safely(job_id, number)
