"""The words in which a call is described: what it may refuse, and real examples."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.fields import BooleanField

from imports.api import error_hints

# Each refusal, its codes, and one of them as it is sent.
REFUSALS = {
    400: (
        "What was sent cannot be used",
        "invalid malformed",
        "This request cannot be read: JSON is expected, and there is none at line 1, column 12.",
    ),
    401: (
        "Nobody is logged in, or the token is not valid (any more)",
        "not_authenticated token_not_valid no_active_account",
        "This token is not valid (any more). POST refresh to /api/auth/token/refresh/, or log in "
        "at /api/auth/token/.",
    ),
    403: ("You may not do this", "permission_denied", error_hints.IMPORT_NOT_PERMITTED_MESSAGE),
    404: (
        "Not there, or not yours",
        "not_found",
        "There is nothing at this address that you may see.",
    ),
    406: (
        "The answer is not to be had in what `Accept` names",
        "not_acceptable",
        "Could not satisfy the request Accept header.",
    ),
    409: (
        "The import's status does not allow it",
        "not_allowed",
        "It has been started already, and is RUNNING.",
    ),
    411: (
        "The body comes without a length",
        "length_required",
        "Send the file with a Content-Length, not in chunks.",
    ),
    413: (
        "Larger than we take; the message says where the limit is",
        "too_large",
        "The file is larger than 100.0 MB. Split it into several files.",
    ),
    415: (
        "The body is of another type than this call takes",
        "unsupported_media_type",
        'Unsupported media type "text/plain" in request. Send application/json, and say so in '
        "Content-Type.",
    ),
    422: (
        "The key was used for another body",
        "key_reused",
        "This Idempotency-Key was used for another upload; choose a new one.",
    ),
    429: (
        "Too often; `Retry-After` says when to come again",
        "throttled",
        "Request was throttled. Expected available in 3 seconds.",
    ),
    503: (
        "Not just now; `Retry-After` says when to come again",
        "unavailable",
        "The database cannot be reached just now. Ask again in a few seconds.",
    ),
}
CODES = ", ".join(
    f"`{code}` ({status})" for status, (_, codes, _) in REFUSALS.items() for code in codes.split()
)
PUBLIC_CALL_STATUSES = (400, 406, 429, 503)  # What anybody's call may end in.
AUTHENTICATED_CALL_STATUSES = (*PUBLIC_CALL_STATUSES, 401)
FILE_CALL_STATUSES = (400, 401, 404, 429, 503)  # A file is sent whatever `Accept` names.


class ErrorOfFieldSerializer(serializers.Serializer):
    field = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer):
    """Every error, whatever the call."""

    code = serializers.CharField(
        help_text=f"For programs; new ones may come: {CODES}, `method_not_allowed` (405). A file "
        "that cannot be read has codes of its own, the `error_code` of an import."
    )
    message = serializers.CharField(help_text="What to do about it, in English.")
    errors = ErrorOfFieldSerializer(many=True, help_text="Field by field, where that can be said.")


def error_responses(*statuses: int, **codes: str) -> dict[int, OpenApiResponse]:
    """These refusals of a call; `invalid="…"` and the like name more codes for its 400."""
    return {s: error_response(s, codes if s == 400 else {}) for s in sorted(statuses)}


def error_response(status: int, more: dict[str, str]) -> OpenApiResponse:
    reason, codes, message = REFUSALS[status]
    named = [f"`{code}`" for code in codes.split()]
    named += [f"`{code}`: {meaning}" for code, meaning in more.items()]
    sent = {"code": codes.split()[-1], "message": message, "errors": []}
    return OpenApiResponse(
        ErrorSerializer,
        f"{reason}: {', '.join(named)}.",
        [response_example(codes.split()[-1], sent)],
    )


def response_example(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value, response_only=True)


def request_header(name: str, meaning: str, **schema: Any) -> OpenApiParameter:
    """A header of the request."""
    kind = {"type": "string", **schema} if schema else str
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=meaning)


def response_header(name: str, kind: Any, meaning: str, *statuses: int) -> OpenApiParameter:
    """A header of the answers with these statuses."""
    return OpenApiParameter(
        name, kind, OpenApiParameter.HEADER, description=meaning, response=list(statuses)
    )


RETRY_AFTER = response_header("Retry-After", int, "Seconds to wait.", 429, 503)
CHALLENGE = response_header("WWW-Authenticate", str, "How to log in.", 401)
LOCATION = response_header("Location", OpenApiTypes.URI_REF, "The import's address.", 202)
ETAG = response_header(
    "ETag", str, "A hash of the body; send it back in `If-None-Match`.", 200, 304
)
IF_NONE_MATCH = request_header("If-None-Match", "The last answer's `ETag`: unchanged, it is 304.")
NOT_MODIFIED_RESPONSE = {304: OpenApiResponse(description="Unchanged since the `ETag` you have.")}

CONTENT_DISPOSITION = response_header(
    "Content-Disposition", str, "It is an attachment, and has a name.", 200
)
CONTENT_LENGTH = response_header("Content-Length", int, "Its bytes.", 200)

COMMON_HEADERS = [RETRY_AFTER, CHALLENGE]
CONDITIONAL_HEADERS = [IF_NONE_MATCH, ETAG]


# A form says yes and no in many words.
WORDS = BooleanField.TRUE_VALUES | BooleanField.FALSE_VALUES
BOOLEAN_SCHEMAS = [
    {"type": "boolean"},
    {"type": "integer", "enum": [0, 1]},
    {"type": "string", "enum": sorted(word for word in WORDS if isinstance(word, str))},
]
EMPTY_STRING_SCHEMA = {"type": "string", "maxLength": 0}


def complete_request_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A call that takes a body cannot do without it; what a form may leave out may be empty."""
    calls = [call for methods in result["paths"].values() for call in methods.values()]
    bodies = [call["requestBody"] for call in calls if "requestBody" in call]
    for body in bodies:
        body["required"] = True
    forms = [body["content"].get("multipart/form-data", {}).get("schema", {}) for body in bodies]
    for name in {form.get("$ref", "").rpartition("/")[2] for form in forms} - {""}:
        let_be_empty(result["components"]["schemas"][name])
    return result


def let_be_empty(form: dict[str, Any]) -> None:
    fields = form["properties"]
    for name in fields.keys() - form.get("required", ()):
        fields[name] = or_nothing(fields[name])


def or_nothing(field: dict[str, Any]) -> dict[str, Any]:
    kept = {name: field[name] for name in ("default", "description") if name in field}
    kind = {name: value for name, value in field.items() if name not in kept}
    return kept | {
        "anyOf": [
            *(BOOLEAN_SCHEMAS if kind == {"type": "boolean"} else [kind]),
            EMPTY_STRING_SCHEMA,
        ]
    }
