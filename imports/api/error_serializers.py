"""Serializers of errors. They describe the JSON types that `imports.error_body` defines."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from imports import error_messages
from imports.error_body import ErrorBody, FieldError, RowError, make_row_error
from imports.models import ImportRow

# The error codes of all calls, by HTTP status. Codes of single calls are documented with the call.
ERROR_CODES = {
    400: ("invalid", "malformed"),
    401: ("not_authenticated", "token_not_valid", "no_active_account"),
    403: ("permission_denied",),
    404: ("not_found",),
    406: ("not_acceptable",),
    409: ("not_allowed",),
    411: ("length_required",),
    413: ("too_large",),
    415: ("unsupported_media_type",),
    422: ("key_reused",),
    429: ("throttled",),
    503: ("unavailable",),
}


def _format_error_codes() -> str:
    return ", ".join(
        f"`{code}` ({status})" for status, codes in ERROR_CODES.items() for code in codes
    )


class FieldErrorSerializer(serializers.Serializer[FieldError]):
    field = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer[ErrorBody]):
    """The body of every error response."""

    code = serializers.CharField(
        help_text=f"For programs. New codes may be added. {_format_error_codes()}, "
        "`method_not_allowed` (405). A file that cannot be read has further codes: the "
        "`error_code` of an import."
    )
    message = serializers.CharField(help_text="What is wrong and what to do, in English.")
    errors = FieldErrorSerializer(  # type: ignore[assignment]  # Serializer has this attribute.
        many=True, help_text="One entry for each field that is wrong; empty for other errors."
    )


class RowErrorListSerializer(serializers.ListSerializer[Any]):
    """Serialize the stored errors of one row.

    The context needs `importer`, the name of the row's importer.
    """

    def to_representation(  # type: ignore[override]  # The instance is no list.
        self, row: ImportRow
    ) -> list[RowError]:
        serialize = self.child.to_representation  # type: ignore[union-attr]  # many=True sets it.
        return [
            serialize(complete_row_error(error, row, self.context["importer"]))
            for error in row.errors or []
        ]


class RowErrorSerializer(serializers.Serializer[RowError]):
    """One error of one row."""

    row = serializers.IntegerField(help_text="The row number of the spreadsheet.")
    field = serializers.CharField(
        allow_null=True, help_text="Null if the error is about the whole row."
    )
    code = serializers.CharField(help_text="For programs. New codes may be added.")
    params = serializers.DictField(
        help_text="Values for the sentence of the code, for example a limit or a row number."
    )
    value = serializers.CharField(
        allow_blank=True,
        help_text="The cell as the spreadsheet program displays it, cut to 200 characters.",
    )
    message = serializers.CharField(help_text="What is wrong and what to do, in English.")

    class Meta:
        list_serializer_class = RowErrorListSerializer


def complete_row_error(error: dict[str, Any], row: ImportRow, importer: str) -> RowError:
    """Return a stored error of the row with its row number and its sentence."""
    message = error_messages.describe_row_error(error, importer, row.outcome)
    return make_row_error(error, row.number, message)
