"""Clean phone numbers: every spelling of a number becomes one stored text, or an error.

The library phonenumbers knows the numbers of all countries, but takes twenty microseconds for a
number. One pattern, which is built from the library's metadata, recognises the numbers of the home
region instead. A cell that both reject is examined once more, to find the error and an example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

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
from imports.importer import Cell, InvalidValue, with_column_rule
from imports.mojibake import repair_mojibake

MAX_PHONE_CHARS = 20

# The digits and the marks of a number as people usually write it. Some exports add an apostrophe
# in front.
USUAL_SPELLING = re.compile(r"'?[(\[]*(?:[+\uff0b][ ()\[\]]*)?\d[\d ().\[\]\-\u2010-\u2015\u2212]*")
NOT_DIALLED_CHARACTERS = re.compile(r"[^\d+]")
SCIENTIFIC_NOTATION = re.compile(r"\+?(\d)(?:[.,](\d+))?E\+?(\d{1,2})", re.IGNORECASE)

# Marks that may separate the digits of one number, and also two numbers: those that phonenumbers
# accepts, and some more. Such a text is one number only if the whole of it is a valid number.
PUNCTUATION = r" ().\[\]\-\u2010-\u2015\u2212\u30fc\u3000/\\~\u2053\u223c_\u00b7\u2022"
PLUS_SIGNS = r"(?:(?:00 ?)?\+[+ ()\[\]]*)"
PUNCTUATED_SPELLING = re.compile(rf"['`\u2018\u2019\u00b4]?[(\[]*{PLUS_SIGNS}?\d[\d{PUNCTUATION}]*")
INTERNATIONAL_PREFIX = re.compile(rf"['`\u2018\u2019\u00b4]?[(\[]*{PLUS_SIGNS}")
THOUSANDS_SEPARATED = re.compile(r"\+?\d{1,3}([,'\u2019])\d{3}(?:\1\d{3})*")
WITH_DECIMALS = re.compile(r"([^.]*)\.00?|(.*),00?")
ZERO_DECIMALS_AT_END = re.compile(r"[.,]00?\Z")
FULL_WIDTH_CHARACTERS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

# Words before or after a number that are no part of the number.
LABEL_WORDS = """
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
INITIALS = "[tmphwcbdg]"  # Mobile, home, work and so on. F means fax, and O may be a zero.
LABEL_WORD = (
    rf"(?:(?:{'|'.join(sorted(LABEL_WORDS.split(), key=len, reverse=True))})(?![^\W\d_])"
    rf"|{INITIALS}(?![^\W_]))"
)
LABEL_MARKS = r" .:;,()\[\]/|#*\u00b0\u00ba\u2022_-"
LABEL = re.compile(rf"[(\[]*(?:{LABEL_WORD}(?: ?\d(?= ?[:)]))?[{LABEL_MARKS}]*)+", re.IGNORECASE)
TRAILING_LABEL = re.compile(rf"[{LABEL_MARKS}]+(?:{LABEL_WORD}[{LABEL_MARKS}]*)+\Z", re.IGNORECASE)
DECORATION_MARKS = ' "\u201c\u201d\u201e\u00ab\u00bb<>*#\u2022'
LIST_MARK = re.compile(r"^[-\u2013\u2014] +")  # Without the space it is a minus sign.
CHAT_LINK = re.compile(
    r"(?:https?://)?(?:wa\.me/|api\.whatsapp\.com/send/?\?phone=)\+?(?=\d)", re.IGNORECASE
)

# What separates two numbers, and the French word for an extension, which the library does not know.
SEPARATOR = re.compile(
    r"\s*(?:[/\\|,;&\n]|:::|\b(?:or|and|ou|et|oder|und|y|e|o|of|en)\b)\s*", re.IGNORECASE
)
SEPARATOR_OR_WORD = re.compile(
    rf"{SEPARATOR.pattern}|\s+{LABEL_WORD}[{LABEL_MARKS}]*", re.IGNORECASE
)
FRENCH_EXTENSION = re.compile(r"\bposte\b", re.IGNORECASE)
MAX_ENDING_DIGITS = 3  # Four digits may be the last group of a number.
SEVERAL_NUMBERS_CHARS_RANGE = range(12, 100)  # Lengths of a text that may hold several numbers.


