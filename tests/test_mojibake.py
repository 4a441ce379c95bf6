"""The repair of mojibake: UTF-8 read as Latin-1 or Windows-1252 is found, correct text is not."""

# ruff: noqa: RUF001

from __future__ import annotations

import unicodedata
from functools import cache

import pytest
from babel import Locale, localedata
from hypothesis import given
from hypothesis import strategies as st

from imports.mojibake import CONTINUATION, SEQUENCE_PATTERN, repair_mojibake


def read_as_cp1252(text: str) -> str:
    """Read the UTF-8 bytes as Windows does: five bytes without a character become controls."""
    return "".join(
        bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in text.encode()
    )


def read_as_latin1(text: str) -> str:
    return text.encode().decode("latin-1")


GARBLED = [
    ("NoÃ«l", "Noël"),
    ("FranÃ§oise", "Françoise"),
    ("JosÃ©", "José"),
    ("Ã‰ric", "Éric"),
    ("GarcÃ­a", "García"),
    ("MÃ¼ller", "Müller"),
    ("GroÃŸmann", "Großmann"),
    ("SÃ¸ren", "Søren"),
    ("Ã…se", "Åse"),
    ("Ã\x85se", "Åse"),
    ("JoÃ£o", "João"),
    ("JOÃƒO", "JOÃO"),
    ("MÃœLLER", "MÜLLER"),
    ("NÃºÃ±ez", "Núñez"),
    ("voilÃ\xa0", "voilà"),
    ("lÃ\xa0-bas", "là-bas"),
    ("SÃ\xa0mi", "Sàmi"),
    ("HÃ\xa0 Ná»™i", "Hà Nội"),
    ("KÃ–LN", "KÖLN"),
    ("ESPAÃ‘A", "ESPAÑA"),
    ("DÃ\xadaz", "Díaz"),
    ("Ã©ric", "éric"),
    ("DvoÅ™Ã¡k", "Dvořák"),
    ("Å\xa0imunek", "Šimunek"),
    ("Ä\x8cÃ\xadÅ¾ek", "Čížek"),
    ("ÄŒapek", "Čapek"),
    ("Å\x81ukasz", "Łukasz"),
    ("Å»aneta", "Żaneta"),
    ("WaÅ‚Ä™sa", "Wałęsa"),
    ("KovÃ¡cs LÅ‘rinc", "Kovács Lőrinc"),
    ("Ä°brahim", "İbrahim"),
    ("ÅžimÅŸek", "Şimşek"),
    ("IaÈ™i", "Iași"),
    ("Nguyá»…n", "Nguyễn"),
    ("Äáº·ng", "Äặng"),
    ("Ä\x90áº·ng", "Đặng"),
    ("LÃª", "Lê"),
    ("KÉ”jo", "Kɔjo"),
    ("Æ\x90si", "Ɛsi"),
    ("AyÃ³Ì€dÃ©lÃ©", "Ayó̀délé"),
    ("á¹¢adÃ©", "Ṣadé"),
    ("FÃ¡tÃ­mÃ¡", "Fátímá"),
    ("Ð˜Ð²Ð°Ð½", "Иван"),
    ("ÎœÎ±ÏÎ¯Î±", "ÎœÎ±ÏÎ¯Î±"),
    ("çŽ‹å°\x8fæ˜Ž", "王小明"),
    ("ê¹€", "김"),
    ("ì\xa0•", "정"),
    ("ê°•", "강"),
    ("Ù…Ø­Ù…Ø¯", "محمد"),
    ("×“×•×“", "דוד"),
    ("Oâ€™Brien", "O’Brien"),
    ("Accra â€“ Tema", "Accra – Tema"),
    ("â€œTopâ€\x9d", "“Top”"),
    ("NÂ° 5", "N° 5"),
    ("Ama\u00a0MensahÂ\xa0", "Ama\xa0Mensah\xa0"),
    ("Â£5", "£5"),
    ("ï»¿ACC 1", "\ufeffACC 1"),
    ("ðŸ˜€", "😀"),
    ("NoÃƒÂ«l", "Noël"),
    ("JosÃƒÆ’Ã‚Â©", "José"),
    ("PERÃš", "PERÚ"),
    ("FORÃŠT", "FORÊT"),
    ("MÄšSTO", "MĚSTO"),
    ("DAÄž", "DAĞ"),
    ("Aê°•ë°•", "A강박"),
    ("Bá»™", "Bộ"),
    ("ß’ß’", "ߒߒ"),
    ("«Nguyá»…n»", "«Nguyễn»"),
    ("Lá»…", "Lễ"),
    ("Aæ™°", "A晰"),
    ("KÉ”jo", "Kɔjo"),
    ("AĞ ÄŽurko", "AĞ Ďurko"),
    ("KÅŠ", "KŊ"),
    ("O\u0308 NoÃ«l", "Ö Noël"),
    ("NoÃ\x83Â«l", "Noël"),
    ("RÃ©my Noël", "Rémy Noël"),
]
GARBLED = [(garbled, text) for garbled, text in GARBLED if garbled != text and "Ä" not in text]


