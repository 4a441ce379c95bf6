"""Real workbooks damaged at random, through the reader child and through the whole stack.

    python -m benchmarks.fuzz_files                      5,000 through the child, 300 through a site
    python -m benchmarks.fuzz_files --first 77 --count 1 --site 0         one of them again

Promised: each ends in rows or in a code within the limits; no worker dies, no answer is a
5xx. The exit status is 1 where one does not, and it is named with its seed.
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

from benchmarks.concurrent_uploads import FOR_A_PERSON
from benchmarks.file_mutations import mutated

MEGABYTES = 1024 * 1024
PROCESSES = 2
USERS = 8
LONGEST_SECONDS = 60  # The child's own limit is 30 of them.
LOOK_SECONDS = 0.2


class Ended(NamedTuple):
    seed: int
    file: str
    how: str
    seconds: float
    is_violation: bool = False


def main() -> int:
    arguments = parse()
    seeds = range(arguments.first, arguments.first + arguments.count)
    good = shown("the reader child", through_the_child(seeds)) if seeds else True
    seeds = range(arguments.first, arguments.first + arguments.site)
    good &= shown("the whole stack", through_a_site(seeds)) if seeds else True
    return 0 if good else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=5_000, help="through the child (5,000)")
    parser.add_argument("--site", type=int, default=300, help="through the whole stack (300)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    return parser.parse_args()


def shown(through: str, ends: Iterable[Ended]) -> bool:
    """Print what came of them, violations as soon as they are met."""
    began, outcomes, slowest, violations = time.perf_counter(), Counter(), [], 0
    for end in ends:
        outcomes[end.how] += 1
        slowest = sorted([*slowest, end], key=lambda one: -one.seconds)[:3]
        if end.is_violation:
            violations += 1
            print(f"VIOLATION seed {end.seed}: {end.file}: {end.how}", flush=True)
    minutes = (time.perf_counter() - began) / 60
    print(f"{outcomes.total():,} through {through} in {minutes:.1f} minutes")
    for how, count in outcomes.most_common():
        print(f"  {how:44}{count:7,}")
    for end in slowest:
        print(f"  slowest: {end.seconds:.1f} s, seed {end.seed}, {end.file}: {end.how}")
    print(f"  violations: {violations}", flush=True)
    return not violations


# --- Through the reader child ------------------------------------------------


def through_the_child(seeds: Iterable[int]) -> Iterator[Ended]:
    # Not forked: a child that reads dies with the thread that started it.
    with multiprocessing.get_context("spawn").Pool(PROCESSES, set_up) as pool:
        yield from pool.imap_unordered(read, seeds, chunksize=20)


def set_up() -> None:
    os.environ |= {"SECRET_KEY": "none", "DATABASE_URL": "postgres:///none"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()


def read(seed: int) -> Ended:
    name, content = mutated(seed)
    began = time.perf_counter()
    end = partial(Ended, seed, name)
    try:
        how, is_violation = outcome(content)
    except Exception as error:  # Whatever it is, it is what we look for.
        how, is_violation = f"{type(error).__name__}: {error}"[:100], True
    seconds = time.perf_counter() - began
    return end(how, seconds, is_violation or seconds > LONGEST_SECONDS)


def outcome(content: bytes) -> tuple[str, bool]:
    """Rows or a code; whether that is no good end."""
    from imports.error_messages import JOB_MESSAGES
    from imports.pipeline.reader_client import UnreadableFile, open_rows

    try:
        with open_rows(io.BytesIO(content), limits=limits()) as reader:
            rows = sum(len(chunk.rows) for chunk in reader)
    except UnreadableFile as why:
        return why.code, why.code not in JOB_MESSAGES
    return "rows" if rows else "no rows", False


def limits():
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


# --- Through the whole stack -------------------------------------------------


def through_a_site(seeds: Iterable[int]) -> Iterator[Ended]:
    from benchmarks.import_duration import everything_of_its_own

    with ExitStack() as stack:
        url, costs = stack.enter_context(everything_of_its_own())
        clients = signed_in(stack, url)
        workers = working(costs)
        threads = stack.enter_context(ThreadPoolExecutor(PROCESSES))
        for end in threads.map(lambda seed: imported(clients[seed % USERS], seed), seeds):
            now = working(costs)
            if workers <= now:  # A child between fork and exec bears its name, too.
                yield end
            else:
                yield end._replace(how=f"a worker died; {end.how}", is_violation=True)
                workers = now


def signed_in(stack: ExitStack, url: str) -> list[httpx.Client]:
    from benchmarks.concurrent_uploads import client_of, tokens

    return [stack.enter_context(client_of(url, token)) for token in tokens()[:USERS]]


def working(costs) -> set[int]:
    """The processes of the worker, its readers not among them."""
    return {one.pid for one in costs.list_processes() if not is_reader(one)}


def is_reader(process) -> bool:
    import psutil

    try:
        return "reader" in " ".join(process.cmdline()) or process.status() == "zombie"
    except psutil.NoSuchProcess:
        return True


def imported(client: httpx.Client, seed: int) -> Ended:
    name, content = mutated(seed)
    began = time.perf_counter()
    answer = client.post("/api/imports/", files={"file": (name, content)})
    if answer.status_code != httpx.codes.ACCEPTED:
        how, is_violation = refused(answer)
    else:
        how, is_violation = finished(client, answer.headers["Location"])
    return Ended(seed, name, how, time.perf_counter() - began, is_violation)


def refused(answer: httpx.Response) -> tuple[str, bool]:
    """An upload that was not taken says why."""
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return str(answer.status_code), True
    return f"{answer.status_code} {answer.json()['code']}", False


def finished(client: httpx.Client, address: str) -> tuple[str, bool]:
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        answer = client.get(address)
        if answer.status_code != httpx.codes.OK:
            return refused(answer)[0], True
        job = answer.json()
        if job["poll_after_seconds"] is None or job["status"] in FOR_A_PERSON:
            no_code = job["status"] == "FAILED" and not job["error_code"]
            return f"{job['status']} {job['error_code'] or ''}".strip(), no_code
        time.sleep(LOOK_SECONDS)
    return f"{job['status']}, no end", True


if __name__ == "__main__":
    sys.exit(main())
