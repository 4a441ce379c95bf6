"""Undo in the REST API and on the pages: the command, its preview, and the kept rows."""

import csv
import io
from datetime import timedelta

import openpyxl
import pytest
from django.test import Client
from django.utils import timezone

from customers.models import Customer
from imports.error_messages import KEPT_MESSAGES, describe_kept
from imports.history import Command, Via
from imports.models import ImportJob
from imports.provenance import find_provenance, find_written_records
from imports.statuses import Outcome, Status
from tests.conftest import create_user, logged_in_client
from tests.factories import make_csv, make_row, run_import
from tests.parcels.models import Visit
from tests.test_downloads import read_content
from tests.test_undo import (
    get_customer,
    get_undo_counts,
    import_people,
    import_rows,
    undo_all_batches,
    undo_import,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(alice):
    return logged_in_client(alice)


@pytest.fixture
def job(alice):
    """An import of which one record was edited, and another one is referred to."""
    job = import_people(1, 2, 3, 4, owner=alice)
    Customer.objects.filter(pk=get_customer(1).pk).update(first_name="Esi")
    Visit.objects.create(customer=get_customer(2))
    return job


def get_json(client, job, path=""):
    response = client.get(f"/api/imports/{job.pk}/{path}")
    assert response.status_code == 200
    return response.json()


def download(client, path):
    return read_content(client.get(path))


# --- REST --------------------------------------------------------------------


def test_a_program_undoes_an_import(client, job, alice):
    response = client.post(f"/api/imports/{job.pk}/undo/")

    assert response.status_code == 202
    assert response["Location"] == f"/api/imports/{job.pk}/"
    body = response.json()
    assert (body["status"], body["run"], body["progress_percent"]) == ("UNDOING", 2, 0)
    event = job.events.get()
    assert (event.command, event.user, event.via) == (Command.UNDO, alice, Via.REST)
    undo_all_batches(job.pk)
    body = get_json(client, job)
    assert (body["removed"], body["restored"], body["kept"]) == (2, 0, 2)
    assert (body["status"], body["progress_percent"]) == ("UNDONE", 100)


def test_the_preview_says_what_would_be_kept_and_why(client, job):
    body = get_json(client, job, "undo-preview/")

    assert body == {
        "removed": 2,
        "restored": 0,
        "kept": 2,
        "reasons": [
            {
                "code": "edited",
                "params": {},
                "message": "The record was edited after the import.",
                "count": 1,
            },
            {
                "code": "referred_to",
                "params": {"model": "parcels.Visit"},
                "message": "Other records refer to this record: visits. Delete them first if it is "
                "to be deleted.",
                "count": 1,
            },
        ],
        "is_exact": True,
    }
    assert Customer.objects.count() == 4


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"finished_at": timezone.now() - timedelta(days=31)}, "too_late"),
        ({"created": 0, "processed": 0, "status": "CANCELLED"}, "nothing_to_undo"),
        ({"status": "RUNNING", "finished_at": None, "progress_percent": 50}, "not_allowed"),
    ],
)
def test_a_conflict_has_a_code_and_a_sentence(client, job, fields, code):
    ImportJob.objects.filter(pk=job.pk).update(**fields)

    responses = [
        client.post(f"/api/imports/{job.pk}/undo/"),
        client.get(f"/api/imports/{job.pk}/undo-preview/"),
    ]

    for response in responses:
        assert (response.status_code, response.json()["code"]) == (409, code)
        assert response.json()["message"].endswith(".")
    assert Customer.objects.count() == 4


def test_kept_rows_are_listed_with_their_reasons(client, job):
    undo_import(job)

    kept = get_json(client, job, "rows/?kept=true")["results"]
    others = get_json(client, job, "rows/?kept=false")["results"]

    assert [(row["row"], row["kept"]["code"]) for row in kept] == [
        (2, "edited"),
        (3, "referred_to"),
    ]
    assert kept[0]["kept"]["message"] == "The record was edited after the import."
    assert [(row["row"], row["kept"]) for row in others] == [(4, None), (5, None)]
    assert len(get_json(client, job, "rows/")["results"]) == 4


@pytest.mark.parametrize("prefix", ["/api", ""])
def test_kept_rows_are_downloaded_with_their_reasons(client, job, prefix):
    undo_import(job)

    text = download(client, f"{prefix}/imports/{job.pk}/kept-rows.csv").decode("utf-8-sig")
    content = download(client, f"{prefix}/imports/{job.pk}/kept-rows.xlsx")

    rows = list(csv.reader(io.StringIO(text)))
    assert [row[0] for row in rows] == ["Shipping mark", "MARK 1", "MARK 2"]
    assert rows[1][-1] == "Row 2. The record was edited after the import."
    assert "visits" in rows[2][-1]
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    assert sheet.title == "Kept"
    assert [[cell or "" for cell in row] for row in sheet.values] == rows


def test_the_addresses_of_kept_rows_appear_when_there_are_some(client, job):
    urls = get_json(client, job)["urls"]
    assert (urls["kept_rows_csv"], urls["kept_rows_xlsx"]) == (None, None)

    undo_import(job)

    urls = get_json(client, job)["urls"]
    assert urls["kept_rows_csv"] == f"/api/imports/{job.pk}/kept-rows.csv"
    assert urls["kept_rows_xlsx"] == f"/api/imports/{job.pk}/kept-rows.xlsx"


