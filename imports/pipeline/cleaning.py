"""What one cell may be: by the column's own rule, or by that of the field its values go to."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import (
    BooleanField,
    DateField,
    DateTimeField,
    DecimalField,
    Field,
    FloatField,
    IntegerField,
    TimeField,
)

from imports.importer import Cell, Column, Importer, Invalid
from imports.pipeline import spellings

Clean = Callable[[Cell], str | None]

# PostgreSQL's text holds neither; JSON from a hostile file may.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Kind(NamedTuple):
    """Of a field: what is said of a value it refuses, and how people spell one it takes."""

    code: str
    respell: Callable[[str], Any]


KINDS: dict[type[Field], Kind] = {  # A DateTimeField is a DateField too.
    BooleanField: Kind("invalid_yes_or_no", spellings.yes_or_no),
    DateTimeField: Kind("invalid_moment", spellings.moment),
    DateField: Kind("invalid_date", spellings.date),
    TimeField: Kind("invalid_time", str),
    IntegerField: Kind("invalid_whole_number", spellings.whole_number),
    DecimalField: Kind("invalid_number", spellings.number),
    FloatField: Kind("invalid_number", spellings.number),
}
OTHER = Kind("invalid", str)
LIMITS = {"max_length": "too_long", "min_value": "too_small", "max_value": "too_large"}


@cache
def clean_of(importer: type[Importer], column: Column) -> Clean:
    """The column's own rule, or that of the field its values go to."""
    if column.clean is not None:
        return column.clean
    field = importer.model._meta.get_field(column.field)
    if column.lookup:
        field = field.related_model._meta.get_field(column.lookup)
    return rule_of_field(field)


def rule_of_field(field: Field) -> Clean:
    """What a model's field takes, as people write it; raises Invalid for all else."""
    kind = next((kind for type_, kind in KINDS.items() if isinstance(field, type_)), OTHER)

    def clean(cell: Cell) -> str | None:
        text = cell.strip() if isinstance(cell, str) else cell
        if text is None or text == "":
            return None
        if isinstance(text, str) and UNSTORABLE.search(text):
            raise Invalid("forbidden_character")
        try:
            value = field.to_python(kind.respell(text) if isinstance(text, str) else text)
            field.run_validators(value)
        except OverflowError:
            raise Invalid(kind.code) from None
        except ValidationError as error:
            raise _refusal(error, kind.code) from None  # Its words quote the value.
        if field.choices and value not in dict(field.flatchoices):
            raise Invalid("invalid_choice", choices=", ".join(map(str, dict(field.flatchoices))))
        return str(value)

    return clean


def _refusal(error: ValidationError, code: str) -> Invalid:
    """A validator's limit where it is one, else what the field's type asks for."""
    first = error.error_list[0]
    if first.code in LIMITS:
        return Invalid(LIMITS[first.code], limit=first.params["limit_value"])
    return Invalid(code)
