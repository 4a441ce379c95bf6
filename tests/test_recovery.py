"""Recovery, the actors and the maintenance thread: lost messages are sent again, and none twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import dramatiq
import pytest
from django.db.models.functions import Now

from customers.models import Customer
from imports import actors, lifecycle, recovery, worker_process
from imports.advisory_locks import MAINTENANCE, TRY_LOCK
from imports.broker import get_broker
from imports.conf import app_settings
from imports.importer import get_importer
from imports.models import ImportBatch, ImportJob, Worker
from imports.pipeline import transactions
from imports.pipeline.transactions import TransientError, run_or_defer, short_transaction
from imports.statuses import Status
from tests.concurrency import call_then_close_connection, concurrent_transaction
from tests.database import connection
from tests.factories import (
    HEADERS,
    apply_all_batches,
    check_job,
    get_counts,
    make_csv,
    make_job,
    make_row,
)
from tests.parcels import importer as parcels
from tests.spreadsheets import make_workbook

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def queue():
    """The real queue, empty before and after."""
    flush_queues()
    yield get_broker()
    flush_queues()


def flush_queues():
    for name in actors.QUEUES:
        get_broker().flush(name)


@pytest.fixture(autouse=True)
def turns_of_one_batch(settings):
    settings.IMPORTS_TURN_SECONDS = 0


@pytest.fixture
def running(settings):
    """A RUNNING import of six batches, for which no message has been sent."""
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 6
    return check_job(make_job(make_csv([make_row(n) for n in range(300)])))


def list_messages(queue, name):
    """Return the arguments of all messages in a queue."""
    raw = queue.client.hgetall(f"{queue.namespace}:{name}.msgs").values()
    return sorted(dramatiq.Message.decode(data).args for data in raw)


def get_status(job):
    return ImportJob.objects.get(pk=job.pk).status


def list_enqueued_batches(queue):
    return [number for _, number in list_messages(queue, actors.BATCH_QUEUE)]


def deliver_message(job, number):
    actors.apply_batches(str(job.pk), number)


def test_recovery_enqueues_the_first_batches_of_a_running_import(running, queue):
    recovery.recover()

    assert list_enqueued_batches(queue) == [1, 2]


def test_recovery_does_not_enqueue_a_batch_again_at_once(running, queue):
    for _ in range(5):
        recovery.recover()

    assert list_enqueued_batches(queue) == [1, 2]


def test_recovery_enqueues_a_batch_again_after_the_resend_time(running, queue, settings):
    recovery.recover()
    flush_queues()
    running.batches.filter(number=1).update(
        enqueued_at=Now() - timedelta(seconds=app_settings.MESSAGE_TIMEOUT_SECONDS + 1)
    )

    recovery.recover()

    assert list_enqueued_batches(queue) == [1]


def test_a_resumed_import_enqueues_the_batches_whose_messages_came_during_the_pause(running, queue):
    recovery.recover()
    lifecycle.pause(running)
    flush_queues()

    lifecycle.resume(running)

    assert list_enqueued_batches(queue) == [1, 2]


def test_an_applied_batch_enqueues_the_batch_k_further(running, queue):
    deliver_message(running, 1)

    assert list_enqueued_batches(queue) == [3]


def test_recovery_skips_a_batch_that_a_worker_has_claimed(running, queue):
    with concurrent_transaction() as cursor:
        cursor.execute("SELECT FROM imports_importbatch WHERE number = 1 FOR UPDATE")

        recovery.recover()

    assert list_enqueued_batches(queue) == [2]


def test_an_exception_in_after_batch_does_not_fail_the_import(queue, caplog, monkeypatch):
    phone = "+233244000000"

    def fail(ids, context):
        raise ValueError(phone)

    deliver_message(check_job(make_job(make_csv([make_row(1)]))), 1)
    rows = make_csv([["MARK 1", "7", "1"]], ["Mark", "Number", "Weight"])
    job = check_job(make_job(rows, importer="parcels"))
    monkeypatch.setattr(get_importer("parcels"), "after_batch", fail)

    deliver_message(job, 1)

    job.refresh_from_db()
    assert job.status == Status.COMPLETE
    assert "after_batch" in caplog.text
    assert phone not in caplog.text


def test_a_check_that_gets_no_lease_enqueues_no_check(queue):
    job = make_job(make_csv([make_row(1)]))

    with concurrent_transaction() as cursor:
        cursor.execute("SELECT FROM imports_importjob FOR UPDATE")
        actors.check_next_file()

    assert ImportJob.objects.get(pk=job.pk).status == Status.QUEUED
    assert list_messages(queue, actors.CHECK_QUEUE) == []


def test_a_message_for_an_applied_batch_enqueues_nothing(running, queue):
    deliver_message(running, 1)
    flush_queues()

    deliver_message(running, 1)

    assert list_enqueued_batches(queue) == []
    assert get_counts(running)["created"] == 50


def test_a_turn_applies_small_batches_until_its_time_is_over(running, queue, settings):
    settings.IMPORTS_TURN_SECONDS = 60
    deliver_message(running, 1)

    assert list_enqueued_batches(queue) == []
    assert [batch.number for batch in running.batches.filter(applied_at=None)] == [2, 4, 6]
    deliver_message(running, 2)
    assert get_status(running) == Status.COMPLETE


def test_the_last_batches_enqueue_nothing(running, queue):
    for number in range(1, 7):
        deliver_message(running, number)

    running.refresh_from_db()
    assert running.status == Status.COMPLETE
    assert max(list_enqueued_batches(queue)) == 6


def test_recovery_enqueues_a_check_for_a_waiting_file(queue):
    make_job(make_csv([make_row(1)]))

    recovery.recover()

    assert list_messages(queue, actors.CHECK_QUEUE) == [()]


def test_a_process_reads_a_small_file_beside_another(queue, settings):
    small, large = (make_job(make_csv(map(make_row, range(count)))) for count in (1, 100))
    settings.IMPORTS_SMALL_FILE_BYTES = 1_000

    with actors._main_reader_lock:
        for _ in range(3):
            actors.check_next_file()

    assert get_status(small) == Status.RUNNING
    assert get_status(large) == Status.QUEUED


def test_a_process_reads_at_most_two_files(queue):
    job = make_job(make_csv([make_row(1)]))

    with actors._main_reader_lock, actors._small_reader_lock:
        actors.check_next_file()

    assert get_status(job) == Status.QUEUED


def test_a_file_above_the_small_limits_goes_back_to_the_queue(queue, settings):
    costly = make_job(make_workbook(HEADERS, make_row(1)))
    next_file = make_job(make_csv(map(make_row, range(120))))
    # More than the cells of the second file, and less than the size of the inflated workbook.
    settings.IMPORTS_SMALL_READER_LIMITS = app_settings.SMALL_READER_LIMITS | {
        "inflated_bytes": 10_000
    }
    with actors._main_reader_lock:
        actors.check_next_file()
        requeued, messages = (
            ImportJob.objects.get(pk=costly.pk),
            list_messages(queue, actors.CHECK_QUEUE),
        )
        actors.check_next_file()
        status_beside = get_status(next_file)

    actors.check_next_file()

    assert (requeued.status, requeued.needs_main_reader, requeued.reader_crashes) == (
        Status.QUEUED,
        True,
        0,
    )
    assert requeued.error_code is None
    assert messages == [()]  # For this file or the next one.
    assert (status_beside, get_status(costly)) == (Status.RUNNING, Status.RUNNING)
    assert get_counts(costly)["failed"] == 0


def test_a_requeued_file_has_no_counts_and_no_start(queue, settings):
    rows = [make_row(n, phone="bad") if n % 3 == 0 else make_row(n) for n in range(3_000)]
    job = make_job(make_csv(rows))
    settings.IMPORTS_SMALL_READER_LIMITS = app_settings.SMALL_READER_LIMITS | {
        "inflated_bytes": 60_000
    }
    with actors._main_reader_lock:
        actors.check_next_file()
        requeued, staged = ImportJob.objects.get(pk=job.pk), job.rows.count()

    actors.check_next_file()

    assert staged > 0
    assert (requeued.status, requeued.checked, requeued.failed) == (Status.QUEUED, 0, 0)
    assert requeued.started_at is None
    assert (get_status(job), get_counts(job)["failed"]) == (Status.RUNNING, 1_000)
    assert job.rows.count() == 3_000


def test_a_damaged_small_file_fails_beside_another(queue):
    job = make_job(make_workbook(HEADERS, make_row(1))[:-50])

    with actors._main_reader_lock:
        actors.check_next_file()

    assert get_status(job) == Status.FAILED


def test_the_third_attempt_to_read_a_file_uses_the_main_reader(queue):
    job = make_job(make_csv([make_row(1)]))
    ImportJob.objects.transition(job.pk, Status.CHECKING)
    ImportJob.objects.filter(pk=job.pk).update(reader_crashes=2)

    with actors._main_reader_lock:
        actors.check_next_file()
        status_beside = get_status(job)
    actors.check_next_file()

    assert (status_beside, get_status(job)) == (Status.CHECKING, Status.RUNNING)


def test_the_end_of_a_check_enqueues_the_next_check(queue):
    jobs = [make_job(make_csv([make_row(n)])) for n in (1, 2)]

    actors.check_next_file()

    statuses = sorted(ImportJob.objects.get(pk=job.pk).status for job in jobs)
    assert statuses == [Status.QUEUED, Status.RUNNING]
    assert list_messages(queue, actors.CHECK_QUEUE) == [()]


def test_a_frozen_session_is_terminated():
    with concurrent_transaction() as cursor:
        cursor.execute("SET LOCAL application_name = 'imports step, at most 0 s'")
        cursor.execute("SELECT pg_backend_pid()")

        assert transactions.terminate_frozen_sessions() == 1


def test_a_session_of_another_application_is_not_terminated():
    with concurrent_transaction() as cursor:
        cursor.execute("SET LOCAL application_name = 'a report'")
        cursor.execute("SELECT pg_backend_pid()")

        assert transactions.terminate_frozen_sessions() == 0


def test_the_application_name_of_a_transaction_holds_its_time_limit():
    with short_transaction(), connection.cursor() as cursor:
        cursor.execute("SHOW application_name")
        assert cursor.fetchone() == ("imports step, at most 70 s",)


def test_recovery_does_nothing_while_another_worker_recovers(running, queue):
    with concurrent_transaction() as cursor:
        cursor.execute(TRY_LOCK, [MAINTENANCE, ""])

        recovery.recover()

    assert list_enqueued_batches(queue) == []


def test_recovery_asks_for_hooks_that_a_crashed_worker_missed(queue):
    parcels.after_batch_calls.clear()
    customers = check_job(make_job(make_csv([make_row(1)])))
    deliver_message(customers, 1)
    rows = make_csv([["MARK 1", "7", "1"]], ["Mark", "Number", "Weight"])
    job = check_job(make_job(rows, importer="parcels"))
    actors.batch_applier.apply_batch(job.pk, 1)  # The worker crashes before after_batch.

    recovery.recover()

    assert list_messages(queue, actors.HOOK_QUEUE) == [()]
    actors.call_hooks()
    actors.call_hooks()
    model = get_importer("parcels").model
    assert parcels.after_batch_calls == [[model.objects.get().pk]]


def test_recovery_asks_for_no_hooks_if_none_are_due(queue):
    deliver_message(check_job(make_job(make_csv([make_row(1)]))), 1)

    recovery.recover()

    assert list_messages(queue, actors.HOOK_QUEUE) == []


def test_a_step_that_met_a_transient_error_is_repeated():
    done = []

    def step():
        if not done:
            done.append("tried")
            raise TransientError("08006")
        done.append("done")

    run_or_defer(step)
    recovery.recover()

    assert done == ["tried", "done"]


def test_a_heartbeat_holds_the_name_and_the_current_work():
    with worker_process.report_work("batch 4"):
        recovery.beat()

    worker = Worker.objects.get()
    assert (worker.name, worker.current_work[0]["what"]) == (worker_process.WORKER_NAME, "batch 4")
    recovery.deregister()
    assert not Worker.objects.exists()


def test_an_exception_in_a_periodic_task_does_not_end_the_thread(settings, caplog):
    settings.IMPORTS_RECOVERY_INTERVAL_SECONDS = 0.01
    calls, phone = [], "+233244000000"

    def failing_task():
        calls.append(1)
        if len(calls) == 3:
            worker_process.stop_requested.set()
        raise ValueError(phone)

    worker_process._periodic_tasks.append(failing_task)
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(call_then_close_connection, worker_process.run_maintenance).result(
                timeout=20
            )
    finally:
        worker_process._periodic_tasks.remove(failing_task)
        worker_process.stop_requested.clear()

    assert len(calls) == 3
    assert caplog.text.count("failing_task raised ValueError") == 1  # Of three times.
    assert phone not in caplog.text


# --- Forged messages ---------------------------------------------------------


@pytest.mark.parametrize("act", [actors.apply_batches, actors.undo_batches])
@pytest.mark.parametrize("status", ["unknown", Status.READY, Status.CANCELLED, Status.COMPLETE])
def test_a_message_for_an_import_that_is_not_due_changes_nothing(act, status):
    job = check_job(make_job(make_csv([make_row(1)]), check_first=True))
    if status == Status.CANCELLED:
        lifecycle.cancel(job.pk)
    elif status == Status.COMPLETE:
        apply_all_batches(lifecycle.start(job.pk).pk)
        assert get_status(job) == Status.COMPLETE
    before = get_state()

    job_id = str(uuid4() if status == "unknown" else job.pk)
    for number in (0, 1, 999) if act is actors.apply_batches else (None,):
        act(job_id) if number is None else act(job_id, number)

    assert get_state() == before


def get_state():
    """Return all imports, batches and customers."""
    return [list(model.objects.values()) for model in (ImportJob, ImportBatch, Customer)]
