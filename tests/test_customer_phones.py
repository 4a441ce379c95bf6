"""The rule for phone numbers: all spellings of a number are stored as one text."""

# ruff: noqa: RUF001

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
from customers.validators import MESSAGES
from imports.cell_values import make_cell
from tests.test_customer_validators import clean_error, clean_or_error


@pytest.fixture
def region():
    """A function that changes the home region until the test ends."""

    def move(name):
        moved.enter_context(override_settings(CUSTOMERS_PHONE_REGION=name))
        phones.get_home_region_parser.cache_clear()

    with ExitStack() as moved:
        yield move
    phones.get_home_region_parser.cache_clear()


@pytest.mark.parametrize(
    "cell",
    [
        "0244123456",
        "024 412 3456",
        "024-412-3456",
        "(024) 412.3456",
        "[024]4123456",
        "+233244123456",
        "+233 24 412 3456",
        "+ 233 244123456",
        "(+233) 244123456",
        "+233 (0)24 412 3456",
        "00233244123456",
        "00 233 24 412 3456",
        "233244123456",
        " 0244123456\n",
        "\u202a024\u00a0412\u202f3456\u202c",
        "024\u2013412\u20133456",
        "0244123456\u200b",
        "\uff0b233244123456",
        "\u0660\u0662\u0664\u0664123456",
        "024412345\u0666",
        "244123456",
        "'0244123456",
        "244123456.0",
        "0244123456.0",
        244123456,
        244123456.0,
        233244123456,
        233244123456.0,
    ],
)
def test_usual_spellings_are_one_number(cell):
    assert phones.clean_phone(cell) == "+233244123456"


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("+44 7911 123456", "+447911123456"),
        ("0044 7911 123456", "+447911123456"),
        ("\uff0b44 7911 123456", "+447911123456"),
        *((way, "+447911123456") for way in ("++44 7911 123456", "+00447911123456")),
        *((way, "+447911123456") for way in ("wa.me/447911123456", "00+44/7911/123456")),
        ("0302 123 456", "+233302123456"),
        ("0800 12345", "+23380012345"),
        (80012345, "+23380012345"),
    ],
)
def test_foreign_landline_and_toll_free_numbers(cell, number):
    assert phones.clean_phone(cell) == number


