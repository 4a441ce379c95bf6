"""Clients that four generators make from the description: complete, typed, and used for an import.

Each program in tests/clients does the same as the Python one here, and prints what it has seen.
"""

import importlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from drf_spectacular.renderers import OpenApiJsonRenderer

from customers.models import Customer
from imports.api import schema_views
from imports.importer import list_importers
from imports.models import Worker
from tests import typescript
from tests.conftest import create_user
from tests.factories import make_csv, make_row
from tests.processes import MAX_WAIT_SECONDS, worker
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = make_csv([make_row(1), make_row(2, phone="12"), make_row(3)])
SECOND_CONTENT = make_csv([make_row(7)])
PASSWORD = "a-good-password"
BINARIES = typescript.CLIENTS / "node_modules"
# What a generator prints about a call or a type that it leaves out.
COMPLAINTS = re.compile(
    r"warn|error|omitted|skipp|missing|unsupported|cannot|unable", re.IGNORECASE
)


@pytest.fixture(scope="session")
def schema():
    """The description as a user reads it who may use every importer."""
    names = tuple(importer.name for importer in list_importers())
    build = schema_views.build_site_schema
    return json.loads(schema_views.render_schema(build, OpenApiJsonRenderer, names))


@pytest.fixture(scope="session")
def operations(schema):
    """The ids of all operations."""
    return {
        operation["operationId"]
        for methods in schema["paths"].values()
        for operation in methods.values()
    }


@pytest.fixture(scope="session")
def folder(schema, tmp_path_factory):
    """A folder with the description, the programs, and the packages that they import."""
    assert BINARIES.exists(), "`make test` installs the generators."
    folder = tmp_path_factory.mktemp("clients")
    for path in typescript.CLIENTS.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    (folder / "node_modules").symlink_to(BINARIES)
    (folder / "openapi.json").write_text(json.dumps(schema))
    return folder


