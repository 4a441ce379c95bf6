"""How long each call of the earlier contract takes: upload, bulk-create-async, poll to the end.

    python -m benchmarks.legacy_api        on servers, a site and a worker of its own

Written from the contract's description alone: it knows no other address of ours.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.import_duration import PASSWORD, everything_of_its_own
from customers import sample_data

RUNS = 5
SIZES = (4_000, 7_000)
CALLS = ("upload", "bulk-create-async", "polled to the end", "everything")
POLL_SECONDS = 0.1
LONGEST_SECONDS = 60


def main() -> int:
    with ExitStack() as stack:
        url, _ = stack.enter_context(everything_of_its_own())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=LONGEST_SECONDS))
        log_in(client)
        seed = 0
        print(f"{'':34}{'median':>10}{'worst':>10}   (seconds, {RUNS} runs)")
        for rows in SIZES:
            taken = []
            for _ in range(RUNS):
                seed += 1
                taken.append(run(client, sample(folder, rows, seed)))
            for call, times in zip(CALLS, zip(*taken, strict=True), strict=True):
                name = f"{rows:,} customers, {call}"
                print(f"{name:34}{statistics.median(times):10.3f}{max(times):10.3f}")
    return 0


def log_in(client: httpx.Client) -> None:
    sent = {"username": "timing", "password": PASSWORD}
    tokens = client.post("/api/auth/token/", json=sent).raise_for_status().json()
    client.headers["Authorization"] = f"Bearer {tokens['access']}"


def sample(folder: Path, rows: int, seed: int) -> Path:
    file = folder / f"{rows}-{seed}.xlsx"
    sample_data.write_sample(file, rows, seed)
    return file


def run(client: httpx.Client, file: Path) -> tuple[float, ...]:
    """Seconds that each call took, and all of them."""
    root = "/api/auth/customers/excel"
    began = time.perf_counter()
    with file.open("rb") as content:
        checked = client.post(f"{root}/upload/", files={"file": content}).raise_for_status().json()
    uploaded = time.perf_counter()
    customers = {"customers": checked["valid_candidates"]}
    task = client.post(f"{root}/bulk-create-async/", json=customers).raise_for_status().json()
    queued = time.perf_counter()
    done = poll(client, f"{root}/bulk-create/status/{task['task_id']}/")
    ended = time.perf_counter()
    if done["status"] != "COMPLETE" or done["created"] != checked["counts"]["valid"]:
        raise SystemExit(f"Not every customer was created: {done}")
    return uploaded - began, queued - uploaded, ended - queued, ended - began


def poll(client: httpx.Client, address: str) -> dict:
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        state = client.get(address).raise_for_status().json()
        if state["status"] in {"COMPLETE", "FAILED"}:
            return state
        time.sleep(POLL_SECONDS)
    raise SystemExit("It did not end.")


if __name__ == "__main__":
    sys.exit(main())
