"""Rows and files that cannot be imported, or that kill their worker each time."""

import json
from time import monotonic

import pytest

from customers.models import Customer
from imports import importer as importers
from imports.models import ImportBatch
from imports.statuses import Outcome, Status
from tests.deadly.importer import DEADLY_NUMBER, DeadlyImporter
from tests.factories import HEADERS, get_outcomes, make_csv, make_row
from tests.fault_points import FaultPoint, block_at
from tests.invariants import assert_exact, make_sample, wait_until_end
from tests.processes import (
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    worker,
)
from tests.spreadsheets import (
    make_row_xml,
    make_text_cell_xml,
    make_workbook,
    make_workbook_from_xml,
)

pytestmark = pytest.mark.django_db(transaction=True)

MARK = "MARK 77"  # Of the row that kills its worker.
ROW_COUNT = 200
MAX_FILE_SECONDS = 10
MAX_INFLATED_BYTES = 16 << 20
MAX_COLUMNS = 200
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
def test_a_row_that_kills_its_worker_each_time_fails_alone(alice, web_server):
    rows = [make_row(n) for n in range(ROW_COUNT)]
    sample = make_sample(200, seed=3)
    kills = 0
    with site(alice, web_server) as web, block_at(AT_THE_ROW) as gate:
        job = upload_in_process(alice, make_csv(rows))
        watcher = web.watch(job)
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
            wait_until_end(watcher, web.watch(after), crashes=range(6))

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
def test_a_file_that_kills_its_worker_each_time_fails_and_others_complete(
    alice, web_server, deadly_importer
):
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
    with site(alice, web_server) as web, worker():
        wait_until_end(web.watch(other), crashes=range(9))

    assert (deadly.status, deadly.error_code) == (Status.FAILED, "crashed_reader")
    assert len([status for status in exit_statuses if status]) == 3
    deadly.delete()
    assert_exact({other: sample})


# --- Rows and files that cannot be imported ----------------------------------


def make_encrypted_workbook():
    content = bytearray(make_workbook(HEADERS))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


HOSTILE_FILES = {
    "damaged.xlsx": ("damaged_file", make_workbook(HEADERS, make_row(1))[:-40]),
    "encrypted.xlsx": ("encrypted_file", make_encrypted_workbook()),
    "renamed.csv": ("pdf_file", b"%PDF-1.7\n1 0 obj\n"),
    "blank.csv": ("empty_file", b" \n"),
    "far_cell.xlsx": (
        "too_many_columns",
        make_workbook_from_xml(
            make_row_xml(1, *map(make_text_cell_xml, ["A1", "B1", "C1", "D1", "E1"], HEADERS)),
            make_row_xml(1_048_576, make_text_cell_xml("XFD1048576", "z")),
        ),
    ),
    "bomb.xlsx": (
        "too_large_inflated",
        make_workbook_from_xml(
            make_row_xml(1, make_text_cell_xml("A1", " " * 2 * MAX_INFLATED_BYTES))
        ),
    ),
}


@pytest.mark.slow_fault
def test_hostile_files_fail_with_a_code_and_the_worker_lives(alice, web_server):
    sample = make_sample(200)
    codes = {}
    limits = {
        "IMPORTS_READER_INFLATED_BYTES": str(MAX_INFLATED_BYTES),
        "IMPORTS_READER_COLUMNS": str(MAX_COLUMNS),
    }
    with site(alice, web_server) as web, worker(**limits) as worker_process:
        pids = [process.pid for process in worker_process.list_processes()]
        for name, (_, content) in HOSTILE_FILES.items():
            job = upload_in_process(alice, content, name)
            started_at = monotonic()
            wait_for(lambda job=job: job.refresh_from_db() or has_been_checked(job))
            assert monotonic() - started_at < MAX_FILE_SECONDS
            assert job.status == Status.FAILED, name
            wait_until_end(web.watch(job))
            codes[name] = job.error_code
            job.delete()
        after = upload_in_process(alice, sample.content)
        wait_until_end(web.watch(after))
        assert [process.pid for process in worker_process.list_processes()] == pids

    assert codes == {name: code for name, (code, _) in HOSTILE_FILES.items()}
    assert_exact({after: sample})


def has_been_checked(job):
    return job.status not in (Status.QUEUED, Status.CHECKING)


@pytest.mark.parametrize("bad_name", ["A\0a", "A\ud800a", "A" * 101])
def test_a_row_with_a_value_that_cannot_be_stored_fails_alone(alice, web_server, bad_name):
    rows = [make_row(n, first=bad_name if n == 5 else "Ama") for n in range(20)]
    content = json.dumps([dict(zip(HEADERS, row, strict=True)) for row in rows]).encode()
    with site(alice, web_server) as web, worker():
        job = upload_in_process(alice, content, "customers.json")
        wait_until_end(web.watch(job))

    failed = job.rows.get(outcome=Outcome.FAILED)
    assert (job.status, job.created, job.failed) == (Status.COMPLETE, 19, 1)
    assert [error["field"] for error in failed.errors] == ["first_name"]
    assert not Customer.objects.filter(shipping_mark="MARK 5").exists()
