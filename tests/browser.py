"""The browser of the tests: one on this machine, else Debian's, else Playwright's own.

`python -m tests.browser` sees to it that there is one. Tests ask `find()`, where None
stands for Playwright's own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find():
    """The program on this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install():
    """Whether there is a browser now."""
    return bool(find()) or install_package() or install_playwrights_own()


def install_package():
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print("Installing Chromium…", flush=True)
    commands = (["update"], ["install", "-y", "--no-install-recommends", "chromium"])
    quiet = {
        "stdout": subprocess.DEVNULL,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    return all(
        subprocess.run(["apt-get", "-qq", *words], **quiet).returncode == 0 for words in commands
    )


def install_playwrights_own():
    """Ubuntu's package is an empty one that points to a snap, so it ends here as well."""
    from playwright.sync_api import sync_playwright

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
