"""Detection of the encoding of a text file.

Some files are pasted together from sources with different encodings. In such a file each line is
decoded separately. A line that is valid UTF-8 and not plain ASCII is UTF-8, because text in another
encoding hardly ever is valid UTF-8. The other lines are decoded with the code page that fits best.
Characters that no plausible guess explains become U+FFFD, which row validation rejects.
"""

import codecs
import io
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from codepage_detection import ALPHABETS, guess_code_page, is_plausible_text
from options import is_encoding
from protocol import ReadError

DECODE_CHUNK_BYTES = 1 << 20
ENCODING_HEAD_BYTES = 4_096
ENCODING_SAMPLE_BYTES = 16 * 1024
# Longest first: the mark of UTF-32 begins with that of UTF-16.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Encodings that spreadsheet programs use besides UTF-8.
CANDIDATE_ENCODINGS = [
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "shift_jis",
    "gb18030",
    "euc_kr",
    "big5",
    "euc_jp",
    "koi8_r",
    "cp874",
    "mac_roman",
    "cp850",
]
# A character is one byte in these encodings, so their text is not valid UTF-8 by accident.
SINGLE_BYTE_ENCODINGS = frozenset(
    {
        "cp1250",
        "cp1251",
        "cp1252",
        "cp1253",
        "cp1254",
        "cp1255",
        "cp1256",
        "cp1257",
        "koi8_r",
        "mac_roman",
        "cp850",
    }
)
# Encodings that are accepted for a few lines of a UTF-8 file.
SECOND_ENCODINGS = frozenset({"cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "koi8_r"})
MAX_RAW_LINE_BYTES = 1 << 20  # A longer line is decoded in pieces of this size.
ASCII_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Encodings(NamedTuple):
    """The encodings of a text file.

    main: the encoding of most lines.
    second: the encoding of the other lines; "" if there are none, or if it is unknown.
    is_mixed: some line is not valid in `main`, so each line is decoded separately.
    """

    main: str
    second: str = ""
    is_mixed: bool = False


def detect_encodings(file: BufferedReader, requested: str = "", second: str = "") -> Encodings:
    """Detect the encoding of a text file, or check the requested one.

    second: the second encoding that an earlier reading of the same file has detected.

    Raises:
        ReadError: `wrong_encoding` if the file is not valid in the requested encoding,
            `unknown_encoding` if it is valid in none.
    """
    if requested and not (is_encoding(requested) and (not second or is_encoding(second))):
        raise ReadError("wrong_encoding")
    if second:
        return Encodings(requested, second, is_mixed=True)
    if requested:
        name = codecs.lookup(requested).name
        if _can_decode_file(file, requested):
            return Encodings(name)
        mixed = _detect_mixed(file) if name.startswith("utf-8") else None
        if mixed is None or mixed.main != "utf-8":
            raise ReadError("wrong_encoding")
        return mixed
    file.seek(0)
    head = file.read(ENCODING_HEAD_BYTES)
    mark_encodings = [name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)]
    candidates = mark_encodings[:1] or [*detect_utf_16_without_mark(head), "utf-8"]
    for encoding in candidates:
        if _can_decode_file(file, encoding):
            return Encodings(encoding)
    is_utf_8 = mark_encodings[:1] == ["utf-8-sig"]
    if candidates[0].startswith("utf-8") and (mixed := _detect_mixed(file, is_utf_8=is_utf_8)):
        return mixed
    for encoding in [] if mark_encodings else _guess_encodings(_sample_non_ascii_lines(file)):
        if _can_decode_file(file, encoding):
            return Encodings(_to_public_name(encoding))
    raise ReadError("unknown_encoding")


def _detect_mixed(file: BufferedReader, *, is_utf_8: bool = False) -> Encodings | None:
    """Detect the encodings of a file in which only some lines are UTF-8.

    Return None if the file is no such file. If the other lines may be in an encoding of several
    bytes per character, most lines must be UTF-8, because short texts in these encodings can be
    valid UTF-8 by accident.

    is_utf_8: the file has a byte order mark of UTF-8.
    """
    utf_8, others, sample = 0, 0, b""
    for line in iter_raw_lines(file):
        line = line.removeprefix(codecs.BOM_UTF8)
        if line.isascii():
            continue
        if _is_utf_8(line):
            utf_8 += 1
        else:
            others += 1
            if len(sample) < ENCODING_SAMPLE_BYTES:
                sample += line + b"\n"
    if not others or not (utf_8 or is_utf_8):
        return None
    page = next((page for page in _guess_encodings(sample) if _can_decode(sample, page)), "")
    if is_utf_8 or utf_8 >= others:
        # A few lines are no evidence for a rare encoding. Unreadable characters are better than
        # wrong ones.
        second = _to_public_name(page) if page in SECOND_ENCODINGS else ""
        return Encodings("utf-8", second, is_mixed=True)
    return (
        Encodings(_to_public_name(page), "utf-8", is_mixed=True)
        if page in SINGLE_BYTE_ENCODINGS
        else None
    )


def iter_raw_lines(file: BufferedReader) -> Iterator[bytes]:
    """Yield the lines of a text whose line breaks are ASCII, in pieces of bounded length."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="latin-1", newline="")
    while line := text.readline(MAX_RAW_LINE_BYTES):
        yield line.encode("latin-1")
    text.detach()


def decode_line(raw: bytes, encodings: Encodings) -> tuple[str, str]:
    """Decode one line of a file of two encodings.

    Return the text and a code of the read summary: "other_encoding" if the line is not in the main
    encoding, "undecodable_characters" if the text has characters that could not be decoded, or "".
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
    if page and _can_decode(raw, page) and (not code or is_plausible_text(raw, page)):
        return raw.decode(page), code
    return raw.decode(errors="replace"), "undecodable_characters"


def _to_public_name(encoding: str) -> str:
    return f"windows-{encoding[2:]}" if encoding.startswith("cp125") else encoding


def detect_utf_16_without_mark(head: bytes) -> list[str]:
    """Return the name of the UTF-16 encoding of a text without a byte order mark, or no name.

    In UTF-16, every other byte of Latin text is zero.
    """
    even, odd = head[::2], head[1::2]
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros and zeros.count(0) > len(zeros) / 2 and others.count(0) < len(others) / 20:
            return [name]
    return []


def _guess_encodings(sample: bytes) -> list[str]:
    """Return the encodings that the lines may have, the most probable first.

    charset-normalizer distinguishes scripts. It cannot recognise a language by a few accents, so
    `guess_code_page` chooses among the Latin code pages.

    sample: lines that are not plain ASCII.
    """
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=CANDIDATE_ENCODINGS, threshold=0.5).best()
    latin_guesses = [guess_code_page(sample), "cp1252"]
    if best is None or best.encoding in ALPHABETS:
        return latin_guesses
    if not best.coherence and _is_mostly_latin(sample):
        return latin_guesses
    return [best.encoding, *latin_guesses]


def _sample_non_ascii_lines(file: BufferedReader) -> bytes:
    file.seek(0)
    sample = b""
    while len(sample) < ENCODING_SAMPLE_BYTES and (line := file.readline(ENCODING_SAMPLE_BYTES)):
        if not line.isascii():
            sample += line
    return sample[:ENCODING_SAMPLE_BYTES]


def _is_mostly_latin(sample: bytes) -> bool:
    plain = len(sample) - len(sample.translate(None, ASCII_LETTERS))
    return plain >= len(sample) - len(sample.translate(None, bytes(range(128, 256))))


def _is_utf_8(raw: bytes) -> bool:
    return _can_decode(raw, "utf-8")


def _can_decode(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeError:
        return False
    return True


def _can_decode_file(file: BufferedReader, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while chunk := file.read(DECODE_CHUNK_BYTES):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True
