"""Workers are killed, terminated, frozen or run out of memory: the imports complete."""

import signal
import time
from contextlib import suppress
from random import Random

import psutil
import pytest

from imports.models import ImportAttempt, ImportJob
from imports.statuses import Status
from tests.fault_points import block_at, during_apply, during_staging
from tests.invariants import (
    assert_exact,
    list_fetched_messages,
    make_sample,
    wait_until_end,
)
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
from tests.spreadsheets import make_row_xml, make_workbook_from_xml

pytestmark = pytest.mark.django_db(transaction=True)

DRAMATIQ_REQUEUE_SECONDS = 30  # Messages of a killed worker; see imports.broker.
GRACE_SECONDS = 25  # Hosting platforms send SIGKILL after 30 seconds.
IN_A_CHECK = pytest.param(Status.CHECKING, during_staging(after_row=600), id="checking")
IN_A_BATCH = pytest.param(Status.RUNNING, during_apply(after_batch=3), id="running")


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


# --- Killed ------------------------------------------------------------------


@pytest.mark.parametrize(("status", "step"), [IN_A_CHECK, IN_A_BATCH])
def test_another_worker_resumes_after_a_kill_and_no_row_is_lost_or_doubled(
    alice, web_server, status, step
):
    sample = make_sample()
    with site(alice, web_server) as web, block_at(step) as gate:
        with worker() as first:
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            gate.wait_until_reached()
            first.kill()
        killed_at = time.monotonic()
        job.refresh_from_db()
        state_before = job.status, job.version
        gate.open()
        with worker():
            wait_for_version_after(job)
            resumed_after = time.monotonic() - killed_at
            # In a batch, one or two threads of the first worker waited at the gate. Each leaves an
            # attempt.
            expected_attempts = {1, 2} if status == Status.RUNNING else {0}
            wait_until_end(watcher, crashes=expected_attempts)

    assert state_before[0] == status
    assert state_before[1] >= 3  # At least one chunk was committed before.
    assert resumed_after < DRAMATIQ_REQUEUE_SECONDS
    assert job.check_generation == 1
    assert_exact({job: sample})


@pytest.mark.slow_fault
def test_messages_that_a_killed_worker_had_fetched_reach_another_worker(alice, web_server):
    sample = make_sample()
    with site(alice, web_server) as web, block_at(during_apply(after_batch=3)) as gate:
        with worker() as first:
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            gate.wait_until_reached(2)
            first.kill()
        gate.terminate_sessions()
        fetched = list_fetched_messages()
        gate.open()
        with worker():
            wait_until_end(watcher, crashes={1, 2}, counts_fetched_messages=True)

    assert len(fetched) >= 2  # One of each thread.
    assert_exact({job: sample})


def test_the_reader_process_exits_when_its_worker_is_killed(alice):
    sample = make_sample(30_000)
    with block_at(during_staging(after_row=600)) as gate, worker() as worker_process:
        upload_in_process(alice, sample.content)
        gate.wait_until_reached()
        reader = worker_process.find_reader()
        reader.suspend()  # It does not notice the end of its input now.
        try:
            worker_process.kill()  # Raises when a process of the group survives.
        finally:
            with suppress(psutil.NoSuchProcess):
                reader.kill()


def test_another_reader_continues_after_the_reader_is_killed(alice, web_server):
    sample = make_sample(30_000)
    with (
        site(alice, web_server) as web,
        block_at(during_staging(after_row=600)) as gate,
        worker() as worker_process,
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        worker_process.find_reader().kill()
        gate.open()
        wait_until_end(watcher)

    assert job.check_generation == 1
    assert_exact({job: sample})


def test_an_import_fails_after_three_crashed_checks_and_the_next_import_completes(
    alice, web_server
):
    sample = make_sample(200)
    with site(alice, web_server) as web, block_at(during_staging(after_row=0)) as gate:
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        for _ in range(3):
            with worker() as worker_process:
                gate.wait_until_reached()
                worker_process.kill()
                end_waiting_sessions(gate)
        with worker():
            wait_until_final(job)
            gate.open()
            after = upload_in_process(alice, sample.content)
            wait_until_end(watcher, web.watch(after))

    assert (job.status, job.error_code) == (Status.FAILED, "crashed_reader")
    assert job.cursor_row == 0
    ImportJob.objects.filter(pk=job.pk).delete()
    assert_exact({after: sample})


def end_waiting_sessions(gate):
    """End the sessions that wait at the gate, and wait until they are gone.

    PostgreSQL does not notice that a client has exited while its session waits for a lock.
    """
    pids = gate.waiting_sessions()
    gate.cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [pids])
    wait_for(lambda: not gate.waiting_sessions())


# --- Terminated --------------------------------------------------------------


