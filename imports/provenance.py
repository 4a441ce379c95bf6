"""Which records imports have written, and which row each record came from.

`imports` knows no model of the apps that use it: they pass theirs. Nothing here looks at more
rows than the imports or the records asked about have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, F, Model, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast

from imports.importer import list_importers
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.statuses import Outcome

# True of a row whose record exists, and then only if its batch is applied: the key was drawn
# for this row alone, and nothing else has written a record under it.
HAS_CREATED = Q(outcome=None, matched=False)
HAS_UPDATED = Q(outcome=Outcome.UPDATED)
HAS_OUTCOME: Mapping[str | None, Q] = {
    None: HAS_CREATED | HAS_UPDATED,
    Outcome.CREATED: HAS_CREATED,
    Outcome.UPDATED: HAS_UPDATED,
}


class Provenance(NamedTuple):
    job_id: UUID
    row: int


def find_written_records(
    jobs: QuerySet[ImportJob], model: type[Model], outcome: str | None = None
) -> QuerySet[Any]:
    """The model's records that these imports have created or updated, or only one of both."""
    # As a list: the planner then knows how many imports they are, and chooses well whether to
    # go from their rows to the records or the other way round.
    ids = list(_into(model, jobs).values_list("pk", flat=True))
    rows = ImportRow.objects.filter(HAS_OUTCOME[outcome], job__in=ids)
    # Twice the same, so that either way has its index.
    rows = rows.annotate(key=Cast("target_id", model._meta.pk)).filter(
        target_id=Cast(OuterRef("pk"), TextField()), key=OuterRef("pk")
    )
    return model._default_manager.filter(Exists(rows))


def find_provenance(records: Iterable[Model], jobs: QuerySet[ImportJob]) -> dict[Any, Provenance]:
    """By its key, the row of these imports that has written each record last; in one query."""
    keys = {str(record.pk): record.pk for record in records}
    if not keys:
        return {}
    model = type(next(iter(records)))
    around = Q(first_row__lte=OuterRef("number"), last_row__gte=OuterRef("number"))
    batch = ImportBatch.objects.filter(around, job=OuterRef("job_id"))
    rows = ImportRow.objects.filter(
        HAS_OUTCOME[None], target_id__in=keys, job__in=_into(model, jobs)
    )
    rows = rows.annotate(written_at=Subquery(batch.values("applied_at")[:1]))
    rows = rows.order_by("target_id", F("written_at").desc(nulls_last=True), "-number")
    newest = rows.distinct("target_id").values_list("target_id", "job_id", "number")
    return {keys[key]: Provenance(job_id, number) for key, job_id, number in newest}


def _into(model: type[Model], jobs: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
    """Those of the imports that write the model: keys of two models may be alike."""
    return jobs.filter(importer__in=[each.name for each in list_importers() if each.model is model])
