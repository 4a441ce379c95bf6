"""Measure the memory of the web process, and the latency of another user's page, under attack.

    python -m benchmarks.hostile_clients [--seconds 15] [--attack NAME] [server ...]

Servers: `ours` (the default), `nginx` (ours behind nginx with docs/examples/nginx.conf), `daphne`,
`uvicorn`, `hypercorn`, `granian`, `nginx+daphne` (with the buffers of nginx), or `all`. Those that
are not part of the project must be installed. Before its attacks, each server must serve a page, a
stream, a WebSocket and an upload, or the exit status is 1. Starts its own PostgreSQL and Redis. The
hostile clients come from 127.0.0.1, the other user from 127.0.0.2. Each attack runs on a server of
its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from websockets.asyncio.client import connect as connect_websocket

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

PROJECT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
CHECK_SECONDS = 30
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

PROXIED = {"nginx": "ours", "nginx+daphne": "daphne"}
SERVERS = ["ours", "nginx", "daphne", "uvicorn", "hypercorn", "granian", "nginx+daphne"]
# What nginx needs besides the file of the documentation.
NGINX_MAIN = """
daemon off;
{user}
pid nginx.pid;
error_log error.log;
events {{ worker_connections 10000; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}}
"""

Attack = Callable[["Target"], Awaitable[None]]


class Target:
    """A running server, and what the clients need to know of it."""

    def __init__(self, port: int, job_id: str, file_id: str, cookie: str, token: str) -> None:
        self.port, self.job_id, self.file_id = port, job_id, file_id
        self.cookies, self.token = f"Cookie: sessionid={cookie}", token

    def make_head(self, method: str, path: str, *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{self.port}", *headers]
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
        writer.write(target.make_head("GET", path, target.cookies))
        await asyncio.Event().wait()


async def open_stream(target: Target) -> None:
    await never_read(target, f"/api/imports/{target.job_id}/events/")


async def download_slowly(target: Target) -> None:
    async with target.connect() as (reader, writer):
        path = f"/api/imports/{target.file_id}/file/"
        writer.write(target.make_head("GET", path, target.cookies))
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


# --- Checking ----------------------------------------------------------------


async def check(target: Target, *, is_limited: bool) -> None:
    """Raise an AssertionError if the server does not serve what the application needs."""
    async with asyncio.timeout(CHECK_SECONDS):
        assert await get_page(target), "no page"
        async with target.connect() as (reader, writer):
            path = f"/api/imports/{target.job_id}/events/"
            writer.write(target.make_head("GET", path, target.cookies))
            assert b"data: {" in await reader.readuntil(b"data: {"), "no event of a stream"
        url = f"ws://localhost:{target.port}/ws/imports/{target.job_id}/"
        headers = {"Cookie": target.cookies.removeprefix("Cookie: ")}
        async with connect_websocket(
            url, origin=f"http://localhost:{target.port}", additional_headers=headers
        ) as websocket:
            assert json.loads(await websocket.recv())["id"] == target.job_id, "no message"
        form = (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
            + b"email\r\na@example.com\r\n"
            + b"\r\n--x--\r\n"
        )
        assert await upload(target, form, len(form)) == 202, "no upload"
        if is_limited:
            assert await upload(target, b"", LARGE_FILE_BYTES) == 413, "no limit of uploads"


async def upload(target: Target, body: bytes, length: int) -> int:
    """Return the status of an upload of which only `body` is sent."""
    async with target.connect() as (reader, writer):
        writer.write(
            target.make_head(
                "POST",
                "/api/imports/",
                f"Authorization: Bearer {target.token}",
                "Content-Type: multipart/form-data; boundary=x",
                f"Content-Length: {length}",
            )
        )
        writer.write(body)
        line = await reader.readline()
        return int(line.split()[1])


# --- Measuring ---------------------------------------------------------------


async def repeat(attack: Attack, target: Target) -> None:
    """Attack again and again: a client that was refused comes back after a second."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await attack(target)
        await asyncio.sleep(1)


