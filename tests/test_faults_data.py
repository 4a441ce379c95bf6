"""What an import relies on changes while it runs: its owner, its file, its tables, the clock."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest

from customers.models import Customer
from imports.statuses import Status
from imports.storage import StoredChunk, StoredFile
from tests.database import connection
from tests.factories import make_csv, make_row
from tests.fault_points import FaultPoint, block_at, during_apply, during_staging
from tests.invariants import assert_exact, assert_nothing_left, make_sample, wait_until_end
from tests.processes import (
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    wait_until_final,
    worker,
)
from tests.streams import PROJECT, get_django_environment, is_lock_awaited

pytestmark = pytest.mark.django_db(transaction=True)

CLOCK_ERROR_SECONDS = 300
# Python imports this module in each process that it starts. All clocks of the process are wrong.
WRONG_CLOCK = """
    import datetime
    import os
    import time

    error = float(os.environ["CLOCK_ERROR_SECONDS"])
    right_time, right_monotonic, right_datetime = time.time, time.monotonic, datetime.datetime
    time.time = lambda *_: right_time() + error
    time.monotonic = lambda *_: right_monotonic() + error


    class AnyDatetime(type):
        def __instancecheck__(cls, instance):
            return isinstance(instance, right_datetime)

        def __subclasscheck__(cls, subclass):
            return issubclass(subclass, right_datetime)


    class WrongDatetime(right_datetime, metaclass=AnyDatetime):
        def __new__(cls, *arguments, **options):
            return right_datetime(*arguments, **options)

        @classmethod
        def now(cls, tz=None):
            return right_datetime.now(tz) + datetime.timedelta(seconds=error)


    datetime.datetime = WrongDatetime
"""
READ_CLOCKS = """
import datetime, time
print(time.time(), datetime.datetime.now(datetime.UTC).timestamp(), time.monotonic())
"""
NEXT_MIGRATION = "0002_next_version"
# Each statement is its own transaction, so that the migration holds one lock at a time.
MIGRATION = """
    from django.db import migrations, models


    class Migration(migrations.Migration):
        atomic = False
        dependencies = [("{app}", "0001_initial")]
        operations = [{operations}
        ]
