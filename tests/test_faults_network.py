"""The network between the processes and their servers loses replies, is cut, slow or silent."""

import pytest

from imports.models import ImportJob
from imports.statuses import Status
from tests.fault_points import block_at, during_apply, during_staging
from tests.invariants import assert_exact, assert_nothing_left, make_sample
from tests.processes import (
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    wait_for_version_after,
    wait_until_final,
    worker,
)
from tests.tcp_proxy import database_proxy, redis_proxy

pytestmark = pytest.mark.django_db(transaction=True)

MAX_RESEND_SECONDS = 30
MAX_RESUME_SECONDS = 15
BATCH_MESSAGE = b"imports.apply_batches"


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


# --- Lost replies ------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_part", "reply_part"),
    [
        pytest.param(b"\r\nfetch\r\n", BATCH_MESSAGE, id="fetch"),
        pytest.param(b"\r\nenqueue\r\n", b"", id="enqueue"),
        pytest.param(b"\r\nack\r\n", b"", id="ack", marks=pytest.mark.slow_fault),
    ],
)
def test_an_import_survives_the_loss_of_a_reply_of_redis(
    alice, web_server, request_part, reply_part
):
    sample = make_sample()
    with (
        site(alice, web_server) as web,
        redis_proxy() as (proxy, address),
        block_at(during_apply(after_batch=1)) as gate,
        worker(IMPORTS_TURN_SECONDS="0", **address),
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        proxy.drop_reply(request_part, reply_part)
        gate.open()
        wait_until_final(job, seconds=MAX_RESEND_SECONDS)
        assert proxy.lost_replies == 1
        watcher.assert_saw_the_end(job)
        assert_nothing_left(is_reply_lost=reply_part == BATCH_MESSAGE)

    assert_exact({job: sample})


def test_a_worker_that_is_killed_between_its_commit_and_the_next_message_costs_no_row(
    alice, web_server
):
    sample = make_sample()
    with site(alice, web_server) as web, database_proxy() as (proxy, address):
        with (
            block_at(during_apply(after_batch=3)) as gate,
            worker(IMPORTS_TURN_SECONDS="0", **address) as first,
        ):
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            gate.wait_until_reached(2)
            version = ImportJob.objects.get(pk=job.pk).version
            proxy.hold_replies(b"COMMIT")
            gate.open()
            # Both batches are committed, and the worker does not know it yet.
            wait_for(lambda: ImportJob.objects.get(pk=job.pk).version == version + 2)
            first.kill()
            proxy.release()
        job_at_kill = ImportJob.objects.get(pk=job.pk)
        with worker():
            resumed_after = wait_for_version_after(job_at_kill)
            wait_until_final(job)
            watcher.assert_saw_the_end(job)
            assert_nothing_left()

    assert job_at_kill.status == Status.RUNNING
    assert resumed_after < MAX_RESUME_SECONDS
    assert_exact({job: sample})


# --- PostgreSQL --------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [during_staging(after_row=600), during_apply(after_batch=3)],
    ids=["checking", "running"],
)
def test_a_cut_network_to_postgresql_costs_no_row_and_counts_as_no_crash(alice, web_server, step):
    sample = make_sample()
    with (
        site(alice, web_server) as web,
        database_proxy() as (proxy, address),
        block_at(step) as gate,
        worker(**address),
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        proxy.refuse()
        gate.terminate_sessions()  # PostgreSQL has not noticed that the client is gone.
        gate.open()
        proxy.accept()
        resumed_after = wait_for_version_after(job)
        wait_until_final(job)
        watcher.assert_saw_the_end(job)
        assert_nothing_left()

    assert resumed_after < MAX_RESUME_SECONDS
    assert job.reader_crashes == 0
    assert not job.batches.filter(crashes__gt=0).exists()
    assert_exact({job: sample})


@pytest.mark.slow_fault
def test_an_import_completes_while_the_network_to_postgresql_is_slow(alice, web_server):
    sample = make_sample(400)
    with site(alice, web_server) as web, database_proxy() as (proxy, address), worker(**address):
        proxy.delay_seconds = 0.02  # For each packet, in both directions.
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        wait_until_final(job)
        proxy.delay_seconds = 0.0
        watcher.assert_saw_the_end(job)
        assert_nothing_left()

    assert_exact({job: sample})


# --- Redis -------------------------------------------------------------------


@pytest.mark.slow_fault
def test_an_import_completes_while_the_network_to_redis_is_silent(alice, web_server):
    sample = make_sample()
    with (
        site(alice, web_server) as web,
        redis_proxy() as (proxy, address),
        block_at(during_apply(after_batch=3)) as gate,
        worker(**address),
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        proxy.freeze()
        gate.open()
        wait_until_final(job)
        proxy.thaw()
        watcher.assert_saw_the_end(job)
        assert_nothing_left(is_reply_lost=True)

    assert_exact({job: sample})


@pytest.mark.slow_fault
def test_an_import_completes_while_the_network_to_redis_is_cut_again_and_again(alice, web_server):
    sample = make_sample()
    with (
        site(alice, web_server) as web,
        redis_proxy() as (proxy, address),
        worker(IMPORTS_TURN_SECONDS="0", **address),
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)

        def cut_until_final():
            proxy.cut()
            job.refresh_from_db()
            return job.is_final

        wait_for(cut_until_final)
        watcher.assert_saw_the_end(job)
        assert_nothing_left(is_reply_lost=True)

    assert_exact({job: sample})
