"""What a report of refused rows costs: time, peak memory and size, as a workbook and as CSV.

    python -m benchmarks.failed_rows_files [500000]           on servers of its own

And what it costs at staging to keep the cells of good rows, which is done only where a file
has a filled column that no field takes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

import psutil

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

LOOK_SECONDS = 0.02
MEGABYTES = 1024 * 1024
STAGED_ROWS = 100_000
RUNS = 5
REFUSED = """
INSERT INTO imports_importrow (job_id, number, outcome, matched, errors, cells)
SELECT %(job)s, n + 1, 'failed', false,
       jsonb_build_array(
           jsonb_build_object('column', 'phone', 'code', 'invalid_phone',
                              'params', jsonb_build_object(), 'value', 'none ' || n),
           jsonb_build_object('column', 'email', 'code', 'invalid_email',
                              'params', jsonb_build_object(), 'value', 'ama ' || n)),
       jsonb_build_array('MARK ' || n, 'Ama', 'Mensah', 'ama ' || n, 'none ' || n, n, 'a remark')
  FROM generate_series(1, %(rows)s) AS n
"""


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    with temporary_servers() as urls, django_on(urls):
        from imports.pipeline import failed_rows_file

        job = refused_import(rows)
        heads = f"{'seconds':>12}{'of processor':>14}{'memory at peak':>16}{'file':>10}"
        print(f"{rows:,} refused rows{heads}")
        for name, write in (
            ("csv", failed_rows_file.write_csv),
            ("xlsx", failed_rows_file.write_workbook),
        ):
            with TemporaryFile() as file, watched() as seen:
                began, worked = time.monotonic(), time.process_time()
                write(job, file)
                worked = time.process_time() - worked
                seconds, size = time.monotonic() - began, file.seek(0, 2) / MEGABYTES
            grown = f"+{(seen[1] - seen[0]) / MEGABYTES:.0f} MB"
            print(f"  {name:18}{seconds:14.1f}{worked:14.1f}{grown:>16}{size:7.0f} MB", flush=True)
        print_staging()
    return 0


def refused_import(rows: int) -> Any:
    from django.db import connection

    from imports.models import ImportJob

    headers = ["Shipping mark", "First name", "Last name", "E-mail", "Phone", "No", "Remark"]
    fields = ("shipping_mark", "first_name", "last_name", "email", "phone")
    job = ImportJob.objects.create(
        importer="customers",
        file_size=1,
        failed=rows,
        processed=rows,
        checked=rows,
        detected_columns={"headers": headers, "positions": {f: n for n, f in enumerate(fields)}},
    )
    with connection.cursor() as cursor:
        cursor.execute(REFUSED, {"job": job.pk, "rows": rows})
        cursor.execute("ANALYZE imports_importrow")
    return job


@contextmanager
def watched() -> Iterator[list[int]]:
    """Memory of this process: before, and at its highest."""
    process, over = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss] * 2

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            seen[1] = max(seen[1], process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def print_staging() -> None:
    """The lines for COPY of good rows, for files of three kinds; the best of some runs."""
    kinds = {
        "no other column": (5, lambda n: []),
        "an empty one": (7, lambda n: [None, None]),
        "two filled ones": (7, lambda n: [n, "a remark"]),
    }
    print(f"Lines for COPY of {STAGED_ROWS:,} good rows, seconds of processor")
    for name, (width, more) in kinds.items():
        print(f"  {name:18}{best(lambda w=width, m=more: staged_lines(w, m)):14.3f} s", flush=True)


def staged_lines(width: int, more: Callable[[int], list]) -> Callable[[], None]:
    from imports.models import ImportJob
    from imports.pipeline import staging
    from imports.pipeline.row_validation import ValidatedRow

    layout = {"headers": ["x"] * width, "positions": {f"f{n}": n for n in range(5)}}
    values = ["MARK 1", "Ama", "Mensah", "ama@example.com", "+233244000001"]
    rows = [ValidatedRow(n, values, None, values + more(n)) for n in range(STAGED_ROWS)]
    keys = [str(n) for n in range(STAGED_ROWS)]
    return lambda: "".join(
        staging._format_rows(ImportJob(detected_columns=layout), rows, iter(keys))
    )


def best(prepare: Callable[[], Callable[[], Any]]) -> float:
    work, times = prepare(), []
    for _ in range(RUNS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
