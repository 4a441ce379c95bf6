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

from customers.normalization import MAX_TEXT_CHARS, clean_text, format_number
from imports.cell_values import FormattedCell
from imports.importer import Cell, InvalidValue
from imports.mojibake import repair_mojibake

PHONE_LENGTH = 20

# What is dialled, with the marks that a number is usually written with. Some exports write an
# apostrophe first.
SPELLED = re.compile(r"'?[(\[]*(?:[+\uff0b][ ()\[\]]*)?\d[\d ().\[\]\-\u2010-\u2015\u2212]*")
NOT_DIALLED = re.compile(r"[^\d+]")
SCIENTIFIC = re.compile(r"\+?(\d)(?:[.,](\d+))?E\+?(\d{1,2})", re.IGNORECASE)

# What may stand between the digits of one number as well as between two numbers: all that
# phonenumbers takes, without letters, and a few marks more. The number is taken where it is valid
# as a whole.
PUNCTUATION = r" ().\[\]\-\u2010-\u2015\u2212\u30fc\u3000/\\~\u2053\u223c_\u00b7\u2022"
MANY_PLUSES = r"(?:(?:00 ?)?\+[+ ()\[\]]*)"
PUNCTUATED = re.compile(rf"['`\u2018\u2019\u00b4]?[(\[]*{MANY_PLUSES}?\d[\d{PUNCTUATION}]*")
BEGINS_ABROAD = re.compile(rf"['`\u2018\u2019\u00b4]?[(\[]*{MANY_PLUSES}")
THOUSANDS = re.compile(r"\+?\d{1,3}([,'\u2019])\d{3}(?:\1\d{3})*")
WITH_DECIMALS = re.compile(r"([^.]*)\.00?|(.*),00?")
ZEROS_AT_END = re.compile(r"[.,]00?\Z")
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

# Words that people write before or behind a number, and that say nothing of the number.
WORDS = """
    tel tele telephone phone ph phn fone mobile mob cell cel cellphone cellular landline whatsapp
    watsapp wa viber telegram signal momo contact contacts number num no nr home house work office
    business personal private main primary direct callto sms
    tél téléphone téléph portable port fixe gsm numéro domicile bureau privé
    teléfono móvil movil celular número casa trabajo telefone telefono numero cellulare
    telefon telefonnummer rufnummer fon handy handynummer mobil nummer privat büro
    telefoon telefoonnummer mobiel komórka cep тел телефон моб мобильный
    موبايل هاتف جوال 电话 联系电话 手机 手机号 電話 手機
    n° nº № only
"""
INITIALS = "[tmphwcbdg]"  # Mobile, home, work …; an f is a fax, an o may be a zero.
WORD = (
    rf"(?:(?:{'|'.join(sorted(WORDS.split(), key=len, reverse=True))})(?![^\W\d_])"
    rf"|{INITIALS}(?![^\W_]))"
)
MARKS_OF_LABELS = r" .:;,()\[\]/|#*\u00b0\u00ba\u2022_-"
LABEL = re.compile(rf"[(\[]*(?:{WORD}(?: ?\d(?= ?[:)]))?[{MARKS_OF_LABELS}]*)+", re.IGNORECASE)
REMARK = re.compile(rf"[{MARKS_OF_LABELS}]+(?:{WORD}[{MARKS_OF_LABELS}]*)+\Z", re.IGNORECASE)
DECORATION = ' "\u201c\u201d\u201e\u00ab\u00bb<>*#\u2022'
LIST_MARK = re.compile(r"^[-\u2013\u2014] +")  # Without the space it is a minus.
CHAT_LINK = re.compile(
    r"(?:https?://)?(?:wa\.me/|api\.whatsapp\.com/send/?\?phone=)\+?(?=\d)", re.IGNORECASE
)

# What stands between two numbers, and the word for an extension that the library misses.
BETWEEN = re.compile(
    r"\s*(?:[/\\|,;&\n]|:::|\b(?:or|and|ou|et|oder|und|y|e|o|of|en)\b)\s*", re.IGNORECASE
)
BETWEEN_OR_WORD = re.compile(rf"{BETWEEN.pattern}|\s+{WORD}[{MARKS_OF_LABELS}]*", re.IGNORECASE)
POSTE = re.compile(r"\bposte\b", re.IGNORECASE)
LONGEST_ENDING = 3  # Digits; four may be the last group of a number.
LISTS = range(12, 100)  # Characters that several numbers may have together.


