"""Files as users upload them: the exact rows read from each, and the result of its import."""

from __future__ import annotations

import re
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from customers.importers import CustomerImporter
from customers.models import Customer
from imports import error_messages
from imports.models import ImportJob
from imports.pipeline.header_detection import detect_columns, get_field_headers
from imports.pipeline.reader_client import UnreadableFile, open_rows
from tests.corpus.cases import CASES, IMPORTS, ReadableCase, UnreadableCase
from tests.factories import run_import
from tests.spreadsheets import READER_LIMITS, STREAMING_LIMITS

FOLDER = Path(__file__).parent / "corpus"
READABLE = [case for case in CASES if isinstance(case, ReadableCase)]
UNREADABLE = [case for case in CASES if isinstance(case, UnreadableCase)]
WORKBOOKS = [case for case in READABLE if case.format == "xlsx"]
ROW = re.compile(r'<row\b[^>]*\br="(\d+)"[^>]*>(.*?)</row>', re.DOTALL)
CONTENT = re.compile(r"<v\b[^>]*>[^<]+</v>|<t\b[^>]*>[^<]+</t>|<f\b")


def get_case_id(case) -> str:
    return " ".join([case.topic, case.file, *case.options.values()])


def read_case(case, limits=READER_LIMITS):
    with (
        open(FOLDER / case.file, "rb") as file,
        open_rows(
            file, limits=limits, options=case.options, fields=get_field_headers(CustomerImporter)
        ) as reader,
    ):
        return reader.detected_format, [row for chunk in reader for row in chunk.list_rows()]


@pytest.mark.parametrize("case", READABLE, ids=get_case_id)
def test_file_is_read_as_expected(case):
    detected, rows = read_case(case)

    assert detected.format == case.format
    assert {name: value for name, value in vars(detected).items() if value} == {
        "format": case.format,
        **case.opened,
    }
    assert repr(dict(rows)) == repr(case.rows)  # `repr` distinguishes True and 1.
    if rows:
        layout = detect_columns(rows, CustomerImporter)
        assert (layout.header_row, layout.missing) == (case.header_row, case.missing)


@pytest.mark.parametrize("case", UNREADABLE, ids=get_case_id)
def test_unreadable_file_gets_its_code(case):
    with pytest.raises(UnreadableFile) as error:
        read_case(case)

    assert (error.value.code, error.value.params) == (case.code, case.params)


@pytest.mark.parametrize("case", WORKBOOKS, ids=get_case_id)
def test_calamine_and_openpyxl_read_the_same_rows(case):
    assert repr(read_case(case, STREAMING_LIMITS)) == repr(read_case(case))


@pytest.mark.parametrize("case", WORKBOOKS, ids=get_case_id)
def test_all_rows_of_the_xml_are_read(case):
    """Count the rows with a value, a text or a formula without a parser."""
    detected, rows = read_case(case)

    assert [number for number, _ in rows] == find_rows_in_xml(FOLDER / case.file, detected.sheet)


def find_rows_in_xml(path: Path, sheet: str) -> list[int]:
    with zipfile.ZipFile(path) as archive:
        names = re.findall(
            r'<sheet [^>]*\bname="([^"]*)"', archive.read("xl/workbook.xml").decode()
        )
        part = f"xl/worksheets/sheet{names.index(sheet) + 1}.xml"
        xml = archive.read(part).decode()
    return [int(number) for number, cells in ROW.findall(xml) if CONTENT.search(cells)]


def test_every_file_has_a_case():
    files = {file.name for file in FOLDER.iterdir() if file.is_file() and file.suffix != ".py"}

    assert {case.file for case in CASES} == files
    assert len(CASES) >= 60


@pytest.mark.django_db
@pytest.mark.parametrize("expected", IMPORTS, ids=lambda expected: expected.file)
def test_import_of_a_file_has_the_expected_result(expected):
    content = (FOLDER / expected.file).read_bytes()

    job = run_import(content, read_options=expected.options)

    failed = {
        (number, error["field"], error["code"])
        for number, errors in job.rows.exclude(errors=None).values_list("number", "errors")
        for error in errors
    }
    assert (job.status, job.error_code) == (expected.status, expected.code)
    assert [*Customer.objects.order_by("shipping_mark").values_list("shipping_mark", "phone")] == (
        expected.customers
    )
    assert failed == expected.failed
    assert get_suggestions(job) == expected.suggested


def get_suggestions(job: ImportJob) -> dict[str, str]:
    """Return the suggested field of each header."""
    layout = job.detected_columns or {"headers": [], "suggestions": {}}
    return {layout["headers"][int(n)]: field for n, field in layout["suggestions"].items()}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("file", "code", "params"),
    [
        ("binary.xlsb", "binary_workbook", {}),
        ("unknown-link.xls", "second_reader", {}),
        ("filtered-rows-hidden-column.xlsx", "hidden_row", {"count": 3, "rows": [3, 4, 6]}),
    ],
)
def test_read_summary_of_a_workbook_has_the_entry(file, code, params):
    job = run_import((FOLDER / file).read_bytes())

    assert [entry["params"] for entry in job.read_summary if entry["code"] == code] == [params]


