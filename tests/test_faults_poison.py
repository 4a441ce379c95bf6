"""A row or a file kills its worker each time, as the kernel does when memory runs out."""

import pytest

from customers.models import Customer
from imports import importer as importers
from imports.models import ImportBatch
from imports.statuses import Outcome, Status
from tests.deadly.importer import DEADLY_NUMBER, DeadlyImporter
from tests.factories import get_outcomes, make_csv, make_row
from tests.fault_points import FaultPoint, block_at
from tests.invariants import assert_exact, assert_nothing_left, make_sample
from tests.processes import flush_redis, upload_in_process, wait_for, wait_until_final, worker

pytestmark = pytest.mark.django_db(transaction=True)

MARK = "MARK 77"  # Of the row that kills its worker.
ROW_COUNT = 200
# The worker waits there while it writes this customer, so that it can be killed with it in hand.
AT_THE_ROW = FaultPoint(
    "BEFORE INSERT", "customers_customer", "ROW", f"NEW.shipping_mark = '{MARK}'"
)


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


@pytest.fixture
def deadly_importer(monkeypatch):
    """Register the importer in this process. Workers have it by their settings."""
    monkeypatch.setitem(importers._registered, DeadlyImporter.name, DeadlyImporter)
    return {"DJANGO_SETTINGS_MODULE": "tests.deadly.settings"}


@pytest.mark.slow_fault
def test_a_row_that_kills_its_worker_each_time_fails_alone(alice):
    rows = [make_row(n) for n in range(ROW_COUNT)]
    sample = make_sample(200, seed=3)
    kills = 0
    with block_at(AT_THE_ROW) as gate:
        job = upload_in_process(alice, make_csv(rows))
        while not is_final(job):
            with worker() as worker_process:
                wait_for(lambda: gate.waiting_sessions() or is_final(job))
                if gate.waiting_sessions():
                    kills += 1
                    worker_process.kill()
                    gate.terminate_sessions()
        gate.open()
        with worker():
            after = upload_in_process(alice, sample.content)
            wait_until_final(after)
            assert_nothing_left(crashes=range(6))

    failed = job.rows.get(outcome=Outcome.FAILED)
    assert kills == 3
    assert (job.status, job.created, job.failed) == (Status.COMPLETE, ROW_COUNT - 1, 1)
    assert [error["code"] for error in failed.errors] == ["crashed_worker"]
    assert failed.number == 79  # The header is row 1, and the numbers of customers begin at 0.
    assert list(get_outcomes(job).values()).count(Outcome.CREATED) == ROW_COUNT - 1
    assert ImportBatch.objects.filter(job=job, rows=1).count() > 1
    assert not Customer.objects.filter(shipping_mark=MARK).exists()
    assert after.status == Status.COMPLETE


def is_final(job):
    job.refresh_from_db()
    return job.is_final


@pytest.mark.slow_fault
def test_a_file_that_kills_its_worker_each_time_fails_and_others_complete(alice, deadly_importer):
    sample = make_sample(2_000)
    deadly = upload_in_process(
        alice, make_csv([[str(DEADLY_NUMBER)]], ["Number"]), "deadly.csv", "deadly"
    )
    other = upload_in_process(alice, sample.content)
    exit_statuses = []
    while not (is_final(deadly) and is_final(other)):
        with worker(**deadly_importer) as worker_process:
            wait_for(
                lambda process=worker_process.process: (
                    process.poll() is not None or (is_final(deadly) and is_final(other))
                )
            )
            exit_statuses.append(worker_process.process.poll())
    with worker():
        assert_nothing_left(crashes=range(9))

    assert (deadly.status, deadly.error_code) == (Status.FAILED, "crashed_reader")
    assert len([status for status in exit_statuses if status]) == 3
    deadly.delete()
    assert_exact({other: sample})
