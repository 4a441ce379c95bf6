"""How an import's status changes, by one statement that looks and moves at once; and which
imports wait for a reader, in what order.
"""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, F, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce, Now

from imports.statuses import FINAL, Status, may_become

# The only line of code that writes an import's status. One statement both looks and
# moves, so of two processes racing here exactly one gets the row back.
MOVE = """
UPDATE imports_importjob
   SET status = %(target)s, error_code = %(error_code)s, error_params = %(error_params)s::jsonb,
       version = version + 1, updated_at = now(),
       started_at = CASE WHEN %(is_work)s THEN coalesce(started_at, now()) ELSE started_at END,
       phase_started_at = now(),
       phase_rows = CASE WHEN %(target)s = 'CHECKING' THEN checked ELSE processed END,
       progress_percent = CASE WHEN %(is_whole)s THEN 100 ELSE progress_percent END,
       finished_at = CASE WHEN %(is_final)s THEN now() END
 WHERE id = %(pk)s AND status = ANY(%(sources)s)
RETURNING *
"""

LATELY = timedelta(days=1)  # What was uploaded before is not looked at for whose turn it is.


class NotAllowed(Exception):
    """The import's status does not allow this."""


class ImportJobManager(models.Manager):
    def move(
        self,
        pk: uuid.UUID,
        target: Status,
        *,
        only_from: Status | None = None,
        error_code: str | None = None,
        error_params: dict[str, Any] | None = None,
    ) -> Any:
        """Move an import to `target` and return it, or raise NotAllowed and change nothing.

        `only_from` allows one of the statuses that may become `target`, and no other.
        """
        moved = self.raw(
            MOVE,
            {
                "pk": pk,
                "target": target,
                "sources": [only_from] if only_from else may_become(target),
                "is_work": target in {Status.CHECKING, Status.RUNNING},
                "is_whole": target in {Status.COMPLETE, Status.UNDONE},
                "is_final": target in FINAL,
                "error_code": error_code,
                "error_params": None if error_params is None else json.dumps(error_params),
            },
        )
        if job := next(iter(moved), None):
            return job
        status = self.values_list("status", flat=True).get(pk=pk)
        raise NotAllowed(f"An import that is {status} cannot become {target}.")

    def waiting(self) -> models.QuerySet:
        """Files that wait for a worker, the next one first.

        Owners take turns: who was served longest ago goes first. Of one owner's files it is
        the smaller, unless one has waited for a minute.
        """
        overdue = Q(phase_started_at__lt=Now() - timedelta(minutes=1))
        since = Case(When(overdue, then=F("phase_started_at")))
        of_the_owner = self.filter(owner=OuterRef("owner"), created_at__gt=Now() - LATELY)
        served = of_the_owner.filter(Q(started_at__isnull=False) | Q(is_costly=True))
        at = Coalesce("started_at", "phase_started_at")  # What was put back has no start.
        latest = served.annotate(at=at).order_by("-at").values("at")[:1]
        return self.filter(status=Status.QUEUED).order_by(
            Subquery(latest).asc(nulls_first=True),
            since.asc(nulls_last=True),
            "file_size",
            "created_at",
        )

    def abandoned(self) -> models.QuerySet:
        """Imports being checked whose reader has not been heard of for too long."""
        silent = Now() - timedelta(seconds=settings.IMPORT_READER_SILENT_SECONDS)
        return self.filter(
            Q(reader_seen_at=None) | Q(reader_seen_at__lt=silent), status=Status.CHECKING
        ).order_by("created_at")
