"""Importers: an app declares here how files fill one of its models.

    @register
    class CustomerImporter(Importer):
        name = "customers"
        model = Customer
        columns = (Column("phone", aliases=("telephone",), required=True, clean=clean_phone), …)

The app `imports` imports no model of other apps. Other apps register their importers, in modules
named `importers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django import forms
from django.contrib.auth import get_permission_codename
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.functional import Promise
from django.utils.text import get_text_list

from imports.cell_values import Cell
from imports.model_fields import get_model_field, get_related_model
from imports.statuses import OnDuplicate

__all__ = [
    "Cell",
    "Column",
    "FinishedImportContext",
    "ImportContext",
    "Importer",
    "InvalidValue",
    "Lookup",
    "get_importer",
    "get_importer_or_placeholder",
    "get_lookup",
    "has_hook",
    "is_registered",
    "list_importers",
    "register",
    "with_column_rule",
]

CellRule = Callable[[Cell], str | None]
# Takes cells, none of them None. Returns for each cell its cleaned text, or None if the rule for
# single cells has to clean it.
ColumnRule = Callable[[Sequence[Cell]], Sequence[str | None]]

_AnyCellRule = TypeVar("_AnyCellRule", bound=CellRule)

# The key is the function itself, so a function that wraps another one does not have its rule.
_column_rules: WeakKeyDictionary[CellRule, ColumnRule] = WeakKeyDictionary()


def with_column_rule(clean_column: ColumnRule) -> Callable[[_AnyCellRule], _AnyCellRule]:
    """Return a decorator that gives a `clean` function a column rule: a rule for whole columns.

        def clean_codes(cells):
            return [c if type(c) is str and SIMPLE_CODE.fullmatch(c) else None for c in cells]

        @with_column_rule(clean_codes)
        def clean_code(cell): ...

    Nearly all cells of a file are ordinary, and one call for a thousand cells costs a fraction of
    a thousand calls. `clean_column` takes a sequence of cells, none of them None. It returns a list
    of the same length. An item is the cleaned text of the cell, or None if the decorated function
    has to clean the cell. Each text must be the one that the decorated function returns for the
    same cell. `clean_column` may get equal cells only once.
    """

    def register_rule(clean: _AnyCellRule) -> _AnyCellRule:
        _column_rules[clean] = clean_column
        return clean

    return register_rule


def get_column_rule(clean: CellRule) -> ColumnRule | None:
    """Return the column rule of a `clean` function; None if it has none."""
    return _column_rules.get(clean)


class InvalidValue(ValueError):
    """The value of a cell, or the combination of values of a row, is not valid.

    `code` and `params` are stored with the row. `Importer.messages` and
    `imports.error_messages` have the sentences for the codes. `field` is for
    `Importer.check_row`: the field of the column that the error is about, or None if it is about
    the row as a whole. An error of `Column.clean` is always about the column of its cell.
    """

    # The untranslated message of a Django validator; "" if `code` has the sentence.
    message: str = ""
    # The other errors of the same cell.
    further: tuple[InvalidValue, ...] = ()

    def __init__(self, code: str, *, field: str | None = None, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.params = params


@dataclass(frozen=True)
class ImportContext:
    """The import for which an importer works.

    `user` is the owner of the import, or None if the user was deleted. `options` are the cleaned
    values of the importer's upload form as they are stored, in types of JSON: a date or a Decimal
    is text, a record is its key. They are empty if the importer has no upload form.
    """

    import_id: UUID
    user: AbstractBaseUser | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class FinishedImportContext(ImportContext):
    """The import that has ended. `snapshot` is its snapshot: status, counts and times."""

    snapshot: Mapping[str, Any]


@dataclass(frozen=True)
class Lookup:
    """How the cells of a column name the record to which a foreign key points.

    A cell names the record if it equals the value of any field in `fields`. With `ignore_case`, the
    text of a cell may differ in case, unless another record has exactly this text. `queryset`
    returns the records that an import may find; None stands for all records. A cell that names no
    record or several records is an error of its row.
    """

    fields: tuple[str, ...]
    ignore_case: bool = False
    queryset: Callable[[ImportContext], models.QuerySet[Any]] | None = None


@dataclass(frozen=True)
class Column:
    """One column of the file and the model field that it fills.

    `clean` takes a cell. It returns the text that PostgreSQL casts to the field's type, or None for
    an empty cell, and raises InvalidValue. Without it, the rules of the model field are used.
    It may have a column rule, which cleans many cells in one call: see `with_column_rule`.
    `prepare` is for a rule that builds on these rules: it takes a cell that is not empty and
    returns the cell to which they apply, or raises InvalidValue.
    `lookup` is for a foreign key: it names the unique field of the related model whose value the
    cells hold, or is a `Lookup`. Without it, the cells hold primary keys.

    A column headed with one of `fallback_aliases` fills the field only in rows where the column
    headed with its name or one of `aliases` is empty, or where the file has no such column.

    `placeholders` are the texts that mean "no value" in an optional column, such as "n/a". None
    takes those of the setting IMPORTS_PLACEHOLDERS for every field that is not free text (numbers,
    dates, choices, e-mail and web addresses, lookups), and none for free text: "Null" is a surname.

    The values of a `sensitive` column are shown only to the owner of the import and to users with
    the permission `imports.view_sensitive`; everyone else sees a mask.
    """

    field: str
    aliases: tuple[str, ...] = ()
    fallback_aliases: tuple[str, ...] = ()
    placeholders: tuple[str, ...] | None = None
    required: bool = False
    clean: CellRule | None = None
    unique: bool = False
    lookup: str | Lookup | None = None
    example: str = ""
    note: str | Promise = ""  # A sentence about what to fill in; may be translated lazily.
    prepare: Callable[[Any], Any] | None = None
    sensitive: bool = False


class Importer:
    """A model, and the columns of a file that fill it.

    Rows are written in batches with SQL: `save()` and signals do not run, but `after_batch` does.
    """

    name: ClassVar[str]
    model: ClassVar[type[models.Model]]
    columns: ClassVar[Sequence[Column]]
    # Sentences for the codes that the `clean` functions of this importer raise.
    messages: ClassVar[Mapping[str, str | Promise]] = {}
    # The URL name of a page that lists the records. It takes ?import= with the id of an import.
    page: ClassVar[str] = ""

    # The form for the options of an upload. It has no file fields.
    upload_form: ClassVar[type[forms.Form] | None] = None

    @classmethod
    def may_import(cls, user: AbstractBaseUser, on_duplicate: str) -> bool:
        """Return whether the user may import with this duplicate policy.

        Every importing user also needs the permission `imports.add_importjob`. Without an override,
        the user needs the permission to add records of `model` and, for the policy "update", the
        one to change them, as in the admin. It is called for each policy when a page or a response
        lists what the user may do, so it should be cheap.
        """
        return not list_missing_permissions(cls, user, on_duplicate)

    @classmethod
    def may_undo(cls, user: AbstractBaseUser, *, removes: bool, restores: bool) -> bool:
        """Return whether the user may undo an import.

        `removes`: the import has created records, which the undo removes. `restores`: it has
        updated records, which get their previous values back. Without an override, the user needs
        the permission to delete records of `model` for the first, and to change them for the
        second.
        """
        return not list_missing_undo_permissions(cls, user, removes=removes, restores=restores)

    @classmethod
    def make_upload_form(cls, user: AbstractBaseUser | None, **arguments: Any) -> forms.Form | None:
        """Return a form for one upload of `user`; None if the importer has no upload form.

        `arguments` are those of a form: `data`, `initial`, `prefix`. Override it to give the form
        more, such as the user whose records it offers. `user` is None if the user was deleted.
        """
        return cls.upload_form(**arguments) if cls.upload_form else None

    @classmethod
    def values(cls, context: ImportContext) -> Mapping[str, Any]:
        """Return the values of model fields that no column fills, such as the uploading user.

        It is called when the check of a file begins, and again if the file is checked again. The
        values are stored with the import, so that every new record gets the same ones, even if a
        worker crashes. A foreign key takes a record or its key. None is stored as NULL. Records
        that exist already keep their values. Unique constraints over these fields and columns
        together are keys, as those over columns alone are.
        """
        return {}

    @classmethod
    def check_row(cls, values: Mapping[str, Any]) -> Iterable[InvalidValue] | None:
        """Check the values of one row together. It may be a generator, or a static method.

        `values` has the value of every field of `columns`: what the model field makes of the
        cleaned text (`Field.to_python`: a Decimal, a date, …), for a lookup what the looked-up
        field makes of it, or the text itself if the field does not accept the text. None means an
        empty cell or a column that the file does not have; the record gets the default of the
        field then, or keeps its value under the policy `update`. The values of the existing record
        are not known.

        Return or yield the errors of the row, or raise one. If the cell of a field has an error of
        its own, reading its value ends the call, and the errors that were yielded before are kept.
        """
        return None

    @classmethod
    def after_batch(cls, ids: Sequence[Any], context: ImportContext) -> None:
        """Do follow-up work after a batch was committed.

        `ids` are the primary keys of the records that the batch has created or updated.
        A worker calls it at least once for every batch, so it must be idempotent. An exception is
        logged, and `after_batch` is called again later.
        """

    @classmethod
    def after_import(cls, context: FinishedImportContext) -> None:
        """Do follow-up work after the import has ended.

        It is called after `after_batch` has succeeded for every batch.
        The import may be COMPLETE, CANCELLED or FAILED: see `context.snapshot["status"]`. A worker
        calls it at least once for every end, so it must be idempotent. An exception is logged, and
        `after_import` is called again later. If the file is checked again before the call, this end
        has no call.
        """

    @classmethod
    def title(cls) -> str:
        """Return the name of the records, in the active language and in the plural."""
        return str(cls.model._meta.verbose_name_plural)

    @classmethod
    def label(cls, field: str) -> str:
        """Return the name of a field in the active language."""
        return str(get_model_field(cls.model, field).verbose_name)

    @classmethod
    def describe_lookup(cls, field: str | None) -> dict[str, str]:
        """Return the names of the model and the fields that a column looks up.

        The keys are "record" and "key". Returns an empty dictionary for a field that is not a
        column or not a foreign key.
        """
        column = next((column for column in cls.columns if column.field == field), None)
        lookup = get_lookup(cls.model, column) if column else None
        if column is None or lookup is None:
            return {}
        related = get_related_model(cls.model, column.field)
        names = [str(get_model_field(related, name).verbose_name) for name in lookup.fields]
        return {"record": str(related._meta.verbose_name), "key": get_text_list(names)}


def list_missing_permissions(
    importer: type[Importer], user: AbstractBaseUser, on_duplicate: str
) -> list[str]:
    """Return which of the model's permissions the user lacks to import with this policy."""
    actions = ["add", "change"] if on_duplicate == OnDuplicate.UPDATE else ["add"]
    return _list_missing(importer, user, actions)


