"""Cells to values or errors, by the importer's rules."""

from decimal import Decimal

import pytest

from imports.cell_values import make_cell
from imports.importer import Column, Importer, InvalidValue, get_importer
from imports.pipeline.header_detection import DetectedColumns
from imports.pipeline.row_validation import RowValidator
from tests.parcels.models import Parcel


def upper(cell):
    if cell == "bug":
        raise TypeError("the cell said +233244000000")
    if cell == "number":
        return 5
    if cell == "limit":
        raise InvalidValue("too_small", limit=Decimal("5"), seen="\x00")
    if cell == "nul":
        return "a\x00b"
    if not isinstance(cell, str | None):
        raise InvalidValue("not_text")
    return cell and cell.upper()


class Notes(Importer):
    name = "notes"
    model = Parcel
    columns = (Column("note", clean=upper, required=True), Column("number"))


def check(*rows, positions=None):
    positions = {"note": 0, "number": 1} if positions is None else positions
    return RowValidator(Notes, DetectedColumns(1, [], positions, [])).validate_rows(
        list(enumerate(rows, start=2))
    )


def codes(row):
    return [(error["column"], error["code"]) for error in row.errors]


def test_values_stand_in_the_importers_order_whatever_the_files():
    (row,) = check([5, "x"], positions={"note": 1, "number": 0})

    assert (row.number, row.cleaned, row.errors) == (2, ["X", "5"], None)


def test_a_short_row_has_empty_cells_at_its_end():
    (row,) = check(["x"])

    assert row.cleaned == ["X", None]


def test_a_column_the_file_does_not_have_is_empty():
    (row,) = check(["x", 5], positions={"note": 0})

    assert row.cleaned == ["X", None]


def test_a_required_cell_must_not_be_empty():
    assert [codes(row) for row in check([None, 1], ["", 1])] == [[("note", "required")]] * 2


def test_every_problem_of_a_row_is_told():
    (row,) = check([7, "many"])

    assert codes(row) == [("note", "not_text"), ("number", "invalid_whole_number")]
    assert row.cells == [7, "many"]


def test_a_rule_with_a_bug_costs_its_row_and_says_no_more_than_its_kind():
    bad, good = check(["bug", 1], ["x", 1])

    assert codes(bad) == [("note", "rule_failed")]
    assert bad.errors[0]["params"] == {"error": "TypeError"}
    assert good.cleaned == ["X", "1"]


def test_a_rule_that_returns_no_text_costs_its_row():
    (row,) = check(["number", 1])

    assert codes(row) == [("note", "rule_failed")]


def test_parameters_of_an_error_can_be_stored():
    (row,) = check(["limit", 1])

    assert row.errors[0]["params"] == {"limit": "5", "seen": "\ufffd"}


def test_what_postgresql_cannot_store_is_refused_even_if_a_rule_lets_it_through():
    (row,) = check(["nul", 1])

    assert codes(row) == [("note", "forbidden_character")]


def test_cells_are_kept_in_a_form_that_can_be_stored():
    (row,) = check(["bug", "\ud800\x00"])

    assert row.cells == ["bug", "\ufffd\ufffd"]


def test_a_long_value_is_cut_in_its_error():
    (row,) = check(["x", "9" * 1_000])

    assert len(row.errors[0]["value"]) == 200


@pytest.mark.parametrize("cell", [5, 5.0, "5", " 5 ", "5.00"])
def test_a_column_without_a_rule_takes_what_its_field_takes(cell):
    (row,) = check(["x", cell])

    assert row.cleaned == ["X", "5"]


def test_a_formatted_cell_with_an_error_is_kept_as_the_spreadsheet_program_shows_it():
    class Dated(Importer):
        name = "dated"
        model = Parcel
        columns = (Column("note"), Column("sent_on"), Column("weight"))

    positions = {"note": 0, "sent_on": 1, "weight": 2}
    dates = [make_cell("date", "2026-05-07", "May-26"), make_cell("date", "2026-05-08", "May-27")]
    unshown = make_cell("date", "2026-05-09", "")

    validator = RowValidator(Dated, DetectedColumns(1, [], positions, []))
    first, second, third = validator.validate_rows(
        [(2, [*dates, "x"]), (3, [unshown, None, 1]), (4, ["x", dates[1], 1])]
    )

    assert codes(first) == [("note", "date_in_text"), ("weight", "invalid_number")]
    assert first.errors[0]["value"] == "May-26"
    assert first.errors[0]["params"] == {"shown": "May-26"}
    # A date that is no error stays the date it is.
    assert first.cells == ["May-26", "2026-05-08", "x"]
    assert (second.errors[0]["value"], second.cells[0]) == ("2026-05-09", "2026-05-09")
    assert third.cleaned == ["x", "2026-05-08", "1"]


def test_customers_keep_their_own_rules():
    validator = RowValidator(get_importer("customers"), DetectedColumns(1, [], {"phone": 0}, []))

    (row,) = validator.validate_rows([(2, [244123456])])

    assert ("phone", "required") not in codes(row)
