"""Redis forgets, repeats, goes away and comes back: no row notices, and nobody is left waiting."""

from random import Random
from time import monotonic

import dramatiq
import pytest
from django.conf import settings
from django.db.models.functions import Now
from dramatiq import Message
from redis import Redis

from devserver.processes import wait_for as wait_for_server
from imports import actors, lifecycle
from imports.models import ImportJob
from imports.statuses import Status
from tests.factories import check_job, make_job
from tests.fault_points import block_at, during_apply
from tests.invariants import assert_exact, assert_no_attempts_left, make_sample
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
from tests.test_end_to_end import never_back

pytestmark = pytest.mark.django_db(transaction=True)

BY_ITSELF_SECONDS = 30


@pytest.fixture(autouse=True)
def _no_messages_of_others():
    flush_redis()


# --- Forgotten ---------------------------------------------------------------


def test_an_import_whose_message_is_lost_in_the_queue_starts_by_itself(alice):
    sent = make_sample()
    job = upload_in_process(alice, sent.content)

    flush_redis()
    with worker():
        wait_until_final(job, seconds=BY_ITSELF_SECONDS)

    assert_exact({job: sent})
    assert_no_attempts_left()


def test_imports_whose_messages_are_lost_while_they_run_go_on_by_themselves(alice):
    first, second = make_sample(), make_sample(seed=2)
    with worker(), block_at(during_apply(after_batch=3)) as gate:
        waiting = upload_in_process(alice, second.content, check_first=True)
        wait_for(lambda: waiting.refresh_from_db() or waiting.status == Status.READY)
        job = upload_in_process(alice, first.content)
        gate.wait_until_reached(2)  # It takes no third batch meanwhile.
        lifecycle.start(waiting.pk)
        with Redis.from_url(settings.REDIS_URL) as client:
            bodies = client.hvals("imports:batches.msgs")
        sent = {tuple(Message.decode(body).args) for body in bodies}  # Maybe more than once.
        in_flight = range(1, settings.IMPORT_BATCHES_IN_FLIGHT + 1)
        assert {n for pk, n in sent if pk == str(waiting.pk)} == set(in_flight)
        flush_redis()
        gate.open()
        wait_until_final(job, waiting, seconds=BY_ITSELF_SECONDS)

    assert_exact({job: first, waiting: second})
    assert_no_attempts_left()


# --- Repeated ----------------------------------------------------------------


def test_messages_delivered_five_times_in_any_order_collapse_into_the_chains(alice):
    sent = make_sample(4_000)
    job = check_job(make_job(sent.content, owner=alice))
    again = [actors.apply_batches.message(str(job.pk), n) for n in range(1, 7)] * 5
    Random(5).shuffle(again)
    job.batches.filter(number__lte=6).update(enqueued_at=Now())

    with Redis.from_url(settings.REDIS_URL) as client:
        broker = dramatiq.get_broker()
        ours = {broker.enqueue(message).options["redis_message_id"].encode() for message in again}
        with (
            block_at(during_apply(after_batch=10)) as gate,
            worker(IMPORT_RECOVERY_SECONDS="60", IMPORT_TURN_SECONDS="0"),
        ):
            gate.wait_until_reached(settings.IMPORT_BATCHES_IN_FLIGHT)
            wait_for(lambda: ours.isdisjoint(list_queued_messages(client)))
            # The chains wait at the gate, each with one message. Further chains would
            # keep further messages.
            wait_for(lambda: len(list_queued_messages(client)) == settings.IMPORT_BATCHES_IN_FLIGHT)
            gate.open()
            alive = []
            wait_for(lambda: alive.append(len(list_queued_messages(client))) or is_complete(job))
            wait_for(lambda: not list_queued_messages(client))

    assert len(ours) == 30
    # Each chain's message, and its successor, which is sent before it is acknowledged.
    assert max(alive) <= 2 * settings.IMPORT_BATCHES_IN_FLIGHT
    assert_exact({job: sent})
    assert_no_attempts_left()


def is_complete(job):
    return ImportJob.objects.filter(pk=job.pk, status=Status.COMPLETE).exists()


# --- Away --------------------------------------------------------------------


def test_redis_goes_and_returns_during_an_import_that_is_watched(alice):
    sent = make_sample()
    with (
        temporary_redis() as (server, address),
        block_at(during_apply(after_batch=2)) as gate,
        site(alice, **address) as web,
        worker(**address),
    ):
        job = web.upload(sent.content)[1]
        with web.stream(job) as stream:
            gate.wait_until_reached(2)
            server.stop()
            gate.open()
            wait_for(lambda: written_batches(job) >= 6)  # It goes on without Redis.
            gate.close()
            bring_back(server)
            gate.open()
            events = stream.rest()

    told = [event.snapshot for event in events]
    assert events[-1].name == "complete"
    assert never_back([one["version"] for one in told])
    assert never_back([one["progress_percent"] for one in told])
    assert_exact({job: sent})
    assert_no_attempts_left()


def test_an_upload_while_redis_is_away_is_accepted_at_once_and_starts_when_it_is_back(alice):
    first, second = make_sample(), make_sample(seed=2)
    with temporary_redis() as (server, address), site(alice, **address) as web, worker(**address):
        before = web.upload(first.content)[1]
        wait_until_final(before)
        server.stop()
        began = monotonic()
        answer, job = web.upload(second.content)
        took = monotonic() - began
        waits = web.snapshot(job)["status"]
        bring_back(server)
        wait_until_final(job, seconds=BY_ITSELF_SECONDS)

    assert (answer.status_code, answer.json()["status"]) == (202, Status.QUEUED)
    assert took < 2
    assert waits == Status.QUEUED
    assert_exact({before: first, job: second})


def written_batches(job):
    return job.batches.exclude(applied_at=None).count()


def bring_back(server):
    server.start()
    assert wait_for_server(server.is_ready, 10)
