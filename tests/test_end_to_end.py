"""A file on its whole way: through REST, a real worker and a real stream, to its customers."""

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
OVER = [*FINAL_STATUSES, Status.MAPPING]
HEADERS_WITHOUT_PHONE = ["Shipping mark", "First name", "Last name", "E-mail"]


@pytest.fixture(autouse=True)
def _no_messages_of_others():
    flush_redis()


def never_back(values):
    return all(before <= after for before, after in pairwise(values))


def without_live(snapshot):
    return {name: value for name, value in snapshot.items() if name != "live"}


def test_a_workbook_is_followed_from_the_queue_to_its_end(alice):
    sent = make_sample(7_000, name="customers.xlsx")
    with site(alice) as web:
        answer, job = web.upload(sent.content, sent.name)
        assert (answer.status_code, answer.json()["status"]) == (202, Status.QUEUED)
        with web.stream(job) as stream:
            events = [stream.next()]
            with worker():
                events += stream.rest()
        told = [event.snapshot for event in events]
        asked = web.snapshot(job)

    assert [event.name for event in events] == ["progress"] * (len(events) - 1) + ["complete"]
    assert told[0]["status"] == Status.QUEUED
    assert {Status.CHECKING, Status.RUNNING} & {one["status"] for one in told}
    assert never_back([one["version"] for one in told])
    assert never_back([one["progress_percent"] for one in told])
    assert told[-1].items() >= {"total": 7_000, "created": 6_860, "failed": 140}.items()
    assert asked.items() >= without_live(told[-1]).items()
    assert_exact({job: sent})
    assert_no_attempts_left()


def test_files_that_hold_nothing_to_import_end_with_a_clear_code(alice):
    contents = {
        "picture.xlsx": PNG,
        "no_phone.csv": make_csv([make_row(1)[:4]], HEADERS_WITHOUT_PHONE),
        "headers_only.csv": make_csv([]),
        "all_invalid.csv": make_csv([make_row(n, phone="12345") for n in range(3)]),
    }
    with site(alice) as web, worker():
        empty, _ = web.upload(b"")
        jobs = [web.upload(content, name)[1] for name, content in contents.items()]
        wait_for(lambda: ImportJob.objects.filter(status__in=OVER).count() == len(jobs))
        found = [web.snapshot(job) for job in jobs]

    assert (empty.status_code, empty.json()["code"]) == (400, "empty_file")
    assert ImportJob.objects.count() == len(jobs)
    assert [(one["status"], one["error_code"]) for one in found] == [
        (Status.FAILED, "image_file"),
        (Status.MAPPING, "missing_columns"),
        (Status.FAILED, "no_rows"),
        (Status.COMPLETE, None),
    ]
    assert "phone" in found[1]["message"]
    assert (found[3]["total"], found[3]["failed"], found[3]["created"]) == (3, 3, 0)
    assert set(ImportRow.objects.values_list("job", flat=True)) == {jobs[3].pk}
    assert not Customer.objects.exists()
