"""Show what workers and imports do: `python manage.py imports_status [ID] [--json]`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypedDict
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from imports.error_messages import (
    advise_on_stalled_reason,
    describe_stalled_reason,
)
from imports.management.base import find_import
from imports.models import HookCall, ImportJob
from imports.postgres import get_sqlstate, open_cursor
from imports.snapshots import Snapshot, build_snapshot, format_time, list_waiting_ids
from imports.statuses import (
    FINAL_STATUSES,
    StalledReason,
    Status,
    get_status_label,
    has_only_failed_rows,
)
from imports.worker_status import LiveWorker, can_use_redis, list_live_workers

# Sessions that keep the steps of imports waiting. A step waits for a lock for half a second at a
# time, so a session counts too if it holds a lock on a table that a waiting step has asked for.
FIND_BLOCKING_SESSIONS = r"""
SELECT DISTINCT blocker.pid, blocker.application_name, blocker.state,
       extract(epoch FROM now() - blocker.xact_start)::int
  FROM pg_stat_activity waiting
  CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
  JOIN pg_stat_activity blocker ON blocker.pid = blocking.pid
 WHERE waiting.datname = current_database() AND waiting.wait_event_type = 'Lock'
   AND waiting.application_name ~ '^imports step, at most \d+ s$'
   AND blocker.application_name !~ '^imports step, at most \d+ s$'
 ORDER BY blocker.pid
