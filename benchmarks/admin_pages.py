"""Measure the admin with an import of a million rows: its pages, its batches, its rows, the lists.

    python -m benchmarks.admin_pages [rows] [batches] [jobs]

Starts its own servers. The data is created by SQL. A third of the rows are failed rows, for one of
three causes, of which one is rare. Every hundredth batch has crashed a worker. There are `jobs`
other imports of 20 batches.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

RUNS = 5
JOBS = """
INSERT INTO imports_importjob (id, owner_id, importer, on_duplicate, empty_cells, check_first,
       importer_options,
       read_options, file, file_name, file_size, file_digest, status, version, run,
       has_header_row, check_generation, cursor_row, reader_crashes, total, checked, processed,
       created, updated, unchanged, skipped, failed, progress_percent, created_at, started_at,
       phase_started_at, phase_rows, checked_at, to_update, finished_at, updated_at,
       detected_columns, read_summary)
SELECT gen_random_uuid(), %(owner)s, 'customers', 'skip', 'keep', false, '{}', '{}', '',
       %(name)s || n || '.xlsx', 60000000, '', 'COMPLETE', 1, 1, true, 1, %(rows)s + 1, 0,
       %(rows)s, %(rows)s, %(rows)s, %(rows)s - %(rows)s / 3, 0, 0, 0, %(rows)s / 3, 100, at, at,
       at, 0, at + interval '60 s', 0, at + interval '150 s', at,
       '{"header_row": 1, "headers": [], "positions": {}, "missing": []}', '{}'
  FROM generate_series(1, %(jobs)s) AS n, LATERAL (SELECT now() - n * interval '1 h' AS at) t
"""
BATCHES = """
INSERT INTO imports_importbatch (job_id, number, first_row, last_row, rows, enqueued_at, started_at,
       applied_at, worker, crashes)
SELECT job.id, n, (n - 1) * (job.total / %(batches)s) + 2, n * (job.total / %(batches)s) + 1,
       job.total / %(batches)s, job.created_at, job.checked_at + n * interval '20 ms',
       job.checked_at + (n + 2) * interval '20 ms', 'worker-' || n %% 4 || ':42', 0
  FROM imports_importjob job, generate_series(1, %(batches)s) AS n
 WHERE job.file_name LIKE %(name)s
"""
ATTEMPTS = """
INSERT INTO imports_importattempt (batch_id, session, worker, started_at)
SELECT id, '7 2026-01-01 00:00:00+00', 'worker-7:1', started_at
  FROM imports_importbatch WHERE number % 100 = 0
"""
CUSTOMERS = """
INSERT INTO customers_customer
       (shipping_mark, first_name, last_name, email, phone, created_at, updated_at)
SELECT 'MARK ' || n, 'Ama', 'Mensah', 'ama' || n || '@example.com',
       '+2332' || lpad(n::text, 8, '0'), now(), now()
  FROM generate_series(1, %(rows)s) AS n
"""
ROWS = """
INSERT INTO imports_importrow (job_id, number, target_id, cleaned, outcome, errors, cells)
SELECT job.id, n + 1, CASE WHEN n % 3 > 0 THEN n::text END, ARRAY['MARK ' || n, 'Ama',
       'Mensah', NULL, '+2332' || lpad(n::text, 8, '0')],
       CASE WHEN n % 3 = 0 THEN 'failed' END,
       CASE WHEN n % 3 = 0 THEN jsonb_build_array(jsonb_build_object('params', '{}'::jsonb,
            'field', CASE WHEN n % 2 = 0 THEN 'phone' ELSE 'email' END, 'value', 'call ' || n,
            'code', CASE WHEN n % 150000 = 0 THEN 'required' WHEN n % 2 = 0
                         THEN 'invalid_phone' ELSE 'invalid_email' END)) END,
       CASE WHEN n % 3 = 0 THEN '["MARK", "Ama", "Mensah", null, "call"]'::jsonb END
  FROM imports_importjob job, generate_series(1, job.total) AS n
 WHERE job.file_name = 'million1.xlsx'
"""


def main(rows: int = 1_000_000, batches: int = 4_000, jobs: int = 10_000) -> None:
    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth.models import User

        owner = User.objects.create_superuser("review")
        create_data(owner.pk, rows, batches, jobs)
        measure_pages(owner)


def create_data(owner: int, rows: int, batches: int, jobs: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for name, job_count, row_count, batch_count in (
            ("million", 1, rows, batches),
            ("small", jobs, 7_000, 20),
        ):
            cursor.execute(
                JOBS, {"owner": owner, "name": name, "jobs": job_count, "rows": row_count}
            )
            cursor.execute(BATCHES, {"batches": batch_count, "name": f"{name}%"})
        cursor.execute(ATTEMPTS)
        cursor.execute(CUSTOMERS, {"rows": rows})
        cursor.execute(ROWS)
        cursor.execute("VACUUM ANALYZE")
    print(f"{rows:,} rows in {batches:,} batches, {jobs:,} other imports of 20 batches", flush=True)


def measure_pages(owner: object) -> None:
    from django.test import Client
    from django.urls import reverse

    from customers.models import Customer
    from imports.models import ImportJob

    client = Client(SERVER_NAME="localhost")
    client.force_login(owner)
    job = ImportJob.objects.get(file_name="million1.xlsx")
    rows = reverse("admin:imports_importjob_rows", args=[job.pk])
    imports = reverse("admin:imports_importjob_changelist")
    batches = reverse("admin:imports_importbatch_changelist")
    customers = reverse("admin:customers_customer_changelist")
    for name, url in {
        "the import": reverse("admin:imports_importjob_change", args=[job.pk]),
        "its rows": rows,
        "its last 100 rows": f"{rows}?after={job.total - 99}",
        "its failed rows": f"{rows}?outcome=failed",
        "the rows of a frequent cause": f"{rows}?outcome=failed&column=email&code=invalid_email",
        "the rows of a rare cause": f"{rows}?outcome=failed&column=phone&code=required",
        "its batches": f"{batches}?job__id__exact={job.pk}",
        "batches that crashed a worker": f"{batches}?attempts=some",
        "all batches": batches,
        "the list of imports": imports,
        "the list of imports, searched": f"{imports}?q=small99",
        "the list of customers": customers,
        "a customer": f"{customers}{Customer.objects.latest('pk').pk}/change/",
    }.items():
        print_time(client, name, url)


def print_time(client: object, name: str, url: str) -> None:
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        response = client.get(url)
        times.append(time.perf_counter() - started)
        assert response.status_code == 200, url
    median, worst = statistics.median(times[1:]), max(times)
    size = len(response.content) // 1024
    print(f"{name:34}{median:8.3f} s, worst {worst:.3f} s, {size} kB", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
