"""Read the rows of an uploaded file through the reader process.

The file may be hostile. Therefore only the reader process (see `reader/`) opens it: without Django,
with an empty environment, and with limits on memory, time and files. It ends when this process
ends. A file that exceeds a limit gets an error code. The answers of the process are not trusted
either: lines have a limited length, cells have plain types, and row numbers must increase.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from operator import lt
from typing import Any

from imports.cell_values import Cell, make_cell
from imports.conf import app_settings, get_small_reader_limits
from imports.pipeline.reader.headers import FieldHeaders
from imports.pipeline.reader_process import ReadableFile, start_reader_process
from imports.pipeline.row_block import Row, RowBlock

NO_OPTIONS: Mapping[str, str] = {}
NO_FIELDS: FieldHeaders = []
OPTION_NAMES = ("sheet", "encoding", "delimiter", "second_encoding")

MAX_ANSWER_BYTES = 16 << 20  # A line of the reader process holds at most 1.3 million characters.
PIPE_READ_BYTES = 1 << 17
MAX_POLL_SECONDS = 1
PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
CODE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz_")
MAX_NAME_CHARS = 100  # Limit for a code, a sheet name and an encoding name.
MAX_REPORTED_SHEETS = 100
MAX_REPORTED_HIDDEN_COLUMNS = 1_000
MAX_NOTE_CODES = 20
# The signal that ended the reader process to the error code of the file.
SIGNAL_ERROR_CODES: dict[int, str] = {
    signal.SIGXCPU: "too_slow_to_read",
    signal.SIGSEGV: "unreadable_file",
    signal.SIGBUS: "unreadable_file",
    signal.SIGILL: "unreadable_file",
    signal.SIGFPE: "unreadable_file",
}


@dataclass(frozen=True)
class ReaderLimits:
    """What reading a file may cost, and what a file may hold."""

    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float  # Counts only while this process waits for the reader process.
    inflated_bytes: int
    rows: int
    columns: int
    cell_length: int
    calamine_bytes: int  # Workbooks that inflate to more are streamed; 0 streams all of them.
    file_bytes: int = 0  # What the reader process may write to any file.

    @classmethod
    def from_settings(cls, *, is_small: bool = False) -> ReaderLimits:
        return cls(**get_small_reader_limits() if is_small else app_settings.READER_LIMITS)


class UnreadableFile(Exception):
    """The file cannot be read, and reading it again would fail in the same way."""

    def __init__(self, code: str, params: dict[str, int | list[str]] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.params = params or {}


class ReaderOutOfMemory(UnreadableFile):
    """The reader process ended because it needed more memory than its limit."""

    def __init__(self) -> None:
        super().__init__("too_much_memory")


class ReaderCrashed(Exception):
    """The reader process ended without an answer. The file may not be the cause."""


@dataclass(frozen=True)
class DetectedFormat:
    """How the file is read."""

    format: str
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheets: list[str] = field(default_factory=list)  # The visible sheets.
    second_encoding: str | None = None  # Of the lines that are not text in `encoding`.
    hidden_columns: list[int] = field(default_factory=list)  # Indexes, counted from 0.
    second_reader: bool = False  # The usual parser could not read the workbook, another one could.


@dataclass(frozen=True)
class Chunk:
    """Rows that the reader process has sent, and how far it has read the file."""

    blocks: list[RowBlock]
    fraction: float  # How much of the file is read, from 0 to 1. Never decreases.
    last_row: int  # The highest row number read so far, blank rows included.
    size: int = 0  # Bytes of the answer with these rows.
    # Code of the read summary to the row numbers that it is about; see `read_summary`.
    notes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def row_count(self) -> int:
        return sum(map(len, self.blocks))

    def list_rows(self) -> list[Row]:
        return [row for block in self.blocks for row in block.list_rows()]


@dataclass(frozen=True)
class TextsOfPart:
    """Texts of one part of a workbook.

    is_exact: the part is XML, so each text is known exactly. Otherwise the texts are decoded bytes,
        and letters that do not belong to a text may follow it immediately.
    """

    part_name: str
    is_exact: bool
    texts: list[str]


def do_nothing() -> None:
    pass


@contextmanager
def open_rows(
    file: ReadableFile,
    *,
    after: int = 0,
    limits: ReaderLimits,
    options: Mapping[str, str] = NO_OPTIONS,
    fields: FieldHeaders = NO_FIELDS,
    while_waiting: Callable[[], None] = do_nothing,
) -> Iterator[ReaderClient]:
    """Open a file of rows and yield a client, whose iteration gives the rows after row `after`.

    `options` give the sheet, the encoding or the delimiter that should not be detected. `fields`
    help to detect the sheet that has the rows. `while_waiting` is called every second without an
    answer. A workbook that needs too much memory is read again by a second reader process, which
    streams it.

    The reader process ends when the block is left. It also ends when the thread that entered the
    block ends, so do not pass the client to another thread.

    Raises:
        UnreadableFile: The file cannot be read; also raised by the iteration.
        ReaderCrashed: The reader process crashed; also raised by the iteration.
        Exception: Whatever `while_waiting` raises.
    """
    read_options = {name: options.get(name, "") for name in OPTION_NAMES}
    read_request = {"after": after, "fields": fields, "all_texts": False, **read_options}
    with ExitStack() as processes:

        def start(limits: ReaderLimits) -> ReaderClient:
            request = read_request | {"limits": asdict(limits)}
            process = processes.enter_context(_running_process(file, request))
            return ReaderClient(process, limits, while_waiting)

        try:
            reader = start(limits)
        except ReaderOutOfMemory:
            file.seek(0)
            reader = start(replace(limits, calamine_bytes=0))
        yield reader


@contextmanager
def open_texts(file: ReadableFile, *, limits: ReaderLimits) -> Iterator[Iterator[TextsOfPart]]:
    """Open a workbook and yield an iterator over all of its texts, wherever they are.

    The iterator is empty for other files, because all their texts are in rows.

    Raises:
        UnreadableFile: The file cannot be read, or a part of it cannot; also raised by the
            iteration.
        ReaderCrashed: The reader process crashed; also raised by the iteration.
    """
    request = {"after": 0, "fields": NO_FIELDS, "all_texts": True, "limits": asdict(limits)}
    request |= dict.fromkeys(OPTION_NAMES, "")
    with _running_process(file, request) as process:
        yield _iter_texts(ReaderClient(process, limits, do_nothing))


def _iter_texts(reader: ReaderClient) -> Iterator[TextsOfPart]:
    for chunk in reader:
        for _, cells in chunk.list_rows():
            with _invalid_answers_as_crashes():
                name, kind, *texts = map(str, cells)
            if kind == "xml":
                yield TextsOfPart(name, True, texts)
            else:
                yield TextsOfPart(name, False, [run for text in texts for run in text.split("\n")])


@contextmanager
def _running_process(
    file: ReadableFile, read_request: dict[str, Any]
) -> Iterator[subprocess.Popen[bytes]]:
    process = start_reader_process(file, read_request)
    try:
        yield process
    finally:
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        process.wait()


class ReaderClient:
    """Receives and validates the answers of the reader process."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: ReaderLimits,
        while_waiting: Callable[[], None],
    ) -> None:
        if process.stdout is None:
            raise ValueError("The reader process needs a pipe as its standard output.")
        self.child = process
        self.lines = LineReader(process.stdout.fileno(), limits.wall_seconds, while_waiting)
        self.fraction = 0.0
        self.last_row = 0
        self.size = 0  # Bytes of the last answer.
        with _invalid_answers_as_crashes():
            answer = self._receive()["opened"]
            self.headers = self._parse_headers(answer.pop("headers", []), limits)
            self.detected_format = self._parse_format(**answer)

    def __iter__(self) -> Iterator[Chunk]:
        while True:
            with _invalid_answers_as_crashes():
                answer = self._receive()
                if isinstance(answer, dict):
                    self.last_row = max(self.last_row, int(answer["end"]["last_row"]))
                    break
                chunk = self._parse_chunk(*answer)
            yield chunk
        yield Chunk([], 1.0, self.last_row)

    def _receive(self) -> Any:
        """Return the next answer as parsed JSON.

        Raises:
            UnreadableFile: The answer is an error.
            ReaderCrashed: There is no answer.
        """
        line = self.lines.read_line()
        if line is None:
            raise self._explain_exit()
        self.size = len(line)
        answer = json.loads(line, parse_constant=_reject_constant)
        if isinstance(answer, dict) and "error" in answer:
            raise self._parse_error(**answer["error"])
        return answer

    def _parse_error(self, code: str, params: dict[str, Any]) -> UnreadableFile:
        names = {"sheets": _clean_sheets(params.pop("sheets"))} if "sheets" in params else {}
        are_numbers = {int}.issuperset(map(type, params.values()))
        if not are_numbers or not CODE_CHARACTERS.issuperset(code) or len(code) > MAX_NAME_CHARS:
            raise ValueError
        return UnreadableFile(code, params | names)

    def _parse_format(
        self,
        sheets: Sequence[str] = (),
        hidden_columns: Sequence[int] = (),
        second_reader: bool = False,
        **names: str | None,
    ) -> DetectedFormat:
        """Return the format. Names of sheets come from the file, so they are cut and cleaned."""
        cleaned = {key: name if name is None else _clean_name(name) for key, name in names.items()}
        file_format = cleaned.pop("format")
        if file_format is None:
            raise ValueError
        return DetectedFormat(
            format=file_format,
            **cleaned,
            sheets=_clean_sheets(sheets),
            hidden_columns=[int(index) for index in hidden_columns[:MAX_REPORTED_HIDDEN_COLUMNS]],
            second_reader=bool(second_reader),
        )

    def _parse_headers(self, names: list[str], limits: ReaderLimits) -> list[Cell]:
        """Return the names of the columns, which some formats give beside the rows."""
        if type(names) is not list or not {str}.issuperset(map(type, names)):
            raise ValueError
        if len(names) > limits.columns:
            raise ValueError
        return list(names)

    def _parse_chunk(
        self,
        fraction: float,
        last_row: int,
        numbers: list[int],
        columns: list[list[Any]],
        notes: dict[str, list[int]],
    ) -> Chunk:
        are_lists = {list}.issuperset(map(type, [columns, numbers, *columns]))
        if not are_lists or any(len(cells) != len(numbers) for cells in columns):
            raise ValueError
        types = set(map(type, chain.from_iterable(columns)))
        if list in types:
            columns = [
                [make_cell(*c) if type(c) is list else c for c in cells] for cells in columns
            ]
        is_plain = {int}.issuperset(map(type, numbers)) and types <= PLAIN_TYPES | {list}
        is_rising = all(map(lt, [self.last_row, *numbers], [*numbers, last_row + 1]))
        if not is_plain or not is_rising or not _are_valid_notes(notes, numbers):
            raise ValueError
        self.fraction = max(self.fraction, min(float(fraction), 1.0))
        self.last_row = last_row
        block = RowBlock(numbers, columns)
        return Chunk([block], self.fraction, last_row, self.size, notes)

    def _explain_exit(self) -> Exception:
        """Return the exception for the way in which the reader process ended."""
        try:
            status = self.child.wait(MAX_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            return ReaderCrashed("it closed its output but still runs")
        if status == -signal.SIGABRT:  # Rust aborts when an allocation fails.
            return ReaderOutOfMemory()
        if code := SIGNAL_ERROR_CODES.get(-status):  # A negative exit status is a signal number.
            return UnreadableFile(code)
        return ReaderCrashed(f"exit status {status}")


class LineReader:
    """Reads lines from a pipe, with limits on their length and on the time to wait for them."""

    def __init__(self, pipe: int, seconds: float, while_waiting: Callable[[], None]) -> None:
        self.pipe = pipe
        self.seconds_left = seconds
        self.while_waiting = while_waiting
        self.unread = bytearray()
        self.poll = select.poll()
        self.poll.register(pipe, select.POLLIN)

    def read_line(self) -> bytes | None:
        """Return the next line without its line feed, or None at the end of the pipe.

        Raises:
            ReaderCrashed: The line is longer than MAX_ANSWER_BYTES.
            UnreadableFile: The time to wait is over.
        """
        searched = 0
        while (end := self.unread.find(b"\n", searched)) < 0:
            searched = len(self.unread)
            if searched > MAX_ANSWER_BYTES:
                raise ReaderCrashed("its line is too long")
            self._wait()
            data = os.read(self.pipe, PIPE_READ_BYTES)
            if not data:
                return None
            self.unread += data
        line = bytes(self.unread[:end])
        del self.unread[: end + 1]
        return line

    def _wait(self) -> None:
        while True:
            started = time.monotonic()
            is_ready = self.poll.poll(1_000 * max(0, min(MAX_POLL_SECONDS, self.seconds_left)))
            self.seconds_left -= time.monotonic() - started
            if is_ready:
                return
            if self.seconds_left <= 0:
                raise UnreadableFile("too_slow_to_read")
            self.while_waiting()


@contextmanager
def _invalid_answers_as_crashes() -> Iterator[None]:
    """Raise ReaderCrashed for an answer that does not have the expected form."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ReaderCrashed(f"its answer is invalid ({type(error).__name__})") from None


def _are_valid_notes(notes: Any, numbers: list[int]) -> bool:
    """Return whether the keys of the notes are codes, and the values are among these rows."""
    if type(notes) is not dict or len(notes) > MAX_NOTE_CODES:
        return False
    rows = set(numbers) if notes else set()
    return all(
        CODE_CHARACTERS.issuperset(code)
        and len(code) <= MAX_NAME_CHARS
        and rows.issuperset(noted_rows)
        for code, noted_rows in notes.items()
    )


def _clean_sheets(names: Sequence[str]) -> list[str]:
    return [_clean_name(name) for name in names[:MAX_REPORTED_SHEETS]]


def _clean_name(name: str) -> str:
    return "".join(c for c in name[:MAX_NAME_CHARS] if c.isprintable() or c == "\t")


def _reject_constant(constant: str) -> None:
    """Raise ValueError: NaN and Infinity are not JSON."""
    raise ValueError(constant)
