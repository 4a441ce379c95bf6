"""One run of the soak: follow the schedule, lift the faults, let every import end, and check."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.uploadedfile import SimpleUploadedFile

from devserver.processes import wait_for
from imports import lifecycle
from imports.history import Actor, Command, Via
from imports.ledger import check_ledger
from imports.models import ImportJob, TransitionNotAllowed
from imports.statuses import FINAL_STATUSES, Status
from tests.conftest import create_user
from tests.database_cleanup import empty_tables
from tests.factories import get_outcomes
from tests.processes import flush_redis
from tests.soak.cluster import (
    Cluster,
    has_workers,
    is_idle,
    list_remaining_locks,
    make_slow,
    running_cluster,
)
from tests.soak.replay import ReplayedImport, find_contradictions
from tests.soak.schedule import (
    OWNERS,
    SECONDS,
    FileRow,
    PlannedCommand,
    PlannedImport,
    Schedule,
)
from tests.soak.watching import Watcher, find_steps_back
from tests.streams import make_session_cookie

POLL_SECONDS = 0.01
MAX_END_SECONDS = 90  # Until every import has ended, after the faults were lifted.
MAX_IDLE_SECONDS = 30  # Until nothing is left of the work, after every import has ended.
# The errors of a row that is correct by itself.
DUPLICATE_CODES = {"exists", "repeats_row", "matches_several", "record_deleted"}
MIN_KILLS_FOR_BLAME = 3  # From so many killed processes on, a row or a file may be blamed.
COMMANDS: dict[str, Callable[..., ImportJob]] = {
    "start": lifecycle.start,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "cancel": lifecycle.cancel,
    "undo": lifecycle.undo,
    "retry": lifecycle.retry,
}


@dataclass
class RunningImport:
    """An import of the run, the rows of its file, and the commands that it has accepted."""

    pk: UUID
    by: Actor
    rows: dict[int, FileRow]
    watcher: Watcher
    commands: list[str] = field(default_factory=list)


class Result(NamedTuple):
    seed: int
    statuses: Counter[str]
    rows: int
    accepted: Counter[str]
    refused: Counter[str]
    faults: Counter[str]
    seconds: float
    violations: list[str]
    log: str  # The output of the workers.


class Run:
    def __init__(self, schedule: Schedule, cluster: Cluster, port: int) -> None:
        self.schedule, self.cluster, self.port = schedule, cluster, port
        self.users = {name: create_user(name, "add_importjob") for name in OWNERS}
        self.cookies = {name: make_session_cookie(user) for name, user in self.users.items()}
        self.imports: list[RunningImport] = []
        self.uploads: list[RunningImport] = []  # Without those that a retry has created.
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []

    # --- The schedule ---------------------------------------------------------

    def follow_schedule(self) -> None:
        """Upload, command and inject as planned. What never becomes due within SECONDS is left."""
        uploads = list(self.schedule.imports)
        faults, commands = list(self.schedule.faults), list(self.schedule.commands)
        wait_for(has_workers, MAX_END_SECONDS)
        started = time.monotonic()
        while (seconds := time.monotonic() - started) < SECONDS or commands or uploads:
            while uploads and uploads[0].seconds <= seconds:
                self.upload(uploads.pop(0))
            versions = self.read_versions(self.uploads)
            for command in [each for each in commands if is_due(each, seconds, versions)]:
                commands.remove(command)
                self.command(self.uploads[command.place], command.command)
            for fault in [each for each in faults if each.seconds <= seconds]:
                if self.cluster.inject(fault):
                    faults.remove(fault)
                    self.faults[fault.fault] += 1
            self.cluster.supervise()
            time.sleep(POLL_SECONDS)

    def upload(self, planned: PlannedImport) -> None:
        owner: AbstractBaseUser = self.users[planned.owner]
        by = Actor(owner, Via.PYTHON)
        job = lifecycle.upload(
            owner,
            SimpleUploadedFile(f"{len(self.imports)}.csv", planned.make_file()),
            importer="customers",
            on_duplicate=planned.on_duplicate,
            check_first=planned.check_first,
            by=by,
        )
        cookie = self.cookies[planned.owner]
        self.uploads.append(self.add_import(job, by, planned.rows, cookie))

    def add_import(
        self, job: ImportJob, by: Actor, rows: dict[int, FileRow], cookie: str
    ) -> RunningImport:
        watcher = Watcher(self.port, job.pk, cookie, lambda: self.cluster.stream_drops)
        running = RunningImport(job.pk, by, rows, watcher, [Command.UPLOAD])
        self.imports.append(running)
        return running

    def command(self, running: RunningImport, command: str) -> None:
        """Give a command. Nothing but TransitionNotAllowed may be raised."""
        try:
            job = COMMANDS[command](running.pk, by=running.by)
        except TransitionNotAllowed:
            self.refused[command] += 1
            return
        except Exception:
            self.violations.append(f"{command} raised {traceback.format_exc()}")
            return
        self.accepted[command] += 1
        running.commands.append(command)
        if job.pk != running.pk:
            rows = {number: running.rows[number] for number in list_retryable_rows(running.pk)}
            self.add_import(job, running.by, rows, running.watcher.cookie)

    def read_versions(self, imports: list[RunningImport]) -> list[int]:
        versions = dict(ImportJob.objects.values_list("pk", "version"))
        return [versions[running.pk] for running in imports]

    # --- The end --------------------------------------------------------------

    def end(self) -> None:
        """Lift the faults, and bring every import to its end."""
        self.cluster.lift_faults(all_of_them=True)
        wait_for(self.cluster.redis.is_ready, MAX_END_SECONDS)
        if not wait_for(self.end_imports, MAX_END_SECONDS):
            for job in self.list_jobs():
                if job.status not in FINAL_STATUSES:
                    self.violations.append(
                        f"{job.file_name} is still {job.status} after {MAX_END_SECONDS} s."
                    )
        if not wait_for(is_idle, MAX_IDLE_SECONDS):
            self.violations.append(f"The workers are not idle after {MAX_IDLE_SECONDS} s.")
        self.check_watchers()
        self.violations += self.cluster.stop()
        if not wait_for(lambda: not list_remaining_locks(), MAX_IDLE_SECONDS):
            self.violations += list_remaining_locks()

    def end_imports(self) -> bool:
        """Give the commands that imports wait for. Return whether every import has ended."""
        self.cluster.supervise()
        statuses = dict(ImportJob.objects.values_list("pk", "status"))
        for running in self.imports:
            if statuses[running.pk] == Status.PAUSED:
                self.command(running, "resume")
            if statuses[running.pk] == Status.READY:
                self.command(running, "start" if self.schedule.starts_reviewed else "cancel")
        return set(statuses.values()) <= FINAL_STATUSES

    def list_jobs(self) -> list[ImportJob]:
        jobs = ImportJob.objects.in_bulk()
        return [jobs[running.pk] for running in self.imports]

    # --- The promises ---------------------------------------------------------

    def check_watchers(self) -> None:
        versions = self.read_versions(self.imports)
        for running, version in zip(self.imports, versions, strict=True):
            watcher = running.watcher
            if not wait_for(lambda w=watcher, v=version: w.version >= v, MAX_IDLE_SECONDS):
                self.violations.append(
                    f"A client has seen version {watcher.version} at last, and not {version}: "
                    f"{watcher.last_problem}."
                )
            self.violations += find_steps_back(watcher.snapshots)

    def check_imports(self) -> None:
        jobs = self.list_jobs()
        may_blame = self.cluster.kills >= MIN_KILLS_FOR_BLAME
        for running, job in zip(self.imports, jobs, strict=True):
            self.violations += [
                f"{job.file_name} ({job.status}): {sentence}"
                for sentence in (
                    *check_outcomes(running, job, may_blame=may_blame),
                    *check_history(running, job),
                    *check_ledger(job).violations,
                    *check_retries(job),
                )
            ]
        replayed = [
            ReplayedImport(job, running.rows)
            for running, job in zip(self.imports, jobs, strict=True)
        ]
        self.violations += find_contradictions(replayed, self.cluster.changes, may_blame=may_blame)


def is_due(command: PlannedCommand, seconds: float, versions: list[int]) -> bool:
    if command.place >= len(versions):
        return False
    return command.seconds <= seconds or command.version <= versions[command.place]


def check_outcomes(running: RunningImport, job: ImportJob, *, may_blame: bool) -> Iterator[str]:
    """Yield a sentence for each way in which rows, outcomes and counts contradict each other.

    `may_blame` says whether so many processes were killed that a row or a file may fail for it.
    """
    if job.status == Status.FAILED and not (may_blame and job.error_code == "crashed_reader"):
        yield f"It has failed with {job.error_code} {job.error_params}."
    outcomes = get_outcomes(job)
    if job.total is not None and (outcomes.keys() != running.rows.keys()):
        yield f"It has {len(outcomes)} rows, and its file {len(running.rows)}."
    if job.total not in (None, len(running.rows)):
        yield f"Its total is {job.total}, and its file has {len(running.rows)} rows."
    if job.status == Status.UNDONE and job.undone != job.written:
        yield f"It has undone {job.undone} of {job.written} rows."
    if job.status == Status.COMPLETE and None in outcomes.values():
        yield "A row has no outcome."
    counts = Counter(outcome for outcome in outcomes.values() if outcome)
    for outcome in ("created", "updated", "unchanged", "skipped", "failed"):
        if getattr(job, outcome) != counts[outcome]:
            yield f"{counts[outcome]} rows are {outcome}, and the count is {getattr(job, outcome)}."
    for number, outcome, errors in job.rows.values_list("number", "outcome", "errors"):
        codes = {error["code"] for error in errors or ()}
        if expected := running.rows[number].error_code:
            if (outcome, codes) != ("failed", {expected}):
                yield f"Row {number} is {outcome} with {codes}, not failed with {expected}."
        elif codes - DUPLICATE_CODES - ({"crashed_worker"} if may_blame else set()):
            yield f"Row {number} is {outcome} with {codes}."


def check_history(running: RunningImport, job: ImportJob) -> Iterator[str]:
    commands = list(job.events.values_list("command", flat=True))
    if commands != running.commands:
        yield f"Its history is {commands}, and it has accepted {running.commands}."
    if any(event.user_id != running.by.user.pk for event in job.events.all()):
        yield "Its history names another user."


def check_retries(job: ImportJob) -> Iterator[str]:
    active = job.retries.exclude(status__in=[Status.CANCELLED, Status.UNDONE])
    if active.count() > 1:
        yield f"Its failed rows are retried by {active.count()} imports."


def list_retryable_rows(pk: UUID) -> list[int]:
    """Return the rows of a complete import that have failed, and do not repeat an earlier row."""
    failed = ImportJob.objects.get(pk=pk).rows.filter(outcome="failed")
    return [
        number
        for number, errors in failed.order_by("number").values_list("number", "errors")
        if all(error["code"] != "repeats_row" for error in errors)
    ]


def run_schedule(schedule: Schedule, postgres, redis, port: int) -> Result:
    """Run one schedule on an empty database, and return its result."""
    started = time.monotonic()
    empty_tables()
    flush_redis()
    make_slow(schedule.batch_seconds)
    with running_cluster(postgres, redis) as cluster:
        run = Run(schedule, cluster, port)
        try:
            run.follow_schedule()
            run.end()
            run.check_imports()
        except Exception:
            run.violations.append(f"The run has raised {traceback.format_exc()}")
        finally:
            for running in run.imports:
                running.watcher.stop()
        with suppress(OSError):
            cluster.log.seek(0)
        return Result(
            schedule.seed,
            Counter(job.status for job in run.list_jobs()),
            sum(len(running.rows) for running in run.imports),
            run.accepted,
            run.refused,
            run.faults,
            time.monotonic() - started,
            run.violations,
            cluster.log.read() if run.violations else "",
        )
