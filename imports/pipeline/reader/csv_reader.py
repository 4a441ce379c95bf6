"""Rows of a text file: its encoding, its delimiter and quotes, then record after record."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from encoding_detection import Encodings, decode_line, find_encodings
from headers import MAX_HEADER_SEARCH_ROWS, FieldHeaders, named_fields
from options import is_delimiter
from protocol import Answers, Order, Refused, is_blank

DELIMITERS = ",;\t|"
UNUSUAL_DELIMITERS = "^~:"
MAX_LINE_CHARS = 8 << 20  # Of one line, and of one cell, which may span many lines.
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
    csv.field_size_limit(MAX_LINE_CHARS)
    if order.delimiter and not is_delimiter(order.delimiter):
        raise Refused("wrong_delimiter")
    encodings = find_encodings(file, order.encoding, order.second_encoding)
    sample = _sample(file, encodings)
    said = SAID.match(sample)
    dialect = find_dialect(sample, order.delimiter, order.fields)
    second = {"second_encoding": encodings.second} if encodings.second else {}
    answers.opened("csv", encoding=encodings.main, delimiter=dialect.delimiter, **second)
    size = os.fstat(file.fileno()).st_size
    lines = _Lines(file, encodings, answers)
    for number, record in enumerate(_records(lines, dialect), start=1):
        if number % ROWS_BETWEEN_LOOKS == 1:
            fraction = file.tell() / size
        notes = lines.take_codes() if encodings.is_mixed else ()
        if said and number == 1:
            continue
        answers.row(number, [cell or None for cell in record], fraction, notes)


def find_dialect(sample: str, delimiter: str = "", fields: FieldHeaders = ()) -> Dialect:
    if said := SAID.match(sample):
        delimiter, sample = delimiter or said[1], sample[said.end() :]
    if not is_delimiter(delimiter):  # Nobody said one, or the file one that cannot be.
        delimiter = find_delimiter(sample, fields)
    quote = _find_quote(sample, delimiter)
    escapes = ESCAPED_QUOTE.search(sample) and not DOUBLED_QUOTE.search(sample)
    return Dialect(delimiter, quote, "\\" if escapes else None)


def find_delimiter(sample: str, fields: FieldHeaders = ()) -> str:
    """The character that cuts the sample into the most consistent table with known headers.

    A header that names two or more of `fields` decides; between delimiters whose headers name
    equally many, and where none does, the regular shape of the table decides. An unusual delimiter
    is taken only for its header.
    """
    scores = {d: _score(sample, d, fields) for d in (*DELIMITERS, *UNUSUAL_DELIMITERS)}
    usual = max(DELIMITERS, key=scores.__getitem__)
    unusual = max(UNUSUAL_DELIMITERS, key=scores.__getitem__)
    return unusual if scores[unusual][0] > scores[usual][0] else usual


def _score(sample: str, delimiter: str, fields: FieldHeaders) -> tuple[int, float]:
    """How many fields the best header names, if two or more; and how regular the table is."""
    if delimiter not in sample:
        return 0, 0.0
    records = _sample_records(sample, delimiter)
    named = max(
        (named_fields(record, fields)[0] for record in records[:MAX_HEADER_SEARCH_ROWS]), default=0
    )
    return (named if named > 1 else 0), _regularity(list(map(len, records)))


def _regularity(widths: list[int]) -> float:
    """How many cells the records have, times the share of records that have as many.

    Counted is the width of the first record, which is mostly the header: there a comma is hardly
    ever a decimal point. Titles above the header have one cell; then it is the largest width. Rows
    may all be one cell longer or shorter than the header.
    """
    if not widths:
        return 0.0
    width = widths[0] if widths[0] > 1 else max(widths)
    alike = max(widths.count(width), widths.count(width - 1), widths.count(width + 1))
    return (width - 1) * alike / len(widths)


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


def _sample(file: BufferedReader, encodings: Encodings) -> str:
    """The beginning of the file, without a last line that is cut short."""
    file.seek(0)
    errors = "replace" if encodings.is_mixed else "strict"
    decoder = codecs.getincrementaldecoder(encodings.main)(errors)
    raw = file.read(SAMPLE_CHARACTERS)
    is_whole = len(raw) < SAMPLE_CHARACTERS
    text = decoder.decode(raw, final=is_whole).removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)
    return text if is_whole or len(lines) < 2 else "".join(lines[:-1])


def _records(lines: _Lines, dialect: Dialect) -> Iterator[list[str]]:
    row = 0
    try:
        for record in csv.reader(iter(lines), **dialect._asdict()):
            lines.in_record = 0
            row += 1
            yield record
    except csv.Error as error:
        if "field larger" in str(error):
            raise lines.refuse_long_record() from None
        raise Refused("damaged_file", row=row + 1) from None


class _Lines:
    """The lines of a text, for the reader of records.

    If it asks for one more line within a record, a quotation mark is open.
    """

    def __init__(self, file: BufferedReader, encodings: Encodings, answers: Answers) -> None:
        file.seek(0)
        self.encodings = encodings
        self.answers = answers
        # Bytes one by one where each line is decoded by itself. Nobody detaches the file in the
        # end: the process ends first.
        encoding = "latin-1" if encodings.is_mixed else encodings.main
        self.text = io.TextIOWrapper(file, encoding=encoding, newline="")
        self.in_record = 0  # Lines of the record that is being read.
        self.codes: set[str] = set()  # What is to be noted of it.

    def __iter__(self) -> Iterator[str]:
        readline = self._decoded if self.encodings.is_mixed else self.text.readline
        line = readline(MAX_LINE_CHARS).removeprefix("\ufeff")
        while line:
            self.in_record += 1
            if len(line) == MAX_LINE_CHARS:
                raise self.refuse_long_record()
            yield line
            line = readline(MAX_LINE_CHARS)
        if self.in_record:  # What follows the quotation mark would all be one cell.
            raise Refused("unclosed_quote", row=self.answers.last_row + 1)

    def _decoded(self, limit: int) -> str:
        text, code = decode_line(self.text.readline(limit).encode("latin-1"), self.encodings)
        if code:
            self.codes.add(code)
        return text

    def take_codes(self) -> list[str]:
        """What is to be noted of the record that was read last."""
        codes, self.codes = sorted(self.codes), set()
        return codes

    def refuse_long_record(self) -> Refused:
        """Why a record is too long: it spans many lines if its quotation mark is never closed."""
        row = self.answers.last_row + 1
        if self.in_record > 1:
            return Refused("unclosed_quote", row=row)
        return Refused("row_too_long", row=row, limit=MAX_LINE_CHARS)
