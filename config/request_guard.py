"""Answer requests that Django cannot parse before Django receives them.

For some malformed headers Django's parser raises an exception outside the code that turns
exceptions into responses.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from django.core.handlers.asgi import ASGIRequest

from imports.request_ids import HEADER, read_request_id

# Scopes and messages of ASGI are dictionaries whose values depend on the message's type.
ASGIDict = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIDict]]
Send = Callable[[ASGIDict], Awaitable[None]]
ASGIApplication = Callable[[Any, Any, Any], Awaitable[Any]]

ADMIN_PATH = "/admin/"
ERROR_BODY = {"code": "malformed", "message": "This request cannot be read.", "errors": []}


def reject_unreadable_requests(application: ASGIApplication) -> ASGIApplication:
    """Wrap an ASGI application: HTTP requests that Django cannot parse get a 400 response."""

    async def guarded_application(scope: ASGIDict, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_readable(scope):
            body = json.dumps(ERROR_BODY).encode()
            request_id = read_request_id(scope["headers"]).encode()
            headers = [(b"Content-Type", b"application/json"), (HEADER.encode(), request_id)]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await application(scope, receive, send)

    return guarded_application


def is_readable(scope: ASGIDict) -> bool:
    """Return whether Django can handle the cookies and headers of an HTTP request."""
    try:
        request = ASGIRequest(scope, BytesIO())
        # PostgreSQL rejects text with a NUL character. Django looks up a session by the cookie's
        # text, and the admin filters its lists by the query string, without checking for NUL.
        texts = list(request.COOKIES.values())
        if request.path.startswith(ADMIN_PATH):
            texts += [value for _, value in parse_qsl(request.META["QUERY_STRING"])]
        return not any("\x00" in text for text in texts)
    except Exception:  # Malformed headers raise exceptions of many classes.
        return False
