"""The reader process: its limits, how it ends, and how its messages are checked."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from imports.pipeline import reader_process
from imports.pipeline.reader_client import ReaderCrashed, UnreadableFile, open_rows
from tests.spreadsheets import (
    MEGABYTE,
    READER_LIMITS,
    STREAMING_LIMITS,
    expect_unreadable,
    for_both_parsers,
    make_csv_with_blank_lines,
    make_row_xml,
    make_sheet_xml,
    make_text_cell_xml,
    make_workbook_from_xml,
    make_workbook_parts,
    read_file,
    zip_parts,
)  # fmt: skip

ROOT = Path(__file__).parent.parent
LONG_CSV = make_csv_with_blank_lines(300_000)


@pytest.fixture(autouse=True)
def _check_for_leaked_resources():
    """Check that each test leaves no child process and no open descriptor, and is fast."""
    process = psutil.Process()
    started_at = time.monotonic()
    before = process.children(), process.num_fds()
    yield
    assert (process.children(), process.num_fds()) == before
    assert time.monotonic() - started_at < 20


# --- Limits of the reader process --------------------------------------------


PADDING = "".join(f"{'x' * 900}{os.urandom(9).hex()}" for _ in range(80_000))


@for_both_parsers
@pytest.mark.parametrize(
    "content",
    [
        make_workbook_from_xml(
            make_row_xml(1, '<c t="s"><v>0</v></c>'), strings=f"<si><t>{PADDING}</t></si>"
        ),
        make_workbook_from_xml(before=f"<!--{PADDING}-->"),
        make_workbook_from_xml(before=f'<sheetPr a="{PADDING}"/>'),
    ],
    ids=["a string", "a comment", "an attribute"],
)
def test_exceeding_the_memory_limit_makes_the_file_unreadable(limits, content):
    assert expect_unreadable(content, replace(limits, memory_bytes=80 * MEGABYTE)) == (
        "too_much_memory",
        {},
    )


def test_exceeding_the_cpu_limit_makes_the_file_unreadable():
    content = make_workbook_from_xml(
        *[make_row_xml(n, make_text_cell_xml(f"A{n}", f"{n}")) for n in range(1, 150_000)]
    )

    assert expect_unreadable(content, replace(STREAMING_LIMITS, cpu_seconds=1)) == (
        "too_slow_to_read",
        {},
    )


def test_exceeding_the_wall_time_limit_makes_the_file_unreadable():
    assert expect_unreadable(
        make_csv_with_blank_lines(10), replace(READER_LIMITS, wall_seconds=0)
    ) == (
        "too_slow_to_read",
        {},
    )


def test_time_between_two_chunks_does_not_count():
    with open_rows(
        io.BytesIO(make_csv_with_blank_lines(200_000)),
        limits=replace(READER_LIMITS, wall_seconds=3),
    ) as reader:
        chunks = iter(reader)
        next(chunks)
        time.sleep(3.5)
        assert sum(chunk.row_count for chunk in chunks) == 199_500


@pytest.mark.skipif(sys.platform != "linux", reason="Needs /proc.")
def test_cpu_limit_of_a_workbook_follows_its_decompressed_size():
    content = make_workbook_from_xml(
        *[make_row_xml(n, make_text_cell_xml(f"A{n}", "x" * 60)) for n in range(1, 60_000)]
    )
    assert len(content) < MEGABYTE
    with open_rows(io.BytesIO(content), limits=READER_LIMITS) as reader:
        assert psutil.Process(reader.child.pid).rlimit(psutil.RLIMIT_CPU) == (20, 21)


@pytest.mark.skipif(sys.platform != "linux", reason="Needs /proc.")
def test_reader_process_is_sandboxed():
    with open_rows(io.BytesIO(make_csv_with_blank_lines(200_000)), limits=READER_LIMITS) as reader:
        child = psutil.Process(reader.child.pid)
        granted = {name: child.rlimit(getattr(psutil, f"RLIMIT_{name}")) for name in
                   ("AS", "CPU", "FSIZE", "NOFILE", "CORE")}  # fmt: skip
        loaded = {Path(region.path).name for region in child.memory_maps()}

        assert granted.pop("AS") == (512 * MEGABYTE,) * 2
        soft, hard = granted.pop("CPU")
        assert (soft, hard) == (18, 21)  # 6 s, and 4 s for each of its 3 MB.
        assert granted == {"FSIZE": (0, 0), "NOFILE": (32, 32), "CORE": (0, 0)}
        assert Path(f"/proc/{child.pid}/environ").read_bytes() == b""
        assert Path(f"/proc/{child.pid}/oom_score_adj").read_text() == "1000\n"
        assert os.getsid(child.pid) == child.pid
        assert child.cmdline()[1:3] == ["-I", "-S"]  # No code of installed packages runs at start.
        assert child.num_fds() <= 4  # Standard input, output and error, and the file.
        assert not [name for name in loaded if "psycopg" in name or "django" in name]


@pytest.mark.skipif(sys.platform != "linux", reason="Needs /proc.")
def test_calamine_may_use_only_a_part_of_the_memory():
    rows = [make_row_xml(n, make_text_cell_xml(f"A{n}", "x" * 400)) for n in range(2, 20_000)]
    # calamine fails on a duration of this length.
    overlong = make_row_xml(1, '<c r="A1" s="0"><v>1e15</v></c>')
    unreadable_by_calamine = make_workbook_parts(
        make_sheet_xml(overlong, *rows), formats=["[h]:mm:ss"]
    )

    for content, limits, part in (
        (make_workbook_from_xml(*rows), READER_LIMITS, 0.45),
        (make_workbook_from_xml(*rows), STREAMING_LIMITS, 1),
        (zip_parts(unreadable_by_calamine), READER_LIMITS, 1),
    ):
        with open_rows(io.BytesIO(content), limits=limits) as reader:
            granted = psutil.Process(reader.child.pid).rlimit(psutil.RLIMIT_AS)
            assert granted == (int(512 * MEGABYTE * part), 512 * MEGABYTE)


# --- End of the reader process -----------------------------------------------


def read_and_signal(number: int) -> None:
    with open_rows(io.BytesIO(LONG_CSV), limits=READER_LIMITS) as reader:
        for _chunk in reader:
            os.kill(reader.child.pid, number)


def test_killed_reader_counts_as_crashed():
    with pytest.raises(ReaderCrashed):
        read_and_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGXCPU, "too_slow_to_read"), (signal.SIGSEGV, "unreadable_file")]
)
def test_signal_caused_by_the_file_makes_it_unreadable(number, code):
    with pytest.raises(UnreadableFile) as error:
        read_and_signal(number)

    assert error.value.code == code


def test_leaving_the_block_early_kills_the_reader_process():
    with open_rows(io.BytesIO(LONG_CSV), limits=READER_LIMITS) as reader:
        next(iter(reader))
        pid = reader.child.pid

    assert not psutil.pid_exists(pid)


def read_and_stop(while_waiting) -> None:
    with open_rows(
        io.BytesIO(LONG_CSV), limits=READER_LIMITS, while_waiting=while_waiting
    ) as reader:
        os.kill(reader.child.pid, signal.SIGSTOP)
        list(reader)


def test_callback_can_stop_a_waiting_reader():
    class Cancelled(Exception):
        pass

    def cancel():
        raise Cancelled

    with pytest.raises(Cancelled):
        read_and_stop(while_waiting=cancel)


PARENT = """
import io, sys
from dataclasses import replace
from imports.pipeline.reader_client import open_rows
from tests.spreadsheets import READER_LIMITS, make_csv_with_blank_lines
with open_rows(io.BytesIO(make_csv_with_blank_lines(300_000)), limits=READER_LIMITS) as reader:
    print(reader.child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux notifies the child.")
def test_reader_process_is_killed_when_its_parent_is_killed():
    command, pipe = [sys.executable, "-c", PARENT], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as parent:
        pid = int(parent.stdout.readline())
        # The process does not inherit standard input.
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        parent.kill()

    assert wait_until_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux notifies the child.")
def test_reader_process_is_killed_when_its_thread_ends():
    with ExitStack() as stack:
        opened = []
        rows = open_rows(io.BytesIO(LONG_CSV), limits=READER_LIMITS)
        thread = threading.Thread(target=lambda: opened.append(stack.enter_context(rows)))
        thread.start()
        thread.join()

        assert opened[0].child.wait(30) == -signal.SIGKILL


def wait_until_gone(pid: int) -> bool:
    for _ in range(50):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


# --- Messages of the reader process ------------------------------------------


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Traceback",
        '{"opened": {"format": "csv", "colour": 1}}',
        "[0.1, 2, [1, 2], [[1, 2]], {}]",
        "OPENED\n[0.1, 2, [1, 2], [[1, 2]]]",
        'OPENED\n[0.1, 2, [1, 2], [[1, {"a": 1}]], {}]',
        "OPENED\n[0.1, 2, [2, 1], [[1, 2]], {}]",
        "OPENED\n[0.1, 2, [1, 2], [[1]], {}]",
        "OPENED\n[0.1, 2, [1, 2], [[1, 2], [3, 4, 5]], {}]",
        'OPENED\n[0.1, 2, [1, 2], ["ab"], {}]',
        'OPENED\n[0.1, 2, [1, 2], {"ab": 1}, {}]',
        "OPENED\n[0.1, 2, [1, 2], [[1, NaN]], {}]",
        "OPENED\n[0.1, 2, [1.5], [[1]], {}]",
        '{"error": {"code": "no_such_sheet", "params": {"sheets": [1]}}}',
        '{"error": {"code": "damaged_file", "params": {"row": "Ama"}}}',
        "OPENED\n" + "[" * 100_000,
        "OPENED\n" + "1" * 100_000,
    ],
)
def test_invalid_messages_count_as_a_crash(monkeypatch, tmp_path, output):
    replace_reader_program(
        monkeypatch, tmp_path, f"print({output!r}.replace('OPENED', OPENED))\nprint(END)"
    )

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_sheet_names_in_errors_are_cut_and_cleaned(monkeypatch, tmp_path):
    error = {"code": "no_such_sheet", "params": {"sheets": ["a\x00\ud800b" + "c" * 999] * 999}}
    replace_reader_program(monkeypatch, tmp_path, f"print({json.dumps({'error': error})!r})")

    with pytest.raises(UnreadableFile) as error:
        read_file(b"a")

    assert error.value.params == {"sheets": ["ab" + "c" * 96] * 100}


