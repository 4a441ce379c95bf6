"""Requests that Django cannot read are answered before it sees them.

Its own parser raises on some, outside everything that turns an error into an answer.
"""

from __future__ import annotations

import json
from io import BytesIO
from urllib.parse import parse_qsl

from django.core.handlers.asgi import ASGIRequest

ADMIN = "/admin/"
UNREADABLE = {"code": "malformed", "message": "This request cannot be read.", "errors": []}


def refuse_unreadable(application):
    """The application, for requests that can be read; 400 for the others."""

    async def refusing(scope, receive, send):
        if scope["type"] == "http" and not is_readable(scope):
            body = json.dumps(UNREADABLE).encode()
            headers = [(b"Content-Type", b"application/json")]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await application(scope, receive, send)

    return refusing


def is_readable(scope) -> bool:
    try:
        request = ASGIRequest(scope, BytesIO())
        # No text with a NUL can be asked for in the database: not a session, and not what the
        # lists of Django's admin are filtered by, which it does not look at itself.
        texts = [*request.COOKIES.values()]
        if request.path.startswith(ADMIN):
            texts += [text for _, text in parse_qsl(request.META["QUERY_STRING"])]
        return not any("\x00" in text for text in texts)
    except Exception:  # Whatever a header leads its parser into.
        return False
