"""The other ways to watch: by token and ticket, the feed, a WebSocket, a page of another site."""

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
from tests.streams import (
    Stream,
    check_one_row,
    make_job,
    make_session_cookie,
    running_daphne,
    transition,
)

pytestmark = pytest.mark.django_db(transaction=True)

FRIEND = "https://app.example.com"
FEED = "/api/imports/events/"


@pytest.fixture(scope="module")
def server(django_db_setup, django_db_blocker):
    options = {"IMPORT_POLL_SECONDS": "0.3", "CORS_ALLOWED_ORIGINS": FRIEND}
    with django_db_blocker.unblock(), running_daphne(**options) as running:
        yield running
        assert running.errors.read_text() == ""


def bearer(user):
    return {"Authorization": f"Bearer {AccessToken.for_user(user)}"}


def answer_to(server, path, cookie=None, **options):
    with Stream(server.port, path, cookie, **options) as answer:
        return answer.status, answer.body()["code"]


def ticketed(job, user):
    return authentication.add_ticket(f"/api/imports/{job.pk}/events/", job.pk, user)


# --- Tokens and tickets ------------------------------------------------------


def test_a_token_opens_a_stream(server, alice):
    job = make_job(alice)
    with server.stream(job, **bearer(alice)) as stream:
        assert stream.next().snapshot == snapshots.build_snapshot(job)


def test_a_forged_token_is_refused_even_beside_a_session(server, alice):
    job = make_job(alice)
    forged = {"Authorization": f"{bearer(alice)['Authorization']}x"}
    path = f"/api/imports/{job.pk}/events/"
    assert answer_to(server, path, make_session_cookie(alice), **forged) == (401, "token_not_valid")


def test_a_ticket_opens_the_stream_of_its_import_only(server, alice):
    job, other = make_job(alice), make_job(alice)
    path = ticketed(job, alice)

    with Stream(server.port, path) as stream:
        assert stream.next().snapshot["id"] == str(job.pk)
    elsewhere = path.replace(str(job.pk), str(other.pk), 1)
    assert answer_to(server, elsewhere) == (401, "invalid_ticket")
    ticket = path.partition("?")[2]
    assert answer_to(server, f"{FEED}?{ticket}") == (401, "invalid_ticket")


def test_a_ticket_ends_with_its_hour_its_password_and_its_account(server, alice, monkeypatch):
    job = make_job(alice)
    with monkeypatch.context() as patch:
        patch.setattr(settings, "IMPORT_TICKET_SECONDS", -2)  # It ended a second ago, or two.
        old = ticketed(job, alice)
    assert answer_to(server, old) == (401, "invalid_ticket")
    good = ticketed(job, alice)
    alice.set_password("another")
    alice.save(update_fields=["password"])
    assert answer_to(server, good) == (401, "invalid_ticket")
    good = ticketed(job, alice)
    alice.is_active = False
    alice.save(update_fields=["is_active"])
    assert answer_to(server, good) == (401, "invalid_ticket")


@pytest.mark.parametrize("ticket", ["", "x", "a:b:c", "\x00", "é" * 9])
def test_what_is_no_ticket_is_refused(server, alice, ticket):
    path = f"/api/imports/{make_job(alice).pk}/events/?ticket={quote(ticket)}"
    assert answer_to(server, path)[0] == 401


def test_a_ticket_stays_the_same_for_a_while_so_that_an_answer_does(alice):
    job = make_job(alice)
    assert len({authentication.make_ticket(job.pk, alice) for _ in range(20)}) <= 2


def test_a_ticket_does_not_show_imports_one_may_not_see(server, alice, bob):
    assert answer_to(server, ticketed(make_job(alice), bob)) == (404, "not_found")


# --- The feed ----------------------------------------------------------------


def test_the_feed_shows_ones_own_imports_and_nobody_elses(server, alice, bob):
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


def test_whoever_may_see_all_has_them_all_in_the_feed(server, alice, eve):
    job = make_job(alice)
    with Stream(server.port, FEED, **bearer(eve)) as feed:
        assert feed.next().snapshot["id"] == str(job.pk)
        job = check_one_row(job)  # And nobody is told: the poll finds it.
        assert feed.next().snapshot["version"] == job.version


