"""The queue of uploaded files: which imports wait to be checked, and in which order."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Case, F, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce, Now

from imports.conf import app_settings
from imports.statuses import Status

if TYPE_CHECKING:
    from imports.models import ImportJob  # noqa: F401  The type below names it in quotes.

# An owner's imports that were uploaded earlier do not count when owners take turns.
FAIRNESS_WINDOW = timedelta(days=1)
# A file that has waited longer goes before the smaller files of its owner.
MAX_WAIT = timedelta(minutes=1)


class QueueQuerySet(models.QuerySet["ImportJob"]):
    """Imports as a queue of files that wait for a worker."""

    def waiting(self) -> QueueQuerySet:
        """Return the imports in status QUEUED, in the order in which they are checked.

        Owners take turns: first come the files of the owner whose latest check began longest
        ago. Among the files of one owner, those that have waited for longer than MAX_WAIT come
        first, in the order of their waiting; the others follow by size, the smallest first.
        """
        has_waited_long = Q(phase_started_at__lt=Now() - MAX_WAIT)
        waiting_since = Case(When(has_waited_long, then=F("phase_started_at")))
        imports_of_owner = self.filter(
            owner=OuterRef("owner"), created_at__gt=Now() - FAIRNESS_WINDOW
        )
        served = imports_of_owner.filter(Q(started_at__isnull=False) | Q(needs_main_reader=True))
        # An import that was put back into the queue has no started_at.
        served_at = Coalesce("started_at", "phase_started_at")
        latest = served.annotate(at=served_at).order_by("-at").values("at")[:1]
        return self.filter(status=Status.QUEUED).order_by(
            Subquery(latest).asc(nulls_first=True),
            waiting_since.asc(nulls_last=True),
            "file_size",
            "created_at",
        )

    def with_expired_heartbeat(self) -> QueueQuerySet:
        """Return the imports in status CHECKING whose reading worker sends no heartbeat."""
        expired = Now() - timedelta(seconds=app_settings.READER_HEARTBEAT_TIMEOUT_SECONDS)
        return self.filter(
            Q(reader_heartbeat_at=None) | Q(reader_heartbeat_at__lt=expired), status=Status.CHECKING
        ).order_by("created_at")
