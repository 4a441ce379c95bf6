"""Test that a batch is written exactly once, despite repeated calls, races and crashes."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event

import pytest

from customers.models import Customer
from imports import lifecycle
from imports.advisory_locks import LOCK, LOCK_SHARED, TARGET_TABLE
from imports.conf import app_settings
from imports.importer import get_importer
from imports.models import ImportAttempt, ImportBatch, ImportJob
from imports.pipeline import attempts, poison_batches
from imports.pipeline.batch_applier import apply_batch
from imports.pipeline.duplicates import match_existing_records
from imports.pipeline.target_table import get_target_table
from imports.pipeline.transactions import TransientError
from imports.postgres import atomic
from imports.statuses import Status
from tests.concurrency import (
    blocked_worker,
    call_then_close_connection,
    concurrent_transaction,
    poll_until,
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
)

pytestmark = pytest.mark.django_db(transaction=True)

RAISING_TRIGGER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.shipping_mark = 'MARK 4' THEN RAISE EXCEPTION 'no %', NEW.phone; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON customers_customer
FOR EACH ROW EXECUTE FUNCTION refuse()
"""
NO_COUNTS = {"created": 0, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 0, "processed": 0}


@pytest.fixture
def make_import(settings):
    """Return a function that creates a RUNNING import of these people, two rows in a batch."""
    settings.IMPORTS_DATABASE_TIMEOUTS = app_settings.DATABASE_TIMEOUTS | {"lock_timeout": "20s"}

    def make(*people, **fields):
        job = check_job(make_job(make_csv([make_row(n) for n in people]), **fields))
        replan_batches(job, rows=2)
        return job

    return make


def replan_batches(job, rows):
    """Divide the rows of a checked import into batches of this many rows."""
    job.batches.all().delete()
    numbers = list(
        job.rows.filter(outcome=None).order_by("number").values_list("number", flat=True)
    )
    for index in range(0, len(numbers), rows):
        piece = numbers[index : index + rows]
        job.batches.create(
            number=index // rows + 1, first_row=piece[0], last_row=piece[-1], rows=len(piece)
        )


def get_phone(n):
    return make_row(n)[4]


def test_applying_a_batch_again_changes_nothing(make_import):
    job = make_import(1, 2, 3, 4)

    first, again = apply_batch(job.pk, 1), apply_batch(job.pk, 1)

    assert (first.processed, again) == (2, None)
    assert get_counts(job) == NO_COUNTS | {"created": 2, "processed": 2}
    assert Customer.objects.count() == 2


def test_a_batch_that_another_worker_holds_is_skipped(make_import):
    job = make_import(1, 2, 3, 4)

    with blocked_worker(apply_batch, job.pk, 1, phone=get_phone(1)) as first:
        assert apply_batch(job.pk, 1) is None  # It does not wait for the other worker.

    assert first.result().processed == 2
    assert get_counts(job) == NO_COUNTS | {"created": 2, "processed": 2}
    assert not ImportAttempt.objects.exists()


def test_eight_workers_write_a_batch_once(make_import):
    job = make_import(1, 2, 3, 4)
    together = Barrier(8)

    def work():
        together.wait()
        return apply_batch(job.pk, 1)

    with ThreadPoolExecutor(8) as workers:
        results = [workers.submit(call_then_close_connection, work) for _ in range(8)]

    assert sum(result.result() is not None for result in results) == 1
    assert get_counts(job) == NO_COUNTS | {"created": 2, "processed": 2}
    assert not ImportAttempt.objects.exists()


def test_the_last_batch_completes_the_import(make_import):
    job = make_import(1, 2, 3)

    done = apply_batch(job.pk, 2)
    last = apply_batch(job.pk, 1)

    assert (done.status, last.status) == (Status.RUNNING, Status.COMPLETE)
    assert last.progress_percent == 100
    assert last.finished_at is not None


def test_a_cancellation_during_a_batch_rolls_the_batch_back(make_import):
    job = make_import(1, 2)

    with blocked_worker(apply_batch, job.pk, 1, phone=get_phone(1)) as worker:
        cancelled = lifecycle.cancel(job.pk)  # It does not wait for the batch either.

    assert worker.result() is None
    assert cancelled.status == Status.CANCELLED
    assert get_counts(job) == NO_COUNTS
    assert (job.status, job.version) == (Status.CANCELLED, cancelled.version)
    assert not Customer.objects.exists()
    assert job.batches.get().applied_at is None
    assert not ImportAttempt.objects.exists()


