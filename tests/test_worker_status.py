"""Whether workers are alive, why an import makes no progress, and the health of the app."""

import os
import re
import signal
import time
from datetime import timedelta

import httpx
import pytest
from django.db import ProgrammingError
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from imports import error_messages, health, lifecycle, recovery, worker_process, worker_status
from imports.models import ImportAttempt, ImportJob, Worker
from imports.snapshots import build_snapshot
from imports.statuses import StalledReason, Status
from tests.concurrency import concurrent_transaction
from tests.conftest import create_user, logged_in_client
from tests.database import connection
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row
from tests.processes import (
    MAX_WAIT_SECONDS,
    SHORT_TIMEOUTS,
    site,
    temporary_redis,
    upload_in_process,
    wait_for,
    wait_until_final,
    worker,
)
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = make_csv([make_row(n) for n in range(100)])
NO_DATABASE = "postgres://nobody:none@127.0.0.1:1/none"
NO_REDIS = "redis://127.0.0.1:1/0"
SHORT_LOCK_TIMEOUT = SHORT_TIMEOUTS | {"IMPORTS_LOCK_TIMEOUT": "100ms"}
MAX_REPORT_SECONDS = 10  # What the pages promise.


@pytest.fixture(autouse=True)
def fresh_status():
    worker_status.forget_cached_status()
    health.forget_cached_health()
    yield
    worker_status.forget_cached_status()
    health.forget_cached_health()


def create_worker(**fields):
    worker_status.forget_cached_status()
    return Worker.objects.create(name="here:1", **{"threads": 2, **fields})


def make_stalled(job):
    """Return the import as it is after a minute without progress."""
    long_ago = timezone.now() - timedelta(minutes=1)
    ImportJob.objects.filter(pk=job.pk).update(updated_at=long_ago)
    job.refresh_from_db()
    return job


@pytest.fixture
def stalled():
    """A RUNNING import without progress for a minute."""
    return make_stalled(check_job(make_job(CONTENT)))


def get_reason(job):
    live = build_snapshot(job)["live"]
    assert live["stalled"] == (live["stalled_reason"] is not None)
    return live["stalled_reason"]


def make_interruption(job, sqlstate):
    return [{"job": str(job.pk), "sqlstate": sqlstate, "seconds": 1}]


# --- The reason --------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.QUEUED, Status.CHECKING, Status.RUNNING, Status.UNDOING])
def test_without_a_worker_an_import_is_stalled_at_once(status):
    job = make_job(CONTENT)
    job.status = status

    assert get_reason(job) == StalledReason.NO_WORKER


@pytest.mark.parametrize("status", [Status.MAPPING, Status.READY, Status.PAUSED, Status.COMPLETE])
def test_an_import_that_needs_no_worker_is_not_stalled(status):
    job = make_stalled(make_job(CONTENT))
    job.status = status

    assert get_reason(job) is None


def test_an_import_with_progress_is_not_stalled():
    create_worker()

    assert get_reason(check_job(make_job(CONTENT))) is None


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("55P03", StalledReason.WAITING_FOR_LOCK),
        ("40P01", StalledReason.WAITING_FOR_LOCK),
        ("57014", StalledReason.DATABASE_SLOW),
        ("53300", StalledReason.DATABASE_SLOW),
        ("08006", StalledReason.DATABASE_SLOW),
        ("22000", StalledReason.UNKNOWN),
    ],
)
def test_an_interruption_that_a_worker_reports_is_the_reason(stalled, sqlstate, reason):
    create_worker(interruptions=make_interruption(stalled, sqlstate))

    assert get_reason(stalled) == reason


def test_the_interruption_of_another_import_is_no_reason(stalled):
    create_worker(interruptions=make_interruption(make_job(CONTENT), "55P03"))

    assert get_reason(stalled) == StalledReason.UNKNOWN


def begin_attempt(job, session):
    batch = job.batches.get(number=1)
    ImportAttempt.objects.create(batch=batch, session=session, started_at=timezone.now())


def test_a_crash_is_the_reason(stalled):
    create_worker()
    begin_attempt(stalled, "1 2026-01-01")

    assert get_reason(stalled) == StalledReason.REPEATED_CRASHES


def test_a_crash_of_the_undo_is_the_reason(stalled):
    create_worker()
    job = apply_all_batches(stalled.pk)
    make_stalled(lifecycle.undo(job))
    before = get_reason(make_stalled(job))
    begin_attempt(job, "1 2026-01-01")

    assert (before, get_reason(job)) == (StalledReason.UNKNOWN, StalledReason.REPEATED_CRASHES)


def test_a_file_whose_reader_has_crashed_is_stalled_by_crashes():
    create_worker()
    job = make_job(CONTENT)
    ImportJob.objects.filter(pk=job.pk).update(status=Status.CHECKING, reader_crashes=2)

    assert get_reason(make_stalled(job)) == StalledReason.REPEATED_CRASHES


