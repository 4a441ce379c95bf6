"""Streams with a token or a ticket, the feed, WebSockets, and pages of another site."""

import asyncio
import json
from contextlib import suppress
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from rest_framework_simplejwt.tokens import AccessToken
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from imports import authentication, progress, snapshots
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.streams import (
    Stream,
    check_one_row,
    make_job,
    make_session_cookie,
    running_daphne,
    transition,
)

pytestmark = pytest.mark.django_db(transaction=True)

ALLOWED_ORIGIN = "https://app.example.com"
FEED = "/api/imports/events/"
MAX_PINGS = 20  # A stream that a test expects to end sends fewer before its end.


@pytest.fixture(scope="module")
def server(django_db_setup, django_db_blocker):
    options = {"IMPORTS_STREAM_POLL_SECONDS": "0.3", "CORS_ALLOWED_ORIGINS": ALLOWED_ORIGIN}
    with django_db_blocker.unblock(), running_daphne(**options) as running:
        yield running
        assert running.errors.read_text() == ""


def make_bearer_header(user):
    return {"Authorization": f"Bearer {AccessToken.for_user(user)}"}


def get_error(server, path, cookie=None, **options):
    with Stream(server.port, path, cookie, **options) as answer:
        assert answer.status >= 400  # A stream would not end.
        return answer.status, answer.read_json()["code"]


def make_ticket_path(job, user):
    return authentication.add_ticket(f"/api/imports/{job.pk}/events/", job.pk, user)


# --- Tokens and tickets ------------------------------------------------------


def test_a_token_opens_a_stream(server, alice):
    job = make_job(alice)
    with server.stream(job, **make_bearer_header(alice)) as stream:
        assert stream.next().snapshot == snapshots.build_snapshot(job)


def test_a_forged_token_gets_401_although_there_is_a_session(server, alice):
    job = make_job(alice)
    forged = {"Authorization": f"{make_bearer_header(alice)['Authorization']}x"}
    path = f"/api/imports/{job.pk}/events/"
    assert get_error(server, path, make_session_cookie(alice), **forged) == (401, "token_not_valid")


def test_a_ticket_opens_the_stream_of_its_import_only(server, alice):
    job, other = make_job(alice), make_job(alice)
    path = make_ticket_path(job, alice)

    with Stream(server.port, path) as stream:
        assert stream.next().snapshot["id"] == str(job.pk)
    elsewhere = path.replace(str(job.pk), str(other.pk), 1)
    assert get_error(server, elsewhere) == (401, "invalid_ticket")
    ticket = path.partition("?")[2]
    assert get_error(server, f"{FEED}?{ticket}") == (401, "invalid_ticket")


def test_a_ticket_expires_with_its_time_the_password_and_the_account(server, alice, monkeypatch):
    job = make_job(alice)
    with monkeypatch.context() as patch:
        patch.setattr(settings, "IMPORTS_TICKET_SECONDS", -2, raising=False)  # Has expired.
        expired = make_ticket_path(job, alice)
    assert get_error(server, expired) == (401, "invalid_ticket")
    valid = make_ticket_path(job, alice)
    alice.set_password("another")
    alice.save(update_fields=["password"])
    assert get_error(server, valid) == (401, "invalid_ticket")
    valid = make_ticket_path(job, alice)
    alice.is_active = False
    alice.save()
    assert get_error(server, valid) == (401, "invalid_ticket")


def test_the_access_log_names_no_ticket(alice, tmp_path):
    job, log = transition(make_job(alice), Status.COMPLETE), tmp_path / "access.log"
    path = make_ticket_path(job, alice)
    with (
        running_daphne(options=("-v", "1", "--access-log", str(log))) as server,
        Stream(server.port, path) as stream,
    ):
        assert stream.next().name == "complete"
        assert stream.next() is None

    # The server has written its buffer when it has ended.
    assert f"/api/imports/{job.pk}/events/" in log.read_text()
    assert "ticket" not in log.read_text()


def test_a_query_with_too_many_parameters_is_the_fault_of_the_client(server):
    assert get_error(server, f"{FEED}?{'a&' * 1_001}") == (400, "malformed")


