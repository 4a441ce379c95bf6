"""A pytest plugin: the test run's own PostgreSQL and Redis, in a temporary folder.

The servers are children of a guardian process that stops them when its standard input
ends. Pytest holds the other end: however it ends, kill -9 included, nothing is left.
Loaded with `-p tests.services`, because pytest-django reads the settings before any
conftest.py. TEST_DATABASE_URL and TEST_REDIS_URL name servers to use instead; they are set
for processes that the run starts in turn, so a parallel run has one pair as well.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.embedded.servers import throwaway_servers

PROJECT = Path(__file__).resolve().parents[1]
URLS = ("DATABASE_URL", "REDIS_URL")
GUARDIAN = pytest.StashKey[subprocess.Popen]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config):
    """As a wrapper it runs before pytest-django's own, which reads the settings."""
    urls = {name: os.environ.get(f"TEST_{name}") for name in URLS}
    if not all(urls.values()):
        early_config.stash[GUARDIAN], urls = start_guardian()
    point_settings_at(urls)
    return (yield)


def pytest_unconfigure(config):
    if guardian := config.stash.get(GUARDIAN, None):
        guardian.stdin.close()
        guardian.wait()


def start_guardian():
    """Start the servers; return their guardian and their addresses."""
    guardian = subprocess.Popen(
        [sys.executable, "-m", "tests.services"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for pytest, which then closes the pipe.
    )
    with guardian.stdout:
        answer = guardian.stdout.readline()
    if not answer:
        raise pytest.UsageError("The servers of the tests did not start; see above why.")
    return guardian, json.loads(answer)


def point_settings_at(urls):
    """Whatever the shell had exported."""
    os.environ.pop("DEBUG", None)
    os.environ |= urls | {f"TEST_{name}": url for name, url in urls.items()}
    os.environ |= {"SECRET_KEY": "only-for-tests", "HTTPS_ONLY": "0"}


def guard():
    """Be the guardian: run the servers until nobody holds the other end of the pipe."""
    with throwaway_servers() as urls:
        print(json.dumps(urls), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    guard()
