"""What a lost message left behind is asked for again, and nothing is asked for twice over."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import dramatiq
import pytest
from django.db import connection
from django.db.models.functions import Now

from imports import actors, recovery, worker_process
from imports.advisory_locks import MAINTENANCE, TRY_LOCK
from imports.importer import get_importer
from imports.models import ImportJob, Worker
from imports.pipeline import transactions
from imports.pipeline.transactions import TransientError, run_or_defer, short_transaction
from imports.statuses import Status
from tests.concurrency import call_then_close_connection, concurrent_transaction
from tests.factories import HEADERS, check_job, get_counts, make_csv, make_job, make_row
from tests.parcels import importer as parcels
from tests.spreadsheets import make_workbook

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def queue():
    """The real queue, empty before and after."""
    broker = dramatiq.get_broker()
    broker.flush_all()
    yield broker
    broker.flush_all()


@pytest.fixture(autouse=True)
def _turns_of_one_batch(settings):
    settings.IMPORT_TURN_SECONDS = 0


@pytest.fixture
def running(settings):
    """A RUNNING import of six batches, none of which has been asked for."""
    settings.IMPORT_BATCHES_A_FILE = 6
    return check_job(make_job(make_csv([make_row(n) for n in range(300)])))


def messages(queue, name):
    """The arguments of all messages that wait in a queue."""
    raw = queue.client.hgetall(f"{queue.namespace}:{name}.msgs").values()
    return sorted(dramatiq.Message.decode(data).args for data in raw)


def status_of(job):
    return ImportJob.objects.get(pk=job.pk).status


def asked_for(queue):
    return [number for _, number in messages(queue, "batches")]


def deliver(job, number):
    actors.apply_batches.fn(str(job.pk), number)


def test_a_running_import_has_its_first_batches_asked_for(running, queue):
    recovery.recover()

    assert asked_for(queue) == [1, 2]


def test_what_was_asked_for_lately_is_not_asked_for_again(running, queue):
    for _ in range(5):
        recovery.recover()

    assert asked_for(queue) == [1, 2]


def test_a_lost_message_is_sent_again(running, queue, settings):
    recovery.recover()
    queue.flush_all()
    running.batches.filter(number=1).update(
        enqueued_at=Now() - timedelta(seconds=settings.IMPORT_RESEND_SECONDS + 1)
    )

    recovery.recover()

    assert asked_for(queue) == [1]


def test_a_batch_once_applied_asks_for_the_one_k_further(running, queue):
    deliver(running, 1)

    assert asked_for(queue) == [3]


def test_a_batch_in_a_workers_hands_is_not_waited_for(running, queue):
    with concurrent_transaction() as cursor:
        cursor.execute("SELECT FROM imports_importbatch WHERE number = 1 FOR UPDATE")

        recovery.recover()

    assert asked_for(queue) == [2]


def test_an_after_batch_that_fails_costs_nobody_the_import(queue, caplog, monkeypatch):
    def fail(ids):
        raise ValueError("+233244000000")

    deliver(check_job(make_job(make_csv([make_row(1)]))), 1)
    rows = make_csv([["MARK 1", "7", "1"]], ["Mark", "Number", "Weight"])
    job = check_job(make_job(rows, importer="parcels"))
    monkeypatch.setattr(get_importer("parcels"), "after_batch", fail)

    deliver(job, 1)

    job.refresh_from_db()
    assert job.status == Status.COMPLETE
    assert "after_batch" in caplog.text
    assert "+233244000000" not in caplog.text


def test_a_check_that_came_to_nothing_does_not_ask_for_itself(queue):
    job = make_job(make_csv([make_row(1)]))

    with concurrent_transaction() as cursor:
        cursor.execute("SELECT FROM imports_importjob FOR UPDATE")
        actors.check_next_file.fn()

    assert ImportJob.objects.get(pk=job.pk).status == Status.QUEUED
    assert messages(queue, "checks") == []


def test_a_message_for_an_applied_batch_asks_for_nothing(running, queue):
    deliver(running, 1)
    queue.flush_all()

    deliver(running, 1)

    assert asked_for(queue) == []
    assert get_counts(running)["created"] == 50


def test_a_turn_is_as_many_small_batches_as_go_into_its_time(running, queue, settings):
    settings.IMPORT_TURN_SECONDS = 60
    deliver(running, 1)

    assert asked_for(queue) == []
    assert [batch.number for batch in running.batches.filter(applied_at=None)] == [2, 4, 6]
    deliver(running, 2)
    assert status_of(running) == Status.COMPLETE


def test_the_last_batches_ask_for_nothing(running, queue):
    for number in range(1, 7):
        deliver(running, number)

    running.refresh_from_db()
    assert running.status == Status.COMPLETE
    assert max(asked_for(queue)) == 6


def test_a_waiting_file_is_asked_for(queue):
    make_job(make_csv([make_row(1)]))

    recovery.recover()

    assert messages(queue, "checks") == [()]


def test_beside_a_file_a_process_reads_a_small_one(queue, settings):
    small, large = (make_job(make_csv(map(make_row, range(count)))) for count in (1, 100))
    settings.IMPORT_SMALL_FILE_BYTES = 1_000

    with actors._reading:
        for _ in range(3):
            actors.check_next_file.fn()

    assert status_of(small) == Status.RUNNING
    assert status_of(large) == Status.QUEUED


def test_a_process_reads_no_third_file(queue):
    job = make_job(make_csv([make_row(1)]))

    with actors._reading, actors._reading_beside:
        actors.check_next_file.fn()

    assert status_of(job) == Status.QUEUED


def test_what_costs_too_much_to_be_read_beside_another_waits_for_its_turn(queue, settings):
    costly = make_job(make_workbook(HEADERS, make_row(1)))
    after_it = make_job(make_csv(map(make_row, range(120))))
    # More than the cells of the second, less than the workbook unpacks to.
    settings.IMPORT_SMALL_READER = settings.IMPORT_SMALL_READER | {"inflated_bytes": 10_000}
    with actors._reading:
        actors.check_next_file.fn()
        put_back, asked = ImportJob.objects.get(pk=costly.pk), messages(queue, "checks")
        actors.check_next_file.fn()
        stood_at = status_of(after_it)

    actors.check_next_file.fn()

    assert (put_back.status, put_back.needs_main_reader, put_back.reader_crashes) == (
        Status.QUEUED,
        True,
        0,
    )
    assert put_back.error_code is None
    assert asked == [()]  # Whoever may read it, or another, is told.
    assert (stood_at, status_of(costly)) == (Status.RUNNING, Status.RUNNING)
    assert get_counts(costly)["failed"] == 0


def test_what_is_put_back_in_the_middle_waits_as_if_nobody_had_opened_it(queue, settings):
    rows = [make_row(n, phone="bad") if n % 3 == 0 else make_row(n) for n in range(3_000)]
    job = make_job(make_csv(rows))
    settings.IMPORT_SMALL_READER = settings.IMPORT_SMALL_READER | {"inflated_bytes": 60_000}
    with actors._reading:
        actors.check_next_file.fn()
        put_back, staged = ImportJob.objects.get(pk=job.pk), job.rows.count()

    actors.check_next_file.fn()

    assert staged > 0
    assert (put_back.status, put_back.checked, put_back.failed) == (Status.QUEUED, 0, 0)
    assert put_back.started_at is None  # To wait is no work.
    assert (status_of(job), get_counts(job)["failed"]) == (Status.RUNNING, 1_000)
    assert job.rows.count() == 3_000


def test_a_small_file_that_is_damaged_is_refused_beside_another(queue):
    job = make_job(make_workbook(HEADERS, make_row(1))[:-50])

    with actors._reading:
        actors.check_next_file.fn()

    assert status_of(job) == Status.FAILED


def test_what_has_killed_two_readers_gets_all_there_is_for_the_third(queue):
    job = make_job(make_csv([make_row(1)]))
    ImportJob.objects.transition(job.pk, Status.CHECKING)
    ImportJob.objects.filter(pk=job.pk).update(reader_crashes=2)

    with actors._reading:
        actors.check_next_file.fn()
        stood_at = status_of(job)
    actors.check_next_file.fn()

    assert (stood_at, status_of(job)) == (Status.CHECKING, Status.RUNNING)


def test_who_ends_a_check_asks_for_the_next(queue):
    jobs = [make_job(make_csv([make_row(n)])) for n in (1, 2)]

    actors.check_next_file.fn()

    statuses = sorted(ImportJob.objects.get(pk=job.pk).status for job in jobs)
    assert statuses == [Status.QUEUED, Status.RUNNING]
    assert messages(queue, "checks") == [()]


def test_a_session_frozen_inside_a_step_is_ended():
    with concurrent_transaction() as cursor:
        cursor.execute("SET LOCAL application_name = 'imports step, at most 0 s'")
        cursor.execute("SELECT pg_backend_pid()")

        assert transactions.terminate_frozen_sessions() == 1


def test_a_session_of_someone_else_is_left_alone():
    with concurrent_transaction() as cursor:
        cursor.execute("SET LOCAL application_name = 'a report'")
        cursor.execute("SELECT pg_backend_pid()")

        assert transactions.terminate_frozen_sessions() == 0


def test_a_step_says_how_long_it_may_take():
    with short_transaction(), connection.cursor() as cursor:
        cursor.execute("SHOW application_name")
        assert cursor.fetchone() == ("imports step, at most 70 s",)


def test_of_two_recoveries_at_once_one_looks(running, queue):
    with concurrent_transaction() as cursor:
        cursor.execute(TRY_LOCK, [MAINTENANCE, ""])

        recovery.recover()

    assert asked_for(queue) == []


def test_after_batch_is_called_where_a_worker_died_before_it(settings):
    settings.IMPORT_RESEND_SECONDS = 0
    parcels.after_batch_calls.clear()
    customers = check_job(make_job(make_csv([make_row(1)])))
    deliver(customers, 1)
    rows = make_csv([["MARK 1", "7", "1"]], ["Mark", "Number", "Weight"])
    job = check_job(make_job(rows, importer="parcels"))
    actors.batch_applier.apply_batch(job.pk, 1)  # And the worker dies.

    recovery.recover()
    recovery.recover()

    model = get_importer("parcels").model
    assert parcels.after_batch_calls == [[model.objects.get().pk]]


def test_what_the_database_could_not_take_is_done_later():
    done = []

    def step():
        if not done:
            done.append("tried")
            raise TransientError("08006")
        done.append("done")

    run_or_defer(step)
    recovery.recover()

    assert done == ["tried", "done"]


def test_a_worker_says_that_it_is_alive_and_what_it_does():
    with worker_process.report_work("batch 4"):
        recovery.beat()

    worker = Worker.objects.get()
    assert (worker.name, worker.current_work[0]["what"]) == (worker_process.WORKER_NAME, "batch 4")
    recovery.deregister()
    assert not Worker.objects.exists()


def test_a_duty_that_fails_does_not_end_the_thread(settings, caplog):
    settings.IMPORT_RECOVERY_SECONDS = 0.01
    calls = []

    def duty():
        calls.append(1)
        if len(calls) == 3:
            worker_process.stop_requested.set()
        raise ValueError("+233244000000")

    worker_process._duties.append(duty)
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(call_then_close_connection, worker_process.run_maintenance).result(
                timeout=20
            )
    finally:
        worker_process._duties.remove(duty)
        worker_process.stop_requested.clear()

    assert len(calls) == 3
    assert "duty failed: ValueError" in caplog.text
    assert "+233244000000" not in caplog.text
