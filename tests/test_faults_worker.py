"""Workers that are killed, stopped, frozen or out of memory: the import goes on by itself."""

import signal
import time
from contextlib import suppress
from random import Random

import psutil
import pytest

from imports.models import ImportAttempt, ImportJob
from imports.statuses import Status
from tests.fault_points import block_at, during_apply, during_staging
from tests.invariants import assert_exact, assert_no_attempts_left, count_open_steps, make_sample
from tests.processes import (
    flush_redis,
    upload_in_process,
    wait_for,
    wait_for_version_after,
    wait_until_final,
    wait_until_idle,
    worker,
)
from tests.spreadsheets import make_workbook_from_xml, row_xml

pytestmark = pytest.mark.django_db(transaction=True)

DRAMATIQ_GIVES_BACK_AFTER_SECONDS = 30  # A killed worker's messages; settings.DRAMATIQ_BROKER.
GRACE_SECONDS = 25  # Platforms kill five seconds later.
IN_A_CHECK = pytest.param(Status.CHECKING, during_staging(after_row=600), id="checking")
IN_A_BATCH = pytest.param(Status.RUNNING, during_apply(after_batch=3), id="running")


@pytest.fixture(autouse=True)
def _no_messages_of_others():
    flush_redis()


# --- Killed ------------------------------------------------------------------


@pytest.mark.parametrize(("status", "step"), [IN_A_CHECK, IN_A_BATCH])
def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(alice, status, step):
    sent = make_sample()
    with block_at(step) as gate:
        with worker() as first:
            job = upload_in_process(alice, sent.content)
            gate.wait_until_reached()
            first.kill()
        killed_at = time.monotonic()
        job.refresh_from_db()
        stood_at = job.status, job.version
        gate.open()
        with worker():
            wait_for_version_after(job)
            resumed_after = time.monotonic() - killed_at
            wait_until_final(job)
            # One of the first's threads stood at the gate, in a batch, or two.
            left = {1, 2} if status == Status.RUNNING else {0}
            wait_for(lambda: ImportAttempt.objects.count() in left)

    assert stood_at[0] == status
    assert stood_at[1] >= 3  # A chunk, at least, had been committed before.
    assert resumed_after < DRAMATIQ_GIVES_BACK_AFTER_SECONDS
    assert job.check_generation == 1
    assert_exact({job: sent})
    assert ImportAttempt.objects.count() in left


def test_a_reader_dies_with_its_worker(alice):
    sent = make_sample(30_000)
    with block_at(during_staging(after_row=600)) as gate, worker() as doomed:
        upload_in_process(alice, sent.content)
        gate.wait_until_reached()
        reader = doomed.find_reader()
        reader.suspend()  # Now nothing but its parent's death ends it.
        try:
            doomed.kill()  # Fails where anyone of its family lives on.
        finally:
            with suppress(psutil.NoSuchProcess):
                reader.kill()


def test_a_file_that_kills_three_workers_is_given_up_and_the_next_is_not(alice):
    sent = make_sample(200)
    with block_at(during_staging(after_row=0)) as gate:
        job = upload_in_process(alice, sent.content)
        for _ in range(3):
            with worker() as doomed:
                gate.wait_until_reached()
                doomed.kill()
                end_waiting_sessions(gate)
        with worker():
            wait_until_final(job)
            gate.open()
            after = upload_in_process(alice, sent.content)
            wait_until_final(after)

    assert (job.status, job.error_code) == (Status.FAILED, "crashed_reader")
    assert job.cursor_row == 0
    ImportJob.objects.filter(pk=job.pk).delete()
    assert_exact({after: sent})


def end_waiting_sessions(gate):
    """PostgreSQL does not notice that a client is gone while it waits for a lock."""
    pids = gate.waiting_sessions()
    gate.cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [pids])
    wait_for(lambda: not gate.waiting_sessions())


# --- Stopped in order --------------------------------------------------------


