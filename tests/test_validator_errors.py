"""The errors of Django's fields and validators become errors of a row, with their own messages."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import (
    EmailValidator,
    MaxValueValidator,
    MinLengthValidator,
    MinValueValidator,
    RegexValidator,
    StepValueValidator,
    validate_slug,
)
from django.db import models
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from imports import importer as importers
from imports.error_messages import describe_row_error
from imports.importer import Column, Importer, InvalidValue
from imports.pipeline.header_detection import DetectedColumns
from imports.pipeline.row_validation import RowValidator
from imports.validator_errors import convert_error, translate_message
from tests.parcels.models import Shelf
from tests.row_validation import validate_rows


def reject_odd(value):
    raise ValidationError(_("Enter a valid value."), code="odd")


def reject_now(value):
    raise ValidationError(gettext("Enter a valid value."), code="odd")


def reject_with_value(value):
    raise ValidationError(
        _("“%(value)s” is not a valid UUID."), code="odd", params={"value": value}
    )


def reject_twice(value):
    raise ValidationError(["Write more.", "Write less."])


def validate(field, cell):
    """Return the stored errors of a cell in a column that fills the field."""
    field.set_attributes_from_name("number")

    class OneField(Importer):
        name = "one field"
        columns = (Column("number"),)

    OneField.model = type("Model", (), {"_meta": FieldsOnly({"number": field})})
    validator = RowValidator(OneField, DetectedColumns(1, [], {"number": 0}, []))
    (row,) = validate_rows(validator, [(2, [cell])])
    return json.loads(json.dumps(row.errors))


class FieldsOnly:
    """The part of a model's options that an importer reads."""

    def __init__(self, fields):
        self.get_field = fields.__getitem__


def describe(field, error):
    if message := error.get("message"):
        return translate_message(field, message, error["params"])
    return describe_row_error(error | {"field": None}, "gone")


def make_text(*validators):
    return models.CharField(validators=validators)


ENTER_VALID_VALUE = "Enter a valid value."
NOT_A_UUID = "“%(value)s” is not a valid UUID."
STEP = "Ensure this value is a multiple of step size %(limit_value)s."
AT_MOST = "Write at most %(limit_value)s."


@pytest.mark.parametrize(
    ("field", "cell", "code", "template", "params"),
    [
        (make_text(RegexValidator("^a", "Begin with a.", "a")), "b", "a", "Begin with a.", {}),
        (make_text(reject_odd), "b", "odd", ENTER_VALID_VALUE, {}),
        (make_text(reject_now), "b", "odd", ENTER_VALID_VALUE, {}),
        (make_text(reject_with_value), "b", "odd", NOT_A_UUID, {"value": "b"}),
        (make_text(EmailValidator("Write ours.", "ours")), "x", "ours", "Write ours.", {}),
        (models.EmailField(), "b", "invalid", "Enter a valid email address.", {}),
        (models.UUIDField(), "b", "invalid", NOT_A_UUID, {"value": "b"}),
        (
            models.IntegerField(validators=[MaxValueValidator(9, AT_MOST)]),
            10,
            "max_value",
            AT_MOST,
            {"limit_value": 9},
        ),
        (
            models.IntegerField(validators=[StepValueValidator(5)]),
            7,
            "step_size",
            STEP,
            {"limit_value": 5},
        ),
        # Django would replace this message by the one for a text that is no number.
        (
            models.IntegerField(validators=[RegexValidator("^1")]),
            7,
            "invalid",
            ENTER_VALID_VALUE,
            {},
        ),
        (
            models.IntegerField(error_messages={"invalid": "Write a count."}),
            "x",
            "invalid",
            "Write a count.",
            {},
        ),
        (
            models.EmailField(error_messages={"invalid": "Write your address."}),
            "x",
            "invalid",
            "Write your address.",
            {},
        ),
    ],
)
def test_the_message_of_a_validator_is_shown_in_each_language(field, cell, code, template, params):
    with override("fr"):  # The language of the process that reads the file does not matter.
        (error,) = validate(field, cell)

    assert error["code"] == code
    assert error["params"] == params
    for language in ("en", "fr"):
        with override(language):
            expected = gettext(template)
            assert describe(field, error) == (expected % params if params else expected)


@pytest.mark.parametrize(
    ("field", "cell", "sentence"),
    [
        (
            models.DecimalField(validators=[MinValueValidator(Decimal("0.5"))]),
            "0.25",
            "This is too small. It must be at least 0.5.",
        ),
        (
            make_text(MinLengthValidator(3)),
            "ab",
            "This is too short. Write at least 3 characters.",
        ),
        (models.IntegerField(), "x", "This is not a whole number. Write it like 12."),
        (models.DateField(), "x", "This is not a date. Write it like 2026-01-31."),
    ],
)
def test_default_messages_about_limits_and_types_are_replaced(field, cell, sentence):
    (error,) = validate(field, cell)

    assert "message" not in error
    assert describe(field, error) == sentence


def test_a_plural_is_chosen_by_its_number():
    field = Shelf._meta.get_field("label")
    message = field.validators[1].message
    for limit, sentence in ((1, "Write at least 1 letter."), (3, "Write at least 3 letters.")):
        params = {"limit_value": limit, "show_value": 0}
        error = convert_error(ValidationError(message, "min_length", params))
        assert translate_message(field, error.message, error.params) == sentence


def test_all_validators_of_a_cell_report():
    field = make_text(validate_slug, RegexValidator("^a", "Begin with a.", "a"))

    errors = validate(field, "b c")

    assert [error["code"] for error in errors] == ["invalid", "a"]
    with override("fr"):
        assert describe(field, errors[0]).startswith("Ce champ ne doit contenir que des lettres")


def test_an_error_of_a_validator_may_be_a_list():
    errors = validate(make_text(reject_twice), "x")

    assert [error["message"] for error in errors] == ["Write more.", "Write less."]


def test_only_parameters_of_the_message_are_stored():
    (error,) = validate(make_text(RegexValidator("^a", "Write a.")), "secret")

    assert error["params"] == {}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValidationError("100% wrong"), "100% wrong"),
        (ValidationError("100%% of %(n)s", params={"n": 5}), "100% of 5"),
        (ValidationError("Write %(n)d.", params={"n": Decimal(5)}), "Write 5."),
        (ValidationError("Write %(m)s.", params={"n": 5}), "Write %(m)s."),
        (ValidationError("Write %(n)."), "Write %(n)."),
        (ValidationError({"number": ["Write it.", "Now."]}), "Write it."),
    ],
)
def test_unusual_messages_are_shown(error, message):
    invalid = convert_error(error)

    assert translate_message(None, invalid.message, invalid.params) == message


@pytest.mark.parametrize("error", [ValidationError([]), ValidationError({}), ValidationError("")])
def test_an_error_without_a_message_has_a_code(error):
    invalid = convert_error(error)

    assert isinstance(invalid, InvalidValue)
    assert (invalid.code, invalid.message) == ("invalid", "")


def test_the_message_of_an_importer_precedes_that_of_the_validator(monkeypatch):
    class Shelves(Importer):
        name = "shelves"
        model = Shelf
        columns = (Column("number", required=True),)
        messages = {"max_value": "Write at most %(limit_value)s."}

    monkeypatch.setitem(importers._registered, "shelves", Shelves)
    columns = DetectedColumns(1, [], {"number": 0}, [])
    (row,) = validate_rows(RowValidator(Shelves, columns), [(2, [100])])

    assert describe_row_error(row.errors[0], "shelves").startswith("Write at most ")
