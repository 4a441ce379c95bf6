"""Test numbers, dates, yes and no as people write them; a cell with two meanings is an error."""

import re
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import override
from hypothesis import example, given
from hypothesis import strategies as st

from imports.error_messages import describe_cause, describe_row_error
from imports.importer import InvalidValue
from imports.pipeline import value_parsing
from imports.pipeline.field_cleaning import make_field_cleaner
from imports.statuses import Outcome

DOCUMENTATION = Path(__file__).resolve().parents[1] / "docs" / "importers.md"
FIELDS = {
    "number": models.DecimalField(max_digits=30, decimal_places=10),
    "whole number": models.IntegerField(),
    "date": models.DateField(),
    "time": models.TimeField(),
    "moment": models.DateTimeField(),
    "yes or no": models.BooleanField(),
}
# The separators of thousands ("_" for none) and of decimals.
CONVENTIONS = st.sampled_from(["_.", "_,", " ,", "\u202f,", ".,", ",.", "'."])
DECIMALS = st.one_of(st.decimals(-10_000_000, 10_000_000, places=places) for places in (0, 2, 3))
STYLES = ["%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y-%m-%d"]
MONEY = models.DecimalField(max_digits=12, decimal_places=2)


def list_documented_values():
    section = DOCUMENTATION.read_text().partition("## What people write")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| ([a-z ]+) \| (`.*`) \| `(.*)` \|$", section, re.MULTILINE)
    return [
        pytest.param(field, cell, expected, id=f"{field} {cell}")
        for field, cells, expected in lines
        for cell in re.findall("`([^`]+)`", cells)
    ]


def write_number(number, convention):
    thousands, point = convention
    text = f"{number:,}".replace(",", "|").replace(".", point)
    return text.replace("|", thousands.replace("_", ""))


def clean_or_error(field, cell):
    """Return the cleaned value, or the error code."""
    try:
        return make_field_cleaner(field)(cell)
    except InvalidValue as error:
        return error.code


@pytest.mark.parametrize(("field", "cell", "expected"), list_documented_values())
def test_cells_are_cleaned_as_documented(field, cell, expected):
    assert clean_or_error(FIELDS[field], cell) == expected


def test_the_documentation_has_every_kind_of_field():
    assert {case.values[0] for case in list_documented_values()} == FIELDS.keys()


# --- Numbers -----------------------------------------------------------------


@given(DECIMALS, CONVENTIONS)
def test_the_meanings_of_a_number_include_the_right_one(meant, convention):
    text = write_number(meant, convention)
    found = [Decimal(number) for number in value_parsing.parse_numbers(text)]

    if re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", text):  # A single point separates decimals.
        assert found == [Decimal(text)]
    else:
        assert meant in found
        assert (len(found) == 2) == bool(re.fullmatch(r"-?[1-9]\d{0,2},\d{3}", text))


@given(st.decimals(-10_000_000, 10_000_000, places=2), CONVENTIONS)
def test_amounts_of_money_have_one_meaning(meant, convention):
    assert Decimal(clean_or_error(MONEY, write_number(meant, convention))) == meant


@given(st.decimals(-10_000_000, 10_000_000, places=2))
def test_a_number_of_a_workbook_is_read_as_it_is_displayed(meant):
    assert Decimal(clean_or_error(MONEY, float(meant))) == meant


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers())
def test_numbers_written_by_python_have_one_meaning(number):
    assert [Decimal(number) for number in value_parsing.parse_numbers(str(number))] == [number]


@given(st.integers(-(10**30), 10**30), CONVENTIONS)
def test_the_meanings_of_a_whole_number_include_the_right_one(meant, convention):
    text = write_number(meant, convention)
    found = list(map(int, value_parsing.parse_whole_numbers(text)))

    if text.count(".") == 1:  # A single point separates decimals, so it is no whole number.
        assert found == []
    else:
        assert found[0] == meant
        assert (len(found) == 2) == bool(re.fullmatch(r"-?\d+,000", text))


@pytest.mark.parametrize(
    "cell", [1.5, -0.9, 0.99, 2147483647.5, "1.5", "3,5", "1.234", "1.000", True, "1e200"]
)
def test_a_number_with_decimals_is_not_a_whole_number(cell):
    assert clean_or_error(models.IntegerField(), cell) == "invalid_whole_number"


@pytest.mark.parametrize("cell", ["NaN", "inf", "-Infinity", "9" * 400, "1e400", float("inf")])
def test_infinite_and_too_large_numbers_are_rejected(cell):
    for field in (models.FloatField(), MONEY):
        assert clean_or_error(field, cell) in ("invalid_number", "too_many_digits")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1,234", "1234"),
        ("2.500", "too_many_decimals"),
        ("2.50", "2.5"),
        ("\u22123,50", "-3.5"),
        ("1,5E+02", "1.5E+2"),
        ("1000.000", "1000"),
        ("0.500", "0.5"),
        ("1,239", "1239"),
        ("1.239", "too_many_decimals"),
        ("0,001", "too_many_decimals"),
        ("12345678901", "too_many_digits"),
        (True, "invalid_number"),
        (",5", "0.5"),
        ("12,34,56", "invalid_number"),
        ("1.23,4", "invalid_number"),
        ("1,2,3", "invalid_number"),
        ("1'23", "invalid_number"),
        ("1_000", "invalid_number"),
        ("3,50 kg", "invalid_number"),
        ("0,123,456", "invalid_number"),
        ("--1", "invalid_number"),
        ("-", "invalid_number"),
        (".", "invalid_number"),
        ("5 €", "invalid_number"),
    ],
)
def test_the_field_decides_which_numbers_are_valid(cell, expected):
    assert clean_or_error(MONEY, cell) == expected


