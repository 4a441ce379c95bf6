"""Parse what people write for a number, a date, a time, or yes and no.

Each function returns every meaning that a cell may have, as text that a model's field accepts. It
returns an empty list for a cell of another kind, and two meanings where countries write
differently: the file does not say which country it is from. The model's field then decides which
meanings are valid. A single point always separates decimals.
"""

from __future__ import annotations

import datetime
import math
import re
from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.template.defaultfilters import yesno
from django.utils.translation import gettext, override

from imports.importer import Cell

SPACES = " \u00a0\u2009\u202f'\u2019"  # They separate thousands, and decimals in no country.
# A whole number with more digits fits no field, and parsing it takes long.
MAX_WHOLE_NUMBER_DIGITS = 100


def _build_groups_pattern(marks: str, min_groups: int = 1) -> str:
    """Return a pattern for digits in groups of three, with the same mark between all groups."""
    return rf"[1-9][0-9]{{0,2}}(?=(?P<mark>[{marks}]))(?:(?P=mark)[0-9]{{3}}){{{min_groups},}}"


# Most numbers are written like this, and no other pattern matches them.
SIMPLE_NUMBER = re.compile(r"[+-]?[0-9]{1,99}(?:\.[0-9]*[1-9])?")
# Read with decimals even if they are zeros: as a separator of thousands, the point would make the
# number a thousand times as large.
ONE_POINT = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
POINT_DECIMALS = r"\.(?P<decimals>[0-9]+)"
COMMA_DECIMALS = ",(?P<decimals>[0-9]+)"
POWER = "(?P<power>[eE][+-]?[0-9]+)?"
NUMBER_PATTERNS = [
    re.compile(f"(?P<whole>[+-]?{whole}){rest}")
    for whole, rest in (
        ("[0-9]+", rf"(?:\.(?P<decimals>[0-9]*))?{POWER}"),
        ("", POINT_DECIMALS + POWER),
        (_build_groups_pattern(SPACES + ","), f"(?:{POINT_DECIMALS})?"),
        # Groups of two digits above a thousand, as in India.
        ("[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}", f"(?:{POINT_DECIMALS})?"),
        (_build_groups_pattern(".", min_groups=2), ""),
        ("[0-9]*", COMMA_DECIMALS + POWER),
        (_build_groups_pattern(SPACES + "."), COMMA_DECIMALS),
    )
]
MIDNIGHT_PATTERN = r"(?:[ T]00:00(?::00(?:\.0+)?)?)?"
YEAR_FIRST_PATTERN = re.compile(
    r"([1-9][0-9]{3})([./-])([0-9]{1,2})\2([0-9]{1,2})" + MIDNIGHT_PATTERN
)
YEAR_LAST_PATTERN = re.compile(
    r"([0-9]{1,2})([./-])([0-9]{1,2})\2([1-9][0-9]{3})" + MIDNIGHT_PATTERN
)
TIME_PATTERN = re.compile(
    r"([0-9]{1,2})[:.h]([0-9]{2})(?::([0-9]{2}(?:\.[0-9]{1,6})?))?(?:\s?([ap])\.?m\.?)?",
    re.IGNORECASE,
)
DATETIME_PATTERN = re.compile(
    r"(\S+?)(?:(?:,?\s+|T)(.*?)\s?(Z|[+-][0-9]{2}:?[0-9]{2})?)?", re.DOTALL
)


def parse_numbers(cell: Cell) -> list[str]:
    """Return the numbers that the cell may mean.

    "1,234.5", "1 234,5" and "1.234,5" mean 1234.5. "1,234" means 1234 or 1.234.
    """
    # `str` writes 19.99 as people see it, not the binary fraction closest to it.
    text = str(cell)
    if SIMPLE_NUMBER.fullmatch(text) or ONE_POINT.fullmatch(text):
        return [text]
    text = text.replace("\u2212", "-")
    matches = (pattern.fullmatch(text) for pattern in NUMBER_PATTERNS)
    return list(dict.fromkeys(_format_number(match) for match in matches if match))


