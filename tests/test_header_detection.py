"""Test which headers are recognized, and which columns are only suggested."""

from __future__ import annotations

import unicodedata

import pytest
from django.db.models import CharField
from django.utils.translation import override
from hypothesis import assume, given
from hypothesis import strategies as st

from customers.importers import CustomerImporter as OurCustomers
from imports.importer import Column, Importer, InvalidValue
from imports.pipeline.column_suggestions import add_suggestions
from imports.pipeline.header_detection import (
    DetectedColumns,
    detect_columns,
    fold_text,
    get_fallback_names,
    get_header_names,
    get_unambiguous_names,
    match_positions,
)


def clean_phone(cell):
    if not str(cell or "").startswith("0"):
        raise InvalidValue("invalid_phone")
    return str(cell)


def clean_email(cell):
    if cell is not None and "@" not in str(cell):
        raise InvalidValue("invalid_email")
    return cell


class Model:
    """As much of a Django model as header detection uses."""

    class _meta:
        @staticmethod
        def get_field(name):
            return CharField({"email": "e-mail address"}.get(name, name), max_length=50)


class Customers(Importer):
    name = "customers"
    model = Model
    columns = (
        Column("shipping_mark", aliases=("mark", "code"), required=True),
        Column("last_name", aliases=("Surname", "Nom de famille", "Prénom légal"), required=True),
        Column("email", aliases=("mail", "@"), clean=clean_email),
        Column("phone", aliases=("Telephone", "Mobile", "code"), required=True, clean=clean_phone),
    )


def detect(*cells, number=1):
    return detect_columns([(number, list(cells))], Customers)


ALL_POSITIONS = {"shipping_mark": 0, "last_name": 1, "email": 2, "phone": 3}


def test_fields_are_found_in_any_order_among_unknown_columns():
    found = detect(None, "Phone", "Colour", "last name", 7, "Shipping mark", number=4)

    headers = ["", "Phone", "Colour", "last name", "7", "Shipping mark"]
    assert found == DetectedColumns(
        4, headers, {"phone": 1, "last_name": 3, "shipping_mark": 5}, []
    )


@pytest.mark.parametrize(
    "headers",
    [
        ("shipping_mark", "last_name", "email", "phone"),
        ("SHIPPING MARK", "Last-Name", "E-Mail Address", " phone: "),
        ("Mark", "surname", "Mail", "Telephone"),
        ("\uff2d\uff21\uff32\uff2b", "NOM de Famille*", "é-mail", "Mobile"),
        ("mark", "PRENOM LEGAL", "e_mail_address", "TÉLÉPHONE"),
    ],
)
def test_case_accents_spaces_and_punctuation_do_not_matter(headers):
    assert detect(*headers).positions == ALL_POSITIONS


def test_the_first_of_two_columns_with_one_header_is_used():
    found = detect("Phone", "mark", "surname", "PHONE")

    assert (found.positions["phone"], found.missing) == (0, [])


def test_columns_with_two_aliases_of_one_field_fill_no_field():
    found = detect("Mobile", "mark", "surname", "Telephone")

    assert "phone" not in found.positions
    assert found.missing == ["phone"]


def test_the_name_of_a_field_takes_precedence_over_an_alias():
    assert detect("Mobile", "mark", "surname", "Phone").positions["phone"] == 3


def test_a_name_that_two_fields_claim_names_neither():
    assert detect("code", "surname").missing == ["shipping_mark", "phone"]


@pytest.mark.parametrize("header", ["id", "pk", "__class__", "is_staff", '"; DROP TABLE', "", "_"])
def test_only_declared_columns_are_filled(header):
    found = detect(header, "mark", "surname", "phone")

    assert found.positions == {"shipping_mark": 1, "last_name": 2, "phone": 3}


def test_a_file_without_a_header_row_has_the_order_of_the_importer():
    assert detect("A1", "Doe", None, "0241") == DetectedColumns(0, [], ALL_POSITIONS, [])
    assert detect("A1", "Doe", "x@example.com", "0241", number=3) == DetectedColumns(
        0, [], ALL_POSITIONS, []
    )


@pytest.mark.parametrize(
    "cells",
    [
        ("A1", "Doe", "no address", "0241"),
        ("A1", "Doe", None, "hello"),
        ("A1", " ", None, "0241"),
        ("A1", "Doe"),
        ("A1", "Doe", None, "0241", "one cell too many"),
    ],
)
def test_a_first_row_that_is_neither_header_nor_record_fills_no_field(cells):
    found = detect(*cells)

    assert found.header_row == 1
    assert found.positions == {}
    assert found.missing == ["shipping_mark", "last_name", "phone"]


def test_a_row_with_one_known_header_is_a_header_row():
    found = detect("mark", "Doe", None, "0241")  # It is also a valid record.

    assert (found.header_row, found.positions) == (1, {"shipping_mark": 0})
    assert found.missing == ["last_name", "phone"]


def test_a_record_is_not_taken_for_a_title():
    record, header = ["A1", "Doe", None, "0241"], ["mark", "surname", "mail", "phone"]

    assert detect_columns([(1, record), (2, header)], Customers).header_row == 0
    assert detect_columns([(1, ["A1", "Doe"]), (2, header), (3, record)], Customers).header_row == 2


