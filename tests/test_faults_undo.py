"""The faults of workers, Redis and PostgreSQL while an import is undone: each record once."""

import signal
from contextlib import contextmanager

import pytest

from customers.models import Customer
from imports import lifecycle
from imports.models import ImportJob
from imports.statuses import Status
from tests.fault_points import FaultPoint, block_at
from tests.invariants import assert_nothing_left, make_sample
from tests.processes import (
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    wait_for_version_after,
    wait_until_final,
    wait_until_idle,
    worker,
)
from tests.test_faults_database import terminate_sessions_except
from tests.test_faults_worker import GRACE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

MAX_RESUME_SECONDS = 15
# After the records of a batch are removed, and before the batch is counted and committed.
DURING_UNDO = FaultPoint(
    "BEFORE UPDATE", "imports_importbatch", "ROW", "NEW.undone_at IS NOT NULL AND NEW.number < 15"
)


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


@contextmanager
def undoing_import(alice, gate):
    """Import a sample and undo it until the barrier. Yields the worker and the import."""
    with worker() as worker_process:
        job = upload_in_process(alice, make_sample().content)
        wait_until_final(job)
        assert job.status == Status.COMPLETE
        job = lifecycle.undo(job.pk)
        gate.wait_until_reached()
        yield worker_process, job


def assert_undone(job, watcher):
    """Assert that every created record was removed, once, and that the watcher saw the end."""
    wait_until_final(job)
    watcher.assert_saw_the_end(job)
    assert (job.status, job.error_code) == (Status.UNDONE, None)
    assert (job.removed, job.restored, job.kept) == (job.created, 0, 0)
    assert job.created == len(make_sample().customers)
    assert not Customer.objects.exists()
    assert not job.batches.filter(undone_at=None, applied_at__isnull=False).exists()


def test_another_worker_goes_on_after_a_kill_during_an_undo(alice, web_server):
    with site(alice, web_server) as web, block_at(DURING_UNDO) as gate:
        with undoing_import(alice, gate) as (first, job):
            watcher = web.watch(job)
            first.kill()
            gate.terminate_sessions()
        job_at_kill = ImportJob.objects.get(pk=job.pk)
        gate.open()
        with worker():
            resumed_after = wait_for_version_after(job_at_kill)
            assert_undone(job, watcher)
            assert_nothing_left(crashes=(0, 1))

    assert job_at_kill.status == Status.UNDOING
    assert 0 < job_at_kill.removed < job.created
    assert resumed_after < MAX_RESUME_SECONDS


@pytest.mark.slow_fault
def test_a_batch_whose_undo_kills_its_worker_twice_is_undone_row_by_row(alice, web_server):
    with site(alice, web_server) as web, block_at(DURING_UNDO) as gate:
        with undoing_import(alice, gate) as (first, job):
            watcher = web.watch(job)
            first.kill()
            gate.terminate_sessions()
        with worker() as second:
            gate.wait_until_reached()
            second.kill()
            gate.terminate_sessions()
        gate.open()
        with worker():
            assert_undone(job, watcher)
            assert_nothing_left()

    assert job.batches.filter(rows=1).count() > 1


def test_a_terminated_worker_exits_after_its_step_and_another_goes_on_with_the_undo(
    alice, web_server
):
    with site(alice, web_server) as web, block_at(DURING_UNDO) as gate:
        with undoing_import(alice, gate) as (first, job):
            watcher = web.watch(job)
            first.terminate()
            wait_for(first.has_deregistered)
            gate.open()
            first.process.wait(GRACE_SECONDS)
        job_after_exit = ImportJob.objects.get(pk=job.pk)
        with worker():
            assert_undone(job, watcher)
            assert_nothing_left()

    assert job_after_exit.status == Status.UNDOING


def test_a_flush_of_redis_during_an_undo_costs_no_record(alice, web_server):
    with (
        site(alice, web_server) as web,
        block_at(DURING_UNDO) as gate,
        undoing_import(alice, gate) as (_, job),
    ):
        watcher = web.watch(job)
        flush_redis()
        gate.open()
        assert_undone(job, watcher)
        assert_nothing_left()


def test_the_repeated_loss_of_the_session_of_an_undo_counts_as_no_crash(alice, web_server):
    with (
        site(alice, web_server) as web,
        block_at(DURING_UNDO) as gate,
        undoing_import(alice, gate) as (_, job),
    ):
        watcher = web.watch(job)
        for _ in range(4):  # More often than the limit of crashes.
            gate.wait_until_reached()
            assert terminate_sessions_except(gate) >= 1
            wait_for(lambda: not gate.waiting_sessions())
        gate.open()
        assert_undone(job, watcher)
        assert_nothing_left()

    assert not job.batches.filter(rows=1).exists()


@pytest.mark.slow_fault
def test_a_worker_frozen_during_an_undo_removes_nothing_when_it_wakes(alice, web_server):
    with (
        site(alice, web_server) as web,
        block_at(DURING_UNDO) as gate,
        worker(IMPORTS_IDLE_TIMEOUT="1s") as frozen,
    ):
        job = upload_in_process(alice, make_sample().content)
        wait_until_final(job)
        job = lifecycle.undo(job.pk)
        gate.wait_until_reached()
        watcher = web.watch(job)
        frozen.signal(signal.SIGSTOP)
        gate.open()
        with worker():
            assert_undone(job, watcher)
            version = job.version
            frozen.signal(signal.SIGCONT)
            wait_until_idle()
            assert_undone(job, watcher)
            assert_nothing_left()

    assert job.version == version
