"""Redis loses messages, delivers them repeatedly, stops and returns: every import completes."""

from random import Random
from time import monotonic

import pytest
from django.conf import settings
from django.db.models.functions import Now
from dramatiq import Message
from redis import Redis

from devserver.processes import wait_for as wait_for_server
from imports import actors, lifecycle
from imports.broker import get_broker
from imports.conf import app_settings
from imports.models import ImportJob
from imports.statuses import Status
from tests.factories import check_job, make_job
from tests.fault_points import block_at, during_apply
from tests.invariants import assert_exact, assert_nothing_left, make_sample, wait_until_end
from tests.processes import (
    flush_redis,
    list_queued_messages,
    site,
    temporary_redis,
    upload_in_process,
    wait_for,
    wait_until_final,
    worker,
)
from tests.test_end_to_end import is_non_decreasing

pytestmark = pytest.mark.django_db(transaction=True)

MAX_RECOVERY_SECONDS = 30


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


# --- Lost messages -----------------------------------------------------------


def test_recovery_starts_an_import_whose_message_was_lost_in_the_queue(alice, web_server):
    sample = make_sample()
    job = upload_in_process(alice, sample.content)

    flush_redis()
    with site(alice, web_server) as web, worker():
        wait_until_end(web.watch(job), seconds=MAX_RECOVERY_SECONDS)

    assert_exact({job: sample})


def test_recovery_resumes_running_imports_whose_messages_were_lost(alice, web_server):
    first, second = make_sample(), make_sample(seed=2)
    with site(alice, web_server) as web, worker(), block_at(during_apply(after_batch=3)) as gate:
        waiting = upload_in_process(alice, second.content, check_first=True)
        wait_for(lambda: waiting.refresh_from_db() or waiting.status == Status.READY)
        job = upload_in_process(alice, first.content)
        gate.wait_until_reached(2)  # Both threads of the worker: it takes no third batch.
        lifecycle.start(waiting.pk)
        with Redis.from_url(settings.REDIS_URL) as client:
            bodies = client.hvals(f"imports:{actors.BATCH_QUEUE}.msgs")
        # A set, because a message may have been sent more than once.
        sent_batches = {tuple(Message.decode(body).args) for body in bodies}
        in_flight = range(1, app_settings.MAX_BATCHES_IN_FLIGHT + 1)
        assert {n for pk, n in sent_batches if pk == str(waiting.pk)} == set(in_flight)
        watchers = [web.watch(job), web.watch(waiting)]
        flush_redis()
        gate.open()
        wait_until_end(*watchers, seconds=MAX_RECOVERY_SECONDS)

    assert_exact({job: first, waiting: second})


# --- Duplicate messages ------------------------------------------------------


def test_duplicate_messages_in_random_order_add_no_further_chains(alice, web_server):
    sample = make_sample(4_000)
    job = check_job(make_job(sample.content, owner=alice))
    messages = [
        Message(
            queue_name=actors.BATCH_QUEUE,
            actor_name=actors.BATCH_ACTOR,
            args=(str(job.pk), number),
            kwargs={},
            options={},
        )
        for number in range(1, 7)
    ] * 5
    Random(5).shuffle(messages)
    job.batches.filter(number__lte=6).update(enqueued_at=Now())

    with Redis.from_url(settings.REDIS_URL) as client:
        broker = get_broker()
        message_ids = {
            broker.enqueue(message).options["redis_message_id"].encode() for message in messages
        }
        with (
            site(alice, web_server) as web,
            block_at(during_apply(after_batch=10)) as gate,
            worker(IMPORTS_RECOVERY_INTERVAL_SECONDS="60", IMPORTS_TURN_SECONDS="0"),
        ):
            watcher = web.watch(job)
            gate.wait_until_reached(app_settings.MAX_BATCHES_IN_FLIGHT)
            wait_for(lambda: message_ids.isdisjoint(list_queued_messages(client)))
            # Each chain waits at the gate and keeps one message in the queue. Further chains
            # would keep further messages.
            wait_for(
                lambda: len(list_queued_messages(client)) == app_settings.MAX_BATCHES_IN_FLIGHT
            )
            gate.open()
            queue_lengths = []
            wait_for(
                lambda: queue_lengths.append(len(list_queued_messages(client))) or is_complete(job)
            )
            wait_until_end(watcher)

    assert len(message_ids) == 30
    # A chain sends its next message before it acknowledges the current one: two per chain.
    assert max(queue_lengths) <= 2 * app_settings.MAX_BATCHES_IN_FLIGHT
    assert_exact({job: sample})


def is_complete(job):
    return ImportJob.objects.filter(pk=job.pk, status=Status.COMPLETE).exists()


# --- Redis is down -----------------------------------------------------------


def test_a_stream_stays_monotonic_when_redis_stops_and_returns_during_an_import(alice):
    sample = make_sample()
    with (
        temporary_redis() as (server, address),
        block_at(during_apply(after_batch=2)) as gate,
        site(alice, **address) as web,
        worker(**address),
    ):
        job = web.upload(sample.content)[1]
        with web.stream(job) as stream:
            gate.wait_until_reached(2)
            server.stop()
            gate.open()
            wait_for(lambda: count_applied_batches(job) >= 6)  # The import continues without Redis.
            gate.close()
            restart(server)
            gate.open()
            events = stream.rest()
        assert_nothing_left(redis_url=address["REDIS_URL"])

    snapshots = [event.snapshot for event in events]
    assert events[-1].name == "complete"
    assert is_non_decreasing([snapshot["version"] for snapshot in snapshots])
    assert is_non_decreasing([snapshot["progress_percent"] for snapshot in snapshots])
    assert_exact({job: sample})


def test_an_upload_without_redis_is_accepted_and_starts_when_redis_returns(alice):
    first, second = make_sample(), make_sample(seed=2)
    with temporary_redis() as (server, address), site(alice, **address) as web, worker(**address):
        before = web.upload(first.content)[1]
        wait_until_final(before)
        server.stop()
        started_at = monotonic()
        response, job = web.upload(second.content)
        seconds = monotonic() - started_at
        status_without_redis = web.snapshot(job)["status"]
        watcher = web.watch(job)
        restart(server)
        wait_until_end(watcher, seconds=MAX_RECOVERY_SECONDS, redis_url=address["REDIS_URL"])

    assert (response.status_code, response.json()["status"]) == (202, Status.QUEUED)
    assert seconds < 2
    assert status_without_redis == Status.QUEUED
    assert_exact({before: first, job: second})


def count_applied_batches(job):
    return job.batches.exclude(applied_at=None).count()


def restart(server):
    server.start()
    assert wait_for_server(server.is_ready, 10)
