"""An uploaded file to rows of cells, read by a child process that may die of it.

The file is hostile until proven otherwise: only the child (see `reader/`) opens it, without
Django, with an empty environment, limits on memory, time and files, and dead as soon as we
are. Whatever the file does to it becomes a code, within seconds. What the child says is not
trusted either: lines of bounded length, plain cells, rising row numbers.
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
from typing import Any, BinaryIO

from django.conf import settings

from imports.cell_values import Cell, make_cell
from imports.pipeline.reader.headers import FieldHeaders
from imports.pipeline.reader_process import start_reader_process

NO_OPTIONS: Mapping[str, str] = {}
OPTIONS = ("sheet", "encoding", "delimiter", "second_encoding")
Row = tuple[int, list[Cell]]  # The spreadsheet's own row number, counted from 1, and its cells.

LONGEST_LINE_BYTES = 16 << 20  # A line of the child holds at most 1.3 million characters.
PIECE_BYTES = 1 << 17
PATIENCE_SECONDS = 1
PLAIN = frozenset({str, int, float, bool, type(None)})
NAME = frozenset("abcdefghijklmnopqrstuvwxyz_")  # Of a code.
LONGEST_NAME = 100
MOST_SHEETS = 100
MAX_HIDDEN_COLUMNS = 1_000
MAX_NOTE_CODES = 20
# By which signal the child ended, and what that says about the file.
CODES_OF_SIGNALS = {
    signal.SIGXCPU: "too_slow_to_read",
    signal.SIGSEGV: "unreadable_file",
    signal.SIGBUS: "unreadable_file",
    signal.SIGILL: "unreadable_file",
    signal.SIGFPE: "unreadable_file",
}


@dataclass(frozen=True)
class ReaderLimits:
    """What a file may cost and hold."""

    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float  # Counted only while we wait for the child, not while it waits for us.
    inflated_bytes: int
    rows: int
    columns: int
    cell_length: int
    calamine_bytes: int  # Workbooks that inflate to more than this are streamed: all of them at 0.
    file_bytes: int = 0  # What the child may write to any file.

    @classmethod
    def from_settings(cls, *, is_small: bool = False) -> ReaderLimits:
        return cls(**settings.IMPORT_SMALL_READER if is_small else settings.IMPORT_READER)


class UnreadableFile(Exception):
    """The file is to blame, and would be again."""

    def __init__(self, code: str, params: dict[str, int | list[str]] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.params = params or {}


class ReaderOutOfMemory(UnreadableFile):
    """The child wanted more memory than it may take, and was ended for it."""

    def __init__(self) -> None:
        super().__init__("too_much_memory")


class ReaderCrashed(Exception):
    """The child ended without a word, maybe through no fault of the file."""


@dataclass(frozen=True)
class DetectedFormat:
    format: str
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheets: list[str] = field(default_factory=list)  # The visible ones.
    second_encoding: str | None = None  # Of the lines that are not text in `encoding`.
    hidden_columns: list[int] = field(default_factory=list)  # By index, 0 is the first.
    second_reader: bool = False  # The usual parser could not read the workbook, another one could.


@dataclass(frozen=True)
class Chunk:
    rows: list[Row]
    fraction: float  # How much of the file is read, 0 to 1; never falls.
    last_row: int  # The highest row number read so far, blank rows included.
    size: int = 0  # Bytes of the answer it came in.
    # Code to the numbers of the rows it is said of; see `read_summary`.
    notes: Mapping[str, Sequence[int]] = field(default_factory=dict)


def do_nothing() -> None:
    pass


@contextmanager
def open_rows(
    file: BinaryIO,
    *,
    after: int = 0,
    limits: ReaderLimits,
    options: Mapping[str, str] = NO_OPTIONS,
    fields: FieldHeaders = (),
    while_waiting: Callable[[], None] = do_nothing,
) -> Iterator[ReaderClient]:
    """Open a file of rows; iterate what this yields for its chunks, from row `after` + 1 on.

    What cannot be held in memory is streamed by a second child. Leave the block by whatever
    way, and the child is gone. Stay in the thread that entered it: the child dies with that
    thread. `options` name the sheet, encoding or delimiter where they are not to be found out,
    `fields` tell the sheet with the rows by its header. `while_waiting` is called every second
    without news.
    """
    how = {name: options.get(name, "") for name in OPTIONS}
    read_request = {"after": after, "fields": fields, **how}
    with ExitStack() as children:

        def begin(limits: ReaderLimits) -> ReaderClient:
            child = children.enter_context(_child(file, read_request | {"limits": asdict(limits)}))
            return ReaderClient(child, limits, while_waiting)

        try:
            reader = begin(limits)
        except ReaderOutOfMemory:
            file.seek(0)
            reader = begin(replace(limits, calamine_bytes=0))
        yield reader


@contextmanager
def _child(file: BinaryIO, read_request: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    child = start_reader_process(file, read_request)
    try:
        yield child
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


class ReaderClient:
    """The child's answers, judged."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        limits: ReaderLimits,
        while_waiting: Callable[[], None],
    ) -> None:
        self.child = child
        self.lines = LineReader(child.stdout.fileno(), limits.wall_seconds, while_waiting)
        self.fraction = 0.0
        self.last_row = 0
        self.size = 0  # Bytes of the last answer.
        with _bad_answers_mean_death():
            how = self._answer()["opened"]
            self.headers = self._headers(how.pop("headers", []), limits)
            self.opened = self._opened(**how)

    def __iter__(self) -> Iterator[Chunk]:
        while True:
            with _bad_answers_mean_death():
                answer = self._answer()
                if isinstance(answer, dict):
                    self.last_row = max(self.last_row, int(answer["end"]["last_row"]))
                    break
                chunk = self._chunk(*answer)
            yield chunk
        yield Chunk([], 1.0, self.last_row)

    def _answer(self) -> Any:
        line = self.lines.next()
        if line is None:
            raise self._verdict()
        self.size = len(line)
        answer = json.loads(line, parse_constant=_refuse)
        if isinstance(answer, dict) and "error" in answer:
            raise self._refusal(**answer["error"])
        return answer

    def _refusal(self, code: str, params: dict[str, Any]) -> UnreadableFile:
        names = {"sheets": _sheets(params.pop("sheets"))} if "sheets" in params else {}
        numbers = {int}.issuperset(map(type, params.values()))
        if not numbers or not NAME.issuperset(code) or len(code) > LONGEST_NAME:
            raise ValueError
        return UnreadableFile(code, params | names)

    def _opened(
        self,
        sheets: Sequence[str] = (),
        hidden_columns: Sequence[int] = (),
        second_reader: bool = False,
        **how: str | None,
    ) -> DetectedFormat:
        """What was opened; names of sheets are the file's, so they are cut and cleaned again."""
        known = {key: value if value is None else _clean(value) for key, value in how.items()}
        return DetectedFormat(
            **known,
            sheets=_sheets(sheets),
            hidden_columns=[int(index) for index in hidden_columns[:MAX_HIDDEN_COLUMNS]],
            second_reader=bool(second_reader),
        )

    def _headers(self, names: list[str], limits: ReaderLimits) -> list[Cell]:
        """The names of the columns, where the format has them beside the rows."""
        if type(names) is not list or not {str}.issuperset(map(type, names)):
            raise ValueError
        if len(names) > limits.columns:
            raise ValueError
        return names

    def _chunk(
        self,
        fraction: float,
        last_row: int,
        numbers: list[int],
        rows: list[list[Any]],
        notes: dict[str, list[int]],
    ) -> Chunk:
        kinds = set(map(type, chain.from_iterable(rows)))
        if list in kinds:
            rows = [[make_cell(*c) if type(c) is list else c for c in row] for row in rows]
        plain = {int}.issuperset(map(type, numbers)) and kinds <= PLAIN | {list}
        rising = all(map(lt, [self.last_row, *numbers], [*numbers, last_row + 1]))
        if not plain or not rising or not _are_notes(notes, numbers):
            raise ValueError
        self.fraction = max(self.fraction, min(float(fraction), 1.0))
        self.last_row = last_row
        together = list(zip(numbers, rows, strict=True))
        return Chunk(together, self.fraction, last_row, self.size, notes)

    def _verdict(self) -> Exception:
        """What the way the child ended says about the file."""
        try:
            status = self.child.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return ReaderCrashed("it closed its output and lives on")
        if status == -signal.SIGABRT:  # How Rust answers when an allocation fails.
            return ReaderOutOfMemory()
        if code := CODES_OF_SIGNALS.get(-status):
            return UnreadableFile(code)
        return ReaderCrashed(f"exit status {status}")


