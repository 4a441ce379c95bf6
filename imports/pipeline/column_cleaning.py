"""Clean the cells of one column together, which costs a fraction of a call for each cell.

Each column has a rule for single cells, which decides everything. It may also have a rule for whole
columns, which accepts ordinary cells. All other cells go through the rule for single cells, so the
results are the same as those of that rule alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import (
    MaxLengthValidator,
    MaxValueValidator,
    MinValueValidator,
    validate_email,
)
from django.db.models import (
    BigIntegerField,
    CharField,
    EmailField,
    Field,
    IntegerField,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    SmallIntegerField,
    TextField,
)

from imports.importer import (
    Cell,
    Column,
    ColumnRule,
    Importer,
    InvalidValue,
    get_column_rule,
    get_value_fields,
)
from imports.pipeline.field_cleaning import (
    VALUE_SEPARATOR,
    CellCleaner,
    get_cleaner,
    get_max_placeholder_chars,
    get_placeholders,
    is_placeholder,
)
from imports.pipeline.rule_bugs import WrongResult, make_wrong_type
from imports.text_cell_values import EXPONENT_PATTERN

PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
# Two equal values of one of these types have the same text. Floats differ: 0.0 == -0.0.
TYPES_WITH_UNIQUE_TEXTS = (str, int, bool)
SPACES = "\t\n\v\f\r "


class CleanedColumn(NamedTuple):
    """The cleaned values of one column, and the cells that are not cleaned yet.

    values: as many as there are cells; None at the indexes in `remaining`.
    remaining: indexes of the cells for the rule for single cells, ascending.
    """

    values: list[str | None]
    remaining: list[int]


PlainCellsCleaner = Callable[[list[Cell]], CleanedColumn]


def get_plain_cells_cleaner(importer: type[Importer], column: Column) -> PlainCellsCleaner:
    """Return the function that cleans the plain cells of a column together.

    It leaves these cells for the rule for single cells: cells that have to be prepared (see
    `field_cleaning.prepare_cell`), cells whose type is not in PLAIN_TYPES, and cells that the rule
    for whole columns does not accept.

    If the rule for whole columns has a bug, the function raises WrongResult or the error of the
    rule.

    Raises:
        ColumnRuleFailed: The choices of the field cannot be listed.
        Error: The database reported a transient error.
    """
    clean = get_cleaner(importer, column)
    clean_column = get_column_cleaner(importer, column)
    list_cells_to_prepare = _make_preparation_test(importer, column)

    def clean_plain_cells(cells: list[Cell]) -> CleanedColumn:
        types = set(map(type, cells))
        remaining: set[int] = set()
        if not types <= PLAIN_TYPES:
            remaining.update(i for i, cell in enumerate(cells) if type(cell) not in PLAIN_TYPES)
        if str in types:
            remaining.update(list_cells_to_prepare(cells))
        has_empty = type(None) in types
        if not remaining and not has_empty:
            indexes: Sequence[int] = range(len(cells))
            plain = cells
        else:
            indexes = [i for i, cell in enumerate(cells) if cell is not None and i not in remaining]
            plain = [cells[index] for index in indexes]
        cleaned = _clean_distinct(clean_column, plain)
        if not all(cleaned):
            remaining.update(
                index for index, value in zip(indexes, cleaned, strict=True) if not value
            )
        if len(indexes) == len(cells):
            values = list(cleaned)
        else:
            values = [None] * len(cells)
            for index, value in zip(indexes, cleaned, strict=True):
                values[index] = value
        if has_empty and not _returns_none_for_empty_cell(clean):
            remaining.update(index for index, cell in enumerate(cells) if cell is None)
        return CleanedColumn(values, sorted(remaining))

    return clean_plain_cells


def _returns_none_for_empty_cell(clean: CellCleaner) -> bool:
    """Return whether the rule returns None for an empty cell, as nearly every rule does."""
    try:
        return clean(None) is None
    except Exception:  # The rule for single cells reports it for each row.
        return False


def _make_preparation_test(
    importer: type[Importer], column: Column
) -> Callable[[Sequence[Cell]], list[int]]:
    """Return a function that lists the indexes of plain texts that have to be prepared."""
    placeholders = get_placeholders(importer, column)
    max_chars = get_max_placeholder_chars(importer, column)
    initials = {text[:1] for text in placeholders}
    initials |= {character.upper() for character in initials} | set(SPACES)

    def may_be_placeholder(text: str) -> bool:
        # A letter outside ASCII may fold to one of the initials.
        return len(text) <= max_chars and (text[:1] in initials or not text[:1].isascii())

    def list_cells_to_prepare(cells: Sequence[Cell]) -> list[int]:
        indexes: list[int] = []
        if VALUE_SEPARATOR in "\n".join([cell for cell in cells if type(cell) is str]):
            indexes += [i for i, c in enumerate(cells) if type(c) is str and VALUE_SEPARATOR in c]
        if placeholders:
            indexes += [
                index
                for index, cell in enumerate(cells)
                if type(cell) is str
                and may_be_placeholder(cell)
                and is_placeholder(importer, column, cell)
            ]
        return indexes

    return list_cells_to_prepare


def _clean_distinct(clean_column: ColumnRule, cells: Sequence[Cell]) -> Sequence[str | None]:
    """Clean the cells. Clean each value only once if most cells repeat another one.

    Raises:
        WrongResult: The rule has not returned a list of texts with a value for each cell.
        Exception: The rule has a bug.
    """
    types = set(map(type, cells))
    if len(types) == 1 and types <= set(TYPES_WITH_UNIQUE_TEXTS):
        distinct = list(set(cells))
        if 2 * len(distinct) < len(cells):
            results = dict(zip(distinct, _call_rule(clean_column, distinct), strict=True))
            return [results[cell] for cell in cells]
    return _call_rule(clean_column, cells)


def _call_rule(clean_column: ColumnRule, cells: Sequence[Cell]) -> Sequence[str | None]:
    result: object = clean_column(cells)
    if not isinstance(result, list | tuple):
        raise make_wrong_type("wrong_clean_column_result", clean_column, result)
    if len(result) != len(cells):
        sizes = {"expected": str(len(cells)), "returned": str(len(result))}
        raise WrongResult("wrong_clean_column_length", clean_column, **sizes)
    for type_ in set(map(type, result)):
        if type_ is not type(None) and not issubclass(type_, str):
            value = next(value for value in result if type(value) is type_)
            raise make_wrong_type("wrong_clean_column_result", clean_column, value)
    return result


# --- The rules for whole columns ---------------------------------------------


def get_column_cleaner(importer: type[Importer], column: Column) -> ColumnRule:
    """Return the rule for whole columns: that of the column's own rule, or that of its field."""
    if column.clean is not None:
        return get_column_rule(column.clean) or _make_cell_by_cell_cleaner(column.clean)
    if column.prepare is None:
        fields = get_value_fields(importer, column)
        if len(fields) == 1 and (clean_column := _make_field_column_cleaner(fields[0])):
            return clean_column
    return _make_cell_by_cell_cleaner(get_cleaner(importer, column))


