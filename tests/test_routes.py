"""Every URL of the site, and the status that each kind of caller gets. No URL is missing."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.core.files.base import ContentFile
from django.db import connections
from django.test import Client
from django.urls import URLPattern, get_resolver
from rest_framework_simplejwt.tokens import AccessToken

from config.asgi import application
from customers.models import Customer
from imports import health, worker_status
from imports.live.hub import hub
from imports.models import ImportJob, ImportRow, Worker
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.factories import make_csv, make_row, run_import
from tests.streams import make_job as make_moved_job

pytestmark = pytest.mark.django_db(transaction=True)

# No login; a forged and an expired token of the owner; another user who may import; users who may
# only see every import, control every import, or see customers; the superuser; and the owner of
# `{job}`, which is READY, and of the import that created `{customer}`.
CALLERS = ("nobody", "forged", "expired", "other", "sees", "controls", "customers", "root", "owner")

ROOT = "api/auth/customers/excel"
ROUTES = {
    ("POST", "api/auth/token/"): "400 400 400 400 400 400 400 400 400",
    ("POST", "api/auth/token/refresh/"): "400 400 400 400 400 400 400 400 400",
    ("POST", "api/auth/token/revoke/"): "400 400 400 400 400 400 400 400 400",
    ("GET", "api/health/"): "200 200 200 200 200 200 200 200 200",
    ("GET", "api/health/web/"): "200 200 200 200 200 200 200 200 200",
    ("GET", "api/schema/"): "200 200 200 200 200 200 200 200 200",
    ("GET", "api/docs/"): "200 200 200 200 200 200 200 200 200",
    ("GET", "api/"): "200 200 200 200 200 200 200 200 200",
    ("GET", "api/importers/"): "401 401 401 200 200 200 200 200 200",
    ("GET", "api/importers/{importer}/"): "401 401 401 200 404 404 404 200 200",
    ("GET", "api/imports/"): "401 401 401 200 200 200 200 200 200",
    ("POST", "api/imports/"): "401 401 401 400 403 403 403 400 400",
    ("GET", "api/imports/{job}/"): "401 401 401 404 200 200 404 200 200",
    ("GET", "api/imports/{job}/rows/"): "401 401 401 404 200 200 404 200 200",
    ("GET", "api/imports/{job}/problems/"): "401 401 401 404 200 200 404 200 200",
    ("GET", "api/imports/{job}/file/"): "401 401 401 404 200 200 404 200 200",
    ("GET", "api/imports/{job}/failed-rows.xlsx"): "401 401 401 404 200 200 404 200 200",
    ("GET", "api/imports/{job}/failed-rows.csv"): "401 401 401 404 200 200 404 200 200",
    ("GET", "api/imports/template.xlsx"): "401 401 401 400 403 403 403 400 400",
    ("GET", "api/imports/{job}/preview/"): "401 401 401 404 200 200 404 200 200",
    ("GET", "api/imports/{job}/undo-preview/"): "401 401 401 404 409 409 404 409 409",
    ("POST", "api/imports/{job}/undo/"): "401 401 401 404 403 409 404 409 409",
    ("GET", "api/imports/{job}/kept-rows.xlsx"): "401 401 401 404 404 404 404 404 404",
    ("GET", "api/imports/{job}/kept-rows.csv"): "401 401 401 404 404 404 404 404 404",
    ("PATCH", "api/imports/{job}/"): "401 401 401 404 403 400 404 400 400",
    ("POST", "api/imports/{job}/start/"): "401 401 401 404 403 202 404 202 202",
    ("POST", "api/imports/{job}/pause/"): "401 401 401 404 403 409 404 409 409",
    ("POST", "api/imports/{job}/resume/"): "401 401 401 404 403 409 404 409 409",
    ("POST", "api/imports/{job}/cancel/"): "401 401 401 404 403 202 404 202 202",
    ("POST", "api/imports/{job}/retry/"): "401 401 401 404 403 409 404 409 409",
    ("GET", "api/imports/{job}/history/"): "401 401 401 404 200 200 404 200 200",
    ("DELETE", "api/imports/{job}/"): "401 401 401 404 403 202 404 202 202",
    ("GET", "api/customers/"): "401 401 401 200 200 200 200 200 200",
    ("GET", "api/customers/{customer}/"): "401 401 401 404 404 404 200 200 200",
    ("POST", f"{ROOT}/upload/"): "401 401 401 400 403 403 403 400 400",
    ("POST", f"{ROOT}/bulk-create-async/"): "401 401 401 400 403 403 403 400 400",
    ("POST", f"{ROOT}/bulk-create/"): "401 401 401 400 403 403 403 400 400",
    ("GET", f"{ROOT}/bulk-create/status/{{job}}/"): "401 401 401 404 200 200 404 200 200",
    ("GET", f"{ROOT}/template/"): "401 401 401 200 403 403 403 200 200",
    ("GET", "api/anything/else/"): "404 404 404 404 404 404 404 404 404",
}
# Pages accept only sessions and ignore tokens. A 302 redirects to the login.
PAGES = {
    ("GET", ""): "302 302 302 200 200 200 200 200 200",
    ("GET", "imports/{job}/"): "302 302 302 404 200 200 404 200 200",
    ("GET", "imports/{job}/file/"): "302 302 302 404 200 200 404 200 200",
    ("GET", "imports/{job}/failed-rows.xlsx"): "302 302 302 404 200 200 404 200 200",
    ("GET", "imports/{job}/failed-rows.csv"): "302 302 302 404 200 200 404 200 200",
    ("GET", "imports/{job}/kept-rows.xlsx"): "302 302 302 404 302 302 404 302 302",
    ("GET", "imports/{job}/kept-rows.csv"): "302 302 302 404 302 302 404 302 302",
    ("GET", "imports/{job}/undo/"): "302 302 302 404 404 302 404 302 302",
    ("POST", "imports/{job}/retry/"): "302 302 302 404 404 302 404 302 302",
    ("POST", "imports/{job}/undo/"): "302 302 302 404 404 302 404 302 302",
    ("GET", "imports/template.xlsx"): "302 302 302 404 403 403 403 404 404",
    ("GET", "imports/{job}/chart/"): "302 302 302 404 200 200 404 200 200",
    ("GET", "imports/{job}/rows/"): "302 302 302 404 200 200 404 200 200",
    ("POST", "imports/{job}/mapping/"): "302 302 302 404 404 302 404 302 302",
    ("POST", "imports/seen/"): "302 302 302 302 302 302 302 302 302",
    ("POST", "imports/upload-options/"): "302 302 302 404 403 403 403 404 404",
    ("POST", "imports/{job}/options/"): "302 302 302 404 404 302 404 302 302",
    ("GET", "customers/"): "302 302 302 200 200 200 200 200 200",
    ("GET", "accounts/password/"): "302 302 302 200 200 200 200 200 200",
    ("GET", "accounts/second-factor/"): "302 302 302 404 404 404 404 404 404",
    ("POST", "imports/{job}/start/"): "302 302 302 404 404 302 404 302 302",
    ("POST", "imports/{job}/pause/"): "302 302 302 404 404 302 404 302 302",
    ("POST", "imports/{job}/resume/"): "302 302 302 404 404 302 404 302 302",
    ("POST", "imports/{job}/cancel/"): "302 302 302 404 404 302 404 302 302",
    ("GET", "imports/{job}/history/"): "302 302 302 404 200 200 404 200 200",
    ("POST", "imports/{job}/delete/"): "302 302 302 404 404 302 404 302 302",
    ("GET", "accounts/login/"): "200 200 200 302 302 302 302 302 302",
    ("POST", "accounts/logout/"): "302 302 302 302 302 302 302 302 302",
    ("GET", "admin/"): "302 302 302 302 302 302 302 200 302",
    ("GET", "admin/imports/importjob/"): "302 302 302 302 302 302 302 200 302",
    ("GET", "admin/imports/importjob/{job}/change/"): "302 302 302 302 302 302 302 200 302",
    ("GET", "admin/customers/customer/"): "302 302 302 302 302 302 302 200 302",
}
STREAMS = {
    "api/imports/{job}/events/": "401 401 401 404 200 200 404 200 200",
    "api/imports/events/": "401 401 401 200 200 200 403 200 200",
}
SOCKETS = {"ws/imports/{job}/": "4401 4401 4401 4404 open open 4404 open open"}


@pytest.fixture(autouse=True)
def live_worker():
    """A worker that is alive, without which the app is not healthy."""
    Worker.objects.create(name="here:1")
    worker_status.forget_cached_status()
    health.forget_cached_health()
    yield
    worker_status.forget_cached_status()
    health.forget_cached_health()


@pytest.fixture
def cast(alice, bob, root):
    """The users by name, and the Authorization header of each caller."""
    token, gone = str(AccessToken.for_user(alice)), AccessToken.for_user(alice)
    gone.set_exp(lifetime=timedelta(seconds=-1))
    rights = {"sees": "view_all", "controls": "control_all", "customers": "view_customer"}
    people = {name: create_user(name, right) for name, right in rights.items()}
    people |= {"other": bob, "root": root, "owner": alice}
    tokens = {name: AccessToken.for_user(one) for name, one in people.items()}
    tokens |= {"forged": f"{token}x", "expired": gone}
    return people, {name: f"Bearer {tokens[name]}" for name in CALLERS if name in tokens}


@pytest.fixture
def fill_url(alice):
    """A function that fills in the ids. Each URL gets a new import, because a call may start it."""
    run_import(make_csv([make_row(1)]), owner=alice)
    customer = Customer.objects.get()

    def fill_in(address):
        job = make_moved_job(alice, Status.READY)
        job.file.save("customers.csv", ContentFile(b"a file"), save=True)
        counts = dict.fromkeys(("total", "checked", "processed", "failed"), 1)
        detected_format = {
            "format": "csv",
            "sheet": None,
            "sheets": [],
            "encoding": "utf-8",
            "delimiter": ",",
        }
        ImportJob.objects.filter(pk=job.pk).update(**counts, detected_format=detected_format)
        ImportRow.objects.create(job=job, number=2, outcome="failed", errors=[], cells=[])
        return f"/{address.format(job=job.pk, customer=customer.pk, importer='customers')}"

    return fill_in


@pytest.mark.parametrize(("route", "expected"), ROUTES.items(), ids=map(" ".join, ROUTES))
def test_status_of_every_api_url_for_every_caller(cast, fill_url, route, expected):
    method, address = route
    content_type = "multipart/form-data; boundary=x" if "upload" in address else "application/json"
    headers = [{"Authorization": cast[1][name]} if name in cast[1] else {} for name in CALLERS]

    responses = [
        Client(headers=caller_headers).generic(method, fill_url(address), content_type=content_type)
        for caller_headers in headers
    ]

    assert [response.status_code for response in responses] == parse_statuses(expected)
    for response in responses:
        response.close()
        if response.status_code >= 400:
            assert response.json().keys() == {"code", "message", "params", "errors"}


@pytest.mark.parametrize(("route", "expected"), PAGES.items(), ids=map(" ".join, PAGES))
def test_status_of_every_page_for_every_caller(cast, fill_url, route, expected):
    method, address = route
    people, tokens = cast
    callers = [
        logged_in_client(people[name])
        if name in people
        else Client(headers={"Authorization": tokens.get(name, "")})
        for name in CALLERS
    ]

    responses = [caller.generic(method, fill_url(address)) for caller in callers]
    for response in responses:
        response.close()

    assert [response.status_code for response in responses] == parse_statuses(expected)


# --- Streams and sockets -----------------------------------------------------


@pytest.fixture
async def watching(cast, alice):
    """The headers of each caller, and a running import of the owner."""
    tokens = cast[1]
    headers = [[(b"authorization", tokens[n].encode())] if n in tokens else [] for n in CALLERS]
    yield headers, await sync_to_async(make_moved_job)(alice)
    await hub.stop()
    await sync_to_async(connections.close_all)()


@pytest.mark.parametrize(("address", "expected"), STREAMS.items(), ids=STREAMS)
async def test_status_of_every_stream_for_every_caller(watching, address, expected):
    callers, job = watching
    path = f"/{address.format(job=job.pk)}"

    statuses = [await get_stream_status(path, headers) for headers in callers]

    assert statuses == parse_statuses(expected)


async def get_stream_status(path, headers):
    headers = [(b"host", b"localhost"), *headers]
    stream = HttpCommunicator(application, "GET", path, headers=headers)
    await stream.send_input({"type": "http.request"})
    began = await stream.receive_output(timeout=10)
    await stream.send_input({"type": "http.disconnect"})
    await stream.wait(timeout=10)
    return began["status"]


@pytest.mark.parametrize(("address", "expected"), SOCKETS.items(), ids=SOCKETS)
async def test_answer_of_every_websocket_for_every_caller(watching, address, expected):
    callers, job = watching
    path = f"/{address.format(job=job.pk)}"

    answers = [await get_websocket_status(path, headers) for headers in callers]

    assert answers == expected.split()


async def get_websocket_status(path, headers):
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), *headers]
    socket = WebsocketCommunicator(application, path, headers=headers)
    assert (await socket.connect(timeout=10))[0]
    first = await socket.receive_output(timeout=10)
    await socket.disconnect()
    return "open" if first["type"] == "websocket.send" else str(first["code"])


# --- Nothing is missing ------------------------------------------------------


def test_admin_is_for_staff_only(alice):
    list_urls = {a for a in list_django_urls() if a.startswith("admin/")} - {"admin/login/"}
    assert "admin/customers/customer/add/" in list_urls
    for address in list_urls:
        for client in (Client(), logged_in_client(alice)):
            assert client.get(f"/{address}").status_code == 302, address


def test_every_django_url_is_in_a_table():
    addresses = [address for _, address in {**ROUTES, **PAGES}]
    known = {
        address.format(job="x", customer="x", importer="x")
        for address in [*addresses, *STREAMS, *SOCKETS]
    }
    others = {address for address in list_django_urls() if not address.startswith("admin/")}
    assert others - {"^api/"} <= known  # "^api/" matches every other address.


def test_without_the_asgi_line_a_stream_says_what_is_missing(alice, caplog):
    client, job = logged_in_client(alice), make_moved_job(alice)

    for address in STREAMS:
        response = client.get(
            f"/{address.format(job=job.pk)}", headers={"accept": "text/event-stream"}
        )
        assert (response.status_code, response.json()["code"]) == (501, "streams_not_served")
    assert "add_streams" in caplog.text
    for address in SOCKETS:
        assert client.get(f"/{address.format(job=job.pk)}").status_code == 426


def list_django_urls():
    return list_urls(get_resolver().url_patterns)


def list_urls(patterns, before=""):
    for one in patterns:
        route = before + fill_placeholders(one.pattern)
        if isinstance(one, URLPattern):
            yield route
        else:
            yield from list_urls(one.url_patterns, route)


def fill_placeholders(pattern):
    text = str(pattern)
    for placeholder in ("<uuid:pk>", "<uuid:id>", "<int:pk>", "<task_id>", "<str:name>"):
        text = text.replace(placeholder, "x")
    return urlsplit(text).path


def parse_statuses(text):
    return [int(number) for number in text.split()]
