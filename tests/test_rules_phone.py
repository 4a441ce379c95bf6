"""The rule for phone numbers: every spelling of one number is stored as one, or refused."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace

import phonenumbers
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from customers import rules
from tests.test_rules import outcome, patiently, refusal


@pytest.fixture
def region():
    """A way to move the company to another country until the test ends."""

    def move(name):
        moved.enter_context(override_settings(CUSTOMERS_PHONE_REGION=name))
        rules.home_phone.cache_clear()

    with ExitStack() as moved:
        yield move
    rules.home_phone.cache_clear()


@pytest.mark.parametrize(
    "cell",
    [
        *("0244123456", "024 412 3456", "024-412-3456", "(024) 412.3456", "[024]4123456"),
        *("+233244123456", "+233 24 412 3456", "+ 233 244123456", "(+233) 244123456"),
        *("+233 (0)24 412 3456", "00233244123456", "00 233 24 412 3456", "233244123456"),
        *(" 0244123456\n", "\u202a024\u00a0412\u202f3456\u202c", "024\u2013412\u20133456"),
        *(
            "0244123456\u200b",
            "\uff0b233244123456",
            "\u0660\u0662\u0664\u0664123456",
            "024412345\u0666",
        ),
        *("244123456", "'0244123456", "244123456.0", "0244123456.0"),
        *(244123456, 244123456.0, 233244123456, 233244123456.0),
    ],
)
def test_one_number_in_many_spellings_is_one_number(cell):
    assert rules.phone(cell) == "+233244123456"


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("+44 7911 123456", "+447911123456"),
        ("0044 7911 123456", "+447911123456"),
        ("\uff0b44 7911 123456", "+447911123456"),
        ("0302 123 456", "+233302123456"),
        ("0800 12345", "+23380012345"),
        (80012345, "+23380012345"),
    ],
)
def test_other_numbers_that_can_be_called(cell, number):
    assert rules.phone(cell) == number


@pytest.mark.parametrize(
    "cell",
    [
        *("12345", "024412345", "02441234567", "0999999999", "112", "0", "call me", "+", "-", "("),
        *("0244123456 ext. 5", "0244123456/57", "0244123456, 0201234567", "0244123456#1"),
        *("Tel 0244123456", "024412345O6", "2.44E+08", "-0244123456", "0244+123456"),
        *("++233244123456", "0233244123456", "\u0660233244123456", "447911123456", "+999244123456"),
        *(24412345, 244123456.5, -244123456, 1e20, 0),
    ],
)
def test_what_cannot_be_called_is_refused(cell):
    assert refusal(rules.phone, cell) == ("invalid_phone", {})


@pytest.mark.parametrize(
    ("name", "cell", "number"),
    [
        ("CI", 707070707, "+2250707070707"),  # The zero is part of the number.
        ("CI", "0707070707", "+2250707070707"),
        ("IT", 612345678, "+390612345678"),
        ("FR", 612345678, "+33612345678"),
        ("US", "(650) 253-0000", "+16502530000"),
    ],
)
def test_the_region_is_a_setting(region, name, cell, number):
    region(name)
    assert rules.phone(cell) == number
    assert rules.phone(number) == number


def test_a_lost_zero_never_leads_abroad(region):
    region("CI")
    assert refusal(rules.phone, "0233244123456") == ("invalid_phone", {})
    assert refusal(rules.phone, 33612345678) == ("invalid_phone", {})
    region("US")  # Where 011 is the way abroad.
    assert rules.phone("011447911123456") == "+447911123456"
    assert refusal(rules.phone, 11447911123456) == ("invalid_phone", {})


def test_a_wrong_region_is_said_to_be_wrong(region):
    region("Ghana")
    with pytest.raises(ImproperlyConfigured, match="CUSTOMERS_PHONE_REGION is 'Ghana'"):
        rules.phone("0244123456")


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_number_of_any_country_stays_as_it_is_stored(country):
    code = phonenumbers.country_code_for_region(country)
    for national in example_numbers(country):
        number = rules.phone(f"+{code}{national}")
        assert rules.phone(number) == number
        assert len(number) <= 20


# --- The short way ---

REGULAR = [
    region
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if rules.is_regular(PhoneMetadata.metadata_for_region(region))
]
READERS = {region: rules.plain_phone(region) for region in (*REGULAR, "US", "IT", "CI")}


def example_numbers(region):
    """National numbers of each kind the region has, as the library knows them."""
    plan = PhoneMetadata.metadata_for_region(region)
    kinds = [plan.mobile, plan.fixed_line, plan.toll_free, plan.premium_rate, plan.voip, plan.uan]
    return [kind.example_number for kind in kinds if kind and kind.example_number]


@st.composite
def almost_numbers(draw):
    """A region, and something near one of its numbers, dialled in one of the usual ways."""
    region = draw(st.sampled_from([*READERS, *["GH"] * len(READERS)]))
    number = draw(st.sampled_from(example_numbers(region)))
    kept = draw(st.integers(0, len(number)))
    number = number[:kept] + draw(st.from_regex(rf"[0-9]{{{len(number) - kept}}}", fullmatch=True))
    number += draw(st.sampled_from(["", "", "", "", "1"]))
    code = str(PhoneMetadata.metadata_for_region(region).country_code)
    prefixes = ["", "0", "00", "+", code, f"+{code}", f"00{code}", f"+{code}0", f"{code}0"]
    return region, draw(st.sampled_from(prefixes)) + number


@patiently
@given(almost_numbers())
@example(("GH", "0244123456"))
@example(("GH", "233244123"))
@example(("GH", "233244123456"))
def test_ordinary_numbers_are_judged_as_the_library_judges(almost):
    region, spelled = almost
    number = READERS[region](spelled)
    judged = outcome(lambda text: rules.phone_by_library(text, region), spelled)
    assert number in (None, judged)


@pytest.mark.parametrize("spelled", ["0244123456", "244123456", "233244123456", "+2330302123456"])
def test_the_ordinary_numbers_of_ghana_need_no_library(spelled):
    assert READERS["GH"](spelled) == rules.phone_by_library(spelled, "GH")
    assert READERS["GH"](spelled + "7") is None


def test_a_number_is_one_of_the_region_and_of_its_kind():
    def numbers(pattern, *lengths):
        return PhoneNumberDesc(national_number_pattern=pattern, possible_length=lengths)

    plan = SimpleNamespace(
        country_code=233,
        general_desc=numbers(r"2\d+", 4, 7),
        mobile=numbers(r"[25]\d+", 4, 7, 9),
        fixed_line=None,
    )
    match = rules.plain_pattern(plan).match
    assert match("2331234")["number"] == "2331234"  # Not 233 and then 1234.
    assert match("2332345")["number"] == "2332345"
    assert match("02345")["number"] == match("+23302345")["number"] == "2345"
    assert not match("5345")  # Of its kind, but not of the region.
    assert not match("234567890")  # Too long for the region.
    assert not match("23456")  # Neither length.


@pytest.mark.parametrize("region", ["GB", "GG", "US", "IT", "CI", "BR", "RU", "NG", "EH", "YT"])
def test_a_country_with_exceptions_is_left_to_the_library(region):
    assert not any(map(rules.plain_phone(region), example_numbers(region)))
