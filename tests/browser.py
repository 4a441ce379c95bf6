"""Find, start and install the browser of the tests.

The tests use a browser that is installed on this machine, otherwise Playwright's own.
`python -m tests.browser` installs Debian's package or Playwright's browser if there is none.
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

PROGRAM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser():
    """Return the path of an installed browser; None for Playwright's own."""
    return next((path for name in PROGRAM_NAMES if (path := shutil.which(name))), None)


@contextmanager
def launch_browser():
    """Yield the running browser."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's event loop runs in this thread, but no database query runs inside of it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=options)
        yield browser
        browser.close()
        connections.close_all()  # Those that were opened for Playwright's event loop.


def install():
    """Install a browser if there is none. Return whether there is one now."""
    return bool(find_browser()) or install_package("chromium") or install_playwright_browser()


def install_package(name):
    """Install a Debian package. Return whether that succeeded."""
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


def install_playwright_browser():
    """Install Playwright's browser. Also used on Ubuntu, whose package only refers to a snap."""
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
