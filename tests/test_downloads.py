"""Files that go back: sent in chunks, named as uploaded, only to those who may read them."""

import io
from contextlib import ExitStack
from http.client import HTTPConnection

import openpyxl
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.files.storage import FileSystemStorage

from imports import downloads, inline
from imports.importer import get_importer, list_importers
from imports.models import ImportJob, StoredChunk
from imports.storage import CHUNK_BYTES
from tests.conftest import logged_in_client
from tests.factories import HEADERS, make_csv, make_job, make_row, run_import
from tests.spreadsheets import read_rows
from tests.streams import make_session_cookie, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"the end"
REFUSED = make_csv([make_row(1), make_row(2, phone="none")])


def chunks_of(response) -> list[bytes]:
    async def collect():
        return [chunk async for chunk in response.streaming_content]

    assert response.is_async
    try:
        return async_to_sync(collect)()
    finally:
        response.close()


def read_content(response) -> bytes:
    assert response.status_code == 200
    content = b"".join(chunks_of(response))
    assert len(content) == int(response["Content-Length"])
    return content


def get(person, job, name, root="/api/imports"):
    return logged_in_client(person).get(f"{root}/{job.pk}/{name}")


def code_of(response):
    return response.status_code, response.json()["code"]


# --- The original ------------------------------------------------------------


def test_the_original_comes_back_byte_by_byte_and_chunk_by_chunk(alice):
    job = make_job(LARGE, owner=alice)

    response = get(alice, job, "file/")

    assert response["Content-Disposition"] == 'attachment; filename="customers.csv"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Cache-Control"] == "private, no-store"
    chunks = chunks_of(response)
    assert [len(chunk) for chunk in chunks] == [CHUNK_BYTES] * 3 + [7]
    assert b"".join(chunks) == LARGE