# --- Any headers at all ------------------------------------------------------

NAMES = {  # Each field of customers to its names in headers.
    column.field: sorted(
        {
            column.field,
            str(OurCustomers.model._meta.get_field(column.field).verbose_name),
            *column.aliases,
        }
    )
    for column in OurCustomers.columns
}
KNOWN_NAMES = set[str].union(
    *(own | aliases for own, aliases in get_unambiguous_names(OurCustomers).values()),
    *get_fallback_names(OurCustomers).values(),
)
NOISE = st.text(" \u00a0\n_-.:*/()'\"#\u200b\u0301\u0308", max_size=3)
UNKNOWN_CELLS = st.one_of(st.none(), st.integers(), st.booleans(), st.text(max_size=30)).filter(
    lambda cell: fold_text(str(cell or "")) not in KNOWN_NAMES
)


@st.composite
def spell_differently(draw, name):
    """Return the name in another case and Unicode form, with other characters in between."""
    recased = draw(st.sampled_from([str.upper, str.lower, str.title, str.swapcase, str]))
    form = draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
    letters = unicodedata.normalize(form, recased(name))
    place = draw(st.integers(0, len(letters)))
    return draw(NOISE) + letters[:place] + draw(NOISE) + letters[place:] + draw(NOISE)


@st.composite
def headers(draw):
    """Return the headers of a file, and the index of each field's header."""
    fields = draw(st.lists(st.sampled_from(sorted(NAMES)), unique=True))
    cells = [
        (field, draw(spell_differently(draw(st.sampled_from(NAMES[field]))))) for field in fields
    ]
    cells += [(None, draw(UNKNOWN_CELLS)) for _ in range(draw(st.integers(0, 4)))]
    cells = draw(st.permutations(cells))
    places = {field: place for place, (field, _) in enumerate(cells) if field}
    return [cell for _, cell in cells], places


@given(headers())
def test_known_headers_are_found_in_any_spelling(drawn):
    cells, places = drawn
    assert match_positions(cells, OurCustomers) == places


@pytest.mark.parametrize(
    "header", ["MÜŞTERİ NUMARASI", "MÜŞTERI NUMARASI", "müşteri numaras\u0131"]
)
def test_turkish_headers_are_found_in_capitals(header):
    assert match_positions([header], OurCustomers) == {"shipping_mark": 0}


@given(st.lists(UNKNOWN_CELLS, max_size=8))
def test_unknown_headers_name_no_field(cells):
    assert match_positions(cells, OurCustomers) == {}


@given(st.data())
def test_any_two_aliases_of_one_field_fill_no_field_without_its_name(drawn):
    column = drawn.draw(st.sampled_from(OurCustomers.columns))
    own, _ = get_header_names(column, OurCustomers)
    pair = drawn.draw(st.lists(st.sampled_from(sorted(column.aliases)), min_size=2, max_size=2))
    assume(len(set(map(fold_text, pair)) - own) == 2)
    cells = [drawn.draw(spell_differently(name)) for name in pair]

    assert match_positions(cells, OurCustomers) == {}
    named = [*cells, drawn.draw(spell_differently(column.field))]
    assert match_positions(named, OurCustomers) == {column.field: 2}


# --- Suggestions -------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "rows", "suggested"),
    [
        pytest.param(
            ["Ref", "Remarks", "Marketing consent"],
            [["MS 001", "vip", "yes, all"], ["MS 002", "gone", "no"], ["MS 003", "new", "yes"]],
            {},
            id="a part of a word does not count",
        ),
        pytest.param(
            ["Our mark today", "Second"],
            [["MS 001", "x"], ["MS 002", "x"], ["MS 003", "x"]],
            {"0": "shipping_mark"},
            id="a whole word among others",
        ),
        pytest.param(
            ["Our mark today"],
            [["MS 001"], ["MS 001"], ["MS 001"], ["MS 001"]],
            {},
            id="values of a unique field do not repeat",
        ),
        pytest.param(
            ["Our mark today", "First name"],
            [["MS 001", "Ama"], [None, "Efua"], [None, "Esi"], [None, "Abena"]],
            {},
            id="a required field is seldom empty",
        ),
    ],
)
def test_suggestions_are_based_on_whole_words_and_on_values(headers, rows, suggested):
    numbered = list(enumerate([headers, *rows], start=1))
    columns = add_suggestions(detect_columns(numbered, OurCustomers), numbered, OurCustomers)

    assert {i: f for i, f in columns.suggestions.items() if f == "shipping_mark"} == suggested


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_label_of_a_field_on_a_page_is_recognized(language):
    columns, meta = OurCustomers.columns, OurCustomers.model._meta
    with override(language):
        names = [str(meta.get_field(column.field).verbose_name) for column in columns]
    record = ["MS 1", "Ama", "Mensah", None, "0244123456"]

    detected = detect_columns([(1, names), (2, record)], OurCustomers)

    assert detected.positions == {column.field: n for n, column in enumerate(columns)}
