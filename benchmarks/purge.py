"""Measure the deletion of many staged rows, and what it costs an import that runs beside it.

    python -m benchmarks.purge [staged rows] [rows of the import] [repetitions]

Starts its own PostgreSQL and Redis, and one worker as in production. Each repetition runs an import
without and one with a deletion: the contents of an import with the staged rows are deleted on
demand, and a file is uploaded at the same moment. The command prints the duration of the deletion
with the import beside it, the durations of both imports and their ratio. At the end one deletion
runs alone. The exit status is 1 unless every import is exact and every staged row is gone.
"""

import statistics
import sys
import time

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

MAX_WAIT_SECONDS = 600
# As a file with five columns leaves them. Every twentieth row has failed.
STAGE_ROWS = """
INSERT INTO imports_importrow (job_id, number, outcome, target_id, cleaned, errors, cells)
SELECT %(job)s, n, CASE WHEN n %% 20 = 0 THEN 'failed' END,
       CASE WHEN n %% 20 > 0 THEN n::text END,
       ARRAY['MARK ' || n, 'Ama', 'Mensah' || n, 'ama' || n || '@example.com', '+23324' || n],
       CASE WHEN n %% 20 = 0
            THEN '[{"field": "phone", "code": "invalid_phone", "params": {}}]'::jsonb END,
       CASE WHEN n %% 20 = 0 THEN jsonb_build_array('MARK ' || n, 'Ama', 'Mensah', '', '12') END
  FROM generate_series(2, %(rows)s + 1) AS n
"""
PLAN_BATCHES = """
INSERT INTO imports_importbatch (job_id, number, first_row, last_row, rows, crashes, worker,
                                 applied_at, started_at)
SELECT %(job)s, n, n * 5000, n * 5000 + 4999, 5000, 0, 'host:1', now(), now()
  FROM generate_series(1, %(rows)s / 5000) AS n
"""


def main(staged=1_000_000, rows=20_000, repetitions=3):
    with temporary_servers() as urls, django_on(urls):
        benchmark = PurgeBenchmark(staged, rows)
        ratios = []
        with benchmark.processes.worker(timeouts={}):
            benchmark.measure_import()  # The first import of a worker is slower.
            for number in range(1, repetitions + 1):
                alone = benchmark.measure_import()
                beside, purge = benchmark.measure_import_beside_purge()
                ratios.append(beside / alone)
                print(
                    f"{number}  import alone {alone:.2f} s, beside the deletion {beside:.2f} s, "
                    f"ratio {beside / alone:.2f}; deletion of {staged:,} rows {purge:.1f} s",
                    flush=True,
                )
            purge = benchmark.measure_purge()
        print(f"median ratio {statistics.median(ratios):.2f}; deletion alone {purge:.1f} s")
    return 0 if benchmark.is_exact else 1


class PurgeBenchmark:
    """Imports of one sample into an empty table, and deletions of staged rows."""

    def __init__(self, staged, rows):
        # These modules need Django, which is set up only now.
        from django.contrib.auth import get_user_model

        from tests import invariants, processes

        self.processes = processes
        self.staged = staged
        self.sample = invariants.make_sample(rows)
        self.owner = get_user_model().objects.create_superuser("alice")
        self.is_exact = True

    def measure_import(self):
        """Return the seconds from the upload to the end of the import."""
        started = time.monotonic()
        job = self.upload_sample()
        self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)
        seconds = time.monotonic() - started
        self.check_import(job)
        return seconds

    def measure_import_beside_purge(self):
        """Return the seconds of the import, and those of the deletion that began with it."""
        large = self.stage_large_import()
        started = self.delete_contents(large)
        import_seconds = self.measure_import()
        if not self.needs_purge(large):
            print("The deletion ended before the import. Use more staged rows.")
        self.wait_until_purged(large)
        return import_seconds, self.get_purge_seconds(started)

    def measure_purge(self):
        """Return the seconds of a deletion that runs alone."""
        large = self.stage_large_import()
        started = self.delete_contents(large)
        self.wait_until_purged(large)
        return self.get_purge_seconds(started)

    def upload_sample(self):
        from customers.models import Customer

        Customer.objects.all().delete()
        return self.processes.upload_in_process(self.owner, self.sample.content, self.sample.name)

    def check_import(self, job):
        from customers.models import Customer

        expected = len(self.sample.customers)
        if (job.status, job.created, Customer.objects.count()) != ("COMPLETE", expected, expected):
            print(f"NOT EXACT: {job.status}, {job.created:,} created, {expected:,} expected")
            self.is_exact = False

    def stage_large_import(self):
        """Return a cancelled import with as many staged rows as the benchmark deletes."""
        from django.core.files.base import ContentFile

        from imports import lifecycle
        from imports.models import ImportJob
        from imports.postgres import open_cursor

        job = self.processes.upload_in_process(
            self.owner, b"empty\n", "large.csv", should_enqueue=False, check_first=True
        )
        job = lifecycle.cancel(job)
        job.file.save("large", ContentFile(b"x" * 50_000_000), save=False)
        ImportJob.objects.filter(pk=job.pk).update(file=job.file.name)
        with open_cursor() as cursor:
            parameters = {"job": job.pk, "rows": self.staged}
            cursor.execute(STAGE_ROWS, parameters)
            cursor.execute(PLAN_BATCHES, parameters)
            cursor.execute("VACUUM ANALYZE imports_importrow")
            cursor.execute("CHECKPOINT")
        return job

    def delete_contents(self, job):
        """Delete the contents on demand, and return when this began."""
        from django.utils import timezone

        from imports import lifecycle

        started = timezone.now()
        lifecycle.delete_contents(job)
        return started

    def needs_purge(self, job):
        from imports.models import ImportJob

        return ImportJob.objects.get(pk=job.pk).needs_purge

    def wait_until_purged(self, job):
        from imports.models import ImportRow

        self.processes.wait_for(lambda: not self.needs_purge(job), MAX_WAIT_SECONDS)
        if ImportRow.objects.filter(job=job).exists():
            print("NOT EXACT: some staged rows are left")
            self.is_exact = False

    def get_purge_seconds(self, started):
        """Return the seconds until the run that has deleted the rows was finished."""
        from imports.models import PurgeRun

        runs = PurgeRun.objects.filter(finished_at__isnull=False, started_at__gte=started)
        self.processes.wait_for(runs.exists, MAX_WAIT_SECONDS)
        return (runs.latest("finished_at").finished_at - started).total_seconds()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
