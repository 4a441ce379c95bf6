"""What the REST API takes and gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from django.db.models import TextChoices
from django.urls import reverse
from django.utils.text import get_text_list
from django.utils.translation import override
from rest_framework import serializers

from imports import error_messages, permissions, row_results
from imports.api import error_hints
from imports.authentication import add_ticket
from imports.importer import get_importer_or_placeholder, list_importers
from imports.lifecycle import OPTIONS_THAT_CHANGE_COLUMNS
from imports.models import ImportJob, ImportRow
from imports.pipeline.column_mapping import quote_header
from imports.pipeline.reader.options import is_delimiter, is_encoding
from imports.snapshots import build_snapshot, to_json_value
from imports.statuses import EmptyCells, HiddenRows, OnDuplicate, Outcome, Status

MAX_IDEMPOTENCY_KEY_CHARS = 255
LONGEST_SHEET_NAME = 255
NO_SUCH_ENCODING = (
    "There is no such encoding. Name another one, as utf-8 or windows-1252, or leave it out, so "
    "that it is found."
)
READ_OPTIONS = (*OPTIONS_THAT_CHANGE_COLUMNS, "hidden_rows")
TAB = {"tab": "\t", "\\t": "\t"}  # How people type it.
ASKED_OF_ONE = frozenset({"same_file_as", "detected_format", "columns", "read_summary"})
READ_FIRST = (
    "Say how the file is to be read first, and which column is which once it is: it may have "
    "other columns then."
)
CSRF_TOKEN = "csrfmiddlewaretoken"  # Of a page's own form.
YES_OR_NO = {"invalid": "This is neither yes nor no. Send true or false."}
IDEMPOTENCY_KEY_PATTERN = "^[ -~]*$"  # What every proxy passes on as it is.
MOST_ROWS = 1_000
POLL_SECONDS = {
    Status.CHECKING: 1,
    Status.RUNNING: 1,
    Status.UNDOING: 1,
    Status.QUEUED: 2,
}


def choice(values: type[TextChoices], **options: Any) -> serializers.ChoiceField:
    """One of these values; whoever sends another is told them."""
    return serializers.ChoiceField(
        values.choices, error_messages=invalid_choice_messages(values), **options
    )


def invalid_choice_messages(values: Iterable[str]) -> dict[str, str]:
    return {"invalid_choice": f"This is none of the values allowed here: {', '.join(values)}."}


class ImporterChoiceSerializer(serializers.Serializer):
    """What a file holds; where there is one importer, nobody has to say so."""

    importer = serializers.CharField(required=False)

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        sent = super().validate(sent)
        names = [importer.name for importer in list_importers()]
        if "importer" not in sent and len(names) == 1:
            sent["importer"] = names[0]
        if sent.get("importer") not in names:
            code = "invalid_choice" if "importer" in sent else "required"
            problem = f"Say what the file holds: {get_text_list(sorted(names), 'or')}."
            raise serializers.ValidationError({"importer": problem}, code)
        return sent


class ReadOptionsSerializer(serializers.Serializer):
    """How the file is to be read, where a guess would be wrong; what is empty is guessed."""

    sheet = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=LONGEST_SHEET_NAME,
        help_text="Its name; `detected_format.sheets` has those there are.",
    )
    encoding = serializers.CharField(
        default="", allow_blank=True, max_length=40, help_text="As Python knows it: cp1252."
    )
    delimiter = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=3,
        trim_whitespace=False,
        help_text="One character that is no letter, digit or quote, or the word tab.",
    )

    hidden_rows = choice(
        HiddenRows,
        default=HiddenRows.IMPORT,
        help_text="Whether rows that a workbook hides, as a filter does, are imported.",
    )

    def validate_encoding(self, encoding: str) -> str:
        if encoding and not is_encoding(encoding):
            raise serializers.ValidationError(NO_SUCH_ENCODING, "invalid")
        return encoding

    def validate_delimiter(self, delimiter: str) -> str:
        delimiter = TAB.get(delimiter.lower(), delimiter)
        if delimiter and not is_delimiter(delimiter):
            raise serializers.ValidationError(
                error_messages.describe_job_error("wrong_delimiter", {}), "invalid"
            )
        return delimiter

    def validate_hidden_rows(self, hidden_rows: str) -> str:
        return "" if hidden_rows == HiddenRows.IMPORT else hidden_rows

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        options = {name: sent.pop(name, "") for name in READ_OPTIONS}
        return sent | {"read_options": {name: said for name, said in options.items() if said}}


class UploadSerializer(ImporterChoiceSerializer, ReadOptionsSerializer):
    """What comes with an uploaded file."""

    on_duplicate = choice(OnDuplicate, default=OnDuplicate.SKIP)
    empty_cells = choice(EmptyCells, default=EmptyCells.KEEP)
    check_first = serializers.BooleanField(default=False, error_messages=YES_OR_NO)
    idempotency_key = serializers.CharField(
        default="", allow_blank=True, max_length=MAX_IDEMPOTENCY_KEY_CHARS
    )

    def validate_idempotency_key(self, key: str) -> str:
        if not re.search(IDEMPOTENCY_KEY_PATTERN, key):
            raise serializers.ValidationError("A key has printable ASCII characters.", "invalid")
        return key

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        # A misspelled check_first would have the file written at once.
        options = [name for name in self.fields if name != "idempotency_key"]
        unknown = self.initial_data.keys() - {*options, "idempotency_key", CSRF_TOKEN}
        refuse_unknown(unknown, f"There is no such option. These are: {', '.join(options)}.")
        return super().validate(sent)


class ChangesSerializer(ReadOptionsSerializer):
    """What to check an import anew with; what is not said stays as it is."""

    on_duplicate = choice(OnDuplicate)
    empty_cells = choice(EmptyCells)
    has_header_row = serializers.BooleanField(error_messages=YES_OR_NO)
    column_mapping = serializers.DictField()  # Judged by the columns of the file.

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        unknown = self.initial_data.keys() - self.fields.keys()
        refuse_unknown(unknown, f"This cannot be changed. These can: {', '.join(self.fields)}.")
        if not sent:
            problem = f"Say what to change: {', '.join(self.fields)}."
            raise serializers.ValidationError(problem, "nothing_to_change")
        if options := {name: sent.pop(name) for name in READ_OPTIONS if name in sent}:
            if "column_mapping" in sent and options.keys() & set(OPTIONS_THAT_CHANGE_COLUMNS):
                raise serializers.ValidationError({"column_mapping": READ_FIRST}, "read_first")
            sent["read_options"] = options
        return sent


def refuse_unknown(names: Iterable[str], problem: str) -> None:
    for name in names:
        raise serializers.ValidationError({quote_header(name): problem}, "unknown_field")


class ReadSummaryEntry(TypedDict):
    """One thing that the user should know of how a file was read."""

    code: str
    params: dict[str, Any]
    message: str


class SameFile(TypedDict):
    """An earlier import of the same bytes."""

    id: str
    status: str
    created_at: str
    url: str


class ImportJobSerializer(serializers.ModelSerializer):
    """An import: its snapshot's fields, and what was asked for."""

    owner = serializers.SlugRelatedField(
        "username", read_only=True, allow_null=True, help_text="Who uploaded it, if still known."
    )
    urls = serializers.SerializerMethodField()
    poll_after_seconds = serializers.SerializerMethodField()
    same_file_as = serializers.SerializerMethodField()
    detected_format = serializers.JSONField(read_only=True)
    columns = serializers.SerializerMethodField()
    read_summary = serializers.SerializerMethodField()

    class Meta:
        model = ImportJob
        fields = (
            *("importer", "on_duplicate", "empty_cells", "check_first"),
            *("read_options", "detected_format", "has_header_row", "columns", "read_summary"),
            *("file_name", "file_size", "owner", "same_file_as", "poll_after_seconds", "urls"),
        )
        read_only_fields = fields

    def get_urls(self, job: ImportJob) -> dict[str, str | None]:
        own = reverse("api:import-detail", args=[job.pk])
        names = ("events", "rows", "problems", "preview", "file", "start", "cancel")
        return {
            "self": own,
            **{name: f"{own}{name}/" for name in names},
            "failed_rows_xlsx": f"{own}failed-rows.xlsx" if job.failed + job.skipped else None,
            "failed_rows_csv": f"{own}failed-rows.csv" if job.failed else None,
            # For a page of another site: its EventSource can send no token.
            "stream": add_ticket(f"{own}events/", job.pk, self.context["user"]),
            "websocket": f"/ws/imports/{job.pk}/",
        }

    def get_columns(self, job: ImportJob) -> dict[str, Any] | None:
        """What was found in the file, and where each field is taken from."""
        return job.detected_columns and columns_as_sent(job.detected_columns, job.importer)

    def get_read_summary(self, job: ImportJob) -> list[ReadSummaryEntry]:
        return serialize_read_summary(job)

    def get_poll_after_seconds(self, job: ImportJob) -> int | None:
        """How long a client that polls does well to wait; null: nothing more happens."""
        return None if job.is_final else POLL_SECONDS.get(job.status, 5)

    def get_same_file_as(self, job: ImportJob) -> SameFile | None:
        earlier = permissions.find_earlier_import_of_same_file(self.context["user"], job)
        return earlier and {
            "id": str(earlier.pk),
            "status": earlier.status,
            "created_at": to_json_value(earlier.created_at),
            "url": reverse("api:import-detail", args=[earlier.pk]),
        }

    def to_representation(self, job: ImportJob) -> dict[str, Any]:
        sent = build_snapshot(job, waiting=self.context.get("waiting")) | super().to_representation(
            job
        )
        if job.error_code == "no_such_sheet":  # Their names are the file's: no snapshot has them.
            sent["message"] += error_hints.describe_available_sheets(job)
        return sent


