"""The supervisor is stopped, killed and started again: data survives, other processes too."""

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
from devserver.paths import (
    prepared_paths,
    read_socket_folder,
    remove_all,
    remove_socket_folder,
)
from devserver.processes import ENVIRONMENT_MARK, wait_for, wait_or_interrupt
from tests.devserver import (
    POSTGRES,
    REDIS,
    WEB,
    WORKER,
    Supervisor,
    make_environment,
    wait_until,
)
from tests.services import PROJECT

START_TEST_SERVERS = """
import sys
from tests.services import start_guardian
guardian, urls = start_guardian()
print(guardian.pid, urls["DATABASE_URL"].partition("host=")[2], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A private folder, as `mktemp -d` creates it. Its database is created once."""
    folder = tmp_path_factory.mktemp("devserver")
    yield folder
    remove_all(folder / "var")


@pytest.fixture
def make_supervisor(folder):
    """Create supervisors, and stop them at the end."""
    supervisors = []

    def make_supervisor(folder=folder):
        supervisors.append(Supervisor(folder / "var"))
        return supervisors[-1]

    yield make_supervisor
    for supervisor in supervisors:
        supervisor.clean_up()
        if supervisor.var.parent != folder:
            remove_all(supervisor.var)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_worker_web_server_redis_and_postgresql_in_this_order(
    make_supervisor, number
):
    supervisor = make_supervisor().start().wait_until_ready()

    assert supervisor.stop(number) == 0

    ended = [float(supervisor.get_file(f"{name}.ended").read_text()) for name in (WORKER, WEB)]
    logs = [supervisor.var / "log" / name for name in ("redis.log", "postgres.log")]
    ended += [log.stat().st_mtime for log in logs]
    assert ended == sorted(ended)
    assert "received fast shutdown request" in logs[1].read_text()
    assert supervisor.list_orphans() == []


def test_a_signal_during_a_finalizer_is_not_lost(monkeypatch):
    """Python discards an exception that is raised in a finalizer."""

    class Finalized:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(signals, "_is_stop_requested", False)
    handlers = {number: signal.getsignal(number) for number in signals.STOP_SIGNALS}
    signals.install_handlers()
    try:
        Finalized()
        with pytest.raises(KeyboardInterrupt):
            wait_or_interrupt(lambda: False, seconds=5)
        assert not wait_for(lambda: False, seconds=0.1)  # Waiting during a stop is not interrupted.
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_signal_during_the_start_stops_it(make_supervisor):
    supervisor = make_supervisor().start(bootstrap=["sleep", "1000"])
    wait_until(lambda: supervisor.find_pid("sleep"))

    assert supervisor.stop() == 0
    assert supervisor.list_orphans() == []


def test_a_second_signal_does_not_interrupt_the_stop(make_supervisor):
    supervisor = make_supervisor().start(worker="slow").wait_until_ready()

    supervisor.process.send_signal(signal.SIGINT)
    wait_until(lambda: "Stopping" in supervisor.read_output())

    assert supervisor.stop(signal.SIGINT) == 0
    assert supervisor.get_file("worker.ended").exists()
    assert supervisor.list_orphans() == []


def test_data_and_secret_key_survive_a_restart(make_supervisor):
    first = make_supervisor().start().wait_until_ready()
    first.query("CREATE TABLE written AS SELECT 42 AS answer")
    first_key = first.read_environment(WEB)["SECRET_KEY"]
    first.stop()

    second = make_supervisor().start().wait_until_ready()

    assert second.query("SELECT answer FROM written") == (42,)
    assert second.read_environment(WEB)["SECRET_KEY"] == first_key


def test_a_killed_supervisor_leaves_nothing_running(make_supervisor):
    supervisor = make_supervisor().start().wait_until_ready()

    supervisor.stop(signal.SIGKILL)

    wait_until(lambda: supervisor.list_orphans() == [])


