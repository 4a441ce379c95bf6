"""The REST API for programs: tokens, stable lists, polling hints, retries and throttling."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.core import signing
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from config.env import read_rate
from imports import authentication, worker_status
from imports.api.throttles import LoginThrottle
from imports.models import IdempotencyKey, ImportJob, StoredFile
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.database import connection
from tests.factories import make_csv, make_job, make_row
from tests.streams import make_job as make_job_with_status

pytestmark = pytest.mark.django_db

CONTENT = make_csv([make_row(1)])


def upload_file(client, content=CONTENT, **headers):
    data = {"importer": "customers", "file": SimpleUploadedFile("customers.csv", content)}
    return client.post("/api/imports/", data, headers=headers)


def make_token_client(token):
    return Client(headers={"Authorization": f"Bearer {token}"})


def get_error(response):
    error = response.json()
    assert error.keys() == {"code", "message", "params", "errors"}
    return response.status_code, error["code"]


def list_ids(client, **query):
    return [job["id"] for job in client.get("/api/imports/", query).json()["results"]]


# --- Tokens ------------------------------------------------------------------


@pytest.fixture
def anna(db):
    user = create_user("anna", "add_importjob")
    user.set_password("a-good-password")
    user.save()
    return user


def request_tokens(client, password="a-good-password", name="anna"):
    data = {"username": name, "password": password}
    return client.post("/api/auth/token/", data, content_type="application/json")


def test_tokens_allow_uploads_without_a_session(anna):
    tokens = request_tokens(Client()).json()
    assert upload_file(make_token_client(tokens["access"])).status_code == 202
    data = {"refresh": tokens["refresh"]}
    response = Client().post("/api/auth/token/refresh/", data, content_type="application/json")
    assert make_token_client(response.json()["access"]).get("/api/imports/").status_code == 200


def test_a_wrong_password_or_an_inactive_account_gets_no_token(anna):
    assert get_error(request_tokens(Client(), "wrong")) == (401, "no_active_account")
    anna.is_active = False
    anna.save()
    assert get_error(request_tokens(Client())) == (401, "no_active_account")


def make_invalid_tokens(user):
    expired = AccessToken.for_user(user)
    expired.set_exp(lifetime=timedelta(seconds=-1))
    unknown_user = AccessToken.for_user(user)
    unknown_user["user_id"] = "9" * 30
    valid = str(AccessToken.for_user(user))
    return [expired, unknown_user, RefreshToken.for_user(user), f"{valid}x", "x", "a b", "é", ""]


def test_every_invalid_token_has_the_same_error_code(anna):
    for token in make_invalid_tokens(anna)[:-1]:
        response = make_token_client(token).get("/api/imports/")
        assert get_error(response) == (401, "token_not_valid")
        assert response["WWW-Authenticate"].startswith("Bearer")
    for token in make_invalid_tokens(anna):
        data = {"refresh": str(token)}
        response = Client().post("/api/auth/token/refresh/", data, content_type="application/json")
        if not isinstance(token, RefreshToken):
            assert response.status_code in {400, 401}


def test_a_password_change_revokes_every_token(anna):
    access, refresh = AccessToken.for_user(anna), RefreshToken.for_user(anna)
    anna.set_password("another-password")
    anna.save()
    assert get_error(make_token_client(access).get("/api/imports/")) == (401, "token_not_valid")
    data = {"refresh": str(refresh)}
    response = Client().post("/api/auth/token/refresh/", data, content_type="application/json")
    assert get_error(response) == (401, "token_not_valid")


# --- Lists -------------------------------------------------------------------


def test_the_list_can_be_filtered(alice, eve, bob):
    job = make_job(CONTENT, owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(file_name="Kumasi 2026.xlsx")
    other = make_job(CONTENT, owner=bob)
    tomorrow, yesterday = (timezone.now() + timedelta(days=days) for days in (1, -1))
    client = logged_in_client(eve)

    for query in ({"owner": "alice"}, {"search": "kumasi"}, {"owner": "alice", "status": "QUEUED"}):
        assert list_ids(client, **query) == [str(job.pk)]
    assert list_ids(client, created_after=yesterday.isoformat()) == [str(other.pk), str(job.pk)]
    for query in (
        {"created_after": tomorrow.isoformat()},
        {"created_before": yesterday.isoformat()},
        {"importer": "parcels"},
        {"status": "READY"},
    ):
        assert list_ids(client, **query) == []


def test_new_imports_do_not_shift_later_pages(alice):
    jobs = [str(make_job(CONTENT, owner=alice).pk) for _ in range(5)]
    client, ids, url = logged_in_client(alice), [], "/api/imports/?page_size=2"
    while url:
        page = client.get(url).json()
        ids += [job["id"] for job in page["results"]]
        make_job(CONTENT, owner=alice)
        url = page["next"]
    assert ids == jobs[::-1]


def test_imports_with_equal_creation_times_can_be_paged_in_both_directions(alice):
    jobs = [make_job(CONTENT, owner=alice) for _ in range(7)]
    ImportJob.objects.update(created_at=timezone.now())
    ids = sorted((str(job.pk) for job in jobs), reverse=True)
    expected = [ids[:3], ids[3:6], ids[6:]]
    client = logged_in_client(alice)

    def follow_links(url, direction):
        """Yield the ids of three pages, and then the body of the last page.

        Request the last page again when it has no further link.
        """
        for _ in expected:
            page = client.get(url).json()
            yield [job["id"] for job in page["results"]]
            last_page, url = page, page[direction] or url
        yield last_page

    *forward, last_page = follow_links("/api/imports/?page_size=3", "next")
    assert (forward, last_page["next"]) == (expected, None)
    *back, first, first_again, _ = follow_links(last_page["previous"], "previous")
    assert (back, first, first_again) == ([expected[1]], expected[0], expected[0])


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
def test_an_invalid_query_parameter_is_an_error(alice, query):
    assert get_error(logged_in_client(alice).get(f"/api/imports/?{query}")) == (400, "invalid")


def test_the_number_of_queries_does_not_depend_on_the_length_of_the_list(alice):
    def count_queries():
        with CaptureQueriesContext(connection) as queries:
            client.get("/api/imports/")
        return len([query for query in queries if "imports_worker" not in query["sql"]])

    client = logged_in_client(alice)
    make_job(CONTENT, owner=alice)
    queries_for_one = count_queries()
    for _ in range(5):
        make_job(CONTENT, owner=alice)
    assert count_queries() == queries_for_one


# --- Fields of an import -----------------------------------------------------


def test_same_file_as_names_an_earlier_import_that_the_user_may_see(alice, bob):
    client = logged_in_client(alice)
    first = upload_file(client).json()
    assert first["same_file_as"] is None

    second = upload_file(client).json()

    assert second["same_file_as"]["id"] == first["id"]
    earlier = client.get(second["same_file_as"]["url"]).json()
    assert (earlier["id"], earlier["same_file_as"]) == (first["id"], None)
    assert upload_file(logged_in_client(bob)).json()["same_file_as"] is None
    assert upload_file(client, make_csv([make_row(2)])).json()["same_file_as"] is None


@pytest.mark.parametrize(("status", "seconds"), [("QUEUED", 2), ("RUNNING", 1), ("READY", 5)])
def test_poll_after_seconds_depends_on_the_status(alice, status, seconds):
    job = make_job_with_status(alice, Status(status))
    response = logged_in_client(alice).get(f"/api/imports/{job.pk}/")
    assert response.json()["poll_after_seconds"] == seconds


def test_poll_after_seconds_is_null_after_a_final_status(alice):
    job = ImportJob.objects.transition(make_job_with_status(alice).pk, Status.CANCELLED)
    response = logged_in_client(alice).get(f"/api/imports/{job.pk}/")
    assert response.json()["poll_after_seconds"] is None


def test_the_stream_url_stays_the_same_for_a_while(alice, monkeypatch, settings):
    settings.IMPORTS_TICKET_SECONDS = 10**9
    job, seconds = make_job(CONTENT, owner=alice), iter(range(10**9, 10**9 + 9))
    monkeypatch.setattr(signing.time, "time", lambda: next(seconds))
    assert authentication.make_ticket(job.pk, alice) == authentication.make_ticket(job.pk, alice)


def test_an_unchanged_import_is_304_and_if_match_is_ignored(alice, monkeypatch, settings):
    worker_status.forget_cached_status()  # Forget the workers of earlier tests.
    settings.IMPORTS_TICKET_SECONDS = 10**9
    client, job = logged_in_client(alice), make_job(CONTENT, owner=alice)
    url = f"/api/imports/{job.pk}/"
    etags = [client.get(url)["ETag"] for _ in range(2)]
    assert etags[0] == etags[1]
    assert client.get(url, headers={"If-None-Match": etags[0]}).status_code == 304
    assert client.get(url, headers={"If-Match": '"x"'}).status_code == 200


# --- Idempotency keys --------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_uploads_with_one_key_store_one_file(alice):
    clients, barrier = [logged_in_client(alice) for _ in range(20)], Barrier(20)

    def post(client):
        barrier.wait()
        try:
            return upload_file(client, **{"Idempotency-Key": "once"})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as threads:
        responses = list(threads.map(post, clients))

    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert (ImportJob.objects.count(), StoredFile.objects.count()) == (1, 1)


def test_an_idempotency_key_expires_after_a_day(alice):
    client, key = logged_in_client(alice), {"Idempotency-Key": "daily"}
    first = upload_file(client, **key).json()["id"]
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=23))
    assert upload_file(client, **key).json()["id"] == first
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert upload_file(client, **key).json()["id"] != first


# --- Throttling --------------------------------------------------------------


@pytest.fixture
def _limit_requests_to_two_a_minute(settings):
    cache.clear()
    settings.IMPORTS_THROTTLE_RATES = dict.fromkeys(("reads", "writes", "logins"), "2/min")
    yield
    cache.clear()


@pytest.mark.usefixtures("_limit_requests_to_two_a_minute")
def test_a_throttled_client_receives_retry_after(alice, bob):
    client = logged_in_client(alice)
    assert [upload_file(client).status_code for _ in range(3)] == [202, 202, 429]
    assert [client.get("/api/imports/").status_code for _ in range(2)] == [200, 200]
    response = client.get("/api/imports/")
    assert get_error(response) == (429, "throttled")
    assert 0 < int(response["Retry-After"]) <= 60
    assert logged_in_client(bob).get("/api/imports/").status_code == 200


def get_rate_limit(response):
    names = ("Limit", "Remaining", "Reset")
    return [int(response[f"X-RateLimit-{name}"]) for name in names]


@pytest.mark.usefixtures("_limit_requests_to_two_a_minute")
def test_responses_say_how_many_requests_remain(alice):
    client = logged_in_client(alice)
    *limit, reset = get_rate_limit(client.get("/api/imports/"))
    assert limit == [2, 1]
    assert 0 < reset <= 60
    assert get_rate_limit(client.get("/api/imports/", headers={"If-None-Match": "*"}))[:2] == [2, 0]
    throttled = client.get("/api/imports/")
    assert (throttled.status_code, get_rate_limit(throttled)[:2]) == (429, [2, 0])
    assert get_rate_limit(throttled)[2] == int(throttled["Retry-After"])
    # Reads and writes have limits of their own, and an error of the view counts.
    assert get_rate_limit(client.post("/api/imports/"))[:2] == [2, 1]
    # A request without a login is answered before it counts.
    assert get_rate_limit(Client().get("/api/imports/")) == [2, 2, 0]


def test_a_call_without_a_limit_has_no_rate_limit_headers(alice, settings):
    assert "X-RateLimit-Limit" not in Client().get("/api/schema/")
    settings.IMPORTS_THROTTLE_RATES = {"reads": None}
    assert "X-RateLimit-Limit" not in logged_in_client(alice).get("/api/imports/")


@pytest.mark.usefixtures("_limit_requests_to_two_a_minute", "anna")
def test_logins_are_throttled():
    codes = [request_tokens(Client(), "wrong").status_code for _ in range(3)]
    assert codes == [401, 401, 429]
    assert request_tokens(Client()).status_code == 429


@pytest.mark.parametrize("value", ["", "10", "x/min", "0/min", "10/fortnight"])
def test_an_invalid_rate_setting_names_the_expected_form(monkeypatch, value):
    monkeypatch.setenv("THROTTLE_READS", value)
    with pytest.raises(Exception, match="THROTTLE_READS must be like 120/min"):
        read_rate("THROTTLE_READS", "1/s")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "9.9.9.9", "127.0.0.1"),
        (1, "9.9.9.9", "9.9.9.9"),
        (1, "6.6.6.6, 9.9.9.9", "9.9.9.9"),
        (2, "6.6.6.6, 9.9.9.9, 10.0.0.1", "9.9.9.9"),
        (2, "9.9.9.9", "9.9.9.9"),
        (1, "", "127.0.0.1"),
    ],
)
def test_logins_count_for_the_address_in_front_of_the_trusted_proxies(
    settings, proxies, forwarded, address
):
    settings.IMPORTS_TRUSTED_PROXIES = proxies
    request = Request(RequestFactory().get("/", headers={"X-Forwarded-For": forwarded}))

    assert LoginThrottle().get_ident(request) == address


def test_a_rate_of_none_is_no_limit(settings):
    settings.IMPORTS_THROTTLE_RATES = {"logins": None}

    codes = {request_tokens(Client(), name=f"n{n}").status_code for n in range(30)}

    assert codes == {401}
