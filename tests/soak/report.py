"""The results of a soak as text, and as a page of the documentation."""

from __future__ import annotations

from collections import Counter

from docs.tables import format_table
from tests.soak.run import Result
from tests.soak.schedule import Schedule

PAGE = """# Results of the soak

`make soak SEEDS={seeds}` has written this page; do not edit it. [Testing](testing.md#soak)
describes what a run does and what it checks.

{summary}

{table}
"""
HEADER = (
    "seed", "imports", "rows", "accepted commands", "refused", "faults", "seconds", "violations",
)  # fmt: skip


def print_result(result: Result, schedule: Schedule) -> None:
    """Print a line; after a violation also what is needed to find its cause."""
    print(
        f"seed {result.seed}: {_list(result.statuses)}; accepted {_list(result.accepted)}; "
        f"refused {sum(result.refused.values())}; faults {_list(result.faults)}; "
        f"{result.seconds:.1f} s; {len(result.violations)} violations",
        flush=True,
    )
    if result.violations:
        print(f"--- Output of the workers:\n{result.log}---\n{schedule.describe()}")
        print("\n".join(["Violations:", *result.violations]), flush=True)


def format_report(results: list[Result]) -> str:
    """Return the page with one row for each seed."""
    rows = [
        (
            str(result.seed),
            _list(result.statuses),
            f"{result.rows:,}",
            _list(result.accepted),
            str(sum(result.refused.values())),
            _list(result.faults),
            f"{result.seconds:.1f}",
            str(len(result.violations)),
        )
        for result in results
    ]
    return PAGE.format(
        seeds=f"{results[0].seed}-{results[-1].seed}",
        summary=_summarize(results),
        table=format_table(HEADER, rows),
    )


def _summarize(results: list[Result]) -> str:
    """Return the sums of all runs as a sentence."""
    faults = sum((result.faults for result in results), Counter())
    accepted = sum((result.accepted for result in results), Counter())
    refused = sum((result.refused for result in results), Counter())
    violations = sum(len(result.violations) for result in results)
    return (
        f"{len(results)} seeds: {sum(result.statuses.total() for result in results)} imports of "
        f"{sum(result.rows for result in results):,} rows, {accepted.total()} accepted and "
        f"{refused.total()} refused commands, {faults.total()} faults ({_list(faults)}), "
        f"**{violations} violations**."
    )


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name.lower()}" for name, count in sorted(counts.items())) or "none"
