"""Rows of a text file: its encoding, its delimiter, then record after record."""

import codecs
import csv
import io
import os
from collections.abc import Iterator
from io import BufferedReader

from answers import CHARACTERS_A_ROW, Answers, Refused, is_blank

DELIMITERS = ",;\t|"
SAMPLE_CHARACTERS = 64 * 1024
SAMPLE_RECORDS = 50
PIECE_BYTES = 1 << 20
ROWS_BETWEEN_LOOKS = 100  # To ask at each row how far we are would cost as much as the row.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FALLBACK = "windows-1252"


def read_text(file: BufferedReader, answers: Answers) -> None:
    csv.field_size_limit(answers.limits["cell_length"])
    encoding = find_encoding(file)
    delimiter = find_delimiter(_sample(file, encoding))
    answers.opened("csv", encoding=encoding, delimiter=delimiter)
    size = os.fstat(file.fileno()).st_size
    for number, record in enumerate(_records(file, encoding, delimiter, answers), start=1):
        if number % ROWS_BETWEEN_LOOKS == 1:
            fraction = file.tell() / size
        answers.row(number, [cell or None for cell in record], fraction)


def find_encoding(file: BufferedReader) -> str:
    """The first of the encodings we know that fits the whole file."""
    head = file.read(3)
    marked = [name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)]
    for encoding in marked or ["utf-8", FALLBACK]:
        if _decodes(file, encoding):
            return encoding
    raise Refused("unknown_encoding")


def find_delimiter(sample: str) -> str:
    """The character that cuts the most records into as many cells as the first one.

    The first record is mostly the header, where a comma is hardly ever a decimal point.
    """
    return max(DELIMITERS, key=lambda delimiter: _score(sample, delimiter))


def _score(sample: str, delimiter: str) -> float:
    widths = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if not is_blank([cell or None for cell in record]):
                widths.append(len(record))
            if len(widths) == SAMPLE_RECORDS:
                break
    except csv.Error:  # A field over the limit; where it matters it is met again.
        pass
    if not widths:
        return 0.0
    return (widths[0] - 1) * widths.count(widths[0]) / len(widths)


def _decodes(file: BufferedReader, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while piece := file.read(PIECE_BYTES):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _sample(file: BufferedReader, encoding: str) -> str:
    """The beginning of the file, without a last line that is cut short."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    raw = file.read(SAMPLE_CHARACTERS)
    text = decoder.decode(raw, final=len(raw) < SAMPLE_CHARACTERS)
    lines = text.splitlines(keepends=True)
    return text if len(raw) < SAMPLE_CHARACTERS or len(lines) < 2 else "".join(lines[:-1])


def _records(
    file: BufferedReader, encoding: str, delimiter: str, answers: Answers
) -> Iterator[list[str]]:
    file.seek(0)
    # Detached at the end by nobody: the process ends first.
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield from csv.reader(_lines(text, answers), delimiter=delimiter)
    except csv.Error as error:
        row, limit = answers.last_row + 1, answers.limits["cell_length"]
        if "field larger" in str(error):
            raise Refused("cell_too_long", row=row, limit=limit) from None
        raise Refused("damaged_file", row=row) from None


def _lines(text: io.TextIOWrapper, answers: Answers) -> Iterator[str]:
    while line := text.readline(CHARACTERS_A_ROW):
        if len(line) == CHARACTERS_A_ROW:
            row = answers.last_row + 1
            raise Refused("row_too_long", row=row, limit=CHARACTERS_A_ROW)
        yield line
