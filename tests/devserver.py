"""Real supervisors for tests, with stand-ins for the web server and the worker."""

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
import psycopg2
import pytest
import redis

from devserver.orphans import is_ours, stop_leftovers
from devserver.paths import known_folders
from devserver.processes import wait_for
from tests.services import PROJECT

# The real entry point, on another folder and with other programs.
ENTRY = """
import json, sys
from pathlib import Path
from devserver import __main__ as entry, orphans, supervisor
orphans.PATIENCE_SECONDS = 1
entry.VAR = Path(sys.argv.pop())
commands = json.loads(sys.argv.pop())
entry.application = lambda port, demo: supervisor.Application(**commands)
sys.exit(entry.main())
"""
# Writes down what it was told, and when it was asked to end.
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
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # None is lost before the wait.
if "web" in sys.argv:
    listening = socket.create_server(("127.0.0.1", int(sys.argv[3])))
Path(sys.argv[1] + ".new").write_text(json.dumps(dict(os.environ)))
Path(sys.argv[1] + ".new").rename(sys.argv[1])
while signal.sigwait([signal.SIGTERM]) and "deaf" in sys.argv:
    pass
end()
"""
PYTHON = [sys.executable, "-c"]
POSTGRES, REDIS, WEB, WORKER, SAID = "postgres", "redis-server", "web", "worker", "said"


class Running:
    """One supervisor in a folder, and what a test wants to know of it."""

    def __init__(self, var):
        self.var = var
        self.port = free_port()
        self.notes = Path(tempfile.mkdtemp(prefix="notes", dir=var.parent))
        self.process = None

    def start(self, *words, worker="willing", **commands):
        with self.note(SAID).open("w") as said:
            self.process = subprocess.Popen(
                [*PYTHON, ENTRY, *(words or ["run"]), self.commands(worker, commands), self.var],
                cwd=PROJECT,
                env=environment(PORT=str(self.port)),
                stderr=said,
            )
        return self

    def commands(self, worker, commands):
        ours = {
            "prepare": ["true"],
            "web": [*PYTHON, STAND_IN, str(self.note(WEB)), WEB, str(self.port)],
            "worker": [*PYTHON, STAND_IN, str(self.note(WORKER)), WORKER, worker],
        }
        return json.dumps(ours | commands)

    def until_ready(self):
        soon(lambda: "Ctrl-C stops it" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()
        soon(self.note(WORKER).exists)
        return self

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.ends()

    def ends(self):
        """Return its exit status, after what its programs may take together to end."""
        try:
            return self.process.wait(90)
        except subprocess.TimeoutExpired:
            pytest.fail(f"It does not end. {self.said()}\n{self.family()}")

    def family(self):
        return [str(each) for each in psutil.Process(self.process.pid).children(recursive=True)]

    def said(self):
        return self.note(SAID).read_text()

    def note(self, name):
        return self.notes / name

    def told(self, name):
        return json.loads(self.note(name).read_text())

    def pid(self, name):
        """Of one of its children, by the program's name or a word of its command."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # It may have died this moment.
                if child.name() == name or name in child.cmdline():
                    return child.pid
        return None

    def clear_away(self):
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
            stop_leftovers(self.var)

    def left(self):
        folders = known_folders(self.var)
        return [each for each in psutil.process_iter() if is_ours(each, self.var, folders)]

    def query(self, statement):
        return query(self.told(WORKER), statement)


def environment(**more):
    """Ours without the servers of this test run."""
    return {name: value for name, value in os.environ.items() if "_URL" not in name} | more


def query(told, statement):
    with closing(psycopg2.connect(told["DATABASE_URL"])) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def soon(happened, seconds=15):
    assert wait_for(happened, seconds)


def everything_answers(running):
    told = running.told(WEB)
    try:
        socket.create_connection(("127.0.0.1", running.port), 1).close()
        with closing(redis.Redis.from_url(told["REDIS_URL"])) as client:
            return client.ping() and query(told, "SELECT 1") == (1,)
    except (OSError, psycopg2.Error, redis.RedisError):
        return False
