"""The model fields that the columns of an importer fill."""

from __future__ import annotations

from typing import Any

from django.db.models import Field, Model


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
