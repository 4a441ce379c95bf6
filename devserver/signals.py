"""Record signals that request a stop, and raise KeyboardInterrupt at defined places only.

A signal handler that raises could raise anywhere. Python discards an exception that is raised in a
finalizer, so the request would be lost. An exception right after the start of a child could leave
the child running. Code that stops the children does not check for signals.
"""

from __future__ import annotations

import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_is_stop_requested = False


def install_handlers() -> None:
    """Record the stop signals from now on."""
    for number in STOP_SIGNALS:
        signal.signal(number, _record)


def raise_if_stop_requested() -> None:
    """Raises: KeyboardInterrupt if a stop signal was received."""
    if _is_stop_requested:
        raise KeyboardInterrupt


def _record(*_: object) -> None:
    global _is_stop_requested
    _is_stop_requested = True
