"""Test that a file of failed rows can be corrected and uploaded without further steps."""

import csv
import io
import json

import openpyxl
import pytest
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from customers import validators
from customers.models import Customer
from imports.importer import InvalidValue
from imports.pipeline import failed_rows, failed_rows_file
from imports.pipeline.failed_rows import FailedRows, NoFailedRows
from imports.pipeline.formula_injection import (
    double_apostrophes,
    is_formula,
    neutralize_formula,
    restore_formula,
)
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

HOSTILE_TEXTS = [
    '=HYPERLINK("http://x.example","y")',
    "@SUM(1+1)",
    "\t=1",
    " =1",
    "\uff1d1",
    "-1+1",
    "+cmd|' /C calc'!A0",
    "'=1",
    "''+1",
    "+233 24 412 3456",
    "0042",
    "-5",
    "😀 \u202eabc",
    "<r><t>x</t></r>",
    "<r>&</r>",
    "_x0041_",
    "a\nb",
    'say "hi"; é',
    "'quoted'",
    "x" * 32_767,
]
for_each_file_type = pytest.mark.parametrize(
    "write", [failed_rows_file.write_workbook, failed_rows_file.write_csv]
)


def write_file(job, write=failed_rows_file.write_workbook) -> bytes:
    job.refresh_from_db()
    file = io.BytesIO()
    write(job, file)
    return file.getvalue()


def load_sheet(content: bytes, name: str | int = 0):
    return openpyxl.load_workbook(io.BytesIO(content)).worksheets[name]


def read_cells(content: bytes) -> list[list]:
    """Return the rows of a file as the reader process reads them."""
    return [cells for _, cells in read_rows(content)]


def correct_file(content: bytes, change) -> bytes:
    """Return the file with changed rows, as another program saves it."""
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


def remove_phones(rows):
    return [[*row[:4], "none"] for row in rows]


def give_phones(row):
    row[4] = f"02441{row[0].split()[-1]:0>5}"


# --- Correct and upload again ------------------------------------------------


def make_xlsx(rows, headers):
    book = openpyxl.Workbook()
    for row in [headers, *rows] if headers else rows:
        book.active.append(row)
    for row in book.active.iter_rows():
        for cell in row:
            cell.data_type = "s" if isinstance(cell.value, str) else cell.data_type
    return save_workbook(book)


def make_jsonl(rows, headers):
    objects = [dict(zip(headers or HEADERS, row, strict=True)) for row in rows]
    return "\n".join(json.dumps(row) for row in objects).encode()


@for_each_file_type
@pytest.mark.parametrize("headers", [HEADERS, None], ids=["headers", "no headers"])
@pytest.mark.parametrize("make", [make_xlsx, make_csv, make_jsonl])
def test_corrected_rows_are_imported_without_further_steps(make, headers, write):
    good, bad = [make_row(n) for n in range(3)], remove_phones(make_row(n) for n in range(3, 7))
    job = run_import(make([*good, *bad], headers))
    assert (job.created, job.failed) == (3, 4)

    again = run_import(correct_file(write_file(job, write), give_phones))

    assert (again.status, again.created, again.failed) == (Status.COMPLETE, 4, 0)
    assert Customer.objects.count() == 7


@for_each_file_type
def test_rows_with_every_kind_of_error_can_be_corrected(write):
    """Two errors in one row, a repeated row, an existing record, and columns that fill no field."""
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

    content = write_file(job, write)

    header, *back = read_cells(content)
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

    again = run_import(correct_file(content, change))
    assert (again.status, again.created, again.failed) == (Status.COMPLETE, 4, 0)
    assert Customer.objects.get(shipping_mark="EIGHT").phone == "+233244100002"


def make_valid_name(text):
    """Return the text if it is a valid name."""
    try:
        return text if validators.clean_name(text) else "Ama"
    except InvalidValue:
        return "Ama"


