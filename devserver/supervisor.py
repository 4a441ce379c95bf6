"""Starts everything, keeps it alive, stops it in order.

Each program runs inside the context of the one it needs. Leaving those contexts, however
that comes about, stops the worker, the web server, Redis and PostgreSQL in this order.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devserver import signals
from devserver.orphans import stop_leftovers
from devserver.paths import CannotRun, Home, home_in, only_one
from devserver.processes import MARK, TICK_SECONDS, Child, run_to_end, running_child
from devserver.servers import own_database, running_servers, urls

PROJECT = Path(__file__).resolve().parents[1]
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
HEALTHY_SECONDS = 30.0  # Who lived this long did not die of what killed it before.
# As in the Procfile. Of three threads two may read files and two may write batches. A worker may
# keep connections, which the web process must not, takes no more messages of a queue than it
# works on at once, and looks for new ones every 50 ms instead of every second.
WORKER_COMMAND = [
    *("manage.py", "rundramatiq", "--processes", "1", "--threads", "3"),
    *("--worker-shutdown-timeout", "20000"),
]
WORKER_ENVIRONMENT = {
    "CONN_MAX_AGE": "600",
    "dramatiq_queue_prefetch": "2",
    "dramatiq_worker_timeout": "50",
}


@dataclass(frozen=True)
class Application:
    """What runs on the two servers, as commands."""

    prepare: list[str]
    web: list[str]
    worker: list[str]
    demo: list[str] | None = None


def serve(var: Path, port: int, application: Application, *, stop_after_demo: bool = False) -> int:
    """Run until a signal says stop, or until the demo is over; return the exit status."""
    signals.listen()
    try:
        with (
            only_one(var, address(port)),
            clean_home(var, port) as home,
            everything(home, port, application) as children,
        ):
            status = run_demo(application.demo, home, children) if application.demo else 0
            if stop_after_demo:
                return status
            login = "demo / demo" if own_database() else "your own users"
            say(f"{address(port)}   {login}   Ctrl-C stops it.")
            keep_alive(children)
    except KeyboardInterrupt:
        pass
    return 1 if stop_after_demo else 0


@contextmanager
def clean_home(var: Path, port: int) -> Iterator[Home]:
    """Our folders, once nothing of an earlier life is running in them."""
    for name in stop_leftovers(var):
        say(f"Stopped {name}, left behind when this was killed.")
    require_free(port)
    with home_in(var) as home:
        start_logs(home.logs)
        yield home


@contextmanager
def everything(home: Home, port: int, application: Application) -> Iterator[list[Child]]:
    """All programs, started and answering."""
    with ExitStack() as stack:
        say("Starting PostgreSQL and Redis.")
        children = stack.enter_context(running_servers(home))
        run_to_end(program("preparation", application.prepare, home))
        say("Starting the web server and a worker.")
        for child in (web(application.web, home, port), worker(application.worker, home)):
            children.append(stack.enter_context(running_child(child)))
        stack.callback(say, "Stopping.")
        yield children


def web(command: list[str], home: Home, port: int) -> Child:
    child = program("web", command, home)
    child.is_ready = lambda: is_ready(port)
    return child


def worker(command: list[str], home: Home) -> Child:
    child = program("worker", command, home)
    child.environment |= WORKER_ENVIRONMENT
    child.patience_seconds = 25  # It finishes the batches in hand.
    return child


def program(name: str, command: list[str], home: Home) -> Child:
    log = home.logs / f"{name}.log"
    return Child(name, command, environment(home), log=log, folder=PROJECT)


def environment(home: Home) -> dict[str, str]:
    """What the settings read, whatever this shell had exported."""
    return {
        **os.environ,
        **urls(home),
        "SECRET_KEY": secret_key(home.var),
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "DEBUG": "0",
        "HTTPS_ONLY": "0",
        "PYTHONUNBUFFERED": "1",
        MARK: str(home.var),
    }


def secret_key(var: Path) -> str:
    """Made once and kept: with a new one everybody would be logged out."""
    kept = var / "secret_key"
    if not kept.exists():
        made = var / "secret_key.new"
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(50))
        made.rename(kept)
    return kept.read_text()


def start_logs(folder: Path) -> None:
    """Begin new logs; those of the last life stay beside them."""
    for log in folder.glob("*.log"):
        log.replace(log.with_suffix(".log.old"))


def run_demo(command: list[str], home: Home, children: list[Child]) -> int:
    """Run it beside the programs, which are kept alive meanwhile; return its exit status."""
    client = Child("demo", command, environment(home), folder=PROJECT)
    with running_child(client):
        keep_alive(children, until=client.has_died)
        return client.bury()


def keep_alive(children: list[Child], until: Callable[[], bool] = lambda: False) -> None:
    watched = [Watched(child) for child in children]
    while not until():
        signals.hear()
        for one in watched:
            one.look()
        time.sleep(TICK_SECONDS)


@dataclass
class Watched:
    """A child that is started again when it dies, later each time it dies young."""

    child: Child
    pause_seconds: float = FIRST_PAUSE_SECONDS
    started_at: float = 0.0
    due_at: float | None = None

    def look(self) -> None:
        if self.due_at is None and self.child.has_died():
            self.mourn()
        if self.due_at is not None and time.monotonic() >= self.due_at:
            self.child.start()
            self.started_at, self.due_at = time.monotonic(), None

    def mourn(self) -> None:
        """Say what happened and choose when to start it again."""
        status = self.child.bury()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        say(f"{self.child.name} died ({how}) and is started again; see {self.child.log}")
        if time.monotonic() - self.started_at > HEALTHY_SECONDS:
            self.pause_seconds = FIRST_PAUSE_SECONDS
        self.due_at = time.monotonic() + self.pause_seconds
        self.pause_seconds = min(2 * self.pause_seconds, LONGEST_PAUSE_SECONDS)


def address(port: int) -> str:
    return f"http://localhost:{port}"


def is_ready(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def require_free(port: int) -> None:
    if not is_free(port):
        other = next(number for number in range(port + 1, 65_536) if is_free(number))
        raise CannotRun(f"Port {port} is taken. Choose another, as in: make run PORT={other}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the web server does: an address in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def say(sentence: str) -> None:
    with suppress(OSError):  # The terminal may be gone.
        print(sentence, file=sys.stderr, flush=True)
