"""Turn a cell into the text that a user sees in it, whichever program wrote the file."""

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

MAX_TEXT_CHARS = 1_000  # NFC takes a second for ten thousand accents on one letter.

# The values of failed formulas in Excel and in LibreOffice.
SPREADSHEET_ERRORS = {
    "#REF!",
    "#N/A",
    "#VALUE!",
    "#NAME?",
    "#DIV/0!",
    "#NULL!",
    "#NUM!",
    "#SPILL!",
    "#CALC!",
    "#FIELD!",
    "#BLOCKED!",
    "#CONNECT!",
    "#BUSY!",
    "#GETTING_DATA",
}

# Control characters, unpaired surrogates, and two code points that XML cannot hold. Tab and line
# breaks are not among them: they count as spaces.
FORBIDDEN_CHARACTERS = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)

JOINERS = "\u200c\u200d"
INVISIBLE_CHARACTERS = re.compile(f"[{INVISIBLE_MARKS}{SHAPING_MARKS}]")
INVISIBLE_CHARACTERS_IN_NAMES = re.compile(f"[{INVISIBLE_MARKS}]")

# Programs write text that Excel must not take for a formula or a number as ="0244123456", or with
# an apostrophe in front.
QUOTED_TEXT = re.compile(r"'*=\"([^\"]*)\"")
ESCAPING_APOSTROPHES = re.compile(r"'+(?=[=+@-])")


def clean_text(
    cell: Cell, limit: int, invisible: re.Pattern[str] = INVISIBLE_CHARACTERS
) -> str | None:
    """Return the cell as text in NFC with single spaces; None if nothing of it is visible.

    `limit` is only the number in the error of a text that is much too long: call validate_length
    for the text's own length. `invisible` matches the characters to remove.

    Raises:
        InvalidValue: The cell is not text, or its text cannot be stored.
    """
    if cell is None:
        return None
    if type(cell) is int or type(cell) is float:
        return format_number(cell)
    if type(cell) is not str:
        validate_type(cell)
        if not isinstance(cell, str):
            raise InvalidValue("not_text")
    # Before any step that takes long for a long text.
    if len(cell) > MAX_TEXT_CHARS or isinstance(cell, ShortenedText):
        raise InvalidValue("too_long", limit=limit)
    if not cell.isascii():
        cell = normalize("NFC", cell)
        # Before the removal, because an invisible character may be part of a garbled letter.
        validate_encoding(cell)
        visible = invisible.sub("", cell)
        if len(visible) < len(cell):  # It may have separated a letter from its accent.
            cell = normalize("NFC", visible)
            validate_encoding(cell)
    if FORBIDDEN_CHARACTERS.search(cell):
        raise InvalidValue("forbidden_character")
    text = " ".join(cell.split()).strip(f" {JOINERS}")  # At an end, a joiner joins nothing.
    if text[:1] in {"=", "'"}:
        text = _strip_quotes(text)
    if text[:1] == "#" and text.upper() in SPREADSHEET_ERRORS:
        raise InvalidValue("error_cell", error=text.upper())
    return text or None


def _strip_quotes(text: str) -> str:
    """Return the text without the characters that kept it from being a formula.

    Raises:
        InvalidValue: The text is a formula.
    """
    if quoted := QUOTED_TEXT.fullmatch(text):
        text = quoted[1].strip(f" {JOINERS}")
    if escaped := ESCAPING_APOSTROPHES.match(text):
        text = text[escaped.end() :]
    if text.startswith("="):
        raise InvalidValue("formula")
    return text


def format_number(number: int | float) -> str:
    """Return a number as its reader sees it: 12, not 12.0, and never 1e+11.

    Raises:
        InvalidValue: The number is infinite, NaN or huge.
    """
    # The comparison is false for NaN, and Python does not print huge integers.
    if not abs(number) < 1e300:
        raise InvalidValue("not_text")
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def validate_length(limit: int, text: str) -> str:
    """Return the text.

    Raises:
        InvalidValue: The text has more characters than `limit`.
    """
    if len(text) > limit:
        raise InvalidValue("too_long", limit=limit)
    return text
