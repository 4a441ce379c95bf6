"""PostgreSQL and Redis together. The environment may name other servers to use instead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from devserver import postgres, redis
from devserver.paths import Paths, temporary_paths
from devserver.processes import Child, running_child


def get_urls(paths: Paths) -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL: those of the environment, else of our servers."""
    own_urls = {"DATABASE_URL": postgres.get_url(paths), "REDIS_URL": redis.get_url(paths)}
    return {name: os.environ.get(name) or url for name, url in own_urls.items()}


def uses_own_database() -> bool:
    return not os.environ.get("DATABASE_URL")


@contextmanager
def running_servers(paths: Paths) -> Iterator[list[Child]]:
    """Start the servers that the environment does not name: PostgreSQL, then Redis.

    They are stopped in reverse order. Raises: StartupError.
    """
    with ExitStack() as stack:
        servers = []
        if uses_own_database():
            servers.append(stack.enter_context(running_child(postgres.make_server(paths))))
        if not os.environ.get("REDIS_URL"):
            servers.append(stack.enter_context(running_child(redis.make_server(paths))))
        yield servers


@contextmanager
def temporary_servers() -> Iterator[dict[str, str]]:
    """Start both servers in a temporary folder, which is removed at the end.

    Yields DATABASE_URL and REDIS_URL. Raises: StartupError.
    """
    with (
        temporary_paths() as paths,
        running_child(postgres.make_server(paths, durable=False)),
        running_child(redis.make_server(paths)),
    ):
        yield {"DATABASE_URL": postgres.get_url(paths), "REDIS_URL": redis.get_url(paths)}