def test_the_feed_is_for_those_who_may_import_or_see(server, django_user_model):
    assert answer_to(server, FEED) == (401, "not_authenticated")
    visitor = django_user_model.objects.create_user("visitor")
    assert answer_to(server, FEED, make_session_cookie(visitor)) == (403, "permission_denied")


# --- Pages of another site ---------------------------------------------------


def test_a_page_of_a_friendly_site_may_read_a_stream_and_no_other(server, alice):
    path = ticketed(make_job(alice), alice)
    with Stream(server.port, path, Origin=FRIEND) as stream:
        assert stream.headers["Access-Control-Allow-Origin"] == FRIEND
        assert "Access-Control-Allow-Credentials" not in stream.headers
    with Stream(server.port, path, Origin="https://evil.example.com") as stream:
        assert "Access-Control-Allow-Origin" not in stream.headers
    with Stream(server.port, FEED, Origin=FRIEND) as refused:
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, FRIEND)


def test_a_browser_may_ask_before_it_sends_a_token(server):
    asked = {"Access-Control-Request-Method": "GET", "Origin": FRIEND}
    with Stream(server.port, FEED, method="OPTIONS", **asked) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
        assert "authorization" in answer.headers["Access-Control-Allow-Headers"]


# --- A WebSocket -------------------------------------------------------------


@pytest.fixture
async def job(alice):
    yield await sync_to_async(make_job)(alice)
    await sync_to_async(connections.close_all)()


def socket_address(server, job, query=""):
    return f"ws://127.0.0.1:{server.port}/ws/imports/{job.pk}/{query}"


def cookie_header(user):
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={make_session_cookie(user)}"}


async def closed_with(address, **options):
    async with connect(address, **options) as socket:
        return await close_code(socket)


async def close_code(socket):
    with suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            async for _ in socket:
                pass
    return socket.close_code


async def test_a_socket_carries_snapshots_until_the_end(server, alice, job):
    async with connect(socket_address(server, job), additional_headers=bearer(alice)) as socket:
        first = json.loads(await socket.recv())
        assert first == await sync_to_async(snapshots.build_snapshot)(job)
        done = await sync_to_async(transition)(job, Status.COMPLETE)
        await sync_to_async(progress.publish)(done)
        assert json.loads(await socket.recv())["status"] == "COMPLETE"
        assert await close_code(socket) == 1000


async def test_a_socket_says_why_it_is_refused(server, alice, job, bob):
    address = socket_address(server, job)
    forged = {"Authorization": "Bearer x.y.z"}
    other = await sync_to_async(bearer)(bob)
    assert await closed_with(address, additional_headers=forged) == 4401
    assert await closed_with(address, additional_headers=other) == 4404
    assert await closed_with(socket_address(server, job, "?ticket=x")) == 4401


async def test_nothing_is_to_be_sent(server, alice, job):
    async with connect(socket_address(server, job), additional_headers=bearer(alice)) as socket:
        await socket.send("hello")
        assert await close_code(socket) == 4400
        assert socket.close_reason == "Nothing is to be sent here."


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example.com", FRIEND])
async def test_a_session_opens_a_socket_for_our_own_pages_only(server, alice, job, origin):
    headers = await sync_to_async(cookie_header)(alice)
    address = socket_address(server, job)
    with pytest.raises(InvalidStatus):
        await closed_with(address, additional_headers=headers, origin=origin)
    own = f"http://127.0.0.1:{server.port}"
    async with connect(address, additional_headers=headers, origin=own) as socket:
        assert json.loads(await socket.recv())["id"] == str(job.pk)


async def test_a_ticket_opens_a_socket_for_a_friendly_site_only(server, alice, job):
    address = await sync_to_async(ticketed)(job, alice)
    address = socket_address(server, job, f"?{address.partition('?')[2]}")
    async with connect(address, origin=FRIEND) as socket:
        assert json.loads(await socket.recv())["id"] == str(job.pk)
    with pytest.raises(InvalidStatus):
        await closed_with(address, origin="https://evil.example.com")
