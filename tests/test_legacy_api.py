"""The earlier contract, as a script written only from its description uses it."""

import json
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework_simplejwt.tokens import AccessToken

from customers.api.legacy import views
from customers.models import Customer
from imports import inline, lifecycle
from imports.models import ImportJob
from imports.pipeline import file_checker
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.factories import apply_all_batches, check_job, make_csv, make_row
from tests.factories import make_job as make_file_job
from tests.processes import worker
from tests.streams import make_job, transition, wait_until
from tests.test_downloads import read_content

pytestmark = pytest.mark.django_db(transaction=True)

LEGACY_ROOT = "/api/auth/customers/excel/"
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


def make_customer(n, **changed):
    return dict(zip(FIELDS, make_row(n), strict=True)) | changed


def upload(client, content, name="customers.csv"):
    return client.post(f"{LEGACY_ROOT}upload/", {"file": SimpleUploadedFile(name, content)})


def post(client, call, body, **headers):
    body = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(
        f"{LEGACY_ROOT}{call}/", body, content_type="application/json", headers=headers
    )


def create_async(client, body, **headers):
    return post(client, "bulk-create-async", body, **headers)


def status_of(client, task_id):
    return client.get(f"{LEGACY_ROOT}bulk-create/status/{task_id}/")


def refused(response):
    error = response.json()
    assert error.keys() == {"code", "message", "errors"}
    assert error["message"].endswith(".")
    return response.status_code, error["code"]


def marks():
    return set(Customer.objects.values_list("shipping_mark", flat=True))


# --- The flow ----------------------------------------------------------------


def test_upload_then_post_the_candidates_back_then_poll(alice, client):
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {AccessToken.for_user(alice)}"
    Customer.objects.create(**make_customer(9))
    rows = [
        make_row(1),
        make_row(2),
        make_row(1, last="Twice"),
        make_row(3, phone="12"),
        make_row(9),
    ]

    checked = upload(client, make_csv(rows)).json()

    assert checked["valid_candidates"] == [make_customer(1), make_customer(2)]
    assert [(row["row"], row["errors"][0]["code"]) for row in checked["repeats"]] == [
        (4, "repeats_row")
    ]
    assert [row["row"] for row in checked["refused"]] == [5]
    assert checked["refused"][0]["errors"][0]["column"] == "phone"
    assert checked["refused"][0]["reason"].startswith("Phone: ")
    assert checked["clashes"][0]["reason"].startswith("Shipping mark: ")
    assert [(row["row"], row["errors"][0]["code"]) for row in checked["clashes"]] == [(6, "exists")]
    assert checked["counts"] == {"total": 5, "valid": 2, "refused": 1, "repeats": 1, "clashes": 1}
    assert ImportJob.objects.get(pk=checked["upload_id"]).status == Status.READY

    with worker():
        task = create_async(client, {"customers": checked["valid_candidates"]}).json()
        assert (task["status"], task["total_customers"]) == ("QUEUED", 2)
        assert task["estimated_time_seconds"] >= 1
        wait_until(lambda: status_of(client, task["task_id"]).json()["status"] == "COMPLETE", 30)

    done = status_of(client, task["task_id"]).json()
    assert (done["created"], done["failed"], done["errors"], done["progress"]) == (2, 0, [], 100)
    assert done["finished_at"] > done["created_at"]
    assert marks() == {"MARK 1", "MARK 2", "MARK 9"}


def test_a_reason_names_each_column_as_the_file_and_the_report_do(alice):
    headers = ["Marque", "Prénom", "Surname", "E-mail", "Tel."]
    client, rows = logged_in_client(alice), [make_row(1, last="", phone="12"), make_row(2)]

    checked = upload(client, make_csv(rows, headers)).json()

    (refused,) = checked["refused"]
    last, phone = (error["message"] for error in refused["errors"])
    assert refused["reason"] == f"Surname: {last} Tel.: {phone}"
    report = client.get(f"/api/imports/{checked['upload_id']}/failed-rows.csv")
    assert refused["reason"] in read_content(report).decode()


def test_a_checked_upload_is_started_by_its_id_and_asked_for_twice_it_starts_once(alice):
    client = logged_in_client(alice)
    upload_id = upload(client, make_csv([make_row(1), make_row(2)])).json()["upload_id"]

    first, again = (create_async(client, {"upload_id": upload_id}) for _ in range(2))

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert (first.json()["task_id"], first.json()["total_customers"]) == (upload_id, 2)
    assert apply_all_batches(upload_id).created == 2
    assert create_async(client, {"upload_id": upload_id}).status_code == 202


