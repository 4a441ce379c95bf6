"""The soak of tests/soak: its first seeds, its schedules, and the checks at the end of a run."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db.models import F

from customers.models import Customer
from imports import lifecycle
from imports.history import Actor, Via
from imports.models import ImportJob
from tests.factories import apply_all_batches, check_job, make_csv, make_row
from tests.oracle import FIELDS
from tests.processes import upload_in_process
from tests.soak import schedule as schedules
from tests.soak.cluster import FAULTS
from tests.soak.replay import ReplayedImport, find_contradictions
from tests.soak.run import COMMANDS, RunningImport, check_history, check_outcomes
from tests.soak.schedule import FileRow, PlannedFault, make_schedule
from tests.soak.watching import find_steps_back
from tests.test_undo import undo_all_batches

PROJECT = Path(__file__).resolve().parents[1]
SEEDS = "1-5"


def test_the_promises_hold_for_five_seeds():
    soak = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--seeds", SEEDS],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    print(soak.stdout)  # Pytest shows it if the test fails.
    assert soak.returncode == 0
    assert soak.stdout.count("; 0 violations") == 5


def test_a_seed_always_has_the_same_schedule():
    assert make_schedule(7) == make_schedule(7)
    assert make_schedule(7) != make_schedule(8)


def test_every_command_and_fault_of_the_schedules_is_implemented():
    assert schedules.COMMANDS.keys() == COMMANDS.keys()
    assert schedules.FAULTS.keys() == FAULTS.keys()


# --- The checks find what is wrong -------------------------------------------


@pytest.fixture
def imports(transactional_db, alice):
    """Two imports of partly the same people: the second one updates records of the first.

    A third one has updated records of both and created others, and is undone.
    """
    running = [
        run_import(alice, "first.csv", range(60), "Ama", "skip"),
        run_import(alice, "second.csv", range(40, 100), "Akua", "update"),
        run_import(alice, "third.csv", range(50, 120), "Adwoa", "update"),
    ]
    undo_all_batches(lifecycle.undo(running[2].pk, by=running[2].by).pk)
    running[2].commands.append("undo")
    return running


def run_import(owner, name, people, first_name, on_duplicate):
    rows = {
        number: FileRow(dict(zip(FIELDS, make_row(n, first=first_name), strict=True)), None)
        for number, n in enumerate(people, start=2)
    }
    content = make_csv([list(row.values.values()) for row in rows.values()])
    by = Actor(owner, Via.PYTHON)
    job = upload_in_process(owner, content, name, on_duplicate=on_duplicate, by=by)
    apply_all_batches(check_job(job).pk)
    return RunningImport(job.pk, by, rows, None, ["upload"])


def find_all_contradictions(imports, changes=()):
    jobs = [ImportJob.objects.get(pk=running.pk) for running in imports]
    pairs = list(zip(imports, jobs, strict=True))
    replayed = [ReplayedImport(job, running.rows) for running, job in pairs]
    return [
        *find_contradictions(replayed, list(changes), may_blame=False),
        *(sentence for pair in pairs for sentence in check_outcomes(*pair, may_blame=False)),
        *(sentence for pair in pairs for sentence in check_history(*pair)),
    ]


def test_imports_without_faults_have_no_contradiction(imports):
    first, second, third = [ImportJob.objects.get(pk=running.pk) for running in imports]

    assert (first.created, second.created, second.updated) == (60, 40, 20)
    assert (third.removed, third.restored) == (20, 50)
    assert find_all_contradictions(imports) == []


def lose_a_record(first, second, third):
    Customer.objects.order_by("pk")[:1].get().delete()


def add_a_record(first, second, third):
    Customer.objects.create(shipping_mark="X", first_name="X", last_name="X", phone="X")


def overwrite_a_record(first, second, third):
    row = second.rows.filter(outcome="updated").order_by("number")[0]
    Customer.objects.filter(pk=int(row.target_id)).update(first_name="Ama")


def lose_previous_values(first, second, third):
    row = second.rows.filter(outcome="updated").order_by("number")[0]
    second.rows.filter(number=row.number).update(previous_values=["", "", "", "", ""])


def lose_a_row(first, second, third):
    first.rows.filter(number=2).delete()


def count_a_row_twice(first, second, third):
    counts = {name: F(name) + 1 for name in ("created", "processed", "checked", "total")}
    ImportJob.objects.filter(pk=first.pk).update(**counts)


def fail_a_valid_row(first, second, third):
    error = {"field": "phone", "code": "invalid_phone", "params": {}, "value": ""}
    first.rows.filter(number=2).update(outcome="failed", errors=[error])


def apply_a_batch_before_the_record_existed(first, second, third):
    batch = second.batches.order_by("number")[0]
    second.batches.filter(pk=batch.pk).update(applied_at=first.created_at)


def lose_an_event(first, second, third):
    first.events.all().delete()


def give_a_command_twice(first, second, third):
    first.events.create(command="cancel", user_id=first.owner_id, via="python")


def lose_a_record_that_was_restored(first, second, third):
    row = third.rows.filter(outcome="updated").order_by("number")[0]
    Customer.objects.filter(pk=int(row.target_id)).delete()


def keep_a_record_that_was_not_edited(first, second, third):
    third.rows.filter(number=2).update(kept={"code": "edited", "params": {}})


def undo_in_the_wrong_order(first, second, third):
    third.batches.update(undone_at=second.created_at)


def count_an_undone_row_twice(first, second, third):
    ImportJob.objects.filter(pk=third.pk).update(
        removed=F("removed") + 1, restored=F("restored") - 1
    )


@pytest.mark.parametrize(
    "damage",
    [
        lose_a_record,
        add_a_record,
        overwrite_a_record,
        lose_previous_values,
        lose_a_row,
        count_a_row_twice,
        fail_a_valid_row,
        apply_a_batch_before_the_record_existed,
        lose_an_event,
        give_a_command_twice,
        lose_a_record_that_was_restored,
        keep_a_record_that_was_not_edited,
        undo_in_the_wrong_order,
        count_an_undone_row_twice,
    ],
)
def test_a_damage_is_found(imports, damage):
    damage(*(ImportJob.objects.get(pk=running.pk) for running in imports))

    assert find_all_contradictions(imports)


@pytest.mark.parametrize("name", ["edit_record", "delete_record"])
def test_a_change_by_a_person_is_no_contradiction(imports, name):
    cluster = SimpleNamespace(changes=[])

    assert FAULTS[name](cluster, PlannedFault(0, name, 0.5, 0))

    assert find_all_contradictions(imports)
    assert find_all_contradictions(imports, cluster.changes) == []


@pytest.mark.parametrize(
    ("snapshots", "is_accepted"),
    [
        ([(1, 1, 0), (2, 1, 40), (2, 1, 40), (3, 2, 0)], True),
        ([(2, 1, 40), (1, 1, 40)], False),
        ([(1, 1, 40), (2, 1, 39)], False),
    ],
)
def test_a_client_notices_snapshots_that_go_back(snapshots, is_accepted):
    entries = [
        {"version": version, "run": run, "progress_percent": percent}
        for version, run, percent in snapshots
    ]

    assert (list(find_steps_back(entries)) == []) == is_accepted
