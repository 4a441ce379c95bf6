"""Find curl for the tests, or install Debian's package: `python -m tests.curl`."""

import shutil
import sys

from tests.browser import install_package

if __name__ == "__main__":
    if not (shutil.which("curl") or install_package("curl")):
        sys.exit("The tests need curl. Install it.")
