"""Measure the time, the memory and the size of failed-rows.xlsx and failed-rows.csv.

    python -m benchmarks.failed_rows_files [500000]

Starts its own servers. Also measures what it costs to stage the cells of valid rows. They are
staged only if the file has a filled column that no field uses.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryFile
from typing import Any

import psutil

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

POLL_SECONDS = 0.02
MEGABYTES = 1024 * 1024
STAGED_ROWS = 100_000
RUNS = 5
INSERT_FAILED_ROWS = """
INSERT INTO imports_importrow (job_id, number, outcome, matched, errors, cells)
SELECT %(job)s, n + 1, 'failed', false,
       jsonb_build_array(
           jsonb_build_object('field', 'phone', 'code', 'invalid_phone',
                              'params', jsonb_build_object(), 'value', 'none ' || n),
           jsonb_build_object('field', 'email', 'code', 'invalid_email',
                              'params', jsonb_build_object(), 'value', 'ama ' || n)),
       jsonb_build_array('MARK ' || n, 'Ama', 'Mensah', 'ama ' || n, 'none ' || n, n, 'a remark')
  FROM generate_series(1, %(rows)s) AS n
"""


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    with temporary_servers() as urls, django_on(urls):
        from imports.pipeline import failed_rows_file

        job = make_import(rows)
        headings = f"{'seconds':>12}{'CPU':>14}{'peak memory':>16}{'file':>10}"
        print(f"{rows:,} failed rows{headings}")
        for name, write in (
            ("csv", failed_rows_file.write_csv),
            ("xlsx", failed_rows_file.write_workbook),
        ):
            with TemporaryFile() as file, recorded_memory() as memory:
                started, cpu_seconds = time.monotonic(), time.process_time()
                write(job, file)
                cpu_seconds = time.process_time() - cpu_seconds
                seconds, size = time.monotonic() - started, file.seek(0, 2) / MEGABYTES
            growth = f"+{(memory[1] - memory[0]) / MEGABYTES:.0f} MB"
            print(
                f"  {name:18}{seconds:14.1f}{cpu_seconds:14.1f}{growth:>16}{size:7.0f} MB",
                flush=True,
            )
        print_staging()
    return 0


def make_import(rows: int) -> Any:
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
        detected_columns={
            "header_row": 1,
            "headers": headers,
            "positions": {field: number for number, field in enumerate(fields)},
            "missing": [],
        },
    )
    with connection.cursor() as cursor:
        cursor.execute(INSERT_FAILED_ROWS, {"job": job.pk, "rows": rows})
        cursor.execute("ANALYZE imports_importrow")
    return job


@contextmanager
def recorded_memory() -> Iterator[list[int]]:
    """Record the memory of this process. Yields a list: bytes at the start, bytes at the peak."""
    process, is_over = psutil.Process(), threading.Event()
    memory = [process.memory_info().rss] * 2

    def record() -> None:
        while not is_over.wait(POLL_SECONDS):
            memory[1] = max(memory[1], process.memory_info().rss)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield memory
    finally:
        is_over.set()
        thread.join()


def print_staging() -> None:
    """Print the CPU seconds of building the lines for COPY, for three kinds of files."""
    files = {
        "no other column": (5, lambda n: []),
        "an empty column": (7, lambda n: [None, None]),
        "two filled columns": (7, lambda n: [n, "a remark"]),
    }
    print(f"Lines for COPY of {STAGED_ROWS:,} valid rows, CPU seconds")
    for name, (width, make_extra_cells) in files.items():
        seconds = measure_minimum(partial(make_copy_lines, width, make_extra_cells))
        print(f"  {name:18}{seconds:14.3f} s", flush=True)


def make_copy_lines(width: int, make_extra_cells: Callable[[int], list]) -> Callable[[], None]:
    from imports.models import ImportJob
    from imports.pipeline import staging
    from imports.pipeline.row_block import RowBlock
    from imports.pipeline.row_validation import ValidatedBlock

    detected_columns = {
        "header_row": 1,
        "headers": ["x"] * width,
        "positions": {f"f{n}": n for n in range(5)},
        "missing": [],
    }
    values = ["MARK 1", "Ama", "Mensah", "ama@example.com", "+233244000001"]
    rows = RowBlock.from_rows([(n, values + make_extra_cells(n)) for n in range(STAGED_ROWS)])
    block = ValidatedBlock(rows, [[value] * STAGED_ROWS for value in values])
    keys = [str(n) for n in range(STAGED_ROWS)]
    job = ImportJob(detected_columns=detected_columns)
    return lambda: staging.format_block(job, block, iter(keys))


def measure_minimum(make_function: Callable[[], Callable[[], Any]]) -> float:
    """Return the CPU seconds of the fastest of several runs, without those of make_function."""
    function, times = make_function(), []
    for _ in range(RUNS):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
