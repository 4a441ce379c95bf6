"""Test that everything that imports hold about one person is found, exported and erased."""

import io
import json
import stat
import zipfile
from urllib.parse import quote

import openpyxl
import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from openpyxl.comments import Comment

from customers.models import Customer
from imports import lifecycle, personal_data
from imports.ledger import check_ledger
from imports.models import ImportJob, StoredFile
from imports.personal_data import SearchedValue
from tests.factories import HEADERS, check_job, make_csv, make_job, make_row, run_import
from tests.spreadsheets import save_workbook

pytestmark = pytest.mark.django_db(transaction=True)

EMAIL = "canary@example.com"


def run_command(name: str, *arguments, **options) -> str:
    output = io.StringIO()
    call_command(name, *arguments, stdout=output, **options)
    return output.getvalue()


def run_failing_command(name: str, *arguments, **options) -> tuple[str, str]:
    """Return the output and the error of a command with a status other than 0."""
    output = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command(name, *arguments, stdout=output, **options)
    return output.getvalue(), str(caught.value)


def find(text: str, **options) -> dict:
    """Return the findings by the id of the import."""
    found = personal_data.find_person(SearchedValue(text, **options))
    return {finding.job.pk: finding for finding in found}


def make_other_job() -> ImportJob:
    return run_import(make_csv([make_row(70)]))


def test_a_person_is_found_in_rows_that_were_created_updated_and_failed():
    Customer.objects.create(
        shipping_mark="MARK 2", first_name="A", last_name="B", phone="+233240000002", email=EMAIL
    )
    created = run_import(make_csv([make_row(1, email=EMAIL.upper(), phone="0244000001")]))
    Customer.objects.filter(shipping_mark="MARK 1").delete()
    updated = run_import(make_csv([make_row(5), make_row(2)]), on_duplicate="update")
    failed = run_import(make_csv([make_row(3, email=EMAIL, phone="none")]))
    make_other_job()

    findings = find(f" {EMAIL}")

    assert set(findings) == {created.pk, updated.pk, failed.pk}
    assert [row["row"] for row in findings[created.pk].rows] == [2]
    # The record had the address before the import.
    assert [row["row"] for row in findings[updated.pk].rows] == [3]
    assert findings[updated.pk].file_rows == []
    assert [row["row"] for row in findings[failed.pk].file_rows] == [2]


@pytest.mark.parametrize("text", ["+233244000001", "0244000001", "024 400 0001"])
def test_a_phone_number_is_found_however_it_is_written(text):
    written = run_import(make_csv([make_row(1, phone="024-400-0001")]))
    failed = run_import(make_csv([make_row(2, phone="(024) 4000001", email="none@none")]))
    make_other_job()

    assert set(find(text)) == {written.pk, failed.pk}
    assert find(text)[failed.pk].rows


def test_a_person_is_found_in_a_column_that_fills_no_field():
    job = run_import(make_csv([[*make_row(1), EMAIL]], [*HEADERS, "Remark"]))

    finding = find(EMAIL)[job.pk]

    assert finding.rows
    assert finding.file_rows


def test_a_person_is_found_in_a_part_of_a_text_only_if_asked():
    job = run_import(make_csv([[*make_row(1), f"Write to {EMAIL}!"]], [*HEADERS, "Remark"]))

    assert find(EMAIL) == {}
    assert set(find(EMAIL, is_part=True)) == {job.pk}


def test_only_the_named_column_is_searched():
    job = run_import(make_csv([make_row(1, last="Ama"), make_row(2, first="Kofi")]))

    assert [row["row"] for row in find("Ama", column="last_name")[job.pk].rows] == [2]
    assert [row["row"] for row in find("Ama", column="last_name")[job.pk].file_rows] == [2]
    assert find("Kofi", column="last_name") == {}


def test_a_person_is_found_on_another_sheet_of_a_workbook():
    book = openpyxl.Workbook()
    for cells in (HEADERS, make_row(1)):
        book.active.append(cells)
    book.create_sheet("Old").append(["x", EMAIL])
    job = run_import(save_workbook(book))

    finding = find(EMAIL)[job.pk]

    assert finding.rows == []
    assert finding.file_rows == [{"sheet": "Old", "row": 1, "cells": ["x", EMAIL]}]


def make_workbook_of_rows(*rows) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    for cells in (HEADERS, *rows):
        book.active.append(cells)
    return book


def hide_on_a_sheet(book, text):
    sheet = book.create_sheet("Old")
    sheet.append(["x", text])
    sheet.sheet_state = "hidden"


def hide_in_a_comment(book, text):
    book.active["A1"].comment = Comment(f"Ask {text}.", "Author")


def hide_in_a_property(book, text):
    book.properties.creator = text


