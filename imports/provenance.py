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

from imports.importer import registered
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.statuses import Outcome

# True of a row whose record exists, and then only if its batch is applied: the key was drawn
# for this row alone, and nothing else has written a record under it.
CREATED = Q(outcome=None, matched=False)
UPDATED = Q(outcome=Outcome.UPDATED)
WROTE: Mapping[str | None, Q] = {
    None: CREATED | UPDATED,
    Outcome.CREATED: CREATED,
    Outcome.UPDATED: UPDATED,
}


class Origin(NamedTuple):
    job_id: UUID
    row: int


def written_by(
    jobs: QuerySet[ImportJob], model: type[Model], outcome: str | None = None
) -> QuerySet[Any]:
    """The model's records that these imports have created or updated, or only one of both."""
    # As a list: the planner then knows how many imports they are, and chooses well whether to
    # go from their rows to the records or the other way round.
    ids = list(_into(model, jobs).values_list("pk", flat=True))
    rows = ImportRow.objects.filter(WROTE[outcome], job__in=ids)
    # Twice the same, so that either way has its index.
    rows = rows.annotate(key=Cast("target_id", model._meta.pk)).filter(
        target_id=Cast(OuterRef("pk"), TextField()), key=OuterRef("pk")
    )
    return model._default_manager.filter(Exists(rows))


def origins_of(records: Iterable[Model], jobs: QuerySet[ImportJob]) -> dict[Any, Origin]:
    """By its key, the row of these imports that has written each record last; in one query."""
    keys = {str(record.pk): record.pk for record in records}
    if not keys:
        return {}
    model = type(next(iter(records)))
    around = Q(first_row__lte=OuterRef("number"), last_row__gte=OuterRef("number"))
    batch = ImportBatch.objects.filter(around, job=OuterRef("job_id"))
    rows = ImportRow.objects.filter(WROTE[None], target_id__in=keys, job__in=_into(model, jobs))
    rows = rows.annotate(written_at=Subquery(batch.values("applied_at")[:1]))
    rows = rows.order_by("target_id", F("written_at").desc(nulls_last=True), "-number")
    newest = rows.distinct("target_id").values_list("target_id", "job_id", "number")
    return {keys[key]: Origin(job_id, number) for key, job_id, number in newest}


def _into(model: type[Model], jobs: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
    """Those of the imports that write the model: keys of two models may be alike."""
    return jobs.filter(importer__in=[each.name for each in registered() if each.model is model])
