"""Signals that ask for the stop: noted when they come, heard where the supervisor waits.

Raised wherever Python happens to be, an exception could be lost in a finalizer, and the stop
with it, or leave a child to nobody that was started just then. What stops hears nothing.
"""

from __future__ import annotations

import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_came = False


def listen() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, _note)


def hear() -> None:
    """Raise KeyboardInterrupt if a signal came."""
    if _came:
        raise KeyboardInterrupt


def _note(*_: object) -> None:
    global _came
    _came = True
