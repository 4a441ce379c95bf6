"""Repair of mojibake: text that was saved as UTF-8 and read as Latin-1 or Windows-1252.

For example, "NoÃ«l" stands for "Noël".

UTF-8 writes a character beyond ASCII as a lead byte and one to three continuation bytes. In
Latin-1 and Windows-1252, the lead byte is a letter with an accent. The others are symbols, or one
of a few letters.

Correct text can hold such a sequence too: “CAFÉ”, "MÍŠEK", "voilà »" with a no-break space.
Therefore a sequence counts as mojibake only under two conditions. The sequence, or the characters
beside it, do not occur in correct text (`GARBLED_PATTERN`). And the character that it stands for is
one that people write (`_is_written`).
"""

# ruff: noqa: RUF001  This module is about characters that look like others.

from __future__ import annotations

import re
from unicodedata import category, normalize

MAX_REPAIRS = 4  # Several programs in a row may each have garbled the text.

# The characters of the bytes from 0x80 in Latin-1 and Windows-1252, with their bytes.
BYTE_BY_CHARACTER = {chr(byte): byte for byte in range(0x80, 0x100)}
for _byte in range(0x80, 0xA0):
    if _char := bytes([_byte]).decode("cp1252", errors="ignore"):
        BYTE_BY_CHARACTER[_char] = _byte

LETTER = r"[^\W\d_]"
SMALL_LETTERS = "a-zß-öø-ÿ"
CAPITAL_LEAD = "Â-ÖØ-Þ"
CONTINUATION = "".join(char for char, byte in BYTE_BY_CHARACTER.items() if byte < 0xC0)
# The continuation bytes as characters that may follow a letter in correct text, by kind.
SLAVIC_LETTERS = "ŠšŽž"
SPACE = "\xa0\xad"
APOSTROPHE = "’–—´"  # With dashes, because they join two words.
CLOSING_MARKS = "”»›…™®•“‘"
SUPERSCRIPT_MARKS = "©ª°²³¹º·«"
# The continuation bytes as characters that never follow a letter directly.
SYMBOL = "".join(
    char
    for char in CONTINUATION
    if char not in f"\x85{SLAVIC_LETTERS}{SPACE}{APOSTROPHE}{CLOSING_MARKS}{SUPERSCRIPT_MARKS}"
)

SEQUENCE_PATTERN = re.compile(
    f"[Â-ß][{CONTINUATION}]|[à-ï][{CONTINUATION}]{{2}}|[ð-ô][{CONTINUATION}]{{3}}"
)
GARBLED_PATTERN = re.compile(
    rf"""
    # Two sequences in a row, except two capital letters that are each followed by a space or a
    # letter.
    (?!(?:[Â-ß][{SLAVIC_LETTERS}{SPACE}]){{2}})(?:[Â-ß][{CONTINUATION}]){{2}}
    # A symbol inside the sequence.
    | [Â-ß][{SYMBOL}]
    | [à-ï](?:[{SYMBOL}][{CONTINUATION}]|[{CONTINUATION}][{SYMBOL}])
    | [ð-ô](?=[{CONTINUATION}]{{3}})[{CONTINUATION}]{{0,2}}[{SYMBOL}][{CONTINUATION}]{{0,2}}
    # A capital letter after a small one.
    | (?<=[{SMALL_LETTERS}])[{CAPITAL_LEAD}][{CONTINUATION}]
    # Letters that do not follow each other in any language.
    | [ÂÃÅ][{SLAVIC_LETTERS}] | Ä[šž] | Ä[ŠŽ](?=[{SMALL_LETTERS}])
    # A character that ends a word, inside a word.
    | [Â-ß][{CLOSING_MARKS}{SUPERSCRIPT_MARKS}\x85](?={LETTER})
    | [{CAPITAL_LEAD}][{APOSTROPHE}](?=[{SMALL_LETTERS}])(?!s\b)
    | [ÂÃ][{APOSTROPHE}](?={LETTER})(?!s\b|S\b) | [ÂÃÅ]\xad(?=[{SMALL_LETTERS}])
    # Only a space or the end of a quotation follows a word that ends in Ã. No word ends in Â, and
    # neither letter is a word.
    | Ã[{SUPERSCRIPT_MARKS}\x85] | Â[{SUPERSCRIPT_MARKS}]
    | (?<!{LETTER})[ÂÃ][{CONTINUATION}]
    | (?<!{LETTER})[ÄÅ]\xa0(?=[{SMALL_LETTERS}]{{2}})
    | (?<!{LETTER})[A-Z]Ã\xa0(?=[{SMALL_LETTERS}]|\s)
    # The Latin letters of Vietnamese, of African languages and of transliterated Arabic. A closing
    # guillemet may follow á.
    | á[¹º][{CONTINUATION}] | á»[{CONTINUATION}](?<!»[\xa0”’…]) | á»[”’…](?={LETTER})
    | \A[^«]*á»[”’…]
    # Three bytes at the beginning of a word, or with a raised character as the last one.
    | [à-ï][{CONTINUATION}][{SUPERSCRIPT_MARKS}´]
    | (?<!{LETTER})[à-ï](?![\xa0])[{CONTINUATION}]{{2}}
    | (?<![\w’'])[äåæçêëìí]\xa0(?!\xa0)[{CONTINUATION}]
    """,
    re.VERBOSE,
)
CONTROL_REGEX = re.compile(r"[\x80-\x84\x86-\x9f]")
# The letters from U+0240 to U+02FF that languages use. The others occur only in dictionaries.
IPA_LETTERS = frozenset("ɓɔɖɗəɛɠɣɨɩɪɲɵʃʈʉʊʋʌʒʔʕʷʹʺʻʼʽʾʿ")


def repair_mojibake(text: str) -> str | None:
    """Return the text as it was before it was read in the wrong encoding; None if it is correct.

    The result is in the normalization form NFC.
    """
    if text.isascii() or not _is_garbled(text):
        return None
    for _ in range(MAX_REPAIRS):
        text = SEQUENCE_PATTERN.sub(lambda match: _decode(match[0]) or match[0], text)
        if not _is_garbled(text):
            break
    return normalize("NFC", text)


def _is_garbled(text: str) -> bool:
    if not SEQUENCE_PATTERN.search(text):
        return False
    return any(_has_only_usual_characters(match[0]) for match in GARBLED_PATTERN.finditer(text))


def _has_only_usual_characters(text: str) -> bool:
    """Whether all sequences are characters that people write, or one holds a control character."""
    chars: list[str] = []
    for match in SEQUENCE_PATTERN.finditer(text):
        char = _decode(match[0])
        if char is None:
            return False
        chars.append(char)
    if not chars:
        return False
    is_alone = len(chars) == 1
    return bool(CONTROL_REGEX.search(text)) or all(
        _is_usual_character(char, is_alone) for char in chars
    )


def _decode(sequence: str) -> str | None:
    try:
        return bytes([BYTE_BY_CHARACTER[char] for char in sequence]).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_usual_character(char: str, is_alone: bool) -> bool:
    """Whether people write the character: it is assigned and not a control character.

    `is_alone`: the character is the only one of its kind in a Latin text. Then its script must be
    one that people mix with Latin letters.
    """
    code = ord(char)
    if code < 0xA0 or category(char) in {"Cc", "Cn", "Co", "Cs"}:
        return False
    if not is_alone or code < 0x240:
        return True
    if code < 0x300:
        return char in IPA_LETTERS
    return not (0x339 <= code < 0x370 or 0x700 <= code < 0x780 or 0x7C0 <= code < 0x900)
