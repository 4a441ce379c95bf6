"""What someone may say about a file, over what would be guessed; asked before it is stored, too."""

import codecs

# Python knows them, but they write text within text, or take the square of its length.
NO_ENCODINGS = {"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf_7"}
NO_DELIMITERS = frozenset("\"'\\\r\n\0\ufeff")


def is_encoding(name: str) -> bool:
    """Whether text can be read in it."""
    try:
        "a".encode(name)
        return codecs.lookup(name).name.replace("-", "_") not in NO_ENCODINGS
    except (LookupError, ValueError):
        return False


def is_delimiter(text: str) -> bool:
    return len(text) == 1 and not text.isalnum() and text not in NO_DELIMITERS
