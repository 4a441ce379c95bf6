"""The development Redis: Unix socket only, without persistence.

Redis carries only messages. All data that must survive a restart is in PostgreSQL.
"""

from __future__ import annotations

from contextlib import closing

import redis

from devserver.binaries import find_redis_binary
from devserver.paths import Paths, change_owner
from devserver.processes import ENVIRONMENT_MARK, Child


def get_url(paths: Paths) -> str:
    return f"unix://{paths.sockets}/redis.sock?db=0"


def make_server(paths: Paths) -> Child:
    """Return the server, not yet started. Raises: StartupError."""
    folder = paths.servers / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    change_owner(folder, paths.account)
    return Child(
        "Redis",
        [str(find_redis_binary(paths)), *make_options(paths)],
        {"PATH": "/usr/bin:/bin", ENVIRONMENT_MARK: str(paths.var)},
        log=paths.logs / "redis.log",
        folder=folder,
        account=paths.account,
        is_ready=lambda: is_ready(paths),
    )


def make_options(paths: Paths) -> list[str]:
    options = {
        "--port": "0",
        "--unixsocket": f"{paths.sockets}/redis.sock",
        "--unixsocketperm": "700",
        "--save": "",
        "--appendonly": "no",
        # When memory is full, fail writes. Every other policy would delete messages.
        "--maxmemory-policy": "noeviction",
    }
    return [word for option in options.items() for word in option]


def is_ready(paths: Paths) -> bool:
    try:
        with closing(redis.Redis.from_url(get_url(paths), socket_timeout=2)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
