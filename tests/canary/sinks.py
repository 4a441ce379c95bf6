"""Everything that leaves the tables of an import, by name.

A sink is a place that other people, other programs or backups read: logs, Redis, messages, the list
of processes. Each has a function that returns its content as text. What may hold the values of rows
is in PRIVATE_MODELS instead.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import psutil
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from redis import Redis

from imports.models import ImportJob
from imports.snapshots import build_snapshot
from tests.database import connection

# The models of the app that may hold values of rows, or names of files.
PRIVATE_MODELS = {"importjob", "importrow", "storedfile", "storedchunk"}
# What a module of the app may send to the outside with this package, and the sink that covers it.
# A package that is not listed, and is known to send something, makes the test fail.
SINK_BY_PACKAGE = {
    "logging": "worker log",
    "redis": "Redis",
    "dramatiq": "Redis",
    "django.core.mail": "e-mail",
    "http.client": "webhooks",
    "socket": "webhooks",
    "ssl": "webhooks",
    "subprocess": "process titles",
    "channels": "streams",
    "django.db": "PostgreSQL log",
}
SENDING_PACKAGES = {
    *SINK_BY_PACKAGE,
    "aiohttp",
    "asyncio.subprocess",
    "boto3",
    "celery",
    "datadog",
    "elasticapm",
    "ftplib",
    "grpc",
    "httpx",
    "kombu",
    "logging.handlers",
    "multiprocessing",
    "newrelic",
    "opentelemetry",
    "pika",
    "prometheus_client",
    "requests",
    "sentry_sdk",
    "setproctitle",
    "smtplib",
    "statsd",
    "structlog",
    "syslog",
    "telnetlib",
    "urllib.request",
    "urllib3",
    "websockets",
    "xmlrpc",
}


class Sinks:
    """Collects what reaches the sinks during the `recording` block."""

    def __init__(self, mail_folder: Path) -> None:
        self.mail_folder = mail_folder
        self.logs: dict[str, list[Path]] = {"web log": [], "worker log": []}
        self.webhook_requests: list[object] = []
        self.streamed: list[str] = []
        self.titles: set[str] = set()
        self.redis_commands: list[str] = []
        self.postgres_log = find_postgres_log()
        self.postgres_start = self.postgres_log.stat().st_size
        self.readers: dict[str, Callable[[], str]] = {
            "Redis": lambda: "\n".join(self.redis_commands),
            "web log": lambda: self._read_logs("web log"),
            "worker log": lambda: self._read_logs("worker log"),
            "PostgreSQL log": self._read_postgres_log,
            "process titles": lambda: "\n".join(self.titles),
            "e-mail": lambda: "\n".join(
                path.read_text() for path in sorted(self.mail_folder.glob("*"))
            ),
            "webhooks": lambda: repr(self.webhook_requests),
            "streams": lambda: "\n".join(self.streamed),
            "snapshots": lambda: json.dumps([build_snapshot(job) for job in list_jobs()]),
            "command output": read_command_output,
            **{f"table {name}": _make_table_reader(name) for name in list_public_models()},
        }

    def read_all(self) -> dict[str, str]:
        return {name: read() for name, read in self.readers.items()}

    def _read_logs(self, name: str) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self.logs[name])

    def _read_postgres_log(self) -> str:
        with self.postgres_log.open("rb") as file:
            file.seek(self.postgres_start)
            return file.read().decode(errors="replace")

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the commands that Redis receives, and the titles of all processes."""
        stop, is_monitoring = threading.Event(), threading.Event()

        def watch_titles() -> None:
            while not stop.wait(0.1):
                for process in psutil.process_iter():
                    try:
                        # PostgreSQL, workers and readers; not the processes of the machine.
                        self.titles.add(" ".join(process.cmdline()))
                    except psutil.Error:
                        continue

        def monitor_redis() -> None:
            # There may be no command for a while.
            with (
                Redis.from_url(settings.REDIS_URL, socket_timeout=None) as client,
                client.monitor() as monitor,
            ):
                is_monitoring.set()
                for command in monitor.listen():
                    self.redis_commands.append(str(command["command"]))
                    if "end-of-recording" in command["command"]:
                        break

        threads = [threading.Thread(target=each) for each in (watch_titles, monitor_redis)]
        for thread in threads:
            thread.start()
        assert is_monitoring.wait(10)
        try:
            yield
        finally:
            stop.set()
            with Redis.from_url(settings.REDIS_URL) as client:
                client.get("end-of-recording")
            for thread in threads:
                thread.join(10)


def find_postgres_log() -> Path:
    """Return the log of the server, which is the standard error of its main process."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = psutil.Process(cursor.fetchone()[0])
    parent = backend.parent()
    assert parent is not None, "The log of the server is read on its own machine only."
    return Path(os.readlink(f"/proc/{parent.pid}/fd/2"))


def list_jobs() -> list[ImportJob]:
    return list(ImportJob.objects.all())


def list_public_models() -> list[str]:
    """Return the names of the app's models that must hold no values of rows."""
    names = {model._meta.model_name or "" for model in apps.get_app_config("imports").get_models()}
    return sorted(names - PRIVATE_MODELS)


def _make_table_reader(name: str) -> Callable[[], str]:
    model = apps.get_model("imports", name)
    return lambda: json.dumps([*model._default_manager.values()], default=str)


def read_command_output() -> str:
    output = StringIO()
    for command in ("imports_status", "check_imports", "purge_imports", "rescue_imports"):
        try:
            call_command(command, stdout=output, stderr=output)
        except Exception as error:
            output.write(str(error))
    return output.getvalue()
