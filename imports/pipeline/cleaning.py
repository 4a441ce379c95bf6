"""What one cell may be: by the column's own rule, or by that of the field its values go to."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
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
from django.utils import timezone

from imports.importer import Cell, Column, Importer, Invalid
from imports.pipeline import spellings

Clean = Callable[[Cell], str | None]

# PostgreSQL's text holds neither; JSON from a hostile file may.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Kind(NamedTuple):
    """Of a field: what is said of a cell it refuses, and all that a cell may mean to it."""

    code: str
    meanings: Callable[[Cell], list[Any]]


KINDS: dict[type[Field], Kind] = {  # A DateTimeField is a DateField too.
    BooleanField: Kind("invalid_yes_or_no", spellings.yes_or_no),
    DateTimeField: Kind("invalid_moment", spellings.moments),
    DateField: Kind("invalid_date", spellings.dates),
    TimeField: Kind("invalid_time", spellings.times),
    IntegerField: Kind("invalid_whole_number", spellings.whole_numbers),
    DecimalField: Kind("invalid_number", spellings.numbers),
    FloatField: Kind("invalid_number", spellings.finite_numbers),
}
OTHER = Kind("invalid", lambda cell: [cell])
# Of a validator's limits, the code and the name of the limit.
LIMITS = {
    "max_length": ("too_long", "limit_value"),
    "min_value": ("too_small", "limit_value"),
    "max_value": ("too_large", "limit_value"),
    "max_digits": ("too_many_digits", "max"),
    "max_whole_digits": ("too_many_digits", "max"),
    "max_decimal_places": ("too_many_decimals", "max"),
}


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
        cell = cell.strip() if isinstance(cell, str) else cell
        if cell is None or cell == "":
            return None
        if isinstance(cell, str) and UNSTORABLE.search(cell):
            raise Invalid("forbidden_character")
        value = _only_meaning(field, kind, cell)
        if field.choices and value not in dict(field.flatchoices):
            raise Invalid("invalid_choice", choices=", ".join(map(str, dict(field.flatchoices))))
        return str(_in_its_zone(value))

    return clean


def _only_meaning(field: Field, kind: Kind, cell: Cell) -> Any:
    """What the cell means to this field; raises Invalid where that is nothing, or two things."""
    taken, refused = [], []
    for meaning in kind.meanings(cell):
        try:
            value = field.to_python(meaning)
            field.run_validators(value)
        except ValidationError as error:
            refused.append(_refusal(error, kind.code))
        except (OverflowError, TypeError):
            refused.append(Invalid(kind.code))
        else:
            taken.append((value, meaning))
    if not taken:
        raise next(iter(refused), Invalid(kind.code))
    if len(taken) > 1:
        raise Invalid("ambiguous", first=taken[0][1], second=taken[1][1])
    return taken[0][0]


def _refusal(error: ValidationError, code: str) -> Invalid:
    """A validator's limit where it is one, else what the field's type asks for."""
    first = error.error_list[0]
    if first.code in LIMITS:
        code, name = LIMITS[first.code]
        return Invalid(code, limit=first.params[name])
    return Invalid(code)


def _in_its_zone(value: Any) -> Any:
    """A moment of nowhere is one where the site is, as in Django's forms."""
    is_of_nowhere = isinstance(value, datetime) and timezone.is_naive(value)
    if is_of_nowhere and settings.USE_TZ:
        return timezone.make_aware(value, timezone.get_default_timezone())
    return value
