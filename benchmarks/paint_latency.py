"""Measure the time from a commit of an import to the painted progress bar in a browser.

    python -m benchmarks.paint_latency [rows]

Starts its own PostgreSQL, Redis, worker, Daphne and Chromium on this machine. The time starts when
another database session sees the commit; that session polls every two milliseconds. The time ends
when a frame is painted that shows this commit or a later one. It includes the pause that the stream
makes between two events.
"""

import os
import statistics
import sys
import threading
import time
from bisect import bisect_left
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.import_duration import hidden_output
from benchmarks.page_screenshots import open_page, running_browser
from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

POLL_SECONDS = 0.002
MAX_WAIT_SECONDS = 300

# A task that is queued in the callback of a frame runs after the frame is painted.
WATCH = """
window.painted = [];
document.addEventListener("DOMContentLoaded", () => {
  const note = () => requestAnimationFrame(() => {
    const version = Number(document.getElementById("import")?.dataset.version);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => version && window.painted.push([version, Date.now() / 1000]);
    port2.postMessage(null);
  });
  const changes = { subtree: true, childList: true, attributeFilter: ["data-version"] };
  new MutationObserver(note).observe(document, changes);
});
"""


def main(rows=100_000):
    with temporary_servers() as urls, django_on(urls), TemporaryDirectory() as folder:
        # Playwright runs its event loop in this thread.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        from django.contrib.auth import get_user_model

        from customers import sample_data
        from tests.processes import upload_in_process, worker
        from tests.streams import make_session_cookie, running_daphne

        owner = get_user_model().objects.create_superuser("ama")
        workbook = Path(folder) / "customers.xlsx"
        sample_data.write_sample(workbook, rows)
        with (
            hidden_output(worker(timeouts={})),
            running_daphne() as server,
            running_browser() as chromium,
        ):
            page = open_page(
                chromium,
                f"http://127.0.0.1:{server.port}",
                make_session_cookie(owner),
                "light",
                1280,
            )
            page.add_init_script(WATCH)
            page.goto("/")  # Warm up the server and the browser.
            job = upload_in_process(owner, workbook.read_bytes(), workbook.name)
            with recorded_commits(job) as commit_times:
                page.goto(f"/imports/{job.pk}/")
                page.wait_for_selector('[data-status="COMPLETE"]', timeout=MAX_WAIT_SECONDS * 1_000)
                page.wait_for_timeout(500)
            painted = page.evaluate("window.painted")
    print_latencies(rows, commit_times, painted)


@contextmanager
def recorded_commits(job):
    """Record the time of each version of the import. Yields a dict of times by version."""
    from django.db import connection

    commit_times, is_over = {}, threading.Event()

    def record():
        with closing(connection.Database.connect(**connection.get_connection_params())) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                while not is_over.wait(POLL_SECONDS):
                    cursor.execute(
                        "SELECT version FROM imports_importjob WHERE id = %s", [job.pk.hex]
                    )
                    commit_times.setdefault(cursor.fetchone()[0], time.time())

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield commit_times
    finally:
        is_over.set()
        thread.join()


def print_latencies(rows, commit_times, painted):
    versions = [version for version, _ in painted]
    latencies = []
    for version, committed_at in commit_times.items():
        index = bisect_left(versions, version)
        if versions and version > versions[0] and index < len(painted):
            latencies.append(max(painted[index][1] - committed_at, 0))
    percentiles = statistics.quantiles(latencies, n=100)
    print(f"{rows:,} rows: {len(commit_times):,} commits recorded, {len(painted):,} frames painted")
    print(f"  commit to painted bar, of {len(latencies):,} commits while the page was open")
    for name, seconds in (
        ("p50", percentiles[49]),
        ("p95", percentiles[94]),
        ("worst", max(latencies)),
    ):
        print(f"  {name:6}{1000 * seconds:8.0f} ms")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
