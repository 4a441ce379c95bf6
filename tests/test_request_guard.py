"""Requests that Django's parser raises exceptions for."""

import json

import httpx
import pytest
from channels.testing import HttpCommunicator

from config.asgi import application
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


async def test_a_nul_character_in_a_filter_of_the_admin_gets_400():
    for path in ("customers/customer/?shipping_mark=%00", "imports/importjob/?file_name=%00"):
        response = await get(f"/admin/{path}")
        assert response["status"] == 400


async def test_a_readable_request_reaches_django():
    response = await get("/accounts/login/", (b"cookie", b"sessionid=abcdefgh"))

    assert response["status"] == 200


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
