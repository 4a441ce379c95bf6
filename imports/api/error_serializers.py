"""Serializers of errors. They describe the JSON types that `imports.error_body` defines."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from imports import error_messages
from imports.error_body import ErrorBody, FieldError, RowError, make_row_error
from imports.models import ImportRow
from imports.value_mask import ValueMask

# The error codes of all calls, by HTTP status. Codes of single calls are documented with the call,
# and `imports.error_codes` has all of them.
ERROR_CODES = {
    400: ("invalid", "malformed"),
    401: ("not_authenticated", "token_not_valid", "no_active_account"),
    403: ("permission_denied",),
    404: ("not_found",),
    406: ("not_acceptable",),
    409: (*error_messages.CONFLICT_MESSAGES, "not_allowed"),
    410: ("contents_deleted",),
    411: ("length_required",),
    413: ("too_large",),
    415: ("unsupported_media_type",),
    422: ("key_reused",),
    429: ("throttled",),
    500: ("internal_error", "upload_form_failed"),
    503: ("unavailable",),
}


class CodeField(serializers.CharField):
    """A code for programs. The description lists the known codes in the enum `enum_name`."""

    def __init__(self, enum_name: str, **options: Any) -> None:
        super().__init__(**options)
        self.enum_name = enum_name


class CodeParametersField(serializers.DictField):
    """The parameters of a code. The description has their types in the schema `schema_name`."""

    def __init__(self, schema_name: str, **options: Any) -> None:
        super().__init__(**options)
        self.schema_name = schema_name


class FieldErrorSerializer(serializers.Serializer[FieldError]):
    """One field of a request that is wrong."""

    field = serializers.CharField()
    code = CodeField("FieldErrorCode")
    message = serializers.CharField()


class ApiErrorSerializer(serializers.Serializer[ErrorBody]):
    """The body of every error response."""

    code = CodeField(
        "ErrorCode",
        help_text="A file that is read inside a request has further codes: those of "
        "ImportErrorCode.",
    )
    message = serializers.CharField(help_text="What is wrong and what to do, in English.")
    params = serializers.DictField(
        help_text="Values for the sentence of the code. A 409 of a command has the `status` of the "
        "import and the `actions` that are possible; empty for most other errors."
    )
    errors = FieldErrorSerializer(  # type: ignore[assignment]  # Serializer has this attribute.
        many=True, help_text="One entry for each field that is wrong; empty for other errors."
    )


class RowErrorListSerializer(serializers.ListSerializer[Any]):
    """Serialize the stored errors of one row.

    The context needs `importer`, the name of the row's importer, and `mask`: what is hidden.
    """

    def to_representation(  # type: ignore[override]  # The instance is not a list.
        self, row: ImportRow
    ) -> list[RowError]:
        serialize = self.child.to_representation  # type: ignore[union-attr]  # many=True sets it.
        return [
            serialize(
                complete_row_error(error, row, self.context["importer"], self.context["mask"])
            )
            for error in row.errors or []
        ]


class RowErrorSerializer(serializers.Serializer[RowError]):
    """One error of one row."""

    row = serializers.IntegerField(help_text="The row number of the spreadsheet.")
    field = serializers.CharField(
        allow_null=True, help_text="Null if the error is about the whole row."
    )
    code = CodeField("RowErrorCode")
    params = CodeParametersField("RowErrorParams")
    value = serializers.CharField(
        allow_blank=True,
        help_text="The cell as the spreadsheet program displays it, cut to 200 characters.",
    )
    message = serializers.CharField(help_text="What is wrong and what to do, in English.")

    class Meta:
        list_serializer_class = RowErrorListSerializer


def complete_row_error(
    error: dict[str, Any], row: ImportRow, importer: str, mask: ValueMask
) -> RowError:
    """Return a stored error of the row with its row number and its sentence, and masked."""
    error = mask.mask_error(error)
    message = error_messages.describe_row_error(error, importer, row.outcome)
    return make_row_error(error, row.number, message)
