"""An import carried through inside one call, for callers that cannot wait for a worker.

The same steps that workers do, each exactly once whoever does it: what is not done in time,
or is in a worker's hands already, a worker brings to its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from uuid import UUID

from django.conf import settings

from imports import actors, progress
from imports.models import ImportJob
from imports.pipeline import file_checker
from imports.pipeline.reader_client import Limits
from imports.pipeline.transactions import Interrupted
from imports.statuses import Status

WAIT_FOR_A_PLACE_SECONDS = 3
WORK_SECONDS = 4
LOOK_SECONDS = 0.05
UNCHECKED = {Status.QUEUED, Status.CHECKING}

FILES = BoundedSemaphore(settings.EXCEL_AT_ONCE)
REPORTS = BoundedSemaphore(settings.IMPORT_REPORTS_AT_ONCE)


class Busy(Exception):
    """This process works on as many files as it may."""


@contextmanager
def place(places: BoundedSemaphore = FILES) -> Iterator[None]:
    """A file takes memory and time: so many are open at once, whoever waits too long is Busy."""
    if not places.acquire(timeout=WAIT_FOR_A_PLACE_SECONDS):
        raise Busy
    try:
        yield
    finally:
        places.release()


def check(pk: UUID) -> ImportJob:
    """The import, checked; QUEUED or CHECKING still if that took a worker too long."""
    until = time.monotonic() + WORK_SECONDS
    try:
        job = file_checker.check_file(
            pk, tell=progress.publish, limits=Limits(**settings.EXCEL_READER)
        )
    except Interrupted:
        job = None
    while job is None or job.status in UNCHECKED:  # A worker was quicker, or is to go on.
        job = ImportJob.objects.get(pk=pk)
        if time.monotonic() > until:
            break
        time.sleep(LOOK_SECONDS)
    progress.publish(job)
    return job


def finish(pk: UUID) -> ImportJob:
    """The import, checked and written; still RUNNING if time was short."""
    until = time.monotonic() + WORK_SECONDS
    job = check(pk)
    while job.status == Status.RUNNING and time.monotonic() < until:
        batch = job.batches.filter(applied_at=None).first()
        if batch is None or actors.apply_one(pk, batch.number) is None:
            break  # In a worker's hands.
        actors.announce(pk, batch.number)
        job = ImportJob.objects.get(pk=pk)
    if job.status == Status.RUNNING:
        actors.send_due_batches(job)
    return job
