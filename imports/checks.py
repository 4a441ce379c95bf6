"""System checks for importers: `manage.py check` says what is wrong and what to do about it.

Without the checks, such a mistake would appear in the middle of an import. The checks of single
columns are in `column_checks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from django import forms
from django.apps import AppConfig
from django.core import checks
from django.db.models import AutoField, Field, FileField, Model, UniqueConstraint, UUIDField
from django.db.models.expressions import Expression, F
from django.db.models.fields import NOT_PROVIDED

from imports.column_checks import (
    ImporterProblem,
    check_choices,
    check_field_types,
    check_fields,
    check_header_names,
    check_lookups,
    check_rules,
)
from imports.importer import Importer, has_hook, list_importers
from imports.model_fields import (
    get_model_field,
    get_unique_fields,
    is_automatic_time,
    needs_value,
)
from imports.statuses import OnDuplicate


def check_importers(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Check all registered importers, whatever `app_configs` says."""
    return [
        message for importer in list_importers() for message in list_importer_messages(importer)
    ]


def list_importer_messages(importer: type[Importer]) -> list[checks.CheckMessage]:
    """Return the errors and the warnings about an importer."""
    return [
        (checks.Error if check_id.startswith("E") else checks.Warning)(
            message, hint=hint, obj=f"Importer {importer.name!r}", id=f"imports.{check_id}"
        )
        for message, hint, check_id in find_importer_problems(importer)
    ]


def find_importer_problems(importer: type[Importer]) -> Iterator[ImporterProblem]:
    yield from check_table(importer.model)
    yield from check_upload_form(importer)
    yield from check_permission_hooks(importer)
    field_problems = list(check_fields(importer))
    yield from field_problems
    if not field_problems:  # The other checks read the fields.
        yield from check_field_types(importer)
        yield from check_rules(importer)
        yield from check_unique_columns(importer)
        yield from check_keys(importer)
        yield from check_required_fields(importer)
        yield from check_defaults(importer)
        lookup_problems = list(check_lookups(importer))
        yield from lookup_problems
        if not lookup_problems:  # The other checks read the fields of the lookups.
            yield from check_choices(importer)
        yield from check_header_names(importer)


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


# --- Permissions -------------------------------------------------------------

# The methods that decide about permissions, with the arguments that they get besides the user.
PERMISSION_HOOKS: dict[str, tuple[Sequence[object], Mapping[str, object]]] = {
    "may_import": ((OnDuplicate.SKIP,), {}),
    "may_undo": ((), {"removes": True, "restores": True}),
}


def check_permission_hooks(importer: type[Importer]) -> Iterator[ImporterProblem]:
    for name, (positional, named) in PERMISSION_HOOKS.items():
        arguments = ", ".join(["user", *(["on_duplicate"] if positional else ["*", *named])])
        try:
            inspect.signature(getattr(importer, name)).bind(None, *positional, **named)
        except TypeError:
            yield (
                f"{name} does not take the arguments that it is called with.",
                f"Declare it as a class method: def {name}(cls, {arguments}).",
                "E013",
            )


# --- Keys, required fields and defaults ----------------------------------------


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


def check_keys(importer: type[Importer]) -> Iterator[ImporterProblem]:
    """Warn about unique constraints that find no duplicates, and about a model without keys."""
    name, columns = importer.model.__name__, {column.field for column in importer.columns}
    for constraint in importer.model._meta.constraints:
        if not isinstance(constraint, UniqueConstraint):
            continue
        reason = _explain_invisible(constraint)
        if reason and not columns.isdisjoint(_list_constraint_fields(constraint)):
            yield (
                f"The importer does not see {constraint.name}, because {reason}. The check and the "
                "preview do not know a row that violates it. While it is written, the row is "
                "skipped under the policy skip, and it fails under update and fail; it never "
                "updates a record.",
                "For duplicates that are recognised, add UniqueConstraint(fields=[…], name=…) "
                f"without it to {name}.Meta.constraints. If the behaviour is intended, add "
                '"imports.W001" to SILENCED_SYSTEM_CHECKS.',
                "W001",
            )
    # The method `values` may fill the other fields of a constraint.
    is_key = (
        (lambda names: not columns.isdisjoint(names))
        if has_hook(importer, "values")
        else columns.issuperset
    )
    if not any(map(is_key, get_unique_fields(importer.model))):
        yield (
            f"{name} has no unique constraint whose fields are all columns, so no row matches a "
            "record: every upload of a file creates all records again.",
            f"Add UniqueConstraint(fields=[…], name=…) to {name}.Meta.constraints. If this is "
            'intended, add "imports.W002" to SILENCED_SYSTEM_CHECKS.',
            "W002",
        )


def _explain_invisible(constraint: UniqueConstraint) -> str:
    """Return why a constraint finds no duplicates, or not all; "" if it finds all of them."""
    if constraint.expressions:
        return "it has expressions"
    if constraint.condition is not None:
        return "it has a condition"
    if constraint.nulls_distinct is False:
        return "it has nulls_distinct=False, and an empty cell matches no record"
    return ""


def _list_constraint_fields(constraint: UniqueConstraint) -> set[str]:
    """Return the names of the fields that a unique constraint compares."""
    if not constraint.expressions:
        return set(constraint.fields)
    parts = chain.from_iterable(map(_flatten, constraint.expressions))
    # The stubs of Django omit the attribute.
    return {part.name for part in parts if isinstance(part, F)}  # type: ignore[attr-defined]


def _flatten(expression: object) -> Iterable[object]:
    """Return the expression and all expressions in it. F("name") has none in it."""
    return expression.flatten() if isinstance(expression, Expression) else [expression]


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
                "Give the field blank=True or a default: a cell holds no file."
                if isinstance(field, FileField)
                else f'Add Column("{field.name}", required=True), return the field from `values`, '
                "or give it a default.",
                "E005",
            )
        elif not columns[field.name].required:
            yield (
                f"Column {field.name!r} may be empty, but {importer.model.__name__}.{field.name} "
                "must not be.",
                "Set required=True, or give the field null=True, blank=True or a default.",
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
