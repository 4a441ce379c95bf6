"""Every error leaves in one shape: a code, a sentence, and what is wrong field by field.

HTTP statuses are chosen here. No text of a database error, nor of one nobody expected,
leaves or is logged: it may quote a customer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from traceback import format_tb
from typing import Any

from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import PermissionDenied as Forbidden
from django.db import Error, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    ErrorDetail,
    NotAuthenticated,
    NotFound,
    ParseError,
    PermissionDenied,
    UnsupportedMediaType,
    ValidationError,
)
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from imports import error_messages
from imports.api import error_hints
from imports.authentication import get_login_hint
from imports.idempotency import IdempotencyKeyReused
from imports.models import TransitionNotAllowed
from imports.pipeline.column_mapping import InvalidMapping
from imports.pipeline.transactions import TransientError, get_sqlstate

log = logging.getLogger(__name__)


class ResourceNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "not_found"
    default_detail = error_hints.NOT_FOUND_MESSAGE


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "not_allowed"


class IdempotencyKeyConflict(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key_reused"


class PayloadTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class InvalidHost(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_host"
    default_detail = "This site does not answer to that name."


class TooManyFields(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "too_many_fields"
    default_detail = "This request has too many fields. Send only those that are described."


class LengthRequired(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send it with a Content-Length, not in chunks."


class MalformedRequest(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "malformed"


class ServiceUnavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "The database cannot be reached just now. Ask again in a few seconds."
    wait = 5  # Becomes Retry-After.


class InternalServerError(APIException):
    default_code = "internal_error"
    default_detail = "Something went wrong on our side. It has been written to our log."


UNREADABLE = (
    *(BadRequest, MultiPartParserError, ParseError),
    *(SuspiciousOperation, UnreadablePostError),
    RecursionError,  # JSON in JSON in JSON, a thousand times.
)
NO_DATABASE = (OperationalError, InterfaceError, TransientError)


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    if isinstance(error, UnsupportedMediaType):
        sentence = error_hints.describe_unsupported_media_type(error, context["request"])
        error.detail = ErrorDetail(sentence, error.detail.code)
    error = to_api_exception(error)
    response = exception_handler(error, context)
    response.data = build_error_body(error)
    return response


def to_api_exception(error: Exception) -> APIException:
    """The error as the one that says which HTTP status it has."""
    if isinstance(error, TransitionNotAllowed):
        return Conflict(str(error))
    if isinstance(error, IdempotencyKeyReused):
        return IdempotencyKeyConflict(str(error))
    if isinstance(error, InvalidMapping):
        return ValidationError(dict(mapping_problems(error)))
    if isinstance(error, (Http404, NotFound)):
        return ResourceNotFound()
    if isinstance(error, Forbidden):
        return PermissionDenied()
    if isinstance(error, DisallowedHost):
        return InvalidHost()
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge("The fields of this request are too large. Send data as a file.")
    if isinstance(error, (TooManyFieldsSent, TooManyFilesSent)):
        return TooManyFields()
    if isinstance(error, UNREADABLE):
        return MalformedRequest(error_hints.describe_unreadable_body(error))
    if isinstance(error, NO_DATABASE):
        log.warning("the database did not answer: %s", reason(error))
        return ServiceUnavailable()
    if isinstance(error, NotAuthenticated):
        error.detail = ErrorDetail(get_login_hint(), error.detail.code)
    if isinstance(error, (NotAuthenticated, AuthenticationFailed)):
        # Django REST framework answers 403 where sessions are the first way to sign in.
        error.status_code = status.HTTP_401_UNAUTHORIZED
        error.auth_header = getattr(error, "auth_header", "Session")
    if isinstance(error, APIException):
        return error
    log.error("a request failed: %s\n%s", reason(error), "".join(format_tb(error.__traceback__)))
    return InternalServerError()


def mapping_problems(error: InvalidMapping) -> Iterator[tuple[str, list[ErrorDetail]]]:
    for field, (code, params) in error.problems.items():
        sentence = ErrorDetail(error_messages.describe_mapping_problem(code, params), code)
        yield f"column_mapping.{field}", [sentence]


def reason(error: Exception) -> str:
    state = f" {get_sqlstate(error)}" if isinstance(error, Error) else ""
    return type(error).__name__ + state


def build_error_body(error: APIException) -> dict[str, Any]:
    if isinstance(error, ValidationError) and isinstance(error.detail, dict):
        errors = list(by_field(error.detail))
        return {"code": "invalid", "message": " ".join(map(sentence_of, errors)), "errors": errors}
    detail = error.detail[0] if isinstance(error.detail, list) else error.detail
    return {"code": detail.code, "message": str(detail), "errors": []}


def by_field(detail: dict[str, Any]) -> Iterator[dict[str, str]]:
    for field, problems in detail.items():
        for problem in problems:
            yield {"field": field, "code": problem.code, "message": str(problem)}


def sentence_of(error: dict[str, str]) -> str:
    of_all = error["field"] == api_settings.NON_FIELD_ERRORS_KEY
    return error["message"] if of_all else f"{error['field']}: {error['message']}"
