"""Inspection of a zip archive before a parser opens it.

The archive is decompressed once, so its real size is known even if its directory is wrong. The
marks found in its content tell which parser can read the workbook.
"""

import zipfile
from io import BufferedReader
from typing import NamedTuple

from protocol import LimitValues, ReadError

MAX_ENTRIES = 10_000
# XML of millions of equal rows reaches 100. The maximum of deflate is 1,032.
MAX_COMPRESSION_RATIO = 200
MIN_RATIO_CHECK_BYTES = 1 << 20
ENCRYPTED_FLAG = 0x1
INFLATE_CHUNK_BYTES = 1 << 18
# Errors and formulas: calamine does not return what these cells display, so `xlsx_overrides` reads
# them from the XML.
OVERRIDE_MARKS = frozenset({b't="e"', b"t='e'", b"</f>"})
# Dates written as text, CDATA and prefixed names: calamine reads them differently from openpyxl, so
# openpyxl reads these workbooks.
PREFIXED_WORKSHEET = b":worksheet"
STREAM_ONLY_MARKS = frozenset({b't="d"', b"t='d'", b"<![CDATA[", PREFIXED_WORKSHEET})
# Hidden rows and columns. LibreOffice writes the attribute for each row, so its value matters.
# Searching for the value only where the attribute occurs is faster.
HIDDEN_ATTRIBUTE = b"hidden="
HIDDEN_MARKS = frozenset({b'hidden="1"', b"hidden='1'", b'hidden="true"', b"hidden='true'"})
# Link targets are in the relations of a sheet, or at its end.
LINK_MARKS = frozenset({b"mailto:", b"tel:"})
NON_SHEET_PARTS = ("workbook.xml", "sharedstrings.xml", "styles.xml", "docprops/app.xml")
PART_HEAD_BYTES = 4_096
DOCTYPE_MARK = b"<!DOCTYPE"  # No workbook needs it, and entity attacks need it.
SEARCHED_MARKS = OVERRIDE_MARKS | STREAM_ONLY_MARKS - {PREFIXED_WORKSHEET} | {DOCTYPE_MARK}
MAX_MARK_BYTES = max(map(len, SEARCHED_MARKS | HIDDEN_MARKS))
CONTENT_TYPES_PART = "[Content_Types].xml"
WORKBOOK_TYPES = (
    b"sheet.main+xml",
    b"template.main+xml",
    b"sheet.macroEnabled.main+xml",
    b"template.macroEnabled.main+xml",
)
# Other office documents, by the content type of their main part.
OTHER_DOCUMENT_CODES = {
    b"wordprocessingml": "text_document",
    b"presentationml": "not_a_spreadsheet",
}
XLSB_WORKBOOK_PART = "xl/workbook.bin"
XLSB_CONTENT_TYPE = b"sheet.binary.macroEnabled.main"
OPENDOCUMENT_TYPE_PREFIX = "application/vnd.oasis.opendocument."
ODS_CONTENT_PART = "content.xml"


class InspectedArchive(NamedTuple):
    """The result of the inspection.

    format: "xlsx", "xlsb" or "ods".
    marks: those of the marks above that some part contains.
    """

    format: str
    inflated_bytes: int
    marks: set[bytes]


