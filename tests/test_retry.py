"""Retry: a failed import goes on from where it stopped, and failed rows are imported again."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db.models.functions import Now

from customers.models import Customer
from imports import lifecycle
from imports.importer import _registered, get_importer
from imports.models import ImportEvent, ImportJob
from imports.pipeline import file_checker
from imports.pipeline.batch_applier import apply_batch
from imports.pipeline.header_detection import DetectedColumns
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.reader_client import Chunk
from imports.pipeline.row_block import RowBlock
from imports.pipeline.transactions import StatementTimeout
from imports.statuses import Status
from tests.concurrency import (
    call_then_close_connection,
    concurrent_transaction,
    wait_until_blocked,
)
from tests.database import connection
from tests.factories import (
    apply_all_batches,
    check_job,
    get_counts,
    get_outcomes,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.processes import (
    flush_redis,
    upload_in_process,
    wait_until_final,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def unregistered():
    """Return a context manager in which no importer is registered."""

    @contextmanager
    def unregister():
        importer = _registered.pop("customers")
        try:
            yield
        finally:
            _registered["customers"] = importer

    return unregister


def fail(job, code, **params):
    return ImportJob.objects.transition(job.pk, Status.FAILED, error_code=code, error_params=params)


# --- A failed check ----------------------------------------------------------


def test_a_failed_check_reads_on_after_the_rows_that_it_has_staged(alice):
    job = make_job(make_csv([make_row(n) for n in range(1_200)]), owner=alice)
    chunks = []
    check_job(job, should_stop=lambda: chunks.append(1) or len(chunks) == 1)
    assert (job.status, job.checked) == (Status.CHECKING, 499)
    fail(job, "crashed_reader")
    first_rows = set(job.rows.values_list("number", "target_id"))

    retried = lifecycle.retry(job)
    assert (retried.pk, retried.status, retried.run) == (job.pk, Status.QUEUED, 2)
    job = apply_all_batches(check_job(job).pk)

    assert (job.status, job.created, job.total) == (Status.COMPLETE, 1_200, 1_200)
    assert first_rows <= set(job.rows.values_list("number", "target_id"))


def test_a_reader_of_the_failed_check_can_no_longer_write(alice):
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice), should_stop=lambda: True)
    generation = job.check_generation
    fail(job, "too_slow_to_read")

    lifecycle.retry(job)

    assert check_job(job).check_generation == generation + 1


def test_a_later_change_of_options_reads_the_file_from_the_start(alice):
    content = make_csv([make_row(n) for n in range(3)])
    job = check_job(make_job(content, owner=alice, check_first=True), should_stop=lambda: True)
    fail(job, "crashed_reader")
    lifecycle.retry(job)
    assert check_job(job).status == Status.READY

    lifecycle.check_again(job, {"on_duplicate": "update"})

    assert check_job(job).checked == 3


@pytest.mark.parametrize("code", ["missing_columns", "no_rows", "damaged_file", "file_deleted"])
def test_an_error_that_a_retry_cannot_help_is_named(alice, code):
    job = make_job(make_csv([make_row(1)]), owner=alice)
    fail(job, code, columns=[])

    with pytest.raises(lifecycle.TransitionNotAllowed, match=f"FAILED \\({code}\\)"):
        lifecycle.retry(job)

    assert not ImportEvent.objects.exists()


def test_a_retry_counts_the_crashes_of_readers_and_time_outs_anew(alice):
    job = make_job(make_csv([make_row(1)]), owner=alice)
    fail(job, "crashed_reader")
    ImportJob.objects.filter(pk=job.pk).update(reader_crashes=3, timeouts=3)

    lifecycle.retry(job)

    job.refresh_from_db()
    assert (job.reader_crashes, job.timeouts) == (0, 0)


# --- Failed writing ----------------------------------------------------------


def test_failed_writing_continues_with_the_first_batch_that_is_not_written(alice, unregistered):
    job = check_job(make_job(make_csv([make_row(n) for n in range(150)]), owner=alice))
    apply_batch(job.pk, 1)
    with unregistered():
        failed = apply_batch(job.pk, 2)
    assert (failed.status, failed.error_code) == (Status.FAILED, "unknown_importer")
    assert not job.batches.filter(crashes__gt=0).exists()

    retried = lifecycle.retry(job)

    assert (retried.status, retried.run, retried.created) == (Status.RUNNING, 2, 50)
    assert get_counts(apply_all_batches(job.pk))["created"] == 150
    assert Customer.objects.count() == 150


def test_a_retry_counts_the_time_outs_of_a_batch_anew(alice):
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice))
    job.batches.update(timeouts=5)
    fail(job, "database_timeout")

    lifecycle.retry(job)

    assert job.batches.get().timeouts == 0


SLOW_TRIGGER = """
CREATE FUNCTION sleep_before_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION sleep_before_insert()
"""
DROP_SLOW_TRIGGER = "DROP FUNCTION IF EXISTS sleep_before_insert CASCADE"


@pytest.fixture
def slow_down():
    """Return a function that makes every INSERT into a table take a minute."""

    def create_trigger(table):
        with connection.cursor() as cursor:
            cursor.execute(SLOW_TRIGGER.format(table=table))

    yield create_trigger
    speed_up()


def speed_up():
    with connection.cursor() as cursor:
        cursor.execute(DROP_SLOW_TRIGGER)


def test_a_batch_that_always_exceeds_its_time_out_fails_the_import(alice, settings, slow_down):
    slow_down("customers_customer")
    settings.IMPORTS_DATABASE_TIMEOUTS = {"statement_timeout": "50ms"}
    job = check_job(make_job(make_csv([make_row(n) for n in range(120)]), owner=alice))
    for _ in range(4):
        with pytest.raises(StatementTimeout):
            apply_batch(job.pk, 1)

    failed = apply_batch(job.pk, 1)

    assert (failed.status, failed.error_code) == (Status.FAILED, "database_timeout")
    assert failed.error_params == {
        "setting": "IMPORTS_DATABASE_TIMEOUTS",
        "limit": "50ms",
        "times": 5,
    }
    assert not job.batches.filter(crashes__gt=0).exists()
    speed_up()
    settings.IMPORTS_DATABASE_TIMEOUTS = {}
    lifecycle.retry(job)
    assert apply_all_batches(job.pk).created == 120


def test_an_end_of_a_check_that_always_exceeds_its_time_out_fails_the_import(
    alice, settings, slow_down
):
    slow_down("imports_importbatch")
    settings.IMPORTS_FINISH_CHECK_TIMEOUT = "300ms"
    job = make_job(make_csv([make_row(n) for n in range(120)]), owner=alice)
    for _ in range(2):
        with pytest.raises(StatementTimeout):
            check_job(job)

    check_job(job)

    assert (job.status, job.error_code) == (Status.FAILED, "database_timeout")
    assert job.error_params["setting"] == "IMPORTS_FINISH_CHECK_TIMEOUT"
    speed_up()
    settings.IMPORTS_FINISH_CHECK_TIMEOUT = "300s"
    lifecycle.retry(job)
    assert apply_all_batches(check_job(job).pk).created == 120


def test_a_statement_that_is_wrong_fails_the_import_and_no_row(alice, caplog):
    job = check_job(make_job(make_csv([make_row(n) for n in range(3)]), owner=alice))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE customers_customer RENAME COLUMN phone TO telephone")
    try:
        failed = apply_batch(job.pk, 1)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE customers_customer RENAME COLUMN telephone TO phone")

    assert (failed.status, failed.error_code) == (Status.FAILED, "writing_failed")
    assert failed.error_params == {"sqlstate": "42703"}
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    lifecycle.retry(job)
    assert get_outcomes(apply_all_batches(job.pk)) == {2: "created", 3: "created", 4: "created"}


def test_a_worker_fails_a_batch_with_a_time_out_and_another_finishes_it(alice, slow_down):
    flush_redis()
    slow_down("customers_customer")
    job = upload_in_process(alice, make_csv([make_row(n) for n in range(120)]))
    with worker(IMPORTS_STATEMENT_TIMEOUT="1s"):
        wait_until_final(job)
        assert (job.status, job.error_code) == (Status.FAILED, "database_timeout")
        speed_up()
        lifecycle.retry(job)
        wait_until_final(job)

    assert (job.status, job.created) == (Status.COMPLETE, 120)


# --- Failed rows of a completed import ---------------------------------------


@pytest.fixture
def partly_failed(alice):
    """An import of five rows: one matches a record, one repeats a row, one has no phone."""
    run_import(make_csv([make_row(1)]), owner=alice)
    rows = [
        make_row(1),
        make_row(2),
        make_row(2, mark="OTHER"),
        make_row(3, phone=""),
        make_row(4),
    ]
    job = run_import(make_csv(rows), owner=alice, on_duplicate="fail")
    assert get_outcomes(job) == {
        2: "failed",
        3: "created",
        4: "failed",
        5: "failed",
        6: "created",
    }
    return job


def test_failed_rows_are_read_again_by_a_new_import_and_repeats_are_left_out(partly_failed, bob):
    Customer.objects.filter(last_name="Mensah1").delete()
    before = get_counts(partly_failed)

    retried = lifecycle.retry(partly_failed, by=lifecycle.Actor(bob, lifecycle.Via.PAGE))
    retried = apply_all_batches(check_job(retried).pk)

    assert retried.retry_of_id == partly_failed.pk
    assert get_outcomes(retried) == {2: "created", 5: "failed"}
    assert (retried.status, retried.total, retried.owner) == (
        Status.COMPLETE,
        2,
        partly_failed.owner,
    )
    assert get_counts(partly_failed) == before
    events = ImportEvent.objects.filter(via="page").values_list("job", "command", "details")
    assert list(events) == [
        (partly_failed.pk, "retry", {"import": str(retried.pk)}),
        (retried.pk, "upload", {"retry_of": str(partly_failed.pk)}),
    ]


def test_two_retries_at_once_make_one_import(partly_failed):
    def retry():
        try:
            return lifecycle.retry(partly_failed.pk).pk
        except lifecycle.TransitionNotAllowed as error:
            return error.code

    with ThreadPoolExecutor(2) as threads, concurrent_transaction() as cursor:
        table = ImportJob._meta.db_table
        cursor.execute(f"SELECT FROM {table} WHERE id = %s FOR UPDATE", [partly_failed.pk])
        futures = [threads.submit(call_then_close_connection, retry) for _ in range(2)]
        wait_until_blocked(2)
        cursor.connection.rollback()
        results = [future.result(timeout=30) for future in futures]

    assert results.count("retried_already") == 1
    assert partly_failed.retries.count() == 1


def test_a_cancelled_retry_may_be_repeated(partly_failed):
    lifecycle.cancel(lifecycle.retry(partly_failed))

    assert lifecycle.retry(partly_failed).status == Status.QUEUED


def test_the_rows_of_a_retry_are_known_only_while_the_first_import_exists(partly_failed):
    retried = lifecycle.retry(partly_failed)
    partly_failed.rows.all().delete()
    partly_failed.delete()

    check_job(retried)

    assert (retried.status, retried.error_code) == (Status.FAILED, "file_deleted")
    assert Customer.objects.count() == 3


def test_a_retry_fails_while_the_rows_of_the_first_import_are_being_deleted(partly_failed):
    retried = lifecycle.retry(partly_failed)
    ImportJob.objects.filter(pk=partly_failed.pk).update(contents_deleted_at=Now())
    partly_failed.rows.filter(number=2).delete()

    check_job(retried)

    assert (retried.status, retried.error_code) == (Status.FAILED, "file_deleted")
    assert not retried.rows.exists()


def test_the_read_summary_of_a_retry_has_only_its_own_rows(partly_failed):
    note = {"other_encoding": [3, 5]}
    retried = file_checker.acquire_lease(lifecycle.retry(partly_failed).pk)
    columns = DetectedColumns(**partly_failed.detected_columns)
    rows = [(number, make_row(number)) for number in range(2, 7)]
    summary = ReadSummary()

    importer = get_importer("customers")
    chunk = Chunk([RowBlock.from_rows(rows)], 1.0, 6, 100, note)
    (kept,) = file_checker._select_records(chunk, columns, importer, summary, retried)

    assert kept.numbers == [2, 5]
    assert [entry["params"]["rows"] for entry in summary.entries()] == [[5]]


def test_an_import_without_failed_rows_has_nothing_to_retry(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)

    assert not lifecycle.can_retry(job)
    with pytest.raises(lifecycle.TransitionNotAllowed) as info:
        lifecycle.retry(job)

    assert info.value.code == "nothing_to_retry"