def test_a_pause_during_a_batch_rolls_the_batch_back(make_import):
    job = make_import(1, 2)

    with blocked_worker(apply_batch, job.pk, 1, phone=get_phone(1)) as worker:
        paused = lifecycle.pause(job.pk)  # It does not wait for the batch either.

    assert worker.result() is None
    assert get_counts(job) == NO_COUNTS
    assert (job.status, job.version) == (Status.PAUSED, paused.version)
    assert not Customer.objects.exists()
    lifecycle.resume(job.pk)
    assert apply_batch(job.pk, 1).status == Status.COMPLETE


def test_a_batch_of_a_cancelled_import_is_not_applied(make_import):
    job = make_import(1, 2)
    lifecycle.cancel(job.pk)

    assert apply_batch(job.pk, 1) is None
    assert not Customer.objects.exists()
    assert not ImportAttempt.objects.exists()


@pytest.mark.parametrize(
    ("on_duplicate", "outcome"), [("skip", "skipped"), ("fail", "failed"), ("update", "updated")]
)
def test_the_policy_decides_about_a_customer_created_after_the_check(
    make_import, on_duplicate, outcome
):
    job = make_import(1, 2, on_duplicate=on_duplicate)
    Customer.objects.create(
        shipping_mark="OTHER", first_name="O", last_name="O", phone=get_phone(2)
    )

    apply_batch(job.pk, 1)

    assert get_outcomes(job) == {2: "created", 3: outcome}
    assert Customer.objects.count() == 2
    expected = "MARK 2" if on_duplicate == "update" else "OTHER"
    assert Customer.objects.get(phone=get_phone(2)).shipping_mark == expected


def test_two_rows_do_not_update_one_customer_created_after_the_check(make_import):
    job = make_import(1, 2, on_duplicate="update")
    mark, *_ = make_row(1)
    Customer.objects.create(shipping_mark=mark, first_name="O", last_name="O", phone=get_phone(2))

    apply_batch(job.pk, 1)

    assert get_outcomes(job) == {2: "updated", 3: "failed"}
    assert job.rows.get(number=3).errors[0]["code"] == "repeats_row"


def test_a_row_fails_if_its_customer_was_deleted_after_the_check(make_import):
    Customer.objects.create(
        shipping_mark="MARK 1", first_name="O", last_name="O", phone=get_phone(1)
    )
    job = make_import(1, 2, on_duplicate="update")
    Customer.objects.all().delete()

    apply_batch(job.pk, 1)

    assert get_outcomes(job) == {2: "failed", 3: "created"}
    assert job.rows.get(number=2).errors[0]["code"] == "record_deleted"


def test_an_update_fails_alone_if_its_new_key_was_taken_after_the_check(make_import):
    for n in (1, 2):
        Customer.objects.create(
            shipping_mark=f"MARK {n}", first_name="O", last_name="O", phone=f"+2332090000{n:02d}"
        )
    job = make_import(1, 2, on_duplicate="update")
    Customer.objects.create(
        shipping_mark="OTHER", first_name="O", last_name="O", phone=get_phone(1)
    )

    apply_batch(job.pk, 1)

    assert get_outcomes(job) == {2: "failed", 3: "updated"}
    error = job.rows.get(number=2).errors[0]
    assert (error["code"], error["field"]) == ("exists", "phone")


def test_a_row_with_a_too_long_value_fails_alone(make_import):
    job = make_import(*range(1, 9))
    replan_batches(job, rows=8)
    row = job.rows.get(number=5)
    job.rows.filter(number=5).update(cleaned=["M" * 60, *row.cleaned[1:]])

    apply_batch(job.pk, 1)

    assert get_outcomes(job)[5] == "failed"
    assert job.rows.get(number=5).errors[0]["params"]["sqlstate"] == "22001"
    assert Customer.objects.count() == get_counts(job)["created"] == 7


def test_a_row_for_which_a_trigger_raises_fails_alone(make_import):
    job = make_import(*range(1, 9))
    replan_batches(job, rows=8)
    with connection.cursor() as cursor:
        cursor.execute(RAISING_TRIGGER)
    try:
        apply_batch(job.pk, 1)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")

    assert get_outcomes(job)[5] == "failed"
    assert job.rows.get(number=5).errors[0]["params"]["sqlstate"] == "P0001"
    assert get_counts(job)["created"] == 7


