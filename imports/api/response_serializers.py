"""Serializers of responses: each one builds a part of a response and describes it in OpenAPI.

The snapshot is the exception: imports.snapshots builds it, because streams send it too, and
ImportSnapshotSerializer only describes it. Tests validate real snapshots against the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import override
from rest_framework import serializers

from imports import error_messages, row_results
from imports.api.error_serializers import (
    CodeField,
    CodeParametersField,
    RowErrorSerializer,
    complete_row_error,
)
from imports.api.fields import UtcDateTimeField
from imports.history import Command, ImportEvent, Via
from imports.importer import get_importer_or_placeholder
from imports.job_commands import COMMAND_NAMES
from imports.models import ImportRow
from imports.pipeline.read_summary import ReadSummaryEntry
from imports.statuses import HiddenRows, Outcome, StalledReason, Status, Success, WaitsFor

# --- The import --------------------------------------------------------------


class ImportLiveSerializer(serializers.Serializer[Any]):
    """Values that change without a change of the import, so the version does not cover them."""

    queue_position = serializers.IntegerField(
        allow_null=True, help_text="1 is the next one; null unless QUEUED."
    )
    workers = serializers.IntegerField(help_text="Live workers. With 0, every import waits.")
    stalled = serializers.BooleanField(
        help_text="The import needs a worker, and makes no progress."
    )
    stalled_reason = serializers.ChoiceField(
        StalledReason.choices, allow_null=True, help_text="Why it is stalled; null if it is not."
    )
    rows_per_second = serializers.IntegerField(allow_null=True)
    eta_seconds = serializers.IntegerField(allow_null=True)


class ImportSnapshotSerializer(serializers.Serializer[Any]):
    """How far an import is. Each event of a stream and each WebSocket message holds it."""

    id = serializers.UUIDField()
    version = serializers.IntegerField(
        help_text="Rises with every change. Ignore a snapshot that is older than the last one."
    )
    run = serializers.IntegerField(help_text="Progress never goes back within one run.")
    status = serializers.ChoiceField(Status.choices)
    error_code = CodeField(
        "ImportErrorCode",
        allow_null=True,
        help_text="Why the import failed, or why it waits for a column mapping.",
    )
    message = serializers.CharField(help_text="The status or the error, as a sentence.")
    total = serializers.IntegerField(allow_null=True, help_text="Rows. Null until it is known.")
    checked = serializers.IntegerField()
    processed = serializers.IntegerField(help_text="Rows that have an outcome.")
    progress_percent = serializers.IntegerField(min_value=0, max_value=100)
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    skipped = serializers.IntegerField(
        help_text="Rows whose record exists already, if on_duplicate is skip."
    )
    failed = serializers.IntegerField(help_text="Failed rows: see problems and rows.")
    removed = serializers.IntegerField(help_text="Created records that undo has removed.")
    restored = serializers.IntegerField(
        help_text="Updated records to which undo has given their previous values back."
    )
    kept = serializers.IntegerField(
        help_text="Records that undo has kept, for example because they were edited since."
    )
    success = serializers.ChoiceField(
        Success.choices,
        allow_null=True,
        help_text="Whether all, some or none of the rows were imported. Null until it has ended.",
    )
    waits_for = serializers.ChoiceField(
        WaitsFor.choices,
        allow_null=True,
        help_text="What a person or a program must do before the import continues: send a "
        "`column_mapping`, or `start` it. Null if it needs nobody.",
    )
    created_at = UtcDateTimeField()
    started_at = UtcDateTimeField(allow_null=True)
    finished_at = UtcDateTimeField(allow_null=True)
    updated_at = UtcDateTimeField()
    live = ImportLiveSerializer()


class ImportUrlsSerializer(serializers.Serializer[Any]):
    """The addresses of an import."""

    self = serializers.CharField()
    events = serializers.CharField()
    rows = serializers.CharField()
    problems = serializers.CharField()
    history = serializers.CharField()
    preview = serializers.CharField()
    file = serializers.CharField()
    failed_rows_xlsx = serializers.CharField(
        allow_null=True,
        help_text="Null if no row failed or was skipped, or if the site writes no workbooks.",
    )
    failed_rows_csv = serializers.CharField(allow_null=True, help_text="Null if no row failed.")
    kept_rows_xlsx = serializers.CharField(
        allow_null=True,
        help_text="Null if undo has kept no record, or if the site writes no workbooks.",
    )
    kept_rows_csv = serializers.CharField(
        allow_null=True, help_text="Null if undo has kept no record."
    )
    undo_preview = serializers.CharField()
    stream = serializers.CharField(help_text="With a ticket, for an EventSource on another site.")
    websocket = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields, with an address for each command."""
        return super().get_fields() | {name: serializers.CharField() for name in COMMAND_NAMES}


