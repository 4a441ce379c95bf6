"""Rows of a text file: its encoding, its delimiter and quotes, then record after record."""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from answers import CHARACTERS_A_ROW, Answers, Order, Refused, is_blank
from options import is_delimiter
from text_encodings import find_encoding

DELIMITERS = ",;\t|"
SAMPLE_CHARACTERS = 64 * 1024
SAMPLE_RECORDS = 50
ROWS_BETWEEN_LOOKS = 100  # To ask at each row how far we are would cost as much as the row.
SAID = re.compile(r"sep=(.)[\r\n]", re.IGNORECASE)  # Excel's own way of naming the delimiter.
# A quote in quotes is doubled; where none is, and some stand behind a backslash, they escape.
ESCAPED_QUOTE = re.compile(r'[^\\"]\\"(?![,;\t|\r\n])')

DOUBLED_QUOTE = re.compile(r'[^,;\t|\r\n"]""[^,;\t|\r\n"]')


class Dialect(NamedTuple):
    delimiter: str
    quotechar: str
    escapechar: str | None


def read_text(file: BufferedReader, answers: Answers, order: Order) -> None:
    csv.field_size_limit(CHARACTERS_A_ROW)
    if order.delimiter and not is_delimiter(order.delimiter):
        raise Refused("wrong_delimiter")
    encoding = find_encoding(file, order.encoding)
    sample = _sample(file, encoding)
    said = SAID.match(sample)
    dialect = find_dialect(sample, order.delimiter)
    answers.opened("csv", encoding=encoding, delimiter=dialect.delimiter)
    size = os.fstat(file.fileno()).st_size
    for number, record in enumerate(_records(file, encoding, dialect, answers), start=1):
        if number % ROWS_BETWEEN_LOOKS == 1:
            fraction = file.tell() / size
        if said and number == 1:
            continue
        answers.row(number, [cell or None for cell in record], fraction)


def find_dialect(sample: str, delimiter: str = "") -> Dialect:
    if said := SAID.match(sample):
        delimiter, sample = delimiter or said[1], sample[said.end() :]
    if not is_delimiter(delimiter):  # Nobody said one, or the file one that cannot be.
        delimiter = find_delimiter(sample)
    quote = _find_quote(sample, delimiter)
    escapes = ESCAPED_QUOTE.search(sample) and not DOUBLED_QUOTE.search(sample)
    return Dialect(delimiter, quote, "\\" if escapes else None)


def find_delimiter(sample: str) -> str:
    """The character that cuts the most records into as many cells as the first one.

    The first record is mostly the header, where a comma is hardly ever a decimal point.
    """
    return max(DELIMITERS, key=lambda delimiter: _score(sample, delimiter))


def _score(sample: str, delimiter: str) -> float:
    widths = [len(record) for record in _sample_records(sample, delimiter)]
    if not widths:
        return 0.0
    # Titles above the header have fewer cells: the first of the widest is what counts.
    width = widths[0] if widths[0] > 1 else max(widths)
    return (width - 1) * widths.count(width) / len(widths)


def _sample_records(sample: str, delimiter: str) -> list[list[str]]:
    records = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if not is_blank([cell or None for cell in record]):
                records.append(record)
            if len(records) == SAMPLE_RECORDS:
                break
    except csv.Error:  # A field over the limit; where it matters it is met again.
        pass
    return records


def _find_quote(sample: str, delimiter: str) -> str:
    """Single quotes where they stand around every cell of every line."""
    lines = [line for line in sample.splitlines()[:SAMPLE_RECORDS] if line.strip()]
    quoted = [line[0] == line[-1] == "'" and f"'{delimiter}'" in line for line in lines]
    return "'" if quoted and all(quoted) else '"'


def _sample(file: BufferedReader, encoding: str) -> str:
    """The beginning of the file, without a last line that is cut short."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    raw = file.read(SAMPLE_CHARACTERS)
    is_whole = len(raw) < SAMPLE_CHARACTERS
    text = decoder.decode(raw, final=is_whole).removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)
    return text if is_whole or len(lines) < 2 else "".join(lines[:-1])


def _records(
    file: BufferedReader, encoding: str, dialect: Dialect, answers: Answers
) -> Iterator[list[str]]:
    file.seek(0)
    # Detached at the end by nobody: the process ends first.
    lines = _Lines(io.TextIOWrapper(file, encoding=encoding, newline=""), answers)
    try:
        for record in csv.reader(iter(lines), **dialect._asdict()):
            lines.within_a_record = False
            yield record
    except csv.Error as error:
        row = answers.last_row + 1
        if "field larger" in str(error):
            raise Refused("row_too_long", row=row, limit=CHARACTERS_A_ROW) from None
        raise Refused("damaged_file", row=row) from None


class _Lines:
    """The lines of a text; whoever asks for one more within a record finds no end of quotes."""

    def __init__(self, text: io.TextIOWrapper, answers: Answers) -> None:
        self.text = text
        self.answers = answers
        self.within_a_record = False

    def __iter__(self) -> Iterator[str]:
        line = self.text.readline(CHARACTERS_A_ROW).removeprefix("\ufeff")
        while line:
            if len(line) == CHARACTERS_A_ROW:
                row = self.answers.last_row + 1
                raise Refused("row_too_long", row=row, limit=CHARACTERS_A_ROW)
            self.within_a_record = True
            yield line
            line = self.text.readline(CHARACTERS_A_ROW)
        if self.within_a_record:  # What follows the quotation mark would all be one cell.
            raise Refused("unclosed_quote", row=self.answers.last_row + 1)