def test_a_log_out_ends_the_tickets_of_its_user_only(server, alice, bob):
    job = make_job(alice)
    path = make_ticket_path(job, alice)
    logged_in_client(bob).post("/accounts/logout/")
    with Stream(server.port, path) as stream:
        assert stream.next().snapshot["id"] == str(job.pk)

    logged_in_client(alice).post("/accounts/logout/")

    assert get_error(server, path) == (401, "invalid_ticket")
    alice = type(alice).objects.get(pk=alice.pk)
    new_path = make_ticket_path(job, alice)
    logged_in_client(bob).post("/accounts/logout/")
    with Stream(server.port, new_path) as stream:
        assert stream.next().snapshot["id"] == str(job.pk)


def test_a_log_out_closes_the_streams_of_its_tickets(alice):
    job = make_job(alice)
    fast = {"IMPORTS_STREAM_POLL_SECONDS": "0.3", "IMPORTS_STREAM_PING_SECONDS": "0.3"}
    path = make_ticket_path(job, alice)
    with running_daphne(**fast) as server, Stream(server.port, path) as stream:
        assert stream.next().snapshot["id"] == str(job.pk)

        logged_in_client(alice).post("/accounts/logout/")

        # The permission is checked every two pings.
        assert None in [stream.next(pings=True) for _ in range(MAX_PINGS)]


@pytest.mark.parametrize("ticket", ["", "x", "a:b:c", "\x00", "é" * 9])
def test_a_malformed_ticket_gets_401(server, alice, ticket):
    path = f"/api/imports/{make_job(alice).pk}/events/?ticket={quote(ticket)}"
    assert get_error(server, path)[0] == 401


def test_tickets_of_the_same_time_step_are_equal(alice):
    job = make_job(alice)
    assert len({authentication.make_ticket(job.pk, alice) for _ in range(20)}) <= 2


def test_a_ticket_for_an_import_that_its_user_may_not_see_gets_404(server, alice, bob):
    assert get_error(server, make_ticket_path(make_job(alice), bob)) == (404, "not_found")


# --- The feed ----------------------------------------------------------------


def test_the_feed_shows_only_the_users_own_imports(server, alice, bob):
    mine, other = make_job(alice), make_job(bob)
    with Stream(server.port, FEED, make_session_cookie(alice)) as feed:
        assert feed.next().snapshot["id"] == str(mine.pk)
        progress.publish(check_one_row(other))
        new = make_job(alice, Status.QUEUED)
        progress.publish(new)
        assert feed.next().snapshot["id"] == str(new.pk)
        progress.publish(transition(new, Status.CANCELLED))
        last = feed.next()
        assert (last.name, last.snapshot["id"]) == ("cancelled", str(new.pk))
        progress.publish(check_one_row(mine))  # The end of one import does not end the feed.
        assert feed.next().snapshot["id"] == str(mine.pk)


def test_the_feed_of_a_user_with_view_all_shows_every_import(server, alice, eve):
    job = make_job(alice)
    with Stream(server.port, FEED, **make_bearer_header(eve)) as feed:
        assert feed.next().snapshot["id"] == str(job.pk)
        job = check_one_row(job)  # Not published: the poll finds it.
        assert feed.next().snapshot["version"] == job.version


def test_the_feed_needs_a_permission_to_import_or_to_view_all(server, django_user_model):
    assert get_error(server, FEED) == (401, "not_authenticated")
    visitor = django_user_model.objects.create_user("visitor")
    assert get_error(server, FEED, make_session_cookie(visitor)) == (403, "permission_denied")


# --- Pages of another site ---------------------------------------------------


def test_only_pages_of_allowed_origins_may_read_a_stream(server, alice):
    path = make_ticket_path(make_job(alice), alice)
    with Stream(server.port, path, Origin=ALLOWED_ORIGIN) as stream:
        assert stream.headers["Access-Control-Allow-Origin"] == ALLOWED_ORIGIN
        assert "Access-Control-Allow-Credentials" not in stream.headers
    with Stream(server.port, path, Origin="https://evil.example.com") as stream:
        assert "Access-Control-Allow-Origin" not in stream.headers
    with Stream(server.port, FEED, Origin=ALLOWED_ORIGIN) as response:
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (
            401,
            ALLOWED_ORIGIN,
        )