def inspect_archive(file: BufferedReader, limits: LimitValues) -> InspectedArchive:
    """Decompress the archive and return its format, real size and marks.

    Raises:
        ReadError: The archive is no workbook, is encrypted, damaged or too large.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_declared_sizes(archive.infolist(), limits)
            archive_format = _detect_format(archive)
            return InspectedArchive(archive_format, *_inflate_entries(archive, archive_format))
    except (ReadError, MemoryError):
        raise
    except Exception:  # zipfile, zlib, bz2 and lzma raise many types for damaged data.
        raise ReadError("damaged_file") from None


def _check_declared_sizes(entries: list[zipfile.ZipInfo], limits: LimitValues) -> None:
    if any(entry.flag_bits & ENCRYPTED_FLAG for entry in entries):
        raise ReadError("encrypted_file")
    if len(entries) > MAX_ENTRIES:
        raise ReadError("too_large_inflated", entries=len(entries), limit=MAX_ENTRIES)
    size = sum(entry.file_size for entry in entries)
    if size > limits["inflated_bytes"]:
        raise ReadError("too_large_inflated", bytes=size, limit=limits["inflated_bytes"])
    for entry in entries:
        if entry.file_size > max(
            MIN_RATIO_CHECK_BYTES, MAX_COMPRESSION_RATIO * entry.compress_size
        ):
            raise ReadError(
                "too_large_inflated", bytes=entry.file_size, limit=MIN_RATIO_CHECK_BYTES
            )


def _detect_format(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if CONTENT_TYPES_PART in names:
        return _detect_office_format(archive.read(CONTENT_TYPES_PART), names)
    if "mimetype" in names:
        return _detect_opendocument_format(archive)
    if any(name.startswith("Index/") or name == "Index.zip" for name in names):
        raise ReadError("numbers_file")
    raise ReadError("compressed_file" if names else "not_a_spreadsheet")


def _detect_office_format(types: bytes, names: list[str]) -> str:
    if any(name in types for name in WORKBOOK_TYPES):
        return "xlsx"
    if XLSB_CONTENT_TYPE in types:
        if XLSB_WORKBOOK_PART not in names:
            # calamine would read the file as a workbook of another format.
            raise ReadError("damaged_file")
        return "xlsb"
    for name, code in OTHER_DOCUMENT_CODES.items():
        if name in types:
            raise ReadError(code)
    raise ReadError("not_a_spreadsheet")


def _detect_opendocument_format(archive: zipfile.ZipFile) -> str:
    content_type = archive.read("mimetype").decode(errors="replace").strip()
    document_type = content_type.removeprefix(OPENDOCUMENT_TYPE_PREFIX)
    if document_type.startswith("text"):
        raise ReadError("text_document")
    if not document_type.startswith("spreadsheet") or ODS_CONTENT_PART not in archive.namelist():
        raise ReadError("not_a_spreadsheet")
    manifest = "META-INF/manifest.xml"
    if manifest in archive.namelist() and b"encryption-data" in archive.read(manifest):
        raise ReadError("encrypted_file")
    return "ods"


def _inflate_entries(archive: zipfile.ZipFile, archive_format: str) -> tuple[int, set[bytes]]:
    """Return the decompressed size of all entries, and the marks found in them.

    zipfile reads no further than the declared size. If that size is wrong, the checksum fails.
    """
    size = 0
    marks: set[bytes] = set()
    for entry in archive.infolist():
        with archive.open(entry) as part:
            assert isinstance(part, zipfile.ZipExtFile)  # It has `peek`, unlike its declared type.
            head = part.peek(PART_HEAD_BYTES)[:PART_HEAD_BYTES]
            part_marks = {PREFIXED_WORKSHEET} if PREFIXED_WORKSHEET in head else set()
            may_be_sheet = _may_be_sheet(entry.filename, archive_format)
            tail = before = chunk = b""  # The end of the last chunk; the last two chunks.
            while next_chunk := part.read(INFLATE_CHUNK_BYTES):
                before, chunk = chunk, next_chunk
                size += len(chunk)
                for xml in (chunk, tail + chunk[:MAX_MARK_BYTES]):
                    part_marks |= _find_marks(xml)
                    if may_be_sheet and HIDDEN_ATTRIBUTE in xml:
                        part_marks |= {mark for mark in HIDDEN_MARKS if mark in xml}
                tail = chunk[-MAX_MARK_BYTES:]
            if may_be_sheet:
                end = (before + chunk).lower()
                part_marks |= {mark for mark in LINK_MARKS if mark in end}
        if DOCTYPE_MARK in part_marks and _is_parsed(entry.filename, archive_format):
            raise ReadError("damaged_file")
        marks |= part_marks
    return size, marks


def _is_parsed(name: str, archive_format: str) -> bool:
    """Return whether a parser opens a part of this name. Pictures, for example, are not opened."""
    if archive_format == "ods":
        return name == ODS_CONTENT_PART
    return name.lower().endswith((".xml", ".rels"))


def _may_be_sheet(name: str, archive_format: str) -> bool:
    """Return whether a part of this name may be a sheet of an .xlsx file, or its relations."""
    return (
        archive_format == "xlsx"
        and _is_parsed(name, archive_format)
        and not name.lower().endswith(NON_SHEET_PARTS)
    )


def _find_marks(xml: bytes) -> set[bytes]:
    return {mark for mark in SEARCHED_MARKS if mark in xml}
