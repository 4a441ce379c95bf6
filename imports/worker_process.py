"""A worker process: its name, its sign of life, what its threads do, and its end.

Dramatiq starts and stops workers; `WorkerLife` is told. Between the two, one thread does the
process's duties every few seconds (see `recovery`). Dramatiq loads this before Django has
models, so it knows none.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection
from dramatiq.middleware import Middleware

log = logging.getLogger(__name__)

WORKER_NAME = f"{socket.gethostname()}:{os.getpid()}"
stop_requested = threading.Event()  # Whoever works ends between two steps.

PeriodicTask = Callable[[], None]

_busy: dict[int, tuple[str, float]] = {}
_duties: list[PeriodicTask] = []
_last_duties: list[PeriodicTask] = []


def periodic(function: PeriodicTask) -> PeriodicTask:
    """Have `function` called every IMPORT_RECOVERY_SECONDS in each worker process."""
    _duties.append(function)
    return function


def on_shutdown(function: PeriodicTask) -> PeriodicTask:
    """Have `function` called when the process ends in order."""
    _last_duties.append(function)
    return function


@contextmanager
def report_work(what: str) -> Iterator[None]:
    """Say in the worker's row what this thread does."""
    _busy[threading.get_ident()] = (what, time.monotonic())
    try:
        yield
    finally:
        del _busy[threading.get_ident()]


class MaintenanceMiddleware(Middleware):
    """Starts and ends the process's own thread with the Dramatiq worker."""

    def after_worker_boot(self, broker, worker):
        stop_requested.clear()
        self.thread = threading.Thread(target=run_maintenance, name="worker life", daemon=True)
        self.thread.start()

    def before_worker_shutdown(self, broker, worker):
        stop_requested.set()

    def after_worker_shutdown(self, broker, worker):
        self.thread.join(timeout=5)


def run_maintenance() -> None:
    while True:
        for step in _duties:
            run_safely(step)
        if stop_requested.wait(settings.IMPORT_RECOVERY_SECONDS):
            break
    for step in _last_duties:
        run_safely(step)
    connection.close()


def run_safely(step: PeriodicTask) -> None:
    try:
        step()
    except Exception as error:  # A thread that ends leaves lost messages lost.
        # Without its text, which may quote a row.
        log.warning("%s failed: %s", step.__name__, type(error).__name__)
        connection.close()


def list_current_work() -> list[dict[str, Any]]:
    """What each thread is at, and for how many seconds."""
    now = time.monotonic()
    return [{"what": what, "seconds": round(now - since)} for what, since in list(_busy.values())]