def test_file_without_an_end_message_counts_as_a_crash(monkeypatch, tmp_path):
    rows = '[0.5, 2, [1, 2], [["a", "b"]], {}]'
    replace_reader_program(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})\nprint(END)")
    assert [chunk.row_count for chunk in read_file(b"a")[2]] == [2, 0]

    replace_reader_program(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})")
    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_progress_never_falls_and_never_exceeds_one(monkeypatch, tmp_path):
    output = '[0.9, 1, [1], [["a"]], {}]\n[0.2, 2, [2], [["b"]], {}]\n[7, 3, [3], [["c"]], {}]'
    replace_reader_program(monkeypatch, tmp_path, f"print(OPENED)\nprint({output!r})\nprint(END)")

    assert [chunk.fraction for chunk in read_file(b"a")[2]] == [0.9, 0.9, 1.0, 1.0]


@pytest.mark.parametrize(
    "notes",
    ['{"hidden_row": [2]}', '{"Bad code": [1]}', '{"a": ["1"]}', "[]", '{"%s": [1]}' % ("a" * 101)],
)
def test_invalid_notes_count_as_a_crash(monkeypatch, tmp_path, notes):
    rows = f'[0.5, 1, [1], [["a"]], {notes}]'
    replace_reader_program(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})\nprint(END)")

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