"""


class Session(TypedDict):
    """A database session that keeps imports waiting. Its statements may hold personal data."""

    pid: int
    application_name: str
    state: str
    transaction_seconds: int | None


class HookFailure(TypedDict):
    """A call of a hook that is not made again."""

    import_id: str
    hook: str
    attempts: int
    error: str
    gave_up_at: str


class StatusReport(TypedDict):
    """What the command prints with `--json`."""

    needs_attention: bool
    database: bool
    redis: bool
    workers: list[dict[str, Any]]
    imports: list[Snapshot]
    file_names: dict[str, str]
    hooks_given_up: list[HookFailure]
    blocking_sessions: list[Session]


class Command(BaseCommand):
    help = (
        "Show whether database, Redis and workers work, what each worker does, and the imports "
        "that have not ended, with the reason if one makes no progress. The exit status is 1 if "
        "something needs attention."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "job_id",
            nargs="?",
            type=UUID,
            metavar="ID",
            help="Show one import, also if it has ended.",
        )
        parser.add_argument(
            "--json", dest="is_json", action="store_true", help="Print JSON, for programs."
        )

    def handle(self, *, job_id: UUID | None, is_json: bool, **options: Any) -> None:
        try:
            report = build_report(job_id)
        except Error as error:
            report = build_report_without_database()
            if not is_json:
                raise CommandError(
                    f"The database does not answer (SQLSTATE {get_sqlstate(error)}). "
                    f"{describe_redis(report)} Start PostgreSQL, or correct its address."
                ) from error
        if is_json:
            self.stdout.write(json.dumps(report, indent=2))
        else:
            for line in describe_report(report):
                self.stdout.write(line)
        if report["needs_attention"]:
            raise CommandError("Something needs attention: see above.")


def build_report(job_id: UUID | None) -> StatusReport:
    """Read the state of the app; with an id, that of one import.

    Raises:
        CommandError: There is no such import.
        Error: The database does not answer.
    """
    if job_id is None:
        unfinished = ImportJob.objects.exclude(status__in=sorted(FINAL_STATUSES))
        unfinished = unfinished.filter(is_preview=False)
        jobs = list(unfinished.defer(*ImportJob.LARGE_FIELDS).order_by("created_at"))
        hook_calls = HookCall.objects.all()
    else:
        jobs = [find_import(job_id)]
        hook_calls = HookCall.objects.filter(job=job_id)
    waiting = list_waiting_ids(jobs)
    report: StatusReport = {
        "needs_attention": False,
        "database": True,
        "redis": can_use_redis(),
        "workers": [describe_worker(worker) for worker in list_live_workers()],
        "imports": [build_snapshot(job, waiting=waiting) for job in jobs],
        "file_names": {str(job.pk): job.file_name for job in jobs},
        "hooks_given_up": [
            {
                "import_id": str(call.job_id),
                "hook": call.hook,
                "attempts": call.attempts,
                "error": call.error,
                "gave_up_at": format_time(call.gave_up_at),
            }
            for call in hook_calls.exclude(gave_up_at=None)
            if call.gave_up_at is not None
        ],
        "blocking_sessions": find_blocking_sessions(),
    }
    report["needs_attention"] = needs_attention(report)
    return report


def build_report_without_database() -> StatusReport:
    return {
        "needs_attention": True,
        "database": False,
        "redis": can_use_redis(),
        "workers": [],
        "imports": [],
        "file_names": {},
        "hooks_given_up": [],
        "blocking_sessions": [],
    }


def needs_attention(report: StatusReport) -> bool:
    """Return whether a person should do something."""
    return (
        not report["redis"]
        or not report["workers"]
        or bool(report["hooks_given_up"])
        or any(
            snapshot["live"]["stalled"]
            or snapshot["status"] == Status.FAILED
            or has_only_failed_rows(snapshot["status"], snapshot["success"])
            for snapshot in report["imports"]
        )
    )


def describe_worker(worker: LiveWorker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "threads": worker.threads,
        "current_work": worker.current_work,
    }


def find_blocking_sessions() -> list[Session]:
    with open_cursor() as cursor:
        cursor.execute(FIND_BLOCKING_SESSIONS)
        return [
            {"pid": pid, "application_name": name, "state": state, "transaction_seconds": seconds}
            for pid, name, state, seconds in cursor.fetchall()
        ]


# --- Sentences ---------------------------------------------------------------


def describe_report(report: StatusReport) -> Iterator[str]:
    """Yield the lines that the command prints."""
    yield f"The database answers. {describe_redis(report)}"
    yield from _describe_workers(report)
    if not report["imports"]:
        yield "No import is under way."
    for snapshot in report["imports"]:
        yield from _describe_import(snapshot, report["file_names"][snapshot["id"]])
    for session in report["blocking_sessions"]:
        yield (
            f"The database session {session['pid']} ({session['application_name'] or 'no name'}, "
            f"{session['state']}) keeps imports waiting. Its transaction is "
            f"{session['transaction_seconds']} s old. `SELECT pg_terminate_backend("
            f"{session['pid']})` ends it."
        )
    for call in report["hooks_given_up"]:
        yield (
            f"Import {call['import_id']}: {call['hook']} was given up after {call['attempts']} "
            f"attempts ({call['error']}). Correct the code of the importer."
        )


def describe_redis(report: StatusReport) -> str:
    if report["redis"]:
        return "Redis answers and stores messages."
    advice = advise_on_stalled_reason(StalledReason.REDIS_UNAVAILABLE)
    return f"Redis does not answer or stores no messages. {advice}"


def _describe_workers(report: StatusReport) -> Iterator[str]:
    workers = report["workers"]
    if not workers:
        yield f"No worker is running. {advise_on_stalled_reason(StalledReason.NO_WORKER)}"
        return
    yield f"{len(workers)} {'worker is' if len(workers) == 1 else 'workers are'} running."
    for worker in workers:
        steps = [f"{step['what']} for {step['seconds']} s" for step in worker["current_work"]]
        busy = f"{len(steps)} of {worker['threads']} threads busy"
        yield f"  {worker['name']}: {busy}{': ' if steps else '.'}{'; '.join(steps)}"


def _describe_import(snapshot: Snapshot, file_name: str) -> Iterator[str]:
    live, total = snapshot["live"], snapshot["total"]
    rows = (
        f"{snapshot['checked']:,} rows checked"
        if total is None
        else f"{snapshot['processed']:,} of {total:,} rows, {snapshot['failed']:,} failed"
    )
    label = get_status_label(snapshot["status"], snapshot["success"])
    position = f", position {live['queue_position']}" if live["queue_position"] else ""
    yield (
        f"Import {snapshot['id']} ({file_name}): {label}{position}, "
        f"{snapshot['progress_percent']} %, {rows}."
    )
    if snapshot["error_code"]:
        yield f"  {snapshot['error_code']}: {snapshot['message']}"
    reason = live["stalled_reason"]
    if reason is not None:
        yield f"  {describe_stalled_reason(reason)} {advise_on_stalled_reason(reason)}"
