"""How long an import takes from the POST's first byte, and what it costs.

    python -m benchmarks.import_duration                  on servers, a site and a worker of its own
    python -m benchmarks.import_duration --url http://localhost:8000 --user demo --password demo

    python -m benchmarks.import_duration --rows 1000000 --runs 1 --format csv

The second form asks a site that runs already (`make run`) and shows times only. Every
file holds new customers: seeds go on from the number of imports the site has seen.
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

LOOK_SECONDS = 0.02
LONGEST_SECONDS = 1800
MEGABYTES = 1024 * 1024
PASSWORD = "only-to-measure"


def main() -> int:
    arguments = parse()
    with ExitStack() as stack:
        costs = None
        if not arguments.url:
            arguments.url, costs = stack.enter_context(everything_of_its_own())
            arguments.user, arguments.password = "timing", PASSWORD
        client = Client(arguments.url)
        client.log_in(arguments.user, arguments.password)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        print(f"{'':34}{'median':>10}{'worst':>10}   (seconds, {arguments.runs} runs)")
        for rows in arguments.rows:
            with costs.watched() if costs else nullcontext():
                print_times(rows, measure(client, folder, rows, arguments))
            if costs:
                costs.show()
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.import_duration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help="a site that runs already")
    parser.add_argument("--user", default="demo")
    parser.add_argument("--password", default="demo")
    parser.add_argument("--runs", type=int, default=10, help="after one to warm up (10)")
    parser.add_argument("--rows", type=int, nargs="+", default=[7_000, 100_000])
    parser.add_argument("--format", choices=["xlsx", "csv"], default="xlsx")
    return parser.parse_args()


# --- Times -------------------------------------------------------------------


def measure(
    client: Client, folder: Path, rows: int, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Times of each run; the first one only warms up."""
    times: dict[str, list[float]] = {}
    for run in range(arguments.runs + 1):
        seed = client.count_imports() % len(sample_data.SEEDS)
        file = folder / f"customers-{rows}.{arguments.format}"
        sample_data.write_sample(file, rows, seed)
        for name, seconds in import_once(client, file, rows).items():
            times.setdefault(name, []).extend([seconds] if run else [])
    return times


def import_once(client: Client, file: Path, rows: int) -> dict[str, float]:
    began = time.monotonic()
    job = client.upload(file)
    answered = time.monotonic()
    first, last = None, job
    for last in client.stream_events(f"/api/imports/{job['id']}/events/", began + LONGEST_SECONDS):
        first = first or time.monotonic()
        if last["status"] in FINAL_STATUSES:
            break
    complete = time.monotonic()
    expected = sample_data.expected_counts(rows)
    if {name: last[name] for name in expected} != expected:
        sys.exit(f"Not what the sample promises, is the table empty? {last}")
    return {
        "202 answered": answered - began,
        "first event, after connecting": first - answered,
        "complete, at the stream's client": complete - began,
    }


def print_times(rows: int, times: dict[str, list[float]]) -> None:
    print(f"{rows:,} rows")
    for name, seconds in times.items():
        print(f"  {name:32}{statistics.median(seconds):10.3f}{max(seconds):10.3f}", flush=True)


# --- Servers, site and worker of its own, and what they cost -----------------


@contextmanager
def everything_of_its_own() -> Iterator[tuple[str, Costs]]:
    from benchmarks.stream_subscribers import django_on
    from devserver.servers import temporary_servers

    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model

        from tests.processes import worker
        from tests.streams import running_daphne

        get_user_model().objects.create_superuser("timing", password=PASSWORD)
        with quiet(worker(timeouts={})) as started, running_daphne() as server:
            yield f"http://127.0.0.1:{server.port}", Costs(started.list_processes)


@contextmanager
def quiet(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    """Without what it prints in the end."""
    with redirect_stdout(StringIO()), manager as value, redirect_stdout(sys.__stdout__):
        yield value


class Costs:
    """Peak memory of the worker's processes, and bytes of a staged row."""

    def __init__(self, list_processes: Callable[[], list[psutil.Process]]) -> None:
        self.list_processes = list_processes
        self.peak: Counter[str] = Counter()
        self.together = 0  # Of all of them at one moment.

    @contextmanager
    def watched(self) -> Iterator[None]:
        self.peak.clear()
        self.together = 0
        over = threading.Event()
        looking = threading.Thread(target=self.look_until, args=[over])
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()

    def look_until(self, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            sizes: Counter[str] = Counter()
            for process in self.list_processes():
                with suppress(psutil.Error):  # A reader that has just ended.
                    kind = "reader" if "reader" in " ".join(process.cmdline()) else "worker"
                    sizes[kind] += process.memory_info().rss
            self.peak |= sizes  # The larger of each.
            self.together = max(self.together, sizes.total())

    def show(self) -> None:
        for kind in ("worker", "reader"):
            print(f"  peak memory of the {kind:14}{self.peak[kind] / MEGABYTES:10.0f} MB")
        print(f"  bytes of a staged row          {bytes_of_a_staged_row():10.0f}", flush=True)


def bytes_of_a_staged_row() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_total_relation_size('imports_importrow')::float / count(*)"
            "  FROM imports_importrow"
        )
        return cursor.fetchone()[0]


if __name__ == "__main__":
    sys.exit(main())
