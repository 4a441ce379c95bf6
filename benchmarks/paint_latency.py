"""From a commit of the import to the bar painted in a browser.

    python -m benchmarks.paint_latency [rows]

PostgreSQL, Redis, worker, Daphne and Chromium are its own, on this one machine. A commit counts
from when another session sees it (looked for every two milliseconds) until a frame is
painted that shows it or a later one; between two events a stream may pause on purpose.
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

from benchmarks.import_duration import quiet
from benchmarks.page_screenshots import browser, open_tab
from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

LOOK_SECONDS = 0.002
LONGEST_SECONDS = 300

# A task that is queued in a frame's callback runs once that frame is painted.
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
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in this thread.
        from django.contrib.auth import get_user_model

        from customers import sample_data
        from tests.processes import upload_in_process, worker
        from tests.streams import make_session_cookie, running_daphne

        owner = get_user_model().objects.create_superuser("ama")
        workbook = Path(folder) / "customers.xlsx"
        sample_data.write_sample(workbook, rows)
        with quiet(worker(waits={})), running_daphne() as server, browser() as chromium:
            tab = open_tab(
                chromium,
                f"http://127.0.0.1:{server.port}",
                make_session_cookie(owner),
                "light",
                1280,
            )
            tab.add_init_script(WATCH)
            tab.goto("/")  # The server and the browser have begun.
            job = upload_in_process(owner, workbook.read_bytes(), workbook.name)
            with commits(job) as seen:
                tab.goto(f"/imports/{job.pk}/")
                tab.wait_for_selector('[data-status="COMPLETE"]', timeout=LONGEST_SECONDS * 1_000)
                tab.wait_for_timeout(500)
            painted = tab.evaluate("window.painted")
    show(rows, seen, painted)


@contextmanager
def commits(job):
    """When each version of the import was seen first, by a session of its own."""
    import psycopg2
    from django.db import connection

    seen, over = {}, threading.Event()

    def look():
        with closing(psycopg2.connect(**connection.get_connection_params())) as own:
            own.autocommit = True
            with own.cursor() as cursor:
                while not over.wait(LOOK_SECONDS):
                    cursor.execute(
                        "SELECT version FROM imports_importjob WHERE id = %s", [job.pk.hex]
                    )
                    seen.setdefault(cursor.fetchone()[0], time.time())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def show(rows, seen, painted):
    versions = [version for version, _ in painted]
    late = []
    for version, at in seen.items():
        index = bisect_left(versions, version)
        if versions and version > versions[0] and index < len(painted):
            late.append(max(painted[index][1] - at, 0))
    cuts = statistics.quantiles(late, n=100)
    print(f"{rows:,} rows: {len(seen):,} commits seen, {len(painted):,} frames painted")
    print(f"  commit to painted bar, of {len(late):,} commits while the page was open")
    for name, seconds in (("p50", cuts[49]), ("p95", cuts[94]), ("worst", max(late))):
        print(f"  {name:6}{1000 * seconds:8.0f} ms")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
