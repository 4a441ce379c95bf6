"""Header cells to fields: what is recognised, what is not guessed."""

from __future__ import annotations

import pytest
from django.db.models import CharField

from imports.importer import Column, Importer, Invalid
from imports.pipeline.columns import Layout, recognise


def phone(cell):
    if not str(cell or "").startswith("0"):
        raise Invalid("invalid_phone")
    return str(cell)


def email(cell):
    if cell is not None and "@" not in str(cell):
        raise Invalid("invalid_email")
    return cell


class Model:
    """As much of a Django model as the columns ask for."""

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
        Column("email", aliases=("mail", "@"), clean=email),
        Column("phone", aliases=("Telephone", "Mobile", "code"), required=True, clean=phone),
    )


def layout(*cells, number=1):
    return recognise([(number, list(cells))], Customers)


FULL = {"shipping_mark": 0, "last_name": 1, "email": 2, "phone": 3}


def test_fields_are_found_in_any_order_among_strangers():
    found = layout(None, "Phone", "Colour", "last name", 7, "Shipping mark", number=4)

    headers = ["", "Phone", "Colour", "last name", "7", "Shipping mark"]
    assert found == Layout(4, headers, {"phone": 1, "last_name": 3, "shipping_mark": 5}, [])


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
    assert layout(*headers).positions == FULL


def test_the_same_header_twice_means_its_first_column():
    found = layout("Phone", "mark", "surname", "PHONE")

    assert (found.positions["phone"], found.missing) == (0, [])


def test_two_aliases_of_one_field_are_not_guessed_between():
    found = layout("Mobile", "mark", "surname", "Telephone")

    assert "phone" not in found.positions
    assert found.missing == ["phone"]


def test_what_a_field_is_called_itself_beats_an_alias():
    assert layout("Mobile", "mark", "surname", "Phone").positions["phone"] == 3


def test_a_name_that_two_fields_claim_fills_neither():
    assert layout("code", "surname").missing == ["shipping_mark", "phone"]


@pytest.mark.parametrize("header", ["id", "pk", "__class__", "is_staff", '"; DROP TABLE', "", "_"])
def test_only_declared_columns_are_filled(header):
    found = layout(header, "mark", "surname", "phone")

    assert found.positions == {"shipping_mark": 1, "last_name": 2, "phone": 3}


def test_a_file_without_a_header_row_is_read_in_order():
    assert layout("A1", "Doe", None, "0241") == Layout(0, [], FULL, [])
    assert layout("A1", "Doe", "x@example.com", "0241", number=3) == Layout(0, [], FULL, [])


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
def test_a_first_row_that_is_neither_header_nor_record_leaves_all_open(cells):
    found = layout(*cells)

    assert found.header_row == 1
    assert found.positions == {}
    assert found.missing == ["shipping_mark", "last_name", "phone"]


def test_one_recognised_header_makes_it_a_header_row():
    found = layout("mark", "Doe", None, "0241")  # It would pass for a record, too.

    assert (found.header_row, found.positions) == (1, {"shipping_mark": 0})
    assert found.missing == ["last_name", "phone"]