def hide_in_a_link(book, text):
    book.active["A1"].hyperlink = f"https://example.com/?to={quote(text, safe='')}&x"


@pytest.mark.parametrize(
    "hide", [hide_on_a_sheet, hide_in_a_comment, hide_in_a_property, hide_in_a_link]
)
def test_a_person_is_found_outside_of_the_visible_rows_of_a_workbook(hide):
    book = make_workbook_of_rows(make_row(1))
    hide(book, EMAIL)
    job = run_import(save_workbook(book))
    make_other_job()

    finding = find(EMAIL.upper())[job.pk]

    assert (finding.rows, finding.file_rows, finding.unread_file) == ([], [], None)
    assert len(finding.other_texts) == 1
    assert "example.com" in finding.as_json()["other_texts_of_the_file"][0]["text"]
    assert "1 text of the file outside of its visible rows." in run_command("find_person", EMAIL)
    run_command("erase_person", EMAIL)
    assert find(EMAIL) == {}
    job.refresh_from_db()
    assert not job.file


def test_a_phone_number_on_a_hidden_sheet_is_found_however_it_is_written():
    book = make_workbook_of_rows(make_row(1))
    hide_on_a_sheet(book, "024-400-0009")
    job = run_import(save_workbook(book))

    assert find("+233244000009")[job.pk].other_texts


def test_a_text_in_a_visible_cell_is_no_text_outside_of_the_rows():
    book = make_workbook_of_rows([*make_row(1, email=EMAIL), f"Write to {EMAIL}!"])
    book.active["F1"] = "Remark"
    job = run_import(save_workbook(book))

    assert find(EMAIL)[job.pk].other_texts == []
    assert [row["row"] for row in find(EMAIL)[job.pk].file_rows] == [2]


def test_a_part_of_a_word_outside_of_the_rows_is_found_only_if_asked():
    book = make_workbook_of_rows(make_row(1))
    hide_in_a_comment(book, "Dramas")
    job = run_import(save_workbook(book))

    assert find("Rama") == {}
    assert find("Rama", column="last_name", is_part=True) == {}
    assert find("Rama", is_part=True)[job.pk].other_texts


def test_a_workbook_that_holds_an_archive_is_named():
    book = make_workbook_of_rows(make_row(1, email=EMAIL))
    content = io.BytesIO(save_workbook(book))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("xl/embeddings/inner.xlsx", save_workbook(make_workbook_of_rows()))
    job = run_import(content.getvalue())

    finding = find(EMAIL)[job.pk]

    assert finding.file_rows
    assert finding.unread_file == "compressed_file"


def test_a_person_is_found_in_the_name_of_the_file_and_in_options():
    job = make_other_job()
    ImportJob.objects.filter(pk=job.pk).update(
        file_name="List for Canary Mensah.csv", importer_options={"contact": "Canary Mensah"}
    )

    assert find("canary mensah")[job.pk].texts == ["file_name", "importer_options"]


def test_a_file_that_cannot_be_searched_is_named():
    job = check_job(make_job(b"%PDF-1.7 nothing"))
    assert job.status == "FAILED"

    output, error = run_failing_command("find_person", EMAIL)

    assert f"Import {job.pk} (FAILED): its file could not be searched (pdf_file)." in output
    assert error == "Files that could not be searched: 1."


def test_the_output_names_imports_and_rows_and_not_the_person():
    job = run_import(make_csv([make_row(1), make_row(2, email=EMAIL)]))

    output = run_command("find_person", EMAIL)

    assert f"Import {job.pk} (COMPLETE): row 3; row of the file 3; field " in output
    assert "Imports that hold the value: 1." in output
    assert EMAIL not in output


def test_the_value_is_read_from_standard_input(monkeypatch):
    run_import(make_csv([make_row(1, email=EMAIL)]))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{EMAIL}\n"))

    assert "Imports that hold the value: 1." in run_command("find_person", "-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([" "], "The value is empty."),
        (["x", "--column=nothing"], "No importer has a column 'nothing'."),
        (["x", "--user=nobody"], "There is no user 'nobody'."),
    ],
)
@pytest.mark.parametrize("name", ["find_person", "erase_person"])
def test_wrong_arguments_are_explained(name, arguments, message):
    _, error = run_failing_command(name, *arguments)

    assert message in error


def test_an_export_holds_everything_and_is_recorded_without_the_data(tmp_path, alice):
    job = run_import(make_csv([make_row(1, email=EMAIL)]), owner=alice)
    path = tmp_path / "person.json"

    run_command("find_person", EMAIL, "--export", str(path), "--user", alice.get_username())

    (exported,) = json.loads(path.read_text())["imports"]
    assert exported["import"] == str(job.pk)
    assert exported["rows"][0]["outcome"] == "created"
    assert exported["rows"][0]["values"]["email"] == EMAIL
    assert exported["rows"][0]["values"]["phone"] == "+233240000001"
    assert exported["file_rows"][0]["cells"][3] == EMAIL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    event = job.events.get(command="download")
    assert (event.user, event.via, event.details) == (alice, "command_line", {"file": "person"})
    assert event.details_label == "the data of a person"


