"""Streams of a Daphne server with PostgreSQL and Redis."""

import json
import random
import re
import time

import psutil
import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from imports import progress, snapshots
from imports.authentication import get_login_hint
from imports.live import sse
from imports.models import ImportJob
from imports.statuses import Status
from tests.conftest import make_username
from tests.database import connection
from tests.streams import (
    PING,
    check_one_row,
    get_stream_error,
    make_job,
    make_session_cookie,
    running_daphne,
    stalled_clients,
    transition,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)

NO_POLL = {"IMPORTS_STREAM_POLL_SECONDS": "60"}
FAST = {"IMPORTS_STREAM_POLL_SECONDS": "0.3", "IMPORTS_STREAM_PING_SECONDS": "0.3"}


@pytest.fixture(scope="module")
def server(django_db_setup, django_db_blocker):
    """A server without polling: streams receive only what is published."""
    with django_db_blocker.unblock(), running_daphne(**NO_POLL) as running:
        yield running
        assert running.errors.read_text() == ""


@pytest.fixture
def alice(django_user_model):
    return importing_user(django_user_model, "alice")


@pytest.fixture
def bob(django_user_model):
    return importing_user(django_user_model, "bob")


def importing_user(model, name):
    user = model.objects.create_user(make_username(name), password="a-good-password")
    user.user_permissions.add(Permission.objects.get(codename="add_importjob"))
    return user


@pytest.fixture(autouse=True)
def publish_without_pause():
    """End the pause after a failure of Redis in an earlier test."""
    progress._paused_until = 0.0


# --- Events ------------------------------------------------------------------


def test_the_first_event_is_the_current_snapshot_within_200_ms(server, alice):
    job, cookie = make_job(alice), make_session_cookie(alice)

    durations = []
    for _ in range(5):
        started = time.monotonic()
        with server.stream(job, cookie) as stream:
            first = stream.next()
        durations.append(time.monotonic() - started)

    assert (first.name, first.id) == ("progress", str(job.version))
    assert first.snapshot == snapshots.build_snapshot(job)
    assert min(durations) < 0.2


def test_the_reconnection_time_is_part_of_the_first_event(server, alice):
    job = make_job(alice)
    with server.stream(job, make_session_cookie(alice)) as stream:
        assert [stream.read_line() for _ in range(2)] == ["retry: 3000\n", f"id: {job.version}\n"]


def test_the_headers_of_a_stream_forbid_caching_and_buffering(server, alice):
    with server.stream(make_job(alice), make_session_cookie(alice)) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["Cache-Control"] == "no-cache, no-store, no-transform"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert stream.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("status", "target", "name"),
    [
        (Status.RUNNING, Status.COMPLETE, "complete"),
        (Status.RUNNING, Status.FAILED, "failed"),
        (Status.QUEUED, Status.CANCELLED, "cancelled"),
        (Status.UNDOING, Status.UNDONE, "undone"),
    ],
)
def test_the_last_event_is_named_after_the_final_status_and_the_response_ends(
    server, alice, status, target, name
):
    job = make_job(alice, status)
    with server.stream(job, make_session_cookie(alice)) as stream:
        assert stream.next().name == "progress"

        error_code = "no_rows" if target == Status.FAILED else None
        job = transition(job, target, error_code=error_code)
        progress.publish(job)

        last = stream.next()
        assert (last.name, last.id) == (name, str(job.version))
        assert last.snapshot["status"] == target
        assert stream.next() is None


@pytest.mark.parametrize("status", [Status.MAPPING, Status.READY, Status.PAUSED])
def test_a_stream_goes_on_while_the_import_waits_for_a_person(server, alice, status):
    job = make_job(alice, status)
    with server.stream(job, make_session_cookie(alice)) as stream:
        assert stream.next().name == "progress"
        progress.publish(ImportJob.objects.transition(job.pk, Status.CANCELLED))
        assert stream.next().name == "cancelled"


def test_a_reconnect_after_the_last_event_gets_204(server, alice):
    cookie = make_session_cookie(alice)
    job = ImportJob.objects.transition(make_job(alice).pk, Status.CANCELLED)

    with server.stream(job, cookie, last_event_id=job.version) as answer:
        assert (answer.status, answer.response.read()) == (204, b"")
    with server.stream(job, cookie, last_event_id=job.version - 1) as stream:
        assert [event.name for event in stream.rest()] == ["cancelled"]


