"""Start all programs, restart those that exit, and stop them in order.

Each program runs inside the context manager of the program that it needs. Leaving the context
managers, by an exception or not, stops the worker, the web server, Redis and PostgreSQL, in this
order.
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
from devserver.orphans import stop_orphans
from devserver.paths import Paths, StartupError, exclusive_lock, prepared_paths
from devserver.processes import (
    ENVIRONMENT_MARK,
    POLL_SECONDS,
    Child,
    run_to_end,
    running_child,
)
from devserver.servers import get_urls, running_servers, uses_own_database

PROJECT = Path(__file__).resolve().parents[1]
MIN_RESTART_DELAY_SECONDS = 0.2
MAX_RESTART_DELAY_SECONDS = 10.0
HEALTHY_SECONDS = 30.0  # After this time the next crash counts as the first one.
WORKER_COMMAND = ["manage.py", "imports_worker"]  # As in the Procfile.


@dataclass(frozen=True)
class Commands:
    """The command lines of the programs that use the two servers."""

    bootstrap: list[str]
    web: list[str]
    worker: list[str]
    demo: list[str] | None = None


def serve(var: Path, port: int, commands: Commands, *, stop_after_demo: bool = False) -> int:
    """Run everything until a stop signal, or until the demo ends. Return the exit status.

    Raises: StartupError.
    """
    signals.install_handlers()
    try:
        with (
            exclusive_lock(var, get_url(port)),
            clean_start(var, port) as paths,
            running_programs(paths, port, commands) as children,
        ):
            status = run_demo(commands.demo, paths, children) if commands.demo else 0
            if stop_after_demo:
                return status
            user = "demo / demo" if uses_own_database() else "one of your users"
            print_message(f"Serving {get_url(port)}. Log in as {user}. Press Ctrl-C to stop.")
            keep_running(children)
    except KeyboardInterrupt:
        pass
    return 1 if stop_after_demo else 0


@contextmanager
def clean_start(var: Path, port: int) -> Iterator[Paths]:
    """Stop what an earlier run left running, and prepare the folders. Raises: StartupError."""
    for name in stop_orphans(var):
        print_message(f"Stopped {name}, which an earlier run had left running.")
    require_free_port(port)
    with prepared_paths(var) as paths:
        rotate_logs(paths.logs)
        yield paths


@contextmanager
def running_programs(paths: Paths, port: int, commands: Commands) -> Iterator[list[Child]]:
    """Start all programs and wait until they are ready. Stop them at the end.

    Raises: StartupError.
    """
    with ExitStack() as stack:
        print_message("Starting PostgreSQL and Redis.")
        children = stack.enter_context(running_servers(paths))
        run_to_end(make_child("bootstrap", commands.bootstrap, paths))
        print_message("Starting the web server and a worker.")
        for child in (
            make_web_child(commands.web, paths, port),
            make_worker_child(commands.worker, paths),
        ):
            children.append(stack.enter_context(running_child(child)))
        stack.callback(print_message, "Stopping.")
        yield children


def make_web_child(command: list[str], paths: Paths, port: int) -> Child:
    child = make_child("web", command, paths)
    child.is_ready = lambda: accepts_connections(port)
    return child


def make_worker_child(command: list[str], paths: Paths) -> Child:
    child = make_child("worker", command, paths)
    child.stop_timeout_seconds = 25  # A worker finishes its batches before it exits.
    return child


def make_child(name: str, command: list[str], paths: Paths) -> Child:
    log = paths.logs / f"{name}.log"
    return Child(name, command, make_environment(paths), log=log, folder=PROJECT)


def make_environment(paths: Paths) -> dict[str, str]:
    """Return the environment of the site's programs. It overrides variables of the shell."""
    return {
        **os.environ,
        **get_urls(paths),
        "SECRET_KEY": get_secret_key(paths.var),
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "DEBUG": "0",
        "HTTPS_ONLY": "0",
        "PYTHONUNBUFFERED": "1",
        ENVIRONMENT_MARK: str(paths.var),
    }


def get_secret_key(var: Path) -> str:
    """Return the stored key, or create and store one. A new key would end all sessions."""
    file = var / "secret_key"
    if not file.exists():
        new_file = var / "secret_key.new"
        new_file.touch(mode=0o600)
        new_file.write_text(secrets.token_urlsafe(50))
        new_file.rename(file)
    return file.read_text()


def rotate_logs(folder: Path) -> None:
    """Rename the logs of the previous run, so that new ones are started."""
    for log in folder.glob("*.log"):
        log.replace(log.with_suffix(".log.old"))


def run_demo(command: list[str], paths: Paths, children: list[Child]) -> int:
    """Run the demo while the other programs are kept running. Return its exit status."""
    demo = Child("demo", command, make_environment(paths), folder=PROJECT)
    with running_child(demo):
        keep_running(children, until=demo.has_exited)
        return demo.reap()


def keep_running(children: list[Child], until: Callable[[], bool] = lambda: False) -> None:
    """Restart children that exit, until the condition is true.

    Raises: KeyboardInterrupt if a stop signal is received.
    """
    restarters = [Restarter(child) for child in children]
    while not until():
        signals.raise_if_stop_requested()
        for restarter in restarters:
            restarter.restart_if_exited()
        time.sleep(POLL_SECONDS)


@dataclass
class Restarter:
    """Restarts a child after it exits. The delay doubles while the child exits early."""

    child: Child
    delay_seconds: float = MIN_RESTART_DELAY_SECONDS
    started_at: float = 0.0
    restart_at: float | None = None

    def restart_if_exited(self) -> None:
        if self.restart_at is None and self.child.has_exited():
            self.schedule_restart()
        if self.restart_at is not None and time.monotonic() >= self.restart_at:
            self.child.start()
            self.started_at, self.restart_at = time.monotonic(), None

    def schedule_restart(self) -> None:
        """Print why the child exited, and choose the time of its restart."""
        status = self.child.reap()
        reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        print_message(f"{self.child.name} exited ({reason}). Restarting it. See {self.child.log}")
        if time.monotonic() - self.started_at > HEALTHY_SECONDS:
            self.delay_seconds = MIN_RESTART_DELAY_SECONDS
        self.restart_at = time.monotonic() + self.delay_seconds
        self.delay_seconds = min(2 * self.delay_seconds, MAX_RESTART_DELAY_SECONDS)


def get_url(port: int) -> str:
    return f"http://localhost:{port}"


def accepts_connections(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def require_free_port(port: int) -> None:
    """Raises: StartupError if another program listens on the port."""
    if not is_port_free(port):
        free_port = next(other for other in range(port + 1, 65_536) if is_port_free(other))
        raise StartupError(f"Port {port} is in use. Choose another one: make run PORT={free_port}")


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        # The web server sets this option too. With it an address in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def print_message(message: str) -> None:
    """Print to standard error, and ignore that the terminal may be closed."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)
