"""The rule for phone numbers: every spelling of one number is stored as one, or refused."""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from itertools import product
from types import SimpleNamespace

import phonenumbers
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from customers import phones
from customers.rules import MESSAGES
from tests.test_rules import outcome, refusal


@pytest.fixture
def region():
    """A way to move the company to another country until the test ends."""

    def move(name):
        moved.enter_context(override_settings(CUSTOMERS_PHONE_REGION=name))
        phones.home_phone.cache_clear()

    with ExitStack() as moved:
        yield move
    phones.home_phone.cache_clear()


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
    assert phones.phone(cell) == "+233244123456"


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
    assert phones.phone(cell) == number


GHANA = {
    "region": "GH (+233)",
    "national": "023 123 4567",
    "international": "+233 23 123 4567",
}
BRITAIN = {
    "region": "GB (+44)",
    "national": "07400 123456",
    "international": "+44 7400 123456",
}
REFUSED = {
    "invalid_phone": [
        *("call me", "+", "-", "(", "Tel 0244123456", "024412345O6", "-0244123456"),
        *("0244+123456", "++233244123456", "0244123456, Accra", "12/05/2024", "0244123456 ext"),
        *("2024-05-12, 2024-05-13", "12 / 345 / 6789"),
        *(-244123456, 244123456.5, 24412345.6),
    ],
    "several_phones": [
        *("0244123456/57", "0244123456, 0201234567", "0244123456 / 0201234567"),
        *("024 412 3456 or 020 123 4567", "024 412 3456 ou 020 123 4567", "0244123456;0201234567"),
        *("0244123456\n0201234567", "024 412 3456\r\n020 123 4567", "0244123456 0201234567"),
        *("024412345/0201234567", "+233244123456 +447911123456", "024 412 3456 & 020 123 4567"),
    ],
    "phone_with_extension": [
        *("024 412 3456 ext 5", "0244123456 ext. 5", "0244123456x5", "024 412 3456 poste 3"),
        *("0244123456#1", "+233 24 412 3456;ext=12", "0244123456, ext 5"),
    ],
    "phone_lost_digits": ["2.33244E+11", "2,33244E+11", "2.44e+08", "2E+11", "+2.33244E11"],
    "phone_too_short": ["12345", "024412345", "112", "0", "00", "+233", 24412345, 0],
    "phone_too_long": [
        *("02441234567", "0233244123456", "\u0660233244123456", "447911123456", 1e20, "1" * 40),
    ],
    "no_such_phone": ["0999999999", 999999999],
    "phone_of_no_country": ["+999244123456"],
}


@pytest.mark.parametrize(("code", "cell"), [(c, cell) for c in REFUSED for cell in REFUSED[c]])
def test_what_cannot_be_called_is_refused_with_the_reason_and_an_example(code, cell):
    assert refusal(phones.phone, cell) == (code, GHANA)


@pytest.mark.parametrize(
    ("cell", "code", "example"),
    [
        ("+44 7911 123", "phone_too_short", BRITAIN),
        ("+44 7911 123456 7", "phone_too_long", BRITAIN),
        ("+44 5911 123456", "no_such_phone", BRITAIN),
        ("+800 1234 567", "invalid_phone", GHANA),  # Of no region, so there is no other example.
    ],
)
def test_a_number_from_abroad_is_compared_with_those_of_its_country(cell, code, example):
    assert refusal(phones.phone, cell) == (code, example)


def test_a_number_in_scientific_notation_may_have_all_its_digits():
    assert phones.phone("2.33244123456E+11") == "+233244123456"
    assert phones.phone("2,44123456e8") == "+233244123456"


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_country_has_an_example_that_is_right(region, country):
    region(country)
    _, example = refusal(phones.phone, "call me")
    assert phones.phone(example["national"]) == phones.phone(example["international"])


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_any_digits_are_a_number_or_refused_for_a_reason(region, country):
    region(country)
    code = phonenumbers.country_code_for_region(country)
    for length in range(1, 20):
        digits = (str(length % 10) + "123456789" * 2)[:length]
        for spelled in (digits, f"+{code}{digits}"):
            result = outcome(phones.phone, spelled)
            assert result[0] in "+" or MESSAGES[result[0]] % result[1]


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
    assert phones.phone(cell) == number
    assert phones.phone(number) == number


