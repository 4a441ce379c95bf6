"""Test how a person maps columns with PATCH, which mappings are invalid, and which are saved."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from customers.models import Customer
from imports import lifecycle
from imports.importer import get_importer
from imports.models import ImportJob, SavedMapping, TransitionNotAllowed
from imports.pipeline import staging
from imports.pipeline.column_mapping import InvalidMapping
from imports.pipeline.file_checker import acquire_lease
from imports.pipeline.target_table import get_target_table
from imports.pipeline.transactions import JobNotActive
from imports.statuses import Status
from tests.concurrency import concurrent_transaction, wait_until_blocked
from tests.conftest import logged_in_client
from tests.factories import (
    HEADERS,
    apply_all_batches,
    check_job,
    get_counts,
    get_outcomes,
    make_csv,
    make_job,
    make_row,
    make_validated_block,
)
from tests.streams import make_job as make_moved_job

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN_HEADERS = ["Code", "First name", "Last name", "E-mail", "Number"]
ROWS = [make_row(1), make_row(2)]
MAPPING = {"shipping_mark": "Code", "phone": 4}


def patch_import(client, job, **changes):
    body = json.dumps(changes)
    return client.patch(f"/api/imports/{job.pk}/", body, content_type="application/json")


def get_errors(response):
    error = response.json()
    assert error.keys() == {"code", "message", "params", "errors"}
    assert all(e["message"].endswith(".") for e in error["errors"])
    return [(e["field"].removeprefix("column_mapping."), e["code"]) for e in error["errors"]]


def make_unmapped_job(people=ROWS, headers=UNKNOWN_HEADERS, **fields):
    return check_job(make_job(make_csv(people, headers), **fields))


def map_columns(job, **columns):
    """Give the import a column mapping and check it again."""
    lifecycle.check_again(job.pk, {"column_mapping": columns or MAPPING})
    return check_job(job)


def get_import(client, job):
    return client.get(f"/api/imports/{job.pk}/").json()


# --- A mapping ---------------------------------------------------------------


def test_a_mapping_by_header_or_index_continues_the_import(alice):
    client, job = logged_in_client(alice), make_unmapped_job(owner=alice)
    assert (job.status, job.error_params["columns"]) == ("MAPPING", ["shipping_mark", "phone"])

    response = patch_import(client, job, column_mapping={"shipping_mark": " CODE", "phone": 4})

    answer = response.json()
    assert (response.status_code, answer["status"], answer["run"]) == (202, "QUEUED", job.run + 1)
    assert (answer["progress_percent"], answer["error_code"]) == (0, None)
    assert answer["version"] > job.version
    assert apply_all_batches(check_job(job).pk).status == Status.COMPLETE
    assert set(Customer.objects.values_list("shipping_mark", "phone")) == {
        (p[0], p[4]) for p in ROWS
    }


def test_the_import_shows_its_columns(alice):
    client, job = logged_in_client(alice), make_unmapped_job(owner=alice)

    columns = get_import(client, job)["columns"]

    assert (columns["headers"], columns["header_row"]) == (UNKNOWN_HEADERS, 1)
    assert columns["samples"][4] == [make_row(1)[4], make_row(2)[4]]
    assert columns["missing"] == ["shipping_mark", "phone"]
    indexes = {field["field"]: field["index"] for field in columns["fields"]}
    found = {"first_name": 1, "last_name": 2, "email": 3}
    assert indexes == found | {"shipping_mark": None, "phone": None}
    assert get_import(client, job)["detected_format"]["format"] == "csv"


def test_lists_of_imports_have_no_columns(alice):
    make_unmapped_job(owner=alice)
    assert (
        not {"columns", "detected_format"}
        & logged_in_client(alice).get("/api/imports/").json()["results"][0].keys()
    )


@pytest.mark.parametrize(
    ("columns", "problems"),
    [
        ({}, [("shipping_mark", "column_required"), ("phone", "column_required")]),
        ({"shipping_mark": "Code"}, [("phone", "column_required")]),
        (MAPPING | {"last_name": None}, [("last_name", "column_required")]),
        (MAPPING | {"colour": "Code"}, [("colour", "unknown_field")]),
        (MAPPING | {"id": 0}, [("id", "unknown_field")]),
        (MAPPING | {"email": "Mail address"}, [("email", "unknown_column")]),
        (MAPPING | {"email": 5}, [("email", "unknown_column")]),
        (MAPPING | {"email": -1}, [("email", "unknown_column")]),
        (MAPPING | {"email": 10**30}, [("email", "unknown_column")]),
        (MAPPING | {"email": ""}, [("email", "unknown_column")]),
        (MAPPING | {"email": "\0"}, [("email", "unknown_column")]),
        (MAPPING | {"email": "\ud800"}, [("email", "unknown_column")]),
        (MAPPING | {"\ud800" * 99: 1}, [("\ufffd" * 50, "unknown_field")]),
        (MAPPING | {"email": True}, [("email", "invalid_column")]),
        (MAPPING | {"email": 1.0}, [("email", "invalid_column")]),
        (MAPPING | {"email": ["Code"]}, [("email", "invalid_column")]),
        (MAPPING | {"email": "Code"}, [("email", "column_used_twice")]),
        (MAPPING | {"phone": "Last name"}, [("phone", "column_used_twice")]),
    ],
)
def test_an_invalid_mapping_changes_nothing(alice, columns, problems):
    job = make_unmapped_job(owner=alice)

    response = patch_import(logged_in_client(alice), job, column_mapping=columns)

    assert response.status_code == 400
    assert sorted(get_errors(response)) == sorted(problems)
    before = (job.version, job.status, job.run, None)
    job.refresh_from_db()
    assert (job.version, job.status, job.run, job.column_mapping) == before


def test_two_fields_may_be_interchanged(alice):
    job = make_unmapped_job(owner=alice, check_first=True)

    map_columns(job, **MAPPING, first_name=2, last_name=1)

    assert job.detected_columns["positions"]["first_name"] == 2
    assert job.status == Status.READY


def test_a_header_that_occurs_twice_is_mapped_by_its_index(alice):
    job = make_unmapped_job([["", *ROWS[0]]], ["Code", *UNKNOWN_HEADERS])

    with pytest.raises(InvalidMapping) as wrong:
        lifecycle.check_again(job.pk, {"column_mapping": MAPPING | {"phone": 5}})

    assert wrong.value.problems["shipping_mark"][0] == "several_columns"
    assert map_columns(job, shipping_mark=1, phone=5).status == Status.RUNNING


def test_an_exact_header_takes_precedence_over_a_similar_one():
    job = make_unmapped_job([["", *ROWS[0]]], ["CODE", *UNKNOWN_HEADERS])

    assert (
        map_columns(job, shipping_mark="Code", phone=5).detected_columns["positions"][
            "shipping_mark"
        ]
        == 1
    )


def test_a_field_can_be_left_out(alice):
    job = check_job(make_job(make_csv(ROWS), owner=alice, check_first=True))
    assert job.status == Status.READY

    map_columns(job, email=None)
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)

    assert set(Customer.objects.values_list("email", flat=True)) == {None}


def test_a_column_without_a_header_is_mapped_by_its_index():
    job = make_unmapped_job([[*p[:4], "", p[4]] for p in ROWS], UNKNOWN_HEADERS[:4])

    assert map_columns(job, shipping_mark=0, phone=5).status == Status.RUNNING


def test_a_reader_with_an_earlier_mapping_adds_no_rows():
    job = make_job(make_csv(ROWS), check_first=True)
    old = acquire_lease(job.pk)
    check_job(expire_lease(job))
    map_columns(job, email=None)
    target = get_target_table(get_importer("customers"))

    with pytest.raises(JobNotActive):
        staging.stage_rows(old, target, [make_validated_block(9)], cursor_row=9, fraction=1)

    assert get_outcomes(job).keys() == {2, 3}


def expire_lease(job):
    """Return the import as if its reader had sent no heartbeat for a long time."""
    ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=None)
    return job


# --- Without a header row ----------------------------------------------------


def test_a_first_row_can_be_declared_to_be_no_header(alice):
    bad_first = [make_row(1, phone="none"), make_row(2)]
    job = check_job(make_job(make_csv(bad_first, headers=None), owner=alice))
    assert job.status == Status.MAPPING

    response = patch_import(logged_in_client(alice), job, has_header_row=False)

    assert response.status_code == 202
    apply_all_batches(check_job(job).pk)
    assert get_outcomes(job) == {1: "failed", 2: "created"}
    assert (job.detected_columns["header_row"], job.detected_columns["headers"]) == (0, [])


def test_columns_without_a_header_row_are_mapped_by_index(alice):
    bad_first = [[p[4], *p[:4]] for p in (make_row(1, phone="none"), make_row(2))]
    job = check_job(make_job(make_csv(bad_first, headers=None)))
    order = {"phone": 0, "shipping_mark": 1, "first_name": 2, "last_name": 3, "email": 4}

    lifecycle.check_again(job.pk, {"has_header_row": False, "column_mapping": order})
    apply_all_batches(check_job(job).pk)

    assert get_outcomes(job) == {1: "failed", 2: "created"}
    assert Customer.objects.get().phone == make_row(2)[4]
    assert not SavedMapping.objects.exists()  # A file without headers cannot be recognized.


def test_json_rows_keep_their_own_headers():
    rows = [dict(zip(UNKNOWN_HEADERS, values, strict=True)) for values in ROWS]
    job = check_job(make_job("\n".join(map(json.dumps, rows)).encode()))
    assert (job.status, job.detected_format["format"]) == (Status.MAPPING, "jsonl")

    lifecycle.check_again(job.pk, {"has_header_row": False, "column_mapping": MAPPING})

    assert check_job(job).status == Status.RUNNING
    assert job.detected_columns["headers"] == UNKNOWN_HEADERS


# --- Permissions and transitions ---------------------------------------------


@pytest.mark.parametrize("status", ["QUEUED", "CHECKING", "RUNNING", "PAUSED", "UNDOING"])
def test_only_an_import_that_waits_for_a_person_can_be_changed(alice, status):
    job = make_moved_job(alice, Status(status))

    response = patch_import(logged_in_client(alice), job, on_duplicate="update")

    assert response.status_code == 409
    assert response.json()["message"].startswith("The import was not changed. It")
    assert response.json()["params"]["status"] == status
    assert ImportJob.objects.get(pk=job.pk).on_duplicate == "skip"


def test_a_mapping_by_a_superuser_is_saved_for_the_owner(alice, root):
    job = make_unmapped_job(owner=alice)

    assert patch_import(logged_in_client(root), job, column_mapping=MAPPING).status_code == 202

    check_job(job)
    assert SavedMapping.objects.get().owner == alice


@pytest.mark.parametrize("other_transition", [lifecycle.start, lifecycle.cancel])
def test_a_concurrent_start_or_cancellation_excludes_a_change(alice, other_transition):
    job = check_job(make_job(make_csv(ROWS), owner=alice, check_first=True))

    def try_to(call, *arguments):
        try:
            return call(*arguments).status
        except TransitionNotAllowed:
            return None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        with concurrent_transaction() as cursor:
            cursor.execute("SELECT FROM imports_importjob FOR UPDATE")
            change = threads.submit(
                try_to, lifecycle.check_again, job.pk, {"column_mapping": {"email": None}}
            )
            other = threads.submit(try_to, other_transition, job.pk)
            wait_until_blocked(2)
        changed, transitioned = change.result(timeout=10), other.result(timeout=10)

    job.refresh_from_db()
    assert (job.column_mapping is not None) == (changed == Status.QUEUED)
    if other_transition is lifecycle.start:
        assert {changed, transitioned} in ({"QUEUED", None}, {"RUNNING", None})
        assert job.status == changed or transitioned
    else:  # After the change, the import can still be cancelled.
        assert (transitioned, job.status) == ("CANCELLED", "CANCELLED")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "invalid"),
        ("{}", "invalid"),
        ("[]", "invalid"),
        ("{", "malformed"),
        ("[" * 50_000, "malformed"),
        ('{"colour": 1}', "invalid"),
        ('{"\\ud800": 1}', "invalid"),
        ('{"column_mapping": null}', "invalid"),
        ('{"column_mapping": ["Code"]}', "invalid"),
        ('{"on_duplicate": "maybe"}', "invalid"),
        ('{"empty_cells": ""}', "invalid"),
        ('{"has_header_row": "perhaps"}', "invalid"),
        ('{"delimiter": "ab"}', "invalid"),
        ('{"sheet": "\\u0000"}', "invalid"),
        ('{"sheet": "Kunden", "column_mapping": {"phone": 4}}', "invalid"),
    ],
)
def test_an_invalid_change_is_a_bad_request(alice, body, code):
    job = make_unmapped_job(owner=alice)

    response = logged_in_client(alice).patch(
        f"/api/imports/{job.pk}/", body, content_type="application/json"
    )

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert ImportJob.objects.get(pk=job.pk).version == job.version


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"colour": 1}, ("colour", "unknown_field")),
        ({"file_name": "a.csv", "sheet": "A"}, ("file_name", "unknown_field")),
        ({}, ("non_field_errors", "nothing_to_change")),
        ({"sheet": "A", "column_mapping": MAPPING}, ("column_mapping", "read_first")),
    ],
)
def test_the_error_of_an_invalid_change_names_the_field(alice, changes, problem):
    (error,) = patch_import(
        logged_in_client(alice), make_unmapped_job(owner=alice), **changes
    ).json()["errors"]

    assert (error["field"], error["code"]) == problem
    assert error["message"].endswith(".")


def test_a_too_large_change_is_rejected(alice):
    job = make_unmapped_job(owner=alice)
    assert patch_import(logged_in_client(alice), job, sheet="s" * 70_000).status_code == 413


# --- Other options -----------------------------------------------------------


def test_another_duplicate_policy_changes_the_counts(alice):
    for n in (1, 2):
        mark, first, last, _, phone = make_row(n)
        Customer.objects.create(shipping_mark=mark, first_name=first, last_name=last, phone=phone)
    job = check_job(make_job(make_csv(ROWS), owner=alice, check_first=True))
    assert (get_counts(job)["skipped"], job.to_update) == (2, 0)

    assert job.progress_percent == 33

    patch_import(logged_in_client(alice), job, on_duplicate="update")

    assert get_counts(job)["skipped"] == 0
    assert (job.progress_percent, job.checked_at) == (0, None)
    check_job(job)
    assert (job.status, get_counts(job)["skipped"], job.to_update) == ("READY", 0, 2)


def test_read_options_can_be_changed_one_by_one(alice):
    job = map_columns(make_unmapped_job(owner=alice, read_options={"sheet": "A", "delimiter": ","}))
    ImportJob.objects.filter(pk=job.pk).update(status=Status.READY)

    patch_import(logged_in_client(alice), job, sheet="", encoding="utf-8")

    job.refresh_from_db()
    assert job.read_options == {"encoding": "utf-8", "delimiter": ","}
    assert (job.detected_columns, job.detected_format, job.column_mapping) == (None, None, None)


def test_a_file_is_read_again_with_other_options(alice):
    content = make_csv(ROWS).replace(b",", b";")
    job = check_job(make_job(content, owner=alice, read_options={"delimiter": ","}))
    assert job.status == Status.MAPPING

    patch_import(logged_in_client(alice), job, delimiter="")

    assert (check_job(job).status, job.detected_format["delimiter"]) == (Status.RUNNING, ";")


def test_a_wrong_read_option_can_be_removed(alice):
    job = check_job(make_job(make_csv(ROWS), owner=alice, read_options={"encoding": "utf-16"}))
    assert (job.status, job.error_code) == (Status.FAILED, "wrong_encoding")
    client = logged_in_client(alice)

    refused = patch_import(client, job, column_mapping={"phone": 4})
    answer = patch_import(client, job, encoding="")

    assert (refused.status_code, refused.json()["code"]) == (409, "file_not_read")
    assert "Change how it is read first." in refused.json()["message"]
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    assert apply_all_batches(check_job(job).pk).status == Status.COMPLETE


def test_an_import_that_failed_for_another_reason_cannot_be_changed(alice):
    job = check_job(make_job(b"%PDF-1.7", owner=alice, read_options={"encoding": "utf-8"}))

    response = patch_import(logged_in_client(alice), job, encoding="")

    assert (job.error_code, response.status_code) == ("pdf_file", 409)


# --- Saved mappings ----------------------------------------------------------


def test_a_mapping_is_saved_for_the_next_file_with_these_headers(alice, bob):
    map_columns(make_unmapped_job(owner=alice))
    alike = [" CODE ", "first  name", "LAST-NAME", "Email", "number:"]

    job = make_unmapped_job([make_row(3)], alike, owner=alice)
    of_another = make_unmapped_job([make_row(3)], alike, owner=bob)
    in_other_order = make_unmapped_job([make_row(3)], alike[::-1], owner=alice)

    assert (job.status, job.detected_columns["from_saved_mapping"]) == (Status.RUNNING, True)
    assert get_import(logged_in_client(alice), job)["columns"]["from_saved_mapping"] is True
    assert {of_another.status, in_other_order.status} == {Status.MAPPING}
    assert of_another.detected_columns["from_saved_mapping"] is False


def test_a_saved_mapping_can_be_replaced(alice):
    map_columns(make_unmapped_job(owner=alice))
    job = make_unmapped_job([make_row(3)], owner=alice, check_first=True)
    assert job.detected_columns["positions"]["email"] == 3

    map_columns(job, email=None)

    assert (job.status, job.detected_columns["from_saved_mapping"]) == (Status.READY, False)
    last = make_unmapped_job([make_row(4)], owner=alice)
    assert (
        last.detected_columns["from_saved_mapping"],
        "email" in last.detected_columns["positions"],
    ) == (True, False)
    assert SavedMapping.objects.count() == 1


def test_a_mapping_with_which_every_row_fails_is_not_saved(alice):
    job = map_columns(make_unmapped_job(owner=alice), shipping_mark=4, phone=0)  # Interchanged.

    assert (job.status, get_counts(job)["failed"]) == (Status.COMPLETE, 2)
    assert not SavedMapping.objects.exists()


def test_detected_columns_are_not_saved_as_a_mapping(alice):
    assert check_job(make_job(make_csv(ROWS), owner=alice)).status == Status.RUNNING
    assert not SavedMapping.objects.exists()


def test_a_saved_mapping_without_a_required_field_is_not_used(alice):
    map_columns(make_unmapped_job(headers=HEADERS, owner=alice, check_first=True), email=None)
    SavedMapping.objects.update(positions={"shipping_mark": 0, "gone": 1})

    job = make_unmapped_job([make_row(3)], HEADERS, owner=alice)

    assert (job.status, job.detected_columns["from_saved_mapping"]) == (Status.RUNNING, False)


def test_fields_of_a_saved_mapping_that_no_longer_exist_are_left_out(alice):
    job = map_columns(make_unmapped_job(owner=alice))
    SavedMapping.objects.update(positions={**job.column_mapping, "gone": 1})

    assert "gone" not in make_unmapped_job([make_row(3)], owner=alice).detected_columns["positions"]


def test_headers_without_letters_are_distinguished(alice):
    signs = ["#", *HEADERS[1:4], "☎"]
    map_columns(make_unmapped_job(headers=signs, owner=alice), shipping_mark="#", phone="☎")

    turned = ["☎", *HEADERS[1:4], "#"]

    assert make_unmapped_job([make_row(3)], turned, owner=alice).status == Status.MAPPING


def test_without_an_owner_no_mapping_is_saved(alice):
    job = make_unmapped_job(owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(owner=None)

    assert map_columns(job).status == Status.RUNNING
    assert not SavedMapping.objects.exists()
