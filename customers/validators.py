"""What one cell of a customer row must be: each rule cleans a value or says what is wrong.

A rule sees one cell and no database. It returns the text to store, None for an empty
cell, or raises Invalid. Five cells of each of a million rows pass here, so a rule first
tries one pattern for the ordinary cell, then goes the long way. A pattern only ever
accepts what the long way accepts, with the same result: the tests hold the two together.

What can mean only one thing is put right; what can mean two is refused. Nothing is refused
for being unlikely: a name may be "7" or "-", because a customer refused is a customer lost.
"""

from __future__ import annotations

import re
from unicodedata import normalize
from urllib.parse import unquote

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from customers.normalization import INVISIBLE_CHARACTERS_IN_NAMES, clean_text, validate_length
from customers.phones import clean_phone
from imports.importer import Cell, InvalidValue
from imports.text_cell_values import EXPONENT_PATTERN, validate_digits, validate_encoding

__all__ = ["MESSAGES", "clean_email", "clean_name", "clean_phone", "clean_shipping_mark"]

MARK_LENGTH = 50
NAME_LENGTH = 100
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

# None of these characters combines with another, so their text is in NFC as it stands, and none is
# the second of a garbled letter. An error cell begins with "#", a formula with "=", and an
# apostrophe may keep text from being one.
TELLTALE = rf"(?:(?=[^#='0-9-])|(?!#|=|'+[=+@-]|{EXPONENT_PATTERN}\Z))"
PLAIN_MARK = re.compile(rf"{TELLTALE}[!-~]+(?: [!-~]+)*")
NAME_LETTERS = (
    r"[!-~\u00c0-\u0151\u0154-\u015f\u0162-\u0177\u0179-\u017c\u017f-\u0191\u0193-\u02c5\u02c7-\u02db"
    r"\u02dd-\u02ff\u1e00-\u1eff]+"
)
SIMPLE_NAME = re.compile(rf"{TELLTALE}{NAME_LETTERS}(?: {NAME_LETTERS})*")
SIMPLE_EMAIL = re.compile(
    rf"{TELLTALE}[\w!#$%&'*+/=?^`{{|}}~-]+(?:\.[\w!#$%&'*+/=?^`{{|}}~-]+)*"
    r"@(?:(?![Xx][Nn]--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}",
    re.ASCII,
)

# What exports and mail programs write around an address: 'Ama Mensah <ama@example.com>',
# "Ama Mensah (ama@example.com)", "E-mail: ama@example.com", "ama@example.com (work)".
NAMED_EMAIL = re.compile(r"[^<>@]*<([^<>]*)>|[^<>()\[\]@]*[(\[]([^<>()\[\]@]*@[^<>()\[\]@]*)[)\]]")
EMAIL_LABEL = re.compile(
    r"(?:(?:my |home |work |private )?(?:e-?mail|mail)(?: address| id)?|courriel|correo|e-?posta"
    r"|邮箱|почта) *[:\uff1a] *"
)
EMAIL_REMARK = re.compile(r" *\([^()@]*\)")
QUOTES = ("''", '""', "``", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb", "\u201e\u201c")
BETWEEN_EMAILS = re.compile(r"[\s,;/|&<>]+")
# Full-width letters and marks of East Asian keyboards, and their full stop.
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3002: ord(".")}


def clean_shipping_mark(cell: Cell) -> str | None:
    """Upper-case with single spaces, the same in every locale."""
    if type(cell) is str and len(cell) <= MARK_LENGTH and PLAIN_MARK.fullmatch(cell):
        return cell.upper()
    text = clean_text(cell, MARK_LENGTH)
    if text is None:
        return None
    validate_digits(text)
    # Again in NFC: some letters have no upper-case form of their own and come apart.
    mark = normalize("NFC", text.upper())
    validate_encoding(mark)  # What small letters cannot be is looked for among capital ones, too.
    return validate_length(MARK_LENGTH, mark)


def clean_name(cell: Cell) -> str | None:
    """A name as it was written, in any script, with single spaces."""
    if type(cell) is str and len(cell) <= NAME_LENGTH and SIMPLE_NAME.fullmatch(cell):
        return cell
    text = clean_text(cell, NAME_LENGTH, INVISIBLE_CHARACTERS_IN_NAMES)
    if text is None:
        return None
    validate_digits(text)
    return validate_length(NAME_LENGTH, text)


def clean_email(cell: Cell) -> str | None:
    """A lower-case e-mail address, alone, its domain in the letters of its language."""
    if type(cell) is str and len(cell) <= MAX_EMAIL_CHARS and SIMPLE_EMAIL.fullmatch(cell):
        return cell.lower()
    text = clean_text(cell, MAX_EMAIL_CHARS)
    if text is None:
        return None
    address = normalize("NFC", text.lower()).translate(FULL_WIDTH)
    if not is_address(address):
        address = validate_length(MAX_EMAIL_CHARS, bare_address(address))
        if not is_address(address):
            address = repeated_address(address)
    return in_letters(validate_length(MAX_EMAIL_CHARS, address))


def bare_address(text: str) -> str:
    """The address without what programs and lists put around it."""
    text = EMAIL_LABEL.sub("", text, count=1).rstrip(" ,;.")
    if named := NAMED_EMAIL.fullmatch(text):
        text = (named[1] or named[2] or "").strip()
    if text.startswith("mailto:"):
        text = text.removeprefix("mailto:").lstrip(" /").partition("?")[0]
        text = (clean_text(unquote(text), MAX_EMAIL_CHARS) or "").lower()
    text = EMAIL_REMARK.sub("", text)
    while text[:1] + text[-1:] in QUOTES and len(text) > 1:
        text = text[1:-1]
    if is_address(text):
        return text
    # Hardly an address begins or ends with any of these.
    return text.lstrip(" ,;:.<>()[]").rstrip(" ,;:.<>()[]/\\|!?*")


def repeated_address(text: str) -> str:
    """The address of a text that holds it twice, as its own display name. Raises Invalid."""
    parts = [part for part in BETWEEN_EMAILS.split(text) if part]
    if len(parts) > 1:
        addresses = set(map(bare_address, parts))
        if len(addresses) == 1 and is_address(address := addresses.pop()):
            return address
    # Without the validator's own words: its parameters quote the address.
    raise InvalidValue(wrong_with_address(text))


def is_address(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def in_letters(address: str) -> str:
    """With the domain xn--exmple-cua.com as exämple.com: one address is stored in one spelling."""
    user, at, host = address.rpartition("@")
    if "xn--" not in host:
        return address
    try:
        spelled = f"{user}{at}{idna.decode(host)}"
    except idna.IDNAError:  # No domain by today's rules, but an address all the same.
        return address
    return spelled if is_address(spelled) else address


def wrong_with_address(address: str) -> str:
    """The code for what keeps this from being an e-mail address."""
    if "@" not in address:
        return "email_without_at"
    if sum("@" in part and part != "@" for part in BETWEEN_EMAILS.split(address)) > 1:
        return "several_emails"
    if " " in address:
        return "email_with_space"
    if address.count("@") == 1 and not is_address(f"ama@{address.partition('@')[2]}"):
        return "email_without_domain"
    return "invalid_email"
