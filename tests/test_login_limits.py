"""Guessing passwords at the log-in page, at the admin and at the tokens of the API."""

import http.client
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import islice
from urllib.parse import urlencode

import pytest
from axes.models import AccessAttempt, AccessLog
from django.db.models import Sum
from django.test import Client, RequestFactory
from django.utils import timezone

from config.login_limits import get_login_address
from imports.authentication import get_client_address
from imports.token_families import TokenFamily
from tests.conftest import create_user
from tests.database import connection
from tests.streams import MAX_WAIT_SECONDS, running_daphne

PASSWORD = "a-good-password"
DOORS = ("/accounts/login/", "/admin/login/", "/api/auth/token/")
HOME, OFFICE, STRANGER = "192.0.2.1", "192.0.2.2", "203.0.113.9"


@pytest.fixture(autouse=True)
def _hash_passwords_fast(request, settings):
    """Hash with MD5, except where a test measures the time or a server checks the passwords."""
    if not {"two_processes", "real_hashes"}.intersection(request.fixturenames):
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def real_hashes():
    """Ask for the password hasher of the site."""


@pytest.fixture
def anna(db):
    user = create_user("anna", "add_importjob", is_staff=True)
    user.set_password(PASSWORD)
    user.save()
    return user


def log_in(door, name="anna", password="wrong", address=HOME, **headers):
    """Send a log-in and return the response."""
    client = Client(REMOTE_ADDR=address, headers=headers)
    return client.post(door, {"username": name, "password": password})


def is_logged_in(response):
    return response.status_code == 302 or (
        response.status_code == 200
        and response["Content-Type"] == "application/json"
        and "access" in response.json()
    )


def fail(times, **options):
    return [log_in("/accounts/login/", **options).status_code for _ in range(times)]


# --- Limits ------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("door", DOORS)
def test_the_fifth_failure_of_a_name_from_an_address_locks_both_at_every_door(anna, door):
    wrong = 401 if door.startswith("/api/") else 200
    codes = [log_in(door).status_code for _ in range(7)]

    assert codes == [wrong] * 4 + [429] * 3
    for other in DOORS:
        response = log_in(other, password=PASSWORD)
        assert response.status_code == 429
        assert response["Retry-After"] == "900"
    assert is_logged_in(log_in(door, password=PASSWORD, address=OFFICE))


@pytest.mark.django_db
def test_a_lock_has_a_page_and_an_error_of_the_api(anna):
    fail(5)

    page = log_in("/accounts/login/").content.decode()
    error = log_in("/api/auth/token/").json()

    assert "Too many log-ins have failed. Try again in 15 minutes." in page
    assert error["code"] == "throttled"
    assert error["message"].startswith("Too many log-ins have failed. Try again in 15 minutes.")


@pytest.mark.django_db
def test_a_lock_ends_although_the_attacker_goes_on(anna):
    fail(5)
    earlier = timezone.now() - timedelta(minutes=14)
    AccessAttempt.objects.update(attempt_time=earlier)
    assert fail(3) == [429] * 3
    assert AccessAttempt.objects.get().attempt_time == earlier

    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))

    assert is_logged_in(log_in("/accounts/login/", password=PASSWORD))


@pytest.mark.django_db
def test_a_login_resets_the_failures_of_its_own_name_only(anna, settings):
    settings.LOGIN_FAILURES_PER_ADDRESS = 12
    for name in ("a", "b"):
        fail(4, name=name)
    fail(3)
    assert is_logged_in(log_in("/accounts/login/", password=PASSWORD))
    AccessLog.objects.all().delete()  # The address is not known to be Anna's.

    assert fail(4) == [200] * 4
    assert fail(1, name="c") == [429]


@pytest.mark.django_db
def test_an_address_is_locked_after_fifty_failures_of_any_names(anna):
    assert fail(1, name="n", address=OFFICE) == [200]
    for n in range(50):
        fail(1, name=f"name {n}", address=STRANGER)

    assert log_in("/api/auth/token/", password=PASSWORD, address=STRANGER).status_code == 429
    assert is_logged_in(log_in("/accounts/login/", password=PASSWORD, address=OFFICE))


@pytest.mark.django_db
def test_many_addresses_lock_an_account_except_for_the_addresses_of_its_user(anna):
    assert is_logged_in(log_in("/api/auth/token/", password=PASSWORD, address=HOME))
    for n in range(20):
        assert fail(1, address=f"203.0.113.{n}") == [200]

    assert log_in("/accounts/login/", password=PASSWORD, address=STRANGER).status_code == 429
    assert log_in("/accounts/login/", password=PASSWORD, address=OFFICE).status_code == 429
    assert is_logged_in(log_in("/accounts/login/", password=PASSWORD, address=HOME))
    assert is_logged_in(log_in("/admin/login/", password=PASSWORD, address=HOME))