def test_the_next_start_stops_orphans_that_ignore_sigterm_or_are_frozen(make_supervisor):
    first = make_supervisor().start(worker="ignores_sigterm").wait_until_ready()
    first.query("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(first.find_pid(POSTGRES), signal.SIGSTOP)
    first.stop(signal.SIGKILL)
    orphans = {process.pid for process in first.list_orphans()}
    assert len(orphans) >= 2

    second = make_supervisor().start().wait_until_ready()

    assert "which an earlier run had left running" in second.read_output()
    assert not orphans & {process.pid for process in second.list_orphans()}
    assert second.query("SELECT answer FROM kept") == (42,)


def test_processes_of_others_are_never_stopped(make_supervisor, tmp_path):
    """Not even if they have the recorded ID of PostgreSQL, or name the folder, or another mark."""
    supervisor = make_supervisor().start().wait_until_ready()
    data = Path(supervisor.query("SHOW data_directory")[0])
    supervisor.stop()
    as_server_account = {"user": data.stat().st_uid} if os.geteuid() == 0 else {}
    with_recorded_id = subprocess.Popen(["sleep", "60"], **as_server_account)
    with_folder_name = subprocess.Popen(
        ["tail", "-f", data / "PG_VERSION"], stdout=subprocess.DEVNULL
    )
    with_other_mark = subprocess.Popen(
        ["sleep", "60"], env={ENVIRONMENT_MARK: str(tmp_path / "another")}
    )
    others = (with_recorded_id, with_folder_name, with_other_mark)
    (data / "postmaster.pid").write_text(f"{with_recorded_id.pid}\n{data}\n")

    try:
        assert make_supervisor().start().wait_until_ready().query("SELECT 1") == (1,)
        assert [process.poll() for process in others] == [None] * 3
    finally:
        for process in others:
            process.kill()
            process.wait()


def test_a_database_whose_creation_was_interrupted_is_created_again(make_supervisor, tmp_path):
    supervisor = make_supervisor(tmp_path)
    with prepared_paths(supervisor.var) as paths:
        (paths.servers / "postgres.new").mkdir()
        (paths.servers / "postgres.new" / "incomplete").touch()

    assert supervisor.start().wait_until_ready().query("SELECT 1") == (1,)


@pytest.mark.parametrize("record", ["", "/", "imports-abcdefgh", "/tmp/imports-abc"])
def test_a_truncated_record_of_the_socket_folder_removes_nothing(tmp_path, monkeypatch, record):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imports-abcdefgh").mkdir()
    (tmp_path / "sockets").write_text(record)

    assert read_socket_folder(tmp_path) == []
    remove_socket_folder(tmp_path)

    assert (tmp_path / "imports-abcdefgh").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
@pytest.mark.parametrize("is_private", [True, False])
def test_servers_of_root_are_unprivileged_and_no_permissions_change(
    make_supervisor, tmp_path, is_private
):
    project = tmp_path if is_private else Path(tempfile.mkdtemp(dir="/tmp"))
    project.chmod(0o700 if is_private else 0o755)
    modes = {folder: folder.stat().st_mode for folder in (project, *project.parents)}

    supervisor = make_supervisor(project).start().wait_until_ready()

    for name in (POSTGRES, REDIS):
        assert psutil.Process(supervisor.find_pid(name)).uids().effective != 0
    data = Path(supervisor.query("SHOW data_directory")[0])
    assert data.is_relative_to(project) is not is_private
    assert {folder: folder.stat().st_mode for folder in modes} == modes
    sockets = Path(supervisor.read_environment(WEB)["DATABASE_URL"].partition("host=")[2])
    assert sockets.stat().st_mode & 0o077 == 0
    supervisor.stop()
    assert not sockets.exists()
    if not is_private:
        shutil.rmtree(project)


def test_servers_of_a_test_run_exit_when_it_is_killed():
    test_run = subprocess.Popen(
        [sys.executable, "-c", START_TEST_SERVERS],
        cwd=PROJECT,
        env=make_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with test_run.stdin, test_run.stdout:
        guardian, sockets = test_run.stdout.readline().split()
        assert Path(sockets).exists()
        test_run.kill()
        test_run.wait()

    wait_until(lambda: not psutil.pid_exists(int(guardian)))
    assert not Path(sockets).exists()
