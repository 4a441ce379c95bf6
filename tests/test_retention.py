"""Deleting the contents of an import: on demand, by whom, what stays, and who wins a race."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import openpyxl
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.formats import date_format
from redis import Redis

from customers.models import Customer
from imports import lifecycle, progress, purge, retention
from imports.conf import app_settings
from imports.history import Actor, Via
from imports.models import (
    IdempotencyKey,
    ImportAttempt,
    ImportBatch,
    ImportEvent,
    ImportJob,
    ImportRow,
    SavedMapping,
    StoredChunk,
    StoredFile,
    TransitionNotAllowed,
)
from imports.pipeline import file_checker
from imports.postgres import atomic, get_alias
from imports.snapshots import ALL_OWNERS, read_feed
from imports.statuses import Status
from tests.concurrency import call_then_close_connection, concurrent_transaction, wait_until_blocked
from tests.conftest import create_user, logged_in_client
from tests.factories import HEADERS, check_job, get_counts, make_csv, make_job, make_row, run_import
from tests.spreadsheets import save_workbook
from tests.test_legacy_api import create_async, get_error, upload
from tests.test_statuses import force_status

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = [make_row(1), make_row(2), make_row(3, phone="12")]
CONTENT = make_csv(ROWS)


@pytest.fixture
def job(alice):
    """A complete import with two created customers and a failed row."""
    return run_import(CONTENT, owner=alice)


def make_retry(job, **fields):
    """Return an import of the same stored file, as a retry of failed rows creates it."""
    names = ("owner", "importer", "file", "file_name", "file_size", "file_digest")
    copied = {name: getattr(job, name) for name in names}
    return ImportJob.objects.create(retry_of=job, **copied, **fields)


def make_old(job, days, **fields):
    """Let the import have ended, or waited, for this many days."""
    moment = Now() - timedelta(days=days)
    name = "finished_at" if job.is_final else "phase_started_at"
    ImportJob.objects.filter(pk=job.pk).update(**{name: moment}, **fields)
    job.refresh_from_db()
    return job


def use_folder(monkeypatch, folder):
    """Store files in a folder, which no transaction covers."""
    storage = FileSystemStorage(folder)
    monkeypatch.setattr(ImportJob._meta.get_field("file"), "storage", storage)
    return storage


def list_customers():
    return sorted(Customer.objects.values_list("shipping_mark", flat=True))


def list_events(job):
    return list(job.events.values_list("command", "user__username", "via"))


# --- What is deleted, and what stays -----------------------------------------


def test_the_file_goes_at_once_and_the_rows_go_with_the_next_purge(job, alice):
    counts = get_counts(job)

    deleted = lifecycle.delete_contents(job, by=Actor(alice, Via.PAGE))

    assert deleted.contents_deleted_at is not None
    assert deleted.needs_purge
    assert not deleted.file
    assert not StoredFile.objects.exists()
    assert not StoredChunk.objects.exists()
    assert purge.run_to_end() == {"rows": 3}
    job.refresh_from_db()
    assert not job.needs_purge
    assert not ImportRow.objects.exists()
    assert not ImportBatch.objects.exists()
    assert not ImportAttempt.objects.exists()
    assert get_counts(job) == counts
    assert job.status == Status.COMPLETE
    assert list_customers() == ["MARK 1", "MARK 2"]
    assert list_events(job) == [("delete", "alice", "page")]


def test_no_value_of_a_cell_and_no_name_of_a_sheet_stays(alice):
    book = openpyxl.Workbook()
    book.active.title = "Ama Mensah"
    for row in [HEADERS, *ROWS]:
        book.active.append(row)
    content = save_workbook(book)
    job = run_import(content, owner=alice, read_options={"sheet": "Ama Mensah"})
    ImportJob.objects.filter(pk=job.pk).update(
        field_values={"created_by": "Ama Mensah"}, error_params={"sheets": ["Ama Mensah"]}
    )

    lifecycle.delete_contents(job)
    purge.run_to_end()

    (stored,) = ImportJob.objects.filter(pk=job.pk).values()
    assert "Mensah" not in str(stored)
    assert "+2332" not in str(stored)
    assert stored["detected_columns"]["headers"] == HEADERS
    assert len(stored["detected_columns"]["samples"]) == len(HEADERS)
    assert stored["detected_format"]["format"] == "xlsx"


@pytest.mark.parametrize("status", ["QUEUED", "CHECKING", "MAPPING", "READY", "RUNNING", "PAUSED"])
def test_an_import_that_has_not_ended_is_cancelled_first(alice, status):
    job = make_job(CONTENT, owner=alice)
    force_status(job, status)

    job = lifecycle.delete_contents(job, by=Actor(alice, Via.REST))

    assert job.status == Status.CANCELLED
    assert list_events(job) == [("cancel", "alice", "rest"), ("delete", "alice", "rest")]
    assert not StoredFile.objects.exists()


def test_an_import_that_is_being_undone_keeps_its_contents(job):
    force_status(job, Status.UNDOING, finished_at=None)

    with pytest.raises(TransitionNotAllowed, match="undone"):
        lifecycle.delete_contents(job)

    job.refresh_from_db()
    assert job.has_contents
    assert StoredFile.objects.exists()


def test_a_second_call_changes_nothing(job):
    first = lifecycle.delete_contents(job)

    second = lifecycle.delete_contents(job)

    assert second.contents_deleted_at == first.contents_deleted_at
    assert second.version == first.version
    assert job.events.count() == 1


@pytest.mark.parametrize("target", Status)
def test_an_import_without_contents_never_changes_its_status(job, target):
    lifecycle.delete_contents(job)

    with pytest.raises(TransitionNotAllowed) as error:
        ImportJob.objects.transition(job.pk, target, error_code="undo_failed")

    assert error.value.code == "contents_deleted"


def test_the_database_allows_no_unfinished_import_without_contents(alice):
    job = make_job(CONTENT, owner=alice)

    with pytest.raises(IntegrityError, match="import_deleted_contents_are_final"):
        ImportJob.objects.filter(pk=job.pk).update(contents_deleted_at=Now())


def test_options_of_a_failed_import_cannot_be_changed_without_its_file(alice):
    job = check_job(make_job(make_csv([]), owner=alice))
    assert lifecycle.can_change(job)

    job = lifecycle.delete_contents(job)

    assert not lifecycle.can_change(job)
    with pytest.raises(TransitionNotAllowed):
        lifecycle.check_again(job, {"on_duplicate": "update"})


# --- A file that several imports share ---------------------------------------


def test_a_file_stays_while_a_retry_has_contents(job):
    retry = make_retry(job)
    force_status(retry, Status.COMPLETE)

    lifecycle.delete_contents(job)
    assert StoredFile.objects.count() == 1

    lifecycle.delete_contents(retry)
    assert not StoredFile.objects.exists()
    assert set(ImportJob.objects.values_list("file", flat=True)) == {""}


def test_the_contents_stay_while_a_retry_reads_them(job):
    make_retry(job)

    with pytest.raises(TransitionNotAllowed, match="retry"):
        lifecycle.delete_contents(job)

    assert purge.count_due() == {}
    make_old(job, 31)
    assert purge.run_to_end() == {}
    job.refresh_from_db()
    assert job.has_contents


def test_of_two_deletions_at_the_same_time_the_second_deletes_the_file(job):
    retry = make_retry(job)
    force_status(retry, Status.COMPLETE)

    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(call_then_close_connection, lifecycle.delete_contents, each.pk)
            for each in (job, retry)
        ]
    assert all(call.result().contents_deleted_at for call in calls)
    assert not StoredFile.objects.exists()
    assert set(ImportJob.objects.values_list("file", flat=True)) == {""}


def test_a_deletion_waits_for_another_deletion_of_the_same_file(job):
    retry = make_retry(job)
    force_status(retry, Status.COMPLETE)

    with concurrent_transaction() as other, ThreadPoolExecutor(1) as thread:
        first = min(job.pk, retry.pk)
        other.execute("SELECT FROM imports_importjob WHERE id = %s FOR UPDATE", [first])
        call = thread.submit(
            call_then_close_connection, lifecycle.delete_contents, max(job.pk, retry.pk)
        )
        wait_until_blocked()
        other.execute(
            "UPDATE imports_importjob SET contents_deleted_at = now(), file = '' WHERE id = %s",
            [first],
        )
        other.connection.commit()
        call.result(timeout=10)

    assert not StoredFile.objects.exists()


# --- Races -------------------------------------------------------------------


def test_an_undo_that_began_first_wins(job):
    make_old(job, 31)

    with concurrent_transaction() as other:
        other.execute(
            "UPDATE imports_importjob SET status = 'UNDOING', finished_at = NULL WHERE id = %s",
            [job.pk],
        )
        assert purge.run_to_end() == {}
        other.connection.commit()

    job.refresh_from_db()
    assert (job.status, job.has_contents) == (Status.UNDOING, True)


def test_an_undo_waits_for_a_deletion_that_began_first_and_is_refused(job):
    with ThreadPoolExecutor(1) as thread, concurrent_transaction() as other:
        other.execute(
            "UPDATE imports_importjob SET contents_deleted_at = now() WHERE id = %s", [job.pk]
        )
        undo = thread.submit(
            call_then_close_connection, ImportJob.objects.transition, job.pk, Status.UNDOING
        )
        wait_until_blocked()
        other.connection.commit()
        with pytest.raises(TransitionNotAllowed):
            undo.result(timeout=10)

    job.refresh_from_db()
    assert job.status == Status.COMPLETE


def test_a_worker_that_checks_the_file_meanwhile_leaves_no_rows(alice):
    job = make_job(CONTENT, owner=alice)

    def delete(checking):
        lifecycle.delete_contents(job)

    assert file_checker.check_file(job.pk, on_progress=delete) is None
    assert not ImportRow.objects.exists()
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


# --- A storage outside the database ------------------------------------------


def test_a_file_outside_the_database_is_deleted_after_the_commit(alice, monkeypatch, tmp_path):
    use_folder(monkeypatch, tmp_path)
    job = run_import(CONTENT, owner=alice)
    assert len(list(tmp_path.iterdir())) == 1

    lifecycle.delete_contents(job)

    assert not list(tmp_path.iterdir())
    assert not ImportJob.objects.get(pk=job.pk).file


def test_a_file_outside_the_database_stays_if_the_deletion_is_rolled_back(
    alice, monkeypatch, tmp_path
):
    use_folder(monkeypatch, tmp_path)
    job = run_import(CONTENT, owner=alice)

    with atomic():
        lifecycle.delete_contents(job)
        transaction.set_rollback(True, using=get_alias())

    assert len(list(tmp_path.iterdir())) == 1
    assert ImportJob.objects.get(pk=job.pk).has_contents


def test_a_deletion_that_fails_is_repeated_by_the_next_purge(alice, monkeypatch, tmp_path, caplog):
    storage = use_folder(monkeypatch, tmp_path)
    job = run_import(CONTENT, owner=alice)

    def fail(name):
        raise OSError(" ".join(ROWS[0]))

    with monkeypatch.context() as broken:
        broken.setattr(storage, "delete", fail)
        lifecycle.delete_contents(job)
        purge.run_to_end()
        make_old(job, 500)
        assert purge.run_to_end() == {}
    assert len(list(tmp_path.iterdir())) == 1
    assert ImportJob.objects.get(pk=job.pk).file
    assert "OSError" in caplog.text
    assert "Mensah" not in caplog.text

    purge.run_to_end()
    assert not list(tmp_path.iterdir())
    assert purge.run_to_end() == {"deleted": 1}


# --- Deletion by Django ------------------------------------------------------


def test_deleting_an_import_leaves_no_rows_and_no_file(job):
    other = run_import(make_csv([make_row(7)]))

    job.delete()

    assert set(ImportRow.objects.values_list("job", flat=True)) == {other.pk}
    assert list(StoredFile.objects.values_list("name", flat=True)) == [other.file.name]
    assert list_customers() == ["MARK 1", "MARK 2", "MARK 7"]


def test_deleting_many_imports_leaves_no_rows_and_no_files(job):
    force_status(make_retry(job), Status.COMPLETE)
    run_import(make_csv([make_row(7)]))

    ImportJob.objects.all().delete()

    for model in (ImportRow, ImportBatch, ImportAttempt, ImportEvent, StoredFile, StoredChunk):
        assert not model.objects.exists()
    assert Customer.objects.count() == 3


def test_deleting_an_import_keeps_the_file_of_its_retry(job):
    force_status(make_retry(job), Status.COMPLETE)

    job.delete()

    assert StoredFile.objects.count() == 1


def test_deleting_an_import_deletes_a_file_outside_the_database(alice, monkeypatch, tmp_path):
    use_folder(monkeypatch, tmp_path)

    run_import(CONTENT, owner=alice).delete()

    assert not list(tmp_path.iterdir())


def test_deleting_a_user_in_the_admin_keeps_imports_and_customers(job, alice, root):
    IdempotencyKey.objects.create(owner=alice, key="k", request_digest="")
    SavedMapping.objects.create(
        owner=alice, importer="customers", headers_digest="", positions={"phone": 1}
    )

    response = logged_in_client(root).post(
        f"/admin/auth/user/{alice.pk}/delete/", {"post": "yes"}, follow=True
    )

    assert response.status_code == 200
    job.refresh_from_db()
    assert job.owner is None
    assert not IdempotencyKey.objects.exists()
    assert not SavedMapping.objects.exists()
    assert ImportRow.objects.count() == 3
    assert list_customers() == ["MARK 1", "MARK 2"]
    purge.run_to_end()
    make_old(job, 31)
    assert purge.run_to_end() == {"purged": 1, "rows": 3}
    assert not StoredFile.objects.exists()


# --- REST --------------------------------------------------------------------

PATHS = [
    "file/",
    "rows/",
    "problems/",
    "preview/",
    "undo-preview/",
    "failed-rows.xlsx",
    "failed-rows.csv",
    "kept-rows.xlsx",
    "kept-rows.csv",
]


def test_rest_deletes_the_contents_and_answers_410_afterwards(job, alice):
    client = logged_in_client(alice)
    address = f"/api/imports/{job.pk}/"
    before = client.get(address).json()
    assert before["contents_deleted_at"] is None
    assert before["contents_kept_until"] > before["finished_at"]

    response = client.delete(address)

    assert response.status_code == 202
    assert response["Location"] == address
    assert response.json()["contents_kept_until"] is None
    assert response.json()["contents_deleted_at"] is not None
    assert list_events(job) == [("delete", "alice", "rest")]
    for path in PATHS:
        error = client.get(f"{address}{path}")
        assert (path, error.status_code) == (path, 410)
        assert error.json()["code"] == "contents_deleted"
        assert "were deleted on" in error.json()["message"]
    assert client.delete(address).json()["version"] == response.json()["version"]
    (listed,) = client.get("/api/imports/").json()["results"]
    assert (listed["created"], listed["failed"]) == (2, 1)


def test_rest_refuses_with_a_sentence_while_the_import_is_undone(job, alice):
    force_status(job, Status.UNDOING, finished_at=None)

    response = logged_in_client(alice).delete(f"/api/imports/{job.pk}/")

    assert response.status_code == 409
    assert "being undone" in response.json()["message"]


def test_rest_refuses_with_a_sentence_while_a_retry_reads_the_rows(job, alice):
    make_retry(job)

    response = logged_in_client(alice).delete(f"/api/imports/{job.pk}/")

    assert response.status_code == 409
    assert response.json()["code"] == "retry_not_ended"
    assert "Cancel the retry first." in response.json()["message"]


@pytest.mark.parametrize(
    ("permissions", "status"),
    [([], 404), (["add_importjob"], 404), (["view_all"], 403), (["control_all"], 202)],
)
def test_only_those_who_control_an_import_delete_its_contents(job, permissions, status):
    client = logged_in_client(create_user("mallory", *permissions))

    assert client.delete(f"/api/imports/{job.pk}/").status_code == status
    assert ImportJob.objects.get(pk=job.pk).has_contents == (status != 202)


# --- Pages and admin ---------------------------------------------------------


def test_the_page_says_until_when_the_contents_are_kept(job, alice):
    page = logged_in_client(alice).get(f"/imports/{job.pk}/").content.decode()

    until = retention.get_contents_deadline(job)
    assert f"are kept until {date_format(until)}. Until then the import can be undone." in page
    assert f"/imports/{job.pk}/delete/" in page
    assert "Imported records, the counts and the history are kept." in page


@pytest.mark.parametrize("is_purged", [False, True])
def test_the_admin_says_that_rows_and_batches_were_deleted(is_purged, job, root):
    client = logged_in_client(root)
    address = f"/admin/imports/importjob/{job.pk}"
    lifecycle.delete_contents(job)
    if is_purged:
        purge.run_to_end()

    response = client.get(f"{address}/rows/", follow=True)

    assert response.redirect_chain == [(f"{address}/change/", 302)]
    page = response.content.decode()
    assert "The file and the rows of this import were deleted." in page
    assert 'class="value"' not in page  # The example of a problem.
    assert "The rows were deleted. Only their counts are kept." in page
    assert "The batches were deleted with the rows. Only the counts are kept." in page
    assert "No rows failed" not in page
    assert "There were no rows" not in page


def test_the_page_deletes_the_contents_and_says_so(job, alice):
    client = logged_in_client(alice)

    page = client.post(f"/imports/{job.pk}/delete/", follow=True).content.decode()

    job.refresh_from_db()
    assert f"were deleted on {date_format(job.contents_deleted_at)}." in page
    for gone in ("/file/", "/rows/", "failed-rows", "/delete/", "View imported records"):
        assert gone not in page
    assert list_events(job) == [("delete", "alice", "page")]
    for path in ("file/", "rows/", "failed-rows.xlsx", "failed-rows.csv", "kept-rows.csv"):
        shown = client.get(f"/imports/{job.pk}/{path}", follow=True)
        assert "The file and the rows of this import were deleted." in shown.content.decode()
    assert "customers.csv" in client.get("/").content.decode()


def test_who_only_views_imports_is_offered_no_deletion(job, eve):
    client = logged_in_client(eve)

    assert "/delete/" not in client.get(f"/imports/{job.pk}/").content.decode()
    assert client.post(f"/imports/{job.pk}/delete/").status_code == 404
    job.refresh_from_db()
    assert job.has_contents


def test_the_admin_deletes_the_contents_of_selected_imports(job, root):
    client = logged_in_client(root)
    data = {"action": "delete", "_selected_action": [str(job.pk)]}

    client.post("/admin/imports/importjob/", data)

    job.refresh_from_db()
    assert not job.has_contents
    assert list_events(job) == [("delete", "root", "admin")]
    page = client.get(f"/admin/imports/importjob/{job.pk}/change/").content.decode()
    assert "The file and the rows were deleted on" in page


def test_the_admin_page_offers_the_deletion(job, root):
    client = logged_in_client(root)
    page = client.get(f"/admin/imports/importjob/{job.pk}/change/").content.decode()
    assert f"/admin/imports/importjob/{job.pk}/commands/delete/" in page

    client.post(f"/admin/imports/importjob/{job.pk}/commands/delete/")

    job.refresh_from_db()
    assert not job.has_contents


# --- Previews ----------------------------------------------------------------


def upload_preview(client, content=CONTENT):
    return upload(client, content).json()["upload_id"]


def test_a_preview_is_in_no_list_and_is_found_by_its_address(alice, root):
    client = logged_in_client(alice)
    pk = upload_preview(client)

    assert client.get("/api/imports/").json()["results"] == []
    assert str(pk) not in client.get("/").content.decode()
    assert str(pk) not in logged_in_client(root).get("/admin/imports/importjob/").content.decode()
    assert read_feed([ALL_OWNERS]) == []
    assert client.get(f"/api/imports/{pk}/").json()["status"] == "READY"
    data = {"file": ContentFile(CONTENT, "again.csv"), "importer": "customers"}
    again = client.post("/api/imports/", data)
    assert again.json()["same_file_as"] is None


def test_a_preview_is_not_published_to_feeds(alice):
    preview = make_job(CONTENT, owner=alice, is_preview=True)
    job = make_job(CONTENT, owner=alice)
    with Redis.from_url(app_settings.REDIS_URL) as client, client.pubsub() as subscription:
        subscription.psubscribe("imports:*")
        subscription.get_message(timeout=5)

        progress.publish(preview)
        progress.publish(job)

        assert subscription.get_message(timeout=5)["channel"].decode().endswith(str(job.pk))


def test_a_preview_that_is_started_becomes_an_import_like_any_other(alice):
    client = logged_in_client(alice)
    pk = upload_preview(client)

    assert create_async(client, {"upload_id": pk}).status_code == 202

    assert not ImportJob.objects.get(pk=pk).is_preview
    assert [each["id"] for each in client.get("/api/imports/").json()["results"]] == [pk]
    make_old(ImportJob.objects.get(pk=pk), 2)
    assert purge.run_to_end() == {}


def test_a_preview_whose_start_is_refused_stays_a_preview(alice):
    pk = upload_preview(logged_in_client(alice))
    lifecycle.cancel(ImportJob.objects.get(pk=pk))

    with pytest.raises(TransitionNotAllowed):
        lifecycle.start(ImportJob.objects.get(pk=pk))

    assert ImportJob.objects.get(pk=pk).is_preview


def test_a_preview_is_deleted_altogether_after_its_days(alice):
    client = logged_in_client(alice)
    job = ImportJob.objects.get(pk=upload_preview(client))
    assert purge.run_to_end() == {}

    make_old(job, 2)

    assert purge.run_to_end() == {"cancelled": 1, "purged": 1, "rows": 3, "deleted": 1}
    assert not ImportJob.objects.exists()
    assert not StoredFile.objects.exists()
    assert get_error(create_async(client, {"upload_id": str(job.pk)})) == (404, "not_found")
