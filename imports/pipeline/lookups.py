"""Find the records that foreign keys name, with a few queries for each column of a chunk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import Error, connections
from django.db.models import CharField, Field, QuerySet, TextField
from django.db.models.functions import Lower

from imports.importer import (
    Column,
    ImportContext,
    Importer,
    InvalidValue,
    Lookup,
    get_lookup,
    get_value_fields,
)
from imports.model_fields import get_related_model, get_target_field
from imports.permissions import get_findable_records
from imports.pipeline.field_cleaning import split_lookup_key
from imports.pipeline.rule_bugs import ColumnRuleFailed, WrongResult, log_bug
from imports.pipeline.transactions import is_transient

# PostgreSQL also folds the values of the table, and its rules for letters depend on the database.
FOLD_TEXTS = "SELECT text, lower(text) FROM unnest(%s::text[]) AS text"
FOLDED_NAME = "imports_folded_value"


class LookupResolver:
    """Finds the records that the cleaned values of one column name."""

    def __init__(
        self,
        importer: type[Importer],
        column: Column,
        lookup: Lookup,
        context: ImportContext | None,
    ) -> None:
        self._importer = importer
        self._column = column
        self._lookup = lookup
        self._context = context
        self._fields = get_value_fields(importer, column)
        self._target = get_target_field(importer.model, column.field).attname

    def resolve(self, keys: Iterable[str]) -> dict[str, str | InvalidValue]:
        """Return, for each cleaned value, the value of the foreign key as text, or the error.

        Makes one query for each field of the lookup, and a second one for a field without case.

        Raises:
            ColumnRuleFailed: The queryset of the lookup cannot be used.
            Error: The database reported a transient error.
        """
        values = {key: split_lookup_key(self._column, len(self._fields), key) for key in keys}
        if not values:
            return {}
        try:
            matches = self._match(values)
        except Error as error:
            if is_transient(error) or self._lookup.queryset is None:
                raise
            raise self._log_failure(error) from None
        except Exception as error:
            raise self._log_failure(error) from None
        return {key: _pick_match(matches[key]) for key in values}

    def _match(self, values: dict[str, list[str | None]]) -> dict[str, set[str]]:
        records = self._get_records()
        exact: dict[str, set[str]] = {key: set() for key in values}
        folded: dict[str, set[str]] = {key: set() for key in values}
        for index, field in enumerate(self._fields):
            texts = {key: text for key, all_ in values.items() if (text := all_[index])}
            if self._lookup.ignore_case and isinstance(field, CharField | TextField):
                self._match_without_case(records, field, texts, exact, folded)
            else:
                self._match_exactly(records, field, texts, exact)
        # A record with exactly the text of the cell precedes those that differ in case.
        return {key: exact[key] or folded[key] for key in values}

    def _match_exactly(
        self,
        records: QuerySet[Any],
        field: Field[Any, Any],
        texts: dict[str, str],
        exact: dict[str, set[str]],
    ) -> None:
        """Add the target of each record to the keys that it matches."""
        keys: dict[Any, list[str]] = {}
        for key, text in texts.items():
            try:
                keys.setdefault(field.to_python(text), []).append(key)
            except ValidationError:  # The column's own rule returned another kind of value.
                continue
        found = records.filter(**{f"{field.name}__in": keys.keys()})
        for value, target in found.values_list(field.name, self._target):
            for key in keys.get(value, ()):
                exact[key].add(str(target))

    def _match_without_case(
        self,
        records: QuerySet[Any],
        field: Field[Any, Any],
        texts: dict[str, str],
        exact: dict[str, set[str]],
        folded: dict[str, set[str]],
    ) -> None:
        """Add the target of each record to the keys that it matches, exactly or without case."""
        with connections[records.db].cursor() as cursor:
            cursor.execute(FOLD_TEXTS, [list(texts.values())])
            folded_texts: dict[str, str] = dict(cursor.fetchall())
        keys: dict[str, list[str]] = {}
        for key, text in texts.items():
            keys.setdefault(folded_texts[text], []).append(key)
        found = records.annotate(**{FOLDED_NAME: Lower(field.name)})
        found = found.filter(**{f"{FOLDED_NAME}__in": keys.keys()})
        for folded_value, value, target in found.values_list(FOLDED_NAME, field.name, self._target):
            for key in keys.get(folded_value, ()):
                folded[key].add(str(target))
                if texts[key] == value:
                    exact[key].add(str(target))

    def _get_records(self) -> QuerySet[Any]:
        related = get_related_model(self._importer.model, self._column.field)
        if self._lookup.queryset is None:
            # A record that the user may not see must look like one that does not exist.
            user = self._context.user if self._context else None
            return get_findable_records(user, related).order_by()
        if self._context is None:
            raise TypeError("the queryset of a lookup needs the context of an import")
        records: object = self._lookup.queryset(self._context)
        if not isinstance(records, QuerySet):
            code, returned = "wrong_lookup_result", type(records).__name__
        elif not issubclass(records.model, related):
            code, returned = "wrong_lookup_model", records.model.__name__
        else:
            return records.order_by()
        raise WrongResult(code, self._lookup.queryset, returned=returned, model=related.__name__)

    def _log_failure(self, error: Exception) -> ColumnRuleFailed:
        """Log an exception of the queryset, and return the exception that ends the check."""
        subject = f"Importer {self._importer.name}: the lookup of column {self._column.field}"
        if self._context is not None:
            subject += f" in import {self._context.import_id}"
        log_bug(subject, error)
        return ColumnRuleFailed("lookup_failed", self._column.field, error)


def make_lookup_resolvers(
    importer: type[Importer], context: ImportContext | None
) -> dict[int, LookupResolver]:
    """Return the resolver of each column that fills a foreign key, by the column's index."""
    return {
        index: LookupResolver(importer, column, lookup, context)
        for index, column in enumerate(importer.columns)
        if (lookup := get_lookup(importer.model, column))
    }


def _pick_match(targets: set[str]) -> str | InvalidValue:
    if not targets:
        return InvalidValue("not_found")
    if len(targets) > 1:
        return InvalidValue("ambiguous_lookup", count=len(targets))
    return next(iter(targets))
