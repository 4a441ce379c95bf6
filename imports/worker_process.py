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

NAME = f"{socket.gethostname()}:{os.getpid()}"
stopping = threading.Event()  # Whoever works ends between two steps.

Duty = Callable[[], None]

_busy: dict[int, tuple[str, float]] = {}
_duties: list[Duty] = []
_last_duties: list[Duty] = []


def duty(function: Duty) -> Duty:
    """Have `function` called every IMPORT_RECOVERY_SECONDS in each worker process."""
    _duties.append(function)
    return function


def last_duty(function: Duty) -> Duty:
    """Have `function` called when the process ends in order."""
    _last_duties.append(function)
    return function


@contextmanager
def busy_with(what: str) -> Iterator[None]:
    """Say in the worker's row what this thread does."""
    _busy[threading.get_ident()] = (what, time.monotonic())
    try:
        yield
    finally:
        del _busy[threading.get_ident()]


class WorkerLife(Middleware):
    """Starts and ends the process's own thread with the Dramatiq worker."""

    def after_worker_boot(self, broker, worker):
        stopping.clear()
        self.thread = threading.Thread(target=live, name="worker life", daemon=True)
        self.thread.start()

    def before_worker_shutdown(self, broker, worker):
        stopping.set()

    def after_worker_shutdown(self, broker, worker):
        self.thread.join(timeout=5)


def live() -> None:
    while True:
        for step in _duties:
            perform(step)
        if stopping.wait(settings.IMPORT_RECOVERY_SECONDS):
            break
    for step in _last_duties:
        perform(step)
    connection.close()


def perform(step: Duty) -> None:
    try:
        step()
    except Exception as error:  # A thread that ends leaves lost messages lost.
        # Without its text, which may quote a row.
        log.warning("%s failed: %s", step.__name__, type(error).__name__)
        connection.close()


def now_doing() -> list[dict[str, Any]]:
    """What each thread is at, and for how many seconds."""
    now = time.monotonic()
    return [{"what": what, "seconds": round(now - since)} for what, since in list(_busy.values())]
