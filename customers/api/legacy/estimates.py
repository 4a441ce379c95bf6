"""How long an import will take, judged by those that lately went before it."""

from __future__ import annotations

from math import ceil

from django.db.models import F, Sum
from django.db.models.functions import Now

from imports.models import ImportJob
from imports.statuses import Status

LATEST = 20
FEWEST_ROWS = 100  # Below, it is the queue that takes the time.
ROWS_A_SECOND = 5_000  # Where nothing went before.


def estimate_seconds(rows: int) -> int:
    """Whole seconds, one at least, until `rows` more rows are done."""
    running = ImportJob.objects.filter(status=Status.RUNNING)
    ahead = running.aggregate(left=Sum(F("total") - F("processed")))["left"] or 0
    return max(1, ceil((rows + ahead) / rows_a_second()))


def rows_a_second() -> float:
    finished = ImportJob.objects.filter(
        # Those checked first have waited for a person.
        status=Status.COMPLETE,
        check_first=False,
        total__gte=FEWEST_ROWS,
        started_at__lt=Now(),
    )
    latest = finished.order_by("-finished_at").values_list("total", "started_at", "finished_at")
    times = [(rows, (end - start).total_seconds()) for rows, start, end in latest[:LATEST]]
    seconds = sum(took for _, took in times)
    return max(1.0, sum(rows for rows, _ in times) / seconds) if seconds > 0 else ROWS_A_SECOND
