"""Rules over several columns of a row: `Importer.check_row`."""

from datetime import date
from decimal import Decimal

import pytest

from imports.error_messages import describe_row_error
from imports.importer import Column, Importer, InvalidValue
from imports.pipeline.header_detection import DetectedColumns
from imports.pipeline.row_validation import RowValidator
from tests.parcels.models import Parcel
from tests.row_validation import validate_rows

FIELDS = ("customer", "number", "weight", "sent_on", "fragile", "note")


def clean_number(cell):
    """Return text that PostgreSQL casts to a number, and Python does not."""
    return "0x1F" if cell == "hex" else cell


class ParcelsWithRule(Importer):
    name = "parcels_with_rule"
    model = Parcel
    columns = (
        Column("customer", required=True, lookup="shipping_mark"),
        Column("number", required=True, clean=clean_number),
        Column("weight", required=True),
        Column("sent_on"),
        Column("fragile"),
        Column("note"),
    )


def validate(rule, row, *, lookups=False):
    """Return the errors of a row under a rule."""
    columns = ParcelsWithRule.columns if lookups else ParcelsWithRule.columns[1:]
    attributes = {"check_row": rule, "columns": columns}
    importer = type("WithRule", (ParcelsWithRule,), attributes)
    names = [name for name in FIELDS if lookups or name != "customer"]
    positions = {name: index for index, name in enumerate(names[: len(row)])}
    validator = RowValidator(importer, DetectedColumns(1, [], positions, []))
    (validated,) = validate_rows(validator, [(2, row)])
    return [(e["field"], e["code"], e["value"], e["params"]) for e in validated.errors or ()]


def test_a_rule_gets_values_of_the_types_of_their_fields():
    seen = []

    errors = validate(staticmethod(seen.append), ["7", "2,50", "31/01/2026", "yes", " x "])

    assert errors == []
    assert seen == [
        {
            "number": 7,
            "weight": Decimal("2.50"),
            "sent_on": date(2026, 1, 31),
            "fragile": True,
            "note": "x",
        }
    ]


def test_a_rule_gets_none_for_an_empty_cell_and_for_a_missing_column():
    seen = []

    assert validate(staticmethod(seen.append), ["7", "1", ""]) == []

    assert seen[0]["sent_on"] is None
    assert seen[0]["note"] is None


def test_a_rule_gets_the_text_that_the_field_does_not_accept():
    seen = []

    validate(staticmethod(seen.append), ["hex", "1"])

    assert seen[0]["number"] == "0x1F"


@pytest.mark.django_db
def test_a_rule_gets_the_cells_value_of_a_lookup():
    seen = []

    validate(staticmethod(seen.append), ["ANN", "7", "1"], lookups=True)

    assert seen[0]["customer"] == "ANN"


def test_errors_name_a_column_or_the_row_and_appear_together():
    def check_row(cls, values):
        yield InvalidValue("too_heavy", field="weight", limit=5)
        yield InvalidValue("wrong_row")

    assert validate(classmethod(check_row), ["7", "9.5"]) == [
        ("weight", "too_heavy", "9.5", {"limit": 5}),
        (None, "wrong_row", "", {}),
    ]


def test_a_rule_may_return_a_list_or_raise_its_error():
    def return_errors(values):
        return [InvalidValue("first"), InvalidValue("second")]

    def raise_error(values):
        raise InvalidValue("only", field="note")

    row = ["7", "1", None, None, "text"]
    assert [e[1] for e in validate(staticmethod(return_errors), row)] == ["first", "second"]
    assert validate(staticmethod(raise_error), row) == [("note", "only", "text", {})]


def check_in_order(values):
    if values["number"] == 7:
        yield InvalidValue("unlucky", field="number")
    if values["weight"] > 5:
        yield InvalidValue("too_heavy", field="weight")
    yield InvalidValue("after_weight")


