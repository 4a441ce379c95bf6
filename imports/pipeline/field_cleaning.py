"""Clean one cell: by the column's own rule, or by that of the model field that it fills."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import Error
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
from django.utils.translation import override

from imports.cell_values import (
    UNSTORABLE_CHARACTERS,
    FormattedFloat,
    FormattedInteger,
    FormattedText,
    LinkedText,
    ShortenedText,
)
from imports.choices import ChoiceIndex, describe_choices, describe_values, get_choice_index
from imports.conf import app_settings
from imports.importer import (
    Cell,
    Column,
    Importer,
    InvalidValue,
    get_lookup,
    get_value_field,
    get_value_fields,
)
from imports.pipeline import value_parsing
from imports.pipeline.class_cache import cache
from imports.pipeline.rule_bugs import ColumnRuleFailed, log_bug, make_wrong_type
from imports.pipeline.transactions import is_transient
from imports.text_cell_values import (
    INVISIBLE_MARK_PATTERN,
    validate_digits,
    validate_encoding,
    validate_type,
)
from imports.validator_errors import make_parsing_error, run_validators

CellCleaner = Callable[[Cell], str | None]

# Exports of address books write this between several values of one cell.
VALUE_SEPARATOR = " ::: "
MAX_SPACES_AROUND_PLACEHOLDER = 8


class FieldKind(NamedTuple):
    """How a type of field is cleaned: the code of its error, and the parser of its cells."""

    code: str
    parse: Callable[[Cell], list[Any]]  # Returns every meaning of the cell.


# In this order: a DateTimeField is a DateField, too.
FIELD_KINDS: dict[type[Field[Any, Any]], FieldKind] = {
    BooleanField: FieldKind("invalid_boolean", value_parsing.parse_booleans),
    DateTimeField: FieldKind("invalid_datetime", value_parsing.parse_datetimes),
    DateField: FieldKind("invalid_date", value_parsing.parse_dates),
    TimeField: FieldKind("invalid_time", value_parsing.parse_times),
    IntegerField: FieldKind("invalid_whole_number", value_parsing.parse_whole_numbers),
    DecimalField: FieldKind("invalid_number", value_parsing.parse_numbers),
    FloatField: FieldKind("invalid_number", value_parsing.parse_finite_numbers),
}
OTHER_KIND = FieldKind("invalid", lambda cell: [cell])


@cache
def get_cleaner(importer: type[Importer], column: Column) -> CellCleaner:
    """Return the column's own rule or, if it has none, that of the field that it fills.

    The rule takes a cell and returns its cleaned value, or None for an empty cell. It raises
    InvalidValue for a cell that it does not accept.
    """
    if column.clean is not None:
        return column.clean
    fields = get_value_fields(importer, column)
    clean = make_field_cleaner(fields[0]) if len(fields) == 1 else _make_lookup_cleaner(fields)
    return _precede(column.prepare, clean) if column.prepare else clean


def _precede(prepare: Callable[[Any], Any], clean: CellCleaner) -> CellCleaner:
    """Return a rule that applies `clean` to what the column's own function makes of the cell."""

    def clean_prepared(cell: Cell) -> str | None:
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return clean(cell)
        prepared = prepare(cell)
        if isinstance(prepared, Decimal | date | time):
            prepared = str(prepared)
        if not (prepared is None or isinstance(prepared, str | int | float)):
            raise make_wrong_type("wrong_prepare_result", prepare, prepared)
        return clean(prepared)

    return clean_prepared


def _make_lookup_cleaner(fields: Sequence[Field[Any, Any]]) -> CellCleaner:
    """Return the rule of a column whose cells may hold the value of any of these fields.

    The cleaned value is a lookup key, see `split_lookup_key`.
    """
    cleaners = [make_field_cleaner(field) for field in fields]

    def clean(cell: Cell) -> str | None:
        values: list[str | None] = []
        errors = []
        for clean_value in cleaners:
            try:
                values.append(clean_value(cell))
            except InvalidValue as error:
                errors.append(error)
                values.append(None)
        if len(errors) == len(cleaners):
            is_same = len({error.code for error in errors}) == 1
            raise errors[-1] if is_same else InvalidValue("not_found")
        return json.dumps(values) if any(values) else None

    return clean


