"""Several imports at the same time, and imports that are cancelled at random moments."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import pytest

from customers.models import Customer
from imports import lifecycle
from imports.models import ImportBatch, ImportJob, TransitionNotAllowed
from imports.statuses import Status
from tests.concurrency import concurrent_transaction, wait_until_blocked
from tests.factories import get_outcomes, make_csv, make_row
from tests.fault_points import block_at, during_apply
from tests.invariants import (
    assert_exact,
    assert_ledger,
    assert_nothing_left,
    make_sample,
    wait_until_end,
)
from tests.processes import (
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    wait_until_final,
    wait_until_idle,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)

JOB_COUNT = 10
CANCEL_COUNT = 20
ROW_COUNT = 150  # Three batches.


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


# --- Order of batches of several imports -------------------------------------


def test_two_workers_take_turns_between_ten_imports_batch_by_batch(alice, web_server):
    samples = [make_sample(400, seed) for seed in range(1, JOB_COUNT + 1)]
    # The gate holds back every batch until all imports have started, so the test measures only
    # the order of the batches.
    with (
        site(alice, web_server) as web,
        block_at(during_apply()) as gate,
        worker(IMPORTS_MESSAGE_TIMEOUT_SECONDS="60", IMPORTS_TURN_SECONDS="0"),
        worker(IMPORTS_MESSAGE_TIMEOUT_SECONDS="60", IMPORTS_TURN_SECONDS="0"),
    ):
        jobs = [upload_in_process(alice, sample.content, check_first=True) for sample in samples]
        wait_for(lambda: ImportJob.objects.filter(status=Status.READY).count() == JOB_COUNT)
        for job in jobs:
            lifecycle.start(job.pk)
        watchers = [web.watch(job) for job in jobs]
        gate.wait_until_reached(2)
        gate.open()
        wait_until_end(*watchers)

    assert_exact(dict(zip(jobs, samples, strict=True)))
    assert find_longest_lead(jobs) <= 4


def test_a_small_import_does_not_wait_for_the_reader_of_a_large_one(alice, web_server):
    large_sample, small_sample = make_sample(30_000), make_sample(400, seed=2)
    with site(alice, web_server) as web, worker() as worker_process:
        large = upload_in_process(alice, large_sample.content)
        wait_for(worker_process.find_reader)
        reader = worker_process.find_reader()
        reader.suspend()
        small = upload_in_process(alice, small_sample.content)
        watchers = [web.watch(large), web.watch(small)]
        wait_until_final(small)
        large.refresh_from_db()
        status_while_suspended = large.status, large.reader_crashes
        reader.resume()
        wait_until_end(*watchers)

    assert status_while_suspended == (Status.CHECKING, 1)
    assert large.check_generation == 1
    assert_exact({large: large_sample, small: small_sample})


def find_longest_lead(jobs):
    """Return the largest lead, in batches, of one import over another unfinished import."""
    totals = {job.pk: job.batches.count() for job in jobs}
    applied, longest = dict.fromkeys(totals, 0), 0
    for job_id in ImportBatch.objects.order_by("applied_at").values_list("job", flat=True):
        applied[job_id] += 1
        unfinished = [applied[other] for other in totals if applied[other] < totals[other]]
        longest = max(longest, applied[job_id] - min(unfinished, default=applied[job_id]))
    return longest


# --- Cancel ------------------------------------------------------------------


def test_no_count_and_no_customer_changes_after_a_cancel(alice):
    random = Random(11)
    with worker():
        after_cancel = dict(cancel_at_random_version(alice, n, random) for n in range(CANCEL_COUNT))
        wait_until_idle()
        assert_nothing_left()
        at_the_end = {number: read_job_and_customer_count(number) for number in after_cancel}

    assert at_the_end == after_cancel
    statuses = [job["status"] for job, _ in at_the_end.values()]
    assert statuses.count(Status.CANCELLED) >= CANCEL_COUNT / 4
    assert set(statuses) <= {Status.CANCELLED, Status.COMPLETE}
    for job, customers in at_the_end.values():
        outcomes = list(get_outcomes(ImportJob.objects.get(pk=job["id"])).values())
        assert outcomes.count("created") == job["created"] == customers


@pytest.mark.slow_fault
def test_of_pauses_and_cancels_at_the_same_time_one_cancel_wins(alice, web_server):
    sample = make_sample()
    commands = ["pause", "cancel"] * 2
    with (
        site(alice, web_server) as web,
        block_at(during_apply(after_batch=3)) as gate,
        worker(),
        ThreadPoolExecutor(len(commands)) as threads,
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        with concurrent_transaction() as cursor:
            # All commands wait for the row of the import, and go on at the same moment.
            cursor.execute("SELECT FROM imports_importjob WHERE id = %s FOR UPDATE", [job.pk])
            responses = [
                threads.submit(web.client.post, f"/api/imports/{job.pk}/{command}/")
                for command in commands
            ]
            wait_until_blocked(2 + len(commands))  # Two sessions wait at the gate.
        statuses = [response.result().status_code for response in responses]
        customers = Customer.objects.count()
        gate.open()
        wait_until_end(watcher)

    # A paused import can be cancelled, a cancelled one cannot be paused.
    assert sorted(statuses[1::2]) == [202, 409]
    assert sorted(statuses[0::2]) in ([202, 409], [409, 409])
    given = [command for command, status in zip(commands, statuses, strict=True) if status == 202]
    recorded = job.events.filter(command__in=["pause", "cancel"]).order_by("pk")
    assert list(recorded.values_list("command", flat=True)) == sorted(given, reverse=True)
    assert job.status == Status.CANCELLED
    assert job.created == customers == Customer.objects.count()
    assert_ledger(job)


def cancel_at_random_version(owner, number, random):
    """Upload a file and cancel its import at a random version.

    Return `number` and the state of the import directly after the cancel.
    """
    rows = [make_row(1_000 * number + n) for n in range(ROW_COUNT)]
    job = upload_in_process(owner, make_csv(rows), f"{number}.csv")
    version = random.randint(1, 6)
    wait_for(lambda: job.refresh_from_db() or job.version >= version or job.is_final)
    with suppress(TransitionNotAllowed):  # The import finished first.
        lifecycle.cancel(job.pk)
    return number, read_job_and_customer_count(number)


def read_job_and_customer_count(number):
    """Return all columns of the job, and the number of its customers in the table."""
    job = ImportJob.objects.values().get(file_name=f"{number}.csv")
    marks = [make_row(1_000 * number + n)[0] for n in range(ROW_COUNT)]
    return job, Customer.objects.filter(shipping_mark__in=marks).count()
