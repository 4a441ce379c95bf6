"""Reject requests that Django should not receive: those that it cannot parse, and huge bodies.

In the asgi.py of a project::

    application = guard_requests(add_streams(get_asgi_application()))

For some malformed headers Django's parser raises an exception outside the code that turns
exceptions into responses. Django also stores a whole body on disk before a view can check its
length. (Daphne reads the body before any of this code runs, so it needs a limit in front of it.)
"""

from __future__ import annotations

import json
import logging
from io import BytesIO
from urllib.parse import parse_qsl

from django.core.handlers.asgi import ASGIRequest

from imports.conf import MAX_FORM_OVERHEAD_BYTES, app_settings
from imports.error_body import (
    NO_SPACE_RETRY_SECONDS,
    ErrorBody,
    is_no_space_error,
    make_error_body,
    make_no_space_body,
    make_too_large_body,
)
from imports.live.authorization import RawHeaders, get_cross_origin_headers
from imports.live.routing import (
    ASGIApplication,
    Message,
    Receive,
    Scope,
    Send,
    reject_websocket,
    resolve_scope,
)
from imports.request_ids import REQUEST_ID_HEADER, read_request_id

log = logging.getLogger(__name__)

UNREADABLE_MESSAGE = "This request cannot be read."
# Python before 3.11.10 and 3.12.6 needs a second to parse a quoted cookie of 12 kB that consists
# of escapes. The time grows with the square of their number (CVE-2024-7592).
MAX_COOKIE_ESCAPES = 500


def guard_requests(application: ASGIApplication) -> ASGIApplication:
    """Wrap an ASGI application of a project.

    An HTTP request that Django cannot parse, or whose cookies would take too long to parse, gets
    status 400. The handshake of a WebSocket with such cookies is refused. A request to a URL of
    this app whose body is larger than IMPORTS_MAX_UPLOAD_BYTES and its form fields gets status 413;
    its body is discarded while it arrives. Other URLs of the project have no limit. A request to a
    URL of this app whose body Django cannot store, because the disk is full, gets status 503.
    """

    async def guarded_application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and has_too_many_escapes(scope):
            await reject_websocket(scope, receive, send)
        elif scope["type"] != "http":
            await application(scope, receive, send)
        elif has_too_many_escapes(scope) or not is_readable(scope):
            await send_error(scope, send, 400, make_error_body("malformed", UNREADABLE_MESSAGE), [])
        else:
            await call_with_space(application, scope, receive, send)

    return guarded_application


# --- Unreadable requests -----------------------------------------------------


def is_readable(scope: Scope) -> bool:
    """Return whether Django can handle the cookies and headers of an HTTP request."""
    try:
        request = ASGIRequest(scope, BytesIO())
        # PostgreSQL rejects text with a NUL character. Django looks up a session by the cookie's
        # text, and the admin filters its lists by the query string, without checking for NUL.
        has_nul_in_cookie = any("\x00" in text for text in request.COOKIES.values())
        query = parse_qsl(request.META["QUERY_STRING"])
        has_nul_in_query = any("\x00" in value for _, value in query)
        return not has_nul_in_cookie and not (has_nul_in_query and is_url_of(scope, "admin"))
    except Exception:  # Malformed headers raise exceptions of many classes.
        return False


def has_too_many_escapes(scope: Scope) -> bool:
    """Return whether the cookies of a connection would take too long to parse."""
    cookies = (value for name, value in scope["headers"] if name == b"cookie")
    escapes: int = sum(value.count(b"\\") for value in cookies)
    return escapes > MAX_COOKIE_ESCAPES


def is_url_of(scope: Scope, app_name: str) -> bool:
    """Return whether the project's URLconf has the path in the namespace of this app."""
    match = resolve_scope(scope)
    return match is not None and app_name in match.app_names


# --- A full disk -------------------------------------------------------------


async def call_with_space(
    application: ASGIApplication, scope: Scope, receive: Receive, send: Send
) -> None:
    """Call the application; if the disk is full, discard the body and respond with 503."""
    has_started = False

    async def send_and_note(message: Message) -> None:
        nonlocal has_started
        has_started = True
        await send(message)

    try:
        await call_with_limit(application, scope, receive, send_and_note)
    except OSError as error:
        if has_started or not is_no_space_error(error) or not is_url_of(scope, "imports"):
            raise
        log.error("a request cannot be stored: no disk space is left for temporary files")
        await discard_body(receive)
        await send_error(scope, send, 503, make_no_space_body(), make_no_space_headers(scope))


def make_no_space_headers(scope: Scope) -> RawHeaders:
    retry_after = (b"Retry-After", str(NO_SPACE_RETRY_SECONDS).encode())
    return [retry_after, *get_cross_origin_headers(ASGIRequest(scope, BytesIO()))]


# --- Large bodies ------------------------------------------------------------


async def call_with_limit(
    application: ASGIApplication, scope: Scope, receive: Receive, send: Send
) -> None:
    """Call the application; if the body is too large, discard the body and respond with 413."""
    headers = dict(scope["headers"])
    max_bytes = app_settings.MAX_UPLOAD_BYTES + MAX_FORM_OVERHEAD_BYTES
    announced = headers.get(b"content-length", b"").decode("latin1")
    is_too_large = announced.isdecimal() and int(announced) > max_bytes
    has_limit = is_too_large or b"transfer-encoding" in headers
    if not has_limit or not is_url_of(scope, "imports"):
        await application(scope, receive, send)
        return
    received_bytes = 0

    async def receive_limited() -> Message:
        nonlocal received_bytes, is_too_large
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes <= max_bytes:
            return message
        is_too_large = True
        if message.get("more_body"):
            await discard_body(receive)
        # Django then deletes what it has stored, and sends nothing.
        return {"type": "http.disconnect"}

    if is_too_large:
        await discard_body(receive)
    else:
        await application(scope, receive_limited, send)
    if is_too_large:
        body = make_too_large_body(app_settings.MAX_UPLOAD_BYTES)
        cross_origin = get_cross_origin_headers(ASGIRequest(scope, BytesIO()))
        await send_error(scope, send, 413, body, cross_origin)


async def discard_body(receive: Receive) -> None:
    """Receive the rest of the body. A client that still sends does not read a response."""
    more_body = True
    while more_body:
        message = await receive()
        more_body = message["type"] == "http.request" and message.get("more_body", False)


async def send_error(
    scope: Scope, send: Send, status: int, body: ErrorBody, headers: RawHeaders
) -> None:
    request_id = read_request_id(scope["headers"]).encode()
    all_headers = [
        (b"Content-Type", b"application/json"),
        (REQUEST_ID_HEADER.encode(), request_id),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