def test_a_number_of_any_size_is_judged_and_refuses_only_its_row(alice):
    huge = '{"customers": [{"shipping_mark": 59901983908883879218380800, "phone": 1e400}, %s]}'
    done = post(logged_in_client(alice), "bulk-create", huge % json.dumps(make_customer(1))).json()

    assert (done["status"], done["created"], done["failed"]) == ("COMPLETE", 1, 1)
    shown = {error["column"]: error["value"] for error in done["errors"]}
    assert shown["phone"] == "1E+400"
    assert marks() == {"MARK 1"}


def test_a_list_is_judged_by_the_position_of_each_customer(alice):
    client = logged_in_client(alice)
    sent = [make_customer(1), make_customer(2, phone=True), {"first_name": "Ama"}, make_customer(4)]

    task = create_async(client, {"customers": sent}).json()["task_id"]
    job = apply_all_batches(check_job(ImportJob.objects.get(pk=task)).pk)

    assert (job.created, job.failed, job.total) == (2, 2, 4)
    errors = status_of(client, task).json()["errors"]
    assert {error["row"] for error in errors} == {2, 3}
    assert {"row", "column", "code", "message", "value"} <= errors[0].keys()


def test_names_are_matched_as_headers_are_and_the_first_customer_may_lack_some(alice):
    client = logged_in_client(alice)
    lacking = make_customer(1)
    del lacking["email"]
    sent = [lacking, {"Mark": "X 2", "forename": "A", "Surname": "B", "E-Mail": "a@b.co", "tel": 1}]

    task = create_async(client, {"customers": sent, "other": [{"x": [1]}]}).json()["task_id"]
    job = check_job(ImportJob.objects.get(pk=task))

    assert job.detected_format["format"] == "jsonl"
    assert "email" in job.detected_columns["positions"]


LONG = "\\ud83d\\ude00" * 32_767  # One cell, as long as can be.


@pytest.mark.parametrize("call", ["bulk-create", "bulk-create-async"])
@pytest.mark.parametrize(
    ("customers", "problem"),
    [
        # The parser would end the whole process.
        ('{"a": %s, "b": 1e400}' % ("9" * 5_000), "more than 1,000 digits"),
        ('{"a": %s}' % ("9" * 4_301), "more than 1,000 digits"),
        ("{" + " " * 65_000 + '"a": %s}' % ("9" * 1_001), "more than 1,000 digits"),
        ('{"a": -1e99999999999999999999, "b": 1e400}', "larger or smaller than"),
        ('{"a": 1e-99999999999999999999}', "larger or smaller than"),
        # It would take minutes.
        ('{"a": "%s"}' % ("\\u0041" * 70_000), "without a quotation mark"),
        ('{"a": "%s"}' % ('\\"' * 300_000), "without a quotation mark"),
        ('{"ab": "%s"}' % ('\\"' * 300_000), "without a quotation mark"),
        ('{"a": "%s"}' % ("\\\\" * 65_536 + "a" * 400_000), "without a quotation mark"),
        ("{" + " " * 500_000 + '"a": 1}', "without a quotation mark"),
    ],
)
def test_what_would_hold_up_everyone_is_not_parsed(alice, call, customers, problem):
    response = post(logged_in_client(alice), call, '{"customers": [' + customers + "]}")

    assert refused(response) == (400, "malformed")
    assert problem in response.json()["message"]
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize(
    "customers",
    ['{"a": %s}' % ("9" * 1_000), f'{{"a": "{LONG}", "b": "{LONG}"}}', '{"a": "\\\\", "b": 1}'],
)
def test_what_a_cell_can_hold_is_taken(alice, customers):
    response = create_async(logged_in_client(alice), '{"customers": [' + customers + "]}")
    assert response.status_code == 202


def test_a_list_of_too_many_bytes_is_refused_unread(alice, settings):
    settings.EXCEL_MAX_LIST_BYTES = 100
    body = {"customers": [make_customer(n) for n in range(9)]}
    for call in ("bulk-create", "bulk-create-async"):
        answer = post(logged_in_client(alice), call, body)
        assert refused(answer) == (413, "too_large")
        assert "larger than 100 bytes" in answer.json()["message"]


# --- The synchronous call ----------------------------------------------------


