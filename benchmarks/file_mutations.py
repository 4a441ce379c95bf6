"""Random damage to the files of the test corpus. The same seed causes the same damage."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent.parent / "tests" / "corpus"
SUFFIXES = frozenset(
    {
        ".csv",
        ".json",
        ".ods",
        ".tsv",
        ".txt",
        ".vcf",
        ".xls",
        ".xlsb",
        ".xlsm",
        ".xlsx",
        ".xltx",
    }
)
ENCODINGS = ("cp1252", "cp1250", "cp1251", "utf-16-le", "gb18030", "mac_roman")
ACCENTS = "Noël Núñez Świątek Смирнов 王小明"
SEPARATORS = (b",", b";", b"\t", b"|", b"^", b" ::: ", b'"', b"\r")
ELEMENT = re.compile(rb"<([A-Za-z:]+)(?:\s[^<>]*)?(?:/>|>[^<]*</\1>)")
TAG = re.compile(rb"<[^<>]*>")
ATTRIBUTE = re.compile(rb"""(?<==")[^"<>]*(?=")""")
NUMBER = re.compile(rb"\d+")
TYPE = re.compile(rb"""(?<=\st=")[^"]*(?=")""")
NUMBERS = (
    b"0",
    b"-1",
    b"4294967296",
    b"9" * 30,
    b"1e309",
    b"1048577",
    b"99999999",
    b"-9" * 5,
    b"0.1",
    b"NaN",
    b"",
    b"1_0",
    b"\xd9\xa1",
)
TYPES = (b"s", b"str", b"n", b"b", b"e", b"d", b"inlineStr", b"x", b"")
FORMAT = re.compile(rb"""(?<=formatCode=")[^"]*(?=")""")
FORMATS = (
    b"mmm-yy",
    b"[h]:mm",
    b"0%",
    b"0.00E+00",
    b"# ?/?",
    b"# ?/0",
    b"0000000",
    b"[$-409]d-mmm",
    b"[",
    b"&quot;",
    b"\\",
    b";;;",
    b"[>1e999]0",
    b"ss.000000",
    b"0" * 300,
    b"E+",
    b"/",
    b"%",
)
ROW_OR_COLUMN = re.compile(rb"<(?:row|col|table:table-row|table:table-column)(?=\s)")
HIDING = (b' hidden="1"', b" hidden='true'", b' table:visibility="collapse"')
TEXT = re.compile(rb"(?<=>)[^<>]+(?=<)")
VALUES = (*NUMBERS, b"A1", b"XFD1048576", b"A1:XFD1048576", b"../../etc/passwd", b"rId9", b"&#0;")
MAX_FILE_BYTES = 2_000_000  # Repeated doubling stops at this size.

Mutation = Callable[[bytes, Random], bytes]


def damage_file(seed: int) -> tuple[str, bytes]:
    """Return the name of a file of the corpus, and its damaged content."""
    rng = Random(seed)
    files = sorted(path for path in CORPUS.iterdir() if path.suffix in SUFFIXES)
    file = rng.choice(files)
    content = file.read_bytes()
    for _ in range(rng.choice((1, 1, 2, 5))):
        is_archive = zipfile.is_zipfile(io.BytesIO(content))
        changes_member = is_archive and rng.random() < 0.8
        if changes_member:
            content = change_archive(content, rng)
        else:
            content = rng.choice(FILE_MUTATIONS)(content, rng)
    return file.name, content[:MAX_FILE_BYTES]


def change_archive(content: bytes, rng: Random) -> bytes:
    """Change one thing inside of the archive, and pack it again."""
    try:
        members = unpack(content)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError, ValueError):
        return flip_bytes(content, rng)  # Damaged by an earlier change, or encrypted.
    if not members:
        return content
    if rng.random() < 0.15:
        rng.choice((swap_members, remove_member, rename_member))(members, rng)
    else:
        name = rng.choice([n for n in members if n.endswith(".xml")] or list(members))
        members[name] = rng.choice(XML_MUTATIONS)(members[name], rng)[:MAX_FILE_BYTES]
    return pack(members, rng)


def unpack(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name)[:MAX_FILE_BYTES] for name in archive.namelist()}


def pack(members: dict[str, bytes], rng: Random) -> bytes:
    buffer = io.BytesIO()
    compression = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


# --- Members of an archive ---------------------------------------------------


