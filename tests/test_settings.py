"""Settings from environment variables, and the formatter of log records."""

import logging
import os
import subprocess
import sys

import pytest

from config.logging import RedactingFormatter

VALID = {"SECRET_KEY": "x", "DATABASE_URL": "postgres://a@localhost:1/b", "HTTPS_ONLY": "0"}


def run_python(code="import config.settings", **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **{k: v for k, v in environment.items() if v}},
        capture_output=True,
        text=True,
        check=False,
    )


def test_valid_values_are_accepted():
    assert run_python(**VALID).returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SECRET_KEY", "", "Set SECRET_KEY"),
        ("DATABASE_URL", "", "DATABASE_URL must be an address"),
        ("DATABASE_URL", "nonsense", "DATABASE_URL must be an address"),
        ("DATABASE_URL", "sqlite:///x", "DATABASE_URL must be an address"),
        ("HTTPS_ONLY", "maybe", "HTTPS_ONLY must be on or off"),
        ("DEBUG", "2", "DEBUG must be on or off"),
        (
            "IMPORTS_MESSAGE_TIMEOUT_SECONDS",
            "soon",
            "IMPORTS_MESSAGE_TIMEOUT_SECONDS must be a whole number",
        ),
        (
            "IMPORTS_MESSAGE_TIMEOUT_SECONDS",
            "-1",
            "IMPORTS_MESSAGE_TIMEOUT_SECONDS must be a whole number",
        ),
        (
            "IMPORTS_STREAM_POLL_SECONDS",
            "inf",
            "IMPORTS_STREAM_POLL_SECONDS must be a number of seconds",
        ),
        ("IMPORTS_LOCK_TIMEOUT", "1h", "IMPORTS_LOCK_TIMEOUT must be a time"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be one of"),
    ],
)
def test_an_invalid_value_stops_the_process_with_a_message(name, value, message):
    process = run_python(**VALID | {name: value})

    assert process.returncode == 1
    assert f"ImproperlyConfigured: {message}" in process.stderr.splitlines()[-1]


def test_no_limit_of_the_small_reader_is_above_that_of_the_main_reader():
    low_limits = {
        f"IMPORTS_READER_{name}": "2"
        for name in ("MEMORY_BYTES", "CPU_SECONDS", "WALL_SECONDS", "INFLATED_BYTES")
    }
    code = """
from imports.conf import app_settings, get_small_reader_limits
small = get_small_reader_limits()
print(all(small[name] <= limit for name, limit in app_settings.READER_LIMITS.items()))
"""
    low_limits["DJANGO_SETTINGS_MODULE"] = "config.settings"

    assert run_python(code, **VALID, **low_limits).stdout == "True\n"
    assert run_python(code, **VALID, DJANGO_SETTINGS_MODULE="config.settings").stdout == "True\n"


def test_a_logged_exception_names_its_class_and_omits_its_message():
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "it failed", (), None)
    customer = "@".join(["ama", "example.com"])
    try:
        {}[customer]
    except KeyError:
        record.exc_info = sys.exc_info()

    text = RedactingFormatter("%(message)s").format(record)

    assert customer not in text
    assert "KeyError" in text
    assert "test_settings.py" in text


@pytest.mark.parametrize(
    ("variables", "proxies", "header"),
    [
        ({"HTTPS_ONLY": "1"}, 1, ("HTTP_X_FORWARDED_PROTO", "https")),
        ({"HTTPS_ONLY": "1", "TRUSTED_PROXIES": "2"}, 2, ("HTTP_X_FORWARDED_PROTO", "https")),
        ({"HTTPS_ONLY": "1", "TRUSTED_PROXIES": "0"}, 0, None),
        ({"HTTPS_ONLY": "0"}, 0, None),
    ],
)
def test_headers_of_a_proxy_count_only_if_there_is_one(variables, proxies, header):
    code = (
        "from config.settings import *; "
        "print((IMPORTS_TRUSTED_PROXIES, SECURE_PROXY_SSL_HEADER), end='')"
    )

    done = run_python(code, **(VALID | variables))

    assert done.stdout == str((proxies, header)), done.stderr
