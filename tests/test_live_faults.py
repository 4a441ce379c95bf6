"""Streams while Redis, PostgreSQL or the server fails, or a message is lost; the hub by itself."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, closing, contextmanager
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from redis import Redis
from redis.connection import parse_url

from devserver import redis as embedded_redis
from devserver.paths import temporary_paths
from devserver.processes import running_child, wait_for
from imports import progress, snapshots, worker_status
from imports.live import coalescing
from imports.live import hub as hub_module
from imports.live.database import QueryBatcher, run_all
from imports.live.hub import ProgressHub, Subscriber, hub
from imports.live.routing import add_streams
from imports.models import ImportJob
from imports.snapshots import make_import_topic
from imports.statuses import Status
from tests.database import connection
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
    """A Redis server that the test may stop, for this process and the processes it starts."""
    with temporary_paths() as home, running_child(embedded_redis.make_server(home)) as child:
        settings.IMPORTS_REDIS_URL = embedded_redis.get_url(home)
        progress._redis.cache_clear()
        progress._paused_until = 0.0
        yield child
        progress._redis().close()
        progress._redis.cache_clear()


# --- Failures ----------------------------------------------------------------


def test_the_poll_finds_a_change_whose_message_was_lost(alice):
    job = make_job(alice)
    with (
        running_daphne(IMPORTS_STREAM_POLL_SECONDS="0.2") as server,
        server.stream(job, make_session_cookie(alice)) as stream,
    ):
        assert stream.next().id == str(job.version)

        check_one_row(job)  # Not published.
        assert stream.next().id == str(job.version)

        ImportJob.objects.transition(job.pk, Status.CANCELLED)
        assert [event.name for event in stream.rest()][-1] == "cancelled"


def test_streams_work_without_redis(alice, own_redis):
    job, cookie = make_job(alice), make_session_cookie(alice)
    with (
        running_daphne(IMPORTS_STREAM_POLL_SECONDS="0.2") as server,
        server.stream(job, cookie) as stream,
    ):
        assert stream.next()
        own_redis.stop()

        progress.publish(check_one_row(job))
        assert stream.next().id == str(job.version)
        with server.stream(job, cookie) as late:
            assert late.next().id == str(job.version)
        progress.publish(ImportJob.objects.transition(job.pk, Status.CANCELLED))
        assert [event.name for event in stream.rest()] == ["cancelled"]


def test_the_hub_reconnects_when_redis_returns(alice, own_redis, settings):
    job = make_job(alice)
    with (
        running_daphne(IMPORTS_STREAM_POLL_SECONDS="60") as server,
        server.stream(job, make_session_cookie(alice)) as stream,
    ):
        assert stream.next()
        wait_until(lambda: count_subscribers(settings.IMPORTS_REDIS_URL) == 1)
        progress.publish(check_one_row(job))
        assert stream.next().id == str(job.version)

        own_redis.stop()
        own_redis.start()
        assert wait_for(own_redis.is_ready, 10)
        progress._paused_until = 0.0

        wait_until(lambda: count_subscribers(settings.IMPORTS_REDIS_URL) == 1)
        progress.publish(ImportJob.objects.transition(job.pk, Status.CANCELLED))
        assert stream.next().name == "cancelled"


def test_streams_stay_open_without_postgresql(alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    fast = {"IMPORTS_STREAM_POLL_SECONDS": "0.2", "IMPORTS_STREAM_PING_SECONDS": "0.2"}
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
    with closing(connection.Database.connect(**parameters)) as other:
        other.autocommit = True
        with other.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            try:
                yield
            finally:
                cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_server_that_stops_ends_its_streams(alice):
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


async def django_stub(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"Django"})


application = add_streams(django_stub)


@asynccontextmanager
async def open_client(job, cookie, method="GET"):
    """Open a stream of this process without a server; yield the client."""
    headers = [(b"host", b"localhost"), (b"cookie", f"sessionid={cookie}".encode())]
    client = HttpCommunicator(application, method, f"/api/imports/{job.pk}/events", headers=headers)
    client.sent_request = True
    await client.send_input({"type": "http.request", "body": b""})
    try:
        yield client
        if not client.future.done():
            await client.send_input({"type": "http.disconnect"})
            await client.wait()
    finally:
        await hub.stop()
        await sync_to_async(connections.close_all)()


async def read_body(client, timeout=30):
    return (await client.receive_output(timeout)).get("body", b"").decode()


async def read_first_event(client):
    assert (await client.receive_output(30))["status"] == 200
    assert await read_body(client) == "retry: 3000\n"
    assert (await read_body(client)).startswith("id: ")


async def test_a_client_that_disconnects_is_unsubscribed(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with open_client(job, cookie) as client:
        await read_first_event(client)
        assert list(hub.subscribers) == [make_import_topic(job.pk)]
    assert not hub.subscribers


async def test_a_stream_that_fails_ends_its_response(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with open_client(job, cookie) as client:
        await read_first_event(client)
        hub.dispatch(None, {"id": str(job.pk), "version": 10**6, "status": {}})
        last = await client.receive_output(30)
        assert (last["body"], last["more_body"]) == (b"", False)


async def test_a_stream_that_cannot_start_gets_500(alice, settings):
    settings.SESSION_ENGINE = "no.such.engine"
    async with open_client(ImportJob(), "a-session") as client:
        answer = await client.get_response(5)
    assert answer["status"] == 500
    assert b'"code": "internal_error"' in answer["body"]


async def test_a_change_of_status_is_sent_without_the_slow_pause(alice, monkeypatch):
    monkeypatch.setattr(coalescing, "FAST_PHASE_SECONDS", 0)
    monkeypatch.setattr(coalescing, "SLOW_PAUSE_SECONDS", 3600)
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with open_client(job, cookie) as client:
        await read_first_event(client)
        hub.dispatch(
            None, await sync_to_async(lambda: snapshots.build_snapshot(check_one_row(job)))()
        )
        assert await client.receive_nothing(0.3)
        paused = await sync_to_async(ImportJob.objects.transition)(job.pk, Status.PAUSED)
        hub.dispatch(None, await sync_to_async(snapshots.build_snapshot)(paused))
        assert f"id: {paused.version}\n" in await read_body(client)


async def test_a_message_during_the_initial_query_is_not_missed(alice, settings, monkeypatch):
    settings.IMPORTS_STREAM_POLL_SECONDS = 3600
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    newer = await sync_to_async(snapshots.build_snapshot)(job) | {"version": job.version + 1}
    worker_status.forget_cached_status()  # So that the first query counts the workers.
    parameters = connection.get_connection_params()
    with closing(connection.Database.connect(**parameters)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE imports_worker IN ACCESS EXCLUSIVE MODE")
        async with open_client(job, cookie) as client:
            await wait_until_async(lambda: is_lock_awaited(cursor, "imports_worker"))
            hub.dispatch(None, newer)
            other.rollback()
            await client.receive_output(30)
            await read_body(client)
            assert f"id: {newer['version']}\n" in await read_body(client)


async def test_a_head_request_gets_a_complete_response(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with open_client(job, cookie, method="HEAD") as client:
        answer = await client.get_response(5)
    assert (answer["status"], answer["body"]) == (200, b"")


async def test_other_paths_go_to_django(alice):
    for path in ("/", "/api/imports/{}/", "/api/imports/{}/events/x", "/api/imports/1/events/"):
        client = HttpCommunicator(application, "GET", path.format(ImportJob().pk))
        assert (await client.get_response())["body"] == b"Django"
        await client.wait()


async def test_a_websocket_at_an_unknown_path_is_refused():
    client = WebsocketCommunicator(add_streams(ASGIHandler()), "/ws/imports/1/")
    connected, _ = await client.connect()
    assert not connected


async def test_a_websocket_at_an_unknown_path_goes_to_the_application_of_the_project():
    async def accept(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})

    client = WebsocketCommunicator(add_streams(accept), "/chat/")
    connected, _ = await client.connect()
    assert connected
    await client.disconnect()


async def test_a_websocket_that_is_closed_before_its_first_message_is_no_error(alice, caplog):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    messages, has_sent = asyncio.Queue(), asyncio.Event()
    messages.put_nowait({"type": "websocket.connect"})

    async def send(message):
        if message["type"] == "websocket.send":
            has_sent.set()
            raise RuntimeError("The connection is closed.")  # As Daphne does.

    headers = [
        (b"host", b"localhost"),
        (b"origin", b"http://localhost"),
        (b"cookie", f"sessionid={cookie}".encode()),
    ]
    scope = {
        "type": "websocket",
        "path": f"/ws/imports/{job.pk}/",
        "query_string": b"",
        "headers": headers,
    }
    socket = asyncio.create_task(application(scope, messages.get, send))
    try:
        async with asyncio.timeout(30):
            await has_sent.wait()
            messages.put_nowait({"type": "websocket.disconnect", "code": 1006})
            await socket
    finally:
        await hub.stop()
        await sync_to_async(connections.close_all)()

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_cancelling_the_connection_cancels_the_stream(alice):
    job, cookie = (
        await sync_to_async(make_job)(alice),
        await sync_to_async(make_session_cookie)(alice),
    )
    async with open_client(job, cookie) as client:
        await read_first_event(client)
        client.future.cancel()
        await asyncio.wait([client.future])
        assert not hub.subscribers


# --- Batching of queries -----------------------------------------------------


def get_session_id():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


async def test_simultaneous_queries_share_a_connection_but_not_their_errors(db):
    run = QueryBatcher().run
    queries = [*[get_session_id] * 30, lambda: 1 / 0, get_session_id]

    results = await asyncio.gather(*map(run, queries), return_exceptions=True)

    assert isinstance(results.pop(-2), ZeroDivisionError)
    assert len(set(results)) == 2  # Twenty queries per batch.
    assert await run(get_session_id) not in results


async def test_a_cancelled_query_does_not_disturb_the_others(db):
    run, release = QueryBatcher().run, threading.Event()
    first, cancelled, last = (
        asyncio.ensure_future(run(query)) for query in (release.wait, get_session_id, release.wait)
    )
    await asyncio.sleep(0)  # All three queries wait now.
    cancelled.cancel()
    release.set()
    assert await asyncio.gather(first, last) == [True, True]


# --- The hub by itself -------------------------------------------------------


JOB_ID = str(uuid4())


def make_snapshot(version, status="RUNNING", **more):
    return {"id": JOB_ID, "version": version, "status": status} | more


async def test_a_subscriber_keeps_only_the_newest_snapshot():
    subscriber = Subscriber("1", make_import_topic(JOB_ID))
    for version in (3, 5, 4):
        subscriber.push(make_snapshot(version))
    assert await subscriber.next_snapshots(pause=0) == [make_snapshot(5)]
    subscriber.push(make_snapshot(5))
    assert not subscriber.pending
    subscriber.push(make_snapshot(5, live={"stalled": True}))
    assert await subscriber.next_snapshots(pause=0) == [make_snapshot(5, live={"stalled": True})]


async def test_a_dead_connection_to_redis_is_replaced(own_redis, settings, monkeypatch):
    monkeypatch.setattr(hub_module, "SELF_PING_SECONDS", 0.2)
    settings.IMPORTS_STREAM_POLL_SECONDS = 3600
    url, own_hub = settings.IMPORTS_REDIS_URL, ProgressHub()
    async with relay_to_redis(settings) as cut_first_connection:
        with own_hub.subscribe("1", make_import_topic(JOB_ID)) as subscriber:
            await wait_until_async(lambda: count_subscribers(url) == 1)
            await publish(url, make_snapshot(1))
            assert await wait_for_snapshots(subscriber) == [make_snapshot(1)]

            cut_first_connection()
            await wait_until_async(lambda: count_subscribers(url) == 2)
            await publish(url, make_snapshot(2))
            assert await wait_for_snapshots(subscriber) == [make_snapshot(2)]
        await own_hub.stop()


async def test_messages_that_are_no_snapshots_are_ignored(own_redis, settings):
    settings.IMPORTS_STREAM_POLL_SECONDS = 3600
    own_hub = ProgressHub()
    with own_hub.subscribe("1", make_import_topic(JOB_ID)) as subscriber:
        await wait_until_async(lambda: count_subscribers(settings.IMPORTS_REDIS_URL) == 1)
        with Redis.from_url(settings.IMPORTS_REDIS_URL) as client:
            client.publish("imports:1:b", "an import without subscribers, so not even parsed")
            client.publish(f"imports:1:{JOB_ID}", "no snapshot")
            client.publish(f"imports:{JOB_ID}", "{}")
        await publish(settings.IMPORTS_REDIS_URL, make_snapshot(1))
        assert await wait_for_snapshots(subscriber) == [make_snapshot(1)]
    await own_hub.stop()


async def wait_for_snapshots(subscriber):
    return await asyncio.wait_for(subscriber.next_snapshots(pause=0), 5)


def count_subscribers(url):
    with Redis.from_url(url) as client:
        return sum(int(each["psub"]) for each in client.client_list())


async def publish(url, snapshot):
    with Redis.from_url(url) as client:
        client.publish(f"imports:1:{JOB_ID}", json.dumps(snapshot))


async def wait_until_async(condition, seconds=10):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def relay_to_redis(settings):
    """Relay connections to Redis; yield a function that silently cuts the first one."""
    path = parse_url(settings.IMPORTS_REDIS_URL)["path"]
    writers, relays = [], []

    async def copy(reader, writer):
        while chunk := await reader.read(65536):
            writer.write(chunk)
        writer.close()

    async def relay(reader, writer):
        redis_reader, redis_writer = await asyncio.open_unix_connection(path)
        writers.extend([writer, redis_writer])
        relays.append(asyncio.gather(copy(reader, redis_writer), copy(redis_reader, writer)))
        await asyncio.wait([relays[-1]])

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    settings.IMPORTS_REDIS_URL = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield lambda: relays[0].cancel()
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*relays, return_exceptions=True)


async def test_a_hub_can_be_stopped_at_any_moment():
    """Stop before the loops have begun, and while they connect."""
    for step in range(200):
        own_hub = ProgressHub()
        with own_hub.subscribe("1", make_import_topic(JOB_ID)):
            if step < 60:
                for _ in range(step):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(step / 20_000)
            await asyncio.wait_for(own_hub.stop(), 5)


@pytest.mark.django_db
def test_queries_within_a_transaction_of_the_caller_leave_its_connection_open():
    """Tests of a project run in a transaction, which a closed connection would end."""
    user = get_user_model().objects.create(username="in the transaction")

    assert run_all([lambda: 1]) == [(1, None)]

    assert get_user_model().objects.filter(pk=user.pk).exists()