class ListedJobSerializer(ImportJobSerializer):
    """An import among others: without what is large, or would ask the database for each."""

    class Meta(ImportJobSerializer.Meta):
        fields = tuple(f for f in ImportJobSerializer.Meta.fields if f not in ASKED_OF_ONE)
        read_only_fields = fields


class JobsQuery(serializers.Serializer):
    """Which imports a list shows."""

    status = serializers.MultipleChoiceField(
        choices=Status.choices, required=False, error_messages=invalid_choice_messages(Status)
    )
    importer = serializers.CharField(required=False, allow_blank=True)
    owner = serializers.CharField(required=False, allow_blank=True)
    search = serializers.CharField(required=False, allow_blank=True)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)

    LOOKUPS = {
        "status": "status__in",
        "importer": "importer",
        "owner": "owner__username",
        "search": "file_name__icontains",
        "created_after": "created_at__gt",
        "created_before": "created_at__lt",
    }

    def lookups(self) -> dict[str, Any]:
        """What was asked for, as the ORM has it."""
        asked = self.validated_data.items()
        return {self.LOOKUPS[name]: value for name, value in asked if value}


class RowsQuery(serializers.Serializer):
    outcome = choice(Outcome, required=False, allow_blank=True)
    after = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=MOST_ROWS, default=100)


