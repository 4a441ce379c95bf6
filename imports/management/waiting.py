"""Wait for an import in a terminal: its progress, its result, and why it does not move."""

from __future__ import annotations

import sys
import time
from uuid import UUID

from django.core.management.base import CommandError, OutputWrapper
from django.db import OperationalError
from django.template.defaultfilters import pluralize
from tqdm import tqdm

from imports import lifecycle
from imports.error_messages import (
    advise_on_stalled_reason,
    describe_job_error_with_labels,
    describe_stalled_reason,
)
from imports.failed_row_table import Problem, list_problems
from imports.models import ImportJob
from imports.postgres import close_lost_connection
from imports.snapshots import Snapshot
from imports.statuses import Outcome, StalledReason, Status, get_status_label
from imports.value_mask import make_value_mask

POLL_SECONDS = 0.25
# While the database does not answer.
RETRY_SECONDS = 2.0
MAX_PROBLEMS = 5
INTERRUPTED_STATUS = 130  # As of a program that SIGINT ends.
BAR_FORMAT = "{desc} {percentage:3.0f} % |{bar}| [{elapsed}{postfix}]"
# The import needs nobody's work in these statuses, or somebody's who is not a worker.
STATUSES_TO_WAIT_FOR = frozenset(
    {
        Status.MAPPING,
        Status.READY,
        Status.PAUSED,
        Status.COMPLETE,
        Status.CANCELLED,
        Status.FAILED,
        Status.UNDONE,
    }
)


def wait_for_import(job_id: UUID, output: OutputWrapper) -> None:
    """Show the progress of an import until no worker works on it, and print its result.

    On SIGINT, the import continues and the command ends.

    Raises:
        CommandError: The import has failed, some of its rows have failed, or it waits for a person
            although nobody asked for that. The exit status is 1.
        SystemExit: The person has pressed Ctrl-C. The exit status is 130.
    """
    try:
        job = _follow(job_id, output)
    except KeyboardInterrupt:
        output.write(
            f"\nThe import continues without this command. `imports_status {job_id}` says how far "
            f"it is, and `cancel_import {job_id}` cancels it."
        )
        sys.exit(INTERRUPTED_STATUS)
    print_result(job, output)


def _follow(job_id: UUID, output: OutputWrapper) -> ImportJob:
    """Show the progress until no worker works on the import, and return it then.

    Raises:
        CommandError: The import was deleted.
    """
    seen_reason: str | None = None
    # Without a terminal there is no bar: a log gets a line for each status.
    with tqdm(total=100, bar_format=BAR_FORMAT, file=sys.stderr, disable=None) as bar:
        seen_status = ""
        while True:
            snapshot = _read_snapshot(job_id)
            status, live = Status(snapshot["status"]), snapshot["live"]
            label = get_status_label(status, snapshot["success"])
            bar.set_description_str(label, refresh=False)
            bar.set_postfix_str(_describe_rows(snapshot), refresh=False)
            bar.n = snapshot["progress_percent"]
            bar.refresh()
            if bar.disable and status != seen_status:
                output.write(f"{label}.")
                output.flush()
            if live["stalled_reason"] != seen_reason and live["stalled_reason"] is not None:
                bar.clear()
                output.write(describe_stalled(live["stalled_reason"]))
                output.flush()
            seen_status, seen_reason = status, live["stalled_reason"]
            if status in STATUSES_TO_WAIT_FOR:
                break
            time.sleep(POLL_SECONDS)
    return ImportJob.objects.get(pk=job_id)


def _read_snapshot(job_id: UUID) -> Snapshot:
    """Return the snapshot. While the database does not answer, say so once and wait.

    Raises:
        CommandError: The import was deleted.
    """
    is_reported = False
    while True:
        try:
            return lifecycle.get_snapshot(job_id)
        except ImportJob.DoesNotExist:
            raise CommandError(f"The import {job_id} was deleted.") from None
        except OperationalError:
            close_lost_connection()
            if not is_reported:
                tqdm.write("The database does not answer. Waiting for it.", file=sys.stderr)
            is_reported = True
            time.sleep(RETRY_SECONDS)


