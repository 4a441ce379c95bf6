"""Show the progress of an import in a terminal, or as a few lines if output is redirected."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

# An import as the REST API returns it.
Snapshot = dict[str, Any]

BAR_FORMAT = "  {bar:30} {desc}"
LINE_STEP_PERCENT = 25


def show_progress(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Show each snapshot when it arrives, and return the last one. There must be at least one."""
    next_percent = 0
    # `disable=None`: without a terminal there is no bar, and a line at every LINE_STEP_PERCENT.
    with tqdm(total=100, bar_format=BAR_FORMAT, file=sys.stdout, disable=None) as bar:
        for snapshot in snapshots:
            percent = snapshot["progress_percent"]
            if bar.disable and percent >= next_percent:
                print(f"  {describe(snapshot)}", flush=True)
                next_percent = percent + LINE_STEP_PERCENT
            bar.n = percent
            bar.set_description_str(describe(snapshot))
    return snapshot


def describe(snapshot: Snapshot) -> str:
    """Return one line: percent, rows, and rows per second if known."""
    if snapshot["total"] is None:
        rows, verb = snapshot["checked"], "checked"
    else:
        rows, verb = snapshot["processed"], "processed"
    text = f"{snapshot['progress_percent']:3} %  {rows:,} rows {verb}"
    rows_per_second = snapshot["live"]["rows_per_second"]
    return f"{text}, {rows_per_second:,.0f} rows/s" if rows_per_second else text
