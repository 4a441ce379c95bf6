"""The types of the cells that the reader passes to importers.

Most cells are plain values. A cell of a workbook may hold more than a value: a number that is
displayed as a date, text with a link, text that was too long to keep. Such a cell is an instance
of a subclass of the plain type with attributes added. Code that does not know the attributes
treats it as the plain value.
"""

from __future__ import annotations

import re

# Dates and times arrive as ISO 8601 text.
Cell = str | int | float | bool | None

# PostgreSQL's types text and jsonb cannot store these. JSON from an attacker may contain them.
UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")

MAX_DISPLAY_TEXT_CHARS = 100
MAX_LINKED_TEXT_CHARS = 500


class FormattedCell:
    """A number of a workbook that its number format displays as something else.

    Spreadsheet programs change what users type: "12-3" becomes a date, "219E24" becomes a number
    with an exponent, and a code of twenty digits keeps only fifteen of them. A text column must not
    accept such a cell as the text that was typed.

    kind: "date", "time", "duration", "percentage", "fraction", "exponent" or "rounded" (a number
        of more than fifteen digits, which has lost the others).
    shown: what the spreadsheet program displays; "" if the number format is not known.
    """

    kind: str
    shown: str


class FormattedText(FormattedCell, str):
    """A date, time or duration as ISO 8601 text."""


class FormattedInteger(FormattedCell, int):
    """A whole number that is displayed as a percentage, with an exponent, or rounded."""


class FormattedFloat(FormattedCell, float):
    """A number with decimals that is displayed as a percentage, a fraction or with an exponent."""


class LinkedText(str):
    """Text with a hyperlink. `link` is the URL, such as "mailto:ama@example.com"."""

    link: str


class ShortenedText(str):
    """The beginning of a text that exceeds the size limit of a cell.

    `length` is the number of characters of the whole text.
    """

    length: int


TEXT_KINDS = frozenset({"date", "time", "duration"})
NUMBER_KINDS = frozenset({"percentage", "fraction", "exponent", "rounded"})


def make_cell(kind: object, value: object, detail: object) -> Cell:
    """Return the cell that the reader process describes by these three values.

    The reader process is not trusted, so all types and sizes are checked.

    Raises:
        ValueError: The values do not describe a cell.
    """
    if (
        kind == "link"
        and type(value) is type(detail) is str
        and len(detail) <= MAX_LINKED_TEXT_CHARS
    ):
        linked = LinkedText(value)
        linked.link = detail
        return linked
    if kind == "shortened" and type(value) is str and type(detail) is int:
        shortened = ShortenedText(value)
        shortened.length = detail
        return shortened
    if type(detail) is not str or len(detail) > MAX_DISPLAY_TEXT_CHARS:
        raise ValueError("a formatted cell shows a short text")
    formatted = _make_formatted_cell(kind, value)
    formatted.kind, formatted.shown = str(kind), detail
    return formatted


def _make_formatted_cell(
    kind: object, value: object
) -> FormattedText | FormattedInteger | FormattedFloat:
    if kind in TEXT_KINDS and type(value) is str:
        return FormattedText(value)
    if kind in NUMBER_KINDS and type(value) is int:
        return FormattedInteger(value)
    if kind in NUMBER_KINDS and type(value) is float:
        return FormattedFloat(value)
    raise ValueError("no such kind of cell")
