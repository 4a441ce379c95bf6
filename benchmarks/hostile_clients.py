"""Measure the memory of the web process, and the latency of another user's page, under attack.

    python -m benchmarks.hostile_clients [server ...]

Servers: `ours` (the default), `daphne`, `uvicorn`, `hypercorn`, `granian`. The last three must be
installed. Starts its own PostgreSQL and Redis. The hostile clients come from 127.0.0.1, the other
user from 127.0.0.2. Each attack runs on a server of its own for ATTACK_SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psutil

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

ATTACK_SECONDS = 15
MEGABYTES = 1024 * 1024
PIECE = b"x" * 65_536
HOST, OTHER_USER = "127.0.0.1", "127.0.0.2"
PAGE = "/accounts/login/"
LARGE_FILE_BYTES = 200 * MEGABYTES
APPLICATION = "config.asgi:application"
COMMANDS = {
    "ours": ["-m", "imports.server", "-v", "0", "-b", HOST, "-p", "{port}", APPLICATION],
    "daphne": ["-m", "daphne", "-v", "0", "-b", HOST, "-p", "{port}", APPLICATION],
    "uvicorn": ["-m", "uvicorn", "--log-level", "error", "--port", "{port}", APPLICATION],
    "hypercorn": ["-m", "hypercorn", "--log-level", "ERROR", "-b", f"{HOST}:{{port}}", APPLICATION],
    "granian": ["-m", "granian", "--interface", "asgi", "--port", "{port}", APPLICATION],
}

Attack = Callable[["Target"], Awaitable[None]]


class Target:
    """A running server, and what the clients need to know of it."""

    def __init__(self, port: int, job_id: str, file_id: str, cookie: str) -> None:
        self.port, self.job_id, self.file_id, self.cookie = port, job_id, file_id, cookie

    def make_head(self, method: str, path: str, *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    @contextlib.asynccontextmanager
    async def connect(
        self, address: str = HOST
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(HOST, self.port, local_addr=(address, 0))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


# --- Attacks -----------------------------------------------------------------


async def post_large_body(target: Target) -> None:
    length = f"Content-Length: {LARGE_FILE_BYTES}"
    async with target.connect() as (_, writer):
        writer.write(target.make_head("POST", "/api/imports/", length))
        for _ in range(LARGE_FILE_BYTES // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()


async def post_endless_chunks(target: Target) -> None:
    async with target.connect() as (_, writer):
        writer.write(target.make_head("POST", PAGE, "Transfer-Encoding: chunked"))
        while True:
            writer.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
            await writer.drain()


async def send_slow_head(target: Target) -> None:
    async with target.connect() as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)


async def send_slow_body(target: Target) -> None:
    async with target.connect() as (_, writer):
        writer.write(target.make_head("POST", "/api/imports/", "Content-Length: 1000000"))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)


async def never_read(target: Target, path: str) -> None:
    async with target.connect() as (reader, writer):
        # Nothing is read: the buffer of the reader takes no more than a few bytes.
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(target.make_head("GET", path, f"Cookie: sessionid={target.cookie}"))
        await asyncio.sleep(ATTACK_SECONDS)


async def open_stream(target: Target) -> None:
    await never_read(target, f"/api/imports/{target.job_id}/events/")


async def download_slowly(target: Target) -> None:
    async with target.connect() as (reader, writer):
        path = f"/api/imports/{target.file_id}/file/"
        writer.write(target.make_head("GET", path, f"Cookie: sessionid={target.cookie}"))
        while await reader.read(4_096):
            await asyncio.sleep(0.1)


ATTACKS: dict[str, tuple[int, Attack]] = {
    "no attack": (0, send_slow_head),
    "20 bodies of 200 MB": (20, post_large_body),
    "20 endless chunked bodies": (20, post_endless_chunks),
    "1,000 slow heads": (1_000, send_slow_head),
    "200 slow bodies": (200, send_slow_body),
    "50 streams, never read": (50, open_stream),
    "20 slow downloads of 200 MB": (20, download_slowly),
}


# --- Measuring ---------------------------------------------------------------


async def repeat(attack: Attack, target: Target) -> None:
    """Attack again and again: a client that was refused comes back after a second."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await attack(target)
        await asyncio.sleep(1)


async def measure(target: Target, process: psutil.Process, count: int, attack: Attack) -> str:
    """Return a part of a table row: memory before and at most, disk, latencies and failures."""
    await get_page(target)
    before = peak = count_memory(process)
    disk = failures = 0
    latencies = []
    tasks = [asyncio.create_task(repeat(attack, target)) for _ in range(count)]
    end = time.monotonic() + ATTACK_SECONDS
    while time.monotonic() < end:
        started = time.monotonic()
        try:
            async with asyncio.timeout(10):
                is_answered = await get_page(target)
        except (OSError, TimeoutError):
            is_answered = False
        failures += not is_answered
        latencies.append(time.monotonic() - started)
        peak, disk = max(peak, count_memory(process)), max(disk, count_disk(process))
        await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    latencies.sort()
    return (
        f"{before / MEGABYTES:.0f} | {peak / MEGABYTES:.0f} | {disk / MEGABYTES:.0f} | "
        f"{latencies[len(latencies) // 2] * 1000:.0f} | {latencies[-1] * 1000:.0f} | {failures}"
    )


async def get_page(target: Target) -> bool:
    """Return whether the page of another user has status 200."""
    async with target.connect(OTHER_USER) as (reader, writer):
        writer.write(target.make_head("GET", PAGE, "Connection: close"))
        content = await reader.read()
        return content.startswith(b"HTTP/1.1 200")


def count_memory(process: psutil.Process) -> int:
    """Return the resident memory of the process and its children."""
    return sum(item.memory_info().rss for item in (process, *process.children(recursive=True)))


def count_disk(process: psutil.Process) -> int:
    """Return the size of the temporary files that the process has open, which have no name."""
    size = 0
    for item in (process, *process.children(recursive=True)):
        folder = f"/proc/{item.pid}/fd"
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{name}").startswith(("/tmp/", "/var/tmp/")):
                    size += os.stat(f"{folder}/{name}").st_size
    return size


@contextlib.contextmanager
def running_server(name: str) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    command = [word.format(port=port) for word in COMMANDS[name]]
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
                break
            time.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.kill()  # Some servers wait for hostile clients.
        process.wait()


def main(*servers: str) -> None:
    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model
        from django.core.files.base import ContentFile

        from imports.models import ImportJob
        from tests.streams import make_job, make_session_cookie

        user = get_user_model().objects.create_superuser("mallory")
        cookie = make_session_cookie(user)
        job = make_job(user)
        large = ImportJob.objects.create(
            owner=user, importer="customers", file_name="large.csv", file_size=LARGE_FILE_BYTES
        )
        large.file.save("large.csv", ContentFile(bytes(LARGE_FILE_BYTES)))
        print("| server | attack | MB before | MB most | MB disk | median ms | max ms | failed |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for server in servers or ("ours",):
            for name, (count, attack) in ATTACKS.items():
                with running_server(server) as (port, process):
                    target = Target(port, str(job.pk), str(large.pk), cookie)
                    result = asyncio.run(measure(target, process, count, attack))
                print(f"| {server} | {name} | {result} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
