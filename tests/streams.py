"""A Daphne server on the test database, and clients that read its streams as a browser does."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db.models import F
from django.test import Client

from imports.models import ImportJob
from imports.statuses import Status
from tests.database import connection

PROJECT = Path(__file__).resolve().parents[1]
MAX_WAIT_SECONDS = 60  # The machine may be busy, or a server may be starting.
STOP_SECONDS = 30
TRANSITIONS_TO_STATUS = {
    Status.QUEUED: (),
    Status.CHECKING: (Status.CHECKING,),
    Status.MAPPING: (Status.CHECKING, Status.MAPPING),
    Status.READY: (Status.CHECKING, Status.READY),
    Status.RUNNING: (Status.CHECKING, Status.RUNNING),
    Status.PAUSED: (Status.CHECKING, Status.RUNNING, Status.PAUSED),
    Status.UNDOING: (Status.CHECKING, Status.RUNNING, Status.COMPLETE, Status.UNDOING),
}


def make_job(owner, status=Status.RUNNING):
    """Create an import without a file in the given status."""
    job = ImportJob.objects.create(owner=owner, importer="customers", file_size=1)
    for target in TRANSITIONS_TO_STATUS[status]:
        job = transition(job, target)
    return job


def transition(job, target, **error):
    """Change the status of an import. For COMPLETE, first all checked rows get an outcome."""
    if target == Status.COMPLETE:
        checked = F("checked")
        ImportJob.objects.filter(pk=job.pk).update(
            total=checked, processed=checked, created=checked
        )
    return ImportJob.objects.transition(job.pk, target, **error)


def check_one_row(job):
    """Check one more row and commit it, without publishing the progress."""
    ImportJob.objects.filter(pk=job.pk).update(version=F("version") + 1, checked=F("checked") + 1)
    job.refresh_from_db()
    return job


def make_session_cookie(user):
    """Return the session cookie of a new session."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


class Server(NamedTuple):
    port: int
    process: subprocess.Popen
    errors: Path

    def stream(self, job, cookie=None, **options):
        return Stream(self.port, f"/api/imports/{job.pk}/events/", cookie, **options)


@contextmanager
def running_daphne(
    port=0, options=("-v", "0"), *, application="config.asgi:application", **environment
):
    """Run Daphne on the test database.

    The socket listens before Daphne runs, so clients need not wait for its start.
    """
    with (
        socket.create_server(("127.0.0.1", port), backlog=1024) as listener,
        tempfile.NamedTemporaryFile() as errors,
    ):
        command = [
            "-m",
            "imports.server",
            *options,
            "--no-server-name",
            "--fd",
            str(listener.fileno()),
        ]
        process = subprocess.Popen(
            [sys.executable, *command, application],
            cwd=PROJECT,
            env=os.environ | get_django_environment() | environment,
            pass_fds=[listener.fileno()],
            stderr=errors,
        )
        try:
            yield Server(listener.getsockname()[1], process, Path(errors.name))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def get_django_environment():
    database = connection.settings_dict
    user = f"{database['USER']}:{quote(database['PASSWORD'])}"
    port = f":{database['PORT']}" if database["PORT"] else ""
    options = urlencode(database["OPTIONS"])
    # An override of the settings has no module.
    module = os.environ["DJANGO_SETTINGS_MODULE"]
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings" if module == "tests.settings" else module,
        "DATABASE_URL": f"postgres://{user}@{database['HOST']}{port}/{database['NAME']}?{options}",
        "REDIS_URL": settings.IMPORTS_REDIS_URL,
        "LOG_LEVEL": "WARNING",
        # Tests and benchmarks upload faster than people.
        "IMPORTS_MAX_UPLOADS_PER_USER_PER_MINUTE": "1000000",
        "IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER": "1000000",
        "PYTHONWARNINGS": "ignore",  # Warnings about directories that exist only in a deployment.
    }


class Event(NamedTuple):
    name: str
    id: str | None
    snapshot: dict | None


PING = Event("ping", None, None)


class Stream:
    """One HTTP connection with a stream, which is read event by event."""

    def __init__(self, port, path, cookie=None, *, method="GET", last_event_id=None, **headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=MAX_WAIT_SECONDS)
        if cookie:
            headers["Cookie"] = f"{settings.SESSION_COOKIE_NAME}={cookie}"
        if last_event_id is not None:
            headers["Last-Event-ID"] = str(last_event_id)
        self.connection.request(method, path, headers=headers)
        self.response = self.connection.getresponse()
        self.status, self.headers = self.response.status, self.response.headers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.response.close()
        self.connection.close()

    def next(self, *, pings=False):
        """Return the next event, or None at the end of the response.

        Heartbeats are skipped unless `pings` is true.
        """
        fields = {}
        while line := self.response.readline().decode():
            name, _, value = line.removesuffix("\n").partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            elif value and pings:
                return PING
            elif not value:  # An empty line ends the event.
                return Event(fields["event"], fields["id"], json.loads(fields["data"]))
        return None

    def read_line(self):
        return self.response.readline().decode()

    def rest(self):
        """Return all events until the server ends the response."""
        return list(iter(self.next, None))

    def read_json(self):
        return json.loads(self.response.read())


def get_stream_error(server, job, cookie=None, **options):
    """Return status and error code of a response that is no stream."""
    with server.stream(job, cookie, **options) as response:
        return response.status, response.read_json()["code"]


def wait_until(condition, seconds=MAX_WAIT_SECONDS):
    """Wait for a condition and return the seconds it took. Fail after `seconds`."""
    started = time.monotonic()
    while not condition():
        elapsed = time.monotonic() - started
        assert elapsed < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - started


def is_lock_awaited(cursor, table):
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = %s::regclass)",
        [table],
    )
    return cursor.fetchone()[0]


@contextmanager
def stalled_clients(server, job, cookie, count):
    """Open connections that request a stream and never read it."""
    path = f"/api/imports/{job.pk}/events/"
    cookies = f"Cookie: {settings.SESSION_COOKIE_NAME}={cookie}"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{cookies}\r\n\r\n".encode()
    with open_sockets(count) as sockets:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.connect(("127.0.0.1", server.port))
            each.sendall(request)
        yield


@contextmanager
def open_sockets(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        yield sockets
    finally:
        for each in sockets:
            with closing(each):
                pass
