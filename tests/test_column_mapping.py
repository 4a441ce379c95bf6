"""A person says which column is which: PATCH, what it refuses, and what is remembered."""

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
from imports.pipeline.row_validation import ValidatedRow
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
)
from tests.streams import make_job as make_moved_job

pytestmark = pytest.mark.django_db(transaction=True)

ODD = ["Code", "First name", "Last name", "E-mail", "Number"]
PEOPLE = [make_row(1), make_row(2)]
ANSWER = {"shipping_mark": "Code", "phone": 4}


def ask(client, job, **changes):
    body = json.dumps(changes)
    return client.patch(f"/api/imports/{job.pk}/", body, content_type="application/json")


def errors_of(response):
    error = response.json()
    assert error.keys() == {"code", "message", "errors"}
    assert all(one["message"].endswith(".") for one in error["errors"])
    return [(one["field"].removeprefix("column_mapping."), one["code"]) for one in error["errors"]]


def odd_job(people=PEOPLE, headers=ODD, **fields):
    return check_job(make_job(make_csv(people, headers), **fields))


def told(job, **columns):
    """Answered, and checked again."""
    lifecycle.check_again(job.pk, {"column_mapping": columns or ANSWER})
    return check_job(job)


def sent(client, job):
    return client.get(f"/api/imports/{job.pk}/").json()


# --- The answer --------------------------------------------------------------


def test_an_answer_by_header_or_number_continues_the_import(alice):
    client, job = logged_in_client(alice), odd_job(owner=alice)
    assert (job.status, job.error_params["columns"]) == ("MAPPING", ["shipping_mark", "phone"])

    response = ask(client, job, column_mapping={"shipping_mark": " CODE", "phone": 4})

    answer = response.json()
    assert (response.status_code, answer["status"], answer["run"]) == (202, "QUEUED", job.run + 1)
    assert (answer["progress_percent"], answer["error_code"]) == (0, None)
    assert answer["version"] > job.version
    assert apply_all_batches(check_job(job).pk).status == Status.COMPLETE
    assert set(Customer.objects.values_list("shipping_mark", "phone")) == {
        (p[0], p[4]) for p in PEOPLE
    }


def test_an_answer_names_what_the_import_shows(alice):
    client, job = logged_in_client(alice), odd_job(owner=alice)

    columns = sent(client, job)["columns"]

    assert (columns["headers"], columns["header_row"]) == (ODD, 1)
    assert columns["samples"][4] == [make_row(1)[4], make_row(2)[4]]
    assert columns["missing"] == ["shipping_mark", "phone"]
    indexes = {field["field"]: field["index"] for field in columns["fields"]}
    found = {"first_name": 1, "last_name": 2, "email": 3}
    assert indexes == found | {"shipping_mark": None, "phone": None}
    assert sent(client, job)["detected_format"]["format"] == "csv"


def test_lists_hold_no_columns(alice):
    odd_job(owner=alice)
    assert (
        not {"columns", "detected_format"}
        & logged_in_client(alice).get("/api/imports/").json()["results"][0].keys()
    )


@pytest.mark.parametrize(
    ("columns", "problems"),
    [
        ({}, [("shipping_mark", "column_needed"), ("phone", "column_needed")]),
        ({"shipping_mark": "Code"}, [("phone", "column_needed")]),
        (ANSWER | {"last_name": None}, [("last_name", "column_needed")]),
        (ANSWER | {"colour": "Code"}, [("colour", "unknown_field")]),
        (ANSWER | {"id": 0}, [("id", "unknown_field")]),
        (ANSWER | {"email": "Mail address"}, [("email", "unknown_column")]),
        (ANSWER | {"email": 5}, [("email", "unknown_column")]),
        (ANSWER | {"email": -1}, [("email", "unknown_column")]),
        (ANSWER | {"email": 10**30}, [("email", "unknown_column")]),
        (ANSWER | {"email": ""}, [("email", "unknown_column")]),
        (ANSWER | {"email": "\0"}, [("email", "unknown_column")]),
        (ANSWER | {"email": "\ud800"}, [("email", "unknown_column")]),
        (ANSWER | {"\ud800" * 99: 1}, [("\ufffd" * 50, "unknown_field")]),
        (ANSWER | {"email": True}, [("email", "invalid_column")]),
        (ANSWER | {"email": 1.0}, [("email", "invalid_column")]),
        (ANSWER | {"email": ["Code"]}, [("email", "invalid_column")]),
        (ANSWER | {"email": "Code"}, [("email", "used_twice")]),
        (ANSWER | {"phone": "Last name"}, [("phone", "used_twice")]),
    ],
)
def test_an_answer_that_does_not_fit_the_file_changes_nothing(alice, columns, problems):
    job = odd_job(owner=alice)

    response = ask(logged_in_client(alice), job, column_mapping=columns)

    assert response.status_code == 400
    assert sorted(errors_of(response)) == sorted(problems)
    before = (job.version, job.status, job.run, None)
    job.refresh_from_db()
    assert (job.version, job.status, job.run, job.column_mapping) == before


