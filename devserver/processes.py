"""Child processes that exit together with their parent."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypedDict

import psutil

from devserver import signals
from devserver.paths import StartupError

# Every child has this environment variable, and passes it on to the processes that it starts. The
# next supervisor recognises processes of an earlier one by it.
ENVIRONMENT_MARK = "IMPORTS_DEVSERVER_FOLDER"

PR_SET_PDEATHSIG = 1
# Loaded here because nothing may be imported between fork and exec.
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

POLL_SECONDS = 0.05


class AccountArguments(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass
class Child:
    """A program: how to start it, how to find out whether it is ready, and how to stop it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    stdin: Path = Path(os.devnull)
    log: Path | None = None  # None: the output of this process.
    folder: Path = Path("/")
    account: pwd.struct_passwd | None = None
    is_ready: Callable[[], bool] = lambda: True
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 10.0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the program in its own session, so that Ctrl-C reaches the supervisor only."""
        log = self.log.open("ab") if self.log else nullcontext()
        with self.stdin.open("rb") as stdin, log as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # Runs after the change of account, which would clear the setting.
                preexec_fn=partial(set_parent_death_signal, os.getpid(), self.stop_signal),
                **get_account_arguments(self.account),
            )

    def has_exited(self) -> bool:
        """Return whether the program has exited.

        The kernel does not reuse the process ID before `reap` is called.
        """
        if self.process is None or self.process.returncode is not None:
            return True
        return psutil.Process(self.process.pid).status() == psutil.STATUS_ZOMBIE

    def reap(self) -> int:
        """Kill what is left of the process group, and return the program's exit status."""
        assert self.process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def stop(self) -> None:
        """Send the stop signal, wait up to `stop_timeout_seconds`, then kill the program."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(self.stop_signal)
        wait_for(self.has_exited, self.stop_timeout_seconds)
        self.reap()


@contextmanager
def running_child(child: Child, *, start_seconds: float = 60) -> Iterator[Child]:
    """Start the child and wait until it is ready. Stop it at the end.

    Raises: StartupError if the child exits or is not ready within `start_seconds`;
    KeyboardInterrupt if a stop signal is received meanwhile.
    """
    try:
        child.start()
        if not wait_or_interrupt(lambda: child.has_exited() or child.is_ready(), start_seconds):
            raise StartupError(f"{child.name} does not respond. {describe_log(child)}")
        if child.has_exited():
            raise StartupError(f"{child.name} did not start. {describe_log(child)}")
        yield child
    finally:
        child.stop()


def run_to_end(child: Child) -> None:
    """Start the child and wait until it exits.

    Raises: StartupError if its exit status is not 0; KeyboardInterrupt if a stop signal is
    received meanwhile.
    """
    try:
        child.start()
        wait_or_interrupt(child.has_exited)
        if child.reap() != 0:
            raise StartupError(f"{child.name} failed. {describe_log(child)}")
    finally:
        child.stop()


def wait_or_interrupt(condition: Callable[[], bool], seconds: float = float("inf")) -> bool:
    """Wait until the condition is true. Return False if it is not true in time.

    Raises: KeyboardInterrupt if a stop signal is received.
    """

    def check() -> bool:
        signals.raise_if_stop_requested()
        return condition()

    return wait_for(check, seconds)


def wait_for(condition: Callable[[], bool], seconds: float = float("inf")) -> bool:
    """Wait until the condition is true. Return False if it is not true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def describe_log(child: Child) -> str:
    """Return the last line of the child's log and the log's path. Empty: the child has no log."""
    if child.log is None:
        return ""
    lines = child.log.read_text(errors="replace").strip().splitlines() or ["Its log is empty."]
    return f"{lines[-1].strip()}\nSee {child.log}"


def get_account_arguments(account: pwd.struct_passwd | None) -> AccountArguments:
    """Return the arguments of `subprocess.Popen` that change the account.

    They drop root's supplementary groups.
    """
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def set_parent_death_signal(parent: int, death_signal: int) -> None:
    """Let the kernel send a signal to this process when its parent exits. Linux only.

    Runs in the child between fork and exec.
    """
    if LIBC is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # The parent exited before the call of prctl.
        os._exit(1)
