"""What the description says of each call of ours: `@schema.IMPORTS` and the like on its view."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)

from imports.api import examples
from imports.api.describing import (
    AUTHENTICATED_CALL_STATUSES,
    BOOLEAN_SCHEMAS,
    COMMON_HEADERS,
    CONDITIONAL_HEADERS,
    LOCATION,
    NOT_MODIFIED_RESPONSE,
    error_responses,
    request_header,
    response_example,
)
from imports.api.response_serializers import (
    ColumnsSerializer,
    DetectedFormatSerializer,
    OptionsSerializer,
    PreviewSerializer,
    ProblemsSerializer,
    ReadSummaryEntrySerializer,
    RowsSerializer,
    SnapshotSerializer,
    UrlsSerializer,
)
from imports.api.serializers import (
    IDEMPOTENCY_KEY_PATTERN,
    MAX_IDEMPOTENCY_KEY_CHARS,
    ChangesSerializer,
    ImportJobSerializer,
    JobsQuery,
    ListedJobSerializer,
    RowsQuery,
    UploadSerializer,
)
from imports.importer import list_importers
from imports.lifecycle import OPTIONS_THAT_CHANGE_COLUMNS

TAG = ["imports"]
IDEMPOTENCY_KEY = request_header(
    "Idempotency-Key",
    "A name of your own for this upload. Within 24 hours the same key is the same import.",
    maxLength=MAX_IDEMPOTENCY_KEY_CHARS,
    pattern=IDEMPOTENCY_KEY_PATTERN,
)
# A form sends what is not chosen as nothing.
WHEN = {"type": "string", "anyOf": [{"format": "date-time"}, {"maxLength": 0}]}
FILE_ERROR_CODES = {
    "no_file": "no field named file",
    "several_files": "more than one",
    "empty_file": "no byte in it",
}


def importer_names() -> list[str]:
    return sorted(importer.name for importer in list_importers())


def importer_schema() -> dict[str, Any]:
    return {"type": "string", "enum": importer_names()}


def accepted(name: str, value: dict[str, Any]) -> dict[int, OpenApiResponse]:
    shown = [response_example(name, value)]
    return {202: OpenApiResponse(ImportJobSerializer, "The import as it is now.", shown)}


def ok_responses(shape: Any, value: Any) -> dict[int, OpenApiResponse]:
    """What a reading answers: 200 with this, or 304."""
    return {
        200: OpenApiResponse(shape, examples=[response_example("found", value)]),
        **NOT_MODIFIED_RESPONSE,
    }


def describe_read(operation_id: str, summary: str, answers: dict[int, Any], **more: Any) -> Any:
    parameters = [*more.pop("parameters", ()), *CONDITIONAL_HEADERS, *COMMON_HEADERS]
    described = {"description": "", "tags": TAG, "responses": answers, "parameters": parameters}
    return extend_schema(operation_id=operation_id, summary=summary, **(described | more))


def action(name: str, summary: str) -> Any:
    """A POST that moves an import on and takes no body: start, cancel and the like."""
    return extend_schema(
        operation_id=f"imports_{name}",
        summary=summary,
        description="",
        tags=TAG,
        request=None,
        parameters=[LOCATION, *COMMON_HEADERS],
        responses={
            **accepted(name, examples.RUNNING),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 403, 404, 409),
        },
    )


describe_import_calls = extend_schema_view(
    list=describe_read(
        "imports_list",
        "The imports that you may see, newest first",
        {
            **ok_responses(ListedJobSerializer(many=True), examples.LISTED),
            **error_responses(*AUTHENTICATED_CALL_STATUSES),
        },
        parameters=[
            JobsQuery,
            *(OpenApiParameter(name, WHEN) for name in ("created_after", "created_before")),
        ],
        description="Pages hold still while new imports come in: follow `next` as it is.",
    ),
    retrieve=describe_read(
        "imports_retrieve",
        "One import: how far it is, what was asked for, where to go on",
        {
            **ok_responses(ImportJobSerializer, examples.RUNNING),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        description="To poll, ask again after `poll_after_seconds`; null: nothing more happens.",
    ),
    create=extend_schema(
        operation_id="imports_create",
        summary="Upload a file",
        description="It is stored when the 202 arrives; then a worker checks and writes its rows. "
        "`same_file_as` names an earlier import of this very file.",
        tags=TAG,
        request={"multipart/form-data": UploadSerializer},
        parameters=[IDEMPOTENCY_KEY, LOCATION, *COMMON_HEADERS],
        responses={
            **accepted("accepted", examples.WAITING),
            **error_responses(
                *AUTHENTICATED_CALL_STATUSES, 403, 411, 413, 415, 422, **FILE_ERROR_CODES
            ),
        },
    ),
    partial_update=extend_schema(
        operation_id="imports_change",
        summary="Say how its file is to be read, and check it again",
        description="While it is MAPPING or READY, or FAILED of how it was to be read (as "
        "`wrong_encoding`, `no_such_sheet` and `no_rows`). `column_mapping` names for each field a "
        "header of `columns`, or an index, or null to leave it out; what is not said stays as "
        "it is. Say how to read the file first, and which column is which once it is read.",
        tags=TAG,
        request={"application/json": ChangesSerializer},
        examples=[OpenApiExample("columns", examples.MAPPING, request_only=True)],
        parameters=[LOCATION, *COMMON_HEADERS],
        responses={
            **accepted("checked_again", examples.WAITING),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 403, 404, 409, 411, 413, 415),
        },
    ),
    start=action("start", "Write what was checked: READY becomes RUNNING"),
    cancel=action("cancel", "Stop it for good; what is written stays"),
    rows=describe_read(
        "imports_rows",
        "What became of each row",
        {
            **ok_responses(RowsSerializer, examples.ROWS),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        parameters=[RowsQuery],
    ),
    problems=describe_read(
        "imports_problems",
        "Why rows were refused or skipped, by cause",
        {
            **ok_responses(ProblemsSerializer, examples.PROBLEMS),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
    ),
    preview=describe_read(
        "imports_preview",
        "What starting it would do",
        {
            **ok_responses(PreviewSerializer, examples.PREVIEW),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 404, 409),
        },
        description="While it is READY.",
    ),
)


# What `is_delimiter` takes, tab by its names, or nothing.
DELIMITER_PATTERN = r"""^([^\w"'\\\r\n\u0000\ufeff]|_|[Tt][Aa][Bb]|\\[Tt])?$"""

# Objects in it that no field describes.
PARTS = {
    "read_options": OptionsSerializer,
    "detected_format": DetectedFormatSerializer,
    "columns": ColumnsSerializer,
    "read_summary": ReadSummaryEntrySerializer,
    "urls": UrlsSerializer,
}
UNTIL_KNOWN = {"detected_format", "columns"}  # It is read first.
LISTS = {"read_summary"}


class JobWithItsSnapshot(OpenApiSerializerExtension):
    """An import is its snapshot's fields and its own, in one object."""

    target_class = ImportJobSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema, direction):
        shared = auto_schema.resolve_serializer(SnapshotSerializer, direction).schema
        own = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        for name in PARTS.keys() & own["properties"].keys():
            part = auto_schema.resolve_serializer(PARTS[name], direction).ref
            if name in UNTIL_KNOWN:
                part = {"oneOf": [part, {"type": "null"}]}
            elif name in LISTS:
                part = {"type": "array", "items": part}
            own["properties"][name] = part
        # A copy, because what names the enumerations changes each object once.
        own["properties"] = deepcopy(shared["properties"]) | own["properties"]
        own["required"] = [*shared["required"], *own["required"]]
        return own


class UploadOfAFile(OpenApiSerializerExtension):
    """The fields beside a file, no others, and the file; the key comes as a header."""

    target_class = UploadSerializer

    def map_serializer(self, auto_schema, direction):
        form = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        file = {"type": "string", "format": "binary", "minLength": 1}
        names = importer_names()
        del form["properties"]["idempotency_key"]
        form["properties"]["importer"] = importer_schema()
        form["properties"]["delimiter"]["pattern"] = DELIMITER_PATTERN
        form["properties"] = {"file": file, **form["properties"]}
        form["required"] = ["file", *(["importer"] if len(names) > 1 else [])]
        return form | {"additionalProperties": False}


class Changes(OpenApiSerializerExtension):
    """At least one, no others, and columns not in one breath with how to read."""

    target_class = ChangesSerializer

    def map_serializer(self, auto_schema, direction):
        body = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        column = {"type": ["integer", "string", "null"]}
        body["properties"]["column_mapping"] |= {"additionalProperties": column}
        body["properties"]["delimiter"]["pattern"] = DELIMITER_PATTERN
        body["properties"]["has_header_row"] = {"anyOf": BOOLEAN_SCHEMAS}
        for name in ("sheet", "encoding"):  # A sheet's name may look like a number.
            body["properties"][name]["type"] = ["string", "number"]
        reading_too = {"anyOf": [{"required": [name]} for name in OPTIONS_THAT_CHANGE_COLUMNS]}
        return body | {
            "minProperties": 1,
            "additionalProperties": False,
            "not": {"required": ["column_mapping"], **reading_too},
        }


class Bearer(OpenApiAuthenticationExtension):
    target_class = "imports.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema):
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access` of `POST /api/auth/token/`.",
        }


class Session(OpenApiAuthenticationExtension):
    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema):
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The cookie of a person's login; a POST needs `X-CSRFToken` beside it.",
        }
