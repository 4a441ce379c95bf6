"""Test that a check gives the exact result, however often it is interrupted and continued."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db.models.functions import Now

from customers.models import Customer
from imports import lifecycle
from imports.advisory_locks import CHECK_COMPLETION, TRY_LOCK
from imports.conf import app_settings
from imports.importer import get_importer
from imports.models import ImportJob
from imports.pipeline import check_completion, file_checker, staging
from imports.pipeline.file_checker import acquire_lease, check_file
from imports.pipeline.target_table import get_target_table
from imports.pipeline.transactions import JobNotActive, TransientError
from imports.statuses import Status
from tests.concurrency import call_then_close_connection, concurrent_transaction, wait_until_blocked
from tests.database import connection
from tests.factories import (
    HEADERS,
    apply_all_batches,
    check_job,
    get_counts,
    get_outcomes,
    make_csv,
    make_job,
    make_row,
    make_validated_block,
    run_import,
)

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = make_csv([make_row(n) for n in range(1_200)])


def start_reader(job):
    """Return the import as a reader sees it that has just started."""
    return acquire_lease(job.pk)


def stage_numbers(job, *numbers):
    block = make_validated_block(*numbers)
    target = get_target_table(get_importer("customers"))
    return staging.stage_rows(job, target, [block], cursor_row=numbers[-1], fraction=0.5)


# --- The cursor --------------------------------------------------------------


def test_only_one_of_two_readers_at_a_cursor_adds_rows():
    job = start_reader(make_job(CONTENT))
    stage_numbers(job, 2, 3)

    with pytest.raises(JobNotActive):
        stage_numbers(job, 2, 3, 4)

    assert list(job.rows.values_list("number", flat=True)) == [2, 3]
    job.refresh_from_db()
    assert (job.cursor_row, job.checked) == (3, 2)


def test_a_reader_of_an_earlier_check_adds_no_rows():
    late = start_reader(make_job(CONTENT))
    ImportJob.objects.transition(late.pk, Status.MAPPING)
    ImportJob.objects.transition(late.pk, Status.QUEUED)
    start_reader(late)

    with pytest.raises(JobNotActive):
        stage_numbers(late, 2, 3)

    assert not late.rows.exists()


def test_a_reader_of_a_cancelled_check_adds_no_rows():
    job = start_reader(make_job(CONTENT))
    lifecycle.cancel(job.pk)

    with pytest.raises(JobNotActive):
        stage_numbers(job, 2, 3)

    assert not job.rows.exists()


def test_a_reader_of_an_earlier_check_does_not_end_the_current_one():
    late = stage_numbers(start_reader(make_job(CONTENT)), 2, 3)
    ImportJob.objects.transition(late.pk, Status.MAPPING)
    ImportJob.objects.transition(late.pk, Status.QUEUED)
    job = stage_numbers(start_reader(late), 2, 3)

    assert file_checker.fail_job(late, "damaged_file", {}) is None
    with pytest.raises(JobNotActive):
        check_completion.finish_check(late)

    assert check_completion.finish_check(job).status == Status.RUNNING


def test_a_new_check_replaces_the_rows_of_an_earlier_one():
    job = check_job(
        make_job(make_csv([make_row(1), make_row(2, phone="no phone")]), check_first=True)
    )
    ImportJob.objects.transition(job.pk, Status.QUEUED)

    job = check_job(job)

    assert (job.status, job.check_generation, job.checked, job.failed) == (Status.READY, 2, 2, 1)
    assert job.rows.count() == 2
    assert job.batches.count() == 1


def test_a_stopped_check_ends_between_two_chunks_and_can_be_continued():
    job = make_job(CONTENT)

    halfway = check_job(job, should_stop=lambda: True)
    others = (halfway.status, halfway.reader_crashes, halfway.reader_heartbeat_at)
    staged = halfway.rows.count()
    done = apply_all_batches(check_job(job).pk)

    assert others == (Status.CHECKING, 0, None)
    assert 0 < staged < 1_200
    assert done.status == Status.COMPLETE
    assert done.created == Customer.objects.count() == 1_200


def test_a_cancellation_ends_the_check():
    job = make_job(CONTENT)

    def cancel_once(job):
        if job.checked:
            lifecycle.cancel(job.pk)

    assert check_file(job.pk, on_progress=cancel_once) is None

    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    assert job.checked == job.rows.count()


# --- Leases ------------------------------------------------------------------


def test_a_file_that_another_worker_reads_is_skipped():
    job = start_reader(make_job(CONTENT))

    assert check_file(job.pk, on_progress=lambda job: None) is None
    assert file_checker.list_checkable_jobs() == []


def test_a_check_without_a_heartbeat_is_continued(settings):
    settings.IMPORTS_READER_HEARTBEAT_TIMEOUT_SECONDS = 5
    job = start_reader(make_job(CONTENT))
    long_ago = Now() - timedelta(seconds=6)
    ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=long_ago)

    assert file_checker.list_checkable_jobs() == [job.pk]
    assert check_job(job).status == Status.RUNNING


def test_only_one_of_several_workers_acquires_the_lease():
    job = make_job(CONTENT)

    with ThreadPoolExecutor(6) as workers:
        begun = [
            workers.submit(call_then_close_connection, acquire_lease, job.pk) for _ in range(6)
        ]

    assert sum(result.result() is not None for result in begun) == 1
    assert acquire_lease(job.pk) is None


def test_an_import_fails_after_three_reader_crashes():
    job = make_job(CONTENT)
    for _ in range(3):
        acquire_lease(job.pk)
        ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=None)

    job = check_job(job)

    assert (job.status, job.error_code) == (Status.FAILED, "crashed_reader")


def test_crashes_do_not_count_while_the_cursor_moves():
    job = make_job(CONTENT)
    for number in (2, 3, 4, 5):
        stage_numbers(acquire_lease(job.pk), number)
        ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=None)

    assert acquire_lease(job.pk).status == Status.CHECKING


def test_an_import_fails_after_three_programming_errors():
    run_import(make_csv([make_row(1)]))
    job = make_job(CONTENT)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE customers_customer RENAME COLUMN phone TO telephone")
    try:
        for _ in range(3):
            with pytest.raises(TransientError, match="42703"):
                check_job(job)
        job = check_job(job)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE customers_customer RENAME COLUMN telephone TO phone")

    assert (job.status, job.error_code) == (Status.FAILED, "crashed_reader")


def test_small_files_go_first_unless_another_has_waited_for_a_minute():
    large, small, old = (make_job(CONTENT) for _ in range(3))
    sizes = {large: 3_000, small: 10, old: 9_000}
    for job, size in sizes.items():
        ImportJob.objects.filter(pk=job.pk).update(file_size=size)
    waiting = Now() - timedelta(seconds=61)
    ImportJob.objects.filter(pk=old.pk).update(phase_started_at=waiting)

    assert file_checker.list_checkable_jobs() == [old.pk, small.pk, large.pk]


@pytest.mark.parametrize("served", [{"status": Status.CHECKING}, {"needs_main_reader": True}])
def test_owners_take_turns_however_many_files_they_have(alice, bob, served):
    first, second, third = (make_job(CONTENT, owner=bob) for _ in range(3))
    one = make_job(CONTENT, owner=alice)
    ImportJob.objects.filter(owner=bob).update(file_size=1)
    assert file_checker.list_checkable_jobs() == [first.pk, second.pk, third.pk, one.pk]

    acquire_lease(first.pk)
    ImportJob.objects.filter(pk=first.pk).update(**{"status": Status.QUEUED} | served)
    if "needs_main_reader" in served:
        ImportJob.objects.filter(pk=first.pk).update(started_at=None)

    assert [pk for pk in file_checker.list_checkable_jobs() if pk != first.pk] == [
        one.pk,
        second.pk,
        third.pk,
    ]
    assert file_checker.list_checkable_jobs()[0] == one.pk


# --- Kinds of files ----------------------------------------------------------


def test_an_import_without_a_required_column_waits_for_a_mapping():
    job = check_job(make_job(make_csv([["a", "b"]], headers=["Shipping mark", "First name"])))

    assert (job.status, job.error_code) == (Status.MAPPING, "missing_columns")
    assert job.error_params == {"columns": ["last_name", "phone"]}
    assert not job.rows.exists()


def test_a_file_without_rows_fails():
    job = check_job(make_job(make_csv([])))

    assert (job.status, job.error_code) == (Status.FAILED, "no_rows")


def test_an_import_whose_rows_all_fail_is_complete():
    job = run_import(make_csv([make_row(1, phone="none"), make_row(2, mark="")]))

    assert (job.status, job.failed, job.total) == (Status.COMPLETE, 2, 2)
    assert job.progress_percent == 100


def test_a_file_without_headers_has_the_order_of_the_importer():
    job = run_import(make_csv([make_row(1), make_row(2)], headers=None))

    assert get_outcomes(job) == {1: "created", 2: "created"}


def test_all_errors_of_a_row_are_stored_with_its_cells():
    job = run_import(make_csv([make_row(1, mark="", email="no", phone="none")]))

    row = job.rows.get()
    assert [(e["field"], e["code"]) for e in row.errors] == [
        ("shipping_mark", "required"),
        ("email", "email_without_at"),
        ("phone", "invalid_phone"),
    ]
    assert row.cells[4] == "none"


def test_rows_of_a_megabyte_are_staged_in_small_chunks():
    wide = ["x" * 30_000] * 30
    rows = [[*make_row(n), *wide] for n in range(60)]
    sizes = []

    def remember(job):
        sizes.append(job.checked)

    job = make_job(make_csv(rows, headers=[*HEADERS, *(f"H{n}" for n in range(30))]))
    check_file(job.pk, on_progress=remember)

    staged = [after - before for before, after in pairwise(sizes)]
    assert sum(staged) == 60
    assert max(staged) <= 12


def test_a_header_with_unstorable_characters_is_accepted():
    job = run_import(
        make_csv([[*make_row(1), "x"]], headers=[*HEADERS, "No\x00te" + "\u0301" * 30_000])
    )

    assert (job.status, job.created) == (Status.COMPLETE, 1)


@pytest.mark.parametrize("hook", ["clean", "check_row"])
def test_a_rule_that_always_raises_has_one_traceback_and_a_count(hook, monkeypatch, caplog):
    def fail(value):
        raise ZeroDivisionError(value)

    importer = get_importer("customers")
    if hook == "check_row":
        rule = "check_row"
        monkeypatch.setattr(importer, "check_row", fail, raising=False)
    else:
        rule = "the rule of column first_name"
        columns = [
            replace(column, clean=fail) if column.field == "first_name" else column
            for column in importer.columns
        ]
        monkeypatch.setattr(importer, "columns", tuple(columns))

    job = check_job(make_job(CONTENT))  # Of several chunks.

    assert (job.status, job.failed) == (Status.COMPLETE, 1_200)
    first, count = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    subject = f"Importer customers: {rule}, row 2 of import {job.pk}, raised ZeroDivisionError\n"
    assert first.startswith(subject)
    assert "in fail" in first
    assert count == (
        f"Importer customers: {rule} raised ZeroDivisionError in 1200 rows of import {job.pk}"
    )
    assert "Ama" not in caplog.text


def test_an_import_without_its_importer_fails():
    job = check_job(make_job(CONTENT, importer="nobodys"))

    assert (job.status, job.error_code) == (Status.FAILED, "unknown_importer")


def test_only_one_of_two_readers_finishes_the_check():
    job = start_reader(make_job(CONTENT))
    job = stage_numbers(job, 2, 3)

    with concurrent_transaction() as cursor:
        cursor.execute(TRY_LOCK, [CHECK_COMPLETION, str(job.pk)])
        with pytest.raises(JobNotActive):
            check_completion.finish_check(job)

    assert check_completion.finish_check(job).status == Status.RUNNING
    with pytest.raises(JobNotActive):
        check_completion.finish_check(job)


def test_an_import_whose_check_is_being_finished_is_not_abandoned():
    job = start_reader(make_job(CONTENT))
    ImportJob.objects.filter(pk=job.pk).update(reader_heartbeat_at=Now() - timedelta(minutes=1))
    with concurrent_transaction() as settler:
        settler.execute(TRY_LOCK, [CHECK_COMPLETION, str(job.pk)])

        assert check_file(job.pk, on_progress=print) is None
        job.refresh_from_db()
        assert job.reader_crashes == 1

    assert check_file(job.pk, on_progress=print).status == Status.RUNNING


def test_a_cancellation_does_not_wait_for_the_end_of_the_check():
    job = stage_numbers(start_reader(make_job(CONTENT)), 2, 3)

    with ThreadPoolExecutor(1) as worker, concurrent_transaction() as cursor:
        cursor.execute("LOCK TABLE imports_importbatch IN EXCLUSIVE MODE")
        settled = worker.submit(call_then_close_connection, check_completion.finish_check, job)
        wait_until_blocked()
        cancelled = lifecycle.cancel(job.pk)
        cursor.connection.rollback()

        with pytest.raises((JobNotActive, TransientError)):
            settled.result(timeout=20)

    assert cancelled.status == ImportJob.objects.get(pk=job.pk).status == Status.CANCELLED
    assert not job.batches.exists()


def test_an_import_without_its_stored_file_fails():
    job = make_job(CONTENT)
    job.file.storage.delete(job.file.name)

    job = check_job(job)

    assert (job.status, job.error_code) == (Status.FAILED, "file_deleted")


# --- Check first -------------------------------------------------------------


def test_check_first_writes_nothing_until_it_is_started():
    job = check_job(make_job(make_csv([make_row(1), make_row(2, phone="none")]), check_first=True))
    assert (job.status, job.progress_percent, job.failed) == (Status.READY, 33, 1)
    assert not Customer.objects.exists()

    lifecycle.start(job.pk)

    assert apply_all_batches(job.pk).status == Status.COMPLETE
    assert get_counts(job)["created"] == Customer.objects.count() == 1


def test_starting_an_import_of_failed_rows_completes_it():
    job = check_job(make_job(make_csv([make_row(1, phone="none")]), check_first=True))

    assert lifecycle.start(job.pk).status == Status.COMPLETE


# --- Staging beside the check ------------------------------------------------


def clean_and_call(function):
    """Return the columns of customers. The rule of the mark calls `function` with each cell."""

    def clean(cell):
        function(cell)
        return cell

    columns = get_importer("customers").columns
    return (replace(columns[0], clean=clean), *columns[1:])


def test_a_chunk_is_checked_while_the_one_before_it_is_staged(monkeypatch, settings):
    settings.IMPORTS_DATABASE_TIMEOUTS = app_settings.DATABASE_TIMEOUTS | {"lock_timeout": "20s"}
    rows = [make_row(n) for n in range(2_600)]
    third_chunk, job = rows[2_000][0], make_job(make_csv(rows))
    staged_meanwhile = []

    with concurrent_transaction() as other:

        def end_the_wait(cell):
            if cell == third_chunk and not staged_meanwhile:
                wait_until_blocked()
                staged_meanwhile.append(ImportJob.objects.get(pk=job.pk).checked)
                other.execute("ROLLBACK")

        def delay_the_second_chunk(job):
            if job.checked and not staged_meanwhile:
                other.execute("LOCK TABLE imports_importrow IN SHARE MODE")

        monkeypatch.setattr(get_importer("customers"), "columns", clean_and_call(end_the_wait))
        job = check_file(job.pk, on_progress=delay_the_second_chunk)

    assert staged_meanwhile == [499]  # The header is one of the first 500 rows.
    assert (job.status, job.checked) == (Status.RUNNING, 2_600)


def test_an_error_of_the_thread_that_stages_ends_the_check():
    job = make_job(CONTENT)

    def cancel_after_the_first_chunk(current):
        if current.checked and current.status == Status.CHECKING:
            lifecycle.cancel(job)

    assert check_file(job.pk, on_progress=cancel_after_the_first_chunk) is None

    job.refresh_from_db()
    assert (job.status, job.checked) == (Status.CANCELLED, 499)


def test_the_connection_of_the_thread_that_stages_is_closed():
    names = set()

    def remember_thread(job):
        names.add(threading.current_thread().name)

    before = count_connections()
    check_file(make_job(CONTENT).pk, on_progress=remember_thread)

    assert any(name.startswith("staging") for name in names)
    assert not any(thread.name.startswith("staging") for thread in threading.enumerate())
    assert count_connections() == before


def count_connections():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_empty_cells_are_staged_as_null_beside_values_that_need_escapes():
    escaped, plain = make_row(1), make_row(2)
    escaped[0], escaped[3] = 'a"b\\c{},NULL', ""

    job = check_job(make_job(make_csv([escaped, plain])))

    first, second = job.rows.order_by("number").values_list("cleaned", flat=True)
    assert (first[0], first[3]) == ('A"B\\C{},NULL', None)
    assert None not in second[:3]
