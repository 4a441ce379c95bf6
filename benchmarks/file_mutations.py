"""Real workbooks and texts, damaged at random: the same seed damages the same file the same way."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent.parent / "tests" / "corpus"
KINDS = frozenset({
    *(".xlsx", ".xlsm", ".xltx", ".xlsb", ".xls", ".ods", ".csv", ".tsv", ".txt", ".json", ".vcf")
})  # fmt: skip
ENCODINGS = ("cp1252", "cp1250", "cp1251", "utf-16-le", "gb18030", "mac_roman")
ACCENTS = "Noël Núñez Świątek Смирнов 王小明"
SEPARATORS = (b",", b";", b"\t", b"|", b"^", b" ::: ", b'"', b"\r")
ELEMENT = re.compile(rb"<([A-Za-z:]+)(?:\s[^<>]*)?(?:/>|>[^<]*</\1>)")
TAG = re.compile(rb"<[^<>]*>")
ATTRIBUTE = re.compile(rb"""(?<==")[^"<>]*(?=")""")
NUMBER = re.compile(rb"\d+")
TYPE = re.compile(rb"""(?<=\st=")[^"]*(?=")""")
HUGE = (
    *(b"0", b"-1", b"4294967296", b"9" * 30, b"1e309", b"1048577", b"99999999", b"-9" * 5),
    *(b"0.1", b"NaN", b"", b"1_0", b"\xd9\xa1"),
)
TYPES = (b"s", b"str", b"n", b"b", b"e", b"d", b"inlineStr", b"x", b"")
FORMAT = re.compile(rb"""(?<=formatCode=")[^"]*(?=")""")
FORMATS = (
    *(b"mmm-yy", b"[h]:mm", b"0%", b"0.00E+00", b"# ?/?", b"# ?/0", b"0000000", b"[$-409]d-mmm"),
    *(b"[", b"&quot;", b"\\", b";;;", b"[>1e999]0", b"ss.000000", b"0" * 300, b"E+", b"/", b"%"),
)
ROW_OR_COLUMN = re.compile(rb"<(?:row|col|table:table-row|table:table-column)(?=\s)")
HIDING = (b' hidden="1"', b" hidden='true'", b' table:visibility="collapse"')
TEXT = re.compile(rb"(?<=>)[^<>]+(?=<)")
VALUES = (*HUGE, b"A1", b"XFD1048576", b"A1:XFD1048576", b"../../etc/passwd", b"rId9", b"&#0;")
MOST_BYTES = 2_000_000  # Nothing grows beyond, however often it is doubled.

Mutation = Callable[[bytes, Random], bytes]


def mutated(seed: int) -> tuple[str, bytes]:
    """The name of a file of the corpus, and what became of it."""
    dice = Random(seed)
    files = sorted(one for one in CORPUS.iterdir() if one.suffix in KINDS)
    file = dice.choice(files)
    content = file.read_bytes()
    for _ in range(dice.choice((1, 1, 2, 5))):
        is_archive = zipfile.is_zipfile(io.BytesIO(content))
        inside = is_archive and dice.random() < 0.8
        content = in_archive(content, dice) if inside else dice.choice(PLAIN)(content, dice)
    return file.name, content[:MOST_BYTES]


def in_archive(content: bytes, dice: Random) -> bytes:
    """One change inside of the archive, which is packed again."""
    try:
        parts = opened(content)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError, ValueError):
        return flipped(content, dice)  # Damaged by an earlier change, or encrypted.
    if not parts:
        return content
    if dice.random() < 0.15:
        dice.choice((swap, drop, rename))(parts, dice)
    else:
        name = dice.choice([n for n in parts if n.endswith(".xml")] or list(parts))
        parts[name] = dice.choice(WITHIN)(parts[name], dice)[:MOST_BYTES]
    return packed(parts, dice)


def opened(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name)[:MOST_BYTES] for name in archive.namelist()}


def packed(parts: dict[str, bytes], dice: Random) -> bytes:
    buffer = io.BytesIO()
    how = dice.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


# --- Members of an archive ---------------------------------------------------


def swap(parts: dict[str, bytes], dice: Random) -> None:
    one, other = dice.choice(list(parts)), dice.choice(list(parts))
    parts[one], parts[other] = parts[other], parts[one]


