"""Provenance: which records imports have written, and which row of which import wrote a record.

The app `imports` knows no model of the apps that use it, so these pass their models. The queries
read no other rows than those of the given imports or records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, F, Model, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast

from imports.importer import list_importers
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.statuses import Outcome, Status

# A row without an outcome has created a record if a record with its key exists. The key was
# reserved for this row, so the record exists only after the row's batch is applied.
HAS_CREATED = Q(outcome=None, matched=False)
HAS_UPDATED = Q(outcome=Outcome.UPDATED)
HAS_OUTCOME: Mapping[str | None, Q] = {
    None: HAS_CREATED | HAS_UPDATED,
    Outcome.CREATED: HAS_CREATED,
    Outcome.UPDATED: HAS_UPDATED,
}


class Provenance(NamedTuple):
    """The import and the row that wrote a record last."""

    job_id: UUID
    row: int


def find_written_records(
    jobs: QuerySet[ImportJob], model: type[Model], outcome: str | None = None
) -> QuerySet[Any]:
    """Return the records of `model` that these imports have written.

    `outcome` is Outcome.CREATED, Outcome.UPDATED, or None for both.
    """
    rows = ImportRow.objects.filter(HAS_OUTCOME[outcome], _is_of_imports(jobs, model))
    # The same condition on both types, so that an index fits whichever side comes first.
    rows = rows.annotate(key=Cast("target_id", model._meta.pk)).filter(
        target_id=Cast(OuterRef("pk"), TextField()), key=OuterRef("pk")
    )
    return model._default_manager.filter(Exists(rows))


def find_provenance(records: Iterable[Model], jobs: QuerySet[ImportJob]) -> dict[Any, Provenance]:
    """Return, by primary key, the provenance of each record that one of these imports has written.

    One query for all records, which must be of the same model.
    """
    keys = {str(record.pk): record.pk for record in records}
    if not keys:
        return {}
    model = type(next(iter(records)))
    holds_row = Q(first_row__lte=OuterRef("number"), last_row__gte=OuterRef("number"))
    batch = ImportBatch.objects.filter(holds_row, job=OuterRef("job_id"))
    rows = ImportRow.objects.filter(
        HAS_OUTCOME[None], _is_of_imports(jobs, model), target_id__in=keys
    )
    rows = rows.annotate(written_at=Subquery(batch.values("applied_at")[:1]))
    rows = rows.order_by("target_id", F("written_at").desc(nulls_last=True), "-number")
    newest = rows.distinct("target_id").values_list("target_id", "job_id", "number")
    return {
        keys[key]: Provenance(job_id, number) for key, job_id, number in newest if key is not None
    }


def _is_of_imports(jobs: QuerySet[ImportJob], model: type[Model]) -> Q:
    """Return the condition that a row belongs to an import that has written this model.

    Of an undone import, only the rows whose records undo has kept. Records of two models may have
    the same key.
    """
    importers = [each.name for each in list_importers() if each.model is model]
    # Lists of ids, no subqueries: PostgreSQL then knows the number of imports, and decides well
    # whether to begin with their rows or with the records.
    statuses = list(jobs.filter(importer__in=importers).values_list("pk", "status"))
    undone = [pk for pk, status in statuses if status == Status.UNDONE]
    others = [pk for pk, status in statuses if status != Status.UNDONE]
    return Q(job__in=others) | Q(job__in=undone, kept__isnull=False)
