"""Measure how long an import takes from the first byte of the upload, and its memory.

    python -m benchmarks.import_duration
    python -m benchmarks.import_duration --rows 1000000 --runs 1 --format csv
    python -m benchmarks.import_duration --url http://localhost:8000 --user demo --password demo

Without --url it starts its own servers, site and worker. With --url it uses a running site
(`make run`) and prints times only. Every file contains new customers: the seed of the sample is the
number of imports on the site.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    redirect_stdout,
    suppress,
)
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from customers import sample_data
from devserver.demo import FINAL_STATUSES, Client

POLL_SECONDS = 0.02
MAX_WAIT_SECONDS = 1800
MEGABYTES = 1024 * 1024
PASSWORD = "only-to-measure"


def main() -> int:
    arguments = parse_arguments()
    with ExitStack() as stack:
        costs = None
        if not arguments.url:
            arguments.url, costs = stack.enter_context(temporary_site())
            arguments.user, arguments.password = "timing", PASSWORD
        client = Client(arguments.url)
        client.log_in(arguments.user, arguments.password)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        print(f"{'':34}{'median':>10}{'worst':>10}   (seconds, {arguments.runs} runs)")
        for rows in arguments.rows:
            with costs.recorded() if costs else nullcontext():
                print_times(rows, measure_imports(client, folder, rows, arguments))
            if costs:
                costs.print_figures()
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.import_duration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help="URL of a running site")
    parser.add_argument("--user", default="demo")
    parser.add_argument("--password", default="demo")
    parser.add_argument(
        "--runs", type=int, default=10, help="runs after a first one that is not counted (10)"
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[7_000, 100_000])
    parser.add_argument("--format", choices=["xlsx", "csv"], default="xlsx")
    return parser.parse_args()


# --- Times -------------------------------------------------------------------


def measure_imports(
    client: Client, folder: Path, rows: int, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Return the seconds of each run, by name. The first run is not counted."""
    times: dict[str, list[float]] = {}
    for run in range(arguments.runs + 1):
        seed = client.count_imports() % len(sample_data.SEEDS)
        file = folder / f"customers-{rows}.{arguments.format}"
        sample_data.write_sample(file, rows, seed)
        for name, seconds in import_once(client, file, rows).items():
            times.setdefault(name, []).extend([seconds] if run else [])
    return times


def import_once(client: Client, file: Path, rows: int) -> dict[str, float]:
    """Import a file, and return the seconds, by name. Exits if the counts are not as expected."""
    started_at = time.monotonic()
    job = client.upload(file)
    responded = time.monotonic()
    first, last = None, job
    for last in client.stream_events(
        f"/api/imports/{job['id']}/events/", started_at + MAX_WAIT_SECONDS
    ):
        first = first or time.monotonic()
        if last["status"] in FINAL_STATUSES:
            break
    complete = time.monotonic()
    expected = sample_data.compute_expected_counts(rows)
    if {name: last[name] for name in expected} != expected:
        sys.exit(f"The counts differ from those of the sample. Is the table empty? {last}")
    return {
        "202 response": responded - started_at,
        "first event after the response": first - responded,
        "complete in the stream": complete - started_at,
    }


def print_times(rows: int, times: dict[str, list[float]]) -> None:
    print(f"{rows:,} rows")
    for name, seconds in times.items():
        print(f"  {name:32}{statistics.median(seconds):10.3f}{max(seconds):10.3f}", flush=True)


# --- Own servers, site and worker, and their memory --------------------------


@contextmanager
def temporary_site() -> Iterator[tuple[str, Costs]]:
    """Start servers, a site and a worker. Yields the site's URL and the costs of the worker."""
    from benchmarks.stream_subscribers import django_on
    from devserver.servers import temporary_servers

    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model

        from tests.processes import worker
        from tests.streams import running_daphne

        get_user_model().objects.create_superuser("timing", password=PASSWORD)
        with hidden_output(worker(timeouts={})) as worker_process, running_daphne() as server:
            yield f"http://127.0.0.1:{server.port}", Costs(worker_process.list_processes)


@contextmanager
def hidden_output(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    """Enter the context manager, and hide what it prints when it is left."""
    with redirect_stdout(StringIO()), manager as value, redirect_stdout(sys.__stdout__):
        yield value


class Costs:
    """Peak memory of the worker's processes in bytes, and size of a staged row."""

    def __init__(self, list_processes: Callable[[], list[psutil.Process]]) -> None:
        self.list_processes = list_processes
        self.peak: Counter[str] = Counter()
        self.peak_total = 0  # The highest sum of all processes.

    @contextmanager
    def recorded(self) -> Iterator[None]:
        self.peak.clear()
        self.peak_total = 0
        is_over = threading.Event()
        thread = threading.Thread(target=self.record_until, args=[is_over])
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def record_until(self, is_over: threading.Event) -> None:
        while not is_over.wait(POLL_SECONDS):
            sizes: Counter[str] = Counter()
            for process in self.list_processes():
                with suppress(psutil.Error):  # The reader has exited meanwhile.
                    kind = "reader" if "reader" in " ".join(process.cmdline()) else "worker"
                    sizes[kind] += process.memory_info().rss
            self.peak |= sizes  # Keep the larger value of each kind.
            self.peak_total = max(self.peak_total, sizes.total())

    def print_figures(self) -> None:
        for kind in ("worker", "reader"):
            print(f"  peak memory of the {kind:14}{self.peak[kind] / MEGABYTES:10.0f} MB")
        print(f"  bytes of a staged row          {measure_staged_row_bytes():10.0f}", flush=True)


def measure_staged_row_bytes() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_total_relation_size('imports_importrow')::float / count(*)"
            "  FROM imports_importrow"
        )
        return cursor.fetchone()[0]


if __name__ == "__main__":
    sys.exit(main())
