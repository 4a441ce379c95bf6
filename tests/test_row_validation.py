"""Test how rows are validated by the rules of an importer."""

from decimal import Decimal

import pytest

from imports.cell_values import make_cell
from imports.error_messages import describe_row_error
from imports.importer import Column, Importer, InvalidValue, get_importer
from imports.pipeline.header_detection import DetectedColumns
from imports.pipeline.row_validation import RowValidator
from tests.parcels.models import Parcel
from tests.row_validation import validate_rows


def clean_note(cell):
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
    columns = (Column("note", clean=clean_note, required=True), Column("number"))


def validate(*rows, positions=None):
    positions = {"note": 0, "number": 1} if positions is None else positions
    validator = RowValidator(Notes, DetectedColumns(1, [], positions, []))
    return validate_rows(validator, list(enumerate(rows, start=2)))


def get_codes(row):
    return [(error["field"], error["code"]) for error in row.errors]


def test_cleaned_values_have_the_order_of_the_importer():
    (row,) = validate([5, "x"], positions={"note": 1, "number": 0})

    assert (row.number, row.cleaned, row.errors) == (2, ["X", "5"], None)


def test_a_short_row_has_empty_cells_at_its_end():
    (row,) = validate(["x"])

    assert row.cleaned == ["X", None]


def test_a_field_without_a_column_is_empty():
    (row,) = validate(["x", 5], positions={"note": 0})

    assert row.cleaned == ["X", None]


def test_a_required_cell_must_not_be_empty():
    assert [get_codes(row) for row in validate([None, 1], ["", 1])] == [[("note", "required")]] * 2


def test_all_errors_of_a_row_are_reported():
    (row,) = validate([7, "many"])

    assert get_codes(row) == [("note", "not_text"), ("number", "invalid_whole_number")]
    assert row.cells == [7, "many"]


def test_a_bug_in_a_rule_fails_the_row_and_reports_only_its_type():
    bad, good = validate(["bug", 1], ["x", 1])

    assert get_codes(bad) == [("note", "rule_failed")]
    assert bad.errors[0]["params"] == {"error": "TypeError"}
    assert good.cleaned == ["X", "1"]


def test_a_rule_that_does_not_return_text_fails_the_row():
    (row,) = validate(["number", 1])

    assert get_codes(row) == [("note", "wrong_clean_result")]
    assert describe_row_error(row.errors[0], "notes") == (
        "The function tests.test_row_validation.clean_note, which checks this value, returned a "
        "value of the type int, but it must return text or None. Tell an administrator: the "
        "importer must be corrected."
    )


def test_parameters_of_an_error_can_be_stored():
    (row,) = validate(["limit", 1])

    assert row.errors[0]["params"] == {"limit": "5", "seen": "\ufffd"}


def test_a_value_that_postgresql_cannot_store_fails_the_row():
    (row,) = validate(["nul", 1])

    assert get_codes(row) == [("note", "forbidden_character")]


def test_cells_are_stored_without_unstorable_characters():
    (row,) = validate(["bug", "\ud800\x00"])

    assert row.cells == ["bug", "\ufffd\ufffd"]


def test_an_error_quotes_the_start_of_a_long_value():
    (row,) = validate(["x", "9" * 1_000])

    assert len(row.errors[0]["value"]) == 200


@pytest.mark.parametrize("cell", [5, 5.0, "5", " 5 ", "5.00"])
def test_a_column_without_a_rule_accepts_what_its_field_accepts(cell):
    (row,) = validate(["x", cell])

    assert row.cleaned == ["X", "5"]


def test_a_formatted_cell_with_an_error_is_stored_as_it_is_displayed():
    class Dated(Importer):
        name = "dated"
        model = Parcel
        columns = (Column("note"), Column("sent_on"), Column("weight"))

    positions = {"note": 0, "sent_on": 1, "weight": 2}
    dates = [make_cell("date", "2026-05-07", "May-26"), make_cell("date", "2026-05-08", "May-27")]
    unshown = make_cell("date", "2026-05-09", "")

    validator = RowValidator(Dated, DetectedColumns(1, [], positions, []))
    first, second, third = validate_rows(
        validator, [(2, [*dates, "x"]), (3, [unshown, None, 1]), (4, ["x", dates[1], 1])]
    )

    assert get_codes(first) == [("note", "date_in_text"), ("weight", "invalid_number")]
    assert first.errors[0]["value"] == "May-26"
    assert first.errors[0]["params"] == {"shown": "May-26"}
    # A date in a valid cell stays as it is.
    assert first.cells == ["May-26", "2026-05-08", "x"]
    assert (second.errors[0]["value"], second.cells[0]) == ("2026-05-09", "2026-05-09")
    assert third.cleaned == ["x", "2026-05-08", "1"]


def test_rules_of_customers_accept_a_phone_number_as_a_number():
    validator = RowValidator(get_importer("customers"), DetectedColumns(1, [], {"phone": 0}, []))

    (row,) = validate_rows(validator, [(2, [244123456])])

    assert ("phone", "required") not in get_codes(row)
