"""Serializers of importers: what an upload form needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypedDict

from django.db import models
from django.db.models import Field
from django.urls import reverse
from django.utils.http import urlencode
from rest_framework import serializers

from imports import permissions
from imports.api.serializers import ImportUploadSerializer
from imports.choices import list_choices
from imports.importer import Column, Importer, get_value_field
from imports.permissions import User
from imports.pipeline.header_detection import get_header
from imports.statuses import DELIMITER_LABELS, ENCODING_LABELS, OnDuplicate
from imports.workbooks import has_workbooks

# The type of a column by the class of its model field. Order matters: a subclass comes first.
COLUMN_TYPES: dict[type[Field[Any, Any]], str] = {
    models.BooleanField: "boolean",
    models.DateTimeField: "datetime",
    models.DateField: "date",
    models.TimeField: "time",
    models.IntegerField: "integer",
    models.DecimalField: "decimal",
    models.FloatField: "decimal",
    models.EmailField: "email",
    models.URLField: "url",
    models.UUIDField: "uuid",
}
OTHER_COLUMN_TYPE = "text"
COLUMN_TYPE_NAMES = sorted({*COLUMN_TYPES.values(), OTHER_COLUMN_TYPE})

# The type of an upload option by the class of its serializer field.
OPTION_TYPES: dict[type[serializers.Field[Any, Any, Any, Any]], str] = {
    serializers.ChoiceField: "choice",
    serializers.BooleanField: "boolean",
    serializers.JSONField: "json",
}
OTHER_OPTION_TYPE = "text"
OPTION_TYPE_NAMES = sorted({*OPTION_TYPES.values(), OTHER_OPTION_TYPE})
# Values that a form may offer for an option that takes others too.
SUGGESTIONS = {"encoding": ENCODING_LABELS, "delimiter": DELIMITER_LABELS}
# Fields that are not options: the importer is known, and the idempotency key is a header.
OTHER_UPLOAD_FIELDS = ("importer", "idempotency_key")


class Choice(TypedDict):
    value: str
    label: str


class ColumnDescription(TypedDict):
    """One column of the files of an importer. `ImporterColumnSerializer` describes the keys."""

    field: str
    label: str
    header: str
    required: bool
    unique: bool
    sensitive: bool
    aliases: list[str]
    type: str
    max_length: int | None
    choices: list[Choice] | None
    lookup: dict[str, str] | None
    example: str
    note: str


class UploadOption(TypedDict):
    """One option of an upload. `UploadOptionSerializer` describes the keys."""

    name: str
    type: str
    required: bool
    default: Any
    choices: list[Choice] | None
    suggestions: list[Choice] | None
    note: str


class ImporterDescription(TypedDict):
    """An importer. `ImporterSerializer` describes the keys."""

    name: str
    title: str
    columns: list[ColumnDescription]
    options: list[UploadOption]
    urls: dict[str, str | None]


def describe_importer(importer: type[Importer], user: User) -> ImporterDescription:
    """Return what an upload form of this user needs for the importer, in the active language."""
    template = reverse("imports:api:template")
    return {
        "name": importer.name,
        "title": importer.title(),
        "columns": [_describe_column(importer, column) for column in importer.columns],
        "options": list_upload_options(permissions.list_policies(user, importer)),
        "urls": {
            "self": reverse("imports:api:importer-detail", args=[importer.name]),
            "upload": reverse("imports:api:import-list"),
            "template": f"{template}?{urlencode({'importer': importer.name})}"
            if has_workbooks()
            else None,
        },
    }


def _describe_column(importer: type[Importer], column: Column) -> ColumnDescription:
    field = get_value_field(importer, column)
    types = (name for type_, name in COLUMN_TYPES.items() if isinstance(field, type_))
    return {
        "field": column.field,
        "label": importer.label(column.field),
        "header": get_header(column, importer),
        "required": column.required,
        "unique": column.unique,
        "sensitive": column.sensitive,
        "aliases": list(column.aliases),
        "type": next(types, OTHER_COLUMN_TYPE),
        "max_length": field.max_length,
        "choices": _list_choices(list_choices(field)) if field.choices else None,
        "lookup": importer.describe_lookup(column.field) or None,
        "example": column.example,
        "note": str(column.note),
    }


def list_upload_options(policies: Collection[OnDuplicate]) -> list[UploadOption]:
    """Return the options that an upload takes besides its file and its importer.

    `policies` are the duplicate policies that the user may choose.
    """
    fields = ImportUploadSerializer().get_fields()
    options = [
        _describe_option(name, field)
        for name, field in fields.items()
        if name not in OTHER_UPLOAD_FIELDS
    ]
    for option in options:
        if option["name"] == "on_duplicate":
            _limit_choices(option, policies)
    return options


def _limit_choices(option: UploadOption, allowed: Collection[str]) -> None:
    """Leave only the allowed choices. Without its default, the option is required."""
    option["choices"] = [each for each in option["choices"] or [] if each["value"] in allowed]
    if option["default"] not in allowed:
        option |= {"default": None, "required": True}


def _describe_option(name: str, field: serializers.Field[Any, Any, Any, Any]) -> UploadOption:
    types = (type_name for type_, type_name in OPTION_TYPES.items() if isinstance(field, type_))
    choices = field.choices.items() if isinstance(field, serializers.ChoiceField) else None
    suggestions = SUGGESTIONS.get(name)
    default = None if field.default is serializers.empty else field.default
    return {
        "name": name,
        "type": next(types, OTHER_OPTION_TYPE),
        "required": field.required,
        "default": default() if callable(default) else default,
        "choices": None if choices is None else _list_choices(choices),
        "suggestions": _list_choices(suggestions.items()) if suggestions else None,
        "note": str(field.help_text or ""),
    }


def _list_choices(choices: Iterable[tuple[Any, Any]]) -> list[Choice]:
    return [{"value": str(value), "label": str(label)} for value, label in choices]


# --- The description of the responses ----------------------------------------


class ImporterColumnChoiceSerializer(serializers.Serializer[Choice]):
    """One permitted value, and its name for people."""

    value = serializers.CharField(allow_blank=True)
    label = serializers.CharField()  # type: ignore[assignment]  # Field has this attribute.


class ImporterLookupSerializer(serializers.Serializer[Any]):
    """What a column of a foreign key holds, in words."""

    record = serializers.CharField(help_text="The name of the records that are looked up.")
    key = serializers.CharField(help_text="The name of the field that the cells hold.")


class ImporterColumnSerializer(serializers.Serializer[ColumnDescription]):
    """One column of the files of an importer."""

    field = serializers.CharField(help_text="The name for programs, as in `column_mapping`.")
    label = serializers.CharField(  # type: ignore[assignment]  # Field has this attribute.
        help_text="The name for people, in English."
    )
    header = serializers.CharField(help_text="The header of the column in the template.")
    required = serializers.BooleanField()  # type: ignore[assignment]  # As above.
    unique = serializers.BooleanField(
        help_text="Whether a row with the value of an earlier row or of a record is a duplicate."
    )
    sensitive = serializers.BooleanField(
        help_text="Whether values are shown only to the owner of an import and to users with the "
        "permission `imports.view_sensitive`. Others receive a mask instead of them."
    )
    aliases = serializers.ListField(
        child=serializers.CharField(), help_text="Other headers that are recognised."
    )
    type = serializers.ChoiceField(COLUMN_TYPE_NAMES)
    max_length = serializers.IntegerField(allow_null=True, help_text="In characters.")
    choices = ImporterColumnChoiceSerializer(
        many=True, allow_null=True, help_text="The only values allowed."
    )
    lookup = ImporterLookupSerializer(
        allow_null=True, help_text="For a column whose cells name other records."
    )
    example = serializers.CharField(allow_blank=True)
    note = serializers.CharField(allow_blank=True, help_text="What to fill in, for people.")


class UploadOptionSerializer(serializers.Serializer[UploadOption]):
    """One field that `POST /api/imports/` takes besides the file and the importer."""

    name = serializers.CharField()
    type = serializers.ChoiceField(OPTION_TYPE_NAMES)
    required = serializers.BooleanField()  # type: ignore[assignment]  # Field has this attribute.
    default = serializers.JSONField(
        allow_null=True, help_text="The value of an option that is not sent."
    )
    choices = ImporterColumnChoiceSerializer(
        many=True, allow_null=True, help_text="The only values allowed."
    )
    suggestions = ImporterColumnChoiceSerializer(
        many=True, allow_null=True, help_text="Common values. Others are allowed."
    )
    note = serializers.CharField(allow_blank=True, help_text="What the option does.")


class ImporterUrlsSerializer(serializers.Serializer[Any]):
    """The addresses of an importer."""

    self = serializers.CharField()
    upload = serializers.CharField()
    template = serializers.CharField(
        allow_null=True, help_text="Null if the site writes no workbooks."
    )


class ImporterSerializer(serializers.Serializer[ImporterDescription]):
    """An importer: what an upload form needs."""

    name = serializers.CharField(help_text="The name for programs: `importer` of an upload.")
    title = serializers.CharField(help_text="The name of the records, in English.")
    columns = ImporterColumnSerializer(many=True)
    options = UploadOptionSerializer(many=True)
    urls = ImporterUrlsSerializer()
