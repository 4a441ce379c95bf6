"""System checks for importers: `manage.py check` says what is wrong and what to do about it.

Without the checks, such a mistake would appear in the middle of an import.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django import forms
from django.apps import AppConfig
from django.core.checks import Error
from django.core.exceptions import FieldDoesNotExist
from django.db.models import AutoField, Field, ForeignKey, Model, UniqueConstraint, UUIDField
from django.db.models.fields import NOT_PROVIDED

from imports.importer import Column, Importer, has_hook, list_importers
from imports.model_fields import get_model_field, is_automatic_time, needs_value
from imports.pipeline.header_detection import get_header_names

ImporterProblem = tuple[str, str, str]  # The message, the hint and the error id, "E001" etc.


def check_importers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[Error]:
    """Check all registered importers, whatever `app_configs` says."""
    return [error for importer in list_importers() for error in list_importer_errors(importer)]


def list_importer_errors(importer: type[Importer]) -> list[Error]:
    return [
        Error(message, hint=hint, obj=f"Importer {importer.name!r}", id=f"imports.{error_id}")
        for message, hint, error_id in find_importer_problems(importer)
    ]


def find_importer_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    yield from check_table(importer.model)
    yield from check_upload_form(importer)
    field_problems = list(check_fields(importer))
    yield from field_problems
    if not field_problems:  # The other checks read the fields.
        yield from check_unique_columns(importer)
        yield from check_required_fields(importer)
        yield from check_defaults(importer)
        yield from check_lookups(importer)
        yield from check_aliases(importer)


# --- The table ---------------------------------------------------------------


def check_table(model: type[Model]) -> Iterator[ImporterProblem]:
    meta, name = model._meta, model.__name__
    if meta.parents and not meta.proxy:
        yield (
            f"{name} is stored in more than one table (multi-table inheritance).",
            "Import into a model with a table of its own: make the parent abstract.",
            "E001",
        )
    elif meta.proxy or not meta.managed or meta.abstract or meta.swapped:
        yield (
            f"{name} is a proxy, unmanaged, abstract or swapped model.",
            "Import into the model whose table Django manages.",
            "E001",
        )
    elif not _has_reservable_keys(meta.pk):
        yield (
            f"The primary key of {name} is neither an integer sequence nor a UUID with a default.",
            "Use an AutoField of any size, or UUIDField(primary_key=True, default=uuid.uuid4).",
            "E002",
        )


def _has_reservable_keys(pk: Field[Any, Any]) -> bool:
    """Whether the primary key of a record can be reserved before the record is written."""
    is_generated_uuid = isinstance(pk, UUIDField) and pk.has_default() and callable(pk.default)
    return isinstance(pk, AutoField) or is_generated_uuid


# --- The upload form ---------------------------------------------------------


def check_upload_form(importer: type[Importer]) -> Iterator[ImporterProblem]:
    form = importer.upload_form
    if form is None:
        return
    fields = getattr(form, "base_fields", None)
    if fields is None or not isinstance(form, type):
        yield "upload_form is no form class.", "Name a subclass of django.forms.Form.", "E012"
        return
    for name, field in fields.items():
        if isinstance(field, forms.FileField):
            yield (
                f"{form.__name__}.{name} takes a file, which is not stored with an import.",
                "Remove the field from the upload form.",
                "E012",
            )


# --- The columns -------------------------------------------------------------


def check_fields(importer: type[Importer]) -> Iterator[ImporterProblem]:
    names = set()
    for column in importer.columns:
        if reason := _explain_unfillable(column, importer.model):
            hint = f"Name a field that {importer.model.__name__} stores in a column of its own."
            yield f"Column {column.field!r} {reason}.", hint, "E003"
        if column.field in names:
            yield f"Column {column.field!r} is declared twice.", "Remove one of the two.", "E003"
        names.add(column.field)


def _explain_unfillable(column: Column, model: type[Model]) -> str:
    """Return why the column cannot fill its field; "" if it can."""
    try:
        field = model._meta.get_field(column.field)
    except FieldDoesNotExist:
        return f"names no field of {model.__name__}"
    if not isinstance(field, Field) or not field.concrete or field.many_to_many:
        return "names a field that has no column in the table"
    if field.primary_key:
        return "names the primary key, which is reserved before a row is written"
    if field.generated:
        return "names a field that the database computes"
    return "" if field.name == column.field else f"must be called {field.name!r}"


def check_unique_columns(importer: type[Importer]) -> Iterator[ImporterProblem]:
    unique_fields = {names for names in get_unique_fields(importer.model) if len(names) == 1}
    for column in importer.columns:
        if column.unique and (column.field,) not in unique_fields:
            yield (
                f"Column {column.field!r} is declared unique, but its table has no constraint.",
                f'Add UniqueConstraint(fields=["{column.field}"], name=…), without a condition, '
                f"to {importer.model.__name__}.Meta.constraints, or drop unique=True.",
                "E004",
            )


def get_unique_fields(model: type[Model]) -> set[tuple[str, ...]]:
    """Return the field names of each unique constraint without a condition."""
    meta = model._meta
    unique: set[tuple[str, ...]]
    unique = {(field.name,) for field in meta.concrete_fields if field.unique}
    unique |= {tuple(names) for names in meta.unique_together}
    return unique | {
        tuple(constraint.fields)
        for constraint in meta.constraints
        if isinstance(constraint, UniqueConstraint)
        and constraint.fields
        and constraint.condition is None
    }


def check_required_fields(importer: type[Importer]) -> Iterator[ImporterProblem]:
    columns = {column.field: column for column in importer.columns}
    for field in importer.model._meta.concrete_fields:
        if not needs_value(field):
            continue
        if field.name not in columns and has_hook(importer, "values"):
            continue  # The check of a file fails if `values` does not fill the field.
        if field.name not in columns:
            yield (
                f"{importer.model.__name__}.{field.name} needs a value, and no column fills it.",
                f'Add Column("{field.name}", required=True), or give the field a default.',
                "E005",
            )
        elif not columns[field.name].required:
            yield (
                f"Column {field.name!r} may be empty, but {importer.model.__name__}.{field.name} "
                "must not be.",
                "Say required=True, or give the field null=True, blank=True or a default.",
                "E006",
            )


def check_defaults(importer: type[Importer]) -> Iterator[ImporterProblem]:
    columns = {column.field for column in importer.columns}
    for names in sorted(get_unique_fields(importer.model)):
        fields = [get_model_field(importer.model, name) for name in names]
        if columns.isdisjoint(names) and all(map(_is_same_in_batch, fields)):
            yield (
                f"{importer.model.__name__} must be unique by {', '.join(names)}, which no column "
                "fills, and all rows of a batch get the same default.",
                "Add a column for it, make it nullable, or give it a db_default.",
                "E007",
            )


def _is_same_in_batch(field: Field[Any, Any]) -> bool:
    """Whether all rows of a batch get the same value: a default, or the time of writing."""
    if field.primary_key or field.db_default is not NOT_PROVIDED or field.generated:
        return False
    return field.get_default() is not None or is_automatic_time(field)


# --- Lookups and names -------------------------------------------------------


def check_lookups(importer: type[Importer]) -> Iterator[ImporterProblem]:
    for column in importer.columns:
        field = get_model_field(importer.model, column.field)
        if column.lookup and (reason := _explain_bad_lookup(field, column.lookup)):
            hint = "lookup must name a unique field of the model that a foreign key refers to."
            yield (
                f"Column {column.field!r} cannot look up {column.lookup!r}: {reason}.",
                hint,
                "E008",
            )


def _explain_bad_lookup(field: Field[Any, Any], lookup: str) -> str:
    """Return why the lookup does not work; "" if it does."""
    if not isinstance(field, ForeignKey):  # A OneToOneField is one too.
        return "it is not a foreign key"
    if not field.target_field.primary_key:
        return "the foreign key does not refer to a primary key"
    related: type[Model] = field.related_model
    if (lookup,) in get_unique_fields(related):
        return ""
    return f"{related.__name__} has no unique field of this name"


def check_aliases(importer: type[Importer]) -> Iterator[ImporterProblem]:
    fields_by_name: dict[str, list[str]] = defaultdict(list)
    for column in importer.columns:
        for name in set[str].union(*get_header_names(column, importer)):
            fields_by_name[name].append(column.field)
    for name, fields in sorted(fields_by_name.items()):
        if len(fields) > 1:
            meanings = " or ".join(map(repr, fields))
            yield (
                f"A header {name!r} could mean {meanings}, so the import ignores it.",
                "Remove it from all but one. Case, accents, spaces and punctuation are ignored.",
                "E009",
            )
