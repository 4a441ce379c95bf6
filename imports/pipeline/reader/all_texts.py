"""All texts of a workbook, wherever they are: hidden sheets, comments, properties, links.

A part that is XML is parsed, and its texts and attributes are written. The bytes of any other part,
and of an .xls file, are decoded in each encoding of workbooks, and all results are written. The
module does not interpret the format, so it finds texts in unusual places too. It does not find
pictures, numbers in binary parts, and texts that a binary part stores in several pieces.
"""

import re
import zipfile
from collections.abc import Iterator
from io import BufferedReader
from typing import IO
from xml.parsers import expat

from protocol import ReadError, RowWriter

XML_KIND, BINARY_KIND = "xml", "binary"
XML_READ_BYTES = 1 << 20
BINARY_READ_BYTES = 1 << 16
# The overlap of two reads of a binary part, and of two pieces of a long text. So a value of half of
# this length is complete in one of them.
OVERLAP_CHARS = 1_000
MAX_ROW_TEXTS = 200
MAX_ROW_TEXT_CHARS = 50_000
MAX_PART_NAME_CHARS = 200
MAX_SEEN_ATTRIBUTES = 50_000
XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\0<", b" <", b"\r\n<", b"\n<")
ARCHIVE_START = b"PK\x03\x04"
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".emf", ".wmf")
# Elements that hold a piece of a text. The text ends at the end of the element around them.
INLINE_NAMES = frozenset({"r", "t", "span", "a", "rPh"})
CONTAINER_NAMES = frozenset({"si", "is", "text", "p"})
BLANK_NAMES = frozenset({"s", "tab", "line-break", "br"})
# Cells and rows of .xlsx files. Their attributes hold only references and numbers of styles.
NAMES_WITHOUT_TEXT = frozenset({"c", "row"})
PRINTABLE_RUN = re.compile("[^\x00-\x1f\x7f-\x9f\ufffd]{2,}")


def write_texts_of_archive(file: BufferedReader, writer: RowWriter) -> None:
    """Write the texts of all parts of an archive that `inspect_archive` has accepted.

    Raises:
        ReadError: A limit is exceeded; or a part is an archive itself, which is not opened: then
            all other texts are written before.
    """
    has_archive = False
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for index, entry in enumerate(entries):
            texts = TextWriter(writer, entry.filename, (index + 1) / len(entries))
            with archive.open(entry) as part:
                assert isinstance(part, zipfile.ZipExtFile)
                head = part.peek(16)
            has_archive = has_archive or head.startswith(ARCHIVE_START)
            is_complete = False
            if head.startswith(XML_STARTS):
                with archive.open(entry) as part:
                    is_complete = write_texts_of_xml(part, texts)
            if not is_complete and not entry.filename.lower().endswith(PICTURE_ENDINGS):
                with archive.open(entry) as part:
                    write_texts_of_bytes(part, texts)
    if has_archive:
        writer.flush()
        raise ReadError("compressed_file")


def write_texts_of_xml(part: IO[bytes], texts: "TextWriter") -> bool:
    """Write the texts of a part. Return False if it is not well-formed or has a doctype."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    collector = XmlTextCollector(texts)
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.add
    parser.CommentHandler = texts.write
    parser.StartDoctypeDeclHandler = collector.reject_doctype
    try:
        # expat parses an unfinished tag again with each read, so reads are large.
        while data := part.read(XML_READ_BYTES):
            parser.Parse(data, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, HasDoctype):
        return False
    finally:
        collector.flush()
        texts.flush()
    return True


class HasDoctype(Exception):
    """The part has a document type declaration, which no workbook needs and entity attacks use."""


class XmlTextCollector:
    """Joins the pieces of a text that are formatted differently."""

    def __init__(self, texts: "TextWriter") -> None:
        self.texts = texts
        self.pieces: list[str] = []
        self.size = 0
        self.has_text = [False]  # Whether each open element has text of its own.
        self.attributes: set[str] = set()  # The values written before. Most values are repeated.

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        self.has_text.append(False)
        if name in BLANK_NAMES:
            self.pieces.append(" ")
        if name not in NAMES_WITHOUT_TEXT:
            for value in attributes.values():
                if value not in self.attributes:
                    if len(self.attributes) >= MAX_SEEN_ATTRIBUTES:
                        self.attributes.clear()
                    self.attributes.add(value[:OVERLAP_CHARS])
                    self.texts.write(value)

    def end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        has_text = self.has_text.pop()
        if name in CONTAINER_NAMES or (has_text and name not in INLINE_NAMES):
            self.flush()

    def add(self, text: str) -> None:
        if not text.strip():
            if "\n" not in text:  # With a line feed, it is the layout of the XML.
                self.pieces.append(text)
            return
        self.has_text[-1] = True
        self.pieces.append(text)
        self.size += len(text)
        if self.size > MAX_ROW_TEXT_CHARS:
            self.flush(kept_chars=OVERLAP_CHARS)

    def flush(self, kept_chars: int = 0) -> None:
        """Write the text. If it has several pieces, also write it with spaces between them."""
        text = "".join(self.pieces)
        if len(self.pieces) > 1:
            self.texts.write(" ".join(self.pieces))
        self.texts.write(text)
        self.pieces = [text[-kept_chars:]] if kept_chars else []
        self.size = kept_chars

    def reject_doctype(self, *declaration: object) -> None:
        raise HasDoctype


def write_texts_of_bytes(part: IO[bytes], texts: "TextWriter") -> None:
    """Write the texts that the bytes hold in any of the encodings of workbooks."""
    tail = b""
    texts.kind = BINARY_KIND
    while data := part.read(BINARY_READ_BYTES):
        data = tail + data
        for text in dict.fromkeys(_decode(data)):
            if runs := PRINTABLE_RUN.findall(text):
                texts.write("\n".join(runs))
        tail = data[-2 * OVERLAP_CHARS :] if len(data) > 2 * OVERLAP_CHARS else data
    texts.flush()


def _decode(data: bytes) -> Iterator[str]:
    yield data.decode("utf-8", "replace")
    yield data.decode("cp1252", "replace")
    yield data.decode("utf-16-le", "replace")
    yield data[1:].decode("utf-16-le", "replace")


class TextWriter:
    """Writes the texts of one part as rows. Cells: the name of the part, its kind, some texts."""

    def __init__(self, writer: RowWriter, part_name: str, fraction: float) -> None:
        self.writer = writer
        self.part_name = part_name[:MAX_PART_NAME_CHARS]
        self.kind = XML_KIND
        self.fraction = fraction
        self.texts: list[object] = []
        self.size = 0
        self.max_texts = min(writer.limits["columns"] - 2, MAX_ROW_TEXTS)
        self.max_chars = min(writer.limits["cell_length"], MAX_ROW_TEXT_CHARS)
        self.step = max(self.max_chars - OVERLAP_CHARS, self.max_chars // 2, 1)

    def write(self, text: str) -> None:
        """Write a text, in pieces that overlap if it is long."""
        if not text.strip():
            return
        for start in range(0, max(len(text) - self.max_chars, 0) + self.step, self.step):
            piece = text[start : start + self.max_chars]
            if piece:
                self.texts.append(piece)
                self.size += len(piece)
            if len(self.texts) >= self.max_texts or self.size >= MAX_ROW_TEXT_CHARS:
                self.flush()

    def flush(self) -> None:
        if self.texts:
            cells = [self.part_name, self.kind, *self.texts]
            self.writer.write_row(self.writer.last_row + 1, cells, self.fraction)
        self.texts, self.size = [], 0
