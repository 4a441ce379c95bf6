"""A wrong value in the environment stops the process with a sentence."""

import logging
import os
import subprocess
import sys

import pytest

from config.logging import Discreet

GOOD = {"SECRET_KEY": "x", "DATABASE_URL": "postgres://a@localhost:1/b", "HTTPS_ONLY": "0"}


def start(code="import config.settings", **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **{k: v for k, v in environment.items() if v}},
        capture_output=True,
        text=True,
        check=False,
    )


def test_good_values_start():
    assert start(**GOOD).returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SECRET_KEY", "", "Set SECRET_KEY"),
        ("DATABASE_URL", "", "DATABASE_URL must be an address"),
        ("DATABASE_URL", "nonsense", "DATABASE_URL must be an address"),
        ("DATABASE_URL", "sqlite:///x", "DATABASE_URL must be an address"),
        ("HTTPS_ONLY", "maybe", "HTTPS_ONLY must be on or off"),
        ("DEBUG", "2", "DEBUG must be on or off"),
        ("IMPORT_RESEND_SECONDS", "soon", "IMPORT_RESEND_SECONDS must be a whole number"),
        ("IMPORT_RESEND_SECONDS", "-1", "IMPORT_RESEND_SECONDS must be a whole number"),
        ("IMPORT_POLL_SECONDS", "inf", "IMPORT_POLL_SECONDS must be a number of seconds"),
        ("IMPORT_LOCK_TIMEOUT", "1h", "IMPORT_LOCK_TIMEOUT must be a time"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be one of"),
    ],
)
def test_a_wrong_value_stops_with_a_sentence(name, value, sentence):
    process = start(**GOOD | {name: value})

    assert process.returncode == 1
    assert f"ImproperlyConfigured: {sentence}" in process.stderr.splitlines()[-1]


def test_what_reads_a_small_file_beside_another_never_gets_more_than_that():
    less = {
        f"IMPORT_READER_{name}": "2"
        for name in ("MEMORY_BYTES", "CPU_SECONDS", "WALL_SECONDS", "INFLATED_BYTES")
    }
    code = """
from config.settings import IMPORT_READER, IMPORT_SMALL_READER
print(all(IMPORT_SMALL_READER[name] <= most for name, most in IMPORT_READER.items()))
"""

    assert start(code, **GOOD, **less).stdout == "True\n"
    assert start(code, **GOOD).stdout == "True\n"


def test_log_lines_say_what_failed_and_not_for_whom():
    line = logging.LogRecord("x", logging.ERROR, "x", 1, "it failed", (), None)
    customer = "@".join(["ama", "example.com"])
    try:
        {}[customer]
    except KeyError:
        line.exc_info = sys.exc_info()

    written = Discreet("%(message)s").format(line)

    assert customer not in written
    assert "KeyError" in written
    assert "test_settings.py" in written