STORED_NUMBER = "+233244123456"
SPELLINGS = {
    "marks between the digits": [
        "024/4123456", "024/412/3456", "024 / 412 3456", "+233 24/412/3456", "024\\412\\3456",
        "024.412.3456", "233.244.123.456", "024_412_3456", "024~412~3456", "024·412·3456",
        "024•412•3456", "024—412—3456", "024 - 412 - 3456", "024\u2212412\u22123456",
        "(024)4123456", "((024)) 412 3456", "[024] 412 3456", "024)4123456", "024-(412)-3456",
        "0-2-4-4-1-2-3-4-5-6", "0 2 4 4 1 2 3 4 5 6", "024\u00a0412\u202f3456",
    ],
    "a number cell that went through other programs": [
        "244123456.0", "0244123456.00", "233 244 123 456,00", "233244123456.0", "0244123456,0",
        "233,244,123,456", "233,244,123,456.00", "233'244'123'456", "+233,244,123,456",
        "233.244.123.456.00",
        "2.33244123456E11", "+2.33244123456E+11", "2,33244123456E+11", "2.44123456e+08",
        244123456.0, 233244123456,
    ],
    "the country": [
        "+233(0)244123456", "+ 233 (0) 24 412 3456", "+(233) 24 412 3456", "(+233)244123456",
        "0(0)233244123456", "(00233)244123456", "00 233 (0)24 412 3456", "++233244123456",
        "+ +233244123456", "+00233244123456", "00+233244123456", "233-0244123456",
        "+233-0244123456", "233 (0) 244 123 456", "+233.24.412.3456", "\uff0b233 244123456",
    ],
    "an address": [
        "tel:+233-24-412-3456", "TEL:+233244123456", "tel:0244123456;phone-context=+233",
        "callto:+233244123456", "sms:+233244123456", "https://wa.me/233244123456",
        "wa.me/233244123456", "https://api.whatsapp.com/send?phone=233244123456",
    ],
    "words before it": [
        "Tel: 0244123456", "Tel.: 0244123456", "Tel 0244123456", "TEL. NO.: 0244123456",
        "Tel (024) 4123456", "Tel: (mobile) 024 412 3456", "Phone: 0244123456", "Ph 0244123456",
        "Phone No. 0244123456", "Phone 1: 0244123456", "Mob. 0244123456", "Mobile: 0244123456",
        "Mobile - 0244123456", "Mobile0244123456", "Cell: 0244123456", "M: 0244123456",
        "M. 0244123456", "(M) 0244123456", "(h) 0244123456", "[W] 0244123456", "T 0244123456",
        "WhatsApp: 0244123456", "MoMo: 0244123456", "No. 0244123456", "N° 0244123456",
        "№ 0244123456", "Tél. : 0244123456", "Portable 0244123456", "Handy: 0244123456",
        "Telefon 0244123456", "Móvil: 0244123456", "Cellulare 0244123456", "тел. 0244123456",
        "هاتف: 0244123456", "电话：0244123456", "手机 0244123456",
    ],
    "words behind it": [
        "0244123456 (h)", "0244123456 (mobile)", "0244123456 - WhatsApp", "0244123456 m",
        "0244123456 (WhatsApp only)", "0244123456 / WhatsApp", "0244123456, mobile",
        "0244123456 (tél.)", "Tel 0244123456 (work)",
    ],
    "what stands around it": [
        "'0244123456", "\u20190244123456", "`0244123456", '="0244123456"', '"0244123456"',
        "\u201c0244123456\u201d", "<0244123456>", "• 0244123456", "- 0244123456",
        "0244123456,", "0244123456.", "0244123456;", "0244123456 -", ",0244123456",
        "*0244123456*", "/0244123456",
        "0244123456\n", "\t0244123456", "0244123456 #",
    ],
    "characters": [
        "\uff10\uff12\uff14\uff14\uff11\uff12\uff13\uff14\uff15\uff16", "٠٢٤٤١٢٣٤٥٦",
        "۰۲۴۴۱۲۳۴۵۶", "०२४४१२३४५६", "\U0001d7ce244123456", "（０２４）４１２－３４５６",
        "０２４／４１２３４５６", "024\ufe0d4123456", "0244\u00ad123456", "\ufeff0244123456",
        "\u202a+233244123456\u202c", "\u20680244123456\u2069", "\u200e0244123456",
        "024\u2060 412\u200b3456", "024\u2011412\u20113456",
        "â€ª+233244123456â€¬", "024Â\u00a0412Â\u00a03456",
    ],
    "the same number twice": [
        "0244123456 / +233244123456", "0244123456, 0244 123 456", "0244123456 ::: 244123456",
        "0244123456 or 024-412-3456",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "cell"), [(kind, cell) for kind, ways in SPELLINGS.items() for cell in ways]
)
def test_unusual_spellings_are_one_number(kind, cell):
    assert phones.clean_phone(cell) == STORED_NUMBER


def test_there_are_enough_spellings():
    assert len({cell for ways in SPELLINGS.values() for cell in ways}) > 140


PARTS = ["0244123456", "244123456", "+233", "233", "0", "00", "024", "412", "3456", "57", "(0)"]
PARTS += ["0201234567", "+447911123456", "650", "2530000", "Tel", "(h)", ".00", "E11", "2.3"]
MARKS = ["", "", " ", "/", " / ", ",", ";", "-", ".", "(", ")", "\n", " or ", ":", "+", "'"]


