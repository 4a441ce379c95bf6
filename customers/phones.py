"""The rule for phone numbers: every spelling of one number is stored as one, or refused.

phonenumbers knows the numbers of the world but takes twenty microseconds a number; the
region's own numbers are recognised by one pattern made of the library's metadata. What is
refused is looked at once more, to say what is wrong with it and how a number looks there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import phonenumbers
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from customers.cells import as_text, digits
from imports.importer import Cell, Invalid

PHONE_LENGTH = 20

# Letters, slashes and "ext." are refused: the library would drop them, and with them what
# tells two numbers or an extension from one number. Some exports write an apostrophe first.
SPELLED = re.compile(r"'?[(\[]*(?:[+\uff0b][ ()\[\]]*)?\d[\d ().\[\]\-\u2010-\u2015\u2212]*")
NOT_DIALLED = re.compile(r"[^\d+]")
SCIENTIFIC = re.compile(r"\+?(\d)(?:[.,](\d+))?E\+?(\d{1,2})", re.IGNORECASE)

# What stands between two numbers, and the word for an extension that the library misses.
BETWEEN = re.compile(r"\s*(?:[/\\|,;&]|\b(?:or|and|ou|et)\b)\s*", re.IGNORECASE)
POSTE = re.compile(r"\bposte\b", re.IGNORECASE)
LISTS = range(12, 100)  # Characters that several numbers may have together.


def phone(cell: Cell) -> str | None:
    """A phone number as +233244123456, a lost leading zero put right."""
    text = digits(cell) if type(cell) in {int, float} else cell
    if type(text) is str and (number := home_phone()(text.replace(" ", ""))):
        return number
    if type(cell) is float and not cell.is_integer():  # Or its point would be a separator.
        raise invalid("invalid_phone")
    text = as_text(text, PHONE_LENGTH)
    if text is None:
        return None
    region, spelled = settings.CUSTOMERS_PHONE_REGION, dialled(text)
    number = spelled and (home_phone()(spelled) or phone_by_library(spelled, region))
    if not number:
        raise what_is_wrong(text, spelled, region)
    return number


def dialled(text: str) -> str | None:
    """Only what one dials, "+" and the digits 0 to 9; None if there is more to the text."""
    # "244123456.0" is a number cell that went through a CSV file.
    text = text.removesuffix(".0")
    if scientific := SCIENTIFIC.fullmatch(text):
        return all_digits(scientific)
    if not SPELLED.fullmatch(text):
        return None
    text = NOT_DIALLED.sub("", text.replace("\uff0b", "+"))
    return text if text.isascii() else re.sub(r"\d", lambda digit: str(int(digit[0])), text)


def all_digits(scientific: re.Match[str]) -> str | None:
    """The digits of 2.33244123456E+11; None for 2.33244E+11, of which six are lost."""
    whole, decimals, exponent = scientific.groups(default="")
    return whole + decimals if len(decimals) == int(exponent) else None


def phone_by_library(spelled: str, region: str) -> str | None:
    """The long way: any number of any country, judged by phonenumbers."""
    number = parsed(spelled, region)
    if number and phonenumbers.is_valid_number(number):
        return e164(number)
    # Where the zero is part of the number, as in Ivory Coast, the library misses a lost one.
    number = parsed("0" + spelled, region) if spelled[0] not in "+0" else None
    if number and phonenumbers.is_valid_number_for_region(number, region):
        return e164(number)
    return None


def parsed(spelled: str, region: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(spelled, region)
    except NumberParseException:
        return None


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


# --- What is wrong -----------------------------------------------------------

CODES = {
    ValidationResult.TOO_SHORT: "phone_too_short",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "phone_too_short",  # Without its area code.
    ValidationResult.TOO_LONG: "phone_too_long",
    ValidationResult.INVALID_LENGTH: "phone_of_wrong_length",
    ValidationResult.INVALID_COUNTRY_CODE: "phone_of_no_country",
    ValidationResult.IS_POSSIBLE: "no_such_phone",
}
CODES_OF_PARSING = {
    NumberParseException.TOO_LONG: "phone_too_long",
    NumberParseException.INVALID_COUNTRY_CODE: "phone_of_no_country",
}


def what_is_wrong(text: str, spelled: str | None, region: str) -> Invalid:
    """Why this is not one number we can call, as the library's reasons tell."""
    if holds_several(text, region):
        return invalid("several_phones")
    if spelled is None:
        if SCIENTIFIC.fullmatch(text):
            return invalid("phone_lost_digits")
        return invalid("phone_with_extension" if has_extension(text, region) else "invalid_phone")
    try:
        number = phonenumbers.parse(spelled, region)
    except NumberParseException as error:
        return invalid(CODES_OF_PARSING.get(error.error_type, "phone_too_short"))
    # Of people's numbers: that Ghana has toll-free ones a digit shorter is no help to anyone.
    reason = phonenumbers.is_possible_number_for_type_with_reason(
        number, PhoneNumberType.FIXED_LINE_OR_MOBILE
    )
    there = phonenumbers.region_code_for_country_code(number.country_code)
    return invalid(CODES[reason], there) if examples_of(there) else invalid("invalid_phone")


