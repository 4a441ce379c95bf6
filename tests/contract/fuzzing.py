"""Schemathesis, let loose on a site: whatever the description allows, and what it forbids."""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
from rest_framework_simplejwt.tokens import AccessToken

from tests.processes import PATIENCE_SECONDS

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# What such a site is started with: nobody is told to come back later, streams are short.
ENVIRONMENT = {
    "IMPORT_STREAM_SECONDS": "0.1",
    **{f"THROTTLE_{kind}": "100000/s" for kind in ("READS", "WRITES", "LOGINS")},
}


class Findings(NamedTuple):
    is_clean: bool
    examples: int
    report: str


def fuzz(address, user, *, examples, seed=1, options=()):
    """Ask with generated requests; `examples` is the most for each call and phase."""
    # A first answer takes its time: the site is only just starting.
    httpx.get(f"{address}/api/schema/", timeout=PATIENCE_SECONDS, trust_env=False)
    with TemporaryDirectory() as folder:  # It leaves its notes where it runs.
        command = [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(CONFIGURATION), "run", f"{address}/api/schema/"),
            *("--header", f"Authorization: Bearer {AccessToken.for_user(user)}"),
            *("--request-timeout", str(PATIENCE_SECONDS)),
            *("--max-examples", str(examples), "--seed", str(seed), "--no-color", *options),
        ]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    counted = re.search(r"([\d,]+) generated", ended.stdout)
    number = int(counted[1].replace(",", "")) if counted else 0
    return Findings(ended.returncode == 0, number, ended.stdout + ended.stderr)
