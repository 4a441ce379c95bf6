"""A file on its way to settled rows: asked for again at any moment, it goes on exactly."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.db.models.functions import Now

from customers.models import Customer
from imports import lifecycle
from imports.advisory_locks import END_OF_CHECK, TRY_LOCK
from imports.importer import get_importer
from imports.models import ImportJob
from imports.pipeline import duplicates, file_checker, staging
from imports.pipeline.file_checker import begin, check_file
from imports.pipeline.row_validation import CheckedRow
from imports.pipeline.target_table import target_of
from imports.pipeline.transactions import Interrupted, Stopped
from imports.statuses import Status
from tests.concurrency import in_thread, rival_transaction, wait_until_blocked
from tests.factories import (
    HEADERS,
    apply_all,
    check,
    counts,
    csv_file,
    make_job,
    outcomes,
    person,
    run_import,
)

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = csv_file([person(n) for n in range(1_200)])


def reading(job):
    """The import as a reader holds it that has just begun."""
    return begin(job.pk)


def stage(job, *numbers):
    rows = [CheckedRow(number, person(number)) for number in numbers]
    target = target_of(get_importer("customers"))
    return staging.stage(job, target, rows, upto=numbers[-1], fraction=0.5)


# --- The cursor --------------------------------------------------------------


def test_of_two_readers_at_one_cursor_one_adds_its_rows():
    job = reading(make_job(PEOPLE))
    stage(job, 2, 3)

    with pytest.raises(Stopped):
        stage(job, 2, 3, 4)

    assert list(job.rows.values_list("number", flat=True)) == [2, 3]
    job.refresh_from_db()
    assert (job.cursor_row, job.checked) == (3, 2)


def test_a_late_reader_of_an_earlier_round_adds_nothing():
    late = reading(make_job(PEOPLE))
    ImportJob.objects.transition(late.pk, Status.MAPPING)
    ImportJob.objects.transition(late.pk, Status.QUEUED)
    reading(late)

    with pytest.raises(Stopped):
        stage(late, 2, 3)

    assert not late.rows.exists()


def test_a_late_reader_of_an_earlier_round_ends_nothing():
    late = stage(reading(make_job(PEOPLE)), 2, 3)
    ImportJob.objects.transition(late.pk, Status.MAPPING)
    ImportJob.objects.transition(late.pk, Status.QUEUED)
    job = stage(reading(late), 2, 3)

    assert file_checker.fail(late, "damaged_file", {}) is None
    with pytest.raises(Stopped):
        duplicates.settle(late)

    assert duplicates.settle(job).status == Status.RUNNING


def test_a_new_round_begins_from_nothing():
    job = check(make_job(csv_file([person(1), person(2, phone="no phone")]), check_first=True))
    ImportJob.objects.transition(job.pk, Status.QUEUED)

    job = check(job)

    assert (job.status, job.check_generation, job.checked, job.failed) == (Status.READY, 2, 2, 1)
    assert job.rows.count() == 2
    assert job.batches.count() == 1


def test_who_is_told_to_stop_ends_between_two_chunks_and_the_next_goes_on():
    job = make_job(PEOPLE)

    halfway = check(job, should_stop=lambda: True)
    others = (halfway.status, halfway.reader_crashes, halfway.reader_heartbeat_at)
    staged = halfway.rows.count()
    done = apply_all(check(job).pk)

    assert others == (Status.CHECKING, 0, None)
    assert 0 < staged < 1_200
    assert done.status == Status.COMPLETE
    assert done.created == Customer.objects.count() == 1_200


def test_a_cancel_during_the_check_wins():
    job = make_job(PEOPLE)

    def cancel_once(job):
        if job.checked:
            lifecycle.cancel(job.pk)

    assert check_file(job.pk, tell=cancel_once) is None

    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    assert job.checked == job.rows.count()


# --- Who reads ---------------------------------------------------------------


def test_a_file_that_is_being_read_is_left_alone():
    job = reading(make_job(PEOPLE))

    assert check_file(job.pk, tell=lambda job: None) is None
    assert file_checker.due() == []


def test_a_file_whose_reader_fell_silent_is_read_on(settings):
    settings.IMPORT_READER_SILENT_SECONDS = 5
    job = reading(make_job(PEOPLE))
    long_ago = Now() - timedelta(seconds=6)
    ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=long_ago)

    assert file_checker.due() == [job.pk]
    assert check(job).status == Status.RUNNING


def test_of_many_who_begin_at_once_one_reads():
    job = make_job(PEOPLE)

    with ThreadPoolExecutor(6) as workers:
        begun = [workers.submit(in_thread, begin, job.pk) for _ in range(6)]

    assert sum(result.result() is not None for result in begun) == 1


def test_a_file_that_kills_its_reader_three_times_is_given_up():
    job = make_job(PEOPLE)
    for _ in range(3):
        begin(job.pk)
        ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=None)

    job = check(job)

    assert (job.status, job.error_code) == (Status.FAILED, "crashed_reader")


def test_what_makes_progress_is_not_what_kills_its_readers():
    job = make_job(PEOPLE)
    for number in (2, 3, 4, 5):
        stage(begin(job.pk), number)
        ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=None)

    assert begin(job.pk).status == Status.CHECKING


def test_a_statement_that_stays_wrong_comes_to_an_end():
    run_import(csv_file([person(1)]))
    job = make_job(PEOPLE)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE customers_customer RENAME COLUMN phone TO telephone")
    try:
        for _ in range(3):
            with pytest.raises(Interrupted, match="42703"):
                check(job)
        job = check(job)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE customers_customer RENAME COLUMN telephone TO phone")

    assert (job.status, job.error_code) == (Status.FAILED, "crashed_reader")


def test_the_smaller_file_goes_first_unless_another_has_waited_for_a_minute():
    large, small, old = (make_job(PEOPLE) for _ in range(3))
    sizes = {large: 3_000, small: 10, old: 9_000}
    for job, size in sizes.items():
        ImportJob.objects.filter(pk=job.pk).update(file_size=size)
    waiting = Now() - timedelta(seconds=61)
    ImportJob.objects.filter(pk=old.pk).update(phase_started_at=waiting)

    assert file_checker.due() == [old.pk, small.pk, large.pk]


@pytest.mark.parametrize("served", [{"status": Status.CHECKING}, {"needs_main_reader": True}])
def test_owners_take_turns_however_many_files_one_has(alice, bob, served):
    first, second, third = (make_job(PEOPLE, owner=bob) for _ in range(3))
    one = make_job(PEOPLE, owner=alice)
    ImportJob.objects.filter(owner=bob).update(file_size=1)
    assert file_checker.due() == [first.pk, second.pk, third.pk, one.pk]

    begin(first.pk)
    ImportJob.objects.filter(pk=first.pk).update(**{"status": Status.QUEUED} | served)
    if "needs_main_reader" in served:
        ImportJob.objects.filter(pk=first.pk).update(started_at=None)

    assert [pk for pk in file_checker.due() if pk != first.pk] == [one.pk, second.pk, third.pk]
    assert file_checker.due()[0] == one.pk


# --- What a file can turn out to be ------------------------------------------


def test_a_missing_required_column_asks_for_it():
    job = check(make_job(csv_file([["a", "b"]], headers=["Shipping mark", "First name"])))

    assert (job.status, job.error_code) == (Status.MAPPING, "missing_columns")
    assert job.error_params == {"columns": ["last_name", "phone"]}
    assert not job.rows.exists()


def test_a_file_without_rows_fails():
    job = check(make_job(csv_file([])))

    assert (job.status, job.error_code) == (Status.FAILED, "no_rows")


def test_a_file_of_refused_rows_is_complete():
    job = run_import(csv_file([person(1, phone="none"), person(2, mark="")]))

    assert (job.status, job.failed, job.total) == (Status.COMPLETE, 2, 2)
    assert job.progress_percent == 100


def test_a_file_without_headers_is_read_in_the_importers_order():
    job = run_import(csv_file([person(1), person(2)], headers=None))

    assert outcomes(job) == {1: "created", 2: "created"}


def test_all_problems_of_a_row_are_kept_with_its_cells():
    job = run_import(csv_file([person(1, mark="", email="no", phone="none")]))

    row = job.rows.get()
    assert [(e["column"], e["code"]) for e in row.errors] == [
        ("shipping_mark", "required"),
        ("email", "email_without_at"),
        ("phone", "invalid_phone"),
    ]
    assert row.cells[4] == "none"


def test_rows_of_a_megabyte_are_staged_before_they_fill_the_memory():
    wide = ["x" * 30_000] * 30
    rows = [[*person(n), *wide] for n in range(60)]
    sizes = []

    def remember(job):
        sizes.append(job.checked)

    job = make_job(csv_file(rows, headers=[*HEADERS, *(f"H{n}" for n in range(30))]))
    check_file(job.pk, tell=remember)

    staged = [after - before for before, after in pairwise(sizes)]
    assert sum(staged) == 60
    assert max(staged) <= 12


def test_a_header_with_characters_nobody_can_store_does_no_harm():
    job = run_import(
        csv_file([[*person(1), "x"]], headers=[*HEADERS, "No\x00te" + "\u0301" * 30_000])
    )

    assert (job.status, job.created) == (Status.COMPLETE, 1)


def test_an_import_whose_app_is_gone_fails_with_a_sentence():
    job = check(make_job(PEOPLE, importer="nobodys"))

    assert (job.status, job.error_code) == (Status.FAILED, "unknown_importer")


def test_of_two_who_settle_at_once_one_does():
    job = reading(make_job(PEOPLE))
    job = stage(job, 2, 3)

    with rival_transaction() as cursor:
        cursor.execute(TRY_LOCK, [END_OF_CHECK, str(job.pk)])
        with pytest.raises(Stopped):
            duplicates.settle(job)

    assert duplicates.settle(job).status == Status.RUNNING
    with pytest.raises(Stopped):
        duplicates.settle(job)


def test_an_import_that_is_settled_for_long_is_not_taken_for_abandoned():
    job = reading(make_job(PEOPLE))
    ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=Now() - timedelta(minutes=1))
    with rival_transaction() as settler:
        settler.execute(TRY_LOCK, [END_OF_CHECK, str(job.pk)])

        assert check_file(job.pk, tell=print) is None
        job.refresh_from_db()
        assert job.reader_crashes == 1

    assert check_file(job.pk, tell=print).status == Status.RUNNING


def test_a_cancel_does_not_wait_for_an_import_that_is_settled():
    job = stage(reading(make_job(PEOPLE)), 2, 3)

    with ThreadPoolExecutor(1) as worker, rival_transaction() as cursor:
        cursor.execute("LOCK TABLE imports_importbatch IN EXCLUSIVE MODE")
        settled = worker.submit(in_thread, duplicates.settle, job)
        wait_until_blocked()
        cancelled = lifecycle.cancel(job.pk)
        cursor.connection.rollback()

        with pytest.raises((Stopped, Interrupted)):
            settled.result(timeout=20)

    assert cancelled.status == ImportJob.objects.get(pk=job.pk).status == Status.CANCELLED
    assert not job.batches.exists()


def test_a_file_that_is_no_longer_there_fails():
    job = make_job(PEOPLE)
    job.file.storage.delete(job.file.name)

    job = check(job)

    assert (job.status, job.error_code) == (Status.FAILED, "file_gone")


# --- Check first -------------------------------------------------------------


def test_check_first_writes_nothing_until_it_is_started():
    job = check(make_job(csv_file([person(1), person(2, phone="none")]), check_first=True))
    assert (job.status, job.progress_percent, job.failed) == (Status.READY, 33, 1)
    assert not Customer.objects.exists()

    lifecycle.start(job.pk)

    assert apply_all(job.pk).status == Status.COMPLETE
    assert counts(job)["created"] == Customer.objects.count() == 1


def test_starting_an_import_of_refused_rows_completes_it():
    job = check(make_job(csv_file([person(1, phone="none")]), check_first=True))

    assert lifecycle.start(job.pk).status == Status.COMPLETE
