"""Find and stop processes that are still running after their supervisor was killed.

A recorded process ID is no proof: it may belong to another program by now. A process is an orphan
of this project if its environment has our mark, or if it is a database server whose command line
names one of our folders. The environment of a server that runs under another account is not
readable on every system, but its command line is.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from devserver.paths import list_server_folders
from devserver.processes import ENVIRONMENT_MARK, wait_or_interrupt

SERVER_NAMES = {"postgres", "redis-server", "valkey-server"}
STOP_TIMEOUT_SECONDS = 25


def stop_orphans(var: Path) -> list[str]:
    """Stop the orphans, kill those that do not exit in time, and return their names.

    Raises: KeyboardInterrupt if a stop signal is received meanwhile.
    """
    folders = list_server_folders(var)
    orphans = [process for process in psutil.process_iter() if is_orphan(process, var, folders)]
    names = [request_stop(process) for process in orphans]
    for process in wait_for_exits(orphans):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for_exits(orphans)
    return sorted(set(names))


def wait_for_exits(orphans: list[psutil.Process]) -> list[psutil.Process]:
    """Wait up to STOP_TIMEOUT_SECONDS, and return the processes that have not exited."""
    wait_or_interrupt(lambda: not psutil.wait_procs(orphans, 0)[1], STOP_TIMEOUT_SECONDS)
    return psutil.wait_procs(orphans, 0)[1]


def is_orphan(process: psutil.Process, var: Path, folders: list[Path]) -> bool:
    return has_mark(process, var) or is_server_on(process, folders)


def has_mark(process: psutil.Process, var: Path) -> bool:
    try:
        mark = process.environ().get(ENVIRONMENT_MARK)
        return process.pid != os.getpid() and mark == str(var)
    except (psutil.Error, OSError):
        return False  # The process has exited, or it belongs to another user.


def is_server_on(process: psutil.Process, folders: list[Path]) -> bool:
    try:
        words = process.cmdline() if process.name() in SERVER_NAMES else []
    except (psutil.Error, OSError):
        return False
    return any(f"{folder}/" in word for folder in folders for word in words)


def request_stop(process: psutil.Process) -> str:
    """Send a stop signal, and return the process's name."""
    name = "unknown"
    with suppress(psutil.NoSuchProcess):
        name = process.name()
        # On SIGTERM PostgreSQL waits for its clients to disconnect, on SIGINT it does not.
        process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
    return name
