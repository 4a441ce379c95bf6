"""The child process: confined, mortal, and not believed."""

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
    BOTH_PARSERS,
    LIMITS,
    MB,
    STREAMING_LIMITS,
    expect_unreadable,
    make_long_csv,
    make_workbook_from_xml,
    make_workbook_parts,
    read_file,
    row_xml,
    sheet_xml,
    text_cell_xml,
    zip_parts,
)  # fmt: skip

ROOT = Path(__file__).parent.parent
LONG = make_long_csv(300_000)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    """Whatever a test does to a reader: within seconds no child, zombie or descriptor is left."""
    us, began = psutil.Process(), time.monotonic()
    before = us.children(), us.num_fds()
    yield
    assert (us.children(), us.num_fds()) == before
    assert time.monotonic() - began < 20


# --- Limits on the child -----------------------------------------------------


PADDING = "".join(f"{'x' * 900}{os.urandom(9).hex()}" for _ in range(80_000))


@BOTH_PARSERS
@pytest.mark.parametrize(
    "content",
    [
        make_workbook_from_xml(
            row_xml(1, '<c t="s"><v>0</v></c>'), strings=f"<si><t>{PADDING}</t></si>"
        ),
        make_workbook_from_xml(before=f"<!--{PADDING}-->"),
        make_workbook_from_xml(before=f'<sheetPr a="{PADDING}"/>'),
    ],
    ids=["a string", "a comment", "an attribute"],
)
def test_a_reader_over_its_memory_limit_ends_in_a_code(limits, content):
    assert expect_unreadable(content, replace(limits, memory_bytes=80 * MB)) == (
        "too_much_memory",
        {},
    )


def test_a_reader_over_its_cpu_limit_ends_in_a_code():
    content = make_workbook_from_xml(
        *[row_xml(n, text_cell_xml(f"A{n}", f"{n}")) for n in range(1, 150_000)]
    )

    assert expect_unreadable(content, replace(STREAMING_LIMITS, cpu_seconds=1)) == (
        "too_slow_to_read",
        {},
    )


def test_a_reader_over_its_wall_limit_ends_in_a_code():
    assert expect_unreadable(make_long_csv(10), replace(LIMITS, wall_seconds=0)) == (
        "too_slow_to_read",
        {},
    )


def test_time_that_we_take_ourselves_does_not_count():
    with open_rows(
        io.BytesIO(make_long_csv(200_000)), limits=replace(LIMITS, wall_seconds=3)
    ) as reader:
        chunks = iter(reader)
        next(chunks)
        time.sleep(3.5)
        assert sum(len(chunk.rows) for chunk in chunks) == 199_500


@pytest.mark.skipif(sys.platform != "linux", reason="Looks into /proc.")
def test_a_workbook_may_take_the_time_of_what_it_unpacks_to():
    content = make_workbook_from_xml(
        *[row_xml(n, text_cell_xml(f"A{n}", "x" * 60)) for n in range(1, 60_000)]
    )
    assert len(content) < MB
    with open_rows(io.BytesIO(content), limits=LIMITS) as reader:
        assert psutil.Process(reader.child.pid).rlimit(psutil.RLIMIT_CPU) == (20, 21)


@pytest.mark.skipif(sys.platform != "linux", reason="Looks into /proc.")
def test_the_child_is_confined():
    with open_rows(io.BytesIO(make_long_csv(200_000)), limits=LIMITS) as reader:
        child = psutil.Process(reader.child.pid)
        granted = {name: child.rlimit(getattr(psutil, f"RLIMIT_{name}")) for name in
                   ("AS", "CPU", "FSIZE", "NOFILE", "CORE")}  # fmt: skip
        loaded = {Path(region.path).name for region in child.memory_maps()}

        assert granted.pop("AS") == (512 * MB,) * 2
        soft, hard = granted.pop("CPU")
        assert (soft, hard) == (18, 21)  # 6 s, and 4 more for each of its 3 MB.
        assert granted == {"FSIZE": (0, 0), "NOFILE": (32, 32), "CORE": (0, 0)}
        assert Path(f"/proc/{child.pid}/environ").read_bytes() == b""
        assert Path(f"/proc/{child.pid}/oom_score_adj").read_text() == "1000\n"
        assert os.getsid(child.pid) == child.pid
        assert child.cmdline()[1:3] == ["-I", "-S"]  # No hook of an installed package runs.
        assert child.num_fds() <= 4  # Input, output, errors and the file.
        assert not [name for name in loaded if "psycopg" in name or "django" in name]


