"""The preview of an undo: what it would do now, under the same conditions, without any change.

The conditions are those of `undo_rows`. Whether previous values are free is computed from the
unique constraints that have neither a condition nor expressions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from django.db import Error
from django.db.models import Model, UniqueConstraint

from imports.importer import get_importer, is_registered
from imports.model_fields import get_model_field, get_unique_fields
from imports.models import ImportJob
from imports.pipeline.target_table import TargetTable, get_job_target, quote_column
from imports.pipeline.undo_rows import (
    IS_CREATED,
    IS_UPDATED,
    build_conditions,
    get_static_defaults,
)
from imports.postgres import atomic, get_sqlstate, open_cursor

MAX_SECONDS = 10
QUERY_CANCELED = "57014"  # The statement time-out.

# Of a caller's transaction, too, only this statement has the time-out.
GET_TIMEOUT = "SELECT current_setting('statement_timeout')"
SET_TIMEOUT = "SELECT set_config('statement_timeout', %(timeout)s, true)"
COUNT_RESULTS = f"""
WITH result AS MATERIALIZED (
    SELECT {IS_UPDATED} AS is_updated,
           CASE WHEN c.{{pk}} IS NULL THEN 'deleted'
                WHEN {{is_edited}} THEN 'edited'
                WHEN {IS_UPDATED} THEN CASE WHEN {{is_taken}} THEN 'values_taken' END
                ELSE ({{reference}})::text END AS reason
      FROM imports_importbatch b
      JOIN imports_importrow r
        ON r.job_id = b.job_id AND r.number BETWEEN b.first_row AND b.last_row
      LEFT JOIN {{table}} c ON c.{{pk}} = {{id}}
     WHERE b.job_id = %(job)s AND b.applied_at IS NOT NULL AND b.undone_at IS NULL
       AND ({IS_CREATED} OR {IS_UPDATED}))
SELECT is_updated, reason, count(*) FROM result GROUP BY is_updated, reason
"""
# A record that the import itself has written releases its value, unless it is kept.
IS_TAKEN = f"""
EXISTS (SELECT FROM {{table}} x
         WHERE {{has_key}} AND x.{{pk}} <> c.{{pk}}
           AND NOT EXISTS (SELECT FROM imports_importrow w
                            WHERE w.job_id = %(job)s AND w.target_id = x.{{pk}}::text
                              AND ({IS_CREATED.replace("r.", "w.")}
                                   OR {IS_UPDATED.replace("r.", "w.")})))
"""
COUNT_KEPT = """
SELECT kept, count(*) FROM imports_importrow WHERE job_id = %(job)s AND kept IS NOT NULL GROUP BY 1
"""


class KeptReason(TypedDict):
    """Why records are or would be kept, and how many."""

    code: str
    params: dict[str, Any]
    count: int


class UndoPreview(TypedDict):
    """The counts of an import after its undo, if nobody changes a record until then."""

    removed: int
    restored: int
    kept: int
    reasons: list[KeptReason]  # The most frequent one first.
    # False if the conditions could not be evaluated in time; the counts are then those of an undo
    # that keeps nothing. False also if a unique constraint cannot be evaluated.
    is_exact: bool


def build_undo_preview(job: ImportJob) -> UndoPreview:
    """Return what undoing the import, or the rest of it, would do.

    Raises:
        Error: The database is not available.
    """
    if not is_registered(job.importer):
        return _make_optimistic_preview(job)
    target = get_job_target(job)
    conditions = build_conditions(job, target)
    model = get_importer(job.importer).model
    statement = COUNT_RESULTS.format(
        table=target.table,
        pk=target.pk,
        id=target.id_of_row,
        is_edited=conditions.is_edited,
        reference=conditions.reference,
        is_taken=_build_is_taken(model, target),
    )
    parameters = {"job": job.pk} | get_static_defaults(target)
    try:
        with atomic(), open_cursor() as cursor:
            cursor.execute(GET_TIMEOUT)
            (timeout,) = cursor.fetchone()
            cursor.execute(SET_TIMEOUT, {"timeout": f"{MAX_SECONDS}s"})
            cursor.execute(statement, parameters)
            results = cursor.fetchall()
            cursor.execute(SET_TIMEOUT, {"timeout": timeout})
    except Error as error:
        if get_sqlstate(error) != QUERY_CANCELED:
            raise
        return _make_optimistic_preview(job)
    removed, restored, counts = job.removed, job.restored, _count_kept(job)
    for is_updated, reason, count in results:
        if reason is not None:
            kept = {"code": reason, "params": {}}
            if reason.isdecimal():
                label = conditions.references[int(reason)].label
                kept = {"code": "referred_to", "params": {"model": label}}
            key = json.dumps(kept, ensure_ascii=False)
            counts[key] = counts.get(key, 0) + count
        elif is_updated:
            restored += count
        else:
            removed += count
    return {
        "removed": removed,
        "restored": restored,
        "kept": sum(counts.values()),
        "reasons": _list_reasons(counts),
        "is_exact": restored == 0 or not _has_other_constraints(model),
    }


def list_kept_reasons(job: ImportJob) -> list[KeptReason]:
    """Return why undo has kept records of the import, the most frequent reason first."""
    return _list_reasons(_count_kept(job))


def _count_kept(job: ImportJob) -> dict[str, int]:
    """Return the number of kept rows by their reason, as JSON text."""
    with open_cursor() as cursor:
        cursor.execute(COUNT_KEPT, {"job": job.pk})
        return dict(cursor.fetchall())


def _list_reasons(counts: Mapping[str, int]) -> list[KeptReason]:
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    reasons = [(json.loads(kept), count) for kept, count in pairs]
    return [
        {"code": kept["code"], "params": kept["params"], "count": count} for kept, count in reasons
    ]


def _make_optimistic_preview(job: ImportJob) -> UndoPreview:
    return {
        "removed": job.created,
        "restored": job.updated,
        "kept": 0,
        "reasons": [],
        "is_exact": False,
    }


def _build_is_taken(model: type[Model], target: TargetTable) -> str:
    """Return SQL for whether another record has a previous value that must be unique."""
    restored = {
        column.field: value
        for column, value in zip(target.columns, target.restored_values(), strict=True)
    }
    arms = []
    for names in get_unique_fields(model):
        if restored.keys().isdisjoint(names):
            continue
        fields = [(name, quote_column(get_model_field(model, name))) for name in names]
        has_key = " AND ".join(
            f"x.{column} = {restored.get(name, f'c.{column}')}" for name, column in fields
        )
        arms.append(IS_TAKEN.format(table=target.table, pk=target.pk, has_key=has_key))
    return " OR ".join(arms) or "false"


def _has_other_constraints(model: type[Model]) -> bool:
    """Return whether the model has a unique constraint that `get_unique_fields` leaves out."""
    return any(
        isinstance(constraint, UniqueConstraint)
        and (not constraint.fields or constraint.condition is not None)
        for constraint in model._meta.constraints
    )
