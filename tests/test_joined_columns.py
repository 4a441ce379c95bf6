"""Test columns that fill one field together, hidden columns, and headers in two rows."""

import pytest

from customers.importers import CustomerImporter
from customers.models import Customer
from imports.importer import Column, Importer
from imports.pipeline.header_detection import detect_columns, match_columns
from imports.statuses import Status
from tests.factories import check_job, make_csv, make_job, run_import
from tests.parcels.models import Parcel

FIRST_HEADERS = ["Shipping mark", "First name", "Last name", "E-mail"]
FIRST_CELLS = ["A 1", "Ama", "Mensah", ""]
PHONE, OTHER_PHONE = "0244123451", "0201234567"


def import_rows(headers, *rows):
    return run_import(make_csv([[*FIRST_CELLS, *row] for row in rows], [*FIRST_HEADERS, *headers]))


def list_errors(job):
    return [
        (number, error["field"], error["code"], error["params"])
        for number, found in job.rows.exclude(errors=None).values_list("number", "errors")
        for error in found
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("headers", "cells", "phone"),
    [
        (["Phone", "Phone"], [PHONE, ""], "+233244123451"),
        (["Phone", "Phone"], ["", OTHER_PHONE], "+233201234567"),
        (["Phone", "PHONE:"], ["  ", OTHER_PHONE], "+233201234567"),
        (["Phone", "Phone"], [PHONE, "+233 24 412 3451"], "+233244123451"),
        (["Phone", "Phone", "Phone"], ["", "", OTHER_PHONE], "+233201234567"),
        (["Phone", "Telephone"], ["", OTHER_PHONE], "+233201234567"),
        (["Phone", "Telephone"], [PHONE, OTHER_PHONE], "+233244123451"),
        (["Telephone", "Phone"], [OTHER_PHONE, PHONE], "+233244123451"),
    ],
)
def test_the_first_filled_column_is_used(headers, cells, phone):
    job = import_rows(headers, cells)

    assert (job.created, job.failed) == (1, 0)
    assert Customer.objects.get().phone == phone


@pytest.mark.django_db
def test_different_values_in_columns_of_one_name_are_an_error():
    job = import_rows(["Phone", "Phone"], [PHONE, OTHER_PHONE])

    assert list_errors(job) == [
        (2, "phone", "several_values", {"values": f"{PHONE}, {OTHER_PHONE}"})
    ]


@pytest.mark.django_db
def test_columns_with_two_aliases_are_joined_if_their_values_never_differ():
    joined = import_rows(["Mobile", "Telephone"], [PHONE, ""])
    assert joined.created == 1

    job = check_job(
        make_job(
            make_csv([[*FIRST_CELLS, PHONE, OTHER_PHONE]], [*FIRST_HEADERS, "Mobile", "Telephone"])
        )
    )
    assert (job.status, job.error_params) == (Status.MAPPING, {"columns": ["phone"]})


@pytest.mark.django_db
def test_a_later_row_whose_joined_columns_differ_fails_alone(settings):
    settings.IMPORTS_CHUNK_ROWS = 1
    rows = [[f"A {n}", "Ama", "Mensah", "", f"02441{n:05}", ""] for n in range(600)]
    rows.append(["B 1", "Ama", "Mensah", "", PHONE, OTHER_PHONE])

    job = run_import(make_csv(rows, [*FIRST_HEADERS, "Mobile", "Telephone"]))

    assert (job.created, job.failed) == (600, 1)
    assert list_errors(job) == [
        (602, "phone", "several_values", {"values": f"{PHONE}, {OTHER_PHONE}"})
    ]


@pytest.mark.django_db
def test_the_read_summary_names_joined_columns_and_their_rows():
    job = run_import(
        make_csv(
            [
                ["A 1", "Ama", "Mensah", "", PHONE, ""],
                ["A 2", "Esi", "Mensah", "", "", OTHER_PHONE],
            ],
            [*FIRST_HEADERS, "Phone", "Phone number"],
        )
    )

    params = {"column": "phone", "columns": ["Phone", "Phone number"], "count": 1, "rows": [3]}
    assert job.read_summary == [{"code": "columns_joined", "params": params}]


@pytest.mark.django_db
def test_a_failed_row_keeps_the_cells_of_all_columns():
    job = import_rows(["Phone", "Phone"], [PHONE, OTHER_PHONE])

    assert job.rows.get().cells == [*FIRST_CELLS[:3], None, PHONE, OTHER_PHONE]


class Parcels(Importer):
    name = "parcels with fallbacks"
    model = Parcel
    columns = (
        Column("note", aliases=("remark",), fallback_aliases=("Home note", "Work note", "other")),
        Column("number", aliases=("other",)),
    )


