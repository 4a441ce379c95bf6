"""What one cell may be: by the column's own rule, or by that of the field its values go to."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
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
from imports.importer import Cell, Column, Importer, InvalidValue
from imports.pipeline import value_parsing
from imports.text_cell_values import (
    INVISIBLE_MARK_PATTERN,
    validate_digits,
    validate_encoding,
    validate_type,
)

CellCleaner = Callable[[Cell], str | None]

# PostgreSQL's text holds neither; JSON from a hostile file may.
UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")


# What exports of address books write between the values of one cell.
VALUE_SEPARATOR = " ::: "
SPACES_AROUND = 8  # Characters around a placeholder that are looked at.


class Kind(NamedTuple):
    """Of a field: what is said of a cell it refuses, and all that a cell may mean to it."""

    code: str
    meanings: Callable[[Cell], list[Any]]


KINDS: dict[type[Field], Kind] = {  # A DateTimeField is a DateField too.
    BooleanField: Kind("invalid_yes_or_no", value_parsing.parse_booleans),
    DateTimeField: Kind("invalid_moment", value_parsing.parse_datetimes),
    DateField: Kind("invalid_date", value_parsing.parse_dates),
    TimeField: Kind("invalid_time", value_parsing.parse_times),
    IntegerField: Kind("invalid_whole_number", value_parsing.parse_whole_numbers),
    DecimalField: Kind("invalid_number", value_parsing.parse_numbers),
    FloatField: Kind("invalid_number", value_parsing.parse_finite_numbers),
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
def get_cleaner(importer: type[Importer], column: Column) -> CellCleaner:
    """The column's own rule, or that of the field its values go to."""
    if column.clean is not None:
        return column.clean
    return make_field_cleaner(get_value_field(importer, column))


def get_value_field(importer: type[Importer], column: Column) -> Field:
    """The field whose values the column's cells hold: of a lookup, the related model's."""
    field = importer.model._meta.get_field(column.field)
    return field.related_model._meta.get_field(column.lookup) if column.lookup else field


def is_text_field(field: Field) -> bool:
    """Whether the field takes any text, so that a date or TRUE is not what was typed."""
    return isinstance(field, CharField | TextField) and not field.choices


def make_field_cleaner(field: Field) -> CellCleaner:
    """What a model's field takes, as people write it; raises Invalid for all else."""
    kind = next((kind for type_, kind in KINDS.items() if isinstance(field, type_)), OTHER)
    is_text = is_text_field(field)

    def clean(cell: Cell) -> str | None:
        if isinstance(cell, ShortenedText):
            raise InvalidValue("too_long", limit=longest_text(field, cell))
        if is_text:
            cell = _as_typed(cell)
        cell = cell.strip() if isinstance(cell, str) else cell
        if cell is None or cell == "":
            return None
        if isinstance(cell, str) and UNSTORABLE_CHARACTERS.search(cell):
            raise InvalidValue("forbidden_character")
        value = _only_meaning(field, kind, cell)
        if field.choices and value not in dict(field.flatchoices):
            raise InvalidValue(
                "invalid_choice", choices=", ".join(map(str, dict(field.flatchoices)))
            )
        return str(_in_its_zone(value))

    return clean


def _as_typed(cell: Cell) -> Cell:
    """The cell of a column of text, without invisible characters. Raises Invalid."""
    validate_type(cell)
    if not isinstance(cell, str):
        return cell
    if not cell.isascii():
        validate_encoding(cell)
        cell = INVISIBLE_MARK_PATTERN.sub("", cell)
        validate_encoding(cell)  # An invisible character may have hidden a garbled letter.
    validate_digits(cell.strip())
    return cell


def longest_text(field: Field, cell: ShortenedText) -> int:
    """How many characters the field takes: at most what the reader keeps of a cell."""
    return min(len(cell), getattr(field, "max_length", None) or len(cell))


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
            refused.append(InvalidValue(kind.code))
        else:
            taken.append((value, meaning))
    if not taken:
        raise next(iter(refused), InvalidValue(kind.code))
    if len(taken) > 1:
        raise InvalidValue("ambiguous", first=taken[0][1], second=taken[1][1])
    return taken[0][0]


def _refusal(error: ValidationError, code: str) -> InvalidValue:
    """A validator's limit where it is one, else what the field's type asks for."""
    first = error.error_list[0]
    if first.code in LIMITS:
        code, name = LIMITS[first.code]
        return InvalidValue(code, limit=first.params[name])
    return InvalidValue(code)