def _make_cell_by_cell_cleaner(clean: CellCleaner) -> ColumnRule:
    """Return a rule for whole columns that calls the rule for single cells."""

    def clean_column(cells: Sequence[Cell]) -> list[str | None]:
        values: list[str | None] = []
        for cell in cells:
            try:
                value = clean(cell)
            except (InvalidValue, ValidationError):
                value = None
            except Exception:  # A bug, or an unavailable database. Further calls would fail too.
                break
            values.append(value if isinstance(value, str) else None)
        return [*values, *[None] * (len(cells) - len(values))]

    return clean_column


# Text that every text field accepts unchanged: printable ASCII, without spaces around it. A number
# with an exponent is an error, because its other digits are lost.
SIMPLE_TEXT = re.compile(rf"(?!{EXPONENT_PATTERN}\Z)[!-~](?:[ -~]*[!-~])?")
# Some of the addresses that Django accepts, without Punycode domains.
SIMPLE_EMAIL = re.compile(
    r"[A-Za-z0-9_%+-]+(?:\.[A-Za-z0-9_%+-]+)*"
    r"@(?:(?![Xx][Nn]--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
MAX_EMAIL_CHARS = 254
SIMPLE_INTEGER = re.compile("0|-?[1-9][0-9]{0,17}")
TEXT_FIELDS = (CharField, TextField)
INTEGER_FIELDS = (
    BigIntegerField,
    IntegerField,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    SmallIntegerField,
)


def _make_field_column_cleaner(field: Field[Any, Any]) -> ColumnRule | None:
    """Return a rule for whole columns of a plain field; None if the field has rules of its own.

    A subclass may change any rule, so only fields of Django's own classes have such a rule.
    """
    if field.choices:
        return None
    if type(field) in TEXT_FIELDS:
        return _make_text_cleaner(field, SIMPLE_TEXT, is_covered=lambda validator: False)
    if type(field) is EmailField:
        return _make_text_cleaner(
            field, SIMPLE_EMAIL, is_covered=lambda validator: validator is validate_email
        )
    if type(field) in INTEGER_FIELDS:
        return _make_integer_cleaner(field)
    return None


def _make_text_cleaner(
    field: Field[Any, Any], pattern: re.Pattern[str], *, is_covered: Callable[[Any], bool]
) -> ColumnRule | None:
    """Return a rule that accepts texts which match the pattern and are not too long.

    `is_covered` returns whether the validator accepts every text that matches the pattern.
    """
    limits = _list_limits((v for v in field.validators if not is_covered(v)), MaxLengthValidator)
    if limits is None:
        return None
    max_chars = min(limits, default=None)
    if type(field) is EmailField:
        max_chars = min(MAX_EMAIL_CHARS, max_chars or MAX_EMAIL_CHARS)
    match = pattern.fullmatch

    def clean_texts(cells: Sequence[Cell]) -> list[str | None]:
        values = [cell if type(cell) is str and match(cell) else None for cell in cells]
        if max_chars is not None and max(map(len, filter(None, values)), default=0) > max_chars:
            return [value if value and len(value) <= max_chars else None for value in values]
        return values

    return clean_texts


def _make_integer_cleaner(field: Field[Any, Any]) -> ColumnRule | None:
    """Return a rule that accepts whole numbers within the limits of the field."""
    lower = _list_limits(
        (v for v in field.validators if not isinstance(v, MaxValueValidator)), MinValueValidator
    )
    upper = _list_limits(
        (v for v in field.validators if not isinstance(v, MinValueValidator)), MaxValueValidator
    )
    if not lower or not upper:
        return None
    minimum, maximum = max(lower), min(upper)
    match = SIMPLE_INTEGER.fullmatch

    def clean_integer(cell: Cell) -> str | None:
        if type(cell) is int or (type(cell) is str and match(cell)):
            return str(cell) if minimum <= int(cell) <= maximum else None
        return None

    return lambda cells: list(map(clean_integer, cells))


def _list_limits(validators: Iterable[Any], kind: type[Any]) -> list[int] | None:
    """Return the limits of the validators; None if one is of another class or has no fixed limit.

    Of an integer field, Django derives a lower and an upper limit from the database column.
    """
    limits = []
    for validator in validators:
        if type(validator) is not kind or type(validator.limit_value) is not int:
            return None
        limits.append(validator.limit_value)
    return limits
