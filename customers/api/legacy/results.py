"""The responses of the earlier contract: an import in the words that its clients know."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from rest_framework import serializers

from customers.models import Customer
from imports import row_results
from imports.api.error_serializers import complete_row_error
from imports.api.fields import extend_schema_field
from imports.importer import get_importer
from imports.models import ImportJob, ImportRow
from imports.pipeline.failed_rows import FailedRows
from imports.snapshots import get_status_message
from imports.statuses import Outcome, Status
from imports.value_mask import SHOW_ALL, ValueMask

IMPORTER_NAME = "customers"
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")
MAX_ERRORS = 100

TASK_STATUSES = ("QUEUED", "RUNNING", "COMPLETE", "FAILED")
TASK_STATUS_BY_STATUS = {
    Status.QUEUED: "QUEUED",
    Status.CHECKING: "RUNNING",
    Status.READY: "RUNNING",
    Status.RUNNING: "RUNNING",
    Status.PAUSED: "RUNNING",
    Status.UNDOING: "RUNNING",
    Status.COMPLETE: "COMPLETE",
    Status.UNDONE: "COMPLETE",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "FAILED",
    Status.MAPPING: "FAILED",
}
DUPLICATE_IN_FILE_CODES = {"repeats_row"}
EXISTING_RECORD_CODES = {"exists", "matches_several"}


class IsoDateTimeField(serializers.DateTimeField):
    """A time as a snapshot has it: in UTC, with +00:00."""

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


class TaskError(TypedDict):
    """One error of one row, with the keys of the earlier contract."""

    row: int
    column: str | None  # A field's name; None if the error is about the whole row.
    code: str
    params: dict[str, Any]
    value: str
    message: str


class TaskErrorSerializer(serializers.Serializer[TaskError]):
    """One error of one row."""

    row = serializers.IntegerField(help_text="The row number of the spreadsheet.")
    column = serializers.CharField(
        allow_null=True, help_text="A field's name. Null if the error is about the whole row."
    )
    code = serializers.CharField(help_text="For programs. New codes may be added.")
    params = serializers.DictField(help_text="Values for the sentence of the code.")
    value = serializers.CharField(
        allow_blank=True,
        help_text="The cell as the spreadsheet program displays it, cut to 200 characters.",
    )
    message = serializers.CharField(help_text="What is wrong and what to do, in English.")


# --- upload/ -----------------------------------------------------------------


class CandidateSerializer(serializers.ModelSerializer[Customer]):
    """A customer as it would be stored. Clients post it back unchanged."""

    class Meta:
        model = Customer
        fields = FIELDS
        read_only_fields = fields


class FailedRowSerializer(serializers.Serializer[Any]):
    row = serializers.IntegerField(help_text="The row number of the spreadsheet.")
    reason = serializers.CharField(help_text="All errors of the row, each with its column.")
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]  # As below.

    @extend_schema_field(TaskErrorSerializer(many=True))
    def get_errors(self, failed_row: dict[str, Any]) -> list[TaskError]:
        errors: list[TaskError] = failed_row["errors"]
        return errors


class CountsSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    valid = serializers.IntegerField()
    refused = serializers.IntegerField()
    repeats = serializers.IntegerField()
    clashes = serializers.IntegerField()


class CheckedSerializer(serializers.Serializer[Any]):
    """The result of checking a file. No customer is written."""

    upload_id = serializers.UUIDField(
        help_text="The id of the import, which is READY. Send it to start the import."
    )
    valid_candidates = CandidateSerializer(many=True)
    refused = FailedRowSerializer(many=True)
    repeats = FailedRowSerializer(many=True, help_text="Rows that repeat a row of the same file.")
    clashes = FailedRowSerializer(many=True, help_text="Rows whose customer exists already.")
    counts = CountsSerializer()


def serialize_check(job: ImportJob) -> dict[str, Any]:
    """Return the response of upload/: the rows of a READY import in four groups.

    Nothing is hidden, because the response goes to whoever sent the file.
    """
    fields = [column.field for column in get_importer(IMPORTER_NAME).columns]
    candidates: list[dict[str, str | None]] = []
    groups: dict[str, list[dict[str, Any]]] = {"refused": [], "repeats": [], "clashes": []}
    rows = ImportRow.objects.filter(job=job).only("number", "outcome", "errors", "cleaned")
    failed_rows = FailedRows(job)
    for row in rows.order_by("number"):
        if row.outcome is None:
            candidates.append(dict(zip(fields, row.cleaned or (), strict=True)))
        else:
            errors = _list_row_errors(row, SHOW_ALL)
            reason = _describe_reason(errors, failed_rows)
            groups[_choose_group(row)].append(
                {"row": row.number, "reason": reason, "errors": errors}
            )
    counts = {name: len(members) for name, members in groups.items()}
    result = {
        "upload_id": job.pk,
        "valid_candidates": candidates,
        **groups,
        "counts": {"total": job.total, "valid": len(candidates), **counts},
    }
    return dict(CheckedSerializer(result, context={"importer": IMPORTER_NAME}).data)


def _choose_group(row: ImportRow) -> str:
    codes = {error["code"] for error in row.errors or []}
    if codes & DUPLICATE_IN_FILE_CODES:
        return "repeats"
    if codes & EXISTING_RECORD_CODES or row.outcome == Outcome.SKIPPED:
        return "clashes"
    return "refused"


def _describe_reason(errors: list[TaskError], failed_rows: FailedRows) -> str:
    """Return the errors of a row in one text, with the words of the file of failed rows."""
    sentences = []
    for error in errors:
        label = failed_rows.get_column_label(error["column"])
        sentences.append(f"{label}: {error['message']}" if label else error["message"])
    return " ".join(sentences)


def _list_row_errors(row: ImportRow, mask: ValueMask) -> list[TaskError]:
    """Return the errors of a row as TaskErrorSerializer describes them.

    A file can have ten thousand failed rows, and a serializer takes three times as long.
    """
    errors = [complete_row_error(error, row, IMPORTER_NAME, mask) for error in row.errors or []]
    return [
        {
            "row": error["row"],
            "column": error["field"],
            "code": error["code"],
            "params": error["params"],
            "value": error["value"],
            "message": error["message"],
        }
        for error in errors
    ]


# --- bulk-create-async/, bulk-create/, status/ -------------------------------


class QueuedSerializer(serializers.Serializer[Any]):
    task_id = serializers.UUIDField(help_text="The id of the import.")
    status = serializers.ChoiceField(TASK_STATUSES, help_text="QUEUED.")
    total_customers = serializers.IntegerField()
    estimated_time_seconds = serializers.IntegerField()


class TaskSerializer(serializers.Serializer[ImportJob]):
    """How far a task is."""

    # The context needs `mask`: which values of the errors are hidden.

    task_id = serializers.UUIDField(source="pk")
    status = serializers.SerializerMethodField()
    message = serializers.SerializerMethodField()
    total_customers = serializers.IntegerField(source="total", allow_null=True)
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()
    progress = serializers.IntegerField(source="progress_percent", min_value=0, max_value=100)
    errors = serializers.SerializerMethodField(  # type: ignore[assignment]  # Serializer has this attribute.
        help_text="The first hundred.", method_name="list_errors"
    )
    created_at = IsoDateTimeField()
    started_at = IsoDateTimeField(allow_null=True)
    finished_at = IsoDateTimeField(allow_null=True)
    error = serializers.CharField(required=False, help_text="Why, if the status is FAILED.")

    @extend_schema_field(serializers.ChoiceField(TASK_STATUSES))
    def get_status(self, job: ImportJob) -> str:
        return TASK_STATUS_BY_STATUS[Status(job.status)]

    def get_message(self, job: ImportJob) -> str:
        return get_status_message(job)

    @extend_schema_field(TaskErrorSerializer(many=True))
    def list_errors(self, job: ImportJob) -> list[TaskError]:
        rows = row_results.list_rows(job, outcome=Outcome.FAILED, limit=MAX_ERRORS)
        mask = self.context["mask"]
        return [error for row in rows for error in _list_row_errors(row, mask)][:MAX_ERRORS]

    def to_representation(self, job: ImportJob) -> dict[str, Any]:
        data = super().to_representation(job)
        if data["status"] == "FAILED":
            data["error"] = data["message"]
        return data
