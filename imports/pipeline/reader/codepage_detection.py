"""Which code page for Latin letters a text is written in: the one whose accents make a language.

They share most of their letters, and no library we tried tells them apart by names alone. But
the accents of one language stand together, and read in a neighbour's page they are a medley:
"Éloďse Lefčvre" is French for nobody.
"""

import re
from collections import Counter
from itertools import pairwise

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
# Excel's "CSV (Macintosh)" and "CSV (MS-DOS)".
ALPHABETS |= dict.fromkeys(("mac_roman", "cp850"), ALPHABETS["cp1252"])
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
OTHER_SCRIPTS = {
    "cp1251": (CYRILLIC + "ё", CYRILLIC + "іїєґ", CYRILLIC + "ёіў"),  # ru and bg, uk, be
    "koi8_r": (CYRILLIC + "ё",),
    "cp1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
}
# Of both Macs and Windows: no-break space, quotation marks, dashes, ellipsis, bullet.
PUNCTUATION = "\u00a0\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u2022"
# A sign inside a word was meant to be a letter: "wi¹tek". One beside a number was not.
WORD = re.compile(rf"[^\x00-@\[-`{{-\x7f{PUNCTUATION}]+")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# Names of several languages stand in one file, so that another page must be much better.
MARGIN = 2


def code_page(text: bytes) -> str:
    """The code page in which the fewest characters are strange to the likeliest language."""
    first, *others = ALPHABETS
    counts = {page: strangers(text, page) for page in ALPHABETS}
    likely = [page for page in others if 2 * counts[page][0] < counts[page][1]]
    best = min(likely, key=lambda page: counts[page][0], default=first)
    return best if MARGIN * counts[best][0] < counts[first][0] else first


def strangers(text: bytes, page: str) -> tuple[int, int]:
    """How many letters are strange to the language that fits best, of how many with accents.

    One of no language of the page counts twice, and so does a capital in a word of small letters:
    "MÅller" is "Müller" in another page.
    """
    words = WORD.findall(text.decode(page, errors="replace"))
    words = [word for word in words if any(map(str.isalpha, word))]
    letters = "".join(words).lower().replace("i\u0307", "i")
    found = Counter(one for one in letters if not one.isascii())
    every = "".join(ALPHABETS[page])
    strange = min(
        sum(count * ((one not in alphabet) + (one not in every)) for one, count in found.items())
        for alphabet in ALPHABETS[page]
    )
    inside = "".join(word[1:] for word in words if not word.isupper())
    capitals = sum(one.isupper() and not one.isascii() for one in inside)
    return strange + 2 * capitals, found.total()


def is_convincing(raw: bytes, page: str) -> bool:
    """Whether a line read in this code page, which decodes it, looks like words of languages.

    One language must have all characters of a word that are not ASCII. No word has a capital beyond
    ASCII behind a small letter, or letters of two scripts; and the line has no control characters.
    """
    page = page.replace("windows-", "cp")
    text = raw.decode(page)
    words = [word for word in WORD.findall(text) if any(map(str.isalpha, word))]
    if CONTROL.search(text) or any(map(_is_odd, words)):
        return False
    if page not in ALPHABETS and any(
        not word.isascii() and any(map(str.isascii, word)) for word in words
    ):
        return False
    return all(_has_language(word, page) for word in words)


def _is_odd(word: str) -> bool:
    return any(
        before.islower() and one.isupper() and not one.isascii() for before, one in pairwise(word)
    )


def _has_language(word: str, page: str) -> bool:
    accents = {one for one in word.lower().replace("i\u0307", "i") if not one.isascii()}
    alphabets = ALPHABETS.get(page) or OTHER_SCRIPTS.get(page, ())
    return not accents or any(accents <= set(alphabet) for alphabet in alphabets)
