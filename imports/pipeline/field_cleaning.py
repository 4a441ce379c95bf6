"""Clean one cell: by the column's own rule, or by that of the model field that it fills."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    EmailField,
    Field,
    FloatField,
    IntegerField,
    TextField,
    TimeField,
    URLField,
)
from django.utils import timezone

from imports.cell_values import LinkedText, ShortenedText
from imports.conf import app_settings
from imports.importer import Cell, Column, Importer, InvalidValue
from imports.model_fields import get_model_field, get_related_model
from imports.pipeline import value_parsing
from imports.pipeline.class_cache import cache
from imports.text_cell_values import (
    INVISIBLE_MARK_PATTERN,
    validate_digits,
    validate_encoding,
    validate_type,
)

CellCleaner = Callable[[Cell], str | None]

# PostgreSQL's text type cannot store these. JSON from an attacker may contain them.
UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")

# Exports of address books write this between several values of one cell.
VALUE_SEPARATOR = " ::: "
MAX_SPACES_AROUND_PLACEHOLDER = 8


class FieldKind(NamedTuple):
    """How a type of field is cleaned: the code of its error, and the parser of its cells."""

    code: str
    parse: Callable[[Cell], list[Any]]  # Returns every meaning of the cell.


# In this order: a DateTimeField is a DateField, too.
FIELD_KINDS: dict[type[Field[Any, Any]], FieldKind] = {
    BooleanField: FieldKind("invalid_yes_or_no", value_parsing.parse_booleans),
    DateTimeField: FieldKind("invalid_moment", value_parsing.parse_datetimes),
    DateField: FieldKind("invalid_date", value_parsing.parse_dates),
    TimeField: FieldKind("invalid_time", value_parsing.parse_times),
    IntegerField: FieldKind("invalid_whole_number", value_parsing.parse_whole_numbers),
    DecimalField: FieldKind("invalid_number", value_parsing.parse_numbers),
    FloatField: FieldKind("invalid_number", value_parsing.parse_finite_numbers),
}
OTHER_KIND = FieldKind("invalid", lambda cell: [cell])
# Code of a Django validator to our code, and to the name of its parameter with the limit.
LIMIT_CODES = {
    "max_length": ("too_long", "limit_value"),
    "min_value": ("too_small", "limit_value"),
    "max_value": ("too_large", "limit_value"),
    "max_digits": ("too_many_digits", "max"),
    "max_whole_digits": ("too_many_digits", "max"),
    "max_decimal_places": ("too_many_decimals", "max"),
}


@cache
def get_cleaner(importer: type[Importer], column: Column) -> CellCleaner:
    """Return the column's own rule or, if it has none, that of the field that it fills.

    The rule takes a cell and returns its cleaned value, or None for an empty cell. It raises
    InvalidValue for a cell that it does not accept.
    """
    if column.clean is not None:
        return column.clean
    return make_field_cleaner(get_value_field(importer, column))


def get_value_field(importer: type[Importer], column: Column) -> Field[Any, Any]:
    """Return the model field whose values the cells hold; for a lookup, the related model's."""
    if not column.lookup:
        return get_model_field(importer.model, column.field)
    related = get_related_model(importer.model, column.field)
    return get_model_field(related, column.lookup)


def is_text_field(field: Field[Any, Any]) -> bool:
    """Return whether the field accepts any text."""
    return isinstance(field, CharField | TextField) and not field.choices


def make_field_cleaner(field: Field[Any, Any]) -> CellCleaner:
    """Return the rule of a model field, which accepts values as people write them.

    The rule raises InvalidValue for a cell that the field does not accept, and for one that has two
    meanings.
    """
    kind = next(
        (kind for type_, kind in FIELD_KINDS.items() if isinstance(field, type_)), OTHER_KIND
    )
    is_text = is_text_field(field)

    def clean(cell: Cell) -> str | None:
        if isinstance(cell, ShortenedText):
            raise InvalidValue("too_long", limit=_get_max_text_chars(field, cell))
        if is_text:
            cell = _clean_text(cell)
        cell = cell.strip() if isinstance(cell, str) else cell
        if cell is None or cell == "":
            return None
        if isinstance(cell, str) and UNSTORABLE_CHARACTERS.search(cell):
            raise InvalidValue("forbidden_character")
        value = _parse_value(field, kind, cell)
        if field.choices and value not in dict(field.flatchoices):
            raise InvalidValue(
                "invalid_choice", choices=", ".join(map(str, dict(field.flatchoices)))
            )
        return str(_add_timezone(value))

    return clean


def _clean_text(cell: Cell) -> Cell:
    """Return the cell of a text column without invisible characters.

    Raises:
        InvalidValue: A spreadsheet program has changed the text, or its encoding is damaged.
    """
    validate_type(cell)
    if not isinstance(cell, str):
        return cell
    if not cell.isascii():
        validate_encoding(cell)
        cell = INVISIBLE_MARK_PATTERN.sub("", cell)
        validate_encoding(cell)  # An invisible character may have hidden a garbled letter.
    validate_digits(cell.strip())
    return cell


def _get_max_text_chars(field: Field[Any, Any], cell: ShortenedText) -> int:
    """Return how many characters the field accepts, at most those that the reader keeps."""
    return min(len(cell), getattr(field, "max_length", None) or len(cell))