def test_one_chunk_is_read_when_it_is_asked_for(alice):
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
def test_it_is_named_as_it_was_uploaded(alice, name, sent):
    job = make_job(LARGE, owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(file_name=name)
    response = get(alice, job, "file/")
    assert response["Content-Disposition"] == sent
    response.close()


def test_a_file_that_is_gone_is_404_and_says_so(alice):
    job = make_job(LARGE, owner=alice)
    job.file.storage.delete(job.file.name)
    assert code_of(get(alice, job, "file/")) == (404, "file_gone")
    ImportJob.objects.filter(pk=job.pk).update(file="")
    assert code_of(get(alice, job, "file/")) == (404, "file_gone")


def test_so_is_one_in_another_storage(alice, tmp_path, monkeypatch):
    field = ImportJob._meta.get_field("file")
    monkeypatch.setattr(field, "storage", FileSystemStorage(tmp_path))
    job = make_job(LARGE, owner=alice)
    assert read_content(get(alice, job, "file/")) == LARGE
    job.file.storage.delete(job.file.name)
    assert code_of(get(alice, job, "file/")) == (404, "file_gone")


def test_daphne_sends_it_whole(alice):
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
def test_refused_rows_come_back_as_a_file(alice, kind, root):
    job = run_import(REFUSED, owner=alice)

    response = get(alice, job, f"failed-rows.{kind}", root)

    assert response["Content-Disposition"] == f'attachment; filename="failed-rows-customers.{kind}"'
    header, row = read_rows(read_content(response))
    assert (header[1][:5], row[1][:5]) == (HEADERS, make_row(2, phone="none"))


@pytest.mark.parametrize(("root", "said"), [("/api/imports", "Row 3."), ("/imports", "Ligne 3.")])
def test_programs_get_english_and_readers_their_language(alice, root, said):
    job = run_import(REFUSED, owner=alice)
    address = f"{root}/{job.pk}/failed-rows.csv"

    response = logged_in_client(alice).get(address, headers={"Accept-Language": "fr"})

    _, (_, cells) = read_rows(read_content(response))
    assert cells[5].startswith(said)


@pytest.mark.parametrize("accept", ["application/pdf", "text/csv", "*/*"])
def test_whatever_kind_is_asked_for_the_file_is_sent(alice, accept):
    job = run_import(REFUSED, owner=alice)
    address = f"/api/imports/{job.pk}/failed-rows.csv"
    response = logged_in_client(alice).get(address, headers={"Accept": accept})
    assert read_content(response)


def test_a_job_says_where_its_files_are(alice):
    client = logged_in_client(alice)
    none = run_import(make_csv([make_row(1)]), owner=alice)
    urls = client.get(f"/api/imports/{none.pk}/").json()["urls"]
    assert urls["file"] == f"/api/imports/{none.pk}/file/"
    assert (urls["failed_rows_xlsx"], urls["failed_rows_csv"]) == (None, None)

    some = run_import(REFUSED, owner=alice)
    urls = client.get(f"/api/imports/{some.pk}/").json()["urls"]
    for name in ("file", "failed_rows_xlsx", "failed_rows_csv"):
        assert read_content(client.get(urls[name]))

    skipped = run_import(make_csv([make_row(1)]), owner=alice)
    urls = client.get(f"/api/imports/{skipped.pk}/").json()["urls"]
    assert (urls["failed_rows_xlsx"] is None, urls["failed_rows_csv"]) == (False, None)


def test_where_nothing_was_refused_there_is_no_report(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    for kind in ("xlsx", "csv"):
        assert code_of(get(alice, job, f"failed-rows.{kind}")) == (404, "no_failed_rows")


def test_so_many_reports_are_built_at_once(alice, monkeypatch):
    monkeypatch.setattr(inline, "MAX_WAIT_FOR_SLOT_SECONDS", 0)
    job = run_import(REFUSED, owner=alice)
    with ExitStack() as stack:
        for _ in range(settings.IMPORT_REPORTS_AT_ONCE):
            stack.enter_context(inline.limited_slot(downloads.REPORT_SLOTS))
        response = get(alice, job, "failed-rows.xlsx")
        assert code_of(response) == (503, "unavailable")
        assert int(response["Retry-After"]) > 0
        page = logged_in_client(alice).get(f"/imports/{job.pk}/failed-rows.xlsx", follow=True)
        assert "Too many reports" in page.content.decode()
    assert read_content(get(alice, job, "failed-rows.xlsx"))


def test_a_report_that_cannot_be_built_leaves_its_place(alice, monkeypatch):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    monkeypatch.setattr(inline, "MAX_WAIT_FOR_SLOT_SECONDS", 0)
    for _ in range(settings.IMPORT_REPORTS_AT_ONCE + 1):
        assert get(alice, job, "failed-rows.xlsx").status_code == 404


# --- The pages' own addresses ------------------------------------------------


def test_pages_say_why_there_is_no_file(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    job.file.storage.delete(job.file.name)
    client = logged_in_client(alice)
    for name, said in (("file/", "no longer available"), ("failed-rows.csv", "no such rows")):
        page = client.get(f"/imports/{job.pk}/{name}", follow=True)
        assert page.redirect_chain == [(f"/imports/{job.pk}/", 302)]
        assert said in page.content.decode()


def test_who_may_see_an_import_may_read_its_files(alice, bob, eve, client):
    job = run_import(REFUSED, owner=alice)
    for name in ("file/", "failed-rows.xlsx", "failed-rows.csv"):
        assert read_content(get(eve, job, name, "/imports"))
        assert get(bob, job, name, "/imports").status_code == 404
        assert client.get(f"/imports/{job.pk}/{name}")["Location"].startswith("/accounts/login/")
    address = "/imports/template.xlsx?importer=customers"
    assert read_content(logged_in_client(bob).get(address))
    assert logged_in_client(eve).get(address).status_code == 403
    assert client.get(address).status_code == 302


# --- Templates ---------------------------------------------------------------


def template(person, address="/api/imports/template.xlsx?importer=customers") -> bytes:
    return read_content(logged_in_client(person).get(address))


@pytest.mark.parametrize("name", [importer.name for importer in list_importers()])
def test_a_template_that_is_filled_in_imports(alice, name):
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


def test_a_template_keeps_zeros_warns_of_lengths_and_explains(alice):
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


def test_a_template_is_made_from_the_models_fields(alice):
    content = template(alice, "/api/imports/template.xlsx?importer=parcels")
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    formats = [sheet.column_dimensions[letter].number_format for letter in "ABCDEF"]
    assert formats == ["@", "0", "General", "yyyy-mm-dd", "General", "@"]
    lists = [rule.formula1 for rule in sheet.data_validations.dataValidation]
    assert '"TRUE,FALSE"' in lists


def test_the_earlier_contracts_template_is_the_same(alice):
    earlier = template(alice, "/api/auth/customers/excel/template/")
    assert read_rows(earlier) == read_rows(template(alice))


@pytest.mark.parametrize("query", ["", "?importer=", "?importer=nothing"])
def test_a_template_of_what_nobody_imports_is_refused(alice, query):
    client = logged_in_client(alice)
    assert code_of(client.get(f"/api/imports/template.xlsx{query}")) == (400, "invalid")
    assert client.get(f"/imports/template.xlsx{query}").status_code == 404


def test_where_there_is_one_importer_nobody_has_to_say_which(alice, monkeypatch):
    one = [get_importer("customers")]
    monkeypatch.setattr("imports.api.serializers.list_importers", lambda: one)
    monkeypatch.setattr("imports.pages.downloads.list_importers", lambda: one)
    for root in ("/api/imports", "/imports"):
        assert template(alice, f"{root}/template.xlsx")
