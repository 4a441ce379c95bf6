"""Which code page for Latin letters a text is written in: the one whose accents make a language.

They share most of their letters, and no library we tried tells them apart by names alone. But
the accents of one language stand together, and read in a neighbour's page they are a medley:
"Éloďse Lefčvre" is French for nobody.
"""

import re
from collections import Counter

# The letters beyond a to z that each language writes, as the Unicode CLDR lists them ("main
# exemplar characters"), by the code page that has them. The first page wins where all is equal.
ALPHABETS = {
    "cp1252": (
        *("àâæçèéêëîïôœùûüÿ", "áéíïñóúü", "àáâãçéêíòóôõúü", "äöüß", "àèéìíîòóùú"),  # fr es pt de it
        *("æøåéóäö", "åäöéàü", "áéèëïíóöúüê", "áðéíóúýþæö", "àèéíïòóúüç"),  # da sv nl is ca
    ),
    "cp1250": (
        *("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž"),  # pl cs sk
        *("áéíóöőúüű", "čćđšž", "ăâîşţ"),  # hu hr ro
    ),
    "cp1254": ("çğıöşüâî",),  # tr
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"),  # lt lv et
}
ALPHABETS["mac_roman"] = ALPHABETS["cp1252"]
# Of both Macs and Windows: no-break space, quotation marks, dashes, ellipsis, bullet.
PUNCTUATION = "\u00a0\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u2022"
# A sign inside a word was meant to be a letter: "wi¹tek". One beside a number was not.
WORD = re.compile(rf"[^\x00-@\[-`{{-\x7f{PUNCTUATION}]+")
# Names of several languages stand in one file, so that another page must be much better.
MARGIN = 2


def code_page(text: bytes) -> str:
    """The code page in which the fewest characters are strange to the likeliest language."""
    first, *others = ALPHABETS
    best = min(others, key=lambda page: strangers(text, page))
    return best if MARGIN * strangers(text, best) < strangers(text, first) else first


def strangers(text: bytes, page: str) -> int:
    """How many are no letters of the language that has the most, and again how many of none."""
    words = WORD.findall(text.decode(page, errors="replace").lower().replace("i\u0307", "i"))
    found = Counter("".join(word for word in words if any(map(str.isalpha, word))))
    beyond = {one: count for one, count in found.items() if not one.isascii()}
    every = "".join(ALPHABETS[page])
    return min(
        sum(count * ((one not in alphabet) + (one not in every)) for one, count in beyond.items())
        for alphabet in ALPHABETS[page]
    )