def test_two_fields_may_change_places(alice):
    job = odd_job(owner=alice, check_first=True)

    told(job, **ANSWER, first_name=2, last_name=1)

    assert job.detected_columns["positions"]["first_name"] == 2
    assert job.status == Status.READY


def test_a_header_that_is_there_twice_is_told_by_its_number(alice):
    job = odd_job([["", *PEOPLE[0]]], ["Code", *ODD])

    with pytest.raises(InvalidMapping) as wrong:
        lifecycle.check_again(job.pk, {"column_mapping": ANSWER | {"phone": 5}})

    assert wrong.value.problems["shipping_mark"][0] == "several_columns"
    assert told(job, shipping_mark=1, phone=5).status == Status.RUNNING


def test_what_is_written_the_same_goes_before_what_folds_so():
    job = odd_job([["", *PEOPLE[0]]], ["CODE", *ODD])

    assert (
        told(job, shipping_mark="Code", phone=5).detected_columns["positions"]["shipping_mark"] == 1
    )


def test_a_field_can_be_left_out(alice):
    job = check_job(make_job(make_csv(PEOPLE), owner=alice, check_first=True))
    assert job.status == Status.READY

    told(job, email=None)
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)

    assert set(Customer.objects.values_list("email", flat=True)) == {None}


def test_a_column_without_a_header_is_told_by_its_number():
    job = odd_job([[*p[:4], "", p[4]] for p in PEOPLE], ODD[:4])

    assert told(job, shipping_mark=0, phone=5).status == Status.RUNNING


def test_a_reader_of_the_old_mapping_adds_nothing():
    job = make_job(make_csv(PEOPLE), check_first=True)
    old = acquire_lease(job.pk)
    check_job(make_again(job))
    told(job, email=None)
    target = get_target_table(get_importer("customers"))

    with pytest.raises(JobNotActive):
        staging.stage_rows(old, target, [ValidatedRow(9, make_row(9))], cursor_row=9, fraction=1)

    assert get_outcomes(job).keys() == {2, 3}


def make_again(job):
    """Its reader has not been heard of for long."""
    ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=None)
    return job


# --- Which row is the first --------------------------------------------------


def test_a_first_row_that_was_taken_for_headers_can_be_told_to_be_none(alice):
    bad_first = [make_row(1, phone="none"), make_row(2)]
    job = check_job(make_job(make_csv(bad_first, headers=None), owner=alice))
    assert job.status == Status.MAPPING

    response = ask(logged_in_client(alice), job, has_header_row=False)

    assert response.status_code == 202
    apply_all_batches(check_job(job).pk)
    assert get_outcomes(job) == {1: "failed", 2: "created"}
    assert (job.detected_columns["header_row"], job.detected_columns["headers"]) == (0, [])


def test_without_a_header_row_columns_are_told_by_number(alice):
    bad_first = [[p[4], *p[:4]] for p in (make_row(1, phone="none"), make_row(2))]
    job = check_job(make_job(make_csv(bad_first, headers=None)))
    order = {"phone": 0, "shipping_mark": 1, "first_name": 2, "last_name": 3, "email": 4}

    lifecycle.check_again(job.pk, {"has_header_row": False, "column_mapping": order})
    apply_all_batches(check_job(job).pk)

    assert get_outcomes(job) == {1: "failed", 2: "created"}
    assert Customer.objects.get().phone == make_row(2)[4]
    assert not SavedMapping.objects.exists()  # There is nothing to know such a file by.


