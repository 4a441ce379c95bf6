"""Errors that Django itself answers: in the API's shape under /api/, as pages elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import override
from django.views import csrf, defaults

from imports.api.errors import build_error_body, to_api_exception
from imports.pages.views import server_error

Page = Callable[..., HttpResponse]


def answer(request: HttpRequest, error: BaseException | None, page: Page) -> HttpResponse:
    if not request.path_info.startswith("/api/"):
        return page()
    with override("en"):
        refusal = to_api_exception(error)
    headers = {"Retry-After": str(refusal.wait)} if hasattr(refusal, "wait") else None
    return JsonResponse(build_error_body(refusal), status=refusal.status_code, headers=headers)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, exception, lambda: defaults.bad_request(request, exception))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, exception, lambda: defaults.permission_denied(request, exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, exception, lambda: defaults.page_not_found(request, exception))


def broken(request: HttpRequest) -> HttpResponse:
    return answer(request, sys.exc_info()[1], lambda: server_error(request))


def no_csrf_token(request: HttpRequest, reason: str = "") -> HttpResponse:
    return answer(request, PermissionDenied(), lambda: csrf.csrf_failure(request, reason))
