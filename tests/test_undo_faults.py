"""Undo despite races, crashes, errors and lost messages: each batch is undone exactly once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import IntegrityError

from customers.models import Customer
from imports import importer as registry
from imports import lifecycle
from imports.conf import app_settings
from imports.models import HookCall, ImportAttempt, ImportBatch, ImportJob
from imports.pipeline import attempts, poison_batches, undo
from imports.pipeline.transactions import TransientError
from imports.postgres import atomic
from imports.statuses import Hook, Status
from tests.concurrency import (
    call_then_close_connection,
    concurrent_transaction,
    wait_until_blocked,
)
from tests.database import connection
from tests.fault_points import block_at, during_undo
from tests.invariants import assert_no_attempts_left, count_open_steps
from tests.processes import flush_redis, wait_for, wait_until_final, worker
from tests.test_undo import (
    get_customer,
    get_kept,
    get_undo_counts,
    import_people,
    list_marks,
    undo_all_batches,
    undo_import,
)

pytestmark = pytest.mark.django_db(transaction=True)

TRIGGER = """
CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.shipping_mark = 'MARK 2' THEN {action} END IF;
    {result}
END $$;
CREATE TRIGGER interfere BEFORE {event} ON customers_customer
FOR EACH ROW EXECUTE FUNCTION interfere()
"""
DROP_TRIGGER = """
DROP TRIGGER interfere ON customers_customer;
DROP FUNCTION interfere()
"""


@pytest.fixture
def patient(settings):
    """Let a batch wait for the lock that a test holds."""
    settings.IMPORTS_DATABASE_TIMEOUTS = app_settings.DATABASE_TIMEOUTS | {"lock_timeout": "20s"}


@pytest.fixture
def interfere():
    """Return a function that runs code of a trigger when customer 2 is changed or deleted."""

    def install(action, event="DELETE", result="RETURN OLD;"):
        execute(TRIGGER.format(action=action, event=event, result=result))

    yield install
    execute(DROP_TRIGGER)


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


# --- Races -------------------------------------------------------------------


def test_eight_workers_undo_each_batch_once():
    job = lifecycle.undo(import_people(*range(1, 21)).pk)
    together = Barrier(8)

    def work():
        together.wait()
        done = 0
        while ImportJob.objects.get(pk=job.pk).status == Status.UNDOING:
            done += undo.undo_next_batch(job.pk) is not None
        return done

    with ThreadPoolExecutor(8) as workers:
        results = [workers.submit(call_then_close_connection, work) for _ in range(8)]

    assert sum(result.result() for result in results) == 10
    assert get_undo_counts(job) == (20, 0, 0)
    assert not Customer.objects.exists()
    assert not ImportAttempt.objects.exists()
    assert HookCall.objects.filter(job=job, hook=Hook.IMPORT_UNDONE).count() == 1


def test_two_batches_of_an_import_are_never_undone_at_the_same_time():
    job = lifecycle.undo(import_people(1, 2, 3, 4).pk)

    with block_at(during_undo(from_batch=2)) as gate, ThreadPoolExecutor(1) as thread:
        first = thread.submit(call_then_close_connection, undo.undo_next_batch, job.pk)
        gate.wait_until_reached()

        assert undo.undo_next_batch(job.pk) is None
        with atomic(), pytest.raises(attempts.BatchNotAvailable):
            undo.claim_batch(job.pk, 1)
        gate.open()

    assert first.result().undone == 2
    assert undo_all_batches(job.pk).status == Status.UNDONE


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE customers_customer SET first_name = 'Esi' WHERE id = %(pk)s", "edited"),
        (
            # Django defers the check of a foreign key, and with it the lock of the record.
            "SET CONSTRAINTS ALL IMMEDIATE;"
            "INSERT INTO parcels_shelf (number, customer_id, size, material, label)"
            " VALUES (1, %(pk)s, 1, '', '')",
            "referred_to",
        ),
        ("DELETE FROM customers_customer WHERE id = %(pk)s", "deleted"),
    ],
    ids=["edit", "reference", "deletion"],
)
def test_a_change_that_commits_while_undo_waits_for_it_is_noticed(patient, statement, code):
    job = lifecycle.undo(import_people(1, 2).pk)
    with ThreadPoolExecutor(1) as thread, concurrent_transaction() as cursor:
        cursor.execute(statement, {"pk": get_customer(1).pk})

        undoing = thread.submit(call_then_close_connection, undo.undo_next_batch, job.pk)
        wait_until_blocked()
        cursor.connection.commit()

    assert undoing.result().status == Status.UNDONE
    assert get_undo_counts(job) == (1, 0, 1)
    assert get_kept(job) == {2: code}


def test_a_reference_that_commits_after_the_removal_is_rejected(patient):
    """Undo has looked for references before this one commits. It never cascades."""
    job = lifecycle.undo(import_people(1).pk)
    with concurrent_transaction() as cursor:
        cursor.execute(
            "INSERT INTO parcels_shelf (number, customer_id, size, material, label)"
            " VALUES (1, %s, 1, '', '')",
            [get_customer(1).pk],
        )

        assert undo.undo_next_batch(job.pk).status == Status.UNDONE

        with pytest.raises(IntegrityError):
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_batch_is_rolled_back_if_the_undo_has_ended_meanwhile():
    job = lifecycle.undo(import_people(1, 2, 3).pk)
    with block_at(during_undo()) as gate, ThreadPoolExecutor(1) as thread:
        undoing = thread.submit(call_then_close_connection, undo.undo_next_batch, job.pk)
        gate.wait_until_reached()
        ImportJob.objects.transition(job.pk, Status.FAILED, error_code="undo_failed")
        gate.open()

        assert undoing.result() is None

    assert get_undo_counts(job) == (0, 0, 0)
    assert list_marks() == ["MARK 1", "MARK 2", "MARK 3"]
    assert not ImportAttempt.objects.exists()


def test_no_batch_of_an_import_that_is_not_being_undone_is_claimed():
    job = import_people(1)

    assert undo.undo_next_batch(job.pk) is None
    with atomic(), pytest.raises(attempts.BatchNotAvailable):
        undo.claim_batch(job.pk, 1)

    assert list_marks() == ["MARK 1"]


# --- Crashes -----------------------------------------------------------------


def test_a_killed_worker_leaves_each_batch_either_written_or_undone():
    flush_redis()
    job = import_people(*range(1, 21))
    with block_at(during_undo(from_batch=5)) as gate:
        with worker() as first:
            lifecycle.undo(job.pk)
            gate.wait_until_reached()
            job.refresh_from_db()
            undone_before, customers_before = job.undone, Customer.objects.count()
            first.kill()
            gate.terminate_sessions()
        gate.open()
        with worker():
            wait_until_final(job)
            wait_for(lambda: not HookCall.objects.filter(job=job).exists())

    assert (undone_before, customers_before) == (10, 10)
    assert (job.status, job.error_code) == (Status.UNDONE, None)
    assert get_undo_counts(job) == (20, 0, 0)
    assert not Customer.objects.exists()
    assert count_open_steps() == 0


def test_a_lost_message_is_sent_again():
    job = lifecycle.undo(import_people(1, 2, 3).pk)
    flush_redis()

    with worker():
        wait_until_final(job)

    assert get_undo_counts(job) == (3, 0, 0)
    assert_no_attempts_left()


def test_a_batch_that_has_crashed_twice_is_split_and_stays_applied():
    job = lifecycle.undo(import_people(1, 2, 3, batch_rows=3).pk)
    job.batches.update(crashes=poison_batches.MIN_CRASHES_TO_SPLIT)
    before = job.batches.get()

    assert undo.undo_next_batch(job.pk).undone == 0

    batches = list(job.batches.order_by("number"))
    assert [(batch.first_row, batch.last_row) for batch in batches] == [(2, 2), (3, 3), (4, 4)]
    assert {(batch.applied_at, batch.worker, batch.crashes) for batch in batches} == {
        (before.applied_at, before.worker, 2)
    }
    undo_all_batches(job.pk)
    assert get_undo_counts(job) == (3, 0, 0)
    assert_no_attempts_left()


def test_a_row_that_has_crashed_three_workers_is_kept():
    job = lifecycle.undo(import_people(1, 2, batch_rows=1).pk)
    job.batches.filter(number=2).update(crashes=poison_batches.MAX_CRASHES)

    undo_all_batches(job.pk)

    assert get_undo_counts(job) == (1, 0, 1)
    assert get_kept(job) == {3: "crashed_worker"}
    assert list_marks() == ["MARK 2"]


def test_crashes_of_writing_do_not_count_for_the_undo():
    job = import_people(1, 2)
    batch = job.batches.get()
    ImportBatch.objects.filter(pk=batch.pk).update(crashes=2, timeouts=4)
    ImportAttempt.objects.create(batch=batch, session="gone", started_at=batch.applied_at)

    undo_import(job)

    assert get_undo_counts(job) == (2, 0, 0)
    assert job.batches.count() == 1


# --- Errors ------------------------------------------------------------------


def test_a_record_that_a_trigger_protects_is_kept(interfere):
    job = import_people(1, 2, 3, batch_rows=3)
    interfere("RAISE EXCEPTION 'no %', OLD.phone;")

    undo_import(job)

    assert get_undo_counts(job) == (2, 0, 1)
    assert job.rows.get(number=3).kept == {
        "code": "database_error",
        "params": {"sqlstate": "P0001", "constraint": None},
    }


def test_a_record_whose_removal_a_trigger_suppresses_is_kept(interfere):
    job = import_people(1, 2, 3, batch_rows=3)
    interfere("RETURN NULL;")

    undo_import(job)

    assert get_undo_counts(job) == (2, 0, 1)
    assert get_kept(job) == {3: "database_error"}
    assert list_marks() == ["MARK 2"]


def test_a_reference_that_only_the_database_finds_is_named(interfere):
    """A trigger adds the reference while undo removes the record."""
    job = import_people(1, 2, 3, batch_rows=3)
    interfere(
        "INSERT INTO parcels_shelf (number, customer_id, size, material, label)"
        " VALUES (1, OLD.id, 1, '', '');"
    )

    undo_import(job)

    assert get_undo_counts(job) == (2, 0, 1)
    assert job.rows.get(number=3).kept == {
        "code": "referred_to",
        "params": {"model": "parcels.Shelf"},
    }


def test_a_wrong_statement_ends_the_undo_which_can_be_started_again(interfere, caplog):
    job = import_people(1, 2, 3)
    interfere("PERFORM 1 FROM missing_table;")

    failed = undo_import(job)

    assert (failed.status, failed.error_code) == (Status.FAILED, "undo_failed")
    assert failed.error_params == {"error": "ProgrammingError 42P01"}
    assert get_undo_counts(job) == (1, 0, 0)  # The batch of the third row was undone before.
    assert get_phone_in(caplog.text) == []
    execute(DROP_TRIGGER)
    interfere("NULL;")
    assert undo_import(job).status == Status.UNDONE
    assert get_undo_counts(job) == (3, 0, 0)


def get_phone_in(text):
    return [phone for phone in ("0000001", "0000002", "0000003") if phone in text]


def test_an_importer_that_is_not_registered_ends_the_undo(monkeypatch):
    job = import_people(1)
    lifecycle.undo(job.pk)
    with monkeypatch.context() as patch:
        patch.delitem(registry._registered, "customers")
        failed = undo_all_batches(job.pk)

    assert (failed.status, failed.error_params) == (Status.FAILED, {"error": "unknown_importer"})
    assert undo_import(job).status == Status.UNDONE


def test_the_fifth_timeout_in_succession_ends_the_undo(interfere, settings):
    job = import_people(1, 2, 3)
    interfere("PERFORM pg_sleep(10);")
    settings.IMPORTS_DATABASE_TIMEOUTS = app_settings.DATABASE_TIMEOUTS | {
        "statement_timeout": "100ms"
    }
    lifecycle.undo(job.pk)
    undo.undo_next_batch(job.pk)

    for _ in range(4):
        with pytest.raises(TransientError, match="57014"):
            undo.undo_next_batch(job.pk)
    failed = undo.undo_next_batch(job.pk)

    assert (failed.status, failed.error_params) == (Status.FAILED, {"error": "timeout"})
    assert get_undo_counts(job) == (1, 0, 0)
    assert_no_attempts_left()
    settings.IMPORTS_DATABASE_TIMEOUTS = app_settings.DATABASE_TIMEOUTS
    execute(DROP_TRIGGER)
    interfere("NULL;")
    assert undo_import(job).status == Status.UNDONE
