"""Many imports at once, and imports that are cancelled at any moment."""

from contextlib import suppress
from random import Random

import pytest

from customers.models import Customer
from imports import lifecycle
from imports.models import ImportBatch, ImportJob, TransitionNotAllowed
from imports.statuses import Status
from tests.factories import get_outcomes, make_csv, make_row
from tests.fault_points import block_at, during_apply
from tests.invariants import assert_exact, assert_no_attempts_left, make_sample
from tests.processes import (
    flush_redis,
    upload_in_process,
    wait_for,
    wait_until_final,
    wait_until_idle,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)

JOBS = 10
CANCELS = 20
ROWS = 150  # Three batches.


@pytest.fixture(autouse=True)
def _no_messages_of_others():
    flush_redis()


# --- Fair turns --------------------------------------------------------------


def test_ten_imports_and_two_workers_take_turns_batch_by_batch(alice):
    samples = [make_sample(400, seed) for seed in range(1, JOBS + 1)]
    # Nobody writes before all may, so that only the order of the turns counts.
    with (
        block_at(during_apply()) as gate,
        worker(IMPORT_RESEND_SECONDS="60", IMPORT_TURN_SECONDS="0"),
        worker(IMPORT_RESEND_SECONDS="60", IMPORT_TURN_SECONDS="0"),
    ):
        jobs = [upload_in_process(alice, one.content, check_first=True) for one in samples]
        wait_for(lambda: ImportJob.objects.filter(status=Status.READY).count() == JOBS)
        for job in jobs:
            lifecycle.start(job.pk)
        gate.wait_until_reached(2)
        gate.open()
        wait_until_final(*jobs)

    assert_exact(dict(zip(jobs, samples, strict=True)))
    assert_no_attempts_left()
    assert longest_lead(jobs) <= 4


def test_a_small_import_does_not_wait_for_the_reader_of_a_large_one(alice):
    many, few = make_sample(30_000), make_sample(400, seed=2)
    with worker() as busy:
        large = upload_in_process(alice, many.content)
        wait_for(busy.find_reader)
        reader = busy.find_reader()
        reader.suspend()
        small = upload_in_process(alice, few.content)
        wait_until_final(small)
        large.refresh_from_db()
        stood_at = large.status, large.reader_crashes
        reader.resume()
        wait_until_final(large)

    assert stood_at == (Status.CHECKING, 1)
    assert large.check_generation == 1
    assert_exact({large: many, small: few})


def longest_lead(jobs):
    """By how many batches any import was ever ahead of another that had work left."""
    of = {job.pk: job.batches.count() for job in jobs}
    written, longest = dict.fromkeys(of, 0), 0
    for job_id in ImportBatch.objects.order_by("applied_at").values_list("job", flat=True):
        written[job_id] += 1
        unfinished = [written[other] for other in of if written[other] < of[other]]
        longest = max(longest, written[job_id] - min(unfinished, default=written[job_id]))
    return longest


# --- Cancelled ---------------------------------------------------------------


def test_after_a_cancel_no_count_and_no_customer_changes(alice):
    dice = Random(11)
    with worker():
        then = dict(cancelled_at_some_version(alice, n, dice) for n in range(CANCELS))
        wait_until_idle()
        now = {number: as_it_stands(number) for number in then}

    assert now == then
    ended = [job["status"] for job, _ in now.values()]
    assert ended.count(Status.CANCELLED) >= CANCELS / 4
    assert set(ended) <= {Status.CANCELLED, Status.COMPLETE}
    for job, customers in now.values():
        written = list(get_outcomes(ImportJob.objects.get(pk=job["id"])).values())
        assert written.count("created") == job["created"] == customers
    assert_no_attempts_left()


def cancelled_at_some_version(owner, number, dice):
    """An import's number, and how it stood when its cancel returned."""
    people = [make_row(1_000 * number + n) for n in range(ROWS)]
    job = upload_in_process(owner, make_csv(people), f"{number}.csv")
    moment = dice.randint(1, 6)
    wait_for(lambda: job.refresh_from_db() or job.version >= moment or job.is_final)
    with suppress(TransitionNotAllowed):  # It was quicker.
        lifecycle.cancel(job.pk)
    return number, as_it_stands(number)


def as_it_stands(number):
    """Every column of the import's own row, and how many of its customers are in."""
    job = ImportJob.objects.values().get(file_name=f"{number}.csv")
    marks = [make_row(1_000 * number + n)[0] for n in range(ROWS)]
    return job, Customer.objects.filter(shipping_mark__in=marks).count()