def test_errors_of_cells_and_of_the_rule_appear_together():
    errors = validate(staticmethod(check_in_order), ["7", "9", "never"])

    assert [e[:2] for e in errors] == [
        ("sent_on", "invalid_date"),
        ("number", "unlucky"),
        ("weight", "too_heavy"),
        (None, "after_weight"),
    ]


def test_a_rule_ends_where_it_reads_the_value_of_a_failed_cell():
    errors = validate(staticmethod(check_in_order), ["7", "heavy"])

    assert [e[:2] for e in errors] == [("weight", "invalid_number"), ("number", "unlucky")]


def test_a_failed_cell_is_not_read_as_an_empty_one():
    def check_row(values):
        if values.get("weight") is None:
            yield InvalidValue("no_weight")

    errors = validate(staticmethod(check_row), ["7", "heavy"])

    assert [e[:2] for e in errors] == [("weight", "invalid_number")]


def raise_bug(values):
    raise ValueError("+233244000000")


def read_no_column(values):
    return [InvalidValue("wrong")] if values["wieght"] else None


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (raise_bug, "ValueError"),
        (read_no_column, "KeyError"),
    ],
)
@pytest.mark.parametrize("row", [["7", "1"], ["seven", "1", "never"]])
def test_a_bug_in_a_rule_fails_its_row(rule, error, row):
    found = validate(staticmethod(rule), row)

    assert found[-1] == (None, "row_rule_failed", "", {"error": error})


def return_one_error(values):
    return InvalidValue("wrong")


def yield_number(values):
    yield 5


@pytest.mark.parametrize(
    ("rule", "returned"),
    [
        (return_one_error, "InvalidValue"),
        (yield_number, "int"),
        (lambda values: "wrong", "str"),
        (lambda values: "", "str"),
        (lambda values: 0, "int"),
        (lambda values: False, "bool"),
        (lambda values: {}, "dict"),
        (lambda values: ["wrong"], "str"),
    ],
)
def test_a_rule_that_returns_no_errors_fails_its_row(rule, returned):
    (error,) = validate(staticmethod(rule), ["7", "1"])

    _, code, _, params = error
    assert (code, params["returned"]) == ("wrong_check_row_result", returned)
    sentence = describe_row_error({"field": None, "code": code, "params": params}, "parcels")
    assert f"The function {rule.__module__}.{rule.__qualname__}, which checks this row" in sentence
    assert f"returned a value of the type {returned}, but it must return None" in sentence


def raise_error(values):
    raise InvalidValue("wrong", field="wieght")


@pytest.mark.parametrize("rule", [lambda values: [InvalidValue("x", field="wieght")], raise_error])
def test_a_rule_that_names_no_column_fails_its_row(rule):
    (error,) = validate(staticmethod(rule), ["7", "1"])

    _, code, _, params = error
    assert (code, params["name"]) == ("wrong_check_row_field", "wieght")
    sentence = describe_row_error({"field": None, "code": code, "params": params}, "parcels")
    assert "returned an error for wieght, but no column fills such a field" in sentence


def test_a_bug_in_a_rule_is_logged_once_without_its_text(caplog):
    def quote_note(values):
        raise ValueError(values["note"])

    attributes = {"check_row": staticmethod(quote_note), "columns": ParcelsWithRule.columns[1:]}
    importer = type("WithRule", (ParcelsWithRule,), attributes)
    positions = {"number": 0, "weight": 1, "note": 2}
    validator = RowValidator(importer, DetectedColumns(1, [], positions, []))

    validate_rows(validator, [(2, ["7", "1", "Ama Mensah"]), (3, ["8", "1", "Ama Mensah"])])

    (record,) = caplog.records
    message = record.getMessage()
    assert "Importer parcels_with_rule: check_row, row 2 of a check, raised ValueError" in message
    assert "in quote_note" in message
    assert "Ama Mensah" not in message


def test_the_error_of_a_rule_has_a_sentence():
    error = {"field": None, "code": "row_rule_failed", "params": {"error": "KeyError"}}

    assert describe_row_error(error, "parcels") == (
        "This row could not be checked (KeyError). Tell an administrator."
    )