def test_a_lock_timeout_is_transient_and_not_counted_as_a_crash(make_import, settings):
    job = make_import(1, 2)
    settings.IMPORTS_DATABASE_TIMEOUTS = app_settings.DATABASE_TIMEOUTS | {
        "statement_timeout": "100ms"
    }

    with concurrent_transaction() as cursor:
        cursor.execute("LOCK TABLE customers_customer IN EXCLUSIVE MODE")
        with pytest.raises(TransientError, match="57014"):
            apply_batch(job.pk, 1)

    assert not ImportAttempt.objects.exists()
    assert apply_batch(job.pk, 1).status == Status.COMPLETE


def test_a_batch_is_applied_by_another_worker_after_a_lost_connection(make_import):
    job = make_import(1, 2)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    with blocked_worker(apply_batch, job.pk, 1, phone=get_phone(1)) as worker:
        with connection.cursor() as cursor:
            cursor.execute(ended)
        assert isinstance(worker.exception(timeout=10), TransientError)

    assert not ImportAttempt.objects.exists()
    assert apply_batch(job.pk, 1).status == Status.COMPLETE
    assert Customer.objects.count() == 2


# --- Crashes -----------------------------------------------------------------


def crash_workers(job, number, times=1):
    """Leave behind what workers leave that are killed while they apply the batch."""
    for _ in range(times):
        with ThreadPoolExecutor(1) as worker:  # The session ends with the thread.
            worker.submit(
                call_then_close_connection, attempts.begin_attempt, job.pk, number, ""
            ).result()
    poll_until(is_no_attempt_alive)


