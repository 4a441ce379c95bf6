"""Numbers, dates, yes and no as people write them: one meaning is taken, of two none."""

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

PAGE = Path(__file__).resolve().parents[1] / "docs" / "importers.md"
FIELDS = {
    "number": models.DecimalField(max_digits=30, decimal_places=10),
    "whole number": models.IntegerField(),
    "date": models.DateField(),
    "time": models.TimeField(),
    "moment": models.DateTimeField(),
    "yes or no": models.BooleanField(),
}
# What stands between thousands ("_": nothing), and before decimals.
CONVENTIONS = st.sampled_from(["_.", "_,", " ,", "\u202f,", ".,", ",.", "'."])
DECIMALS = st.one_of(st.decimals(-10_000_000, 10_000_000, places=places) for places in (0, 2, 3))
STYLES = ["%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y-%m-%d"]
MONEY = models.DecimalField(max_digits=12, decimal_places=2)


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


def outcome(field, cell):
    """What becomes of it, or the code it is refused with."""
    try:
        return make_field_cleaner(field)(cell)
    except InvalidValue as refused:
        return refused.code


@pytest.mark.parametrize(("field", "cell", "becomes"), spelled())
def test_the_page_on_importers_says_what_becomes_of_a_cell(field, cell, becomes):
    assert outcome(FIELDS[field], cell) == becomes


def test_the_page_has_every_kind():
    assert {case.values[0] for case in spelled()} == FIELDS.keys()


# --- Numbers -----------------------------------------------------------------


@given(DECIMALS, CONVENTIONS)
def test_what_was_meant_is_among_the_meanings_of_a_number(meant, convention):
    text = written(meant, convention)
    found = [Decimal(one) for one in value_parsing.parse_numbers(text)]

    if re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", text):  # One point alone stands before decimals.
        assert found == [Decimal(text)]
    else:
        assert meant in found
        assert (len(found) == 2) == bool(re.fullmatch(r"-?[1-9]\d{0,2},\d{3}", text))


@given(st.decimals(-10_000_000, 10_000_000, places=2), CONVENTIONS)
def test_money_is_read_as_it_was_meant(meant, convention):
    assert Decimal(outcome(MONEY, written(meant, convention))) == meant


@given(st.decimals(-10_000_000, 10_000_000, places=2))
def test_a_cell_of_a_workbook_is_what_one_sees_in_it(meant):
    assert Decimal(outcome(MONEY, float(meant))) == meant


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers())
def test_what_python_writes_is_that_number(number):
    assert [Decimal(one) for one in value_parsing.parse_numbers(str(number))] == [number]


@given(st.integers(-(10**30), 10**30), CONVENTIONS)
def test_a_whole_number_is_what_stands_between_its_marks(meant, convention):
    text = written(meant, convention)
    found = list(map(int, value_parsing.parse_whole_numbers(text)))

    if text.count(".") == 1:  # It may stand between thousands, or before no whole number.
        assert found == []
    else:
        assert found[0] == meant
        assert (len(found) == 2) == bool(re.fullmatch(r"-?\d+,000", text))


@pytest.mark.parametrize(
    "cell", [1.5, -0.9, 0.99, 2147483647.5, "1.5", "3,5", "1.234", "1.000", True, "1e200"]
)
def test_nothing_is_cut_off_a_number_to_make_it_whole(cell):
    assert outcome(models.IntegerField(), cell) == "invalid_whole_number"


@pytest.mark.parametrize("cell", ["NaN", "inf", "-Infinity", "9" * 400, "1e400", float("inf")])
def test_what_is_no_number_of_this_world_is_refused(cell):
    for field in (models.FloatField(), MONEY):
        assert outcome(field, cell) in ("invalid_number", "too_many_digits")


@pytest.mark.parametrize(
    ("cell", "becomes"),
    [
        *(
            ("1,234", "1234"),
            ("2.500", "too_many_decimals"),
            ("2.50", "2.5"),
            ("\u22123,50", "-3.5"),
            ("1,5E+02", "1.5E+2"),
        ),
        *(("1000.000", "1000"), ("0.500", "0.5"), ("2.50", "2.5")),
        *(("1,239", "1239"), ("1.239", "too_many_decimals"), ("0,001", "too_many_decimals")),
        *(("12345678901", "too_many_digits"), (True, "invalid_number"), (",5", "0.5")),
        *((cell, "invalid_number") for cell in ("12,34,56", "1.23,4", "1,2,3", "1'23", "1_000")),
        *((cell, "invalid_number") for cell in ("3,50 kg", "0,123,456", "--1", "-", ".", "5 €")),
    ],
)
def test_the_field_says_what_a_number_may_be(cell, becomes):
    assert outcome(MONEY, cell) == becomes


