"""What happens in one run of the soak. The seed decides all of it before the run begins."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.factories import make_csv, make_row
from tests.oracle import FIELDS

SECONDS = 3.5  # Faults and commands begin within this time, after the workers have started.
OWNERS = ("alice", "bob")
POLICIES = ("skip", "update", "fail")
PEOPLE = 500  # Of which each file has some, so that the files cross.
WORKERS = 2
BAD_CELLS = {"email": ("no", "email_without_at"), "phone": ("12", "phone_too_short")}
# How often each occurs, in relation to the others.
COMMANDS = {"pause": 8, "resume": 4, "cancel": 1, "start": 3, "undo": 6, "retry": 4}
# The version of an import from which on a command is given.
VERSIONS = {
    "pause": (4, 10),
    "resume": (5, 11),
    "cancel": (2, 12),
    "start": (3, 6),
    "undo": (8, 15),
    "retry": (9, 16),
}
FAULTS = {
    "kill_worker": 4,
    "terminate_worker": 2,
    "kill_reader": 2,
    "freeze_worker": 2,
    "flush_redis": 2,
    "stop_redis": 2,
    "terminate_sessions": 2,
    "restart_postgres": 1,
    "crash_postgres": 1,
    "duplicate_messages": 2,
    "drop_streams": 1,
    "edit_record": 3,
    "delete_record": 2,
}


class FileRow(NamedTuple):
    """A row of a file: its values after cleaning, and the code of the error in it."""

    values: dict[str, str]
    error_code: str | None


class PlannedImport(NamedTuple):
    seconds: float  # When it is uploaded.
    owner: str
    on_duplicate: str
    check_first: bool
    rows: dict[int, FileRow]  # By row number.

    def make_file(self) -> bytes:
        return make_csv([_get_cells(row) for row in self.rows.values()])

    def __repr__(self) -> str:
        options = f"{self.on_duplicate}{', check first' if self.check_first else ''}"
        return f"{self.seconds:4.2f} s  upload of {self.owner}, {len(self.rows)} rows, {options}"


class PlannedCommand(NamedTuple):
    """A command that is given when its import has a version, or after some seconds at the latest.

    `place` counts the imports in the order of their uploads.
    """

    seconds: float
    place: int
    version: int
    command: str

    def __repr__(self) -> str:
        when = f"{self.seconds:4.2f} s or version {self.version}"
        return f"{when}  {self.command} of import {self.place}"


class PlannedFault(NamedTuple):
    """A fault. `choice`, from 0 to 1, says which worker, batch or record; `duration` is seconds."""

    seconds: float
    fault: str
    choice: float
    duration: float

    def __repr__(self) -> str:
        numbers = f"choice {self.choice:.3f}, duration {self.duration:.2f} s"
        return f"{self.seconds:4.2f} s  {self.fault} ({numbers})"


class Schedule(NamedTuple):
    seed: int
    imports: list[PlannedImport]
    commands: list[PlannedCommand]
    faults: list[PlannedFault]
    batch_seconds: float  # How long each batch and each chunk of staged rows takes in addition.
    starts_reviewed: bool  # At the end READY imports are started; else they are cancelled.

    def describe(self) -> str:
        entries = [*self.imports, *self.faults, *self.commands]
        lines = [repr(entry) for entry in sorted(entries, key=lambda entry: entry.seconds)]
        head = (
            f"Seed {self.seed}: {self.batch_seconds} s in addition for each batch; at the end, "
            f"READY imports are {'started' if self.starts_reviewed else 'cancelled'}."
        )
        return "\n".join([head, *lines])


def make_schedule(seed: int) -> Schedule:
    random = Random(seed)
    imports = sorted(
        (_make_import(random, seed, place) for place in range(random.choice([3, 4]))),
        key=lambda each: each.seconds,
    )
    faults, seconds = [], 0.0
    while (seconds := seconds + random.uniform(0.3, 1.5)) < SECONDS:
        fault = random.choices([*FAULTS], [*FAULTS.values()])[0]
        faults.append(PlannedFault(seconds, fault, random.random(), random.uniform(0.3, 1.5)))
    return Schedule(
        seed,
        imports,
        [_make_command(random, len(imports)) for _ in range(random.randint(10, 18))],
        faults,
        random.choice([0.02, 0.05, 0.15]),
        random.random() < 0.5,
    )


def _make_import(random: Random, seed: int, place: int) -> PlannedImport:
    people = random.sample(range(PEOPLE), random.randint(100, 400))
    if random.random() < 0.3:  # Two imports with crossing keys in opposite order.
        people.sort(reverse=random.random() < 0.5)
    people += random.sample(people, 3)  # Rows that repeat a row of the file.
    return PlannedImport(
        random.uniform(0, 1),
        random.choice(OWNERS),
        random.choice(POLICIES),
        random.random() < 0.3,
        {
            number: _make_row(random, n, f"Name {seed} {place}")
            for number, n in enumerate(people, start=2)
        },
    )


def _make_row(random: Random, n: int, first_name: str) -> FileRow:
    values = dict(zip(FIELDS, make_row(n, first=first_name), strict=True))
    if random.random() < 0.03:  # The phone number of another customer.
        values["phone"] = make_row(random.randrange(PEOPLE))[-1]
    if random.random() < 0.03:
        column = random.choice([*BAD_CELLS])
        cell, code = BAD_CELLS[column]
        return FileRow(values | {column: cell}, code)
    return FileRow(values, None)


def _get_cells(row: FileRow) -> list[str]:
    return [row.values[field] for field in FIELDS]


def _make_command(random: Random, imports: int) -> PlannedCommand:
    command = random.choices([*COMMANDS], [*COMMANDS.values()])[0]
    return PlannedCommand(
        random.uniform(1.2, SECONDS),
        random.randrange(imports),
        random.randint(*VERSIONS[command]),
        command,
    )
