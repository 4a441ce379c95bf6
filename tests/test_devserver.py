"""The supervisor as a real process: what it starts, restarts, refuses and prints."""

import os
import signal
import socket
import time

import psutil
import pytest

from devserver.paths import list_server_folders, remove_all
from devserver.processes import Child
from devserver.supervisor import PROJECT, WORKER_COMMAND, Restarter
from tests.devserver import (
    POSTGRES,
    PYTHON,
    REDIS,
    WEB,
    WORKER,
    Supervisor,
    all_servers_respond,
    wait_until,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One supervisor for all tests that do not stop it."""
    supervisor = Supervisor(tmp_path_factory.mktemp("running") / "var")
    yield supervisor.start().wait_until_ready()
    supervisor.clean_up()
    remove_all(supervisor.var)


@pytest.fixture
def supervisor(tmp_path):
    """A supervisor that is not started."""
    supervisor = Supervisor(tmp_path / "var")
    yield supervisor
    supervisor.clean_up()
    remove_all(supervisor.var)


def test_programs_get_the_urls_of_the_servers_and_the_settings(running):
    environment = running.read_environment(WEB)

    assert all_servers_respond(running)
    assert environment["ALLOWED_HOSTS"] == "localhost,127.0.0.1"
    assert (environment["DEBUG"], environment["HTTPS_ONLY"]) == ("0", "0")
    assert (running.var / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", [WORKER, WEB, REDIS, POSTGRES])
def test_a_killed_program_is_restarted(running, name):
    pid = running.find_pid(name)

    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: running.find_pid(name) not in (None, pid))
    assert "exited (SIGKILL). Restarting it." in running.read_output()
    wait_until(lambda: all_servers_respond(running))


def test_children_of_a_killed_program_are_killed_too(running):
    worker = psutil.Process(running.find_pid(WORKER))
    wait_until(worker.children)
    (grandchild,) = worker.children()

    worker.kill()

    wait_until(lambda: not grandchild.is_running())
    wait_until(lambda: running.find_pid(WORKER))


@pytest.mark.parametrize("word", ["run", "clean"])
def test_a_second_start_names_the_first_and_leaves_it_running(running, word):
    second = Supervisor(running.var).start(word)

    assert second.wait_for_exit() == 1
    owner = f"http://localhost:{running.port}, process {running.process.pid}"
    assert second.read_output() == f"Already running: {owner}.\n"
    assert all_servers_respond(running)


def test_a_command_of_manage_py_runs_on_the_servers_of_the_running_site(running):
    script = (
        "import sys; from django.db import connection; connection.ensure_connection(); "
        "from django.conf import settings; sys.stderr.write(settings.REDIS_URL)"
    )
    command = Supervisor(running.var).start("manage", "shell", "--no-imports", "-c", script)

    assert command.wait_for_exit() == 0, command.read_output()
    assert command.read_output() == running.read_environment(WEB)["REDIS_URL"]


def test_a_command_of_manage_py_needs_a_running_site(supervisor):
    assert supervisor.start("manage", "check").wait_for_exit() == 1

    sentence = "The site is not running. Start it with `make run` in another terminal.\n"
    assert supervisor.read_output() == sentence


def test_the_worker_is_started_as_in_production():
    expected = " ".join(["worker: exec python", *WORKER_COMMAND])

    assert expected in (PROJECT / "Procfile").read_text().splitlines()


def test_the_restart_delay_doubles_while_a_program_exits_early():
    child = Child("worker", ["false"], {"PATH": os.environ["PATH"]})
    child.start()
    restarter = Restarter(child)
    delays = []
    for _ in range(8):
        wait_until(child.has_exited)
        restarter.restart_if_exited()
        delays.append(restarter.restart_at - time.monotonic())
        restarter.restart_at = 0
        restarter.restart_if_exited()
    child.stop()

    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10], abs=0.1)


def test_a_port_in_use_is_reported_with_a_free_one(supervisor):
    with socket.create_server(("127.0.0.1", supervisor.port)):
        assert supervisor.start().wait_for_exit() == 1

    message = f"Port {supervisor.port} is in use. Choose another one: make run PORT="
    assert supervisor.read_output().startswith(message)


def test_the_error_of_a_web_server_that_cannot_start_is_printed(supervisor):
    supervisor.start(web=[*PYTHON, "raise SystemExit('No module named config.asgi')"])

    assert supervisor.wait_for_exit() == 1
    assert "web did not start. No module named config.asgi" in supervisor.read_output()
    assert supervisor.list_orphans() == []


def test_the_exit_status_is_that_of_the_demo_and_clean_removes_all_folders(supervisor):
    for status in (0, 3):
        supervisor.start("demo", "--exit", demo=[*PYTHON, f"raise SystemExit({status})"])
        assert supervisor.wait_for_exit() == status
        assert supervisor.list_orphans() == []
    folders = list_server_folders(supervisor.var)

    assert supervisor.start("clean").wait_for_exit() == 0

    assert not any(folder.exists() for folder in (supervisor.var, *folders))
