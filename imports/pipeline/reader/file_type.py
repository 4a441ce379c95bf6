"""What kind of file this is, by its content: its name and type are only claims."""

import re
from io import BufferedReader

from encoding_detection import BYTE_ORDER_MARKS, unmarked_utf_16
from headers import FieldHeaders
from jsonl_reader import LONGEST_LINE_BYTES, is_object, is_wrapper
from protocol import Refused
from text_file_types import find_other_kind

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
# What people upload by mistake, and what could pass for text.
OTHERS = {
    "compressed_file": rb"\x1f\x8b|BZh\d1AY|\xfd7zXZ|7z\xbc\xaf\x27\x1c|Rar!\x1a|\x28\xb5\x2f\xfd",
    "pdf_file": rb"%PDF-",
    "image_file": (
        rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|BM.{4}\0{4}|\0{3}.ftyp|RIFF.{4}WEBP"
    ),
    "text_document": rb"\{\\rtf",
}
MARKUP = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+|<!--(?:(?!-->).)*+-->\s*+)*+"  # Nothing is tried twice.
    rb"<(?:!doctype|(?:html|head|body|table|meta|style|div)\b)",
    re.IGNORECASE | re.DOTALL,
)
SPREADSHEET_ML = b"urn:schemas-microsoft-com:office:spreadsheet"
UTF_8_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = b"\xff\xfe"
# The name of a stream that an encrypted workbook has and an old one has not.
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
# An array of objects or of rows, or an object; see `json_documents`.
JSON_DOCUMENT = re.compile(r'\s*(?:\[\s*[\[{]|\[\s*\]\s*$|\{\s*"(?:[^"\\]|\\.)*"\s*:)')
SAMPLE_BYTES = 64 * 1024
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a"))


def recognise(file: BufferedReader, fields: FieldHeaders = ()) -> str:
    """Return "zip", "xls", "jsonl", "json" or "csv", or raise Refused with what it is instead."""
    head = file.read(SAMPLE_BYTES)
    if not head.removeprefix(UTF_8_MARK).strip():
        raise Refused("empty_file")
    if head.startswith(OLE2):
        if _contains(file, ENCRYPTED):
            raise Refused("encrypted_file")
        return "xls"
    if head.startswith(ZIP):
        return "zip"  # What it holds is seen when it is opened.
    _refuse_others(head)
    text = _decode(head)
    if JSON_DOCUMENT.match(text):
        line = _first_line(file)
        return (
            "jsonl"
            if is_object(line) and not (is_wrapper(line) and not _has_more(file))
            else "json"
        )
    if head.lstrip().startswith(b"{") and is_object(_first_line(file)):
        return "jsonl"
    if code := find_other_kind(text, fields):
        raise Refused(code)
    return "csv"


def _decode(head: bytes) -> str:
    """The beginning of a text, well enough to tell what kind of text it is."""
    marked = [name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)]
    encoding = next(iter([*marked, *unmarked_utf_16(head)]), "utf-8")
    return head.decode(encoding, errors="replace").removeprefix("\ufeff")


def _has_more(file: BufferedReader) -> bool:
    """Whether something follows the line that was read last."""
    return bool(file.read(SAMPLE_BYTES).strip())


def _refuse_others(head: bytes) -> None:
    for code, beginning in OTHERS.items():
        if re.match(beginning, head, re.DOTALL):
            raise Refused(code)
    markup = head.removeprefix(UTF_8_MARK).lstrip(UTF_16_MARKS).replace(b"\0", b"")
    if markup.lstrip().startswith(b"<"):
        if SPREADSHEET_ML in markup:
            raise Refused("xml_spreadsheet")
        if MARKUP.match(markup):
            raise Refused("html_file")
    if _is_binary(head):
        raise Refused("not_a_spreadsheet")


def _first_line(file: BufferedReader) -> bytes:
    file.seek(0)
    while line := file.readline(LONGEST_LINE_BYTES):
        if line.strip():
            break
    return line


def _is_binary(head: bytes) -> bool:
    """A stray NUL is one bad cell; a tenth of control characters is no text."""
    if head.startswith(tuple(BYTE_ORDER_MARKS)) or unmarked_utf_16(head):
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
