"""What refers to the records of a table: foreign keys of the database, and relations of Django.

The database knows the keys of tables without a model, and those that would delete or change the
referring row. Django knows relations without a constraint: `db_constraint=False` and generic
foreign keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.apps import apps
from django.db import router
from django.db.models import CharField, Field, ForeignObjectRel, Model, TextField, UUIDField

from imports.model_fields import get_model_field
from imports.pipeline.target_table import TargetTable, quote_column, quote_name
from imports.postgres import get_alias, open_cursor

LIST_FOREIGN_KEYS = """
SELECT con.conrelid::regclass::text, class.relname,
       ARRAY(SELECT ARRAY[own.attname, target.attname]
               FROM unnest(con.conkey, con.confkey) WITH ORDINALITY AS key (own, target, place)
               JOIN pg_attribute own ON own.attrelid = con.conrelid AND own.attnum = key.own
               JOIN pg_attribute target
                 ON target.attrelid = con.confrelid AND target.attnum = key.target
              ORDER BY place)
  FROM pg_constraint con JOIN pg_class class ON class.oid = con.conrelid
 WHERE con.contype = 'f' AND con.confrelid = to_regclass(%(table)s) AND con.conparentid = 0
 ORDER BY con.oid
"""
FIND_TABLES = """
SELECT name, to_regclass(name)::text FROM unnest(%(names)s::text[]) AS name
"""
# `x` is the referring row.
EXISTS = "EXISTS (SELECT FROM {table} x WHERE {condition})"


@dataclass(frozen=True)
class Reference:
    """A relation to the records of a table. In `condition`, `c` is the record."""

    label: str  # Of the model, such as "parcels.Parcel"; the name of a table without a model.
    table: str  # The name of the referring table, without its schema.
    condition: str  # SQL: whether anything but the record itself refers to the record.


class _Relation(NamedTuple):
    """A relation of Django: the referring model, and the SQL of its condition."""

    model: type[Model]
    condition: str

    @property
    def quoted_table(self) -> str:
        return _quote(self.model._meta.db_table)


def list_references(model: type[Model], target: TargetTable) -> list[Reference]:
    """Return everything that can refer to a record of the table, without duplicates."""
    relations, own_name = _list_relations(model), _quote(model._meta.db_table)
    with open_cursor() as cursor:
        cursor.execute(LIST_FOREIGN_KEYS, {"table": own_name})
        keys = cursor.fetchall()
        names = [own_name, *(relation.quoted_table for relation in relations)]
        cursor.execute(FIND_TABLES, {"names": names})
        tables = dict(cursor.fetchall())
    labels = {each._meta.db_table: each._meta.label for each in _list_models()}
    # By table and condition. The condition of a key is the same in both sources.
    found = {
        (table, _build_key_condition(columns)): (labels.get(name, name), name)
        for table, name, columns in keys
    }
    for relation in relations:
        if table := tables[relation.quoted_table]:  # None if an unmanaged model has no table.
            meta = relation.model._meta
            found.setdefault((table, relation.condition), (meta.label, meta.db_table))
    # A record that refers to itself can be removed.
    not_itself = f" AND x.{target.pk} <> c.{target.pk}"
    return [
        Reference(
            label,
            name,
            EXISTS.format(
                table=table.replace("%", "%%"),
                condition=condition + (not_itself if table == tables[own_name] else ""),
            ),
        )
        for (table, condition), (label, name) in found.items()
    ]


def _build_key_condition(columns: Iterable[tuple[str, str]]) -> str:
    return " AND ".join(f"x.{quote_name(own)} = c.{quote_name(other)}" for own, other in columns)


def _list_models() -> list[type[Model]]:
    return apps.get_models(include_auto_created=True)


def _list_relations(model: type[Model]) -> list[_Relation]:
    """Return the relations of Django to the model whose tables are in the same database."""
    return [
        relation
        for relation in (*_list_foreign_keys(model), *_list_generic_keys(model))
        if router.allow_migrate_model(get_alias(), relation.model)
    ]


def _list_foreign_keys(model: type[Model]) -> Iterator[_Relation]:
    # A many-to-many relation is a foreign key of its through table.
    for relation in model._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel) and (relation.one_to_many or relation.one_to_one):
            columns = [
                (str(own.column), str(other.column)) for own, other in relation.field.related_fields
            ]
            yield _Relation(relation.field.model, _build_key_condition(columns))


def _list_generic_keys(model: type[Model]) -> Iterator[_Relation]:
    if not apps.is_installed("django.contrib.contenttypes"):
        return
    from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation

    names = {
        (each, field.ct_field, field.fk_field)
        for each in _list_models()
        for field in each._meta.private_fields
        if isinstance(field, GenericForeignKey)
    } | {
        (field.related_model, field.content_type_field_name, field.object_id_field_name)
        for field in model._meta.private_fields
        if isinstance(field, GenericRelation)
    }
    content_types = _build_content_types(model)
    for related, type_name, key_name in sorted(
        names, key=lambda each: (each[0]._meta.label, *each[1:])
    ):
        key = get_model_field(related, key_name)
        if comparison := _build_key_comparison(key, model):
            content_type = quote_column(get_model_field(related, type_name))
            condition = f"x.{content_type} IN ({content_types}) AND {comparison}"
            yield _Relation(related, condition)


def _build_content_types(model: type[Model]) -> str:
    """Return SQL for the content types of the model and of its proxies."""
    from django.contrib.contenttypes.models import ContentType

    labels = ", ".join(
        f"('{each._meta.app_label}', '{each._meta.model_name}')"
        for each in _list_models()
        if each._meta.concrete_model is model._meta.concrete_model
    )
    table = quote_name(ContentType._meta.db_table)
    return f"SELECT id FROM {table} WHERE (app_label, model) IN ({labels})"


def _build_key_comparison(key: Field[Any, Any], model: type[Model]) -> str | None:
    """Return SQL for whether a generic key has the record's key; None if its type never has."""
    own, other = f"x.{quote_column(key)}", f"c.{quote_column(model._meta.pk)}"
    if isinstance(key, CharField | TextField):
        return f"{own} = {other}::text"
    if isinstance(key, UUIDField) == isinstance(model._meta.pk, UUIDField):
        return f"{own} = {other}"
    return None


def _quote(name: str) -> str:
    return quote_name(name).replace("%%", "%")
