"""Whatever Django itself answers under /api/ has the API's shape; pages stay pages."""

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from config.urls import handler400, handler403, handler404, handler500  # noqa: F401
from tests.conftest import logged_in_client

pytestmark = pytest.mark.django_db

ERRORS = {
    "suspicious": SuspiciousOperation("ama@example.com"),
    "forbidden": PermissionDenied(),
    "missing": Http404(),
    "broken": ValueError("ama@example.com"),
    "no-database": OperationalError("ama@example.com"),
}


def fail(request, kind):
    raise ERRORS[kind]


def read(request):
    return HttpResponse(request.POST)


# Views that are not Django REST framework's: there Django is left to answer.
urlpatterns = [
    *(path(f"{root}<kind>/", fail) for root in ("api/fail/", "fail/")),
    *(path(f"{root}read/", read) for root in ("api/", "")),
]


def ask(address, method="GET", client=None, **options):
    client = client or Client(raise_request_exception=False)
    return client.generic(method, address, **options)


def answer(response):
    """Its status and code, if it has the one shape."""
    assert response["Content-Type"] == "application/json"
    assert b"ama@" not in response.content
    error = response.json()
    assert error.keys() == {"code", "message", "errors"}
    return response.status_code, error["code"]


def assert_is_page(response, status):
    assert response.status_code == status
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("suspicious", (400, "malformed")),
        ("forbidden", (403, "permission_denied")),
        ("missing", (404, "not_found")),
        ("broken", (500, "internal_error")),
        ("no-database", (503, "unavailable")),
    ],
)
def test_an_error_outside_the_framework(kind, expected):
    with override_settings(ROOT_URLCONF=__name__):
        response = ask(f"/api/fail/{kind}/")
        assert answer(response) == expected
        assert ("Retry-After" in response) == (kind == "no-database")
        assert_is_page(ask(f"/fail/{kind}/"), expected[0])


def test_it_is_in_english_for_programs():
    with override_settings(ROOT_URLCONF=__name__):
        french = ask("/api/fail/forbidden/", headers={"Accept-Language": "fr"})
        assert french.json()["message"].startswith("You do not have permission")


def test_an_address_the_resolver_does_not_know():
    with override_settings(ROOT_URLCONF=__name__):
        assert answer(ask("/api/nothing/")) == (404, "not_found")
    assert answer(ask("/api/nothing")) == (404, "not_found")
    assert_is_page(ask("/nothing/"), 404)


@pytest.mark.parametrize("address", ["/api/imports/", "/api/nothing/", "/api/auth/token/"])
@pytest.mark.parametrize("host", ["evil.example.com", "a b"])
def test_a_host_that_is_not_ours(address, host):
    assert answer(ask(address, headers={"Host": host})) == (400, "invalid_host")
    assert_is_page(ask("/accounts/login/", headers={"Host": host}), 400)


@override_settings(SECURE_SSL_REDIRECT=True)
def test_a_host_that_is_not_ours_where_https_is_asked_for():
    response = ask("/api/imports/", headers={"Host": "evil.example.com"})
    assert answer(response) == (400, "invalid_host")


def test_a_post_without_a_csrf_token(alice):
    strict = logged_in_client(alice, enforce_csrf_checks=True)
    assert answer(ask("/api/imports/", "POST", strict)) == (403, "permission_denied")
    assert_is_page(ask("/accounts/logout/", "POST", strict), 403)
    with override_settings(ROOT_URLCONF=__name__):
        assert answer(ask("/api/read/", "POST", strict)) == (403, "permission_denied")


FORM = {"content_type": "application/x-www-form-urlencoded"}
MANY = [
    ({"DATA_UPLOAD_MAX_NUMBER_FIELDS": 2}, "a=1&b=2&c=3", "too_many_fields"),
    ({"DATA_UPLOAD_MAX_MEMORY_SIZE": 2}, "a=123456789", "too_large"),
]


@pytest.mark.parametrize(("limit", "body", "code"), MANY)
def test_a_form_that_is_too_much(alice, limit, body, code):
    status = 413 if code == "too_large" else 400
    with override_settings(**limit):
        response = ask("/api/imports/", "POST", logged_in_client(alice), data=body, **FORM)
        assert answer(response) == (status, code)
        with override_settings(ROOT_URLCONF=__name__):
            assert answer(ask("/api/read/", "POST", data=body, **FORM)) == (status, code)
            assert_is_page(ask("/read/", "POST", data=body, **FORM), 400)