def test_a_reconnect_before_the_end_gets_the_newest_snapshot(server, alice):
    job = make_job(alice)
    with server.stream(job, make_session_cookie(alice), last_event_id=job.version) as stream:
        assert stream.next().id == str(job.version)


def test_a_message_with_an_older_version_is_dropped(server, alice):
    job, rng = make_job(alice), random.Random(7)
    older = [snapshots.build_snapshot(check_one_row(job)) for _ in range(20)]
    with server.stream(job, make_session_cookie(alice)) as stream:
        stream.next()
        for _ in range(10):
            publish(job, snapshots.build_snapshot(check_one_row(job)))
            publish(job, rng.choice(older))
            assert stream.next().id == str(job.version)


def test_a_change_of_the_live_state_is_sent_without_a_new_version(server, alice):
    job = make_job(alice)
    with server.stream(job, make_session_cookie(alice)) as stream:
        first = stream.next()
        stalled = first.snapshot | {"live": {"stalled": True}}
        publish(job, first.snapshot)  # The stream has sent it already.
        publish(job, stalled)
        assert stream.next().snapshot == stalled


def publish(job, snapshot):
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.publish(progress.get_channel(job), json.dumps(snapshot))


def test_at_most_ten_events_a_second_are_sent_and_always_the_last_one(server, alice):
    job = make_job(alice)
    with server.stream(job, make_session_cookie(alice)) as stream:
        stream.next()
        started, events = time.monotonic(), []
        for _ in range(100):
            progress.publish(check_one_row(job))
        while not events or events[-1].id != str(job.version):
            events.append(stream.next())

    assert len(events) <= 10 * (time.monotonic() - started) + 1


# --- Permissions -------------------------------------------------------------


def test_a_request_without_a_session_gets_401(server, alice):
    assert get_stream_error(server, make_job(alice)) == (401, "not_authenticated")
    assert get_stream_error(server, make_job(alice), "a-made-up-session") == (
        401,
        "not_authenticated",
    )


def test_an_import_that_the_user_may_not_see_gets_404(server, alice, bob):
    job = make_job(alice)
    assert get_stream_error(server, job, make_session_cookie(bob)) == (404, "not_found")
    alice.user_permissions.clear()
    assert get_stream_error(server, job, make_session_cookie(alice)) == (404, "not_found")
    assert get_stream_error(server, ImportJob(), make_session_cookie(alice)) == (404, "not_found")


def test_an_error_is_json_with_code_and_message(server, alice):
    with server.stream(make_job(alice)) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        message = get_login_hint()
        body = {"code": "not_authenticated", "message": message, "params": {}, "errors": []}
        assert answer.read_json() == body
        name = get_user_model().USERNAME_FIELD
        assert f"POST {name} and password to /api/auth/token/" in message


