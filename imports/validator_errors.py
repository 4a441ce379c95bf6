"""The errors that Django's model fields and validators raise, as errors of a row.

A validator has its own message. The untranslated message is stored with the row, and pages show it
in the user's language. Only the default messages about limits, and those of fields that fail to
parse a cell, are replaced by sentences that say how to write the value in a spreadsheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import (
    DecimalValidator,
    MaxLengthValidator,
    MaxValueValidator,
    MinLengthValidator,
    MinValueValidator,
)
from django.db.models import Field
from django.utils.translation import gettext, override

from imports.importer import InvalidValue

# Code of a Django validator to our code, and to the name of its parameter with the limit.
LIMIT_CODES = {
    "max_length": ("too_long", "limit_value"),
    "min_length": ("too_short", "limit_value"),
    "min_value": ("too_small", "limit_value"),
    "max_value": ("too_large", "limit_value"),
    "max_digits": ("too_many_digits", "max"),
    "max_whole_digits": ("too_many_digits", "max"),
    "max_decimal_places": ("too_many_decimals", "max"),
}
DEFAULT_LIMIT_MESSAGES = (
    MaxLengthValidator.message,
    MinLengthValidator.message,
    MinValueValidator.message,
    MaxValueValidator.message,
    *DecimalValidator.messages.values(),
)

MAX_PARAMETER_CHARS = 200  # Of a text in a message, such as the invalid value.


def run_validators(field: Field[Any, Any], value: Any) -> None:
    """Run all validators of the field, as `Field.run_validators` does.

    Unlike Django's method, it replaces a validator's message only by one that the field was given
    as `error_messages`. A field has default messages with the same codes, which are about its type.

    Raises:
        InvalidValue: A validator rejected the value.
    """
    if value in field.empty_values:
        return
    errors: list[ValidationError] = []
    for validate in field.validators:
        try:
            validate(value)
        except ValidationError as error:
            for single in list_errors(error):
                code = str(single.code)
                if code in field.error_messages and not _is_default_message(field, code):
                    single.message = field.error_messages[code]
                errors.append(single)
    if errors:
        raise convert_error(ValidationError(errors))


def make_parsing_error(
    field: Field[Any, Any], cell: object, code: str | None, error: ValidationError | None = None
) -> InvalidValue:
    """Return the error of a cell that the field cannot parse.

    `error` is the field's own error, if `to_python` raised one. `code` replaces a default message
    of Django; None keeps the message.
    """
    message = field.error_messages.get("invalid", "")
    reported = error or ValidationError(message, code="invalid", params={"value": cell})
    first = list_errors(reported)[0]
    if code is not None and _is_default_message(field, str(first.code)):
        return InvalidValue(code)
    return convert_error(reported)


def convert_error(error: ValidationError) -> InvalidValue:
    """Return an error of Django as that of a cell. The errors after the first are `further`."""
    first, *further = map(_convert_single_error, list_errors(error))
    first.further = tuple(further)
    return first


def list_errors(error: ValidationError) -> list[ValidationError]:
    """Return the single errors of which an error consists, at least one."""
    if hasattr(error, "error_dict"):
        return list(chain.from_iterable(error.error_dict.values())) or [ValidationError("")]
    return error.error_list or [ValidationError("")]


def _convert_single_error(error: ValidationError) -> InvalidValue:
    original: Mapping[str, Any] = error.params if isinstance(error.params, Mapping) else {}
    if error.code in LIMIT_CODES and any(error.message is each for each in DEFAULT_LIMIT_MESSAGES):
        code, name = LIMIT_CODES[error.code]
        if name in original:
            return InvalidValue(code, limit=original[name])
    params = {str(name): _make_plain(value) for name, value in original.items()}
    with override(None):
        template = str(error.message)
        used = {name: value for name, value in params.items() if f"%({name})" in template}
        text = _try_format(error.message, params)
        if text is None:  # The parameters cannot be stored as the message needs them.
            template, used = _format(error.message, original), {}
        elif not template or _try_format(template, used) != text:
            # A message with a plural has no text before Django chooses the form for the number.
            template, used = text, params
    invalid = InvalidValue(str(error.code or "invalid"))
    invalid.params, invalid.message = used, template
    return invalid


def _make_plain(value: Any) -> int | float | str:
    return value if isinstance(value, int | float) else str(value)[:MAX_PARAMETER_CHARS]


def translate_message(
    field: Field[Any, Any] | None, message: str, params: Mapping[str, Any]
) -> str:
    """Return the stored message of a validator in the active language, with its parameters."""
    for declared in _list_declared_messages(field) if field else ():
        with override(None):
            is_template = str(declared) == message
            is_plural = not is_template and bool(params) and _format(declared, params) == message
        if is_template or is_plural:
            return _format(declared, params)
    return _format(gettext(message), params) if "%(" in message else gettext(message)


def _list_declared_messages(field: Field[Any, Any]) -> Iterator[Any]:
    """Iterate over the messages of the field and of its validators, as they are declared."""
    for validator in field.validators:
        if message := getattr(validator, "message", None):
            yield message
        if isinstance(messages := getattr(validator, "messages", None), Mapping):
            yield from messages.values()
    yield from field.error_messages.values()


def _format(message: Any, params: Mapping[str, Any]) -> str:
    """Return the message with its parameters; without them if they do not fit the message."""
    text = _try_format(message, params)
    return str(message) if text is None else text


def _try_format(message: Any, params: Mapping[str, Any]) -> str | None:
    """Return the message with its parameters, or None if they do not fit the message."""
    try:
        return str(message % params) if params else str(message)
    except (KeyError, TypeError, ValueError):
        return None


def _is_default_message(field: Field[Any, Any], code: str) -> bool:
    """Whether the field's message for the code is that of a field class of Django."""
    defaults: dict[str, Any] = {}
    for class_ in reversed(type(field).__mro__):
        if class_.__module__.startswith("django."):
            defaults |= vars(class_).get("default_error_messages", {})
    return field.error_messages.get(code) is defaults.get(code)