@pytest.mark.parametrize(
    ("headers", "columns"),
    [
        (["note", "home note"], [0, 1]),
        (["work note", "home note"], [1, 0]),  # In the order of the declaration.
        (["home note", "remark", "work note", "note"], [3, 1, 0, 2]),
        (["other"], []),  # Another field's alias.
    ],
)
def test_fallback_aliases_come_last_in_the_order_of_the_declaration(headers, columns):
    assert match_columns(headers, Parcels).get_columns("note") == columns


def test_a_hidden_column_fills_no_field_that_a_visible_column_names():
    headers = [*FIRST_HEADERS, "Phone", "Phone number"]
    rows = [(1, headers), (2, [*FIRST_CELLS, OTHER_PHONE, PHONE])]

    assert detect_columns(rows, CustomerImporter).positions["phone"] == 4
    columns = detect_columns(rows, CustomerImporter, hidden=[4])
    assert (columns.get_columns("phone"), columns.hidden_ignored) == ([5], [4])
    without_visible = detect_columns(
        [(1, headers[:5]), (2, [*FIRST_CELLS, OTHER_PHONE])], CustomerImporter, hidden=[4]
    )
    assert (without_visible.get_columns("phone"), without_visible.hidden_ignored) == ([4], [])


@pytest.mark.parametrize(
    ("above", "below", "headers"),
    [
        (
            ["Shipping Mark", "Name", None, "Contact", None],
            ["Shipping Mark", "First", "Last", "E-mail", "Phone"],
            ["Shipping Mark", "First Name", "Last Name", "Contact E-mail", "Contact Phone"],
        ),
        (
            ["Shipping", "Name", None, "E-mail", "Phone"],
            ["Mark", "First", "Last", "Address", "Number"],
            ["Shipping Mark", "First Name", "Last Name", "E-mail Address", "Phone Number"],
        ),
        (
            ["", "Name", "", "", ""],
            ["Mark", "First", "Last", "Mail", "Mobile"],
            ["Mark", "First Name", "Last Name", "Mail", "Mobile"],
        ),
        (
            ["Shipping Mark", "Name", None, "Contact", None, "Address", None],
            [None, "First", "Last", "E-mail", "Phone", "Street", "City"],
            [
                "Shipping Mark",
                "First Name",
                "Last Name",
                "Contact E-mail",
                "Contact Phone",
                "Address / Street",
                "Address / City",
            ],
        ),
    ],
)
def test_groups_in_the_row_above_are_part_of_the_headers(above, below, headers):
    record = ["A 1", "Ama", "Mensah", None, PHONE]

    columns = detect_columns([(3, above), (4, below), (5, record)], CustomerImporter)

    assert (columns.first_header_row, columns.header_row) == (3, 4)
    assert columns.headers == headers
    assert columns.missing == []


def test_a_row_with_a_placeholder_can_be_a_record():
    columns = detect_columns([(1, ["A 1", "Ama", "Mensah", "n/a", PHONE])], CustomerImporter)

    assert (columns.header_row, columns.missing) == (0, [])


def test_short_texts_in_two_rows_are_not_combined():
    columns = detect_columns([(1, ["a", "b,c"]), (2, ["d", "it is"])], CustomerImporter)

    assert (columns.header_row, columns.positions) == (1, {})


@pytest.mark.parametrize(
    "above",
    [
        ["Customer list, branch Tema"],
        ["Name", None, None, None, None],
        ["Customers", None, None, "as of", "12.03.2026"],
    ],
)
def test_a_title_above_the_header_is_not_a_group(above):
    header = ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]

    columns = detect_columns([(1, above), (2, header)], CustomerImporter)

    assert (columns.first_header_row, columns.header_row, columns.headers) == (0, 2, header)


@pytest.mark.django_db
def test_a_header_in_two_rows_is_named_in_the_read_summary():
    rows = [["", "First", "Last", "E-mail", "Phone"], ["A 1", "Ama", "Mensah", "", PHONE]]

    job = run_import(make_csv(rows, ["Shipping mark", "Name", "", "Contact", ""]))

    assert (job.created, job.failed) == (1, 0)
    assert job.read_summary == [{"code": "header_in_two_rows", "params": {"first": 1, "last": 2}}]


@pytest.mark.django_db(transaction=True)
def test_a_mapping_that_confirms_a_column_keeps_the_joined_columns():
    headers = ["Ref", *FIRST_HEADERS[1:], "Phone", "Phone", "Reached at"]
    rows = [["X 1", "Ama", "Mensah", "", "", OTHER_PHONE, PHONE]]
    mapping = {"shipping_mark": 0, "first_name": 1, "last_name": 2, "email": 3, "phone": 4}

    job = run_import(make_csv(rows, headers), column_mapping=mapping)
    assert job.created == 1

    mapping["phone"] = 6
    other = run_import(make_csv([["X 2", *rows[0][1:]]], headers), column_mapping=mapping)
    assert (other.created, other.detected_columns["equals"]) == (1, {})
