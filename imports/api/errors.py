"""Exceptions of the API and how every exception becomes a response.

Only this module and the views choose HTTP statuses. The text of a database error or of an
unexpected exception is neither sent nor logged, because it may quote personal data.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import (
    NON_FIELD_ERRORS,
    BadRequest,
    DisallowedHost,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import Error
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

from imports import error_messages
from imports.api import error_hints
from imports.authentication import get_login_hint
from imports.error_body import (
    LENGTH_REQUIRED_MESSAGE,
    NO_SPACE_MESSAGE,
    NO_SPACE_RETRY_SECONDS,
    ErrorBody,
    FieldError,
    is_no_space_error,
    make_error_body,
)
from imports.error_log import log_error
from imports.idempotency import IdempotencyKeyReused
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import NotPermitted
from imports.pipeline.column_mapping import InvalidMapping, quote_header
from imports.pipeline.transactions import TransientError
from imports.postgres import UNAVAILABLE_ERRORS, get_sqlstate, is_file_error
from imports.quotas import QuotaExceeded
from imports.retention import ContentsDeleted
from imports.upload_options import InvalidOptions, UploadFormFailed

log = logging.getLogger(__name__)


class ResourceNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "not_found"
    default_detail = error_hints.NOT_FOUND_MESSAGE


class Conflict(APIException):
    """The import does not allow the command now. `params` are those of the code."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "not_allowed"

    def __init__(
        self, detail: str, code: str | None = None, params: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail, code)
        self.params = params


class ImporterPermissionDenied(PermissionDenied):
    """The importer does not allow this to the user. `params` are those of the code."""

    def __init__(self, error: NotPermitted) -> None:
        super().__init__(str(error), error.code)
        self.params = error.params


class UploadQuotaExceeded(APIException):
    """An upload would exceed a quota of its user. `params` are those of the code."""

    status_code: int = status.HTTP_409_CONFLICT

    def __init__(self, error: QuotaExceeded) -> None:
        super().__init__(str(error), error.code)
        self.params = error.params
        if error.wait_seconds is not None:
            self.status_code = status.HTTP_429_TOO_MANY_REQUESTS
            self.wait = error.wait_seconds


class ContentsGone(APIException):
    status_code = status.HTTP_410_GONE
    default_code = "contents_deleted"


