"""The chart of how fast the rows of an import were written."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, TypedDict

from imports.models import ImportJob

CHART_WIDTH, CHART_HEIGHT = 600, 60  # As in the viewBox of templates/imports/chart.html.
MAX_POINTS = 60
MIN_INTERVAL_SECONDS = 0.25  # The rate between two commits of the same moment means nothing.
MIN_SAMPLES = 4


class Sample(NamedTuple):
    seconds: float  # Since the start of the first batch.
    rows: int  # Written by then.


class SpeedChart(TypedDict):
    points: str  # The points of an SVG polygon; "" if there are too few samples.
    peak: int | None  # Rows per second; None if no batch is written.


def build_speed_chart(job: ImportJob) -> SpeedChart:
    batches = job.batches.filter(applied_at__isnull=False, started_at__isnull=False)
    values = batches.order_by("applied_at").values_list("started_at", "applied_at", "rows")
    times = [
        (started_at, applied_at, rows)
        for started_at, applied_at, rows in values
        if started_at and applied_at
    ]
    if not times:
        return {"points": "", "peak": None}
    start = min(started_at for started_at, _, _ in times)
    samples, total = [Sample(0.0, 0)], 0
    for _, applied_at, rows in times:
        total += rows
        samples = _add_sample(samples, Sample((applied_at - start).total_seconds(), total))
    return {
        "points": _build_points(samples) if len(samples) >= MIN_SAMPLES else "",
        "peak": round(max(_compute_rates(samples))),
    }


def _add_sample(samples: list[Sample], newest: Sample) -> list[Sample]:
    """Append a sample. It replaces the last one if that is too close to the one before."""
    min_interval = max(MIN_INTERVAL_SECONDS, newest.seconds / MAX_POINTS)
    if len(samples) > 1 and newest.seconds - samples[-2].seconds < min_interval:
        samples = samples[:-1]
    return [*samples, newest]


def _compute_rates(samples: list[Sample]) -> list[float]:
    """Return the rows per second between each two samples."""
    return [
        (end.rows - start.rows) / max(end.seconds - start.seconds, 0.001)
        for start, end in pairwise(samples)
    ]


def _build_points(samples: list[Sample]) -> str:
    """Return the outline of the area below the line."""
    rates = _compute_rates(samples)
    x_scale, y_scale = CHART_WIDTH / samples[-1].seconds, CHART_HEIGHT / max(*rates, 1)
    line = [
        f"{sample.seconds * x_scale:.0f},{CHART_HEIGHT - rate * y_scale:.0f}"
        for sample, rate in zip(samples, [rates[0], *rates], strict=True)
    ]
    return " ".join([f"0,{CHART_HEIGHT}", *line, f"{CHART_WIDTH},{CHART_HEIGHT}"])
