"""Validation of the encoding and the delimiter that a user names for a file.

The API and the pages check their input with the same functions.
"""

import codecs

# Python knows these encodings, but they decode escapes inside the text, or take quadratic time.
UNSAFE_ENCODINGS = {
    "idna",
    "punycode",
    "raw_unicode_escape",
    "undefined",
    "unicode_escape",
    "utf_7",
}
COMMON_DELIMITERS = ",;\t|"
INVALID_DELIMITERS = frozenset("\"'\\\r\n\0\ufeff")


def is_encoding(name: str) -> bool:
    """Return whether a text file may be read in this encoding."""
    try:
        "a".encode(name)
        return codecs.lookup(name).name.replace("-", "_") not in UNSAFE_ENCODINGS
    except (LookupError, ValueError):
        return False


def is_delimiter(text: str) -> bool:
    """Return whether the text is one character that may separate columns."""
    return len(text) == 1 and not text.isalnum() and text not in INVALID_DELIMITERS
