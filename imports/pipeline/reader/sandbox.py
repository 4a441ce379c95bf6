"""What the child may use, set before it looks at the file. None of it can be raised beyond that."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PR_SET_PDEATHSIG = 1
DESCRIPTORS = 32
SECONDS, SECONDS_A_MEGABYTE = 6, 4


def confine(limits: dict, *, parent: int) -> None:
    _die_with(parent)
    _be_the_first_to_go()
    _limit(resource.RLIMIT_CORE, 0)  # A core would hold the customers.
    _limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    _limit(resource.RLIMIT_AS, limits["memory_bytes"])
    # The soft limit ends us with SIGXCPU, which says why; the hard one is for whoever ignores it.
    seconds = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def limit_time(size: int) -> None:
    """Let so many bytes, unpacked, take no longer than honest ones: ten times what they did."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    seconds = SECONDS + SECONDS_A_MEGABYTE * (size >> 20)
    resource.setrlimit(resource.RLIMIT_CPU, (min(seconds, hard - 1), hard))


@contextmanager
def part_of_the_memory(part: float) -> Iterator[None]:
    """Make do with less for a while."""
    whole = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (int(whole * part), whole))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (whole, whole))


def _limit(what: int, value: int) -> None:
    resource.setrlimit(what, (value, value))


def _be_the_first_to_go() -> None:
    """Where the service's memory runs out, let the kernel end us and not the worker."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # Linux alone has it.
        score.write("1000")


def _die_with(parent: int) -> None:
    """Be killed as soon as the thread that started us is gone."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It died before we asked.
        os._exit(1)
