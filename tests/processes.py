"""Real worker processes and a real web server on the test database.

The output of a worker is printed when it has exited, so that pytest shows it if a test fails.
"""

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from threading import Thread
from typing import NamedTuple

import httpx
import psutil
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from redis import Redis

from devserver import redis as redis_server
from devserver.paths import temporary_paths
from devserver.processes import running_child
from devserver.supervisor import WORKER_COMMAND
from imports import lifecycle
from imports.actors import BATCH_QUEUE, QUEUES
from imports.models import ImportJob, Worker
from tests.streams import (
    PROJECT,
    Server,
    get_django_environment,
    make_session_cookie,
    running_daphne,
    wait_until,
)

MAX_WAIT_SECONDS = 60  # Long enough for a busy machine.
SHORT_TIMEOUTS = {
    "IMPORTS_RECOVERY_INTERVAL_SECONDS": "0.2",
    "IMPORTS_MESSAGE_TIMEOUT_SECONDS": "1",
    "IMPORTS_READER_HEARTBEAT_TIMEOUT_SECONDS": "2",
    "IMPORTS_HOOK_TIMEOUT_SECONDS": "1",
    "IMPORTS_WORKER_HEARTBEAT_TIMEOUT_SECONDS": "4",
    "IMPORTS_LOCK_TIMEOUT": "60s",  # A test may hold workers at a barrier for long.
}
SHORT_STREAM_INTERVALS = {
    "IMPORTS_STREAM_PING_SECONDS": "1",
    "IMPORTS_STREAM_POLL_SECONDS": "0.5",
}
CSRF_TOKEN = "a" * 32
RECONNECT_SECONDS = 0.2
OK, NO_CONTENT = 200, 204


