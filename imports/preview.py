"""The preview: what starting an import would do, as counts and samples.

The queries are cheap for a large import too. A preview holds personal data of the file, so it is
only for users who may see the import. Of existing records it shows only those that the user may
see.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from django.db.models import QuerySet

from imports import permissions
from imports.importer import get_importer, is_registered
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import User
from imports.pipeline.target_table import TargetTable, get_job_target
from imports.postgres import open_cursor
from imports.statuses import Status

MAX_SAMPLE_ROWS = 20
MAX_COMPARED_ROWS = 10_000  # Rows that are compared with the records that they would update.
MAX_PREVIEW_VALUE_CHARS = 200  # A longer value is cut.

COMPARE = """
WITH matched AS MATERIALIZED (
    SELECT number FROM imports_importrow
     WHERE job_id = %(job)s AND outcome IS NULL AND matched
     ORDER BY number LIMIT %(compared)s),
compared AS MATERIALIZED (
    SELECT r.number, ROW({old}) IS DISTINCT FROM ROW({new}) AS differs
      FROM matched JOIN imports_importrow r
        ON r.job_id = %(job)s AND r.number = matched.number
      JOIN {table} c ON c.{pk} = {id})
SELECT number, differs, count(*) FILTER (WHERE NOT differs) OVER ()
  FROM compared ORDER BY differs DESC, number LIMIT %(sample)s
"""
SELECT_UPDATES = """
SELECT r.number, r.target_id, ARRAY[{differ}], ARRAY[{shown_old}], ARRAY[{shown_new}]
  FROM imports_importrow r JOIN {table} c ON c.{pk} = {id}
 WHERE r.job_id = %(job)s AND r.number = ANY(%(numbers)s)
 ORDER BY r.number
"""
SELECT_CREATES = """
SELECT r.number, ARRAY[{shown}] FROM imports_importrow r
 WHERE r.job_id = %(job)s AND r.outcome IS NULL AND NOT r.matched
 ORDER BY r.number LIMIT %(sample)s
