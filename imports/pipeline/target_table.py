"""The table an importer fills, as pieces of SQL: its columns, types, keys and defaults.

Every statement of the pipeline is put together from these pieces, so that it serves any
model. In all of them `r` is the staged row and `c` the record in the target's table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import CharField, Field, TextField, UniqueConstraint
from django.db.models.fields import NOT_PROVIDED

from imports.importer import Importer
from imports.models import ImportJob
from imports.statuses import EmptyCells

LENGTH = re.compile(r"\(\s*\d+\s*(,\s*\d+\s*)?\)")
IN_ROW_RANGE = "r.job_id = %(job)s AND r.number BETWEEN %(first)s AND %(last)s"

# The sequence is looked up once, not for every key.
DRAW = """
SELECT string_agg(nextval(s.name)::text, ' ')
  FROM (SELECT pg_get_serial_sequence(%(table)s, %(pk)s)::regclass AS name OFFSET 0) AS s,
       generate_series(1, %(n)s)
"""


@dataclass(frozen=True)
class TargetColumn:
    """One importer column: where it stands in the table and in `cleaned`."""

    field: str
    column: str  # Quoted.
    type: str
    position: int  # Of `cleaned`, counted from 1 as PostgreSQL does.
    default: str  # SQL for an empty cell of a new record.
    cleared: str | None  # SQL for no value in an existing one, where the model allows that.

    @property
    def value(self) -> str:
        return f"(r.cleaned[{self.position}])::{self.type}"


@dataclass(frozen=True)
class TargetTable:
    table: str  # Quoted, as are all names here.
    pk: str
    pk_type: str
    pk_field: Field
    cells: tuple[TargetColumn, ...]
    keys: tuple[tuple[TargetColumn, ...], ...]  # Unique constraints that a file can break.
    fills: dict[str, str]  # Columns no file fills, and the SQL that does.
    default_fields: dict[str, Field]  # Parameters of the SQL, and whose default each one is.
    stamps: tuple[str, ...]  # auto_now columns, set by an update too.

    @property
    def id_of_row(self) -> str:
        return f"r.target_id::{self.pk_type}"

    @property
    def insert(self) -> str:
        """INSERT … SELECT of rows to be created, under the keys they were given at staging."""
        values = {
            self.pk: self.id_of_row,
            **{
                cell.column: f"coalesce({cell.value}, {cell.default})"
                if cell.default != "NULL"
                else cell.value
                for cell in self.cells
            },
            **self.fills,
        }
        return f"""
            INSERT INTO {self.table} ({", ".join(values)})
            SELECT {", ".join(values.values())}
              FROM imports_importrow r
             WHERE {IN_ROW_RANGE} AND r.outcome IS NULL AND NOT r.matched
             ORDER BY r.number"""

    def updated_values(self, job: ImportJob) -> list[str]:
        """SQL of each cell's value in a record that a row updates.

        An empty cell leaves the old value. Under `clear` it removes it, but not where the
        file has no such column.
        """
        told = job.detected_columns["positions"] if job.empty_cells == EmptyCells.CLEAR else {}
        return [
            f"coalesce({cell.value}, {cell.cleared})"
            if cell.field in told and cell.cleared is not None
            else f"coalesce({cell.value}, c.{cell.column})"
            for cell in self.cells
        ]

    def defaults(self) -> dict[str, Any]:
        """The parameters of `insert`, made anew each time: a default may be a function."""
        return {
            name: field.get_db_prep_save(field.get_default(), connection)
            for name, field in self.default_fields.items()
        }

    def draw_keys(self, count: int) -> list[str]:
        """Primary keys for new records: what a row will be is known before it is written."""
        if count == 0:
            return []
        if self.pk_field.has_default():
            return [str(self.pk_field.get_default()) for _ in range(count)]
        with connection.cursor() as cursor:
            cursor.execute(DRAW, {"table": self.table, "pk": self.pk_field.column, "n": count})
            return cursor.fetchone()[0].split(" ")


def build_key_value(key: tuple[TargetColumn, ...]) -> str:
    """A key of the staged row as text, NULL when any part of it is empty.

    Typed before it is text, so that 1 and 1.00 are one value where the column says so.
    """
    values = [cell.value for cell in key]
    if len(values) == 1:
        return f"({values[0]})::text"
    whole = " AND ".join(f"{value} IS NOT NULL" for value in values)
    return f"CASE WHEN {whole} THEN ROW({', '.join(values)})::text END"


def build_key_match(key: tuple[TargetColumn, ...]) -> str:
    return " AND ".join(f"c.{cell.column} = {cell.value}" for cell in key)


@cache
def get_target_table(importer: type[Importer]) -> TargetTable:
    meta = importer.model._meta
    cells = {
        column.field: _cell(meta.get_field(column.field), position)
        for position, column in enumerate(importer.columns, start=1)
    }
    others = [f for f in meta.concrete_fields if f.name not in cells and not f.primary_key]
    of_cells = [meta.get_field(name) for name in cells]
    return TargetTable(
        table=_quote(meta.db_table),
        pk=_quote(meta.pk.column),
        pk_type=_type(meta.pk),
        pk_field=meta.pk,
        cells=tuple(cells.values()),
        keys=tuple(tuple(cells[name] for name in key) for key in unique_keys(importer)),
        fills={_quote(f.column): sql for f in others if (sql := _fill(f))},
        default_fields={_parameter(f): f for f in [*of_cells, *others] if _needs_default(f)},
        stamps=tuple(_quote(f.column) for f in others if getattr(f, "auto_now", False)),
    )


def unique_keys(importer: type[Importer]) -> list[tuple[str, ...]]:
    """The model's unique constraints over columns of the importer, by field names."""
    meta, own = importer.model._meta, {column.field for column in importer.columns}
    keys = [(field.name,) for field in meta.concrete_fields if field.unique]
    keys += [tuple(names) for names in meta.unique_together]
    keys += [
        tuple(constraint.fields)
        for constraint in meta.constraints
        if isinstance(constraint, UniqueConstraint)
        and constraint.fields
        and constraint.condition is None
    ]
    return [key for key in dict.fromkeys(keys) if own.issuperset(key)]


def _cell(field: Field, position: int) -> TargetColumn:
    default = f"%({_parameter(field)})s::{_type(field)}" if _needs_default(field) else "NULL"
    return TargetColumn(
        field.name, _quote(field.column), _type(field), position, default, _cleared(field)
    )


def _cleared(field: Field) -> str | None:
    if field.null:
        return "NULL"
    return "''" if field.blank and isinstance(field, CharField | TextField) else None


def _fill(field: Field) -> str | None:
    """SQL for a column no file fills; None leaves it to the database."""
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return "now()"
    return f"%({_parameter(field)})s::{_type(field)}" if _needs_default(field) else None


def _needs_default(field: Field) -> bool:
    by_database = field.db_default is not NOT_PROVIDED or field.generated
    return not by_database and not field.primary_key and field.get_default() is not None


def _parameter(field: Field) -> str:
    return f"default_{field.attname}"


def _type(field: Field) -> str:
    """The column's type without its length.

    A cast to varchar(20) would cut a value silently; the assignment refuses it (22001),
    and the row is reported.
    """
    return LENGTH.sub("", field.db_type(connection))


def _quote(name: str) -> str:
    return connection.ops.quote_name(name).replace("%", "%%")
