"""Compute the values of model fields that no column fills: `Importer.values`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import Error
from django.db.models import Field, ForeignKey, Model

from imports.error_log import log_error
from imports.importer import Importer
from imports.model_fields import needs_value
from imports.models import ImportJob
from imports.pipeline.rule_bugs import make_wrong_type
from imports.pipeline.target_table import get_column_type
from imports.pipeline.transactions import is_transient
from imports.postgres import get_connection, open_cursor

log = logging.getLogger(__name__)


class InvalidFieldValues(Exception):
    """`Importer.values` has raised an exception, or has returned values that cannot be stored."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def compute_field_values(job: ImportJob, importer: type[Importer]) -> dict[str, str | None]:
    """Return the values by field, as text that PostgreSQL casts to the type of the field.

    Raises:
        InvalidFieldValues: The importer has no valid values.
        Error: The database is not available.
    """
    subject = f"Importer {importer.name}: values for import {job.pk}"
    try:
        result: object = importer.values(job.make_context())
    except Exception as error:  # The code of an app. The text of its error may quote a record.
        if isinstance(error, Error) and is_transient(error):
            raise
        log_error(log, subject, error)
        raise InvalidFieldValues("values_failed", error=type(error).__name__) from None
    if not isinstance(result, Mapping):
        wrong = make_wrong_type("wrong_values_result", importer.values, result)
        log.error("%s: wrong result (%s)", subject, wrong)
        raise InvalidFieldValues(wrong.code, **wrong.params)
    values = {str(name): value for name, value in result.items()}
    reasons = dict(_find_problems(importer, values))
    cleaned: dict[Field[Any, Any], Any] = {}
    for name in values.keys() - reasons.keys():
        field = _get_fields(importer.model)[name]
        try:
            cleaned[field] = _clean_value(field, values[name])
        except (ValidationError, ValueError, TypeError) as error:
            reasons[name] = f"the field does not accept the value ({type(error).__name__})"
    if reasons:
        for name, reason in sorted(reasons.items()):
            log.error("%s: %s: %s", subject, name, reason)
        raise InvalidFieldValues("invalid_values", fields=sorted(reasons))
    return _cast_to_text(cleaned)


def _find_problems(
    importer: type[Importer], values: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield names of fields that the values must not have or must have, and why."""
    fields, columns = _get_fields(importer.model), {column.field for column in importer.columns}
    for name in values:
        field = fields.get(name)
        if field is None:
            yield name, f"{importer.model.__name__} has no such field"
        elif field.name in columns:
            yield name, "a column of the importer fills this field"
        elif field.primary_key or field.generated:
            yield name, "the database computes this field"
    filled = {fields[name].name for name in values if name in fields} | columns
    for field in importer.model._meta.concrete_fields:
        if needs_value(field) and field.name not in filled:
            yield field.name, "the field needs a value, and no column fills it"


def _get_fields(model: type[Model]) -> dict[str, Field[Any, Any]]:
    """Return the fields with a column in the table, by name and by the name of the attribute."""
    fields = model._meta.concrete_fields
    return {field.attname: field for field in fields} | {field.name: field for field in fields}


def _clean_value(field: Field[Any, Any], value: Any) -> Any:
    """Return the value as the database takes it.

    Raises:
        ValidationError, ValueError, TypeError: The field does not accept the value.
    """
    if isinstance(value, Model):
        if not isinstance(field, ForeignKey) or not isinstance(value, field.related_model):
            raise TypeError("a record of another model")
        value = getattr(value, field.target_field.attname)
    if value is None and not field.null:
        raise TypeError("the field does not accept None")
    if value not in (None, ""):  # A field without blank=True may store an empty text.
        value = field.clean(value, None)
    return field.get_db_prep_save(value, get_connection())


def _cast_to_text(values: Mapping[Field[Any, Any], Any]) -> dict[str, str | None]:
    if not values:
        return {}
    casts = ", ".join(f"(%s::{get_column_type(field)})::text" for field in values)
    with open_cursor() as cursor:
        cursor.execute(f"SELECT {casts}", list(values.values()))
        texts = cursor.fetchone()
    return {field.name: text for field, text in zip(values, texts, strict=True)}