# --- Dates and times ---------------------------------------------------------


@example(date(2026, 5, 5), "%d/%m/%Y")
@given(st.dates(date(1000, 1, 1)), st.sampled_from(STYLES))
def test_what_was_meant_is_among_the_meanings_of_a_date(meant, style):
    found = value_parsing.parse_dates(meant.strftime(style))

    assert meant.isoformat() in found
    has_two = style in STYLES[1:4] and meant.day <= 12 and meant.day != meant.month
    assert (len(found) == 2) == has_two


@given(st.datetimes(datetime(1000, 1, 1)))  # noqa: DTZ001
def test_a_moment_that_a_cell_holds_is_that_moment(moment):
    for text in (str(moment), moment.isoformat()):
        assert [datetime.fromisoformat(one) for one in value_parsing.parse_datetimes(text)] == [
            moment
        ]


@given(st.times())
def test_a_time_is_read_by_twelve_hours_too(meant):
    for style in ("%H:%M", "%H.%M", "%Hh%M", "%I:%M %p", "%I:%M%p"):
        assert value_parsing.parse_times(meant.strftime(style)) == [f"{meant:%H:%M}:00"]
    assert list(map(time.fromisoformat, value_parsing.parse_times(str(meant)))) == [meant]


def test_a_moment_of_nowhere_is_one_where_the_site_is(settings):
    settings.TIME_ZONE = "Europe/Berlin"

    assert outcome(models.DateTimeField(), "1.7.2026 14:30") == "2026-07-01 14:30:00+02:00"
    settings.USE_TZ = False
    assert outcome(models.DateTimeField(), "1.7.2026 14:30") == "2026-07-01 14:30:00"


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        *(("date", cell) for cell in ("31/31/2026", "0/5/2026", "1/2/26", "31.1", "2026-W05")),
        *(("date", cell) for cell in ("32.1.2026", "1/2.2026", "31/01/0026", 46053, 46053.5, True)),
        *(("date", cell) for cell in ("2026-01-31 14:30", "1" * 32_000)),
        *(("time", cell) for cell in ("25:00", "13:00 PM", "14:30Z", "1430", "1" * 9_000, 0.6, 9)),
        *(("moment", cell) for cell in ("14:30", "31/31/2026 14:30", "2026-01-31 soon", 46053.6)),
    ],
)
def test_what_is_neither_date_nor_time_is_refused(field, cell):
    assert outcome(FIELDS[field], cell).startswith("invalid_")


# --- Words -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cell", "named"),
    [
        ("number", "-1,234", "-1234 or -1.234"),
        ("whole number", "2,000", "2000 or 2"),
        ("date", "5/1/2026", "2026-01-05 or 2026-05-01"),
        ("moment", "5/1/2026 14:30", "2026-01-05 14:30:00 or 2026-05-01 14:30:00"),
    ],
)
def test_both_that_it_may_mean_are_named_and_each_is_taken(field, cell, named):
    rule = make_field_cleaner(FIELDS[field])
    with pytest.raises(InvalidValue) as refused:
        rule(cell)

    error = {"column": None, "code": refused.value.code, "params": refused.value.params}
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
def test_a_limit_is_named(cell, sentence):
    with pytest.raises(InvalidValue) as refused:
        make_field_cleaner(MONEY)(cell)
    error = {"column": None, "code": refused.value.code, "params": refused.value.params}
    assert describe_row_error(error, "customers") == sentence


def test_what_no_kind_knows_is_left_to_its_field():
    assert outcome(ArrayField(models.IntegerField()), "[1, 2]") == "[1, 2]"
    assert outcome(models.DurationField(), "14:30") == "0:14:30"
    for cell in (5, "9999999999999 00:00:00"):
        assert outcome(models.DurationField(), cell) == "invalid"


@pytest.mark.parametrize(("cell", "meant"), [("VRAI", "True"), ("faux", "False"), ("Non", "False")])
def test_yes_and_no_are_of_the_sites_languages(cell, meant):
    assert outcome(FIELDS["yes or no"], cell) == meant