@pytest.mark.parametrize(("status", "step"), [IN_A_CHECK, IN_A_BATCH])
def test_a_stopped_worker_ends_between_two_steps_and_the_next_goes_on(alice, status, step):
    sent = make_sample()
    with block_at(step) as gate:
        with worker() as first:
            job = upload_in_process(alice, sent.content)
            gate.wait_until_reached()
            first.terminate()
            asked_at = time.monotonic()
            wait_for(first.has_deregistered)
            gate.open()
            first.wait_for_exit()
            took = time.monotonic() - asked_at
        job.refresh_from_db()
        stood_at = job.status, job.reader_crashes, ImportAttempt.objects.count()
        with worker():
            wait_until_final(job)

    assert took < GRACE_SECONDS
    assert stood_at == (status, 0, 0)
    assert job.check_generation == 1
    assert_exact({job: sent})
    assert_no_attempts_left()


# --- Frozen ------------------------------------------------------------------


def freeze_and_replace(job, gate, frozen, *, until):
    """Freeze a worker at the gate until another has done `until`, and let it go on."""
    frozen.signal(signal.SIGSTOP)
    gate.open()
    with worker():
        wait_for(until)
        seen = ImportJob.objects.get(pk=job.pk)
        frozen.signal(signal.SIGCONT)
        wait_until_final(job)
        wait_until_idle()
    return seen


def test_a_worker_frozen_in_a_batch_is_evicted_and_does_no_harm_when_it_wakes(alice):
    sent = make_sample()
    with (
        block_at(during_apply(after_batch=3)) as gate,
        worker(IMPORT_IDLE_TIMEOUT="1s") as frozen,
    ):
        job = upload_in_process(alice, sent.content)
        gate.wait_until_reached(2)
        seen = freeze_and_replace(
            job, gate, frozen, until=lambda: job.refresh_from_db() or job.is_final
        )

    assert (seen.status, job.version) == (Status.COMPLETE, seen.version)
    assert_exact({job: sent})
    assert_no_attempts_left()


def test_a_worker_frozen_inside_copy_is_evicted_by_another_workers_recovery(alice):
    sent = make_sample(12_000)
    # The chunk is larger than what a socket holds, so the worker is frozen while it sends.
    step = during_staging(after_row=4_000, event="BEFORE INSERT")
    with block_at(step) as gate, worker(IMPORT_STATEMENT_TIMEOUT="2s") as frozen:
        job = upload_in_process(alice, sent.content)
        gate.wait_until_reached()
        version = ImportJob.objects.get(pk=job.pk).version
        seen = freeze_and_replace(
            job, gate, frozen, until=lambda: job.refresh_from_db() or job.version > version
        )

    assert seen.version > version
    assert_exact({job: sent})
    assert_no_attempts_left()
    assert not count_open_steps()


# --- Memory ------------------------------------------------------------------


def test_a_reader_out_of_memory_fails_its_file_and_the_next_is_read(alice):
    sent = make_sample(200)
    with worker(IMPORT_READER_MEMORY_BYTES=str(100 << 20)) as survivor:
        greedy = upload_in_process(alice, too_large_for_memory(), "greedy.xlsx")
        wait_until_final(greedy, seconds=20)
        before = survivor.list_processes()
        after = upload_in_process(alice, sent.content)
        wait_until_final(after)
        assert [one.pid for one in survivor.list_processes()] == [one.pid for one in before]

    assert (greedy.status, greedy.error_code) == (Status.FAILED, "too_much_memory")
    greedy.delete()
    assert_exact({after: sent})


def too_large_for_memory():
    """Shared strings of 48 MB, which repeat too rarely to be taken for a zip bomb."""
    noise = Random(1).randbytes(3_000).hex()
    strings = f"<si><t>{noise * 4}</t></si>" * 2_000
    return make_workbook_from_xml(row_xml(1, '<c t="s"><v>0</v></c>'), strings=strings)