@pytest.mark.skipif(sys.platform != "linux", reason="Looks into /proc.")
def test_what_reads_a_whole_workbook_makes_do_with_a_part_of_the_memory():
    rows = [row_xml(n, text_cell_xml(f"A{n}", "x" * 400)) for n in range(2, 20_000)]
    endless = row_xml(1, '<c r="A1" s="0"><v>1e15</v></c>')  # As a duration: calamine gives up.
    given_up = make_workbook_parts(sheet_xml(endless, *rows), formats=["[h]:mm:ss"])

    for content, limits, part in (
        (make_workbook_from_xml(*rows), LIMITS, 0.45),
        (make_workbook_from_xml(*rows), STREAMING_LIMITS, 1),
        (zip_parts(given_up), LIMITS, 1),
    ):
        with open_rows(io.BytesIO(content), limits=limits) as reader:
            granted = psutil.Process(reader.child.pid).rlimit(psutil.RLIMIT_AS)
            assert granted == (int(512 * MB * part), 512 * MB)


# --- Death -------------------------------------------------------------------


def read_and_signal(number: int) -> None:
    with open_rows(io.BytesIO(LONG), limits=LIMITS) as reader:
        for _chunk in reader:
            os.kill(reader.child.pid, number)


def test_a_reader_killed_from_outside_may_be_tried_again():
    with pytest.raises(ReaderCrashed):
        read_and_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGXCPU, "too_slow_to_read"), (signal.SIGSEGV, "unreadable_file")]
)
def test_a_reader_that_its_file_killed_is_not_tried_again(number, code):
    with pytest.raises(UnreadableFile) as caught:
        read_and_signal(number)

    assert caught.value.code == code


def test_leaving_early_ends_the_reader():
    with open_rows(io.BytesIO(LONG), limits=LIMITS) as reader:
        next(iter(reader))
        pid = reader.child.pid

    assert not psutil.pid_exists(pid)


def read_and_stop(while_waiting) -> None:
    with open_rows(io.BytesIO(LONG), limits=LIMITS, while_waiting=while_waiting) as reader:
        os.kill(reader.child.pid, signal.SIGSTOP)
        list(reader)


def test_while_waiting_it_asks_whether_to_go_on():
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
from tests.spreadsheets import LIMITS, make_long_csv
with open_rows(io.BytesIO(make_long_csv(300_000)), limits=LIMITS) as reader:
    print(reader.child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere nobody tells the child.")
def test_a_killed_parent_takes_its_reader_along():
    command, pipe = [sys.executable, "-c", PARENT], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as parent:
        pid = int(parent.stdout.readline())
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"  # Not its parent's.
        parent.kill()

    assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere nobody tells the child.")
def test_a_thread_that_ends_takes_its_reader_along():
    with ExitStack() as stack:
        opened = []
        rows = open_rows(io.BytesIO(LONG), limits=LIMITS)
        thread = threading.Thread(target=lambda: opened.append(stack.enter_context(rows)))
        thread.start()
        thread.join()

        assert opened[0].child.wait(30) == -signal.SIGKILL


def gone(pid: int) -> bool:
    for _ in range(50):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


# --- What the child says is not trusted --------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Traceback",
        '{"opened": {"format": "csv", "colour": 1}}',
        "[0.1, 2, [1, 2], [[1], [2]]]",
        'OPENED\n[0.1, 2, [1, 2], [[1], [{"a": 1}]]]',
        "OPENED\n[0.1, 2, [2, 1], [[1], [2]]]",
        "OPENED\n[0.1, 2, [1, 2], [[1]]]",
        "OPENED\n[0.1, 2, [1, 2], [[1], [NaN]]]",
        "OPENED\n[0.1, 2, [1.5], [[1]]]",
        '{"error": {"code": "no_such_sheet", "params": {"sheets": [1]}}}',
        '{"error": {"code": "damaged_file", "params": {"row": "Ama"}}}',
        "OPENED\n" + "[" * 100_000,
        "OPENED\n" + "1" * 100_000,
    ],
)
def test_a_reader_that_talks_nonsense_counts_as_dead(monkeypatch, tmp_path, said):
    pretend(monkeypatch, tmp_path, f"print({said!r}.replace('OPENED', OPENED))\nprint(END)")

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_names_of_sheets_are_cut_and_cleaned(monkeypatch, tmp_path):
    error = {"code": "no_such_sheet", "params": {"sheets": ["a\x00\ud800b" + "c" * 999] * 999}}
    pretend(monkeypatch, tmp_path, f"print({json.dumps({'error': error})!r})")

    with pytest.raises(UnreadableFile) as caught:
        read_file(b"a")

    assert caught.value.params == {"sheets": ["ab" + "c" * 96] * 100}


