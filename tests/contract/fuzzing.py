"""Run Schemathesis against a site: it sends requests that the description allows or forbids."""

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
from rest_framework_simplejwt.tokens import AccessToken

from customers.models import Customer
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.processes import MAX_WAIT_SECONDS

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# The environment of such a site: no rate limits, and short streams.
ENVIRONMENT = {
    "IMPORTS_MAX_STREAM_SECONDS": "0.1",
    **{f"THROTTLE_{kind}": "100000/s" for kind in ("READS", "WRITES", "LOGINS")},
}


class Findings(NamedTuple):
    is_clean: bool
    examples: int
    report: str


def fuzz(address, user, *, examples, seed=1, options=()):
    """Send generated requests: at most `examples` for each call and phase."""
    # Wait for the first response, which is slow while the site starts.
    httpx.get(f"{address}/api/schema/", timeout=MAX_WAIT_SECONDS, trust_env=False)
    with TemporaryDirectory() as folder:  # Schemathesis writes files into its working directory.
        configuration = Path(folder) / "schemathesis.toml"
        configuration.write_text(CONFIGURATION.read_text() + make_dictionaries(user))
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(configuration),
            "run",
            f"{address}/api/schema/",
            "--header",
            f"Authorization: Bearer {AccessToken.for_user(user)}",
            "--request-timeout",
            str(MAX_WAIT_SECONDS),
            "--max-examples",
            str(examples),
            "--seed",
            str(seed),
            "--no-color",
            *options,
        ]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    counted = re.search(r"([\d,]+) generated", ended.stdout)
    number = int(counted[1].replace(",", "")) if counted else 0
    return Findings(ended.returncode == 0, number, ended.stdout + ended.stderr)


def make_dictionaries(user):
    """Create imports and customers, and return their ids as dictionaries of its configuration."""
    rows = [make_row(1), make_row(2, phone="12"), make_row(3)]
    done = run_import(make_csv(rows), owner=user)
    first = {"owner": user, "check_first": True, "on_duplicate": "update"}
    ready = check_job(make_job(make_csv([make_row(1, first="Kofi"), make_row(4)]), **first))
    asking = check_job(make_job(make_csv(rows, ["Code", "First", "Last", "E-mail", "No"]), **first))
    moved, changed = ([make_ready_import(n, **first).pk for n in range(10)] for _ in "ab")
    ids = {
        "read": [done.pk, ready.pk, asking.pk],
        "moved": moved,
        "changed": [*changed, asking.pk],
    }
    quoted = {name: [str(one) for one in ones] for name, ones in ids.items()}
    quoted["customers"] = list(Customer.objects.values_list("pk", flat=True))
    return "".join(
        f"\n[dictionaries.{name}]\nvalues = {json.dumps(v)}\n" for name, v in quoted.items()
    )


def make_ready_import(number, **options):
    """Create an import that can be started, cancelled or changed."""
    return check_job(make_job(make_csv([make_row(100 + number)]), **options))
