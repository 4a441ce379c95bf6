"""The rules for the values of customers: each cleans one cell or raises an error.

A rule sees one cell and no database. It returns the text to store, or None for an empty cell. A
million rows have five million cells, so a rule tries one fast pattern first. Such a pattern
accepts only cells that the full rule accepts, with the same result; tests compare the two.

A value with only one meaning is corrected, and an ambiguous value is an error. An unlikely value
is no error: a name may be "7" or "-", because a failed row is a customer who is not imported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize
from urllib.parse import unquote

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from customers.normalization import INVISIBLE_CHARACTERS_IN_NAMES, clean_text, validate_length
from customers.phones import clean_phone
from imports.importer import Cell, InvalidValue, with_column_rule
from imports.text_cell_values import EXPONENT_PATTERN, validate_digits, validate_encoding

__all__ = ["MESSAGES", "clean_email", "clean_name", "clean_phone", "clean_shipping_mark"]

MAX_MARK_CHARS = 50
MAX_NAME_CHARS = 100
MAX_EMAIL_CHARS = 254

MESSAGES = {
    "too_long": _("This is too long. Shorten it to at most %(limit)s characters."),
    "forbidden_character": _(
        "This contains a control character that cannot be stored. Type the value again by hand."
    ),
    "not_text": _("This cell does not contain text or a number. Type the value itself."),
    "error_cell": _("This cell shows the error %(error)s. Type the value itself."),
    "formula": _("This is a formula, not its result. Type the value itself."),
    "invalid_phone": _(
        "This is not a phone number we can call. Write the number alone, "
        "like %(national)s or %(international)s."
    ),
    "several_phones": _(
        "This cell contains several phone numbers. Keep only the one to call, like %(national)s or "
        "%(international)s."
    ),
    "phone_with_extension": _(
        "This phone number has an extension, which cannot be stored. Write the number alone, "
        "like %(national)s or %(international)s."
    ),
    "phone_lost_digits": _(
        "The last digits of this phone number are lost, because the spreadsheet program has "
        "rounded it. Format the column as text and type the whole number again, like %(national)s "
        "or %(international)s."
    ),
    "phone_too_short": _(
        "This is not a phone number we can call. It has too few digits for a number in %(region)s. "
        "Add the missing digits or the area code. Write it like %(national)s or %(international)s."
    ),
    "phone_too_long": _(
        "This is not a phone number we can call. It has too many digits for a number in "
        "%(region)s. Write it like %(national)s or %(international)s. Write a foreign number with "
        "+ and its country code."
    ),
    "phone_of_wrong_length": _(
        "This is not a phone number we can call. No number in %(region)s has this many digits. "
        "Write it like %(national)s or %(international)s."
    ),
    "no_such_phone": _(
        "This is not a phone number we can call. No such number exists in %(region)s. Check its "
        "digits. A valid number looks like %(national)s or %(international)s."
    ),
    "phone_of_no_country": _(
        "This is not a phone number we can call. The country code after the + does not exist. "
        "Write it like %(national)s or %(international)s."
    ),
    "invalid_email": _(
        "This is not an e-mail address. Write it like ama@example.com, or leave the cell empty."
    ),
    "email_without_at": _(
        "This e-mail address has no @. Write it like ama@example.com, or leave the cell empty."
    ),
    "email_without_domain": _(
        "The part after the @ of this e-mail address is not complete. Write it like "
        "ama@example.com, or leave the cell empty."
    ),
    "email_with_space": _(
        "This e-mail address contains a space. Write it like ama@example.com, or leave the cell "
        "empty."
    ),
    "several_emails": _(
        "This cell contains several e-mail addresses. Keep only one, like ama@example.com."
    ),
}

# The fast patterns. None of their characters combines with another, so the text is in NFC, and
# none is the second character of a garbled letter. The text does not begin like an error value
# ("#"), a formula ("=") or a formula that an apostrophe turns into text.
ORDINARY_START = rf"(?:(?=[^#='0-9-])|(?!#|=|'+[=+@-]|{EXPONENT_PATTERN}\Z))"
SIMPLE_MARK = re.compile(rf"{ORDINARY_START}[!-~]+(?: [!-~]+)*")
NAME_LETTERS = (
    r"[!-~\u00c0-\u0151\u0154-\u015f\u0162-\u0177\u0179-\u017c\u017f-\u0191\u0193-\u02c5\u02c7-\u02db"
    r"\u02dd-\u02ff\u1e00-\u1eff]+"
)
SIMPLE_NAME = re.compile(rf"{ORDINARY_START}{NAME_LETTERS}(?: {NAME_LETTERS})*")
SIMPLE_EMAIL = re.compile(
    rf"{ORDINARY_START}[\w!#$%&'*+/=?^`{{|}}~-]+(?:\.[\w!#$%&'*+/=?^`{{|}}~-]+)*"
    r"@(?:(?![Xx][Nn]--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}",
    re.ASCII,
)

# Texts that exports and mail programs write around an address: 'Ama Mensah <ama@example.com>',
# "Ama Mensah (ama@example.com)", "E-mail: ama@example.com", "ama@example.com (work)".
EMAIL_WITH_NAME = re.compile(
    r"[^<>@]*<([^<>]*)>|[^<>()\[\]@]*[(\[]([^<>()\[\]@]*@[^<>()\[\]@]*)[)\]]"
)
EMAIL_LABEL = re.compile(
    r"(?:(?:my |home |work |private )?(?:e-?mail|mail)(?: address| id)?|courriel|correo|e-?posta"
    r"|邮箱|почта) *[:\uff1a] *"
)
EMAIL_COMMENT = re.compile(r" *\([^()@]*\)")
QUOTE_PAIRS = ("''", '""', "``", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb", "\u201e\u201c")
EMAIL_SEPARATORS = re.compile(r"[\s,;/|&<>]+")
# The full-width characters of East Asian keyboards, and their full stop.
FULL_WIDTH_CHARACTERS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3002: ord(".")}


def clean_shipping_marks(cells: Sequence[Cell]) -> list[str | None]:
    """Return the marks of the cells that are ordinary; None for each other cell."""
    texts = _match_ordinary_texts(SIMPLE_MARK, MAX_MARK_CHARS, cells)
    return [text and text.upper() for text in texts]


@with_column_rule(clean_shipping_marks)
def clean_shipping_mark(cell: Cell) -> str | None:
    """Return the mark in capital letters with single spaces; None for an empty cell.

    Raises:
        InvalidValue: The cell is not a text that can be stored as a mark.
    """
    if type(cell) is str and len(cell) <= MAX_MARK_CHARS and SIMPLE_MARK.fullmatch(cell):
        return cell.upper()
    text = clean_text(cell, MAX_MARK_CHARS)
    if text is None:
        return None
    validate_digits(text)
    # NFC again: some letters have no capital letter, and `upper` decomposes them.
    mark = normalize("NFC", text.upper())
    validate_encoding(mark)  # Capital letters may form a garbled letter that small ones do not.
    return validate_length(MAX_MARK_CHARS, mark)


def clean_names(cells: Sequence[Cell]) -> list[str | None]:
    """Return the names of the cells that are ordinary; None for each other cell."""
    return _match_ordinary_texts(SIMPLE_NAME, MAX_NAME_CHARS, cells)


@with_column_rule(clean_names)
def clean_name(cell: Cell) -> str | None:
    """Return the name in its own script with single spaces; None for an empty cell.

    Raises:
        InvalidValue: The cell is not a text that can be stored as a name.
    """
    if type(cell) is str and len(cell) <= MAX_NAME_CHARS and SIMPLE_NAME.fullmatch(cell):
        return cell
    text = clean_text(cell, MAX_NAME_CHARS, INVISIBLE_CHARACTERS_IN_NAMES)
    if text is None:
        return None
    validate_digits(text)
    return validate_length(MAX_NAME_CHARS, text)


def clean_emails(cells: Sequence[Cell]) -> list[str | None]:
    """Return the addresses of the cells that are ordinary; None for each other cell."""
    texts = _match_ordinary_texts(SIMPLE_EMAIL, MAX_EMAIL_CHARS, cells)
    return [text and text.lower() for text in texts]


@with_column_rule(clean_emails)
def clean_email(cell: Cell) -> str | None:
    """Return the e-mail address in small letters; None for an empty cell.

    A domain in ASCII form (xn--…) is returned in the letters of its language.

    Raises:
        InvalidValue: The cell does not hold exactly one e-mail address.
    """
    if type(cell) is str and len(cell) <= MAX_EMAIL_CHARS and SIMPLE_EMAIL.fullmatch(cell):
        return cell.lower()
    text = clean_text(cell, MAX_EMAIL_CHARS)
    if text is None:
        return None
    address = normalize("NFC", text.lower()).translate(FULL_WIDTH_CHARACTERS)
    if not _is_address(address):
        address = validate_length(MAX_EMAIL_CHARS, _strip_surroundings(address))
        if not _is_address(address):
            address = _find_repeated_address(address)
    return _decode_domain(validate_length(MAX_EMAIL_CHARS, address))


def _match_ordinary_texts(
    pattern: re.Pattern[str], max_chars: int, cells: Sequence[Cell]
) -> list[str | None]:
    """Return the texts that match a fast pattern, with single spaces; None for each other cell."""
    match = pattern.fullmatch
    texts = [
        cell if type(cell) is str and len(cell) <= max_chars and match(cell) else None
        for cell in cells
    ]
    for index, text in enumerate(texts):
        cell = cells[index]
        if text is None and type(cell) is str and " " in cell and len(cell) <= max_chars:
            spaced = " ".join(filter(None, cell.split(" ")))
            texts[index] = spaced if match(spaced) else None
    return texts


def _strip_surroundings(text: str) -> str:
    """Return the address without the texts that programs and people write around it."""
    text = EMAIL_LABEL.sub("", text, count=1).rstrip(" ,;.")
    if named := EMAIL_WITH_NAME.fullmatch(text):
        text = (named[1] or named[2] or "").strip()
    if text.startswith("mailto:"):
        text = text.removeprefix("mailto:").lstrip(" /").partition("?")[0]
        text = (clean_text(unquote(text), MAX_EMAIL_CHARS) or "").lower()
    text = EMAIL_COMMENT.sub("", text)
    while text[:1] + text[-1:] in QUOTE_PAIRS and len(text) > 1:
        text = text[1:-1]
    if _is_address(text):
        return text
    # Valid addresses almost never begin or end with these characters.
    return text.lstrip(" ,;:.<>()[]").rstrip(" ,;:.<>()[]/\\|!?*")


def _find_repeated_address(text: str) -> str:
    """Return the address of a text that has it twice, for example as its own display name.

    Raises:
        InvalidValue: The text is not such a text.
    """
    parts = [part for part in EMAIL_SEPARATORS.split(text) if part]
    if len(parts) > 1:
        addresses = set(map(_strip_surroundings, parts))
        if len(addresses) == 1 and _is_address(address := addresses.pop()):
            return address
    # The error of Django's validator is not used: its parameters quote the address.
    raise InvalidValue(_choose_email_error(text))


def _is_address(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def _decode_domain(address: str) -> str:
    """Return the address with a domain such as xn--exmple-cua.com as exämple.com."""
    user, at, host = address.rpartition("@")
    if "xn--" not in host:
        return address
    try:
        decoded = f"{user}{at}{idna.decode(host)}"
    except idna.IDNAError:  # Invalid by today's rules for domains, but still in use.
        return address
    return decoded if _is_address(decoded) else address


def _choose_email_error(address: str) -> str:
    """Return the code of the error of a text that is no address."""
    if "@" not in address:
        return "email_without_at"
    if sum("@" in part and part != "@" for part in EMAIL_SEPARATORS.split(address)) > 1:
        return "several_emails"
    if " " in address:
        return "email_with_space"
    if address.count("@") == 1 and not _is_address(f"ama@{address.partition('@')[2]}"):
        return "email_without_domain"
    return "invalid_email"
