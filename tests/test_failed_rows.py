"""Refused rows go back as a file that, corrected, imports with no extra step."""

import csv
import io
import json

import openpyxl
import pytest
from django.utils.translation import override

from customers import validators
from customers.models import Customer
from imports.importer import InvalidValue
from imports.pipeline import failed_rows, failed_rows_file
from imports.pipeline.failed_rows import FailedRows, NoFailedRows
from imports.pipeline.formula_injection import neutralize_formula, restore_formula
from imports.pipeline.header_detection import REASON_HEADER_PREFIX
from imports.statuses import Outcome, Status
from tests.factories import (
    HEADERS,
    check_job,
    get_outcomes,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.parcels.models import Parcel
from tests.spreadsheets import make_workbook, read_rows, save_workbook

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = [
    *('=HYPERLINK("http://x.example","y")', "@SUM(1+1)", "\t=1", " =1", "\uff1d1", "-1+1"),
    *("+cmd|' /C calc'!A0", "'=1", "''+1", "+233 24 412 3456", "0042", "-5", "😀 \u202eabc"),
    *(
        "<r><t>x</t></r>",
        "<r>&</r>",
        "_x0041_",
        "a\nb",
        'say "hi"; \u00e9',
        "'quoted'",
        "x" * 32_767,
    ),
]
FILES = pytest.mark.parametrize(
    "write", [failed_rows_file.write_workbook, failed_rows_file.write_csv]
)


def report(job, write=failed_rows_file.write_workbook) -> bytes:
    job.refresh_from_db()
    file = io.BytesIO()
    write(job, file)
    return file.getvalue()


def sheet(content: bytes, name: str | int = 0):
    return openpyxl.load_workbook(io.BytesIO(content)).worksheets[name]


def lines(content: bytes) -> list[list]:
    """The rows of a report as its own reader of ours has them."""
    return [cells for _, cells in read_rows(content)]


def corrected(content: bytes, change) -> bytes:
    """The report with its data rows changed, saved anew by another program."""
    if not content.startswith(b"PK"):
        header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return make_csv([change(row) or row for row in rows], header)
    book = openpyxl.load_workbook(io.BytesIO(content))
    for row in book.worksheets[0].iter_rows(min_row=2):
        values = [cell.value for cell in row]
        for cell, value in zip(row, change(values) or values, strict=True):
            cell.value = value
            cell.data_type = "s" if isinstance(value, str) else cell.data_type
    return save_workbook(book)


def no_phones(rows):
    return [[*row[:4], "none"] for row in rows]


def give_phones(row):
    row[4] = f"02441{row[0].split()[-1]:0>5}"


# --- There and back ----------------------------------------------------------


def as_workbook(rows, headers):
    book = openpyxl.Workbook()
    for row in [headers, *rows] if headers else rows:
        book.active.append(row)
    for row in book.active.iter_rows():
        for cell in row:
            cell.data_type = "s" if isinstance(cell.value, str) else cell.data_type
    return save_workbook(book)


def as_lines(rows, headers):
    objects = [dict(zip(headers or HEADERS, row, strict=True)) for row in rows]
    return "\n".join(json.dumps(one) for one in objects).encode()


@FILES
@pytest.mark.parametrize("headers", [HEADERS, None], ids=["headers", "no headers"])
@pytest.mark.parametrize("make", [as_workbook, make_csv, as_lines])
def test_corrected_rows_are_imported_with_no_extra_step(make, headers, write):
    good, bad = [make_row(n) for n in range(3)], no_phones(make_row(n) for n in range(3, 7))
    job = run_import(make([*good, *bad], headers))
    assert (job.created, job.failed) == (3, 4)

    again = run_import(corrected(report(job, write), give_phones))

    assert (again.status, again.created, again.failed) == (Status.COMPLETE, 4, 0)
    assert Customer.objects.count() == 7


@FILES
def test_every_sort_of_refusal_comes_back_and_all_of_it_imports(write):
    """Errors, two in one row, a repeat, an existing record, and columns that nothing takes."""
    run_import(make_csv([make_row(1)]))
    headers = ["No", "Phone", "Seen", "Last name", "E-mail", "Shipping mark", "", "First name"]
    rows = [
        [1, "+233240000009", True, "Mensah", None, "NINE", None, "Ama"],
        [2, 244000008, 1.5, "Mensah", "no address", "EIGHT", "x" * 100, None],
        [3, "+233 24 000 0009", None, "Owusu", None, "TEN", "kept", "Kofi"],
        [4, "024 000 0001", None, "Owusu", None, "ELEVEN", None, "Kofi"],
        [5, "000", False, "Owusu", None, "TWELVE", None, "Kofi", "beyond"],
    ]
    job = run_import(make_workbook(headers, *rows), on_duplicate="fail")
    assert get_outcomes(job) == {2: "created", 3: "failed", 4: "failed", 5: "failed", 6: "failed"}

    content = report(job, write)

    header, *back = lines(content)
    assert header[:8] == ["No", "Phone", "Seen", "Last name", "E-mail", "Shipping mark", None,
                          "First name"]  # fmt: skip
    assert header[9] == f"{REASON_HEADER_PREFIX} Reason"
    if write is failed_rows_file.write_workbook:
        assert [row[:9] for row in back] == [[*row, *[None] * (9 - len(row))] for row in rows[1:]]
    assert back[0][9] == (
        "Row 3. First name: This value is required. Fill it in, or delete the row. E-mail: This "
        "e-mail address has no @. Write it like ama@example.com, or leave the cell empty."
    )
    assert back[1][9].startswith("Row 4. Phone: This row is a duplicate of row 2 of the same file.")
    assert back[2][9].startswith("Row 5. Phone: A record with this value already exists.")

    def change(row):
        number = int(row[0])
        row[1] = f"02441{number:05}"
        row[4], row[7] = None, "Ama"

    again = run_import(corrected(content, change))
    assert (again.status, again.created, again.failed) == (Status.COMPLETE, 4, 0)
    assert Customer.objects.get(shipping_mark="EIGHT").phone == "+233244100002"


def as_name(text):
    """The text, if a customer may be called so."""
    try:
        return text if validators.clean_name(text) else "Ama"
    except InvalidValue:
        return "Ama"


@FILES
@pytest.mark.parametrize("make", [as_workbook, make_csv, as_lines])
def test_text_that_looks_like_a_formula_comes_back_as_it_was(make, write):
    rows = [
        [f"M {n}", as_name(text), "Mensah", None, "none", text] for n, text in enumerate(HOSTILE)
    ]
    job = run_import(make(rows, [*HEADERS, "Remark"]))
    assert job.failed == len(HOSTILE)
    was = [row.cells for row in job.rows.order_by("number")]  # openpyxl writes _x0041_ as A.

    again = check_job(make_job(corrected(report(job, write), give_phones), check_first=True))

    assert (again.failed, again.total) == (0, len(HOSTILE))
    rows = list(again.rows.order_by("number"))
    assert [row.cleaned[1] for row in rows] == [validators.clean_name(cells[1]) for cells in was]
    assert [row.cells[5] for row in rows] == [cells[5] for cells in was]


@FILES
def test_a_report_of_a_report_has_one_reason_column(write):
    first = run_import(make_csv(no_phones([make_row(1), make_row(2)])))
    second = run_import(report(first, write))
    assert second.failed == 2

    header, *rows = lines(report(second, write))

    assert header == [*HEADERS, f"{REASON_HEADER_PREFIX} Reason"]
    assert [len(row) for row in rows] == [6, 6]
    again = run_import(corrected(report(second, write), give_phones))
    assert (again.created, again.failed) == (2, 0)


def test_a_reason_column_costs_no_row_its_place():
    first = run_import(make_csv(no_phones([make_row(1), make_row(2)])))
    again = run_import(corrected(report(first), give_phones))
    assert list(again.rows.values_list("cells", flat=True)) == [None, None]


@FILES
def test_columns_that_a_person_has_named_are_recognised_the_next_time(write):
    job = check_job(make_job(make_csv(no_phones([make_row(1)]), ["a", "b", "c", "d", "Phone"])))
    assert job.status == Status.MAPPING
    positions = {"shipping_mark": 0, "first_name": 1, "last_name": 2, "phone": 3}
    layout = {**job.detected_columns, "positions": positions, "missing": []}
    job.rows.model.objects.create(
        job=job, number=2, outcome=Outcome.FAILED, errors=[], cells=["X 1", "A", "B", None, "0"]
    )
    type(job).objects.filter(pk=job.pk).update(detected_columns=layout)

    def change(row):
        row[3] = "0244000000"

    again = run_import(corrected(report(job, write), change))

    assert again.created == 1
    assert again.detected_columns["positions"] == positions
    assert again.detected_columns["headers"][4] == "Phone (not used)"


# --- What a row keeps --------------------------------------------------------


def test_good_rows_keep_their_cells_only_where_no_field_takes_one_of_them():
    content = make_csv([[*make_row(1), ""], [*make_row(2), "note"]], [*HEADERS, "Remark"])
    job = run_import(content)
    kept = dict(job.rows.values_list("number", "cells"))
    assert kept == {2: None, 3: [*make_row(2), "note"]}


def test_a_cell_right_of_the_headers_is_kept_too():
    job = run_import(make_csv([make_row(1), [*make_row(2), "", "beyond"]]))
    assert job.rows.get(number=3).cells == [*make_row(2), None, "beyond"]


def test_what_postgresql_cannot_store_is_kept_without_it():
    content = as_lines([[*make_row(1), "a\x00\ud800"]], [*HEADERS, "Remark"])
    job = run_import(content)
    assert job.rows.get().cells[-1] == "a\ufffd\ufffd"


def test_values_stand_at_their_columns_places_where_a_row_has_no_cells():
    run_import(make_csv([make_row(1)]))
    headers = ["Phone", "Shipping mark", "Last name", "First name"]
    job = run_import(make_csv([["024 000 0001", "mark  1", "Mensah", "Ama"]], headers))
    header, *rows = lines(report(job)), get_skipped_rows(job)
    assert header == [[*headers, f"{REASON_HEADER_PREFIX} Reason"]]
    assert rows[0][1][:4] == ["+233240000001", "MARK 1", "Mensah", "Ama"]


def get_skipped_rows(job):
    values = sheet(report(job), 1).iter_rows(values_only=True)
    return [list(row) for row in values]


def test_a_record_is_named_as_the_file_named_it():
    run_import(make_csv([make_row(1)]))
    rows = [[7, "MARK 1", 5], [7, "MARK 1", 6], [8, "NOBODY", 1]]
    job = run_import(make_workbook(["Number", "Customer", "Weight"], *rows), importer="parcels")
    assert (job.created, job.failed) == (1, 2)

    content = report(job)

    assert [row[:3] for row in lines(content)[1:]] == [["7", "MARK 1", "6"], [8, "NOBODY", 1]]

    def change(row):
        row[0], row[1] = int(row[0]) + 10, "MARK 1"

    again = run_import(corrected(content, change), importer="parcels")
    assert again.created == 2
    assert Parcel.objects.count() == 3


# --- The workbook ------------------------------------------------------------


def test_bad_cells_are_marked_and_say_why():
    job = run_import(make_csv([make_row(1), make_row(2, email="x", phone="none")]))

    row = sheet(report(job))[2]

    assert [cell.comment is not None for cell in row] == [False] * 3 + [True, True, False]
    assert row[4].comment.text.startswith("This is not a phone number")
    fills = [cell.fill.fgColor.rgb for cell in row]
    assert fills[3] == fills[4] == "FFFFC7CE"
    assert fills[0] == "00000000"


def test_text_is_text_and_numbers_stay_numbers():
    job = run_import(make_workbook(HEADERS, ["A 1", "0042", 12.5, None, 17]))

    _, first, last, _, phone, _ = sheet(report(job))[2]

    assert (first.value, first.data_type, first.number_format) == ("0042", "s", "@")
    assert (last.value, phone.value) == (12.5, 17)
    assert phone.fill.fgColor.rgb == "FFFFC7CE"


def test_a_formula_stays_text_when_it_is_edited():
    job = run_import(make_csv([make_row(1, first="=1+1", phone="none")]))
    cell = sheet(report(job))[2][1]
    assert (cell.value, cell.data_type, cell.quotePrefix) == ("=1+1", "s", True)


def test_comments_are_bounded_and_marks_are_not(monkeypatch):
    monkeypatch.setattr(failed_rows_file, "MAX_COMMENTS", 3)
    job = run_import(make_csv(no_phones(make_row(n) for n in range(5))))
    cells = [row[4] for row in sheet(report(job)).iter_rows(min_row=2)]
    assert [cell.comment is not None for cell in cells] == [True, True, True, False, False]
    assert {cell.fill.fgColor.rgb for cell in cells} == {"FFFFC7CE"}


@pytest.mark.parametrize(("rows", "sheets"), [(3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_what_a_sheet_cannot_hold_stands_on_further_ones(monkeypatch, rows, sheets):
    monkeypatch.setattr(failed_rows_file, "MAX_SHEET_ROWS", 4)
    job = run_import(make_csv(no_phones(make_row(n) for n in range(rows))))
    book = openpyxl.load_workbook(io.BytesIO(report(job)))
    assert [one.max_row - 1 for one in book.worksheets] == sheets
    assert book.sheetnames == ["Failed", "Failed 2", "Failed 3"][: len(sheets)]


def test_pages_end_where_they_get_heavy(monkeypatch):
    job = run_import(make_csv(no_phones(make_row(n) for n in range(20))))
    monkeypatch.setattr(failed_rows, "MAX_PAGE_BYTES", 200)
    monkeypatch.setattr(failed_rows, "MAX_PAGE_ROWS", 7)

    pages = list(FailedRows(job)._pages(Outcome.FAILED))

    assert [row.number for page in pages for row in page] == list(range(2, 22))
    assert max(map(len, pages)) < 7
    monkeypatch.setattr(failed_rows, "MAX_PAGE_BYTES", 1)
    assert {len(page) for page in FailedRows(job)._pages(Outcome.FAILED)} == {1}


def test_a_csv_report_keeps_the_files_delimiter():
    content = make_csv(no_phones([make_row(1)])).replace(b",", b";")
    job = run_import(content)
    assert report(job, failed_rows_file.write_csv).splitlines()[0].count(b";") == 5


def test_words_are_the_readers_and_headers_the_importers():
    job = run_import(make_csv([make_row(2), *no_phones([make_row(1)])], headers=None))
    with override("fr"):
        content = report(job)
    assert lines(content)[0][:5] == ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]


@FILES
def test_without_refused_rows_there_is_no_report(write):
    job = run_import(make_csv([make_row(1)]))
    with pytest.raises(NoFailedRows):
        report(job, write)
    job = run_import(make_csv([make_row(1)]))
    assert job.skipped == 1
    with pytest.raises(NoFailedRows):
        report(job, failed_rows_file.write_csv)
    assert sheet(report(job), 1).max_row == 2


def test_an_import_whose_app_is_gone_still_gives_its_rows_back():
    job = run_import(make_csv(no_phones([make_row(1)])))
    type(job).objects.filter(pk=job.pk).update(importer="gone")
    header, row = lines(report(job))
    assert header[:5] == HEADERS
    assert row[0] == "MARK 1"


# --- Formulas ----------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_made_harmless_can_be_put_back(text):
    assert restore_formula(neutralize_formula(text)) == text
    assert restore_formula(text) == text or text.startswith("'")


@pytest.mark.parametrize("text", HOSTILE[:7])
def test_what_computes_gets_an_apostrophe(text):
    assert neutralize_formula(text) == f"'{text}"


@pytest.mark.parametrize("cell", ["+233 24 412 3456", "-5", "-1,5", "0042", "Ama", "a=b", 5, None])
def test_what_computes_nothing_stays_readable(cell):
    assert neutralize_formula(cell) == cell
