"""Several columns of a file that fill one field, columns that are hidden, headers in two rows."""

import pytest

from customers.importer import CustomerImporter
from customers.models import Customer
from imports.importer import Column, Importer
from imports.pipeline.header_detection import detect_columns, match_columns
from imports.statuses import Status
from tests.factories import check_job, make_csv, make_job, run_import
from tests.parcels.models import Parcel

HEAD = ["Shipping mark", "First name", "Last name", "E-mail"]
NAMES = ["A 1", "Ama", "Mensah", ""]
ONE, TWO = "0244123451", "0201234567"


def run(headers, *rows):
    return run_import(make_csv([[*NAMES, *row] for row in rows], [*HEAD, *headers]))


def errors(job):
    return [
        (number, error["column"], error["code"], error["params"])
        for number, found in job.rows.exclude(errors=None).values_list("number", "errors")
        for error in found
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("headers", "cells", "phone"),
    [
        (["Phone", "Phone"], [ONE, ""], "+233244123451"),
        (["Phone", "Phone"], ["", TWO], "+233201234567"),
        (["Phone", "PHONE:"], ["  ", TWO], "+233201234567"),
        (["Phone", "Phone"], [ONE, "+233 24 412 3451"], "+233244123451"),
        (["Phone", "Phone", "Phone"], ["", "", TWO], "+233201234567"),
        (["Phone", "Telephone"], ["", TWO], "+233201234567"),
        (["Phone", "Telephone"], [ONE, TWO], "+233244123451"),
        (["Telephone", "Phone"], [TWO, ONE], "+233244123451"),
    ],
)
def test_the_first_filled_column_counts(headers, cells, phone):
    job = run(headers, cells)

    assert (job.created, job.failed) == (1, 0)
    assert Customer.objects.get().phone == phone


@pytest.mark.django_db
def test_two_columns_of_one_name_with_different_values_are_an_error():
    job = run(["Phone", "Phone"], [ONE, TWO])

    assert errors(job) == [(2, "phone", "several_values", {"values": f"{ONE}, {TWO}"})]


@pytest.mark.django_db
def test_two_aliases_that_never_differ_are_joined_and_others_are_asked_for():
    joined = run(["Mobile", "Telephone"], [ONE, ""])
    assert joined.created == 1

    job = check_job(make_job(make_csv([[*NAMES, ONE, TWO]], [*HEAD, "Mobile", "Telephone"])))
    assert (job.status, job.error_params) == (Status.MAPPING, {"columns": ["phone"]})


@pytest.mark.django_db
def test_aliases_that_differ_further_down_fail_that_row_alone(settings):
    settings.IMPORT_CHUNK_ROWS = 1
    rows = [[f"A {n}", "Ama", "Mensah", "", f"02441{n:05}", ""] for n in range(600)]
    rows.append(["B 1", "Ama", "Mensah", "", ONE, TWO])

    job = run_import(make_csv(rows, [*HEAD, "Mobile", "Telephone"]))

    assert (job.created, job.failed) == (600, 1)
    assert errors(job) == [(602, "phone", "several_values", {"values": f"{ONE}, {TWO}"})]


@pytest.mark.django_db
def test_the_summary_names_the_columns_and_the_rows_of_the_further_ones():
    job = run_import(
        make_csv(
            [["A 1", "Ama", "Mensah", "", ONE, ""], ["A 2", "Esi", "Mensah", "", "", TWO]],
            [*HEAD, "Phone", "Phone number"],
        )
    )

    params = {"column": "phone", "columns": ["Phone", "Phone number"], "count": 1, "rows": [3]}
    assert job.read_summary == [{"code": "columns_joined", "params": params}]


@pytest.mark.django_db
def test_a_failed_row_keeps_the_values_of_all_columns():
    job = run(["Phone", "Phone"], [ONE, TWO])

    assert job.rows.get().cells == [*NAMES[:3], None, ONE, TWO]


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
        (["work note", "home note"], [1, 0]),  # By the order of the declaration.
        (["home note", "remark", "work note", "note"], [3, 1, 0, 2]),
        (["other"], []),  # Another field's alias.
    ],
)
def test_fallback_aliases_come_last_in_their_own_order(headers, columns):
    assert match_columns(headers, Parcels).get_columns("note") == columns


def test_a_hidden_column_fills_nothing_that_a_visible_one_names():
    headers = [*HEAD, "Phone", "Phone number"]
    rows = [(1, headers), (2, [*NAMES, TWO, ONE])]

    assert detect_columns(rows, CustomerImporter).positions["phone"] == 4
    layout = detect_columns(rows, CustomerImporter, hidden=[4])
    assert (layout.get_columns("phone"), layout.hidden_ignored) == ([5], [4])
    alone = detect_columns([(1, headers[:5]), (2, [*NAMES, TWO])], CustomerImporter, hidden=[4])
    assert (alone.get_columns("phone"), alone.hidden_ignored) == ([4], [])


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
                *("Shipping Mark", "First Name", "Last Name", "Contact E-mail", "Contact Phone"),
                *("Address / Street", "Address / City"),
            ],
        ),
    ],
)
def test_groups_in_the_row_above_are_part_of_the_names(above, below, headers):
    record = ["A 1", "Ama", "Mensah", None, ONE]

    layout = detect_columns([(3, above), (4, below), (5, record)], CustomerImporter)

    assert (layout.first_header_row, layout.header_row) == (3, 4)
    assert layout.headers == headers
    assert layout.missing == []


def test_a_placeholder_keeps_no_row_from_being_a_record():
    layout = detect_columns([(1, ["A 1", "Ama", "Mensah", "n/a", ONE])], CustomerImporter)

    assert (layout.header_row, layout.missing) == (0, [])


def test_short_texts_above_each_other_are_no_name():
    layout = detect_columns([(1, ["a", "b,c"]), (2, ["d", "it is"])], CustomerImporter)

    assert (layout.header_row, layout.positions) == (1, {})


@pytest.mark.parametrize(
    "above",
    [
        ["Customer list, branch Tema"],
        ["Name", None, None, None, None],
        ["Customers", None, None, "as of", "12.03.2026"],
    ],
)
def test_a_title_above_the_header_is_no_group(above):
    header = ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]

    layout = detect_columns([(1, above), (2, header)], CustomerImporter)

    assert (layout.first_header_row, layout.header_row, layout.headers) == (0, 2, header)


@pytest.mark.django_db
def test_a_header_in_two_rows_is_imported_and_said():
    rows = [["", "First", "Last", "E-mail", "Phone"], ["A 1", "Ama", "Mensah", "", ONE]]

    job = run_import(make_csv(rows, ["Shipping mark", "Name", "", "Contact", ""]))

    assert (job.created, job.failed) == (1, 0)
    assert job.read_summary == [{"code": "header_in_two_rows", "params": {"first": 1, "last": 2}}]


@pytest.mark.django_db(transaction=True)
def test_a_mapping_that_confirms_a_column_keeps_the_further_ones():
    headers = ["Ref", *HEAD[1:], "Phone", "Phone", "Reached at"]
    rows = [["X 1", "Ama", "Mensah", "", "", TWO, ONE]]
    told = {"shipping_mark": 0, "first_name": 1, "last_name": 2, "email": 3, "phone": 4}

    job = run_import(make_csv(rows, headers), column_mapping=told)
    assert job.created == 1

    told["phone"] = 6
    other = run_import(make_csv([["X 2", *rows[0][1:]]], headers), column_mapping=told)
    assert (other.created, other.detected_columns["equals"]) == (1, {})