def test_only_get_and_head_are_allowed(server, alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    for method in ("POST", "DELETE", "PUT"):
        assert get_stream_error(server, job, cookie, method=method) == (405, "method_not_allowed")
    with server.stream(job, cookie, method="HEAD") as answer:
        assert (answer.status, answer.response.read()) == (200, b"")


def test_an_unknown_host_name_gets_400(server, alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    assert get_stream_error(server, job, cookie, Host="evil.example") == (400, "invalid_host")


@pytest.mark.parametrize("end", ["logout", "password", "permission", "deletion"])
def test_a_stream_ends_when_its_user_loses_access(alice, end):
    job, cookie = make_job(alice), make_session_cookie(alice)
    with running_daphne(**FAST) as server, server.stream(job, cookie) as stream:
        assert stream.next().name == "progress"
        assert stream.next(pings=True) == PING  # The permission was checked again meanwhile.
        assert stream.next(pings=True) == PING
        assert stream.next(pings=True) == PING

        if end == "logout":
            client = Client()
            client.cookies["sessionid"] = cookie
            client.session.flush()
        elif end == "password":
            alice.set_password("another-password")
            alice.save()
        elif end == "permission":
            alice.user_permissions.clear()
        else:
            job.delete()

        assert (
            wait_until(lambda: stream.next() is None) < 30
        )  # Otherwise it would last for ten minutes.


# --- Content -----------------------------------------------------------------


@pytest.mark.parametrize("end_of_line", ["\n", "\r", "\r\n", "\n\n", "\u2028", "\x85", "\0"])
def test_a_text_in_a_snapshot_never_ends_its_event(alice, end_of_line):
    snapshot = snapshots.build_snapshot(make_job(alice))
    forged = f"x{end_of_line}id: 9{end_of_line}event: complete{end_of_line}data: {{}}"

    event = sse.format_event(snapshot | {"error_code": forged}).decode()

    lines = re.split("\r\n|\r|\n", event)  # The ends of lines of an event stream.
    assert [line.partition(":")[0] for line in lines] == ["id", "event", "data", "", ""]
    assert json.loads(lines[2].removeprefix("data: "))["error_code"] == forged


# --- Limits ------------------------------------------------------------------


def test_the_limit_per_user_counts_open_streams_only(alice, bob):
    job, cookie, job_of_bob = make_job(alice), make_session_cookie(alice), make_job(bob)
    with running_daphne(IMPORTS_MAX_STREAMS_PER_USER="2", **NO_POLL) as server:
        with server.stream(job, cookie) as first, server.stream(job, cookie) as second:
            assert first.next()
            assert second.next()
            with server.stream(job, cookie) as third:
                assert (third.status, third.read_json()["code"]) == (429, "throttled")
                assert third.headers["Retry-After"] == "10"
            with server.stream(job_of_bob, make_session_cookie(bob)) as stream_of_bob:
                assert stream_of_bob.status == 200
            fds = psutil.Process(server.process.pid).num_fds()
            second.close()
            assert wait_until(lambda: is_accepted(server, job, cookie), seconds=1) < 1
            wait_until(lambda: psutil.Process(server.process.pid).num_fds() < fds)
        assert server.errors.read_text() == ""


def is_accepted(server, job, cookie):
    with server.stream(job, cookie) as stream:
        return stream.status == 200


def test_the_limit_per_process_gets_503(alice, bob):
    job, cookie = make_job(alice), make_session_cookie(alice)
    with running_daphne(IMPORTS_MAX_STREAMS_PER_PROCESS="1", **NO_POLL) as server:
        with server.stream(job, cookie) as only:
            assert only.next()
            with server.stream(make_job(bob), make_session_cookie(bob)) as another:
                assert (another.status, another.read_json()["code"]) == (503, "unavailable")
                assert another.headers["Retry-After"] == "10"
        wait_until(lambda: is_accepted(server, job, cookie), seconds=1)


def test_an_open_stream_holds_no_database_connection(server, alice):
    with server.stream(make_job(alice), make_session_cookie(alice)) as stream:
        assert stream.next()
        wait_until(lambda: count_other_sessions() == 0)


def count_other_sessions():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


def test_clients_that_never_read_do_not_delay_others(alice, bob):
    job, cookie = make_job(alice), make_session_cookie(alice)
    limits = {"IMPORTS_MAX_STREAMS_PER_USER": "100", "IMPORTS_MAX_STREAM_SECONDS": "4"}
    with running_daphne(**limits, **NO_POLL) as server, server.stream(job, cookie) as first:
        assert first.next()
        memory_before = psutil.Process(server.process.pid).memory_info().rss
        with stalled_clients(server, job, cookie, 50), server.stream(job, cookie) as stream:
            stream.next()
            for _ in range(10):
                started = time.monotonic()
                progress.publish(check_one_row(job))
                assert stream.next().id == str(job.version)
                assert time.monotonic() - started < 1
            growth = psutil.Process(server.process.pid).memory_info().rss - memory_before
            assert growth < 50 * 1024 * 1024
            assert stream.next() is None  # Its maximum age is reached.


def test_a_stream_ends_at_its_maximum_age_and_the_client_reconnects(alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    limits = {"IMPORTS_MAX_STREAM_SECONDS": "0.5", "IMPORTS_STREAM_PING_SECONDS": "10"}
    with running_daphne(**limits, **NO_POLL) as server:
        with server.stream(job, cookie) as stream:
            started = time.monotonic()
            last = stream.rest()[-1]
            assert 0.3 < time.monotonic() - started < 2
        with server.stream(job, cookie, last_event_id=last.id) as again:
            assert again.next().id == last.id
