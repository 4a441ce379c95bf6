"""The curl that tests run: one on this machine, else Debian's. `python -m tests.curl` looks."""

import shutil
import sys

from tests.browser import install_package

if __name__ == "__main__":
    if not (shutil.which("curl") or install_package("curl")):
        sys.exit("The tests need curl: install it.")
