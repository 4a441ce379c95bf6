"""How fast an import was written, as the line of a small chart."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from imports.models import ImportJob

Sample = tuple[float, int]  # Seconds since the first batch began, and rows done by then.

WIDTH, HEIGHT = 600, 60
MOST_SAMPLES = 60
SHORTEST = 0.25  # Two commits of a moment make no speed.
FEWEST_SAMPLES = 4  # With fewer, there is nothing to see.


def chart_of(job: ImportJob) -> dict[str, Any]:
    batches = job.batches.filter(applied_at__isnull=False, started_at__isnull=False)
    times = list(batches.order_by("applied_at").values_list("started_at", "applied_at", "rows"))
    if not times:
        return {"points": "", "peak": None}
    began = min(started for started, _, _ in times)
    samples, done = [(0.0, 0)], 0
    for _, applied, rows in times:
        done += rows
        samples = with_sample(samples, ((applied - began).total_seconds(), done))
    return {
        "points": points(samples) if len(samples) >= FEWEST_SAMPLES else "",
        "peak": round(max(rates(samples))),
    }


def with_sample(samples: list[Sample], newest: Sample) -> list[Sample]:
    """One sample more, in the place of one that is too near."""
    nearest = max(SHORTEST, newest[0] / MOST_SAMPLES)
    if len(samples) > 1 and newest[0] - samples[-2][0] < nearest:
        samples = samples[:-1]
    return [*samples, newest]


def rates(samples: list[Sample]) -> list[float]:
    pairs = pairwise(samples)
    return [(done - before) / max(t - earlier, 0.001) for (earlier, before), (t, done) in pairs]


def points(samples: list[Sample]) -> str:
    """The outline of the area below the line."""
    speeds = rates(samples)
    across, up = WIDTH / samples[-1][0], HEIGHT / max(*speeds, 1)
    line = [
        f"{t * across:.0f},{HEIGHT - speed * up:.0f}"
        for (t, _), speed in zip(samples, [speeds[0], *speeds], strict=True)
    ]
    return " ".join([f"0,{HEIGHT}", *line, f"{WIDTH},{HEIGHT}"])
