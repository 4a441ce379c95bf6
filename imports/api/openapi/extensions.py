"""What drf-spectacular cannot derive from a serializer or an authentication class.

drf-spectacular registers each extension when its class is defined, so import this module before
the description is generated.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from imports.api.error_serializers import CodeField, CodeParametersField
from imports.api.openapi import code_schemas
from imports.api.openapi.responses import Schema, allow_types
from imports.api.response_serializers import ImportSnapshotSerializer
from imports.api.serializers import (
    ImportChangesSerializer,
    ImportJobSerializer,
    ImportUploadSerializer,
)
from imports.importer import list_importers
from imports.option_changes import OPTIONS_THAT_CHANGE_COLUMNS

# What `is_delimiter` accepts, the names of a tab, and the empty string.
DELIMITER_PATTERN = r"""^([^\w"'\\\r\n\u0000\ufeff]|_|[Tt][Aa][Bb]|\\[Tt])?$"""


def list_importer_names() -> list[str]:
    return sorted(importer.name for importer in list_importers())


def make_importer_schema() -> Schema:
    return {"type": "string", "enum": list_importer_names()}


def make_column_mapping_schema(field: Schema) -> Schema:
    """Return the schema of a column mapping with the description of this field."""
    column = allow_types("integer", "string", nullable=True)
    description = {name: field[name] for name in ("description",) if name in field}
    return description | {"type": "object", "additionalProperties": column}


def _map_fields(
    extension: OpenApiSerializerExtension, auto_schema: AutoSchema, direction: str
) -> Schema:
    """Return the schema that drf-spectacular derives from the serializer of the extension."""
    return auto_schema._map_serializer(  # type: ignore[no-any-return, no-untyped-call]
        extension.target, direction, bypass_extensions=True
    )


class ImportJobExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """An import has the fields of its snapshot and its own fields in one object."""

    target_class = ImportJobSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> Schema:
        snapshot = auto_schema.resolve_serializer(ImportSnapshotSerializer, direction).schema
        schema = _map_fields(self, auto_schema, direction)
        # A copy: the hook that names enumerations changes each object once.
        schema["properties"] = deepcopy(snapshot["properties"]) | schema["properties"]
        schema["required"] = [*snapshot["required"], *schema["required"]]
        return schema


class UploadExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """An upload has the file and no unknown fields. Its Idempotency-Key is a header."""

    target_class = ImportUploadSerializer

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> Schema:
        schema = _map_fields(self, auto_schema, direction)
        file = {"type": "string", "format": "binary", "minLength": 1}
        properties = schema["properties"]
        del properties["idempotency_key"]
        properties["importer"] = make_importer_schema()
        properties["delimiter"]["pattern"] = DELIMITER_PATTERN
        # A form has no null: an absent field is detected.
        properties["has_header_row"] |= {"type": "boolean"}
        properties["column_mapping"] = make_column_mapping_schema(properties["column_mapping"])
        schema["properties"] = {"file": file, **properties}
        schema["required"] = ["file", *(["importer"] if len(list_importer_names()) > 1 else [])]
        return schema | {"additionalProperties": False}


class ChangesExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """A change has at least one field and no unknown fields.

    It has no column mapping together with a read option that may change the columns.
    """

    target_class = ImportChangesSerializer

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> Schema:
        schema = _map_fields(self, auto_schema, direction)
        properties = schema["properties"]
        properties["column_mapping"] = make_column_mapping_schema(properties["column_mapping"])
        properties["delimiter"]["pattern"] = DELIMITER_PATTERN
        # An absent field stays as it is. A generated client would send a default.
        for field in properties.values():
            field.pop("default", None)
        read_options = {"anyOf": [{"required": [name]} for name in OPTIONS_THAT_CHANGE_COLUMNS]}
        return schema | {
            "minProperties": 1,
            "additionalProperties": False,
            "not": {"required": ["column_mapping"], **read_options},
        }


def _add_schema(auto_schema: AutoSchema, name: str, schema: Schema) -> Schema:
    """Add a named schema to the description, and return a reference to it."""
    kind = ResolvedComponent.SCHEMA
    component = ResolvedComponent(name, kind, schema, object=name)  # type: ignore[no-untyped-call]
    auto_schema.registry.register_on_missing(component)
    reference: Schema = component.ref
    return reference


class CodeExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A code is one of the known codes, or another text: later versions add codes."""

    target_class = CodeField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> Schema:
        name = self.target.enum_name
        enum = _add_schema(auto_schema, name, code_schemas.build_enum(name))
        return {"anyOf": [enum, {"type": "string"}]}


class CodeParametersExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """The parameters of all codes in one schema, and those of each code in another one."""

    target_class = CodeParametersField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> Schema:
        name = self.target.schema_name
        by_code = code_schemas.build_parameters_by_code(name)
        _add_schema(auto_schema, f"{name}ByCode", by_code)
        return _add_schema(auto_schema, name, code_schemas.build_parameters(name))


class BearerExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "imports.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> Schema:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access` token of `POST /api/auth/token/`.",
        }


class SessionExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> Schema:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The cookie of a login in the browser. A POST or PATCH needs the "
            "header `X-CSRFToken` too.",
        }
