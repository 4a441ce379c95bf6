"""Requests that Django's own parser trips over."""

import json

import httpx
import pytest
from channels.testing import HttpCommunicator

from config.asgi import application
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

UNREADABLE = [
    (b"cookie", b'sessionid="\\000abcdefgh"'),
    (b"content-type", b"multipart/form-data; boundary*=foo'en'x"),
]


async def ask(path, *headers):
    headers = [(b"host", b"localhost"), *headers]
    communicator = HttpCommunicator(application, "GET", path, headers=headers)
    response = await communicator.get_response(timeout=10)
    await communicator.wait()  # Until the request's own files are closed.
    return response


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/api/imports/"])
@pytest.mark.parametrize("header", UNREADABLE, ids=["cookie", "content type"])
async def test_what_cannot_be_read_is_refused_in_the_one_shape(path, header):
    response = await ask(path, header)

    assert response["status"] == 400
    assert json.loads(response["body"])["code"] == "malformed"


async def test_no_admin_list_is_asked_for_what_no_text_can_hold():
    for path in ("customers/customer/?shipping_mark=%00", "imports/importjob/?file_name=%00"):
        response = await ask(f"/admin/{path}")
        assert response["status"] == 400


async def test_what_can_be_read_goes_through():
    response = await ask("/accounts/login/", (b"cookie", b"sessionid=abcdefgh"))

    assert response["status"] == 200


def test_a_form_that_has_no_parts_reaches_us_through_daphne():
    """Twisted would parse it too, in memory, and answer with nothing at all."""
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    with running_daphne() as server:
        address = f"http://127.0.0.1:{server.port}/api/auth/token/"
        response = httpx.post(address, content=b"--x--\r\n", headers=form, trust_env=False)

    assert (response.status_code, response.json()["code"]) == (400, "invalid")