def clean_phones(cells: Sequence[Cell]) -> list[str | None]:
    """Return the numbers of the cells that are ordinary numbers of the home region.

    None stands for each other cell.
    """
    parse = get_home_region_parser()

    def clean(cell: Cell) -> str | None:
        if type(cell) is int:
            return parse(str(cell))
        if type(cell) is not str:
            return None
        if number := parse(cell.replace(" ", "")):
            return number
        if not cell.isascii() or len(cell) > MAX_TEXT_CHARS or cell.endswith(" "):
            return None
        dialled = extract_dialled_number(cell)
        return parse(dialled) if dialled else None

    return list(map(clean, cells))


@with_column_rule(clean_phones)
def clean_phone(cell: Cell) -> str | None:
    """Return the phone number in E.164 format, for example +233244123456; None for an empty cell.

    A leading zero that a spreadsheet program dropped is restored.

    Raises:
        InvalidValue: The cell does not hold exactly one valid phone number.
    """
    value: Cell = format_number(cell) if type(cell) is int or type(cell) is float else cell
    source: object = cell  # A FormattedCell is a subclass of str, int or float too.
    # `type` and not isinstance, because subclasses of str may show something else.
    if type(value) is str and (number := get_home_region_parser()(value.replace(" ", ""))):
        return number
    if type(cell) is float and not cell.is_integer():  # The point is not a separator of digits.
        raise _invalid("invalid_phone")
    if isinstance(source, FormattedCell):
        value = _format_exponent(source)
    elif isinstance(value, str) and not value.isascii() and len(value) <= MAX_TEXT_CHARS:
        # Only digits are kept, so the repair cannot invent a letter.
        value = repair_mojibake(value) or value
    text = clean_text(value, MAX_PHONE_CHARS)
    if text is None:
        return None
    dialled = extract_dialled_number(text)
    if dialled and (number := get_home_region_parser()(dialled)):
        return number
    return _find_single_phone(text, settings.CUSTOMERS_PHONE_REGION)


def _format_exponent(cell: FormattedCell) -> Cell:
    """Return the digits of a number that is shown with an exponent; other cells unchanged.

    Raises:
        InvalidValue: The last digits are lost, or the number has decimals.
    """
    if cell.kind == "rounded":
        raise _invalid("phone_lost_digits")
    if cell.kind == "exponent" and isinstance(cell, float):
        if not cell.is_integer():
            raise _invalid("invalid_phone")
        return format_number(float(cell))
    if cell.kind == "exponent" and isinstance(cell, int):
        return format_number(int(cell))
    return cast("Cell", cell)  # Every FormattedCell is a str, an int or a float too.


def _find_single_phone(text: str, region: str) -> str:
    """Return the one number in the text, whatever words and marks surround it.

    Raises:
        InvalidValue: There is no valid number, or more than one.
    """
    text = _strip_decimals(_strip_labels(text.translate(FULL_WIDTH_CHARACTERS)))
    parts = [part for part in SEPARATOR.split(text) if part]
    if len(parts) > 1:
        numbers = {_parse_phone(_strip_labels(part), region) for part in parts}
        if (None not in numbers and len(numbers) > 1) or _has_further_endings(parts, region):
            raise _invalid("several_phones")
        if len(numbers) == 1 and (number := numbers.pop()):
            return number  # The text has one number in two spellings.
    elif parts:
        text = parts[0]  # Without a separator at the end.
    if number := _parse_phone(text, region):
        return number
    if neighbours := _parse_neighbours(text, region):
        if len(neighbours) > 1:
            raise _invalid("several_phones")
        return neighbours.pop()
    raise _explain(text, extract_dialled_number(text), region)


def _has_further_endings(parts: list[str], region: str) -> bool:
    """Tell whether the text is a number and the last digits of others, as in 024 412 3456/57."""
    are_endings = all(len(part) <= MAX_ENDING_DIGITS and part.isdecimal() for part in parts[1:])
    return are_endings and _parse_phone(parts[0], region) is not None


def _strip_labels(text: str) -> str:
    """Return the text without words before and after it, as in "Tel. (mobile): 024 412 3456"."""
    if text[:1].isdigit() and text[-1:].isdigit():
        return text
    if link := CHAT_LINK.match(text):
        return f"+{text[link.end() :]}"
    text = LIST_MARK.sub("", text.strip(DECORATION_MARKS), count=1)
    if label := LABEL.match(text):
        text = text[label.end() :]
    return TRAILING_LABEL.sub("", text)


