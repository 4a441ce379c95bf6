"""The demo: a client that imports a sample workbook through REST and watches its stream.

`python -m devserver.demo http://127.0.0.1:8000` exits with 0 only if every row came
out as expected. It knows nothing of the server but its address.
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

from devserver.progress_bar import show

ROWS = 7_000
SEEDS = 100  # Samples of different seeds share no customer.
FINAL = {"COMPLETE", "CANCELLED", "FAILED", "UNDONE"}
LONGEST_SECONDS = 180

Snapshot = dict[str, Any]


class Unexpected(Exception):
    """The server did not do what the demo is there to show."""


def main(address: str) -> int:
    try:
        return import_sample(Client(address))
    except HTTPError as error:
        print(f"  The server refused {error.url}: {error.code} {error.read(300).decode()}")
    except (OSError, HTTPException, Unexpected) as error:
        print(f"  The demo ended early: {error}")
    return 1


def import_sample(client: Client) -> int:
    """Import new customers, watch, and compare the result with what the sample promises."""
    client.log_in("demo", "demo")
    earlier = client.count_imports()
    with TemporaryDirectory() as folder:
        workbook = Path(folder, "customers.xlsx")
        expected = make_sample(workbook, seed=earlier % SEEDS)
        print(f"  Importing {ROWS:,} customers from a workbook of {kilobytes(workbook)} KB.")
        started = time.monotonic()
        job = client.upload(workbook)
    last = show(watch(client, job["id"]))
    return report(last, expected, time.monotonic() - started)


def make_sample(workbook: Path, seed: int) -> dict[str, int]:
    """Write the workbook and return the counts its import into new customers ends with."""
    expected = workbook.with_suffix(".json")
    command = ["manage.py", "sample_workbook", str(workbook), "--expect", str(expected)]
    options = ["--rows", str(ROWS), "--seed", str(seed)]
    subprocess.run([sys.executable, *command, *options], check=True, stdout=subprocess.DEVNULL)
    return json.loads(expected.read_text())


def watch(client: Client, job_id: str) -> Iterator[Snapshot]:
    """Snapshots to the last; where a stream breaks off it is asked for again."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, HTTPException):
            for snapshot in client.events(f"/api/imports/{job_id}/events/", deadline):
                yield snapshot
                if snapshot["status"] in FINAL:
                    return
        time.sleep(0.5)
    raise Unexpected(f"the import was not over after {LONGEST_SECONDS} seconds.")


def report(last: Snapshot, expected: dict[str, int], seconds: float) -> int:
    counts = {name: last[name] for name in expected}
    as_expected = last["status"] == "COMPLETE" and counts == expected
    print(
        f"  {last['total'] or 0:,} rows in {seconds:.2f} s: {last['created']:,} created, "
        f"{last['skipped']:,} skipped, {last['failed']:,} refused, "
        + ("every row as expected." if as_expected else f"{last['status']}, expected {expected}.")
    )
    return 0 if as_expected else 1


def kilobytes(path: Path) -> int:
    return round(path.stat().st_size / 1000)


class Client:
    """A session with the server, as a browser has one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = CookieJar()
        # No proxy: the server is on this machine.
        self.opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.cookies))

    def log_in(self, username: str, password: str) -> None:
        self.open("/accounts/login/").close()
        form = {"username": username, "password": password}
        form["csrfmiddlewaretoken"] = self.cookie("csrftoken")
        self.open("/accounts/login/", urlencode(form).encode()).close()
        if not self.cookie("sessionid"):
            raise Unexpected(f"{username} / {password} may not log in.")

    def count_imports(self) -> int:
        count, path = 0, "/api/imports/?page_size=200"
        while path:
            page = self.json(path)
            count += len(page["results"])
            path = (page["next"] or "").removeprefix(self.address)
        return count

    def upload(self, workbook: Path) -> Snapshot:
        boundary = uuid.uuid4().hex
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "X-CSRFToken": self.cookie("csrftoken"),
            "Idempotency-Key": str(uuid.uuid4()),
        }
        with self.open("/api/imports/", multipart(boundary, workbook), headers) as response:
            return json.load(response)

    def json(self, path: str) -> dict[str, Any]:
        with self.open(path) as response:
            return json.load(response)

    def events(self, path: str, deadline: float) -> Iterator[Snapshot]:
        with self.open(path, headers={"Accept": "text/event-stream"}) as response:
            for line in response:
                if line.startswith(b"data:"):  # Ours are always one line.
                    yield json.loads(line.removeprefix(b"data:"))
                if time.monotonic() > deadline:
                    return

    def open(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        url = self.address + path
        request = Request(url, body, {"Referer": url, **(headers or {})})
        return self.opener.open(request, timeout=30)  # Twice the stream's ping.

    def cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.cookies if cookie.name == name), "")


def multipart(boundary: str, workbook: Path) -> bytes:
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{workbook.name}"\r\n'
        "Content-Type: application/vnd.openxmlformats-officedocument.spreadsheetml.sheet\r\n\r\n"
    )
    return head.encode() + workbook.read_bytes() + f"\r\n--{boundary}--\r\n".encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