def list_missing_undo_permissions(
    importer: type[Importer], user: AbstractBaseUser, *, removes: bool, restores: bool
) -> list[str]:
    """Return which of the model's permissions the user lacks to undo an import."""
    actions = {"delete": removes, "change": restores}
    return _list_missing(importer, user, [name for name, is_needed in actions.items() if is_needed])


def _list_missing(
    importer: type[Importer], user: AbstractBaseUser, actions: Iterable[str]
) -> list[str]:
    meta = importer.model._meta
    names = [f"{meta.app_label}.{get_permission_codename(action, meta)}" for action in actions]
    # Any user model of the app has this method: see docs/adding.md.
    return [name for name in names if not user.has_perm(name)]  # type: ignore[attr-defined]


def get_lookup(model: type[models.Model], column: Column) -> Lookup | None:
    """Return how the cells of a column name a record; None if the column fills no foreign key."""
    if isinstance(column.lookup, Lookup):
        return column.lookup
    if column.lookup:
        return Lookup(fields=(column.lookup,))
    field = get_model_field(model, column.field)
    # Without a constraint, the database accepts keys of records that do not exist.
    if isinstance(field, models.ForeignKey) and getattr(field, "db_constraint", True):
        return Lookup(fields=(field.target_field.name,))
    return None


