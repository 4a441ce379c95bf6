"""A live bar in the terminal; a few plain lines where the output is not one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

WIDTH = 30
PLAIN_STEP_PERCENT = 25
CLEAR_LINE = "\r\x1b[K"


def show(snapshots: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Draw each snapshot as it comes and return the last."""
    draw = draw_over if sys.stdout.isatty() else PlainLines()
    for snapshot in snapshots:
        draw(snapshot)
    if sys.stdout.isatty():
        print()
    return snapshot


def draw_over(snapshot: dict[str, Any]) -> None:
    """One line, drawn over and over."""
    full, empty = "█░" if "utf" in (sys.stdout.encoding or "").lower() else "#."
    filled = WIDTH * snapshot["progress_percent"] // 100
    bar = full * filled + empty * (WIDTH - filled)
    print(f"{CLEAR_LINE}  {bar} {words(snapshot)}", end="", flush=True)


class PlainLines:
    """A line at each quarter of the way."""

    def __init__(self) -> None:
        self.next_percent = 0

    def __call__(self, snapshot: dict[str, Any]) -> None:
        if snapshot["progress_percent"] >= self.next_percent:
            print(f"  {words(snapshot)}", flush=True)
            self.next_percent = snapshot["progress_percent"] + PLAIN_STEP_PERCENT


def words(snapshot: dict[str, Any]) -> str:
    is_checking = snapshot["total"] is None
    rows, done = (
        (snapshot["checked"], "checked") if is_checking else (snapshot["processed"], "done")
    )
    speed = snapshot["live"]["rows_per_second"]
    return f"{snapshot['progress_percent']:3} %  {rows:,} rows {done}" + (
        f", {speed:,.0f} a second" if speed else ""
    )