@pytest.mark.django_db
def test_an_account_that_many_addresses_have_locked_is_open_after_an_hour(anna):
    for n in range(20):
        fail(1, address=f"203.0.113.{n}")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=59))
    for _ in range(2):  # A refused log-in deletes no failure that still counts.
        assert log_in("/accounts/login/", password=PASSWORD, address=OFFICE).status_code == 429

    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=61))

    assert is_logged_in(log_in("/accounts/login/", password=PASSWORD, address=OFFICE))
    assert not AccessAttempt.objects.exists()


@pytest.mark.django_db
def test_an_address_is_known_for_thirty_days_and_stored_once(anna):
    for _ in range(3):
        log_in("/accounts/login/", password=PASSWORD)
    log_in("/api/auth/token/", password=PASSWORD, address=OFFICE)
    assert AccessLog.objects.filter(username="anna").count() == 2

    AccessLog.objects.update(attempt_time=timezone.now() - timedelta(days=31))
    for n in range(20):
        fail(1, address=f"203.0.113.{n}")

    assert log_in("/accounts/login/", password=PASSWORD).status_code == 429


@pytest.mark.django_db
def test_log_ins_are_deleted_after_thirty_days_also_of_users_who_are_absent(anna):
    AccessLog.objects.create(username="absent", ip_address=HOME)
    AccessLog.objects.update(attempt_time=timezone.now() - timedelta(days=31))
    AccessLog.objects.create(username="present", ip_address=HOME)

    log_in("/accounts/login/", password=PASSWORD)

    assert {login.username for login in AccessLog.objects.all()} == {"anna", "present"}


@pytest.mark.django_db
def test_deleting_an_account_deletes_its_log_ins_failures_and_tokens(anna):
    assert is_logged_in(log_in("/api/auth/token/", password=PASSWORD, address=OFFICE))
    fail(2)
    fail(1, name="ben")
    assert TokenFamily.objects.count() == 1

    anna.delete()

    assert not AccessLog.objects.exists()
    assert [failure.username for failure in AccessAttempt.objects.all()] == ["ben"]
    assert not TokenFamily.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "é" * 255, "", " anna "])
@pytest.mark.parametrize("door", DOORS)
def test_a_login_with_a_strange_name_is_refused_without_an_error(anna, door, name):
    assert log_in(door, name=name).status_code in {200, 400, 401}


# --- Addresses ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "9.9.9.9", "192.0.2.1"),
        (1, "9.9.9.9", "9.9.9.9"),
        (1, "6.6.6.6, 9.9.9.9", "9.9.9.9"),
        (2, "6.6.6.6, 9.9.9.9, 10.0.0.1", "9.9.9.9"),
        (1, "", "192.0.2.1"),
        (1, "unknown", "192.0.2.1"),
        (1, "'; drop table", "192.0.2.1"),
    ],
)
def test_the_address_is_the_one_that_the_trusted_proxies_report(
    settings, proxies, forwarded, address
):
    settings.IMPORTS_TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR=HOME, headers={"X-Forwarded-For": forwarded})

    assert get_client_address(request) == address


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", None),
    ],
)
def test_failures_count_for_the_network_of_an_ipv6_address(address, counted):
    assert get_login_address(RequestFactory().get("/", REMOTE_ADDR=address)) == counted


@pytest.mark.django_db
def test_a_client_cannot_choose_the_address_for_which_it_counts(anna):
    spoofed = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP")
    for n in range(5):
        log_in("/accounts/login/", **dict.fromkeys(spoofed, f"198.51.100.{n}"))

    headers = dict.fromkeys(spoofed, "198.51.100.99")
    assert log_in("/accounts/login/", password=PASSWORD, **headers).status_code == 429


# --- Unknown and inactive accounts -------------------------------------------


@pytest.fixture
def three_accounts(anna):
    """Return the names of an active, an inactive and an unknown account."""
    inactive = create_user("ben", is_active=False, is_staff=True)
    inactive.set_password(PASSWORD)
    inactive.save()
    return ["anna", "ben", "nobody"]


@pytest.mark.parametrize("door", DOORS)
def test_no_response_tells_whether_a_name_has_an_account(three_accounts, door):
    def get_texts(name):
        responses = [log_in(door, name=name) for _ in range(6)]
        return [
            (response.status_code, response.content.decode().replace(name, "NAME"))
            for response in responses
        ]

    active, inactive, unknown = (
        [(status, remove_tokens(text)) for status, text in get_texts(name)]
        for name in three_accounts
    )

    assert active == inactive == unknown


def remove_tokens(text):
    """Return a page without the CSRF tokens, which differ in each response."""
    return "".join(line for line in text.split("\n") if "csrfmiddlewaretoken" not in line)


@pytest.mark.parametrize("door", DOORS)
def test_the_right_password_of_an_inactive_account_gets_the_same_response(three_accounts, door):
    right = log_in(door, name="ben", password=PASSWORD)
    wrong = log_in(door, name="ben")

    assert right.status_code == wrong.status_code
    assert remove_tokens(right.content.decode()) == remove_tokens(wrong.content.decode())


