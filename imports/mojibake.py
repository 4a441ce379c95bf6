"""Text that was saved in UTF-8 and read in a Latin encoding: "NoÃ«l" for "Noël".

UTF-8 writes a character beyond ASCII as a lead byte and one to three continuation bytes. A program
that takes the bytes for Windows-1252 or Latin-1 shows the lead byte as a letter with an accent and
the others as symbols, or as one of a few letters.

Correct text can hold such a sequence too: “CAFÉ”, "MÍŠEK", "voilà »" with a no-break space. A
sequence is therefore taken for garbled text only where correct text cannot hold it, because of the
characters it consists of or of those beside it (`GARBLED`), and where the character that it stands
for is one that people write (`_is_written`).
"""

# ruff: noqa: RUF001  The characters that look like others are what this module is about.

from __future__ import annotations

import re
from unicodedata import category, normalize

MAX_REPAIRS = 4  # Text that was garbled by several programs in turn is repaired as often.

# Each character that one byte from 0x80 is shown as, with that byte.
BYTES = {chr(byte): byte for byte in range(0x80, 0x100)}
for _byte in range(0x80, 0xA0):
    if _shown := bytes([_byte]).decode("cp1252", errors="ignore"):
        BYTES[_shown] = _byte

LETTER = r"[^\W\d_]"
SMALL = "a-zß-öø-ÿ"
CAPITAL_LEAD = "Â-ÖØ-Þ"
CONTINUATION = "".join(char for char, byte in BYTES.items() if byte < 0xC0)
# Continuations that correct text has behind a letter, by what they are there.
SLAVIC = "ŠšŽž"
SPACE = "\xa0\xad"
APOSTROPHE = "’–—´"  # And dashes: they join two words.
CLOSING = "”»›…™®•“‘"
RAISED = "©ª°²³¹º·«"
# And those that never follow a letter directly.
SYMBOL = "".join(
    char for char in CONTINUATION if char not in f"\x85{SLAVIC}{SPACE}{APOSTROPHE}{CLOSING}{RAISED}"
)

SEQUENCE_PATTERN = re.compile(
    f"[Â-ß][{CONTINUATION}]|[à-ï][{CONTINUATION}]{{2}}|[ð-ô][{CONTINUATION}]{{3}}"
)
GARBLED_PATTERN = re.compile(
    rf"""
    # Two sequences in a row, unless each is a capital letter with a space or a letter behind it.
    (?!(?:[Â-ß][{SLAVIC}{SPACE}]){{2}})(?:[Â-ß][{CONTINUATION}]){{2}}
    # A symbol inside the sequence.
    | [Â-ß][{SYMBOL}]
    | [à-ï](?:[{SYMBOL}][{CONTINUATION}]|[{CONTINUATION}][{SYMBOL}])
    | [ð-ô](?=[{CONTINUATION}]{{3}})[{CONTINUATION}]{{0,2}}[{SYMBOL}][{CONTINUATION}]{{0,2}}
    # A capital letter behind a small one.
    | (?<=[{SMALL}])[{CAPITAL_LEAD}][{CONTINUATION}]
    # Letters that no language has side by side.
    | [ÂÃÅ][{SLAVIC}] | Ä[šž] | Ä[ŠŽ](?=[{SMALL}])
    # Something that ends a word, and the word goes on.
    | [Â-ß][{CLOSING}{RAISED}\x85](?={LETTER})
    | [{CAPITAL_LEAD}][{APOSTROPHE}](?=[{SMALL}])(?!s\b)
    | [ÂÃ][{APOSTROPHE}](?={LETTER})(?!s\b|S\b) | [ÂÃÅ]\xad(?=[{SMALL}])
    # Nothing but a space or the end of a quotation follows a word that ends in Ã; no word ends in
    # Â, or is either letter alone.
    | Ã[{RAISED}\x85] | Â[{RAISED}]
    | (?<!{LETTER})[ÂÃ][{CONTINUATION}]
    | (?<!{LETTER})[ÄÅ]\xa0(?=[{SMALL}]{{2}}) | (?<!{LETTER})[A-Z]Ã\xa0(?=[{SMALL}]|\s)
    # The Latin letters of Vietnam, Africa and Arabia. A closing guillemet may stand behind á.
    | á[¹º][{CONTINUATION}] | á»[{CONTINUATION}](?<!»[\xa0”’…]) | á»[”’…](?={LETTER})
    | \A[^«]*á»[”’…]
    # Three bytes at the beginning of a word, or with a raised character as the last.
    | [à-ï][{CONTINUATION}][{RAISED}´]
    | (?<!{LETTER})[à-ï](?![\xa0])[{CONTINUATION}]{{2}}
    | (?<![\w’'])[äåæçêëìí]\xa0(?!\xa0)[{CONTINUATION}]
    """,
    re.VERBOSE,
)
CONTROL = re.compile(r"[\x80-\x84\x86-\x9f]")
# Letters from U+0240 to U+02FF that languages are written with; the others stand in dictionaries.
IPA_LETTERS = frozenset("ɓɔɖɗəɛɠɣɨɩɪɲɵʃʈʉʊʋʌʒʔʕʷʹʺʻʼʽʾʿ")


def repair_mojibake(text: str) -> str | None:
    """Return what the text was before it was read in the wrong encoding; None if it is correct."""
    if text.isascii() or not _is_garbled(text):
        return None
    for _ in range(MAX_REPAIRS):
        text = SEQUENCE_PATTERN.sub(lambda found: _decode(found[0]) or found[0], text)
        if not _is_garbled(text):
            break
    return normalize("NFC", text)


def _is_garbled(text: str) -> bool:
    if not SEQUENCE_PATTERN.search(text):
        return False
    return any(_holds_written(found[0]) for found in GARBLED_PATTERN.finditer(text))


def _holds_written(text: str) -> bool:
    """Whether each sequence stands for a character that people write, or holds a control."""
    decoded = [_decode(found[0]) for found in SEQUENCE_PATTERN.finditer(text)]
    if not decoded or None in decoded:
        return False
    is_alone = len(decoded) == 1
    return bool(CONTROL.search(text)) or all(_is_written(char, is_alone) for char in decoded)


def _decode(sequence: str) -> str | None:
    try:
        return bytes([BYTES[char] for char in sequence]).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_written(char: str, is_alone: bool) -> bool:
    """Whether a text may hold the character: no control, nothing unassigned.

    A character that is alone in other text is of one of the scripts that people mix.
    """
    code = ord(char)
    if code < 0xA0 or category(char) in {"Cc", "Cn", "Co", "Cs"}:
        return False
    if not is_alone or code < 0x240:
        return True
    if code < 0x300:
        return char in IPA_LETTERS
    return not (0x339 <= code < 0x370 or 0x700 <= code < 0x780 or 0x7C0 <= code < 0x900)