def clean_phone(cell: Cell) -> str | None:
    """A phone number as +233244123456, a lost leading zero put right."""
    text = format_number(cell) if type(cell) in {int, float} else cell
    if type(text) is str and (number := get_home_region_parser()(text.replace(" ", ""))):
        return number
    if type(cell) is float and not cell.is_integer():  # Or its point would be a separator.
        raise invalid("invalid_phone")
    if isinstance(cell, FormattedCell):
        text = number_in(cell)
    elif isinstance(text, str) and not text.isascii() and len(text) <= MAX_TEXT_CHARS:
        text = repair_mojibake(text) or text  # Only digits are kept, so nothing is guessed.
    text = clean_text(text, PHONE_LENGTH)
    if text is None:
        return None
    spelled = extract_dialled_number(text)
    if spelled and (number := get_home_region_parser()(spelled)):
        return number
    return phone_in_text(text, settings.CUSTOMERS_PHONE_REGION)


def number_in(cell: FormattedCell) -> Cell:
    """The digits of a number that is shown with an exponent; other formatted cells as they are.

    Raises Invalid if the last digits are lost, or if there are decimals.
    """
    if cell.kind == "rounded":
        raise invalid("phone_lost_digits")
    if cell.kind != "exponent":
        return cell
    if isinstance(cell, float) and not cell.is_integer():
        raise invalid("invalid_phone")
    return format_number(int(cell) if isinstance(cell, int) else float(cell))


def phone_in_text(text: str, region: str) -> str:
    """The one number that the text holds, whatever stands beside it. Raises Invalid if none."""
    bare = without_decimals(without_labels(text.translate(FULL_WIDTH)))
    parts = [part for part in BETWEEN.split(bare) if part]
    if len(parts) > 1:
        numbers = {valid_phone(without_labels(part), region) for part in parts}
        if (None not in numbers and len(numbers) > 1) or has_other_endings(parts, region):
            raise invalid("several_phones")
        if len(numbers) == 1 and (number := numbers.pop()):
            return number  # One number in two spellings.
    elif parts:
        bare = parts[0]  # Without the comma behind it.
    if number := valid_phone(bare, region):
        return number
    if numbers := numbers_side_by_side(bare, region):
        if len(numbers) > 1:
            raise invalid("several_phones")
        return numbers.pop()
    raise what_is_wrong(bare, extract_dialled_number(bare), region)


def has_other_endings(parts: list[str], region: str) -> bool:
    """Whether the text is a number and the last digits of others, as in 024 412 3456/57."""
    endings = all(len(part) <= LONGEST_ENDING and part.isdecimal() for part in parts[1:])
    return endings and valid_phone(parts[0], region) is not None


def without_labels(text: str) -> str:
    """The text without the words before and behind the number: "Tel. (mobile): 024 412 3456"."""
    if text[:1].isdigit() and text[-1:].isdigit():
        return text
    if link := CHAT_LINK.match(text):
        return f"+{text[link.end() :]}"
    text = LIST_MARK.sub("", text.strip(DECORATION), count=1)
    if label := LABEL.match(text):
        text = text[label.end() :]
    return REMARK.sub("", text)


def valid_phone(text: str, region: str) -> str | None:
    """The number as it is stored, if the text is one number and nothing else."""
    if ";phone-context=" in text:  # A tel: address of RFC 3966; the library knows its parts.
        number = parsed(f"tel:{text}", region)
        is_whole = number and not number.extension and phonenumbers.is_valid_number(number)
        return e164(number) if is_whole else None
    text = without_decimals(text)
    for spelling in dict.fromkeys((text, ZEROS_AT_END.sub("", text))):
        spelled = extract_dialled_number(spelling) or without_punctuation(spelling)
        number = spelled and (
            get_home_region_parser()(spelled) or parse_with_library(spelled, region)
        )
        if number:
            return number
    return None