def test_an_export_replaces_no_file(tmp_path):
    path = tmp_path / "person.json"
    path.write_text("mine")

    _, error = run_failing_command("find_person", EMAIL, "--export", str(path))

    assert "exists. Name a new file." in error
    assert path.read_text() == "mine"


def test_erasing_leaves_nothing_of_the_person_and_no_wrong_count(alice):
    other = make_other_job()
    rows = [make_row(1, email=EMAIL), make_row(2), make_row(3, phone="none")]
    job = run_import(make_csv(rows), owner=alice)
    before = ImportJob.objects.get(pk=job.pk)

    output = run_command("erase_person", EMAIL, "--user", alice.get_username())

    assert "Imports whose contents were deleted: 1." in output
    assert EMAIL not in output
    assert find(EMAIL) == {}
    job.refresh_from_db()
    assert not job.rows.exists()
    assert not job.file
    assert StoredFile.objects.count() == 1
    for name in ("status", "created", "failed", "total", "processed"):
        assert getattr(job, name) == getattr(before, name)
    assert check_ledger(job).violations == []
    event = job.events.get(command="erase")
    assert (event.user, event.via, event.details) == (alice, "command_line", {"rows": 1})
    assert Customer.objects.filter(email=EMAIL).exists()  # Records are the project's.
    other.refresh_from_db()
    assert other.has_contents
    run_command("check_imports")


def test_a_dry_run_changes_nothing():
    job = run_import(make_csv([make_row(1, email=EMAIL)]))

    output = run_command("erase_person", EMAIL, "--dry-run")

    assert f"Import {job.pk} (COMPLETE): row 2; row of the file 2; field " in output
    assert "Imports whose contents would be deleted: 1." in output
    assert set(find(EMAIL)) == {job.pk}
    assert not job.events.filter(command="erase").exists()


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_an_import_in_progress_is_refused_and_the_others_are_erased(options):
    ended = run_import(make_csv([make_row(1, email=EMAIL)]))
    ready = check_job(make_job(make_csv([make_row(2, email=EMAIL)]), check_first=True))

    output, error = run_failing_command("erase_person", EMAIL, *options)

    assert f"Not erased: import {ready.pk}: The import is READY and uses its file" in output
    assert error == "Imports that may still hold the person: 1."
    assert set(find(EMAIL)) == ({ready.pk} if not options else {ended.pk, ready.pk})


def test_erasing_again_after_the_import_ended_erases_the_rest():
    ready = check_job(make_job(make_csv([make_row(2, email=EMAIL)]), check_first=True))
    run_failing_command("erase_person", EMAIL)
    lifecycle.cancel(ready)

    run_command("erase_person", EMAIL)

    assert find(EMAIL) == {}


def test_a_file_that_a_retry_shares_is_deleted_with_the_last_import_that_uses_it():
    job = run_import(make_csv([make_row(1), make_row(2, email=EMAIL, phone="none")]))
    retry = lifecycle.retry(job)
    output, _ = run_failing_command("erase_person", EMAIL)
    assert f"Not erased: import {job.pk}: A retry of the failed rows" in output
    lifecycle.cancel(retry)

    run_command("erase_person", EMAIL)

    assert find(EMAIL) == {}
    assert not StoredFile.objects.exists()


def test_the_name_of_the_file_and_options_are_erased(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(
        file_name="Canary Mensah.csv", importer_options={"contact": "Canary Mensah", "n": 1}
    )
    LogEntry.objects.create(
        user=alice,
        content_type=ContentType.objects.get_for_model(ImportJob),
        object_id=str(job.pk),
        object_repr="Canary Mensah.csv",
        action_flag=CHANGE,
        change_message="Cancelled: Canary Mensah.csv",
    )

    run_command("erase_person", "canary mensah")

    job.refresh_from_db()
    assert job.file_name == "erased.csv"
    assert job.importer_options == {"contact": "", "n": 1}
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.change_message) == ("erased.csv", "")


def test_rows_of_an_import_whose_contents_are_deleted_are_erased_too():
    job = run_import(make_csv([make_row(1, email=EMAIL)]))
    lifecycle.delete_contents(job)
    assert find(EMAIL)[job.pk].rows

    run_command("erase_person", EMAIL)

    assert find(EMAIL) == {}


def test_nothing_is_found_without_a_match():
    make_other_job()

    assert run_command("find_person", EMAIL) == "Imports that hold the value: 0.\n"
    assert run_command("erase_person", EMAIL) == "Nothing was erased.\n"