@given(st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(MARKS)), max_size=6))
def test_result_has_only_digits_of_the_cell(pieces):
    text = "".join(piece + mark for piece, mark in pieces)
    number = clean_or_error(phones.clean_phone, text)

    if isinstance(number, str):
        digits = "".join(char for char in text if char.isdigit())
        assert str(phonenumbers.parse(number).national_number) in digits


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
INVALID_CELLS = {
    "invalid_phone": [
        "call me",
        "+",
        "-",
        "(",
        "024412345O6",
        "-0244123456",
        "0244+123456",
        "0244123456, Accra",
        "12/05/2024",
        "0244123456 ext",
        "2024-05-12, 2024-05-13",
        "12 / 345 / 6789",
        -244123456,
        244123456.5,
        24412345.6,
        "Fax: 0244123456",
        "F: 0244123456",
        "0244123456 call after 6",
        "0244123456 after 6pm",
        "call after 6",
        "0244123456 (Ama)",
        "Ama 0244123456",
        "0244123456 Ama",
        "0244123456m",
        "O244123456",
        "024 4I2 3456",
        "024 GO PAINT",
        "024412345\u2076",
        "10:30",
        "0244:123:456",
        "n/a",
        "GH 0244123456",
        "024412345 / 020123456",
        "P.O. Box 123",
        "100%",
        "+233244123456?",
        "https://example.com/0244123456",
        "ama@example.com",
    ],
    "several_phones": [
        "0244123456/57",
        "0244123456, 0201234567",
        "0244123456 / 0201234567",
        "024 412 3456 or 020 123 4567",
        "024 412 3456 ou 020 123 4567",
        "0244123456;0201234567",
        "0244123456\n0201234567",
        "024 412 3456\r\n020 123 4567",
        "0244123456 0201234567",
        "024412345/0201234567",
        "+233244123456 +447911123456",
        "024 412 3456 & 020 123 4567",
        "0244123456/7",
        "0244123456/57/58",
        "0241000154/0201000155",
        "0244123456 ::: 0201234567",
        "0244123456|0201234567",
        "0244123456 y 0201234567",
        "0244123456 und 0201234567",
        "0244123456 e 0201234567",
        "Tel: 0244123456 Mob: 0201234567",
        "Tel. 0244123456 / 0201234567 (WhatsApp)",
        "0244123456 (0201234567)",
        "tel:0244123456, tel:0201234567",
        "0244123456\\0201234567",
    ],
    "phone_with_extension": [
        "024 412 3456 ext 5",
        "0244123456 ext. 5",
        "0244123456x5",
        "024 412 3456 poste 3",
        "0244123456#1",
        "+233 24 412 3456;ext=12",
        "0244123456, ext 5",
        "tel:0244123456;ext=5;phone-context=+233",
        "tel:+233244123456;ext=5",
        "Tel: 0244123456 x5",
        "0244123456 #5",
    ],
    "phone_lost_digits": [
        "2.33244E+11",
        "2,33244E+11",
        "2.44e+08",
        "2E+11",
        "+2.33244E11",
        "2.33247E+11",
        "Tel: 2.33244E+11",
    ],
    "phone_too_short": [
        "12345",
        "024412345",
        "112",
        "0",
        "00",
        "+233",
        24412345,
        0,
        "Tel. 024412345",
        "1.5",
        "2024-05-12",
        "\uff11\uff12\uff13",
    ],
    "phone_too_long": [
        "02441234567",
        "0233244123456",
        "\u0660233244123456",
        "447911123456",
        1e20,
        "1" * 40,
    ],
    "no_such_phone": ["0999999999", 999999999],
    "phone_of_no_country": ["+999244123456"],
}


@pytest.mark.parametrize(
    ("code", "cell"), [(c, cell) for c in INVALID_CELLS for cell in INVALID_CELLS[c]]
)
def test_invalid_phone_has_a_code_and_an_example(code, cell):
    assert clean_error(phones.clean_phone, cell) == (code, GHANA)


@pytest.mark.parametrize("region_name", ["GH", "FR", "DE", "US", "IT", "BR"])
@pytest.mark.parametrize("between", ["/", " / ", ",", "; ", " or ", " ::: ", " | ", "\\", " & "])
def test_number_and_further_ending_are_two_numbers(region, region_name, between):
    region(region_name)
    country = phonenumbers.country_code_for_region(region_name)
    for national in example_numbers(region_name)[:2]:
        code, _ = clean_error(phones.clean_phone, f"+{country}{national}{between}7")
        assert code == "several_phones"


@pytest.mark.parametrize("region_name", ["GH", "FR", "DE", "US", "IT", "BR"])
@pytest.mark.parametrize(
    "between", ["/", " / ", ",", "; ", " or ", "\n", " ::: ", " | ", "\\", " & "]
)
def test_two_numbers_are_not_joined(region, region_name, between):
    region(region_name)
    numbers = [f"+{phonenumbers.country_code_for_region(region_name)}{national}"
               for national in dict.fromkeys(example_numbers(region_name))][:2]  # fmt: skip
    one, other = map(phones.clean_phone, numbers)

    code, _ = clean_error(phones.clean_phone, between.join(numbers))
    assert one != other
    assert code == "several_phones"
    assert phones.clean_phone(between.join([one, one])) == one