def test_only_the_last_word_ends_a_file(monkeypatch, tmp_path):
    rows = '[0.5, 2, [1, 2], [["a"], ["b"]], {}]'
    pretend(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})\nprint(END)")
    assert [len(chunk.rows) for chunk in read_file(b"a")[2]] == [2, 0]

    pretend(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})")
    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_progress_never_falls_whatever_the_reader_says(monkeypatch, tmp_path):
    said = '[0.9, 1, [1], [["a"]], {}]\n[0.2, 2, [2], [["b"]], {}]\n[7, 3, [3], [["c"]], {}]'
    pretend(monkeypatch, tmp_path, f"print(OPENED)\nprint({said!r})\nprint(END)")

    assert [chunk.fraction for chunk in read_file(b"a")[2]] == [0.9, 0.9, 1.0, 1.0]


@pytest.mark.parametrize(
    "notes",
    ['{"hidden_row": [2]}', '{"Bad code": [1]}', '{"a": ["1"]}', "[]", '{"%s": [1]}' % ("a" * 101)],
)
def test_notes_that_are_none_are_not_believed(monkeypatch, tmp_path, notes):
    rows = f'[0.5, 1, [1], [["a"]], {notes}]'
    pretend(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})\nprint(END)")

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


@pytest.mark.parametrize(
    "cell",
    ['["date", 5, "x"]', '["link", "a"]', '["shortened", "a", "b"]', '["percentage", "1", "x"]',
     '["date", "2026-01-01", "%s"]' % ("x" * 101), '["link", "a", "%s"]' % ("x" * 501), "[]"],
)  # fmt: skip
def test_cells_that_are_none_are_not_believed(monkeypatch, tmp_path, cell):
    rows = f"[0.5, 1, [1], [[{cell}]], {{}}]"
    pretend(monkeypatch, tmp_path, f"print(OPENED)\nprint({rows!r})\nprint(END)")

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_a_line_without_end_is_not_collected_for_ever(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, "print(OPENED)\nwhile True: print('1' * 100_000, end='')")

    with pytest.raises(ReaderCrashed):
        read_file(b"a")


def test_a_reader_that_falls_silent_is_not_waited_for(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, "import time\nprint(OPENED, flush=True)\ntime.sleep(60)")
    asked = []

    with pytest.raises(UnreadableFile) as caught:
        read_file(b"a", replace(LIMITS, wall_seconds=2.5), while_waiting=lambda: asked.append(1))

    assert caught.value.code == "too_slow_to_read"
    assert len(asked) == 2


def pretend(monkeypatch, folder: Path, program: str) -> None:
    """Put a reader in the place of ours that says what we want."""
    opened = '{"opened": {"format": "csv"}}'
    end = '{"end": {"last_row": 2}}'
    (folder / "__main__.py").write_text(f"OPENED, END = {opened!r}, {end!r}\n{program}\n")
    monkeypatch.setattr(reader_process, "READER_FOLDER", folder)
