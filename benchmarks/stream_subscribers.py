"""Measure the latency and the cost of many subscribers of one import on one Daphne process.

    python -m benchmarks.stream_subscribers [subscribers] [seconds]

Starts its own PostgreSQL and Redis. The clients run in this process on the same machine, so the
latencies are upper bounds. Half of the median is the pause that a stream makes between two events.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import contextmanager

import psutil
from redis.asyncio import Redis

from devserver.servers import temporary_servers

PUBLISHES_PER_SECOND = 10


def main(subscribers=500, seconds=5):
    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model

        from imports import progress, snapshots
        from tests.streams import make_job, make_session_cookie, running_daphne

        alice = get_user_model().objects.create_superuser("alice")
        job = make_job(alice)
        limit = str(subscribers + 10)
        with running_daphne(
            IMPORTS_MAX_STREAMS_PER_USER=limit,
            IMPORTS_MAX_STREAMS_PER_PROCESS=limit,
            IMPORTS_SERVER_MAX_CONNECTIONS=limit,
            IMPORTS_SERVER_MAX_CONNECTIONS_PER_ADDRESS=limit,
        ) as server:
            measurement = Measurement(
                server, make_session_cookie(alice), progress.get_channel(job), urls["REDIS_URL"]
            )
            asyncio.run(measurement.run(snapshots.build_snapshot(job), subscribers, seconds))
        measurement.print_table(subscribers, seconds)


@contextmanager
def django_on(urls):
    """Set Django up on the servers with these URLs, and migrate the database."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "SECRET_KEY": "only-to-measure"}
    os.environ |= urls | {"HTTPS_ONLY": "0", "LOG_LEVEL": "WARNING"}
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    yield
    connections.close_all()


class Measurement:
    """Clients that subscribe to an import, a publisher, and the latencies that the clients saw."""

    def __init__(self, server, cookie, channel, redis_url):
        self.server = server
        self.cookie = cookie
        self.channel = channel
        self.redis_url = redis_url
        self.process = psutil.Process(server.process.pid)
        self.published = {}  # Times by version.
        self.latencies = []  # In seconds.

    async def run(self, snapshot, subscribers, seconds):
        job_id = snapshot["id"]
        # Warm up: the server loads modules at the first request.
        await self.subscribe(job_id, stop_after_first=True)
        before = self.process.memory_info().rss
        started = time.monotonic()
        self.open, self.all_open = subscribers, asyncio.Event()
        clients = [asyncio.create_task(self.subscribe(job_id)) for _ in range(subscribers)]
        await self.all_open.wait()
        self.connected = time.monotonic() - started
        cpu = sum(self.process.cpu_times()[:2])
        await self.publish(snapshot, seconds)
        self.cpu = (sum(self.process.cpu_times()[:2]) - cpu) / seconds
        self.rss = (self.process.memory_info().rss - before) / subscribers
        await asyncio.gather(*clients)

    async def publish(self, snapshot, seconds):
        async with Redis.from_url(self.redis_url) as redis:
            started = time.monotonic()
            for number in range(1, PUBLISHES_PER_SECOND * seconds + 1):
                await asyncio.sleep(started + number / PUBLISHES_PER_SECOND - time.monotonic())
                snapshot["version"] += 1
                last = number == PUBLISHES_PER_SECOND * seconds
                message = json.dumps(snapshot | ({"status": "COMPLETE"} if last else {}))
                self.published[snapshot["version"]] = time.monotonic()
                await redis.publish(self.channel, message)

    async def subscribe(self, job_id, *, stop_after_first=False):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        request = f"GET /api/imports/{job_id}/events/ HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{request}Cookie: sessionid={self.cookie}\r\n\r\n".encode())
        is_first = True
        while line := await reader.readline():
            if line.startswith(b"id: ") and not is_first:
                if published_at := self.published.get(int(line[4:])):
                    self.latencies.append(time.monotonic() - published_at)
            elif line.startswith(b"id: "):
                is_first = False
                if stop_after_first:
                    break
                self.open -= 1
                if not self.open:
                    self.all_open.set()
            elif line.startswith(b"event: complete"):
                break
        writer.close()
        await writer.wait_closed()

    def print_table(self, subscribers, seconds):
        percentiles = statistics.quantiles(self.latencies, n=100)
        events = len(self.latencies) / subscribers
        rows = {
            "subscribers": f"{subscribers}",
            "all open after": f"{self.connected:.1f} s",
            "events for each": f"{events:.0f} of {PUBLISHES_PER_SECOND * seconds}",
            "publish to client, p50": f"{percentiles[49] * 1000:.0f} ms",
            "publish to client, p99": f"{percentiles[98] * 1000:.0f} ms",
            "publish to client, max": f"{max(self.latencies) * 1000:.0f} ms",
            "server's processor": f"{self.cpu:.0%}",
            "server's memory per subscriber": f"{self.rss / 1024:.0f} KB",
        }
        for name, value in rows.items():
            print(f"{name:28}{value:>12}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
