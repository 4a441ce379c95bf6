"""Read settings from environment variables.

Every reader raises ImproperlyConfigured if the variable has a value that cannot be used, so that
the process stops at its start with a message that names the variable. Unless noted, an empty
variable counts as not set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import environ
from django.core.exceptions import ImproperlyConfigured

from imports.conf import DURATION as POSTGRES_DURATION
from imports.conf import Setting

env = environ.Env()
T = TypeVar("T")

BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
DURATION = re.compile(r"[1-9][0-9]*(ms|s|min)")
RATE = re.compile(r"[1-9][0-9]*/(s|sec|m|min|h|hour|d|day)")


# The option in MAILERS that replaces each setting, for two e-mail backends. The others have none.
MAILER_OPTIONS = {
    "smtp": {
        "EMAIL_HOST": "host",
        "EMAIL_PORT": "port",
        "EMAIL_HOST_USER": "username",
        "EMAIL_HOST_PASSWORD": "password",
        "EMAIL_USE_TLS": "use_tls",
        "EMAIL_USE_SSL": "use_ssl",
        "EMAIL_TIMEOUT": "timeout",
    },
    "filebased": {"EMAIL_FILE_PATH": "file_path"},
}


def make_mailer(email_settings: dict[str, Any]) -> dict[str, Any]:
    """Convert the settings EMAIL_… to an entry of MAILERS, which replaces them in Django 6.1."""
    backend = email_settings.get("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
    names = MAILER_OPTIONS.get(backend.split(".")[-2], {})
    options = {
        option: email_settings[name] for name, option in names.items() if email_settings.get(name)
    }
    return {"BACKEND": backend, "OPTIONS": options}


def read_bool(name: str, default: bool) -> bool:
    """Return the variable as a bool: 1, true, yes, on, or 0, false, no, off.

    Raises: ImproperlyConfigured.
    """
    return _read(name, default, lambda text: BOOLEANS[text.lower()], "on or off")


def read_int(name: str, default: int) -> int:
    """Return the variable as an int, 0 or more. Raises: ImproperlyConfigured."""
    return _read(name, default, _parse_int, "a whole number, 0 or more")


def read_seconds(name: str, default: float) -> float:
    """Return the variable as a finite number of seconds, 0 or more.

    Raises: ImproperlyConfigured.
    """
    return _read(name, default, _parse_seconds, "a number of seconds")


def read_duration(name: str, default: str) -> str:
    """Return the variable as a duration that PostgreSQL accepts, such as 500ms, 30s or 2min.

    Raises: ImproperlyConfigured.
    """
    return _read(name, default, _parse_duration, "a time such as 500ms, 30s or 2min")


def read_app_settings(
    app_settings: Iterable[Setting[Any]], excluded: Sequence[str]
) -> dict[str, Any]:
    """Return the settings of the app whose environment variable is set, by name.

    Settings that are a number, a switch or a text can be set in this way. "none" stands for None,
    in a setting that may be None. `excluded` are names of settings that are not read.

    Raises: ImproperlyConfigured, also for a setting that is a list or a dictionary.
    """
    values: dict[str, Any] = {}
    for setting in app_settings:
        name, default = setting.name, setting.default
        if name in excluded or env.str(name, None) is None:
            continue
        if setting.allows_none and env.str(name).lower() == "none":
            values[name] = None
        elif isinstance(default, bool):
            values[name] = read_bool(name, default)
        elif isinstance(default, int):
            values[name] = read_int(name, default)
        elif isinstance(default, float):
            values[name] = read_seconds(name, default)
        elif setting.pattern is POSTGRES_DURATION:
            values[name] = read_duration(name, default)
        elif isinstance(default, str):
            values[name] = env.str(name)
        else:
            raise ImproperlyConfigured(
                f"{name} has no environment variable. Set it in the settings module of the site."
            )
    return values


def read_rate(name: str, default: str) -> str:
    """Return the variable as a throttle rate of Django REST framework, such as "120/min".

    An empty variable is invalid. Raises: ImproperlyConfigured.
    """
    kind = "like 120/min, with s, min, hour or day"
    return _parse(name, env.str(name, default), _parse_rate, kind)


def read_database(name: str, options: dict[str, int]) -> dict[str, object]:
    """Return Django's settings of the PostgreSQL database whose URL the variable holds.

    `options` are connection parameters of libpq. They override those of the URL.

    Raises: ImproperlyConfigured, also if the variable is not set.
    """
    text = env.str(name, None)
    kind = "an address such as postgres://user:password@host:5432/name"
    if text is None:
        raise ImproperlyConfigured(f"{name} must be {kind}; `make demo` sets it for you.")
    database = _parse(name, text, _parse_database, kind)
    url_options = database.get("OPTIONS")
    return database | {"OPTIONS": (url_options if isinstance(url_options, dict) else {}) | options}


def add_redis_timeouts(url: str, seconds: float) -> str:
    """Return the URL of a Redis server with timeouts for connecting and for each reply."""
    options = urlencode({"socket_timeout": seconds, "socket_connect_timeout": seconds})
    return f"{url}{'&' if '?' in url else '?'}{options}"


def _read(name: str, default: T, parse: Callable[[str], T], kind: str) -> T:
    text = env.str(name, None)  # None if the variable is empty.
    return default if text is None else _parse(name, text, parse, kind)


def _parse(name: str, text: str, parse: Callable[[str], T], kind: str) -> T:
    try:
        return parse(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ImproperlyConfigured(f"{name} must be {kind}.") from None


def _parse_int(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _parse_seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError
    return number


def _parse_duration(text: str) -> str:
    if not DURATION.fullmatch(text):
        raise ValueError
    return text


def _parse_rate(text: str) -> str:
    if not RATE.fullmatch(text):
        raise ValueError
    return text


def _parse_database(url: str) -> dict[str, object]:
    database: dict[str, object] = env.db_url_config(url)
    if database["ENGINE"] != "django.db.backends.postgresql":
        raise ValueError
    return database
