"""A worker is killed while it deletes old data: another one goes on, and nothing is left."""

import pytest

from customers.models import Customer
from imports import lifecycle
from imports.models import ImportBatch, ImportJob, ImportRow, PurgeRun
from imports.statuses import Status
from tests.factories import make_csv, make_row, run_import
from tests.fault_points import FaultPoint, block_at
from tests.invariants import assert_nothing_left, wait_until_end
from tests.processes import flush_redis, site, upload_in_process, wait_for, wait_until_final, worker
from tests.test_retention import make_old

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 12_000  # Three steps.


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


def during_row_deletion(after_rows):
    """After the rows of a step are deleted and before the step is committed."""
    condition = f"NEW.rows > OLD.rows AND NEW.rows > {after_rows}"
    return FaultPoint("BEFORE UPDATE", "imports_purgerun", "ROW", condition)


def wait_until_purged(job):
    wait_for(lambda: not ImportJob.objects.get(pk=job.pk).needs_purge)
    wait_for(lambda: not PurgeRun.objects.filter(finished_at=None).exists())


def test_a_worker_deletes_what_is_due_without_being_asked():
    job = make_old(run_import(make_csv([make_row(1)])), 31)
    PurgeRun.objects.create(started_at=job.finished_at, finished_at=job.finished_at)

    with worker():
        wait_for(lambda: PurgeRun.objects.filter(finished_at__isnull=False).count() == 2)
        assert_nothing_left()

    assert not ImportRow.objects.exists()
    assert Customer.objects.count() == 1


@pytest.mark.parametrize("after_rows", [0, 5_000])
def test_another_worker_goes_on_when_one_is_killed(after_rows):
    job = run_import(make_csv([make_row(n) for n in range(ROWS)]))
    with block_at(during_row_deletion(after_rows)) as barrier:
        with worker() as first:
            lifecycle.delete_contents(job)
            barrier.wait_until_reached()
            first.kill()
            barrier.terminate_sessions()
        assert ImportRow.objects.count() == ROWS - after_rows
        barrier.open()
        with worker():
            wait_until_purged(job)
            assert_nothing_left()

    assert not ImportRow.objects.exists()
    assert not ImportBatch.objects.exists()
    assert PurgeRun.objects.get().rows == ROWS
    assert Customer.objects.count() == ROWS


def test_an_import_is_not_held_up_by_a_deletion_that_hangs(alice, web_server):
    job = run_import(make_csv([make_row(n) for n in range(100)]))
    with site(alice, web_server) as web, block_at(during_row_deletion(0)) as barrier, worker():
        lifecycle.delete_contents(job)
        barrier.wait_until_reached()
        other = upload_in_process(alice, make_csv([make_row(n) for n in range(200, 300)]))
        wait_until_final(other)
        assert other.status == Status.COMPLETE
        barrier.open()
        wait_until_purged(job)
        wait_until_end(web.watch(other))

    assert Customer.objects.count() == 200


def test_a_running_import_whose_contents_are_deleted_ends_and_leaves_nothing(alice, web_server):
    with site(alice, web_server) as web, worker():
        job = upload_in_process(alice, make_csv([make_row(n) for n in range(ROWS)]))
        wait_for(lambda: ImportJob.objects.get(pk=job.pk).checked > 0)
        watcher = web.watch(job)
        lifecycle.delete_contents(job)
        wait_until_purged(job)
        wait_until_end(watcher)

    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    assert Customer.objects.count() == job.created
    assert not ImportRow.objects.exists()
    assert not ImportBatch.objects.exists()
