"""The REST API for programs: tokens, lists that hold still, hints, retries and limits."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from config.env import read_rate
from imports import authentication, snapshots
from imports.api.throttles import LoginThrottle, ReadThrottle, WriteThrottle
from imports.models import IdempotencyKey, ImportJob, StoredFile
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.factories import make_csv, make_job, make_row
from tests.streams import make_job as make_moved_job

pytestmark = pytest.mark.django_db

CONTENT = make_csv([make_row(1)])


def upload(client, content=CONTENT, **headers):
    sent = {"importer": "customers", "file": SimpleUploadedFile("customers.csv", content)}
    return client.post("/api/imports/", sent, headers=headers)


def with_token(token):
    return Client(headers={"Authorization": f"Bearer {token}"})


def code_of(response):
    error = response.json()
    assert error.keys() == {"code", "message", "errors"}
    return response.status_code, error["code"]


def listed(client, **query):
    return [job["id"] for job in client.get("/api/imports/", query).json()["results"]]


# --- Tokens ------------------------------------------------------------------


@pytest.fixture
def anna(db):
    person = create_user("anna", "add_importjob")
    person.set_password("a-good-password")
    person.save()
    return person


def log_in(client, password="a-good-password"):
    sent = {"username": "anna", "password": password}
    return client.post("/api/auth/token/", sent, content_type="application/json")


def test_a_name_and_a_password_become_tokens_that_upload_without_a_session(anna):
    tokens = log_in(Client()).json()
    assert upload(with_token(tokens["access"])).status_code == 202
    again = {"refresh": tokens["refresh"]}
    fresh = Client().post("/api/auth/token/refresh/", again, content_type="application/json")
    assert with_token(fresh.json()["access"]).get("/api/imports/").status_code == 200


def test_a_wrong_password_and_a_closed_account_get_no_token(anna):
    assert code_of(log_in(Client(), "wrong")) == (401, "no_active_account")
    anna.is_active = False
    anna.save()
    assert code_of(log_in(Client())) == (401, "no_active_account")


def tokens_gone_bad(person):
    expired = AccessToken.for_user(person)
    expired.set_exp(lifetime=timedelta(seconds=-1))
    nobody = AccessToken.for_user(person)
    nobody["user_id"] = "9" * 30
    good = str(AccessToken.for_user(person))
    return [expired, nobody, RefreshToken.for_user(person), f"{good}x", "x", "a b", "é", ""]


def test_a_token_that_is_not_valid_is_refused_with_one_code(anna):
    for token in tokens_gone_bad(anna)[:-1]:
        response = with_token(token).get("/api/imports/")
        assert code_of(response) == (401, "token_not_valid")
        assert response["WWW-Authenticate"].startswith("Bearer")
    for token in tokens_gone_bad(anna):
        sent = {"refresh": str(token)}
        response = Client().post("/api/auth/token/refresh/", sent, content_type="application/json")
        if not isinstance(token, RefreshToken):
            assert response.status_code in {400, 401}


def test_a_new_password_ends_every_token(anna):
    access, refresh = AccessToken.for_user(anna), RefreshToken.for_user(anna)
    anna.set_password("another-password")
    anna.save()
    assert code_of(with_token(access).get("/api/imports/")) == (401, "token_not_valid")
    sent = {"refresh": str(refresh)}
    response = Client().post("/api/auth/token/refresh/", sent, content_type="application/json")
    assert code_of(response) == (401, "token_not_valid")


# --- Lists -------------------------------------------------------------------


def test_a_list_can_be_narrowed(alice, eve, bob):
    mine = make_job(CONTENT, owner=alice)
    ImportJob.objects.filter(pk=mine.pk).update(file_name="Kumasi 2026.xlsx")
    other = make_job(CONTENT, owner=bob)
    late, early = (timezone.now() + timedelta(days=d) for d in (1, -1))
    client = logged_in_client(eve)

    for query in ({"owner": "alice"}, {"search": "kumasi"}, {"owner": "alice", "status": "QUEUED"}):
        assert listed(client, **query) == [str(mine.pk)]
    assert listed(client, created_after=early.isoformat()) == [str(other.pk), str(mine.pk)]
    for query in (
        {"created_after": late.isoformat()},
        {"created_before": early.isoformat()},
        {"importer": "parcels"},
        {"status": "READY"},
    ):
        assert listed(client, **query) == []


def test_what_comes_in_meanwhile_moves_no_page(alice):
    jobs = [str(make_job(CONTENT, owner=alice).pk) for _ in range(5)]
    client, seen, address = logged_in_client(alice), [], "/api/imports/?page_size=2"
    while address:
        page = client.get(address).json()
        seen += [job["id"] for job in page["results"]]
        make_job(CONTENT, owner=alice)
        address = page["next"]
    assert seen == jobs[::-1]


def test_imports_of_one_microsecond_have_pages_too(alice):
    jobs = [make_job(CONTENT, owner=alice) for _ in range(7)]
    ImportJob.objects.update(created_at=timezone.now())
    expected = sorted((str(job.pk) for job in jobs), reverse=True)
    expected = [expected[:3], expected[3:6], expected[6:]]
    client = logged_in_client(alice)

    def pages(address, way):
        for _ in expected:
            page = client.get(address).json()
            yield [job["id"] for job in page["results"]]
            last, address = page, page[way] or address
        yield last

    *onwards, last = pages("/api/imports/?page_size=3", "next")
    assert (onwards, last["next"]) == (expected, None)
    *back, first, again, _ = pages(last["previous"], "previous")
    assert (back, first, again) == ([expected[1]], expected[0], expected[0])


@pytest.mark.parametrize(
    "query",
    [
        "status=x",
        "search=%00",
        "created_after=x",
        "cursor=x",
        "cursor=AAAA",
        "cursor=cD14",
        "cursor=cD0yMDIwKzEy",
        "owner=%00",
    ],
)
def test_a_question_that_makes_no_sense_is_400(alice, query):
    assert code_of(logged_in_client(alice).get(f"/api/imports/?{query}")) == (400, "invalid")


def test_a_longer_list_takes_no_more_queries(alice):
    def queries():
        with CaptureQueriesContext(connection) as asked:
            signed.get("/api/imports/")
        return len([one for one in asked if "imports_worker" not in one["sql"]])

    signed = logged_in_client(alice)
    make_job(CONTENT, owner=alice)
    few = queries()
    for _ in range(5):
        make_job(CONTENT, owner=alice)
    assert queries() == few


# --- What an import says -----------------------------------------------------


def test_the_same_file_is_known_again_to_those_who_may_see_the_earlier_one(alice, bob):
    client = logged_in_client(alice)
    first = upload(client).json()
    assert first["same_file_as"] is None

    again = upload(client).json()

    assert again["same_file_as"]["id"] == first["id"]
    earlier = client.get(again["same_file_as"]["url"]).json()
    assert (earlier["id"], earlier["same_file_as"]) == (first["id"], None)
    assert upload(logged_in_client(bob)).json()["same_file_as"] is None
    assert upload(client, make_csv([make_row(2)])).json()["same_file_as"] is None


@pytest.mark.parametrize(("status", "seconds"), [("QUEUED", 2), ("RUNNING", 1), ("READY", 5)])
def test_an_import_says_how_soon_to_ask_again(alice, status, seconds):
    job = make_moved_job(alice, Status(status))
    assert (
        logged_in_client(alice).get(f"/api/imports/{job.pk}/").json()["poll_after_seconds"]
        == seconds
    )


def test_nobody_need_ask_again_after_the_end(alice):
    job = ImportJob.objects.transition(make_moved_job(alice).pk, Status.CANCELLED)
    assert (
        logged_in_client(alice).get(f"/api/imports/{job.pk}/").json()["poll_after_seconds"] is None
    )


def test_an_address_of_a_stream_is_the_same_a_second_later(alice, monkeypatch):
    monkeypatch.setattr(settings, "IMPORT_TICKET_SECONDS", 10**9)
    job, seconds = make_job(CONTENT, owner=alice), iter(range(10**9, 10**9 + 9))
    monkeypatch.setattr(signing.time, "time", lambda: next(seconds))
    assert authentication.make_ticket(job.pk, alice) == authentication.make_ticket(job.pk, alice)


def test_an_unchanged_import_is_304_and_a_precondition_asks_nothing_of_a_reading(
    alice, monkeypatch
):
    monkeypatch.setattr(snapshots, "_workers", (-1e9, 0))  # Those of an earlier test are gone.
    monkeypatch.setattr(settings, "IMPORT_TICKET_SECONDS", 10**9)
    client, job = logged_in_client(alice), make_job(CONTENT, owner=alice)
    address = f"/api/imports/{job.pk}/"
    tags = [client.get(address)["ETag"] for _ in range(2)]
    assert tags[0] == tags[1]
    assert client.get(address, headers={"If-None-Match": tags[0]}).status_code == 304
    assert client.get(address, headers={"If-Match": '"x"'}).status_code == 200


# --- Asking again ------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_one_key_twenty_times_at_once_is_one_import_and_one_file(alice):
    clients, together = [logged_in_client(alice) for _ in range(20)], Barrier(20)

    def post(client):
        together.wait()
        try:
            return upload(client, **{"Idempotency-Key": "once"})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(post, clients))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (ImportJob.objects.count(), StoredFile.objects.count()) == (1, 1)


def test_a_key_is_forgotten_after_a_day(alice):
    client, key = logged_in_client(alice), {"Idempotency-Key": "daily"}
    first = upload(client, **key).json()["id"]
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=23))
    assert upload(client, **key).json()["id"] == first
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert upload(client, **key).json()["id"] != first


# --- Limits ------------------------------------------------------------------


@pytest.fixture
def twice_a_minute(monkeypatch):
    cache.clear()
    for throttle in (ReadThrottle, WriteThrottle, LoginThrottle):
        monkeypatch.setattr(throttle, "THROTTLE_RATES", {throttle.scope: "2/min"})
    yield
    cache.clear()


def test_who_asks_too_often_is_told_when_to_come_back(twice_a_minute, alice, bob):
    client = logged_in_client(alice)
    assert [upload(client).status_code for _ in range(3)] == [202, 202, 429]
    assert [client.get("/api/imports/").status_code for _ in range(2)] == [200, 200]
    response = client.get("/api/imports/")
    assert code_of(response) == (429, "throttled")
    assert 0 < int(response["Retry-After"]) <= 60
    assert logged_in_client(bob).get("/api/imports/").status_code == 200


def test_passwords_are_not_guessed_fast(twice_a_minute, anna):
    codes = [log_in(Client(), "wrong").status_code for _ in range(3)]
    assert codes == [401, 401, 429]
    assert log_in(Client()).status_code == 429


@pytest.mark.parametrize("value", ["", "10", "x/min", "0/min", "10/fortnight"])
def test_a_rate_that_cannot_be_read_is_said_so(monkeypatch, value):
    monkeypatch.setenv("THROTTLE_READS", value)
    with pytest.raises(Exception, match="THROTTLE_READS must be like 120/min"):
        read_rate("THROTTLE_READS", "1/s")
