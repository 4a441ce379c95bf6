"""Any rows at all: written to a file by a real program's library, they are read as they were."""

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
# A child process and a file for each example; they cost fifty milliseconds.
costly = settings(max_examples=max(10, settings().max_examples // 10))

# What XML may hold. A carriage return is a line feed to its parser, and "_x" an escape.
LETTERS = st.characters(
    codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"
)
TEXT = st.text(st.one_of(LETTERS, st.sampled_from(" \t\n\"',;|=+-@#0é\u00a0\u200b")), max_size=20)
WORDS = TEXT.filter(lambda text: "_x" not in text)
NUMBERS = st.integers(-(10**14), 10**14) | st.floats(-1e9, 1e9, width=32)
CELLS = st.none() | st.booleans() | NUMBERS | WORDS
WIDTH = 4


def by_openpyxl(rows):
    return make_workbook(*rows)


def by_xlsxwriter(rows):
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                write = sheet.write_string if isinstance(cell, str) else sheet.write
                write(number, column, cell)
    return buffer.getvalue()


def seen(cells):
    """The cells as they are to be read: an empty text is an empty cell."""
    # Both programs write a number with sixteen digits.
    rounded = [float(f"{cell:.16g}") if isinstance(cell, float) else cell for cell in cells]
    return trimmed([None if cell == "" else cell for cell in rounded])


def trimmed(cells):
    """Without the empty cells at a row's end, which one parser gives and another does not."""
    while cells and cells[-1] is None:
        cells = cells[:-1]
    return cells


def is_blank(cells):
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)


def expected(rows):
    return [(n, seen(cells)) for n, cells in enumerate(rows, start=1) if not is_blank(cells)]


def same(found, rows):
    """Equal, and of one type: 1 is not TRUE."""
    assert [(n, list(map(typed, trimmed(cells)))) for n, cells in found] == [
        (n, list(map(typed, cells))) for n, cells in expected(rows)
    ]


def typed(cell):
    return (type(cell) is bool, cell)


@costly
@given(rows=st.lists(st.lists(CELLS, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=8))
@pytest.mark.parametrize("write", [by_openpyxl, by_xlsxwriter])
def test_a_workbook_is_read_as_it_was_written(write, rows):
    if write is by_openpyxl:
        texts = [cell for cells in rows for cell in cells if isinstance(cell, str)]
        # openpyxl writes such texts as formulas and errors, and drops white space alone.
        assume(not any(text[:1] in {"=", "#"} for text in texts))
        assume(not any(text and not text.strip(" \t\n\r") for text in texts))
    assume(expected(rows))
    content = write(rows)

    same(read_rows(content), rows)
    same(read_rows(content, STREAMING_LIMITS), rows)


@costly
@given(rows=st.lists(st.lists(TEXT, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=8))
def test_a_csv_file_is_read_as_it_was_written(rows):
    # Behind these headers no other delimiter cuts the records into more cells.
    named = [["first", "second", "third", "fourth"], *rows]

    found = read_rows(make_csv(named, headers=None))

    same([(n, cells) for n, (_, cells) in enumerate(found, start=1)], without_blanks(named))


def without_blanks(rows):
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


def cleaned(row):
    """The customer that the rules make of the row; None where they refuse it."""
    try:
        customer = tuple(rule(cell) for rule, cell in zip(RULES, row, strict=True))
    except InvalidValue:
        return None
    return customer if all(customer[:3]) and customer[4] else None


def kept(rows):
    """Row after row: who shares a key with an earlier customer is refused."""
    taken, customers = set(), []
    for customer in filter(None, map(cleaned, rows)):
        keys = {(place, customer[place]) for place in (0, 3, 4) if customer[place]}
        if not keys & taken:
            taken |= keys
            customers.append(customer)
    return customers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("write", [make_csv, by_xlsxwriter])
@settings(costly, suppress_health_check=list(HealthCheck))
@given(people=st.lists(PEOPLE, min_size=1, max_size=12))
def test_customers_are_what_the_rules_make_of_their_rows(write, people):
    rows = [list(person.values()) for person in people]
    Customer.objects.all().delete()

    job = run_import(write(rows) if write is make_csv else write([HEADERS, *rows]))

    customers = kept(rows)
    assert (job.status, job.created) == ("COMPLETE", len(customers))
    assert job.failed == len(without_blanks(rows)) - len(customers)
    stored = sorted(Customer.objects.values_list(*FIELDS), key=str)
    assert stored == sorted(customers, key=str)
    for value in filter(None, chain(*stored)):
        assert not repair_mojibake(value)
        assert not INVISIBLE_MARK_PATTERN.search(value)
        assert "\ufffd" not in value