def _format_number(number: re.Match[str]) -> str:
    """Return the number as Python writes it, without zeros at the end of its decimals."""
    part = {"decimals": "", "power": ""} | number.groupdict("")
    whole, decimals = re.sub("[^0-9+-]", "", part["whole"]), part["decimals"].rstrip("0")
    if not whole[-1:].isdigit():
        whole += "0"
    return f"{whole}.{decimals}{part['power']}" if decimals else f"{whole}{part['power']}"


def parse_finite_numbers(cell: Cell) -> list[str]:
    """Return the numbers of `parse_numbers` that a float can hold."""
    return [number for number in parse_numbers(cell) if math.isfinite(float(number))]


def parse_whole_numbers(cell: Cell) -> list[str]:
    """Return the numbers of `parse_numbers` that have no decimals.

    "12.00" means 12, and "1,234" means 1234. "1.5" and "1.000" mean no whole number.
    """
    if ONE_POINT.fullmatch(str(cell)):
        return []
    numbers = [Decimal(number) for number in parse_numbers(cell)]
    small = (number for number in numbers if number.adjusted() < MAX_WHOLE_NUMBER_DIGITS)
    return [str(int(number)) for number in small if number == number.to_integral_value()]


def parse_dates(cell: Cell) -> list[str]:
    """Return the dates that the cell may mean, as YYYY-MM-DD.

    "31.1.2026", "31/1/2026", "1/31/2026" and "2026/1/31" mean 2026-01-31. "5/1/2026" has two
    meanings.
    """
    text = cell if isinstance(cell, str) else ""
    candidates = []
    if match := YEAR_FIRST_PATTERN.fullmatch(text):
        year, _, month, day = match.groups()
        candidates = [(year, month, day)]
    elif match := YEAR_LAST_PATTERN.fullmatch(text):
        first, mark, second, year = match.groups()
        candidates = [(year, second, first)]
        if mark != ".":
            candidates.append((year, first, second))
    dates = (_format_date(*map(int, parts)) for parts in candidates)
    return list(dict.fromkeys(date for date in dates if date))


def _format_date(year: int, month: int, day: int) -> str | None:
    """Return the date as YYYY-MM-DD, or None if the month has no such day."""
    with suppress(ValueError):
        return datetime.date(year, month, day).isoformat()
    return None


def parse_times(cell: Cell) -> list[str]:
    """Return the time that the cell means, as HH:MM:SS.

    "14:30", "14.30", "14h30" and "2:30 PM" mean 14:30:00.
    """
    match = TIME_PATTERN.fullmatch(cell) if isinstance(cell, str) else None
    if match is None:
        return []
    hour, minute, second, half = match.groups()
    if half and not 1 <= int(hour) <= 12:
        return []
    hours = int(hour) % 12 + 12 * (half in "pP") if half else int(hour)
    return [f"{hours:02}:{minute}:{second or '00'}"]


def parse_datetimes(cell: Cell) -> list[str]:
    """Return the dates that the cell may mean, each with its time and its offset from UTC.

    A missing time means 00:00:00. Without an offset in the cell, the result has none.
    """
    match = DATETIME_PATTERN.fullmatch(cell) if isinstance(cell, str) else None
    if match is None:
        return []
    day, time, offset = match.groups()
    return [
        f"{date} {clock}{offset or ''}"
        for date in parse_dates(day)
        for clock in parse_times(time or "00:00")
    ]


def parse_booleans(cell: Cell) -> list[Any]:
    """Return what a BooleanField accepts for words such as "yes", "TRUE" and "VRAI".

    Django itself knows "True" and "1". Other cells are returned as they are.
    """
    if not isinstance(cell, str):
        return [cell]
    return [_get_boolean_words().get(cell.casefold(), cell.capitalize())]


@cache
def _get_boolean_words() -> dict[str, bool]:
    """Return the words for yes and no in the site's languages, and their initials."""
    words: dict[str, bool] = {}
    for language in dict(settings.LANGUAGES):
        with override(language):
            yes_and_no = {str(yesno(value)).casefold(): value for value in (True, False)}
            words |= {gettext("true"): True, gettext("false"): False}
        words |= yes_and_no | {word[0]: value for word, value in yes_and_no.items()}
    return words
