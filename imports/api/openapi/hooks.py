"""Corrections of the whole description, as postprocessing hooks of drf-spectacular.

They change what the app describes, and what the project describes with the same settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import TextChoices
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.plumbing import ResolvedComponent, is_jsonschema_compliant

from imports import history, job_commands, statuses
from imports.api.importer_serializers import COLUMN_TYPE_NAMES, OPTION_TYPE_NAMES
from imports.api.openapi.examples import IMPORT_ID
from imports.api.openapi.extensions import list_importer_names
from imports.api.openapi.responses import Schema
from imports.request_ids import REQUEST_ID_HEADER

SCHEMAS_PATH = "#/components/schemas/"
HEADERS_PATH = "#/components/headers/"
REQUEST_ID_SCHEMA: Schema = {
    "schema": {"type": "string"},
    "description": "The id of the request in the server's log: the one that you sent in a header "
    "of this name, or a new one.",
}
DOUBLE_QUOTE = '"'
# The name of the class of an enum, if the description has another one.
ENUM_NAMES = {"Status": "ImportStatus", "Outcome": "RowOutcome"}
# The addresses in descriptions and examples, as a project has them that mounts the app at "/".
EXAMPLE_API_ADDRESS = re.compile(r"/api/(?=(?:auth/token|imports|importers|schema|docs)/)")
EXAMPLE_SOCKET_ADDRESS = re.compile(r"/ws/imports/")

Values = tuple[str, ...]


# --- Enums -------------------------------------------------------------------


def name_enums(result: Schema, generator: SchemaGenerator, **_: Any) -> Schema:
    """Make a named schema of each enum of the app.

    The names are independent of the project's ENUM_NAME_OVERRIDES, which drf-spectacular reads only
    once, and of enums with the same field names.
    """
    names, enums = dict(_list_enum_names()), dict[str, Schema]()
    for schema in result.get("components", {}).get("schemas", {}).values():
        for name, field in schema.get("properties", {}).items():
            schema["properties"][name] = _name_enum(field, names, enums)
    for name, enum in enums.items():
        # The next hook builds the components again from the registry.
        component = ResolvedComponent(name, ResolvedComponent.SCHEMA, enum, object=name)  # type: ignore[no-untyped-call]
        generator.registry.register_on_missing(component)
    return result


def _list_enum_names() -> Iterator[tuple[Values, str]]:
    for name, each in vars(statuses).items():
        if isinstance(each, type) and issubclass(each, TextChoices) and each.choices:
            yield tuple(each.values), ENUM_NAMES.get(name, name)
    yield tuple(list_importer_names()), "ImporterName"
    yield tuple(name.value for name in job_commands.ACTIONS), "ImportAction"
    yield tuple(history.Command.values), "HistoryCommand"
    yield tuple(history.Via.values), "HistoryVia"
    yield tuple(COLUMN_TYPE_NAMES), "ColumnType"
    yield tuple(OPTION_TYPE_NAMES), "OptionType"


def _name_enum(field: Schema, names: dict[Values, str], enums: dict[str, Schema]) -> Schema:
    """Return the schema of a field with a reference in place of the values of an enum.

    The enum is added to `enums`.
    """
    if isinstance(field.get("items"), dict):
        return field | {"items": _name_enum(field["items"], names, enums)}
    # A form sends an empty text for a field without a choice. It is no value to choose.
    values = tuple(value for value in field.get("enum", ()) if value not in ("", None))
    if values not in names:
        return field
    text, marker, choices = field.get("description", "").partition("* `")
    enums.setdefault(
        names[values],
        {
            "type": "string",
            "enum": [*values],
            **({"description": f"{marker}{choices}"} if marker else {}),
        },
    )
    reference: Schema = {"$ref": SCHEMAS_PATH + names[values]}
    nullable = None in field["enum"] or field.get("nullable") or "null" in field["type"]
    others = {"default": field["default"]} if "default" in field else {}
    if text.strip():
        others["description"] = text.strip()
    if nullable and is_jsonschema_compliant():  # type: ignore[no-untyped-call]
        return {"oneOf": [reference, {"type": "null"}], **others}
    if nullable:
        others["nullable"] = True
    return {"allOf": [reference], **others} if others else reference


# --- Everything else ---------------------------------------------------------


def complete_schema(result: Schema, **_: Any) -> Schema:
    """Complete the description.

    * Every request body is required.
    * A field with a default is optional, and its description names the default: some generators
      make a field with the keyword `default` required, others send the default with each request.
    * A query parameter that takes the values of a named enum refers to it.
    * Every response has the id of the request. Headers that are equal in many responses are
      components.
    * A title says no more than the name of its field, and some generators name types after it.
    * Addresses are those of the project.
    """
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    operations = [call for methods in result["paths"].values() for call in methods.values()]
    enums = {
        tuple(schema["enum"]): {"$ref": f"{SCHEMAS_PATH}{name}"}
        for name, schema in schemas.items()
        if "enum" in schema
    }
    for operation in operations:
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
        for parameter in operation.get("parameters", ()):
            _refer_to_enum(parameter, enums)
    _share_headers(components, operations)
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            schema["properties"][name] = _describe_default(field)
    return _relocate(result)


def _refer_to_enum(parameter: Schema, enums: dict[Values, Schema]) -> None:
    """Replace the values of a parameter, or of its items, by a reference to the enum."""
    schema = parameter["schema"]
    owner, name = (schema, "items") if schema.get("type") == "array" else (parameter, "schema")
    values = [value for value in owner[name].get("enum", ()) if value != ""]
    if values:
        owner[name] = enums.get(tuple(values), owner[name] | {"enum": values})


def _share_headers(components: Schema, operations: Iterable[Schema]) -> None:
    shared = components.setdefault("headers", {})
    for operation in operations:
        for response in operation["responses"].values():
            headers = {REQUEST_ID_HEADER: REQUEST_ID_SCHEMA} | response.get("headers", {})
            for name, header in headers.items():
                if shared.setdefault(name, header) == header:
                    headers[name] = {"$ref": f"{HEADERS_PATH}{name}"}
            response["headers"] = headers


def _describe_default(field: Schema) -> Schema:
    """Return the schema of a field without its title, and with its default in the description.

    drf-spectacular describes any JSON or null as "either of both", and null is both.
    """
    field = {name: value for name, value in field.items() if name != "title"}
    if field.get("oneOf") == [{}, {"type": "null"}]:
        del field["oneOf"]
    default = field.pop("default", None)
    if default in (None, ""):  # The option is detected.
        return field
    text = f"Default: `{json.dumps(default).strip(DOUBLE_QUOTE)}`."
    return field | {"description": f"{field.get('description', '')} {text}".lstrip()}


def _relocate(result: Schema) -> Schema:
    """Replace the addresses in texts and examples by those that the project has."""
    api = reverse("imports:api:root")
    socket = reverse("imports:socket", args=[IMPORT_ID]).removesuffix(f"{IMPORT_ID}/")

    def replace(part: Any) -> Any:
        if isinstance(part, str):
            return EXAMPLE_SOCKET_ADDRESS.sub(socket, EXAMPLE_API_ADDRESS.sub(api, part))
        if isinstance(part, dict):
            return {name: replace(value) for name, value in part.items()}
        return [replace(value) for value in part] if isinstance(part, list) else part

    return {name: part if name == "paths" else replace(part) for name, part in result.items()} | {
        "paths": {path: replace(methods) for path, methods in result["paths"].items()}
    }