def test_zero_decimals_stay_if_the_number_is_valid_with_them(region):
    region("FR")
    assert phones.clean_phone("01.23.45.67.00") == "+33123456700"
    assert phones.clean_phone("0123456789.00") == "+33123456789"
    region("DE")  # German numbers may have two digits more.
    assert phones.clean_phone("0301234567.00") == "+49301234567"
    assert phones.clean_phone("030 123 4567,00") == "+49301234567"
    for cell in ("030.12.34.567.00", "Tel. 030.12.34.567.00"):
        assert phones.clean_phone(cell) == "+4930123456700"


FORMATTED = [
    (("exponent", 2.33244123456e11, "2.33E+11"), STORED_NUMBER),
    (("exponent", 233244123456, "2.33E+11"), STORED_NUMBER),
    (("exponent", 244123456.0, "2.44E+08"), STORED_NUMBER),
    (("exponent", 2.33e11, "2.33E+11"), "phone_too_short"),
    (("exponent", 2.44e8 + 0.5, "2.44E+08"), "invalid_phone"),
    (("rounded", 233244123456000000, "2.33244E+17"), "phone_lost_digits"),
    (("date", "2024-12-05", "5-Dec"), "date_in_text"),
    (("time", "02:44:12", "2:44:12"), "time_in_text"),
    (("duration", "26:30:00", "26:30"), "time_in_text"),
    (("percentage", 0.24, "24%"), "percentage_in_text"),
    (("fraction", 0.5, "1/2"), "fraction_in_text"),
    (("link", "0244123456", "tel:+233201234567"), STORED_NUMBER),
    (("link", "Call Yaa", "tel:+233201234567"), "invalid_phone"),
]


@pytest.mark.parametrize(("arguments", "result"), FORMATTED)
def test_formatted_cells(arguments, result):
    cleaned = clean_or_error(phones.clean_phone, make_cell(*arguments))
    assert (cleaned if isinstance(cleaned, str) else cleaned[0]) == result


@pytest.mark.parametrize(
    ("cell", "code", "example"),
    [
        ("+44 7911 123", "phone_too_short", BRITAIN),
        ("+44 7911 123456 7", "phone_too_long", BRITAIN),
        ("+44 5911 123456", "no_such_phone", BRITAIN),
        (
            "+800 1234 567",
            "invalid_phone",
            GHANA,
        ),  # The code has no region, so the example is of the home region.
    ],
)
def test_invalid_foreign_number_has_an_example_of_its_country(cell, code, example):
    assert clean_error(phones.clean_phone, cell) == (code, example)


def test_scientific_notation_with_all_digits():
    assert phones.clean_phone("2.33244123456E+11") == "+233244123456"
    assert phones.clean_phone("2,44123456e8") == "+233244123456"


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_example_of_every_country_is_valid(region, country):
    region(country)
    _, example = clean_error(phones.clean_phone, "call me")
    assert phones.clean_phone(example["national"]) == phones.clean_phone(example["international"])


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_any_digits_give_a_number_or_a_known_error(region, country):
    region(country)
    code = phonenumbers.country_code_for_region(country)
    for length in range(1, 20):
        digits = (str(length % 10) + "123456789" * 2)[:length]
        for dialled in (digits, f"+{code}{digits}"):
            result = clean_or_error(phones.clean_phone, dialled)
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
def test_region_is_a_setting(region, name, cell, number):
    region(name)
    assert phones.clean_phone(cell) == number
    assert phones.clean_phone(number) == number


def test_lost_zero_is_not_taken_for_a_foreign_number(region):
    region("CI")
    assert clean_error(phones.clean_phone, "0233244123456")[0] == "phone_too_long"
    assert clean_error(phones.clean_phone, 33612345678)[0] == "phone_too_long"
    region("US")  # The international prefix is 011.
    assert phones.clean_phone("011447911123456") == "+447911123456"
    assert clean_error(phones.clean_phone, 11447911123456)[0] == "phone_too_long"


