"""The form that changes the options of an import, and the files that the pages link to."""

import io
import json
import re

import openpyxl
import pytest
from django.urls import reverse

from imports.models import ImportJob
from imports.statuses import EmptyCells, OnDuplicate, Status
from tests.conftest import logged_in_client
from tests.factories import HEADERS, check_job, make_csv, make_job, make_row, run_import
from tests.test_downloads import read_content

pytestmark = pytest.mark.django_db(transaction=True)

UNCHANGED_OPTIONS = {"has_header_row": "on", "on_duplicate": "skip", "empty_cells": "keep"}


def make_workbook_of_sheets(**sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def change_options(client, job, **options):
    response = client.post(reverse("imports:options", args=[job.pk]), options, follow=True)
    job.refresh_from_db()
    return response.content.decode()


def get_import_html(client, job):
    return client.get(reverse("imports:detail", args=[job.pk])).content.decode()


def make_ready_import(content, owner, **options):
    job = check_job(make_job(content, owner=owner, check_first=True, **options))
    assert job.status == Status.READY
    return job


def test_another_sheet_can_be_selected(alice):
    sheets = {"March": [HEADERS, make_row(1)], "April": [HEADERS, make_row(2), make_row(3)]}
    job, client = (
        make_ready_import(make_workbook_of_sheets(**sheets), alice),
        logged_in_client(alice),
    )
    assert '<option value="March" selected>' in get_import_html(client, job)

    change_options(client, job, sheet="April", **UNCHANGED_OPTIONS)

    assert (job.status, job.read_options) == (Status.QUEUED, {"sheet": "April"})
    assert (check_job(job).status, job.total) == (Status.READY, 2)
    assert '<option value="April" selected>' in get_import_html(client, job)


def test_another_encoding_and_delimiter_are_selected(alice):
    job = make_ready_import(make_csv([make_row(1, first="Zoé")]), alice)
    client = logged_in_client(alice)

    change_options(client, job, encoding="windows-1252", delimiter=",", **UNCHANGED_OPTIONS)

    assert job.read_options == {"encoding": "windows-1252"}
    assert "ZoÃ©" in get_import_html(client, check_job(job))
    change_options(client, job, encoding="windows-1252", delimiter="\t", **UNCHANGED_OPTIONS)
    assert job.read_options == {"encoding": "windows-1252", "delimiter": "\t"}
    assert check_job(job).status == Status.MAPPING


def test_first_row_is_imported_if_there_is_no_header_row(alice):
    rows = [make_row(1), make_row(2)]
    job = check_job(make_job(make_csv(rows, ["A", "B", "C", "D", "12"]), owner=alice))
    assert (job.status, job.check_first) == (Status.MAPPING, False)

    change_options(
        logged_in_client(alice),
        job,
        encoding="utf-8",
        delimiter=",",
        **UNCHANGED_OPTIONS | {"has_header_row": ""},
    )

    assert (check_job(job).status, job.total, job.failed) == (Status.READY, 3, 1)


@pytest.mark.parametrize(
    ("content", "offered"),
    [
        (make_workbook_of_sheets(A=[HEADERS, make_row(1)]), {"has_header_row"}),
        (make_workbook_of_sheets(A=[HEADERS, make_row(1)], B=[]), {"has_header_row", "sheet"}),
        (make_csv([make_row(1)]), {"has_header_row", "encoding", "delimiter"}),
        (json.dumps(dict(zip(HEADERS, make_row(1), strict=True))).encode(), set()),
    ],
    ids=["one sheet", "two sheets", "text", "JSON"],
)
def test_only_applicable_options_are_offered(alice, content, offered):
    html = get_import_html(logged_in_client(alice), make_ready_import(content, alice))

    names = {"has_header_row", "sheet", "encoding", "delimiter"}
    assert {name for name in names if f'name="{name}"' in html} == offered


def test_changing_duplicate_policy_keeps_the_columns(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = make_ready_import(make_csv([make_row(1, first="Efua")]), alice, column_mapping=None)
    assert job.skipped == 1
    kept = job.detected_columns

    options = UNCHANGED_OPTIONS | {"on_duplicate": "update", "empty_cells": "clear"}
    change_options(logged_in_client(alice), job, encoding="utf-8", delimiter=",", **options)

    assert (job.on_duplicate, job.empty_cells) == (OnDuplicate.UPDATE, EmptyCells.CLEAR)
    assert (job.detected_columns, job.read_options) == (kept, {})
    assert (check_job(job).to_update, job.skipped) == (1, 0)
    html = get_import_html(logged_in_client(alice), job)
    assert '<option value="update" selected>' in html
    assert '<option value="clear" selected>' in html


@pytest.mark.parametrize(
    ("content", "options", "code", "instead"),
    [
        (make_csv([make_row(1, first="Zoé")]), {"encoding": "ascii"}, "wrong_encoding", "utf-8"),
        (make_csv([make_row(1, first="Zoé")]), {"encoding": "ascii"}, "wrong_encoding", ""),
        (make_workbook_of_sheets(A=[HEADERS, make_row(1)]), {"sheet": "B"}, "no_such_sheet", ""),
        (make_workbook_of_sheets(A=[HEADERS, make_row(1)]), {"sheet": "B"}, "no_such_sheet", "A"),
        (make_workbook_of_sheets(A=[HEADERS, make_row(1)], B=[]), {"sheet": "B"}, "no_rows", ""),
    ],
)
def test_wrong_read_option_is_corrected(alice, content, options, code, instead):
    job, client = (
        check_job(make_job(content, owner=alice, read_options=options)),
        logged_in_client(alice),
    )
    ((name, value),) = options.items()
    assert (job.status, job.error_code) == (Status.FAILED, code)
    assert f'<option value="{value}" selected>' in get_import_html(client, job)
    assert "Imports into" not in get_import_html(client, job)

    change_options(client, job, **UNCHANGED_OPTIONS | {name: instead})

    assert (job.status, job.finished_at) == (Status.QUEUED, None)
    assert job.read_options == ({name: instead} if instead else {})
    assert (check_job(job).status, job.total) == (Status.READY, 1)


def test_existing_sheets_are_offered_if_the_requested_one_is_missing(alice):
    sheets = make_workbook_of_sheets(A=[HEADERS, make_row(1)], C=[HEADERS])
    job = check_job(make_job(sheets, owner=alice, read_options={"sheet": "B"}))

    html = get_import_html(logged_in_client(alice), job)

    assert re.findall('<option value="([ABC]?)"', html)[:4] == ["B", "", "A", "C"]


def test_another_sheet_is_selected_if_one_has_only_headers(alice):
    sheets = make_workbook_of_sheets(A=[HEADERS, make_row(1)], B=[HEADERS])
    job = check_job(make_job(sheets, owner=alice, read_options={"sheet": "B"}))
    assert (job.status, job.error_code) == (Status.FAILED, "no_rows")

    change_options(logged_in_client(alice), job, sheet="A", **UNCHANGED_OPTIONS)

    assert (check_job(job).status, job.total) == (Status.READY, 1)


def test_encoding_can_be_selected_if_it_was_not_detected(alice):
    job = check_job(make_job(make_csv([make_row(1)]) + b"Zo\x81\x8d\n", owner=alice))
    assert (job.status, job.error_code) == (Status.FAILED, "unknown_encoding")

    change_options(logged_in_client(alice), job, encoding="mac-roman", **UNCHANGED_OPTIONS)

    assert job.read_options == {"encoding": "mac-roman"}
    assert check_job(job).status == Status.READY


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        (b"%PDF-1.7", {"encoding": "utf-8"}, "pdf_file"),
        (make_workbook_of_sheets(A=[]), {}, "no_rows"),
    ],
)
def test_no_options_are_offered_if_none_would_help(alice, content, options, code):
    job = check_job(make_job(content, owner=alice, read_options=options))
    assert (job.status, job.error_code) == (Status.FAILED, code)

    assert "Check again" not in get_import_html(logged_in_client(alice), job)


