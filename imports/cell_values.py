"""The cells of a file, as the reader hands them to importers.

Most cells are plain values. A cell of a workbook may say more than its value: a number that is
shown as a date, text with a link behind it, text that was too long to keep. Such a cell is an
instance of its plain type with attributes added, so a rule that knows nothing of them treats
it as the plain value.
"""

from __future__ import annotations

from typing import Any

# Dates and times arrive as ISO 8601 text.
Cell = str | int | float | bool | None

MAX_SHOWN_CHARS = 100
MAX_LINK_CHARS = 500


class FormattedCell:
    """A number of a workbook that its format shows as something else.

    A spreadsheet program makes such cells of what people type: "12-3" becomes a date, "219E24"
    a number with an exponent, a code of twenty digits a number of fifteen. A column of text must
    not take them for what was typed.

    kind: "date", "time", "duration", "percentage", "fraction", "exponent" or "rounded" (a number
        of more than fifteen digits, of which the last are lost).
    shown: what the cell shows in the spreadsheet program; "" where the format is not known.
    """

    kind: str
    shown: str


class FormattedText(FormattedCell, str):
    """A date, time or duration as ISO 8601 text."""


class FormattedInteger(FormattedCell, int):
    """A whole number that is shown as a percentage, with an exponent, or rounded."""


class FormattedFloat(FormattedCell, float):
    """A number with decimals that is shown as a percentage, a fraction or with an exponent."""


class LinkedText(str):
    """Text with a link behind it. `link` is the address, such as "mailto:ama@example.com"."""

    link: str


class ShortenedText(str):
    """The beginning of a text that is longer than a cell may be; `length` is the text's own."""

    length: int


TEXT_KINDS = frozenset({"date", "time", "duration"})
NUMBER_KINDS = frozenset({"percentage", "fraction", "exponent", "rounded"})


def make_cell(kind: Any, value: Any, detail: Any) -> Cell:
    """Return the cell that the reader process describes by these three values.

    Raises ValueError if they describe none: the reader process is not trusted.
    """
    if kind == "link" and type(value) is type(detail) is str and len(detail) <= MAX_LINK_CHARS:
        linked = LinkedText(value)
        linked.link = detail
        return linked
    if kind == "shortened" and type(value) is str and type(detail) is int:
        shortened = ShortenedText(value)
        shortened.length = detail
        return shortened
    if type(detail) is not str or len(detail) > MAX_SHOWN_CHARS:
        raise ValueError("a formatted cell shows a short text")
    formatted = _make_formatted(kind, value)
    formatted.kind, formatted.shown = kind, detail
    return formatted


def _make_formatted(kind: Any, value: Any) -> FormattedText | FormattedInteger | FormattedFloat:
    if kind in TEXT_KINDS and type(value) is str:
        return FormattedText(value)
    if kind in NUMBER_KINDS and type(value) is int:
        return FormattedInteger(value)
    if kind in NUMBER_KINDS and type(value) is float:
        return FormattedFloat(value)
    raise ValueError("no such kind of cell")
