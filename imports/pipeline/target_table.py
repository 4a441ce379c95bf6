"""The table that an importer fills, as pieces of SQL: its columns, types, keys and defaults.

The statements of the pipeline are built from these pieces, so that they work for any model. In all
of them `r` is the staged row and `c` the record in the target table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db.models import CharField, Field, TextField
from django.db.models.fields import NOT_PROVIDED

from imports.importer import Importer, get_importer
from imports.model_fields import get_model_field, get_unique_fields, is_automatic_time
from imports.models import ImportJob
from imports.pipeline.class_cache import cache
from imports.postgres import get_connection, open_cursor
from imports.statuses import EmptyCells

TYPE_LENGTH = re.compile(r"\(\s*\d+\s*(,\s*\d+\s*)?\)")
FIELD_VALUE = """(SELECT (job.field_values ->> '{field}')::{type}
  FROM imports_importjob job WHERE job.id = %(job)s)"""
IN_ROW_RANGE = "r.job_id = %(job)s AND r.number BETWEEN %(first)s AND %(last)s"

# OFFSET 0 makes PostgreSQL look the sequence up once, not for every key.
DRAW_KEYS = """
SELECT string_agg(nextval(s.name)::text, ' ')
  FROM (SELECT pg_get_serial_sequence(%(table)s, %(pk)s)::regclass AS name OFFSET 0) AS s,
       generate_series(1, %(n)s)
"""


@dataclass(frozen=True)
class TargetColumn:
    """A column of the target table that an import fills, and where its values are.

    They are in `ImportRow.cleaned` for a column of the importer, and in `ImportJob.field_values`
    for a field of `Importer.values`.
    """

    field: str
    column: str  # Quoted.
    type: str
    full_type: str  # With its length or precision, which an assignment applies.
    position: int | None  # In `cleaned`, counted from 1 as PostgreSQL does; None if not there.
    default: str  # SQL for an empty cell of a new record.
    cleared: str | None  # SQL for no value in an existing record; None if the model requires one.
    # The default is a function, so nobody can tell later which value an empty cell got.
    has_callable_default: bool

    @property
    def value(self) -> str:
        """SQL for the value of the staged row. Statements with it have the parameter `job`."""
        if self.position is None:
            # PostgreSQL executes a subquery that does not refer to the row once.
            return FIELD_VALUE.format(field=self.field, type=self.type)
        return f"(r.cleaned[{self.position}])::{self.type}"


@dataclass(frozen=True)
class TargetTable:
    """The target table of one importer. All names are quoted."""

    table: str
    pk: str
    pk_type: str
    pk_field: Field[Any, Any]
    columns: tuple[TargetColumn, ...]
    constants: tuple[TargetColumn, ...]  # The fields of `Importer.values`.
    # Unique constraints that a file can violate. The first part of a key has a position.
    keys: tuple[tuple[TargetColumn, ...], ...]
    fills: dict[str, str]  # Column that no file fills to the SQL that fills it.
    default_fields: dict[str, Field[Any, Any]]  # SQL parameter to the field of its default.
    stamps: tuple[str, ...]  # Columns with auto_now, which an update sets, too.

    @property
    def id_of_row(self) -> str:
        return f"r.target_id::{self.pk_type}"

    @property
    def insert(self) -> str:
        """INSERT … SELECT of the rows to create, with the primary keys drawn at staging."""
        values = {
            self.pk: self.id_of_row,
            **{
                column.column: f"coalesce({column.value}, {column.default})"
                if column.default != "NULL"
                else column.value
                for column in self.columns
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
        """Return SQL for each column's value in a record that a row updates.

        An empty cell keeps the previous value. Under the policy `clear` it removes the value, but
        not in a column that the file does not have.
        """
        return [
            self._build_updated_value(job, column, f"c.{column.column}") for column in self.columns
        ]

    def restored_values(self) -> list[str]:
        """Return SQL for each column's value before the row updated the record."""
        return [
            f"(r.previous_values[{index}])::{column.type}"
            for index, column in enumerate(self.columns, start=1)
        ]

    def written_values(self, job: ImportJob) -> list[str]:
        """Return SQL for each column's value that the row wrote into the record it updated."""
        return [
            self._build_updated_value(job, column, previous)
            for column, previous in zip(self.columns, self.restored_values(), strict=True)
        ]

    @staticmethod
    def _build_updated_value(job: ImportJob, column: TargetColumn, previous: str) -> str:
        positions = (job.detected_columns or {}).get("positions", {})
        is_cleared = job.empty_cells == EmptyCells.CLEAR and column.field in positions
        empty = column.cleared if is_cleared and column.cleared is not None else previous
        return f"coalesce({column.value}, {empty})"

    def defaults(self) -> dict[str, Any]:
        """Return the parameters of `insert`.

        They are computed at each call, because the default of a field may be a function.
        """
        return {
            name: field.get_db_prep_save(field.get_default(), get_connection())
            for name, field in self.default_fields.items()
        }

    def draw_keys(self, count: int) -> list[str]:
        """Return `count` new primary keys as text. Advances the sequence of the table.

        Keys are drawn at staging, so that the key of a row is known before the row is written.
        """
        if count == 0:
            return []
        if self.pk_field.has_default():
            return [str(self.pk_field.get_default()) for _ in range(count)]
        parameters = {"table": self.table, "pk": self.pk_field.column, "n": count}
        with open_cursor() as cursor:
            cursor.execute(DRAW_KEYS, parameters)
            keys: str = cursor.fetchone()[0]
            return keys.split(" ")


