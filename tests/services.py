"""A pytest plugin: the test run's own PostgreSQL and Redis, in a temporary folder.

The servers are children of a guardian process that stops them when its standard input
ends. Pytest holds the other end: however it ends, kill -9 included, nothing is left.
Loaded with `-p tests.services`, because pytest-django reads the settings before any
conftest.py. TEST_DATABASE_URL and TEST_REDIS_URL name servers to use instead, for processes
that the run starts in turn, too. In a parallel run each of pytest's processes has a pair of
its own: tests empty a Redis, and listen to all of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devserver.servers import temporary_servers

PROJECT = Path(__file__).resolve().parents[1]
URLS = ("DATABASE_URL", "REDIS_URL")
GUARDIANS = pytest.StashKey[list[subprocess.Popen]]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config):
    """As a wrapper it runs before pytest-django's own, which reads the settings."""
    urls = {name: os.environ.get(f"TEST_{name}") for name in URLS}
    early_config.stash[GUARDIANS] = []
    if not all(urls.values()):
        urls = start_servers(early_config)
    point_settings_at(urls)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config, specs):
    """The first process of a parallel run uses the servers that are there."""
    for spec in specs[1:] if config.stash[GUARDIANS] else []:
        spec.env |= addresses(start_servers(config))


def pytest_unconfigure(config):
    for guardian in config.stash.get(GUARDIANS, []):
        guardian.stdin.close()
        guardian.wait()


def start_servers(config):
    """Start a pair that ends with pytest; return its addresses."""
    guardian, urls = start_guardian()
    config.stash[GUARDIANS].append(guardian)
    return urls


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


def addresses(urls):
    return urls | {f"TEST_{name}": url for name, url in urls.items()}


def point_settings_at(urls):
    """Whatever the shell had exported."""
    os.environ.pop("DEBUG", None)
    os.environ |= addresses(urls)
    os.environ |= {"SECRET_KEY": "only-for-tests", "HTTPS_ONLY": "0"}


def guard():
    """Be the guardian: run the servers until nobody holds the other end of the pipe."""
    with temporary_servers() as urls:
        print(json.dumps(urls), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    guard()
