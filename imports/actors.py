"""The messages workers receive and send. One only says: look at this batch, or: a file waits.

After batch n comes batch n + K, so an import has K batches in flight however many messages are
lost, late or doubled. Only this module sends.
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

from imports import progress, worker_process
from imports.models import ImportBatch, ImportJob
from imports.pipeline import batch_applier, file_checker
from imports.pipeline.transactions import TransientError, get_sqlstate, short_transaction
from imports.statuses import Status

log = logging.getLogger(__name__)

SECONDS = 1_000  # Dramatiq counts in milliseconds.
WITHOUT_QUEUE_SECONDS = 60  # How long one call goes on by itself while Redis is away.

# A worker process reads one file at a time, and beside it a small one, so that nobody waits for
# somebody else's million rows. Of its three threads (see the Procfile) one is left for batches.
_reading = threading.Lock()
_reading_beside = threading.Lock()


@dramatiq.actor(queue_name="checks", time_limit=3_600 * SECONDS)
def check_next_file() -> None:
    """A file waits: check the one whose turn it is, if this process may read one more."""
    for place in (_reading, _reading_beside):
        if place.acquire(blocking=False):
            break
    else:
        return  # Whoever ends a check asks for the next.
    try:
        has_checked = check_first_available(is_small=place is _reading_beside)
    finally:
        place.release()
    if has_checked:  # Where a check came to nothing, recovery asks again, in its own time.
        enqueue_check_if_waiting()


def check_first_available(*, is_small: bool) -> bool:
    """Bring the first file that can be had out of CHECKING; False if there was none."""
    due = _due(is_small=is_small)
    return any(
        not worker_process.stop_requested.is_set() and check_and_publish(one, is_small=is_small)
        for one in due
    )


def enqueue_check_if_waiting() -> None:
    if _due():
        enqueue_check()


def _due(*, is_small: bool = False) -> list[UUID]:
    try:
        return file_checker.list_checkable_jobs(is_small=is_small)
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("the queue cannot be read: SQLSTATE %s", get_sqlstate(error))
        return []


def check_and_publish(job_id: UUID, *, is_small: bool = False) -> bool:
    """Check one file; False if that did not bring it to an end."""
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


@dramatiq.actor(queue_name="batches", time_limit=300 * SECONDS)
def apply_batches(job_id: str, number: int) -> None:
    """One turn: a batch, or as many small ones as go into its time.

    Counted in batches, a small import of twenty would wait twenty times for everyone's large ones.
    """
    began = time.monotonic()
    while (
        job := apply_and_publish(UUID(job_id), number)
    ) and not worker_process.stop_requested.is_set():
        applied, number = number, number + settings.IMPORT_BATCHES_IN_FLIGHT
        took = time.monotonic() - began
        is_anothers_turn = took >= settings.IMPORT_TURN_SECONDS
        is_over = job.status != Status.RUNNING or (
            is_anothers_turn and enqueue_batch(job.pk, number)
        )
        run_after_batch_safely(job.pk, applied)
        # With Redis away nobody else would be told of the next batch, so it is done here, too.
        if is_over or took > WITHOUT_QUEUE_SECONDS:
            break


def apply_and_publish(job_id: UUID, number: int) -> ImportJob | None:
    """Apply a batch and tell; the import if it was this call that has applied it."""
    try:
        with worker_process.report_work(f"batch {number} of {job_id}"):
            job = batch_applier.apply_batch(job_id, number, worker=worker_process.WORKER_NAME)
    except TransientError as error:
        log.warning("batch %s of %s interrupted (%s), recovery repeats it", number, job_id, error)
        return None
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("batch %s of %s failed: SQLSTATE %s", number, job_id, get_sqlstate(error))
        return None
    if job is not None:  # Not our turn otherwise: sending nothing keeps K messages K.
        progress.publish(job)
    return job


def run_after_batch_safely(job_id: UUID, number: int) -> None:
    """Call the importer's after_batch. Whatever it does, the import goes on."""
    try:
        batch_applier.run_after_batch(job_id, number)
    except Exception as error:  # An app's own code; its text may quote a record.
        log.error("after_batch of %s failed: %s", job_id, type(error).__name__)


# --- Sending -----------------------------------------------------------------


def enqueue_check() -> bool:
    return _send(check_next_file.message())


def enqueue_due_batches(job: ImportJob) -> None:
    """Of the first K unapplied batches, ask for those never asked for or asked long ago."""
    long_ago = Now() - timedelta(seconds=settings.IMPORT_RESEND_SECONDS)
    in_flight = job.batches.filter(applied_at=None)[: settings.IMPORT_BATCHES_IN_FLIGHT]
    due = ImportBatch.objects.filter(
        Q(enqueued_at=None) | Q(enqueued_at__lt=long_ago), pk__in=[batch.pk for batch in in_flight]
    )
    for number in due.values_list("number", flat=True):
        enqueue_batch(job.pk, number)


def enqueue_batch(job_id: UUID, number: int) -> bool:
    """Ask for one batch, if there is one to ask for; False only if asking failed.

    A message lost here is sent again by recovery.
    """
    batch = ImportBatch.objects.filter(job=job_id, number=number, applied_at=None)
    free = batch.select_for_update(skip_locked=True).values("pk")
    try:
        with short_transaction(durable=False):  # Forgotten in a crash, it is asked for again.
            is_due = ImportBatch.objects.filter(pk__in=free).update(enqueued_at=Now()) > 0
    except TransientError as error:
        log.warning("batch %s of %s not asked for (%s)", number, job_id, error)
        return True  # The database is at fault, not the queue: recovery asks for it.
    if not is_due:
        return True  # Past the last batch, applied already, or in a worker's hands.
    return _send(apply_batches.message(str(job_id), number))


def _send(message: dramatiq.Message) -> bool:
    try:
        dramatiq.get_broker().enqueue(message)
    except (RedisError, BrokerConnectionError, OSError) as error:
        log.warning("%s not sent: %s", message.actor_name, type(error).__name__)
        return False
    return True
