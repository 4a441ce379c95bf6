"""Show the progress of an import in a terminal, or as a few lines if output is redirected."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

# An import as the REST API returns it.
Snapshot = dict[str, Any]

BAR_CHARS = 30
LINE_STEP_PERCENT = 25
CLEAR_LINE = "\r\x1b[K"


def show_progress(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Show each snapshot when it arrives, and return the last one. There must be at least one."""
    is_terminal = sys.stdout.isatty()
    show: Callable[[Snapshot], None] = redraw_bar if is_terminal else LinePrinter()
    for snapshot in snapshots:
        show(snapshot)
    if is_terminal:
        print()
    return snapshot


def redraw_bar(snapshot: Snapshot) -> None:
    """Replace the current line of the terminal by a new bar."""
    full, empty = "█░" if "utf" in (sys.stdout.encoding or "").lower() else "#."
    full_chars = BAR_CHARS * snapshot["progress_percent"] // 100
    bar = full * full_chars + empty * (BAR_CHARS - full_chars)
    print(f"{CLEAR_LINE}  {bar} {describe(snapshot)}", end="", flush=True)


class LinePrinter:
    """Print a line at every LINE_STEP_PERCENT."""

    def __init__(self) -> None:
        self.next_percent = 0

    def __call__(self, snapshot: Snapshot) -> None:
        if snapshot["progress_percent"] >= self.next_percent:
            print(f"  {describe(snapshot)}", flush=True)
            self.next_percent = snapshot["progress_percent"] + LINE_STEP_PERCENT


def describe(snapshot: Snapshot) -> str:
    """Return one line: percent, rows, and rows per second if known."""
    if snapshot["total"] is None:
        rows, verb = snapshot["checked"], "checked"
    else:
        rows, verb = snapshot["processed"], "processed"
    text = f"{snapshot['progress_percent']:3} %  {rows:,} rows {verb}"
    rows_per_second = snapshot["live"]["rows_per_second"]
    return f"{text}, {rows_per_second:,.0f} rows/s" if rows_per_second else text
