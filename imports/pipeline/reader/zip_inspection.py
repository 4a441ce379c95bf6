"""The zip around a workbook: inflated once, counting, before any parser may trust it."""

import zipfile
from io import BufferedReader
from typing import NamedTuple

from protocol import Refused

ENTRIES = 10_000
# XML of millions of like rows reaches 100; deflate ends at 1,032.
RATIO = 200
RATIO_MATTERS_BYTES = 1 << 20
IS_ENCRYPTED = 0x1
PIECE_BYTES = 1 << 18
# Cells that calamine gives otherwise than they show: errors and formulas, which `marked` looks
# up; and what it reads otherwise than openpyxl: dates written as text, CDATA, prefixed names.
LOOKED_UP = frozenset({b't="e"', b"t='e'", b"</f>"})
PREFIXED = b":worksheet"
ODD = frozenset({b't="d"', b"t='d'", b"<![CDATA[", PREFIXED})
# What a sheet hides. LibreOffice writes the attribute for each row, so its value is looked at
# only where it is there at all.
HIDDEN = b"hidden="
HIDING = frozenset({b'hidden="1"', b"hidden='1'", b'hidden="true"', b"hidden='true'"})
# Addresses behind cells stand in the relations of a sheet, or at its end.
LINKING = frozenset({b"mailto:", b"tel:"})
NO_SHEETS = ("workbook.xml", "sharedstrings.xml", "styles.xml", "docprops/app.xml")
HEAD_BYTES = 4_096
DECLARATION = b"<!DOCTYPE"  # No workbook needs one, and entities begin there.
MARKS = LOOKED_UP | ODD - {PREFIXED} | {DECLARATION}
LONGEST_MARK = max(map(len, MARKS | HIDING))
TYPES = "[Content_Types].xml"
WORKBOOK_TYPES = (
    *(b"sheet.main+xml", b"template.main+xml"),
    *(b"sheet.macroEnabled.main+xml", b"template.macroEnabled.main+xml"),
)
# What else is a zip, by the type of its main part.
OTHER_TYPES = {
    b"wordprocessingml": "text_document",
    b"presentationml": "not_a_spreadsheet",
}
BINARY_BOOK = "xl/workbook.bin"
BINARY_TYPE = b"sheet.binary.macroEnabled.main"
OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
CONTENT = "content.xml"


class Archive(NamedTuple):
    kind: str  # "xlsx", "xlsb" or "ods".
    inflated_bytes: int
    marks: set[bytes]


def inspect(file: BufferedReader, limits: dict) -> Archive:
    """What the archive holds, what it really inflates to and which marks it has; or Refused."""
    try:
        with zipfile.ZipFile(file) as archive:
            _check_declared(archive.infolist(), limits)
            kind = _kind(archive)
            return Archive(kind, *_inflate(archive, kind))
    except (Refused, MemoryError):
        raise
    except Exception:  # zipfile, zlib, bz2 and lzma have a dozen ways of saying so.
        raise Refused("damaged_file") from None


def _check_declared(entries: list[zipfile.ZipInfo], limits: dict) -> None:
    if any(entry.flag_bits & IS_ENCRYPTED for entry in entries):
        raise Refused("encrypted_file")
    if len(entries) > ENTRIES:
        raise Refused("too_large_inflated", entries=len(entries), limit=ENTRIES)
    size = sum(entry.file_size for entry in entries)
    if size > limits["inflated_bytes"]:
        raise Refused("too_large_inflated", bytes=size, limit=limits["inflated_bytes"])
    for entry in entries:
        if entry.file_size > max(RATIO_MATTERS_BYTES, RATIO * entry.compress_size):
            raise Refused("too_large_inflated", bytes=entry.file_size, limit=RATIO_MATTERS_BYTES)


def _kind(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if TYPES in names:
        return _office_kind(archive.read(TYPES), names)
    if "mimetype" in names:
        return _open_document_kind(archive)
    if any(name.startswith("Index/") or name == "Index.zip" for name in names):
        raise Refused("numbers_file")
    raise Refused("compressed_file" if names else "not_a_spreadsheet")


def _office_kind(types: bytes, names: list[str]) -> str:
    if any(name in types for name in WORKBOOK_TYPES):
        return "xlsx"
    if BINARY_TYPE in types:
        if BINARY_BOOK not in names:  # calamine would take it for another kind of workbook.
            raise Refused("damaged_file")
        return "xlsb"
    for name, code in OTHER_TYPES.items():
        if name in types:
            raise Refused(code)
    raise Refused("not_a_spreadsheet")


def _open_document_kind(archive: zipfile.ZipFile) -> str:
    kind = archive.read("mimetype").decode(errors="replace").strip().removeprefix(OPEN_DOCUMENT)
    if kind.startswith("text"):
        raise Refused("text_document")
    if not kind.startswith("spreadsheet") or CONTENT not in archive.namelist():
        raise Refused("not_a_spreadsheet")
    manifest = "META-INF/manifest.xml"
    if manifest in archive.namelist() and b"encryption-data" in archive.read(manifest):
        raise Refused("encrypted_file")
    return "ods"


def _inflate(archive: zipfile.ZipFile, kind: str) -> tuple[int, set[bytes]]:
    """Read every entry to its end: zipfile goes no further than the declared size, and where
    that lies the checksum is wrong.
    """
    size, marks = 0, set()
    for entry in archive.infolist():
        with archive.open(entry) as part:
            head = part.peek(HEAD_BYTES)[:HEAD_BYTES]
            found = {PREFIXED} if PREFIXED in head else set()
            may_be_sheet = _may_be_sheet(entry.filename, kind)
            tail = before = piece = b""
            while next_piece := part.read(PIECE_BYTES):
                before, piece = piece, next_piece
                size += len(piece)
                for xml in (piece, tail + piece[:LONGEST_MARK]):
                    found |= _marks(xml)
                    if may_be_sheet and HIDDEN in xml:
                        found |= {mark for mark in HIDING if mark in xml}
                tail = piece[-LONGEST_MARK:]
            if may_be_sheet:
                end = (before + piece).lower()
                found |= {mark for mark in LINKING if mark in end}
        if DECLARATION in found and _is_parsed(entry.filename, kind):
            raise Refused("damaged_file")
        marks |= found
    return size, marks


def _is_parsed(name: str, kind: str) -> bool:
    """Pictures among the parts may declare what they like: nobody opens them."""
    return name == CONTENT if kind == "ods" else name.lower().endswith((".xml", ".rels"))


def _may_be_sheet(name: str, kind: str) -> bool:
    """Whether a part of this name may be a sheet of a workbook, or its relations."""
    return kind == "xlsx" and _is_parsed(name, kind) and not name.lower().endswith(NO_SHEETS)


def _marks(xml: bytes) -> set[bytes]:
    return {mark for mark in MARKS if mark in xml}
