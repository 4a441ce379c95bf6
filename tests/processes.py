"""Real worker processes and a real site on the test database, to be killed and watched.

What a worker has said is printed when it is gone: pytest shows it where a test fails.
"""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import psutil
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from redis import Redis

from devserver import redis as embedded_redis
from devserver.paths import temporary_paths
from devserver.processes import running_child
from devserver.supervisor import WORKER_COMMAND, WORKER_ENVIRONMENT
from imports import lifecycle
from imports.models import ImportJob, Worker
from tests.streams import (
    PROJECT,
    Server,
    get_django_environment,
    make_session_cookie,
    running_daphne,
    wait_until,
)

MAX_WAIT_SECONDS = 60  # The machine may be busy; nothing here is expected to take so long.
SMALL_WAITS = {
    "IMPORT_RECOVERY_SECONDS": "0.2",
    "IMPORT_RESEND_SECONDS": "1",
    "IMPORT_READER_SILENT_SECONDS": "2",
    "IMPORT_WORKER_SILENT_SECONDS": "4",
    "IMPORT_LOCK_TIMEOUT": "60s",  # A gate may hold them for long.
}
CSRF = "a" * 32


class WorkerProcess:
    """A worker's process group, and everyone it has started."""

    def __init__(self, log, environment):
        self.process = subprocess.Popen(
            [sys.executable, *WORKER_COMMAND],
            cwd=PROJECT,
            env=os.environ
            | get_django_environment()
            | WORKER_ENVIRONMENT
            | {"LOG_LEVEL": "INFO"}
            | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def list_processes(self):
        """The master, its worker process, and a reader, which has a session of its own."""
        master = psutil.Process(self.process.pid)
        return [master, *master.children(recursive=True)]

    def find_reader(self):
        return next(
            (one for one in self.list_processes() if "reader" in " ".join(one.cmdline())), None
        )

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        """Kill the whole group at once; a reader must not outlive it."""
        list_processes = self.list_processes()
        self.signal(signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not any(is_alive(one) for one in list_processes))

    def terminate(self):
        """As a platform does. A second time would mean: at once."""
        self.process.send_signal(signal.SIGTERM)

    def wait_for_exit(self):
        list_processes = self.list_processes()
        self.process.wait(MAX_WAIT_SECONDS)
        wait_for(lambda: not any(is_alive(one) for one in list_processes))

    def has_deregistered(self):
        """Whether it has begun to end: it says goodbye at once, and then wait_for_exit its work."""
        return not Worker.objects.filter(pk=self.row).exists()


@contextmanager
def worker(waits=SMALL_WAITS, **environment):
    """A worker that works; killed in the end if it is still there."""
    known = set(Worker.objects.values_list("pk", flat=True))
    with tempfile.TemporaryFile("w+") as log:
        started = WorkerProcess(log, waits | environment)
        try:
            wait_for(
                lambda: (
                    started.process.poll() is not None
                    or Worker.objects.exclude(pk__in=known).exists()
                )
            )
            assert started.process.poll() is None, "The worker did not start."
            started.row = Worker.objects.exclude(pk__in=known).get().pk
            yield started
        finally:
            if started.process.poll() is None:
                started.kill()
            log.seek(0)
            print(f"--- A worker said:\n{log.read()}---")


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- The site ----------------------------------------------------------------


class Site(NamedTuple):
    server: Server
    client: httpx.Client
    cookie: str

    def upload(self, content, name="customers.csv"):
        """The answer, and the import it names."""
        answer = self.client.post("/api/imports/", files={"file": (name, content)})
        return answer, ImportJob.objects.get(pk=answer.json()["id"]) if answer.is_success else None

    def snapshot(self, job):
        return self.client.get(f"/api/imports/{job.pk}/").raise_for_status().json()

    def stream(self, job):
        return self.server.stream(job, self.cookie)


@contextmanager
def site(user, **environment):
    """A real Daphne, and a program that is logged in as this user."""
    cookie = make_session_cookie(user)
    cookies = {settings.SESSION_COOKIE_NAME: cookie, settings.CSRF_COOKIE_NAME: CSRF}
    with (
        running_daphne(IMPORT_PING_SECONDS="1", IMPORT_POLL_SECONDS="0.5", **environment) as server,
        httpx.Client(
            base_url=f"http://127.0.0.1:{server.port}",
            cookies=cookies,
            headers={"X-CSRFToken": CSRF},
            timeout=MAX_WAIT_SECONDS,
            trust_env=False,
        ) as client,
    ):
        yield Site(server, client, cookie)


def upload_in_process(owner, content, name="customers.csv", **options):
    """An upload as the site does it, from this process."""
    file = SimpleUploadedFile(name, content)
    return lifecycle.upload(owner, file, importer="customers", **options)


# --- Redis -------------------------------------------------------------------


@contextmanager
def temporary_redis():
    """A Redis that a test may stop, and its address for the processes that use it."""
    with temporary_paths() as home, running_child(embedded_redis.make_server(home)) as server:
        yield server, {"REDIS_URL": embedded_redis.get_url(home)}


def flush_redis():
    with Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()


def list_queued_messages(client, queue="batches"):
    """Messages of a queue that wait or are in a worker's hands."""
    return set(client.hkeys(f"imports:{queue}.msgs"))


# --- Waiting -----------------------------------------------------------------


def wait_for(happened, seconds=MAX_WAIT_SECONDS):
    """How long it took."""
    return wait_until(happened, seconds)


def wait_until_final(*jobs, seconds=MAX_WAIT_SECONDS):
    for job in jobs:
        wait_for(lambda job=job: job.refresh_from_db() or job.is_final, seconds)


def wait_for_version_after(job):
    """The first later commit; how long it took."""
    seen = ImportJob.objects.get(pk=job.pk).version
    return wait_for(lambda: ImportJob.objects.get(pk=job.pk).version > seen)


def wait_until_idle():
    """No message waits, and every worker has said twice that its threads do nothing."""
    with Redis.from_url(settings.REDIS_URL) as client:
        wait_for(lambda: not client.llen("imports:batches") + client.llen("imports:checks"))
    for _ in range(2):
        said = dict(Worker.objects.values_list("pk", "heartbeat_at"))
        wait_for(
            lambda said=said: all(
                one.current_work == [] and one.heartbeat_at > said[one.pk]
                for one in Worker.objects.all()
            )
        )