def test_a_short_list_is_done_when_the_call_returns_without_any_worker(alice):
    client = logged_in_client(alice)
    response = post(
        client, "bulk-create", {"customers": [make_customer(1), make_customer(2, phone="1")]}
    )

    done = response.json()
    assert (response.status_code, done["status"]) == (200, "COMPLETE")
    assert (done["created"], done["failed"], len(done["errors"])) == (1, 1, 1)
    assert marks() == {"MARK 1"}


def test_a_longer_list_is_queued_instead(alice, settings):
    settings.EXCEL_SYNC_MAX_CUSTOMERS = 1
    response = post(
        logged_in_client(alice), "bulk-create", {"customers": [make_customer(1), make_customer(2)]}
    )
    assert (response.status_code, response.json()["status"]) == (202, "QUEUED")


def test_the_same_key_again_is_the_same_import(alice):
    client, body = logged_in_client(alice), {"customers": [make_customer(1)]}
    for call in ("bulk-create", "bulk-create-async"):
        key = {"Idempotency-Key": call}
        first, again = (post(client, call, body, **key).json()["task_id"] for _ in range(2))
        assert first == again
        other = post(client, call, {"customers": [make_customer(2)]}, **key)
        assert refused(other) == (422, "key_reused")
    long = {"Idempotency-Key": "x" * 256}
    assert refused(create_async(client, body, **long)) == (400, "invalid")


def test_whoever_waits_too_long_for_a_place_is_asked_to_come_again(alice, settings, monkeypatch):
    monkeypatch.setattr(inline, "MAX_WAIT_FOR_SLOT_SECONDS", 0.01)
    client = logged_in_client(alice)
    with inline.limited_slot(views.CHECK_SLOTS), inline.limited_slot(views.CHECK_SLOTS):
        response = upload(client, make_csv([make_row(1)]))
    assert refused(response) == (503, "unavailable")
    assert response["Retry-After"]
    assert not ImportJob.objects.exists()


# --- Status ------------------------------------------------------------------

WORDS = {
    "QUEUED": {Status.QUEUED},
    "RUNNING": {Status.CHECKING, Status.READY, Status.RUNNING, Status.PAUSED, Status.UNDOING},
    "COMPLETE": {Status.COMPLETE, Status.UNDONE},
    "FAILED": {Status.FAILED, Status.CANCELLED, Status.MAPPING},
}
ENDS = {
    Status.COMPLETE: Status.RUNNING,
    Status.CANCELLED: Status.RUNNING,
    Status.FAILED: Status.RUNNING,
    Status.UNDONE: Status.UNDOING,
}


@pytest.mark.parametrize("status", Status)
def test_an_old_client_gets_one_of_the_four_words_it_knows(alice, status):
    job = make_job(alice, ENDS.get(status, status))
    if status in ENDS:
        job = transition(job, status, error_code="no_rows" if status == Status.FAILED else None)

    answer = status_of(logged_in_client(alice), job.pk).json()

    assert status in WORDS[answer["status"]]
    assert ("error" in answer) == (answer["status"] == "FAILED")
    assert answer.get("error", True)


def test_what_is_not_there_or_not_yours_is_404(alice, bob):
    job = make_job(alice, Status.READY)
    for client, task in ((logged_in_client(bob), job.pk), (logged_in_client(alice), uuid4())):
        assert refused(status_of(client, task)) == (404, "not_found")
        assert refused(create_async(client, {"upload_id": str(task)})) == (404, "not_found")
    assert refused(status_of(logged_in_client(alice), "7")) == (404, "not_found")


def test_strangers_and_those_who_may_not_import_are_refused(client, eve):
    for who, expected in ((client, (401, "not_authenticated")), (logged_in_client(eve), None)):
        expected = expected or (403, "permission_denied")
        assert refused(upload(who, make_csv([make_row(1)]))) == expected
        for call in ("bulk-create", "bulk-create-async"):
            assert refused(post(who, call, {"customers": [make_customer(1)]})) == expected


# --- What cannot be taken ----------------------------------------------------


def test_a_file_too_large_to_wait_for_names_the_other_way(alice, settings):
    client = logged_in_client(alice)
    settings.EXCEL_UPLOAD_MAX_ROWS = 1
    response = upload(client, make_csv([make_row(1), make_row(2)]))
    assert refused(response) == (413, "too_large")
    assert "POST /api/imports/" in response.json()["message"]
    assert ImportJob.objects.get().status == Status.CANCELLED
    settings.EXCEL_READER = settings.EXCEL_READER | {"rows": 2}
    assert refused(upload(client, make_csv([make_row(1), make_row(2)]))) == (413, "too_large")
    settings.EXCEL_UPLOAD_MAX_BYTES = 10
    assert refused(upload(client, make_csv([make_row(1)]))) == (413, "too_large")
    assert ImportJob.objects.count() == 2