@for_each_file_type
@pytest.mark.parametrize("make", [make_xlsx, make_csv, make_jsonl])
def test_text_that_looks_like_a_formula_is_not_changed(make, write):
    rows = [
        [f"M {n}", make_valid_name(text), "Mensah", None, "none", text]
        for n, text in enumerate(HOSTILE_TEXTS)
    ]
    job = run_import(make(rows, [*HEADERS, "Remark"]))
    assert job.failed == len(HOSTILE_TEXTS)
    was = [row.cells for row in job.rows.order_by("number")]  # openpyxl writes _x0041_ as A.

    again = check_job(make_job(correct_file(write_file(job, write), give_phones), check_first=True))

    assert (again.failed, again.total) == (0, len(HOSTILE_TEXTS))
    rows = list(again.rows.order_by("number"))
    assert [row.cleaned[1] for row in rows] == [validators.clean_name(cells[1]) for cells in was]
    assert [row.cells[5] for row in rows] == [cells[5] for cells in was]


@for_each_file_type
def test_a_file_of_failed_rows_of_such_a_file_has_one_reason_column(write):
    first = run_import(make_csv(remove_phones([make_row(1), make_row(2)])))
    second = run_import(write_file(first, write))
    assert second.failed == 2

    header, *rows = read_cells(write_file(second, write))

    assert header == [*HEADERS, f"{REASON_HEADER_PREFIX} Reason"]
    assert [len(row) for row in rows] == [6, 6]
    again = run_import(correct_file(write_file(second, write), give_phones))
    assert (again.created, again.failed) == (2, 0)


def test_a_reason_column_is_not_stored_with_the_rows():
    first = run_import(make_csv(remove_phones([make_row(1), make_row(2)])))
    again = run_import(correct_file(write_file(first), give_phones))
    assert list(again.rows.values_list("cells", flat=True)) == [None, None]


@for_each_file_type
def test_mapped_columns_are_recognized_in_the_corrected_file(write):
    job = check_job(make_job(make_csv(remove_phones([make_row(1)]), ["a", "b", "c", "d", "Phone"])))
    assert job.status == Status.MAPPING
    positions = {"shipping_mark": 0, "first_name": 1, "last_name": 2, "phone": 3}
    layout = {**job.detected_columns, "positions": positions, "missing": []}
    job.rows.model.objects.create(
        job=job, number=2, outcome=Outcome.FAILED, errors=[], cells=["X 1", "A", "B", None, "0"]
    )
    type(job).objects.filter(pk=job.pk).update(detected_columns=layout)

    def change(row):
        row[3] = "0244000000"

    again = run_import(correct_file(write_file(job, write), change))

    assert again.created == 1
    assert again.detected_columns["positions"] == positions
    assert again.detected_columns["headers"][4] == "Phone (not used)"


# --- Stored cells ------------------------------------------------------------


def test_valid_rows_keep_their_cells_only_if_a_cell_fills_no_field():
    content = make_csv([[*make_row(1), ""], [*make_row(2), "note"]], [*HEADERS, "Remark"])
    job = run_import(content)
    kept = dict(job.rows.values_list("number", "cells"))
    assert kept == {2: None, 3: [*make_row(2), "note"]}


def test_cells_right_of_the_headers_are_kept():
    job = run_import(make_csv([make_row(1), [*make_row(2), "", "beyond"]]))
    assert job.rows.get(number=3).cells == [*make_row(2), None, "beyond"]


def test_cells_are_kept_without_unstorable_characters():
    content = make_jsonl([[*make_row(1), "a\x00\ud800"]], [*HEADERS, "Remark"])
    job = run_import(content)
    assert job.rows.get().cells[-1] == "a\ufffd\ufffd"


