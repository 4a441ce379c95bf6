"""Run real supervisors, with stand-ins for the web server and the worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import redis
from django.db.backends.postgresql.base import Database

from devserver.orphans import is_orphan, stop_orphans
from devserver.paths import list_server_folders
from devserver.processes import wait_for
from tests.services import PROJECT

# The real entry point, with another folder and other programs.
ENTRY_POINT = """
import json, sys
from pathlib import Path
from devserver import __main__ as entry_point, orphans, supervisor
orphans.STOP_TIMEOUT_SECONDS = 1
entry_point.VAR = Path(sys.argv.pop())
commands = json.loads(sys.argv.pop())
entry_point.make_commands = lambda port, demo: supervisor.Commands(**commands)
sys.exit(entry_point.main())
"""
# Writes its environment to a file, and at the end the time of its end to another file.
STAND_IN = """
import json, os, signal, socket, subprocess, sys, time
from pathlib import Path
def end():
    if "slow" in sys.argv:
        time.sleep(1)
    if "worker" in sys.argv:
        grandchild.kill()
    Path(sys.argv[1] + ".ended").write_text(str(time.time()))
if "worker" in sys.argv:
    grandchild = subprocess.Popen(["sleep", "1000"])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # Lose no signal before sigwait.
if "web" in sys.argv:
    server = socket.create_server(("127.0.0.1", int(sys.argv[3])))
Path(sys.argv[1] + ".new").write_text(json.dumps(dict(os.environ)))
Path(sys.argv[1] + ".new").rename(sys.argv[1])
while signal.sigwait([signal.SIGTERM]) and "ignores_sigterm" in sys.argv:
    pass
end()
"""
PYTHON = [sys.executable, "-c"]
POSTGRES, REDIS, WEB, WORKER = "postgres", "redis-server", "web", "worker"


class Supervisor:
    """A supervisor process with its own folder."""

    def __init__(self, var):
        self.var = var
        self.port = find_free_port()
        self.files = Path(tempfile.mkdtemp(prefix="files", dir=var.parent))
        self.process = None

    def start(self, *words, worker="default", **commands):
        """Start `run` or the given command. `worker` is the stand-in's behaviour at the end.

        `commands` replace command lines of the site.
        """
        with self.get_file("output").open("w") as output:
            self.process = subprocess.Popen(
                [
                    *PYTHON,
                    ENTRY_POINT,
                    *(words or ["run"]),
                    self.encode(worker, commands),
                    self.var,
                ],
                cwd=PROJECT,
                env=make_environment(PORT=str(self.port)),
                stderr=output,
            )
        return self

    def encode(self, worker, commands):
        stand_ins = {
            "bootstrap": ["true"],
            "web": [*PYTHON, STAND_IN, str(self.get_file(WEB)), WEB, str(self.port)],
            "worker": [*PYTHON, STAND_IN, str(self.get_file(WORKER)), WORKER, worker],
        }
        return json.dumps(stand_ins | commands)

    def wait_until_ready(self):
        wait_until(
            lambda: "Ctrl-C to stop" in self.read_output() or self.process.poll() is not None
        )
        assert self.process.poll() is None, self.read_output()
        wait_until(self.get_file(WORKER).exists)
        return self

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait_for_exit()

    def wait_for_exit(self):
        """Return the exit status. The timeout is the sum of the programs' stop timeouts."""
        try:
            return self.process.wait(90)
        except subprocess.TimeoutExpired:
            pytest.fail(f"It does not exit. {self.read_output()}\n{self.describe_children()}")

    def describe_children(self):
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [str(process) for process in children]

    def read_output(self):
        return self.get_file("output").read_text()

    def get_file(self, name):
        return self.files / name

    def read_environment(self, name):
        """Return the environment that a stand-in got."""
        return json.loads(self.get_file(name).read_text())

    def find_pid(self, name):
        """Return the process ID of a child, by the program's name or a word of its command line.

        None: there is no such child.
        """
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # It may have exited meanwhile.
                if child.name() == name or name in child.cmdline():
                    return child.pid
        return None

    def clean_up(self):
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
            stop_orphans(self.var)

    def list_orphans(self):
        folders = list_server_folders(self.var)
        return [
            process for process in psutil.process_iter() if is_orphan(process, self.var, folders)
        ]

    def query(self, statement):
        return query(self.read_environment(WORKER), statement)


def make_environment(**variables):
    """Return the environment of this process without the servers of the test run."""
    own = {name: value for name, value in os.environ.items() if "_URL" not in name}
    return own | variables


def query(environment, statement):
    """Return the first row, or None for a statement without rows."""
    with closing(Database.connect(environment["DATABASE_URL"])) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def find_free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_until(condition, seconds=15):
    assert wait_for(condition, seconds)


def all_servers_respond(supervisor):
    environment = supervisor.read_environment(WEB)
    try:
        socket.create_connection(("127.0.0.1", supervisor.port), 1).close()
        with closing(redis.Redis.from_url(environment["REDIS_URL"])) as client:
            return client.ping() and query(environment, "SELECT 1") == (1,)
    except (OSError, Database.Error, redis.RedisError):
        return False
