"""Estimate how long an import takes, from the speed of recent imports."""

from __future__ import annotations

from math import ceil

from django.db.models import F, Sum
from django.db.models.functions import Now

from imports.models import ImportJob
from imports.statuses import Status

MAX_COMPARED_IMPORTS = 20
MIN_COMPARED_ROWS = 100  # A smaller import spends most of its time in the queue.
DEFAULT_ROWS_PER_SECOND = 5_000  # If no import has ended yet.


def estimate_seconds(rows: int) -> int:
    """Return the seconds, at least one, until `rows` more rows are written."""
    running = ImportJob.objects.filter(status=Status.RUNNING)
    rows_ahead = running.aggregate(rows=Sum(F("total") - F("processed")))["rows"] or 0
    return max(1, ceil((rows + rows_ahead) / _measure_rows_per_second()))


def _measure_rows_per_second() -> float:
    finished = ImportJob.objects.filter(
        status=Status.COMPLETE,
        check_first=False,  # Other imports have waited for a person.
        total__gte=MIN_COMPARED_ROWS,
        started_at__lt=Now(),
    )
    latest = finished.order_by("-finished_at").values_list("total", "started_at", "finished_at")
    rows, seconds = 0, 0.0
    for total, started_at, finished_at in latest[:MAX_COMPARED_IMPORTS]:
        if total and started_at and finished_at:
            rows += total
            seconds += (finished_at - started_at).total_seconds()
    return max(1.0, rows / seconds) if seconds > 0 else DEFAULT_ROWS_PER_SECOND
