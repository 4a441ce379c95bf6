"""ATOMIC_REQUESTS of the project: uploads, starts and checks inside a request commit in time."""

import json

import pytest
from asgiref.sync import sync_to_async
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections, transaction
from django.test import AsyncClient
from django.urls import URLResolver, get_resolver, reverse

from customers.models import Customer
from imports import lifecycle, progress
from imports.models import ImportJob
from imports.postgres import atomic, get_alias
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.database import connection
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row
from tests.processes import upload_in_process

pytestmark = pytest.mark.django_db(transaction=True)

LEGACY_ROOT = "/api/auth/customers/excel"


@pytest.fixture(autouse=True)
def atomic_requests(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.fixture
def client(alice):
    return logged_in_client(alice)


@pytest.fixture
def published(monkeypatch):
    """Return the list of imports whose snapshots are published from now on."""
    jobs = []
    monkeypatch.setattr(progress, "publish", jobs.append)
    return jobs


def upload(client, *rows, **fields):
    file = SimpleUploadedFile("customers.csv", make_csv(rows))
    headers = fields.pop("headers", {})
    return client.post(
        "/api/imports/", {"file": file, "importer": "customers", **fields}, headers=headers
    )


def list_views(resolver=None, names=()):
    """Yield (names of the namespaces, view) of every URL of the project."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from list_views(pattern, (*names, pattern.app_name))
        else:
            yield names, pattern.callback


def test_no_view_of_the_app_is_in_a_transaction():
    views = [view for names, view in list_views() if "imports" in names or "customers" in names]

    assert len(views) > 30
    for view in views:
        assert get_alias() in view._non_atomic_requests, view


def test_an_import_goes_from_its_upload_to_its_end(client):
    response = upload(client, make_row(1), make_row(2, phone="12"), check_first="true")
    job = ImportJob.objects.get(pk=response.json()["id"])
    assert check_job(job).status == Status.READY

    started = client.post(f"/api/imports/{job.pk}/start/")
    assert (started.status_code, started.json()["status"]) == (202, "RUNNING")
    assert apply_all_batches(job.pk).status == Status.COMPLETE
    again = client.post(f"/api/imports/{job.pk}/start/")

    assert again.status_code == 409
    assert Customer.objects.count() == 1
    assert client.get(reverse("imports:detail", args=[job.pk])).status_code == 200


def test_a_cancelled_import_stays_cancelled(client):
    job = check_job(make_job(make_csv([make_row(1)]), check_first=True))

    assert client.post(f"/api/imports/{job.pk}/cancel/").status_code == 202
    assert client.post(f"/api/imports/{job.pk}/cancel/").status_code == 409

    job.refresh_from_db()
    assert job.status == Status.CANCELLED


def test_a_repeated_upload_creates_one_import(client):
    headers = {"Idempotency-Key": "once"}

    first = upload(client, make_row(1), headers=headers)
    second = upload(client, make_row(1), headers=headers)
    other = upload(client, make_row(2), headers=headers)

    assert first.json()["id"] == second.json()["id"]
    assert other.status_code == 422
    assert ImportJob.objects.count() == 1


def test_a_file_is_checked_inside_the_request(client):
    file = SimpleUploadedFile("customers.csv", make_csv([make_row(1)]))

    checked = client.post(f"{LEGACY_ROOT}/upload/", {"file": file})

    assert checked.status_code == 200
    assert checked.json()["counts"]["valid"] == 1


def test_a_file_that_is_rejected_inside_the_request_is_kept(client):
    file = SimpleUploadedFile("customers.csv", make_csv([]))

    response = client.post(f"{LEGACY_ROOT}/upload/", {"file": file})

    assert response.status_code == 400
    assert ImportJob.objects.get().error_code == "no_rows"


def test_a_list_is_imported_inside_the_request(client):
    names = ("shipping_mark", "first_name", "last_name", "email", "phone")
    body = json.dumps({"customers": [dict(zip(names, make_row(1), strict=True))]})

    done = client.post(f"{LEGACY_ROOT}/bulk-create/", body, content_type="application/json")

    assert (done.status_code, done.json()["created"]) == (200, 1)
    assert Customer.objects.count() == 1


async def test_the_uploaded_file_is_streamed_after_the_view(alice):

    client = AsyncClient()
    await client.aforce_login(alice)
    content = make_csv([make_row(1)])
    job = await sync_to_async(make_job)(content, owner=alice)

    response = await client.get(f"/api/imports/{job.pk}/file/")

    assert b"".join([chunk async for chunk in response.streaming_content]) == content
    await sync_to_async(connections.close_all)()


def test_an_upload_in_a_transaction_is_announced_after_its_commit(alice, published):
    with atomic():
        job = upload_in_process(alice, make_csv([make_row(1)]))
        assert published == []

    assert published == [job]


def test_an_upload_in_a_transaction_that_is_rolled_back_is_not_announced(alice, published):
    with atomic():
        upload_in_process(alice, make_csv([make_row(1)]))
        transaction.set_rollback(True, using=get_alias())

    assert published == []
    assert not ImportJob.objects.exists()


def test_a_cancellation_in_a_transaction_that_is_rolled_back_is_not_announced(published):
    job = make_job(make_csv([make_row(1)]))
    with atomic():
        lifecycle.cancel(job.pk)
        transaction.set_rollback(True, using=get_alias())

    assert published == []


@pytest.mark.django_db(transaction=False)
def test_an_error_response_leaves_the_transaction_of_a_test_usable(client):
    assert client.get("/api/imports/?unknown=1").status_code == 400

    assert ImportJob.objects.count() == 0
