"""What one cell may be: by the column's own rule, or by that of the field its values go to."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

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
from django.template.defaultfilters import yesno
from django.utils.translation import override

from imports.importer import Cell, Column, Importer, Invalid

Clean = Callable[[Cell], str | None]

# PostgreSQL's text holds neither; JSON from a hostile file may.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# What a value of this type is called where it is refused; a DateTimeField is a DateField too.
CODES: dict[type[Field], str] = {
    BooleanField: "invalid_yes_or_no",
    DateTimeField: "invalid_moment",
    DateField: "invalid_date",
    TimeField: "invalid_time",
    IntegerField: "invalid_whole_number",
    DecimalField: "invalid_number",
    FloatField: "invalid_number",
}
LIMITS = {"max_length": "too_long", "min_value": "too_small", "max_value": "too_large"}


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
            # Django knows "True" and "1"; spreadsheets write TRUE and true, people yes and no.
            text = yes_and_no().get(text.casefold(), text.capitalize())
        try:
            value = field.to_python(text)
            field.run_validators(value)
        except OverflowError:
            raise Invalid(_code_of(field)) from None
        except ValidationError as error:
            raise _refusal(field, error) from None  # Its words quote the value.
        if field.choices and value not in dict(field.flatchoices):
            raise Invalid("invalid_choice", choices=", ".join(map(str, dict(field.flatchoices))))
        return str(value)

    return clean


@cache
def yes_and_no() -> dict[str, bool]:
    """What people write for yes and for no, in full or by its initial, in the site's languages."""
    words = {}
    for language in dict(settings.LANGUAGES):
        with override(language):
            said = {yesno(value).casefold(): value for value in (True, False)}
        words |= said | {word[0]: value for word, value in said.items()}
    return words


def _refusal(field: Field, error: ValidationError) -> Invalid:
    """A validator's limit where it is one, else what the field's type asks for."""
    first = error.error_list[0]
    if first.code in LIMITS:
        return Invalid(LIMITS[first.code], limit=first.params["limit_value"])
    return Invalid(_code_of(field))


def _code_of(field: Field) -> str:
    return next((code for kind, code in CODES.items() if isinstance(field, kind)), "invalid")