@pytest.mark.parametrize(
    "cell",
    ['["date", 5, "x"]', '["link", "a"]', '["shortened", "a", "b"]', '["percentage", "1", "x"]',
     '["date", "2026-01-01", "%s"]' % ("x" * 101), '["link", "a", "%s"]' % ("x" * 501), "[]"],
)  # fmt: skip
def test_invalid_cells_count_as_a_crash(monkeypatch, tmp_path, cell):
    rows = f"[0.5, 1, [1], [[{cell}]], {{}}]"
    replace_reader_program(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})\nprint(END)")

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_endless_line_counts_as_a_crash(monkeypatch, tmp_path):
    replace_reader_program(
        monkeypatch, tmp_path, "print(OPENED)\nwhile True: print('1' * 100_000, end='')"
    )

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_silent_reader_process_is_too_slow(monkeypatch, tmp_path):
    replace_reader_program(
        monkeypatch, tmp_path, "import time\nprint(OPENED, flush=True)\ntime.sleep(60)"
    )
    calls = []

    with pytest.raises(UnreadableFile) as error:
        read_file(
            b"a", replace(READER_LIMITS, wall_seconds=2.5), while_waiting=lambda: calls.append(1)
        )

    assert error.value.code == "too_slow_to_read"
    assert len(calls) == 2


def replace_reader_program(monkeypatch, folder: Path, program: str) -> None:
    """Replace the reader by a program that the test provides."""
    opened = '{"opened": {"format": "csv"}}'
    end = '{"end": {"last_row": 2}}'
    (folder / "__main__.py").write_text(f"OPENED, END = {opened!r}, {end!r}\n{program}\n")
    monkeypatch.setattr(reader_process, "READER_FOLDER", folder)