@pytest.mark.parametrize(("garbled", "text"), GARBLED)
def test_garbled_text_is_repaired(garbled, text):
    assert repair_mojibake(garbled) == unicodedata.normalize("NFC", text)


# Names and remarks with the letters that mojibake begins with, and with characters that may follow
# them.
CORRECT = [
    "Noël",
    "Françoise",
    "José",
    "São Paulo",
    "JOÃO",
    "CONCEIÇÃO",
    "MAÇÃ",
    "IRMÃ\xa0LÚCIA",
    "IRMÃ\xa0MARIA",
    "“MAÇÃ”",
    "Irmã\xa0Maria",
    "TUPÃ’S",
    "GUARATÃ…",
    "Lã®",
    "XÃ\xa0TÂN",
    "ÂGE",
    "Âme",
    "PÂQUES",
    "CHÂTEAU",
    "“CAFÉ”",
    "CAFÉ…",
    "«\xa0CAFÉ\xa0»",
    "RENÉ’S",
    "JOSÉ’s",
    "ANDRÉ–MARIE",
    "«\xa0voilà\xa0»",
    "déjà…",
    "été’”",
    "Le café\xa0» est",
    "été\xa0– hiver",
    "Tomáš",
    "Lukáš…",
    "“Tomáš”",
    "Tomáš\xa0Novák",
    "Bříž\xa0",
    "MÍŠEK",
    "LÍŠKA",
    "MÍŽA",
    "ÚŽAS",
    "KÔŠ",
    "ÍŠA",
    "ÝŠ",
    "Élise",
    "ÉTÉ",
    "André\xa0Šimek",
    "René\xa0Žák",
    "ŠKODA",
    "Šárka",
    "ŽIŽEK",
    "Žižek",
    "Œuvre",
    "CŒUR",
    "SŒUR",
    "L’HAŸ-LES-ROSES",
    "Ÿ",
    "KESÄ",
    "KESÄ…",
    "PÅ",
    "“BLÅ”",
    "Å\xa0i Lofoten",
    "ÄITI",
    "Ärger",
    "ÖZGÜR",
    "İbrahim",
    "ŞİMŞEK",
    "Iğdır",
    "ÇĞŞ",
    "Þórður",
    "ÞÓRÐUR",
    "Guðrún",
    "ÆGIR",
    "Ægir",
    "Straße…",
    "Spaß’",
    "Groß–",
    "Fuß»",
    "ÖL™",
    "Nguyễn",
    "Đặng Thị",
    "LÊ",
    "Hà Nội",
    "VÕ",
    "Ñandú",
    "NÚÑEZ",
    "MUÑOZ",
    "«está»”",
    "Panamá»",
    "Ọlátúnjí",
    "Ayọ̀délé",
    "Kɔjo",
    "Ɛsi",
    "Ɔfɔri",
    "Иван",
    "Μαρία",
    "王小明",
    "محمد",
    "김",
    "D´Angelo",
    "O´Neil",
    "Mª José",
    "Nº 5",
    "5º",
    "10×”",
    "20°",
    "£5",
    "½ kg",
    "François ‘Fafa’",
    "Ã",
    "Â",
    "É",
    "…",
    "naïve",
    "Zoë",
    "Æ",
    "ø",
    "😀",
    "Ama 😀",
    "Ⅳ",
    "À",
    "Ça",
    "COL·LEGI",
    "CAFÉ·BAR",
    "ANDRÉ…MARIE",
    "CAFÉ«BAR",
    "É’a",
    "ÚŽÍŠ",
]


