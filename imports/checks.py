"""`manage.py check`: what does not fit in a registered importer, and what to do about it.

Whatever is refused here would otherwise come out in the middle of somebody's import.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.core.checks import Error
from django.core.exceptions import FieldDoesNotExist
from django.db.models import AutoField, Field, Model, UniqueConstraint, UUIDField
from django.db.models.fields import NOT_PROVIDED

from imports.importer import Column, Importer, list_importers
from imports.pipeline.header_detection import get_header_names

ImporterProblem = tuple[str, str, str]  # What is wrong, what to do, and the error's id.


def check_importers(app_configs: Any, **kwargs: Any) -> list[Error]:
    return [error for importer in list_importers() for error in list_importer_errors(importer)]


def list_importer_errors(importer: type[Importer]) -> list[Error]:
    return [
        Error(problem, hint=hint, obj=f"Importer {importer.name!r}", id=f"imports.{number}")
        for problem, hint, number in find_importer_problems(importer)
    ]


def find_importer_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    yield from table_problems(importer.model)
    wrong_fields = list(field_problems(importer))
    yield from wrong_fields
    if not wrong_fields:  # All else asks the fields.
        yield from unique_problems(importer)
        yield from required_problems(importer)
        yield from default_problems(importer)
        yield from lookup_problems(importer)
        yield from alias_problems(importer)


# --- The table ---------------------------------------------------------------


def table_problems(model: type[Model]) -> Iterator[ImporterProblem]:
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
            "Import into the model that Django keeps the table of.",
            "E001",
        )
    elif not _draws_keys(meta.pk):
        yield (
            f"The primary key of {name} is neither an integer sequence nor a UUID with a default.",
            "Use an AutoField of any size, or UUIDField(primary_key=True, default=uuid.uuid4).",
            "E002",
        )


def _draws_keys(pk: Field) -> bool:
    """Whether a row's key can be known before the row is written."""
    is_drawn = isinstance(pk, UUIDField) and pk.has_default() and callable(pk.default)
    return isinstance(pk, AutoField) or is_drawn


# --- The columns -------------------------------------------------------------


def field_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    seen = set()
    for column in importer.columns:
        if wrong := _cannot_fill(column, importer.model):
            hint = f"Name a field that {importer.model.__name__} stores in a column of its own."
            yield f"Column {column.field!r} {wrong}.", hint, "E003"
        if column.field in seen:
            yield f"Column {column.field!r} is declared twice.", "Remove one of the two.", "E003"
        seen.add(column.field)


def _cannot_fill(column: Column, model: type[Model]) -> str:
    try:
        field = model._meta.get_field(column.field)
    except FieldDoesNotExist:
        return f"names no field of {model.__name__}"
    if not getattr(field, "concrete", False) or field.many_to_many:
        return "names a field that is no column of the table"
    if field.primary_key:
        return "names the primary key, which each row is given before it is written"
    if field.generated:
        return "names a field that the database computes"
    return "" if field.name == column.field else f"must be called {field.name!r}"


def unique_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    alone = {names for names in get_unique_fields(importer.model) if len(names) == 1}
    for column in importer.columns:
        if column.unique and (column.field,) not in alone:
            yield (
                f"Column {column.field!r} is declared unique, but the table does not keep it so.",
                f'Add UniqueConstraint(fields=["{column.field}"], name=…), without a condition, '
                f"to {importer.model.__name__}.Meta.constraints, or drop unique=True.",
                "E004",
            )


def get_unique_fields(model: type[Model]) -> set[tuple[str, ...]]:
    """The field names of each unconditional unique constraint."""
    meta = model._meta
    found = {(field.name,) for field in meta.concrete_fields if field.unique}
    found |= {tuple(names) for names in meta.unique_together}
    return found | {
        tuple(constraint.fields)
        for constraint in meta.constraints
        if isinstance(constraint, UniqueConstraint)
        and constraint.fields
        and constraint.condition is None
    }


def required_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    columns = {column.field: column for column in importer.columns}
    for field in importer.model._meta.concrete_fields:
        if not _needs_value(field):
            continue
        if field.name not in columns:
            yield (
                f"{importer.model.__name__}.{field.name} needs a value, and no column gives it.",
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


def _needs_value(field: Field) -> bool:
    """NOT NULL, and neither a default nor the database nor Django has something to put there."""
    if field.primary_key or field.null or field.has_default() or field.generated:
        return False
    if field.db_default is not NOT_PROVIDED or _is_stamp(field):
        return False
    return not (field.blank and field.empty_strings_allowed)


def _is_stamp(field: Field) -> bool:
    return getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)


def default_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    columns = {column.field for column in importer.columns}
    meta = importer.model._meta
    for names in sorted(get_unique_fields(importer.model)):
        fields = [meta.get_field(name) for name in names]
        if columns.isdisjoint(names) and all(map(_is_same_for_all, fields)):
            yield (
                f"{importer.model.__name__} must be unique by {', '.join(names)}, which no column "
                "gives, and a default is made once for all rows of a batch.",
                "Make it a column, let it be null, or fill it with db_default.",
                "E007",
            )


def _is_same_for_all(field: Field) -> bool:
    """Whether all rows of a batch get one value: a default, or the time of writing."""
    if field.primary_key or field.db_default is not NOT_PROVIDED or field.generated:
        return False
    return field.get_default() is not None or _is_stamp(field)


# --- Lookups and names -------------------------------------------------------


def lookup_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    for column in importer.columns:
        field = importer.model._meta.get_field(column.field)
        if column.lookup and (wrong := _cannot_look_up(field, column.lookup)):
            hint = "lookup names a unique field of the model that a foreign key refers to."
            yield (
                f"Column {column.field!r} cannot look up {column.lookup!r}: {wrong}.",
                hint,
                "E008",
            )


def _cannot_look_up(field: Field, lookup: str) -> str:
    if not (field.many_to_one or field.one_to_one):
        return "it is no foreign key"
    if not field.target_field.primary_key:
        return "the foreign key does not refer to a primary key"
    related = field.related_model
    if (lookup,) in get_unique_fields(related):
        return ""
    return f"{related.__name__} has no unique field of this name"


def alias_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    claims: dict[str, list[str]] = defaultdict(list)
    for column in importer.columns:
        for name in set[str].union(*get_header_names(column, importer)):
            claims[name].append(column.field)
    for name, fields in sorted(claims.items()):
        if len(fields) > 1:
            meanings = " or ".join(map(repr, fields))
            yield (
                f"A header {name!r} could mean {meanings}, so it means neither.",
                "Leave it to one of them; case, accents, spaces and punctuation do not count.",
                "E009",
            )
