"""Detection of the code page of a text in Latin letters.

The code pages share most of their letters, and no tested library distinguishes them in lists of
names. The accents decide: read in the right code page, they belong to one language. Read in another
one, they are letters of several languages, as in "Éloďse Lefčvre".
"""

import re
from collections import Counter
from itertools import pairwise

# The letters of each language besides a to z, by the code page that has them. The first code page
# wins a tie.
# Source: Unicode CLDR, main exemplar characters.
ALPHABETS: dict[str, tuple[str, ...]] = {
    "cp1252": (
        "àâæçèéêëîïôœùûüÿ",  # fr
        "áéíïñóúü",  # es
        "àáâãçéêíòóôõúü",  # pt
        "äöüß",  # de
        "àèéìíîòóùú",  # it
        "æøåéóäö",  # da
        "åäöéàü",  # sv
        "áéèëïíóöúüê",  # nl
        "áðéíóúýþæö",  # is
        "àèéíïòóúüç",  # ca
    ),
    "cp1250": (
        "ąćęłńóśźż",  # pl
        "áčďéěíňóřšťúůýž",  # cs
        "áäčďéíĺľňóôŕšťúýž",  # sk
        "áéíóöőúüű",  # hu
        "čćđšž",  # hr
        "ăâîşţ",  # ro
    ),
    "cp1254": ("çğıöşüâî",),  # tr
    "cp1257": (
        "ąčęėįšųūž",  # lt
        "āčēģīķļņšūž",  # lv
        "äöõüšž",  # et
    ),
}
# Excel's "CSV (Macintosh)" and "CSV (MS-DOS)".
ALPHABETS |= dict.fromkeys(("mac_roman", "cp850"), ALPHABETS["cp1252"])
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
OTHER_SCRIPTS: dict[str, tuple[str, ...]] = {
    "cp1251": (
        CYRILLIC + "ё",  # ru, bg
        CYRILLIC + "іїєґ",  # uk
        CYRILLIC + "ёіў",  # be
    ),
    "koi8_r": (CYRILLIC + "ё",),
    "cp1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
}
# Of Mac and Windows code pages: no-break space, quotation marks, dashes, ellipsis, bullet.
PUNCTUATION = "\u00a0\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u2022"
# A sign inside a word stands for a letter of another code page, as in "wi¹tek". A sign next to a
# number does not.
WORD = re.compile(rf"[^\x00-@\[-`{{-\x7f{PUNCTUATION}]+")
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# The letters ė and ų have the same bytes as ë and ø of cp1252. Without other Baltic letters they
# are no evidence for cp1257: Noël and Søren in one list are more probable.
AMBIGUOUS_LETTERS = {"cp1257": frozenset("ėų")}
# One file may have names of several languages, so another code page must be clearly better than the
# first one.
MIN_IMPROVEMENT_FACTOR = 2


def guess_code_page(text: bytes) -> str:
    """Return the code page in which the text has the fewest foreign letters.

    text: lines that are not plain ASCII.
    """
    first, *others = ALPHABETS
    counts = {page: count_foreign_letters(text, page) for page in ALPHABETS}
    likely = [page for page in others if 2 * counts[page][0] < counts[page][1]]
    best = min(likely, key=lambda page: counts[page][0], default=first)
    if _find_accents(text.decode(best, errors="replace")) <= AMBIGUOUS_LETTERS.get(best, set()):
        return first
    return best if MIN_IMPROVEMENT_FACTOR * counts[best][0] < counts[first][0] else first


def count_foreign_letters(text: bytes, page: str) -> tuple[int, int]:
    """Return the number of foreign letters, and the number of all letters that are not ASCII.

    A letter is foreign if the language that fits best does not have it. It counts twice if no
    language of the code page has it. A capital inside a word of small letters counts twice, too:
    "MÅller" is "Müller" in another code page.
    """
    words = WORD.findall(text.decode(page, errors="replace"))
    words = [word for word in words if any(map(str.isalpha, word))]
    letters = "".join(words).lower().replace("i\u0307", "i")
    letter_counts = Counter(letter for letter in letters if not letter.isascii())
    page_letters = "".join(ALPHABETS[page])
    foreign_count = min(
        sum(
            count * ((letter not in alphabet) + (letter not in page_letters))
            for letter, count in letter_counts.items()
        )
        for alphabet in ALPHABETS[page]
    )
    inner_letters = "".join(word[1:] for word in words if not word.isupper())
    capitals = sum(letter.isupper() and not letter.isascii() for letter in inner_letters)
    return foreign_count + 2 * capitals, letter_counts.total()


def is_plausible_text(raw: bytes, page: str) -> bool:
    """Return whether a line, decoded with this code page, looks like words of a language.

    All letters of a word that are not ASCII must belong to one language. A word has no such capital
    after a small letter, and no letters of two scripts. The line has no control characters.

    raw: must be valid in the code page.
    """
    page = page.replace("windows-", "cp")
    text = raw.decode(page)
    words = [word for word in WORD.findall(text) if any(map(str.isalpha, word))]
    if CONTROL_CHARACTER.search(text) or any(map(_has_inner_capital, words)):
        return False
    if page not in ALPHABETS and any(
        not word.isascii() and any(map(str.isascii, word)) for word in words
    ):
        return False
    return all(_fits_one_alphabet(word, page) for word in words)


def _has_inner_capital(word: str) -> bool:
    return any(
        before.islower() and letter.isupper() and not letter.isascii()
        for before, letter in pairwise(word)
    )


def _find_accents(text: str) -> set[str]:
    """Return the letters that are not ASCII, in lower case."""
    lower = text.lower().replace("i\u0307", "i")
    return {letter for letter in lower if letter.isalpha() and not letter.isascii()}


def _fits_one_alphabet(word: str, page: str) -> bool:
    accents = {letter for letter in word.lower().replace("i\u0307", "i") if not letter.isascii()}
    alphabets = ALPHABETS.get(page) or OTHER_SCRIPTS.get(page, ())
    return not accents or any(accents <= set(alphabet) for alphabet in alphabets)
