"""The progress hub: it passes snapshots from Redis and PostgreSQL to the streams of one process.

A process has one hub with one Redis subscription, for any number of streams. A subscriber keeps
only the newest snapshot of each import, so a slow client costs no memory. The hub also polls the
database: the next poll replaces a message that was lost, and while Redis is down the poll alone
keeps the streams going.
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
from typing import Protocol
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from imports.conf import app_settings
from imports.live.database import QueryBatcher
from imports.snapshots import (
    ALL_OWNERS,
    Snapshot,
    StreamTopic,
    TopicKind,
    make_import_topic,
    make_owner_topic,
    read_feed,
    read_snapshots,
)

log = logging.getLogger(__name__)

CHANNEL_PREFIX = "imports:"  # imports:{owner}:{job}
SELF_PING_PREFIX = "imports-hub:"  # A channel of each hub, which no other hub receives.
SELF_PING_SECONDS = 5.0  # How often the hub publishes a message to itself.
SUBSCRIBE_TIMEOUT_SECONDS = 2  # For connecting to Redis, and for each of its answers.
RECONNECT_PAUSE_SECONDS = 0.25
MAX_RETRY_PAUSE_SECONDS = 5.0
MAX_AUTHORIZATIONS_PER_QUERY = 20
# An earlier second cancellation would hit a connection that is just being closed.
CANCEL_RETRY_SECONDS = 6.0
MAX_LATEST_SNAPSHOTS = 1_000


class ProcessLimitReached(Exception):
    """This process has as many open streams as IMPORTS_MAX_STREAMS_PER_PROCESS allows."""


class UserLimitReached(Exception):
    """This user has as many open streams as IMPORTS_MAX_STREAMS_PER_USER allows."""


class Step(Protocol):
    """A function that `run_forever` repeats; its name is logged when it fails."""

    __name__: str

    def __call__(self) -> Awaitable[None]: ...


class Subscriber:
    """One open stream: the newest snapshots that it has not sent yet, and no queue of older ones.

    `user_id` is the primary key of the user as text. `topic` is what the stream shows.
    """

    # Called in a thread from time to time. The stream ends when it returns False. None: no check.
    is_authorized: Callable[[], bool] | None = None

    def __init__(self, user_id: str, topic: StreamTopic) -> None:
        self.user_id = user_id
        self.topic = topic
        # The newest snapshot of each import, in the order in which they arrived.
        self.latest: dict[str, Snapshot] = {}
        # Those of `latest` that have not been sent.
        self.pending: dict[str, Snapshot] = {}
        self.is_closed = False
        self.has_arrived = asyncio.Event()
        self.is_urgent = asyncio.Event()

    def push(self, snapshot: Snapshot) -> None:
        """Take over a snapshot, unless it is known already or older than the newest one."""
        job_id = snapshot["id"]
        latest = self.latest.pop(job_id, None)
        if latest is not None:
            if snapshot == latest or snapshot["version"] < latest["version"]:
                self.latest[job_id] = latest
                return
            if snapshot["status"] != latest["status"]:
                self.is_urgent.set()
        elif len(self.latest) == MAX_LATEST_SNAPSHOTS:
            # The snapshot that is dropped may be sent a second time, which does no harm.
            del self.latest[next(iter(self.latest))]
        self.latest[job_id] = self.pending[job_id] = snapshot
        self.has_arrived.set()

    def close(self) -> None:
        """End the stream: `next_snapshots` returns None."""
        self.is_closed = True
        self.is_urgent.set()
        self.has_arrived.set()

    async def next_snapshots(self, *, pause: float) -> list[Snapshot] | None:
        """Wait for snapshots and return them, or None if the subscriber is closed.

        Waits at least `pause` seconds, except for a change of status, which is returned at once.
        A snapshot that arrives during the wait replaces the older one of the same import.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.is_urgent.wait()
        await self.has_arrived.wait()
        self.has_arrived.clear()
        self.is_urgent.clear()
        snapshots, self.pending = list(self.pending.values()), {}
        return None if self.is_closed else snapshots


