"""In which encoding a text file is written; for a file of two encodings, each line by itself.

Lists are pasted together from several sources. A line that is valid UTF-8 and holds more than
ASCII is UTF-8: text in another encoding hardly ever is. The other lines are read in the code page
that fits them best, and characters that no convincing guess explains become U+FFFD, which the check
of the rows refuses.
"""

import codecs
import io
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from codepage_detection import ALPHABETS, code_page, is_convincing
from options import is_encoding
from protocol import Refused

PIECE_BYTES = 1 << 20
HEAD_BYTES = 4_096
SAMPLE_BYTES = 16 * 1024
# Longest first: the mark of UTF-32 begins with that of UTF-16.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What spreadsheets are saved in where UTF-8 is not.
CANDIDATES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("shift_jis", "gb18030", "euc_kr", "big5", "euc_jp", "koi8_r", "cp874"),
    *("mac_roman", "cp850"),
]
# In these a character is one byte, and no text looks like UTF-8 by accident.
SINGLE_BYTE = frozenset({
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("koi8_r", "mac_roman", "cp850"),
})  # fmt: skip
SECOND_PAGES = frozenset({"cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "koi8_r"})
MAX_LINE_BYTES = 1 << 20  # Of what is looked at as one line where lines are judged by themselves.
ASCII_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Encodings(NamedTuple):
    """The encoding of most lines, and that of the others; "" where there are no others.

    With `is_mixed` some line is not text in `main`, and each line is decoded by itself.
    """

    main: str
    second: str = ""
    is_mixed: bool = False


def find_encodings(file: BufferedReader, wanted: str = "", second: str = "") -> Encodings:
    """Find out how a text file is encoded, or take what is wanted.

    `second` is what an earlier reader of the same file has found out. Raises Refused
    (wrong_encoding) if the file is not text in the encoding that is wanted, and Refused
    (unknown_encoding) if it is text in none.
    """
    if wanted and not (is_encoding(wanted) and (not second or is_encoding(second))):
        raise Refused("wrong_encoding")
    if second:
        return Encodings(wanted, second, is_mixed=True)
    if wanted:
        name = codecs.lookup(wanted).name
        if _decodes(file, wanted):
            return Encodings(name)
        mixed = _find_mixed(file) if name.startswith("utf-8") else None
        if mixed is None or mixed.main != "utf-8":
            raise Refused("wrong_encoding")
        return mixed
    file.seek(0)
    head = file.read(HEAD_BYTES)
    marked = [name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)]
    known = marked[:1] or [*unmarked_utf_16(head), "utf-8"]
    for encoding in known:
        if _decodes(file, encoding):
            return Encodings(encoding)
    is_utf_8 = marked[:1] == ["utf-8-sig"]
    if known[0].startswith("utf-8") and (mixed := _find_mixed(file, is_utf_8=is_utf_8)):
        return mixed
    for encoding in [] if marked else _guesses(_telling_lines(file)):
        if _decodes(file, encoding):
            return Encodings(_public_name(encoding))
    raise Refused("unknown_encoding")


def _find_mixed(file: BufferedReader, *, is_utf_8: bool = False) -> Encodings | None:
    """How a file is encoded of which some lines are UTF-8 and others are not; None if it is none.

    `is_utf_8`: the file says so by its byte order mark.

    Where the other lines may be in an encoding of several bytes a character, UTF-8 must be in the
    majority: short texts of these can be valid UTF-8 by accident.
    """
    utf_8, others, sample = 0, 0, b""
    for line in raw_lines(file):
        line = line.removeprefix(codecs.BOM_UTF8)
        if line.isascii():
            continue
        if _is_utf_8(line):
            utf_8 += 1
        else:
            others += 1
            if len(sample) < SAMPLE_BYTES:
                sample += line + b"\n"
    if not others or not (utf_8 or is_utf_8):
        return None
    page = next((page for page in _guesses(sample) if _decodes_bytes(sample, page)), "")
    if is_utf_8 or utf_8 >= others:
        # A few lines are no evidence for the rarer pages: wrong letters would be worse than none.
        second = _public_name(page) if page in SECOND_PAGES else ""
        return Encodings("utf-8", second, is_mixed=True)
    return Encodings(_public_name(page), "utf-8", is_mixed=True) if page in SINGLE_BYTE else None


def raw_lines(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a text whose line breaks are ASCII, in pieces of bounded length."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="latin-1", newline="")
    while line := text.readline(MAX_LINE_BYTES):
        yield line.encode("latin-1")
    text.detach()


def decode_line(raw: bytes, encodings: Encodings) -> tuple[str, str]:
    """Decode one line of a file of two encodings.

    Returns the text, and a code of the read summary: "other_encoding" if the line is not in the
    main encoding, "undecodable_characters" if it holds characters that could not be read, "" else.
    """
    if raw.isascii():
        return raw.decode("ascii"), ""
    is_utf_8 = _is_utf_8(raw)
    if encodings.main == "utf-8":
        if is_utf_8:
            return raw.decode(), ""
        page, code = encodings.second, "other_encoding"
    else:
        if is_utf_8:
            return raw.decode(), "other_encoding"
        page, code = encodings.main, ""
    if page and _decodes_bytes(raw, page) and (not code or is_convincing(raw, page)):
        return raw.decode(page), code
    return raw.decode(errors="replace"), "undecodable_characters"


def _public_name(encoding: str) -> str:
    return f"windows-{encoding[2:]}" if encoding.startswith("cp125") else encoding


def unmarked_utf_16(head: bytes) -> list[str]:
    """In UTF-16 every other byte of plain text is zero, the first or the second of each two."""
    even, odd = head[::2], head[1::2]
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros and zeros.count(0) > len(zeros) / 2 and others.count(0) < len(others) / 20:
            return [name]
    return []


def _guesses(sample: bytes) -> list[str]:
    """What lines may be encoded in that are not plain ASCII, likeliest first.

    charset-normalizer knows one script from another. A few accents tell it no language.
    """
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=CANDIDATES, threshold=0.5).best()
    latin = [code_page(sample), "cp1252"]
    if best is None or best.encoding in ALPHABETS:
        return latin
    if not best.coherence and _is_mostly_latin(sample):
        return latin
    return [best.encoding, *latin]


def _telling_lines(file: BufferedReader) -> bytes:
    file.seek(0)
    sample = b""
    while len(sample) < SAMPLE_BYTES and (line := file.readline(SAMPLE_BYTES)):
        if not line.isascii():
            sample += line
    return sample[:SAMPLE_BYTES]


def _is_mostly_latin(sample: bytes) -> bool:
    plain = len(sample) - len(sample.translate(None, ASCII_LETTERS))
    return plain >= len(sample) - len(sample.translate(None, bytes(range(128, 256))))


def _is_utf_8(raw: bytes) -> bool:
    return _decodes_bytes(raw, "utf-8")


def _decodes_bytes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeError:
        return False
    return True


def _decodes(file: BufferedReader, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while piece := file.read(PIECE_BYTES):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True
