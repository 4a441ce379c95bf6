"""Measure GET …/preview/ for an import of a million rows that is READY. Half of them are updates.

    python -m benchmarks.preview [rows]

Starts its own servers. There is no file: the rows are created by SQL.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

RUNS = 5
CUSTOMERS = """
INSERT INTO customers_customer
       (shipping_mark, first_name, last_name, email, phone, created_at, updated_at)
SELECT 'MARK ' || n, 'Ama', 'Mensah', 'ama' || n || '@example.com',
       '+2332' || lpad(n::text, 8, '0'), now(), now()
  FROM generate_series(1, %(rows)s / 2) AS n
"""
STAGED = """
INSERT INTO imports_importrow (job_id, number, target_id, cleaned)
SELECT %(job)s, n + 1, 10000000 + n, ARRAY['MARK ' || n, CASE WHEN n %% 3 > 0 THEN 'Kofi' END,
       'Mensah', NULL, '+2332' || lpad(n::text, 8, '0')]
  FROM generate_series(1, %(rows)s) AS n
"""


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with temporary_servers() as urls, django_on(urls):
        measure(rows)
    return 0


def measure(rows: int) -> None:
    from django.contrib.auth.models import User

    from imports import lifecycle, preview
    from imports.pipeline import file_checker

    job, seconds = timed(lambda: make_ready_import(rows))
    print(f"{rows:,} rows created and checked in {seconds:.1f} s, {job.to_update:,} updates")
    user = User.objects.create_superuser("reader")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = [timed(lambda: preview.build_preview(job, user)) for _ in range(RUNS)]
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    times = [seconds for _, seconds in results]
    print(f"preview: median {statistics.median(times):.3f} s, worst {max(times):.3f} s")
    print(f"memory grew by {growth:.1f} MB; {len(str(results[0][0])):,} characters")
    _, seconds = timed(lambda: lifecycle.check_again(job.pk, {"on_duplicate": "skip"}))
    print(f"PATCH: {seconds:.3f} s")
    _, seconds = timed(lambda: file_checker.acquire_lease(job.pk))
    print(f"the old rows are deleted in {seconds:.1f} s")


def make_ready_import(rows: int) -> object:
    """Create an import with staged rows, and finish its check."""
    from django.contrib.auth.models import User
    from django.db import connection

    from imports.models import ImportJob
    from imports.pipeline.check_completion import finish_check
    from imports.statuses import Status

    job = ImportJob.objects.create(
        owner=User.objects.create_user("preview"),
        importer="customers",
        on_duplicate="update",
        check_first=True,
        file_name="million.csv",
        file_size=1,
        detected_columns={"header_row": 1, "headers": [], "positions": {}, "missing": []},
    )
    ImportJob.objects.transition(job.pk, Status.CHECKING)
    with connection.cursor() as cursor:
        cursor.execute(CUSTOMERS, {"rows": rows})
        cursor.execute(STAGED, {"rows": rows, "job": job.pk})
        cursor.execute("ANALYZE customers_customer, imports_importrow")
    ImportJob.objects.filter(pk=job.pk).update(checked=rows, cursor_row=rows + 1)
    return finish_check(ImportJob.objects.get(pk=job.pk))


def timed(function):
    """Call the function, and return its result and the seconds."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