def test_who_may_only_see_an_import_cannot_undo_it(job):
    client = logged_in_client(create_user("sees", "view_all"))

    assert client.post(f"/api/imports/{job.pk}/undo/").status_code == 403
    assert client.post(f"/imports/{job.pk}/undo/").status_code == 404
    assert client.get(f"/imports/{job.pk}/undo/").status_code == 404
    assert "/undo/" not in client.get(f"/imports/{job.pk}/").content.decode()
    assert Client().post(f"/imports/{job.pk}/undo/").status_code == 302
    job.refresh_from_db()
    assert job.status == Status.COMPLETE


@pytest.mark.parametrize("code", KEPT_MESSAGES)
def test_every_reason_has_a_sentence(code):
    params = {"model": "missing_table", "sqlstate": "P0001", "constraint": None}

    sentence = describe_kept({"code": code, "params": params})

    assert sentence.endswith(".")
    assert "%(" not in sentence


# --- Pages -------------------------------------------------------------------


def test_a_person_sees_what_undo_does_before_the_button(client, job, alice):
    page = client.get(f"/imports/{job.pk}/").content.decode()
    assert f'href="/imports/{job.pk}/undo/"' in page

    page = client.get(f"/imports/{job.pk}/undo/").content.decode()

    assert '<dd data-field="removed">2</dd>' in page
    assert '<dd data-field="kept">2</dd>' in page
    assert "1 is kept: The record was edited after the import." in page
    assert "The import can be undone until" in page
    assert Customer.objects.count() == 4

    response = client.post(f"/imports/{job.pk}/undo/")
    assert response["Location"] == f"/imports/{job.pk}/"
    assert job.events.get().via == Via.PAGE
    page = client.get(f"/imports/{job.pk}/").content.decode()
    assert "The changes of this import are being undone." in page
    assert '<dd data-field="removed" data-zero>0</dd>' in page
    undo_all_batches(job.pk)
    page = client.get(f"/imports/{job.pk}/").content.decode()
    assert "Records changed or used since then were kept." in page
    assert "1 is kept: The record was edited after the import." in page
    assert f"/imports/{job.pk}/kept-rows.csv" in page
    assert f'href="/imports/{job.pk}/undo/"' not in page


def test_the_page_lists_kept_rows(client, job, monkeypatch):
    undo_import(job)
    monkeypatch.setattr("imports.pages.failed_rows.FAILED_ROWS_PER_PAGE", 1)

    first = client.get(f"/imports/{job.pk}/rows/?outcome=kept").content.decode()
    second = client.get(f"/imports/{job.pk}/rows/?outcome=kept&after=2").content.decode()

    assert "<h1>Kept rows</h1>" in first
    assert "MARK 1" in first
    assert "The record was edited after the import." in first
    assert "outcome=kept&amp;after=2" in first
    assert "MARK 2" in second
    assert "Next page" not in second


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"contents_deleted_at": timezone.now()}, "can no longer be undone"),
        ({"created": 0, "processed": 0, "status": "CANCELLED"}, "so there is nothing to undo."),
        ({"status": "UNDOING", "finished_at": None}, "The import is being undone already."),
    ],
)
def test_a_page_that_cannot_be_undone_says_why(client, job, fields, sentence):
    ImportJob.objects.filter(pk=job.pk).update(**fields)

    for response in (
        client.get(f"/imports/{job.pk}/undo/", follow=True),
        client.post(f"/imports/{job.pk}/undo/", follow=True),
    ):
        assert response.redirect_chain == [(f"/imports/{job.pk}/", 302)]
        assert sentence in response.content.decode()


def test_a_failed_undo_says_what_is_done_and_can_be_started_again(client, job):
    ImportJob.objects.filter(pk=job.pk).update(
        status="FAILED", error_code="undo_failed", error_params={"error": "timeout"}, removed=1
    )

    page = client.get(f"/imports/{job.pk}/").content.decode()

    assert "Undoing the import has stopped because of an error (timeout)." in page
    assert '<dd data-field="removed">1</dd>' in page
    assert f'href="/imports/{job.pk}/undo/"' in page


# --- Provenance --------------------------------------------------------------


def test_restored_records_are_no_longer_those_of_the_import(alice):
    first = import_people(1, 2, owner=alice)
    job = import_rows(
        [make_row(n, first="Esi") for n in (1, 2)], on_duplicate="update", owner=alice
    )
    Customer.objects.filter(pk=get_customer(2).pk).update(first_name="edited")
    jobs = ImportJob.objects.all()
    assert find_provenance([get_customer(1)], jobs)[get_customer(1).pk].job_id == job.pk

    undo_import(job)

    assert get_undo_counts(job) == (0, 1, 1)
    undone = ImportJob.objects.filter(pk=job.pk)
    assert list(find_written_records(undone, Customer)) == [get_customer(2)]
    assert list(find_written_records(undone, Customer, Outcome.UPDATED)) == [get_customer(2)]
    found = find_provenance(list(Customer.objects.all()), jobs)
    assert found[get_customer(1).pk].job_id == first.pk
    assert found[get_customer(2).pk].job_id == job.pk


def test_a_kept_row_has_all_cells_of_the_file(client, alice):
    content = make_csv(
        [[*make_row(1), "a remark"]],
        ["Shipping mark", "First name", "Last name", "E-mail", "Phone", "Remark"],
    )
    job = run_import(content, owner=alice)
    Customer.objects.update(first_name="edited")
    undo_import(job)

    text = download(client, f"/imports/{job.pk}/kept-rows.csv").decode("utf-8-sig")

    assert next(csv.reader(io.StringIO(text.splitlines()[1])))[5] == "a remark"
