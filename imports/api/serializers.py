"""Serializers of requests, and of an import."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from django.contrib.auth import get_user_model
from django.db.models import TextChoices
from django.urls import reverse
from django.utils.text import get_text_list
from rest_framework import serializers
from rest_framework.request import Request

from imports import error_messages, permissions
from imports.api import error_hints
from imports.api.fields import UtcDateTimeField, extend_schema_field
from imports.api.response_serializers import (
    DetectedFormatSerializer,
    ImportColumnsSerializer,
    ImportReadOptionsSerializer,
    ImportUrlsSerializer,
    ReadSummaryEntrySerializer,
)
from imports.authentication import add_ticket
from imports.importer import list_importers
from imports.job_commands import ACTIONS, COMMAND_NAMES, list_actions
from imports.models import ImportJob
from imports.option_changes import OPTIONS_THAT_CHANGE_COLUMNS, READ_OPTIONS
from imports.pipeline.column_mapping import quote_header
from imports.pipeline.reader.options import is_delimiter, is_encoding
from imports.retention import get_contents_deadline
from imports.snapshots import build_snapshot, format_optional_time, format_time
from imports.statuses import (
    EmptyCells,
    HiddenRows,
    OnDuplicate,
    OnMissingColumns,
    Outcome,
    Status,
)
from imports.workbooks import has_workbooks

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

MAX_IDEMPOTENCY_KEY_CHARS = 255
MAX_REQUESTED_SHEET_NAME_CHARS = 255
MAX_ENCODING_CHARS = 40
MAX_PAGE_SIZE = 200
MAX_ROWS_PAGE_SIZE = 1_000
IDEMPOTENCY_KEY_PATTERN = "^[ -~]*$"  # Printable ASCII: every proxy passes it on unchanged.
TAB_SPELLINGS = {"tab": "\t", "\\t": "\t"}
CSRF_FORM_FIELD = "csrfmiddlewaretoken"
# Fields that are large, or that need a query for each import. Lists leave them out.
DETAIL_FIELDS = frozenset(
    {"same_file_as", "detected_format", "columns", "read_summary", "error_params"}
)
URL_ACTIONS = {
    **{
        name: name
        for name in ("events", "rows", "problems", "history", "preview", "file", *COMMAND_NAMES)
    },
    "undo_preview": "undo-preview",
}
DEFAULT_POLL_SECONDS = 5
POLL_SECONDS_BY_STATUS = {
    Status.CHECKING: 1,
    Status.RUNNING: 1,
    Status.UNDOING: 1,
    Status.QUEUED: 2,
}

UNKNOWN_ENCODING_MESSAGE = (
    "There is no such encoding. Name another one, as utf-8 or windows-1252, or leave it out, so "
    "that it is detected."
)
READ_OPTIONS_FIRST_MESSAGE = (
    "Change how the file is read first, and map its columns once it is read again: it may have "
    "other columns then."
)
Messages = dict[str, "str | _StrPromise"]
COLUMN_MAPPING_MESSAGE = (
    "This is not a JSON object. Send one with an entry for each field: a header of the file, the "
    "index of a column from 0, or null."
)
BOOLEAN_MESSAGES: Messages = {"invalid": "This is neither true nor false. Send true or false."}


def make_url(name: str, job: ImportJob) -> str:
    """Return the path of a call of an import, by the call's URL name."""
    return reverse(f"imports:{name}", args=[job.pk])


def make_choice_field(values: type[TextChoices], **options: Any) -> serializers.ChoiceField:
    """Return a field that takes one of these values; its error message lists them."""
    return serializers.ChoiceField(
        values.choices, error_messages=make_invalid_choice_messages(values), **options
    )


def make_invalid_choice_messages(values: Iterable[str]) -> Messages:
    """Return the error messages of a choice field, with all the values in them."""
    return {"invalid_choice": f"This is none of the values allowed here: {', '.join(values)}."}