def describe_stalled(reason: str) -> str:
    """Return why an import does not move, and what to do about it."""
    if reason == StalledReason.NO_WORKER:  # First what to do: the command waits for it.
        return f"No worker is running. {advise_on_stalled_reason(reason)} Waiting for it."
    return f"{describe_stalled_reason(reason)} {advise_on_stalled_reason(reason)}"


def _describe_rows(snapshot: Snapshot) -> str:
    rate = snapshot["live"]["rows_per_second"]
    if snapshot["total"] is None:
        text = f"{snapshot['checked']:,} rows checked"
    else:
        text = f"{snapshot['processed']:,} of {snapshot['total']:,} rows"
    return f"{text}, {rate:,} rows/s" if rate else text


# --- The result --------------------------------------------------------------


def print_result(job: ImportJob, output: OutputWrapper) -> None:
    """Print what became of an import, and the first problems of its rows.

    Raises:
        CommandError: As for `wait_for_import`.
    """
    if job.status == Status.READY:
        output.write(_describe_preview(job))
        _print_problems(job, output)
        output.write(f"Nothing is written yet. `start_import {job.pk}` starts the import.")
        return
    output.write(_describe_counts(job))
    _print_problems(job, output)
    if job.error_code:
        raise CommandError(
            f"{job.status_label}. "
            + describe_job_error_with_labels(job.importer, job.error_code, job.error_params)
        )
    if job.failed:
        rows = job.total or job.checked
        raise CommandError(f"{job.failed:,} of {rows:,} row{pluralize(rows)} failed.")
    if job.status not in (Status.COMPLETE, Status.UNDONE):
        raise CommandError(f"The import is not complete: {job.status_label.lower()}.")


def _describe_preview(job: ImportJob) -> str:
    to_create = (job.total or 0) - job.processed - job.to_update
    return (
        f"Checked {job.total or 0:,} row{pluralize(job.total)}. To create: {to_create:,}, to "
        f"update: {job.to_update:,}, to skip: {job.skipped:,}, failed: {job.failed:,}."
    )


def _describe_counts(job: ImportJob) -> str:
    """Return for example "Complete: 7 rows: 5 created, 1 skipped, 1 failed."."""
    counts = ", ".join(
        f"{count:,} {outcome}" for outcome in Outcome.values if (count := getattr(job, outcome))
    )
    rows = job.checked if job.total is None else job.total
    text = f"{job.status_label}: {rows:,} row{pluralize(rows)}"
    text = f"{text}: {counts}." if counts else f"{text}."
    if job.undone:
        text += f" Undone: {job.removed:,} removed, {job.restored:,} restored, {job.kept:,} kept."
    return text


def _print_problems(job: ImportJob, output: OutputWrapper) -> None:
    # The output of a command may be kept in a log, so it has no values of sensitive columns.
    listed = list_problems(job, make_value_mask(job.importer))
    problems = [each for each in listed if each.row_query.outcome == Outcome.FAILED]
    for problem in problems[:MAX_PROBLEMS]:
        output.write(f"  {_describe_problem(problem)}")
    if (more := len(problems) - MAX_PROBLEMS) > 0:
        output.write(f"  … and {more:,} more problem{pluralize(more)}.")


def _describe_problem(problem: Problem) -> str:
    """Return for example "3 rows (2, 5, 9): E-mail: This is not an e-mail address."."""
    numbers = ", ".join(map(str, problem.first_rows))
    more = ", …" if problem.count > len(problem.first_rows) else ""
    rows = f"{problem.count:,} row{pluralize(problem.count)} ({numbers}{more})"
    column = f"{problem.description.column}: " if problem.description.column else ""
    return f"{rows}: {column}{problem.description.reason}"