"""
# The expanding part of a change: old code neither reads nor writes these columns.
OPERATIONS = """
            migrations.AddField("{model}", "next_optional", models.TextField(null=True)),
            migrations.AddField("{model}", "next_number", models.IntegerField(db_default=0)),"""
NEW_COLUMNS = {"next_optional", "next_number"}
MIGRATED_MODELS = {
    "customers": ["customer"],
    "imports": ["importjob", "importbatch", "importrow"],
}
# A worker waits there in its recovery, and holds the lock of the maintenance.
IN_RECOVERY = FaultPoint("BEFORE DELETE", "imports_worker", "STATEMENT", "true")


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


# --- Other imports -----------------------------------------------------------


@pytest.mark.slow_fault
@pytest.mark.parametrize("policy", ["skip", "update"])
def test_two_imports_with_crossing_keys_complete(alice, web_server, policy):
    people = range(1_000)
    first_rows = [make_row(n) for n in people]
    second_rows = [make_row(n, first="Efua") for n in reversed(people)]
    with site(alice, web_server) as web, block_at(during_apply()) as gate, worker(), worker():
        jobs = [
            upload_in_process(alice, make_csv(rows), f"{number}.csv", on_duplicate=policy)
            for number, rows in enumerate([first_rows, second_rows])
        ]
        watchers = [web.watch(job) for job in jobs]
        gate.wait_until_reached(2)
        gate.open()
        wait_until_final(*jobs)
        for job, watcher in zip(jobs, watchers, strict=True):
            watcher.assert_saw_the_end(job)
        assert_nothing_left()

    assert [(job.status, job.failed, job.processed) for job in jobs] == [
        (Status.COMPLETE, 0, len(people))
    ] * 2
    assert sum(job.created for job in jobs) == len(people)
    seen = sum(job.skipped + job.unchanged + job.updated for job in jobs)
    assert seen == len(people)
    if policy == "skip":
        assert sum(job.skipped + job.unchanged for job in jobs) == len(people)
    marks = Customer.objects.values_list("shipping_mark", flat=True)
    assert sorted(marks) == sorted(f"MARK {n}" for n in people)


# --- The owner and the file --------------------------------------------------


def test_an_import_outlives_its_owner(alice):
    sample = make_sample()
    with block_at(during_apply(after_batch=3)) as gate, worker():
        job = upload_in_process(alice, sample.content)
        gate.wait_until_reached()
        alice.delete()
        gate.open()
        wait_until_final(job)
        assert_nothing_left()

    assert job.owner is None
    assert_exact({job: sample})


def test_an_import_whose_file_is_deleted_during_the_check_fails_with_a_code(alice, web_server):
    sample = make_sample()
    with site(alice, web_server) as web, block_at(during_staging(after_row=600)) as gate:
        with worker() as first:
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            gate.wait_until_reached()
            first.kill()
            gate.terminate_sessions()
        StoredFile.objects.all().delete()
        gate.open()
        with worker():
            wait_until_final(job)
            watcher.assert_saw_the_end(job)
            assert_nothing_left()

    assert (job.status, job.error_code) == (Status.FAILED, "file_deleted")
    assert not StoredChunk.objects.exists()
    assert not Customer.objects.exists()


def test_a_worker_needs_no_file_of_the_web_process(alice, tmp_path):
    sample = make_sample()
    folders = [tmp_path / "web", tmp_path / "worker"]
    for folder in folders:
        folder.mkdir()
    with site(alice, TMPDIR=str(folders[0])) as web:
        job = web.upload(sample.content)[1]
        watcher = web.watch(job)
        shutil.rmtree(folders[0])
        with worker(TMPDIR=str(folders[1])):
            wait_until_end(watcher)

    assert_exact({job: sample})


# --- Tables ------------------------------------------------------------------


@pytest.fixture
def next_version(tmp_path):
    """The environment of the next version, whose apps have one more migration each."""
    modules = {}
    for app, models in MIGRATED_MODELS.items():
        folder = tmp_path / f"next_{app}"
        shutil.copytree(PROJECT / app / "migrations", folder)
        (folder / f"{NEXT_MIGRATION}.py").write_text(make_migration(app, models))
        modules[app] = folder.name
    settings = f"from config.settings import *\n\nMIGRATION_MODULES = {modules}\n"
    (tmp_path / "next_settings.py").write_text(settings)
    return get_django_environment() | {
        "DJANGO_SETTINGS_MODULE": "next_settings",
        "PYTHONPATH": make_python_path(tmp_path),
    }


def make_migration(app, models):
    operations = "".join(OPERATIONS.format(model=model) for model in models)
    return dedent(MIGRATION).format(app=app, operations=operations)


def migrate(environment, *arguments):
    """Run `manage.py migrate` in a process of its own."""
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0", *arguments],
        cwd=PROJECT,
        env=os.environ | environment,
        check=True,
    )


@pytest.mark.slow_fault
def test_an_import_completes_during_the_next_migration(alice, web_server, next_version):
    sample = make_sample()
    with (
        site(alice, web_server) as web,
        block_at(during_apply(after_batch=3)) as gate,
        ThreadPoolExecutor(1) as thread,
        worker() as worker_process,
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        migration = thread.submit(migrate, next_version)
        with connection.cursor() as cursor:
            wait_for(lambda: is_lock_awaited(cursor, Customer._meta.db_table))
        gate.open()
        migration.result()
        try:
            assert has_new_columns()
            wait_until_end(watcher)
            second = upload_in_process(alice, sample.content, "again.csv")
            wait_until_end(web.watch(second))
            assert worker_process.process.poll() is None
        finally:
            for app in MIGRATED_MODELS:
                migrate(next_version, app, "0001")

    assert (second.status, second.created) == (Status.COMPLETE, 0)
    assert not has_new_columns()
    second.delete()
    assert_exact({job: sample})


def has_new_columns():
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, Customer._meta.db_table)
    return NEW_COLUMNS.issubset(column.name for column in columns)


# --- Clocks ------------------------------------------------------------------


@pytest.mark.slow_fault
def test_an_import_completes_in_processes_whose_clocks_are_wrong(alice, tmp_path):
    sample = make_sample()
    (tmp_path / "sitecustomize.py").write_text(dedent(WRONG_CLOCK))
    path = make_python_path(tmp_path)
    early, late = (
        {"PYTHONPATH": path, "CLOCK_ERROR_SECONDS": str(seconds)}
        for seconds in (-CLOCK_ERROR_SECONDS, CLOCK_ERROR_SECONDS)
    )
    clocks = [read_clocks(environment) for environment in (early, late)]
    turns = {"IMPORTS_TURN_SECONDS": "0"}
    with site(alice, **late) as web, worker(**early, **turns), worker(**late, **turns):
        job = web.upload(sample.content)[1]
        wait_until_end(web.watch(job))

    for early_clock, late_clock in zip(*clocks, strict=True):
        assert late_clock - early_clock >= 2 * CLOCK_ERROR_SECONDS
    assert_exact({job: sample})
    assert not job.batches.filter(crashes__gt=0).exists()


def read_clocks(environment):
    """Return the times of the clocks of a process, in seconds."""
    command = [sys.executable, "-c", READ_CLOCKS]
    return map(float, subprocess.check_output(command, env=os.environ | environment).split())


def make_python_path(folder):
    """Return the path of modules with another folder in front."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


# --- Recovery ----------------------------------------------------------------


def test_a_killed_recovery_is_repeated_by_another_worker(alice, web_server):
    sample = make_sample()
    with site(alice, web_server) as web, block_at(IN_RECOVERY) as gate:
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        flush_redis()
        with worker() as first, worker():
            gate.wait_until_reached()
            first.kill()
            gate.open()
            wait_until_final(job)
            watcher.assert_saw_the_end(job)
            assert_nothing_left()

    assert_exact({job: sample})