def test_unknown_region_is_improperly_configured(region):
    region("Ghana")
    with pytest.raises(ImproperlyConfigured, match="CUSTOMERS_PHONE_REGION is 'Ghana'"):
        phones.clean_phone("0244123456")


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_stored_number_of_every_country_is_stable(country):
    code = phonenumbers.country_code_for_region(country)
    for national in example_numbers(country):
        number = phones.clean_phone(f"+{code}{national}")
        assert phones.clean_phone(number) == number
        assert len(number) <= 20


# --- Numbers of the home region ----------------------------------------------

FAST_KINDS = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE}
STEP = 1 if "EXAMPLES" in os.environ else 7
REGULAR_REGIONS = [
    region
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if phones.has_regular_dialling_prefixes(PhoneMetadata.metadata_for_region(region))
]
PARSERS = {
    region: phones.make_region_parser(region) for region in (*REGULAR_REGIONS, "US", "IT", "CI")
}


def example_numbers(region):
    """Return the library's example of each kind of number in the region."""
    plan = PhoneMetadata.metadata_for_region(region)
    kinds = [plan.mobile, plan.fixed_line, plan.toll_free, plan.premium_rate, plan.voip, plan.uan]
    return [kind.example_number for kind in kinds if kind and kind.example_number]


@st.composite
def almost_numbers(draw):
    """Draw a region, and one of its numbers with some digits and the prefix replaced."""
    region = draw(st.sampled_from([*PARSERS, *["GH"] * len(PARSERS)]))
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
def test_region_parser_agrees_with_the_library(almost):
    region, dialled = almost
    number = PARSERS[region](dialled)
    expected = phones.parse_with_library(dialled, region)
    assert number in (None, expected)


@pytest.mark.parametrize("region", ["GH", "FR", "DE", "NL", "ZA", "BE"])
def test_region_parser_agrees_with_the_library_on_every_prefix(region):
    """The parser also returns every mobile and fixed-line number that the library finds valid."""
    plan = PhoneMetadata.metadata_for_region(region)
    dice, code, lengths = (
        random.Random(region),
        plan.country_code,
        plan.general_desc.possible_length,
    )
    for beginning, length in product(range(0, 1_000, STEP), (*lengths, max(lengths) + 1)):
        national = f"{beginning:03}{dice.randrange(10**20):020}"[:length]
        for way in ("", "0", str(code), f"00{code}", f"+{code}"):
            short = PARSERS[region](way + national)
            expected = phones.parse_with_library(way + national, region)
            assert short in (None, expected)
            if expected == f"+{code}{national}" and national[0] != "0":
                kind = phonenumbers.number_type(phonenumbers.parse(expected))
                assert short or kind not in FAST_KINDS


@pytest.mark.parametrize("dialled", ["0244123456", "244123456", "233244123456", "+2330302123456"])
def test_region_parser_knows_numbers_of_ghana(dialled):
    assert PARSERS["GH"](dialled) == phones.parse_with_library(dialled, "GH")
    assert PARSERS["GH"](dialled + "7") is None


def test_region_pattern_needs_number_and_length_of_its_kind():
    def numbers(pattern, *lengths):
        return PhoneNumberDesc(national_number_pattern=pattern, possible_length=lengths)

    plan = SimpleNamespace(
        country_code=233,
        general_desc=numbers(r"2\d+", 4, 7),
        mobile=numbers(r"[25]\d+", 4, 7, 9),
        fixed_line=None,
    )
    match = phones.build_region_pattern(plan).match
    assert match("2331234")["number"] == "2331234"  # The country code is not a prefix here.
    assert match("2332345")["number"] == "2332345"
    assert match("02345")["number"] == match("+23302345")["number"] == "2345"
    assert not match("5345")  # It matches its kind, but not the region.
    assert not match("234567890")  # Too long for the region.
    assert not match("23456")  # It has neither of the lengths.


@pytest.mark.parametrize("region", ["GB", "GG", "US", "IT", "CI", "BR", "RU", "NG", "EH", "YT"])
def test_region_parser_leaves_irregular_countries_to_the_library(region):
    assert not any(map(phones.make_region_parser(region), example_numbers(region)))
