"""Error handlers for what Django handles outside views of Django REST framework.

Under /api/ the response is the API's error JSON, in English. Elsewhere it is an HTML page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import override
from django.views import csrf, defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import APIException

from imports.api.error_hints import describe_missing_address
from imports.api.errors import ResourceNotFound, build_error_body, to_api_exception


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 400."""
    return _respond(request, exception, lambda: defaults.bad_request(request, exception))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 403."""
    return _respond(request, exception, lambda: defaults.permission_denied(request, exception))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 404."""
    return _respond(request, exception, lambda: defaults.page_not_found(request, exception))


@csrf_exempt
def unknown_api_address(request: HttpRequest) -> HttpResponse:
    """Answer a request for an address under /api/ that no view has.

    Without this view, Django would redirect an address without its last slash, and the redirect
    would lose the body of the request.
    """
    with override("en"):
        error = ResourceNotFound(describe_missing_address(request))
        return make_api_response(error)


def server_error(request: HttpRequest) -> HttpResponse:
    """Handle 500. Django calls this while it handles the exception."""
    error = sys.exc_info()[1]
    exception = error if isinstance(error, Exception) else Exception()
    return _respond(request, exception, lambda: render_server_error_page(request))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Handle a request whose CSRF token is missing or wrong."""
    return _respond(request, PermissionDenied(), lambda: csrf.csrf_failure(request, reason))


def _respond(
    request: HttpRequest, exception: Exception, render_page: Callable[[], HttpResponse]
) -> HttpResponse:
    if not request.path_info.startswith("/api/"):
        return render_page()
    with override("en"):
        error = to_api_exception(exception)
        return make_api_response(error)


def make_api_response(error: APIException) -> JsonResponse:
    """Return the error JSON of the API, with Retry-After if the error has a waiting time."""
    headers = {"Retry-After": str(error.wait)} if hasattr(error, "wait") else None
    return JsonResponse(build_error_body(error), status=error.status_code, headers=headers)


def render_server_error_page(request: HttpRequest) -> HttpResponse:
    """Render the page of an unhandled exception: 503 if the database failed, otherwise 500."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        page = render_to_string("503.html")
        return HttpResponse(page, status=503, headers={"Retry-After": "5"})
    return HttpResponse(render_to_string("500.html"), status=500)
