"""Undo an import of 100,000 created and 10,000 updated rows, some of them edited or used since.

    python -m benchmarks.undo [created] [updated]

Starts its own servers, and uses the timeouts of production. The first run undoes without a fault.
In the second run, the worker's process group is killed when half of the rows are undone, and a new
worker is started. Both runs must have the counts of the preview, and must leave the same
customers. The exit status is 1 if not.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, redirect_stdout
from io import StringIO

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

MAX_WAIT_SECONDS = 600
EMPTY_TABLES = """
TRUNCATE customers_customer, imports_importjob, imports_importbatch, imports_importattempt,
         imports_importrow, imports_storedfile, imports_storedchunk RESTART IDENTITY CASCADE
"""
CREATE_CARDS = """
CREATE TABLE loyalty_card (customer_id bigint REFERENCES customers_customer ON DELETE CASCADE)
"""
EXISTING = """
INSERT INTO customers_customer
       (shipping_mark, first_name, last_name, email, phone, created_at, updated_at)
SELECT 'MARK ' || n, 'Ama', 'Mensah', 'ama' || n || '@example.com',
       '+2332' || lpad(n::text, 8, '0'), now(), now()
  FROM generate_series(1, %s) AS n
"""
# One in a hundred records is edited, one in two hundred deleted or referred to, and of the updated
# records one in fifty has a value before the import that another record takes.
CHANGES = {
    "edited": "UPDATE customers_customer SET first_name = 'Esi' WHERE id %% 100 = 1",
    "deleted": "DELETE FROM customers_customer WHERE id %% 200 = 2",
    "referred_to": """
        INSERT INTO loyalty_card SELECT id FROM customers_customer
         WHERE id %% 200 = 3 AND id > %(updated)s""",
    "values_taken": """
        INSERT INTO customers_customer
               (shipping_mark, first_name, last_name, phone, created_at, updated_at)
        SELECT 'NEW ' || id, 'New', 'Person', '+2332' || lpad(id::text, 8, '0'), now(), now()
          FROM customers_customer WHERE id %% 50 = 4 AND id <= %(updated)s""",
}
DIGEST = """
SELECT count(*), md5(string_agg(concat_ws('|', shipping_mark, first_name, last_name, email, phone),
                                ',' ORDER BY shipping_mark)) FROM customers_customer
"""


def main(created: int = 100_000, updated: int = 10_000) -> int:
    with temporary_servers() as urls, django_on(urls):
        benchmark = UndoBenchmark(created, updated)
        results = [benchmark.run(is_killed=is_killed) for is_killed in (False, True)]
    is_exact = results[0] == results[1] and results[0][-1] is True
    print("the same counts and customers" if is_exact else "NOT THE SAME")
    return 0 if is_exact else 1


class UndoBenchmark:
    """Imports of one file, each of which is undone."""

    def __init__(self, created: int, updated: int) -> None:
        from django.contrib.auth import get_user_model

        from tests import processes
        from tests.factories import make_csv

        self.created, self.updated = created, updated
        self.processes = processes
        self.owner = get_user_model().objects.create_superuser("alice")
        rows = [
            [f"MARK {n}", "Kofi", "Mensah", f"ama{n}@example.com", f"+2335{n:08d}"]
            for n in range(1, created + updated + 1)
        ]
        self.content = make_csv(rows)
        self.execute(CREATE_CARDS)

    def run(self, *, is_killed: bool) -> tuple[object, ...]:
        """Import the file, change records, undo the import, and return what is left."""
        job = self.make_import()
        for statement in CHANGES.values():
            self.execute(statement, {"updated": self.updated})
        preview, preview_seconds = self.build_preview(job)
        started = time.monotonic()
        self.undo(job, is_killed=is_killed)
        seconds = time.monotonic() - started
        counts = (job.removed, job.restored, job.kept)
        digest = self.execute(DIGEST)
        is_expected = counts == (preview["removed"], preview["restored"], preview["kept"])
        print(
            f"{'killed half-way' if is_killed else 'without a fault'}: "
            f"{job.removed:,} removed, {job.restored:,} restored, {job.kept:,} kept in "
            f"{seconds:.1f} s; preview in {preview_seconds:.2f} s"
            f"{'' if is_expected else f', but it was {preview}'}",
            flush=True,
        )
        for reason in preview["reasons"]:
            print(f"    {reason['count']:>6,} {reason['code']}")
        return job.status, counts, preview, digest, is_expected

    def make_import(self):
        self.execute(EMPTY_TABLES)
        self.execute(EXISTING, [self.updated])
        with self.running_worker():
            job = self.processes.upload_in_process(
                self.owner, self.content, "customers.csv", on_duplicate="update"
            )
            self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)
        assert (job.created, job.updated) == (self.created, self.updated), job.status
        return job

    def build_preview(self, job):
        from imports import lifecycle

        started = time.monotonic()
        preview = lifecycle.preview_undo(job)
        return preview, time.monotonic() - started

    def undo(self, job, *, is_killed: bool) -> None:
        from imports import lifecycle

        with self.running_worker() as worker:
            lifecycle.undo(job.pk)
            if is_killed:
                self.processes.wait_for(
                    lambda: job.refresh_from_db() or 2 * job.undone >= job.written,
                    MAX_WAIT_SECONDS,
                )
                worker.kill()
            else:
                self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)
        if is_killed:
            print(f"killed after {job.undone:,} of {job.written:,} rows")
            with self.running_worker():
                self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)

    def execute(self, statement: str, parameters: object = None) -> object:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or [])
            return cursor.fetchone() if cursor.description else None

    @contextmanager
    def running_worker(self):
        """Start a worker as in production. Its output is shown only if something fails."""
        output = StringIO()
        try:
            with redirect_stdout(output), self.processes.worker(timeouts={}) as worker:
                yield worker
        except BaseException:
            print(output.getvalue(), file=sys.stderr)
            raise


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
