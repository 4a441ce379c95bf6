"""One Redis subscription and a few loops per process, for however many viewers.

A viewer holds the newest snapshot and nothing older, so a slow one costs no memory. What a
lost message held is found by the next poll; with Redis away, the poll is all there is.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from uuid import uuid4

from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from imports.live.database import QueryBatcher
from imports.snapshots import ALL_OWNERS, Snapshot, is_feed_topic, read_feed, read_snapshots

log = logging.getLogger(__name__)

CHANNELS = "imports:*"  # imports:{owner}:{job}
OF_HUBS = "hub"
REDIS_SECONDS = 2  # As long as Redis may take to answer.
ECHO_SECONDS = 5.0  # How often the hub calls out to itself.
RECONNECT_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
VIEWERS_ASKED_AT_ONCE = 20
CANCEL_AGAIN_SECONDS = 6.0  # Sooner, it would hit a connection that is just being closed.
MOST_KNOWN = 1_000  # Imports that a feed remembers having shown.


class ProcessLimitReached(Exception):
    """This process holds as many streams as it may."""


class UserLimitReached(Exception):
    """This user holds as many streams as one may."""


class Subscriber:
    """What one open stream has not been shown yet: the newest snapshots, never a queue."""

    # Asked every now and then, in a thread; the stream ends when the answer is no.
    may_watch: Callable[[], bool] | None = None

    def __init__(self, user_id: int | None = None, watched: int | str = "") -> None:
        self.user_id = user_id
        self.watched = watched
        self.known: dict[str, Snapshot] = {}  # Of each import the newest, in order of arrival.
        self.news: dict[str, Snapshot] = {}  # Those of them that have not been sent.
        self.dismissed = False
        self.arrived = asyncio.Event()
        self.urgent = asyncio.Event()

    def show(self, snapshot: Snapshot) -> None:
        job_id = snapshot["id"]
        known = self.known.pop(job_id, None)
        if known is not None:
            if snapshot == known or snapshot["version"] < known["version"]:
                self.known[job_id] = known
                return  # Seen, or overtaken on the way.
            if snapshot["status"] != known["status"]:
                self.urgent.set()
        elif len(self.known) == MOST_KNOWN:  # Forgotten, it may be sent again: no harm.
            del self.known[next(iter(self.known))]
        self.known[job_id] = self.news[job_id] = snapshot
        self.arrived.set()

    def dismiss(self) -> None:
        self.dismissed = True
        self.urgent.set()
        self.arrived.set()

    async def next(self, *, pause: float) -> list[Snapshot] | None:
        """The newest snapshots once there is news, but not before `pause` has passed.

        Only a change of status is not kept waiting. Whatever arrives meanwhile replaces
        what waits, so the last one always goes out. None: the viewer has to leave.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.urgent.wait()
        await self.arrived.wait()
        self.arrived.clear()
        self.urgent.clear()
        news, self.news = list(self.news.values()), {}
        return None if self.dismissed else news