def _parse_value(field: Field[Any, Any], kind: FieldKind, cell: Cell) -> Any:
    """Return the only meaning of the cell that the field accepts.

    Raises:
        InvalidValue: The field accepts no meaning of the cell, or more than one.
    """
    accepted, errors = [], []
    for meaning in kind.parse(cell):
        try:
            value = field.to_python(meaning)
            field.run_validators(value)
        except ValidationError as error:
            errors.append(_convert_error(error, kind.code))
        except (OverflowError, TypeError):
            errors.append(InvalidValue(kind.code))
        else:
            accepted.append((value, meaning))
    if not accepted:
        raise next(iter(errors), InvalidValue(kind.code))
    if len(accepted) > 1:
        raise InvalidValue("ambiguous", first=accepted[0][1], second=accepted[1][1])
    return accepted[0][0]


def _convert_error(error: ValidationError, code: str) -> InvalidValue:
    """Return the error with the validator's limit if it is about one, else with `code`."""
    first = error.error_list[0]
    if first.code in LIMIT_CODES and first.params:
        code, name = LIMIT_CODES[first.code]
        return InvalidValue(code, limit=first.params[name])
    return InvalidValue(code)


def _add_timezone(value: Any) -> Any:
    """Return a datetime without a time zone in that of the site, as Django's forms do."""
    if isinstance(value, datetime) and timezone.is_naive(value) and settings.USE_TZ:
        return timezone.make_aware(value, timezone.get_default_timezone())
    return value


# --- Before the rule ---------------------------------------------------------


# The cell for the column's rule, and the code of the read summary for what was done to it (see
# `imports.error_messages.READ_SUMMARY_MESSAGES`), or None. A plain tuple, because each row needs
# five of them.
PreparedCell = tuple[Cell, str | None]


def prepare_cell(importer: type[Importer], column: Column, cell: Cell) -> PreparedCell:
    """Return the cell as the column's rule gets it.

    1. Of several values in one cell, separated by " ::: ", only the first.
    2. None for a placeholder such as "n/a" in an optional column.
    3. Instead of text that the rule does not accept, the address of its hyperlink, if the rule
       accepts that and accepts only addresses.

    Raises:
        InvalidValue: The reader has shortened the text.
    """
    return get_preparer(importer, column)(cell)


def get_preparer(importer: type[Importer], column: Column) -> Callable[[Cell], PreparedCell]:
    """Return `prepare_cell` as a function for the cells of one column."""
    placeholders = get_placeholders(importer, column)
    max_chars = get_max_placeholder_chars(importer, column)

    def prepare(cell: Cell) -> PreparedCell:
        if not isinstance(cell, str):
            return cell, None
        if isinstance(cell, ShortenedText):
            limit = _get_max_text_chars(get_value_field(importer, column), cell)
            raise InvalidValue("too_long", limit=limit)
        code = None
        if VALUE_SEPARATOR in cell:
            cell, code = _get_first_value(cell)
        if len(cell) <= max_chars and _fold_placeholder(cell) in placeholders:
            return None, "placeholder_as_empty"
        if isinstance(cell, LinkedText) and (address := _get_address(cell, importer, column)):
            return address, "link_taken"
        return cell, code

    return prepare


def get_max_placeholder_chars(importer: type[Importer], column: Column) -> int:
    """Return how long a placeholder may be, spaces included; 0 if the column has none."""
    placeholders = get_placeholders(importer, column)
    if not placeholders:
        return 0
    return max(map(len, placeholders)) + MAX_SPACES_AROUND_PLACEHOLDER


def _get_first_value(text: str) -> tuple[str, str | None]:
    """Return the first value that is not blank, and a code if there is another one."""
    values = list(dict.fromkeys(value.strip() for value in text.split(VALUE_SEPARATOR)))
    filled = [value for value in values if value]
    return (filled or [""])[0], "first_of_several_values" if len(filled) > 1 else None


def is_placeholder(importer: type[Importer], column: Column, cell: Cell) -> bool:
    """Return whether the cell holds a text that means "no value" in this column."""
    return isinstance(cell, str) and _fold_placeholder(cell) in get_placeholders(importer, column)


def get_placeholders(importer: type[Importer], column: Column) -> frozenset[str]:
    """Return the folded texts that mean "no value" in this column."""
    if column.required:
        return frozenset()
    if column.placeholders is not None:
        return _fold_placeholders(tuple(column.placeholders))
    field = get_value_field(importer, column)
    is_free_text = is_text_field(field) and not isinstance(field, EmailField | URLField)
    if is_free_text and not column.lookup:
        return frozenset()
    choices = {_fold_placeholder(str(value)) for value, _ in field.flatchoices or ()}
    return _fold_placeholders(tuple(app_settings.PLACEHOLDERS)) - choices


@cache
def _fold_placeholders(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(_fold_placeholder, texts))


def _fold_placeholder(text: str) -> str:
    return " ".join(text.split()).casefold()


def _get_address(cell: LinkedText, importer: type[Importer], column: Column) -> str | None:
    """Return the address of the cell's hyperlink; None if the rule accepts the text instead."""
    clean = get_cleaner(importer, column)
    if not cell.link or _is_accepted(clean, str(cell)) or _is_accepted(clean, EXAMPLE_LINK_TEXT):
        return None
    address = extract_link_address(cell.link)
    return address if _is_accepted(clean, address) else None


# A rule that accepts this word is one for names or remarks, and takes no address of a hyperlink.
EXAMPLE_LINK_TEXT = "Link"


def _is_accepted(clean: CellCleaner, cell: Cell) -> bool:
    try:
        return bool(clean(cell))
    except Exception:  # InvalidValue, or a bug in the rule.
        return False


def extract_link_address(link: str) -> str:
    """Return the e-mail address of a mailto: link, the number of a tel: link, or the link."""
    scheme, colon, rest = link.strip().partition(":")
    if not colon or scheme.lower() not in {"mailto", "tel"}:
        return link.strip()
    return unquote(rest.partition("?")[0]).strip()
