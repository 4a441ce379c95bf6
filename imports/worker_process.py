"""The worker process: its name, what its threads do, its maintenance threads, and its shutdown.

Dramatiq starts and stops workers and calls `MaintenanceMiddleware`. Each periodic task (see
`recovery`) has a thread of its own in each process.
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
from uuid import UUID

import dramatiq
from django.db import Error, OperationalError, close_old_connections, connections
from dramatiq.middleware import Middleware

from imports.conf import app_settings
from imports.error_log import log_error
from imports.pipeline.transactions import TransientError
from imports.postgres import get_sqlstate

log = logging.getLogger(__name__)

WORKER_NAME = f"{socket.gethostname()}:{os.getpid()}"
stop_requested = threading.Event()  # Work ends after its current step when this is set.

PeriodicTask = Callable[[], None]


class CurrentWork(TypedDict):
    """What one thread does."""

    what: str
    seconds: int  # Since it began.


class Interruption(TypedDict):
    """A step of an import that the database has interrupted, and that recovery repeats."""

    job: str
    sqlstate: str
    seconds: int  # Since then.


# After this time, an interruption no longer explains why an import makes no progress.
MAX_INTERRUPTION_AGE_SECONDS = 60
UNDEFINED_TABLE = "42P01"
# At shutdown, how long to wait for each periodic task to end its current run.
MAX_SHUTDOWN_WAIT_SECONDS = 1.0

# By thread id: a description, and the time of `time.monotonic` when the work began.
_current_work: dict[int, tuple[str, float]] = {}
# By import: the SQLSTATE, and the time of `time.monotonic` of the interruption.
_interruptions: dict[UUID, tuple[str, float]] = {}
_thread_count = 1
# By task: what its last run raised.
_failures: dict[PeriodicTask, str] = {}
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


def report_interruption(job_id: UUID, sqlstate: str) -> None:
    """List an interruption of an import in `list_interruptions`, for a minute."""
    _interruptions[job_id] = (sqlstate, time.monotonic())


def list_interruptions() -> list[Interruption]:
    """Return the latest interruption of each import within the last minute."""
    oldest = time.monotonic() - MAX_INTERRUPTION_AGE_SECONDS
    for job_id, (_, at) in list(_interruptions.items()):
        if at < oldest:
            _interruptions.pop(job_id, None)
    return [
        {"job": str(job_id), "sqlstate": sqlstate, "seconds": round(time.monotonic() - at)}
        for job_id, (sqlstate, at) in list(_interruptions.items())
    ]


def count_threads() -> int:
    """Return how many threads of this process work at the same time."""
    return _thread_count


class MaintenanceMiddleware(Middleware):
    """Starts the maintenance threads with the Dramatiq worker, and ends them with the worker.

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
        global _thread_count
        _thread_count = worker.worker_threads
        stop_requested.clear()
        self.thread = threading.Thread(target=run_maintenance, name="maintenance", daemon=True)
        self.thread.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        stop_requested.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.thread.join(timeout=5)


def run_maintenance() -> None:
    """Run the periodic tasks until a stop is requested, and then the shutdown tasks.

    Each task has a thread of its own, so that heartbeats go on while another task takes long, for
    example because Redis does not answer.
    """
    threads = [
        threading.Thread(target=run_periodically, args=[task], name=task.__name__, daemon=True)
        for task in _periodic_tasks
    ]
    for thread in threads:
        thread.start()
    stop_requested.wait()
    for thread in threads:
        thread.join(timeout=MAX_SHUTDOWN_WAIT_SECONDS)
    for task in _shutdown_tasks:
        run_safely(task)
    connections.close_all()


def run_periodically(task: PeriodicTask) -> None:
    """Run a task every IMPORTS_RECOVERY_INTERVAL_SECONDS until a stop is requested."""
    while True:
        run_safely(task)
        if stop_requested.wait(app_settings.RECOVERY_INTERVAL_SECONDS):
            break
    connections.close_all()


def run_safely(task: PeriodicTask) -> None:
    """Run a task. An exception is logged: it must not end the thread that repeats the task.

    An exception that repeats is logged once.
    """
    try:
        task()
    except Exception as error:
        failure = describe_failure(error)
        if _failures.get(task) != failure:
            log_failure(task, error, failure)
        _failures[task] = failure
        connections.close_all()
    else:
        if _failures.pop(task, None):
            log.info("%s works again", task.__name__)


def describe_failure(error: Exception) -> str:
    """Return the class of the error, and its SQLSTATE if it is an error of the database.

    Its text may quote a row.
    """
    name = type(error).__name__
    if isinstance(error, TransientError):
        return f"{name} {error}"
    return f"{name} {get_sqlstate(error)}" if isinstance(error, Error) else name


def log_failure(task: PeriodicTask, error: Exception, failure: str) -> None:
    """Log why a task failed: with a traceback, unless the database was not available."""
    if isinstance(error, Error) and get_sqlstate(error) == UNDEFINED_TABLE:
        log.error(
            "%s failed: a table of the app is missing. Run `python manage.py migrate`; the worker "
            "then continues.",
            task.__name__,
        )
    elif isinstance(error, OperationalError | TransientError):
        log.warning("%s failed: %s. It is repeated.", task.__name__, failure)
    else:
        log_error(log, task.__name__, error)


def list_current_work() -> list[CurrentWork]:
    """Return what the threads of this process do."""
    now = time.monotonic()
    return [
        {"what": what, "seconds": round(now - started)}
        for what, started in list(_current_work.values())
    ]
