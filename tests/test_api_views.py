"""The views of the REST API: their responses, and that a failed call stores nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from time import monotonic

import pytest
from asgiref.sync import sync_to_async
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DataError, connections
from django.test import AsyncClient, Client
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.exceptions import Throttled
from rest_framework.test import APIRequestFactory

from imports import importer as importers
from imports import lifecycle, progress, snapshots
from imports.api.base import ApiView
from imports.models import IdempotencyKey, ImportJob, StoredChunk, StoredFile
from imports.pipeline import batch_applier
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client, make_username
from tests.database import connection
from tests.factories import check_job, get_outcomes, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db

CONTENT = make_csv([make_row(1), make_row(2)])
UNREACHABLE_REDIS_URL = "redis://127.0.0.1:1/0"


def upload_file(client, content=CONTENT, *, name="customers.csv", key=None, **fields):
    headers = {"Idempotency-Key": key} if key else {}
    data = {"importer": "customers", "file": SimpleUploadedFile(name, content), **fields}
    return client.post("/api/imports/", data, headers=headers)


def job_url(job, path=""):
    return f"/api/imports/{job.pk}/{path}"


def get_error(response):
    """Return the HTTP status and the error code, after a check of the error body."""
    error = response.json()
    assert error.keys() == {"code", "message", "params", "errors"}
    assert error["message"].endswith(".")
    return response.status_code, error["code"]


def count_stored_objects():
    """Return the numbers of jobs, files, chunks of files and idempotency keys."""
    return (
        ImportJob.objects.count(),
        StoredFile.objects.count(),
        StoredChunk.objects.count(),
        IdempotencyKey.objects.count(),
    )


NO_STORED_OBJECTS = (0, 0, 0, 0)


# --- Upload ------------------------------------------------------------------


def test_an_upload_returns_202_with_the_url_of_the_import(alice):
    client = logged_in_client(alice)

    response = upload_file(client, on_duplicate="update", check_first="true")

    job = ImportJob.objects.get()
    assert response.status_code == 202
    assert response["Location"] == job_url(job)
    assert client.get(response["Location"]).json() == response.json()
    assert response.json().items() >= snapshots.build_snapshot(job).items()
    assert (job.owner, job.importer, job.status) == (alice, "customers", Status.QUEUED)
    assert (job.on_duplicate, job.check_first) == ("update", True)
    assert job.file.open().read() == CONTENT


def test_omitted_upload_fields_have_defaults(alice):
    created = upload_file(logged_in_client(alice)).json()

    assert (created["on_duplicate"], created["check_first"]) == ("skip", False)


@pytest.mark.parametrize("tab", ["\t", "tab", "\\t"])
def test_an_upload_may_set_read_options(alice, tab):
    fields = {"sheet": " Kunden ", "encoding": "CP1250", "delimiter": tab}

    created = upload_file(logged_in_client(alice), **fields).json()

    options = {"sheet": "Kunden", "encoding": "CP1250", "delimiter": "\t"}
    assert created["read_options"] == ImportJob.objects.get().read_options == options


def test_empty_read_options_mean_automatic_detection(alice):
    created = upload_file(logged_in_client(alice), sheet="", delimiter="", check_first="on").json()

    assert (created["read_options"], created["check_first"]) == ({}, True)


def test_the_only_importer_need_not_be_named(alice, monkeypatch):
    only = {"customers": importers.get_importer("customers")}
    monkeypatch.setattr(importers, "_registered", only)
    file = SimpleUploadedFile("customers.csv", CONTENT)

    response = logged_in_client(alice).post("/api/imports/", {"file": file})

    assert (response.status_code, response.json()["importer"]) == (202, "customers")


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"importer": ""}, "importer", "required"),
        ({"importer": "nobody"}, "importer", "invalid_choice"),
        ({"on_duplicate": "maybe"}, "on_duplicate", "invalid_choice"),
        ({"empty_cells": "maybe"}, "empty_cells", "invalid_choice"),
        ({"check_first": "perhaps"}, "check_first", "invalid"),
        ({"check_frist": "true"}, "check_frist", "unknown_field"),
        ({"encoding": "klingon"}, "encoding", "invalid"),
        ({"encoding": "rot13"}, "encoding", "invalid"),
        ({"encoding": "utf-7"}, "encoding", "invalid"),
        ({"encoding": "../os"}, "encoding", "invalid"),
        ({"delimiter": ";;"}, "delimiter", "invalid"),
        ({"delimiter": "a"}, "delimiter", "invalid"),
        ({"delimiter": "\n"}, "delimiter", "invalid"),
        ({"sheet": "s" * 256}, "sheet", "max_length"),
        ({"key": "k" * 256}, "idempotency_key", "max_length"),
        ({"key": "clé"}, "idempotency_key", "invalid"),
        ({"key": "a\0b"}, "idempotency_key", "null_characters_not_allowed"),
    ],
)
def test_an_invalid_field_is_named_and_nothing_is_stored(alice, fields, field, code):
    response = upload_file(logged_in_client(alice), **fields)

    assert get_error(response) == (400, "invalid")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [
        (field, code)
    ]
    assert count_stored_objects() == NO_STORED_OBJECTS


def test_the_csrf_token_of_a_form_is_no_unknown_field(alice):
    assert upload_file(logged_in_client(alice), csrfmiddlewaretoken="token").status_code == 202


def test_an_upload_without_a_file_stores_nothing(alice):
    client = logged_in_client(alice)

    responses = [
        client.post("/api/imports/", {"importer": "customers"}),
        client.post("/api/imports/", {"importer": "customers", "file": "only text"}),
        client.post("/api/imports/"),
    ]

    assert {get_error(response) for response in responses} == {(400, "no_file")}
    assert count_stored_objects() == NO_STORED_OBJECTS


def test_an_empty_file_is_invalid(alice):
    assert get_error(upload_file(logged_in_client(alice), b"")) == (400, "empty_file")
    assert count_stored_objects() == NO_STORED_OBJECTS


def test_several_files_in_one_upload_are_invalid(alice):
    files = [SimpleUploadedFile(name, CONTENT) for name in ("a.csv", "b.csv")]

    assert get_error(upload_file(logged_in_client(alice), file=files)) == (400, "several_files")
    assert count_stored_objects() == NO_STORED_OBJECTS


def test_an_oversized_upload_is_rejected_before_its_body_is_read(alice, settings):
    settings.IMPORTS_MAX_UPLOAD_BYTES = 1024
    body = UnreadableBody()

    response = logged_in_client(alice).generic(
        "POST",
        "/api/imports/",
        content_type="multipart/form-data; boundary=b",
        **{"CONTENT_LENGTH": "70000", "wsgi.input": body},
    )

    assert get_error(response) == (413, "too_large")
    assert response.json()["message"].startswith("The file is larger than 1.0 KB.")
    assert not body.is_read
    assert count_stored_objects() == NO_STORED_OBJECTS


class UnreadableBody:
    """A request body that records whether it has been read."""

    is_read = False

    def read(self, *args):
        self.is_read = True
        return b""

    readline = read


def test_the_size_limit_includes_its_last_byte(alice, settings):
    client, settings.IMPORTS_MAX_UPLOAD_BYTES = logged_in_client(alice), len(CONTENT)

    assert get_error(upload_file(client, CONTENT + b"\n")) == (413, "too_large")
    assert count_stored_objects() == NO_STORED_OBJECTS
    assert upload_file(client).status_code == 202


@pytest.mark.parametrize("length", ["10", "999999", "-5", "many"])
@pytest.mark.django_db(transaction=True)
async def test_a_wrong_content_length_does_not_bypass_the_size_limit(length, settings):
    settings.IMPORTS_MAX_UPLOAD_BYTES = 100_000
    client = AsyncClient()
    await client.aforce_login(await sync_to_async(create_user)("alice", "add_importjob"))
    file = SimpleUploadedFile("a.csv", b"x" * 200_000)

    response = await client.post(
        "/api/imports/",
        {"importer": "customers", "file": file},
        headers={"content-length": length},
    )
    stored_objects = await sync_to_async(count_stored_objects)()
    await sync_to_async(connections.close_all)()

    assert response.status_code in {400, 413}
    assert stored_objects == NO_STORED_OBJECTS


def test_a_chunked_request_body_needs_a_content_length(alice):
    response = logged_in_client(alice).post(
        "/api/imports/", headers={"Transfer-Encoding": "chunked"}
    )

    assert get_error(response) == (411, "length_required")


def test_a_truncated_request_body_is_malformed(alice):
    response = logged_in_client(alice).generic(
        "POST", "/api/imports/", b"--b\r\n", content_type="multipart/form-data; boundary="
    )

    assert get_error(response) == (400, "malformed")
    assert count_stored_objects() == NO_STORED_OBJECTS


@pytest.mark.parametrize(
    ("file_name", "sanitized_name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ama\\customers.xlsx", "customers.xlsx"),
        ("a\tb\x00c\u202efdp.csv", "abcfdp.csv"),
        ("kunden ä ɛ 客户.csv", "kunden ä ɛ 客户.csv"),
        ("<script>alert(1)</script>.csv", "script>.csv"),
        ("a" * 300 + ".csv", "a" * 251 + ".csv"),
    ],
)
def test_a_hostile_file_name_is_sanitized(alice, file_name, sanitized_name):
    header = f'Content-Disposition: form-data; name="file"; filename="{file_name}"'
    body = (
        b'--b\r\nContent-Disposition: form-data; name="importer"\r\n\r\ncustomers\r\n'
        b"--b\r\n" + header.encode() + b"\r\n\r\n" + CONTENT + b"\r\n--b--\r\n"
    )

    response = logged_in_client(alice).generic(
        "POST", "/api/imports/", body, content_type="multipart/form-data; boundary=b"
    )

    job = ImportJob.objects.get()
    assert (response.status_code, response.json()["file_name"]) == (202, sanitized_name)
    assert job.file.name == f"imports/{job.pk}"  # The uploaded name is never used as a path.


def test_the_content_type_of_the_file_is_ignored(alice):
    file = SimpleUploadedFile("a.csv", CONTENT, content_type="application/x-evil")

    assert upload_file(logged_in_client(alice), file=file).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_an_upload_without_redis_is_accepted_and_queued(alice, settings, monkeypatch):
    make_redis_unreachable(settings, monkeypatch)
    started_at = monotonic()

    response = upload_file(logged_in_client(alice))

    assert monotonic() - started_at < 2
    assert (response.status_code, response.json()["status"]) == (202, Status.QUEUED)
    assert ImportJob.objects.get().status == Status.QUEUED


def make_redis_unreachable(settings, monkeypatch):
    """Configure real clients, with the timeouts of production, for an unreachable address."""
    settings.IMPORTS_REDIS_URL = UNREACHABLE_REDIS_URL
    timeouts = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}
    client = Redis.from_url(UNREACHABLE_REDIS_URL, retry=Retry(NoBackoff(), 0), **timeouts)
    monkeypatch.setattr(progress, "_redis", lambda: client)
    monkeypatch.setattr(progress, "_paused_until", 0.0)


# --- Idempotency keys --------------------------------------------------------


def test_a_repeated_idempotency_key_returns_the_same_import(alice):
    client = logged_in_client(alice)

    first, second = upload_file(client, key="monday"), upload_file(client, key="monday")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert count_stored_objects() == (1, 1, 1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"content": CONTENT + b"x"},
        {"on_duplicate": "update"},
        {"empty_cells": "clear"},
        {"delimiter": ";"},
    ],
)
def test_an_idempotency_key_of_a_different_upload_is_an_error(alice, changes):
    client = logged_in_client(alice)
    upload_file(client, key="monday")

    assert get_error(upload_file(client, key="monday", **changes)) == (422, "key_reused")
    assert count_stored_objects() == (1, 1, 1, 1)


def test_idempotency_keys_belong_to_one_user(alice, bob):
    first, second = (
        upload_file(logged_in_client(user), key="monday").json() for user in (alice, bob)
    )

    assert first["id"] != second["id"]


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_uploads_with_one_key_create_one_import(alice):
    barrier = Barrier(20)

    def post(number):
        client = logged_in_client(alice)
        barrier.wait(timeout=30)
        try:
            return upload_file(client, key="monday").json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        ids = set(threads.map(post, range(20)))

    assert ids == {str(ImportJob.objects.get().pk)}
    assert count_stored_objects() == (1, 1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_failed_upload_stores_nothing_and_releases_its_key(alice, monkeypatch):
    client = logged_in_client(alice)
    with monkeypatch.context() as patch:
        # PostgreSQL itself rejects the last statement of the upload.
        patch.setattr(ImportJob._meta.get_field("file_name"), "column", "no_such_column")
        response = upload_file(client, key="monday")

    assert get_error(response) == (500, "internal_error")
    assert count_stored_objects() == NO_STORED_OBJECTS
    assert upload_file(client, key="monday").status_code == 202


# --- Permissions -------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_anonymous_request_needs_authentication(method):
    response = getattr(Client(), method)("/api/imports/")

    assert get_error(response) == (401, "not_authenticated")
    assert response["WWW-Authenticate"]


def test_a_user_without_permission_cannot_upload(eve):
    assert get_error(upload_file(logged_in_client(eve))) == (403, "permission_denied")
    assert count_stored_objects() == NO_STORED_OBJECTS


def test_a_session_without_csrf_token_cannot_upload(alice):
    client = logged_in_client(alice, enforce_csrf_checks=True)

    assert get_error(upload_file(client)) == (403, "permission_denied")
    assert count_stored_objects() == NO_STORED_OBJECTS


def test_a_session_with_csrf_token_can_upload(alice):
    client = logged_in_client(alice, enforce_csrf_checks=True)
    client.cookies["csrftoken"] = token = "t" * 32

    response = client.post(
        "/api/imports/",
        {"importer": "customers", "file": SimpleUploadedFile("a.csv", CONTENT)},
        headers={"X-CSRFToken": token},
    )

    assert response.status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ""), ("get", "rows/"), ("get", "problems/"), ("post", "start/"), ("post", "cancel/")],
)
def test_an_import_of_another_user_is_not_found(alice, bob, method, path):
    job = make_job(CONTENT, owner=alice)

    response = getattr(logged_in_client(bob), method)(job_url(job, path))

    assert get_error(response) == (404, "not_found")
    job.refresh_from_db()
    assert job.status == Status.QUEUED


def test_a_user_who_may_view_all_imports_cannot_cancel_them(alice, eve):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(eve)

    assert client.get(job_url(job)).json()["owner"] == make_username("alice")
    assert len(client.get("/api/imports/").json()["results"]) == 1
    assert get_error(client.post(job_url(job, "cancel/"))) == (403, "permission_denied")
    job.refresh_from_db()
    assert job.status == Status.QUEUED


def test_a_superuser_may_cancel_any_import(alice, root):
    job = make_job(CONTENT, owner=alice)

    assert logged_in_client(root).post(job_url(job, "cancel/")).json()["status"] == Status.CANCELLED


# --- Read imports ------------------------------------------------------------


def test_the_list_contains_own_imports_newest_first(alice, bob):
    own_jobs = [make_job(CONTENT, owner=alice) for _ in range(3)]
    make_job(CONTENT, owner=bob)

    page = logged_in_client(alice).get("/api/imports/").json()

    assert [job["id"] for job in page["results"]] == [str(job.pk) for job in reversed(own_jobs)]
    assert page["next"] is page["previous"] is None


def test_the_list_can_be_filtered_by_status(alice):
    queued, cancelled = make_job(CONTENT, owner=alice), make_job(CONTENT, owner=alice)
    lifecycle.cancel(cancelled.pk)
    client = logged_in_client(alice)

    def list_ids(query):
        return {job["id"] for job in client.get(f"/api/imports/?{query}").json()["results"]}

    assert list_ids("status=CANCELLED") == {str(cancelled.pk)}
    assert list_ids("status=CANCELLED&status=QUEUED") == {str(cancelled.pk), str(queued.pk)}
    assert get_error(client.get("/api/imports/?status=LOST")) == (400, "invalid")


def test_pages_of_imports_with_equal_creation_times_contain_each_import_once(alice):
    for _ in range(60):
        make_job(b"x", owner=alice)
    ImportJob.objects.update(created_at="2026-01-01T00:00Z")
    client = logged_in_client(alice)

    first = client.get("/api/imports/").json()
    pages = [first["results"], client.get(first["next"]).json()["results"]]
    ids = [job["id"] for page in pages for job in page]

    assert [len(page) for page in pages] == [50, 10]
    assert ids == sorted(ids, reverse=True)


def test_the_number_of_queries_does_not_depend_on_the_length_of_the_list(
    alice, django_assert_max_num_queries
):
    for _ in range(20):
        make_job(b"x", owner=alice)

    client = logged_in_client(alice)

    with django_assert_max_num_queries(9):
        assert len(client.get("/api/imports/").json()["results"]) == 20


def test_snapshots_of_several_queued_imports_read_the_queue_once(
    alice, django_assert_max_num_queries
):
    jobs = [make_job(b"x", owner=alice) for _ in range(5)]

    with django_assert_max_num_queries(3):
        found = snapshots.read_snapshots([job.pk for job in jobs])

    assert {snapshot["live"]["queue_position"] for snapshot in found} == {1, 2, 3, 4, 5}


def test_an_unchanged_import_returns_304(alice):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(alice)
    first = client.get(job_url(job))

    unchanged = client.get(job_url(job), headers={"If-None-Match": first["ETag"]})
    lifecycle.cancel(job.pk)
    changed = client.get(job_url(job), headers={"If-None-Match": first["ETag"]})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (changed.status_code, changed.json()["status"]) == (200, Status.CANCELLED)
    assert set(first["Cache-Control"].split(", ")) == {"private", "no-cache"}


# --- Start and cancel --------------------------------------------------------


def test_a_ready_import_can_be_started(alice):
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))

    response = logged_in_client(alice).post(job_url(job, "start/"))

    assert (response.status_code, response.json()["status"]) == (202, Status.RUNNING)
    assert response["Location"] == job_url(job)


def test_an_action_that_the_status_forbids_is_a_conflict(alice):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(alice)

    assert get_error(client.post(job_url(job, "start/"))) == (409, "not_allowed")
    assert client.post(job_url(job, "cancel/")).status_code == 202
    assert get_error(client.post(job_url(job, "cancel/"))) == (409, "not_allowed")


# --- Rows and problems -------------------------------------------------------

MIXED_CONTENT = make_csv(
    [
        make_row(1),
        make_row(2, phone="12"),  # Row 3 of the file.
        make_row(3),
        make_row(1, mark="OTHER", email="other@example.com"),  # Row 5 has the phone of row 2.
        make_row(4, phone="34", first="", last=""),
    ]
)


def test_the_rows_list_contains_the_outcome_of_every_row(alice):
    job = run_import(MIXED_CONTENT, owner=alice)

    rows = logged_in_client(alice).get(job_url(job, "rows/")).json()["results"]

    assert {row["row"]: row["outcome"] for row in rows} == get_outcomes(job)
    assert [row["row"] for row in rows] == [2, 3, 4, 5, 6]
    assert [row["record"] is not None for row in rows] == [True, False, True, False, False]


def test_error_messages_are_english_in_any_locale(alice):
    job = run_import(MIXED_CONTENT, owner=alice)

    response = logged_in_client(alice).get(
        job_url(job, "rows/?outcome=failed"), headers={"Accept-Language": "fr"}
    )

    refused = response.json()["results"]
    assert [row["row"] for row in refused] == [3, 5, 6]
    assert refused[0]["errors"] == [
        {
            "row": 3,
            "field": "phone",
            "code": "phone_too_short",
            "params": {
                "region": "GH (+233)",
                "national": "023 123 4567",
                "international": "+233 23 123 4567",
            },
            "value": "12",
            "message": "This is not a phone number we can call. It has too few digits for a number "
            "in GH (+233). Add the missing digits or the area code. "
            "Write it like 023 123 4567 or +233 23 123 4567.",
        }
    ]
    assert refused[1]["errors"][0]["message"].startswith("This row is a duplicate of row 2 of")
    assert response["Content-Language"] == "en"


def test_rows_of_unapplied_batches_have_no_outcome(alice, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 2
    batch_size = 50
    job = check_job(make_job(make_csv([make_row(n) for n in range(2 * batch_size)]), owner=alice))
    batch_applier.apply_batch(job.pk, 1)
    client = logged_in_client(alice)

    rows = client.get(job_url(job, "rows/?page_size=1000")).json()["results"]
    created = client.get(job_url(job, "rows/?outcome=created")).json()

    assert {row["row"]: row["outcome"] for row in rows} == get_outcomes(job)
    assert [row["row"] for row in rows if row["outcome"] is None] == list(range(52, 102))
    assert not any(row["record"] for row in rows if row["outcome"] is None)
    assert [row["row"] for row in created["results"]] == list(range(2, 52))
    assert created["next"] is None


@pytest.mark.parametrize("query", ["", "outcome=created&"])
def test_following_next_links_returns_every_row_once(alice, query):
    job = run_import(make_csv([make_row(n) for n in range(7)]), owner=alice)
    client = logged_in_client(alice)

    pages, next_url = [], job_url(job, f"rows/?{query}page_size=3")
    while next_url:
        page = client.get(next_url).json()
        pages.append([row["row"] for row in page["results"]])
        next_url = page["next"]

    assert pages == [[2, 3, 4], [5, 6, 7], [8]]


@pytest.mark.parametrize(
    "query", ["outcome=lost", "cursor=x", "page_size=x", "page_size=0", "page_size=1001", "limit=5"]
)
def test_invalid_query_parameters_of_rows_are_an_error(alice, query):
    job = make_job(CONTENT, owner=alice)

    assert get_error(logged_in_client(alice).get(job_url(job, f"rows/?{query}"))) == (
        400,
        "invalid",
    )


def test_problems_are_grouped_by_cause_and_sorted_by_frequency(alice):
    job = run_import(MIXED_CONTENT, owner=alice)

    found = logged_in_client(alice).get(job_url(job, "problems/")).json()

    assert all(problem["is_count_exact"] for problem in found["results"])
    assert [
        (problem["field"], problem["code"], problem["count"], problem["rows"])
        for problem in found["results"]
    ] == [
        ("phone", "phone_too_short", 2, [3, 6]),
        ("first_name", "required", 1, [6]),
        ("last_name", "required", 1, [6]),
        ("phone", "repeats_row", 1, [5]),
    ]
    for problem in found["results"]:
        example = problem["example"]
        assert (example["row"], example["field"], example["code"]) == (
            problem["rows"][0],
            problem["field"],
            problem["code"],
        )
    assert found["results"][3]["example"]["message"].startswith(
        "This row is a duplicate of row 2 of the same file."
    )


@pytest.mark.django_db(transaction=True)
def test_skipped_rows_are_a_separate_problem(alice):
    run_import(CONTENT, owner=alice)
    job = run_import(CONTENT, owner=alice)

    (problem,) = logged_in_client(alice).get(job_url(job, "problems/")).json()["results"]

    assert (problem["outcome"], problem["code"], problem["count"]) == ("skipped", "exists", 2)


def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(
    alice, django_assert_max_num_queries
):
    job = run_import(make_csv([make_row(n, phone="1") for n in range(300)]), owner=alice)
    client = logged_in_client(alice)

    with django_assert_max_num_queries(6):
        assert len(client.get(job_url(job, "rows/?page_size=300")).json()["results"]) == 300
    with django_assert_max_num_queries(6):
        (problem,) = client.get(job_url(job, "problems/")).json()["results"]
    assert (problem["count"], problem["rows"]) == (300, [2, 3, 4, 5, 6])


# --- Errors ------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["customers/x/", "imports", "imports/7/", "imports/7/rows/", "no/such/place"]
)
def test_an_unknown_url_returns_an_error_body(path):
    assert get_error(Client().get(f"/api/{path}")) == (404, "not_found")
    assert get_error(Client().post(f"/api/{path}")) == (404, "not_found")


def test_unsupported_methods_and_media_types_return_an_error_body(alice):
    client = logged_in_client(alice)

    assert get_error(client.delete("/api/imports/")) == (405, "method_not_allowed")
    unsupported = client.post("/api/imports/", json.dumps({}), content_type="application/json")
    assert get_error(unsupported) == (415, "unsupported_media_type")


@pytest.mark.django_db(transaction=True)
def test_without_the_database_every_call_returns_503_and_no_internal_details(alice, caplog):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(alice)

    with unreachable_database():
        responses = [client.get(job_url(job)), client.get("/api/imports/"), upload_file(client)]

    for response in responses:
        assert get_error(response) == (503, "unavailable")
        assert int(response["Retry-After"]) > 0
        assert "127.0.0.1" not in response.content.decode()
    assert "127.0.0.1" not in caplog.text


@contextmanager
def unreachable_database():
    connection.close()
    host, port = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": "1"}
    try:
        yield
    finally:
        connection.settings_dict |= {"HOST": host, "PORT": port}


def test_a_throttled_request_returns_an_error_body_with_retry_after():
    response = get_response_to(Throttled(wait=7))

    assert get_error(response) == (429, "throttled")
    assert response["Retry-After"] == "7"


def test_an_unexpected_error_discloses_nothing_and_logs_no_values(caplog):
    phone = "+233244123456"

    responses = [
        get_response_to(KeyError(phone)),
        get_response_to(DataError(f"Key (phone)=({phone}) exists")),
    ]

    assert {get_error(response) for response in responses} == {(500, "internal_error")}
    assert not any(phone in response.content.decode() for response in responses)
    assert "DataError" in caplog.text
    assert "raise error" in caplog.text  # The log contains the traceback.
    assert phone not in caplog.text


def get_response_to(error):
    class FailingView(ApiView):
        authentication_classes = permission_classes = ()

        def get(self, request):
            raise error

    response = FailingView.as_view()(APIRequestFactory().get("/"))
    response.render()
    response.json = lambda: json.loads(response.content)
    return response