def test_a_lost_zero_never_leads_abroad(region):
    region("CI")
    assert refusal(phones.phone, "0233244123456")[0] == "phone_too_long"
    assert refusal(phones.phone, 33612345678)[0] == "phone_too_long"
    region("US")  # Where 011 is the way abroad.
    assert phones.phone("011447911123456") == "+447911123456"
    assert refusal(phones.phone, 11447911123456)[0] == "phone_too_long"


def test_a_wrong_region_is_said_to_be_wrong(region):
    region("Ghana")
    with pytest.raises(ImproperlyConfigured, match="CUSTOMERS_PHONE_REGION is 'Ghana'"):
        phones.phone("0244123456")


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_number_of_any_country_stays_as_it_is_stored(country):
    code = phonenumbers.country_code_for_region(country)
    for national in example_numbers(country):
        number = phones.phone(f"+{code}{national}")
        assert phones.phone(number) == number
        assert len(number) <= 20


# --- The short way ---

ORDINARY = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE}
STEP = 1 if "EXAMPLES" in os.environ else 7
REGULAR = [
    region
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if phones.is_regular(PhoneMetadata.metadata_for_region(region))
]
READERS = {region: phones.plain_phone(region) for region in (*REGULAR, "US", "IT", "CI")}


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


@given(almost_numbers())
@example(("GH", "0244123456"))
@example(("GH", "233244123"))
@example(("GH", "233244123456"))
def test_ordinary_numbers_are_judged_as_the_library_judges(almost):
    region, spelled = almost
    number = READERS[region](spelled)
    judged = phones.phone_by_library(spelled, region)
    assert number in (None, judged)


@pytest.mark.parametrize("region", ["GH", "FR", "DE", "NL", "ZA", "BE"])
def test_every_beginning_of_a_number_is_judged_as_the_library_judges(region):
    """Dialled in any of five ways; and an ordinary number needs no library."""
    plan = PhoneMetadata.metadata_for_region(region)
    dice, code, lengths = (
        random.Random(region),
        plan.country_code,
        plan.general_desc.possible_length,
    )
    for beginning, length in product(range(0, 1_000, STEP), (*lengths, max(lengths) + 1)):
        national = f"{beginning:03}{dice.randrange(10**20):020}"[:length]
        for way in ("", "0", str(code), f"00{code}", f"+{code}"):
            short = READERS[region](way + national)
            judged = phones.phone_by_library(way + national, region)
            assert short in (None, judged)
            if judged == f"+{code}{national}" and national[0] != "0":
                kind = phonenumbers.number_type(phonenumbers.parse(judged))
                assert short or kind not in ORDINARY


@pytest.mark.parametrize("spelled", ["0244123456", "244123456", "233244123456", "+2330302123456"])
def test_the_ordinary_numbers_of_ghana_need_no_library(spelled):
    assert READERS["GH"](spelled) == phones.phone_by_library(spelled, "GH")
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
    match = phones.plain_pattern(plan).match
    assert match("2331234")["number"] == "2331234"  # Not 233 and then 1234.
    assert match("2332345")["number"] == "2332345"
    assert match("02345")["number"] == match("+23302345")["number"] == "2345"
    assert not match("5345")  # Of its kind, but not of the region.
    assert not match("234567890")  # Too long for the region.
    assert not match("23456")  # Neither length.


@pytest.mark.parametrize("region", ["GB", "GG", "US", "IT", "CI", "BR", "RU", "NG", "EH", "YT"])
def test_a_country_with_exceptions_is_left_to_the_library(region):
    assert not any(map(phones.plain_phone(region), example_numbers(region)))
