"""What the description says of the earlier contract's calls."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from customers.models import Customer
from imports.api.call_descriptions import FILE_ERROR_CODES, IDEMPOTENCY_KEY
from imports.api.describing import (
    AUTHENTICATED_CALL_STATUSES,
    COMMON_HEADERS,
    error_responses,
    response_example,
)
from imports.api.examples import IMPORT_ID, ROW_ERROR, SNAPSHOT
from imports.api.file_schema import describe_template
from imports.api.response_serializers import RowErrorSerializer

TASK_STATUSES = ("QUEUED", "RUNNING", "COMPLETE", "FAILED")
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")
SCALAR = {"type": ["string", "number", "boolean", "null"]}
CUSTOMERS = {
    "type": "array",
    "minItems": 1,
    "maxItems": settings.EXCEL_MAX_CUSTOMERS,
    "items": {
        "type": "object",
        "properties": dict.fromkeys(FIELDS, SCALAR),
        "additionalProperties": SCALAR,
        "maxProperties": settings.IMPORT_READER["columns"],
    },
}


class CandidateSerializer(serializers.ModelSerializer):
    """A customer as he would be stored; to be posted back as it is."""

    class Meta:
        model = Customer
        fields = FIELDS
        read_only_fields = fields


class RefusedRowSerializer(serializers.Serializer):
    row = serializers.IntegerField(help_text="The spreadsheet's own number.")
    reason = serializers.CharField(help_text="All that is wrong, each with its column.")
    errors = RowErrorSerializer(many=True)


class CountsSerializer(serializers.Serializer):
    total = serializers.IntegerField()
    valid = serializers.IntegerField()
    refused = serializers.IntegerField()
    repeats = serializers.IntegerField()
    clashes = serializers.IntegerField()


class CheckedSerializer(serializers.Serializer):
    """What checking a file has found; nothing is written."""

    upload_id = serializers.UUIDField(help_text="The import, in READY: start it by this.")
    valid_candidates = CandidateSerializer(many=True)
    refused = RefusedRowSerializer(many=True)
    repeats = RefusedRowSerializer(many=True, help_text="They repeat a row of the same file.")
    clashes = RefusedRowSerializer(many=True, help_text="Such a customer exists already.")
    counts = CountsSerializer()


class QueuedSerializer(serializers.Serializer):
    task_id = serializers.UUIDField(help_text="An import's id.")
    status = serializers.ChoiceField(TASK_STATUSES, help_text="QUEUED.")
    total_customers = serializers.IntegerField()
    estimated_time_seconds = serializers.IntegerField()


class TaskSerializer(serializers.Serializer):
    """How far a task is, in the words that earlier clients know."""

    task_id = serializers.UUIDField()
    status = serializers.ChoiceField(TASK_STATUSES)
    message = serializers.CharField()
    total_customers = serializers.IntegerField(allow_null=True)
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()
    progress = serializers.IntegerField(min_value=0, max_value=100)
    errors = RowErrorSerializer(many=True, help_text="The first hundred.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(required=False, help_text="Why, with FAILED.")


# --- Examples ----------------------------------------------------------------

VALUES = ("GH 204", "Ama", "Mensah", "ama@example.com", "+233241234567")
AMA = dict(zip(FIELDS, VALUES, strict=True))
REFUSED = {"row": 17, "reason": f"Phone: {ROW_ERROR['message']}", "errors": [ROW_ERROR]}
COUNTS = {"total": 2, "valid": 1, "refused": 1, "repeats": 0, "clashes": 0}
CHECKED = {
    "upload_id": IMPORT_ID,
    "valid_candidates": [AMA],
    "refused": [REFUSED],
    "repeats": [],
    "clashes": [],
    "counts": COUNTS,
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
    "errors": [ROW_ERROR],
    **{name: SNAPSHOT[name] for name in ("created_at", "started_at")},
    "finished_at": SNAPSHOT["updated_at"],
}

# --- Calls -------------------------------------------------------------------

BODY = {
    "application/json": {
        "oneOf": [
            {
                "title": "CustomerList",
                "type": "object",
                "properties": {"customers": CUSTOMERS},
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
FILE = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary", "minLength": 1}},
        "required": ["file"],
    }
}


def call(name: str, summary: str, answers: dict[int, Any], *statuses: int, **more: Any) -> Any:
    codes = more.pop("codes", {})
    return extend_schema(
        operation_id=f"excel_{name}",
        summary=summary,
        tags=["earlier contract"],
        parameters=[*more.pop("parameters", ()), *COMMON_HEADERS],
        responses=answers | error_responses(*AUTHENTICATED_CALL_STATUSES, *statuses, **codes),
        **more,
    )


def answer(shape: Any, value: dict[str, Any], meaning: str = "") -> OpenApiResponse:
    return OpenApiResponse(shape, meaning, [response_example("answer", value)])


describe_legacy_template = describe_template(
    "excel_template",
    tags=["earlier contract"],
    parameters=[OpenApiParameter("importer", exclude=True)],  # The view's it is made of.
)
describe_upload = call(
    "upload",
    "Check a file while you wait",
    {200: answer(CheckedSerializer, CHECKED)},
    *(403, 411, 413, 415),
    request=FILE,
    description="Writes nothing. A file too large to wait for is 413: send it to `/api/imports/`.",
    codes={**FILE_ERROR_CODES, "not_a_spreadsheet": "and the like, when it cannot be read"},
)
WRITE = (403, 404, 409, 411, 413, 415, 422)
WRITTEN = {
    "request": BODY,
    "parameters": [IDEMPOTENCY_KEY],
    "codes": {"empty_list": "no customer in it"},
}
describe_bulk_create_async = call(
    "bulk_create_async",
    "Queue customers, or start a checked upload",
    {202: answer(QueuedSerializer, QUEUED)},
    *WRITE,
    **WRITTEN,
)
describe_bulk_create = call(
    "bulk_create",
    "Import a short list while you wait",
    {
        200: answer(TaskSerializer, TASK, "Done."),
        202: answer(QueuedSerializer, QUEUED, "Too many to wait for: queued."),
    },
    *WRITE,
    **WRITTEN,
)
describe_status = call(
    "status",
    "How far a task is",
    {200: answer(TaskSerializer, TASK)},
    404,
    parameters=[OpenApiParameter("task_id", str, OpenApiParameter.PATH)],
)
