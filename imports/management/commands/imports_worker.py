"""Start a worker: `python manage.py imports_worker`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from imports.actors import QUEUES
from imports.broker import get_broker, is_in_memory
from imports.models import Worker
from imports.postgres import get_connection

DEFAULT_PROCESSES = 1
# At most two read files, so that one remains for batches: see `imports.actors`.
DEFAULT_THREADS = 3
DEFAULT_SHUTDOWN_TIMEOUT_SECONDS = 20.0
# How often an idle thread checks whether the worker stops. Except with `imports.redis_broker`, it
# also asks the broker for messages at this interval. Dramatiq's default is a second.
IDLE_POLL_MILLISECONDS = 50
SOURCE_FILES = "**/*.py"  # Dramatiq's own pattern, **.py, matches no file with watchdog 7.


class Command(BaseCommand):
    help = "Start a worker, which checks uploaded files and writes their rows."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--processes",
            type=parse_count,
            default=DEFAULT_PROCESSES,
            help="Number of processes. Each needs 512 MB of memory. (default: %(default)s)",
        )
        parser.add_argument(
            "--threads",
            type=parse_count,
            default=DEFAULT_THREADS,
            help="Number of threads of each process. Two of them may read files; with fewer than "
            "three, batches may wait for a small file. (default: %(default)s)",
        )
        parser.add_argument(
            "--shutdown-timeout",
            type=parse_seconds,
            default=DEFAULT_SHUTDOWN_TIMEOUT_SECONDS,
            metavar="SECONDS",
            help="After SIGTERM or SIGINT, wait this long for the current steps. Another worker "
            "repeats a step that takes longer. (default: %(default)s)",
        )
        parser.add_argument(
            "--all-queues",
            action="store_true",
            help="Also run the actors of your other apps, which django_dramatiq discovers.",
        )
        parser.add_argument(
            "--reload",
            action="store_true",
            help="Start again when a Python file below the current folder changes. For "
            "development; needs dramatiq[watch].",
        )

    def handle(
        self,
        *,
        processes: int,
        threads: int,
        shutdown_timeout: float,
        all_queues: bool,
        reload: bool,
        verbosity: int,
        pythonpath: str | None = None,
        **options: Any,
    ) -> None:
        require_usable_broker()
        if reload:
            require_watchdog()
        modules = discover_other_actors() if all_queues else []
        require_tables()
        arguments = [
            "imports.worker:broker",
            *modules,
            *("--processes", str(processes)),
            *("--threads", str(threads)),
            *("--worker-shutdown-timeout", str(round(shutdown_timeout * 1_000))),
            # The modules of the project, wherever the command was started.
            *("--path", *filter(None, sys.path[: 2 if pythonpath else 1])),
            *(["--watch", ".", "--watch-include", SOURCE_FILES] if reload else []),
            *["--verbose"] * (verbosity - 1),
            *([] if all_queues else ["--queues", *QUEUES]),
        ]
        if verbosity:
            queues = "every queue" if all_queues else " and ".join(QUEUES)
            size = f"processes: {processes}, threads of each: {threads}"
            self.stdout.write(f"Starting a worker for {queues} ({size}).")
            self.stdout.flush()
        # Dramatiq reads these two from the environment only.
        environment = {
            # A process takes at most `threads - 1` messages of one queue, so that one thread
            # remains for the other queues.
            "dramatiq_queue_prefetch": str(max(1, threads - 1)),
            "dramatiq_worker_timeout": str(IDLE_POLL_MILLISECONDS),
        }
        environment |= os.environ
        if reload:
            # Dramatiq starts again as "python", which must be the same Python.
            folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
            environment["PATH"] = os.pathsep.join(folders)
        # Replace this process, so that Dramatiq receives its signals and gives its exit status.
        command = [sys.executable, "-m", "dramatiq", *arguments]
        os.execve(sys.executable, command, environment)


def parse_count(text: str) -> int:
    """Return the number of processes or threads."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of at least 1.")
    return int(text)


def parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 86_400:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86,400.")
    return seconds


def require_usable_broker() -> None:
    """Raises: CommandError if the worker could not receive messages from other processes."""
    try:
        broker = get_broker()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    if is_in_memory(broker):
        raise CommandError(
            f"{type(broker).__name__} keeps messages in the memory of one process, so a worker "
            "receives none. Configure a broker on Redis or RabbitMQ, in DRAMATIQ_BROKER or "
            "IMPORTS_BROKER."
        )


def require_tables() -> None:
    """Raises: CommandError if the tables of the app are missing.

    A database that does not answer is no error: the worker waits for it.
    """
    try:
        tables = get_connection().introspection.table_names()
    except DatabaseError:
        return
    if Worker._meta.db_table not in tables:
        raise CommandError("The tables of imports are missing. Run `python manage.py migrate`.")


def require_watchdog() -> None:
    """Raises: CommandError if Dramatiq cannot watch files."""
    if find_spec("watchdog") is None:
        raise CommandError("--reload needs a package: pip install 'dramatiq[watch]'")


def discover_other_actors() -> list[str]:
    """Return the modules of the project's other actors.

    Raises:
        CommandError: The project has not installed django_dramatiq.
    """
    if not apps.is_installed("django_dramatiq"):
        raise CommandError(
            "--all-queues needs django_dramatiq in INSTALLED_APPS, which discovers the actors of "
            "your other apps."
        )
    from django_dramatiq.management.commands import rundramatiq

    modules: list[str] = rundramatiq.Command().discover_tasks_modules()
    return modules