def holds_several(text: str, region: str) -> bool:
    """Two numbers with something between them, if only a space or a line break."""
    if len(text) not in LISTS:
        return False
    parts = [part for part in map(dialled, BETWEEN.split(text)) if part and len(part) > 1]
    if len(parts) > 1:
        return any(phone_by_library(part, region) for part in parts)
    words = text.split()
    halves = [(words[:place], words[place:]) for place in range(1, len(words))]
    return any(all(is_phone(" ".join(half), region) for half in pair) for pair in halves)


def is_phone(text: str, region: str) -> bool:
    spelled = dialled(text)
    return bool(spelled and phone_by_library(spelled, region))


def has_extension(text: str, region: str) -> bool:
    number = parsed(POSTE.sub("ext", text), region)
    return bool(number and number.extension)


def invalid(code: str, region: str | None = None) -> Invalid:
    """The refusal, with an example of a number of that region, or else of our own."""
    return Invalid(code, **examples_of(region or settings.CUSTOMERS_PHONE_REGION))


@cache
def examples_of(region: str) -> dict[str, str]:
    """A number of the region in the two ways to write it, and the region's name."""
    mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    number = mobile or phonenumbers.example_number(region)
    if number is None:  # The code is that of a service, not of a country.
        return {}
    return {
        "region": f"{region} (+{number.country_code})",
        "national": phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL),
        "international": phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL),
    }


# --- The short way -----------------------------------------------------------


@cache
def home_phone() -> Callable[[str], str | None]:
    return plain_phone(settings.CUSTOMERS_PHONE_REGION)


def plain_phone(region: str) -> Callable[[str], str | None]:
    """The short way: a function for the region's own mobile and fixed numbers, else None."""
    plan = PhoneMetadata.metadata_for_region(region)
    if plan is None:
        raise ImproperlyConfigured(
            f"CUSTOMERS_PHONE_REGION is {region!r}: write two letters of a country, like 'GH'."
        )
    if not is_regular(plan):
        return lambda spelled: None
    match, code = plain_pattern(plan).match, f"+{plan.country_code}"
    return lambda spelled: code + found["number"] if (found := match(spelled)) else None


def is_regular(plan: PhoneMetadata) -> bool:
    """Whether dialling is 0 for the country and 00 for the world, and no country shares its code.

    Elsewhere the library has exceptions that one pattern cannot follow.
    """
    return (plan.national_prefix_for_parsing, plan.international_prefix) == (
        "0",
        "00",
    ) and phonenumbers.region_code_for_country_code(plan.country_code) == plan.id


def plain_pattern(plan: PhoneMetadata) -> re.Pattern[str]:
    """The library's own patterns as one: +233, 00233, 233, 0 or nothing, then the number."""
    code, general = plan.country_code, exactly(plan.general_desc)
    kinds = [
        desc for desc in (plan.mobile, plan.fixed_line) if desc and desc.national_number_pattern
    ]
    number = "|".join(map(exactly, kinds))
    # The bare code is one only where the whole is not itself a number of the region.
    prefix = rf"\+{code}0?|00{code}0?|0|(?!{general}){code}"
    return re.compile(rf"(?:{prefix})?(?P<number>(?!0)(?={general})(?:{number}))", re.ASCII)


def exactly(desc: PhoneNumberDesc) -> str:
    lengths = "|".join(rf"\d{{{length}}}" for length in desc.possible_length)
    return rf"(?:(?=(?:{lengths})\Z)(?:{desc.national_number_pattern})\Z)"