"""


class Change(TypedDict):
    """The old and the new value of one field, as text; None for NULL."""

    old: str | None
    new: str | None


class UpdateSample(TypedDict):
    """One row that would update a record."""

    row: int
    record: str | None  # The primary key; None if the user may not see the record.
    changes: dict[str, Change]  # By field; empty if the user may not see the record.


class CreateSample(TypedDict):
    """One row that would create a record."""

    row: int
    values: dict[str, str | None]  # By field.


class Preview(TypedDict):
    """What starting an import would do."""

    checked_at: datetime | None
    total: int
    created: int
    updated: int
    # None if more than MAX_COMPARED_ROWS rows match records. `updated` then counts all of them.
    unchanged: int | None
    skipped: int
    failed: int
    updates: list[UpdateSample]
    creates: list[CreateSample]


def build_preview(job: ImportJob, user: User) -> Preview:
    """Return what starting the import would do.

    Raises:
        TransitionNotAllowed: The import is not READY, or its importer is not installed any more,
            or the import was started or checked again in the meantime.
    """
    total = _validate_ready(job)
    importer = get_importer(job.importer)
    target = get_job_target(job)
    records = permissions.get_visible_records(user, importer.model)
    unchanged, updates = _build_update_samples(job, target, records) if job.to_update else (0, [])
    _mask_updates(updates, job, user)
    to_create = total - job.processed - job.to_update
    creates = _build_create_samples(job, target) if to_create else []
    _mask_creates(creates, job, user)
    # If the import was started or checked again meanwhile, the counts and samples do not match.
    newest = ImportJob.objects.get(pk=job.pk)
    _validate_ready(newest)
    if newest.check_generation != job.check_generation:
        raise TransitionNotAllowed("This import has been checked again just now: ask again.")
    return {
        "checked_at": job.checked_at,
        "total": total,
        "created": to_create,
        "updated": job.to_update - (unchanged or 0),
        "unchanged": unchanged,
        "skipped": job.skipped,
        "failed": job.failed,
        "updates": updates,
        "creates": creates,
    }


def _validate_ready(job: ImportJob) -> int:
    """Return the number of rows of the import, if it has a preview.

    Raises:
        TransitionNotAllowed: The import has no preview.
    """
    if job.status != Status.READY:
        raise TransitionNotAllowed(
            f"An import that is {job.status} has no preview; it has one while READY."
        )
    if not is_registered(job.importer):
        raise TransitionNotAllowed("What this file is imported by is no longer installed.")
    assert job.total is not None  # It is known as soon as a file is checked.
    return job.total


def _build_update_samples(
    job: ImportJob, target: TargetTable, records: QuerySet[Any]
) -> tuple[int | None, list[UpdateSample]]:
    """Return the number of rows that would change nothing, and samples of rows that would.

    The number is None if not all rows were compared.
    """
    compared = _fetch_sample_rows(job, target, COMPARE)
    unchanged = compared[0][2] if compared else 0
    numbers = [number for number, differs, _ in compared if differs]
    rows = _fetch_sample_rows(job, target, SELECT_UPDATES, numbers=numbers)
    visible = records.filter(pk__in=[key for _, key, *_ in rows]).values_list("pk", flat=True)
    visible_keys = set(map(str, visible))
    updates: list[UpdateSample] = [
        {"row": number, "record": key, "changes": _build_changes(target, *values)}
        if key in visible_keys
        else {"row": number, "record": None, "changes": {}}
        for number, key, *values in rows
    ]
    return unchanged if job.to_update <= MAX_COMPARED_ROWS else None, updates


def _build_changes(
    target: TargetTable, differ: list[bool], old: list[str | None], new: list[str | None]
) -> dict[str, Change]:
    """Return the fields that change."""
    columns = zip(target.columns, differ, old, new, strict=True)
    return {
        column.field: {"old": old_value, "new": new_value}
        for column, differs, old_value, new_value in columns
        if differs
    }


def _build_create_samples(job: ImportJob, target: TargetTable) -> list[CreateSample]:
    fields = [column.field for column in target.columns]
    return [
        {"row": number, "values": dict(zip(fields, values, strict=True))}
        for number, values in _fetch_sample_rows(job, target, SELECT_CREATES)
    ]


def _mask_updates(updates: list[UpdateSample], job: ImportJob, user: User) -> None:
    """Hide the values of sensitive columns; also from the owner those of existing records."""
    old_mask = permissions.get_record_mask(user, job)
    new_mask = permissions.get_value_mask(user, job)
    for update in updates:
        for field, change in update["changes"].items():
            change["old"] = old_mask.mask_value(field, change["old"])
            change["new"] = new_mask.mask_value(field, change["new"])


def _mask_creates(creates: list[CreateSample], job: ImportJob, user: User) -> None:
    mask = permissions.get_value_mask(user, job)
    for create in creates:
        values = create["values"].items()
        create["values"] = {field: mask.mask_value(field, value) for field, value in values}


def _fetch_sample_rows(
    job: ImportJob, target: TargetTable, statement: str, *, numbers: list[int] | None = None
) -> list[tuple[Any, ...]]:
    old_values = [f"c.{column.column}" for column in target.columns]
    new_values = target.updated_values(job)
    pairs = zip(old_values, new_values, strict=True)
    sql = statement.format(
        table=target.table,
        pk=target.pk,
        id=target.id_of_row,
        old=", ".join(old_values),
        new=", ".join(new_values),
        differ=", ".join(f"{old} IS DISTINCT FROM {new}" for old, new in pairs),
        shown_old=_cut_values(old_values),
        shown_new=_cut_values(new_values),
        shown=_cut_values([f"r.cleaned[{column.position}]" for column in target.columns]),
    )
    params: dict[str, UUID | int | list[int] | None] = {
        "job": job.pk,
        "compared": MAX_COMPARED_ROWS,
        "sample": MAX_SAMPLE_ROWS,
        "numbers": numbers,
    }
    with open_cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _cut_values(values: list[str]) -> str:
    """Return SQL for the beginnings of these values, as text."""
    return ", ".join(f"left(({value})::text, {MAX_PREVIEW_VALUE_CHARS})" for value in values)
