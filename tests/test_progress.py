"""Snapshots: their fields, their order, the live state, and the publishing to Redis."""

import json
import time
from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.utils import timezone
from redis import Redis

from imports import progress, worker_status
from imports.models import ImportJob, Worker
from imports.pipeline import batch_applier
from imports.pipeline.file_checker import check_file
from imports.snapshots import build_snapshot
from imports.statuses import Status
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = """
id version run status error_code message total checked processed progress_percent created updated
unchanged skipped failed removed restored kept success waits_for created_at started_at finished_at
updated_at live
"""


@pytest.fixture(autouse=True)
def reset_process_state():
    """Reset what the process keeps between two snapshots."""
    worker_status.forget_cached_status()
    progress._paused_until = 0.0
    yield
    worker_status.forget_cached_status()
    progress._paused_until = 0.0


@pytest.fixture
def subscriber():
    with Redis.from_url(configured.REDIS_URL) as client, client.pubsub() as pubsub:
        pubsub.psubscribe("imports:*")
        pubsub.get_message(timeout=30)  # The confirmation of the subscription.
        yield pubsub


def receive(subscriber):
    message = subscriber.get_message(timeout=30)
    return message["channel"].decode(), json.loads(message["data"])


def list_history(content, **fields):
    """Return every snapshot of an import, from its check to its end."""
    history = []
    job = make_job(content, **fields)
    check_file(job.pk, on_progress=lambda job: history.append(build_snapshot(job)))
    for number in job.batches.values_list("number", flat=True):
        history.append(build_snapshot(batch_applier.apply_batch(job.pk, number)))
    return history


def test_a_snapshot_has_the_agreed_fields_in_the_agreed_order():
    assert list(build_snapshot(make_job(make_csv([make_row(1)])))) == KEYS.split()


def test_a_snapshot_is_the_same_after_json():
    job = apply_all_batches(check_job(make_job(make_csv([make_row(1)]))).pk)

    assert json.loads(json.dumps(build_snapshot(job))) == build_snapshot(job)


def test_versions_increase_and_progress_never_decreases():
    history = list_history(
        make_csv([make_row(n, **({"phone": "x"} if n % 9 == 0 else {})) for n in range(3_000)])
    )

    versions = [snapshot["version"] for snapshot in history]
    percents = [snapshot["progress_percent"] for snapshot in history]
    assert versions == sorted(set(versions))
    assert percents == sorted(percents)
    assert len(set(percents)) > 20
    assert percents[-1] == 100
    assert [snapshot["status"] for snapshot in history if snapshot["progress_percent"] == 100] == [
        Status.COMPLETE
    ]


def test_counts_add_up_in_every_snapshot():
    names = ("created", "updated", "unchanged", "skipped", "failed")
    for snapshot in list_history(make_csv([make_row(n % 700) for n in range(1_000)])):
        assert sum(snapshot[name] for name in names) == snapshot["processed"]


def test_a_snapshot_holds_no_personal_data():
    canary = make_row(1, mark="CANARY", email="canary@example.com", phone="+233240000077")

    for snapshot in list_history(make_csv([canary, canary, make_row(2, phone="CANARY")])):
        assert "canary" not in json.dumps(snapshot).lower()
        assert "+233240000077" not in json.dumps(snapshot)


def test_the_speed_is_that_of_the_current_phase():
    job = check_job(make_job(make_csv([make_row(n) for n in range(100)])))
    job.phase_started_at = timezone.now() - timedelta(seconds=10)
    job.updated_at = timezone.now()
    job.phase_rows, job.processed = 10, 60

    live = build_snapshot(job)["live"]

    assert (live["rows_per_second"], live["eta_seconds"]) == (5, 8)


def test_a_snapshot_holds_the_number_of_live_workers():
    job = make_job(make_csv([make_row(1)]))
    before = build_snapshot(job)["live"]["workers"]
    Worker.objects.create(name="host:1")
    worker_status.forget_cached_status()

    assert (before, build_snapshot(job)["live"]["workers"]) == (0, 1)


def test_a_worker_without_a_recent_heartbeat_does_not_count(settings):
    settings.IMPORTS_WORKER_HEARTBEAT_TIMEOUT_SECONDS = 5
    worker = Worker.objects.create(name="host:1")
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=60))

    assert worker_status.count_live_workers() == 0


def test_only_an_active_import_without_progress_is_stalled():
    job = check_job(make_job(make_csv([make_row(1)])))
    ImportJob.objects.update(updated_at=timezone.now() - timedelta(minutes=1))
    job.refresh_from_db()
    running = build_snapshot(job)["live"]["stalled"]
    job.status = Status.PAUSED

    assert (running, build_snapshot(job)["live"]["stalled"]) == (True, False)


def test_the_queue_position_is_the_order_in_which_files_are_checked():
    jobs = [make_job(make_csv([make_row(n) for n in range(size)])) for size in (300, 10, 100)]

    assert [build_snapshot(job)["live"]["queue_position"] for job in jobs] == [3, 1, 2]


def test_a_snapshot_is_published_to_the_channel_of_its_import(subscriber):
    job = make_job(make_csv([make_row(1)]))

    progress.publish(job)

    channel, published = receive(subscriber)
    assert channel == f"imports:{job.owner_id}:{job.id}"
    assert published == build_snapshot(job)


def test_publishing_without_redis_is_quick_and_raises_nothing(settings):
    settings.IMPORTS_REDIS_URL = "redis://127.0.0.1:1/0"
    progress._redis.cache_clear()
    job = make_job(make_csv([make_row(1)]))
    started = time.monotonic()

    for _ in range(50):
        progress.publish(job)

    progress._redis.cache_clear()
    assert time.monotonic() - started < 2
    assert progress._paused_until > started
