"""What an app declares to have its model filled from files.

    class Customers(Importer):
        name = "customers"
        model = Customer
        columns = (Column("phone", aliases=("telephone",), required=True, clean=phone), …)

    register(Customers)

`imports` knows no model of the apps that use it; they come to it through `register`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from imports.cell_values import Cell

__all__ = [
    "Cell",
    "Column",
    "Importer",
    "InvalidValue",
    "get_importer",
    "get_importer_or_placeholder",
    "is_registered",
    "list_importers",
    "register",
]


class InvalidValue(ValueError):
    """One value that cannot be accepted, as a code and its parameters; words come later."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


@dataclass(frozen=True)
class Column:
    """One column of the file and the model field it fills.

    `clean` turns a cell into the text PostgreSQL casts to the field's type, or None for an
    empty cell, and raises Invalid; without it the model field's own rules are used. `lookup`
    names the field of a related model that the cell holds, for a foreign key.

    A column headed with one of `fallback_aliases` fills the field only in rows where the column
    headed with its name or one of `aliases` is empty, or where the file has no such column.

    `placeholders` are the texts that mean "no value" in an optional column, such as "n/a". None
    takes those of the setting IMPORT_PLACEHOLDERS for every field that is not free text (numbers,
    dates, choices, e-mail and web addresses, lookups), and none for free text: "Null" is a surname.
    """

    field: str
    aliases: tuple[str, ...] = ()
    fallback_aliases: tuple[str, ...] = ()
    placeholders: tuple[str, ...] | None = None
    required: bool = False
    clean: Callable[[Cell], str | None] | None = None
    unique: bool = False
    lookup: str | None = None
    example: str = ""
    note: Any = ""  # What to know before filling it in; a sentence, may be translated lazily.


class Importer:
    """A model, and the columns of a file that fill it.

    Rows are written set by set: `save()` and signals do not run, `after_batch` does.
    """

    name: ClassVar[str]
    model: ClassVar[type[models.Model]]
    columns: ClassVar[Sequence[Column]]
    # Words for the codes that this importer's `clean` functions raise.
    messages: ClassVar[Mapping[str, Any]] = {}
    # The URL name of a page that lists the records; it takes ?import= and an import's key.
    page: ClassVar[str] = ""

    @classmethod
    def after_batch(cls, ids: Sequence[Any]) -> None:
        """Called after the commit with the keys of created and updated records.

        At least once for every batch: it must bear to be called again.
        """

    @classmethod
    def title(cls) -> str:
        return str(cls.model._meta.verbose_name_plural)

    @classmethod
    def label(cls, field: str) -> str:
        return str(cls.model._meta.get_field(field).verbose_name)

    @classmethod
    def describe_lookup(cls, field: str | None) -> dict[str, str]:
        """What the column's cells name: a record of which model, and by what; else nothing."""
        column = next((c for c in cls.columns if c.field == field and c.lookup), None)
        if column is None:
            return {}
        related = cls.model._meta.get_field(column.field).related_model._meta
        key = related.get_field(column.lookup).verbose_name
        return {"record": str(related.verbose_name), "key": str(key)}


class MissingImporter(Importer):
    """Stands in for the importer of an old import whose app is no longer installed."""

    name = ""
    columns = ()

    @classmethod
    def title(cls) -> str:
        return ""

    @classmethod
    def label(cls, field: str) -> str:
        return field


_registered: dict[str, type[Importer]] = {}


def register(importer: type[Importer]) -> type[Importer]:
    """Make an importer known by its name; usable as a decorator. Call it in AppConfig.ready."""
    if _registered.setdefault(importer.name, importer) is not importer:
        raise ImproperlyConfigured(f"Two importers are named {importer.name!r}: rename one.")
    return importer


def get_importer(name: str) -> type[Importer]:
    """The importer registered under `name`; KeyError if there is none."""
    return _registered[name]


def is_registered(name: str) -> bool:
    return name in _registered


def get_importer_or_placeholder(name: str) -> type[Importer]:
    """The importer for what is only shown: there is one whatever the name."""
    return _registered.get(name, MissingImporter)


def list_importers() -> list[type[Importer]]:
    return list(_registered.values())