def test_a_session_that_waits_for_a_lock_is_the_reason(alice):
    job = check_job(make_job(CONTENT, owner=alice))
    with concurrent_transaction() as cursor, worker():
        cursor.execute("LOCK TABLE customers_customer IN ACCESS EXCLUSIVE MODE")
        wait_for(lambda: get_reason(make_stalled(job)) == StalledReason.WAITING_FOR_LOCK)
        cursor.connection.rollback()
        wait_until_final(job)


def test_a_lock_time_out_of_a_worker_is_the_reason(alice):
    """The worker waits for half a second at a time, so nobody may see its session wait."""
    with concurrent_transaction() as cursor, worker(SHORT_LOCK_TIMEOUT):
        job = upload_in_process(alice, CONTENT)
        cursor.execute("LOCK TABLE imports_importrow IN ACCESS EXCLUSIVE MODE")
        wait_for(lambda: Worker.objects.exclude(interruptions=[]).exists())
        job.refresh_from_db()
        interruption = Worker.objects.get().interruptions[0]
        cursor.connection.rollback()
        wait_until_final(job)

    assert (interruption["job"], interruption["sqlstate"]) == (str(job.pk), "55P03")


def test_threads_that_work_on_other_imports_are_the_reason(stalled):
    work = [{"what": f"batch {n} of another import", "seconds": 9} for n in range(2)]
    create_worker(threads=3, current_work=work)
    with_a_free_thread = get_reason(stalled)
    Worker.objects.update(threads=2)
    worker_status.forget_cached_status()

    assert with_a_free_thread == StalledReason.UNKNOWN
    assert get_reason(stalled) == StalledReason.WORKERS_BUSY


def test_a_worker_that_works_on_the_import_is_not_busy_with_others(stalled):
    work = [{"what": f"batch 1 of {stalled.pk}", "seconds": 9}] * 2
    create_worker(current_work=work)

    assert get_reason(stalled) == StalledReason.UNKNOWN


def test_a_queued_import_is_not_stalled_while_workers_work():
    job = make_stalled(make_job(CONTENT))
    create_worker(current_work=[{"what": "checking another import", "seconds": 9}])
    while_busy = get_reason(job)
    Worker.objects.update(current_work=[])
    worker_status.forget_cached_status()

    assert (while_busy, get_reason(job)) == (None, StalledReason.UNKNOWN)


@pytest.mark.parametrize("reason", StalledReason)
def test_every_reason_has_a_sentence_and_an_advice(reason):
    sentence = error_messages.describe_stalled_reason(reason)
    advice = error_messages.advise_on_stalled_reason(reason)

    assert re.fullmatch(r"[A-Z].*\.", sentence)
    assert re.match(r"(Start|If|Look|Find|Check)\b.*\.$", advice)


# --- Shown -------------------------------------------------------------------


def test_the_page_and_the_admin_say_why_and_what_to_do(alice, stalled):
    create_worker(interruptions=make_interruption(stalled, "57014"))
    admin = logged_in_client(create_user("staff", "view_all", is_staff=True, is_superuser=True))

    page = logged_in_client(alice).get(f"/imports/{stalled.pk}/").content.decode()
    admin_page = admin.get(f"/admin/imports/importjob/{stalled.pk}/change/").content.decode()

    sentence = "The database is too slow or was not available. The step is repeated automatically."
    assert f'data-field="stalled_message">{sentence}</p>' in page
    assert f"{sentence} Check load, disk and connections of PostgreSQL." in admin_page


@pytest.mark.parametrize("url", ["/admin/imports/worker/", "/admin/imports/importjob/"])
def test_the_lists_of_the_admin_say_that_no_worker_is_running(root, url):
    client = logged_in_client(root)
    without_worker = client.get(url).content.decode()
    create_worker()
    with_worker = client.get(url).content.decode()

    assert "No worker is running. Start a worker: python manage.py imports_worker." in (
        without_worker
    )
    assert "No worker is running" not in with_worker


def test_a_killed_worker_is_reported_within_ten_seconds(alice):
    """With the settings of a deployment: a stream, the page and the health say so in time."""
    job = check_job(make_job(CONTENT, owner=alice))
    # No worker applies its batches, so its stream does not end.
    job.batches.update(enqueued_at=timezone.now() + timedelta(hours=1))
    with site(alice, IMPORTS_STREAM_POLL_SECONDS="2") as web, worker({}) as process:
        with web.stream(job) as events:
            assert next_live(events)["workers"] == 1
            process.kill()
            killed_at = time.monotonic()
            while next_live(events)["stalled_reason"] != StalledReason.NO_WORKER:
                pass
            seconds = time.monotonic() - killed_at
        page = web.client.get(f"/imports/{job.pk}/").text
        response = web.client.get("/api/health/")

    assert seconds <= MAX_REPORT_SECONDS
    assert "No worker is running, so the import is waiting." in page
    assert (response.status_code, response.json()["workers"]) == (503, 0)


def next_live(events):
    return events.next().snapshot["live"]


# --- Redis -------------------------------------------------------------------