@pytest.mark.parametrize(("status", "step"), [IN_A_CHECK, IN_A_BATCH])
def test_a_terminated_worker_exits_between_two_steps_and_the_next_worker_continues(
    alice, web_server, status, step
):
    sample = make_sample()
    with site(alice, web_server) as web, block_at(step) as gate:
        with worker() as first:
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            gate.wait_until_reached()
            first.terminate()
            terminated_at = time.monotonic()
            wait_for(first.has_deregistered)
            gate.open()
            first.wait_for_exit()
            exit_seconds = time.monotonic() - terminated_at
        job.refresh_from_db()
        state_before = job.status, job.reader_crashes, ImportAttempt.objects.count()
        with worker():
            wait_until_end(watcher)

    assert exit_seconds < GRACE_SECONDS
    assert state_before == (status, 0, 0)
    assert job.check_generation == 1
    assert_exact({job: sample})


@pytest.mark.parametrize(("status", "step"), [IN_A_CHECK, IN_A_BATCH])
def test_a_worker_whose_step_outlasts_its_grace_period_is_killed_and_replaced(
    alice, web_server, status, step
):
    sample = make_sample()
    with site(alice, web_server) as web, block_at(step) as gate:
        with worker() as first:
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            gate.wait_until_reached()
            first.terminate()
            wait_for(first.has_deregistered)
            assert first.process.poll() is None  # It waits for its step.
            first.kill()
        job.refresh_from_db()
        status_at_kill = job.status
        gate.open()
        with worker():
            wait_until_end(watcher, crashes=(0, 1, 2))

    assert status_at_kill == status
    assert_exact({job: sample})


# --- Frozen ------------------------------------------------------------------


def freeze_and_replace(watcher, gate, frozen, *, until):
    """Freeze a worker at the gate, start another one, and wake the first when `until()` is true.

    Return the job as it was directly before the frozen worker woke.
    """
    frozen.signal(signal.SIGSTOP)
    gate.open()
    with worker():
        wait_for(until)
        job_at_wakeup = ImportJob.objects.get(pk=watcher.job.pk)
        frozen.signal(signal.SIGCONT)
        wait_until_end(watcher)
        wait_until_idle()
    return job_at_wakeup


def test_a_worker_frozen_in_a_batch_loses_its_session_and_changes_nothing_when_it_wakes(
    alice, web_server
):
    sample = make_sample()
    with (
        site(alice, web_server) as web,
        block_at(during_apply(after_batch=3)) as gate,
        worker(IMPORTS_IDLE_TIMEOUT="1s") as frozen,
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        job_at_wakeup = freeze_and_replace(
            watcher, gate, frozen, until=lambda: job.refresh_from_db() or job.is_final
        )

    assert (job_at_wakeup.status, job.version) == (Status.COMPLETE, job_at_wakeup.version)
    assert_exact({job: sample})


def test_recovery_ends_the_session_of_a_worker_that_is_frozen_inside_copy(alice, web_server):
    sample = make_sample(12_000)
    # The chunk is larger than the buffers of a socket, so the worker freezes while it sends.
    step = during_staging(after_row=4_000, event="BEFORE INSERT")
    with (
        site(alice, web_server) as web,
        block_at(step) as gate,
        worker(IMPORTS_STATEMENT_TIMEOUT="2s") as frozen,
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        version = ImportJob.objects.get(pk=job.pk).version
        job_at_wakeup = freeze_and_replace(
            watcher, gate, frozen, until=lambda: job.refresh_from_db() or job.version > version
        )

    assert job_at_wakeup.version > version
    assert_exact({job: sample})


# --- Memory ------------------------------------------------------------------


def test_a_reader_out_of_memory_fails_its_file_and_the_next_is_read(alice, web_server):
    sample = make_sample(200)
    with (
        site(alice, web_server) as web,
        worker(IMPORTS_READER_MEMORY_BYTES=str(100 << 20)) as worker_process,
    ):
        too_large = upload_in_process(alice, make_workbook_too_large_for_memory(), "too_large.xlsx")
        wait_until_end(web.watch(too_large), seconds=20)
        processes_before = worker_process.list_processes()
        after = upload_in_process(alice, sample.content)
        wait_until_end(web.watch(after))
        pids_before = [process.pid for process in processes_before]
        assert [process.pid for process in worker_process.list_processes()] == pids_before

    assert (too_large.status, too_large.error_code) == (Status.FAILED, "too_much_memory")
    too_large.delete()
    assert_exact({after: sample})


def make_workbook_too_large_for_memory():
    """Make a workbook with 48 MB of shared strings.

    They compress too badly for the check that rejects zip bombs.
    """
    noise = Random(1).randbytes(3_000).hex()
    strings = f"<si><t>{noise * 4}</t></si>" * 2_000
    return make_workbook_from_xml(make_row_xml(1, '<c t="s"><v>0</v></c>'), strings=strings)
