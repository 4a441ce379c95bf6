"""Run Schemathesis against a site: it sends requests that the description allows or forbids."""

import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
from rest_framework.fields import BooleanField
from rest_framework_simplejwt.tokens import AccessToken

from customers.models import Customer
from imports import lifecycle
from imports.importer import list_importers
from imports.models import ImportJob
from imports.postgres import atomic
from imports.statuses import FINAL_STATUSES, Status
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.processes import MAX_WAIT_SECONDS, wait_for

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# The environment of such a site: no limits on requests and log-ins, and short streams.
ENVIRONMENT = {
    "IMPORTS_MAX_STREAM_SECONDS": "0.1",
    **{f"THROTTLE_{kind}": "100000/s" for kind in ("READS", "WRITES", "LOGINS")},
    "LOGIN_FAILURES": "1000000",
    "LOGIN_FAILURES_PER_ADDRESS": "1000000",
    "LOGIN_FAILURES_PER_ACCOUNT": "1000000",
}
IMPORTS_PER_COMMAND = 10


class Findings(NamedTuple):
    is_clean: bool
    examples: int
    report: str


def fuzz(address, user, *, examples, seed=1, options=()):
    """Send generated requests: at most `examples` for each call and phase."""
    # The first response is slow while the site starts.
    authorization = f"Bearer {AccessToken.for_user(user)}"
    response = httpx.get(
        f"{address}/api/schema/",
        headers={"Authorization": authorization},
        timeout=MAX_WAIT_SECONDS,
        trust_env=False,
    )
    schema = add_tolerated_values(response.raise_for_status().json())
    with TemporaryDirectory() as folder:  # Schemathesis writes files into its working directory.
        Path(folder, "openapi.json").write_text(json.dumps(schema))
        configuration = Path(folder) / "schemathesis.toml"
        configuration.write_text(CONFIGURATION.read_text() + make_dictionaries(user))
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(configuration),
            "run",
            "openapi.json",
            "--url",
            address,
            "--header",
            f"Authorization: {authorization}",
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


# What the site accepts beyond the description, because forms send it: an empty text for a field
# without a choice, and the words of true and false. The description leaves it out, so that the
# types of generated clients are simple.
EMPTY_TEXT = {"type": "string", "maxLength": 0}
BOOLEAN_WORDS = BooleanField.TRUE_VALUES | BooleanField.FALSE_VALUES
BOOLEAN_SCHEMAS = [
    {"type": "boolean"},
    {"type": "integer", "enum": [0, 1]},
    {"type": "string", "enum": sorted(word for word in BOOLEAN_WORDS if type(word) is str)},
]
# Schemathesis validates a whole event. The description has its data, as client generators expect.
EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"enum": ["progress", *(status.lower() for status in FINAL_STATUSES)]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/ImportSnapshot"},
        },
        "retry": {"const": 3000},
    },
}
# Query parameters that may be empty.
EMPTY_PARAMETERS = {
    "created_after",
    "created_before",
    "format",
    "import",
    "importer",
    "outcome",
    "page_size",
}


def add_tolerated_values(schema):
    """Return the description with the values that the site accepts beyond it."""
    schema = deepcopy(schema)
    components = schema["components"]["schemas"]
    components["EventData"] = EVENT
    for operation in (each for methods in schema["paths"].values() for each in methods.values()):
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in EMPTY_PARAMETERS and not parameter.get("required"):
                parameter["schema"] = {"anyOf": [parameter["schema"], EMPTY_TEXT]}
        content = operation.get("requestBody", {}).get("content", {})
        for media_type, body in content.items():
            name = body["schema"].get("$ref", "").rpartition("/")[2]
            if name in components:
                is_form = media_type == "multipart/form-data"
                tolerate(components[name], is_form=is_form)
    return schema


def tolerate(body, *, is_form):
    for name, field in body["properties"].items():
        schemas = [field]
        if is_form and name == "has_header_row":
            # A null that Schemathesis takes for a violation is the word null in a form, and valid.
            schemas = [{}]
        elif "boolean" in field.get("type", ()):
            schemas = [*BOOLEAN_SCHEMAS, *([{"type": "null"}] if "null" in field["type"] else [])]
        elif not is_form and name in {"sheet", "encoding"}:  # A sheet's name may be a number.
            schemas = [field | {"type": ["string", "number"]}]
        if is_form and name not in body.get("required", ()):
            schemas = [*schemas, EMPTY_TEXT]
        body["properties"][name] = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def make_dictionaries(user):
    """Create imports and customers, and return their ids as dictionaries of its configuration."""
    rows = [make_row(1), make_row(2, phone="12"), make_row(3)]
    done = run_import(make_csv(rows), owner=user)
    first = {"owner": user, "check_first": True, "on_duplicate": "update"}
    ready = check_job(make_job(make_csv([make_row(1, first="Kofi"), make_row(4)]), **first))
    asking = check_job(make_job(make_csv(rows, ["Code", "First", "Last", "E-mail", "No"]), **first))
    numbers = range(IMPORTS_PER_COMMAND)
    moved, changed = ([make_ready_import(n, **first).pk for n in numbers] for _ in "ab")
    ids = {
        "read": [done.pk, ready.pk, asking.pk, make_undone_import(user).pk],
        "moved": moved,
        "changed": [*changed, asking.pk],
        "paused": [make_paused_import(n, **first).pk for n in numbers],
        "ended": [make_ended_import(n, owner=user).pk for n in numbers],
        "deleted": [make_ended_import(n, owner=user).pk for n in numbers],
    }
    quoted = {name: [str(one) for one in ones] for name, ones in ids.items()}
    quoted["importers"] = [importer.name for importer in list_importers()]
    quoted["customers"] = list(Customer.objects.values_list("pk", flat=True))
    return "".join(
        f"\n[dictionaries.{name}]\nvalues = {json.dumps(v)}\n" for name, v in quoted.items()
    )


def make_ready_import(number, **options):
    """Create an import that can be started, cancelled or changed."""
    return check_job(make_job(make_csv([make_row(100 + number)]), **options))


def make_paused_import(number, **options):
    """Create an import that can be resumed."""
    job = make_ready_import(100 + number, **options)
    with atomic():  # Until the commit, no worker can write the batch.
        lifecycle.start(job)
        return lifecycle.pause(job)


def make_ended_import(number, **options):
    """Create an import that can be undone, whose failed row can be retried."""
    rows = [make_row(300 + number), make_row(400 + number, phone="12")]
    return run_import(make_csv(rows), on_duplicate="update", **options)


def make_undone_import(user):
    """Create an import whose undo has kept a record."""
    job = run_import(make_csv([make_row(500), make_row(501)]), owner=user)
    Customer.objects.filter(shipping_mark="MARK 500").update(last_name="Edited")
    lifecycle.undo(job)
    wait_for(lambda: ImportJob.objects.get(pk=job.pk).status == Status.UNDONE)
    return job
