"""The earlier contract, as a client uses it that was written from its description."""

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


def get_status(client, task_id):
    return client.get(f"{LEGACY_ROOT}bulk-create/status/{task_id}/")


def get_error(response):
    error = response.json()
    assert error.keys() == {"code", "message", "params", "errors"}
    assert error["message"].endswith(".")
    return response.status_code, error["code"]


def list_marks():
    return set(Customer.objects.values_list("shipping_mark", flat=True))


# --- The flow ----------------------------------------------------------------


def test_client_uploads_posts_the_candidates_and_polls(alice, client):
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
        wait_until(lambda: get_status(client, task["task_id"]).json()["status"] == "COMPLETE", 30)

    done = get_status(client, task["task_id"]).json()
    assert (done["created"], done["failed"], done["errors"], done["progress"]) == (2, 0, [], 100)
    assert done["finished_at"] > done["created_at"]
    assert list_marks() == {"MARK 1", "MARK 2", "MARK 9"}


def test_reason_uses_the_column_labels_of_the_failed_rows_file(alice):
    headers = ["Marque", "Prénom", "Surname", "E-mail", "Tel."]
    client, rows = logged_in_client(alice), [make_row(1, last="", phone="12"), make_row(2)]

    checked = upload(client, make_csv(rows, headers)).json()

    (failed_row,) = checked["refused"]
    last, phone = (error["message"] for error in failed_row["errors"])
    assert failed_row["reason"] == f"Surname: {last} Tel.: {phone}"
    report = client.get(f"/api/imports/{checked['upload_id']}/failed-rows.csv")
    assert failed_row["reason"] in read_content(report).decode()


def test_upload_that_is_started_twice_starts_once(alice):
    client = logged_in_client(alice)
    upload_id = upload(client, make_csv([make_row(1), make_row(2)])).json()["upload_id"]

    first, second = (create_async(client, {"upload_id": upload_id}) for _ in range(2))

    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert (first.json()["task_id"], first.json()["total_customers"]) == (upload_id, 2)
    assert apply_all_batches(upload_id).created == 2
    assert create_async(client, {"upload_id": upload_id}).status_code == 202


def test_huge_number_fails_only_its_row(alice):
    huge = '{"customers": [{"shipping_mark": 59901983908883879218380800, "phone": 1e400}, %s]}'
    done = post(logged_in_client(alice), "bulk-create", huge % json.dumps(make_customer(1))).json()

    assert (done["status"], done["created"], done["failed"]) == ("COMPLETE", 1, 1)
    values = {error["column"]: error["value"] for error in done["errors"]}
    assert values["phone"] == "1E+400"
    assert list_marks() == {"MARK 1"}


def test_row_number_is_the_position_in_the_list(alice):
    client = logged_in_client(alice)
    sent = [make_customer(1), make_customer(2, phone=True), {"first_name": "Ama"}, make_customer(4)]

    task = create_async(client, {"customers": sent}).json()["task_id"]
    job = apply_all_batches(check_job(ImportJob.objects.get(pk=task)).pk)

    assert (job.created, job.failed, job.total) == (2, 2, 4)
    errors = get_status(client, task).json()["errors"]
    assert {error["row"] for error in errors} == {2, 3}
    assert {"row", "column", "code", "message", "value"} <= errors[0].keys()


def test_keys_are_matched_like_headers_and_may_be_absent(alice):
    client = logged_in_client(alice)
    lacking = make_customer(1)
    del lacking["email"]
    sent = [lacking, {"Mark": "X 2", "forename": "A", "Surname": "B", "E-Mail": "a@b.co", "tel": 1}]

    task = create_async(client, {"customers": sent, "other": [{"x": [1]}]}).json()["task_id"]
    job = check_job(ImportJob.objects.get(pk=task))

    assert job.detected_format["format"] == "jsonl"
    assert "email" in job.detected_columns["positions"]


LONG = "\\ud83d\\ude00" * 32_767  # The longest cell.


