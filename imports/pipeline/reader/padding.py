"""Number formats that put zeros before a number, as 0000000000 does: the zeros are part of it."""

import re

TOKEN = re.compile(r'"([^"]*)"|\\(.)|_(.)|(.)', re.DOTALL)
SHOWN_AS_THEY_ARE = frozenset(" -()+/\u00a0")
MOST_PLACES = 50

Template = list[str | None]  # Text, and None for the place of a digit.


def padding(code: str) -> Template | None:
    """What a number format shows around and before the digits; None if it adds no zero."""
    template: Template = []
    for quoted, escaped, _, plain in TOKEN.findall(code.partition(";")[0]):
        if plain == "0":
            template.append(None)
        elif not plain or plain in SHOWN_AS_THEY_ARE:
            template.append(quoted or escaped or plain)
        else:  # Fractions, dates, conditions, "#": nothing is padded, or not so simply.
            return None
    return template if 1 < template.count(None) <= MOST_PLACES else None


def padded(number: float, template: Template) -> str | None:
    """The number as its cell shows it; None if this template is not for it."""
    if number < 0 or number >= 10**15 or number != int(number):
        return None
    digits = list(str(int(number)).zfill(template.count(None)))
    shown = [digits.pop() if place is None else place for place in reversed(template)]
    first = len(shown) - 1 - template.index(None)
    shown[first] = "".join(digits) + shown[first]  # What has no place of its own.
    return "".join(reversed(shown)).strip()
