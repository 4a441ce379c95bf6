"""Quotas of a user are exact for simultaneous uploads, and a refusal says what to do."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db.models import F

from imports import lifecycle
from imports.advisory_locks import USER_QUOTA
from imports.history import Actor, Via
from imports.lifecycle import QuotaExceeded
from imports.models import ImportJob, StoredFile
from imports.statuses import Status
from tests.concurrency import call_then_close_connection, concurrent_transaction, wait_until_blocked
from tests.conftest import logged_in_client
from tests.factories import check_job, make_csv, make_row, run_import
from tests.test_api_views import upload_file

pytestmark = pytest.mark.django_db

CONTENT = make_csv([make_row(1)])
MARK_OLDER = {"created_at": F("created_at") - timedelta(seconds=61)}


def upload(user, content=CONTENT, via=Via.REST, **options):
    file = ContentFile(content, "c.csv")
    return lifecycle.upload(user, file, importer="customers", by=Actor(user, via), **options)


def get_error(response, status):
    assert response.status_code == status
    body = response.json()
    return body["code"], body["params"], body["message"]


# --- Imports that have not ended ---------------------------------------------


def test_refusal_names_the_imports_to_cancel(alice, bob, settings):
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = 2
    client = logged_in_client(alice)
    first = upload_file(client, name="first.csv").json()
    second = upload_file(client, name="second.csv").json()

    response = upload_file(client, name="third.csv")

    code, params, message = get_error(response, 409)
    assert code == "too_many_imports"
    assert (params["limit"], params["count"]) == (2, 2)
    assert [each["id"] for each in params["imports"]] == [first["id"], second["id"]]
    assert [each["url"] for each in params["imports"]] == [
        each["urls"]["self"] for each in (first, second)
    ]
    assert message == (
        "You have 2 imports that have not ended, and the limit is 2. Start, cancel or delete one "
        "of these, then upload the file again: first.csv, second.csv."
    )
    assert upload_file(logged_in_client(bob)).status_code == 202
    assert client.post(f"{params['imports'][0]['url']}cancel/").status_code == 202
    assert upload_file(client, name="third.csv").status_code == 202


def test_upload_that_is_repeated_with_its_key_needs_no_quota(alice, settings):
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = 1
    client = logged_in_client(alice)
    first = upload_file(client, key="k").json()

    assert upload_file(client, key="k").json()["id"] == first["id"]
    assert upload_file(client, key="other").status_code == 409
    assert upload_file(client, key="other").json()["code"] == "too_many_imports"


def test_retry_counts_as_an_import_that_has_not_ended(alice, settings):
    job = run_import(make_csv([make_row(1, phone="12")]), owner=alice)
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = 1
    client = logged_in_client(alice)
    waiting = upload(alice)

    refused = client.post(f"/api/imports/{job.pk}/retry/")

    assert get_error(refused, 409)[0] == "too_many_imports"
    page = client.post(f"/imports/{job.pk}/retry/", follow=True).content.decode()
    assert f'<a href="/imports/{waiting.pk}/"><bdi>c.csv</bdi></a>' in page
    assert not job.retries.exists()
    lifecycle.cancel(waiting)
    assert client.post(f"/api/imports/{job.pk}/retry/").status_code == 202


# --- Stored bytes ------------------------------------------------------------


def test_refusal_names_the_largest_files_that_can_be_deleted(alice, settings):
    small = run_import(CONTENT, owner=alice)
    large = run_import(make_csv([make_row(n) for n in range(9)]), owner=alice)
    settings.IMPORTS_MAX_STORED_BYTES_PER_USER = small.file_size + large.file_size + 10
    client = logged_in_client(alice)

    code, params, message = get_error(upload_file(client), 409)

    assert code == "too_many_bytes"
    assert params["stored"] == small.file_size + large.file_size
    assert [each["id"] for each in params["imports"]] == [str(large.pk), str(small.pk)]
    assert message.startswith("Your uploaded files take ")
    assert "Delete the file and the rows of one of these imports" in message
    assert client.delete(params["imports"][0]["url"]).status_code == 202
    assert upload_file(client).status_code == 202


def test_file_of_a_retry_counts_once(alice, settings):
    job = run_import(make_csv([make_row(1, phone="12")]), owner=alice)
    lifecycle.retry(job)
    settings.IMPORTS_MAX_STORED_BYTES_PER_USER = job.file_size + len(CONTENT)

    assert upload(alice).status == Status.QUEUED


def test_file_that_exactly_fits_is_accepted(alice, settings):
    settings.IMPORTS_MAX_STORED_BYTES_PER_USER = 2 * len(CONTENT)

    upload(alice)
    upload(alice)
    with pytest.raises(QuotaExceeded):
        upload(alice)


# --- The rate of uploads -----------------------------------------------------


def test_rate_says_how_long_to_wait(alice, settings):
    settings.IMPORTS_MAX_UPLOADS_PER_USER_PER_MINUTE = 2
    client = logged_in_client(alice)
    upload(alice)
    ImportJob.objects.update(created_at=F("created_at") - timedelta(seconds=50))
    upload(alice)

    response = upload_file(client)

    code, params, message = get_error(response, 429)
    assert code == "too_many_uploads"
    assert response["Retry-After"] == str(params["seconds"])
    assert 8 <= params["seconds"] <= 10
    assert f"Wait {params['seconds']} seconds" in message
    ImportJob.objects.update(**MARK_OLDER)
    assert upload_file(client).status_code == 202


def test_rate_counts_imports_that_have_ended_or_were_deleted(alice, settings):
    settings.IMPORTS_MAX_UPLOADS_PER_USER_PER_MINUTE = 1
    lifecycle.delete_contents(upload(alice))

    with pytest.raises(QuotaExceeded) as refused:
        upload(alice)
    assert refused.value.code == "too_many_uploads"


# --- Who has a quota ---------------------------------------------------------


@pytest.mark.parametrize("via", Via)
def test_people_and_programs_have_quotas_and_trusted_code_has_none(alice, settings, via):
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = 0
    is_limited = via in {Via.PAGE, Via.REST, Via.ADMIN}

    if is_limited:
        with pytest.raises(QuotaExceeded):
            upload(alice, via=via)
    else:
        assert upload(alice, via=via).status == Status.QUEUED


def test_none_is_no_limit(alice, settings):
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = None
    settings.IMPORTS_MAX_STORED_BYTES_PER_USER = None
    settings.IMPORTS_MAX_UPLOADS_PER_USER_PER_MINUTE = None

    assert upload(alice).status == Status.QUEUED


def test_page_names_the_imports_as_links_and_keeps_what_was_stored(alice, settings):
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = 1
    files = [ContentFile(CONTENT, name) for name in ("a.csv", "b<b>.csv")]
    data = {"file": files, "importer": "customers", "on_duplicate": "skip"}

    page = logged_in_client(alice).post("/", data, follow=True).content.decode()

    job = ImportJob.objects.get()
    assert job.file_name == "a.csv"
    assert "1 file was uploaded." in page
    assert "Start, cancel or delete one of these" in page
    assert f'<a href="/imports/{job.pk}/"><bdi>a.csv</bdi></a>' in page


def test_earlier_api_has_the_quotas_too(alice, settings):
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = 0
    file = ContentFile(CONTENT, "c.csv")

    response = logged_in_client(alice).post("/api/auth/customers/excel/upload/", {"file": file})

    assert get_error(response, 409)[0] == "too_many_imports"


# --- At the same time --------------------------------------------------------


def try_upload(user):
    try:
        return upload(user)
    except QuotaExceeded as error:
        return error


def upload_at_the_same_time(user, other):
    """Return the results of three uploads of a user.

    All three have passed the first check and stored their files before one of them may go on.
    Meanwhile another user uploads a file: the lock is that of one user.
    """
    with ThreadPoolExecutor(4) as threads, concurrent_transaction() as cursor:
        key = [USER_QUOTA, str(user.pk)]
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", key)
        uploads = [threads.submit(call_then_close_connection, try_upload, user) for _ in range(3)]
        wait_until_blocked(sessions=3)
        of_other = threads.submit(call_then_close_connection, try_upload, other).result(timeout=15)
        assert isinstance(of_other, ImportJob)
        cursor.connection.rollback()
        return [each.result(timeout=15) for each in uploads]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "quota",
    [
        {"IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER": 1},
        {"IMPORTS_MAX_STORED_BYTES_PER_USER": len(CONTENT)},
        {"IMPORTS_MAX_UPLOADS_PER_USER_PER_MINUTE": 1},
    ],
)
def test_uploads_at_the_same_time_exceed_no_quota(alice, bob, settings, quota):
    for name, value in quota.items():
        setattr(settings, name, value)

    results = upload_at_the_same_time(alice, bob)

    assert [isinstance(result, ImportJob) for result in results].count(True) == 1
    assert ImportJob.objects.filter(owner=alice).count() == 1
    assert StoredFile.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_refused_upload_leaves_no_file_on_a_disk(alice, bob, settings, monkeypatch, tmp_path):
    monkeypatch.setattr(ImportJob.file.field, "storage", FileSystemStorage(tmp_path))
    settings.IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = 1

    upload_at_the_same_time(alice, bob)

    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {str(job.pk) for job in ImportJob.objects.all()}


# --- Stored rows -------------------------------------------------------------


def test_check_fails_while_the_owner_has_too_many_stored_rows(alice, bob, settings):
    settings.IMPORTS_MAX_STORED_ROWS_PER_USER = 2
    first = check_job(upload(alice, make_csv([make_row(1), make_row(2)])))
    second = check_job(upload(alice, make_csv([make_row(3)])))
    of_bob = check_job(upload(bob, make_csv([make_row(4)])))
    of_operator = check_job(upload(alice, make_csv([make_row(5)]), via=Via.COMMAND_LINE))

    assert (first.error_code, of_bob.error_code, of_operator.error_code) == (None, None, None)
    assert (second.status, second.error_code) == (Status.FAILED, "too_many_stored_rows")
    assert second.error_params == {"stored": 2, "limit": 2}
    assert second.checked == 0

    lifecycle.delete_contents(first.pk)
    assert check_job(lifecycle.retry(second.pk)).error_code is None


def test_retries_of_failed_rows_count_as_stored_rows(alice, settings):
    settings.IMPORTS_MAX_STORED_ROWS_PER_USER = 2
    job = upload(alice, make_csv([make_row(1, phone="1")]))
    for _ in range(2):
        job = lifecycle.retry(check_job(job).pk, by=Actor(alice, Via.REST))

    assert check_job(job).error_code == "too_many_stored_rows"