@pytest.mark.parametrize("call", ["bulk-create", "bulk-create-async"])
@pytest.mark.parametrize(
    ("customers", "problem"),
    [
        # The parser would end the process.
        ('{"a": %s, "b": 1e400}' % ("9" * 5_000), "more than 1,000 digits"),
        ('{"a": %s}' % ("9" * 4_301), "more than 1,000 digits"),
        ("{" + " " * 65_000 + '"a": %s}' % ("9" * 1_001), "more than 1,000 digits"),
        ('{"a": -1e99999999999999999999, "b": 1e400}', "larger or smaller than"),
        ('{"a": 1e-99999999999999999999}', "larger or smaller than"),
        # The parser would take minutes.
        ('{"a": "%s"}' % ("\\u0041" * 70_000), "without a quotation mark"),
        ('{"a": "%s"}' % ('\\"' * 300_000), "without a quotation mark"),
        ('{"ab": "%s"}' % ('\\"' * 300_000), "without a quotation mark"),
        ('{"a": "%s"}' % ("\\\\" * 65_536 + "a" * 400_000), "without a quotation mark"),
        ("{" + " " * 500_000 + '"a": 1}', "without a quotation mark"),
    ],
)
def test_numbers_and_strings_that_harm_the_parser_are_rejected(alice, call, customers, problem):
    response = post(logged_in_client(alice), call, '{"customers": [' + customers + "]}")

    assert get_error(response) == (400, "malformed")
    assert problem in response.json()["message"]
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize(
    "customers",
    ['{"a": %s}' % ("9" * 1_000), f'{{"a": "{LONG}", "b": "{LONG}"}}', '{"a": "\\\\", "b": 1}'],
)
def test_longest_numbers_and_strings_are_accepted(alice, customers):
    response = create_async(logged_in_client(alice), '{"customers": [' + customers + "]}")
    assert response.status_code == 202


def test_list_with_too_many_bytes_is_rejected_unread(alice, settings):
    settings.EXCEL_MAX_LIST_BYTES = 100
    body = {"customers": [make_customer(n) for n in range(9)]}
    for call in ("bulk-create", "bulk-create-async"):
        answer = post(logged_in_client(alice), call, body)
        assert get_error(answer) == (413, "too_large")
        assert "larger than 100 bytes" in answer.json()["message"]


# --- The synchronous call ----------------------------------------------------


def test_short_list_is_imported_without_a_worker(alice):
    client = logged_in_client(alice)
    response = post(
        client, "bulk-create", {"customers": [make_customer(1), make_customer(2, phone="1")]}
    )

    done = response.json()
    assert (response.status_code, done["status"]) == (200, "COMPLETE")
    assert (done["created"], done["failed"], len(done["errors"])) == (1, 1, 1)
    assert list_marks() == {"MARK 1"}


def test_long_list_is_queued(alice, settings):
    settings.EXCEL_SYNC_MAX_CUSTOMERS = 1
    response = post(
        logged_in_client(alice), "bulk-create", {"customers": [make_customer(1), make_customer(2)]}
    )
    assert (response.status_code, response.json()["status"]) == (202, "QUEUED")


def test_repeated_idempotency_key_returns_the_same_import(alice):
    client, body = logged_in_client(alice), {"customers": [make_customer(1)]}
    for call in ("bulk-create", "bulk-create-async"):
        key = {"Idempotency-Key": call}
        first, second = (post(client, call, body, **key).json()["task_id"] for _ in range(2))
        assert first == second
        other = post(client, call, {"customers": [make_customer(2)]}, **key)
        assert get_error(other) == (422, "key_reused")
    long = {"Idempotency-Key": "x" * 256}
    assert get_error(create_async(client, body, **long)) == (400, "invalid")


def test_request_without_a_free_slot_is_503(alice, settings, monkeypatch):
    monkeypatch.setattr(inline, "MAX_WAIT_FOR_SLOT_SECONDS", 0.01)
    client = logged_in_client(alice)
    with inline.acquire_slot(views.CHECK_SLOTS), inline.acquire_slot(views.CHECK_SLOTS):
        response = upload(client, make_csv([make_row(1)]))
    assert get_error(response) == (503, "unavailable")
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
def test_every_status_maps_to_a_task_status(alice, status):
    job = make_job(alice, ENDS.get(status, status))
    if status in ENDS:
        job = transition(job, status, error_code="no_rows" if status == Status.FAILED else None)

    answer = get_status(logged_in_client(alice), job.pk).json()

    assert status in WORDS[answer["status"]]
    assert ("error" in answer) == (answer["status"] == "FAILED")
    assert answer.get("error", True)


def test_missing_and_invisible_tasks_are_404(alice, bob):
    job = make_job(alice, Status.READY)
    for client, task in ((logged_in_client(bob), job.pk), (logged_in_client(alice), uuid4())):
        assert get_error(get_status(client, task)) == (404, "not_found")
        assert get_error(create_async(client, {"upload_id": str(task)})) == (404, "not_found")
    assert get_error(get_status(logged_in_client(alice), "7")) == (404, "not_found")