def make_header_row_field(**options: Any) -> serializers.BooleanField:
    """Return the field that says whether the file has a header row; None detects it."""
    return serializers.BooleanField(
        allow_null=True,
        error_messages=BOOLEAN_MESSAGES,
        help_text="true: the file has a header row, even if no column is recognised. false: the "
        "first row is a row like the others, and the columns are in the order of the importer. "
        "null: detect it.",
        **options,
    )


# --- Requests ----------------------------------------------------------------


class ImporterChoiceSerializer(serializers.Serializer[Any]):
    """The importer of a file. It may be absent if there is only one that the user may use.

    The context may have `user`. The name of an importer that the user may not use is valid: the
    answer to the request then says which permission is missing.
    """

    importer = serializers.CharField(required=False)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        data = super().validate(data)
        names = [importer.name for importer in list_importers()]
        offered = self._list_offered_names() or names
        if "importer" not in data and len(offered) == 1:
            data["importer"] = offered[0]
        if data.get("importer") not in names:
            code = "invalid_choice" if "importer" in data else "required"
            problem = f"Say what the file holds: {get_text_list(sorted(offered), 'or')}."
            raise serializers.ValidationError({"importer": problem}, code)
        return data

    def _list_offered_names(self) -> list[str]:
        if "user" not in self.context:
            return []
        permitted = permissions.list_permitted_importers(self.context["user"])
        return [importer.name for importer in permitted]


class ReadOptionsSerializer(serializers.Serializer[Any]):
    """How to read the file. An option that is absent or empty is detected."""

    sheet = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=MAX_REQUESTED_SHEET_NAME_CHARS,
        help_text="The name of a sheet. `detected_format.sheets` lists the sheets of the file.",
    )
    encoding = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=MAX_ENCODING_CHARS,
        help_text="A name that Python knows, for example cp1252.",
    )
    delimiter = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=3,
        trim_whitespace=False,
        help_text="One character, which is not a letter, digit or quote, or the word tab.",
    )

    hidden_rows = make_choice_field(
        HiddenRows,
        default=HiddenRows.IMPORT,
        help_text="Whether to import rows that a workbook hides, for example by a filter.",
    )

    def validate_encoding(self, encoding: str) -> str:
        if encoding and not is_encoding(encoding):
            raise serializers.ValidationError(UNKNOWN_ENCODING_MESSAGE, "invalid")
        return encoding

    def validate_delimiter(self, delimiter: str) -> str:
        delimiter = TAB_SPELLINGS.get(delimiter.lower(), delimiter)
        if delimiter and not is_delimiter(delimiter):
            raise serializers.ValidationError(
                error_messages.describe_job_error("wrong_delimiter", {}), "invalid"
            )
        return delimiter

    def validate_hidden_rows(self, hidden_rows: str) -> str:
        return "" if hidden_rows == HiddenRows.IMPORT else hidden_rows

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        options = {name: data.pop(name, "") for name in READ_OPTIONS}
        return data | {"read_options": {name: value for name, value in options.items() if value}}


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ImporterOptionsField(serializers.JSONField):
    """A JSON object with the fields of the importer's upload form; `clean_options` validates it."""

    # The braces are doubled because REST framework formats its messages.
    default_error_messages = {
        "invalid": 'This is no JSON object. Send one, as {{"branch": "Kumasi"}}.'
    }

    def to_internal_value(self, data: Any) -> Any:
        # A form sends an empty text for a field that is not filled in.
        options = super().to_internal_value(data) if data != "" else {}
        if not isinstance(options, dict):
            self.fail("invalid")
        return options