def test_a_preflight_request_allows_the_authorization_header(server):
    preflight_headers = {"Access-Control-Request-Method": "GET", "Origin": ALLOWED_ORIGIN}
    with Stream(server.port, FEED, method="OPTIONS", **preflight_headers) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED_ORIGIN
        assert "authorization" in answer.headers["Access-Control-Allow-Headers"]


# --- WebSockets --------------------------------------------------------------


@pytest.fixture
async def job(alice):
    yield await sync_to_async(make_job)(alice)
    await sync_to_async(connections.close_all)()


def make_socket_url(server, job, query=""):
    return f"ws://127.0.0.1:{server.port}/ws/imports/{job.pk}/{query}"


def make_cookie_header(user):
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={make_session_cookie(user)}"}


async def get_close_code(address, **options):
    async with connect(address, **options) as socket:
        return await wait_for_close_code(socket)


async def wait_for_close_code(socket):
    with suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            async for _ in socket:
                pass
    return socket.close_code


async def test_a_websocket_sends_snapshots_until_the_import_ends(server, alice, job):
    async with connect(
        make_socket_url(server, job), additional_headers=make_bearer_header(alice)
    ) as socket:
        first = json.loads(await socket.recv())
        assert first == await sync_to_async(snapshots.build_snapshot)(job)
        done = await sync_to_async(transition)(job, Status.COMPLETE)
        await sync_to_async(progress.publish)(done)
        assert json.loads(await socket.recv())["status"] == "COMPLETE"
        assert await wait_for_close_code(socket) == 1000


async def test_a_websocket_without_permission_closes_with_the_http_status(server, alice, job, bob):
    address = make_socket_url(server, job)
    forged = {"Authorization": "Bearer x.y.z"}
    other = await sync_to_async(make_bearer_header)(bob)
    assert await get_close_code(address, additional_headers=forged) == 4401
    assert await get_close_code(address, additional_headers=other) == 4404
    assert await get_close_code(make_socket_url(server, job, "?ticket=x")) == 4401


async def test_a_websocket_closes_when_the_client_sends_a_message(server, alice, job):
    async with connect(
        make_socket_url(server, job), additional_headers=make_bearer_header(alice)
    ) as socket:
        await socket.send("hello")
        assert await wait_for_close_code(socket) == 4400
        assert socket.close_reason == "This connection accepts no messages."


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://evil.example.com",
        "http://127.0.0.1",  # Another port.
        "http://127.0.0.1.example.com",
        "http://app.127.0.0.1",
        ALLOWED_ORIGIN,
    ],
)
async def test_a_session_opens_a_websocket_for_pages_of_this_site_only(server, alice, job, origin):
    headers = await sync_to_async(make_cookie_header)(alice)
    address = make_socket_url(server, job)
    with pytest.raises(InvalidStatus):
        await get_close_code(address, additional_headers=headers, origin=origin)
    own = f"http://127.0.0.1:{server.port}"
    async with connect(address, additional_headers=headers, origin=own) as socket:
        assert json.loads(await socket.recv())["id"] == str(job.pk)


async def test_a_ticket_opens_a_websocket_for_allowed_origins_only(server, alice, job):
    address = await sync_to_async(make_ticket_path)(job, alice)
    address = make_socket_url(server, job, f"?{address.partition('?')[2]}")
    async with connect(address, origin=ALLOWED_ORIGIN) as socket:
        assert json.loads(await socket.recv())["id"] == str(job.pk)
    for other in ("https://evil.example.com", f"{ALLOWED_ORIGIN}.evil.example", "null"):
        with pytest.raises(InvalidStatus):
            await get_close_code(address, origin=other)


async def test_a_frame_of_two_megabytes_closes_the_websocket(server, alice, job):
    address = await sync_to_async(make_ticket_path)(job, alice)
    address = make_socket_url(server, job, f"?{address.partition('?')[2]}")
    async with connect(address) as socket:
        assert await socket.recv()
        with suppress(ConnectionClosed):
            await socket.send("x" * 2_000_000)
        assert await wait_for_close_code(socket) in {1006, 1009, 4400}