def run_generator(folder, *command):
    """Run a generator that must succeed without a complaint about the description."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    output = re.sub(r"\x1b\[[\d;]*m", "", result.stdout + result.stderr)
    assert result.returncode == 0, output
    assert not COMPLAINTS.search(output), output


def run_node(folder, program, *options):
    run_generator(folder, *typescript.NODE, str(BINARIES / program), *options)


@pytest.fixture(scope="session")
def python_client(folder):
    """The package that openapi-python-client generates."""
    name = "generated_python_client"
    options = ["--path", "openapi.json", "--output-path", name, "--meta", "none"]
    # It formats what it has generated with ruff, which is beside the Python of the tests.
    environment = ["env", f"PATH={Path(sys.executable).parent}"]
    run_generator(
        folder,
        *environment,
        sys.executable,
        "-m",
        "openapi_python_client",
        "generate",
        *options,
    )
    sys.path.insert(0, str(folder))
    yield folder / name
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def openapi_typescript(folder):
    run_node(folder, "openapi-typescript/bin/cli.js", "openapi.json", "-o", "schema.d.ts")
    return folder / "schema.d.ts"


@pytest.fixture(scope="session")
def hey_api(folder):
    command = ["@hey-api/openapi-ts/bin/run.js", "-f", "hey-api.config.mjs", "--no-log-file"]
    run_node(folder, *command)
    return folder / "hey-api"


@pytest.fixture(scope="session")
def orval(folder):
    run_node(folder, "orval/dist/bin/orval.mjs", "--config", "orval.config.mjs")
    return folder / "orval" / "site.ts"


# --- No call is left out -----------------------------------------------------


def to_camel_case(name):
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def test_openapi_python_client_generates_every_call(python_client, operations):
    modules = {path.stem for path in python_client.glob("api/*/*.py")} - {"__init__"}
    assert modules == operations
    for path in python_client.glob("api/*/*.py"):
        if path.stem != "__init__":
            text = path.read_text()
            assert "def sync_detailed(" in text
            assert re.search(r"status_code == 20\d", text), path


def test_openapi_typescript_generates_every_call(openapi_typescript, operations):
    text = openapi_typescript.read_text()
    assert set(re.findall(r'operations\["(\w+)"\]', text)) == operations


def test_hey_api_generates_every_call(hey_api, operations):
    functions = re.findall(r"^export const (\w+) = ", (hey_api / "sdk.gen.ts").read_text(), re.M)
    assert set(functions) == set(map(to_camel_case, operations))


def test_orval_generates_every_call(orval, operations):
    functions = re.findall(r"^export const (\w+) = async ", orval.read_text(), re.M)
    assert set(functions) == set(map(to_camel_case, operations))


# --- The whole flow ----------------------------------------------------------


@pytest.fixture(scope="module")
def site(django_db_setup, django_db_blocker):
    """The address of a site with a worker, for all tests of this module."""
    with django_db_blocker.unblock():
        with worker(), running_daphne(THROTTLE_LOGINS="1000/min") as server:
            yield f"http://127.0.0.1:{server.port}"
        Worker.objects.all().delete()  # Its heartbeat was written after the last test.


@pytest.fixture
def anna(db):
    anna = create_user("anna", "add_importjob")
    anna.set_password(PASSWORD)
    anna.save()
    return anna


EXPECTED_RESULT = {
    "fields": ["shipping_mark", "first_name", "last_name", "email", "phone"],
    "ready": "READY",
    "on_duplicate": "update",
    "preview": 2,
    "status": "COMPLETE",
    "success": "some",
    "created": 2,
    "problems": ["phone_too_short"],
    "row": 3,
    "code": "phone_too_short",
    "national": True,
    "csv": 3,
    "workbook": "PK",
    "original": len(CONTENT),
    "template": "PK",
    "cancelled": "CANCELLED",
    "listed": [True],
    "missing": "not_found",
}


@pytest.mark.parametrize(
    ("program", "generated"),
    [
        ("openapi-fetch.ts", "openapi_typescript"),
        ("hey-api.ts", "hey_api"),
        ("orval.ts", "orval"),
    ],
)
def test_whole_flow_in_typescript(request, folder, tmp_path, site, anna, program, generated):
    request.getfixturevalue(generated)
    (tmp_path / "customers.csv").write_bytes(CONTENT)
    (tmp_path / "second.csv").write_bytes(SECOND_CONTENT)
    configuration = {"extends": "./tsconfig.json", "files": [program]}
    (folder / f"{program}.json").write_text(json.dumps(configuration))
    typescript.run_compiler(folder / f"{program}.json")

    command = [*typescript.NODE, program, site, anna.username, PASSWORD, str(tmp_path)]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=MAX_WAIT_SECONDS, check=False
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == EXPECTED_RESULT
    assert Customer.objects.count() == 2


class PythonClient:
    """The generated package. Calling it returns the module of an operation."""

    def __init__(self, path):
        self.path = path
        package = importlib.import_module(path.name)
        self.Client, self.AuthenticatedClient = package.Client, package.AuthenticatedClient
        self.models = importlib.import_module(f"{path.name}.models")
        self.types = importlib.import_module(f"{path.name}.types")

    def __call__(self, operation):
        (path,) = self.path.glob(f"api/*/{operation}.py")
        return importlib.import_module(f"{self.path.name}.api.{path.parent.name}.{operation}")


def test_whole_flow_in_python(python_client, site, anna):
    package = PythonClient(python_client)
    models = package.models
    with package.Client(site, timeout=MAX_WAIT_SECONDS) as client:
        credentials = models.CredentialsRequest(username=anna.username, password=PASSWORD)
        tokens = package("token_create").sync(client=client, body=credentials)
        refresh = models.TokenRefreshRequest(refresh=tokens.refresh)
        access = package("token_refresh").sync(client=client, body=refresh).access

    with package.AuthenticatedClient(site, access, timeout=MAX_WAIT_SECONDS) as client:

        def call(operation, *arguments, **options):
            return package(operation).sync(*arguments, client=client, **options)

        def upload(file_name, content):
            file = package.types.File(io.BytesIO(content), file_name, "text/csv")
            body = models.ImportUploadRequest(
                file=file, importer=models.ImporterName.CUSTOMERS, check_first=True
            )
            return call("imports_create", body=body, idempotency_key=file_name)

        job = upload("customers.csv", CONTENT)
        assert upload("customers.csv", CONTENT).id == job.id  # The key is the same.
        ready = follow(package, client, job.id)
        changes = models.PatchedImportChangesRequest(on_duplicate=models.OnDuplicate.UPDATE)
        changed = call("imports_change", job.id, body=changes)
        follow(package, client, job.id)
        preview = call("imports_preview", job.id)
        call("imports_start", job.id)
        last = follow(package, client, job.id)
        text = call("imports_events", job.id)
        whole = call("imports_retrieve", job.id)
        problems = call("imports_problems", job.id)
        (row,) = call("imports_rows", job.id, outcome=models.RowOutcome.FAILED).results
        second = upload("second.csv", SECOND_CONTENT)
        follow(package, client, second.id)
        (listed,) = call("importers_list").results
        result = {
            "fields": [column.field for column in call("importers_retrieve", listed.name).columns],
            "ready": ready.status,
            "on_duplicate": changed.on_duplicate,
            "preview": preview.created,
            "status": last.status,
            "success": whole.success,
            "created": whole.created,
            "problems": [problem.code for problem in problems.results],
            "row": row.row,
            "code": row.errors[0].code,
            "national": isinstance(row.errors[0].params.national, str),
            "csv": len(call("imports_failed_rows_csv", job.id).split("\n")),
            "workbook": read_prefix(call("imports_failed_rows_xlsx", job.id)),
            "original": len(call("imports_file", job.id).payload.read()),
            "template": read_prefix(
                call("imports_template", importer=models.ImporterName.CUSTOMERS)
            ),
            "cancelled": call("imports_cancel", second.id).status,
            "listed": [
                each.id == second.id
                for each in call("imports_list", status=[models.ImportStatus.CANCELLED]).results
            ],
            "missing": call("imports_retrieve", uuid4()).code,
        }

    assert result == EXPECTED_RESULT
    assert row.errors[0].code is models.RowErrorCode.PHONE_TOO_SHORT
    assert text.startswith("retry: 3000\nid: ")
    assert "event: complete" in text


def follow(package, client, job_id):
    """Follow an import with its stream, and return the last snapshot.

    The generated function waits for the end of the stream. Its arguments for httpx do not.
    """
    options = package("imports_events")._get_kwargs(job_id)
    with client.get_httpx_client().stream(**options) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                snapshot = package.models.ImportSnapshot.from_dict(
                    json.loads(line.removeprefix("data: "))
                )
                if snapshot.status not in {"QUEUED", "CHECKING", "RUNNING"}:
                    return snapshot
    raise AssertionError("The stream ended early.")


def read_prefix(file):
    return file.payload.read(2).decode()