# --- Dates and times ---------------------------------------------------------


@example(date(2026, 5, 5), "%d/%m/%Y")
@given(st.dates(date(1000, 1, 1)), st.sampled_from(STYLES))
def test_the_meanings_of_a_date_include_the_right_one(meant, style):
    found = value_parsing.parse_dates(meant.strftime(style))

    assert meant.isoformat() in found
    has_two = style in STYLES[1:4] and meant.day <= 12 and meant.day != meant.month
    assert (len(found) == 2) == has_two


@given(st.datetimes(datetime(1000, 1, 1)))  # noqa: DTZ001
def test_a_datetime_of_a_workbook_has_one_meaning(moment):
    for text in (str(moment), moment.isoformat()):
        assert [datetime.fromisoformat(text) for text in value_parsing.parse_datetimes(text)] == [
            moment
        ]


@given(st.times())
def test_times_with_am_and_pm_are_parsed(meant):
    for style in ("%H:%M", "%H.%M", "%Hh%M", "%I:%M %p", "%I:%M%p"):
        assert value_parsing.parse_times(meant.strftime(style)) == [f"{meant:%H:%M}:00"]
    assert list(map(time.fromisoformat, value_parsing.parse_times(str(meant)))) == [meant]


def test_a_datetime_without_a_time_zone_has_that_of_the_site(settings):
    settings.TIME_ZONE = "Europe/Berlin"

    assert clean_or_error(models.DateTimeField(), "1.7.2026 14:30") == "2026-07-01 14:30:00+02:00"
    settings.USE_TZ = False
    assert clean_or_error(models.DateTimeField(), "1.7.2026 14:30") == "2026-07-01 14:30:00"


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("date", "31/31/2026"),
        ("date", "0/5/2026"),
        ("date", "1/2/26"),
        ("date", "31.1"),
        ("date", "2026-W05"),
        ("date", "32.1.2026"),
        ("date", "1/2.2026"),
        ("date", "31/01/0026"),
        ("date", 46053),
        ("date", 46053.5),
        ("date", True),
        ("date", "2026-01-31 14:30"),
        ("date", "1" * 32_000),
        ("time", "25:00"),
        ("time", "13:00 PM"),
        ("time", "14:30Z"),
        ("time", "1430"),
        ("time", "1" * 9_000),
        ("time", 0.6),
        ("time", 9),
        ("moment", "14:30"),
        ("moment", "31/31/2026 14:30"),
        ("moment", "2026-01-31 soon"),
        ("moment", 46053.6),
    ],
)
def test_other_cells_are_neither_dates_nor_times(field, cell):
    assert clean_or_error(FIELDS[field], cell).startswith("invalid_")


# --- Messages ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cell", "named"),
    [
        ("number", "-1,234", "-1234 or -1.234"),
        ("whole number", "2,000", "2000 or 2"),
        ("date", "5/1/2026", "2026-01-05 or 2026-05-01"),
        ("moment", "5/1/2026 14:30", "2026-01-05 14:30:00 or 2026-05-01 14:30:00"),
    ],
)
def test_the_error_names_both_meanings_and_each_is_valid(field, cell, named):
    rule = make_field_cleaner(FIELDS[field])
    with pytest.raises(InvalidValue) as error_info:
        rule(cell)

    error = {"field": None, "code": error_info.value.code, "params": error_info.value.params}
    assert (
        describe_row_error(error, "customers")
        == f"This value is ambiguous. It can mean {named}. Write the intended value."
    )
    assert describe_cause(error, "customers", Outcome.FAILED) == (
        "This value is ambiguous. Write the intended value."
    )
    with override("fr"):
        assert named.replace(" or ", " ou ") in describe_row_error(error, "customers")
    for one in named.split(" or "):
        assert rule(one).startswith(one)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("1.239", "This has too many decimals. Write it with at most 2."),
        ("12345678901", "This has too many digits. It must have at most 10."),
    ],
)
def test_the_message_of_an_error_names_the_limit(cell, sentence):
    with pytest.raises(InvalidValue) as error_info:
        make_field_cleaner(MONEY)(cell)
    error = {"field": None, "code": error_info.value.code, "params": error_info.value.params}
    assert describe_row_error(error, "customers") == sentence


def test_other_types_of_fields_parse_their_values_themselves():
    assert clean_or_error(ArrayField(models.IntegerField()), "[1, 2]") == "[1, 2]"
    assert clean_or_error(models.DurationField(), "14:30") == "0:14:30"
    for cell in (5, "9999999999999 00:00:00"):
        assert clean_or_error(models.DurationField(), cell) == "invalid"


@pytest.mark.parametrize(("cell", "meant"), [("VRAI", "True"), ("faux", "False"), ("Non", "False")])
def test_yes_and_no_are_words_of_the_languages_of_the_site(cell, meant):
    assert clean_or_error(FIELDS["yes or no"], cell) == meant
