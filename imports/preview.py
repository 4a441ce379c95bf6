"""What starting an import would do, as its rows were judged: counts, and samples to look at.

Asks little of a large import. Holds personal data: only for whoever may read its rows, and of
what exists only the records that its reader may see.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet

from imports import permissions
from imports.importer import get_importer, is_registered
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import User
from imports.pipeline.target_table import TargetTable, get_target_table
from imports.statuses import Status

MAX_SAMPLE_ROWS = 20
MAX_COMPARED_ROWS = 10_000  # So many rows are held against the records that they would update.
MAX_PREVIEW_VALUE_CHARS = 200  # Of a value, which may be a megabyte.

COMPARE = """
WITH looked_at AS MATERIALIZED (
    SELECT number FROM imports_importrow
     WHERE job_id = %(job)s AND outcome IS NULL AND matched
     ORDER BY number LIMIT %(compared)s),
compared AS MATERIALIZED (
    SELECT r.number, ROW({old}) IS DISTINCT FROM ROW({new}) AS differs
      FROM looked_at JOIN imports_importrow r
        ON r.job_id = %(job)s AND r.number = looked_at.number
      JOIN {table} c ON c.{pk} = {id})
SELECT number, differs, count(*) FILTER (WHERE NOT differs) OVER ()
  FROM compared ORDER BY differs DESC, number LIMIT %(sample)s
"""
UPDATES = """
SELECT r.number, r.target_id, ARRAY[{differ}], ARRAY[{shown_old}], ARRAY[{shown_new}]
  FROM imports_importrow r JOIN {table} c ON c.{pk} = {id}
 WHERE r.job_id = %(job)s AND r.number = ANY(%(numbers)s)
 ORDER BY r.number
"""
CREATES = """
SELECT r.number, ARRAY[{shown}] FROM imports_importrow r
 WHERE r.job_id = %(job)s AND r.outcome IS NULL AND NOT r.matched
 ORDER BY r.number LIMIT %(sample)s
"""


def build_preview(job: ImportJob, reader: User) -> dict[str, Any]:
    """What starting this import would do. Raises TransitionNotAllowed unless it is READY.

    Where `unchanged` is None, more rows match records than were compared, and `updated`
    counts all of them.
    """
    _ready(job)
    importer = get_importer(job.importer)
    target = get_target_table(importer)
    records = permissions.get_visible_records(reader, importer.model)
    unchanged, updates = _updates(job, target, records) if job.to_update else (0, [])
    to_create = job.total - job.processed - job.to_update
    creates = _creates(job, target) if to_create else []
    # Started, or checked anew, meanwhile: then the samples are of something else.
    if _ready(ImportJob.objects.get(pk=job.pk)).check_generation != job.check_generation:
        raise TransitionNotAllowed("This import has been checked again just now: ask again.")
    return {
        "checked_at": job.checked_at,
        "total": job.total,
        "created": to_create,
        "updated": job.to_update - (unchanged or 0),
        "unchanged": unchanged,
        "skipped": job.skipped,
        "failed": job.failed,
        "updates": updates,
        "creates": creates,
    }


def _ready(job: ImportJob) -> ImportJob:
    if job.status != Status.READY:
        raise TransitionNotAllowed(
            f"An import that is {job.status} has no preview; it has one while READY."
        )
    if not is_registered(job.importer):
        raise TransitionNotAllowed("What this file is imported by is no longer installed.")
    return job


def _updates(
    job: ImportJob, target: TargetTable, records: QuerySet[Any]
) -> tuple[int | None, list[dict[str, Any]]]:
    """How many rows would change nothing, if that is known, and the first that would."""
    compared = _asked(job, target, COMPARE)
    unchanged = compared[0][2] if compared else 0
    numbers = [number for number, differs, _ in compared if differs]
    found = _asked(job, target, UPDATES, numbers=numbers)
    visible = records.filter(pk__in=[key for _, key, *_ in found]).values_list("pk", flat=True)
    known = set(map(str, visible))
    # What an update leaves alone stands among its new values, too.
    updates = [
        {"row": number, "record": key, "changes": _changes(target, *values)}
        if key in known
        else {"row": number, "record": None, "changes": {}}
        for number, key, *values in found
    ]
    return unchanged if job.to_update <= MAX_COMPARED_ROWS else None, updates


def _changes(
    target: TargetTable, differ: list[bool], old: list[str | None], new: list[str | None]
) -> dict[str, dict[str, str | None]]:
    """What becomes of the fields that change."""
    cells = zip(target.columns, differ, old, new, strict=True)
    return {cell.field: {"old": was, "new": now} for cell, differs, was, now in cells if differs}


def _creates(job: ImportJob, target: TargetTable) -> list[dict[str, Any]]:
    fields = [cell.field for cell in target.columns]
    found = _asked(job, target, CREATES)
    return [{"row": number, "values": dict(zip(fields, v, strict=True))} for number, v in found]


def _asked(
    job: ImportJob, target: TargetTable, statement: str, **these: Any
) -> list[tuple[Any, ...]]:
    old = [f"c.{cell.column}" for cell in target.columns]
    new = target.updated_values(job)
    pairs = zip(old, new, strict=True)
    sql = statement.format(
        table=target.table,
        pk=target.pk,
        id=target.id_of_row,
        old=", ".join(old),
        new=", ".join(new),
        differ=", ".join(f"{was} IS DISTINCT FROM {now}" for was, now in pairs),
        shown_old=_shown(old),
        shown_new=_shown(new),
        shown=_shown([f"r.cleaned[{cell.position}]" for cell in target.columns]),
    )
    limits = {"job": job.pk, "compared": MAX_COMPARED_ROWS, "sample": MAX_SAMPLE_ROWS}
    with connection.cursor() as cursor:
        cursor.execute(sql, limits | these)
        return cursor.fetchall()


def _shown(values: list[str]) -> str:
    return ", ".join(f"left(({value})::text, {MAX_PREVIEW_VALUE_CHARS})" for value in values)