def _parse_phone(text: str, region: str) -> str | None:
    """Return the number in E.164 format; None unless the text is one number and nothing else."""
    if ";phone-context=" in text:  # A tel: URI of RFC 3966, which the library parses.
        parsed = _parse(f"tel:{text}", region)
        if parsed and not parsed.extension and phonenumbers.is_valid_number(parsed):
            return _format_e164(parsed)
        return None
    text = _strip_decimals(text)
    for spelling in dict.fromkeys((text, ZERO_DECIMALS_AT_END.sub("", text))):
        dialled = extract_dialled_number(spelling) or _strip_punctuation(spelling)
        if dialled:
            number = get_home_region_parser()(dialled) or parse_with_library(dialled, region)
            if number:
                return number
    return None


def _parse_neighbours(text: str, region: str) -> set[str]:
    """Return the numbers of a text that has two numbers with only white space between them."""
    if len(text) in SEVERAL_NUMBERS_CHARS_RANGE:
        words = text.split()
        for index in range(1, len(words)):
            halves = " ".join(words[:index]), " ".join(words[index:])
            numbers = {_parse_phone(half, region) for half in halves}
            if None not in numbers:
                return {number for number in numbers if number}
    return set()


def extract_dialled_number(text: str) -> str | None:
    """Return what one dials: "+" and the digits 0 to 9; None if the text has more than that."""
    text = _strip_decimals(text)
    if scientific := SCIENTIFIC_NOTATION.fullmatch(text):
        return _expand_exponent(scientific)
    if not USUAL_SPELLING.fullmatch(text):
        return None
    return _to_ascii_digits(NOT_DIALLED_CHARACTERS.sub("", text.replace("\uff0b", "+")))


def _strip_decimals(text: str) -> str:
    """Return the text without zero decimals, as in 244123456.0.

    A CSV file has them if the number was a number cell before. Two zeros after several points may
    be digits of the number, as in 01.23.45.67.00: they stay.
    """
    if text[-1:] != "0":
        return text
    whole = WITH_DECIMALS.fullmatch(text)
    return (whole[1] or whole[2] or "") if whole else text.removesuffix(".0")


def _strip_punctuation(text: str) -> str | None:
    """Return what one dials, for a number with any marks; None if the text has other characters."""
    if not (PUNCTUATED_SPELLING.fullmatch(text) or THOUSANDS_SEPARATED.fullmatch(text)):
        return None
    prefix = INTERNATIONAL_PREFIX.match(text)
    digits = _to_ascii_digits(re.sub(r"\D", "", text[prefix.end() :] if prefix else text))
    return f"+{digits}" if prefix else digits


def _to_ascii_digits(text: str) -> str:
    if text.isascii():
        return text
    return re.sub(r"\d", lambda digit: str(int(digit[0])), text)


def _expand_exponent(scientific: re.Match[str]) -> str | None:
    """Return the digits of 2.33244123456E+11; None for 2.33244E+11, which has lost six digits."""
    whole, decimals, exponent = scientific.groups(default="")
    return whole + decimals if len(decimals) == int(exponent) else None


def parse_with_library(dialled: str, region: str) -> str | None:
    """Return a number of any country in E.164 format; None if phonenumbers finds it invalid."""
    number = _parse(dialled, region)
    if number and phonenumbers.is_valid_number(number):
        return _format_e164(number)
    # In regions such as Ivory Coast the zero is part of the number, and the library does not
    # restore a zero that a spreadsheet program dropped.
    number = _parse("0" + dialled, region) if dialled[0] not in "+0" else None
    if number and phonenumbers.is_valid_number_for_region(number, region):
        return _format_e164(number)
    return None