class ImportReadOptionsSerializer(serializers.Serializer[Any]):
    """The read options of the upload. An option that is absent is detected."""

    sheet = serializers.CharField(required=False)
    encoding = serializers.CharField(required=False)
    delimiter = serializers.CharField(required=False)
    hidden_rows = serializers.ChoiceField(HiddenRows.choices, required=False)


class DetectedFormatSerializer(serializers.Serializer[Any]):
    """How the file was read."""

    format = serializers.CharField(help_text="For example xlsx or csv.")
    sheet = serializers.CharField(allow_null=True)
    encoding = serializers.CharField(allow_null=True)
    delimiter = serializers.CharField(allow_null=True, trim_whitespace=False)
    sheets = serializers.ListField(
        child=serializers.CharField(allow_blank=True), help_text="The sheets to choose from."
    )
    second_encoding = serializers.CharField(
        allow_null=True, help_text="The encoding of the lines that are not valid in `encoding`."
    )
    hidden_columns = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="Indexes of the columns that the workbook hides; 0 is the first.",
    )
    second_reader = serializers.BooleanField(
        help_text="Whether the second parser read the workbook, because the first could not."
    )


class ReadSummaryEntrySerializer(serializers.Serializer[ReadSummaryEntry]):
    """One fact about how the file was read."""

    # The context needs `importer`, the name of the import's importer.

    code = CodeField("ReadSummaryCode")
    params = CodeParametersField("ReadSummaryParams")
    message = serializers.SerializerMethodField(help_text="The entry as a sentence in English.")

    def get_message(self, entry: ReadSummaryEntry) -> str:
        with override("en"):
            return error_messages.describe_read_summary_entry(entry, self.context["importer"])


class FieldColumnListSerializer(serializers.ListSerializer[Any]):
    """Serialize, for each field of the importer, the column of `detected_columns` that fills it."""

    def to_representation(  # type: ignore[override]  # The instance is not a list.
        self, columns: Mapping[str, Any]
    ) -> list[Any]:
        positions = columns["positions"]
        suggested = {field: int(index) for index, field in columns.get("suggestions", {}).items()}
        importer = get_importer_or_placeholder(self.context["importer"])
        serialize = self.child.to_representation  # type: ignore[union-attr]  # many=True sets it.
        return [
            serialize(
                {
                    "field": column.field,
                    "required": column.required,
                    "index": positions.get(column.field),
                    "suggested": suggested.get(column.field),
                }
            )
            for column in importer.columns
        ]


class ImportFieldColumnSerializer(serializers.Serializer[Any]):
    """The file column that fills one field."""

    field = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]  # Field has this attribute.
    index = serializers.IntegerField(
        allow_null=True, help_text="The index of the column; 0 is the first. Null if there is none."
    )
    suggested = serializers.IntegerField(
        allow_null=True, help_text="The index of a column that may be the right one."
    )

    class Meta:
        list_serializer_class = FieldColumnListSerializer


class ImportColumnsSerializer(serializers.Serializer[Any]):
    """The columns of the file, and which of them fills which field.

    `column_mapping` takes an index or one of the headers.
    """

    # The instance is the `detected_columns` of an import. The context needs `importer`.

    header_row = serializers.IntegerField(help_text="0 if the file has no header row.")
    headers = serializers.ListField(child=serializers.CharField(allow_blank=True))
    samples = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(allow_blank=True)),
        help_text="The first values of each column.",
    )
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="Required fields for which no column is known."
    )
    from_saved_mapping = serializers.BooleanField(
        help_text="Whether the columns were chosen for an earlier file with the same headers."
    )
    fields = ImportFieldColumnSerializer(  # type: ignore[assignment]  # Serializer has this attribute.
        many=True, source="*"
    )

    def to_representation(self, columns: Mapping[str, Any]) -> Any:
        return super().to_representation(dict.fromkeys(self.fields) | dict(columns))


# --- Rows --------------------------------------------------------------------


class KeptRowSerializer(serializers.Serializer[Any]):
    """Why undo has kept the record of a row."""

    code = CodeField("KeptCode")
    params = CodeParametersField("KeptParams")
    message = serializers.SerializerMethodField(help_text="The reason as a sentence in English.")

    def get_message(self, kept: Mapping[str, Any]) -> str:
        with override("en"):
            return error_messages.describe_kept(kept)


class UndoReasonSerializer(KeptRowSerializer):
    """Why undo keeps records, and how many."""

    count = serializers.IntegerField(help_text="The number of records.")


class ImportUndoPreviewSerializer(serializers.Serializer[Any]):
    """What undoing an import would do."""

    removed = serializers.IntegerField(help_text="Created records that are removed.")
    restored = serializers.IntegerField(
        help_text="Updated records that get their previous values back."
    )
    kept = serializers.IntegerField(help_text="Records that are kept.")
    reasons = UndoReasonSerializer(many=True)
    is_exact = serializers.BooleanField(
        help_text="False if not all conditions could be evaluated: fewer records may be removed "
        "or restored, and more kept."
    )