@pytest.mark.django_db
def test_column_samples_are_stored_for_the_mapping():
    job = run_import((FOLDER / "close-headers.xlsx").read_bytes())

    assert job.detected_columns["samples"][1] == ["Ama", "Kofi"]
    assert job.detected_columns["samples"][3] == ["ama@example.com"]
    assert job.detected_format["sheets"] == ["Data"]


SUMMARIES = {
    "one-line-in-another-encoding.csv": [
        ("other_encoding", {"encoding": "utf-8", "second_encoding": "windows-1252", "rows": [3]})
    ],
    "header-lacks-last-delimiter.csv": [],
    "two-phone-columns.csv": [
        ("columns_joined", {"column": "phone", "columns": ["Phone", "Phone"], "rows": [3]})
    ],
    "placeholders-for-nothing.csv": [
        ("placeholder_as_empty", {"column": "email", "rows": [2, 3, 4, 5]})
    ],
    "two-exports-pasted-together.csv": [("repeated_header", {"rows": [3]})],
    "title-total-signature.xlsx": [
        ("total_row", {"rows": [9]}),
        ("signature_row", {"rows": [11]}),
    ],
    "grouped-two-row-header.xlsx": [("header_in_two_rows", {"first": 1, "last": 2})],
    "filtered-rows-hidden-column.xlsx": [
        ("columns_ignored", {"columns": ["Active"], "count": 1}),
        ("hidden_columns_ignored", {"columns": ["Phone"], "count": 1}),
        ("hidden_row", {"rows": [3, 4, 6]}),
    ],
    "address-behind-a-link.xlsx": [("link_taken", {"column": "email", "rows": [2]})],
    "one-cell-far-right.xlsx": [("columns_ignored", {"columns": ["901"], "count": 1})],
    "long-text-in-an-unused-column.csv": [
        ("columns_ignored", {"columns": ["Notes"], "count": 1}),
        ("cell_shortened", {"rows": [3]}),
    ],
    "binary.xlsb": [
        ("columns_ignored", {"columns": ["6", "7", "8", "9", "11"], "count": 5}),
        ("binary_workbook", {}),
    ],
    "bad-formula-of-a-name.xls": [("second_reader", {})],
}


@pytest.mark.django_db
@pytest.mark.parametrize("file", SUMMARIES)
def test_read_summary_is_as_expected(file):
    job = run_import((FOLDER / file).read_bytes())

    expected = [
        {
            "code": code,
            "params": params | ({"count": len(params["rows"])} if "rows" in params else {}),
        }
        for code, params in SUMMARIES[file]
    ]
    assert job.read_summary == expected
    for entry in job.read_summary:
        assert "%(" not in error_messages.describe_read_summary_entry(entry, job.importer)


@pytest.mark.django_db
def test_hidden_rows_are_skipped_on_request():
    content = (FOLDER / "filtered-rows-hidden-column.xlsx").read_bytes()

    job = run_import(content, read_options={"hidden_rows": "skip"})

    assert [*Customer.objects.order_by("pk").values_list("shipping_mark", flat=True)] == [
        "F30-1",
        "F30-4",
    ]
    assert (job.total, job.created) == (2, 2)
    assert job.read_summary[-1] == {
        "code": "hidden_row_skipped",
        "params": {"count": 3, "rows": [3, 4, 6]},
    }


@pytest.mark.django_db
def test_mobile_number_of_an_address_book_comes_first():
    mapping = {"shipping_mark": 12, "first_name": 1, "last_name": 3, "email": 9, "phone": 8}

    run_import((FOLDER / "outlook-export.csv").read_bytes(), column_mapping=mapping)

    customers = Customer.objects.order_by("shipping_mark").values_list("email", "phone")
    assert [*customers] == [("f37r1@example.org", "+233247137001"), (None, "+233247137002")]


ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?|\d{2}:\d{2}:\d{2}.*")
BIDI_CONTROL = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.django_db
@pytest.mark.parametrize("file", sorted({case.file for case in CASES}))
def test_no_imported_text_is_misread(file):
    """No imported text is mojibake or a converted date, or has U+FFFD or invisible controls."""
    run_import((FOLDER / file).read_bytes())

    fields = ("shipping_mark", "first_name", "last_name", "email", "phone")
    for customer in Customer.objects.values(*fields):
        for text in filter(None, customer.values()):
            assert not is_mojibake(text)
            assert "\ufffd" not in text
            assert not BIDI_CONTROL.search(text)
            assert not ISO_DATE.fullmatch(text)


def is_mojibake(text: str) -> bool:
    """Return whether the text is UTF-8 that was decoded as Windows-1252 or Latin-1."""
    for page in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            if text.encode(page).decode() != text:
                return True
    return False
