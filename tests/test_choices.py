"""Which choice of a field a cell names, and how users read the choices."""

from __future__ import annotations

import pytest
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from imports.cell_values import make_cell
from imports.choices import (
    MAX_LISTED_CHOICES,
    describe_choices,
    find_ambiguous_labels,
    list_choice_names,
)
from imports.importer import InvalidValue
from imports.pipeline.field_cleaning import make_field_cleaner
from tests.parcels.models import Shelf


def clean_or_error(field, cell):
    try:
        return make_field_cleaner(field)(cell)
    except InvalidValue as error:
        return error.code, error.params["choices"]


def make_text(*choices):
    return models.CharField(max_length=20, choices=choices)


GROUPED = make_text(("Metals", [("fe", "Iron"), ("cu", "Copper")]), ("w", "Wood"))
TRANSLATED = make_text(("t", _("true")), ("f", _("false")))
# Values and labels of these differ by case only.
CASED = make_text(("m", "Male"), ("M", "Married"))
SAME_LABELS = make_text(("a", "Box"), ("b", "box "), ("c", "Bag"))
SWAPPED = models.IntegerField(choices=[(1, "2"), (2, "1"), (3, "three")])
ACTIVE = models.BooleanField(choices=[(True, "Active"), (False, "Retired")])
PERCENT = models.DecimalField(
    max_digits=3, decimal_places=2, choices=[("0.05", "5%"), ("0.50", "50%")]
)
OPTIONAL = models.IntegerField(choices=[(None, "Not known"), (1, "One")], null=True)


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        (GROUPED, "fe", "fe"),
        (GROUPED, "FE", "fe"),
        (GROUPED, " iron ", "fe"),
        (GROUPED, "Wood", "w"),
        (GROUPED, "Wo\u200bod", "w"),
        (Shelf._meta.get_field("size"), 2, "2"),
        (Shelf._meta.get_field("size"), 2.0, "2"),
        (Shelf._meta.get_field("size"), "2.00", "2"),
        (Shelf._meta.get_field("size"), "LARGE\u00a0 one", "2"),
        (Shelf._meta.get_field("material"), "Stainless steel", "st"),
        (Shelf._meta.get_field("material"), "Not known", ""),
        (TRANSLATED, "Vrai", "t"),
        (TRANSLATED, "FAUX", "f"),
        (TRANSLATED, "true", "t"),
        (make_text(("e", "\u00e9l\u00e8ve")), "E\u0301LE\u0300VE", "e"),
        (CASED, "m", "m"),
        (CASED, "M", "M"),
        (CASED, "MALE", "m"),
        (SAME_LABELS, "b", "b"),
        (SAME_LABELS, "bag", "c"),
        (SWAPPED, "three", "3"),
        (ACTIVE, "active", "True"),
        (ACTIVE, "no", "False"),
        (ACTIVE, False, "False"),
        (OPTIONAL, "not known", None),
        (OPTIONAL, "1", "1"),
        (make_text(("x", "50%")), make_cell("percentage", 0.5, "50%"), "x"),
        (make_text(("x", "1/2")), make_cell("date", "2026-02-01", "1/2"), "x"),
    ],
)
def test_a_choice_is_named_by_its_value_or_its_label(field, cell, value):
    assert clean_or_error(field, cell) == value


@pytest.mark.parametrize(
    ("field", "cell", "code", "choices"),
    [
        (GROUPED, "gold", "invalid_choice", "Iron, Copper, Wood"),
        (Shelf._meta.get_field("material"), "gold", "invalid_choice", "Wood, Stainless  steel"),
        (Shelf._meta.get_field("size"), 3, "invalid_choice", "Small one, Large one"),
        (Shelf._meta.get_field("size"), "big", "invalid_choice", "Small one, Large one"),
        (TRANSLATED, "maybe", "invalid_choice", "true, false"),
        (SAME_LABELS, "BOX", "ambiguous_choice", "Box (a), box  (b)"),
        (SAME_LABELS, "x", "invalid_choice", "Box, box , Bag"),
        (make_text(("a", "Box"), ("b", "Box")), "x", "invalid_choice", "a, b"),
        (SWAPPED, 1, "ambiguous_choice", "2 (1), 1 (2)"),
    ],
)
def test_another_text_is_an_error_that_names_the_possibilities(field, cell, code, choices):
    with override("fr"):
        error = clean_or_error(field, cell)

    assert set(error[1].split(", ")) == set(choices.split(", "))
    assert error[0] == code


def test_choices_may_change_while_the_process_runs():
    choices = [("a", "Apple")]
    field = models.CharField(max_length=9, choices=lambda: choices)
    assert clean_or_error(field, "apple") == "a"

    choices.append(("p", "Pear"))

    assert clean_or_error(field, "pear") == "p"
    assert list_choice_names(field) == ["Apple", "Pear"]


def test_names_are_in_the_active_language():
    assert list_choice_names(TRANSLATED) == ["true", "false"]
    with override("fr"):
        assert list_choice_names(TRANSLATED) == ["vrai", "faux"]


def test_only_the_first_choices_are_named():
    field = make_text(*((str(number), f"Label {number}") for number in range(100)))

    names = describe_choices(field).split(", ")

    assert len(names) == MAX_LISTED_CHOICES + 1
    assert names[-1] == "…"


@pytest.mark.parametrize(
    ("field", "labels"),
    [
        (GROUPED, []),
        (CASED, []),
        (TRANSLATED, []),
        (SAME_LABELS, []),  # Written exactly, each label names one choice.
        (SWAPPED, ["2", "1"]),
        (make_text(("a", "Box"), ("b", "Box")), ["Box"]),
    ],
)
def test_find_ambiguous_labels(field, labels):
    assert find_ambiguous_labels(field) == labels
