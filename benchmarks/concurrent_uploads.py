"""Fifty uploads at once, by ten users, of 1,000 rows each: does anything break, and how slow is it?

python -m benchmarks.concurrent_uploads          on servers, a site and a worker of its own
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

from benchmarks.import_duration import everything_of_its_own
from customers import sample_data

USERS, UPLOADS, ROWS = 10, 50, 1_000
LOOK_SECONDS = 0.05
LONGEST_SECONDS = 120
FOR_A_PERSON = frozenset({"MAPPING", "READY"})  # Nothing more happens until one answers.


def main() -> int:
    with ExitStack() as stack:
        url, _ = stack.enter_context(everything_of_its_own())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        clients = [stack.enter_context(client_of(url, token)) for token in tokens()]
        files = [folder / f"{seed}.xlsx" for seed in range(UPLOADS)]
        for seed, file in enumerate(files):
            sample_data.write_sample(file, ROWS, seed)
        connections = stack.enter_context(Connections())
        threads = stack.enter_context(ThreadPoolExecutor(UPLOADS))
        together = threading.Barrier(UPLOADS)
        began = time.perf_counter()
        posts = [
            threads.submit(post, clients[number % USERS], file, together)
            for number, file in enumerate(files)
        ]
        took, addresses = zip(*(each.result() for each in posts), strict=True)
        ends = [wait(clients[number % USERS], one) for number, one in enumerate(addresses)]
        everything = time.perf_counter() - began
    print(f"{UPLOADS} uploads of {ROWS:,} rows by {USERS} users: {sorted(set(ends))}")
    print(f"POST: median {statistics.median(took):.2f} s, slowest {max(took):.2f} s")
    print(f"all COMPLETE after {everything:.1f} s; most database connections {connections.most}")
    return 0 if set(ends) == {"COMPLETE"} else 1


def tokens() -> list[str]:
    from django.contrib.auth.models import Permission, User
    from rest_framework_simplejwt.tokens import AccessToken

    people = [User.objects.create_user(f"user-{number}") for number in range(USERS)]
    for person in people:
        person.user_permissions.set(Permission.objects.filter(codename="add_importjob"))
    return [str(AccessToken.for_user(person)) for person in people]


def client_of(url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, timeout=LONGEST_SECONDS)


def post(client: httpx.Client, file: Path, together: threading.Barrier) -> tuple[float, str]:
    content = file.read_bytes()
    together.wait()
    began = time.perf_counter()
    answer = client.post("/api/imports/", files={"file": (file.name, content)})
    return time.perf_counter() - began, answer.raise_for_status().headers["Location"]


def wait(client: httpx.Client, address: str) -> str:
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        job = client.get(address).raise_for_status().json()
        if job["poll_after_seconds"] is None or job["status"] in FOR_A_PERSON:
            return job["status"]
        time.sleep(LOOK_SECONDS)
    return "NOT ENDED"


class Connections:
    """How many sessions PostgreSQL had at most, ours that asks not among them."""

    def __enter__(self) -> Connections:
        self.most = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def look(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            while not self.done.wait(LOOK_SECONDS):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
                self.most = max(self.most, cursor.fetchone()[0])
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
