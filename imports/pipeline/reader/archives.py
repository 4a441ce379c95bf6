"""The zip around a workbook: inflated once, counting, before any parser may trust it."""

import zipfile
from io import BufferedReader

from answers import Refused

ENTRIES = 10_000
# XML of millions of like rows reaches 100; deflate ends at 1,032.
RATIO = 200
RATIO_MATTERS_BYTES = 1 << 20
IS_ENCRYPTED = 0x1
PIECE_BYTES = 1 << 18
# Cells that calamine leaves out, or reads otherwise than openpyxl: errors, which `errors` looks
# up, and CDATA and dates written as text, which are rare.
ERROR_CELLS = frozenset({b't="e"', b"t='e'"})
ODD_CELLS = frozenset({b't="d"', b"t='d'", b"<![CDATA["})
NEEDED = "[Content_Types].xml"
WORKBOOK_TYPES = (b"sheet.main+xml", b"template.main+xml", b"sheet.macroEnabled.main+xml")


def inspect(file: BufferedReader, limits: dict) -> tuple[int, set[bytes]]:
    """How many bytes the archive really inflates to, and the marks it has of ODD_CELLS and
    ERROR_CELLS; or Refused.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_declared(archive.infolist(), limits)
            _check_workbook(archive)
            return _inflate(archive)
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


def _check_workbook(archive: zipfile.ZipFile) -> None:
    """A .docx, an .ods and a plain .zip are archives too."""
    if NEEDED not in archive.namelist():
        raise Refused("not_a_spreadsheet")
    types = archive.read(NEEDED)
    if not any(name in types for name in WORKBOOK_TYPES):
        raise Refused("not_a_spreadsheet")


def _inflate(archive: zipfile.ZipFile) -> tuple[int, set[bytes]]:
    """Read every entry to its end: zipfile goes no further than the declared size, and where
    that lies the checksum is wrong.
    """
    size, marks = 0, set()
    for entry in archive.infolist():
        tail = b""
        with archive.open(entry) as part:
            while piece := part.read(PIECE_BYTES):
                size += len(piece)
                marks |= _marks(piece) | _marks(tail + piece[:8])
                tail = piece[-8:]
    return size, marks


def _marks(xml: bytes) -> set[bytes]:
    return {mark for mark in ERROR_CELLS | ODD_CELLS if mark in xml}