def _in_its_zone(value: Any) -> Any:
    """A moment of nowhere is one where the site is, as in Django's forms."""
    is_of_nowhere = isinstance(value, datetime) and timezone.is_naive(value)
    if is_of_nowhere and settings.USE_TZ:
        return timezone.make_aware(value, timezone.get_default_timezone())
    return value


# --- Before the rule ---------------------------------------------------------


# The cell for the column's rule, and the read summary code of what was done to the cell (see
# `imports.error_messages.READ_SUMMARY_MESSAGES`), or None. A plain tuple, because five are made for
# each row.
PreparedCell = tuple[Cell, str | None]


def prepare_cell(importer: type[Importer], column: Column, cell: Cell) -> PreparedCell:
    """Return the cell as the column's rule is to judge it.

    1. Of several values in one cell (" ::: " between them), the first.
    2. Empty for a placeholder such as "n/a", in an optional column.
    3. For text that the rule refuses, the address behind its link, if the rule takes that and
       takes only addresses.

    Raises Invalid if the reader has cut the text.
    """
    return get_preparer(importer, column)(cell)


def get_preparer(importer: type[Importer], column: Column) -> Callable[[Cell], PreparedCell]:
    """`prepare_cell` for many cells of one column."""
    placeholders = get_placeholders(importer, column)
    longest = max_placeholder_chars(importer, column)

    def prepare(cell: Cell) -> PreparedCell:
        if not isinstance(cell, str):
            return cell, None
        if isinstance(cell, ShortenedText):
            raise InvalidValue(
                "too_long", limit=longest_text(get_value_field(importer, column), cell)
            )
        code = None
        if VALUE_SEPARATOR in cell:
            cell, code = _first_value(cell)
        if len(cell) <= longest and _folded(cell) in placeholders:
            return None, "placeholder_as_empty"
        if isinstance(cell, LinkedText) and (address := _address_behind(cell, importer, column)):
            return address, "link_taken"
        return cell, code

    return prepare


def max_placeholder_chars(importer: type[Importer], column: Column) -> int:
    """How long a text may be, spaces included, to be a placeholder; 0 if the column has none."""
    placeholders = get_placeholders(importer, column)
    return max(map(len, placeholders)) + SPACES_AROUND if placeholders else 0


def _first_value(text: str) -> tuple[str, str | None]:
    """The first value that is not blank; the code only if there is another one."""
    values = list(dict.fromkeys(value.strip() for value in text.split(VALUE_SEPARATOR)))
    filled = [value for value in values if value]
    return (filled or [""])[0], "first_of_several_values" if len(filled) > 1 else None


def is_placeholder(importer: type[Importer], column: Column, cell: Cell) -> bool:
    """Whether the cell says that there is no value, in a column that needs none."""
    return isinstance(cell, str) and _folded(cell) in get_placeholders(importer, column)


def get_placeholders(importer: type[Importer], column: Column) -> frozenset[str]:
    """The texts that mean "no value" in this column, folded."""
    if column.required:
        return frozenset()
    if column.placeholders is not None:
        return _all_folded(tuple(column.placeholders))
    field = get_value_field(importer, column)
    is_free_text = is_text_field(field) and not isinstance(field, EmailField | URLField)
    if is_free_text and not column.lookup:
        return frozenset()
    choices = {_folded(str(value)) for value, _ in field.flatchoices or ()}
    return _all_folded(tuple(settings.IMPORT_PLACEHOLDERS)) - choices


@cache
def _all_folded(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(_folded, texts))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _address_behind(cell: LinkedText, importer: type[Importer], column: Column) -> str | None:
    """The address behind the cell's link, if the rule refuses the text and takes the address."""
    clean = get_cleaner(importer, column)
    if not cell.link or _is_taken(clean, str(cell)) or _is_taken(clean, ANY_WORD):
        return None
    address = extract_link_address(cell.link)
    return address if _is_taken(clean, address) else None


# A rule that takes this word takes names or remarks: a link is none.
ANY_WORD = "Link"


def _is_taken(clean: CellCleaner, cell: Cell) -> bool:
    try:
        return bool(clean(cell))
    except Exception:  # Invalid, or a rule with a bug.
        return False


def extract_link_address(link: str) -> str:
    """The e-mail address of a mailto: link, the number of a tel: link, else the link itself."""
    scheme, colon, rest = link.strip().partition(":")
    if not colon or scheme.lower() not in {"mailto", "tel"}:
        return link.strip()
    return unquote(rest.partition("?")[0]).strip()
