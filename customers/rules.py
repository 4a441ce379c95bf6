"""What one cell of a customer row must be: each rule cleans a value or says what is wrong.

A rule sees one cell and no database. It returns the text to store, None for an empty
cell, or raises Invalid. Five cells of each of a million rows pass here, so a rule first
tries one pattern for the ordinary cell, then goes the long way. A pattern only ever
accepts what the long way accepts, with the same result: the tests hold the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from unicodedata import normalize

import phonenumbers
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from imports.importer import Cell, Invalid

MARK_LENGTH = 50
NAME_LENGTH = 100
EMAIL_LENGTH = 254

MESSAGES = {
    "too_long": _("This is too long. Shorten it to at most %(limit)s characters."),
    "invalid_phone": _(
        "This is not a phone number we can call. Write it like 024 412 3456 or +233 24 412 3456."
    ),
    "invalid_email": _(
        "This is not an e-mail address. Write it like ama@example.com, or leave the cell empty."
    ),
    "forbidden_character": _(
        "This contains a control character that cannot be stored. Type the value again by hand."
    ),
    "not_text": _("This cell does not hold text or a number. Type the value itself."),
    "error_cell": _("This cell shows the error %(error)s. Put the value itself in its place."),
}

# What a formula leaves behind when it fails, in Excel and in LibreOffice.
ERROR_CELLS = {
    *("#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"),
    *("#FIELD!", "#BLOCKED!", "#CONNECT!", "#BUSY!", "#GETTING_DATA"),
}

# Controls, halves of a surrogate pair and two code points no XML file may hold. Tab and the
# line breaks are missing: they are spaces.
FORBIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

# Nobody sees them; they come along when a number is copied from a chat or a web page.
MARKS = r"\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
JOINERS = "\u200c\u200d"  # Invisible too, but Persian and Indian names are spelled with them.
INVISIBLE = re.compile(f"[{MARKS}{JOINERS}]")
INVISIBLE_IN_NAMES = re.compile(f"[{MARKS}]")

# None of these characters combines with another, so their text is in NFC as it stands. An
# error cell begins with "#".
LONGEST_TEXT = 1_000  # Ten thousand accents on one letter take NFC a second.
PLAIN_MARK = re.compile(r"(?!#)[!-~]+(?: [!-~]+)*")
NAME_LETTERS = r"[!-~\u00a1-\u00ac\u00ae-\u02ff\u1e00-\u1eff]+"
PLAIN_NAME = re.compile(rf"(?!#){NAME_LETTERS}(?: {NAME_LETTERS})*")
PLAIN_EMAIL = re.compile(
    r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}",
    re.ASCII,
)

# Letters, slashes and "ext." are refused: the library would drop them, and with them what
# tells two numbers or an extension from one number. Some exports write an apostrophe first.
SPELLED_PHONE = re.compile(r"'?[(\[]*(?:[+\uff0b][ ()\[\]]*)?\d[\d ().\[\]\-\u2010-\u2015\u2212]*")
NOT_DIALLED = re.compile(r"[^\d+]")


def shipping_mark(cell: Cell) -> str | None:
    """Upper-case with single spaces, the same in every locale."""
    if type(cell) is str and len(cell) <= MARK_LENGTH and PLAIN_MARK.fullmatch(cell):
        return cell.upper()
    text = as_text(cell)
    if text is None:
        return None
    # Again in NFC: some letters have no upper-case form of their own and come apart.
    return at_most(MARK_LENGTH, normalize("NFC", text.upper()))


def name(cell: Cell) -> str | None:
    """A name as it was written, in any script, with single spaces."""
    if type(cell) is str and len(cell) <= NAME_LENGTH and PLAIN_NAME.fullmatch(cell):
        return cell
    text = as_text(cell, INVISIBLE_IN_NAMES)
    return text and at_most(NAME_LENGTH, text)


def email(cell: Cell) -> str | None:
    """A lower-case e-mail address."""
    if type(cell) is str and len(cell) <= EMAIL_LENGTH and PLAIN_EMAIL.fullmatch(cell):
        return cell.lower()
    text = as_text(cell)
    if text is None:
        return None
    address = at_most(EMAIL_LENGTH, normalize("NFC", text.lower()))
    try:
        validate_email(address)
    except ValidationError:
        raise Invalid("invalid_email") from None  # Its parameters quote the address.
    return address


def phone(cell: Cell) -> str | None:
    """A phone number as +233244123456, a lost leading zero put right."""
    text = digits(cell) if type(cell) in {int, float} else cell
    if type(text) is str and (number := home_phone()(text.replace(" ", ""))):
        return number
    text = as_text(text)
    if text is None:
        return None
    spelled = dialled(text)
    return home_phone()(spelled) or phone_by_library(spelled, settings.CUSTOMERS_PHONE_REGION)


def as_text(cell: Cell, invisible: re.Pattern[str] = INVISIBLE) -> str | None:
    """The cell as text in NFC with single spaces; None if there is nothing to see in it."""
    if cell is None:
        return None
    if type(cell) in {int, float}:
        return digits(cell)
    if not isinstance(cell, str):
        raise Invalid("not_text")
    if len(cell) > LONGEST_TEXT:  # Before anything that takes longer than reading it.
        raise Invalid("too_long", limit=LONGEST_TEXT)
    if FORBIDDEN.search(cell):
        raise Invalid("forbidden_character")
    # What is invisible goes first: it may stand between a letter and its accent.
    words = normalize("NFC", invisible.sub("", cell)).split()
    text = " ".join(words).strip(f" {JOINERS}")  # They join nothing at either end.
    if text.upper() in ERROR_CELLS:
        raise Invalid("error_cell", error=text.upper())
    return text or None


def digits(number: int | float) -> str:
    """A number cell as its reader sees it: 12, not 12.0, and never 1e+11."""
    if not abs(number) < 1e300:  # Neither is "nan", and Python refuses to print huge integers.
        raise Invalid("not_text")
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def at_most(limit: int, text: str) -> str:
    if len(text) > limit:
        raise Invalid("too_long", limit=limit)
    return text


def dialled(text: str) -> str:
    """Only what one dials, "+" and the digits 0 to 9; Invalid if there is more to the text."""
    # "244123456.0" is a number cell that went through a CSV file.
    text = text.removesuffix(".0")
    if not SPELLED_PHONE.fullmatch(text):
        raise Invalid("invalid_phone")
    text = NOT_DIALLED.sub("", text.replace("\uff0b", "+"))
    return text if text.isascii() else re.sub(r"\d", lambda digit: str(int(digit[0])), text)


def phone_by_library(spelled: str, region: str) -> str:
    """The long way: any number of any country, judged by phonenumbers."""
    number = parsed(spelled, region)
    if number and phonenumbers.is_valid_number(number):
        return e164(number)
    # Where the zero is part of the number, as in Ivory Coast, the library misses a lost one.
    number = parsed("0" + spelled, region) if spelled[0] not in "+0" else None
    if number and phonenumbers.is_valid_number_for_region(number, region):
        return e164(number)
    raise Invalid("invalid_phone")


def parsed(spelled: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(spelled, region)
    except phonenumbers.NumberParseException:
        return None


def e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


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