class ImportUploadSerializer(ImporterChoiceSerializer, ReadOptionsSerializer):
    """The fields of an upload besides its file."""

    on_duplicate = make_choice_field(OnDuplicate, default=OnDuplicate.SKIP)
    empty_cells = make_choice_field(EmptyCells, default=EmptyCells.KEEP)
    check_first = serializers.BooleanField(default=False, error_messages=BOOLEAN_MESSAGES)
    options = ImporterOptionsField(
        default=dict,
        help_text="The fields of the importer's upload form, as a JSON object. Most importers have "
        "no upload form.",
    )
    has_header_row = make_header_row_field(default=None)
    column_mapping = serializers.JSONField(
        default=None,
        allow_null=True,
        error_messages={"invalid": COLUMN_MAPPING_MESSAGE},
        help_text="A JSON object: for each field a header of the file, the index of a column, or "
        "null for no column. For a field without an entry, the column is detected.",
    )
    on_missing_columns = make_choice_field(
        OnMissingColumns,
        default=OnMissingColumns.ASK,
        help_text="If required columns are not recognised: `ask` waits for a column mapping in "
        "status MAPPING, `fail` ends the import in status FAILED.",
    )
    idempotency_key = serializers.CharField(
        default="", allow_blank=True, max_length=MAX_IDEMPOTENCY_KEY_CHARS
    )

    def validate_column_mapping(self, mapping: Any) -> dict[str, Any] | None:
        # imports.pipeline.column_mapping validates the entries.
        if mapping is not None and not isinstance(mapping, dict):
            raise serializers.ValidationError(COLUMN_MAPPING_MESSAGE, "invalid")
        return mapping

    def validate_idempotency_key(self, key: str) -> str:
        if not re.search(IDEMPOTENCY_KEY_PATTERN, key):
            raise serializers.ValidationError("A key has printable ASCII characters.", "invalid")
        return key

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        # With a misspelled check_first the file would be written without a preview.
        options = [name for name in self.get_fields() if name != "idempotency_key"]
        unknown = self.initial_data.keys() - {*options, "idempotency_key", CSRF_FORM_FIELD}
        _reject_unknown(unknown, f"There is no such option. These are: {', '.join(options)}.")
        return super().validate(data)


class ImportChangesSerializer(ReadOptionsSerializer):
    """What to change before an import is checked again. An absent field stays as it is."""

    on_duplicate = make_choice_field(OnDuplicate)
    empty_cells = make_choice_field(EmptyCells)
    on_missing_columns = make_choice_field(OnMissingColumns)
    has_header_row = make_header_row_field()
    column_mapping = serializers.DictField()  # imports.pipeline.column_mapping validates it.

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        fields = self.get_fields()
        unknown = self.initial_data.keys() - fields.keys()
        _reject_unknown(unknown, f"This cannot be changed. These can: {', '.join(fields)}.")
        if not data:
            problem = f"Say what to change: {', '.join(fields)}."
            raise serializers.ValidationError(problem, "nothing_to_change")
        if options := {name: data.pop(name) for name in READ_OPTIONS if name in data}:
            if "column_mapping" in data and options.keys() & set(OPTIONS_THAT_CHANGE_COLUMNS):
                raise serializers.ValidationError(
                    {"column_mapping": READ_OPTIONS_FIRST_MESSAGE}, "read_first"
                )
            data["read_options"] = options
        return data


def _reject_unknown(names: Iterable[str], problem: str) -> None:
    if errors := {quote_header(name): [problem] for name in names}:
        raise serializers.ValidationError(errors, "unknown_field")


class QuerySerializer(serializers.Serializer[Any]):
    """The query parameters of a call. This one has none."""

    @classmethod
    def validate_query(cls, request: Request) -> dict[str, Any]:
        """Return the validated query parameters.

        Raises:
            ValidationError: A parameter is unknown or invalid.
        """
        serializer = cls(data=request.query_params, context={"user": request.user})
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        names = self.get_fields()
        known = f"These are: {', '.join(names)}." if names else "This call has none."
        _reject_unknown(data.keys() - names.keys(), f"There is no such parameter. {known}")
        return super().run_validation(data)


class PageQuery(QuerySerializer):
    """The query parameters of a list."""

    page_size = serializers.IntegerField(
        default=50,
        min_value=1,
        max_value=MAX_PAGE_SIZE,
        help_text="The number of results in the response.",
    )
    cursor = serializers.CharField(
        required=False,
        help_text="Where the page begins. Do not build it: use the addresses in `next` and "
        "`previous`.",
    )


