"""Validation of the cells of text columns.

The functions reject cells that hold no text, and text that a program has changed since someone
typed it. `imports.pipeline.field_cleaning` calls them for columns without a `clean` function. A
`clean` function may call them too.
"""

from __future__ import annotations

import re

from imports.cell_values import Cell, FormattedCell
from imports.importer import InvalidValue
from imports.mojibake import SEQUENCE_PATTERN, repair_mojibake

MAX_REPAIRED_TEXT_CHARS = 200

FORMATTED_CELL_ERROR_CODES = {
    "date": "date_in_text",
    "time": "time_in_text",
    "duration": "time_in_text",
    "percentage": "percentage_in_text",
    "fraction": "fraction_in_text",
    "exponent": "exponent_in_text",
    "rounded": "digits_lost",
}

# A number as programs write it when it is too long for its column: 2.19E+26, 1e+20, 5.00E-12.
# It does not match codes as people type them: 219E24, 5E-12.
EXPONENT_PATTERN = r"-?[0-9](?:(?:[.,][0-9]+)?[Ee]\+|[.,][0-9]+[Ee]-)[0-9]{2,3}"
EXPONENT_REGEX = re.compile(EXPONENT_PATTERN)

# Invisible characters, which come with text that is copied from a chat or a web page: soft
# hyphens, direction marks, fillers, variation selectors, tags.
INVISIBLE_MARKS = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e00ff"
    r"\U000e01f0-\U000e0fff"
)
# Invisible characters that belong to the spelling of names: joiners in Persian and Indian names,
# selectors of a letter's form in Mongolian and Japanese names.
SHAPING_MARKS = r"\u180b-\u180d\u180f\u200c\u200d\U000e0100-\U000e01ef"
INVISIBLE_MARK_PATTERN = re.compile(f"[{INVISIBLE_MARKS}]")
DAMAGED_TEXT_REGEX = re.compile(rf"\ufffd|{SEQUENCE_PATTERN.pattern}")
# Characters that a page must not pass on. They are invisible, and some reverse the order of the
# text after them, also of the page's own.
CONTROL_PATTERN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb]"
)


def show_control_characters(text: object) -> str:
    """Return the text with each control character as its code, such as ⟨U+202E⟩."""
    return CONTROL_PATTERN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", str(text))


def validate_type(cell: Cell) -> None:
    """Check that the cell holds text or a plain number, and not a date, a time, TRUE and so on.

    Raises:
        InvalidValue: The cell holds something else.
    """
    if isinstance(cell, FormattedCell):
        raise InvalidValue(FORMATTED_CELL_ERROR_CODES[cell.kind], shown=cell.shown or str(cell))
    if isinstance(cell, bool):
        raise InvalidValue("boolean_in_text", shown=str(cell).upper())


def validate_encoding(text: str) -> None:
    """Check that no program has read the text in the wrong encoding before it came into this file.

    Raises:
        InvalidValue: Characters were replaced by U+FFFD, or the text is mojibake.
    """
    if not DAMAGED_TEXT_REGEX.search(text):  # Fast path for almost all texts.
        return
    if "\ufffd" in text:
        raise InvalidValue("damaged_characters")
    if repaired := repair_mojibake(text):
        raise InvalidValue("garbled_text", probably=repaired[:MAX_REPAIRED_TEXT_CHARS])


def validate_digits(text: str) -> None:
    """Check that the text is not a number that a spreadsheet program has shortened.

    Raises:
        InvalidValue: The text is a number with an exponent.
    """
    if EXPONENT_REGEX.fullmatch(text):
        raise InvalidValue("exponent_in_text", shown=text)
