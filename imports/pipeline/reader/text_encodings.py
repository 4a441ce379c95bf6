"""In which encoding a text file is written."""

import codecs
from io import BufferedReader

from answers import Refused
from latin import ALPHABETS, code_page
from options import is_encoding

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
ASCII_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def find_encoding(file: BufferedReader, wanted: str = "") -> str:
    """The one asked for, or the first that fits the whole file."""
    if wanted:
        if not is_encoding(wanted) or not _decodes(file, wanted):
            raise Refused("wrong_encoding")
        return codecs.lookup(wanted).name
    file.seek(0)
    head = file.read(HEAD_BYTES)
    marked = [name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)]
    known = marked[:1] or [*unmarked_utf_16(head), "utf-8"]
    for encoding in known:
        if _decodes(file, encoding):
            return encoding
    for encoding in [] if marked else _guesses(file):
        if _decodes(file, encoding):
            return f"windows-{encoding[2:]}" if encoding.startswith("cp125") else encoding
    raise Refused("unknown_encoding")


def unmarked_utf_16(head: bytes) -> list[str]:
    """In UTF-16 every other byte of plain text is zero, the first or the second of each two."""
    even, odd = head[::2], head[1::2]
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros and zeros.count(0) > len(zeros) / 2 and others.count(0) < len(others) / 20:
            return [name]
    return []


def _guesses(file: BufferedReader) -> list[str]:
    """What the lines may be that are not plain ASCII, likeliest first.

    charset-normalizer knows one script from another. A few accents tell it no language.
    """
    from charset_normalizer import from_bytes

    sample = _telling_lines(file)
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
