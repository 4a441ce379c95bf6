"""The supervisor, as a real process: what it starts, keeps alive, refuses and says."""

import os
import signal
import socket
import time

import psutil
import pytest

from devserver.paths import known_folders, remove_all
from devserver.processes import Child
from devserver.supervisor import PROJECT, WORKER_COMMAND, WORKER_ENVIRONMENT, Watched
from tests.devserver import (
    POSTGRES,
    PYTHON,
    REDIS,
    WEB,
    WORKER,
    Running,
    everything_answers,
    soon,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One for all tests that leave it running."""
    running = Running(tmp_path_factory.mktemp("running") / "var")
    yield running.start().until_ready()
    running.clear_away()
    remove_all(running.var)


@pytest.fixture
def another(tmp_path):
    another = Running(tmp_path / "var")
    yield another
    another.clear_away()
    remove_all(another.var)


def test_programs_are_told_where_everything_is(running):
    told = running.told(WEB)

    assert everything_answers(running)
    assert told["ALLOWED_HOSTS"] == "localhost,127.0.0.1"
    assert (told["DEBUG"], told["HTTPS_ONLY"]) == ("0", "0")
    assert "CONN_MAX_AGE" not in told
    assert running.told(WORKER)["CONN_MAX_AGE"] == "600"
    assert (running.var / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", [WORKER, WEB, REDIS, POSTGRES])
def test_a_killed_program_is_started_again(running, name):
    before = running.pid(name)

    os.kill(before, signal.SIGKILL)

    soon(lambda: running.pid(name) not in (None, before))
    assert "died (SIGKILL) and is started again" in running.said()
    soon(lambda: everything_answers(running))


def test_what_a_killed_program_had_started_ends_with_it(running):
    worker = psutil.Process(running.pid(WORKER))
    soon(worker.children)
    (grandchild,) = worker.children()

    worker.kill()

    soon(lambda: not grandchild.is_running())
    soon(lambda: running.pid(WORKER))


@pytest.mark.parametrize("word", ["run", "clean"])
def test_a_second_start_says_who_is_running_and_disturbs_nobody(running, word):
    second = Running(running.var).start(word)

    assert second.ends() == 1
    who = f"http://localhost:{running.port}, process {running.process.pid}"
    assert second.said() == f"It is running already: {who}.\n"
    assert everything_answers(running)


def test_a_worker_is_started_as_in_production():
    settings = [f"{name}={value}" for name, value in WORKER_ENVIRONMENT.items()]
    expected = ["worker: exec env", *settings, "python", *WORKER_COMMAND]

    assert " ".join(expected) in (PROJECT / "Procfile").read_text().splitlines()


def test_a_program_that_dies_young_waits_longer_each_time():
    child = Child("worker", ["false"], {"PATH": os.environ["PATH"]})
    child.start()
    watched = Watched(child)
    waits = []
    for _ in range(8):
        soon(child.has_died)
        watched.look()
        waits.append(watched.due_at - time.monotonic())
        watched.due_at = 0
        watched.look()
    child.stop()

    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10], abs=0.1)


def test_a_taken_port_is_named_with_a_free_one(another):
    with socket.create_server(("127.0.0.1", another.port)):
        assert another.start().ends() == 1

    start = f"Port {another.port} is taken. Choose another, as in: make run PORT="
    assert another.said().startswith(start)


def test_a_web_server_that_cannot_start_is_quoted(another):
    another.start(web=[*PYTHON, "raise SystemExit('No module named config.asgi')"])

    assert another.ends() == 1
    assert "web did not start. No module named config.asgi" in another.said()
    assert another.left() == []


def test_the_demos_exit_status_is_ours_and_clean_removes_everything(another):
    for status in (0, 3):
        another.start("demo", "--exit", demo=[*PYTHON, f"raise SystemExit({status})"])
        assert another.ends() == status
        assert another.left() == []
    folders = known_folders(another.var)

    assert another.start("clean").ends() == 0

    assert not any(folder.exists() for folder in (another.var, *folders))
