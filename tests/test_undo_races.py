"""Undo beside another worker, and beside people who edit and use the records meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from customers.models import Customer
from imports import lifecycle
from imports.conf import app_settings
from imports.models import ImportAttempt, ImportJob
from imports.pipeline import undo
from imports.pipeline.transactions import TransientError
from imports.statuses import Status
from tests.concurrency import call_then_close_connection, concurrent_transaction, wait_until_blocked
from tests.test_undo import get_kept, get_undo_counts, import_people, list_marks, undo_all_batches

pytestmark = pytest.mark.django_db(transaction=True)

EDIT = "UPDATE customers_customer SET first_name = 'Edited' WHERE shipping_mark = %s"
LOCK = "SELECT FROM customers_customer WHERE shipping_mark = %s FOR UPDATE"


@contextmanager
def blocked_undo(job, statement, mark):
    """Undo a batch in a thread, blocked by another transaction until the block ends.

    The other transaction has executed the statement for a record of the batch, and commits at the
    end. Yields the future of the result.
    """
    with ThreadPoolExecutor(1) as thread, concurrent_transaction() as cursor:
        cursor.execute(statement, [mark])
        result = thread.submit(call_then_close_connection, undo.undo_next_batch, job.pk)
        wait_until_blocked()
        yield result
        cursor.connection.commit()
        result.exception(timeout=20)


def test_a_batch_that_another_worker_undoes_is_skipped():
    job = lifecycle.undo(import_people(1, 2, 3, 4).pk)

    with blocked_undo(job, LOCK, "MARK 3") as first:
        assert undo.undo_next_batch(job.pk) is None  # Neither this batch nor the one before.
        assert list_marks() == ["MARK 1", "MARK 2", "MARK 3", "MARK 4"]

    assert first.result().removed == 2
    assert undo_all_batches(job.pk).status == Status.UNDONE
    assert get_undo_counts(job) == (4, 0, 0)
    assert not ImportAttempt.objects.exists()


def test_eight_workers_undo_a_batch_once():
    job = lifecycle.undo(import_people(1, 2).pk)

    with ThreadPoolExecutor(8) as workers:
        results = [
            workers.submit(call_then_close_connection, undo.undo_next_batch, job.pk)
            for _ in range(8)
        ]

    assert sum(result.result() is not None for result in results) == 1
    assert get_undo_counts(job) == (2, 0, 0)
    assert ImportJob.objects.get(pk=job.pk).status == Status.UNDONE


def test_an_edit_that_commits_while_its_batch_is_undone_is_kept():
    job = lifecycle.undo(import_people(1, 2).pk)

    with blocked_undo(job, EDIT, "MARK 1"):
        pass

    assert get_kept(job) == {2: "edited"}
    assert get_undo_counts(job) == (1, 0, 1)
    assert Customer.objects.get().first_name == "Edited"


def test_a_restored_record_that_is_edited_meanwhile_is_kept():
    import_people(1)
    Customer.objects.update(first_name="Before")
    job = lifecycle.undo(import_people(1, on_duplicate="update").pk)

    with blocked_undo(job, EDIT, "MARK 1"):
        pass

    assert get_kept(job) == {2: "edited"}
    assert Customer.objects.get().first_name == "Edited"


def test_an_undo_whose_statements_always_take_too_long_fails(settings):
    job = lifecycle.undo(import_people(1, 2).pk)
    timeouts = app_settings.DATABASE_TIMEOUTS | {"statement_timeout": "200ms"}
    settings.IMPORTS_DATABASE_TIMEOUTS = timeouts

    with concurrent_transaction() as cursor:
        cursor.execute(LOCK, ["MARK 1"])
        for _ in range(4):
            with pytest.raises(TransientError, match="57014"):
                undo.undo_next_batch(job.pk)
        failed = undo.undo_next_batch(job.pk)

    assert (failed.status, failed.error_code) == (Status.FAILED, "undo_failed")
    lifecycle.undo(job.pk)  # It can be started again.
    settings.IMPORTS_DATABASE_TIMEOUTS = timeouts | {"statement_timeout": "30s"}
    assert undo_all_batches(job.pk).status == Status.UNDONE
    assert get_undo_counts(job) == (2, 0, 0)
