"""Parts of the description that many calls share: error responses, headers and examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import is_jsonschema_compliant
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import APIException

from imports.api import error_hints
from imports.api.error_serializers import ERROR_CODES, ApiErrorSerializer
from imports.api.errors import InternalServerError
from imports.api.throttles import LIMIT_HEADER, REMAINING_HEADER, RESET_HEADER
from imports.error_body import make_error_body

Schema = dict[str, Any]
DescribedView = TypeVar("DescribedView", bound=Callable[..., Any])


class Decorator(Protocol):
    """A decorator that returns a view of the type that it gets."""

    def __call__(self, view: DescribedView, /) -> DescribedView: ...


def describe_method(**options: Any) -> Decorator:
    """Return a decorator that describes a method of a view; `options` are of `extend_schema`.

    The method gets drf-spectacular's AutoSchema, whatever the DEFAULT_SCHEMA_CLASS of the project.
    """
    describe = extend_schema(**options)

    def decorate(view: DescribedView) -> DescribedView:
        view.kwargs = {"schema": AutoSchema, **getattr(view, "kwargs", {})}  # type: ignore[attr-defined]
        described: DescribedView = describe(view)
        return described

    return decorate


IMPORT_ID_PARAMETER = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)

# For each error status: what it means, and the message of a real response. The example has the
# last of the status's codes.
ERRORS = {
    400: (
        "The request cannot be used",
        "This request cannot be read: its JSON is invalid at line 1, column 12.",
    ),
    401: (
        "There is no login, or the token is not valid or has expired",
        "This token is not valid (any more). POST refresh to /api/auth/token/refresh/, or log in "
        "at /api/auth/token/.",
    ),
    403: ("You have no permission for this", error_hints.IMPORT_NOT_PERMITTED_MESSAGE),
    404: ("It does not exist, or you may not see it", error_hints.NOT_FOUND_MESSAGE),
    406: (
        "`Accept` names no type that this call can send",
        "Could not satisfy the request Accept header.",
    ),
    409: (
        "The import's status does not allow it",
        "The import was not started. It is running already. Pause it or cancel it to stop it.",
    ),
    410: (
        "The file and the rows were deleted",
        "The file and the rows of this import were deleted on Nov. 28, 2026.",
    ),
    411: (
        "The body has no Content-Length",
        "Send the body with a Content-Length, not in chunks.",
    ),
    413: (
        "The body is too large; the message names the limit",
        "The file is larger than 100.0 MB. Split it into several files.",
    ),
    415: (
        "This call does not accept the Content-Type of the body",
        'Unsupported media type "text/plain" in request. Send application/json with a matching '
        "Content-Type.",
    ),
    422: (
        "The Idempotency-Key was used for another body",
        "This Idempotency-Key was used for another upload; choose a new one.",
    ),
    429: (
        "Too many requests; `Retry-After` says when to retry",
        "Request was throttled. Expected available in 3 seconds.",
    ),
    500: (
        "An unexpected error, which is in the log of the server; report the `X-Request-ID`",
        InternalServerError.default_detail,
    ),
    503: (
        "The service is unavailable at the moment; `Retry-After` says when to retry",
        "The database cannot be reached just now. Ask again in a few seconds.",
    ),
}
# The parameters of the examples that have some.
EXAMPLE_PARAMETERS = {409: {"status": "RUNNING", "actions": ["pause", "cancel"]}}
PUBLIC_CALL_STATUSES = (400, 406, 429, 500, 503)  # Error statuses of every call.
AUTHENTICATED_CALL_STATUSES = (*PUBLIC_CALL_STATUSES, 401)
FILE_CALL_STATUSES = (400, 401, 404, 429, 500, 503)  # A file is sent whatever `Accept` names.


def allow_types(*types: str, nullable: bool = False) -> Schema:
    """Return the schema of a value of one of these types, in the version of the description.

    A project may describe its own API with OpenAPI 3.0, which has no lists of types and no null.
    """
    if is_jsonschema_compliant():  # type: ignore[no-untyped-call]
        names = [*types, "null"] if nullable else [*types]
        return {"type": names[0] if len(names) == 1 else names}
    schema: Schema = {"type": types[0]}
    if len(types) > 1:
        schema = {"anyOf": [{"type": each} for each in types]}
    return schema | {"nullable": True} if nullable else schema


def make_error_responses(*statuses: int, **codes: str) -> dict[int, OpenApiResponse]:
    """Return the error responses of a call.

    `codes` maps further codes of the call's 400 to their meanings.
    """
    return {
        status: make_error_response(status, codes if status == 400 else {})
        for status in sorted(statuses)
    }


def make_error_response(status: int, more_codes: dict[str, str]) -> OpenApiResponse:
    """Return the description of one error status; `more_codes` maps codes to meanings."""
    meaning, message = ERRORS[status]
    codes = ERROR_CODES[status]
    names = [f"`{code}`" for code in codes]
    names += [f"`{code}`: {code_meaning}" for code, code_meaning in more_codes.items()]
    example = make_response_example(
        codes[-1], make_error_body(codes[-1], message, params=EXAMPLE_PARAMETERS.get(status))
    )
    return OpenApiResponse(ApiErrorSerializer, f"{meaning}: {', '.join(names)}.", [example])


def make_missing_part_response(error: type[APIException]) -> OpenApiResponse:
    """Return the description of the 501 of a call whose optional part is not installed."""
    code, message = error.default_code, str(error.default_detail)
    example = make_response_example(code, make_error_body(code, message))
    return OpenApiResponse(
        ApiErrorSerializer, f"The site has not installed this part: `{code}`.", [example]
    )


def make_response_example(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value, response_only=True)


def make_request_header(name: str, description: str, **schema: Any) -> OpenApiParameter:
    """Return a request header. Its type is string; `schema` narrows it."""
    kind = {"type": "string", **schema} if schema else str
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description)


def make_response_header(
    name: str, kind: Any, description: str, *statuses: int
) -> OpenApiParameter:
    """Return a header of the responses with these statuses."""
    return OpenApiParameter(
        name, kind, OpenApiParameter.HEADER, description=description, response=list(statuses)
    )


RETRY_AFTER = make_response_header("Retry-After", int, "Seconds to wait before a retry.", 429, 503)
WWW_AUTHENTICATE = make_response_header("WWW-Authenticate", str, "How to authenticate.", 401)
LOCATION = make_response_header("Location", OpenApiTypes.URI_REF, "The import's address.", 202)
ETAG = make_response_header(
    "ETag", str, "A hash of the body. Send it back in `If-None-Match`.", 200, 304
)
IF_NONE_MATCH = make_request_header(
    "If-None-Match", "The `ETag` of the last response. If nothing has changed, the answer is 304."
)
NOT_MODIFIED_RESPONSE = {304: OpenApiResponse(description="Nothing has changed since that `ETag`.")}

CONTENT_DISPOSITION = make_response_header(
    "Content-Disposition", str, "An attachment with its file name.", 200
)
CONTENT_LENGTH = make_response_header("Content-Length", int, "The number of bytes.", 200)

# Of the responses of a call that has a rate limit, except those with a status from 500.
SUCCESS_STATUSES = (200, 201, 202, 204, 304)
LIMITED_STATUSES = (*SUCCESS_STATUSES, *(status for status in ERRORS if status < 500))
RATE_LIMIT_HEADERS = [
    make_response_header(name, int, description, *LIMITED_STATUSES)
    for name, description in (
        (LIMIT_HEADER, "How many requests you may send in the period of the limit."),
        (REMAINING_HEADER, "How many of them you may still send now."),
        (RESET_HEADER, "Seconds until the oldest counted request leaves the period."),
    )
]
COMMON_HEADERS = [RETRY_AFTER, WWW_AUTHENTICATE]
THROTTLED_HEADERS = [*COMMON_HEADERS, *RATE_LIMIT_HEADERS]
CONDITIONAL_HEADERS = [IF_NONE_MATCH, ETAG]