class ProgressHub:
    """Takes in what is published and shows it to those who watch; runs from the first on."""

    def __init__(self) -> None:
        # By what they watch: an import's id, or for a feed its owner's or EVERYONE.
        self.viewers: dict[int | str, set[Subscriber]] = defaultdict(set)
        self.ask = QueryBatcher().ask
        self.work: asyncio.Task[None] | None = None

    @contextmanager
    def viewer(self, user_id: int, watched: int | str) -> Iterator[Subscriber]:
        """A viewer for as long as the block lasts; or raise Full or TooMany."""
        if len(self.everyone()) >= settings.IMPORT_STREAMS_PER_PROCESS:
            raise ProcessLimitReached
        if self.streams_of(user_id) >= settings.IMPORT_STREAMS_PER_USER:
            raise UserLimitReached
        self.start()
        viewer = Subscriber(user_id, watched)
        self.viewers[watched].add(viewer)
        try:
            yield viewer
        finally:
            self.viewers[watched].discard(viewer)
            if not self.viewers[watched]:
                del self.viewers[watched]

    def everyone(self) -> list[Subscriber]:
        return [viewer for viewers in self.viewers.values() for viewer in viewers]

    def streams_of(self, user_id: int) -> int:
        return sum(viewer.user_id == user_id for viewer in self.everyone())

    def start(self) -> None:
        if self.work is None or self.work.done():
            self.work = asyncio.create_task(self.run())

    async def stop(self) -> None:
        if work := self.work:
            self.work = None
            while not work.done():
                work.cancel()
                await asyncio.wait([work], timeout=CANCEL_AGAIN_SECONDS)

    async def run(self) -> None:
        # No TaskGroup: cancelled before its tasks have begun, Python 3.11's never ends. And
        # `return_exceptions`, or this ended with the first loop, whatever the others still do.
        await asyncio.gather(
            run_forever(self.listen, pause=RECONNECT_SECONDS),
            run_forever(self.poll, pause=settings.IMPORT_POLL_SECONDS),
            # A logout ends the stream within a minute.
            run_forever(self.recheck, pause=2 * settings.IMPORT_PING_SECONDS),
            return_exceptions=True,
        )

    async def listen(self) -> None:
        """Take in what is published, for as long as the hub hears itself.

        A connection can be dead without an error: a firewall forgot it, or Redis moved to
        another machine. So the hub publishes too, by another connection, and listens for it.
        """
        own = f"imports:{OF_HUBS}:{uuid4()}"
        async with (
            connect_to_redis() as client,
            client.pubsub(ignore_subscribe_messages=True) as pubsub,
        ):
            await pubsub.psubscribe(CHANNELS)
            heard_at, called_at = monotonic(), 0.0
            # Redis' client can take being cancelled for a time-out.
            while monotonic() - heard_at < 2 * ECHO_SECONDS and not is_cancelled():
                if monotonic() - called_at >= ECHO_SECONDS:
                    await client.publish(own, "")
                    called_at = monotonic()
                message = await pubsub.get_message(timeout=ECHO_SECONDS)
                if message is None:
                    continue
                if message["channel"] == own:
                    heard_at = monotonic()
                else:
                    self.take(message["channel"], message["data"])
        if not is_cancelled():
            raise ConnectionError("The hub did not hear itself.")

    def take(self, channel: str, published: str) -> None:
        _, owner, job_id = (*channel.split(":"), "", "")[:3]
        owner_id = int(owner) if owner.isdecimal() else None
        if owner == OF_HUBS or not any(map(self.viewers.get, (job_id, owner_id, ALL_OWNERS))):
            return
        try:
            self.dispatch(owner_id, json.loads(published))
        except (ValueError, TypeError, KeyError):  # Must not cost us the connection.
            log.warning("not a snapshot, on %s", channel)

    async def poll(self) -> None:
        """Read all watched imports in one query, and in another what feeds show."""
        feeds = list(filter(is_feed_topic, self.viewers))
        jobs = [watched for watched in self.viewers if not is_feed_topic(watched)]
        if feeds:
            for owner_id, snapshot in await self.ask(partial(read_feed, feeds)):
                self.dispatch(owner_id, snapshot)
        if jobs:
            for snapshot in await self.ask(partial(read_snapshots, jobs)):
                self.dispatch(None, snapshot)

    def dispatch(self, owner_id: int | None, snapshot: Snapshot) -> None:
        """To those who watch the import, its owner's imports, or every import."""
        for watched in (snapshot["id"], owner_id, ALL_OWNERS):
            for viewer in self.viewers.get(watched, ()):
                viewer.show(snapshot)

    async def recheck(self) -> None:
        """Ask of each viewer whether it may still watch: people log out and lose rights."""
        viewers = [viewer for viewer in self.everyone() if viewer.may_watch]
        for start in range(0, len(viewers), VIEWERS_ASKED_AT_ONCE):
            asked = viewers[start : start + VIEWERS_ASKED_AT_ONCE]
            for viewer in await self.ask(partial(list_revoked, asked)):
                viewer.dismiss()


def list_revoked(viewers: list[Subscriber]) -> list[Subscriber]:
    return [viewer for viewer in viewers if not viewer.may_watch()]


def connect_to_redis() -> Redis:
    """Without retries of its own: `again_and_again` is the only one that tries again."""
    patience = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    once = Retry(NoBackoff(), 0)
    return Redis.from_url(settings.REDIS_URL, decode_responses=True, retry=once, **patience)


def is_cancelled() -> bool:
    return bool(asyncio.current_task().cancelling())


async def run_forever(step: Callable[[], Awaitable[None]], *, pause: float) -> None:
    """Repeat `step` for the life of the process; where it fails, say so and go on.

    A loop that ends would leave every viewer in the dark. It pauses longer from failure to
    failure, and speaks up at the first only: being away is Redis's news, not ours.
    """
    failures = 0
    while not is_cancelled():
        began = monotonic()
        try:
            await step()
            failures = 0
        except Exception as error:  # Its text may quote a row.
            failures = 1 if monotonic() - began > LONGEST_PAUSE_SECONDS else failures + 1
            if failures == 1:
                log.warning("%s failed: %s", step.__name__, type(error).__name__)
        longer = min(pause * 2 ** min(max(failures - 1, 0), 10), LONGEST_PAUSE_SECONDS)
        if not is_cancelled():
            await asyncio.sleep(max(pause, longer))


hub = ProgressHub()
