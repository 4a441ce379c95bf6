"""The Dramatiq broker through which the app sends its messages.

The broker is, in this order: the one that IMPORTS_BROKER names; that of django_dramatiq, if the app
is installed; the app's own, on the server of IMPORTS_REDIS_URL. The app's own broker is never made
Dramatiq's global broker, so it does not affect other actors of the project.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import dramatiq
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import TimeLimit
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry

from imports.conf import app_settings
from imports.redis_broker import NotifyingRedisBroker

_is_sending_disabled: ContextVar[bool] = ContextVar("is_sending_disabled", default=False)

REDIS_NAMESPACE = "imports"
REDIS_TIMEOUT_SECONDS = 1.0  # For connecting, and for each reply. A web request waits once.
PING_TIMEOUT_SECONDS = 0.25
PROBE_MILLISECONDS = 10_000  # Redis deletes the value that is_redis_usable stores after this time.
# A worker that is silent for longer than this has crashed, and its messages are delivered again.
# No code holds the GIL for that long.
REDIS_HEARTBEAT_TIMEOUT_MILLISECONDS = 30_000
# Look for such messages with every fetch. With Dramatiq's default they would return after thirteen
# minutes.
REDIS_MAINTENANCE_CHANCE = 1_000_000


def get_broker() -> dramatiq.Broker:
    """Return the broker. No connection is opened.

    Raises:
        ImproperlyConfigured: IMPORTS_BROKER names no Dramatiq broker, or IMPORTS_REDIS_URL is not
            the URL of a Redis server.
    """
    if path := app_settings.BROKER:
        return _import_broker(path)
    if apps.is_installed("django_dramatiq"):
        return dramatiq.get_broker()
    return _build_redis_broker(app_settings.REDIS_URL)


def _import_broker(path: str) -> dramatiq.Broker:
    try:
        broker = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"IMPORTS_BROKER cannot be imported: {error}") from error
    if not isinstance(broker, dramatiq.Broker):
        raise ImproperlyConfigured(
            f"IMPORTS_BROKER names {path}, which is no Dramatiq broker but a "
            f"{type(broker).__name__}. Name a module and the variable that holds the broker."
        )
    return broker


@cache
def _build_redis_broker(url: str) -> NotifyingRedisBroker:
    # AgeLimit and ShutdownNotifications are not needed, because messages carry no work. Retries
    # keeps delayed messages in a worker's memory, where they get stuck when Redis restarts.
    # Instead, imports.recovery enqueues unfinished work again from the rows in PostgreSQL.
    timeouts = {
        "socket_timeout": REDIS_TIMEOUT_SECONDS,
        "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
    }
    try:
        client = Redis.from_url(url, **timeouts)
    except (AttributeError, ValueError) as error:  # AttributeError: the URL is no text.
        raise ImproperlyConfigured(f"IMPORTS_REDIS_URL cannot be used: {error}") from error
    return NotifyingRedisBroker(
        client=client,
        middleware=[TimeLimit()],
        namespace=REDIS_NAMESPACE,
        heartbeat_timeout=REDIS_HEARTBEAT_TIMEOUT_MILLISECONDS,
        maintenance_chance=REDIS_MAINTENANCE_CHANCE,
    )


def is_in_memory(broker: dramatiq.Broker) -> bool:
    """Whether the broker keeps its messages in the memory of one process, as in tests."""
    return isinstance(broker, StubBroker)


def is_polling(broker: dramatiq.Broker) -> bool:
    """Whether idle workers poll the Redis server of the broker, instead of waiting."""
    return isinstance(broker, RedisBroker) and not isinstance(broker, NotifyingRedisBroker)


def is_queue_on_redis() -> bool:
    """Whether the messages to workers go through Redis."""
    return isinstance(get_broker(), RedisBroker)


def is_redis_usable() -> bool:
    """Return whether the Redis server of the queue stores a value within a quarter of a second.

    A server without memory, without a disk to save to, or that is only a replica answers a PING but
    stores no message. If the queue is on another broker, the server of the live progress is asked.
    It stores nothing, so a PING is enough.
    """
    broker = get_broker()
    try:
        with Redis(connection_pool=_get_ping_pool(broker)) as client:
            if isinstance(broker, RedisBroker):
                return bool(client.set(f"{broker.namespace}:health", "1", px=PROBE_MILLISECONDS))
            return bool(client.ping())
    except (RedisError, OSError):
        return False


@cache
def _get_ping_pool(broker: dramatiq.Broker) -> ConnectionPool:
    """Return connections to the same server as the broker's, which never wait for long."""
    limits = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": PING_TIMEOUT_SECONDS,
        "socket_connect_timeout": PING_TIMEOUT_SECONDS,
    }
    if not isinstance(broker, RedisBroker):
        return ConnectionPool.from_url(app_settings.REDIS_URL, **limits)
    pool = broker.client.connection_pool
    return ConnectionPool(
        connection_class=pool.connection_class, **(pool.connection_kwargs | limits)
    )


@contextmanager
def disable_sending() -> Iterator[None]:
    """Send nothing to other processes in this block, neither messages nor snapshots.

    For tests, which do the work themselves and have neither Redis nor a worker.
    """
    token = _is_sending_disabled.set(True)
    try:
        yield
    finally:
        _is_sending_disabled.reset(token)


def is_sending_disabled() -> bool:
    return _is_sending_disabled.get()
