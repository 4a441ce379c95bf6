"""A Dramatiq broker on Redis whose idle workers wait for a notification instead of polling.

A consumer of Dramatiq's own broker asks Redis for messages all the time, in one thread for each
queue. Here, a sender publishes the name of the queue after it has stored the message, and one
thread of each worker process, the watcher, subscribes and wakes the consumer of that queue. Once a
second the watcher also sends the heartbeat of the process, and asks whether messages wait or other
workers have crashed. So a lost notification delays a message by at most a second.

Keys and scripts in Redis are Dramatiq's. Processes with `dramatiq.brokers.redis.RedisBroker` may
use the same queues. They send no notifications, and poll. The module needs no Django, because
`django_dramatiq` imports it before apps are ready.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis
from dramatiq.logging import get_logger
from dramatiq.middleware import Middleware
from redis.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

POLL_SECONDS = 1.0
# A consumer fetches at least this often, so that Dramatiq deletes old dead-lettered messages. It
# would also receive messages if the thread of the watcher had ended.
MAX_FETCH_INTERVAL_SECONDS = 60.0
# How long a consumer waits until its thread looks whether it was paused or stopped.
MAX_WAIT_SECONDS = 1.0
# If nothing has arrived on the subscription for this long, the watcher sends a PING. After twice
# the time it subscribes on a new connection.
MAX_SILENCE_SECONDS = 10.0


class NotifyingRedisBroker(RedisBroker):
    """A `RedisBroker` that notifies workers of messages. Its parameters are the same."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.watcher = QueueWatcher(self)
        self.is_stopping = False
        self.add_middleware(_StopMiddleware(self))

    @property
    def consumer_class(self) -> type[_NotifiedConsumer]:
        return _NotifiedConsumer

    @property
    def notification_channel(self) -> str:
        return f"{self.namespace}.notifications"

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Enqueue a message as `RedisBroker.enqueue` does, and notify the workers."""
        message = super().enqueue(message, delay=delay)
        self.notify(message.queue_name)
        return message

    def notify(self, queue_name: str) -> None:
        """Tell the workers that a message was stored. Best effort: workers also poll."""
        try:
            self.client.publish(self.notification_channel, queue_name)
        except (RedisError, OSError) as error:
            self.logger.info("Workers not notified of %r: %s", queue_name, type(error).__name__)


class _StopMiddleware(Middleware):
    """While a worker stops, its consumers wait for short times only."""

    def __init__(self, notifying_broker: NotifyingRedisBroker) -> None:
        self.notifying_broker = notifying_broker

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.notifying_broker.is_stopping = False

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.notifying_broker.is_stopping = True
        self.notifying_broker.watcher.wake_waiting()


class _NotifiedConsumer(_RedisConsumer):
    """Fetches messages as Dramatiq's consumer does, but only when there may be some.

    One thread iterates; the watcher and the worker threads call the other methods.
    """

    broker: NotifyingRedisBroker
    queue_name: str
    prefetch: int

    def __init__(
        self, broker: NotifyingRedisBroker, queue_name: str, prefetch: int, timeout: int
    ) -> None:
        super().__init__(broker, queue_name, prefetch, timeout=0)  # It never sleeps by itself.
        self.short_wait_seconds = timeout / 1_000
        self.may_have_messages = True
        self.next_fetch_at = 0.0
        self.woken = threading.Event()
        broker.watcher.add(self)

    def notify(self) -> None:
        """Fetch as soon as possible: a message was stored."""
        self.may_have_messages = True
        self.woken.set()

    def ack(self, message: dramatiq.MessageProxy) -> None:
        try:
            super().ack(message)
        finally:
            self._wake_if_needed()

    def nack(self, message: dramatiq.MessageProxy) -> None:
        try:
            super().nack(message)
        finally:
            self._wake_if_needed()

    def _wake_if_needed(self) -> None:
        """Fetch what did not fit before a message was acknowledged."""
        if self.may_have_messages:
            self.woken.set()

    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        messages = list(messages)
        super().requeue(messages)
        if messages:
            self.broker.notify(self.queue_name)

    def __next__(self) -> dramatiq.MessageProxy | None:
        """Return a message; None if there was none to fetch, after a wait."""
        if self.message_cache:
            return self._next_message()
        if not self._should_fetch():
            self.woken.wait(self._get_wait_seconds())
        # What wakes the consumer changes the attributes first, and the event afterwards.
        self.woken.clear()
        if not self._should_fetch():
            return None
        # Before the fetch, because a notification during the fetch must lead to another one.
        self.may_have_messages = False
        self.next_fetch_at = time.monotonic() + MAX_FETCH_INTERVAL_SECONDS
        free = self._count_free()
        message = self._next_message()
        if message is not None and 1 + len(self.message_cache) >= free:
            self.may_have_messages = True
        return message

    def _next_message(self) -> dramatiq.MessageProxy | None:
        message: dramatiq.MessageProxy | None = super().__next__()
        return message

    def _should_fetch(self) -> bool:
        is_due = self.may_have_messages or time.monotonic() >= self.next_fetch_at
        return is_due and self._count_free() > 0

    def _count_free(self) -> int:
        """Return how many messages may be fetched."""
        return self.prefetch - int(self.outstanding_message_count)

    def _get_wait_seconds(self) -> float:
        """Return how long to wait. The thread of the consumer works between two waits.

        It then looks whether it was stopped, and whether delayed messages are due.
        """
        has_delayed = self.queue_name.endswith(".DQ") and self.outstanding_message_count
        if self.broker.is_stopping or has_delayed:
            return self.short_wait_seconds
        return MAX_WAIT_SECONDS

    def close(self) -> None:
        self.broker.watcher.remove(self)
        super().close()


class QueueWatcher:
    """Wakes the consumers of a process, in one thread that runs while there are consumers."""

    def __init__(self, broker: NotifyingRedisBroker) -> None:
        self.broker = broker
        self.logger = get_logger(__name__, type(self))
        self._lock = threading.Lock()
        self._consumers: frozenset[_NotifiedConsumer] = frozenset()
        self._thread: threading.Thread | None = None
        self._pubsub: PubSub | None = None
        self._heard_at = self._pinged_at = 0.0
        self.subscriptions = 0  # How often a subscription has begun.
        # Workers that have crashed, but have no messages of the queues of these consumers.
        self._dead_without_messages: set[bytes] = set()
        self._checked_consumers = self._consumers
        self._failure = ""

    def add(self, consumer: _NotifiedConsumer) -> None:
        with self._lock:
            self._consumers |= {consumer}
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="queue-watcher", daemon=True)
                self._thread.start()

    def remove(self, consumer: _NotifiedConsumer) -> None:
        with self._lock:
            self._consumers -= {consumer}

    def wake_waiting(self) -> None:
        """Let every consumer end its wait."""
        for consumer in self._consumers:
            consumer.woken.set()

    # --- The thread ----------------------------------------------------------

    def _run(self) -> None:
        while self._has_consumers():
            deadline = time.monotonic() + POLL_SECONDS
            try:
                self._poll()
                self._listen(deadline)
            except Exception as error:  # The thread must not end: it sends the heartbeat.
                self._report(error)
                self._close_subscription()
                time.sleep(max(0.0, deadline - time.monotonic()))
            else:
                self._report(None)
        self._close_subscription()

    def _has_consumers(self) -> bool:
        """Whether the thread is needed. If it is not, the next consumer starts another one."""
        with self._lock:
            if not self._consumers:
                self._thread = None
            return bool(self._consumers)

    def _report(self, error: Exception | None) -> None:
        """Log a failure once, and its end."""
        failure = type(error).__name__ if error else ""
        if failure and failure != self._failure:
            is_expected = isinstance(error, RedisError | OSError)
            self.logger.warning(
                "Redis cannot be watched: %s. It is tried again every second.",
                failure,
                exc_info=None if is_expected else error,
            )
        elif self._failure and not failure:
            self.logger.info("Redis can be watched again.")
        self._failure = failure

    def _poll(self) -> None:
        """Send the heartbeat, and wake the consumers of queues that have something to fetch."""
        broker, consumers = self.broker, self._consumers
        if not consumers:  # The last one was closed meanwhile.
            return
        heartbeats = f"{broker.namespace}:__heartbeats__"
        now = current_millis()
        with broker.client.pipeline(transaction=False) as commands:
            commands.exists(*(self._get_queue_key(consumer) for consumer in consumers))
            commands.zrangebyscore(heartbeats, 0, now - broker.heartbeat_timeout)
            commands.zadd(heartbeats, {broker.broker_id: now})
            waiting, dead, heartbeat = commands.execute(raise_on_error=False)
        for result in (waiting, dead):
            if isinstance(result, Exception):
                raise result
        if waiting:
            self._wake_waiting_queues(consumers)
        self._wake_for_maintenance(consumers, set(dead))
        if isinstance(heartbeat, Exception):  # Redis is out of memory: reading works all the same.
            raise heartbeat

    def _wake_waiting_queues(self, consumers: frozenset[_NotifiedConsumer]) -> None:
        with self.broker.client.pipeline(transaction=False) as commands:
            for consumer in consumers:
                commands.exists(self._get_queue_key(consumer))
            are_waiting = commands.execute()
        for consumer, is_waiting in zip(consumers, are_waiting, strict=True):
            if is_waiting:
                consumer.notify()

    def _wake_for_maintenance(
        self, consumers: frozenset[_NotifiedConsumer], dead: set[bytes]
    ) -> None:
        """Let consumers fetch while a crashed worker has messages of their queues.

        A fetch may include Dramatiq's maintenance, which puts these messages back into their
        queue; `maintenance_chance` says how often. A crashed worker without messages is left to one
        fetch, which may delete its heartbeat.
        """
        if consumers != self._checked_consumers:
            self._checked_consumers = consumers
            self._dead_without_messages.clear()
        self._dead_without_messages &= dead
        for worker in dead - self._dead_without_messages:
            keys = [self._get_acks_key(worker, consumer) for consumer in consumers]
            if self.broker.client.exists(*keys):
                for consumer in consumers:
                    consumer.notify()
            else:
                self._dead_without_messages.add(worker)
                next(iter(consumers)).notify()

    def _get_queue_key(self, consumer: _NotifiedConsumer) -> str:
        return f"{self.broker.namespace}:{consumer.queue_name}"

    def _get_acks_key(self, worker: bytes, consumer: _NotifiedConsumer) -> str:
        return f"{self.broker.namespace}:__acks__.{worker.decode()}.{consumer.queue_name}"

    def _listen(self, deadline: float) -> None:
        """Wake the consumers of queues that senders name, until the deadline.

        Returns earlier when a subscription begins: what was sent before then needs a poll.
        """
        if self._pubsub is None:
            self._pubsub = self.broker.client.pubsub()
            self._pubsub.subscribe(self.broker.notification_channel)
            self._heard_at = self._pinged_at = time.monotonic()
        self._ping_if_silent(self._pubsub)
        while self._consumers and (seconds := deadline - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=seconds)
            if message is None:
                continue
            self._heard_at = time.monotonic()
            if message["type"] == "subscribe":
                self.subscriptions += 1
                return
            if message["type"] == "message":
                self._notify_consumers(message["data"].decode())

    def _ping_if_silent(self, pubsub: PubSub) -> None:
        """Raises: ConnectionError if not even the answer to a PING has arrived."""
        now = time.monotonic()
        if now - self._heard_at > 2 * MAX_SILENCE_SECONDS:
            raise RedisConnectionError("The subscription is silent.")
        if now - max(self._heard_at, self._pinged_at) > MAX_SILENCE_SECONDS:
            self._pinged_at = now
            pubsub.ping()

    def _notify_consumers(self, queue_name: str) -> None:
        for consumer in self._consumers:
            if consumer.queue_name == queue_name:
                consumer.notify()

    def _close_subscription(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()