def split_lookup_key(column: Column, field_count: int, key: str) -> list[str | None]:
    """Return the value of each field that a cleaned value of the column may name.

    None stands for a field that has no such value.
    """
    if field_count == 1 or column.clean is not None:
        return [key] * field_count
    values: list[str | None] = json.loads(key)
    return values


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
    parse = _parse_choice if field.choices else _parse_value

    def clean(cell: Cell) -> str | None:
        if isinstance(cell, ShortenedText):
            raise InvalidValue("too_long", limit=_get_max_text_chars(field, cell))
        if is_text:
            cell = _clean_text(cell)
        # What a cell displays is lost if it is stripped without need.
        if isinstance(cell, str) and (stripped := cell.strip()) != cell:
            cell = stripped
        if cell is None or cell == "":
            return None
        if isinstance(cell, str) and UNSTORABLE_CHARACTERS.search(cell):
            raise InvalidValue("forbidden_character")
        value = parse(field, kind, cell)
        return None if value is None else str(_add_timezone(value))

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


def _parse_choice(field: Field[Any, Any], kind: FieldKind, cell: Cell) -> Any:
    """Return the value of the only choice that the cell names.

    Raises:
        InvalidValue: The cell names no choice or several choices.
    """
    index = get_choice_index(field)
    values = _find_choices(index, cell)
    if not values:
        try:
            value = _parse_value(field, kind, cell)
        except InvalidValue:
            value = None
        values = (value,) if value is not None and value in index.values else ()
    if len(values) == 1:
        return values[0]
    with override("en"):  # As the REST API shows the parameters. Pages translate them.
        if not values:
            raise InvalidValue("invalid_choice", choices=describe_choices(field))
        raise InvalidValue("ambiguous_choice", choices=describe_values(field, values))


def _find_choices(index: ChoiceIndex, cell: Cell) -> tuple[Any, ...]:
    """Return the values of the choices that the cell names as it is read or as it is displayed."""
    if values := index.find(str(cell)):
        return values
    if isinstance(cell, FormattedText | FormattedInteger | FormattedFloat):
        return index.find(cell.shown)
    if isinstance(cell, str) and not cell.isascii():
        return index.find(INVISIBLE_MARK_PATTERN.sub("", cell))
    return ()


def _parse_value(field: Field[Any, Any], kind: FieldKind, cell: Cell) -> Any:
    """Return the only meaning of the cell that the field accepts.

    Raises:
        InvalidValue: The field accepts no meaning of the cell, or more than one.
    """
    accepted, errors = [], []
    code = None if kind is OTHER_KIND else kind.code
    for meaning in kind.parse(cell):
        try:
            value = field.to_python(meaning)
            run_validators(field, value)
        except InvalidValue as invalid:
            errors.append(invalid)
        except ValidationError as error:
            errors.append(make_parsing_error(field, cell, code, error))
        except (OverflowError, TypeError):
            errors.append(make_parsing_error(field, cell, code))
        else:
            accepted.append((value, meaning))
    if not accepted:
        raise errors[0] if errors else make_parsing_error(field, cell, code)
    if len(accepted) > 1:
        raise InvalidValue("ambiguous", first=accepted[0][1], second=accepted[1][1])
    return accepted[0][0]


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
    """Return the folded texts that mean "no value" in this column.

    Raises:
        ColumnRuleFailed: The choices of the field cannot be listed.
        Error: The database reported a transient error.
    """
    if column.required:
        return frozenset()
    if column.placeholders is not None:
        return _fold_placeholders(tuple(column.placeholders))
    field = get_value_field(importer, column)
    is_free_text = is_text_field(field) and not isinstance(field, EmailField | URLField)
    if is_free_text and get_lookup(importer.model, column) is None:
        return frozenset()
    placeholders = _fold_placeholders(tuple(app_settings.PLACEHOLDERS))
    if not field.choices:
        return placeholders
    try:
        return placeholders - get_choice_index(field).folded.keys()
    except Exception as error:  # The function of an app that lists the choices.
        if isinstance(error, Error) and is_transient(error):
            raise
        log_bug(f"Importer {importer.name}: the choices of column {column.field}", error)
        raise ColumnRuleFailed("choices_failed", column.field, error) from None


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