@pytest.mark.usefixtures("real_hashes")
def test_a_login_takes_as_long_for_every_name(three_accounts, settings):
    settings.AXES_FAILURE_LIMIT = settings.LOGIN_FAILURES_PER_ADDRESS = 10_000
    settings.LOGIN_FAILURES_PER_ACCOUNT = 10_000
    durations = {name: [] for name in three_accounts}
    for _ in range(9):
        for name, measured in durations.items():
            start = time.thread_time()
            log_in("/api/auth/token/", name=name)
            measured.append(time.thread_time() - start)

    medians = [statistics.median(measured) for measured in durations.values()]
    assert max(medians) < 1.25 * min(medians), medians


# --- The real server ---------------------------------------------------------


@pytest.fixture(scope="module")
def two_processes(django_db_setup):
    """Two web processes."""
    with running_daphne() as first, running_daphne() as second:
        yield first.port, second.port


def guess(port, door, password="wrong"):
    """Log in over HTTP and return the status."""
    return post_login(port, door, password)[0].status


def post_login(port, door, password="wrong", **headers):
    """Log in over HTTP. Return the response and its text. The CSRF token is fetched first."""
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    body = {"username": "anna", "password": password}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        if not door.startswith("/api/"):
            client.request("GET", door)
            page = client.getresponse()
            cookie = page.headers["Set-Cookie"].split(";")[0]
            page.read()
            headers["Cookie"] = cookie
            body["csrfmiddlewaretoken"] = cookie.partition("=")[2]
        client.request("POST", door, urlencode(body), headers)
        response = client.getresponse()
        content = response.read().decode()
    if response.status == 429 and door.startswith("/api/"):
        assert json.loads(content)["code"] == "throttled"
    return response, content


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("door", DOORS)
def test_of_forty_guesses_at_once_six_at_most_are_checked(two_processes, anna, door):
    wrong = 401 if door.startswith("/api/") else 200
    ports = [two_processes[n % 2] for n in range(40)]

    with ThreadPoolExecutor(40) as pool:
        codes = list(pool.map(lambda port: guess(port, door), ports))

    # A second process may check one more before it sees the last failure of the first.
    assert AccessAttempt.objects.aggregate(checked=Sum("failures_since_start"))["checked"] in {5, 6}
    assert codes.count(429) == 40 - codes.count(wrong) >= 35
    assert {guess(port, door, PASSWORD) for port in two_processes} == {429}


@contextmanager
def blocked_logins():
    """Let every log-in that is checked wait for PostgreSQL."""
    with (
        closing(connection.Database.connect(**connection.get_connection_params())) as other,
        other.cursor() as cursor,
    ):
        cursor.execute("LOCK TABLE axes_accessattempt IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("door", DOORS)
def test_one_address_occupies_few_request_slots_with_logins(anna, real_hashes, door):
    wrong = 401 if door.startswith("/api/") else 200
    with running_daphne(THROTTLE_LOGINS="1000/min") as server, ThreadPoolExecutor(30) as pool:
        with blocked_logins():
            logins = [pool.submit(post_login, server.port, door) for _ in range(30)]
            ended = as_completed(logins, timeout=MAX_WAIT_SECONDS)
            refused = [login.result() for login in islice(ended, 26)]
            assert get_page_from("127.0.0.2", server.port) == 200
            waiting = [login for login in logins if not login.done()]
        codes = [login.result()[0].status for login in waiting]

    for response, text in refused:
        assert response.status == 429
        assert response.headers["Retry-After"] == "5"
        assert "Yours was not checked. Try again in a few seconds." in text
    assert codes == [wrong] * 4
    assert AccessAttempt.objects.aggregate(checked=Sum("failures_since_start"))["checked"] == 4


@pytest.mark.django_db(transaction=True)
def test_many_addresses_occupy_few_request_slots_with_logins(anna, real_hashes):
    environment = {"THROTTLE_LOGINS": "1000/min", "TRUSTED_PROXIES": "1"}
    with running_daphne(**environment) as server, ThreadPoolExecutor(30) as pool:
        with blocked_logins():
            logins = [
                pool.submit(
                    post_login, server.port, DOORS[0], **{"X-Forwarded-For": f"203.0.113.{n}"}
                )
                for n in range(30)
            ]
            ended = as_completed(logins, timeout=MAX_WAIT_SECONDS)
            refused = [login.result() for login in islice(ended, 22)]
            assert get_page_from("127.0.0.2", server.port) == 200
            waiting = [login for login in logins if not login.done()]
        codes = [login.result()[0].status for login in waiting]

    assert {response.status for response, _ in refused} == {429}
    assert codes == [200] * 8


def get_page_from(address, port):
    """Return the status of the log-in page for a client with another address."""
    source = (address, 0)
    with closing(http.client.HTTPConnection("127.0.0.1", port, 60, source)) as client:
        client.request("GET", "/accounts/login/")
        return client.getresponse().status
