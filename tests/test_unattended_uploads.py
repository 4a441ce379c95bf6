"""Options of an upload with which no person needs to look at a file."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from customers.models import Customer
from imports import lifecycle
from imports.models import ImportJob, SavedMapping
from imports.pipeline.column_mapping import InvalidMapping
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import HEADERS, apply_all_batches, check_job, make_csv, make_row

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN_HEADERS = ["Code", "First name", "Last name", "E-mail", "Number"]
MAPPING = {"shipping_mark": "Code", "phone": 4}


def upload(client, rows, headers, **fields):
    """Upload a file through the API; return the response."""
    file = SimpleUploadedFile("a.csv", make_csv(rows, headers))
    fields = {
        name: json.dumps(value) if isinstance(value, dict | bool) else value
        for name, value in fields.items()
    }
    key = fields.pop("key", None)
    data = {"importer": "customers", "file": file, **fields}
    return client.post("/api/imports/", data, headers={"Idempotency-Key": key} if key else {})


def check_upload(client, rows, headers=UNKNOWN_HEADERS, **fields):
    """Upload a file and check it; return its import as the API sends it."""
    response = upload(client, rows, headers, **fields)
    assert response.status_code == 202, response.content
    check_job(ImportJob.objects.get(pk=response.json()["id"]))
    return client.get(response.json()["urls"]["self"]).json()


# --- Missing columns ---------------------------------------------------------


def test_without_options_a_file_with_unknown_columns_waits_for_a_person(alice):
    job = check_upload(logged_in_client(alice), [make_row(1)])

    assert (job["status"], job["error_code"]) == (Status.MAPPING, "missing_columns")
    assert (job["waits_for"], job["on_missing_columns"]) == ("column_mapping", "ask")


def test_on_missing_columns_fail_ends_the_import_and_names_the_columns(alice):
    job = check_upload(logged_in_client(alice), [make_row(1)], on_missing_columns="fail")

    assert (job["status"], job["error_code"]) == (Status.FAILED, "missing_columns")
    assert (job["waits_for"], job["success"]) == (None, "none")
    assert job["columns"]["missing"] == ["shipping_mark", "phone"]
    assert job["error_params"] == {"columns": ["shipping_mark", "phone"]}
    assert "shipping_mark, phone" in job["message"]


def test_a_person_may_map_the_columns_of_an_import_that_failed_for_them(alice):
    client = logged_in_client(alice)
    job = check_upload(client, [make_row(1)], on_missing_columns="fail")

    response = client.patch(
        job["urls"]["self"],
        json.dumps({"column_mapping": MAPPING}),
        content_type="application/json",
    )

    assert response.status_code == 202
    assert check_job(ImportJob.objects.get()).status == Status.RUNNING


def test_on_missing_columns_can_be_changed(alice):
    client = logged_in_client(alice)
    job = check_upload(client, [make_row(1)])

    client.patch(
        job["urls"]["self"],
        json.dumps({"on_missing_columns": "fail"}),
        content_type="application/json",
    )

    assert check_job(ImportJob.objects.get()).status == Status.FAILED


# --- Column mapping ----------------------------------------------------------


@pytest.mark.parametrize("mapping", [MAPPING, {"shipping_mark": 0, "phone": "number "}])
def test_a_mapping_is_sent_with_the_file(alice, mapping):
    job = check_upload(logged_in_client(alice), [make_row(1)], column_mapping=mapping)

    assert job["status"] == Status.RUNNING
    apply_all_batches(job["id"])
    assert Customer.objects.get().phone == make_row(1)[4]
    saved = SavedMapping.objects.get()
    assert saved.positions == {
        "shipping_mark": 0,
        "first_name": 1,
        "last_name": 2,
        "email": 3,
        "phone": 4,
    }


def test_a_field_is_left_out_by_null(alice):
    job = check_upload(
        logged_in_client(alice), [make_row(1)], HEADERS, column_mapping={"email": None}
    )

    assert job["status"] == Status.RUNNING
    apply_all_batches(job["id"])
    assert Customer.objects.get().email is None


@pytest.mark.parametrize(
    ("mapping", "fields"),
    [
        (MAPPING | {"email": "Mail address"}, ["email"]),
        (MAPPING | {"email": 99}, ["email"]),
        (MAPPING | {"email": 4}, ["phone"]),
    ],
)
@pytest.mark.parametrize(("policy", "status"), [("ask", "MAPPING"), ("fail", "FAILED")])
def test_a_mapping_that_does_not_fit_the_file_is_never_applied(
    alice, mapping, fields, policy, status
):
    client = logged_in_client(alice)

    job = check_upload(client, [make_row(1)], column_mapping=mapping, on_missing_columns=policy)

    assert (job["status"], job["error_code"]) == (status, "wrong_column_mapping")
    assert job["error_params"]["columns"] == fields
    assert fields[0] in job["message"]
    assert not Customer.objects.exists()
    assert not SavedMapping.objects.exists()
    # The columns that were detected are there for a person who corrects the mapping.
    assert job["columns"]["headers"] == UNKNOWN_HEADERS
    response = client.patch(
        job["urls"]["self"],
        json.dumps({"column_mapping": MAPPING}),
        content_type="application/json",
    )
    assert response.status_code == 202
    assert check_job(ImportJob.objects.get()).status == Status.RUNNING


def test_a_mapping_without_a_required_field_lacks_columns(alice):
    mapping = {"shipping_mark": "Code"}

    job = check_upload(logged_in_client(alice), [make_row(1)], column_mapping=mapping)

    assert (job["status"], job["error_code"]) == (Status.MAPPING, "missing_columns")
    assert job["columns"]["missing"] == ["phone"]


@pytest.mark.parametrize(
    ("mapping", "field", "code"),
    [
        ('{"colour": 1}', "column_mapping.colour", "unknown_field"),
        ('{"phone": true}', "column_mapping.phone", "invalid_column"),
        ('{"phone": 1.5}', "column_mapping.phone", "invalid_column"),
        ('{"phone": ["Phone"]}', "column_mapping.phone", "invalid_column"),
        ('{"phone": "\\ud800"}', "column_mapping.phone", "invalid_column"),
        ('{"phone": "a\\u0000"}', "column_mapping.phone", "invalid_column"),
        ("[1]", "column_mapping", "invalid"),
        ('"Phone"', "column_mapping", "invalid"),
        ("phone=4", "column_mapping", "invalid"),
    ],
)
def test_a_mapping_that_fits_no_file_is_an_error_of_the_upload(alice, mapping, field, code):
    response = upload(logged_in_client(alice), [make_row(1)], HEADERS, column_mapping=mapping)

    assert response.status_code == 400
    assert [(each["field"], each["code"]) for each in response.json()["errors"]] == [(field, code)]
    assert not ImportJob.objects.exists()


def test_an_upload_from_python_is_validated_too(alice):
    file = SimpleUploadedFile("a.csv", make_csv([make_row(1)]))

    with pytest.raises(InvalidMapping):
        lifecycle.upload(alice, file, importer="customers", column_mapping={"colour": 1})

    assert not ImportJob.objects.exists()


# --- Header row --------------------------------------------------------------


def test_a_first_row_of_data_is_read_as_header_only_if_the_upload_says_so(alice):
    client = logged_in_client(alice)
    rows = [make_row(2), make_row(3)]

    detected = check_upload(client, rows, make_row(1))
    forced = check_upload(client, rows, make_row(1), has_header_row=True)
    without = check_upload(client, rows, HEADERS, has_header_row=False)

    assert (detected["columns"]["header_row"], detected["total"]) == (0, 3)
    assert (forced["columns"]["header_row"], forced["status"]) == (1, "MAPPING")
    assert (without["columns"]["header_row"], without["total"]) == (0, 3)
    values = [job["has_header_row"] for job in (detected, forced, without)]
    assert values == [None, True, False]


@pytest.mark.parametrize("text", ["perhaps", "2"])
def test_a_header_row_is_true_or_false(alice, text):
    response = upload(logged_in_client(alice), [make_row(1)], HEADERS, has_header_row=text)

    assert [error["field"] for error in response.json()["errors"]] == ["has_header_row"]


# --- Idempotency -------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [{"has_header_row": True}, {"column_mapping": {"email": None}}, {"on_missing_columns": "fail"}],
)
def test_each_option_belongs_to_what_an_idempotency_key_names(alice, changed):
    client = logged_in_client(alice)
    first = upload(client, [make_row(1)], HEADERS, key="monday", **changed)

    assert upload(client, [make_row(1)], HEADERS, key="monday").status_code == 422
    again = upload(client, [make_row(1)], HEADERS, key="monday", **changed)
    assert again.json()["id"] == first.json()["id"]
