"""Check rows by the importer's rule over several columns, `Importer.check_row`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.db.models import CharField, Field, TextField

from imports.importer import Column, Importer, InvalidValue, get_value_fields, has_hook
from imports.pipeline.field_cleaning import split_lookup_key
from imports.pipeline.rule_bugs import WrongResult, make_bug_error, make_wrong_type

# Takes the cleaned values of a row in the order of the importer, and the fields whose cells have
# errors; returns the errors of the row.
RowCheck = Callable[[Sequence[str | None], Collection[str]], list[InvalidValue]]
# Takes an exception that a rule raised by a bug.
BugLogger = Callable[[Exception], None]
Converter = Callable[[str], Any]

_Default = TypeVar("_Default")


class ValueNotAvailable(Exception):
    """The rule has read the value of a cell that has an error of its own."""


class PartialRow(dict[str, Any]):
    """The values of a row without those of `failed_fields`. Reading one of these ends the rule."""

    def __init__(self, values: dict[str, Any], failed_fields: Collection[str]) -> None:
        super().__init__({f: value for f, value in values.items() if f not in failed_fields})
        self._failed_fields = failed_fields

    def __missing__(self, field: str) -> Any:
        if field in self._failed_fields:
            raise ValueNotAvailable(field)
        raise KeyError(field)

    def get(self, field: str, default: _Default | None = None) -> Any | _Default | None:
        return self[field] if field in self._failed_fields else super().get(field, default)


def make_row_check(importer: type[Importer], log_bug: BugLogger) -> RowCheck | None:
    """Return the importer's rule as a function for each row; None if the importer has no rule.

    A bug in the rule fails the row, not the import, and is passed to `log_bug`.
    """
    if not has_hook(importer, "check_row"):
        return None
    fields = [(c.field, _make_column_converter(importer, c)) for c in importer.columns]

    def check(cleaned: Sequence[str | None], failed_fields: Collection[str]) -> list[InvalidValue]:
        values = {
            field: value if value is None or convert is None else convert(value)
            for (field, convert), value in zip(fields, cleaned, strict=True)
        }
        row = PartialRow(values, failed_fields) if failed_fields else values
        return _collect_errors(importer, row, log_bug)

    return check


def _make_column_converter(importer: type[Importer], column: Column) -> Converter | None:
    fields = get_value_fields(importer, column)
    if len(fields) == 1:
        return _make_converter(fields[0])

    def convert(key: str) -> Any:
        values = split_lookup_key(column, len(fields), key)
        pairs = zip(fields, values, strict=True)
        field, text = next((field, text) for field, text in pairs if text is not None)
        convert_text = _make_converter(field)
        return text if convert_text is None else convert_text(text)

    return convert


def _make_converter(field: Field[Any, Any]) -> Converter | None:
    """Return a function from cleaned text to the field's type; None if the text is the value."""
    if isinstance(field, CharField | TextField):
        return None
    to_python = field.to_python

    def convert(text: str) -> Any:
        try:
            return to_python(text)
        except Exception:  # PostgreSQL casts more texts than Django's fields accept, such as "yes".
            return text

    return convert


def _collect_errors(
    importer: type[Importer], values: dict[str, Any], log_bug: BugLogger
) -> list[InvalidValue]:
    errors: list[InvalidValue] = []
    try:
        for error in _call_rule(importer, values):
            if error.field is not None and all(error.field != c.field for c in importer.columns):
                name = str(error.field)
                raise WrongResult("wrong_check_row_field", importer.check_row, name=name)
            errors.append(error)
    except ValueNotAvailable:
        pass
    except Exception as bug:
        log_bug(bug)
        errors.append(make_bug_error("row_rule_failed", bug))
    return errors


def _call_rule(importer: type[Importer], values: dict[str, Any]) -> Iterator[InvalidValue]:
    """Yield the errors that `check_row` returns, yields or raises.

    Raises:
        WrongResult: The result is not None and no iterable, or has something that is no error.
        Exception: The rule has read the value of a cell with an error, or has a bug.
    """
    try:
        result: object = importer.check_row(values)
        if result is None:
            return
        if not isinstance(result, Iterable) or isinstance(result, str | bytes | Mapping):
            raise make_wrong_type("wrong_check_row_result", importer.check_row, result)
        for error in result:
            if not isinstance(error, InvalidValue):
                raise make_wrong_type("wrong_check_row_result", importer.check_row, error)
            yield error
    except InvalidValue as error:
        yield error
