"""Measure the calls of the earlier contract: upload, bulk-create-async, and polling to the end.

    python -m benchmarks.legacy_api        on its own servers, site and worker

Uses only the URLs of the earlier contract.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.import_duration import PASSWORD, temporary_site
from customers import sample_data

RUNS = 5
SIZES = (4_000, 7_000)
CALLS = ("upload", "bulk-create-async", "polling to the end", "total")
POLL_SECONDS = 0.1
MAX_WAIT_SECONDS = 60


def main() -> int:
    with ExitStack() as stack:
        url, _ = stack.enter_context(temporary_site())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=MAX_WAIT_SECONDS))
        log_in(client)
        seed = 0
        print(f"{'':34}{'median':>10}{'worst':>10}   (seconds, {RUNS} runs)")
        for rows in SIZES:
            runs = []
            for _ in range(RUNS):
                seed += 1
                runs.append(import_customers(client, write_sample_file(folder, rows, seed)))
            for call, times in zip(CALLS, zip(*runs, strict=True), strict=True):
                name = f"{rows:,} customers, {call}"
                print(f"{name:34}{statistics.median(times):10.3f}{max(times):10.3f}")
    return 0


def log_in(client: httpx.Client) -> None:
    credentials = {"username": "timing", "password": PASSWORD}
    tokens = client.post("/api/auth/token/", json=credentials).raise_for_status().json()
    client.headers["Authorization"] = f"Bearer {tokens['access']}"


def write_sample_file(folder: Path, rows: int, seed: int) -> Path:
    file = folder / f"{rows}-{seed}.xlsx"
    sample_data.write_sample(file, rows, seed)
    return file


def import_customers(client: httpx.Client, file: Path) -> tuple[float, ...]:
    """Import a file, and return the seconds of each of CALLS."""
    root = "/api/auth/customers/excel"
    started = time.perf_counter()
    with file.open("rb") as content:
        checked = client.post(f"{root}/upload/", files={"file": content}).raise_for_status().json()
    uploaded = time.perf_counter()
    customers = {"customers": checked["valid_candidates"]}
    task = client.post(f"{root}/bulk-create-async/", json=customers).raise_for_status().json()
    queued = time.perf_counter()
    task_result = poll(client, f"{root}/bulk-create/status/{task['task_id']}/")
    ended = time.perf_counter()
    if task_result["status"] != "COMPLETE" or task_result["created"] != checked["counts"]["valid"]:
        raise SystemExit(f"Not every customer was created: {task_result}")
    return uploaded - started, queued - uploaded, ended - queued, ended - started


def poll(client: httpx.Client, url: str) -> dict:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < deadline:
        state = client.get(url).raise_for_status().json()
        if state["status"] in {"COMPLETE", "FAILED"}:
            return state
        time.sleep(POLL_SECONDS)
    raise SystemExit("The import did not end.")


if __name__ == "__main__":
    sys.exit(main())
