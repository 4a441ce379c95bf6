"""PostgreSQL and Redis as a pair, each unless the environment names another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from devserver import postgres, redis
from devserver.paths import Home, temporary_paths
from devserver.processes import Child, running_child


def urls(home: Home) -> dict[str, str]:
    """Where the servers are, as the settings want to be told."""
    embedded = {"DATABASE_URL": postgres.get_url(home), "REDIS_URL": redis.get_url(home)}
    return {name: os.environ.get(name) or address for name, address in embedded.items()}


def own_database() -> bool:
    return not os.environ.get("DATABASE_URL")


@contextmanager
def running_servers(home: Home) -> Iterator[list[Child]]:
    """The servers that are ours to run, PostgreSQL first and stopped last."""
    with ExitStack() as stack:
        servers = []
        if own_database():
            servers.append(stack.enter_context(running_child(postgres.make_server(home))))
        if not os.environ.get("REDIS_URL"):
            servers.append(stack.enter_context(running_child(redis.make_server(home))))
        yield servers


@contextmanager
def temporary_servers() -> Iterator[dict[str, str]]:
    """A pair of its own in a temporary folder, as URLs; nothing is left of it in the end."""
    with (
        temporary_paths() as home,
        running_child(postgres.make_server(home, durable=False)),
        running_child(redis.make_server(home)),
    ):
        yield {"DATABASE_URL": postgres.get_url(home), "REDIS_URL": redis.get_url(home)}