def build_key_value(key: tuple[TargetColumn, ...]) -> str:
    """Return SQL for a key of the staged row as text; it is NULL if a part of the key is empty.

    The value is cast to the column's type first, so that 1 and 1.00 are equal in a numeric column.
    """
    values = [column.value for column in key]
    if len(values) == 1:
        return f"({values[0]})::text"
    is_complete = " AND ".join(f"{value} IS NOT NULL" for value in values)
    return f"CASE WHEN {is_complete} THEN ROW({', '.join(values)})::text END"


def build_key_match(key: tuple[TargetColumn, ...]) -> str:
    """Return SQL for the condition that the record has the key of the staged row."""
    return " AND ".join(f"c.{column.column} = {column.value}" for column in key)


def get_job_target(job: ImportJob) -> TargetTable:
    """Return the target table of an import, with the fields that `Importer.values` fills."""
    return get_target_table(get_importer(job.importer), tuple(sorted(job.field_values or ())))


@cache
def get_target_table(importer: type[Importer], value_fields: tuple[str, ...] = ()) -> TargetTable:
    """Return the target table of an importer. `value_fields` are the fields of `field_values`."""
    meta = importer.model._meta
    columns = {
        column.field: _make_column(get_model_field(importer.model, column.field), position)
        for position, column in enumerate(importer.columns, start=1)
    }
    constants = {
        name: _make_column(get_model_field(importer.model, name), None) for name in value_fields
    }
    filled = columns | constants
    others = [f for f in meta.concrete_fields if f.name not in filled and not f.primary_key]
    own_fields = [get_model_field(importer.model, name) for name in columns]
    keys = [
        tuple(filled[name] for name in sorted(key, key=lambda name: name not in columns))
        for key in get_unique_fields(importer.model)
        if filled.keys() >= set(key) and not columns.keys().isdisjoint(key)
    ]
    return TargetTable(
        table=quote_name(meta.db_table),
        pk=quote_column(meta.pk),
        pk_type=get_column_type(meta.pk),
        pk_field=meta.pk,
        columns=tuple(columns.values()),
        constants=tuple(constants.values()),
        keys=tuple(keys),
        fills={
            **{quote_column(f): sql for f in others if (sql := _build_default_sql(f))},
            **{constant.column: constant.value for constant in constants.values()},
        },
        default_fields={_name_parameter(f): f for f in [*own_fields, *others] if _needs_default(f)},
        stamps=tuple(quote_column(f) for f in others if getattr(f, "auto_now", False)),
    )


def _make_column(field: Field[Any, Any], position: int | None) -> TargetColumn:
    has_default = _needs_default(field)
    return TargetColumn(
        field=field.name,
        column=quote_column(field),
        type=get_column_type(field),
        full_type=str(field.db_type(get_connection())),
        position=position,
        default=f"%({_name_parameter(field)})s::{get_column_type(field)}"
        if has_default
        else "NULL",
        cleared=_build_clear_sql(field),
        has_callable_default=has_default and callable(field.default),
    )


def _build_clear_sql(field: Field[Any, Any]) -> str | None:
    """Return SQL for no value; None if the model requires a value."""
    if field.null:
        return "NULL"
    return "''" if field.blank and isinstance(field, CharField | TextField) else None


def _build_default_sql(field: Field[Any, Any]) -> str | None:
    """Return SQL for a column that no file fills; None leaves it to the database."""
    if is_automatic_time(field):
        return "now()"
    return (
        f"%({_name_parameter(field)})s::{get_column_type(field)}" if _needs_default(field) else None
    )


def _needs_default(field: Field[Any, Any]) -> bool:
    is_filled_by_database = field.db_default is not NOT_PROVIDED or field.generated
    return not is_filled_by_database and not field.primary_key and field.get_default() is not None


def _name_parameter(field: Field[Any, Any]) -> str:
    return f"default_{field.attname}"


def get_column_type(field: Field[Any, Any]) -> str:
    """Return the type of the column without its length.

    A cast to varchar(20) would cut a value silently. An assignment reports it (SQLSTATE 22001),
    and the row fails.
    """
    return TYPE_LENGTH.sub("", str(field.db_type(get_connection())))


def quote_column(field: Field[Any, Any]) -> str:
    return quote_name(str(field.column))


def quote_name(name: str) -> str:
    return get_connection().ops.quote_name(name).replace("%", "%%")
