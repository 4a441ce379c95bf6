"""Detection of the file type by the content. File names and media types can be wrong."""

import re
from io import BufferedReader

from encoding_detection import BYTE_ORDER_MARKS, detect_utf_16_without_mark
from headers import FieldHeaders
from jsonl_reader import MAX_JSON_LINE_BYTES, has_nested_rows, is_json_object
from protocol import ReadError
from text_file_types import detect_non_table

OLE2_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
# Files that users upload by mistake, or that could be taken for text, by error code.
OTHER_SIGNATURES = {
    "compressed_file": rb"\x1f\x8b|BZh\d1AY|\xfd7zXZ|7z\xbc\xaf\x27\x1c|Rar!\x1a|\x28\xb5\x2f\xfd",
    "pdf_file": rb"%PDF-",
    "image_file": (
        rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|BM.{4}\0{4}|\0{3}.ftyp|RIFF.{4}WEBP"
    ),
    "text_document": rb"\{\\rtf",
}
HTML_START = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+|<!--(?:(?!-->).)*+-->\s*+)*+"  # Possessive: linear time.
    rb"<(?:!doctype|(?:html|head|body|table|meta|style|div)\b)",
    re.IGNORECASE | re.DOTALL,
)
SPREADSHEET_ML = b"urn:schemas-microsoft-com:office:spreadsheet"
UTF_8_BOM = b"\xef\xbb\xbf"
UTF_16_BOM_BYTES = b"\xff\xfe"
# An encrypted workbook has a stream of this name. An .xls file does not.
ENCRYPTED_STREAM_NAME = "EncryptedPackage".encode("utf-16-le")
# An array of objects or of arrays, or an object; see `json_reader`.
JSON_DOCUMENT = re.compile(r'\s*(?:\[\s*[\[{]|\[\s*\]\s*$|\{\s*"(?:[^"\\]|\\.)*"\s*:)')
FILE_TYPE_SAMPLE_BYTES = 64 * 1024
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a"))


def detect_file_type(file: BufferedReader, fields: FieldHeaders = ()) -> str:
    """Return "zip", "xls", "jsonl", "json" or "csv".

    fields: a text file whose first lines name two or more of them is always a table.

    Raises:
        ReadError: The file is empty, encrypted, or of another type, which the code names.
    """
    head = file.read(FILE_TYPE_SAMPLE_BYTES)
    if not head.removeprefix(UTF_8_BOM).strip():
        raise ReadError("empty_file")
    if head.startswith(OLE2_SIGNATURE):
        if _contains(file, ENCRYPTED_STREAM_NAME):
            raise ReadError("encrypted_file")
        return "xls"
    if head.startswith(ZIP_SIGNATURES):
        return "zip"  # `zip_inspection` finds out what it contains.
    _raise_for_other_types(head)
    text = _decode_head(head)
    if JSON_DOCUMENT.match(text):
        line = _read_first_line(file)
        is_one_document = not is_json_object(line) or (
            has_nested_rows(line) and not _has_more(file)
        )
        return "json" if is_one_document else "jsonl"
    if head.lstrip().startswith(b"{") and is_json_object(_read_first_line(file)):
        return "jsonl"
    if code := detect_non_table(text, fields):
        raise ReadError(code)
    return "csv"


def _decode_head(head: bytes) -> str:
    """Decode the beginning of a text. Errors do not matter for the detection of its type."""
    mark_encodings = [name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)]
    encoding = next(iter([*mark_encodings, *detect_utf_16_without_mark(head)]), "utf-8")
    return head.decode(encoding, errors="replace").removeprefix("\ufeff")


def _has_more(file: BufferedReader) -> bool:
    """Return whether text follows the line that was read last."""
    return bool(file.read(FILE_TYPE_SAMPLE_BYTES).strip())


def _raise_for_other_types(head: bytes) -> None:
    for code, signature in OTHER_SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            raise ReadError(code)
    head_text = head.removeprefix(UTF_8_BOM).lstrip(UTF_16_BOM_BYTES).replace(b"\0", b"")
    if head_text.lstrip().startswith(b"<"):
        if SPREADSHEET_ML in head_text:
            raise ReadError("xml_spreadsheet")
        if HTML_START.match(head_text):
            raise ReadError("html_file")
    if _is_binary(head):
        raise ReadError("not_a_spreadsheet")


def _read_first_line(file: BufferedReader) -> bytes:
    file.seek(0)
    while line := file.readline(MAX_JSON_LINE_BYTES):
        if line.strip():
            break
    return line


def _is_binary(head: bytes) -> bool:
    """Return whether more than a tenth of the bytes are control characters.

    A single NUL makes one cell invalid, but the file is still a table.
    """
    if head.startswith(tuple(BYTE_ORDER_MARKS)) or detect_utf_16_without_mark(head):
        return False
    return len(head) - len(head.translate(None, CONTROL_BYTES)) > len(head) / 10


def _contains(file: BufferedReader, name: bytes) -> bool:
    file.seek(0)
    tail = b""
    while chunk := file.read(1 << 20):
        if name in tail + chunk:
            return True
        tail = chunk[-len(name) :]
    return False
