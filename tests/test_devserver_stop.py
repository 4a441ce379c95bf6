"""The supervisor, stopped, killed and started again: nothing is lost, nobody else is touched."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from devserver import signals
from devserver.paths import forget_sockets, home_in, noted_sockets, remove_all
from devserver.processes import MARK, wait_for, wait_or_hear
from tests.devserver import POSTGRES, REDIS, WEB, WORKER, Running, environment, soon
from tests.services import PROJECT

HOLD_TEST_SERVERS = """
import sys
from tests.services import start_guardian
guardian, urls = start_guardian()
print(guardian.pid, urls["DATABASE_URL"].partition("host=")[2], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One that only we can enter, as `mktemp -d` makes it; its database is made once."""
    folder = tmp_path_factory.mktemp("embedded")
    yield folder
    remove_all(folder / "var")


@pytest.fixture
def make(folder):
    """Makes supervisors, and ends whatever is left of them."""
    made = []

    def make(folder=folder):
        made.append(Running(folder / "var"))
        return made[-1]

    yield make
    for running in made:
        running.clear_away()
        if running.var.parent != folder:
            remove_all(running.var)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_worker_web_redis_postgres_in_this_order(make, how):
    running = make().start().until_ready()

    assert running.stop(how) == 0

    ended = [float(running.note(f"{name}.ended").read_text()) for name in (WORKER, WEB)]
    logs = [running.var / "log" / name for name in ("redis.log", "postgres.log")]
    ended += [log.stat().st_mtime for log in logs]
    assert ended == sorted(ended)
    assert "received fast shutdown request" in logs[1].read_text()
    assert running.left() == []


def test_a_signal_is_heard_where_we_wait_whatever_it_comes_into(monkeypatch):
    """Python throws away what is raised in a finalizer."""

    class Finalized:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(signals, "_came", False)
    before = {number: signal.getsignal(number) for number in signals.STOP_SIGNALS}
    signals.listen()
    try:
        Finalized()
        with pytest.raises(KeyboardInterrupt):
            wait_or_hear(lambda: False, seconds=5)
        assert not wait_for(lambda: False, seconds=0.1)  # As what stops does.
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_it_hears_a_signal_while_it_starts(make):
    running = make().start(prepare=["sleep", "1000"])
    soon(lambda: running.pid("sleep"))

    assert running.stop() == 0
    assert running.left() == []


def test_impatience_does_not_disturb_the_stopping(make):
    running = make().start(worker="slow").until_ready()

    running.process.send_signal(signal.SIGINT)
    soon(lambda: "Stopping" in running.said())

    assert running.stop(signal.SIGINT) == 0
    assert running.note("worker.ended").exists()
    assert running.left() == []


def test_what_was_written_is_there_after_the_next_start(make):
    first = make().start().until_ready()
    first.query("CREATE TABLE written AS SELECT 42 AS answer")
    first_key = first.told(WEB)["SECRET_KEY"]
    first.stop()

    second = make().start().until_ready()

    assert second.query("SELECT answer FROM written") == (42,)
    assert second.told(WEB)["SECRET_KEY"] == first_key


def test_killed_itself_it_leaves_nothing_running(make):
    running = make().start().until_ready()

    running.stop(signal.SIGKILL)

    soon(lambda: running.left() == [])


def test_deaf_and_frozen_leftovers_are_stopped_by_the_next_start(make):
    first = make().start(worker="deaf").until_ready()
    first.query("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(first.pid(POSTGRES), signal.SIGSTOP)
    first.stop(signal.SIGKILL)
    left = {process.pid for process in first.left()}
    assert len(left) >= 2

    second = make().start().until_ready()

    assert "left behind when this was killed" in second.said()
    assert not left & {process.pid for process in second.left()}
    assert second.query("SELECT answer FROM kept") == (42,)


def test_strangers_are_never_touched(make, tmp_path):
    """Neither one that has the pid of our PostgreSQL's last life, nor one that names our folder."""
    running = make().start().until_ready()
    data = Path(running.query("SHOW data_directory")[0])
    running.stop()
    as_server = {"user": data.stat().st_uid} if os.geteuid() == 0 else {}
    by_pid = subprocess.Popen(["sleep", "60"], **as_server)
    by_name = subprocess.Popen(["tail", "-f", data / "PG_VERSION"], stdout=subprocess.DEVNULL)
    by_mark = subprocess.Popen(["sleep", "60"], env={MARK: str(tmp_path / "another")})
    (data / "postmaster.pid").write_text(f"{by_pid.pid}\n{data}\n")

    try:
        assert make().start().until_ready().query("SELECT 1") == (1,)
        assert [each.poll() for each in (by_pid, by_name, by_mark)] == [None] * 3
    finally:
        for each in (by_pid, by_name, by_mark):
            each.kill()
            each.wait()


def test_a_database_whose_making_was_cut_short_is_made_again(make, tmp_path):
    running = make(tmp_path)
    with home_in(running.var) as home:
        (home.servers / "postgres.new").mkdir()
        (home.servers / "postgres.new" / "half").touch()

    assert running.start().until_ready().query("SELECT 1") == (1,)


@pytest.mark.parametrize("note", ["", "/", "imports-abcdefgh", "/tmp/imports-abc"])
def test_a_note_cut_short_removes_nothing(tmp_path, monkeypatch, note):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imports-abcdefgh").mkdir()
    (tmp_path / "sockets").write_text(note)

    assert noted_sockets(tmp_path) == []
    forget_sockets(tmp_path)

    assert (tmp_path / "imports-abcdefgh").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
@pytest.mark.parametrize("closed", [True, False])
def test_as_root_servers_have_no_rights_and_no_folder_is_opened(make, tmp_path, closed):
    project = tmp_path if closed else Path(tempfile.mkdtemp(dir="/tmp"))
    project.chmod(0o700 if closed else 0o755)
    before = {folder: folder.stat().st_mode for folder in (project, *project.parents)}

    running = make(project).start().until_ready()

    for name in (POSTGRES, REDIS):
        assert psutil.Process(running.pid(name)).uids().effective != 0
    data = Path(running.query("SHOW data_directory")[0])
    assert data.is_relative_to(project) is not closed
    assert {folder: folder.stat().st_mode for folder in before} == before
    sockets = Path(running.told(WEB)["DATABASE_URL"].partition("host=")[2])
    assert sockets.stat().st_mode & 0o077 == 0
    running.stop()
    assert not sockets.exists()
    if not closed:
        shutil.rmtree(project)


def test_servers_of_a_test_run_end_with_it_even_by_kill():
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_TEST_SERVERS],
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder.stdin, holder.stdout:
        guardian, sockets = holder.stdout.readline().split()
        assert Path(sockets).exists()
        holder.kill()
        holder.wait()

    soon(lambda: not psutil.pid_exists(int(guardian)))
    assert not Path(sockets).exists()
