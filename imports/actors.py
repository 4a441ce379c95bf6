"""The actors: the messages that workers receive, and the functions that send them.

A message says only that a batch is due, or that a file waits; everything else is in PostgreSQL.
A worker that has applied batch n sends the message for batch n + K, where K is
IMPORTS_MAX_BATCHES_IN_FLIGHT. So an import has K batches in flight, however many messages are lost,
late or duplicated. Only this module sends messages.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from uuid import UUID

import dramatiq
from django.db import Error
from django.db.models import Q
from django.db.models.functions import Now
from dramatiq.errors import BrokerConnectionError
from redis.exceptions import RedisError

from imports import progress, worker_process
from imports.conf import app_settings
from imports.models import ImportBatch, ImportJob
from imports.pipeline import batch_applier, file_checker
from imports.pipeline.transactions import TransientError, get_sqlstate, short_transaction
from imports.statuses import Status

log = logging.getLogger(__name__)

MILLISECONDS_PER_SECOND = 1_000  # Dramatiq's time limits are in milliseconds.
# While Redis is down, one message applies batches for at most this long.
MAX_WITHOUT_QUEUE_SECONDS = 60

# A worker process reads one file of any size and one small file at the same time, so that small
# files do not wait for large ones. One of its three threads (see the Procfile) remains for batches.
_main_reader_lock = threading.Lock()
_small_reader_lock = threading.Lock()


@dramatiq.actor(queue_name="checks", time_limit=3_600 * MILLISECONDS_PER_SECOND)
def check_next_file() -> None:
    """Check the next file of the queue, unless this process reads as many as it may."""
    for lock in (_main_reader_lock, _small_reader_lock):
        if lock.acquire(blocking=False):
            break
    else:
        return  # The thread that ends a check enqueues the next one.
    try:
        has_checked = check_first_available(is_small=lock is _small_reader_lock)
    finally:
        lock.release()
    if has_checked:  # Otherwise recovery enqueues the check again, a few seconds later.
        enqueue_check_if_waiting()


def check_first_available(*, is_small: bool) -> bool:
    """Check the first file whose lease is free; return whether one check came to an end."""
    return any(
        not worker_process.stop_requested.is_set() and check_and_publish(job_id, is_small=is_small)
        for job_id in _list_checkable_jobs(is_small=is_small)
    )


def enqueue_check_if_waiting() -> None:
    """Send a message if a file waits to be checked."""
    if _list_checkable_jobs():
        enqueue_check()


def _list_checkable_jobs(*, is_small: bool = False) -> list[UUID]:
    try:
        return file_checker.list_checkable_jobs(is_small=is_small)
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("the queue cannot be read: SQLSTATE %s", get_sqlstate(error))
        return []


def check_and_publish(job_id: UUID, *, is_small: bool = False) -> bool:
    """Check one file and publish its progress; return whether the check came to an end.

    `is_small` reads the file beside another file, with the limits for that.
    """
    try:
        with worker_process.report_work(f"checking {job_id}"):
            job = file_checker.check_file(
                job_id,
                on_progress=progress.publish,
                should_stop=worker_process.stop_requested.is_set,
                is_small=is_small,
            )
    except TransientError as error:
        log.warning("check of %s interrupted (%s), recovery repeats it", job_id, error)
        return False
    if job is None:
        return False
    progress.publish(job)
    if job.status == Status.RUNNING:
        enqueue_due_batches(job)
    return True


@dramatiq.actor(queue_name="batches", time_limit=300 * MILLISECONDS_PER_SECOND)
def apply_batches(job_id: str, number: int) -> None:
    """Apply a batch of an import, and then every K-th batch until IMPORTS_TURN_SECONDS are over.

    Imports take turns by time. If they took turns by batch, an import of twenty small batches
    would wait twenty times for the large batches of others.
    """
    started = time.monotonic()
    while (
        job := apply_and_publish(UUID(job_id), number)
    ) and not worker_process.stop_requested.is_set():
        applied, number = number, number + app_settings.MAX_BATCHES_IN_FLIGHT
        seconds = time.monotonic() - started
        is_turn_over = seconds >= app_settings.TURN_SECONDS
        is_done = job.status != Status.RUNNING or (is_turn_over and enqueue_batch(job.pk, number))
        run_after_batch_safely(job.pk, applied)
        # If the next batch cannot be enqueued because Redis is down, apply it here.
        if is_done or seconds > MAX_WITHOUT_QUEUE_SECONDS:
            break


def apply_and_publish(job_id: UUID, number: int) -> ImportJob | None:
    """Apply a batch and publish the progress; return the import.

    Returns None if this call has not applied the batch: it was applied before, another worker has
    claimed it, or the database failed. The caller then enqueues nothing, so that the number of
    messages stays the same.
    """
    try:
        with worker_process.report_work(f"batch {number} of {job_id}"):
            job = batch_applier.apply_batch(job_id, number, worker=worker_process.WORKER_NAME)
    except TransientError as error:
        log.warning("batch %s of %s interrupted (%s), recovery repeats it", number, job_id, error)
        return None
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("batch %s of %s failed: SQLSTATE %s", number, job_id, get_sqlstate(error))
        return None
    if job is not None:
        progress.publish(job)
    return job


def run_after_batch_safely(job_id: UUID, number: int) -> None:
    """Call the importer's `after_batch` for a batch. An exception is logged and goes no further."""
    try:
        batch_applier.run_after_batch(job_id, number)
    except Exception as error:  # The code of an app. The text of its error may quote a record.
        log.error("after_batch of %s failed: %s", job_id, type(error).__name__)


# --- Sending -----------------------------------------------------------------


def enqueue_check() -> bool:
    """Send a message that a file waits; return whether it was sent."""
    return _send(check_next_file.message())


def enqueue_due_batches(job: ImportJob) -> None:
    """Send messages for those of the first K unapplied batches that have none.

    A message counts as lost after IMPORTS_MESSAGE_TIMEOUT_SECONDS.
    """
    lost_before = Now() - timedelta(seconds=app_settings.MESSAGE_TIMEOUT_SECONDS)
    in_flight = job.batches.filter(applied_at=None)[: app_settings.MAX_BATCHES_IN_FLIGHT]
    due = ImportBatch.objects.filter(
        Q(enqueued_at=None) | Q(enqueued_at__lt=lost_before),
        pk__in=[batch.pk for batch in in_flight],
    )
    for number in due.values_list("number", flat=True):
        enqueue_batch(job.pk, number)


def enqueue_batch(job_id: UUID, number: int) -> bool:
    """Send the message for a batch, unless the batch is missing, applied or claimed.

    Returns False only if a message was due and the queue did not accept it. Recovery sends a lost
    message again.
    """
    batch = ImportBatch.objects.filter(job=job_id, number=number, applied_at=None)
    unclaimed = batch.select_for_update(skip_locked=True).values("pk")
    try:
        # Not durable: if the commit is lost in a crash, the batch is enqueued once more.
        with short_transaction(durable=False):
            is_due = ImportBatch.objects.filter(pk__in=unclaimed).update(enqueued_at=Now()) > 0
    except TransientError as error:
        log.warning("batch %s of %s not asked for (%s)", number, job_id, error)
        return True  # The database failed, not the queue: recovery enqueues the batch.
    if not is_due:
        return True
    return _send(apply_batches.message(str(job_id), number))


def _send(message: dramatiq.Message[None]) -> bool:
    try:
        dramatiq.get_broker().enqueue(message)
    except (RedisError, BrokerConnectionError, OSError) as error:
        log.warning("%s not sent: %s", message.actor_name, type(error).__name__)
        return False
    return True
