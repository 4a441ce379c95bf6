"""Error handlers for what Django handles outside views of Django REST framework.

Under /api/ the response is the API's error JSON, in English. Elsewhere it is an HTML page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import override
from django.views import csrf, defaults

from imports.api.errors import build_error_body, to_api_exception
from imports.pages.views import server_error as server_error_page


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 400."""
    return _respond(request, exception, lambda: defaults.bad_request(request, exception))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 403."""
    return _respond(request, exception, lambda: defaults.permission_denied(request, exception))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 404."""
    return _respond(request, exception, lambda: defaults.page_not_found(request, exception))


def server_error(request: HttpRequest) -> HttpResponse:
    """Handle 500. Django calls this while it handles the exception."""
    error = sys.exc_info()[1]
    exception = error if isinstance(error, Exception) else Exception()
    return _respond(request, exception, lambda: server_error_page(request))


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
    headers = {"Retry-After": str(error.wait)} if hasattr(error, "wait") else None
    return JsonResponse(build_error_body(error), status=error.status_code, headers=headers)
