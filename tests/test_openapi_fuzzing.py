"""Programs that read the description: a fuzzer and a client generator, with a real worker."""

import importlib
import io
import subprocess
import sys
import time
from uuid import uuid4

import httpx
import pytest
from django.contrib.auth.models import User

from customers.models import Customer
from imports.models import ImportJob
from tests.conftest import create_user
from tests.contract.fuzzing import ENVIRONMENT, fuzz
from tests.factories import make_csv, make_row
from tests.processes import MAX_WAIT_SECONDS, worker
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)


def test_generated_requests_get_described_responses_and_no_5xx():
    """A short run. `python -m benchmarks.api_contract` is a long one."""
    root = User.objects.create_superuser("root")
    with worker(), running_daphne(**ENVIRONMENT) as server:
        address = f"http://127.0.0.1:{server.port}"
        findings = fuzz(address, root, examples=3, options=["--phases", "fuzzing,stateful"])

    assert findings.is_clean, findings.report
    assert findings.examples > 40, findings.report


def test_generated_client_logs_in_uploads_polls_and_reads_failed_rows(tmp_path, monkeypatch):
    anna = create_user("anna", "add_importjob")
    anna.set_password("a-good-password")
    anna.save()
    content = make_csv([make_row(1), make_row(2, phone="12"), make_row(3)])

    with worker(), running_daphne() as server:
        address = f"http://127.0.0.1:{server.port}"
        package = generate_client(address, tmp_path, monkeypatch)
        sent = package.models.CredentialsRequest(username="anna", password="a-good-password")
        with package.Client(address, timeout=MAX_WAIT_SECONDS) as client:
            tokens = package("tokens.token_create").sync(client=client, body=sent)
        with package.AuthenticatedClient(
            address, tokens.access, timeout=MAX_WAIT_SECONDS
        ) as client:
            job = upload(package, client, content)
            job = poll_until_end(package, client, job)
            rows = package("imports.imports_rows").sync(
                job.id, client=client, outcome=package.models.ImportsRowsOutcome.FAILED
            )

    assert (job.status, job.created, job.failed) == (package.models.ImportStatus.COMPLETE, 2, 1)
    assert [(row.row, row.errors[0].code) for row in rows.results] == [(3, "phone_too_short")]
    assert Customer.objects.count() == 2


def upload(package, client, content):
    """Upload the file twice with one key, and return the one import."""
    key, create = str(uuid4()), package("imports.imports_create").sync
    for _ in range(2):
        file = package.types.File(io.BytesIO(content), "customers.csv", "text/csv")
        body = package.models.UploadRequest(file=file, importer=package.models.Importer.CUSTOMERS)
        job = create(client=client, body=body, idempotency_key=key)
    assert ImportJob.objects.get().pk == job.id
    return job


def poll_until_end(package, client, job):
    until = time.monotonic() + MAX_WAIT_SECONDS
    while job.poll_after_seconds is not None:
        assert time.monotonic() < until
        time.sleep(job.poll_after_seconds)
        job = package("imports.imports_retrieve").sync(job.id, client=client)
    return job


class GeneratedClient:
    """The generate_client package. Calling it returns the module of a call."""

    def __init__(self, name):
        self.name = name
        package = importlib.import_module(name)
        self.Client, self.AuthenticatedClient = package.Client, package.AuthenticatedClient
        self.models = importlib.import_module(f"{name}.models")
        self.types = importlib.import_module(f"{name}.types")

    def __call__(self, call):
        return importlib.import_module(f"{self.name}.api.{call}")


def generate_client(address, folder, monkeypatch):
    described = folder / "openapi.json"
    answer = httpx.get(f"{address}/api/schema/", timeout=MAX_WAIT_SECONDS, trust_env=False)
    described.write_bytes(answer.raise_for_status().content)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    where = ["--path", str(described), "--output-path", str(folder / "customer_import")]
    ended = subprocess.run([*command, *where], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "parse" not in ended.stdout, ended.stdout  # The generator left nothing out.
    monkeypatch.syspath_prepend(folder)
    return GeneratedClient("customer_import")
