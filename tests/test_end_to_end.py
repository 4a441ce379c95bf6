"""An import through the REST API, a real worker and a real stream, up to the customer records."""

from itertools import pairwise

import pytest

from customers.models import Customer
from imports.models import ImportJob, ImportRow
from imports.statuses import FINAL_STATUSES, Status
from tests.factories import make_csv, make_row
from tests.invariants import assert_exact, assert_no_attempts_left, make_sample
from tests.processes import flush_redis, site, wait_for, worker

pytestmark = pytest.mark.django_db(transaction=True)

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
FINAL_AND_MAPPING_STATUSES = [*FINAL_STATUSES, Status.MAPPING]
HEADERS_WITHOUT_PHONE = ["Shipping mark", "First name", "Last name", "E-mail"]


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


def is_non_decreasing(values):
    return all(before <= after for before, after in pairwise(values))


def remove_live_state(snapshot):
    return {name: value for name, value in snapshot.items() if name != "live"}


def test_a_stream_reports_an_import_from_the_queue_to_completion(alice):
    sample = make_sample(7_000, name="customers.xlsx")
    with site(alice) as web:
        response, job = web.upload(sample.content, sample.name)
        assert (response.status_code, response.json()["status"]) == (202, Status.QUEUED)
        with web.stream(job) as stream:
            events = [stream.next()]
            with worker():
                events += stream.rest()
        snapshots = [event.snapshot for event in events]
        final_snapshot = web.snapshot(job)

    assert [event.name for event in events] == ["progress"] * (len(events) - 1) + ["complete"]
    assert snapshots[0]["status"] == Status.QUEUED
    assert {Status.CHECKING, Status.RUNNING} & {snapshot["status"] for snapshot in snapshots}
    assert is_non_decreasing([snapshot["version"] for snapshot in snapshots])
    assert is_non_decreasing([snapshot["progress_percent"] for snapshot in snapshots])
    assert snapshots[-1].items() >= {"total": 7_000, "created": 6_860, "failed": 140}.items()
    assert final_snapshot.items() >= remove_live_state(snapshots[-1]).items()
    assert_exact({job: sample})
    assert_no_attempts_left()


def test_files_without_importable_rows_get_the_right_status_and_code(alice):
    contents = {
        "picture.xlsx": PNG,
        "no_phone.csv": make_csv([make_row(1)[:4]], HEADERS_WITHOUT_PHONE),
        "headers_only.csv": make_csv([]),
        "all_invalid.csv": make_csv([make_row(n, phone="12345") for n in range(3)]),
    }
    with site(alice) as web, worker():
        empty, _ = web.upload(b"")
        jobs = [web.upload(content, name)[1] for name, content in contents.items()]
        wait_for(
            lambda: (
                ImportJob.objects.filter(status__in=FINAL_AND_MAPPING_STATUSES).count() == len(jobs)
            )
        )
        snapshots = [web.snapshot(job) for job in jobs]

    assert (empty.status_code, empty.json()["code"]) == (400, "empty_file")
    assert ImportJob.objects.count() == len(jobs)
    assert [(snapshot["status"], snapshot["error_code"]) for snapshot in snapshots] == [
        (Status.FAILED, "image_file"),
        (Status.MAPPING, "missing_columns"),
        (Status.FAILED, "no_rows"),
        (Status.COMPLETE, None),
    ]
    assert "phone" in snapshots[1]["message"]
    assert (snapshots[3]["total"], snapshots[3]["failed"], snapshots[3]["created"]) == (3, 3, 0)
    assert set(ImportRow.objects.values_list("job", flat=True)) == {jobs[3].pk}
    assert not Customer.objects.exists()
