"""Test that random rows, written to a file by a library, are read as they were written."""

from __future__ import annotations

import io
from itertools import chain

import pytest
import xlsxwriter
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from customers import validators
from customers.models import Customer
from imports.importer import InvalidValue
from imports.mojibake import repair_mojibake
from imports.text_cell_values import INVISIBLE_MARK_PATTERN
from tests.factories import HEADERS, make_csv, run_import
from tests.oracle import FIELDS
from tests.spreadsheets import STREAMING_LIMITS, make_workbook, read_rows

RULES = (
    validators.clean_shipping_mark,
    validators.clean_name,
    validators.clean_name,
    validators.clean_email,
    validators.clean_phone,
)
# Each example takes fifty milliseconds, for a file and a reader process.
few_examples = settings(max_examples=max(10, settings().max_examples // 10))

# Characters that XML may hold. Its parser reads a carriage return as a line feed.
LETTERS = st.characters(
    codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"
)
TEXT = st.text(st.one_of(LETTERS, st.sampled_from(" \t\n\"',;|=+-@#0é\u00a0\u200b")), max_size=20)
# XlsxWriter and openpyxl escape characters with "_x".
WORDS = TEXT.filter(lambda text: "_x" not in text)
NUMBERS = st.integers(-(10**14), 10**14) | st.floats(-1e9, 1e9, width=32)
CELLS = st.none() | st.booleans() | NUMBERS | WORDS
WIDTH = 4


def write_with_openpyxl(rows):
    return make_workbook(*rows)


def write_with_xlsxwriter(rows):
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                write = sheet.write_string if isinstance(cell, str) else sheet.write
                write(number, column, cell)
    return buffer.getvalue()


def get_readable_cells(cells):
    """Return the cells as they should be read: an empty text is an empty cell."""
    # Both libraries write a number with sixteen digits.
    rounded = [float(f"{cell:.16g}") if isinstance(cell, float) else cell for cell in cells]
    return trim_cells([None if cell == "" else cell for cell in rounded])


def trim_cells(cells):
    """Return the cells without empty ones at the end, which only some parsers return."""
    while cells and cells[-1] is None:
        cells = cells[:-1]
    return cells


def is_blank(cells):
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)


def get_expected_rows(rows):
    return [
        (n, get_readable_cells(cells))
        for n, cells in enumerate(rows, start=1)
        if not is_blank(cells)
    ]


def assert_same_rows(found, rows):
    """Assert that the rows are equal, and that no 1 is read as TRUE."""
    assert [(n, list(map(mark_boolean, trim_cells(cells)))) for n, cells in found] == [
        (n, list(map(mark_boolean, cells))) for n, cells in get_expected_rows(rows)
    ]


def mark_boolean(cell):
    return (type(cell) is bool, cell)


@few_examples
@given(rows=st.lists(st.lists(CELLS, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=8))
@pytest.mark.parametrize("write", [write_with_openpyxl, write_with_xlsxwriter])
def test_a_workbook_is_read_as_it_was_written(write, rows):
    if write is write_with_openpyxl:
        texts = [cell for cells in rows for cell in cells if isinstance(cell, str)]
        # openpyxl writes such texts as formulas and errors, and drops white space alone.
        assume(not any(text[:1] in {"=", "#"} for text in texts))
        assume(not any(text and not text.strip(" \t\n\r") for text in texts))
    assume(get_expected_rows(rows))
    content = write(rows)

    assert_same_rows(read_rows(content), rows)
    assert_same_rows(read_rows(content, STREAMING_LIMITS), rows)


@few_examples
@given(rows=st.lists(st.lists(TEXT, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=8))
def test_a_csv_file_is_read_as_it_was_written(rows):
    # With these headers, no other delimiter divides the records into more cells.
    named = [["first", "second", "third", "fourth"], *rows]

    found = read_rows(make_csv(named, headers=None))

    assert_same_rows(
        [(n, cells) for n, (_, cells) in enumerate(found, start=1)], remove_blank_rows(named)
    )


def remove_blank_rows(rows):
    return [cells for cells in rows if not is_blank(cells)]


PEOPLE = st.fixed_dictionaries(
    {
        "mark": st.one_of(st.from_regex(r"[A-Za-z]{2}[- ]?[0-9]{1,4}", fullmatch=True), TEXT),
        "first": st.one_of(st.sampled_from(["Ama", " Kofi\u00a0", "Ɛsi", "e\u0301ve"]), TEXT),
        "last": st.sampled_from(
            [
                "Mensah",
                "van  Dyck",
                "N'Guessan",
                "=A1",
                "NoÃ«l",
                "CONCEIÇÃO",
                "No\ufffdl",
                "\u202eAma",
            ]
        ),
        "email": st.one_of(st.just(""), st.emails(), st.just("Ama <ama@example.com>")),
        "phone": st.from_regex(
            r"(Tel\. |tel:)?(\+233 ?|0)[25][045][ /]?[0-9]{3}[ /-]?[0-9]{4}( \(h\))?",
            fullmatch=True,
        ),
    }
)


def clean_row(row):
    """Return the customer that the rules make of the row, or None if they reject it."""
    try:
        customer = tuple(rule(cell) for rule, cell in zip(RULES, row, strict=True))
    except InvalidValue:
        return None
    return customer if all(customer[:3]) and customer[4] else None


def get_expected_customers(rows):
    """Return the customers of the rows, without those that share a key with an earlier one."""
    taken, customers = set(), []
    for customer in filter(None, map(clean_row, rows)):
        keys = {(place, customer[place]) for place in (0, 3, 4) if customer[place]}
        if not keys & taken:
            taken |= keys
            customers.append(customer)
    return customers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("write", [make_csv, write_with_xlsxwriter])
@settings(few_examples, suppress_health_check=list(HealthCheck))
@given(people=st.lists(PEOPLE, min_size=1, max_size=12))
def test_customers_are_created_as_the_rules_clean_their_rows(write, people):
    rows = [list(person.values()) for person in people]
    Customer.objects.all().delete()

    job = run_import(write(rows) if write is make_csv else write([HEADERS, *rows]))

    customers = get_expected_customers(rows)
    assert (job.status, job.created) == ("COMPLETE", len(customers))
    assert job.failed == len(remove_blank_rows(rows)) - len(customers)
    stored = sorted(Customer.objects.values_list(*FIELDS), key=str)
    assert stored == sorted(customers, key=str)
    for value in filter(None, chain(*stored)):
        assert not repair_mojibake(value)
        assert not INVISIBLE_MARK_PATTERN.search(value)
        assert "\ufffd" not in value