async def measure(
    target: Target, processes: list[psutil.Process], count: int, attack: Attack, seconds: float
) -> str:
    """Return a part of a table row: memory before and at most, disk, latencies and failures."""
    await get_page(target)
    before = peak = count_memory(processes)
    disk = failures = 0
    latencies = []
    tasks = [asyncio.create_task(repeat(attack, target)) for _ in range(count)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        try:
            async with asyncio.timeout(10):
                is_answered = await get_page(target)
        except (OSError, TimeoutError):
            is_answered = False
        failures += not is_answered
        latencies.append(time.monotonic() - started)
        peak, disk = max(peak, count_memory(processes)), max(disk, count_disk(processes))
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


def list_processes(processes: list[psutil.Process]) -> Iterator[psutil.Process]:
    for process in processes:
        yield process
        yield from process.children(recursive=True)


def count_memory(processes: list[psutil.Process]) -> int:
    """Return the resident memory of the processes and their children."""
    return sum(process.memory_info().rss for process in list_processes(processes))


def count_disk(processes: list[psutil.Process]) -> int:
    """Return the size of the temporary files that the processes have open."""
    size = 0
    for process in list_processes(processes):
        for file in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(file.readlink()).startswith(("/tmp/", "/var/tmp/")):
                    size += file.stat().st_size
    return size


# --- Servers -----------------------------------------------------------------


@contextlib.contextmanager
def running_server(name: str) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Run a server and, if its name says so, nginx in front of it."""
    with contextlib.ExitStack() as stack:
        port = find_free_port()
        command = [word.format(port=port) for word in COMMANDS[PROXIED.get(name, name)]]
        environment = {"TRUSTED_PROXIES": "1" if name in PROXIED else "0"}
        processes = [stack.enter_context(running([sys.executable, *command], port, environment))]
        if name in PROXIED:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            public_port = find_free_port()
            write_nginx_files(folder, public_port, port, has_buffers=name != "nginx")
            nginx = ["nginx", "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"]
            processes.append(stack.enter_context(running(nginx, public_port, {})))
            port = public_port
        yield port, processes


def write_nginx_files(folder: Path, port: int, web_port: int, *, has_buffers: bool) -> None:
    """Write the file of the documentation, without TLS, and what it needs."""
    site = (PROJECT / "docs/examples/nginx.conf").read_text()
    site = re.sub(r"(?m)^ *ssl_.*\n", "", site)
    site = site.replace("listen 443 ssl;", f"listen {HOST}:{port};")
    site = site.replace("server 127.0.0.1:8000;", f"server {HOST}:{web_port};")
    if has_buffers:
        site = re.sub(r"(?m)^ *proxy_(request_)?buffering off;\n", "", site)
    (folder / "site.conf").write_text(site)
    user = "" if os.getuid() else "user root;"  # Otherwise its workers could not read `folder`.
    (folder / "nginx.conf").write_text(NGINX_MAIN.format(user=user))


def find_free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[psutil.Process]:
    """Run a command until the end of the block, which begins when its port is open."""
    process = psutil.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + START_SECONDS
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[:3]} has not started")
            time.sleep(0.1)
        yield process
    finally:
        # Some servers wait for hostile clients.
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="hostile_clients", description=__doc__)
    parser.add_argument("servers", nargs="*", choices=[*SERVERS, "all"], default="ours")
    parser.add_argument("--seconds", type=float, default=15, help="time of each attack")
    parser.add_argument("--attack", action="append", choices=ATTACKS, help="only this one")
    options = parser.parse_args(arguments)
    servers = [options.servers] if isinstance(options.servers, str) else options.servers
    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model
        from django.core.files.base import ContentFile
        from rest_framework_simplejwt.tokens import AccessToken

        from imports.models import ImportJob
        from tests.streams import make_job, make_session_cookie

        user = get_user_model().objects.create_superuser("mallory")
        cookie, token = make_session_cookie(user), str(AccessToken.for_user(user))
        job = make_job(user)
        large = ImportJob.objects.create(
            owner=user, importer="customers", file_name="large.csv", file_size=LARGE_FILE_BYTES
        )
        large.file.save("large.csv", ContentFile(bytes(LARGE_FILE_BYTES)))
        print("| server | attack | MB before | MB most | MB disk | median ms | max ms | failed |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for server in SERVERS if "all" in servers else servers:
            for name in options.attack or ATTACKS:
                count, attack = ATTACKS[name]
                with running_server(server) as (port, processes):
                    target = Target(port, str(job.pk), str(large.pk), cookie, token)
                    if not count:
                        asyncio.run(check(target, is_limited=server in {"ours", *PROXIED}))
                    result = asyncio.run(measure(target, processes, count, attack, options.seconds))
                print(f"| {server} | {name} | {result} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
