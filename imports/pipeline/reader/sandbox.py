"""Limits on the resources of the reader process, set before it opens the file."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from protocol import LimitValues

PR_SET_PDEATHSIG = 1
MAX_DESCRIPTORS = 32
# Ten times what valid files of this size take.
BASE_CPU_SECONDS = 6
CPU_SECONDS_PER_MB = 4


def enter_sandbox(limits: LimitValues, *, parent: int) -> None:
    """Limit this process for the rest of its life.

    parent: the process id of the parent. This process is killed when the parent exits.
    """
    _exit_with_parent(parent)
    _prefer_oom_kill()
    _set_limit(resource.RLIMIT_CORE, 0)  # A core dump would hold customer data.
    _set_limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _set_limit(resource.RLIMIT_NOFILE, MAX_DESCRIPTORS)
    _set_limit(resource.RLIMIT_AS, limits["memory_bytes"])
    # At the soft limit the kernel sends SIGXCPU, which tells the parent the reason. At the hard
    # limit it kills a process that ignores that signal.
    seconds = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def limit_cpu_time(size: int) -> None:
    """Limit the CPU time to what this many bytes, uncompressed, may take.

    The limit never exceeds the one that `enter_sandbox` has set.
    """
    hard_limit = resource.getrlimit(resource.RLIMIT_CPU)[1]
    seconds = BASE_CPU_SECONDS + CPU_SECONDS_PER_MB * (size >> 20)
    resource.setrlimit(resource.RLIMIT_CPU, (min(seconds, hard_limit - 1), hard_limit))


@contextmanager
def limit_memory(fraction: float) -> Iterator[None]:
    """Limit the memory to a fraction of the whole limit inside the block."""
    whole_bytes = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (int(whole_bytes * fraction), whole_bytes))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (whole_bytes, whole_bytes))


def _set_limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def _prefer_oom_kill() -> None:
    """If the machine runs out of memory, make the kernel kill this process before the worker."""
    # Only Linux has this file.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def _exit_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it exits."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # The parent exited before the call above.
        os._exit(1)