def columns_as_sent(layout: Mapping[str, Any], importer: str) -> dict[str, Any]:
    """A file's columns: column_mapping takes an index, or one of the headers."""
    positions = layout["positions"]
    suggested = {field: int(index) for index, field in layout.get("suggestions", {}).items()}
    found = ("header_row", "headers", "samples", "missing", "from_saved_mapping")
    fields = [
        {
            "field": column.field,
            "required": column.required,
            "index": positions.get(column.field),
            "suggested": suggested.get(column.field),
        }
        for column in get_importer_or_placeholder(importer).columns
    ]
    return {**{name: layout.get(name) for name in found}, "fields": fields}


def serialize_read_summary(job: ImportJob) -> list[ReadSummaryEntry]:
    """The read summary of an import, each entry with its sentence in English."""
    with override("en"):
        return [
            {
                "code": entry["code"],
                "params": entry["params"],
                "message": error_messages.describe_read_summary_entry(entry, job.importer),
            }
            for entry in job.read_summary
        ]


def serialize_row(row: ImportRow, importer: str) -> dict[str, Any]:
    return {
        "row": row.number,
        "outcome": row.result,
        "record": row_results.get_record_key(row),
        "errors": [serialize_row_error(error, row, importer) for error in row.errors or []],
    }


def serialize_problem(problem: Mapping[str, Any], importer: str) -> dict[str, Any]:
    row = ImportRow(number=problem["rows"][0], outcome=problem["outcome"])
    return {**problem, "example": serialize_row_error(problem["example"], row, importer)}


def serialize_row_error(error: Mapping[str, Any], row: ImportRow, importer: str) -> dict[str, Any]:
    said = error_messages.describe_row_error(error, importer, row.outcome)
    return {"row": row.number, **error, "message": said}
