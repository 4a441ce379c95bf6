"""Requests that Django's parser raises exceptions for, and bodies that are too large."""

import asyncio
import errno
import json
from uuid import uuid4

import httpx
import pytest
from channels.testing import HttpCommunicator, WebsocketCommunicator

from config.asgi import application
from imports.live import request_guard
from tests.streams import MAX_WAIT_SECONDS, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

UNREADABLE_HEADERS = [
    (b"cookie", b'sessionid="\\000abcdefgh"'),
    (b"content-type", b"multipart/form-data; boundary*=foo'en'x"),
]


async def get(path, *headers):
    headers = [(b"host", b"localhost"), *headers]
    communicator = HttpCommunicator(application, "GET", path, headers=headers)
    response = await communicator.get_response(timeout=10)
    await communicator.wait()  # Wait until the files of the request are closed.
    return response


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/api/imports/"])
@pytest.mark.parametrize("header", UNREADABLE_HEADERS, ids=["cookie", "content type"])
async def test_an_unreadable_request_gets_the_error_json(path, header):
    response = await get(path, header)

    assert response["status"] == 400
    assert json.loads(response["body"])["code"] == "malformed"


SLOW_COOKIES = [
    (b"cookie", b'a="' + b"\\0" * 1_000 + b'"'),
    (b"cookie", b'a="' + b'\\"' * 1_000 + b'"'),
    (b"cookie", b"; ".join(b'a="' + b"\\0" * 10 + b'"' for _ in range(100))),
]


@pytest.mark.parametrize("header", SLOW_COOKIES, ids=["octal", "quotes", "many"])
async def test_cookies_that_take_too_long_to_parse_are_not_parsed(header):
    response = await get("/accounts/login/", header)
    headers = [(b"host", b"localhost"), header]
    socket = WebsocketCommunicator(application, f"/ws/imports/{uuid4()}/?ticket=x", headers)

    assert response["status"] == 400
    assert not (await socket.connect())[0]


async def test_a_cookie_with_some_escapes_reaches_django():
    header = (b"cookie", b'a="{' + b'\\"name\\": 1, ' * 100 + b'}"')

    response = await get("/accounts/login/", header)

    assert response["status"] == 200


async def test_a_nul_character_in_a_filter_of_the_admin_gets_400():
    for path in ("customers/customer/?shipping_mark=%00", "imports/importjob/?file_name=%00"):
        response = await get(f"/admin/{path}")
        assert response["status"] == 400


async def test_a_readable_request_reaches_django():
    response = await get("/accounts/login/", (b"cookie", b"sessionid=abcdefgh"))

    assert response["status"] == 200


async def test_a_nul_character_in_a_query_of_another_url_reaches_django():
    response = await get("/accounts/login/?next=%00")

    assert response["status"] == 200


# --- Large bodies ------------------------------------------------------------

MAX_BYTES = 1_000
CHUNK = b"x" * 300


@pytest.fixture
def small_limit(settings, monkeypatch):
    settings.IMPORTS_MAX_UPLOAD_BYTES = MAX_BYTES
    monkeypatch.setattr(request_guard, "MAX_FORM_OVERHEAD_BYTES", 0)


class Client:
    """Sends a body chunk by chunk, and counts the chunks that the application has received."""

    def __init__(self, path, chunks, *headers):
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"localhost"), *headers],
        }
        self.chunks = chunks
        self.sent_chunks = 0
        self.responses = []

    async def receive(self):
        if self.sent_chunks == self.chunks:
            await asyncio.Event().wait()  # A connection that stays open.
        self.sent_chunks += 1
        more_body = self.sent_chunks < self.chunks
        return {"type": "http.request", "body": CHUNK, "more_body": more_body}

    async def send(self, message):
        self.responses.append(message)

    async def request(self, application):
        await application(self.scope, self.receive, self.send)
        return self.responses[0]["status"]


def make_recorder(received):
    """Return an application that receives a body as Django does, and responds with 200."""

    async def recorder(scope, receive, send):
        more_body = True
        while more_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            received.append(message["body"])
            more_body = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return request_guard.guard_requests(recorder)


@pytest.mark.parametrize("path", ["/api/imports/", "/"])
async def test_a_body_that_is_announced_as_too_large_is_discarded(path, small_limit):
    received = []
    client = Client(path, 10, (b"content-length", b"3000"))

    assert await client.request(make_recorder(received)) == 413
    assert (received, client.sent_chunks) == ([], 10)
    error = json.loads(client.responses[1]["body"])
    assert error["code"] == "too_large"
    assert "Split it into several files" in error["message"]


async def test_a_body_in_chunks_is_discarded_beyond_the_limit(small_limit):
    received = []
    client = Client("/api/imports/", 10, (b"transfer-encoding", b"chunked"))

    assert await client.request(make_recorder(received)) == 413
    assert (len(received), client.sent_chunks) == (3, 10)


@pytest.mark.parametrize(
    "header", [(b"content-length", b"900"), (b"transfer-encoding", b"chunked")]
)
async def test_a_body_within_the_limit_reaches_the_application(header, small_limit):
    received = []

    assert await Client("/api/imports/", 3, header).request(make_recorder(received)) == 200
    assert received == [CHUNK] * 3


async def test_other_urls_of_the_project_have_no_limit(small_limit):
    received = []
    client = Client("/accounts/login/", 10, (b"content-length", b"3000"))

    assert await client.request(make_recorder(received)) == 200


async def test_django_stores_nothing_of_a_body_in_chunks_that_is_too_large(small_limit):
    client = Client("/api/imports/", 10, (b"transfer-encoding", b"chunked"))

    assert await client.request(application) == 413


def test_a_form_without_parts_reaches_django_through_daphne():
    """Twisted would parse the form in memory and respond with an empty body."""
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    with running_daphne() as server:
        address = f"http://127.0.0.1:{server.port}/api/auth/token/"
        response = httpx.post(
            address,
            content=b"--x--\r\n",
            headers=form,
            timeout=MAX_WAIT_SECONDS,
            trust_env=False,
        )

    assert (response.status_code, response.json()["code"]) == (400, "invalid")


# --- A full disk -------------------------------------------------------------


async def post_with_error(error, path):
    """Call an application that cannot store the body of a request."""

    async def failing_application(scope, receive, send):
        raise error

    guarded = request_guard.guard_requests(failing_application)
    communicator = HttpCommunicator(guarded, "POST", path, headers=[(b"host", b"localhost")])
    return await communicator.get_response(timeout=10)


async def test_a_body_that_a_full_disk_cannot_store_gets_503():
    response = await post_with_error(OSError(errno.ENOSPC, "No space left"), "/api/imports/")

    assert response["status"] == 503
    assert json.loads(response["body"])["code"] == "unavailable"
    assert int(dict(response["headers"])[b"Retry-After"]) > 0


@pytest.mark.parametrize(
    ("error_number", "path"), [(errno.EACCES, "/api/imports/"), (errno.ENOSPC, "/accounts/login/")]
)
async def test_another_error_or_another_url_is_left_to_the_project(error_number, path):
    with pytest.raises(OSError, match="refused"):
        await post_with_error(OSError(error_number, "refused"), path)