def _parse(dialled: str, region: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(dialled, region)
    except NumberParseException:
        return None


def _format_e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


# --- Errors ------------------------------------------------------------------

ERROR_CODES = {
    ValidationResult.TOO_SHORT: "phone_too_short",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "phone_too_short",  # The area code is missing.
    ValidationResult.TOO_LONG: "phone_too_long",
    ValidationResult.INVALID_LENGTH: "phone_of_wrong_length",
    ValidationResult.INVALID_COUNTRY_CODE: "phone_of_no_country",
    ValidationResult.IS_POSSIBLE: "no_such_phone",
}
PARSE_ERROR_CODES = {
    NumberParseException.TOO_LONG: "phone_too_long",
    NumberParseException.INVALID_COUNTRY_CODE: "phone_of_no_country",
}


def _explain(text: str, dialled: str | None, region: str) -> InvalidValue:
    """Return the error of a text that does not hold exactly one valid number."""
    if _has_several_numbers(text, region):
        return _invalid("several_phones")
    if dialled is None:
        if SCIENTIFIC_NOTATION.fullmatch(text):
            return _invalid("phone_lost_digits")
        return _invalid("phone_with_extension" if _has_extension(text, region) else "invalid_phone")
    try:
        number = phonenumbers.parse(dialled, region)
    except NumberParseException as error:
        return _invalid(PARSE_ERROR_CODES.get(error.error_type, "phone_too_short"))
    # Only numbers of people count. Ghana's toll-free numbers have one digit less, and a message
    # that allows for them would not help.
    reason = phonenumbers.is_possible_number_for_type_with_reason(
        number, PhoneNumberType.FIXED_LINE_OR_MOBILE
    )
    number_region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    if not _get_examples(number_region):
        return _invalid("invalid_phone")
    return _invalid(ERROR_CODES[reason], number_region)


def _has_several_numbers(text: str, region: str) -> bool:
    """Tell whether a separator or a word has a number on one side and digits on the other."""
    if len(text) not in SEVERAL_NUMBERS_CHARS_RANGE:
        return False
    numbers = map(extract_dialled_number, SEPARATOR_OR_WORD.split(text))
    parts = [number for number in numbers if number and len(number) > 1]
    return len(parts) > 1 and any(parse_with_library(part, region) for part in parts)


def _has_extension(text: str, region: str) -> bool:
    number = _parse(FRENCH_EXTENSION.sub("ext", text), region)
    return bool(number and number.extension)


def _invalid(code: str, region: str | None = None) -> InvalidValue:
    """Return the error, with an example of a number of the region; None means the home region."""
    return InvalidValue(code, **_get_examples(region or settings.CUSTOMERS_PHONE_REGION))


@cache
def _get_examples(region: str) -> dict[str, str]:
    """Return the region's name and a number of it in two formats; {} if no number is known."""
    mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    number = mobile or phonenumbers.example_number(region)
    if number is None:  # The country code is that of a service, not of a country.
        return {}
    return {
        "region": f"{region} (+{number.country_code})",
        "national": phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL),
        "international": phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL),
    }


# --- Numbers of the home region ----------------------------------------------


@cache
def get_home_region_parser() -> Callable[[str], str | None]:
    """Return the parser of the region in CUSTOMERS_PHONE_REGION.

    Raises:
        ImproperlyConfigured: There is no such region.
    """
    return make_region_parser(settings.CUSTOMERS_PHONE_REGION)


def make_region_parser(region: str) -> Callable[[str], str | None]:
    """Return a fast parser of the region's mobile and fixed-line numbers.

    The parser takes what one dials and returns the number in E.164 format, or None if the library
    has to decide.

    Raises:
        ImproperlyConfigured: There is no such region.
    """
    plan = PhoneMetadata.metadata_for_region(region)
    if plan is None:
        raise ImproperlyConfigured(
            f"CUSTOMERS_PHONE_REGION is {region!r}: write two letters of a country, like 'GH'."
        )
    if not has_regular_dialling_prefixes(plan):
        return lambda dialled: None
    match, code = build_region_pattern(plan).match, f"+{plan.country_code}"
    return lambda dialled: code + found["number"] if (found := match(dialled)) else None


def has_regular_dialling_prefixes(plan: PhoneMetadata) -> bool:
    """Tell whether one dials 0 within the country and 00 abroad, and no region shares its code.

    For other regions the library has exceptions that one pattern cannot follow.
    """
    prefixes = (plan.national_prefix_for_parsing, plan.international_prefix)
    region = phonenumbers.region_code_for_country_code(plan.country_code or 0)
    return prefixes == ("0", "00") and region == plan.id


def build_region_pattern(plan: PhoneMetadata) -> re.Pattern[str]:
    """Return one pattern for +233, 00233, 233, 0 or no prefix, and then a number of the region."""
    code, general = plan.country_code, _match_exactly(plan.general_desc)
    kinds = [kind for kind in (plan.mobile, plan.fixed_line) if kind]
    number = "|".join(_match_exactly(kind) for kind in kinds if kind.national_number_pattern)
    # The country code without a plus sign is a prefix only if the whole is not a number itself.
    prefix = rf"\+{code}0?|00{code}0?|0|(?!{general}){code}"
    return re.compile(rf"(?:{prefix})?(?P<number>(?!0)(?={general})(?:{number}))", re.ASCII)


def _match_exactly(description: PhoneNumberDesc | None) -> str:
    """Return a pattern for the description's number and nothing after it."""
    if description is None:
        return r"(?!)"
    lengths = "|".join(rf"\d{{{length}}}" for length in description.possible_length)
    return rf"(?:(?=(?:{lengths})\Z)(?:{description.national_number_pattern})\Z)"