class ProgressHub:
    """Receives snapshots and pushes them to subscribers. Starts with the first subscriber."""

    def __init__(self) -> None:
        self.subscribers: dict[StreamTopic, set[Subscriber]] = defaultdict(set)
        self.run_query = QueryBatcher().run
        self.task: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(self, user_id: str, topic: StreamTopic) -> Iterator[Subscriber]:
        """Add a subscriber for the duration of the block.

        Raises:
            ProcessLimitReached: The process has too many open streams.
            UserLimitReached: The user has too many open streams.
        """
        if len(self.list_subscribers()) >= app_settings.MAX_STREAMS_PER_PROCESS:
            raise ProcessLimitReached
        if self.count_streams(user_id) >= app_settings.MAX_STREAMS_PER_USER:
            raise UserLimitReached
        self.start()
        subscriber = Subscriber(user_id, topic)
        self.subscribers[topic].add(subscriber)
        try:
            yield subscriber
        finally:
            self.subscribers[topic].discard(subscriber)
            if not self.subscribers[topic]:
                del self.subscribers[topic]

    def list_subscribers(self) -> list[Subscriber]:
        return [subscriber for group in self.subscribers.values() for subscriber in group]

    def count_streams(self, user_id: str) -> int:
        return sum(subscriber.user_id == user_id for subscriber in self.list_subscribers())

    def start(self) -> None:
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Cancel the loops of the hub and wait until they have ended."""
        if task := self.task:
            self.task = None
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=CANCEL_RETRY_SECONDS)

    async def run(self) -> None:
        # A TaskGroup of Python 3.11 never ends if it is cancelled before its tasks have begun.
        # Without `return_exceptions`, gather() would end with the first loop that ends.
        await asyncio.gather(
            run_forever(self.listen, pause=RECONNECT_PAUSE_SECONDS),
            run_forever(self.poll, pause=app_settings.STREAM_POLL_SECONDS),
            # A stream ends at most this long after its user has logged out.
            run_forever(self.close_revoked, pause=2 * app_settings.STREAM_PING_SECONDS),
            return_exceptions=True,
        )

    async def listen(self) -> None:
        """Receive what is published to Redis, for as long as the connection works.

        A connection can be dead without an error, for example if a firewall has dropped it or
        Redis has moved to another machine. Therefore the hub publishes messages to itself on a
        second connection, and expects to receive them.

        Raises:
            ConnectionError: The hub has not received its own messages.
        """
        own_channel = f"{SELF_PING_PREFIX}{uuid4()}"
        async with (
            connect_to_redis() as client,
            client.pubsub(ignore_subscribe_messages=True) as pubsub,
        ):
            await pubsub.psubscribe(f"{CHANNEL_PREFIX}*")
            await pubsub.subscribe(own_channel)
            received_at, published_at = monotonic(), 0.0
            # The Redis client may mistake a cancellation for a time-out of its own.
            while monotonic() - received_at < 2 * SELF_PING_SECONDS and not is_cancelled():
                if monotonic() - published_at >= SELF_PING_SECONDS:
                    await client.publish(own_channel, "")
                    published_at = monotonic()
                message = await pubsub.get_message(timeout=SELF_PING_SECONDS)
                if message is None:
                    continue
                if message["channel"] == own_channel:
                    received_at = monotonic()
                else:
                    self.on_message(message["channel"], message["data"])
        if not is_cancelled():
            raise ConnectionError("The hub did not receive its own messages.")

    def on_message(self, channel: str, published: str) -> None:
        """Dispatch a published snapshot; ignore messages that nobody has subscribed to."""
        # The primary key of an owner may hold a colon, and the id of an import does not.
        owner, _, job_id = channel.removeprefix(CHANNEL_PREFIX).rpartition(":")
        owner_topic = make_owner_topic(owner) if owner else None
        if not any(map(self._get, (make_import_topic(job_id), owner_topic, ALL_OWNERS))):
            return
        try:
            self.dispatch(owner_topic, json.loads(published))
        except (ValueError, TypeError, KeyError):  # A bad message must not end the subscription.
            log.warning("not a snapshot, on %s", channel)

    async def poll(self) -> None:
        """Read the snapshots of all topics: imports in one query, feeds in another."""
        feeds = [topic for topic in self.subscribers if topic.kind != TopicKind.IMPORT]
        job_ids = [topic.key for topic in self.subscribers if topic.kind == TopicKind.IMPORT]
        if feeds:
            for owner_topic, snapshot in await self.run_query(partial(read_feed, feeds)):
                self.dispatch(owner_topic, snapshot)
        if job_ids:
            for snapshot in await self.run_query(partial(read_snapshots, job_ids)):
                self.dispatch(None, snapshot)

    def dispatch(self, owner_topic: StreamTopic | None, snapshot: Snapshot) -> None:
        """Push a snapshot to the subscribers of the import, of its owner's feed and of all.

        `owner_topic` is None if the owner is not known or was deleted.
        """
        for topic in (make_import_topic(snapshot["id"]), owner_topic, ALL_OWNERS):
            for subscriber in self._get(topic):
                subscriber.push(snapshot)

    def _get(self, topic: StreamTopic | None) -> set[Subscriber]:
        """Return the subscribers of a topic; none for None."""
        return set() if topic is None else self.subscribers.get(topic, set())

    async def close_revoked(self) -> None:
        """Close the subscribers whose user has logged out or lost the permission."""
        subscribers = [each for each in self.list_subscribers() if each.is_authorized]
        for start in range(0, len(subscribers), MAX_AUTHORIZATIONS_PER_QUERY):
            batch = subscribers[start : start + MAX_AUTHORIZATIONS_PER_QUERY]
            for subscriber in await self.run_query(partial(list_revoked, batch)):
                subscriber.close()


def list_revoked(subscribers: list[Subscriber]) -> list[Subscriber]:
    return [each for each in subscribers if each.is_authorized and not each.is_authorized()]


def connect_to_redis() -> Redis:
    """Return a client that does not retry by itself: only `run_forever` retries."""
    return Redis.from_url(
        app_settings.REDIS_URL,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=SUBSCRIBE_TIMEOUT_SECONDS,
        socket_connect_timeout=SUBSCRIBE_TIMEOUT_SECONDS,
    )


def is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def run_forever(step: Step, *, pause: float) -> None:
    """Repeat `step` with `pause` seconds in between, until the task is cancelled.

    An exception does not end the loop, because without its loops the hub sends nothing. After each
    failure in a row the pause doubles, up to MAX_RETRY_PAUSE_SECONDS. Only the first failure is
    logged.
    """
    failures = 0
    while not is_cancelled():
        started = monotonic()
        try:
            await step()
            failures = 0
        except Exception as error:  # Logged without its text, which may quote a row.
            has_run_long = monotonic() - started > MAX_RETRY_PAUSE_SECONDS
            failures = 1 if has_run_long else failures + 1
            if failures == 1:
                log.warning("%s failed: %s", step.__name__, type(error).__name__)
        retry_pause = min(pause * 2 ** min(max(failures - 1, 0), 10), MAX_RETRY_PAUSE_SECONDS)
        if not is_cancelled():
            await asyncio.sleep(max(pause, retry_pause))


hub = ProgressHub()
