"""Numbers, dates, yes and no as people write them: one meaning is taken, of two none."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import models
from django.utils.translation import override
from hypothesis import example, given
from hypothesis import strategies as st

from imports.importer import Invalid
from imports.messages import of_cause, of_row
from imports.pipeline import spellings
from imports.pipeline.cleaning import rule_of_field
from imports.statuses import Outcome

PAGE = Path(__file__).resolve().parents[1] / "docs" / "importers.md"
FIELDS = {
    "number": models.DecimalField(max_digits=30, decimal_places=10),
    "whole number": models.IntegerField(),
    "date": models.DateField(),
    "moment": models.DateTimeField(),
    "yes or no": models.BooleanField(),
}
# What stands between thousands ("_": nothing), and before decimals.
CONVENTIONS = st.sampled_from(["_.", "_,", " ,", "\u202f,", ".,", ",.", "'."])
DECIMALS = st.decimals(-10_000_000, 10_000_000, places=2) | st.decimals(-10_000, 10_000, places=3)
STYLES = ["%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y-%m-%d"]


def spelled():
    section = PAGE.read_text().partition("## What people write")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| ([a-z ]+) \| (`.*`) \| `(.*)` \|$", section, re.MULTILINE)
    return [
        pytest.param(field, cell, becomes, id=f"{field} {cell}")
        for field, cells, becomes in lines
        for cell in re.findall("`([^`]+)`", cells)
    ]


def written(number, convention):
    thousands, point = convention
    text = f"{number:,}".replace(",", "|").replace(".", point)
    return text.replace("|", thousands.replace("_", ""))


def readings(rule, text):
    """What it is read as, or the two things that it may mean."""
    try:
        return [rule(text)]
    except Invalid as refused:
        if refused.code != "ambiguous":
            raise
        return list(refused.params.values())


@pytest.mark.parametrize(("field", "cell", "becomes"), spelled())
def test_the_page_on_importers_says_what_becomes_of_a_cell(field, cell, becomes):
    assert rule_of_field(FIELDS[field])(cell) == becomes


def test_the_page_has_every_kind():
    assert {case.values[0] for case in spelled()} == FIELDS.keys()


@given(DECIMALS, CONVENTIONS)
def test_a_number_is_read_as_it_was_meant_or_that_is_one_of_two(meant, convention):
    text = written(meant, convention)
    found = [Decimal(one) for one in readings(spellings.number, text)]

    assert meant in found
    assert (len(found) == 2) == bool(re.fullmatch(r"-?[1-9]\d{0,2},\d{3}", text))


@given(st.integers(), CONVENTIONS)
def test_a_whole_number_is_what_stands_between_its_marks(meant, convention):
    text = written(meant, convention)
    if text.count(".") != 1:  # Before decimals, as Python has it; no whole number.
        assert int(spellings.whole_number(text)) == meant


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers() | st.floats())
def test_what_python_writes_stays_as_it_is(number):
    text = str(number)

    assert spellings.number(text) == spellings.whole_number(text) == text


@example(date(2026, 5, 5), "%d/%m/%Y")
@given(st.dates(date(1000, 1, 1)), st.sampled_from(STYLES))
def test_a_date_is_read_as_it_was_meant_or_that_is_one_of_two(meant, style):
    found = readings(rule_of_field(FIELDS["date"]), meant.strftime(style))

    assert meant.isoformat() in found
    has_two = style in STYLES[1:4] and meant.day <= 12 and meant.day != meant.month
    assert (len(found) == 2) == has_two


@given(st.datetimes())
def test_a_moment_that_a_cell_holds_stays_as_it_is(moment):
    for text in (str(moment), moment.isoformat()):
        assert spellings.moment(text) == text


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        *(("number", cell) for cell in ("12,34,56", "1.23,4", "1,2,3", "1'23", "3,50 kg", ",5")),
        *(("whole number", cell) for cell in ("3,5", "1.234", "1,234.5", "12 34")),
        *(("date", cell) for cell in ("31/31/2026", "1/2/26", "31.1", "32.1.2026", "1/2.2026")),
    ],
)
def test_what_means_nothing_is_refused(field, cell):
    with pytest.raises(Invalid) as refused:
        rule_of_field(FIELDS[field])(cell)
    assert refused.value.code.startswith("invalid_")


@pytest.mark.parametrize(
    ("field", "cell", "named"),
    [("number", "-1,234", "-1234 or -1.234"), ("date", "5/1/2026", "2026-01-05 or 2026-05-01")],
)
def test_both_that_it_may_mean_are_named(field, cell, named):
    with pytest.raises(Invalid) as refused:
        rule_of_field(FIELDS[field])(cell)

    error = {"column": None, "code": refused.value.code, "params": refused.value.params}
    assert of_row(error, "customers") == f"This may mean {named}. Write the one that is meant."
    assert of_cause(error, "customers", Outcome.FAILED).startswith("It may mean two different values")
    with override("fr"):
        assert named.replace(" or ", " ou ") in of_row(error, "customers")