class IdempotencyKeyConflict(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key_reused"


class PayloadTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class InvalidHost(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_host"
    default_detail = "This site does not serve the host name of this request."


class TooManyFields(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "too_many_fields"
    default_detail = "This request has too many fields. Send only those that are described."


class LengthRequired(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = LENGTH_REQUIRED_MESSAGE


class MalformedRequest(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "malformed"


class ServiceUnavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "The database cannot be reached just now. Ask again in a few seconds."
    wait = 5  # Seconds; REST framework sends them as Retry-After.


class NoSpaceLeft(ServiceUnavailable):
    default_detail = NO_SPACE_MESSAGE
    wait = NO_SPACE_RETRY_SECONDS


class InternalServerError(APIException):
    default_code = "internal_error"
    default_detail = "Something went wrong on the server. The error is in the server's log."


class FailedUploadForm(APIException):
    default_code = "upload_form_failed"


UNREADABLE_BODY_ERRORS = (
    BadRequest,
    MultiPartParserError,
    ParseError,
    SuspiciousOperation,
    UnreadablePostError,
    RecursionError,  # JSON that is nested a thousand levels deep.
)
REQUEST_FIELD = "non_field_errors"  # The field of an error of the whole request.
DATABASE_UNAVAILABLE_ERRORS = (*UNAVAILABLE_ERRORS, TransientError)


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """Return the error response of a view of the API.

    The handler of REST framework marks the open transaction for rollback if ATOMIC_REQUESTS is on.
    No transaction is open around a view of the app. In a test of a project it would be that of the
    test, so this handler marks none.
    """
    if isinstance(error, UnsupportedMediaType):
        message = error_hints.describe_unsupported_media_type(error, context["request"])
        error.detail = ErrorDetail(message, str(error.get_codes()))
    api_error = to_api_exception(error)
    headers = {}
    if auth_header := getattr(api_error, "auth_header", None):
        headers["WWW-Authenticate"] = str(auth_header)
    if wait := getattr(api_error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return Response(build_error_body(api_error), api_error.status_code, headers=headers)


def to_api_exception(error: BaseException | None) -> APIException:
    """Return the exception that has the HTTP status, the code and the message for this error.

    Errors of the database and unexpected errors are logged.
    """
    if isinstance(error, TransitionNotAllowed):
        return Conflict(str(error), error.code, error.params)
    if isinstance(error, QuotaExceeded):
        return UploadQuotaExceeded(error)
    if isinstance(error, ContentsDeleted):
        return ContentsGone(str(error))
    if isinstance(error, IdempotencyKeyReused):
        return IdempotencyKeyConflict(str(error))
    if isinstance(error, InvalidMapping):
        return ValidationError(dict(_list_mapping_errors(error)))
    if isinstance(error, InvalidOptions):
        return ValidationError(dict(_list_option_errors(error)))
    if isinstance(error, UploadFormFailed):
        return FailedUploadForm(str(error))
    if isinstance(error, (Http404, NotFound, ImportJob.DoesNotExist)):
        return ResourceNotFound()
    if isinstance(error, NotPermitted):
        return ImporterPermissionDenied(error)
    if isinstance(error, DjangoPermissionDenied):
        return PermissionDenied()
    if isinstance(error, DisallowedHost):
        return InvalidHost()
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge("The fields of this request are too large. Send data as a file.")
    if isinstance(error, (TooManyFieldsSent, TooManyFilesSent)):
        return TooManyFields()
    if is_no_space_error(error):
        log.error("a request cannot be stored: no disk space is left for temporary files")
        return NoSpaceLeft()
    if isinstance(error, UNREADABLE_BODY_ERRORS):
        return MalformedRequest(error_hints.describe_unreadable_body(error))
    if isinstance(error, DATABASE_UNAVAILABLE_ERRORS) or (
        isinstance(error, Error) and is_file_error(error)
    ):
        log.warning("the database did not answer: %s", _get_error_name(error))
        return ServiceUnavailable()
    if isinstance(error, NotAuthenticated):
        error.detail = ErrorDetail(get_login_hint(), str(error.get_codes()))
    if isinstance(error, (NotAuthenticated, AuthenticationFailed)):
        # REST framework answers 403 if a session is the first way to authenticate.
        error.status_code = status.HTTP_401_UNAUTHORIZED
        if not hasattr(error, "auth_header"):
            setattr(error, "auth_header", "Session")  # noqa: B010  REST framework declares no such attribute.
    if isinstance(error, APIException):
        return error
    if error is not None:
        log_error(log, "a request", error, get_sqlstate(error) if isinstance(error, Error) else "")
    return InternalServerError()


def _list_mapping_errors(error: InvalidMapping) -> Iterator[tuple[str, list[ErrorDetail]]]:
    for field, (code, params) in error.problems.items():
        message = error_messages.describe_mapping_problem(code, params)
        yield f"column_mapping.{field}", [ErrorDetail(message, code)]


def _list_option_errors(error: InvalidOptions) -> Iterator[tuple[str, list[ErrorDetail]]]:
    for name, problems in error.errors.items():
        field = "options" if name == NON_FIELD_ERRORS else f"options.{quote_header(name)}"
        yield (
            field,
            [
                ErrorDetail(message, problem.code or "invalid")
                for problem in problems
                for message in problem.messages
            ],
        )


def _get_error_name(error: BaseException | None) -> str:
    """Return the class of the error and, for a database error, its SQLSTATE."""
    sqlstate = f" {get_sqlstate(error)}" if isinstance(error, Error) else ""
    return type(error).__name__ + sqlstate


def build_error_body(error: APIException) -> ErrorBody:
    """Return the JSON of an exception; the errors of a ValidationError come field by field."""
    if isinstance(error, ValidationError) and isinstance(error.detail, dict):
        errors = list(_list_field_errors(error.detail))
        return make_error_body("invalid", " ".join(map(_get_sentence, errors)), errors)
    detail = error.detail[0] if isinstance(error.detail, list) else error.detail
    params = getattr(error, "params", None)
    return make_error_body(str(detail.code), str(detail), params=params)  # type: ignore[union-attr]  # An ErrorDetail.


def _list_field_errors(detail: dict[str, Any]) -> Iterator[FieldError]:
    for name, problems in detail.items():
        # The project may have named the errors of a whole request.
        field = REQUEST_FIELD if name == api_settings.NON_FIELD_ERRORS_KEY else name
        for problem in problems:
            yield {"field": field, "code": problem.code, "message": str(problem)}


def _get_sentence(error: FieldError) -> str:
    if error["field"] == REQUEST_FIELD:
        return error["message"]
    return f"{error['field']}: {error['message']}"
