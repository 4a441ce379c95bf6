"""The web process: limits of request bodies, and the shutdown."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
from contextlib import closing

import psutil
import pytest
from django.conf import settings
from rest_framework_simplejwt.tokens import AccessToken

from imports.models import ImportJob
from imports.server.requests import BODY_CHUNK_BYTES, ReceiveQueue
from tests.database import connection
from tests.factories import make_csv, make_row
from tests.streams import (
    MAX_WAIT_SECONDS,
    STOP_SECONDS,
    is_lock_awaited,
    make_job,
    make_session_cookie,
    running_daphne,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)

FORM = "multipart/form-data; boundary=x"
ALLOWED_ORIGIN = "https://app.example.com"
FORM_OVERHEAD_BYTES = 1024 * 1024  # As in imports.conf.


@pytest.fixture
def server():
    with running_daphne(
        IMPORTS_MAX_UPLOAD_BYTES="1000000", CORS_ALLOWED_ORIGINS=ALLOWED_ORIGIN
    ) as server:
        yield server


def post(server, path, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", path, body=body, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_a_response_to_head_has_no_body(server):
    with closing(
        socket.create_connection(("127.0.0.1", server.port), MAX_WAIT_SECONDS)
    ) as client_socket:
        for method, path in (("HEAD", "/api/schema/"), ("GET", "/healthz-that-is-not-there")):
            request_text = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
            client_socket.sendall(request_text.encode())
            response = http.client.HTTPResponse(client_socket, method=method)
            response.begin()
            content = response.read()
            assert (method, response.status, bool(content)) in {
                ("HEAD", 200, False),
                ("GET", 404, True),
            }


def build_form(content, name="customers.csv"):
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n"


def make_headers(user):
    return {"Authorization": f"Bearer {AccessToken.for_user(user)}", "Content-Type": FORM}


def test_only_django_parses_a_form(server, alice):
    """Twisted would respond to this form with 400 and an empty body."""
    form_without_name = b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"

    response, content = post(server, "/api/imports/", form_without_name, **make_headers(alice))

    assert (response.status, json.loads(content)["code"]) == (400, "no_file")


def test_a_body_of_many_chunks_arrives_complete(server, alice):
    content = make_csv([make_row(1)]) + os.urandom(900_000).hex().encode()[:900_000]

    response, body = post(server, "/api/imports/", build_form(content), **make_headers(alice))

    assert response.status == 202
    job = ImportJob.objects.get(pk=json.loads(body)["id"])
    assert job.file_digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [256 * 1024, 512 * 1024])
def test_a_body_whose_length_is_a_multiple_of_the_chunk_is_accepted(server, alice, size):
    frame = len(build_form(b""))

    response, _ = post(
        server, "/api/imports/", build_form(b"x" * (size - frame)), **make_headers(alice)
    )

    assert response.status == 202


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_gets_a_response_with_a_body(server, alice, chunked):
    content = b"x" * (1_000_000 + FORM_OVERHEAD_BYTES + 1)
    body = iter([content[:500_000], content[500_000:]]) if chunked else content

    response, response_body = post(server, "/api/imports/", body, **make_headers(alice))

    assert response.status == (411 if chunked else 413)
    assert json.loads(response_body).keys() == {"code", "message", "params", "errors"}
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize(
    ("origin", "allowed_origin"),
    [(ALLOWED_ORIGIN, ALLOWED_ORIGIN), ("https://evil.example.com", None)],
)
def test_only_a_page_of_an_allowed_origin_may_read_the_413_response(server, origin, allowed_origin):
    response, _ = post(
        server, "/api/imports/", b"x" * (1_000_000 + FORM_OVERHEAD_BYTES + 1), Origin=origin
    )

    assert (response.status, response.getheader("Content-Type")) == (413, "application/json")
    assert response.getheader("X-Request-ID")
    assert response.getheader("Access-Control-Allow-Origin") == allowed_origin


def test_a_413_response_outside_the_api_is_html(server):
    response, body = post(server, "/", b"x" * (1_000_000 + FORM_OVERHEAD_BYTES + 1))

    assert response.status == 413
    assert response.getheader("Content-Type").startswith("text/html")
    assert b"Split it into several files" in body


def test_an_interrupted_upload_leaves_no_import(server, alice):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("POST", "/api/imports/")
    for name, value in (make_headers(alice) | {"Content-Length": "500000"}).items():
        connection.putheader(name, value)
    connection.endheaders(build_form(b"x" * 1_000)[:-10])
    connection.close()

    job = make_job(alice)  # The site still responds.
    response, _ = post(server, f"/api/imports/{job.pk}/cancel/", b"", **make_headers(alice))
    assert response.status == 202
    assert ImportJob.objects.count() == 1


# --- The classes -------------------------------------------------------------


async def test_the_queue_returns_the_body_in_chunks_and_then_the_disconnect():
    body = io.BytesIO(b"a" * BODY_CHUNK_BYTES + b"b")
    queue = ReceiveQueue(body)
    queue.put_nowait({"type": "http.request", "body": b"all of it", "more_body": False})
    queue.put_nowait({"type": "http.disconnect"})

    async with asyncio.timeout(MAX_WAIT_SECONDS):
        messages = [await queue.get() for _ in range(3)]

    assert [message.get("body", b"")[:1] for message in messages] == [b"a", b"b", b""]
    assert [message.get("more_body") for message in messages] == [True, False, None]


async def test_a_closed_body_is_not_read():
    queue = ReceiveQueue(body := io.BytesIO(b"a"))
    body.close()
    queue.put_nowait({"type": "http.disconnect"})

    async with asyncio.timeout(MAX_WAIT_SECONDS):
        assert await queue.get() == {"type": "http.disconnect"}


# --- Shutdown ----------------------------------------------------------------


def is_listening(process):
    connections = psutil.Process(process.pid).net_connections("tcp")
    return any(each.status == psutil.CONN_LISTEN for each in connections)


def test_shutdown_waits_for_a_running_view(server, alice):
    """Besides, a stream and an idle connection are open. The stream ends at once.

    The view runs in a thread and needs the event loop to send its response.
    """
    cookie = make_session_cookie(alice)
    idle, active = (http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(2))
    with (
        server.stream(make_job(alice), cookie) as stream,
        closing(idle),
        closing(active),
        closing(connection.Database.connect(**connection.get_connection_params())) as other,
        other.cursor() as cursor,
    ):
        assert stream.next()
        idle.request("GET", "/no-such-page/")
        assert idle.getresponse().read()
        cursor.execute("LOCK TABLE customers_customer IN ACCESS EXCLUSIVE MODE")
        headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
        active.request("GET", "/api/customers/", headers=headers)
        wait_until(lambda: is_lock_awaited(cursor, "customers_customer"))

        server.process.terminate()
        assert stream.next() is None
        wait_until(lambda: not is_listening(server.process))
        with pytest.raises(subprocess.TimeoutExpired):  # It waits for the view.
            server.process.wait(0.5)
        other.rollback()

        assert server.process.wait(STOP_SECONDS) == 0
