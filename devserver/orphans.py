"""Processes that outlived a supervisor killed without warning: found, proven, stopped.

A pid proves nothing, it may be anybody's by now. Ours is what carries our mark in its
environment, or a server started on a folder that only we use: the environment of a server
under another account is not everywhere readable, its command line is.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from devserver.paths import known_folders
from devserver.processes import MARK, wait_or_hear

SERVERS = {"postgres", "redis-server", "valkey-server"}
PATIENCE_SECONDS = 25


def stop_leftovers(var: Path) -> list[str]:
    """Stop them, by force if they do not end in time, and return their names."""
    folders = known_folders(var)
    found = [process for process in psutil.process_iter() if is_ours(process, var, folders)]
    names = [stop(process) for process in found]
    for process in wait_for_ends(found):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for_ends(found)
    return sorted(set(names))


def wait_for_ends(found: list[psutil.Process]) -> list[psutil.Process]:
    """Wait as long as we may, and return those that have not ended."""
    wait_or_hear(lambda: not psutil.wait_procs(found, 0)[1], PATIENCE_SECONDS)
    return psutil.wait_procs(found, 0)[1]


def is_ours(process: psutil.Process, var: Path, folders: list[Path]) -> bool:
    return carries_our_mark(process, var) or serves_our_folder(process, folders)


def carries_our_mark(process: psutil.Process, var: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == str(var)
    except (psutil.Error, OSError):
        return False  # It ended meanwhile, or belongs to somebody else.


def serves_our_folder(process: psutil.Process, folders: list[Path]) -> bool:
    try:
        words = process.cmdline() if process.name() in SERVERS else []
    except (psutil.Error, OSError):
        return False
    return any(f"{folder}/" in word for folder in folders for word in words)


def stop(process: psutil.Process) -> str:
    name = "gone"
    with suppress(psutil.NoSuchProcess):
        name = process.name()
        # PostgreSQL waits for its clients on SIGTERM, and for nobody on SIGINT.
        process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
    return name