class JobsQuery(PageQuery):
    """The filters of a list of imports."""

    status = serializers.MultipleChoiceField(
        choices=Status.choices, required=False, error_messages=make_invalid_choice_messages(Status)
    )
    importer = serializers.CharField(required=False, allow_blank=True)
    owner = serializers.CharField(required=False, allow_blank=True)
    search = serializers.CharField(required=False, allow_blank=True)
    created_after = UtcDateTimeField(required=False)
    created_before = UtcDateTimeField(required=False)

    LOOKUPS = {
        "status": "status__in",
        "importer": "importer",
        "search": "file_name__icontains",
        "created_after": "created_at__gt",
        "created_before": "created_at__lt",
    }

    @classmethod
    def get_lookups(cls, filters: dict[str, Any]) -> dict[str, Any]:
        """Return the validated filters as arguments of QuerySet.filter."""
        owner = f"owner__{get_user_model().USERNAME_FIELD}"
        lookups = {**cls.LOOKUPS, "owner": owner}
        return {lookups[name]: filters[name] for name in lookups if filters.get(name)}


class RowsQuery(PageQuery):
    """The filters of a list of rows."""

    page_size = serializers.IntegerField(default=100, min_value=1, max_value=MAX_ROWS_PAGE_SIZE)
    outcome = make_choice_field(Outcome, required=False, allow_blank=True)
    kept = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Only the rows whose records undo has kept; with `false`, only the others.",
    )


class TemplateQuery(QuerySerializer, ImporterChoiceSerializer):
    """The importer of a template."""


# --- The import --------------------------------------------------------------


class SameFile(TypedDict):
    """An earlier import of the same bytes."""

    id: str
    status: str
    created_at: str
    url: str


@extend_schema_field(DetectedFormatSerializer(allow_null=True))
class DetectedFormatField(serializers.JSONField):
    """The stored JSON of DetectedFormatSerializer; null until the file is read."""


@extend_schema_field(ImportReadOptionsSerializer)
class OptionsField(serializers.JSONField):
    """The stored JSON of ImportReadOptionsSerializer."""