def test_cleaned_values_are_written_to_their_columns_if_cells_are_not_kept():
    run_import(make_csv([make_row(1)]))
    headers = ["Phone", "Shipping mark", "Last name", "First name"]
    job = run_import(make_csv([["024 000 0001", "mark  1", "Mensah", "Ama"]], headers))
    header, *rows = read_cells(write_file(job)), get_skipped_rows(job)
    assert header == [[*headers, f"{REASON_HEADER_PREFIX} Reason"]]
    assert rows[0][1][:4] == ["+233240000001", "MARK 1", "Mensah", "Ama"]


def get_skipped_rows(job):
    values = load_sheet(write_file(job), 1).iter_rows(values_only=True)
    return [list(row) for row in values]


def test_a_related_record_is_written_by_its_natural_key():
    run_import(make_csv([make_row(1)]))
    rows = [[7, "MARK 1", 5], [7, "MARK 1", 6], [8, "NOBODY", 1]]
    job = run_import(make_workbook(["Number", "Customer", "Weight"], *rows), importer="parcels")
    assert (job.created, job.failed) == (1, 2)

    content = write_file(job)

    assert [row[:3] for row in read_cells(content)[1:]] == [["7", "MARK 1", "6"], [8, "NOBODY", 1]]

    def change(row):
        row[0], row[1] = int(row[0]) + 10, "MARK 1"

    again = run_import(correct_file(content, change), importer="parcels")
    assert again.created == 2
    assert Parcel.objects.count() == 3


# --- The workbook ------------------------------------------------------------


def test_cells_with_errors_are_colored_and_have_a_comment():
    job = run_import(make_csv([make_row(1), make_row(2, email="x", phone="none")]))

    row = load_sheet(write_file(job))[2]

    assert [cell.comment is not None for cell in row] == [False] * 3 + [True, True, False]
    assert row[4].comment.text.startswith("This is not a phone number")
    fills = [cell.fill.fgColor.rgb for cell in row]
    assert fills[3] == fills[4] == "FFFFC7CE"
    assert fills[0] == "00000000"


def test_text_and_numbers_keep_their_types():
    job = run_import(make_workbook(HEADERS, ["A 1", "0042", 12.5, None, 17]))

    _, first, last, _, phone, _ = load_sheet(write_file(job))[2]

    assert (first.value, first.data_type, first.number_format) == ("0042", "s", "@")
    assert (last.value, phone.value) == (12.5, 17)
    assert phone.fill.fgColor.rgb == "FFFFC7CE"


def test_a_formula_stays_text_after_an_edit():
    job = run_import(make_csv([make_row(1, first="=1+1", phone="none")]))
    cell = load_sheet(write_file(job))[2][1]
    assert (cell.value, cell.data_type, cell.quotePrefix) == ("=1+1", "s", True)


def test_the_number_of_comments_is_limited_and_of_colored_cells_is_not(monkeypatch):
    monkeypatch.setattr(failed_rows_file, "MAX_COMMENTS", 3)
    job = run_import(make_csv(remove_phones(make_row(n) for n in range(5))))
    cells = [row[4] for row in load_sheet(write_file(job)).iter_rows(min_row=2)]
    assert [cell.comment is not None for cell in cells] == [True, True, True, False, False]
    assert {cell.fill.fgColor.rgb for cell in cells} == {"FFFFC7CE"}