def test_calls_need_a_login_and_the_permission_to_import(client, eve):
    for caller, expected in ((client, (401, "not_authenticated")), (logged_in_client(eve), None)):
        expected = expected or (403, "permission_denied")
        assert get_error(upload(caller, make_csv([make_row(1)]))) == expected
        for call in ("bulk-create", "bulk-create-async"):
            assert get_error(post(caller, call, {"customers": [make_customer(1)]})) == expected


# --- Errors ------------------------------------------------------------------


def test_file_that_is_too_large_is_413_and_names_the_rest_api(alice, settings):
    client = logged_in_client(alice)
    settings.EXCEL_UPLOAD_MAX_ROWS = 1
    response = upload(client, make_csv([make_row(1), make_row(2)]))
    assert get_error(response) == (413, "too_large")
    assert "POST /api/imports/" in response.json()["message"]
    assert ImportJob.objects.get().status == Status.CANCELLED
    settings.EXCEL_READER_LIMITS = settings.EXCEL_READER_LIMITS | {"rows": 2}
    assert get_error(upload(client, make_csv([make_row(1), make_row(2)]))) == (413, "too_large")
    settings.EXCEL_UPLOAD_MAX_BYTES = 10
    assert get_error(upload(client, make_csv([make_row(1)]))) == (413, "too_large")
    assert ImportJob.objects.count() == 2


def test_file_that_cannot_be_checked_is_400_with_its_error_code(alice):
    client = logged_in_client(alice)
    assert get_error(upload(client, b"PK\x03\x04 no workbook")) == (400, "damaged_file")
    assert get_error(upload(client, b"a,b\n1,2\n")) == (400, "missing_columns")
    assert get_error(upload(client, make_csv([]))) == (400, "no_rows")


def test_list_with_too_many_customers_is_rejected_before_its_end(alice, settings):
    settings.EXCEL_MAX_CUSTOMERS = 2
    body = json.dumps({"customers": [make_customer(n) for n in range(3)]})[:-2] + "… never read"
    assert get_error(create_async(logged_in_client(alice), body)) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "reason"),
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
def test_invalid_body_is_400_with_the_reason(alice, body, reason):
    response = create_async(logged_in_client(alice), body)
    assert response.status_code == 400
    assert reason in response.json()["message"]
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize("name", ["\x00", "\ud800", "a" * 32_768, "1" * 5_000, "=1+1"])
def test_value_that_cannot_be_stored_fails_only_its_row(alice, name):
    sent = {"customers": [make_customer(1), make_customer(2, last_name=name)]}
    done = post(logged_in_client(alice), "bulk-create", sent)
    assert done.status_code == 200
    assert done.json()["status"] in {"COMPLETE", "FAILED"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_no_body_causes_a_server_error(alice):
    client = logged_in_client(alice)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.fixed_dictionaries({}, optional={"customers": JSON, "upload_id": JSON, "x": JSON}))
    def check_status_codes(body):
        for call in ("bulk-create", "bulk-create-async"):
            assert post(client, call, body).status_code < 500

    check_status_codes()


def test_import_that_a_worker_has_checked_is_returned(alice, monkeypatch):
    original_upload = lifecycle.upload

    def upload_and_check(*args, **options):
        return check_job(original_upload(*args, **options))

    monkeypatch.setattr(lifecycle, "upload", upload_and_check)
    checked = upload(logged_in_client(alice), make_csv([make_row(1)]))
    assert checked.json()["counts"]["valid"] == 1


def test_check_waits_for_a_worker_that_checks(alice, monkeypatch):
    leased = file_checker.acquire_lease(make_file_job(make_csv([make_row(1)]), owner=alice).pk)

    def worker_ends(seconds):
        file_checker.release_lease(leased)
        check_job(leased)

    monkeypatch.setattr(inline.time, "sleep", worker_ends)
    assert inline.check_import_inline(leased.pk, views.get_reader_limits()).status == Status.RUNNING


def test_unknown_keys_are_ignored(alice):
    body = {
        "more": {"customers": 5, "upload_id": [{}]},
        "customers": [make_customer(1)],
        "x": [[1]],
    }
    assert create_async(logged_in_client(alice), body).status_code == 202


def test_cancelled_upload_and_missing_permission_prevent_a_start(alice):
    client = logged_in_client(alice)
    upload_id = upload(client, make_csv([make_row(1)])).json()["upload_id"]
    lifecycle.cancel(upload_id)
    assert get_error(create_async(client, {"upload_id": upload_id})) == (409, "not_allowed")
    nobody = logged_in_client(create_user("visitor"))
    assert get_error(create_async(nobody, {"upload_id": upload_id})) == (403, "permission_denied")
