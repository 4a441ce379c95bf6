"""Measure fifty simultaneous uploads of 1,000 rows each by ten users.

    python -m benchmarks.concurrent_uploads

Starts its own servers, site and worker. The exit status is 1 unless every import is COMPLETE.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.import_duration import temporary_site
from customers import sample_data

USERS = 10
UPLOADS = 50
ROWS = 1_000
POLL_SECONDS = 0.05
MAX_WAIT_SECONDS = 120
# Statuses in which an import waits for a person.
WAITING_STATUSES = frozenset({"MAPPING", "READY"})


def main() -> int:
    with ExitStack() as stack:
        url, _ = stack.enter_context(temporary_site())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        clients = [stack.enter_context(make_client(url, token)) for token in make_tokens()]
        files = [folder / f"{seed}.xlsx" for seed in range(UPLOADS)]
        for seed, file in enumerate(files):
            sample_data.write_sample(file, ROWS, seed)
        connections = stack.enter_context(Connections())
        threads = stack.enter_context(ThreadPoolExecutor(UPLOADS))
        barrier = threading.Barrier(UPLOADS)
        started = time.perf_counter()
        uploads = [
            threads.submit(upload, clients[number % USERS], file, barrier)
            for number, file in enumerate(files)
        ]
        durations, urls = zip(*(result.result() for result in uploads), strict=True)
        statuses = [wait_for_end(clients[number % USERS], url) for number, url in enumerate(urls)]
        total = time.perf_counter() - started
    print(f"{UPLOADS} uploads of {ROWS:,} rows by {USERS} users: {sorted(set(statuses))}")
    print(f"POST: median {statistics.median(durations):.2f} s, slowest {max(durations):.2f} s")
    print(f"all ended after {total:.1f} s; at most {connections.maximum} database connections")
    return 0 if set(statuses) == {"COMPLETE"} else 1


def make_tokens() -> list[str]:
    """Create the users, and return an access token for each."""
    from django.contrib.auth.models import Permission, User
    from rest_framework_simplejwt.tokens import AccessToken

    users = [User.objects.create_user(f"user-{number}") for number in range(USERS)]
    permissions = Permission.objects.filter(codename__in=["add_importjob", "add_customer"])
    for user in users:
        user.user_permissions.set(permissions)
    return [str(AccessToken.for_user(user)) for user in users]


def make_client(url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, timeout=MAX_WAIT_SECONDS)


def upload(client: httpx.Client, file: Path, barrier: threading.Barrier) -> tuple[float, str]:
    """Upload when all threads have reached the barrier. Return the seconds and the import's URL."""
    content = file.read_bytes()
    barrier.wait()
    started = time.perf_counter()
    response = client.post("/api/imports/", files={"file": (file.name, content)})
    return time.perf_counter() - started, response.raise_for_status().headers["Location"]


def wait_for_end(client: httpx.Client, url: str) -> str:
    """Poll the import until it ends or waits for a person, and return its status."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < deadline:
        job = client.get(url).raise_for_status().json()
        if job["poll_after_seconds"] is None or job["status"] in WAITING_STATUSES:
            return job["status"]
        time.sleep(POLL_SECONDS)
    return "NOT ENDED"


class Connections:
    """Count the sessions of PostgreSQL. `maximum` excludes the session that counts."""

    def __enter__(self) -> Connections:
        self.maximum = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.count_sessions)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def count_sessions(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            while not self.done.wait(POLL_SECONDS):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
                self.maximum = max(self.maximum, cursor.fetchone()[0])
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
