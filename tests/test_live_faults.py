"""Streams while Redis, PostgreSQL, a message or the server itself is away; the hub alone."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, closing, contextmanager
from uuid import uuid4

import psycopg2
import pytest
from asgiref.sync import sync_to_async
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.contrib.auth.models import Permission
from django.db import connection, connections
from redis import Redis
from redis.connection import parse_url

from devserver import redis as embedded_redis
from devserver.paths import temporary_paths
from devserver.processes import running_child, wait_for
from imports import progress, snapshots
from imports.live import coalescing
from imports.live import hub as hub_module
from imports.live.database import QueryBatcher
from imports.live.hub import ProgressHub, Subscriber, hub
from imports.live.routing import make_stream_router
from imports.models import ImportJob
from imports.statuses import Status
from tests.streams import (
    PING,
    check_one_row,
    get_stream_error,
    is_lock_awaited,
    make_job,
    make_session_cookie,
    running_daphne,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(django_user_model):
    user = django_user_model.objects.create_user("alice", password="a-good-password")
    user.user_permissions.add(Permission.objects.get(codename="add_importjob"))
    return user


@pytest.fixture
def own_redis(settings):
    """A Redis that this test may stop, in use by this process and by what it starts."""
    with temporary_paths() as home, running_child(embedded_redis.make_server(home)) as child:
        settings.REDIS_URL = embedded_redis.get_url(home)
        progress._redis.cache_clear()
        progress._paused_until = 0.0
        yield child
        progress._redis().close()
        progress._redis.cache_clear()


# --- What may be away --------------------------------------------------------


def test_a_lost_message_is_made_good_by_the_poll(alice):
    job = make_job(alice)
    with (
        running_daphne(IMPORT_POLL_SECONDS="0.2") as server,
        server.stream(job, make_session_cookie(alice)) as stream,
    ):
        assert stream.next().id == str(job.version)

        check_one_row(job)  # Nobody is told.
        assert stream.next().id == str(job.version)

        ImportJob.objects.transition(job.pk, Status.CANCELLED)
        assert [event.name for event in stream.rest()][-1] == "cancelled"


def test_without_redis_streams_begin_move_and_end(alice, own_redis):
    job, cookie = make_job(alice), make_session_cookie(alice)
    with running_daphne(IMPORT_POLL_SECONDS="0.2") as server, server.stream(job, cookie) as stream:
        assert stream.next()
        own_redis.stop()

        progress.publish(check_one_row(job))
        assert stream.next().id == str(job.version)
        with server.stream(job, cookie) as late:
            assert late.next().id == str(job.version)
        progress.publish(ImportJob.objects.transition(job.pk, Status.CANCELLED))
        assert [event.name for event in stream.rest()] == ["cancelled"]


def test_when_redis_returns_it_is_heard_again(alice, own_redis, settings):
    job = make_job(alice)
    with (
        running_daphne(IMPORT_POLL_SECONDS="60") as server,
        server.stream(job, make_session_cookie(alice)) as stream,
    ):
        assert stream.next()
        wait_until(lambda: subscribers(settings.REDIS_URL) == 1)
        progress.publish(check_one_row(job))
        assert stream.next().id == str(job.version)

        own_redis.stop()
        own_redis.start()
        assert wait_for(own_redis.is_ready, 10)
        progress._paused_until = 0.0

        wait_until(lambda: subscribers(settings.REDIS_URL) == 1)
        progress.publish(ImportJob.objects.transition(job.pk, Status.CANCELLED))
        assert stream.next().name == "cancelled"


def test_without_postgresql_streams_stay_open(alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    fast = {"IMPORT_POLL_SECONDS": "0.2", "IMPORT_PING_SECONDS": "0.2"}
    with running_daphne(**fast) as server, server.stream(job, cookie) as stream:
        assert stream.next()
        with no_new_database_connections():
            assert [stream.next(pings=True) for _ in range(8)] == [PING] * 8
            assert get_stream_error(server, job, cookie) == (503, "unavailable")
        ImportJob.objects.transition(job.pk, Status.CANCELLED)
        assert stream.next().name == "cancelled"
        with server.stream(job, cookie) as again:
            assert again.status == 200


@contextmanager
def no_new_database_connections():
    name = connection.settings_dict["NAME"]
    parameters = connection.get_connection_params() | {"dbname": "postgres"}
    with closing(psycopg2.connect(**parameters)) as other:
        other.autocommit = True
        with other.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            try:
                yield
            finally:
                cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_server_that_stops_lets_its_streams_go(alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    with running_daphne() as server:
        streams = [server.stream(job, cookie) for _ in range(10)]
        assert all(stream.next() for stream in streams)
        server.process.terminate()
        for stream in streams:
            with stream:
                assert stream.next() is None
        wait_until(lambda: server.process.poll() is not None)
        assert server.errors.read_text() == ""


# --- One stream, event by event ----------------------------------------------


async def django_answers(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"Django"})


application = make_stream_router(django_answers)


@asynccontextmanager
async def tab(job, cookie, method="GET"):
    """A browser's tab on this process: bodies as they are sent."""
    headers = [(b"host", b"localhost"), (b"cookie", f"sessionid={cookie}".encode())]
    browser = HttpCommunicator(
        application, method, f"/api/imports/{job.pk}/events", headers=headers
    )
    browser.sent_request = True
    await browser.send_input({"type": "http.request", "body": b""})
    try:
        yield browser
        if not browser.future.done():
            await browser.send_input({"type": "http.disconnect"})
            await browser.wait()
    finally:
        await hub.stop()
        await sync_to_async(connections.close_all)()


