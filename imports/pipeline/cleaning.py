"""What one cell may be: by the column's own rule, or by that of the field its values go to."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from django.core.exceptions import ValidationError
from django.db.models import BooleanField, Field

from imports.importer import Cell, Column, Importer, Invalid

Clean = Callable[[Cell], str | None]

# PostgreSQL's text holds neither; JSON from a hostile file may.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@cache
def clean_of(importer: type[Importer], column: Column) -> Clean:
    """The column's own rule, or that of the field its values go to."""
    if column.clean is not None:
        return column.clean
    field = importer.model._meta.get_field(column.field)
    if column.lookup:
        field = field.related_model._meta.get_field(column.lookup)
    return _rule_of_field(field)


def _rule_of_field(field: Field) -> Clean:
    def clean(cell: Cell) -> str | None:
        text = cell.strip() if isinstance(cell, str) else cell
        if text is None or text == "":
            return None
        if isinstance(text, str) and UNSTORABLE.search(text):
            raise Invalid("forbidden_character")
        if isinstance(field, BooleanField) and isinstance(text, str):
            text = text.capitalize()  # Django knows "True", spreadsheets write TRUE and true.
        try:
            value = field.to_python(text)
            field.run_validators(value)
        except (ValidationError, OverflowError) as error:
            raise Invalid("invalid", type=field.get_internal_type()) from error
        if field.choices and value not in dict(field.flatchoices):
            raise Invalid("invalid_choice")
        return str(value)

    return clean