def get_value_fields(importer: type[Importer], column: Column) -> list[models.Field[Any, Any]]:
    """Return the model fields whose values the cells hold; for a lookup, the related model's."""
    lookup = get_lookup(importer.model, column)
    if lookup is None:
        return [get_model_field(importer.model, column.field)]
    related = get_related_model(importer.model, column.field)
    return [get_model_field(related, name) for name in lookup.fields]


def get_value_field(importer: type[Importer], column: Column) -> models.Field[Any, Any]:
    """Return the first field of `get_value_fields`."""
    return get_value_fields(importer, column)[0]


class MissingImporter(Importer):
    """The placeholder for an importer that is no longer installed, for pages of its old imports."""

    name = ""
    columns = ()

    @classmethod
    def title(cls) -> str:
        return ""

    @classmethod
    def label(cls, field: str) -> str:
        return field


def has_hook(importer: type[Importer], name: str) -> bool:
    """Return whether the importer overrides a method of `Importer`."""
    return any(name in vars(base) for base in importer.__mro__ if base is not Importer)


_registered: dict[str, type[Importer]] = {}


def register(importer: type[Importer]) -> type[Importer]:
    """Register an importer under its name. Use it as a decorator.

    The app finds importers in modules named `importers`. Import other modules in `AppConfig.ready`.

    Raises:
        ImproperlyConfigured: Another importer is registered under this name.
    """
    if _registered.setdefault(importer.name, importer) is not importer:
        raise ImproperlyConfigured(f"Two importers are named {importer.name!r}: rename one.")
    return importer


def get_importer(name: str) -> type[Importer]:
    """Return the importer that is registered under `name`.

    Raises:
        KeyError: There is no such importer.
    """
    return _registered[name]


def is_registered(name: str) -> bool:
    return name in _registered


def get_importer_or_placeholder(name: str) -> type[Importer]:
    """Return the importer that is registered under `name`, or MissingImporter.

    It is for pages that show an import whether or not its importer is still installed.
    """
    return _registered.get(name, MissingImporter)


def list_importers() -> list[type[Importer]]:
    """Return all registered importers, in the order of their registration."""
    return list(_registered.values())