class LineReader:
    """Lines from a pipe, with a limit on their length and on the time we wait for them."""

    def __init__(self, pipe: int, seconds: float, while_waiting: Callable[[], None]) -> None:
        self.pipe = pipe
        self.seconds_left = seconds
        self.while_waiting = while_waiting
        self.unread = bytearray()
        self.poll = select.poll()
        self.poll.register(pipe, select.POLLIN)

    def next(self) -> bytes | None:
        """The next line, or None where there are no more."""
        searched = 0
        while (end := self.unread.find(b"\n", searched)) < 0:
            searched = len(self.unread)
            if searched > LONGEST_LINE_BYTES:
                raise ReaderCrashed("its line has no end")
            self._wait()
            piece = os.read(self.pipe, PIECE_BYTES)
            if not piece:
                return None
            self.unread += piece
        line = bytes(self.unread[:end])
        del self.unread[: end + 1]
        return line

    def _wait(self) -> None:
        while True:
            began = time.monotonic()
            ready = self.poll.poll(1_000 * max(0, min(PATIENCE_SECONDS, self.seconds_left)))
            self.seconds_left -= time.monotonic() - began
            if ready:
                return
            if self.seconds_left <= 0:
                raise UnreadableFile("too_slow_to_read")
            self.while_waiting()


@contextmanager
def _bad_answers_mean_death() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ReaderCrashed(f"it answered nonsense ({type(error).__name__})") from None


def _are_notes(notes: Any, numbers: list[int]) -> bool:
    """Whether each code is a code, and each row one of these."""
    if type(notes) is not dict or len(notes) > MAX_NOTE_CODES:
        return False
    rows = set(numbers) if notes else set()
    return all(
        NAME.issuperset(code) and len(code) <= LONGEST_NAME and rows.issuperset(said)
        for code, said in notes.items()
    )


def _sheets(names: Sequence[str]) -> list[str]:
    return [_clean(name) for name in names[:MOST_SHEETS]]


def _clean(name: str) -> str:
    return "".join(c for c in name[:LONGEST_NAME] if c.isprintable() or c == "\t")


def _refuse(constant: str) -> None:
    raise ValueError(constant)
