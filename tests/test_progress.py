"""The snapshot: one object, whole, with codes and counts and nobody's data."""

import json
import time
from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.utils import timezone
from redis import Redis

from imports import progress, snapshots
from imports.models import ImportJob, Worker
from imports.pipeline import batch_applier
from imports.pipeline.file_checker import check_file
from imports.snapshots import build_snapshot
from imports.statuses import Status
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = """
id version run status error_code message total checked processed progress_percent created updated
unchanged skipped failed success created_at started_at finished_at updated_at live
"""


@pytest.fixture(autouse=True)
def nothing_known():
    """What this process remembers between two snapshots."""
    snapshots._workers = (-1e9, 0)
    progress._paused_until = 0.0
    yield
    snapshots._workers = (-1e9, 0)
    progress._paused_until = 0.0


@pytest.fixture
def subscriber():
    with Redis.from_url(configured.REDIS_URL) as client, client.pubsub() as pubsub:
        pubsub.psubscribe("imports:*")
        pubsub.get_message(timeout=30)  # Says that the subscription stands.
        yield pubsub


def heard(subscriber):
    message = subscriber.get_message(timeout=30)
    return message["channel"].decode(), json.loads(message["data"])


def history(content, **fields):
    """Every snapshot that an import goes through."""
    seen = []
    job = make_job(content, **fields)
    check_file(job.pk, on_progress=lambda job: seen.append(build_snapshot(job)))
    for number in job.batches.values_list("number", flat=True):
        seen.append(build_snapshot(batch_applier.apply_batch(job.pk, number)))
    return seen


def test_a_snapshot_has_the_agreed_fields_in_the_agreed_order():
    assert list(build_snapshot(make_job(make_csv([make_row(1)])))) == KEYS.split()


def test_a_snapshot_is_the_same_after_json():
    job = apply_all_batches(check_job(make_job(make_csv([make_row(1)]))).pk)

    assert json.loads(json.dumps(build_snapshot(job))) == build_snapshot(job)


def test_versions_rise_and_progress_never_goes_back():
    seen = history(
        make_csv([make_row(n, **({"phone": "x"} if n % 9 == 0 else {})) for n in range(3_000)])
    )

    versions = [one["version"] for one in seen]
    percents = [one["progress_percent"] for one in seen]
    assert versions == sorted(set(versions))
    assert percents == sorted(percents)
    assert len(set(percents)) > 20
    assert percents[-1] == 100
    assert [one["status"] for one in seen if one["progress_percent"] == 100] == [Status.COMPLETE]


def test_counts_add_up_in_every_snapshot():
    names = ("created", "updated", "unchanged", "skipped", "failed")
    for one in history(make_csv([make_row(n % 700) for n in range(1_000)])):
        assert sum(one[name] for name in names) == one["processed"]


def test_a_snapshot_holds_nobodys_data():
    canary = make_row(1, mark="CANARY", email="canary@example.com", phone="+233240000077")

    for one in history(make_csv([canary, canary, make_row(2, phone="CANARY")])):
        assert "canary" not in json.dumps(one).lower()
        assert "+233240000077" not in json.dumps(one)


def test_the_rate_and_the_time_left_are_those_of_the_phase():
    job = check_job(make_job(make_csv([make_row(n) for n in range(100)])))
    job.phase_started_at = timezone.now() - timedelta(seconds=10)
    job.updated_at = timezone.now()
    job.phase_rows, job.processed = 10, 60

    live = build_snapshot(job)["live"]

    assert (live["rows_per_second"], live["eta_seconds"]) == (5, 8)


def test_nobody_who_works_is_said_in_the_snapshot():
    job = make_job(make_csv([make_row(1)]))
    before = build_snapshot(job)["live"]["workers"]
    Worker.objects.create(name="host:1")
    snapshots._workers = (-1e9, 0)

    assert (before, build_snapshot(job)["live"]["workers"]) == (0, 1)


def test_a_worker_that_fell_silent_does_not_count(settings):
    settings.IMPORT_WORKER_SILENT_SECONDS = 5
    worker = Worker.objects.create(name="host:1")
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=60))

    assert snapshots.count_live_workers() == 0


def test_an_import_that_stands_still_is_stalled_and_one_that_waits_is_not():
    job = check_job(make_job(make_csv([make_row(1)])))
    ImportJob.objects.update(updated_at=timezone.now() - timedelta(minutes=1))
    job.refresh_from_db()
    running = build_snapshot(job)["live"]["stalled"]
    job.status = Status.PAUSED

    assert (running, build_snapshot(job)["live"]["stalled"]) == (True, False)


def test_the_place_in_the_queue_is_the_order_in_which_files_are_read():
    jobs = [make_job(make_csv([make_row(n) for n in range(size)])) for size in (300, 10, 100)]

    assert [build_snapshot(job)["live"]["queue_position"] for job in jobs] == [3, 1, 2]


def test_a_publish_reaches_the_imports_own_channel(subscriber):
    job = make_job(make_csv([make_row(1)]))

    progress.publish(job)

    channel, published = heard(subscriber)
    assert channel == f"imports:{job.owner_id}:{job.id}"
    assert published == build_snapshot(job)


def test_a_publish_without_redis_is_silent_and_quick(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    progress._redis.cache_clear()
    job = make_job(make_csv([make_row(1)]))
    began = time.monotonic()

    for _ in range(50):
        progress.publish(job)

    progress._redis.cache_clear()
    assert time.monotonic() - began < 2
    assert progress._paused_until > began
