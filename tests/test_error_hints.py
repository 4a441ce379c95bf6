"""Error messages say what is wrong, what is accepted, and which call to make instead."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from config.asgi import application
from imports import authentication, lifecycle, snapshots
from imports.models import ImportJob
from imports.statuses import FINAL_STATUSES, OnDuplicate, Outcome, Status
from tests.conftest import logged_in_client
from tests.factories import (
    HEADERS,
    apply_all_batches,
    check_job,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.streams import make_job as make_moved_job
from tests.test_options_page import make_workbook_of_sheets
from tests.test_routes import CALLERS, ROUTES, cast, fill_url, watching  # noqa: F401

pytestmark = pytest.mark.django_db

EXCEL = "/api/auth/customers/excel/"
CONTENT = make_csv([make_row(1)])
UNKNOWN_COLUMNS = make_csv([make_row(1)], ["Code", "First name", "Last name", "E-mail", "Number"])
FRENCH = {"Accept-Language": "fr"}


def get_message(response, status, code):
    """Return the message of an error response with this status and code."""
    error = response.json()
    assert error.keys() == {"code", "message", "params", "errors"}
    assert (response.status_code, error["code"]) == (status, code)
    assert error["message"].endswith(".")
    return error["message"]


def get_field_message(response, field):
    """Return the message about one field."""
    whole = get_message(response, 400, "invalid")
    (message,) = [e["message"] for e in response.json()["errors"] if e["field"] == field]
    assert f"{field}: {message}" in whole
    return message


def post(client, address, body, kind="application/json", **options):
    return client.generic("POST", address, body, content_type=kind, **options)


def upload(client, **sent):
    return client.post("/api/imports/", {"importer": "customers"} | sent)


def make_file(content=CONTENT):
    return SimpleUploadedFile("customers.csv", content)


# --- Bodies ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"on_duplicate":\n "skip" "x"}', "invalid at line 2, column 9."),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8."),
        (b"[" * 50_000, "nested too deeply."),
        (b'{"a": NaN}', "NaN, Infinity and unpaired surrogates."),
    ],
)
def test_invalid_json_names_the_position(alice, body, reason):
    client, job = logged_in_client(alice), check_job(make_job(UNKNOWN_COLUMNS, owner=alice))
    answers = [client.patch(f"/api/imports/{job.pk}/", body, content_type="application/json")]
    if b"[[" not in body:  # That call stops at the first byte, which begins no object.
        answers.append(post(client, f"{EXCEL}bulk-create/", body))

    for answer in answers:
        assert get_message(answer, 400, "malformed").startswith("This request cannot be read: ")
        assert get_message(answer, 400, "malformed").endswith(reason)


def test_invalid_long_list_names_the_bytes(alice):
    customers = [dict(zip(HEADERS, make_row(n), strict=True)) for n in range(2_000)]
    body = json.dumps({"customers": customers})
    broken = body[:-200] + "," + body[-200:]

    answer = post(logged_in_client(alice), f"{EXCEL}bulk-create-async/", broken)

    message = get_message(answer, 400, "malformed")
    begins, ends = (int(word.rstrip(".")) for word in message.split() if word[0].isdigit())
    assert begins < len(body) - 200 < ends <= len(broken)


def test_invalid_form_says_that_a_form_is_expected(alice):
    kind = "multipart/form-data; boundary="
    for address in ("/api/imports/", f"{EXCEL}upload/"):
        answer = post(logged_in_client(alice), address, b"--b\r\n", kind)
        assert "it must be a multipart form" in get_message(answer, 400, "malformed")


@pytest.mark.parametrize(
    ("method", "address", "kind", "taken"),
    [
        ("POST", "/api/imports/", "application/json", "multipart/form-data or"),
        ("PATCH", "/api/imports/{job}/", "text/csv", "Send application/json with"),
        ("POST", f"{EXCEL}upload/", "application/json", "Send multipart/form-data with"),
        (
            "POST",
            f"{EXCEL}bulk-create/",
            "multipart/form-data; boundary=x",
            "Send application/json with",
        ),
        ("POST", "/api/auth/token/", "text/plain", "application/json, application/x-www-form"),
    ],
)
def test_unsupported_media_type_names_the_accepted_types(alice, method, address, kind, taken):
    address = address.format(job=make_job(CONTENT, owner=alice).pk)
    answer = logged_in_client(alice).generic(method, address, b"{}", content_type=kind)
    message = get_message(answer, 415, "unsupported_media_type")
    assert taken in message
    assert kind.partition(";")[0] in message


# --- Fields ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "field", "choices"),
    [
        ("/api/imports/?status=x", "status", Status.values),
        ("/api/imports/{job}/rows/?outcome=x", "outcome", Outcome.values),
        ("/api/customers/?import={job}&outcome=x", "outcome", ["created", "updated"]),
    ],
)
def test_invalid_query_parameter_lists_the_choices(alice, address, field, choices):
    address = address.format(job=make_job(CONTENT, owner=alice).pk)
    message = get_field_message(logged_in_client(alice).get(address), field)
    assert message.endswith(f": {', '.join(choices)}.")


def test_invalid_field_lists_the_choices(alice):
    client, wrong = logged_in_client(alice), {"on_duplicate": "x", "empty_cells": "y"}
    job = check_job(make_job(UNKNOWN_COLUMNS, owner=alice))
    change = client.patch(f"/api/imports/{job.pk}/", wrong, content_type="application/json")
    for answer in (upload(client, file=make_file(), check_first="maybe", **wrong), change):
        assert get_field_message(answer, "on_duplicate").endswith(
            f": {', '.join(OnDuplicate.values)}."
        )
        assert get_field_message(answer, "empty_cells").endswith(": keep, clear.")
    sent = {"has_header_row": "maybe"}
    other = client.patch(f"/api/imports/{job.pk}/", sent, content_type="application/json")
    assert get_field_message(other, "has_header_row").endswith("Send true or false.")
    answer = upload(client, file=make_file(), check_first="maybe")
    assert get_field_message(answer, "check_first").endswith("Send true or false.")
    for importer in ({"importer": "x"}, {}):
        answer = client.post("/api/imports/", importer | {"file": make_file()})
        assert (
            get_field_message(answer, "importer")
            == "Say what the file holds: customers or parcels."
        )


def test_error_of_no_single_field_names_no_field(alice):
    address = f"/api/imports/{check_job(make_job(UNKNOWN_COLUMNS, owner=alice)).pk}/"
    answer = logged_in_client(alice).patch(address, "{}", content_type="application/json")
    assert get_message(answer, 400, "invalid").startswith("Say what to change: ")


@pytest.mark.parametrize("address", ["/api/imports/", f"{EXCEL}upload/"])
def test_file_name_that_is_not_utf8_is_explained(alice, address):
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="Kund\xe9n.csv"\r\n\r\n'
    form = head + b"a,b\r\n--x--\r\n"

    answer = logged_in_client(alice).post(
        address, form, content_type="multipart/form-data; boundary=x"
    )

    assert get_message(answer, 400, "no_file").endswith("with a file name in UTF-8.")


@pytest.mark.parametrize("address", ["/api/imports/", f"{EXCEL}upload/"])
def test_upload_without_a_file_names_the_field(alice, address):
    client = logged_in_client(alice)
    assert "field named file" in get_message(client.post(address, {}), 400, "no_file")
    other = get_message(client.post(address, {"upload" * 99: make_file()}), 400, "no_file")
    assert other.startswith(f"The file came in a field named {('upload' * 99)[:50]}. ")
    assert "in a field named file." in other
    text = get_message(client.post(address, {"file": "customers.xlsx"}), 400, "no_file")
    assert "holds text" in text
    assert not ImportJob.objects.exists()


# --- Authentication and permissions ------------------------------------------


def test_missing_permission_is_named(eve):
    client = logged_in_client(eve)
    template = client.get("/api/imports/template.xlsx?importer=customers")
    for answer in (
        upload(client, file=make_file()),
        post(client, f"{EXCEL}upload/", b""),
        template,
    ):
        assert "permission imports.add_importjob" in get_message(answer, 403, "permission_denied")


def test_missing_login_names_the_token_call(alice):
    job = make_job(CONTENT, owner=alice)
    for address in ("/api/imports/", f"/api/imports/{job.pk}/file/", "/api/customers/"):
        message = get_message(Client().get(address), 401, "not_authenticated")
        assert "POST username and password to /api/auth/token/" in message
    answer = post(Client(), f"{EXCEL}bulk-create/", b"{}")
    assert get_message(answer, 401, "not_authenticated") == message


def test_invalid_token_names_the_refresh_call(alice):
    expired = AccessToken.for_user(alice)
    expired.set_exp(lifetime=timedelta(seconds=-1))
    for token in (expired, f"{AccessToken.for_user(alice)}x", RefreshToken.for_user(alice)):
        client = Client(headers={"Authorization": f"Bearer {token}"})
        message = get_message(client.get("/api/imports/"), 401, "token_not_valid")
        assert "POST refresh to /api/auth/token/refresh/" in message
        assert "/api/auth/token/." in message
    sent = {"refresh": "x"}
    answer = Client().post("/api/auth/token/refresh/", sent, content_type="application/json")
    assert "to /api/auth/token/," in get_message(answer, 401, "token_not_valid")


def test_login_hints_fit_a_websocket_close_reason():
    reasons = [authentication.get_login_hint(), authentication.get_renewal_hint()]
    reasons.append(authentication.InvalidTicket.default_detail)
    assert all(len(reason.encode()) <= 123 for reason in reasons)


# --- Addresses ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_address_without_slash_is_404_with_a_hint(alice, method):
    client, job = logged_in_client(alice), make_job(CONTENT, owner=alice)
    for address in (
        "/api/imports",
        f"/api/imports/{job.pk}",
        f"/api/imports/{job.pk}/start",
        "/api/auth/token",
        f"{EXCEL}bulk-create-async",
        "/api/customers",
    ):
        message = get_message(client.generic(method, address), 404, "not_found")
        assert message == f"Ask for {address}/, with the slash at its end."


def test_unknown_address_has_no_slash_hint():
    for address in ("/api/import", "/api/imports/7", "/api/imports/template", "/api/x/"):
        assert "slash" not in get_message(Client().get(address), 404, "not_found")


# --- An import's status ------------------------------------------------------


def test_start_in_mapping_names_the_call_that_maps(alice):
    job = check_job(make_job(UNKNOWN_COLUMNS, owner=alice, check_first=True))
    own = reverse("imports:api:import-detail", args=[job.pk])
    for answer in (start(alice, job), start_upload(alice, job.pk)):
        message = get_message(answer, 409, "not_allowed")
        assert message.startswith("The import was not started. Its columns must be mapped first. ")
        assert f"PATCH {own} with column_mapping." in message
        assert "shipping_mark" in message


@pytest.mark.django_db(transaction=True)
def test_upload_with_unknown_columns_names_the_call_that_maps(alice):
    answer = logged_in_client(alice).post(f"{EXCEL}upload/", {"file": make_file(UNKNOWN_COLUMNS)})
    own = reverse("imports:api:import-detail", args=[ImportJob.objects.get().pk])
    assert get_message(answer, 400, "missing_columns").endswith(f"PATCH {own} with column_mapping.")
    answer = logged_in_client(alice).post(f"{EXCEL}upload/", {"file": make_file(make_csv([]))})
    assert "PATCH" not in get_message(answer, 400, "no_rows")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (Status.QUEUED, "Its file is still being checked. It starts by itself."),
        (Status.RUNNING, "It is running already. Pause it or cancel it to stop it."),
        (
            Status.PAUSED,
            "It is paused. Resume it to write the remaining rows, or cancel it.",
        ),
    ],
)
def test_start_conflict_names_the_status(alice, status, sentence):
    message = get_message(start(alice, make_moved_job(alice, status)), 409, "not_allowed")
    assert message == f"The import was not started. {sentence}"


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("pause", Status.PAUSED, "The import is paused already. Resume it to write the remaining"),
        ("cancel", Status.CANCELLED, "The import was cancelled already."),
        ("undo", Status.UNDOING, "The import is being undone already."),
        ("undo", Status.UNDONE, "The import was undone already."),
    ],
)
def test_a_command_that_was_given_before_is_told_so(alice, name, status, sentence):
    job = run_import(CONTENT, owner=alice)
    is_final = status in FINAL_STATUSES
    fields = {"status": status, "finished_at": job.finished_at if is_final else None}
    if status == Status.PAUSED:
        fields |= {"processed": 0, "created": 0, "progress_percent": 50}
    ImportJob.objects.filter(pk=job.pk).update(**fields)

    response = logged_in_client(alice).post(f"/api/imports/{job.pk}/{name}/")

    assert get_message(response, 409, "not_allowed").startswith(sentence)


def test_start_conflict_says_what_to_do(alice):
    waiting = make_job(CONTENT, owner=alice, check_first=True)
    assert "Wait until its file is checked" in get_message(
        start(alice, waiting), 409, "not_allowed"
    )
    lifecycle.cancel(waiting.pk)
    assert "Upload its file again" in get_message(start(alice, waiting), 409, "not_allowed")
    failed = check_job(make_job(make_csv([]), owner=alice))
    assert get_message(start(alice, failed), 409, "not_allowed").endswith(
        snapshots.get_status_message(failed)
    )


def start(person, job):
    return logged_in_client(person).post(f"/api/imports/{job.pk}/start/")


def start_upload(person, upload_id):
    body = json.dumps({"upload_id": str(upload_id)})
    return post(logged_in_client(person), f"{EXCEL}bulk-create-async/", body)


def test_unknown_upload_id_names_the_upload_call(alice, bob):
    theirs = check_job(make_job(CONTENT, owner=bob, check_first=True))
    for upload_id in (uuid4(), theirs.pk, "7"):
        message = get_message(start_upload(alice, upload_id), 404, "not_found")
        assert "upload_id" in message
        assert f"POST {reverse('customers:upload')}" in message
    task = logged_in_client(alice).get(f"{EXCEL}bulk-create/status/7/")
    assert "task_id" in get_message(task, 404, "not_found")


def test_upload_that_cannot_start_is_explained(alice):
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))
    lifecycle.cancel(job.pk)
    message = get_message(start_upload(alice, job.pk), 409, "not_allowed")
    assert "It was cancelled. Upload its file again to import the remaining rows." in message


def test_upload_that_is_complete_is_202(alice):
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)
    assert start_upload(alice, job.pk).status_code == 202


def test_unknown_sheet_lists_the_sheets_but_not_in_snapshots(alice):
    content = make_workbook_of_sheets(**{"People": [HEADERS, make_row(1)], "Ama Mensah": [["x"]]})
    job = check_job(make_job(content, owner=alice, read_options={"sheet": "Kunden"}))

    sent = logged_in_client(alice).get(f"/api/imports/{job.pk}/").json()

    assert (sent["status"], sent["error_code"]) == ("FAILED", "no_such_sheet")
    assert sent["message"].endswith(" The file has: People, Ama Mensah.")
    assert "Mensah" not in json.dumps(snapshots.build_snapshot(job))


# --- English -----------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=map(" ".join, ROUTES))
def test_errors_ignore_accept_language(cast, fill_url, route):  # noqa: F811
    """For every kind of caller, errors have the same JSON for every language."""
    method, address = route
    callers = [{"Authorization": cast[1][name]} if name in cast[1] else {} for name in CALLERS]
    in_french, in_english = (
        [
            Client(headers=headers | language).generic(
                method, fill_url(address), b"{", content_type="application/json"
            )
            for headers in callers
        ]
        for language in (FRENCH, {})
    )

    for french, english in zip(in_french, in_english, strict=True):
        assert french.status_code == english.status_code
        if english.status_code >= 400:
            assert french.json() == english.json()
    for response in (*in_french, *in_english):
        response.close()


@pytest.mark.django_db(transaction=True)
async def test_streams_and_websockets_ignore_accept_language(watching):  # noqa: F811
    """For every kind of caller, errors and messages are the same for every language."""
    callers, job = watching
    for headers in callers:
        in_french = [(b"accept-language", b"fr"), *headers]
        answer, last = (
            await get_stream_response(job, headers),
            await get_websocket_close(job, headers),
        )
        assert await get_stream_response(job, in_french) == answer
        assert await get_websocket_close(job, in_french) == last
    assert (answer, last) == ((200, "Importing"), "Importing")


async def get_stream_response(job, headers):
    """Return the status and the message of an error or of the first snapshot."""
    headers = [(b"host", b"localhost"), *headers]
    address = f"/api/imports/{job.pk}/events/"
    stream = HttpCommunicator(application, "GET", address, headers=headers)
    await stream.send_input({"type": "http.request"})
    status = (await stream.receive_output(timeout=10))["status"]
    body = (await stream.receive_output(timeout=10))["body"]
    if status == 200:
        body = (await stream.receive_output(timeout=10))["body"].partition(b"data: ")[2]
    await stream.send_input({"type": "http.disconnect"})
    await stream.wait(timeout=10)
    return status, json.loads(body)["message"]


async def get_websocket_close(job, headers):
    """Return the close code and reason, or the message of the first snapshot."""
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), *headers]
    socket = WebsocketCommunicator(application, f"/ws/imports/{job.pk}/", headers=headers)
    assert (await socket.connect(timeout=10))[0]
    first = await socket.receive_output(timeout=10)
    await socket.disconnect()
    if first["type"] == "websocket.send":
        return json.loads(first["text"])["message"]
    return first["code"], first["reason"]


@pytest.mark.parametrize("body", ["{}", '{"username": "", "password": 7}', '{"username": []}'])
@pytest.mark.parametrize("address", ["/api/auth/token/", "/api/auth/token/refresh/"])
def test_login_errors_ignore_accept_language(address, body):
    in_french, in_english = (post(Client(), address, body, headers=h) for h in (FRENCH, {}))
    assert in_french.json() == in_english.json()
    assert in_english.json()["errors"]


def test_csrf_error_ignores_accept_language(alice):
    strict = logged_in_client(alice, enforce_csrf_checks=True)
    strict.cookies["django_language"] = "fr"
    message = get_message(strict.post("/api/imports/", headers=FRENCH), 403, "permission_denied")
    assert message.startswith("CSRF Failed")