class ImportJobSerializer(serializers.ModelSerializer[ImportJob]):
    """An import: the fields of its snapshot, and the fields of its upload."""

    # The context needs `user`; `waiting`, the ids of the waiting imports in their order, saves a
    # query.

    owner = serializers.CharField(
        source="owner.get_username",
        allow_null=True,
        read_only=True,
        help_text="The name of the user who uploaded the file. Null if the user was deleted.",
    )
    actions = serializers.SerializerMethodField(
        help_text="What is possible now, if you may control the import: POST to the address of "
        "the same name in `urls`, or PATCH for `change`."
    )
    urls = serializers.SerializerMethodField()
    poll_after_seconds = serializers.SerializerMethodField()
    same_file_as = serializers.SerializerMethodField()
    options = ImporterOptionsField(
        source="importer_options",
        read_only=True,
        help_text="The values of the importer's upload form. A record is its key.",
    )
    read_options = OptionsField(read_only=True)
    detected_format = DetectedFormatField(read_only=True)
    columns = serializers.SerializerMethodField()
    read_summary = serializers.SerializerMethodField()
    contents_kept_until = serializers.SerializerMethodField()
    contents_deleted_at = UtcDateTimeField(
        read_only=True,
        allow_null=True,
        help_text="When the file and the rows were deleted. Null while they are kept.",
    )
    error_params = serializers.DictField(
        read_only=True,
        allow_null=True,
        help_text="Values for the sentence of `error_code`, for example the missing `columns`.",
    )

    class Meta:
        model = ImportJob
        fields: tuple[str, ...] = (
            "importer",
            "on_duplicate",
            "empty_cells",
            "check_first",
            "options",
            "on_missing_columns",
            "read_options",
            "detected_format",
            "has_header_row",
            "columns",
            "read_summary",
            "error_params",
            "file_name",
            "file_size",
            "owner",
            "contents_kept_until",
            "contents_deleted_at",
            "same_file_as",
            "poll_after_seconds",
            "actions",
            "urls",
        )
        read_only_fields = fields

    @extend_schema_field(
        serializers.ListField(
            child=serializers.ChoiceField([(name.value, text) for name, text in ACTIONS.items()])
        )
    )
    def get_actions(self, job: ImportJob) -> list[str]:
        return [name.value for name in list_actions(job, self.context["user"])]

    @extend_schema_field(ImportUrlsSerializer)
    def get_urls(self, job: ImportJob) -> Any:
        can_download = permissions.can_download(self.context["user"], job)
        return ImportUrlsSerializer(
            {
                "self": make_url("api:import-detail", job),
                **{
                    name: make_url(f"api:import-{address}", job)
                    for name, address in URL_ACTIONS.items()
                },
                "failed_rows_xlsx": make_url("api:import-failed-rows-xlsx", job)
                if can_download
                and job.has_contents
                and job.failed + job.skipped
                and has_workbooks()
                else None,
                "failed_rows_csv": make_url("api:import-failed-rows-csv", job)
                if can_download and job.has_contents and job.failed
                else None,
                "kept_rows_xlsx": make_url("api:import-kept-rows-xlsx", job)
                if can_download and job.kept and has_workbooks()
                else None,
                "kept_rows_csv": make_url("api:import-kept-rows-csv", job)
                if can_download and job.kept
                else None,
                # The EventSource of a page on another site can send neither a header nor a cookie.
                "stream": add_ticket(
                    make_url("api:import-events", job), job.pk, self.context["user"]
                ),
                "websocket": make_url("socket", job),
            }
        ).data

    @extend_schema_field(ImportColumnsSerializer(allow_null=True))
    def get_columns(self, job: ImportJob) -> Any:
        if not job.detected_columns:
            return job.detected_columns
        mask = permissions.get_value_mask(self.context["user"], job)
        return ImportColumnsSerializer(
            mask.mask_samples(job.detected_columns), context={"importer": job.importer}
        ).data

    @extend_schema_field(ReadSummaryEntrySerializer(many=True))
    def get_read_summary(self, job: ImportJob) -> Any:
        context = {"importer": job.importer}
        return ReadSummaryEntrySerializer(job.read_summary, many=True, context=context).data

    @extend_schema_field(UtcDateTimeField(allow_null=True))
    def get_contents_kept_until(self, job: ImportJob) -> str | None:
        """Until when the file and the rows are kept. Null until the import has ended."""
        return format_optional_time(get_contents_deadline(job))

    def get_poll_after_seconds(self, job: ImportJob) -> int | None:
        """The seconds to wait before the next poll. Null if nothing more will happen."""
        return (
            None
            if job.is_final
            else POLL_SECONDS_BY_STATUS.get(Status(job.status), DEFAULT_POLL_SECONDS)
        )

    def get_same_file_as(self, job: ImportJob) -> SameFile | None:
        earlier = permissions.find_earlier_import_of_same_file(self.context["user"], job)
        if earlier is None:
            return None
        return {
            "id": str(earlier.pk),
            "status": earlier.status,
            "created_at": format_time(earlier.created_at),
            "url": reverse("imports:api:import-detail", args=[earlier.pk]),
        }

    def to_representation(self, job: ImportJob) -> dict[str, Any]:
        data: dict[str, Any] = {
            **build_snapshot(job, waiting=self.context.get("waiting")),
            **super().to_representation(job),
        }
        if job.error_code == "no_such_sheet":
            # Sheet names may be personal data, so no snapshot has them.
            data["message"] += error_hints.describe_available_sheets(job)
        return data


class ListedImportJobSerializer(ImportJobSerializer):
    """An import in a list, without fields that are large or need a query of their own."""

    class Meta(ImportJobSerializer.Meta):
        fields = tuple(
            name for name in ImportJobSerializer.Meta.fields if name not in DETAIL_FIELDS
        )
        read_only_fields = fields
