"""The worker process: its name, what its threads do, its maintenance thread, and its shutdown.

Dramatiq starts and stops workers and calls `MaintenanceMiddleware`. One thread of each process runs
the periodic tasks (see `recovery`).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

import dramatiq
from django.db import close_old_connections, connections
from dramatiq.middleware import Middleware

from imports.conf import app_settings

log = logging.getLogger(__name__)

WORKER_NAME = f"{socket.gethostname()}:{os.getpid()}"
stop_requested = threading.Event()  # Work ends after its current step when this is set.

PeriodicTask = Callable[[], None]


class CurrentWork(TypedDict):
    """What one thread does."""

    what: str
    seconds: int  # Since it began.


# By thread id: a description, and the time of `time.monotonic` when the work began.
_current_work: dict[int, tuple[str, float]] = {}
_periodic_tasks: list[PeriodicTask] = []
_shutdown_tasks: list[PeriodicTask] = []


def periodic(function: PeriodicTask) -> PeriodicTask:
    """Decorator: each worker process calls `function` every IMPORTS_RECOVERY_INTERVAL_SECONDS."""
    _periodic_tasks.append(function)
    return function


def on_shutdown(function: PeriodicTask) -> PeriodicTask:
    """Decorator: a worker process calls `function` when it shuts down in order."""
    _shutdown_tasks.append(function)
    return function


@contextmanager
def report_work(what: str) -> Iterator[None]:
    """List this thread with a description in `list_current_work` for the duration of the block."""
    _current_work[threading.get_ident()] = (what, time.monotonic())
    try:
        yield
    finally:
        del _current_work[threading.get_ident()]


class MaintenanceMiddleware(Middleware):
    """Starts the maintenance thread with the Dramatiq worker, and ends it with the worker.

    Also closes database connections that are too old or broken, before and after each message.
    """

    def before_process_message(
        self, broker: dramatiq.Broker, message: dramatiq.MessageProxy
    ) -> None:
        close_old_connections()

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        close_old_connections()

    def before_worker_thread_shutdown(self, broker: dramatiq.Broker, thread: object) -> None:
        connections.close_all()

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        stop_requested.clear()
        self.thread = threading.Thread(target=run_maintenance, name="maintenance", daemon=True)
        self.thread.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        stop_requested.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.thread.join(timeout=5)


def run_maintenance() -> None:
    """Run the periodic tasks until a stop is requested, and then the shutdown tasks."""
    while True:
        for task in _periodic_tasks:
            run_safely(task)
        if stop_requested.wait(app_settings.RECOVERY_INTERVAL_SECONDS):
            break
    for task in _shutdown_tasks:
        run_safely(task)
    connections.close_all()


def run_safely(task: PeriodicTask) -> None:
    """Run a task. An exception is logged: it must not end the thread that recovers messages."""
    try:
        task()
    except Exception as error:  # Logged without its text, which may quote a row.
        log.warning("%s failed: %s", task.__name__, type(error).__name__)
        connections.close_all()


def list_current_work() -> list[CurrentWork]:
    """Return what the threads of this process do."""
    now = time.monotonic()
    return [
        {"what": what, "seconds": round(now - started)}
        for what, started in list(_current_work.values())
    ]