class WorkerProcess:
    """A process group with Dramatiq's main process and its worker process.

    `worker_id` is the primary key of its row in the table of workers.
    """

    def __init__(self, log, environment):
        self.worker_id = None
        self.process = subprocess.Popen(
            [sys.executable, *WORKER_COMMAND],
            cwd=PROJECT,
            env=os.environ | get_django_environment() | {"LOG_LEVEL": "INFO"} | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def list_processes(self):
        """Return the main process and its descendants, among them a reader in its own session."""
        main_process = psutil.Process(self.process.pid)
        return [main_process, *main_process.children(recursive=True)]

    def find_reader(self):
        """Return the reader process, or None if no file is being read."""
        return next(filter(is_reader, self.list_processes()), None)

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        """Kill the process group. Fails if a process survives, such as the reader."""
        processes = self.list_processes()
        self.signal(signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not any(is_alive(process) for process in processes))

    def terminate(self):
        """Send SIGTERM to the main process, as a hosting platform does.

        A second SIGTERM would end the work immediately.
        """
        self.process.send_signal(signal.SIGTERM)

    def wait_for_exit(self):
        processes = self.list_processes()
        self.process.wait(MAX_WAIT_SECONDS)
        wait_for(lambda: not any(is_alive(process) for process in processes))

    def has_deregistered(self):
        """Return whether the worker has begun to stop. It deregisters before it ends its work."""
        return not Worker.objects.filter(pk=self.worker_id).exists()


@contextmanager
def worker(timeouts=SHORT_TIMEOUTS, **environment):
    """Start a worker and wait until it has registered. Kill it at the end if it still runs."""
    other_ids = set(Worker.objects.values_list("pk", flat=True))
    with tempfile.TemporaryFile("w+") as log:
        worker_process = WorkerProcess(log, timeouts | environment)
        try:
            wait_for(
                lambda: (
                    worker_process.process.poll() is not None
                    or Worker.objects.exclude(pk__in=other_ids).exists()
                )
            )
            assert worker_process.process.poll() is None, "The worker did not start."
            worker_process.worker_id = Worker.objects.exclude(pk__in=other_ids).get().pk
            yield worker_process
        finally:
            if worker_process.process.poll() is None:
                worker_process.kill()
            log.seek(0)
            print(f"--- Output of a worker:\n{log.read()}---")


def is_reader(process):
    """Whether this is a reader process that runs."""
    try:
        return "imports/pipeline/reader" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- The site ----------------------------------------------------------------


class Site(NamedTuple):
    """A running web server, and an HTTP client that is logged in."""

    server: Server
    client: httpx.Client
    cookie: str

    def upload(self, content, name="customers.csv"):
        """Return the response and the import, which is None if the upload was refused."""
        response = self.client.post("/api/imports/", files={"file": (name, content)})
        if not response.is_success:
            return response, None
        return response, ImportJob.objects.get(pk=response.json()["id"])

    def snapshot(self, job):
        return self.client.get(f"/api/imports/{job.pk}/").raise_for_status().json()

    def stream(self, job, **options):
        return self.server.stream(job, self.cookie, **options)

    def watch(self, job):
        """Start to watch the stream of an import, and return the watcher."""
        return StreamWatcher(self, job)


class StreamWatcher:
    """Reads the stream of an import to its end in a thread, and reconnects as a browser does."""

    def __init__(self, web, job):
        self.web = web
        self.job = job
        self.events = []
        self.is_cancelled = False
        self.is_connected = False
        self.thread = Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        last_event_id = None
        while not self.is_cancelled:
            with (
                suppress(OSError, http.client.HTTPException),
                self.web.stream(self.job, last_event_id=last_event_id) as stream,
            ):
                if stream.status == NO_CONTENT:
                    return
                self.is_connected = stream.status == OK
                while self.is_connected and (event := stream.next()):
                    self.events.append(event)
                    last_event_id = event.id
            self.is_connected = False
            time.sleep(RECONNECT_SECONDS)

    def assert_saw_the_end(self, job):
        """Assert that the last event has the final status, and that versions never went back.

        The import is the one that is watched, as it is in the database.
        """
        try:
            self.thread.join(MAX_WAIT_SECONDS)
            assert not self.thread.is_alive(), "The stream has not ended."
        finally:
            self.is_cancelled = True
        versions = [event.snapshot["version"] for event in self.events]
        assert versions == sorted(versions)
        assert (self.events[-1].name, versions[-1]) == (job.status.lower(), job.version)


@contextmanager
def site(user, server=None, **environment):
    """Log a client in as the user: at a server that runs already, or at a Daphne of its own."""
    cookie = make_session_cookie(user)
    cookies = {settings.SESSION_COOKIE_NAME: cookie, settings.CSRF_COOKIE_NAME: CSRF_TOKEN}
    own_server = running_daphne(**(SHORT_STREAM_INTERVALS | environment))
    with (
        nullcontext(server) if server else own_server as server,
        httpx.Client(
            base_url=f"http://127.0.0.1:{server.port}",
            cookies=cookies,
            headers={"X-CSRFToken": CSRF_TOKEN},
            timeout=MAX_WAIT_SECONDS,
            trust_env=False,
        ) as client,
    ):
        yield Site(server, client, cookie)


def upload_in_process(owner, content, name="customers.csv", importer="customers", **options):
    """Upload a file without HTTP, and return the import."""
    file = SimpleUploadedFile(name, content)
    return lifecycle.upload(owner, file, importer=importer, **options)


# --- Redis -------------------------------------------------------------------


@contextmanager
def temporary_redis():
    """Start a Redis that a test may stop. Yields the server and the environment that names it."""
    with temporary_paths() as paths, running_child(redis_server.make_server(paths)) as server:
        yield server, {"REDIS_URL": redis_server.get_url(paths)}


def flush_redis():
    with Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()


def list_queued_messages(client, queue=BATCH_QUEUE):
    """Return the IDs of the messages of a queue, including those that a worker has fetched."""
    return set(client.hkeys(f"imports:{queue}.msgs"))


# --- Waiting -----------------------------------------------------------------


def wait_for(condition, seconds=MAX_WAIT_SECONDS):
    """Wait until the condition is true, and return the seconds that it took."""
    return wait_until(condition, seconds)


def wait_until_final(*jobs, seconds=MAX_WAIT_SECONDS):
    """Wait until every import has a final status. Refreshes the objects."""
    for job in jobs:
        wait_for(lambda job=job: job.refresh_from_db() or job.is_final, seconds)


def wait_for_version_after(job):
    """Wait for the next commit of the import, and return the seconds that it took."""
    version = ImportJob.objects.get(pk=job.pk).version
    return wait_for(lambda: ImportJob.objects.get(pk=job.pk).version > version)


def wait_until_idle():
    """Wait until no message waits and two heartbeats of every worker report no work."""
    with Redis.from_url(settings.REDIS_URL) as client:
        wait_for(lambda: not any(client.llen(f"imports:{queue}") for queue in QUEUES))
    for _ in range(2):
        heartbeats = dict(Worker.objects.values_list("pk", "heartbeat_at"))
        wait_for(
            lambda heartbeats=heartbeats: all(
                worker.current_work == [] and worker.heartbeat_at > heartbeats[worker.pk]
                for worker in Worker.objects.all()
            )
        )
