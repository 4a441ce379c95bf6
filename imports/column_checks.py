"""System checks of the columns of an importer: their fields, rules, lookups, choices and names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    DurationField,
    Field,
    FileField,
    FloatField,
    ForeignKey,
    GenericIPAddressField,
    IntegerField,
    Model,
    TextField,
    TimeField,
    UUIDField,
)

from imports.choices import find_ambiguous_labels
from imports.importer import Column, Importer, Lookup, get_value_fields
from imports.model_fields import get_model_field, get_unique_fields
from imports.pipeline.header_detection import get_header_names
from imports.postgres import get_connection

ImporterProblem = tuple[str, str, str]  # The message, the hint, and the id: "E001", "W001" etc.

# The fields whose values are read from cells, and the fields that are derived from them.
READABLE_FIELDS = (
    BooleanField,
    CharField,
    DateField,  # DateTimeField is derived from it.
    DecimalField,
    DurationField,
    FloatField,
    GenericIPAddressField,
    IntegerField,
    TextField,
    TimeField,
    UUIDField,
)
# An importer writes with SQL, so these methods of a field do not run.
SAVING_METHODS = ("get_prep_value", "get_db_prep_value", "get_db_prep_save")


def check_fields(importer: type[Importer]) -> Iterator[ImporterProblem]:
    names = set()
    for column in importer.columns:
        if reason := _explain_unfillable(column, importer.model):
            yield f"Column {column.field!r} {reason}.", _advise_on_field(column, importer), "E003"
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


def _advise_on_field(column: Column, importer: type[Importer]) -> str:
    """Return what to do about a column that cannot fill its field."""
    many_to_many = {field.name for field in importer.model._meta.many_to_many}
    if column.field in many_to_many:
        return (
            "Remove the column. A many-to-many field has a table of its own: fill it in "
            f"after_batch, or import into {importer.model.__name__}.{column.field}.through."
        )
    return f"Name a field that {importer.model.__name__} stores in a column of its own."


def check_field_types(importer: type[Importer]) -> Iterator[ImporterProblem]:
    for column in importer.columns:
        field = get_model_field(importer.model, column.field)
        if column.clean is not None or isinstance(field, ForeignKey):
            continue
        place = f"Column {column.field!r} fills a {type(field).__name__}"
        write_clean = (
            "Give the column a clean function that returns the text that PostgreSQL casts to "
            f"{field.db_type(get_connection())}, or remove the column."
        )
        if isinstance(field, FileField):
            yield (
                f"{place}, and a cell holds no file.",
                "Remove the column, and store the files in after_batch. If the cells name files "
                "that are in the storage, give the column a clean function that checks their "
                "names.",
                "E010",
            )
        elif not isinstance(field, READABLE_FIELDS):
            yield f"{place}, which is not read from a cell.", write_clean, "E010"
        elif method := _find_own_saving_method(field):
            yield (
                f"{place} with its own {method}(), which does not run: rows are written with SQL.",
                write_clean,
                "E010",
            )


def _find_own_saving_method(field: Field[Any, Any]) -> str | None:
    """Return a method that a field class of a project or library defines to save a value."""
    for name in SAVING_METHODS:
        for class_ in type(field).__mro__:
            if name in vars(class_):
                if not class_.__module__.startswith("django."):
                    return name
                break
    return None


def check_rules(importer: type[Importer]) -> Iterator[ImporterProblem]:
    for column in importer.columns:
        if column.clean is not None and column.prepare is not None:
            yield (
                f"Column {column.field!r} has clean and prepare, but clean replaces the rules that "
                "prepare builds on.",
                "Remove one of the two. A clean function can call the other function itself.",
                "E011",
            )


# --- Lookups, choices and names -------------------------------------------------


def check_lookups(importer: type[Importer]) -> Iterator[ImporterProblem]:
    for column in importer.columns:
        field = get_model_field(importer.model, column.field)
        if column.lookup is None:
            continue
        if not isinstance(field, ForeignKey):  # A OneToOneField is one too.
            yield (
                f"Column {column.field!r} has a lookup, but it is not a foreign key.",
                "Remove the lookup.",
                "E008",
            )
            continue
        related: type[Model] = field.related_model
        if isinstance(column.lookup, Lookup):
            yield from _check_lookup_fields(column, column.lookup, related)
        elif (column.lookup,) not in get_unique_fields(related):
            yield (
                f"Column {column.field!r} cannot look up {column.lookup!r}: {related.__name__} has "
                "no unique field of this name.",
                "Name a unique field of the related model. A Lookup may have other fields: a cell "
                "that names several records is an error of its row.",
                "E008",
            )


def _check_lookup_fields(
    column: Column, lookup: Lookup, related: type[Model]
) -> Iterator[ImporterProblem]:
    fields: object = lookup.fields
    if not isinstance(fields, tuple | list) or not fields:
        yield (
            f"The Lookup of column {column.field!r} has no tuple of fields.",
            'Write fields=("code",) with a comma, even for one field.',
            "E008",
        )
        return
    names = {field.name for field in related._meta.concrete_fields}
    for name in lookup.fields:
        if name not in names:
            yield (
                f"Column {column.field!r} cannot look up {name!r}: {related.__name__} has no field "
                "of this name in its table.",
                f"Name fields of {related.__name__}: {', '.join(sorted(names))}.",
                "E008",
            )


def check_choices(importer: type[Importer]) -> Iterator[ImporterProblem]:
    for column in importer.columns:
        if column.clean is not None:
            continue
        for field in get_value_fields(importer, column):
            if field.choices and (labels := find_ambiguous_labels(field)):
                quoted = ", ".join(map(repr, labels))
                yield (
                    f"Column {column.field!r}: the text {quoted} stands for more than one choice "
                    f"of {field.model.__name__}.{field.name}, so rows with it fail.",
                    "Give each choice a label of its own, which is no other choice's value.",
                    "W003",
                )


def check_header_names(importer: type[Importer]) -> Iterator[ImporterProblem]:
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