def test_rows_that_name_their_columns_themselves_go_on_doing_so():
    rows = [dict(zip(ODD, values, strict=True)) for values in PEOPLE]
    job = check_job(make_job("\n".join(map(json.dumps, rows)).encode()))
    assert (job.status, job.detected_format["format"]) == (Status.MAPPING, "jsonl")

    lifecycle.check_again(job.pk, {"has_header_row": False, "column_mapping": ANSWER})

    assert check_job(job).status == Status.RUNNING
    assert job.detected_columns["headers"] == ODD


# --- When, and who -----------------------------------------------------------


@pytest.mark.parametrize("status", ["QUEUED", "CHECKING", "RUNNING", "PAUSED", "UNDOING"])
def test_only_what_waits_for_someone_can_be_changed(alice, status):
    job = make_moved_job(alice, Status(status))

    response = ask(logged_in_client(alice), job, on_duplicate="update")

    assert response.status_code == 409
    assert response.json()["message"] == f"An import that is {status} can no longer be changed."
    assert ImportJob.objects.get(pk=job.pk).on_duplicate == "skip"


def test_who_controls_all_may_answer_and_it_is_remembered_for_the_owner(alice, root):
    job = odd_job(owner=alice)

    assert ask(logged_in_client(root), job, column_mapping=ANSWER).status_code == 202

    check_job(job)
    assert SavedMapping.objects.get().owner == alice


@pytest.mark.parametrize("rival", [lifecycle.start, lifecycle.cancel])
def test_of_a_change_and_a_start_or_cancel_at_once_one_comes_first(alice, rival):
    job = check_job(make_job(make_csv(PEOPLE), owner=alice, check_first=True))

    def won(call, *arguments):
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
                won, lifecycle.check_again, job.pk, {"column_mapping": {"email": None}}
            )
            other = threads.submit(won, rival, job.pk)
            wait_until_blocked(2)
        changed, moved = change.result(timeout=10), other.result(timeout=10)

    job.refresh_from_db()
    assert (job.column_mapping is not None) == (changed == Status.QUEUED)
    if rival is lifecycle.start:
        assert {changed, moved} in ({"QUEUED", None}, {"RUNNING", None})
        assert job.status == changed or moved
    else:  # What has been changed can still be cancelled.
        assert (moved, job.status) == ("CANCELLED", "CANCELLED")


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
def test_a_change_that_makes_no_sense_is_400(alice, body, code):
    job = odd_job(owner=alice)

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
        ({"sheet": "A", "column_mapping": ANSWER}, ("column_mapping", "read_first")),
    ],
)
def test_a_change_that_makes_no_sense_is_told_why(alice, changes, problem):
    (error,) = ask(logged_in_client(alice), odd_job(owner=alice), **changes).json()["errors"]

    assert (error["field"], error["code"]) == problem
    assert error["message"].endswith(".")


def test_a_change_larger_than_any_is_refused_unread(alice):
    job = odd_job(owner=alice)
    assert ask(logged_in_client(alice), job, sheet="s" * 70_000).status_code == 413


# --- Other options -----------------------------------------------------------


def test_another_policy_is_another_judgement(alice):
    for n in (1, 2):
        mark, first, last, _, phone = make_row(n)
        Customer.objects.create(shipping_mark=mark, first_name=first, last_name=last, phone=phone)
    job = check_job(make_job(make_csv(PEOPLE), owner=alice, check_first=True))
    assert (get_counts(job)["skipped"], job.to_update) == (2, 0)

    assert job.progress_percent == 33

    ask(logged_in_client(alice), job, on_duplicate="update")

    assert get_counts(job)["skipped"] == 0
    assert (job.progress_percent, job.checked_at) == (0, None)
    check_job(job)
    assert (job.status, get_counts(job)["skipped"], job.to_update) == ("READY", 0, 2)


def test_how_the_file_is_read_can_be_changed_one_thing_at_a_time(alice):
    job = told(odd_job(owner=alice, read_options={"sheet": "A", "delimiter": ","}))
    ImportJob.objects.filter(pk=job.pk).update(status=Status.READY)

    ask(logged_in_client(alice), job, sheet="", encoding="utf-8")

    job.refresh_from_db()
    assert job.read_options == {"encoding": "utf-8", "delimiter": ","}
    assert (job.detected_columns, job.detected_format, job.column_mapping) == (None, None, None)


def test_a_file_that_was_read_wrongly_is_read_anew(alice):
    content = make_csv(PEOPLE).replace(b",", b";")
    job = check_job(make_job(content, owner=alice, read_options={"delimiter": ","}))
    assert job.status == Status.MAPPING

    ask(logged_in_client(alice), job, delimiter="")

    assert (check_job(job).status, job.detected_format["delimiter"]) == (Status.RUNNING, ";")


