"""Downloads: streaming, file names, permissions, reports and templates."""

import io
import sys
from contextlib import ExitStack
from http.client import HTTPConnection

import openpyxl
import pytest
from asgiref.sync import async_to_sync
from django.core.files.storage import FileSystemStorage

from imports import downloads, inline, lifecycle
from imports.conf import app_settings
from imports.history import Actor, Via
from imports.importer import get_importer, list_importers
from imports.models import ImportJob, StoredChunk
from imports.storage import CHUNK_BYTES
from tests.conftest import logged_in_client
from tests.factories import HEADERS, make_csv, make_job, make_row, run_import
from tests.spreadsheets import read_rows
from tests.streams import make_session_cookie, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"the end"
ONE_FAILED_ROW = make_csv([make_row(1), make_row(2, phone="none")])


def read_chunks(response) -> list[bytes]:
    async def collect():
        return [chunk async for chunk in response.streaming_content]

    assert response.is_async
    try:
        return async_to_sync(collect)()
    finally:
        response.close()


def read_content(response) -> bytes:
    assert response.status_code == 200
    content = b"".join(read_chunks(response))
    assert len(content) == int(response["Content-Length"])
    return content


def get(person, job, name, root="/api/imports"):
    return logged_in_client(person).get(f"{root}/{job.pk}/{name}")


def get_error(response):
    return response.status_code, response.json()["code"]


# --- The original ------------------------------------------------------------


def test_original_file_is_streamed_in_chunks(alice):
    job = make_job(LARGE, owner=alice)

    response = get(alice, job, "file/")

    assert response["Content-Disposition"] == 'attachment; filename="customers.csv"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Cache-Control"] == "private, no-store"
    chunks = read_chunks(response)
    assert [len(chunk) for chunk in chunks] == [CHUNK_BYTES] * 3 + [7]
    assert b"".join(chunks) == LARGE