def test_a_file_that_cannot_be_checked_says_why(alice):
    client = logged_in_client(alice)
    assert refused(upload(client, b"PK\x03\x04 no workbook")) == (400, "damaged_file")
    assert refused(upload(client, b"a,b\n1,2\n")) == (400, "missing_columns")
    assert refused(upload(client, make_csv([]))) == (400, "no_rows")


def test_a_list_that_is_too_long_is_refused_before_its_end(alice, settings):
    settings.EXCEL_MAX_CUSTOMERS = 2
    body = json.dumps({"customers": [make_customer(n) for n in range(3)]})[:-2] + "… never read"
    assert refused(create_async(logged_in_client(alice), body)) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "JSON object"),
        ("{}", "Send either"),
        ('{"customers": []}', "empty"),
        ('{"customers": {}}', "one list"),
        ('{"customers": [1]}', "customers[0]"),
        ('{"customers": [{"a": 1}], "upload_id": [1]}', "upload_id"),
        ('{"customers": [{}, []]}', "customers[1]"),
        ('{"customers": [{"phone": ["1"]}]}', "customers[0].phone"),
        ('{"customers": [{"a": 1}], "customers": [{"a": 1}]}', "one list"),
        ('{"customers": [{"a": 1}], "upload_id": "x"}', "Send either"),
        ('{"customers": [{"a": 1}]} x', "cannot be read"),
        ('{"customers": [{"a": 1}', "cannot be read"),
        ("", "Send either"),
        (b"\xff\xfe", "cannot be read"),
        ("[" * 100_000, "JSON object"),
        ('{"x":' + "[" * 100_000, "cannot be read"),
        (json.dumps({"customers": [{str(n): n for n in range(16_385)}]}), "too many fields"),
    ],
)
def test_a_body_that_is_no_list_of_customers_says_what_is_wrong(alice, body, said):
    response = create_async(logged_in_client(alice), body)
    assert response.status_code == 400
    assert said in response.json()["message"]
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize("name", ["\x00", "\ud800", "a" * 32_768, "1" * 5_000, "=1+1"])
def test_values_that_cannot_be_stored_cost_their_row_only(alice, name):
    sent = {"customers": [make_customer(1), make_customer(2, last_name=name)]}
    done = post(logged_in_client(alice), "bulk-create", sent)
    assert done.status_code == 200
    assert done.json()["status"] in {"COMPLETE", "FAILED"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_no_body_is_an_error_of_ours(alice):
    client = logged_in_client(alice)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.fixed_dictionaries({}, optional={"customers": JSON, "upload_id": JSON, "x": JSON}))
    def answer(body):
        for call in ("bulk-create", "bulk-create-async"):
            assert post(client, call, body).status_code < 500

    answer()


def test_a_worker_that_was_quicker_is_waited_for(alice, monkeypatch):
    quicker = lifecycle.upload

    def upload_and_check(*args, **options):
        return check_job(quicker(*args, **options))

    monkeypatch.setattr(lifecycle, "upload", upload_and_check)
    checked = upload(logged_in_client(alice), make_csv([make_row(1)]))
    assert checked.json()["counts"]["valid"] == 1


def test_whoever_still_checks_is_waited_for(alice, monkeypatch):
    taken = file_checker.acquire_lease(make_file_job(make_csv([make_row(1)]), owner=alice).pk)

    def worker_ends(seconds):
        file_checker.release_lease(taken)
        check_job(taken)

    monkeypatch.setattr(inline.time, "sleep", worker_ends)
    assert inline.check_now(taken.pk, views.get_reader_limits()).status == Status.RUNNING


def test_what_else_is_sent_is_passed_over(alice):
    body = {
        "more": {"customers": 5, "upload_id": [{}]},
        "customers": [make_customer(1)],
        "x": [[1]],
    }
    assert create_async(logged_in_client(alice), body).status_code == 202


def test_whoever_has_lost_the_right_cannot_start_what_was_checked(alice):
    client = logged_in_client(alice)
    upload_id = upload(client, make_csv([make_row(1)])).json()["upload_id"]
    lifecycle.cancel(upload_id)
    assert refused(create_async(client, {"upload_id": upload_id})) == (409, "not_allowed")
    nobody = logged_in_client(create_user("visitor"))
    assert refused(create_async(nobody, {"upload_id": upload_id})) == (403, "permission_denied")
