"""Work that is done inside a web request, for callers that need the result in the response.

It calls the same functions as the workers. A worker does every step that it has already claimed,
and every step that is not finished in MAX_WORK_SECONDS.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from uuid import UUID

from imports import actors, progress
from imports.models import ImportJob
from imports.pipeline import file_checker
from imports.pipeline.reader_client import ReaderLimits
from imports.pipeline.transactions import TransientError
from imports.statuses import Status

MAX_WAIT_FOR_SLOT_SECONDS = 3
MAX_WORK_SECONDS = 4
JOB_POLL_SECONDS = 0.05


class NoFreeSlot(Exception):
    """All slots of this process are in use."""


@contextmanager
def acquire_slot(slots: BoundedSemaphore) -> Iterator[None]:
    """Hold one of the slots, so that a process does not open too many files at the same time.

    Raises:
        NoFreeSlot: No slot became free within MAX_WAIT_FOR_SLOT_SECONDS.
    """
    if not slots.acquire(timeout=MAX_WAIT_FOR_SLOT_SECONDS):
        raise NoFreeSlot
    try:
        yield
    finally:
        slots.release()


def check_import_inline(job_id: UUID, limits: ReaderLimits) -> ImportJob:
    """Check an import and return it.

    If a worker checks the import already, wait up to MAX_WORK_SECONDS for the worker. The import
    is still QUEUED or CHECKING if that was too short.
    """
    deadline = time.monotonic() + MAX_WORK_SECONDS
    try:
        job = file_checker.check_file(job_id, on_progress=progress.publish, limits=limits)
    except TransientError:
        job = None
    while job is None or job.status in {Status.QUEUED, Status.CHECKING}:
        job = ImportJob.objects.get(pk=job_id)
        if time.monotonic() > deadline:
            break
        time.sleep(JOB_POLL_SECONDS)
    progress.publish(job)
    return job


def check_and_apply_inline(job_id: UUID, limits: ReaderLimits) -> ImportJob:
    """Check an import, write its batches, and return it.

    After MAX_WORK_SECONDS the rest is left to workers, and the import is still RUNNING.
    """
    deadline = time.monotonic() + MAX_WORK_SECONDS
    job = check_import_inline(job_id, limits)
    while job.status == Status.RUNNING and time.monotonic() < deadline:
        batch = job.batches.filter(applied_at=None).first()
        if batch is None or actors.apply_and_publish(job_id, batch.number) is None:
            break  # A worker has claimed the batch.
        job = ImportJob.objects.get(pk=job_id)
    if job.status == Status.RUNNING:
        actors.enqueue_due_batches(job)
    actors.enqueue_hooks()
    return job
