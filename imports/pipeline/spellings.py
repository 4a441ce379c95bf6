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

SPACES = " \u00a0\u2009\u202f'\u2019"  # What stands between thousands in no country's decimals.


def groups(marks: str, fewest: int = 1) -> str:
    """Digits in groups of three, all with the same mark between them."""
    return rf"[1-9][0-9]{{0,2}}(?=(?P<mark>[{marks}]))(?:(?P=mark)[0-9]{{3}}){{{fewest},}}"


WITH_A_COMMA = re.compile(
    rf"(?P<whole>[+-]?(?:{groups(SPACES + '.')}|[0-9]+)),(?P<decimals>[0-9]+)"
)
GROUPED = [
    re.compile(rf"(?P<whole>[+-]?{groups(SPACES + ',')})(?P<decimals>\.[0-9]+)?"),
    re.compile(rf"(?P<whole>[+-]?{groups('.', fewest=2)})(?P<decimals>)"),
]
TWO_NUMBERS = re.compile(r"([+-]?[1-9][0-9]{0,2}),([0-9]{3})")

YEAR_FIRST = re.compile(r"([0-9]{4})[./]([0-9]{1,2})[./]([0-9]{1,2})")
YEAR_LAST = re.compile(r"(0?[1-9]|[1-3][0-9])([./-])(0?[1-9]|[1-3][0-9])\2([1-9][0-9]{3})")
DAY_AND_TIME = re.compile("([^ ,]*)[ ,]*(.*)", re.DOTALL)


def number(text: str) -> str:
    """3,50 as 3.50, and 1 234.50 and 1.234,50 as 1234.50.

    Raises Invalid for 1,234, which may be 1234 or 1.234. One point alone stands before decimals.
    """
    if two := TWO_NUMBERS.fullmatch(text):
        raise Invalid("ambiguous", first="".join(two.groups()), second=".".join(two.groups()))
    if comma := WITH_A_COMMA.fullmatch(text):
        return f"{_digits(comma['whole'])}.{comma['decimals']}"
    return _without_groups(text)


def whole_number(text: str) -> str:
    """1 234, 1'234, 1,234 and 1.234.567 without what stands between their thousands.

    Raises Invalid for 2,000, which may be 2000 or 2.
    """
    if (two := TWO_NUMBERS.fullmatch(text)) and two[2] == "000":
        raise Invalid("ambiguous", first="".join(two.groups()), second=two[1])
    return _without_groups(text)


def _without_groups(text: str) -> str:
    for one in GROUPED:
        if found := one.fullmatch(text):
            return _digits(found["whole"]) + (found["decimals"] or "")
    return text


def _digits(text: str) -> str:
    return re.sub("[^0-9+-]", "", text)


def date(text: str) -> str:
    """31.1.2026, 31/1/2026, 1/31/2026 and 2026/1/31 as 2026-1-31.

    Raises Invalid for 5/1/2026, which may be in January or in May. With points it is the fifth.
    """
    if first := YEAR_FIRST.fullmatch(text):
        return "-".join(first.groups())
    if not (last := YEAR_LAST.fullmatch(text)):
        return text
    one, point, other, year = last.groups()
    if point == "." or int(one) > 12 or int(one) == int(other):
        return f"{year}-{other}-{one}"
    if int(other) > 12:
        return f"{year}-{one}-{other}"
    one, other = one.zfill(2), other.zfill(2)
    raise Invalid("ambiguous", first=f"{year}-{other}-{one}", second=f"{year}-{one}-{other}")


def moment(text: str) -> str:
    """The same before a time of day."""
    day, time = DAY_AND_TIME.fullmatch(text).groups()
    time = f" {time}" if time else ""
    try:
        return date(day) + time
    except Invalid as error:
        both = {name: value + time for name, value in error.params.items()}
        raise Invalid(error.code, **both) from None


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
