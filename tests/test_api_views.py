"""REST as a program sees it: what it answers, and what a refused call leaves behind."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from time import monotonic

import dramatiq
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DataError, connection, connections
from django.test import AsyncClient, Client
from dramatiq.brokers.redis import RedisBroker
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.exceptions import Throttled
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from config.env import add_redis_timeouts
from imports import importer as importers
from imports import lifecycle, progress, snapshots
from imports.models import IdempotencyKey, ImportJob, StoredChunk, StoredFile
from imports.pipeline import batch_applier
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.factories import check_job, get_outcomes, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db

CONTENT = make_csv([make_row(1), make_row(2)])
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def upload_file(client, content=CONTENT, *, name="customers.csv", key=None, **fields):
    headers = {"Idempotency-Key": key} if key else {}
    sent = {"importer": "customers", "file": SimpleUploadedFile(name, content), **fields}
    return client.post("/api/imports/", sent, headers=headers)


def address(job, rest=""):
    return f"/api/imports/{job.pk}/{rest}"


def error_of(response):
    """Status and code, after a look at the shape."""
    error = response.json()
    assert error.keys() == {"code", "message", "errors"}
    assert error["message"].endswith(".")
    return response.status_code, error["code"]


def stored():
    return (
        ImportJob.objects.count(),
        StoredFile.objects.count(),
        StoredChunk.objects.count(),
        IdempotencyKey.objects.count(),
    )


NOTHING = (0, 0, 0, 0)


# --- Upload ------------------------------------------------------------------


def test_an_upload_is_accepted_and_says_where_to_ask(alice):
    client = logged_in_client(alice)

    response = upload_file(client, on_duplicate="update", check_first="true")

    job = ImportJob.objects.get()
    assert response.status_code == 202
    assert response["Location"] == address(job)
    assert client.get(response["Location"]).json() == response.json()
    assert response.json().items() >= snapshots.build_snapshot(job).items()
    assert (job.owner, job.importer, job.status) == (alice, "customers", Status.QUEUED)
    assert (job.on_duplicate, job.check_first) == ("update", True)
    assert job.file.open().read() == CONTENT


def test_what_is_not_said_has_a_default(alice):
    sent = upload_file(logged_in_client(alice)).json()

    assert (sent["on_duplicate"], sent["check_first"]) == ("skip", False)


@pytest.mark.parametrize("tab", ["\t", "tab", "\\t"])
def test_how_the_file_is_to_be_read_can_be_said(alice, tab):
    said = {"sheet": " Kunden ", "encoding": "CP1250", "delimiter": tab}

    sent = upload_file(logged_in_client(alice), **said).json()

    options = {"sheet": "Kunden", "encoding": "CP1250", "delimiter": "\t"}
    assert sent["read_options"] == ImportJob.objects.get().read_options == options


def test_what_is_said_by_nothing_is_guessed(alice):
    sent = upload_file(logged_in_client(alice), sheet="", delimiter="", check_first="on").json()

    assert (sent["read_options"], sent["check_first"]) == ({}, True)


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
def test_a_wrong_field_is_named_and_nothing_is_stored(alice, fields, field, code):
    response = upload_file(logged_in_client(alice), **fields)

    assert error_of(response) == (400, "invalid")
    assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [(field, code)]
    assert stored() == NOTHING


def test_a_pages_own_form_brings_its_csrf_token(alice):
    assert upload_file(logged_in_client(alice), csrfmiddlewaretoken="token").status_code == 202


def test_without_a_file_nothing_is_stored(alice):
    client = logged_in_client(alice)

    responses = [
        client.post("/api/imports/", {"importer": "customers"}),
        client.post("/api/imports/", {"importer": "customers", "file": "only text"}),
        client.post("/api/imports/"),
    ]

    assert {error_of(response) for response in responses} == {(400, "no_file")}
    assert stored() == NOTHING


def test_an_empty_file_is_refused(alice):
    assert error_of(upload_file(logged_in_client(alice), b"")) == (400, "empty_file")
    assert stored() == NOTHING


def test_two_files_at_once_are_refused(alice):
    files = [SimpleUploadedFile(name, CONTENT) for name in ("a.csv", "b.csv")]

    assert error_of(upload_file(logged_in_client(alice), file=files)) == (400, "several_files")
    assert stored() == NOTHING


def test_too_large_is_said_before_a_byte_is_read(alice, settings):
    settings.IMPORT_MAX_UPLOAD_BYTES = 1024
    body = Unread()

    response = logged_in_client(alice).generic(
        "POST",
        "/api/imports/",
        content_type="multipart/form-data; boundary=b",
        **{"CONTENT_LENGTH": "70000", "wsgi.input": body},
    )

    assert error_of(response) == (413, "too_large")
    assert response.json()["message"].startswith("The file is larger than 1.0 KB.")
    assert not body.was_read
    assert stored() == NOTHING


class Unread:
    was_read = False

    def read(self, *args):
        self.was_read = True
        return b""

    readline = read


def test_a_file_just_above_the_limit_is_refused_and_one_just_below_is_not(alice, settings):
    client, settings.IMPORT_MAX_UPLOAD_BYTES = logged_in_client(alice), len(CONTENT)

    assert error_of(upload_file(client, CONTENT + b"\n")) == (413, "too_large")
    assert stored() == NOTHING
    assert upload_file(client).status_code == 202


@pytest.mark.parametrize("length", ["10", "999999", "-5", "many"])
@pytest.mark.django_db(transaction=True)
async def test_a_lying_content_length_gets_no_large_file_in(length, settings):
    settings.IMPORT_MAX_UPLOAD_BYTES = 100_000
    client = AsyncClient()
    await client.aforce_login(await sync_to_async(create_user)("alice", "add_importjob"))
    file = SimpleUploadedFile("a.csv", b"x" * 200_000)

    response = await client.post(
        "/api/imports/",
        {"importer": "customers", "file": file},
        headers={"content-length": length},
    )
    left = await sync_to_async(stored)()
    await sync_to_async(connections.close_all)()

    assert response.status_code in {400, 413}
    assert left == NOTHING


def test_a_body_of_unknown_length_is_told_so(alice):
    response = logged_in_client(alice).post(
        "/api/imports/", headers={"Transfer-Encoding": "chunked"}
    )

    assert error_of(response) == (411, "length_required")


def test_a_body_that_breaks_off_is_refused(alice):
    response = logged_in_client(alice).generic(
        "POST", "/api/imports/", b"--b\r\n", content_type="multipart/form-data; boundary="
    )

    assert error_of(response) == (400, "malformed")
    assert stored() == NOTHING


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ama\\customers.xlsx", "customers.xlsx"),
        ("a\tb\x00c\u202efdp.csv", "abcfdp.csv"),
        ("kunden ä ɛ 客户.csv", "kunden ä ɛ 客户.csv"),
        ("<script>alert(1)</script>.csv", "script>.csv"),
        ("a" * 300 + ".csv", "a" * 251 + ".csv"),
    ],
)
def test_a_hostile_file_name_is_shown_without_its_sting(alice, sent, shown):
    line = f'Content-Disposition: form-data; name="file"; filename="{sent}"'
    body = (
        b'--b\r\nContent-Disposition: form-data; name="importer"\r\n\r\ncustomers\r\n'
        b"--b\r\n" + line.encode() + b"\r\n\r\n" + CONTENT + b"\r\n--b--\r\n"
    )

    response = logged_in_client(alice).generic(
        "POST", "/api/imports/", body, content_type="multipart/form-data; boundary=b"
    )

    job = ImportJob.objects.get()
    assert (response.status_code, response.json()["file_name"]) == (202, shown)
    assert job.file.name == str(job.pk)  # Storage never hears the name.


def test_the_content_type_of_the_file_is_not_believed(alice):
    file = SimpleUploadedFile("a.csv", CONTENT, content_type="application/x-evil")

    assert upload_file(logged_in_client(alice), file=file).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_while_redis_is_away_an_upload_is_answered_and_waits(alice, monkeypatch):
    take_redis_away(monkeypatch)
    began = monotonic()

    response = upload_file(logged_in_client(alice))

    assert monotonic() - began < 2
    assert (response.status_code, response.json()["status"]) == (202, Status.QUEUED)
    assert ImportJob.objects.get().status == Status.QUEUED


def take_redis_away(monkeypatch):
    """Real clients, with the real patience, of an address where nobody listens."""
    options = django_settings.DRAMATIQ_BROKER["OPTIONS"]
    url = add_redis_timeouts(NOBODY_LISTENS, 1.5)
    broker = RedisBroker(middleware=[], **{**options, "url": url})
    monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
    patience = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}
    client = Redis.from_url(NOBODY_LISTENS, retry=Retry(NoBackoff(), 0), **patience)
    monkeypatch.setattr(progress, "_redis", lambda: client)
    monkeypatch.setattr(progress, "_paused_until", 0.0)


# --- The same key again ------------------------------------------------------


def test_the_same_key_again_returns_the_same_import(alice):
    client = logged_in_client(alice)

    first, again = upload_file(client, key="monday"), upload_file(client, key="monday")

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert stored() == (1, 1, 1, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"content": CONTENT + b"x"},
        {"on_duplicate": "update"},
        {"empty_cells": "clear"},
        {"delimiter": ";"},
    ],
)
def test_the_same_key_for_another_upload_is_refused(alice, other):
    client = logged_in_client(alice)
    upload_file(client, key="monday")

    assert error_of(upload_file(client, key="monday", **other)) == (422, "key_reused")
    assert stored() == (1, 1, 1, 1)


def test_another_users_key_is_not_mine(alice, bob):
    hers, his = (
        upload_file(logged_in_client(person), key="monday").json() for person in (alice, bob)
    )

    assert hers["id"] != his["id"]


@pytest.mark.django_db(transaction=True)
def test_twenty_posts_at_once_with_one_key_make_one_import(alice):
    together = Barrier(20)

    def post(number):
        client = logged_in_client(alice)
        together.wait(timeout=30)
        try:
            return upload_file(client, key="monday").json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        ids = set(threads.map(post, range(20)))

    assert ids == {str(ImportJob.objects.get().pk)}
    assert stored() == (1, 1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_what_fails_halfway_leaves_nothing_and_frees_the_key(alice, monkeypatch):
    client = logged_in_client(alice)
    with monkeypatch.context() as broken:
        # The last statement of an upload, refused by PostgreSQL itself.
        broken.setattr(ImportJob._meta.get_field("file_name"), "column", "no_such_column")
        response = upload_file(client, key="monday")

    assert error_of(response) == (500, "internal_error")
    assert stored() == NOTHING
    assert upload_file(client, key="monday").status_code == 202


# --- Who may -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_is_asked_to_sign_in(method):
    response = getattr(Client(), method)("/api/imports/")

    assert error_of(response) == (401, "not_authenticated")
    assert response["WWW-Authenticate"]


def test_who_may_not_import_cannot_upload(eve):
    assert error_of(upload_file(logged_in_client(eve))) == (403, "permission_denied")
    assert stored() == NOTHING


def test_a_session_without_csrf_token_is_refused(alice):
    client = logged_in_client(alice, enforce_csrf_checks=True)

    assert error_of(upload_file(client)) == (403, "permission_denied")
    assert stored() == NOTHING


def test_a_session_with_csrf_token_is_not(alice):
    client = logged_in_client(alice, enforce_csrf_checks=True)
    client.cookies["csrftoken"] = token = "t" * 32

    response = client.post(
        "/api/imports/",
        {"importer": "customers", "file": SimpleUploadedFile("a.csv", CONTENT)},
        headers={"X-CSRFToken": token},
    )

    assert response.status_code == 202


@pytest.mark.parametrize(
    ("method", "rest"),
    [("get", ""), ("get", "rows/"), ("get", "problems/"), ("post", "start/"), ("post", "cancel/")],
)
def test_somebody_elses_import_is_not_there(alice, bob, method, rest):
    job = make_job(CONTENT, owner=alice)

    response = getattr(logged_in_client(bob), method)(address(job, rest))

    assert error_of(response) == (404, "not_found")
    job.refresh_from_db()
    assert job.status == Status.QUEUED


def test_who_may_see_all_sees_it_and_cannot_stop_it(alice, eve):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(eve)

    assert client.get(address(job)).json()["owner"] == "alice"
    assert len(client.get("/api/imports/").json()["results"]) == 1
    assert error_of(client.post(address(job, "cancel/"))) == (403, "permission_denied")
    job.refresh_from_db()
    assert job.status == Status.QUEUED


def test_the_superuser_may_stop_it(alice, root):
    job = make_job(CONTENT, owner=alice)

    assert logged_in_client(root).post(address(job, "cancel/")).json()["status"] == Status.CANCELLED


# --- Reading -----------------------------------------------------------------


def test_the_list_holds_ones_own_newest_first(alice, bob):
    mine = [make_job(CONTENT, owner=alice) for _ in range(3)]
    make_job(CONTENT, owner=bob)

    listed = logged_in_client(alice).get("/api/imports/").json()

    assert [job["id"] for job in listed["results"]] == [str(job.pk) for job in reversed(mine)]
    assert listed["next"] is listed["previous"] is None


def test_the_list_can_be_asked_for_a_status(alice):
    waiting, stopped = make_job(CONTENT, owner=alice), make_job(CONTENT, owner=alice)
    lifecycle.cancel(stopped.pk)
    client = logged_in_client(alice)

    def listed(query):
        return {job["id"] for job in client.get(f"/api/imports/?{query}").json()["results"]}

    assert listed("status=CANCELLED") == {str(stopped.pk)}
    assert listed("status=CANCELLED&status=QUEUED") == {str(stopped.pk), str(waiting.pk)}
    assert error_of(client.get("/api/imports/?status=LOST")) == (400, "invalid")


def test_pages_of_imports_uploaded_at_one_instant_neither_repeat_nor_miss_one(alice):
    for _ in range(60):
        make_job(b"x", owner=alice)
    ImportJob.objects.update(created_at="2026-01-01T00:00Z")
    client = logged_in_client(alice)

    first = client.get("/api/imports/").json()
    pages = [first["results"], client.get(first["next"]).json()["results"]]
    ids = [job["id"] for page in pages for job in page]

    assert [len(page) for page in pages] == [50, 10]
    assert ids == sorted(ids, reverse=True)


def test_a_longer_list_asks_no_more_of_the_database(alice, django_assert_max_num_queries):
    for _ in range(20):
        make_job(b"x", owner=alice)

    client = logged_in_client(alice)

    with django_assert_max_num_queries(9):
        assert len(client.get("/api/imports/").json()["results"]) == 20


def test_whoever_watches_many_waiting_imports_asks_for_the_queue_once(
    alice, django_assert_max_num_queries
):
    jobs = [make_job(b"x", owner=alice) for _ in range(5)]

    with django_assert_max_num_queries(3):
        found = snapshots.read_snapshots([job.pk for job in jobs])

    assert {s["live"]["queue_position"] for s in found} == {1, 2, 3, 4, 5}


def test_an_unchanged_import_is_not_sent_again(alice):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(alice)
    first = client.get(address(job))

    again = client.get(address(job), headers={"If-None-Match": first["ETag"]})
    lifecycle.cancel(job.pk)
    changed = client.get(address(job), headers={"If-None-Match": first["ETag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert (changed.status_code, changed.json()["status"]) == (200, Status.CANCELLED)
    assert set(first["Cache-Control"].split(", ")) == {"private", "no-cache"}


# --- Start and cancel --------------------------------------------------------


def test_a_checked_import_starts_when_asked(alice):
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))

    response = logged_in_client(alice).post(address(job, "start/"))

    assert (response.status_code, response.json()["status"]) == (202, Status.RUNNING)
    assert response["Location"] == address(job)


def test_what_the_status_forbids_is_a_conflict(alice):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(alice)

    assert error_of(client.post(address(job, "start/"))) == (409, "not_allowed")
    assert client.post(address(job, "cancel/")).status_code == 202
    assert error_of(client.post(address(job, "cancel/"))) == (409, "not_allowed")


# --- Rows and problems -------------------------------------------------------

MIXED = make_csv(
    [
        make_row(1),
        make_row(2, phone="12"),  # Row 3 of the file.
        make_row(3),
        make_row(1, mark="OTHER", email="other@example.com"),  # Row 5 repeats the phone of row 2.
        make_row(4, phone="34", first="", last=""),
    ]
)


def test_every_row_has_its_outcome(alice):
    job = run_import(MIXED, owner=alice)

    rows = logged_in_client(alice).get(address(job, "rows/")).json()["results"]

    assert {row["row"]: row["outcome"] for row in rows} == get_outcomes(job)
    assert [row["row"] for row in rows] == [2, 3, 4, 5, 6]
    assert [row["record"] is not None for row in rows] == [True, False, True, False, False]


def test_errors_say_what_is_wrong_in_english(alice):
    job = run_import(MIXED, owner=alice)

    response = logged_in_client(alice).get(
        address(job, "rows/?outcome=failed"), headers={"Accept-Language": "fr"}
    )

    refused = response.json()["results"]
    assert [row["row"] for row in refused] == [3, 5, 6]
    assert refused[0]["errors"] == [
        {
            "row": 3,
            "column": "phone",
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


def test_rows_that_no_batch_has_written_have_no_outcome_yet(alice, settings):
    settings.IMPORT_BATCHES_A_FILE, size = 2, 50
    job = check_job(make_job(make_csv([make_row(n) for n in range(2 * size)]), owner=alice))
    batch_applier.apply_batch(job.pk, 1)
    client = logged_in_client(alice)

    rows = client.get(address(job, "rows/?limit=1000")).json()["results"]
    created = client.get(address(job, "rows/?outcome=created")).json()

    assert {row["row"]: row["outcome"] for row in rows} == get_outcomes(job)
    assert [row["row"] for row in rows if row["outcome"] is None] == list(range(52, 102))
    assert not any(row["record"] for row in rows if row["outcome"] is None)
    assert [row["row"] for row in created["results"]] == list(range(2, 52))
    assert created["next"] is None


@pytest.mark.parametrize("query", ["", "outcome=created&"])
def test_pages_of_rows_follow_each_other(alice, query):
    job, client = (
        run_import(make_csv([make_row(n) for n in range(7)]), owner=alice),
        logged_in_client(alice),
    )

    pages, following = [], address(job, f"rows/?{query}limit=3")
    while following:
        page = client.get(following).json()
        pages.append([row["row"] for row in page["results"]])
        following = page["next"]

    assert pages == [[2, 3, 4], [5, 6, 7], [8]]


@pytest.mark.parametrize("query", ["outcome=lost", "after=-1", "after=x", "limit=0", "limit=1001"])
def test_a_wrong_question_about_rows_is_refused(alice, query):
    job = make_job(CONTENT, owner=alice)

    assert error_of(logged_in_client(alice).get(address(job, f"rows/?{query}"))) == (400, "invalid")


def test_problems_are_grouped_by_cause_the_commonest_first(alice):
    job = run_import(MIXED, owner=alice)

    found = logged_in_client(alice).get(address(job, "problems/")).json()

    assert found["complete"]
    assert [(p["column"], p["code"], p["count"], p["rows"]) for p in found["results"]] == [
        ("phone", "phone_too_short", 2, [3, 6]),
        ("first_name", "required", 1, [6]),
        ("last_name", "required", 1, [6]),
        ("phone", "repeats_row", 1, [5]),
    ]
    for problem in found["results"]:
        example = problem["example"]
        assert (example["row"], example["column"], example["code"]) == (
            problem["rows"][0],
            problem["column"],
            problem["code"],
        )
    assert found["results"][3]["example"]["message"].startswith(
        "This row is a duplicate of row 2 of the same file."
    )


@pytest.mark.django_db(transaction=True)
def test_skipped_rows_are_a_problem_of_their_own(alice):
    run_import(CONTENT, owner=alice)
    job = run_import(CONTENT, owner=alice)

    (problem,) = logged_in_client(alice).get(address(job, "problems/")).json()["results"]

    assert (problem["outcome"], problem["code"], problem["count"]) == ("skipped", "exists", 2)


def test_reading_more_rows_asks_no_more_of_the_database(alice, django_assert_max_num_queries):
    job = run_import(make_csv([make_row(n, phone="1") for n in range(300)]), owner=alice)
    client = logged_in_client(alice)

    with django_assert_max_num_queries(6):
        assert len(client.get(address(job, "rows/?limit=300")).json()["results"]) == 300
    with django_assert_max_num_queries(6):
        (problem,) = client.get(address(job, "problems/")).json()["results"]
    assert (problem["count"], problem["rows"]) == (300, [2, 3, 4, 5, 6])


# --- Errors ------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "customers/x/", "imports", "imports/7/", "imports/7/rows/", "no/such/place"]
)
def test_an_unknown_address_gets_the_same_shape(path):
    assert error_of(Client().get(f"/api/{path}")) == (404, "not_found")
    assert error_of(Client().post(f"/api/{path}")) == (404, "not_found")


def test_other_methods_and_formats_are_refused_in_the_same_shape(alice):
    client = logged_in_client(alice)

    assert error_of(client.delete("/api/imports/")) == (405, "method_not_allowed")
    unsupported = client.post("/api/imports/", json.dumps({}), content_type="application/json")
    assert error_of(unsupported) == (415, "unsupported_media_type")


@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_it_says_try_again_and_nothing_else(alice, caplog):
    job, client = make_job(CONTENT, owner=alice), logged_in_client(alice)

    with no_database():
        responses = [client.get(address(job)), client.get("/api/imports/"), upload_file(client)]

    for response in responses:
        assert error_of(response) == (503, "unavailable")
        assert int(response["Retry-After"]) > 0
        assert "127.0.0.1" not in response.content.decode()
    assert "127.0.0.1" not in caplog.text


@contextmanager
def no_database():
    connection.close()
    there = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": "1"}
    try:
        yield
    finally:
        connection.settings_dict |= dict(zip(("HOST", "PORT"), there, strict=True))


def test_too_many_requests_keep_their_shape_and_say_when_to_come_back():
    response = answer_to(Throttled(wait=7))

    assert error_of(response) == (429, "throttled")
    assert response["Retry-After"] == "7"


def test_what_nobody_expected_is_told_to_no_one(caplog):
    phone = "+233244123456"

    responses = [answer_to(KeyError(phone)), answer_to(DataError(f"Key (phone)=({phone}) exists"))]

    assert {error_of(response) for response in responses} == {(500, "internal_error")}
    assert not any(phone in response.content.decode() for response in responses)
    assert "DataError" in caplog.text
    assert "raise error" in caplog.text  # Where it was, at least.
    assert phone not in caplog.text


def answer_to(error):
    class Failing(APIView):
        authentication_classes = permission_classes = ()

        def get(self, request):
            raise error

    response = Failing.as_view()(APIRequestFactory().get("/"))
    response.render()
    response.json = lambda: json.loads(response.content)
    return response
