"""What an import relies on changes while it runs: its owner, its file, its tables, the clock."""

import os
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest
from django.db import models

from customers.models import Customer
from imports.models import ImportBatch, ImportJob, ImportRow
from imports.statuses import Status
from imports.storage import StoredChunk, StoredFile
from tests.concurrency import call_then_close_connection, wait_until_blocked
from tests.database import connection
from tests.factories import make_csv, make_row
from tests.fault_points import FaultPoint, block_at, during_apply, during_staging
from tests.invariants import assert_exact, assert_nothing_left, make_sample
from tests.processes import (
    flush_redis,
    site,
    upload_in_process,
    wait_until_final,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)

CLOCK_ERROR_SECONDS = 300
# Python imports this module in each process that it starts.
WRONG_CLOCK = """
    import os
    import time

    right_time, error = time.time, float(os.environ["CLOCK_ERROR_SECONDS"])
    time.time = lambda: right_time() + error
"""
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


# --- Tables ------------------------------------------------------------------


def test_an_import_completes_during_the_next_migration(alice, web_server):
    sample = make_sample()
    field = models.IntegerField(null=True)
    field.set_attributes_from_name("of_the_next_version")
    tables = [ImportJob, ImportBatch, ImportRow, Customer]
    with (
        site(alice, web_server) as web,
        block_at(during_apply(after_batch=3)) as gate,
        ThreadPoolExecutor(1) as thread,
        worker() as worker_process,
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        migration = thread.submit(
            call_then_close_connection, alter_tables, "add_field", field, tables
        )
        wait_until_blocked()
        gate.open()
        migration.result(timeout=60)
        try:
            wait_until_final(job)
            watcher.assert_saw_the_end(job)
            assert_nothing_left()
            assert worker_process.process.poll() is None
            second = upload_in_process(alice, sample.content, "again.csv")
            wait_until_final(second)
        finally:
            alter_tables("remove_field", field, tables)

    assert (second.status, second.created) == (Status.COMPLETE, 0)
    second.delete()
    assert_exact({job: sample})


def alter_tables(action, field, tables):
    """Add or remove a field, each table in its own transaction, as a migration does."""
    for model in tables:
        with connection.schema_editor() as editor:
            getattr(editor, action)(model, field)


# --- Clocks ------------------------------------------------------------------


@pytest.mark.slow_fault
def test_an_import_completes_on_workers_whose_clocks_are_wrong(alice, web_server, tmp_path):
    sample = make_sample()
    (tmp_path / "sitecustomize.py").write_text(dedent(WRONG_CLOCK))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    early, late = (
        {"PYTHONPATH": path, "CLOCK_ERROR_SECONDS": str(seconds), "IMPORTS_TURN_SECONDS": "0"}
        for seconds in (CLOCK_ERROR_SECONDS, -CLOCK_ERROR_SECONDS)
    )
    with site(alice, web_server) as web, worker(**early), worker(**late):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        wait_until_final(job)
        watcher.assert_saw_the_end(job)

    assert_exact({job: sample})
    assert not job.batches.filter(crashes__gt=0).exists()


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
