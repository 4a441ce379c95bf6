"""What the environment says, read once, by kind; a value of another kind stops the process."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()
T = TypeVar("T")

SWITCHES = {"1": True, "true": True, "yes": True, "on": True}
SWITCHES |= {"0": False, "false": False, "no": False, "off": False, "": False}
DURATION = re.compile(r"[1-9][0-9]*(ms|s|min)")


def switch(name: str, default: bool) -> bool:
    return _read(name, default, lambda text: SWITCHES[text.lower()], "on or off")


RATE = re.compile(r"[1-9][0-9]*/(s|sec|m|min|h|hour|d|day)")


def read_rate(name: str, default: str) -> str:
    """So many in a time, as "120/min"."""
    value = env.str(name, default)
    if not RATE.fullmatch(value):
        raise ImproperlyConfigured(f"{name} must be like 120/min, with s, min, hour or day.")
    return value


def whole(name: str, default: int) -> int:
    return _read(name, default, _positive(int), "a whole number, 0 or more")


def seconds(name: str, default: float) -> float:
    return _read(name, default, _positive(float), "a number of seconds")


def duration(name: str, default: str) -> str:
    """A time limit as PostgreSQL takes it."""
    return _read(name, default, _duration, "a time such as 500ms, 30s or 2min")


def database(name: str) -> dict[str, object]:
    """The settings of a PostgreSQL database, from its address."""
    kind = "an address such as postgres://user:password@host:5432/name"
    return _read(name, None, lambda url: _postgresql(env.db_url_config(url)), kind)


def add_redis_timeouts(url: str, seconds: float) -> str:
    """An address of Redis, with an end to waiting for it."""
    options = urlencode({"socket_timeout": seconds, "socket_connect_timeout": seconds})
    return f"{url}{'&' if '?' in url else '?'}{options}"


def _read(name: str, default: T, read: Callable[[str], T], kind: str) -> T:
    text = env.str(name, None)
    if text is None and default is not None:
        return default
    try:
        return read(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        hint = "on your own machine `make demo` needs nothing" if text is None else "it is not"
        raise ImproperlyConfigured(f"{name} must be {kind}; {hint}.") from None


def _positive(number: Callable[[str], T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        value = number(text)
        if not 0 <= value < float("inf"):
            raise ValueError
        return value

    return read


def _duration(text: str) -> str:
    if not DURATION.fullmatch(text):
        raise ValueError
    return text


def _postgresql(settings: dict[str, object]) -> dict[str, object]:
    if settings["ENGINE"] != "django.db.backends.postgresql":
        raise ValueError
    return settings