async def next_body(browser, timeout=30):
    return (await browser.receive_output(timeout)).get("body", b"").decode()


async def opened(browser):
    """The tab after its first event."""
    assert (await browser.receive_output(30))["status"] == 200
    assert await next_body(browser) == "retry: 3000\n\n"
    assert (await next_body(browser)).startswith("id: ")


async def test_a_closed_tab_is_forgotten(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with tab(job, cookie) as browser:
        await opened(browser)
        assert list(hub.subscribers) == [str(job.pk)]
    assert not hub.subscribers


async def test_a_stream_that_fails_ends_so_that_the_browser_asks_again(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with tab(job, cookie) as browser:
        await opened(browser)
        hub.dispatch(None, {"id": str(job.pk), "version": 10**6, "status": {}})
        last = await browser.receive_output(30)
        assert (last["body"], last["more_body"]) == (b"", False)


async def test_a_stream_that_cannot_start_says_so(alice, settings):
    settings.SESSION_ENGINE = "no.such.engine"
    async with tab(ImportJob(), "a-session") as browser:
        answer = await browser.get_response(5)
    assert answer["status"] == 500
    assert b'"code": "internal_error"' in answer["body"]


async def test_later_events_are_fewer_but_a_new_status_never_waits(alice, monkeypatch):
    monkeypatch.setattr(coalescing, "FAST_PHASE_SECONDS", 0)
    monkeypatch.setattr(coalescing, "SLOW_PAUSE_SECONDS", 3600)
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with tab(job, cookie) as browser:
        await opened(browser)
        hub.dispatch(
            None, await sync_to_async(lambda: snapshots.build_snapshot(check_one_row(job)))()
        )
        assert await browser.receive_nothing(0.3)
        paused = await sync_to_async(ImportJob.objects.transition)(job.pk, Status.PAUSED)
        hub.dispatch(None, await sync_to_async(snapshots.build_snapshot)(paused))
        assert f"id: {paused.version}\n" in await next_body(browser)


async def test_what_is_published_while_a_stream_looks_is_not_missed(alice, settings, monkeypatch):
    settings.IMPORT_POLL_SECONDS = 3600
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    ahead = await sync_to_async(snapshots.build_snapshot)(job) | {"version": job.version + 1}
    monkeypatch.setattr(snapshots, "_workers", (-1e9, 0))  # So that the first look counts them.
    parameters = connection.get_connection_params()
    with closing(psycopg2.connect(**parameters)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE imports_worker IN ACCESS EXCLUSIVE MODE")
        async with tab(job, cookie) as browser:
            await until(lambda: is_lock_awaited(cursor, "imports_worker"))
            hub.dispatch(None, ahead)
            other.rollback()
            await browser.receive_output(30)
            await next_body(browser)
            assert f"id: {ahead['version']}\n" in await next_body(browser)


async def test_a_question_about_the_headers_only_is_answered_and_over(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with tab(job, cookie, method="HEAD") as browser:
        answer = await browser.get_response(5)
    assert (answer["status"], answer["body"]) == (200, b"")


async def test_other_addresses_are_djangos(alice):
    for path in ("/", "/api/imports/{}/", "/api/imports/{}/events/x", "/api/imports/1/events/"):
        browser = HttpCommunicator(application, "GET", path.format(ImportJob().pk))
        assert (await browser.get_response())["body"] == b"Django"
        await browser.wait()


async def test_a_web_socket_is_refused():
    browser = WebsocketCommunicator(application, "/ws/imports/1/")
    connected, _ = await browser.connect()
    assert not connected


async def test_a_server_that_cancels_the_connection_cancels_the_stream(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with tab(job, cookie) as browser:
        await opened(browser)
        browser.future.cancel()
        await asyncio.wait([browser.future])
        assert not hub.subscribers


# --- Questions to the database -----------------------------------------------


def session_number():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


async def test_who_asks_at_the_same_time_shares_a_connection_and_nothing_else(db):
    ask = QueryBatcher().run
    asked = [*[session_number] * 30, lambda: 1 / 0, session_number]

    answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)

    assert isinstance(answers.pop(-2), ZeroDivisionError)
    assert len(set(answers)) == 2  # Twenty questions at once.
    assert await ask(session_number) not in answers


async def test_who_leaves_before_the_answer_disturbs_nobody(db):
    ask, hold = QueryBatcher().run, threading.Event()
    first, leaves, stays = (
        asyncio.ensure_future(ask(question)) for question in (hold.wait, session_number, hold.wait)
    )
    await asyncio.sleep(0)  # All have asked.
    leaves.cancel()
    hold.set()
    assert await asyncio.gather(first, stays) == [True, True]


# --- The hub alone -----------------------------------------------------------


WATCHED = str(uuid4())


def seen(version, status="RUNNING", **more):
    return {"id": WATCHED, "version": version, "status": status} | more


async def test_a_viewer_keeps_the_newest_only():
    subscriber = Subscriber()
    for version in (3, 5, 4):
        subscriber.push(seen(version))
    assert await subscriber.next_snapshots(pause=0) == [seen(5)]
    subscriber.push(seen(5))
    assert not subscriber.pending
    subscriber.push(seen(5, live={"stalled": True}))
    assert await subscriber.next_snapshots(pause=0) == [seen(5, live={"stalled": True})]


async def test_a_connection_gone_dead_without_an_error_is_noticed(own_redis, settings, monkeypatch):
    monkeypatch.setattr(hub_module, "SELF_PING_SECONDS", 0.2)
    settings.IMPORT_POLL_SECONDS = 3600
    address, own = settings.REDIS_URL, ProgressHub()
    async with middleman(settings) as swallow:
        with own.subscribe(1, WATCHED) as subscriber:
            await until(lambda: subscribers(address) == 1)
            await tell(address, seen(1))
            assert await asyncio.wait_for(subscriber.next_snapshots(pause=0), 5) == [seen(1)]

            swallow()
            await until(lambda: subscribers(address) == 2)
            await tell(address, seen(2))
            assert await asyncio.wait_for(subscriber.next_snapshots(pause=0), 5) == [seen(2)]
        await own.stop()


async def test_messages_that_are_none_of_ours_change_nothing(own_redis, settings):
    settings.IMPORT_POLL_SECONDS = 3600
    own = ProgressHub()
    with own.subscribe(1, WATCHED) as subscriber:
        await until(lambda: subscribers(settings.REDIS_URL) == 1)
        with Redis.from_url(settings.REDIS_URL) as client:
            client.publish("imports:1:b", "not watched, so not even read")
            client.publish(f"imports:1:{WATCHED}", "no snapshot")
            client.publish(f"imports:{WATCHED}", "{}")
        await tell(settings.REDIS_URL, seen(1))
        assert await asyncio.wait_for(subscriber.next_snapshots(pause=0), 5) == [seen(1)]
    await own.stop()


def subscribers(url):
    with Redis.from_url(url) as client:
        return sum(int(each["psub"]) for each in client.client_list())


async def tell(url, snapshot):
    with Redis.from_url(url) as client:
        client.publish(f"imports:1:{WATCHED}", json.dumps(snapshot))


async def until(happened, seconds=10):
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def middleman(settings):
    """Stand before Redis; call what this yields, and the first connection goes dead."""
    path = parse_url(settings.REDIS_URL)["path"]
    writers, pipes = [], []

    async def carry(reader, writer):
        while chunk := await reader.read(65536):
            writer.write(chunk)
        writer.close()

    async def serve(reader, writer):
        redis_reader, redis_writer = await asyncio.open_unix_connection(path)
        writers.extend([writer, redis_writer])
        pipes.append(asyncio.gather(carry(reader, redis_writer), carry(redis_reader, writer)))
        await asyncio.wait([pipes[-1]])

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    settings.REDIS_URL = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield lambda: pipes[0].cancel()
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*pipes, return_exceptions=True)


async def test_a_hub_stops_whatever_moment_it_is_asked_at():
    """Before its loops have begun, and while they connect."""
    for step in range(200):
        own = ProgressHub()
        with own.subscribe(1, WATCHED):
            if step < 60:
                for _ in range(step):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(step / 20_000)
            await asyncio.wait_for(own.stop(), 5)
