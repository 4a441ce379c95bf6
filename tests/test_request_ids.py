"""The id of a request: taken from the client or made, given back, and part of the log records."""

import json
import logging
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.conf import settings
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from rest_framework_simplejwt.tokens import AccessToken

from config.asgi import application
from imports.request_ids import (
    REQUEST_ID_HEADER,
    RequestIDFilter,
    add_request_id,
    choose_request_id,
)
from tests.conftest import logged_in_client
from tests.factories import make_csv, make_job, make_row
from tests.streams import make_job as make_job_without_file
from tests.streams import make_session_cookie, running_daphne

pytestmark = pytest.mark.django_db

SENT_ID = "a1b2-C3.d4:e5/f6=="
CLIENT_HEADERS = {REQUEST_ID_HEADER: SENT_ID}


@pytest.mark.parametrize("sent", [SENT_ID, "a", "0" * 128, "8a6e5f43-2f0c-4a7e-9d9c-0b1f6f3f6c11"])
def test_a_well_formed_id_is_taken(sent):
    assert choose_request_id(sent) == sent


@pytest.mark.parametrize(
    "sent", [None, "", " ", "-a", "0" * 129, "a b", "a\n", "a\nb", "é", "<b>", "%0A", "a,b", '"a"']
)
def test_any_other_id_is_replaced(sent):
    made = choose_request_id(sent)
    assert made != sent
    assert len(made) == 32
    assert choose_request_id(made) == made


def list_responses(client, job):
    """Return a response of each kind: JSON, file, page, error of a view and of Django."""
    options = {"headers": CLIENT_HEADERS}
    job_address = f"/api/imports/{job.pk}/"
    yield client.get(job_address, **options)
    yield client.get(job_address, headers=CLIENT_HEADERS | {"If-None-Match": "*"})
    yield client.get(f"{job_address}file/", **options)
    yield client.post(f"{job_address}start/", **options)
    yield client.get(f"/api/imports/{uuid4()}/", **options)
    yield client.put("/api/imports/", **options)
    yield client.get("/api/nothing/", **options)
    yield client.get("/api/schema/", **options)
    yield client.post("/api/auth/token/", {}, **options)
    yield Client().get("/api/imports/", **options)
    yield client.get("/api/imports/", HTTP_HOST="elsewhere.example", **options)
    yield client.get("/", **options)


def test_every_response_has_the_id(alice):
    job = make_job(make_csv([make_row(1)]), owner=alice)

    responses = list(list_responses(logged_in_client(alice), job))

    statuses = [response.status_code for response in responses]
    assert statuses == [200, 304, 200, 409, 404, 405, 404, 200, 400, 401, 400, 200]
    assert [response[REQUEST_ID_HEADER] for response in responses] == [SENT_ID] * len(responses)


def test_the_views_of_the_api_need_no_middleware(alice, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "request_id" not in name]
    client = logged_in_client(alice)

    assert client.get("/api/imports/", headers=CLIENT_HEADERS)[REQUEST_ID_HEADER] == SENT_ID
    made = [client.get("/api/imports/")[REQUEST_ID_HEADER] for _ in range(2)]
    assert made[0] != made[1]
    assert REQUEST_ID_HEADER not in client.get("/")


@pytest.fixture
def records(caplog):
    """The log of the test, with the ids of requests in its records."""
    caplog.handler.addFilter(id_filter := RequestIDFilter())
    yield caplog
    caplog.handler.removeFilter(id_filter)


def get_ids(records, logger):
    return [record.request_id for record in records.records if record.name == logger]


def test_log_records_of_the_view_and_of_django_have_the_id(alice, records):
    client = logged_in_client(alice)

    def fail(*_):
        raise OperationalError("the connection was lost")

    with connection.execute_wrapper(fail):
        response = client.get(f"/api/imports/{uuid4()}/", headers=CLIENT_HEADERS)

    assert (response.status_code, response[REQUEST_ID_HEADER]) == (503, SENT_ID)
    assert get_ids(records, "imports.api.errors") == [SENT_ID]
    assert get_ids(records, "django.request") == [SENT_ID]


def test_records_outside_a_request_have_no_id(records):
    @add_request_id
    def view(request):
        logging.getLogger("a.view").warning("inside")
        return HttpResponse()

    view(RequestFactory().get("/", headers=CLIENT_HEADERS))
    logging.getLogger("a.view").warning("outside")

    assert get_ids(records, "a.view") == [SENT_ID, "-"]


def test_the_log_of_the_site_has_the_id():
    handler = settings.LOGGING["handlers"]["console"]
    assert handler["filters"] == ["request_id"]
    assert "%(request_id)s" in settings.LOGGING["formatters"][handler["formatter"]]["format"]


@pytest.mark.django_db(transaction=True)
def test_streams_have_the_id(alice):
    job, cookie = make_job_without_file(alice), make_session_cookie(alice)
    with running_daphne() as server:
        with server.stream(job, cookie, **CLIENT_HEADERS) as stream:
            assert (stream.status, stream.headers[REQUEST_ID_HEADER]) == (200, SENT_ID)
        with server.stream(job, **CLIENT_HEADERS) as stream:
            assert (stream.status, stream.headers[REQUEST_ID_HEADER]) == (401, SENT_ID)
        with server.stream(job, cookie) as first, server.stream(job, cookie) as second:
            assert first.headers[REQUEST_ID_HEADER] != second.headers[REQUEST_ID_HEADER]


@pytest.mark.django_db(transaction=True)
async def test_the_handshake_of_a_websocket_has_the_id(alice):
    """Daphne leaves out the headers of a handshake; other servers send them."""
    job = await sync_to_async(make_job_without_file)(alice)
    token = await sync_to_async(AccessToken.for_user)(alice)
    headers = [
        (b"host", b"localhost"),
        (b"authorization", f"Bearer {token}".encode()),
        (b"x-request-id", SENT_ID.encode()),
    ]
    socket = WebsocketCommunicator(application, f"/ws/imports/{job.pk}/", headers=headers)
    await socket.send_input({"type": "websocket.connect"})
    accepted = await socket.receive_output(10)
    await socket.disconnect()

    assert accepted["headers"] == [(REQUEST_ID_HEADER.encode(), SENT_ID.encode())]


async def test_an_unreadable_request_has_the_id():
    headers = [
        (b"host", b"localhost"),
        (b"x-request-id", SENT_ID.encode()),
        (b"cookie", b'sessionid="\\000abcdefgh"'),
    ]
    communicator = HttpCommunicator(application, "GET", "/api/imports/", headers=headers)
    response = await communicator.get_response(timeout=10)
    await communicator.wait()

    assert json.loads(response["body"])["code"] == "malformed"
    assert (REQUEST_ID_HEADER.encode(), SENT_ID.encode()) in response["headers"]
