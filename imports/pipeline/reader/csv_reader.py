"""Rows of a CSV file: detect the encoding, delimiter and quotes, then read record by record."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from encoding_detection import Encodings, decode_line, detect_encodings
from headers import MAX_HEADER_SEARCH_ROWS, FieldHeaders, match_fields
from options import COMMON_DELIMITERS, is_delimiter
from protocol import ReadError, ReadRequest, RowWriter, is_blank

RARE_DELIMITERS = "^~:"
MAX_CSV_LINE_CHARS = 8 << 20  # In one line. Also in one cell, which may span many lines.
CSV_SAMPLE_BYTES = 64 * 1024
MAX_SAMPLE_RECORDS = 50
# Asking for the position in the file takes as long as reading a row.
PROGRESS_INTERVAL_ROWS = 100
# Excel writes this line to name the delimiter.
SEP_LINE = re.compile(r"sep=(.)[\r\n]", re.IGNORECASE)
# A quote inside quotes is doubled. If no quote is doubled and some follow a backslash, the
# backslash is the escape character.
ESCAPED_QUOTE = re.compile(r'[^\\"]\\"(?![,;\t|\r\n])')
DOUBLED_QUOTE = re.compile(r'[^,;\t|\r\n"]""[^,;\t|\r\n"]')


class CsvDialect(NamedTuple):
    """The arguments of `csv.reader`."""

    delimiter: str
    quotechar: str
    escapechar: str | None


def read_csv(file: BufferedReader, writer: RowWriter, request: ReadRequest) -> None:
    """Write the records of a CSV file. The row number is the number of the record.

    Raises:
        ReadError: The encoding is unknown, a quote is not closed, or a row breaks a limit.
    """
    csv.field_size_limit(MAX_CSV_LINE_CHARS)
    if request.delimiter and not is_delimiter(request.delimiter):
        raise ReadError("wrong_delimiter")
    encodings = detect_encodings(file, request.encoding, request.second_encoding)
    sample = _read_sample(file, encodings)
    sep_line = SEP_LINE.match(sample)
    dialect = detect_dialect(sample, request.delimiter, request.fields)
    details = {"encoding": encodings.main, "delimiter": dialect.delimiter}
    if encodings.second:
        details["second_encoding"] = encodings.second
    writer.write_format("csv", **details)
    size = os.fstat(file.fileno()).st_size
    fraction = 0.0
    lines = _LineSource(file, encodings, writer)
    for number, record in enumerate(_iter_records(lines, dialect), start=1):
        if number % PROGRESS_INTERVAL_ROWS == 1:
            fraction = file.tell() / size
        notes = lines.take_row_notes() if encodings.is_mixed else []
        if sep_line and number == 1:
            continue
        writer.write_row(number, [cell or None for cell in record], fraction, notes)


def detect_dialect(sample: str, delimiter: str = "", fields: FieldHeaders = ()) -> CsvDialect:
    """Detect how the file separates and quotes cells.

    sample: the beginning of the file.
    delimiter: "" to take the one of the line `sep=`, or else to detect it.
    """
    if sep_line := SEP_LINE.match(sample):
        delimiter, sample = delimiter or sep_line[1], sample[sep_line.end() :]
    if not is_delimiter(delimiter):  # Also if the line `sep=` names an invalid delimiter.
        delimiter = detect_delimiter(sample, fields)
    quote = _detect_quote(sample, delimiter)
    escapes = ESCAPED_QUOTE.search(sample) and not DOUBLED_QUOTE.search(sample)
    return CsvDialect(delimiter, quote, "\\" if escapes else None)


def detect_delimiter(sample: str, fields: FieldHeaders = ()) -> str:
    """Return the character that splits the sample into the most regular table with known headers.

    A header that names two or more of `fields` decides. The regularity of the table decides between
    delimiters whose headers name the same number of fields, and if no header names any. A rare
    delimiter wins only by its header.
    """
    scores = {
        d: _score_delimiter(sample, d, fields) for d in (*COMMON_DELIMITERS, *RARE_DELIMITERS)
    }
    common = max(COMMON_DELIMITERS, key=scores.__getitem__)
    rare = max(RARE_DELIMITERS, key=scores.__getitem__)
    return rare if scores[rare][0] > scores[common][0] else common


def _score_delimiter(sample: str, delimiter: str, fields: FieldHeaders) -> tuple[int, float]:
    """Return the number of fields in the best header, and the regularity of the table.

    The number is 0 if the header names only one field.
    """
    if delimiter not in sample:
        return 0, 0.0
    records = _parse_sample(sample, delimiter)
    named_count = max(
        (match_fields(record, fields)[0] for record in records[:MAX_HEADER_SEARCH_ROWS]), default=0
    )
    return (named_count if named_count > 1 else 0), _score_regularity(list(map(len, records)))


def _score_regularity(widths: list[int]) -> float:
    """Return the width of the table times the share of records that have this width.

    The width is that of the first record, which is mostly the header: a comma in a header is hardly
    ever a decimal point. If the first record is a title of one cell, the width is the largest one.
    Records may be one cell longer or shorter than the header.
    """
    if not widths:
        return 0.0
    width = widths[0] if widths[0] > 1 else max(widths)
    similar_count = max(widths.count(width), widths.count(width - 1), widths.count(width + 1))
    return (width - 1) * similar_count / len(widths)


def _parse_sample(sample: str, delimiter: str) -> list[list[str]]:
    records = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if not is_blank([cell or None for cell in record]):
                records.append(record)
            if len(records) == MAX_SAMPLE_RECORDS:
                break
    except csv.Error:  # A field is too long. Reading the rows reports it.
        pass
    return records


def _detect_quote(sample: str, delimiter: str) -> str:
    """Return the single quote if it surrounds all cells of all lines, else the double quote."""
    lines = [line for line in sample.splitlines()[:MAX_SAMPLE_RECORDS] if line.strip()]
    quoted = [line[0] == line[-1] == "'" and f"'{delimiter}'" in line for line in lines]
    return "'" if quoted and all(quoted) else '"'


def _read_sample(file: BufferedReader, encodings: Encodings) -> str:
    """Return the beginning of the file up to the end of a line."""
    file.seek(0)
    errors = "replace" if encodings.is_mixed else "strict"
    decoder = codecs.getincrementaldecoder(encodings.main)(errors)
    raw = file.read(CSV_SAMPLE_BYTES)
    is_whole = len(raw) < CSV_SAMPLE_BYTES
    text = decoder.decode(raw, final=is_whole).removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)
    return text if is_whole or len(lines) < 2 else "".join(lines[:-1])


def _iter_records(lines: _LineSource, dialect: CsvDialect) -> Iterator[list[str]]:
    row = 0
    try:
        for record in csv.reader(iter(lines), **dialect._asdict()):
            lines.record_lines = 0
            row += 1
            yield record
    except csv.Error as error:
        if "field larger" in str(error):
            raise lines.make_long_record_error() from None
        raise ReadError("damaged_file", row=row + 1) from None


class _LineSource:
    """The lines of a text, as an iterable for `csv.reader`.

    record_lines: how many lines of the current record are read. If `csv.reader` needs another line
        when the file ends, a quote is open.
    row_notes: codes of the read summary for the current record.
    """

    def __init__(self, file: BufferedReader, encodings: Encodings, writer: RowWriter) -> None:
        file.seek(0)
        self.encodings = encodings
        self.writer = writer
        # In a file of two encodings each line is decoded separately; Latin-1 keeps its bytes. The
        # wrapper closes the file when it is deleted, which does not matter: the process ends first.
        encoding = "latin-1" if encodings.is_mixed else encodings.main
        self.text = io.TextIOWrapper(file, encoding=encoding, newline="")
        self.record_lines = 0
        self.row_notes: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        readline = self._read_decoded_line if self.encodings.is_mixed else self.text.readline
        line = readline(MAX_CSV_LINE_CHARS).removeprefix("\ufeff")
        while line:
            self.record_lines += 1
            if len(line) == MAX_CSV_LINE_CHARS:
                raise self.make_long_record_error()
            yield line
            line = readline(MAX_CSV_LINE_CHARS)
        if self.record_lines:
            # The rest of the file, from the open quote on, would be one cell.
            raise ReadError("unclosed_quote", row=self.writer.last_row + 1)

    def _read_decoded_line(self, limit: int) -> str:
        text, code = decode_line(self.text.readline(limit).encode("latin-1"), self.encodings)
        if code:
            self.row_notes.add(code)
        return text

    def take_row_notes(self) -> list[str]:
        """Return the codes for the last record, and reset them."""
        row_notes, self.row_notes = sorted(self.row_notes), set()
        return row_notes

    def make_long_record_error(self) -> ReadError:
        """Return the error for a record that is too long.

        If it spans many lines, a quote is not closed.
        """
        row = self.writer.last_row + 1
        if self.record_lines > 1:
            return ReadError("unclosed_quote", row=row)
        return ReadError("row_too_long", row=row, limit=MAX_CSV_LINE_CHARS)
