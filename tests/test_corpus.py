"""Files as people hand them in: what is read of each, exactly, and what becomes of it."""

from __future__ import annotations

import re
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from customers.importer import CustomerImporter
from customers.models import Customer
from imports import error_messages
from imports.models import ImportJob
from imports.pipeline.header_detection import detect_columns, get_field_headers
from imports.pipeline.reader_client import UnreadableFile, open_rows
from tests.corpus.cases import CASES, IMPORTS, Read, Refused
from tests.factories import run_import
from tests.spreadsheets import LIMITS, STREAMING_LIMITS

FOLDER = Path(__file__).parent / "corpus"
READ = [case for case in CASES if isinstance(case, Read)]
REFUSED = [case for case in CASES if isinstance(case, Refused)]
WORKBOOKS = [case for case in READ if case.format == "xlsx"]
ROW = re.compile(r'<row\b[^>]*\br="(\d+)"[^>]*>(.*?)</row>', re.DOTALL)
CONTENT = re.compile(r"<v\b[^>]*>[^<]+</v>|<t\b[^>]*>[^<]+</t>|<f\b")


def by_file(case) -> str:
    return " ".join([case.clause, case.file, *case.options.values()])


def opened(case, limits=LIMITS):
    with (
        open(FOLDER / case.file, "rb") as file,
        open_rows(
            file, limits=limits, options=case.options, fields=get_field_headers(CustomerImporter)
        ) as reader,
    ):
        return reader.detected_format, [row for chunk in reader for row in chunk.rows]


@pytest.mark.parametrize("case", READ, ids=by_file)
def test_a_file_is_read_as_people_see_it(case):
    how, rows = opened(case)

    assert how.format == case.format
    assert {name: said for name, said in vars(how).items() if said} == {
        "format": case.format,
        **case.opened,
    }
    assert repr(dict(rows)) == repr(case.rows)  # True is not 1 here.
    if rows:
        layout = detect_columns(rows, CustomerImporter)
        assert (layout.header_row, layout.missing) == (case.header_row, case.missing)


@pytest.mark.parametrize("case", REFUSED, ids=by_file)
def test_a_file_that_cannot_be_read_gets_its_code(case):
    with pytest.raises(UnreadableFile) as caught:
        opened(case)

    assert (caught.value.code, caught.value.params) == (case.code, case.params)


@pytest.mark.parametrize("case", WORKBOOKS, ids=by_file)
def test_both_parsers_give_the_same_rows(case):
    assert repr(opened(case, STREAMING_LIMITS)) == repr(opened(case))


@pytest.mark.parametrize("case", WORKBOOKS, ids=by_file)
def test_no_row_of_the_xml_is_dropped(case):
    """Counted without any parser: rows that hold a value, a text or a formula."""
    how, rows = opened(case)

    assert [number for number, _ in rows] == rows_in_xml(FOLDER / case.file, how.sheet)


def rows_in_xml(path: Path, sheet: str) -> list[int]:
    with zipfile.ZipFile(path) as archive:
        names = re.findall(
            r'<sheet [^>]*\bname="([^"]*)"', archive.read("xl/workbook.xml").decode()
        )
        part = f"xl/worksheets/sheet{names.index(sheet) + 1}.xml"
        xml = archive.read(part).decode()
    return [int(number) for number, cells in ROW.findall(xml) if CONTENT.search(cells)]


def test_every_file_is_in_the_table():
    files = {file.name for file in FOLDER.iterdir() if file.is_file() and file.suffix != ".py"}

    assert {case.file for case in CASES} == files
    assert len(CASES) >= 60


@pytest.mark.django_db
@pytest.mark.parametrize("expected", IMPORTS, ids=lambda expected: expected.file)
def test_a_file_ends_where_it_should(expected):
    content = (FOLDER / expected.file).read_bytes()

    job = run_import(content, read_options=expected.options)

    refused = {
        (number, error["column"], error["code"])
        for number, errors in job.rows.exclude(errors=None).values_list("number", "errors")
        for error in errors
    }
    assert (job.status, job.error_code) == (expected.status, expected.code)
    assert [*Customer.objects.order_by("shipping_mark").values_list("shipping_mark", "phone")] == (
        expected.customers
    )
    assert refused == expected.refused
    assert suggested(job) == expected.suggested


def suggested(job: ImportJob) -> dict[str, str]:
    """Header to the field it might be."""
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
def test_what_was_odd_about_a_workbook_is_in_the_read_summary(file, code, params):
    job = run_import((FOLDER / file).read_bytes())

    assert [one["params"] for one in job.read_summary if one["code"] == code] == [params]


@pytest.mark.django_db
def test_who_is_asked_sees_what_stands_below_each_header():
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
def test_the_read_summary_says_what_was_done(file):
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
def test_hidden_rows_are_left_out_where_the_user_wants_that():
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
def test_of_an_address_book_the_mobile_number_goes_first():
    mapping = {"shipping_mark": 12, "first_name": 1, "last_name": 3, "email": 9, "phone": 8}

    run_import((FOLDER / "outlook-export.csv").read_bytes(), column_mapping=mapping)

    customers = Customer.objects.order_by("shipping_mark").values_list("email", "phone")
    assert [*customers] == [("f37r1@example.org", "+233247137001"), (None, "+233247137002")]


ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?|\d{2}:\d{2}:\d{2}.*")
BIDI_CONTROL = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.django_db
@pytest.mark.parametrize("file", sorted({case.file for case in CASES}))
def test_no_accepted_text_is_misread(file):
    """Neither mojibake, nor U+FFFD, nor an invisible control, nor a date that was a code."""
    run_import((FOLDER / file).read_bytes())

    fields = ("shipping_mark", "first_name", "last_name", "email", "phone")
    for customer in Customer.objects.values(*fields):
        for text in filter(None, customer.values()):
            assert not is_mojibake(text)
            assert "\ufffd" not in text
            assert not BIDI_CONTROL.search(text)
            assert not ISO_DATE.fullmatch(text)


def is_mojibake(text: str) -> bool:
    """Whether the text is what UTF-8 looks like when it is read as Windows-1252 or Latin-1."""
    for page in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            if text.encode(page).decode() != text:
                return True
    return False