def swap_members(members: dict[str, bytes], rng: Random) -> None:
    first, second = rng.choice(list(members)), rng.choice(list(members))
    members[first], members[second] = members[second], members[first]


def remove_member(members: dict[str, bytes], rng: Random) -> None:
    del members[rng.choice(list(members))]


def rename_member(members: dict[str, bytes], rng: Random) -> None:
    name = rng.choice(list(members))
    members[rng.choice((name.upper(), f"../{name}", f"/{name}", "x"))] = members.pop(name)


# --- Bytes -------------------------------------------------------------------


def flip_bytes(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 50)) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def truncate(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def remove_part(content: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.randrange(1, 200) :]


def repeat_part(content: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start : start + 500] * rng.choice((2, 50)) + content[start:]


# --- Text --------------------------------------------------------------------


def insert_other_encoding(content: bytes, rng: Random) -> bytes:
    """Insert letters beyond ASCII into a line, in another encoding than the rest."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    letters = ACCENTS.encode(rng.choice(ENCODINGS), errors="replace")
    index = rng.randrange(len(lines))
    lines[index] = letters[: rng.randrange(1, len(letters))] + lines[index]
    return b"".join(lines)


def replace_separator(content: bytes, rng: Random) -> bytes:
    old, new = rng.choice(SEPARATORS), rng.choice(SEPARATORS)
    return content.replace(old, new, rng.choice((1, 10, -1)))


def repeat_header(content: bytes, rng: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines, *lines[: rng.randrange(1, 4)]])


# --- XML ---------------------------------------------------------------------


def repeat_element(xml: bytes, rng: Random) -> bytes:
    return replace_match(ELEMENT, xml, rng, lambda old: old * rng.choice((2, 3, 1_000)))


def remove_element(xml: bytes, rng: Random) -> bytes:
    return replace_match(ELEMENT, xml, rng, lambda _: b"")


def remove_tag(xml: bytes, rng: Random) -> bytes:
    return replace_match(TAG, xml, rng, lambda _: b"")


def replace_number(xml: bytes, rng: Random) -> bytes:
    return replace_match(NUMBER, xml, rng, lambda _: rng.choice(NUMBERS))


def replace_type(xml: bytes, rng: Random) -> bytes:
    return replace_match(TYPE, xml, rng, lambda _: rng.choice(TYPES))


def replace_value(xml: bytes, rng: Random) -> bytes:
    return replace_match(ATTRIBUTE, xml, rng, lambda _: rng.choice(VALUES))


def replace_format(xml: bytes, rng: Random) -> bytes:
    return replace_match(FORMAT, xml, rng, lambda _: rng.choice(FORMATS))


def hide_row_or_column(xml: bytes, rng: Random) -> bytes:
    return replace_match(ROW_OR_COLUMN, xml, rng, lambda old: old + rng.choice(HIDING))


def insert_link_formula(xml: bytes, rng: Random) -> bytes:
    """Replace a text by a formula that links to an address."""
    return replace_match(
        TEXT, xml, rng, lambda old: b'<f>HYPERLINK("mailto:%s","x")</f>' % old[:600]
    )


def nest_element(xml: bytes, rng: Random) -> bytes:
    depth = rng.choice((10, 5_000))
    return replace_match(ELEMENT, xml, rng, lambda old: b"<r>" * depth + old + b"</r>" * depth)


def replace_match(
    pattern: re.Pattern[bytes], xml: bytes, rng: Random, change: Callable[[bytes], bytes]
) -> bytes:
    """Change one of the matches."""
    matches = list(pattern.finditer(xml))
    if not matches:
        return flip_bytes(xml, rng)
    match = rng.choice(matches)
    return xml[: match.start()] + change(match[0]) + xml[match.end() :]


# A mutation that is listed twice is chosen twice as often.
FILE_MUTATIONS: list[Mutation] = [
    flip_bytes,
    truncate,
    remove_part,
    repeat_part,
    replace_number,
    insert_other_encoding,
    replace_separator,
    repeat_header,
]
XML_MUTATIONS: list[Mutation] = [
    flip_bytes,
    truncate,
    remove_part,
    repeat_part,
    repeat_element,
    remove_element,
    remove_tag,
    nest_element,
    replace_format,
    replace_format,
    hide_row_or_column,
    insert_link_formula,
    replace_number,
    replace_number,
    replace_type,
    replace_type,
    replace_value,
    replace_value,
]
