"""The messages workers receive and send. A message only says: look at this batch.

Batch n, once applied, sends batch n + K, so an import has K batches in flight however many
messages are lost, late or doubled. Only this module and `recovery` send.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from uuid import UUID

import dramatiq
from django.conf import settings
from django.db import Error
from django.db.models import Q
from django.db.models.functions import Now
from dramatiq.errors import BrokerConnectionError
from redis.exceptions import RedisError

from imports import progress, workers
from imports.models import ImportBatch, ImportJob
from imports.pipeline import applying, intake
from imports.pipeline.transactions import Interrupted, short_transaction, sqlstate
from imports.statuses import Status

log = logging.getLogger(__name__)

SECONDS = 1_000  # Dramatiq counts in milliseconds.
WITHOUT_QUEUE_SECONDS = 60  # How long one call goes on by itself while Redis is away.

# A worker process reads one file at a time, so that a thread is always left for batches.
_reading = threading.Lock()


@dramatiq.actor(queue_name="checks", time_limit=3_600 * SECONDS)
def check_next() -> None:
    """A file waits: check the one whose turn it is, if this process reads none."""
    if not _reading.acquire(blocking=False):
        return  # Whoever ends the check asks for the next.
    try:
        check_first_due()
    finally:
        _reading.release()
    ask_for_due_check()


def check_first_due() -> None:
    for job_id in _due():
        if workers.stopping.is_set() or check(job_id):
            return


def ask_for_due_check() -> None:
    if _due():
        ask_for_check()


def _due() -> list[UUID]:
    try:
        return intake.due()
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("the queue cannot be read: SQLSTATE %s", sqlstate(error))
        return []


def check(job_id: UUID) -> bool:
    """Check one file; False if there was nothing to do about it."""
    try:
        with workers.busy_with(f"checking {job_id}"):
            job = intake.check_file(
                job_id, tell=progress.publish, should_stop=workers.stopping.is_set
            )
    except Interrupted as error:
        log.warning("check of %s interrupted (%s), recovery repeats it", job_id, error)
        return True
    if job is None:
        return False
    progress.publish(job)
    if job.status == Status.RUNNING:
        send_due_batches(job)
    return True


@dramatiq.actor(queue_name="batches", time_limit=300 * SECONDS)
def apply_batch(job_id: str, number: int) -> None:
    until = time.monotonic() + WITHOUT_QUEUE_SECONDS
    # With Redis away nobody else would be told of the next batch, so it is done here.
    while apply_one(UUID(job_id), number) and not workers.stopping.is_set():
        number += settings.IMPORT_BATCHES_IN_FLIGHT
        if send_batch(UUID(job_id), number) or time.monotonic() > until:
            break


def apply_one(job_id: UUID, number: int) -> bool:
    """Apply a batch and tell; True when this call has applied it and there is more to do."""
    try:
        with workers.busy_with(f"batch {number} of {job_id}"):
            job = applying.apply_batch(job_id, number, worker=workers.NAME)
            if job is not None:
                applying.announce(job_id, number)
    except Interrupted as error:
        log.warning("batch %s of %s interrupted (%s), recovery repeats it", number, job_id, error)
        return False
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("batch %s of %s failed: SQLSTATE %s", number, job_id, sqlstate(error))
        return False
    if job is None:
        return False  # Not our turn. Sending nothing keeps K messages from becoming more.
    progress.publish(job)
    return job.status == Status.RUNNING


# --- Sending -----------------------------------------------------------------


def ask_for_check() -> bool:
    return _send(check_next.message())


def send_due_batches(job: ImportJob) -> None:
    """Of the first K unapplied batches, ask for those never asked for or asked long ago."""
    long_ago = Now() - timedelta(seconds=settings.IMPORT_RESEND_SECONDS)
    in_flight = job.batches.filter(applied_at=None)[: settings.IMPORT_BATCHES_IN_FLIGHT]
    due = ImportBatch.objects.filter(
        Q(sent_at=None) | Q(sent_at__lt=long_ago), pk__in=[batch.pk for batch in in_flight]
    )
    for number in due.values_list("number", flat=True):
        send_batch(job.pk, number)


def send_batch(job_id: UUID, number: int) -> bool:
    """Ask for one batch, if there is one to ask for; False only if asking failed.

    A message lost here is sent again by recovery.
    """
    with short_transaction(durable=False):  # Forgotten in a crash, it is only asked for again.
        batch = ImportBatch.objects.filter(job=job_id, number=number, applied_at=None)
        is_due = batch.update(sent_at=Now()) > 0
    if not is_due:
        return True  # Past the last batch, or applied already.
    return _send(apply_batch.message(str(job_id), number))


def _send(message: dramatiq.Message) -> bool:
    try:
        dramatiq.get_broker().enqueue(message)
    except (RedisError, BrokerConnectionError, OSError) as error:
        log.warning("%s not sent: %s", message.actor_name, type(error).__name__)
        return False
    return True
