"""Read real files with random damage, in the reader process and through a whole site.

    python -m benchmarks.fuzz_files
    python -m benchmarks.fuzz_files --first 77 --count 1 --site 0

The first form reads 5,000 files in the reader process and imports 300 through a site. The second
form repeats one of them.

Every file must end in rows or in a known error code within the limits. No worker may crash, and no
response may be a 5xx. Otherwise the exit status is 1, and the violation is printed with its seed.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import django
import httpx

from benchmarks.concurrent_uploads import WAITING_STATUSES
from benchmarks.file_mutations import damage_file

MEGABYTES = 1024 * 1024
PROCESSES = 2
USERS = 8
MAX_SECONDS = 60  # The limit of the reader process is 30 seconds.
POLL_SECONDS = 0.2


class Result(NamedTuple):
    """How the import of a damaged file ended."""

    seed: int
    file: str
    outcome: str
    seconds: float
    is_violation: bool = False


def main() -> int:
    arguments = parse_arguments()
    seeds = range(arguments.first, arguments.first + arguments.count)
    good = print_results("the reader process", read_files(seeds)) if seeds else True
    seeds = range(arguments.first, arguments.first + arguments.site)
    good &= print_results("the whole site", import_files(seeds)) if seeds else True
    return 0 if good else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--count", type=int, default=5_000, help="files for the reader process (5,000)"
    )
    parser.add_argument("--site", type=int, default=300, help="files for the whole site (300)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    return parser.parse_args()


def print_results(target: str, results: Iterable[Result]) -> bool:
    """Print violations immediately, and a summary at the end. Return whether there were none."""
    started, outcomes, slowest, violations = time.perf_counter(), Counter(), [], 0
    for result in results:
        outcomes[result.outcome] += 1
        slowest = sorted([*slowest, result], key=lambda result: -result.seconds)[:3]
        if result.is_violation:
            violations += 1
            print(f"VIOLATION seed {result.seed}: {result.file}: {result.outcome}", flush=True)
    minutes = (time.perf_counter() - started) / 60
    print(f"{outcomes.total():,} through {target} in {minutes:.1f} minutes")
    for outcome, count in outcomes.most_common():
        print(f"  {outcome:44}{count:7,}")
    for result in slowest:
        print(
            f"  slowest: {result.seconds:.1f} s, seed {result.seed}, {result.file}: "
            f"{result.outcome}"
        )
    print(f"  violations: {violations}", flush=True)
    return not violations


# --- In the reader process ---------------------------------------------------


def read_files(seeds: Iterable[int]) -> Iterator[Result]:
    # Do not fork: a reader process exits together with the thread that started it.
    with multiprocessing.get_context("spawn").Pool(PROCESSES, set_up_django) as pool:
        yield from pool.imap_unordered(read_file, seeds, chunksize=20)


def set_up_django() -> None:
    os.environ |= {"SECRET_KEY": "none", "DATABASE_URL": "postgres:///none"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()


def read_file(seed: int) -> Result:
    name, content = damage_file(seed)
    started = time.perf_counter()
    make_result = partial(Result, seed, name)
    try:
        outcome, is_violation = read_content(content)
    except Exception as error:  # Every unexpected exception is a violation.
        outcome, is_violation = f"{type(error).__name__}: {error}"[:100], True
    seconds = time.perf_counter() - started
    return make_result(outcome, seconds, is_violation or seconds > MAX_SECONDS)


def read_content(content: bytes) -> tuple[str, bool]:
    """Return "rows", "no rows" or the error code, and whether that is a violation."""
    from imports.error_messages import JOB_MESSAGES
    from imports.pipeline.reader_client import UnreadableFile, open_rows

    try:
        with open_rows(io.BytesIO(content), limits=make_limits()) as reader:
            rows = sum(chunk.row_count for chunk in reader)
    except UnreadableFile as error:
        return error.code, error.code not in JOB_MESSAGES
    return "rows" if rows else "no rows", False


def make_limits():
    from imports.pipeline.reader_client import ReaderLimits

    return ReaderLimits(
        memory_bytes=300 * MEGABYTES,
        cpu_seconds=10,
        wall_seconds=30,
        inflated_bytes=64 * MEGABYTES,
        rows=2_000_000,
        columns=16_384,
        cell_length=32_767,
        calamine_bytes=32 * MEGABYTES,
    )


# --- Through the whole site --------------------------------------------------


def import_files(seeds: Iterable[int]) -> Iterator[Result]:
    from benchmarks.import_duration import temporary_site

    with ExitStack() as stack:
        url, costs = stack.enter_context(temporary_site())
        clients = make_clients(stack, url)
        workers = list_worker_pids(costs)
        threads = stack.enter_context(ThreadPoolExecutor(PROCESSES))
        for result in threads.map(lambda seed: import_file(clients[seed % USERS], seed), seeds):
            now = list_worker_pids(costs)
            # A reader process looks like a worker between fork and exec, so `now` may have more.
            if workers <= now:
                yield result
            else:
                yield result._replace(
                    outcome=f"a worker crashed; {result.outcome}", is_violation=True
                )
                workers = now


def make_clients(stack: ExitStack, url: str) -> list[httpx.Client]:
    from benchmarks.concurrent_uploads import make_client, make_tokens

    return [stack.enter_context(make_client(url, token)) for token in make_tokens()[:USERS]]


def list_worker_pids(costs) -> set[int]:
    """Return the process IDs of the worker, without its readers."""
    return {process.pid for process in costs.list_processes() if not is_reader(process)}


def is_reader(process) -> bool:
    import psutil

    try:
        return "reader" in " ".join(process.cmdline()) or process.status() == "zombie"
    except psutil.NoSuchProcess:
        return True


def import_file(client: httpx.Client, seed: int) -> Result:
    name, content = damage_file(seed)
    started = time.perf_counter()
    response = client.post("/api/imports/", files={"file": (name, content)})
    if response.status_code != httpx.codes.ACCEPTED:
        outcome, is_violation = describe_error(response)
    else:
        outcome, is_violation = wait_for_end(client, response.headers["Location"])
    return Result(seed, name, outcome, time.perf_counter() - started, is_violation)


def describe_error(response: httpx.Response) -> tuple[str, bool]:
    """Return the status and code of an error response, and whether that is a violation."""
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return str(response.status_code), True
    return f"{response.status_code} {response.json()['code']}", False


def wait_for_end(client: httpx.Client, url: str) -> tuple[str, bool]:
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        response = client.get(url)
        if response.status_code != httpx.codes.OK:
            return describe_error(response)[0], True
        job = response.json()
        if job["poll_after_seconds"] is None or job["status"] in WAITING_STATUSES:
            no_code = job["status"] == "FAILED" and not job["error_code"]
            return f"{job['status']} {job['error_code'] or ''}".strip(), no_code
        time.sleep(POLL_SECONDS)
    return f"{job['status']}, no end", True


if __name__ == "__main__":
    sys.exit(main())
