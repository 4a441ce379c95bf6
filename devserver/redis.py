"""The embedded Redis: nothing on disk, a unix socket only. It is a doorbell, not a ledger."""

from __future__ import annotations

from contextlib import closing

import redis

from devserver.binaries import redis_program
from devserver.paths import Home, give
from devserver.processes import MARK, Child


def get_url(home: Home) -> str:
    return f"unix://{home.sockets}/redis.sock?db=0"


def make_server(home: Home) -> Child:
    folder = home.servers / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    give(folder, home.account)
    return Child(
        "Redis",
        [str(redis_program(home)), *settings(home)],
        {"PATH": "/usr/bin:/bin", MARK: str(home.var)},
        log=home.logs / "redis.log",
        folder=folder,
        account=home.account,
        is_ready=lambda: is_ready(home),
    )


def settings(home: Home) -> list[str]:
    return [
        *("--port", "0"),
        *("--unixsocket", f"{home.sockets}/redis.sock"),
        *("--unixsocketperm", "700"),
        *("--save", ""),
        *("--appendonly", "no"),
        # Full, it must refuse: with any other policy it would throw away messages.
        *("--maxmemory-policy", "noeviction"),
    ]


def is_ready(home: Home) -> bool:
    try:
        with closing(redis.Redis.from_url(get_url(home), socket_timeout=2)) as client:
            return client.ping()
    except redis.RedisError:
        return False
