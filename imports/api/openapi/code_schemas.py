"""The schemas of the codes and of their parameters. `imports.error_codes` has the codes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from imports.api.openapi.responses import Schema, allow_types
from imports.error_codes import (
    Code,
    ParameterSchema,
    list_field_codes,
    list_import_codes,
    list_kept_codes,
    list_read_summary_codes,
    list_request_codes,
    list_row_codes,
)
from imports.importer import list_importers

NEW_CODES_NOTE = "Expect other codes too: later versions add codes."


def _list_all_row_codes() -> list[Code]:
    return list_row_codes(list_importers())


# For each enum of codes: what it describes, and the codes.
ENUMS: dict[str, tuple[str, Callable[[], Iterable[Code]]]] = {
    "ErrorCode": ("The code of an error response.", list_request_codes),
    "FieldErrorCode": ("The code of one wrong field of a request.", list_field_codes),
    "ImportErrorCode": ("The `error_code` of an import.", list_import_codes),
    "RowErrorCode": ("The code of an error of a row.", _list_all_row_codes),
    "KeptCode": ("Why undo has kept the record of a row.", list_kept_codes),
    "ReadSummaryCode": ("The code of an entry of a read summary.", list_read_summary_codes),
}
PARAMETERS: dict[str, Callable[[], Iterable[Code]]] = {
    "RowErrorParams": _list_all_row_codes,
    "KeptParams": list_kept_codes,
    "ReadSummaryParams": list_read_summary_codes,
}


def build_enum(name: str) -> Schema:
    """Return the enum of all known codes; its description has their sentences."""
    title, list_codes = ENUMS[name]
    codes = list(list_codes())
    lines = [f"* `{code.name}`: {code.message}" for code in codes]
    return {
        "type": "string",
        "enum": [code.name for code in codes],
        "description": "\n".join([f"{title} {NEW_CODES_NOTE}", "", *lines]),
    }


def build_parameters(name: str) -> Schema:
    """Return one schema for the parameters of all codes.

    Each parameter is optional, because its code decides whether there is one. An importer may add
    parameters of other names.
    """
    codes = defaultdict(list)
    types: dict[str, list[ParameterSchema]] = defaultdict(list)
    for code in PARAMETERS[name]():
        for parameter, schema in code.parameters.items():
            codes[parameter].append(code.name)
            if schema not in types[parameter]:
                types[parameter].append(schema)
    properties = {
        parameter: _merge(types[parameter])
        | {"description": f"Of {', '.join(f'`{code}`' for code in names)}."}
        for parameter, names in sorted(codes.items())
    }
    return {
        "type": "object",
        "description": f"Values for the sentence of the code. {name}ByCode has them by code.",
        "properties": properties,
    }


def _merge(schemas: Sequence[ParameterSchema]) -> Schema:
    """Return one schema for values of any of these schemas. Every integer is a number."""
    types: list[str] = []
    merged: Schema = {}
    for schema in schemas:
        kind = schema["type"]
        types += kind if isinstance(kind, list) else [kind]
        merged |= schema
    names = [each for each in dict.fromkeys(types) if each != "integer" or "number" not in types]
    return _describe(merged | {"type": names})


def _describe(schema: ParameterSchema) -> Schema:
    """Return the schema of a parameter in the version of the description."""
    kind = schema["type"]
    types = kind if isinstance(kind, list) else [kind]
    names = [each for each in types if each != "null"]
    described = allow_types(*names, nullable="null" in types)
    return described | {"items": schema["items"]} if "items" in schema else described


def build_parameters_by_code(name: str) -> Schema:
    """Return a schema whose properties are the codes that have parameters.

    No response has this object. It is for programs in languages that can look up a type by a key,
    such as `RowErrorParamsByCode["too_long"]` in TypeScript.
    """
    properties = {
        code.name: {
            "type": "object",
            "properties": {name: _describe(schema) for name, schema in code.parameters.items()},
            "required": list(code.parameters),
        }
        for code in PARAMETERS[name]()
        if code.parameters
    }
    return {
        "type": "object",
        "description": "The parameters of each code that has some.",
        "properties": properties,
        "required": list(properties),
    }
