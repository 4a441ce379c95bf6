"""Daphne, told to leave bodies to Django.

Twisted would parse each form as well: in fourteen times its size of memory, on the loop that
carries every stream, and with an empty answer to what it cannot parse.
"""

from __future__ import annotations

from typing import Any

from daphne import http_protocol


class Request(http_protocol.WebRequest):
    def __init__(self, channel: Any, queued: Any = False) -> None:
        super().__init__(channel, queued, parsePOSTFormSubmission=False)


def leave_bodies_alone() -> None:
    """Take effect for every connection that Daphne accepts from now on."""
    http_protocol.WebRequest = Request
