"""A Dramatiq broker on Redis whose idle workers wait for a notification instead of polling.

The consumers of Dramatiq's own broker poll Redis continuously, in one thread for each queue. With
this broker, the sender of a message publishes the name of the queue after it has stored the
message. One thread of each worker process, the watcher, subscribes to these notifications and wakes
the consumer of the queue. Once a second the watcher also sends the heartbeat of the process, and
asks Redis whether messages wait and whether other workers have crashed. So a lost notification
delays a message by at most a second.

The keys and scripts in Redis are Dramatiq's. Processes with `dramatiq.brokers.redis.RedisBroker`
may use the same queues; they poll, and send no notifications. This module does not import Django,
because `django_dramatiq` imports it before apps are ready.
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
# Longest time between two fetches of a consumer. A fetch lets Dramatiq delete old dead-lettered
# messages. It also receives messages if the watcher has ended.
MAX_FETCH_INTERVAL_SECONDS = 60.0
# Longest wait of a consumer, before its thread checks whether it was paused or stopped.
MAX_WAIT_SECONDS = 1.0
# If the subscription has received nothing for this long, the watcher sends a PING. After twice this
# time it subscribes on a new connection.
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
    """Wakes the consumers of a worker that stops. Until it has stopped, they wait only briefly."""

    def __init__(self, notifying_broker: NotifyingRedisBroker) -> None:
        self.notifying_broker = notifying_broker

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.notifying_broker.is_stopping = False

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.notifying_broker.is_stopping = True
        self.notifying_broker.watcher.wake_all()


class _NotifiedConsumer(_RedisConsumer):
    """Fetches messages as Dramatiq's consumer does, but only when the queue may have some.

    One thread iterates. The watcher and the worker threads call the other methods.
    """

    broker: NotifyingRedisBroker
    queue_name: str
    prefetch: int

    def __init__(
        self, broker: NotifyingRedisBroker, queue_name: str, prefetch: int, timeout: int
    ) -> None:
        super().__init__(broker, queue_name, prefetch, timeout=0)  # `__next__` waits instead.
        self.short_wait_seconds = timeout / 1_000
        self.may_have_messages = True
        self.next_fetch_at = 0.0
        self.wake_event = threading.Event()
        broker.watcher.add(self)

    def notify(self) -> None:
        """Fetch as soon as possible: a message was stored."""
        self.may_have_messages = True
        self.wake_event.set()

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
        """Wake the consumer if it left messages in Redis because of the prefetch limit."""
        if self.may_have_messages:
            self.wake_event.set()

    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        messages = list(messages)
        super().requeue(messages)
        if messages:
            self.broker.notify(self.queue_name)

    def __next__(self) -> dramatiq.MessageProxy | None:
        """Return a message, after a wait if there is none; None if there is still none."""
        if self.message_cache:
            return self._next_message()
        if not self._should_fetch():
            self.wake_event.wait(self._get_wait_seconds())
        # Whoever wakes the consumer changes its attributes before the event, so no change is lost.
        self.wake_event.clear()
        if not self._should_fetch():
            return None
        # Set this before the fetch: a notification during the fetch must lead to another fetch.
        self.may_have_messages = False
        self.next_fetch_at = time.monotonic() + MAX_FETCH_INTERVAL_SECONDS
        free = self._count_free_slots()
        message = self._next_message()
        if message is not None and 1 + len(self.message_cache) >= free:
            self.may_have_messages = True
        return message

    def _next_message(self) -> dramatiq.MessageProxy | None:
        message: dramatiq.MessageProxy | None = super().__next__()
        return message

    def _should_fetch(self) -> bool:
        is_due = self.may_have_messages or time.monotonic() >= self.next_fetch_at
        return is_due and self._count_free_slots() > 0

    def _count_free_slots(self) -> int:
        """Return how many messages the prefetch limit still allows."""
        return self.prefetch - int(self.outstanding_message_count)

    def _get_wait_seconds(self) -> float:
        """Return the longest time to wait.

        Between two waits, the thread of the consumer checks whether it was stopped, and whether
        delayed messages are due.
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
        self._received_at = self._pinged_at = 0.0
        self.subscriptions = 0  # How often a subscription has begun.
        # Crashed workers that hold no message of the queues of `_checked_consumers`.
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

    def wake_all(self) -> None:
        """Let every consumer end its wait."""
        for consumer in self._consumers:
            consumer.wake_event.set()

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
        """Whether the thread is needed. If not, the next consumer starts another thread."""
        with self._lock:
            if not self._consumers:
                self._thread = None
            return bool(self._consumers)

    def _report(self, error: Exception | None) -> None:
        """Log the first of several equal failures, and their end."""
        failure = type(error).__name__ if error else ""
        if failure and failure != self._failure:
            is_expected = isinstance(error, RedisError | OSError)
            self.logger.warning(
                "Redis cannot be watched: %s. The watcher tries again every second.",
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
            self._notify_waiting_consumers(consumers)
        self._notify_for_maintenance(consumers, set(dead))
        if isinstance(heartbeat, Exception):  # Without memory, Redis still executes the reads.
            raise heartbeat

    def _notify_waiting_consumers(self, consumers: frozenset[_NotifiedConsumer]) -> None:
        with self.broker.client.pipeline(transaction=False) as commands:
            for consumer in consumers:
                commands.exists(self._get_queue_key(consumer))
            are_waiting = commands.execute()
        for consumer, is_waiting in zip(consumers, are_waiting, strict=True):
            if is_waiting:
                consumer.notify()

    def _notify_for_maintenance(
        self, consumers: frozenset[_NotifiedConsumer], dead: set[bytes]
    ) -> None:
        """Let consumers fetch while a crashed worker holds messages of their queues.

        A fetch may run Dramatiq's maintenance, which puts these messages back into their queue;
        `maintenance_chance` says how often. For a crashed worker without messages, one fetch is
        enough. It may delete the heartbeat of that worker.
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
        """Wake the consumers of the queues that notifications name, until the deadline.

        Returns earlier when a subscription begins: messages that were sent before need a poll.
        """
        if self._pubsub is None:
            self._pubsub = self.broker.client.pubsub()
            self._pubsub.subscribe(self.broker.notification_channel)
            self._received_at = self._pinged_at = time.monotonic()
        self._ping_if_silent(self._pubsub)
        while self._consumers and (seconds := deadline - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=seconds)
            if message is None:
                continue
            self._received_at = time.monotonic()
            if message["type"] == "subscribe":
                self.subscriptions += 1
                return
            if message["type"] == "message":
                self._notify_consumers(message["data"].decode())

    def _ping_if_silent(self, pubsub: PubSub) -> None:
        """Send a PING if the subscription has received nothing for a while.

        Raises:
            ConnectionError: The answer to a PING has not arrived either.
        """
        now = time.monotonic()
        if now - self._received_at > 2 * MAX_SILENCE_SECONDS:
            raise RedisConnectionError("The subscription is silent.")
        if now - max(self._received_at, self._pinged_at) > MAX_SILENCE_SECONDS:
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
