"""A child process: started so that it dies with us, stopped politely, then firmly."""

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

import psutil

from devserver import signals
from devserver.paths import CannotRun

# Carried in the environment of every child and of whatever it starts, so that the next
# supervisor knows them for ours.
MARK = "IMPORTS_EMBEDDED_IN"

PR_SET_PDEATHSIG = 1
# Loaded here, because between fork and exec nothing may be imported.
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

TICK_SECONDS = 0.05


@dataclass
class Child:
    """One program: how it is started, how one knows that it is_ready, how it is stopped."""

    name: str
    command: list[str]
    environment: dict[str, str]
    stdin: Path = Path(os.devnull)
    log: Path | None = None  # None: it writes where we write.
    folder: Path = Path("/")
    account: pwd.struct_passwd | None = None
    is_ready: Callable[[], bool] = lambda: True
    stop_signal: signal.Signals = signal.SIGTERM
    patience_seconds: float = 10.0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C in the terminal is for us alone."""
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
                # Runs after the change of account, which would clear what it sets.
                preexec_fn=partial(die_with_parent, os.getpid(), self.stop_signal),
                **as_account(self.account),
            )

    def has_died(self) -> bool:
        """Whether it ended. Its pid stays reserved until `bury`, so nobody else can have it."""
        if self.process is None or self.process.returncode is not None:
            return True
        return psutil.Process(self.process.pid).status() == psutil.STATUS_ZOMBIE

    def bury(self) -> int:
        """End what is left of its process group and return its exit status."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def stop(self) -> None:
        """Ask it to end, wait as long as it may take, then end it."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(self.stop_signal)
        wait_for(self.has_died, self.patience_seconds)
        self.bury()


@contextmanager
def running_child(child: Child, *, start_seconds: float = 60) -> Iterator[Child]:
    """The child, started and answering; stopped in the end."""
    try:
        child.start()
        if not wait_or_hear(lambda: child.has_died() or child.is_ready(), start_seconds):
            raise CannotRun(f"{child.name} does not answer. {last_words(child)}")
        if child.has_died():
            raise CannotRun(f"{child.name} did not start. {last_words(child)}")
        yield child
    finally:
        child.stop()


def run_to_end(child: Child) -> None:
    """Run a program that ends by itself, or say why it failed."""
    try:
        child.start()
        wait_or_hear(child.has_died)
        if child.bury() != 0:
            raise CannotRun(f"{child.name} failed. {last_words(child)}")
    finally:
        child.stop()


def wait_or_hear(happened: Callable[[], bool], seconds: float = float("inf")) -> bool:
    """Whether it happened in time; raises KeyboardInterrupt if a signal comes before."""

    def look() -> bool:
        signals.hear()
        return happened()

    return wait_for(look, seconds)


def wait_for(happened: Callable[[], bool], seconds: float = float("inf")) -> bool:
    """Whether it happened in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK_SECONDS)
    return True


def last_words(child: Child) -> str:
    """The last line of its log, and where the rest is."""
    if child.log is None:
        return ""
    lines = child.log.read_text(errors="replace").strip().splitlines() or ["It said nothing."]
    return f"{lines[-1].strip()}\nMore in {child.log}"


def as_account(account: pwd.struct_passwd | None) -> dict[str, object]:
    """What subprocess needs to change accounts; root's other groups are left behind."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def die_with_parent(parent: int, death_signal: int) -> None:
    """Between fork and exec: have the kernel stop this process when its parent dies."""
    if LIBC is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # It died before we could ask.
        os._exit(1)