def numbers_side_by_side(text: str, region: str) -> set[str]:
    """The numbers that stand in the text with only a space or a line break between them."""
    if len(text) in LISTS:
        words = text.split()
        for place in range(1, len(words)):
            halves = " ".join(words[:place]), " ".join(words[place:])
            numbers = {valid_phone(half, region) for half in halves}
            if None not in numbers:
                return {number for number in numbers if number}
    return set()


def extract_dialled_number(text: str) -> str | None:
    """Only what one dials, "+" and the digits 0 to 9; None if there is more to the text."""
    text = without_decimals(text)
    if scientific := SCIENTIFIC.fullmatch(text):
        return all_digits(scientific)
    if not SPELLED.fullmatch(text):
        return None
    return in_ascii(NOT_DIALLED.sub("", text.replace("\uff0b", "+")))


def without_decimals(text: str) -> str:
    """The text without the decimals of a number cell that went through a CSV file: 244123456.0.

    Two zeros behind several points may be dialled: 01.23.45.67.00.
    """
    if text[-1:] != "0":
        return text
    whole = WITH_DECIMALS.fullmatch(text)
    return (whole[1] or whole[2] or "") if whole else text.removesuffix(".0")


def without_punctuation(text: str) -> str | None:
    """As `dialled`, of a number that is written with any marks."""
    if not (PUNCTUATED.fullmatch(text) or THOUSANDS.fullmatch(text)):
        return None
    abroad = BEGINS_ABROAD.match(text)
    spelled = in_ascii(re.sub(r"\D", "", text[abroad.end() :] if abroad else text))
    return f"+{spelled}" if abroad else spelled


def in_ascii(spelled: str) -> str:
    if spelled.isascii():
        return spelled
    return re.sub(r"\d", lambda digit: str(int(digit[0])), spelled)


def all_digits(scientific: re.Match[str]) -> str | None:
    """The digits of 2.33244123456E+11; None for 2.33244E+11, of which six are lost."""
    whole, decimals, exponent = scientific.groups(default="")
    return whole + decimals if len(decimals) == int(exponent) else None


def parse_with_library(spelled: str, region: str) -> str | None:
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


def what_is_wrong(text: str, spelled: str | None, region: str) -> InvalidValue:
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
    """Whether there is a number before or behind a mark or a word, and digits on the other side."""
    if len(text) not in LISTS:
        return False
    parts = [
        part
        for part in map(extract_dialled_number, BETWEEN_OR_WORD.split(text))
        if part and len(part) > 1
    ]
    return len(parts) > 1 and any(parse_with_library(part, region) for part in parts)


def has_extension(text: str, region: str) -> bool:
    number = parsed(POSTE.sub("ext", text), region)
    return bool(number and number.extension)


def invalid(code: str, region: str | None = None) -> InvalidValue:
    """The refusal, with an example of a number of that region, or else of our own."""
    return InvalidValue(code, **examples_of(region or settings.CUSTOMERS_PHONE_REGION))


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
def get_home_region_parser() -> Callable[[str], str | None]:
    return make_region_parser(settings.CUSTOMERS_PHONE_REGION)


def make_region_parser(region: str) -> Callable[[str], str | None]:
    """The short way: a function for the region's own mobile and fixed numbers, else None."""
    plan = PhoneMetadata.metadata_for_region(region)
    if plan is None:
        raise ImproperlyConfigured(
            f"CUSTOMERS_PHONE_REGION is {region!r}: write two letters of a country, like 'GH'."
        )
    if not has_regular_dialling_prefixes(plan):
        return lambda spelled: None
    match, code = build_region_pattern(plan).match, f"+{plan.country_code}"
    return lambda spelled: code + found["number"] if (found := match(spelled)) else None


def has_regular_dialling_prefixes(plan: PhoneMetadata) -> bool:
    """Whether dialling is 0 for the country and 00 for the world, and no country shares its code.

    Elsewhere the library has exceptions that one pattern cannot follow.
    """
    return (plan.national_prefix_for_parsing, plan.international_prefix) == (
        "0",
        "00",
    ) and phonenumbers.region_code_for_country_code(plan.country_code) == plan.id


def build_region_pattern(plan: PhoneMetadata) -> re.Pattern[str]:
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
