"""The model fields that the columns of an importer fill."""

from __future__ import annotations

from typing import Any

from django.db.models import Field, Model
from django.db.models.fields import NOT_PROVIDED


def get_model_field(model: type[Model], name: str) -> Field[Any, Any]:
    """Return a field of a model.

    Raises:
        FieldDoesNotExist: The model has no field of this name.
        TypeError: The name is that of a relation from another model.
    """
    field = model._meta.get_field(name)
    if not isinstance(field, Field):
        raise TypeError(f"{name} is no field that a file can fill.")
    return field


def get_related_model(model: type[Model], name: str) -> type[Model]:
    """Return the model to which a foreign key of `model` points.

    Raises:
        FieldDoesNotExist: The model has no field of this name.
        TypeError: The field is not a foreign key.
    """
    related = get_model_field(model, name).related_model
    if related is None or isinstance(related, str):
        raise TypeError(f"{name} is no foreign key.")
    return related


def needs_value(field: Field[Any, Any]) -> bool:
    """Return whether a record needs a value for the field, which no default gives."""
    if field.primary_key or field.null or field.has_default() or field.generated:
        return False
    if field.db_default is not NOT_PROVIDED or is_automatic_time(field):
        return False
    return not (field.blank and field.empty_strings_allowed)


def is_automatic_time(field: Field[Any, Any]) -> bool:
    """Return whether the field has the time of writing: auto_now or auto_now_add."""
    return getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
