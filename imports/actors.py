"""The actors: the messages that workers receive, and the functions that send them.

A message says only that a batch is due, or that a file waits; everything else is in PostgreSQL.
A worker that has applied batch n sends the message for batch n + K, where K is
IMPORTS_MAX_BATCHES_IN_FLIGHT. Lost, late or duplicated messages therefore do not change the number
of batches in flight. Only this module sends messages.

Only a worker declares the actors (`declare_actors`); a process that sends messages names them. So
the project's own workers never take a message of the app, even if they import this module.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import dramatiq
from django.db import Error
from django.db.models import Q
from django.db.models.functions import Now
from dramatiq.errors import BrokerConnectionError
from redis.exceptions import RedisError

from imports import hooks, notice_delivery, progress, purge, worker_process
from imports.broker import get_broker, is_in_memory, is_sending_disabled
from imports.conf import app_settings
from imports.models import ImportBatch, ImportJob
from imports.pipeline import batch_applier, file_checker, undo
from imports.pipeline.transactions import TransientError, short_transaction
from imports.postgres import get_sqlstate
from imports.statuses import Status

log = logging.getLogger(__name__)

CHECK_QUEUE = "imports_checks"
BATCH_QUEUE = "imports_batches"
HOOK_QUEUE = "imports_hooks"
NOTICE_QUEUE = "imports_notices"
QUEUES = (CHECK_QUEUE, BATCH_QUEUE, HOOK_QUEUE, NOTICE_QUEUE)
CHECK_ACTOR = "imports.check_next_file"
BATCH_ACTOR = "imports.apply_batches"
UNDO_ACTOR = "imports.undo_batches"
HOOK_ACTOR = "imports.call_hooks"
PURGE_ACTOR = "imports.delete_old_data"
NOTICE_ACTOR = "imports.send_notices"
MAX_CHECK_SECONDS = 3_600
MAX_BATCHES_SECONDS = 300
MAX_HOOKS_SECONDS = 300
MAX_PURGE_SECONDS = 300
MAX_NOTICES_SECONDS = 300
# Then a message of recovery sends the others, so that imports come in between.
NOTICE_TURN_SECONDS = 30
# While Redis is down, one message applies batches for at most this long.
MAX_WITHOUT_QUEUE_SECONDS = 60

# A worker process reads one file of any size and one small file at the same time, so that small
# files do not wait for large ones. With three threads, one remains for batches, unless it calls
# hooks.
_main_reader_lock = threading.Lock()
_small_reader_lock = threading.Lock()


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
        call_hooks_safely()


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

    With `is_small`, use the limits for a file that is read beside another one.
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
        worker_process.report_interruption(job_id, str(error))
        log.warning("check of %s interrupted (%s), recovery repeats it", job_id, error)
        return False
    if job is None:
        return False
    progress.publish(job)
    if job.status == Status.RUNNING:
        enqueue_due_batches(job)
    return True


def apply_batches(job_id: str, number: int) -> None:
    """Apply a batch of an import, and then every K-th batch until IMPORTS_TURN_SECONDS are over.

    Imports take turns by time. If they took turns by batch, an import of twenty small batches
    would wait twenty times for the large batches of others.
    """
    started = time.monotonic()
    while (
        job := apply_and_publish(UUID(job_id), number)
    ) and not worker_process.stop_requested.is_set():
        number += app_settings.MAX_BATCHES_IN_FLIGHT
        seconds = time.monotonic() - started
        is_turn_over = seconds >= app_settings.TURN_SECONDS
        is_done = job.status != Status.RUNNING or (is_turn_over and enqueue_batch(job.pk, number))
        call_hooks_safely(job.pk)
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
        worker_process.report_interruption(job_id, str(error))
        log.warning("batch %s of %s interrupted (%s), recovery repeats it", number, job_id, error)
        return None
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("batch %s of %s failed: SQLSTATE %s", number, job_id, get_sqlstate(error))
        return None
    if job is not None:
        progress.publish(job)
    return job


def undo_batches(job_id: str) -> None:
    """Undo batch after batch of an import until IMPORTS_TURN_SECONDS are over.

    The batches of an import are undone one at a time. If another worker undoes one, it goes on
    with the next ones, and this call ends.
    """
    started = time.monotonic()
    while job := undo_and_publish(UUID(job_id)):
        seconds = time.monotonic() - started
        is_stopping = worker_process.stop_requested.is_set()
        is_turn_over = is_stopping or seconds >= app_settings.TURN_SECONDS
        is_done = job.status != Status.UNDOING or (is_turn_over and enqueue_undo(job.pk))
        # If the next batch cannot be enqueued because Redis is down, undo it here.
        if is_done or is_stopping or seconds > MAX_WITHOUT_QUEUE_SECONDS:
            call_hooks_safely(job.pk)
            break


def undo_and_publish(job_id: UUID) -> ImportJob | None:
    """Undo the next batch of an import and publish the progress; return the import.

    Returns None if this call has changed nothing: another worker undoes a batch of the import, it
    is not UNDOING, or the database failed.
    """
    try:
        with worker_process.report_work(f"undoing {job_id}"):
            job = undo.undo_next_batch(job_id, worker=worker_process.WORKER_NAME)
    except TransientError as error:
        worker_process.report_interruption(job_id, str(error))
        log.warning("undo of %s interrupted (%s), recovery repeats it", job_id, error)
        return None
    if job is not None:
        progress.publish(job)
    return job


def call_hooks() -> None:
    """Call the hooks that are due."""
    call_hooks_safely()


def call_hooks_safely(job_id: UUID | None = None) -> None:
    """Call the hooks that are due, of one import or of all. An exception is logged."""
    try:
        with worker_process.report_work("calling hooks"):
            hooks.call_due_hooks(job_id, should_stop=worker_process.stop_requested.is_set)
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("hooks cannot be called: SQLSTATE %s", get_sqlstate(error))


def send_notices() -> None:
    """Send the notices that are due. They do not touch imports."""
    started = time.monotonic()

    def should_stop() -> bool:
        is_over = time.monotonic() - started >= NOTICE_TURN_SECONDS
        return is_over or worker_process.stop_requested.is_set()

    try:
        with worker_process.report_work("sending notices"):
            notice_delivery.send_due_notices(should_stop=should_stop)
    except Error as error:  # Logged without its text, which may quote an address.
        log.error("notices cannot be sent: SQLSTATE %s", get_sqlstate(error))


def delete_old_data(run_id: int, turn: int) -> None:
    """Do one turn of a run that deletes old data, and send the message of the next turn.

    A message of a turn that was begun before does nothing. If a turn fails or its worker crashes,
    recovery sends the message of the next turn.
    """
    try:
        if not purge.begin_turn(purge.Turn(run_id, turn)):
            return
        with worker_process.report_work("deleting old data"):
            needs_turn = purge.run_turn(run_id, should_stop=worker_process.stop_requested.is_set)
    except TransientError as error:
        log.warning("deletion of old data interrupted (%s), recovery repeats it", error)
        return
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("deletion of old data failed: SQLSTATE %s", get_sqlstate(error))
        return
    if needs_turn:
        _send(HOOK_QUEUE, PURGE_ACTOR, run_id, turn + 1)


def declare_actors(broker: dramatiq.Broker) -> None:
    """Declare the actors on the broker of a worker."""
    _declare_actor(broker, check_next_file, CHECK_ACTOR, CHECK_QUEUE, MAX_CHECK_SECONDS)
    _declare_actor(broker, apply_batches, BATCH_ACTOR, BATCH_QUEUE, MAX_BATCHES_SECONDS)
    _declare_actor(broker, undo_batches, UNDO_ACTOR, BATCH_QUEUE, MAX_BATCHES_SECONDS)
    _declare_actor(broker, call_hooks, HOOK_ACTOR, HOOK_QUEUE, MAX_HOOKS_SECONDS)
    _declare_actor(broker, send_notices, NOTICE_ACTOR, NOTICE_QUEUE, MAX_NOTICES_SECONDS)
    _declare_actor(broker, delete_old_data, PURGE_ACTOR, HOOK_QUEUE, MAX_PURGE_SECONDS)


def _declare_actor(
    broker: dramatiq.Broker,
    function: Callable[..., None],
    actor_name: str,
    queue_name: str,
    max_seconds: int,
) -> None:
    # `time_limit` is in milliseconds. There are no retries, because recovery sends lost messages
    # again. An option counts only if the broker has the middleware for it.
    dramatiq.Actor(
        function,
        broker=broker,
        actor_name=actor_name,
        queue_name=queue_name,
        priority=0,
        options={"time_limit": max_seconds * 1_000, "max_retries": 0},
    )


# --- Sending -----------------------------------------------------------------


def enqueue_check() -> bool:
    """Send a message that a file waits; return whether it was sent."""
    return _send(CHECK_QUEUE, CHECK_ACTOR)


def enqueue_hooks() -> bool:
    """Send a message that hooks are to be called; return whether it was sent."""
    return _send(HOOK_QUEUE, HOOK_ACTOR)


def enqueue_notices() -> bool:
    """Send a message that notices are to be sent; return whether it was sent."""
    return _send(NOTICE_QUEUE, NOTICE_ACTOR)


def enqueue_purge() -> None:
    """Send the message of the next turn that deletes old data, if one is due and none is sent."""
    try:
        turn = purge.claim_message()
    except TransientError as error:
        log.warning("deletion of old data not enqueued (%s)", error)
        return
    except Error as error:  # Logged without its text, which may quote a row.
        log.error("deletion of old data cannot be enqueued: SQLSTATE %s", get_sqlstate(error))
        return
    if turn is not None:
        _send(HOOK_QUEUE, PURGE_ACTOR, turn.run_id, turn.number)


def enqueue_due_batches(job: ImportJob) -> list[bool]:
    """Send messages for those of the first K unapplied batches that have none.

    A message counts as lost after IMPORTS_MESSAGE_TIMEOUT_SECONDS. Returns for each message that
    was due whether the queue accepted it, as `enqueue_batch` does.
    """
    lost_before = Now() - timedelta(seconds=app_settings.MESSAGE_TIMEOUT_SECONDS)
    in_flight = job.batches.filter(applied_at=None)[: app_settings.MAX_BATCHES_IN_FLIGHT]
    due = ImportBatch.objects.filter(
        Q(enqueued_at=None) | Q(enqueued_at__lt=lost_before),
        pk__in=[batch.pk for batch in in_flight],
    )
    return [enqueue_batch(job.pk, number) for number in due.values_list("number", flat=True)]


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
        log.warning("batch %s of %s not enqueued (%s)", number, job_id, error)
        return True  # The database failed, not the queue: recovery enqueues the batch.
    if not is_due:
        return True
    return _send(BATCH_QUEUE, BATCH_ACTOR, str(job_id), number)


def enqueue_due_undo(job: ImportJob) -> None:
    """Send a message to undo the import if none was sent, or if the last one counts as lost.

    A message counts as lost after IMPORTS_MESSAGE_TIMEOUT_SECONDS.
    """
    lost_before = Now() - timedelta(seconds=app_settings.MESSAGE_TIMEOUT_SECONDS)
    next_batch = undo.filter_batches_to_undo(job.pk).values("pk")[:1]
    if not ImportBatch.objects.filter(pk__in=next_batch, enqueued_at__gte=lost_before).exists():
        enqueue_undo(job.pk)


def enqueue_undo(job_id: UUID) -> bool:
    """Send the message to undo the next batch of an import; return whether it was sent."""
    next_batch = undo.filter_batches_to_undo(job_id).values("pk")[:1]
    unclaimed = ImportBatch.objects.filter(pk__in=next_batch).select_for_update(skip_locked=True)
    try:
        # Not durable: if the commit is lost in a crash, the message is sent once more.
        with short_transaction(durable=False):
            ImportBatch.objects.filter(pk__in=unclaimed.values("pk")).update(enqueued_at=Now())
    except TransientError as error:
        log.warning("undo of %s not enqueued (%s)", job_id, error)
        return True  # The database failed, not the queue: recovery sends the message.
    return _send(BATCH_QUEUE, UNDO_ACTOR, str(job_id))


def _send(queue_name: str, actor_name: str, *args: str | int) -> bool:
    broker = get_broker()
    if is_sending_disabled() or is_in_memory(broker):  # No worker would receive the message.
        return True
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=queue_name, actor_name=actor_name, args=args, kwargs={}, options={}
    )
    try:
        broker.enqueue(message)
    except (RedisError, BrokerConnectionError, OSError) as error:
        log.warning("%s not sent: %s", actor_name, type(error).__name__)
        return False
    return True
