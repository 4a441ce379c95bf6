"""Write the generated tables of the documentation.

`python -m docs.tables` rewrites each table between its two markers. A test fails if a table is not
as this module would write it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from imports.conf import MEGABYTES, list_settings

if TYPE_CHECKING:
    from imports.error_codes import Code, ParameterSchema

FOLDER = Path(__file__).parent


def format_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_settings() -> str:
    """Return the table of the settings of the app."""
    rows = [
        (f"`{each.name}`", format_default(each.default), each.unit, each.description)
        for each in list_settings()
    ]
    return format_table(("setting", "default", "unit", "meaning"), rows)


def format_default(value: object) -> str:
    """Return a default value as the documentation shows it."""
    if isinstance(value, dict):
        entries = (f"`{key}`: {format_default(item)}" for key, item in value.items())
        return "<br>".join(entries)
    if isinstance(value, list):
        if not all(isinstance(each, str) for each in value):
            return ", ".join(f"{each:,}" for each in value)
        return f"{len(value)} texts, see `imports/conf.py`"
    if isinstance(value, bool):
        return f"`{value}`"
    if isinstance(value, int) and value >= MEGABYTES and value % MEGABYTES == 0:
        return f"{value // MEGABYTES:,} MB"
    if value == "":
        return "empty"
    return f"{value:,}" if isinstance(value, int | float) else f"`{value}`"


def format_request_codes() -> str:
    """Return the table of the codes of error responses."""
    rows = [
        (", ".join(map(str, code.statuses)), f"`{code.name}`", escape(code.message))
        for code in load_error_codes().list_request_codes()
    ]
    return format_table(("status", "code", "meaning, and what to do"), rows)


def format_codes(codes: Iterable[Code]) -> str:
    """Return the table of codes that are sent without parameters."""
    rows = [(f"`{code.name}`", escape(code.message)) for code in codes]
    return format_table(("code", "sentence"), rows)


def format_codes_with_parameters(codes: Iterable[Code]) -> str:
    """Return the table of codes with the types of their parameters."""
    rows = [(f"`{code.name}`", format_parameters(code), escape(code.message)) for code in codes]
    return format_table(("code", "`params`", "sentence"), rows)


def format_customer_codes() -> str:
    from imports.importer import get_importer  # After Django's set-up.

    return format_codes_with_parameters(
        load_error_codes().list_importer_codes(get_importer("customers"))
    )


def load_error_codes() -> ModuleType:
    """Return the module of the codes, which imports models: it must follow Django's set-up."""
    from imports import error_codes

    return error_codes


def format_parameters(code: Code) -> str:
    return "<br>".join(
        f"`{name}`: {format_type(schema)}" for name, schema in code.parameters.items()
    )


def format_type(schema: ParameterSchema) -> str:
    """Return a JSON Schema in words: "integer", "string or null", "list of integers"."""
    kind = schema["type"]
    if kind == "array":
        return f"list of {format_type(schema['items'])}s"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def escape(sentence: str) -> str:
    """Return a sentence as a cell of a table. `%(name)s` becomes {name}."""
    return re.sub(r"%\((\w+)\)s", r"{\1}", sentence).replace("|", "\\|")


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "settings": ("settings.md", format_settings),
    "request codes": ("error-codes.md", format_request_codes),
    "field codes": ("error-codes.md", lambda: format_codes(load_error_codes().list_field_codes())),
    "import codes": (
        "error-codes.md",
        lambda: format_codes(load_error_codes().list_import_codes()),
    ),
    "row codes": (
        "error-codes.md",
        lambda: format_codes_with_parameters(load_error_codes().list_row_codes()),
    ),
    "kept codes": (
        "error-codes.md",
        lambda: format_codes_with_parameters(load_error_codes().list_kept_codes()),
    ),
    "customer codes": ("error-codes.md", format_customer_codes),
    "read summary codes": (
        "error-codes.md",
        lambda: format_codes_with_parameters(load_error_codes().list_read_summary_codes()),
    ),
}


def replace_table(text: str, name: str, table: str) -> str:
    """Return a text with the table `name` between its markers.

    Raises:
        ValueError: The text has no such markers.
    """
    start, end = f"<!-- table: {name} -->\n", f"<!-- end: {name} -->"
    pattern = re.compile(f"({re.escape(start)}).*?({re.escape(end)})", re.DOTALL)
    new_text, count = pattern.subn(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"Put the markers of the table {name!r} into the document once.")
    return new_text


def build_documents() -> dict[Path, str]:
    """Return the text of each document that has generated tables."""
    texts: dict[Path, str] = {}
    for name, (file_name, build_table) in TABLES.items():
        path = FOLDER / file_name
        text = texts.get(path) or path.read_text(encoding="utf-8")
        texts[path] = replace_table(text, name, build_table())
    return texts


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    for path, text in build_documents().items():
        path.write_text(text, encoding="utf-8")