def drop(parts: dict[str, bytes], dice: Random) -> None:
    del parts[dice.choice(list(parts))]


def rename(parts: dict[str, bytes], dice: Random) -> None:
    name = dice.choice(list(parts))
    parts[dice.choice((name.upper(), f"../{name}", f"/{name}", "x"))] = parts.pop(name)


# --- Bytes -------------------------------------------------------------------


def flipped(content: bytes, dice: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 4, 50)) if changed else 0):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def cut_short(content: bytes, dice: Random) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def without_a_piece(content: bytes, dice: Random) -> bytes:
    start = dice.randrange(len(content) + 1)
    return content[:start] + content[start + dice.randrange(1, 200) :]


def with_a_piece_twice(content: bytes, dice: Random) -> bytes:
    start = dice.randrange(len(content) + 1)
    return content[:start] + content[start : start + 500] * dice.choice((2, 50)) + content[start:]


# --- Text --------------------------------------------------------------------


def line_in_other_encoding(content: bytes, dice: Random) -> bytes:
    """A line gets letters beyond ASCII, in another encoding than the rest."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    letters = ACCENTS.encode(dice.choice(ENCODINGS), errors="replace")
    place = dice.randrange(len(lines))
    lines[place] = letters[: dice.randrange(1, len(letters))] + lines[place]
    return b"".join(lines)


def other_separator(content: bytes, dice: Random) -> bytes:
    one, other = dice.choice(SEPARATORS), dice.choice(SEPARATORS)
    return content.replace(one, other, dice.choice((1, 10, -1)))


def header_again(content: bytes, dice: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines, *lines[: dice.randrange(1, 4)]])


# --- XML ---------------------------------------------------------------------


def element_twice(xml: bytes, dice: Random) -> bytes:
    return replaced(ELEMENT, xml, dice, lambda old: old * dice.choice((2, 3, 1_000)))


def without_element(xml: bytes, dice: Random) -> bytes:
    return replaced(ELEMENT, xml, dice, lambda _: b"")


def without_tag(xml: bytes, dice: Random) -> bytes:
    return replaced(TAG, xml, dice, lambda _: b"")


def huge_number(xml: bytes, dice: Random) -> bytes:
    return replaced(NUMBER, xml, dice, lambda _: dice.choice(HUGE))


def other_type(xml: bytes, dice: Random) -> bytes:
    return replaced(TYPE, xml, dice, lambda _: dice.choice(TYPES))


def other_value(xml: bytes, dice: Random) -> bytes:
    return replaced(ATTRIBUTE, xml, dice, lambda _: dice.choice(VALUES))


def other_format(xml: bytes, dice: Random) -> bytes:
    return replaced(FORMAT, xml, dice, lambda _: dice.choice(FORMATS))


def hide(xml: bytes, dice: Random) -> bytes:
    return replaced(ROW_OR_COLUMN, xml, dice, lambda old: old + dice.choice(HIDING))


def linked(xml: bytes, dice: Random) -> bytes:
    """A text, such as the result of a formula, becomes a formula that links to an address."""
    return replaced(TEXT, xml, dice, lambda old: b'<f>HYPERLINK("mailto:%s","x")</f>' % old[:600])


def nested(xml: bytes, dice: Random) -> bytes:
    depth = dice.choice((10, 5_000))
    return replaced(ELEMENT, xml, dice, lambda old: b"<r>" * depth + old + b"</r>" * depth)


def replaced(
    pattern: re.Pattern[bytes], xml: bytes, dice: Random, change: Callable[[bytes], bytes]
) -> bytes:
    """One of the places that match, changed."""
    found = list(pattern.finditer(xml))
    if not found:
        return flipped(xml, dice)
    place = dice.choice(found)
    return xml[: place.start()] + change(place[0]) + xml[place.end() :]


PLAIN: list[Mutation] = [
    *(flipped, cut_short, without_a_piece, with_a_piece_twice, huge_number),
    *(line_in_other_encoding, other_separator, header_again),
]
WITHIN: list[Mutation] = [
    *(flipped, cut_short, without_a_piece, with_a_piece_twice),
    *(element_twice, without_element, without_tag, nested),
    *(other_format, other_format, hide, linked),
    *(huge_number, huge_number, other_type, other_type, other_value, other_value),
]
