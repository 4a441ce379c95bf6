"""The deletion of old data: what is due when, in which turns, and what a run deletes."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO

import dramatiq
import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import models
from django.db.models import ProtectedError
from django.db.models.functions import Now
from django.utils import timezone

from customers.models import Customer
from imports import actors, lifecycle, purge, recovery, retention
from imports.advisory_locks import PURGE, TRY_LOCK
from imports.broker import get_broker
from imports.models import (
    HookCall,
    IdempotencyKey,
    ImportAttempt,
    ImportBatch,
    ImportEvent,
    ImportJob,
    ImportRow,
    PurgeRun,
    StoredFile,
)
from imports.pipeline.transactions import TransientError
from imports.postgres import get_alias
from imports.statuses import Status
from imports.storage import DatabaseStorage
from tests.concurrency import call_then_close_connection, concurrent_transaction
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.processes import upload_in_process
from tests.test_retention import CONTENT, make_old, make_retry, use_folder
from tests.test_statuses import force_status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def queue():
    """The real queue, empty before and after."""
    for name in actors.QUEUES:
        get_broker().flush(name)
    yield get_broker()
    for name in actors.QUEUES:
        get_broker().flush(name)


def list_messages(queue):
    raw = queue.client.hgetall(f"{queue.namespace}:{actors.HOOK_QUEUE}.msgs").values()
    messages = [dramatiq.Message.decode(data) for data in raw]
    return [message.args for message in messages if message.actor_name == actors.PURGE_ACTOR]


def take_message(queue):
    """Return the arguments of the only message, and remove it."""
    (args,) = list_messages(queue)
    queue.flush(actors.HOOK_QUEUE)
    return args


def make_expired(rows=3, days=31):
    job = run_import(make_csv([make_row(n) for n in range(rows)]))
    return make_old(job, days)


def make_night(days=2):
    """Let the site be older than its last night, so that the daily run is due."""
    PurgeRun.objects.create(
        started_at=Now() - timedelta(days=days), finished_at=Now() - timedelta(days=days)
    )


# --- What a run deletes ------------------------------------------------------


@pytest.mark.parametrize(("days", "counts"), [(29, {}), (31, {"purged": 1, "rows": 3})])
def test_contents_are_kept_for_their_days(days, counts):
    make_expired(days=days)

    assert purge.count_due() == counts
    assert purge.run_to_end() == counts
    assert ImportJob.objects.count() == 1
    assert Customer.objects.count() == 3


def test_the_history_says_that_the_system_deleted_the_contents():
    job = make_expired()

    purge.run_to_end()

    assert list(job.events.values_list("command", "user", "via")) == [("delete", None, "system")]


def test_an_import_goes_with_all_that_belongs_to_it_after_its_history_days(alice):
    job = make_expired(days=401)
    IdempotencyKey.objects.create(owner=alice, key="k", request_digest="", job=job)
    other = run_import(make_csv([make_row(9)]))

    assert purge.count_due() == {"purged": 1, "rows": 3, "deleted": 1}
    assert purge.run_to_end() == {"purged": 1, "rows": 3, "deleted": 1}

    assert list(ImportJob.objects.all()) == [other]
    assert not IdempotencyKey.objects.exists()
    assert not ImportEvent.objects.exclude(job=other).exists()
    assert not ImportBatch.objects.exclude(job=other).exists()
    assert Customer.objects.count() == 4


def test_contents_are_never_kept_longer_than_the_history(settings):
    settings.IMPORTS_KEEP_HISTORY_DAYS = 10
    make_expired(days=11)

    assert purge.run_to_end() == {"purged": 1, "rows": 3, "deleted": 1}


@pytest.mark.parametrize("status", [status for status in Status if status != Status.UNDONE])
def test_only_imports_that_have_ended_expire(status):
    job = make_job(CONTENT)
    force_status(job, status)
    job.refresh_from_db()
    ImportJob.objects.filter(pk=job.pk).update(created_at=Now() - timedelta(days=1000))
    is_final = job.is_final
    if is_final:
        make_old(job, 31)

    purge.run_to_end()

    job.refresh_from_db()
    assert job.has_contents != is_final
    assert job.status == status
    assert StoredFile.objects.exists() != is_final


@pytest.mark.parametrize("status", [Status.MAPPING, Status.READY])
@pytest.mark.parametrize("days", [6, 8])
def test_an_import_that_waited_for_a_person_for_a_week_is_cancelled(status, days):
    job = make_job(CONTENT)
    force_status(job, status)
    job.refresh_from_db()
    make_old(job, days)
    is_cancelled = days > 7

    counts = purge.count_due()
    assert purge.run_to_end() == counts == ({"cancelled": 1} if is_cancelled else {})

    job.refresh_from_db()
    assert job.status == (Status.CANCELLED if is_cancelled else status)
    assert job.has_contents
    events = list(job.events.values_list("command", "user", "via"))
    assert events == ([("cancel", None, "system")] if is_cancelled else [])


def test_who_starts_a_waiting_import_first_wins():
    job = make_old(check_job(make_job(CONTENT, check_first=True)), 8)

    with concurrent_transaction() as other:
        other.execute("SELECT FROM imports_importjob WHERE id = %s FOR UPDATE", [job.pk])
        assert purge.run_to_end() == {}
        other.execute(
            "UPDATE imports_importjob SET status = 'RUNNING', phase_started_at = now() "
            "WHERE id = %s",
            [job.pk],
        )
        other.connection.commit()

    assert purge.run_to_end() == {}
    job.refresh_from_db()
    assert job.status == Status.RUNNING


def test_a_retry_that_is_created_at_the_last_moment_keeps_the_rows(monkeypatch):
    job, lock_import = make_expired(days=32), retention.lock_import
    other = make_expired()

    def retry_first(pk):
        if pk == job.pk:
            with ThreadPoolExecutor(1) as thread:
                thread.submit(call_then_close_connection, make_retry, job).result()
        return lock_import(pk)

    monkeypatch.setattr(retention, "lock_import", retry_first)

    # The run goes on with the next import.
    assert purge.run_to_end() == {"purged": 1, "rows": 3}

    job.refresh_from_db()
    other.refresh_from_db()
    assert (job.has_contents, other.has_contents) == (True, False)
    assert ImportJob.objects.count() == 3


def test_rows_are_deleted_in_small_steps(monkeypatch):
    monkeypatch.setattr(purge, "STEP_ROWS", 2)
    make_expired(rows=5)

    steps = [dict(counts) for counts in purge.iterate_steps(PurgeRun.objects.create().pk) if counts]

    assert steps == [{"purged": 1}, {"rows": 2}, {"rows": 2}, {"rows": 1}]
    run = PurgeRun.objects.get()
    assert (run.purged, run.rows, run.cancelled, run.deleted) == (1, 5, 0, 0)
    assert run.finished_at is not None


def test_rows_wait_for_a_hook_that_reads_them():
    job = run_import(CONTENT)
    call = HookCall.objects.create(job=job, hook="after_batch", batch_number=1)
    lifecycle.delete_contents(job)

    assert purge.run_to_end() == {}
    assert not purge.is_due()
    assert ImportRow.objects.count() == 3

    HookCall.objects.filter(pk=call.pk).update(created_at=Now() - timedelta(days=2))
    assert purge.is_due()
    assert purge.run_to_end() == {"rows": 3}
    assert not HookCall.objects.filter(hook="after_batch").exists()


def test_a_hook_that_reads_no_rows_is_still_called_after_the_deletion():
    job = check_job(make_job(CONTENT, check_first=True))
    lifecycle.delete_contents(job)
    due = list(HookCall.objects.values_list("hook", flat=True))

    assert purge.run_to_end() == {"rows": 3}

    assert list(HookCall.objects.values_list("hook", flat=True)) == due
    assert "after_import" in due


def test_an_import_that_the_project_protects_does_not_stop_the_run(monkeypatch, caplog):
    protected, other = make_expired(days=402), make_expired(days=401)
    delete = models.Model.delete

    def refuse(record, *args, **kwargs):
        if record.pk == protected.pk:
            raise ProtectedError("Ama Mensah", {record})
        return delete(record, *args, **kwargs)

    monkeypatch.setattr(ImportJob, "delete", refuse)

    assert purge.run_to_end() == {"purged": 2, "rows": 6, "deleted": 1}
    assert purge.run_to_end() == {}

    assert [job.pk for job in ImportJob.objects.all()] == [protected.pk]
    assert not ImportJob.objects.filter(pk=other.pk).exists()
    assert caplog.text.count("ProtectedError\n") == 1


# --- Orphans -----------------------------------------------------------------


def test_rows_and_attempts_without_an_import_are_deleted():
    job, kept = run_import(CONTENT), run_import(make_csv([make_row(9)]))
    ImportAttempt.objects.create(batch_id=10**9, session="", started_at=timezone.now())
    ImportBatch.objects.filter(job=job).delete()
    ImportEvent.objects.all().delete()
    HookCall.objects.all().delete()
    ImportJob.objects.filter(pk=job.pk)._raw_delete(get_alias())

    assert purge.count_due() == {"rows": 3}
    assert purge.run_to_end() == {"rows": 3}

    assert set(ImportRow.objects.values_list("job", flat=True)) == {kept.pk}
    assert not ImportAttempt.objects.exists()
    assert ImportBatch.objects.exists()


def test_stored_files_without_an_import_are_deleted_when_they_are_a_day_old():
    used = make_job(CONTENT)
    for name in ("old", "new"):
        DatabaseStorage().save(name, ContentFile(b"bytes"))
    old = StoredFile.objects.filter(name__in=["old", used.file.name])
    old.update(created_at=Now() - timedelta(days=2))

    assert purge.count_due() == {"files": 1}
    assert purge.run_to_end() == {"files": 1}

    assert set(StoredFile.objects.values_list("name", flat=True)) == {used.file.name, "new"}


@pytest.mark.parametrize("hours", [23, 25])
def test_uploaded_files_outside_the_database_without_an_import_are_deleted(
    alice, settings, monkeypatch, tmp_path, hours
):
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    options = {"OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = settings.STORAGES | {"uploads": backend | options}
    settings.IMPORTS_STORAGE = "uploads"
    assert purge.run_to_end() == {}  # There is no folder yet.
    use_folder(monkeypatch, tmp_path)
    job = upload_in_process(alice, CONTENT)
    left, other = tmp_path / "imports" / "left", tmp_path / "of-another-app"
    moment = time.time() - hours * 3600
    for path in (left, other):
        path.write_text("bytes")
    for path in (left, other, tmp_path / job.file.name):
        os.utime(path, (moment, moment))

    counts = purge.count_due()
    assert purge.run_to_end() == counts == ({"files": 1} if hours > 24 else {})

    assert left.exists() == (hours < 24)
    assert other.exists()
    assert (tmp_path / job.file.name).exists()


def test_a_storage_that_fails_does_not_stop_the_run(settings, monkeypatch, caplog):
    backend = {"BACKEND": "django.core.files.storage.Storage"}  # It has no listdir.
    settings.STORAGES = settings.STORAGES | {"uploads": backend}
    settings.IMPORTS_STORAGE = "uploads"
    make_expired()

    assert purge.run_to_end() == {"purged": 1, "rows": 3}
    assert "NotImplementedError" in caplog.text


def test_expired_idempotency_keys_are_deleted(alice):
    for name, hours in (("old", 25), ("new", 23)):
        key = IdempotencyKey.objects.create(owner=alice, key=name, request_digest="")
        IdempotencyKey.objects.filter(pk=key.pk).update(created_at=Now() - timedelta(hours=hours))

    assert purge.count_due() == {"keys": 1}
    assert purge.run_to_end() == {"keys": 1}
    assert IdempotencyKey.objects.get().key == "new"


def test_runs_are_deleted_after_the_history_days():
    make_night(days=401)
    make_night(days=3)

    purge.run_to_end()

    assert PurgeRun.objects.count() == 2


# --- Scheduling --------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-28T01:59Z", "2026-11-27T02:00Z"),
        ("2026-11-28T02:00Z", "2026-11-28T02:00Z"),
        ("2026-07-28T00:59Z", "2026-07-27T01:00Z"),
        ("2026-07-28T01:00Z", "2026-07-28T01:00Z"),
        ("2026-03-29T12:00Z", "2026-03-29T01:00Z"),  # Clocks went forward at 01:00Z.
        ("2026-10-25T12:00Z", "2026-10-25T02:00Z"),  # Clocks went back at 01:00Z.
    ],
)
def test_the_daily_run_begins_at_an_hour_of_the_time_zone(settings, now, last):
    settings.TIME_ZONE = "Europe/Berlin"
    settings.IMPORTS_PURGE_HOUR = 3

    assert purge.get_last_purge_time(datetime.fromisoformat(now)).astimezone(
        UTC
    ) == datetime.fromisoformat(last)


def test_a_run_is_due_once_a_day():
    assert not purge.is_due()  # A new site has nothing to delete.
    make_night()
    assert purge.is_due()

    purge.run_to_end()

    assert not purge.is_due()


def test_a_site_whose_imports_are_older_than_its_last_night_has_a_run():
    ImportJob.objects.filter(pk=make_job(CONTENT).pk).update(created_at=Now() - timedelta(days=2))

    assert purge.is_due()


def test_recovery_begins_one_run_and_sends_one_message(queue):
    make_night()

    for _ in range(3):
        recovery.recover()

    run = PurgeRun.objects.get(finished_at=None)
    assert list_messages(queue) == [(run.pk, 0)]


def test_recovery_sends_the_message_again_when_it_counts_as_lost(queue):
    make_night()
    recovery.recover()
    take_message(queue)

    PurgeRun.objects.filter(finished_at=None).update(enqueued_at=Now() - timedelta(minutes=1))
    recovery.recover()

    assert len(list_messages(queue)) == 1


def test_a_deletion_on_demand_sends_a_message_at_once(queue):
    lifecycle.delete_contents(run_import(CONTENT))

    actors.delete_old_data(*take_message(queue))

    assert not ImportRow.objects.exists()
    assert PurgeRun.objects.get().finished_at is not None
    assert list_messages(queue) == []


def test_a_worker_turns_to_imports_between_turns(queue, settings, monkeypatch):
    settings.IMPORTS_TURN_SECONDS = 0
    monkeypatch.setattr(purge, "STEP_ROWS", 1)
    lifecycle.delete_contents(run_import(CONTENT))

    rows = []
    while list_messages(queue):
        actors.delete_old_data(*take_message(queue))
        rows.append(ImportRow.objects.count())

    assert rows == [2, 1, 0, 0, 0]  # Three rows, the batches, and the end of the run.
    assert PurgeRun.objects.get().turns == 5


def test_a_duplicate_message_does_nothing(queue, settings, monkeypatch):
    settings.IMPORTS_TURN_SECONDS = 0
    monkeypatch.setattr(purge, "STEP_ROWS", 1)
    lifecycle.delete_contents(run_import(CONTENT))
    message = take_message(queue)

    actors.delete_old_data(*message)
    actors.delete_old_data(*message)

    assert ImportRow.objects.count() == 2
    assert len(list_messages(queue)) == 1


def test_one_process_works_at_a_time(queue):
    lifecycle.delete_contents(run_import(CONTENT))
    message = take_message(queue)

    with concurrent_transaction() as other:
        other.execute(TRY_LOCK, [PURGE, ""])
        actors.delete_old_data(*message)
        assert ImportRow.objects.count() == 3
        assert purge.claim_message() is None

    assert list_messages(queue) == []


def test_a_database_error_is_logged_and_the_run_goes_on_later(queue, monkeypatch, caplog):
    lifecycle.delete_contents(run_import(CONTENT))
    message = take_message(queue)

    def fail(*args, **kwargs):
        raise TransientError("57014")

    with monkeypatch.context() as broken:
        broken.setattr(purge, "run_turn", fail)
        actors.delete_old_data(*message)
    assert "57014" in caplog.text

    PurgeRun.objects.update(enqueued_at=Now() - timedelta(minutes=1))
    recovery.recover()
    actors.delete_old_data(*take_message(queue))
    assert not ImportRow.objects.exists()


# --- The command -------------------------------------------------------------


def run_command(*args):
    output = StringIO()
    call_command("purge_imports", *args, stdout=output)
    return output.getvalue().splitlines()


def make_all_kinds(alice):
    make_expired(days=401)
    make_expired(days=31)
    make_old(check_job(make_job(CONTENT, check_first=True)), 8)
    make_old(check_job(make_job(CONTENT, check_first=True, is_preview=True)), 2)
    DatabaseStorage().save("old", ContentFile(b"bytes"))
    StoredFile.objects.filter(name="old").update(created_at=Now() - timedelta(days=2))
    key = IdempotencyKey.objects.create(owner=alice, key="k", request_digest="")
    IdempotencyKey.objects.filter(pk=key.pk).update(created_at=Now() - timedelta(days=2))


def test_the_command_deletes_what_is_due_and_says_so(alice):
    make_all_kinds(alice)

    lines = run_command()

    assert lines == [
        "Cancelled 2 imports that have waited for a person for too long.",
        "Deleted the contents of 3 imports.",
        "Deleted 9 rows of imports.",
        "Deleted 2 imports with their history.",
        "Deleted 1 stored file without an import.",
        "Deleted 1 expired idempotency key.",
    ]
    assert run_command() == ["There is nothing to delete."]


def test_the_dry_run_names_the_same_and_changes_nothing(alice):
    make_all_kinds(alice)
    before = [list(model.objects.order_by("pk").values()) for model in (ImportJob, ImportRow)]

    lines = run_command("--dry-run")

    assert lines == [
        "2 imports that have waited for a person for too long would be cancelled.",
        "The contents of 3 imports would be deleted.",
        "9 rows of imports would be deleted.",
        "2 imports with their history would be deleted.",
        "1 stored file without an import would be deleted.",
        "1 expired idempotency key would be deleted.",
    ]
    after = [list(model.objects.order_by("pk").values()) for model in (ImportJob, ImportRow)]
    assert after == before
    assert not PurgeRun.objects.exists()
    assert StoredFile.objects.filter(name="old").exists()


def test_the_dry_run_has_nothing_to_say_about_a_clean_site():
    assert run_command("--dry-run") == ["There is nothing to delete."]


def test_the_command_finishes_the_run_of_a_worker(queue):
    make_night()
    recovery.recover()
    make_expired()

    run_command()

    assert not PurgeRun.objects.filter(finished_at=None).exists()
    assert PurgeRun.objects.count() == 2