@pytest.mark.parametrize("wrong", [{"delimiter": "x"}, {"on_duplicate": "maybe"}, {"encoding": ""}])
def test_unavailable_option_changes_nothing(alice, wrong):
    job = make_ready_import(make_csv([make_row(1)]), alice)
    run = job.run

    options = UNCHANGED_OPTIONS | {"encoding": "utf-8", "delimiter": ","} | wrong
    html = change_options(logged_in_client(alice), job, **options)

    assert (
        "This option is not available. Nothing was changed. Choose one of the listed options."
        in html
    )
    assert (job.status, job.run) == (Status.READY, run)


def test_options_of_another_user_and_of_a_complete_import_cannot_be_changed(alice, bob):
    job, done = (
        make_ready_import(make_csv([make_row(1)]), alice),
        run_import(make_csv([make_row(2)]), owner=alice),
    )
    options = UNCHANGED_OPTIONS | {"encoding": "utf-8", "delimiter": ","}

    assert (
        logged_in_client(bob).post(reverse("imports:options", args=[job.pk]), options).status_code
        == 404
    )
    assert "The import was not changed." in change_options(logged_in_client(alice), done, **options)
    assert done.status == Status.COMPLETE


def test_upload_form_sets_the_empty_cells_policy(alice):
    client = logged_in_client(alice)
    options = {"importer": "customers", "on_duplicate": "update", "empty_cells": "clear"}

    client.post(reverse("imports:list"), options | {"file": io.BytesIO(make_csv([make_row(1)]))})

    assert ImportJob.objects.get().empty_cells == EmptyCells.CLEAR
    assert "Clear the existing value" in client.get(reverse("imports:list")).content.decode()


def test_pages_link_to_available_files(alice):
    rows = make_csv([make_row(1, phone="12"), make_row(2)])
    failed, done = run_import(rows, owner=alice), run_import(make_csv([make_row(3)]), owner=alice)
    client = logged_in_client(alice)

    for job, has_failed_rows in ((failed, True), (done, False)):
        html = get_import_html(client, job)
        assert reverse("imports:file", args=[job.pk]) in html
        for name in ("imports:failed-rows-xlsx", "imports:failed-rows-csv"):
            assert (reverse(name, args=[job.pk]) in html) == has_failed_rows
    template = f"{reverse('imports:template')}?importer=customers"
    assert template in client.get(reverse("imports:list")).content.decode()
    sheet = openpyxl.load_workbook(io.BytesIO(read_content(client.get(template)))).active
    assert sheet["A1"].value == "Shipping mark"
