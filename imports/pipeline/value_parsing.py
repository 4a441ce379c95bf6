"""What a cell may mean that people fill with a number, a date, a time, yes or no.

Each function returns every meaning, as text that a model's field takes: none of what is nothing of
the kind, two where countries differ. Which of them is right, the field says; no file says where it
is from. One point alone always stands before decimals.
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

SPACES = " \u00a0\u2009\u202f'\u2019"  # What stands between thousands in no country's decimals.
MAX_WHOLE_NUMBER_DIGITS = 100  # More are no whole number that a field takes, and cost time.


def groups(marks: str, fewest: int = 1) -> str:
    """Digits in groups of three, all with the same mark between them."""
    return rf"[1-9][0-9]{{0,2}}(?=(?P<mark>[{marks}]))(?:(?P=mark)[0-9]{{3}}){{{fewest},}}"


PLAIN = re.compile(r"[+-]?[0-9]{1,99}(?:\.[0-9]*[1-9])?")  # Most are, and no other pattern fits.
# With zeros or without: where a point stands between thousands this is a thousand times as much.
ONE_POINT = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
POINT, COMMA = r"\.(?P<decimals>[0-9]+)", ",(?P<decimals>[0-9]+)"
POWER = "(?P<power>[eE][+-]?[0-9]+)?"
NUMBERS = [
    re.compile(f"(?P<whole>[+-]?{whole}){rest}")
    for whole, rest in (
        ("[0-9]+", rf"(?:\.(?P<decimals>[0-9]*))?{POWER}"),
        ("", POINT + POWER),
        (groups(SPACES + ","), f"(?:{POINT})?"),
        ("[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}", f"(?:{POINT})?"),  # As India counts.
        (groups(".", fewest=2), ""),
        ("[0-9]*", COMMA + POWER),
        (groups(SPACES + "."), COMMA),
    )
]
MIDNIGHT = r"(?:[ T]00:00(?::00(?:\.0+)?)?)?"
YEAR_FIRST = re.compile(r"([1-9][0-9]{3})([./-])([0-9]{1,2})\2([0-9]{1,2})" + MIDNIGHT)
YEAR_LAST = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([1-9][0-9]{3})" + MIDNIGHT)
TIME = re.compile(
    r"([0-9]{1,2})[:.h]([0-9]{2})(?::([0-9]{2}(?:\.[0-9]{1,6})?))?(?:\s?([ap])\.?m\.?)?",
    re.IGNORECASE,
)
MOMENT = re.compile(r"(\S+?)(?:(?:,?\s+|T)(.*?)\s?(Z|[+-][0-9]{2}:?[0-9]{2})?)?", re.DOTALL)


def parse_numbers(cell: Cell) -> list[str]:
    """1234.5 of 1,234.5, of 1 234,5 and of 1.234,5; both 1234 and 1.234 of 1,234."""
    text = str(cell)  # Of 19.99 what one sees, not the binary fraction next to it.
    if PLAIN.fullmatch(text) or ONE_POINT.fullmatch(text):
        return [text]
    text = text.replace("\u2212", "-")
    found = (pattern.fullmatch(text) for pattern in NUMBERS)
    return list(dict.fromkeys(_plain(one) for one in found if one))


def _plain(number: re.Match[str]) -> str:
    """As Python writes it, without zeros that say nothing."""
    part = {"decimals": "", "power": ""} | number.groupdict("")
    whole, decimals = re.sub("[^0-9+-]", "", part["whole"]), part["decimals"].rstrip("0")
    if not whole[-1:].isdigit():
        whole += "0"
    return f"{whole}.{decimals}{part['power']}" if decimals else f"{whole}{part['power']}"


def parse_finite_numbers(cell: Cell) -> list[str]:
    return [one for one in parse_numbers(cell) if math.isfinite(float(one))]


def parse_whole_numbers(cell: Cell) -> list[str]:
    """Those of `numbers` without decimals: 12 of 12.00, 1234 of 1,234, none of 1.5 and 1.000."""
    found = [] if ONE_POINT.fullmatch(str(cell)) else [Decimal(one) for one in parse_numbers(cell)]
    small = (one for one in found if one.adjusted() < MAX_WHOLE_NUMBER_DIGITS)
    return [str(int(one)) for one in small if one == one.to_integral_value()]


def parse_dates(cell: Cell) -> list[str]:
    """2026-01-31 of 31.1.2026, 31/1/2026, 1/31/2026 and 2026/1/31; two of 5/1/2026."""
    text = cell if isinstance(cell, str) else ""
    found = []
    if first := YEAR_FIRST.fullmatch(text):
        year, _, month, day = first.groups()
        found = [(year, month, day)]
    elif last := YEAR_LAST.fullmatch(text):
        one, mark, other, year = last.groups()
        found = [(year, other, one)] + ([(year, one, other)] if mark != "." else [])
    return list(dict.fromkeys(date for parts in found if (date := _date(*map(int, parts)))))


def _date(year: int, month: int, day: int) -> str | None:
    with suppress(ValueError):  # The 31st of a month that has none.
        return datetime.date(year, month, day).isoformat()
    return None


def parse_times(cell: Cell) -> list[str]:
    """14:30:00 of 14:30, 14.30, 14h30 and 2:30 PM."""
    found = TIME.fullmatch(cell) if isinstance(cell, str) else None
    if found is None:
        return []
    hour, minute, second, half = found.groups()
    if half and not 1 <= int(hour) <= 12:
        return []
    hours = int(hour) % 12 + 12 * (half in "pP") if half else int(hour)
    return [f"{hours:02}:{minute}:{second or '00'}"]


def parse_datetimes(cell: Cell) -> list[str]:
    """A date, and a time where there is one, with the offset from UTC where that is told."""
    found = MOMENT.fullmatch(cell) if isinstance(cell, str) else None
    if found is None:
        return []
    day, time, offset = found.groups()
    return [
        f"{date} {clock}{offset or ''}"
        for date in parse_dates(day)
        for clock in parse_times(time or "00:00")
    ]


def parse_booleans(cell: Cell) -> list[Any]:
    """Django knows "True" and "1"; spreadsheets write TRUE and VRAI, people yes and no."""
    if not isinstance(cell, str):
        return [cell]
    return [_yes_and_no().get(cell.casefold(), cell.capitalize())]


@cache
def _yes_and_no() -> dict[str, bool]:
    """What means yes and no in the site's languages; of people's words the initials, too."""
    words = {}
    for language in dict(settings.LANGUAGES):
        with override(language):
            said = {yesno(value).casefold(): value for value in (True, False)}
            words |= {gettext("true"): True, gettext("false"): False}
        words |= said | {word[0]: value for word, value in said.items()}
    return words
