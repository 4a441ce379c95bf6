"""What kind of file this is, by its content: its name and type are only claims."""

from io import BufferedReader

from answers import Refused
from lines import LONGEST_LINE_BYTES, is_object

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
# What people upload by mistake and what could pass for text.
OTHERS = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")
MARKUP = (b"<!doctype", b"<html", b"<?xml", b"{\\rtf")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# The name of a stream that an encrypted workbook has and an old one has not.
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
SAMPLE_BYTES = 64 * 1024
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a"))


def recognise(file: BufferedReader) -> str:
    """Return "xlsx", "jsonl" or "csv", or raise Refused with what it is instead."""
    head = file.read(SAMPLE_BYTES)
    if not head.strip():
        raise Refused("empty_file")
    if head.startswith(OLE2):
        raise Refused("encrypted_file" if _contains(file, ENCRYPTED) else "old_excel_file")
    file.seek(0)
    if head.startswith((ZIP, EMPTY_ZIP)):
        return "xlsx"  # Whether it holds a workbook is seen when it is opened.
    if head.startswith(OTHERS) or head.lstrip().lower().startswith(MARKUP) or _is_binary(head):
        raise Refused("not_a_spreadsheet")
    if head.lstrip().startswith(b"{") and is_object(_first_line(file)):
        return "jsonl"
    return "csv"


def _first_line(file: BufferedReader) -> bytes:
    file.seek(0)
    while line := file.readline(LONGEST_LINE_BYTES):
        if line.strip():
            break
    return line


def _is_binary(head: bytes) -> bool:
    """A stray NUL is one bad cell; a tenth of control characters is no text."""
    if head.startswith(UTF_16):
        return False
    return len(head) - len(head.translate(None, CONTROLS)) > len(head) / 10


def _contains(file: BufferedReader, name: bytes) -> bool:
    file.seek(0)
    tail = b""
    while piece := file.read(1 << 20):
        if name in tail + piece:
            return True
        tail = piece[-len(name) :]
    return False
