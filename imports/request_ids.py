"""The id of a request, so that a client's report and the records of the log can be matched.

A client may send one in the header `X-Request-ID`. Otherwise the app makes one. Every response of
the API has it in the same header. A record of the log has it with `RequestIDFilter`::

    LOGGING = {
        "filters": {"request_id": {"()": "imports.request_ids.RequestIDFilter"}},
        "formatters": {"plain": {"format": "%(request_id)s %(message)s"}},
        ...

The views and streams of the app need no set-up. A project that wants ids for its other views adds
`"imports.request_ids.add_request_id"` at the beginning of MIDDLEWARE.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TypeVar
from uuid import uuid4

from django.http import HttpRequest, HttpResponseBase

REQUEST_ID_HEADER = "X-Request-ID"
# Other ids could break lines of the log, or fill it.
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+/=:@-]{0,127}", re.ASCII)
NO_REQUEST_ID = "-"

_current_id: ContextVar[str] = ContextVar("imports_request_id", default="")

Response = TypeVar("Response", bound=HttpResponseBase)


def choose_request_id(sent: str | None) -> str:
    """Return the id that the client has sent if it is well-formed, otherwise a new one."""
    return sent if sent and REQUEST_ID_PATTERN.fullmatch(sent) else uuid4().hex


def read_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id for the headers of an ASGI scope."""
    name = REQUEST_ID_HEADER.lower().encode()
    sent = [value for key, value in headers if key.lower() == name]
    return choose_request_id(sent[0].decode("latin-1") if len(sent) == 1 else None)


@contextmanager
def set_request_id(request_id: str) -> Iterator[None]:
    """Give the records that are logged inside the block this id."""
    token = _current_id.set(request_id)
    try:
        yield
    finally:
        _current_id.reset(token)


def add_request_id(
    get_response: Callable[..., Response],
) -> Callable[..., Response]:
    """Decorate a view so that its response has the id of the request. It is a middleware too."""

    @wraps(get_response)
    def respond(request: HttpRequest, *args: object, **kwargs: object) -> Response:
        request_id = _current_id.get() or choose_request_id(request.headers.get(REQUEST_ID_HEADER))
        # Django logs the status of a response after the view and the middleware have returned.
        request.request_id = request_id  # type: ignore[attr-defined]
        with set_request_id(request_id):
            response = get_response(request, *args, **kwargs)
        response.headers[REQUEST_ID_HEADER] = request_id
        return response

    return respond


class RequestIDFilter(logging.Filter):
    """Add `request_id` to each record: the id of the request, or "-" outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        of_request = getattr(getattr(record, "request", None), "request_id", None)
        record.request_id = _current_id.get() or of_request or NO_REQUEST_ID
        return True
