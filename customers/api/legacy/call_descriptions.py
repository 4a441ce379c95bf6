"""The OpenAPI description of the earlier contract's calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from customers.api.legacy.results import (
    FIELDS,
    CheckedSerializer,
    QueuedSerializer,
    TaskSerializer,
)
from imports.api.openapi.examples import IMPORT_ID, ROW_ERROR, SNAPSHOT
from imports.api.openapi.file_calls import describe_template
from imports.api.openapi.import_calls import FILE_ERROR_CODES, IDEMPOTENCY_KEY
from imports.api.openapi.responses import (
    AUTHENTICATED_CALL_STATUSES,
    THROTTLED_HEADERS,
    Decorator,
    describe_method,
    make_error_responses,
    make_response_example,
)
from imports.conf import app_settings

TAGS = ["earlier contract"]
SCALAR_SCHEMA = {"type": ["string", "number", "boolean", "null"]}
CUSTOMERS_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "maxItems": settings.EXCEL_MAX_CUSTOMERS,
    "items": {
        "type": "object",
        "properties": dict.fromkeys(FIELDS, SCALAR_SCHEMA),
        "additionalProperties": SCALAR_SCHEMA,
        "maxProperties": app_settings.READER_LIMITS["columns"],
    },
}
CUSTOMERS_BODY = {
    "application/json": {
        "oneOf": [
            {
                "title": "CustomerList",
                "type": "object",
                "properties": {"customers": CUSTOMERS_SCHEMA},
                "required": ["customers"],
                "not": {"required": ["upload_id"]},
            },
            {
                "title": "CheckedUpload",
                "type": "object",
                "properties": {"upload_id": {"type": "string", "format": "uuid"}},
                "required": ["upload_id"],
                "not": {"required": ["customers"]},
            },
        ]
    }
}
FILE_BODY = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary", "minLength": 1}},
        "required": ["file"],
    }
}

# --- Examples ----------------------------------------------------------------

CUSTOMER_VALUES = ("GH 204", "Ama", "Mensah", "ama@example.com", "+233241234567")
CUSTOMER = dict(zip(FIELDS, CUSTOMER_VALUES, strict=True))
TASK_ERROR = {"column" if key == "field" else key: value for key, value in ROW_ERROR.items()}
FAILED_ROW = {"row": 17, "reason": f"Phone: {ROW_ERROR['message']}", "errors": [TASK_ERROR]}
CHECKED = {
    "upload_id": IMPORT_ID,
    "valid_candidates": [CUSTOMER],
    "refused": [FAILED_ROW],
    "repeats": [],
    "clashes": [],
    "counts": {"total": 2, "valid": 1, "refused": 1, "repeats": 0, "clashes": 0},
}
QUEUED = {
    "task_id": IMPORT_ID,
    "status": "QUEUED",
    "total_customers": 4000,
    "estimated_time_seconds": 1,
}
TASK = {
    "task_id": IMPORT_ID,
    "status": "COMPLETE",
    "message": "Complete",
    "total_customers": 2,
    "created": 1,
    "updated": 0,
    "skipped": 0,
    "failed": 1,
    "progress": 100,
    "errors": [TASK_ERROR],
    "created_at": SNAPSHOT["created_at"],
    "started_at": SNAPSHOT["started_at"],
    "finished_at": SNAPSHOT["updated_at"],
}

# --- Calls -------------------------------------------------------------------

WRITE_ERROR_STATUSES = (403, 404, 409, 411, 413, 415, 422)
WRITE_ERROR_CODES = {"empty_list": "the list has no customer"}


def describe_call(
    name: str,
    summary: str,
    responses: Mapping[int, OpenApiResponse],
    statuses: Sequence[int],
    *,
    request: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    description: str | None = None,
    error_codes: Mapping[str, str] | None = None,
) -> Decorator:
    """Return the description of a call; `statuses` are its error statuses besides the common ones.

    `error_codes` maps further codes of its 400 to their meanings.
    """
    errors = make_error_responses(*AUTHENTICATED_CALL_STATUSES, *statuses, **(error_codes or {}))
    return describe_method(
        operation_id=f"excel_{name}",
        summary=summary,
        description=description,
        tags=TAGS,
        request=request,
        parameters=[*parameters, *THROTTLED_HEADERS],
        responses={**responses, **errors},
    )


def response(serializer: Any, example: dict[str, Any], description: str = "") -> OpenApiResponse:
    return OpenApiResponse(serializer, description, [make_response_example("answer", example)])


describe_legacy_template = describe_template(
    "excel_template",
    tags=TAGS,
    # The view inherits the parameter of the REST API's view, but knows its importer.
    parameters=[OpenApiParameter("importer", exclude=True)],
)
describe_upload = describe_call(
    "upload",
    "Check a file while the client waits",
    {200: response(CheckedSerializer, CHECKED)},
    [403, 411, 413, 415],
    request=FILE_BODY,
    description="Writes no customer. A file that takes too long to check is answered with 413: "
    "send it to `/api/imports/`.",
    error_codes={
        **FILE_ERROR_CODES,
        "not_a_spreadsheet": "and similar codes, if the file cannot be read",
    },
)
describe_bulk_create_async = describe_call(
    "bulk_create_async",
    "Queue a list of customers, or start a checked upload",
    {202: response(QueuedSerializer, QUEUED)},
    WRITE_ERROR_STATUSES,
    request=CUSTOMERS_BODY,
    parameters=[IDEMPOTENCY_KEY],
    error_codes=WRITE_ERROR_CODES,
)
describe_bulk_create = describe_call(
    "bulk_create",
    "Import a short list while the client waits",
    {
        200: response(TaskSerializer, TASK, "The import has ended."),
        202: response(QueuedSerializer, QUEUED, "The list is too long to wait for. It is queued."),
    },
    WRITE_ERROR_STATUSES,
    request=CUSTOMERS_BODY,
    parameters=[IDEMPOTENCY_KEY],
    error_codes=WRITE_ERROR_CODES,
)
describe_status = describe_call(
    "status",
    "Read how far a task is",
    {200: response(TaskSerializer, TASK)},
    [404],
    parameters=[OpenApiParameter("task_id", str, OpenApiParameter.PATH)],
)