def is_no_attempt_alive():
    """Return whether PostgreSQL has noticed that the clients are gone, which takes a moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM imports_importattempt, pg_stat_activity"
            " WHERE session = pid || ' ' || backend_start"
        )
        return cursor.fetchone() == (0,)


def test_two_crashes_split_a_batch_into_single_rows(make_import):
    job = make_import(1, 2, 3)
    crash_workers(job, 1, times=2)

    apply_batch(job.pk, 1)

    assert list(job.batches.values_list("number", "first_row", "last_row", "rows", "crashes")) == [
        (2, 4, 4, 1, 0),
        (3, 2, 2, 1, 2),
        (4, 3, 3, 1, 2),
    ]
    assert apply_all_batches(job.pk).status == Status.COMPLETE
    assert get_counts(job) == NO_COUNTS | {"created": 3, "processed": 3}


def test_a_row_with_a_third_crash_fails_and_the_others_are_written(make_import):
    job = make_import(1, 2, 3)
    crash_workers(job, 1, times=2)
    apply_batch(job.pk, 1)
    crash_workers(job, 3)

    apply_all_batches(job.pk)

    assert get_outcomes(job) == {2: "failed", 3: "created", 4: "created"}
    assert job.rows.get(number=2).errors[0]["code"] == "crashed_worker"


def test_an_applied_batch_deletes_its_attempt(make_import):
    job = make_import(1, 2)
    crash_workers(job, 1)

    apply_batch(job.pk, 1)

    assert ImportAttempt.objects.count() == 1  # The one that crashed.


def test_attempts_of_live_sessions_do_not_count_as_crashes(make_import):
    job = make_import(1, 2)
    for _ in range(5):
        attempts.begin_attempt(job.pk, 1, "")  # Its session may still end in an orderly way.

    assert apply_batch(job.pk, 1).status == Status.COMPLETE


@pytest.mark.parametrize("crashes", [0, 2])
def test_a_batch_that_waits_for_a_poison_batch_is_not_charged_with_its_crash(make_import, crashes):
    job = make_import(1)
    ImportBatch.objects.filter(job=job, number=1).update(crashes=crashes)
    with ThreadPoolExecutor(1) as thread:
        with poison_batches.batch_slot(poison_batches.MIN_CRASHES_TO_SPLIT):
            applied = thread.submit(call_then_close_connection, apply_batch, job.pk, 1)
            with pytest.raises(TimeoutError):
                applied.result(timeout=0.5)
            attempts_while_waiting = ImportAttempt.objects.count()
        assert applied.result(timeout=30).status == Status.COMPLETE

    assert attempts_while_waiting == 0
    assert not ImportAttempt.objects.exists()


def test_a_poison_batch_runs_alone_and_before_later_batches():
    started, log = Event(), []

    def run_poison_batch():
        started.set()
        with poison_batches.batch_slot(poison_batches.MIN_CRASHES_TO_SPLIT):
            log.append("poison")

    def run_ordinary_batch():
        with poison_batches.batch_slot(0):
            log.append("ordinary")

    with ThreadPoolExecutor(2) as threads:
        # Ordinary batches run at the same time.
        with poison_batches.batch_slot(0), poison_batches.batch_slot(0):
            poison = threads.submit(run_poison_batch)
            started.wait(30)
            poll_until(lambda: poison_batches._slots._poison == 1)
            after = threads.submit(run_ordinary_batch)
            log.append("first")
        poison.result(timeout=30)
        after.result(timeout=30)

    assert log == ["first", "poison", "ordinary"]


def test_rows_of_an_applied_batch_do_not_match_their_own_records(make_import):
    job = make_import(1, 2)
    apply_batch(job.pk, 1)

    with atomic():
        target = get_target_table(get_importer("customers"))
        counts = match_existing_records(target, job, first=0, last=9)

    assert sum(counts.values()) == 0


# --- Two imports of the same people ------------------------------------------


@contextmanager
def locked_table(statement):
    """Hold the advisory lock of the customers in another transaction."""
    with concurrent_transaction() as cursor:
        cursor.execute(statement, [TARGET_TABLE, get_target_table(get_importer("customers")).table])
        yield cursor.connection


def test_a_batch_waits_for_an_import_that_has_the_table_for_itself(make_import):
    job = make_import(1, 2)

    with ThreadPoolExecutor(1) as thread, locked_table(LOCK) as other:
        result = thread.submit(call_then_close_connection, apply_batch, job.pk, 1)
        wait_until_blocked()
        count_while_locked = Customer.objects.count()
        other.rollback()

    assert count_while_locked == 0
    assert result.result().status == Status.COMPLETE


def test_a_batch_has_the_table_for_itself_after_a_conflict(make_import, settings):
    job = make_import(1, 2)
    settings.IMPORTS_DATABASE_TIMEOUTS |= {"lock_timeout": "1s"}

    with (
        locked_table(LOCK_SHARED) as other,
        blocked_worker(apply_batch, job.pk, 1, phone=get_phone(1)) as result,
    ):
        poll_until(is_table_lock_awaited)  # After its lock time-out.
        other.rollback()

    assert result.result().status == Status.COMPLETE


def is_table_lock_awaited():
    """Return whether a session waits for the advisory lock of a table, to have it exclusively."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT mode FROM pg_locks"
            " WHERE locktype = 'advisory' AND classid = %s AND NOT granted",
            [TARGET_TABLE],
        )
        return cursor.fetchall() == [("ExclusiveLock",)]


def test_two_imports_of_the_same_people_in_opposite_order_complete(make_import):
    people = list(range(1, 41))
    jobs = [make_import(*people), make_import(*reversed(people))]

    def work(job):
        while ImportJob.objects.get(pk=job.pk).status == Status.RUNNING:
            for number in job.batches.filter(applied_at=None).values_list("number", flat=True):
                try:
                    apply_batch(job.pk, number)
                except TransientError:
                    continue

    with ThreadPoolExecutor(4) as workers:
        for result in [workers.submit(call_then_close_connection, work, job) for job in jobs * 2]:
            result.result(timeout=60)

    assert Customer.objects.count() == 40
    assert sum(get_counts(job)["created"] for job in jobs) == 40
    assert all(get_counts(job)["created"] + get_counts(job)["skipped"] == 40 for job in jobs)


def test_a_batch_is_rolled_back_if_its_outcomes_do_not_add_up(make_import):
    job = make_import(1, 2)
    ImportBatch.objects.filter(job=job).update(rows=3)  # More than there are.

    with pytest.raises(AssertionError, match="has 3 rows, not 2"):
        apply_batch(job.pk, 1)

    assert not Customer.objects.exists()
    assert ImportAttempt.objects.get().session == ""  # Counted as a crash, so that the retries end.
