"""What the web process does with bodies, asked as a client on the network would."""

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

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from rest_framework_simplejwt.tokens import AccessToken

from config.server import PIECE_BYTES, Inbox, Request
from imports.models import ImportJob
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
FRIEND = "https://app.example.com"
ROOM = 1024 * 1024  # Beside the file, as the server has it.


@pytest.fixture
def server():
    with running_daphne(IMPORT_MAX_UPLOAD_BYTES="1000000", CORS_ALLOWED_ORIGINS=FRIEND) as server:
        yield server


def ask(server, path, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", path, body=body, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_to_head_no_body_is_sent_however_long_it_is(server):
    with closing(socket.create_connection(("127.0.0.1", server.port), MAX_WAIT_SECONDS)) as caller:
        for method, path in (("HEAD", "/api/schema/"), ("GET", "/healthz-that-is-not-there")):
            asked = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
            caller.sendall(asked.encode())
            answer = http.client.HTTPResponse(caller, method=method)
            answer.begin()
            content = answer.read()
            assert (method, answer.status, bool(content)) in {
                ("HEAD", 200, False),
                ("GET", 404, True),
            }


def form(content, name="customers.csv"):
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n"


def as_program(user):
    return {"Authorization": f"Bearer {AccessToken.for_user(user)}", "Content-Type": FORM}


def test_a_form_is_read_by_django_alone(server, alice):
    """Twisted, which would read it too, answers 400 without a word to this one."""
    nameless = b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"

    answer, content = ask(server, "/api/imports/", nameless, **as_program(alice))

    assert (answer.status, json.loads(content)["code"]) == (400, "no_file")


def test_a_body_of_many_pieces_arrives_whole(server, alice):
    content = make_csv([make_row(1)]) + os.urandom(900_000).hex().encode()[:900_000]

    answer, body = ask(server, "/api/imports/", form(content), **as_program(alice))

    assert answer.status == 202
    job = ImportJob.objects.get(pk=json.loads(body)["id"])
    assert job.file_digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [256 * 1024, 512 * 1024])
def test_a_body_that_ends_with_a_piece_ends(server, alice, size):
    frame = len(form(b""))

    answer, _ = ask(server, "/api/imports/", form(b"x" * (size - frame)), **as_program(alice))

    assert answer.status == 202


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_the_connection_lives(server, alice, chunked):
    content = b"x" * (1_000_000 + ROOM + 1)
    body = (piece for piece in (content[:ROOM], content[ROOM:])) if chunked else content

    answer, said = ask(server, "/api/imports/", body, **as_program(alice))

    assert answer.status == 413
    assert json.loads(said).keys() == {"code", "message", "errors"}
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize(
    ("origin", "named"), [(FRIEND, FRIEND), ("https://evil.example.com", None)]
)
def test_a_page_of_a_friendly_site_may_read_that_it_was_too_much(server, origin, named):
    answer, _ = ask(server, "/api/imports/", b"x" * (1_000_000 + ROOM + 1), Origin=origin)

    assert (answer.status, answer.getheader("Content-Type")) == (413, "application/json")
    assert answer.getheader("Access-Control-Allow-Origin") == named


def test_a_page_says_so_in_html(server):
    answer, said = ask(server, "/", b"x" * (1_000_000 + ROOM + 1))

    assert answer.status == 413
    assert answer.getheader("Content-Type").startswith("text/html")
    assert b"larger than this site takes" in said


def test_who_leaves_in_the_middle_leaves_nothing(server, alice):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("POST", "/api/imports/")
    for name, value in (as_program(alice) | {"Content-Length": "500000"}).items():
        connection.putheader(name, value)
    connection.endheaders(form(b"x" * 1_000)[:-10])
    connection.close()

    job = make_job(alice)  # The site still answers.
    answer, _ = ask(server, f"/api/imports/{job.pk}/cancel/", b"", **as_program(alice))
    assert answer.status == 202
    assert ImportJob.objects.count() == 1


# --- By itself ---------------------------------------------------------------


def test_what_is_over_the_limit_is_not_even_stored(settings):
    settings.IMPORT_MAX_UPLOAD_BYTES = 10
    request = Request.__new__(Request)
    request.taken, request.content = 0, io.BytesIO()

    for _ in range(3):
        request.handleContentChunk(b"x" * ROOM)

    assert len(request.content.getvalue()) == ROOM


async def test_a_body_is_read_once_as_it_is_asked_for_then_there_is_news():
    body = io.BytesIO(b"a" * PIECE_BYTES + b"b")
    inbox = Inbox(body)
    inbox.put_nowait({"type": "http.request", "body": b"all of it", "more_body": False})
    inbox.put_nowait({"type": "http.disconnect"})

    async with asyncio.timeout(MAX_WAIT_SECONDS):
        got = [await inbox.get() for _ in range(3)]

    assert [one.get("body", b"")[:1] for one in got] == [b"a", b"b", b""]
    assert [one.get("more_body") for one in got] == [True, False, None]


async def test_a_body_that_is_gone_is_not_asked_for():
    inbox = Inbox(body := io.BytesIO(b"a"))
    body.close()
    inbox.put_nowait({"type": "http.disconnect"})

    async with asyncio.timeout(MAX_WAIT_SECONDS):
        assert await inbox.get() == {"type": "http.disconnect"}


# --- Its end -----------------------------------------------------------------


def test_it_ends_in_the_middle_of_an_answer(server, alice):
    """With a stream to let go, an idle connection, and a view whose thread wants the loop again."""
    cookie = make_session_cookie(alice)
    idle, asking = (http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(2))
    with (
        server.stream(make_job(alice), cookie) as stream,
        closing(idle),
        closing(asking),
        closing(psycopg2.connect(**connection.get_connection_params())) as other,
        other.cursor() as cursor,
    ):
        assert stream.next()
        idle.request("GET", "/no-such-page/")
        assert idle.getresponse().read()
        cursor.execute("LOCK TABLE customers_customer IN ACCESS EXCLUSIVE MODE")
        headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
        asking.request("GET", "/api/customers/", headers=headers)
        wait_until(lambda: is_lock_awaited(cursor, "customers_customer"))

        server.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):  # It waits for the view, however long.
            server.process.wait(0.5)
        other.rollback()

        assert server.process.wait(STOP_SECONDS) == 0
        assert stream.next() is None
