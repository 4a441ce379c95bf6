"""Many viewers of one import on one Daphne: how late they see it, and what each costs.

    python -m benchmarks.stream_subscribers [viewers] [seconds]

PostgreSQL and Redis are its own. The clients run here, in one process on the same machine,
so the times are upper bounds. Half of what the median shows is the pause between two events.
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


def main(viewers=500, seconds=5):
    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model

        from imports import progress, snapshots
        from tests.streams import make_job, make_session_cookie, running_daphne

        alice = get_user_model().objects.create_superuser("alice")
        job = make_job(alice)
        many = str(viewers + 10)
        with running_daphne(
            IMPORT_STREAMS_PER_USER=many, IMPORT_STREAMS_PER_PROCESS=many
        ) as server:
            measured = Measured(
                server, make_session_cookie(alice), progress.get_channel(job), urls["REDIS_URL"]
            )
            asyncio.run(measured.run(snapshots.build_snapshot(job), viewers, seconds))
        measured.print_table(viewers, seconds)


@contextmanager
def django_on(urls):
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "SECRET_KEY": "only-to-measure"}
    os.environ |= urls | {"HTTPS_ONLY": "0", "LOG_LEVEL": "WARNING"}
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    yield
    connections.close_all()


class Measured:
    """The clients, the publisher, and what they saw."""

    def __init__(self, server, cookie, channel, redis_url):
        self.server, self.cookie, self.channel, self.redis_url = server, cookie, channel, redis_url
        self.process = psutil.Process(server.process.pid)
        self.published = {}
        self.late = []

    async def run(self, snapshot, viewers, seconds):
        job_id = snapshot["id"]
        await self.watch(job_id, stop_after_first=True)  # Everything is imported now.
        before = self.process.memory_info().rss
        began = time.monotonic()
        self.open, self.all_open = viewers, asyncio.Event()
        clients = [asyncio.create_task(self.watch(job_id)) for _ in range(viewers)]
        await self.all_open.wait()
        self.connected = time.monotonic() - began
        cpu = sum(self.process.cpu_times()[:2])
        await self.publish(snapshot, seconds)
        self.cpu = (sum(self.process.cpu_times()[:2]) - cpu) / seconds
        self.rss = (self.process.memory_info().rss - before) / viewers
        await asyncio.gather(*clients)

    async def publish(self, snapshot, seconds):
        async with Redis.from_url(self.redis_url) as redis:
            began = time.monotonic()
            for n in range(1, PUBLISHES_PER_SECOND * seconds + 1):
                await asyncio.sleep(began + n / PUBLISHES_PER_SECOND - time.monotonic())
                snapshot["version"] += 1
                last = n == PUBLISHES_PER_SECOND * seconds
                news = json.dumps(snapshot | ({"status": "COMPLETE"} if last else {}))
                self.published[snapshot["version"]] = time.monotonic()
                await redis.publish(self.channel, news)

    async def watch(self, job_id, *, stop_after_first=False):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        head = f"GET /api/imports/{job_id}/events/ HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{head}Cookie: sessionid={self.cookie}\r\n\r\n".encode())
        is_first = True
        while line := await reader.readline():
            if line.startswith(b"id: ") and not is_first:
                if published_at := self.published.get(int(line[4:])):
                    self.late.append(time.monotonic() - published_at)
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

    def print_table(self, viewers, seconds):
        per_cent = statistics.quantiles(self.late, n=100)
        rows = {
            "viewers": f"{viewers}",
            "all open after": f"{self.connected:.1f} s",
            "events to each": f"{len(self.late) / viewers:.0f} of {PUBLISHES_PER_SECOND * seconds}",
            "publish to client, p50": f"{per_cent[49] * 1000:.0f} ms",
            "publish to client, p99": f"{per_cent[98] * 1000:.0f} ms",
            "publish to client, max": f"{max(self.late) * 1000:.0f} ms",
            "server's processor": f"{self.cpu:.0%}",
            "server's memory per viewer": f"{self.rss / 1024:.0f} KB",
        }
        for name, value in rows.items():
            print(f"{name:28}{value:>12}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
