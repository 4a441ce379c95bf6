"""A pytest plugin that starts PostgreSQL and Redis for the test run, in a temporary folder.

The servers are children of a guardian process. The guardian stops them when its standard input
ends. Pytest holds the other end of that pipe, so the servers stop even if pytest is killed.

The plugin is loaded with `-p tests.services`, because pytest-django reads the settings before any
conftest.py. TEST_DATABASE_URL and TEST_REDIS_URL name servers to use instead. They are also set for
processes that the tests start. In a parallel run each pytest process has its own servers, because
tests flush Redis and read all of its messages.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devserver.servers import temporary_servers

PROJECT = Path(__file__).resolve().parents[1]
URL_NAMES = ("DATABASE_URL", "REDIS_URL")
GUARDIANS = pytest.StashKey[list[subprocess.Popen]]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config):
    """Set the URLs. A wrapper runs before the hook of pytest-django, which reads the settings."""
    urls = {name: os.environ.get(f"TEST_{name}") for name in URL_NAMES}
    early_config.stash[GUARDIANS] = []
    if not all(urls.values()):
        urls = start_servers(early_config)
    set_environment(urls)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config, specs):
    """Start servers for each process of a parallel run. The first one uses the existing pair."""
    for spec in specs[1:] if config.stash[GUARDIANS] else []:
        spec.env |= make_url_variables(start_servers(config))


def pytest_unconfigure(config):
    for guardian in config.stash.get(GUARDIANS, []):
        guardian.stdin.close()
        guardian.wait()


def start_servers(config):
    """Start servers that stop together with pytest, and return their URLs."""
    guardian, urls = start_guardian()
    config.stash[GUARDIANS].append(guardian)
    return urls


def start_guardian():
    """Start servers, and return their guardian process and their URLs."""
    guardian = subprocess.Popen(
        [sys.executable, "-m", "tests.services"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must reach pytest only. Pytest then closes the pipe.
    )
    with guardian.stdout:
        line = guardian.stdout.readline()
    if not line:
        raise pytest.UsageError("The servers of the tests did not start. The reason is above.")
    return guardian, json.loads(line)


def make_url_variables(urls):
    return urls | {f"TEST_{name}": url for name, url in urls.items()}


def set_environment(urls):
    """Set the environment variables of the settings. They override those of the shell."""
    os.environ.pop("DEBUG", None)
    os.environ |= make_url_variables(urls)
    os.environ |= {"SECRET_KEY": "only-for-tests", "HTTPS_ONLY": "0"}
    # Small batches, so that processes can be killed between any two of many.
    os.environ |= {"IMPORTS_BATCHES_PER_SMALL_FILE": "20"}


def run_guardian():
    """Run the servers until the other end of standard input is closed."""
    with temporary_servers() as urls:
        print(json.dumps(urls), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    run_guardian()