def test_a_wrong_word_on_how_to_read_a_file_can_be_taken_back(alice):
    job = check_job(make_job(make_csv(PEOPLE), owner=alice, read_options={"encoding": "utf-16"}))
    assert (job.status, job.error_code) == (Status.FAILED, "wrong_encoding")
    client = logged_in_client(alice)

    refused = ask(client, job, column_mapping={"phone": 4})
    answer = ask(client, job, encoding="")

    assert (refused.status_code, refused.json()["code"]) == (409, "not_allowed")
    assert "say first how it is to be read" in refused.json()["message"]
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    assert apply_all_batches(check_job(job).pk).status == Status.COMPLETE


def test_a_file_that_failed_of_something_else_stays_so(alice):
    job = check_job(make_job(b"%PDF-1.7", owner=alice, read_options={"encoding": "utf-8"}))

    response = ask(logged_in_client(alice), job, encoding="")

    assert (job.error_code, response.status_code) == ("pdf_file", 409)


# --- Remembered --------------------------------------------------------------


def test_an_answer_is_remembered_for_the_next_file_with_these_headers(alice, bob):
    told(odd_job(owner=alice))
    alike = [" CODE ", "first  name", "LAST-NAME", "Email", "number:"]

    job = odd_job([make_row(3)], alike, owner=alice)
    of_another = odd_job([make_row(3)], alike, owner=bob)
    in_other_order = odd_job([make_row(3)], alike[::-1], owner=alice)

    assert (job.status, job.detected_columns["from_saved_mapping"]) == (Status.RUNNING, True)
    assert sent(logged_in_client(alice), job)["columns"]["from_saved_mapping"] is True
    assert {of_another.status, in_other_order.status} == {Status.MAPPING}
    assert of_another.detected_columns["from_saved_mapping"] is False


def test_what_is_remembered_can_be_overruled_and_the_last_word_counts(alice):
    told(odd_job(owner=alice))
    job = odd_job([make_row(3)], owner=alice, check_first=True)
    assert job.detected_columns["positions"]["email"] == 3

    told(job, email=None)

    assert (job.status, job.detected_columns["from_saved_mapping"]) == (Status.READY, False)
    last = odd_job([make_row(4)], owner=alice)
    assert (
        last.detected_columns["from_saved_mapping"],
        "email" in last.detected_columns["positions"],
    ) == (True, False)
    assert SavedMapping.objects.count() == 1


def test_a_mapping_that_led_to_no_row_is_not_remembered(alice):
    job = told(odd_job(owner=alice), shipping_mark=4, phone=0)  # The wrong way round.

    assert (job.status, get_counts(job)["failed"]) == (Status.COMPLETE, 2)
    assert not SavedMapping.objects.exists()


def test_what_was_recognised_without_a_person_is_not_remembered(alice):
    assert check_job(make_job(make_csv(PEOPLE), owner=alice)).status == Status.RUNNING
    assert not SavedMapping.objects.exists()


def test_what_is_remembered_is_of_no_use_once_the_importer_needs_more(alice):
    told(odd_job(headers=HEADERS, owner=alice, check_first=True), email=None)
    SavedMapping.objects.update(positions={"shipping_mark": 0, "gone": 1})

    job = odd_job([make_row(3)], HEADERS, owner=alice)

    assert (job.status, job.detected_columns["from_saved_mapping"]) == (Status.RUNNING, False)


def test_a_field_that_the_importer_has_no_more_is_left_out(alice):
    job = told(odd_job(owner=alice))
    SavedMapping.objects.update(positions={**job.column_mapping, "gone": 1})

    assert "gone" not in odd_job([make_row(3)], owner=alice).detected_columns["positions"]


def test_headers_of_signs_alone_are_told_apart(alice):
    signs = ["#", *HEADERS[1:4], "☎"]
    told(odd_job(headers=signs, owner=alice), shipping_mark="#", phone="☎")

    turned = ["☎", *HEADERS[1:4], "#"]

    assert odd_job([make_row(3)], turned, owner=alice).status == Status.MAPPING


def test_without_an_owner_nothing_is_remembered(alice):
    job = odd_job(owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(owner=None)

    assert told(job).status == Status.RUNNING
    assert not SavedMapping.objects.exists()
