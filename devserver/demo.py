"""The demo: a REST client that imports a sample workbook and follows its progress stream.

`python -m devserver.demo http://127.0.0.1:8000` exits with 0 only if every row has the expected
outcome. The demo needs only the server's URL.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from devserver.progress_bar import Snapshot, show_progress

SAMPLE_ROWS = 7_000
SAMPLE_SEEDS = 100  # Samples with different seeds have no customer in common.
FINAL_STATUSES = {"COMPLETE", "CANCELLED", "FAILED", "UNDONE"}
MAX_IMPORT_SECONDS = 180
RECONNECT_SECONDS = 0.5
REQUEST_TIMEOUT_SECONDS = 30  # Twice the interval of the stream's heartbeat.


class DemoError(Exception):
    """The server did not behave as the demo expects."""


def main(server_url: str) -> int:
    try:
        return import_sample(Client(server_url))
    except HTTPError as error:
        print(f"  The server responded to {error.url} with {error.code}.")
        print(f"  {error.read(300).decode()}")
    except (OSError, HTTPException, DemoError) as error:
        print(f"  The demo failed: {error}")
    return 1


def import_sample(client: Client) -> int:
    """Import new customers, show the progress, and compare the result with the expected counts."""
    client.log_in("demo", "demo")
    seed = client.count_imports() % SAMPLE_SEEDS
    with TemporaryDirectory() as folder:
        workbook = Path(folder, "customers.xlsx")
        expected_counts = make_sample(workbook, seed)
        size = round(workbook.stat().st_size / 1000)
        print(f"  Importing {SAMPLE_ROWS:,} customers from a workbook of {size} kB.")
        started = time.monotonic()
        job = client.upload(workbook)
    last = show_progress(follow_import(client, job["id"]))
    return print_result(last, expected_counts, time.monotonic() - started)


def make_sample(workbook: Path, seed: int) -> dict[str, int]:
    """Write the workbook, and return the counts of its import if all customers are new."""
    expected = workbook.with_suffix(".json")
    command = ["manage.py", "sample_workbook", str(workbook), "--expect", str(expected)]
    options = ["--rows", str(SAMPLE_ROWS), "--seed", str(seed)]
    subprocess.run([sys.executable, *command, *options], check=True, stdout=subprocess.DEVNULL)
    counts: dict[str, int] = json.loads(expected.read_text())
    return counts


def follow_import(client: Client, job_id: str) -> Iterator[Snapshot]:
    """Yield snapshots up to the last one. Reconnect when the stream ends early.

    Raises: DemoError if the import has not ended after MAX_IMPORT_SECONDS.
    """
    deadline = time.monotonic() + MAX_IMPORT_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, HTTPException):
            for snapshot in client.stream_events(f"/api/imports/{job_id}/events/", deadline):
                yield snapshot
                if snapshot["status"] in FINAL_STATUSES:
                    return
        time.sleep(RECONNECT_SECONDS)
    raise DemoError(f"the import did not end within {MAX_IMPORT_SECONDS} seconds.")


def print_result(last: Snapshot, expected_counts: dict[str, int], seconds: float) -> int:
    """Print the counts, and return the exit status of the demo."""
    counts = {name: last[name] for name in expected_counts}
    is_as_expected = last["status"] == "COMPLETE" and counts == expected_counts
    if is_as_expected:
        verdict = "as expected."
    else:
        verdict = f"status {last['status']}, but expected {expected_counts}."
    print(
        f"  {last['total'] or 0:,} rows in {seconds:.2f} s: {last['created']:,} created, "
        f"{last['skipped']:,} skipped, {last['failed']:,} failed, {verdict}"
    )
    return 0 if is_as_expected else 1


class Client:
    """An HTTP session with the server, authenticated by cookies as a browser is.

    Methods raise `urllib.error.HTTPError` for responses with an error status.
    """

    def __init__(self, server_url: str) -> None:
        self.server_url = server_url
        self.cookies = CookieJar()
        # Do not use a proxy: the server is on this machine.
        self.opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.cookies))

    def log_in(self, username: str, password: str) -> None:
        """Log in. Raises: DemoError if the server does not accept the password."""
        self.send("/accounts/login/").close()
        form = {
            "username": username,
            "password": password,
            "csrfmiddlewaretoken": self.get_cookie("csrftoken"),
        }
        self.send("/accounts/login/", urlencode(form).encode()).close()
        if not self.get_cookie("sessionid"):
            raise DemoError(f"the login as {username} / {password} failed.")

    def count_imports(self) -> int:
        count, path = 0, "/api/imports/?page_size=200"
        while path:
            page = self.get_json(path)
            count += len(page["results"])
            path = (page["next"] or "").removeprefix(self.server_url)
        return count

    def upload(self, workbook: Path) -> Snapshot:
        """Upload a file, and return the new import."""
        boundary = uuid.uuid4().hex
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "X-CSRFToken": self.get_cookie("csrftoken"),
            "Idempotency-Key": str(uuid.uuid4()),
        }
        with self.send("/api/imports/", encode_form(boundary, workbook), headers) as response:
            job: Snapshot = json.load(response)
            return job

    def get_json(self, path: str) -> dict[str, Any]:
        with self.send(path) as response:
            content: dict[str, Any] = json.load(response)
            return content

    def stream_events(self, path: str, deadline: float) -> Iterator[Snapshot]:
        """Yield the snapshots of a stream until it ends or until `deadline` (time.monotonic)."""
        with self.send(path, headers={"Accept": "text/event-stream"}) as response:
            for line in response:
                if line.startswith(b"data:"):  # The data of our events is always one line.
                    yield json.loads(line.removeprefix(b"data:"))
                if time.monotonic() > deadline:
                    return

    def send(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        """Send a GET request, or a POST request if there is a body."""
        url = self.server_url + path
        request = Request(url, body, {"Referer": url, **(headers or {})})
        response: HTTPResponse = self.opener.open(request, timeout=REQUEST_TIMEOUT_SECONDS)
        return response

    def get_cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.cookies if cookie.name == name), "")


def encode_form(boundary: str, workbook: Path) -> bytes:
    """Return the multipart body of an upload."""
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{workbook.name}"\r\n'
        "Content-Type: application/vnd.openxmlformats-officedocument.spreadsheetml.sheet\r\n\r\n"
    )
    return head.encode() + workbook.read_bytes() + f"\r\n--{boundary}--\r\n".encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
