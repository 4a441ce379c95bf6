"""The model fields that the columns of an importer fill."""

from __future__ import annotations

from typing import Any

from django.db.models import Field, ForeignKey, Model, UniqueConstraint
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


def get_target_field(model: type[Model], name: str) -> Field[Any, Any]:
    """Return the field of the related model whose values a foreign key of `model` holds.

    Raises:
        FieldDoesNotExist: The model has no field of this name.
        TypeError: The field is not a foreign key.
    """
    field = get_model_field(model, name)
    if not isinstance(field, ForeignKey):
        raise TypeError(f"{name} is no foreign key.")
    target: Field[Any, Any] = field.target_field
    return target


def get_unique_fields(model: type[Model]) -> list[tuple[str, ...]]:
    """Return the field names of each unique constraint without a condition and expressions."""
    meta = model._meta
    unique: list[tuple[str, ...]] = [
        (field.name,) for field in meta.concrete_fields if field.unique
    ]
    unique += [tuple(names) for names in meta.unique_together]
    unique += [
        tuple(constraint.fields)
        for constraint in meta.constraints
        if isinstance(constraint, UniqueConstraint)
        and constraint.fields
        and constraint.condition is None
    ]
    return list(dict.fromkeys(unique))
