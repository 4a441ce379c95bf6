"""The browser of the tests: one on this machine, else Debian's, else Playwright's own.

`python -m tests.browser` sees to it that there is one. Tests ask `find()`, where None
stands for Playwright's own.
"""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser():
    """The program on this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def launch_browser():
    """The browser, running."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread; what asks the database here is no part of it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=options)
        yield browser
        browser.close()
        connections.close_all()  # A loop has connections of its own.


def install():
    """Whether there is a browser now."""
    return bool(find_browser()) or install_package("chromium") or install_playwrights_own()


def install_package(name):
    """Whether Debian's package is there now."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print(f"Installing {name}…", flush=True)
    commands = (["update"], ["install", "-y", "--no-install-recommends", name])
    quiet = {
        "stdout": subprocess.DEVNULL,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    return all(
        subprocess.run(["apt-get", "-qq", *words], **quiet).returncode == 0 for words in commands
    )


def install_playwrights_own():
    """Ubuntu's package is an empty one that points to a snap, so it ends here as well."""
    with sync_playwright() as playwright:
        program = Path(playwright.chromium.executable_path)
    if not program.exists():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    return program.exists()


if __name__ == "__main__":
    if not install():
        sys.exit(
            "The tests need a browser: install chromium, or run `playwright install chromium`."
        )
