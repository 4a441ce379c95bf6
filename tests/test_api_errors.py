"""Errors that Django answers: JSON under /api/, pages elsewhere."""

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path

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


def raise_error(request, kind):
    raise ERRORS[kind]


def read(request):
    return HttpResponse(request.POST)


# Views without Django REST framework, so that Django answers their errors.
urlpatterns = [
    path("site/", include("imports.urls")),  # The pages of errors link to it.
    *(path(f"{root}<kind>/", raise_error) for root in ("api/fail/", "fail/")),
    *(path(f"{root}read/", read) for root in ("api/", "")),
    path("", include("imports.urls")),  # Messages name the address of the log-in.
]


def send(address, method="GET", client=None, **options):
    client = client or Client(raise_request_exception=False)
    return client.generic(method, address, **options)


def get_error(response):
    """Return the status and the code of an error response, after its shape is checked."""
    assert response["Content-Type"] == "application/json"
    assert b"ama@" not in response.content
    error = response.json()
    assert error.keys() == {"code", "message", "params", "errors"}
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
def test_error_of_a_django_view(kind, expected):
    with override_settings(ROOT_URLCONF=__name__):
        response = send(f"/api/fail/{kind}/")
        assert get_error(response) == expected
        assert ("Retry-After" in response) == (kind == "no-database")
        assert_is_page(send(f"/fail/{kind}/"), expected[0])


def test_error_under_api_ignores_accept_language():
    with override_settings(ROOT_URLCONF=__name__):
        french = send("/api/fail/forbidden/", headers={"Accept-Language": "fr"})
        assert french.json()["message"].startswith("You do not have permission")


def test_unresolved_address():
    with override_settings(ROOT_URLCONF=__name__):
        assert get_error(send("/api/nothing/")) == (404, "not_found")
    assert get_error(send("/api/nothing")) == (404, "not_found")
    assert_is_page(send("/nothing/"), 404)


@pytest.mark.parametrize("address", ["/api/imports/", "/api/nothing/", "/api/auth/token/"])
@pytest.mark.parametrize("host", ["evil.example.com", "a b"])
def test_unknown_host(address, host):
    assert get_error(send(address, headers={"Host": host})) == (400, "invalid_host")
    assert_is_page(send("/accounts/login/", headers={"Host": host}), 400)


@override_settings(SECURE_SSL_REDIRECT=True)
def test_unknown_host_with_https_redirect():
    response = send("/api/imports/", headers={"Host": "evil.example.com"})
    assert get_error(response) == (400, "invalid_host")


def test_post_without_csrf_token(alice):
    strict = logged_in_client(alice, enforce_csrf_checks=True)
    assert get_error(send("/api/imports/", "POST", strict)) == (403, "permission_denied")
    assert_is_page(send("/accounts/logout/", "POST", strict), 403)
    with override_settings(ROOT_URLCONF=__name__):
        assert get_error(send("/api/read/", "POST", strict)) == (403, "permission_denied")


FORM = {"content_type": "application/x-www-form-urlencoded"}
MANY = [
    ({"DATA_UPLOAD_MAX_NUMBER_FIELDS": 2}, "a=1&b=2&c=3", "too_many_fields"),
    ({"DATA_UPLOAD_MAX_MEMORY_SIZE": 2}, "a=123456789", "too_large"),
]


@pytest.mark.parametrize(("limit", "body", "code"), MANY)
def test_form_above_the_limits(alice, limit, body, code):
    status = 413 if code == "too_large" else 400
    with override_settings(**limit):
        response = send("/api/imports/", "POST", logged_in_client(alice), data=body, **FORM)
        assert get_error(response) == (status, code)
        with override_settings(ROOT_URLCONF=__name__):
            assert get_error(send("/api/read/", "POST", data=body, **FORM)) == (status, code)
            assert_is_page(send("/read/", "POST", data=body, **FORM), 400)
