"""How people write numbers, dates, yes and no: what can mean one thing only is put right.

What can mean two is refused with both, for no file says which country it is from.
"""

from __future__ import annotations

import re
from functools import cache

from django.conf import settings
from django.template.defaultfilters import yesno
from django.utils.translation import override

from imports.importer import Invalid

SPACES = " \u00a0\u202f'\u2019"  # What stands between thousands in no country's decimals.


def grouped(marks: str, fewest: int = 1) -> str:
    """Digits in groups of three, all with the same mark between them."""
    return rf"[0-9]{{1,3}}(?=(?P<mark>[{marks}]))(?:(?P=mark)[0-9]{{3}}){{{fewest},}}"


WITH_A_COMMA = re.compile(
    rf"(?P<whole>[+-]?(?:{grouped(SPACES + '.')}|[0-9]+)),(?P<decimals>[0-9]+)"
)
GROUPED = [
    re.compile(rf"(?P<whole>[+-]?{grouped(SPACES + ',')})(?P<decimals>\.[0-9]+)?"),
    re.compile(rf"(?P<whole>[+-]?{grouped('.', fewest=2)})(?P<decimals>)"),
]
TWO_NUMBERS = re.compile(r"([+-]?[1-9][0-9]{0,2}),([0-9]{3})")

YEAR_FIRST = re.compile(r"([0-9]{4})[./]([0-9]{1,2})[./]([0-9]{1,2})")
YEAR_LAST = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4})")


def number(text: str) -> str:
    """3,50 as 3.50, and 1 234.50 and 1.234,50 as 1234.50.

    Raises Invalid for 1,234, which may be 1234 or 1.234.
    """
    if two := TWO_NUMBERS.fullmatch(text):
        whole, decimal = "".join(two.groups()), ".".join(two.groups())
        raise Invalid("ambiguous", first=whole, second=decimal)
    if comma := WITH_A_COMMA.fullmatch(text):
        return f"{_digits(comma['whole'])}.{comma['decimals']}"
    return whole_number(text)


def whole_number(text: str) -> str:
    """1 234, 1'234, 1,234 and 1.234.567 without what stands between their thousands."""
    for one in GROUPED:
        if found := one.fullmatch(text):
            return _digits(found["whole"]) + (found["decimals"] or "")
    return text


def _digits(grouped: str) -> str:
    return re.sub("[^0-9+-]", "", grouped)


def date(text: str) -> str:
    """31.1.2026, 31/1/2026, 1/31/2026 and 2026/1/31 as 2026-1-31.

    Raises Invalid for 5/1/2026, which may be in January or in May. With points it is the fifth.
    """
    if first := YEAR_FIRST.fullmatch(text):
        return "-".join(first.groups())
    if not (last := YEAR_LAST.fullmatch(text)):
        return text
    one, mark, other, year = last.groups()
    if mark == "." or int(one) > 12 or int(one) == int(other):
        return f"{year}-{other}-{one}"
    if int(other) > 12:
        return f"{year}-{one}-{other}"
    two = (f"{year}-{month:0>2}-{day:0>2}" for month, day in ((other, one), (one, other)))
    raise Invalid("ambiguous", **dict(zip(("first", "second"), two, strict=True)))


def moment(text: str) -> str:
    """The same before a time of day."""
    day, space, time = text.partition(" ")
    return date(day) + space + time


def yes_or_no(text: str) -> bool | str:
    """Django knows "True" and "1"; spreadsheets write TRUE and true, people yes and no."""
    return _yes_and_no().get(text.casefold(), text.capitalize())


@cache
def _yes_and_no() -> dict[str, bool]:
    """What people write for yes and for no, in full or by its initial, in the site's languages."""
    words = {}
    for language in dict(settings.LANGUAGES):
        with override(language):
            said = {yesno(value).casefold(): value for value in (True, False)}
        words |= said | {word[0]: value for word, value in said.items()}
    return words