class ImportRowSerializer(serializers.Serializer[ImportRow]):
    """One row and its outcome."""

    # The instance is a row of `row_results.list_rows`. The context needs `importer`, `mask` and
    # `visible_keys`.

    row = serializers.IntegerField(source="number", help_text="The row number of the spreadsheet.")
    outcome = serializers.ChoiceField(
        Outcome.choices,
        source="result",
        allow_null=True,
        help_text="Null until the row is processed.",
    )
    record = serializers.SerializerMethodField(
        help_text="The key of the record that the row created or matched. Null if you may not see "
        "the record."
    )
    errors = RowErrorSerializer(  # type: ignore[assignment]  # Serializer has this attribute.
        many=True, source="*"
    )
    kept = KeptRowSerializer(
        allow_null=True, help_text="Why undo has kept the record. Null for every other row."
    )

    def get_record(self, row: ImportRow) -> str | None:
        key = row_results.get_record_key(row)
        return key if key in self.context["visible_keys"] else None


class ImportProblemSerializer(serializers.Serializer[Any]):
    """One cause for which rows failed or were skipped. The most frequent one comes first."""

    # The instance is a problem of `row_results.group_problems`. The context needs `importer` and
    # `mask`.

    outcome = serializers.ChoiceField(Outcome.choices)
    field = serializers.CharField(allow_null=True)
    code = CodeField("RowErrorCode")
    count = serializers.IntegerField(help_text="The number of rows with this cause.")
    is_count_exact = serializers.BooleanField(
        help_text="False if so many rows have this outcome that only the first were counted."
    )
    rows = serializers.ListField(
        child=serializers.IntegerField(), help_text="The first row numbers."
    )
    example = RowErrorSerializer()

    def to_representation(self, problem: Mapping[str, Any]) -> Any:
        row = ImportRow(number=problem["rows"][0], outcome=problem["outcome"])
        example = complete_row_error(
            problem["example"], row, self.context["importer"], self.context["mask"]
        )
        return super().to_representation({**problem, "example": example})


# --- History -----------------------------------------------------------------


class ImportEventSerializer(serializers.ModelSerializer[ImportEvent]):
    """One command of someone, or one download of data of the import."""

    at = UtcDateTimeField()
    command = serializers.ChoiceField(Command.choices)
    label = serializers.CharField(  # type: ignore[assignment]  # Field has this attribute.
        source="get_command_display", help_text="What was done, in English."
    )
    user = serializers.CharField(
        source="user.get_username",
        allow_null=True,
        help_text="The name of the user. Null if the user was deleted, or if none is known.",
    )
    via = serializers.ChoiceField(Via.choices)
    details = serializers.DictField(
        help_text="What the command was about, for example the changed `options` or the `file`."
    )

    class Meta:
        model = ImportEvent
        fields = ("at", "command", "label", "user", "via", "details")
        read_only_fields = fields


# --- Preview -----------------------------------------------------------------


class ImportPreviewChangeSerializer(serializers.Serializer[Any]):
    """The values of one field before and after the import."""

    old = serializers.CharField(allow_null=True, allow_blank=True)
    new = serializers.CharField(allow_null=True, allow_blank=True)


class ImportPreviewUpdateSerializer(serializers.Serializer[Any]):
    """A row that would change a record."""

    row = serializers.IntegerField()
    record = serializers.CharField(
        allow_null=True, help_text="The record's key. Null if you may not see the record."
    )
    changes = serializers.DictField(
        child=ImportPreviewChangeSerializer(),
        help_text="By field. Empty if you may not see the record.",
    )


class ImportPreviewCreateSerializer(serializers.Serializer[Any]):
    """A row that would become a record."""

    row = serializers.IntegerField()
    values = serializers.DictField(
        child=serializers.CharField(allow_null=True, allow_blank=True), help_text="By field."
    )


class ImportPreviewSerializer(serializers.Serializer[Any]):
    """What starting an import would do, as of its check."""

    # The instance is the result of `preview.build_preview` with the import's `read_summary`. The
    # context needs `importer`.

    checked_at = UtcDateTimeField(help_text="Records may have changed since.")
    total = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField(
        allow_null=True,
        help_text="Null if there are too many rows to compare; updated counts these rows too.",
    )
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()
    read_summary = ReadSummaryEntrySerializer(many=True)
    updates = ImportPreviewUpdateSerializer(
        many=True, help_text="The first ones, with long values cut."
    )
    creates = ImportPreviewCreateSerializer(
        many=True, help_text="The first ones, with long values cut."
    )