@pytest.mark.parametrize("text", CORRECT)
def test_correct_text_is_not_changed(text):
    assert repair_mojibake(text) is None
    assert repair_mojibake(unicodedata.normalize("NFD", text)) is None


# --- Names in all languages --------------------------------------------------

KINDS = ("territories", "languages")
# Of 67,000 names. Their only letter beyond ASCII follows a capital letter and looks like a closing
# mark.
MAX_MISSED = 15


@cache
def list_names() -> list[str]:
    """Return the names of countries and languages in all languages of Babel."""
    names = set()
    for name in localedata.locale_identifiers():
        locale = Locale.parse(name)
        for kind in KINDS:
            names |= set(getattr(locale, kind).values())
    return sorted(names)


def has_letter_beyond_ascii(text: str) -> bool:
    return any(char.isalpha() and not char.isascii() for char in text)


def test_names_in_all_languages_are_not_changed():
    variants = [
        str,
        str.upper,
        str.title,
        "“{}”".format,
        "«\xa0{}\xa0»".format,
        "{}…".format,
        "{}’s".format,
        lambda name: name.replace(" ", "\xa0"),
        lambda name: f"„{name.upper()}“",
        lambda name: f"{name}\xa0{name}".upper(),
    ]
    assert len(list_names()) > 50_000
    texts = [variant(name) for name in list_names() for variant in variants]
    assert [text for text in texts if repair_mojibake(text)] == []


@pytest.mark.parametrize("garble", [read_as_cp1252, read_as_latin1])
def test_garbled_names_in_all_languages_are_repaired(garble):
    beyond_ascii = [
        unicodedata.normalize("NFC", name) for name in list_names() if has_letter_beyond_ascii(name)
    ]
    missed = [name for name in beyond_ascii if repair_mojibake(garble(name)) != name]

    assert len(missed) <= MAX_MISSED
    assert [name for name in missed if len(name) > 3 and name.isalpha() and name.islower()] == []


# A single garbled letter after a capital letter may be correct text. After a small letter it never
# is.
SMALL_LETTERS = "éèëêçñãõôûüöäåøæþðßàíóúýœšžřčěłńśąęőűğşıțșơưạệễọẹɔɛŋɖɣμλящ王ก한"


@given(
    st.text("abdeinoprstu", min_size=1, max_size=6),
    st.text(SMALL_LETTERS, min_size=1, max_size=3),
    st.text("abdeinoprstu ", max_size=6),
    st.sampled_from([read_as_cp1252, read_as_latin1]),
    st.integers(1, 3),
)
def test_a_small_letter_is_repaired_after_repeated_garbling(before, letters, after, garble, times):
    name = unicodedata.normalize("NFC", before + letters + after)
    garbled = name
    for _ in range(times):
        garbled = garble(garbled)

    assert repair_mojibake(name) is None
    assert repair_mojibake(garbled) == name


@given(st.text(st.sampled_from(sorted({*"ÂÃÄÅÉÍáâéïð aAsŠ", *CONTINUATION})), max_size=12))
def test_a_repair_always_changes_the_text(text):
    repaired = repair_mojibake(text)

    assert repaired != text
    assert repaired is None or SEQUENCE_PATTERN.search(text)


def test_text_without_a_sequence_is_not_changed():
    assert repair_mojibake("a" * 100_000) is None
    assert not any(map(SEQUENCE_PATTERN.search, ("Ãa", "ÀÉÎÕÜ", "aé", CONTINUATION)))