def test_a_web_process_without_redis_says_so(alice):
    with site(alice, REDIS_URL=NO_REDIS) as web:
        create_worker()
        _, job = web.upload(CONTENT)
        keep_alive = Worker.objects.filter(name="here:1")
        wait_for(
            lambda: (
                keep_alive.update(heartbeat_at=Now())
                and web.snapshot(job)["live"]["stalled_reason"] == "redis_unavailable"
            ),
            seconds=MAX_REPORT_SECONDS,
        )
        page = web.client.get(f"/imports/{job.pk}/").text

    assert "The queue (Redis) cannot be reached, so no worker receives the import." in page


def test_heartbeats_go_on_while_redis_does_not_answer(alice):
    """Every message waits for its time-out, in the thread of recovery."""
    with temporary_redis() as (server, environment):
        jobs = [check_job(make_job(CONTENT, owner=alice)) for _ in range(4)]
        with worker({"IMPORTS_RECOVERY_INTERVAL_SECONDS": "0.2"}, **environment) as process:
            wait_until_final(*jobs)
            os.kill(server.process.pid, signal.SIGSTOP)
            for _ in range(4):
                check_job(make_job(CONTENT, owner=alice))
            beats = Worker.objects.filter(pk=process.worker_id)
            gaps = []
            for _ in range(10):
                before = beats.get().heartbeat_at
                gaps.append(
                    wait_for(lambda before=before: beats.get().heartbeat_at > before, seconds=10)
                )
            os.kill(server.process.pid, signal.SIGCONT)

    assert max(gaps) < 2


# --- Health ------------------------------------------------------------------


def test_health_is_200_with_a_worker_and_503_without(alice):
    make_stalled(make_job(CONTENT, owner=alice))
    ImportJob.objects.update(phase_started_at=Now() - timedelta(seconds=40))
    without_worker = Client().get("/api/health/")
    create_worker()
    health.forget_cached_health()
    with_worker = Client().get("/api/health/")

    assert (without_worker.status_code, with_worker.status_code) == (503, 200)
    waiting = with_worker.json()["oldest_waiting_seconds"]
    assert 40 <= waiting < 60
    assert with_worker.json() == {
        "is_healthy": True,
        "database": True,
        "redis": True,
        "workers": 1,
        "oldest_waiting_seconds": waiting,
    }
    assert with_worker["Cache-Control"] == "no-store"


def test_health_asks_the_database_once_in_two_seconds(django_assert_num_queries):
    with django_assert_num_queries(2):
        for _ in range(20):
            Client().get("/api/health/")


def test_the_health_of_the_web_process_does_not_depend_on_workers():
    response = Client().get("/api/health/web/")

    assert (response.status_code, response.json()) == (200, {"database": True})


def test_health_without_redis_and_without_a_database(alice):
    with site(alice, REDIS_URL=NO_REDIS) as web:
        without_redis = web.client.get("/api/health/")
    assert (without_redis.status_code, without_redis.json()["redis"]) == (503, False)
    with running_daphne(DATABASE_URL=NO_DATABASE) as server:
        url = f"http://127.0.0.1:{server.port}/api/health"
        without_database = httpx.get(f"{url}/", timeout=MAX_WAIT_SECONDS, trust_env=False)
        web_health = httpx.get(f"{url}/web/", timeout=MAX_WAIT_SECONDS, trust_env=False)

    assert (without_database.status_code, web_health.status_code) == (503, 503)
    assert without_database.json()["database"] is False
    assert without_database.json()["workers"] is None


# --- The log of a worker -----------------------------------------------------


def test_a_missing_table_is_named_with_what_to_do(caplog):
    def read_missing_table():
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM imports_missing")

    with pytest.raises(ProgrammingError):
        read_missing_table()
    worker_process.run_safely(read_missing_table)

    assert "Run `python manage.py migrate`; the worker then continues." in caplog.text
    assert "Traceback" not in caplog.text


def test_a_failure_that_repeats_is_logged_once_and_its_end_too(caplog):
    caplog.set_level("INFO")
    results = iter([ValueError, ValueError, KeyError, None, None])

    def fail_sometimes():
        if error := next(results):
            raise error

    for _ in range(5):
        worker_process.run_safely(fail_sometimes)

    messages = [record.getMessage().splitlines()[0] for record in caplog.records]
    assert messages == [
        "fail_sometimes raised ValueError",
        "fail_sometimes raised KeyError",
        "fail_sometimes works again",
    ]
    assert "in fail_sometimes" in caplog.records[0].getMessage()  # The traceback.


def test_a_database_that_is_not_available_needs_no_traceback(caplog):
    def lose_connection():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    worker_process.run_safely(lose_connection)

    assert "lose_connection failed: OperationalError" in caplog.text
    assert "It is repeated." in caplog.text


def test_an_interruption_is_forgotten_after_a_minute(monkeypatch):
    job = make_job(CONTENT)
    worker_process.report_interruption(job.pk, "57014")
    recovery.beat()
    reported = Worker.objects.get().interruptions
    minute_later = time.monotonic() + worker_process.MAX_INTERRUPTION_AGE_SECONDS + 1
    monkeypatch.setattr(worker_process.time, "monotonic", lambda: minute_later)
    recovery.beat()

    assert reported == [{"job": str(job.pk), "sqlstate": "57014", "seconds": 0}]
    assert Worker.objects.get().interruptions == []