def test_chunks_are_read_on_demand(alice):
    response = get(alice, make_job(LARGE, owner=alice), "file/")
    StoredChunk.objects.filter(number__gt=1).delete()

    async def first_two():
        chunks = aiter(response.streaming_content)
        return [await anext(chunks), await anext(chunks)]

    assert b"".join(async_to_sync(first_two)()) == LARGE[: 2 * CHUNK_BYTES]
    response.close()


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ('a "b".xlsx', 'attachment; filename="a \\"b\\".xlsx"'),
        ("Kofi Ɔ.xlsx", "attachment; filename*=utf-8''Kofi%20%C6%86.xlsx"),
        ("", 'attachment; filename="file"'),
    ],
)
def test_original_file_has_its_uploaded_name(alice, name, sent):
    job = make_job(LARGE, owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(file_name=name)
    response = get(alice, job, "file/")
    assert response["Content-Disposition"] == sent
    response.close()


def test_deleted_file_is_404(alice):
    job = make_job(LARGE, owner=alice)
    job.file.storage.delete(job.file.name)
    assert get_error(get(alice, job, "file/")) == (404, "file_deleted")
    ImportJob.objects.filter(pk=job.pk).update(file="")
    assert get_error(get(alice, job, "file/")) == (404, "file_deleted")


def test_deleted_file_in_another_storage_is_404(alice, tmp_path, monkeypatch):
    field = ImportJob._meta.get_field("file")
    monkeypatch.setattr(field, "storage", FileSystemStorage(tmp_path))
    job = make_job(LARGE, owner=alice)
    assert read_content(get(alice, job, "file/")) == LARGE
    job.file.storage.delete(job.file.name)
    assert get_error(get(alice, job, "file/")) == (404, "file_deleted")


def test_daphne_sends_the_whole_file(alice):
    job, cookie = make_job(LARGE, owner=alice), make_session_cookie(alice)
    with running_daphne() as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        headers = {"Cookie": f"sessionid={cookie}", "Accept": "text/csv"}
        connection.request("GET", f"/api/imports/{job.pk}/file/", headers=headers)
        response = connection.getresponse()
        assert response.getheader("Content-Length") == str(len(LARGE))
        assert response.read() == LARGE
        connection.close()


# --- Reports -----------------------------------------------------------------


@pytest.mark.parametrize("root", ["/api/imports", "/imports"])
@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_failed_rows_are_a_file(alice, kind, root):
    job = run_import(ONE_FAILED_ROW, owner=alice)

    response = get(alice, job, f"failed-rows.{kind}", root)

    assert response["Content-Disposition"] == f'attachment; filename="failed-rows-customers.{kind}"'
    header, row = read_rows(read_content(response))
    assert (header[1][:5], row[1][:5]) == (HEADERS, make_row(2, phone="none"))


@pytest.mark.parametrize(("root", "start"), [("/api/imports", "Row 3."), ("/imports", "Ligne 3.")])
def test_report_language_is_english_for_programs_and_the_users_for_pages(alice, root, start):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    address = f"{root}/{job.pk}/failed-rows.csv"

    response = logged_in_client(alice).get(address, headers={"Accept-Language": "fr"})

    _, (_, cells) = read_rows(read_content(response))
    assert cells[5].startswith(start)


@pytest.mark.parametrize("accept", ["application/pdf", "text/csv", "*/*"])
def test_file_ignores_accept(alice, accept):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    address = f"/api/imports/{job.pk}/failed-rows.csv"
    response = logged_in_client(alice).get(address, headers={"Accept": accept})
    assert read_content(response)


def test_import_has_the_urls_of_its_files(alice):
    client = logged_in_client(alice)
    none = run_import(make_csv([make_row(1)]), owner=alice)
    urls = client.get(f"/api/imports/{none.pk}/").json()["urls"]
    assert urls["file"] == f"/api/imports/{none.pk}/file/"
    assert (urls["failed_rows_xlsx"], urls["failed_rows_csv"]) == (None, None)

    some = run_import(ONE_FAILED_ROW, owner=alice)
    urls = client.get(f"/api/imports/{some.pk}/").json()["urls"]
    for name in ("file", "failed_rows_xlsx", "failed_rows_csv"):
        assert read_content(client.get(urls[name]))

    skipped = run_import(make_csv([make_row(1)]), owner=alice)
    urls = client.get(f"/api/imports/{skipped.pk}/").json()["urls"]
    assert (urls["failed_rows_xlsx"] is None, urls["failed_rows_csv"]) == (False, None)


def test_import_without_failed_rows_has_no_report(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    for kind in ("xlsx", "csv"):
        assert get_error(get(alice, job, f"failed-rows.{kind}")) == (404, "no_failed_rows")


def test_number_of_concurrent_reports_is_limited(alice, monkeypatch):
    monkeypatch.setattr(inline, "MAX_WAIT_FOR_SLOT_SECONDS", 0)
    job = run_import(ONE_FAILED_ROW, owner=alice)
    with ExitStack() as stack:
        for _ in range(app_settings.MAX_CONCURRENT_DOWNLOADS):
            stack.enter_context(inline.acquire_slot(downloads.REPORT_SLOTS))
        response = get(alice, job, "failed-rows.xlsx")
        assert get_error(response) == (503, "unavailable")
        assert int(response["Retry-After"]) > 0
        page = logged_in_client(alice).get(f"/imports/{job.pk}/failed-rows.xlsx", follow=True)
        assert "Too many reports" in page.content.decode()
    assert read_content(get(alice, job, "failed-rows.xlsx"))


def test_reports_of_one_user_leave_a_slot_for_others(alice, bob, monkeypatch):
    monkeypatch.setattr(inline, "MAX_WAIT_FOR_SLOT_SECONDS", 0)
    jobs = {user: run_import(ONE_FAILED_ROW, owner=user) for user in (alice, bob)}
    with ExitStack() as stack:
        for _ in range(downloads.MAX_REPORTS_PER_USER):
            stack.enter_context(downloads.acquire_report_slot(Actor(alice, Via.REST)))
        for kind in ("xlsx", "csv"):
            response = get(alice, jobs[alice], f"failed-rows.{kind}")
            assert get_error(response) == (503, "unavailable")
        assert read_content(get(bob, jobs[bob], "failed-rows.xlsx"))
    assert read_content(get(alice, jobs[alice], "failed-rows.xlsx"))


@pytest.mark.parametrize("name", ["failed-rows.xlsx", "failed-rows.csv"])
def test_report_whose_rows_are_deleted_meanwhile_is_not_sent(alice, monkeypatch, name):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    build = downloads.build_file_response

    def build_then_delete(*arguments):
        response = build(*arguments)
        lifecycle.delete_contents(job.pk)
        return response

    monkeypatch.setattr(downloads, "build_file_response", build_then_delete)

    assert get_error(get(alice, job, name)) == (410, "contents_deleted")


def test_failed_report_releases_its_slot(alice, monkeypatch):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    monkeypatch.setattr(inline, "MAX_WAIT_FOR_SLOT_SECONDS", 0)
    for _ in range(app_settings.MAX_CONCURRENT_DOWNLOADS + 1):
        assert get(alice, job, "failed-rows.xlsx").status_code == 404


# --- Downloads of the pages --------------------------------------------------


def test_pages_explain_a_missing_file(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    job.file.storage.delete(job.file.name)
    client = logged_in_client(alice)
    for name, reason in (
        ("file/", "no longer available"),
        ("failed-rows.csv", "no such rows"),
    ):
        page = client.get(f"/imports/{job.pk}/{name}", follow=True)
        assert page.redirect_chain == [(f"/imports/{job.pk}/", 302)]
        assert reason in page.content.decode()


def test_files_need_the_permission_to_see_the_import(alice, bob, eve, client):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    for name in ("file/", "failed-rows.xlsx", "failed-rows.csv"):
        assert read_content(get(eve, job, name, "/imports"))
        assert get(bob, job, name, "/imports").status_code == 404
        assert client.get(f"/imports/{job.pk}/{name}")["Location"].startswith("/accounts/login/")
    address = "/imports/template.xlsx?importer=customers"
    assert read_content(logged_in_client(bob).get(address))
    assert logged_in_client(eve).get(address).status_code == 403
    assert client.get(address).status_code == 302


def test_headers_of_files_need_no_middleware_of_the_site(alice, settings):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    client = logged_in_client(alice)
    # A site that adds the app may lack the middleware that sets these headers on every response.
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    assert "X-Content-Type-Options" not in client.get(f"/imports/{job.pk}/")

    for root in ("/api/imports/", "/imports/"):
        for name in (
            f"{job.pk}/file/",
            f"{job.pk}/failed-rows.csv",
            f"{job.pk}/failed-rows.xlsx",
            "template.xlsx?importer=customers",
        ):
            response = client.get(f"{root}{name}")
            assert response.status_code == 200, name
            read_chunks(response)
            assert response["X-Content-Type-Options"] == "nosniff"
            assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert response["Content-Disposition"].startswith("attachment;")


def test_a_stored_file_has_no_address_of_its_own(alice, root):
    job = make_job(LARGE, owner=alice)
    client = logged_in_client(root)

    with pytest.raises(NotImplementedError, match="have no URL"):
        job.file.url  # noqa: B018
    for folder in ("", "media/", "static/"):
        assert client.get(f"/{folder}{job.file.name}").status_code == 404


# --- Templates ---------------------------------------------------------------


def template(person, address="/api/imports/template.xlsx?importer=customers") -> bytes:
    return read_content(logged_in_client(person).get(address))


@pytest.mark.parametrize("name", [importer.name for importer in list_importers()])
def test_filled_template_is_imported(alice, name):
    run_import(make_csv([make_row(1)]))
    importer = get_importer(name)
    content = template(alice, f"/api/imports/template.xlsx?importer={name}")
    job = run_import(content, owner=alice, importer=name)
    assert (job.status, job.error_code) == ("FAILED", "no_rows")

    book = openpyxl.load_workbook(io.BytesIO(content))
    values = {column.field: column.example or "1" for column in importer.columns}
    values |= {"customer": "MARK 1", "sent_on": "2026-01-02", "fragile": True}
    for place, column in enumerate(importer.columns, start=1):
        book.worksheets[0].cell(2, place).value = values[column.field]
    file = io.BytesIO()
    book.save(file)

    job = run_import(file.getvalue(), owner=alice, importer=name)
    assert (job.status, job.created) == ("COMPLETE", 1)
    assert job.detected_columns["positions"] == {c.field: n for n, c in enumerate(importer.columns)}


def test_template_has_formats_validations_and_notes(alice):
    book = openpyxl.load_workbook(io.BytesIO(template(alice)))
    rows, notes = book.worksheets

    assert [cell.value for cell in rows[1]] == HEADERS
    assert rows.max_row == 1
    assert {rows.column_dimensions[letter].number_format for letter in "ABCDE"} == {"@"}
    rules = {str(rule.sqref): rule for rule in rows.data_validations.dataValidation}
    mark, email, phone = (rules[f"{letter}2:{letter}1048576"] for letter in "ADE")
    assert (mark.type, mark.formula1, mark.formula2) == ("textLength", "1", "50")
    assert (mark.allowBlank, email.allowBlank) == (False, True)
    assert (email.formula1, email.formula2) == ("0", "254")
    assert (phone.type, phone.operator, phone.formula1) == ("textLength", "greaterThan", "0")
    assert {rule.errorStyle for rule in rules.values()} == {"warning"}
    assert "024 412 3456" in phone.prompt
    table = [[cell.value for cell in row] for row in notes.iter_rows(min_row=2, max_row=6)]
    assert [row[0] for row in table] == HEADERS
    assert [row[2] for row in table] == ["yes", "yes", "yes", "", "yes"]
    assert [row[3] for row in table] == ["yes", "", "", "yes", "yes"]
    assert table[4][4] == "024 412 3456"
    assert "telephone" in table[4][5]
    assert all(row[6] for row in table)


def test_template_follows_the_model_fields(alice):
    content = template(alice, "/api/imports/template.xlsx?importer=parcels")
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    formats = [sheet.column_dimensions[letter].number_format for letter in "ABCDEF"]
    assert formats == ["@", "0", "General", "yyyy-mm-dd", "General", "@"]
    lists = [rule.formula1 for rule in sheet.data_validations.dataValidation]
    assert '"TRUE,FALSE"' in lists


def test_legacy_template_is_the_same(alice):
    earlier = template(alice, "/api/auth/customers/excel/template/")
    assert read_rows(earlier) == read_rows(template(alice))


@pytest.mark.parametrize("query", ["", "?importer=", "?importer=nothing"])
def test_template_without_a_known_importer_is_an_error(alice, query):
    client = logged_in_client(alice)
    assert get_error(client.get(f"/api/imports/template.xlsx{query}")) == (400, "invalid")
    assert client.get(f"/imports/template.xlsx{query}").status_code == 404


def test_template_of_the_only_importer_needs_no_name(alice, monkeypatch):
    one = [get_importer("customers")]
    monkeypatch.setattr("imports.api.serializers.list_importers", lambda: one)
    monkeypatch.setattr("imports.permissions.list_importers", lambda: one)
    for root in ("/api/imports", "/imports"):
        assert template(alice, f"{root}/template.xlsx")


# --- Without XlsxWriter ------------------------------------------------------


@pytest.fixture
def without_xlsxwriter(monkeypatch):
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)


def test_without_xlsxwriter_the_csv_file_is_left(alice, without_xlsxwriter):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    client = logged_in_client(alice)

    workbook = get(alice, job, "failed-rows.xlsx")
    template = client.get("/api/imports/template.xlsx?importer=customers")
    page = client.get(f"/imports/{job.pk}/failed-rows.xlsx", follow=True)
    template_page = client.get("/imports/template.xlsx?importer=customers", follow=True)

    assert get_error(workbook) == get_error(template) == (501, "workbooks_not_supported")
    assert "Download the CSV file instead." in page.content.decode()
    assert "This site cannot create Excel workbooks." in template_page.content.decode()
    assert b"none" in read_content(get(alice, job, "failed-rows.csv"))


def test_without_xlsxwriter_nothing_offers_a_workbook(alice, root, without_xlsxwriter):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    client = logged_in_client(alice)

    urls = client.get(f"/api/imports/{job.pk}/").json()["urls"]
    importer = client.get("/api/importers/customers/").json()
    pages = [
        client.get(f"/imports/{job.pk}/").content.decode(),
        client.get("/").content.decode(),
        logged_in_client(root).get(f"/admin/imports/importjob/{job.pk}/change/").content.decode(),
    ]

    assert (urls["failed_rows_xlsx"], importer["urls"]["template"]) == (None, None)
    assert urls["failed_rows_csv"].endswith("/failed-rows.csv")
    assert [page.count('.xlsx"') + page.count("template.xlsx?") for page in pages] == [0, 0, 0]
    assert [page.count("failed-rows.csv") for page in pages] == [2, 0, 1]


def test_with_xlsxwriter_the_pages_offer_workbooks(alice, root):
    job = run_import(ONE_FAILED_ROW, owner=alice)
    client = logged_in_client(alice)

    assert client.get(f"/imports/{job.pk}/").content.count(b"failed-rows.xlsx") == 2
    assert b"template.xlsx?" in client.get("/").content
    page = logged_in_client(root).get(f"/admin/imports/importjob/{job.pk}/change/")
    assert page.content.count(b"failed-rows.xlsx") == 1