@pytest.mark.parametrize(("rows", "sheets"), [(3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_rows_that_do_not_fit_a_sheet_are_written_to_further_sheets(monkeypatch, rows, sheets):
    monkeypatch.setattr(failed_rows_file, "MAX_SHEET_ROWS", 4)
    job = run_import(make_csv(remove_phones(make_row(n) for n in range(rows))))
    book = openpyxl.load_workbook(io.BytesIO(write_file(job)))
    assert [one.max_row - 1 for one in book.worksheets] == sheets
    assert book.sheetnames == ["Failed", "Failed 2", "Failed 3"][: len(sheets)]


def test_pages_of_rows_are_limited_in_bytes(monkeypatch):
    job = run_import(make_csv(remove_phones(make_row(n) for n in range(20))))
    monkeypatch.setattr(failed_rows, "MAX_PAGE_BYTES", 200)
    monkeypatch.setattr(failed_rows, "MAX_PAGE_ROWS", 7)

    pages = list(FailedRows(job)._iterate_pages(Outcome.FAILED))

    assert [row.number for page in pages for row in page] == list(range(2, 22))
    assert max(map(len, pages)) < 7
    monkeypatch.setattr(failed_rows, "MAX_PAGE_BYTES", 1)
    assert {len(page) for page in FailedRows(job)._iterate_pages(Outcome.FAILED)} == {1}


def test_a_csv_file_has_the_delimiter_of_the_uploaded_file():
    content = make_csv(remove_phones([make_row(1)])).replace(b",", b";")
    job = run_import(content)
    assert write_file(job, failed_rows_file.write_csv).splitlines()[0].count(b";") == 5


def test_headers_of_a_file_without_headers_do_not_depend_on_the_language():
    job = run_import(make_csv([make_row(2), *remove_phones([make_row(1)])], headers=None))
    with override("fr"):
        content = write_file(job)
    assert read_cells(content)[0][:5] == [
        "Shipping mark",
        "First name",
        "Last name",
        "E-mail",
        "Phone",
    ]


@for_each_file_type
def test_an_import_without_failed_rows_has_no_file(write):
    job = run_import(make_csv([make_row(1)]))
    with pytest.raises(NoFailedRows):
        write_file(job, write)
    job = run_import(make_csv([make_row(1)]))
    assert job.skipped == 1
    with pytest.raises(NoFailedRows):
        write_file(job, failed_rows_file.write_csv)
    assert load_sheet(write_file(job), 1).max_row == 2


def test_an_import_without_its_importer_still_has_a_file():
    job = run_import(make_csv(remove_phones([make_row(1)])))
    type(job).objects.filter(pk=job.pk).update(importer="gone")
    header, row = read_cells(write_file(job))
    assert header[:5] == HEADERS
    assert row[0] == "MARK 1"


# --- Formulas ----------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_neutralized_formulas_can_be_restored(text):
    assert restore_formula(neutralize_formula(text)) == text
    assert restore_formula(text) == text or text.startswith("'")


@given(st.text(st.sampled_from(";,|\t\r\n '=+-@15a"), max_size=20))
def test_every_text_survives_both_kinds_of_file(text):
    assert restore_formula(neutralize_formula(text)) == text
    assert restore_formula(double_apostrophes(text)) == text


@given(
    st.text(st.sampled_from(";,|\t\n '\"=+-@15a"), max_size=20),
    st.sampled_from(",;\t|"),
    st.sampled_from(",;\t|"),
)
def test_a_csv_file_computes_nothing_whatever_separator_a_program_expects(text, written, expected):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=written, quoting=csv.QUOTE_ALL)
    writer.writerow(map(neutralize_formula, ["Ama", text, "Mensah"]))

    rows = csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=expected)

    cells = [cell.split('"')[0].strip() for row in rows for cell in row]
    assert [cell for cell in cells if cell[:1] in {*"=+-@"} and is_formula(cell)] == []


def test_a_long_run_of_separators_takes_no_long_time():
    text = "; " * 500_000 + "x"

    assert neutralize_formula(text) == text


@pytest.mark.parametrize("text", HOSTILE_TEXTS[:7])
def test_formulas_get_an_apostrophe(text):
    assert neutralize_formula(text) == "'" + text.replace("\t=", "\t'=")


@pytest.mark.parametrize(
    "cell",
    [
        "+233 24 412 3456",
        "-5",
        "-1,5",
        "0042",
        "Ama",
        "a=b",
        5,
        None,
        "a@b.c;d@e.f",
        "5, +233 24 412 3456",
        "a -b",
    ],
)
def test_other_cells_are_not_changed(cell):
    assert neutralize_formula(cell) == cell
