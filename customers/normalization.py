"""One cell as the text that its reader sees, whatever program wrote it."""

from __future__ import annotations

import re
from decimal import Decimal
from unicodedata import normalize

from imports.cell_values import ShortenedText
from imports.importer import Cell, InvalidValue
from imports.text_cell_values import (
    INVISIBLE_MARKS,
    SHAPING_MARKS,
    validate_encoding,
    validate_type,
)

MAX_TEXT_CHARS = 1_000  # Ten thousand accents on one letter take NFC a second.

# What a formula leaves behind when it fails, in Excel and in LibreOffice.
SPREADSHEET_ERRORS = {
    *("#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"),
    *("#FIELD!", "#BLOCKED!", "#CONNECT!", "#BUSY!", "#GETTING_DATA"),
}

# Controls, halves of a surrogate pair and two code points no XML file may hold. Tab and the
# line breaks are missing: they are spaces.
FORBIDDEN_CHARACTERS = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)

JOINERS = "\u200c\u200d"
INVISIBLE_CHARACTERS = re.compile(f"[{INVISIBLE_MARKS}{SHAPING_MARKS}]")
INVISIBLE_CHARACTERS_IN_NAMES = re.compile(f"[{INVISIBLE_MARKS}]")

# How programs write text that Excel must not take for a formula or a number: ="0244123456",
# or with an apostrophe in front.
QUOTED = re.compile(r"'*=\"([^\"]*)\"")
ESCAPING = re.compile(r"'+(?=[=+@-])")


def clean_text(
    cell: Cell, limit: int, invisible: re.Pattern[str] = INVISIBLE_CHARACTERS
) -> str | None:
    """The cell as text in NFC with single spaces; None if there is nothing to see in it."""
    if cell is None:
        return None
    if type(cell) in {int, float}:
        return format_number(cell)
    if type(cell) is not str:
        validate_type(cell)
        if not isinstance(cell, str):
            raise InvalidValue("not_text")
    # Before anything that takes longer than reading it.
    if len(cell) > MAX_TEXT_CHARS or isinstance(cell, ShortenedText):
        raise InvalidValue("too_long", limit=limit)
    if not cell.isascii():
        cell = normalize("NFC", cell)
        validate_encoding(cell)  # First: an invisible character may be part of a garbled letter.
        seen = invisible.sub("", cell)
        if len(seen) < len(cell):  # It may have stood between a letter and its accent.
            cell = normalize("NFC", seen)
            validate_encoding(cell)
    if FORBIDDEN_CHARACTERS.search(cell):
        raise InvalidValue("forbidden_character")
    text = " ".join(cell.split()).strip(f" {JOINERS}")  # They join nothing at either end.
    if text[:1] in {"=", "'"}:
        text = without_quotes(text)
    if text[:1] == "#" and text.upper() in SPREADSHEET_ERRORS:
        raise InvalidValue("error_cell", error=text.upper())
    return text or None


def without_quotes(text: str) -> str:
    """The text without what kept it from being a formula; Invalid if it is one."""
    if quoted := QUOTED.fullmatch(text):
        text = quoted[1].strip(f" {JOINERS}")
    if escaped := ESCAPING.match(text):
        text = text[escaped.end() :]
    if text.startswith("="):
        raise InvalidValue("formula")
    return text


def format_number(number: int | float) -> str:
    """A number cell as its reader sees it: 12, not 12.0, and never 1e+11."""
    if not abs(number) < 1e300:  # Neither is "nan", and Python refuses to print huge integers.
        raise InvalidValue("not_text")
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def validate_length(limit: int, text: str) -> str:
    if len(text) > limit:
        raise InvalidValue("too_long", limit=limit)
    return text
