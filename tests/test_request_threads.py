"""Requests run in threads that are kept with their database connections."""

from __future__ import annotations

import asyncio
import http.client
import select
import threading
from contextlib import ExitStack, closing

import pytest
from django.conf import settings

from imports.live.request_threads import RequestThreads
from tests.database import connection
from tests.streams import make_session_cookie, running_daphne

LIST_SESSIONS = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def list_sessions():
    with connection.cursor() as cursor:
        cursor.execute(LIST_SESSIONS)
        return {pid for (pid,) in cursor.fetchall()}


def get_status(server, cookie):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
        client.request("GET", "/api/imports/", headers=headers)
        response = client.getresponse()
        response.read()
        return response.status


@pytest.mark.django_db(transaction=True)
def test_requests_one_after_another_share_a_connection(alice):
    cookie, sessions = make_session_cookie(alice), set()
    with running_daphne() as server:
        before = list_sessions()
        for _ in range(30):
            assert get_status(server, cookie) == 200
            sessions |= list_sessions() - before

        # A request may begin before the thread of the one before it is free.
        assert len(sessions) <= 3
        assert list_sessions() & sessions


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_postgresql_has_closed_is_replaced(alice):
    cookie = make_session_cookie(alice)
    with running_daphne() as server:
        before = list_sessions()
        assert get_status(server, cookie) == 200
        sessions = list_sessions() - before
        assert sessions
        with connection.cursor() as cursor:
            for pid in sessions:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        assert get_status(server, cookie) == 200


@pytest.mark.django_db(transaction=True)
def test_a_server_that_stops_waits_for_the_code_of_its_requests():
    """The code of a cancelled request may call the event loop, which must not stop before."""
    with running_daphne() as server, ExitStack() as stack:
        clients = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(5)]
        for client in clients:
            stack.enter_context(closing(client))
            client.request("GET", "/api/schema/")
        assert select.select([client.sock for client in clients], [], [], 30)[0]
        server.process.terminate()

        assert server.process.wait(30) is not None


@pytest.mark.asyncio
async def test_a_cancelled_request_keeps_its_thread_until_its_code_has_ended():
    threads, may_end = RequestThreads(), threading.Event()
    busy = threads.take()
    busy.submit(may_end.wait)
    ending = asyncio.create_task(threads.give_back(busy))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.sleep(0)

    assert not ending.done()
    assert threads.take() is not busy
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert threads.take() is busy
    busy.shutdown()


@pytest.mark.asyncio
async def test_few_threads_are_kept(settings):
    settings.IMPORTS_SERVER_MAX_CONCURRENT_REQUESTS = 1
    threads = RequestThreads()
    executors = [threads.take(), threads.take()]

    for executor in executors:
        await threads.give_back(executor)

    assert threads.take() is executors[0]
    with pytest.raises(RuntimeError):
        executors[1].submit(len)
    executors[0].shutdown()
