"""What every column of text refuses: cells that are no text, and text that is not what was typed.

For columns without a rule of their own `imports.pipeline.field_cleaning` calls these functions; an
importer's own rules may call them too.
"""

from __future__ import annotations

import re

from imports.cell_values import Cell, FormattedCell
from imports.importer import InvalidValue
from imports.mojibake import SEQUENCE_PATTERN, repair_mojibake

MAX_PROBABLY_CHARS = 200

FORMATTED_CELL_ERROR_CODES = {
    "date": "date_in_text",
    "time": "time_in_text",
    "duration": "time_in_text",
    "percentage": "percentage_in_text",
    "fraction": "fraction_in_text",
    "exponent": "exponent_in_text",
    "rounded": "digits_lost",
}

# As programs write a number that is too long for its column: 2.19E+26, 1e+20, 5.00E-12. Someone
# who types a code writes 219E24, 5E-12.
EXPONENT_PATTERN = r"-?[0-9](?:(?:[.,][0-9]+)?[Ee]\+|[.,][0-9]+[Ee]-)[0-9]{2,3}"
HAS_EXPONENT = re.compile(EXPONENT_PATTERN)

# Nobody sees them; they come along when text is copied from a chat or a web page. Soft hyphens,
# marks of direction, fillers, variation selectors, tags.
INVISIBLE_MARKS = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e00ff"
    r"\U000e01f0-\U000e0fff"
)
# Invisible too, but names are spelled with them: joiners in Persian and Indian ones, selectors of
# a letter's form in Mongolian and Japanese ones.
SHAPING_MARKS = r"\u180b-\u180d\u180f\u200c\u200d\U000e0100-\U000e01ef"
INVISIBLE_MARK_PATTERN = re.compile(f"[{INVISIBLE_MARKS}]")
MAY_BE_DAMAGED = re.compile(rf"\ufffd|{SEQUENCE_PATTERN.pattern}")


def validate_type(cell: Cell) -> None:
    """Raise Invalid if the spreadsheet program holds a date, a time, TRUE … instead of text."""
    if isinstance(cell, FormattedCell):
        raise InvalidValue(FORMATTED_CELL_ERROR_CODES[cell.kind], shown=cell.shown or str(cell))
    if isinstance(cell, bool):
        raise InvalidValue("yes_or_no_in_text", shown=str(cell).upper())


def validate_encoding(text: str) -> None:
    """Raise Invalid if the text has been read in the wrong encoding on its way to this file."""
    if not MAY_BE_DAMAGED.search(text):  # Hardly any is.
        return
    if "\ufffd" in text:
        raise InvalidValue("damaged_characters")
    if repaired := repair_mojibake(text):
        raise InvalidValue("garbled_text", probably=repaired[:MAX_PROBABLY_CHARS])


def validate_digits(text: str) -> None:
    """Raise Invalid if the text is a number that a spreadsheet program has shortened."""
    if HAS_EXPONENT.fullmatch(text):
        raise InvalidValue("exponent_in_text", shown=text)
