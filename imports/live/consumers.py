"""One import's progress as server-sent events.

Django's middleware does not run here, so what it does for other addresses is done by hand.
"""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from io import BytesIO
from time import monotonic
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.utils.module_loading import import_string

from imports.access import User, visible_imports
from imports.live.hub import Full, Viewer, hub
from imports.progress import Snapshot, snapshot
from imports.statuses import FINAL

log = logging.getLogger(__name__)

RETRY = b"retry: 3000\n\n"
PING = b": ping\n\n"
EAGER_SECONDS = 15  # Ten events a second at first, two later.
EAGER_PAUSE, LATER_PAUSE = 0.1, 0.5

NEVER_KEPT = [
    (b"Cache-Control", b"no-cache, no-store, no-transform"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
]
EVENTS = [
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"X-Accel-Buffering", b"no"),  # nginx would collect events.
    *NEVER_KEPT,
]


class Refusal(Exception):
    """An answer in place of a stream."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"code": code, "message": message, "errors": []}).encode()
        self.headers = [
            (b"Content-Type", b"application/json"),
            *NEVER_KEPT,
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ]


class ImportEvents(AsyncHttpConsumer):
    channel_layer_alias = "none"  # Else every request would open a channel of its own.

    stream: asyncio.Task[None] | None = None
    is_open = False

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:  # The tab was closed, or the server stops.
            if self.stream is not None:
                self.stream.cancel()
                await asyncio.wait([self.stream])

    async def http_request(self, message):
        # The base class hears nothing while it handles a request, not even that the
        # browser has left. So the stream runs beside it, and here is only its beginning.
        if not message.get("more_body"):
            self.stream = asyncio.create_task(self.respond())

    async def http_disconnect(self, message):
        raise StopConsumer

    async def respond(self) -> None:
        try:
            await self.send_events(str(self.scope["url_route"]["kwargs"]["job_id"]))
        except Exception as error:
            if self.is_open:
                log.warning("a progress stream failed: %s", type(error).__name__)
                await self.send_body(b"")  # Ends the answer; the browser asks again.
            else:
                await self.refuse(as_refusal(error))

    async def refuse(self, refusal: Refusal) -> None:
        await self.send_response(refusal.status, refusal.body, headers=refusal.headers)

    async def send_events(self, job_id: str) -> None:
        request = checked_request(self.scope)
        session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        # Listen first, look second: a change in between is seen twice, never missed.
        with hub.viewer(job_id) as viewer:
            viewer.user_id, first = await hub.ask(partial(look, session_key, job_id))
            if is_final(first) and request.headers.get("Last-Event-ID") == str(first["version"]):
                return await self.send_response(204, b"", headers=NEVER_KEPT)
            if hub.streams_of(viewer.user_id) > settings.IMPORT_STREAMS_PER_USER:
                message = "You have too many progress streams open. Close a tab."
                raise Refusal(429, "throttled", message, Retry_After="10")
            viewer.may_watch = partial(may_watch, session_key, viewer.user_id, job_id)
            viewer.show(first)
            self.is_open = True
            await self.send_headers(headers=EVENTS)
            if request.method == "GET":
                await self.follow(viewer)
        return await self.send_body(b"")

    async def follow(self, viewer: Viewer) -> None:
        """Send what is new, not too often, until the end of the import or of the stream."""
        await self.send_body(RETRY, more_body=True)
        began, pause_until = monotonic(), 0.0
        while (age := monotonic() - began) < settings.IMPORT_STREAM_SECONDS:
            left = settings.IMPORT_STREAM_SECONDS - age
            try:
                async with asyncio.timeout(min(settings.IMPORT_PING_SECONDS, left)):
                    newest = await viewer.next(pause=pause_until - monotonic())
            except TimeoutError:
                await self.send_body(PING, more_body=True)
                continue
            if newest is None:
                return
            await self.send_body(event(newest), more_body=True)
            if is_final(newest):
                return
            pause_until = monotonic() + (EAGER_PAUSE if age < EAGER_SECONDS else LATER_PAUSE)


# --- Who asks, and for what --------------------------------------------------


def checked_request(scope: dict[str, Any]) -> ASGIRequest:
    """The request, if it is one for this site that asks to read."""
    request = ASGIRequest(scope, BytesIO())
    request.get_host()
    if request.method not in {"GET", "HEAD"}:
        message = f"{request.method} is not possible here."
        raise Refusal(405, "method_not_allowed", message, Allow="GET, HEAD")
    return request


def look(session_key: str | None, job_id: str) -> tuple[int, Snapshot]:
    """Whose stream it is, and the import as it stands."""
    user = user_of(session_key)
    if not user.is_authenticated:
        raise Refusal(401, "not_authenticated", "Log in to follow an import.")
    job = visible_imports(user).filter(pk=job_id).first()
    if job is None:
        raise Refusal(404, "not_found", "There is no such import.")
    return user.pk, snapshot(job)


def may_watch(session_key: str | None, user_id: int, job_id: str) -> bool:
    user = user_of(session_key)
    return user.pk == user_id and visible_imports(user).filter(pk=job_id).exists()


def user_of(session_key: str | None) -> User:
    """Who is logged in by this session now."""
    session: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request = HttpRequest()
    request.session = session(session_key)
    return get_user(request)


def as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, DisallowedHost):
        return Refusal(400, "invalid_host", "This site does not answer to that name.")
    if isinstance(error, Full):
        message = "Too many progress streams are open. Ask again later."
        return Refusal(503, "unavailable", message, Retry_After="10")
    # Its text may quote a row.
    log.error("a progress stream did not start: %s", type(error).__name__)
    if isinstance(error, (OperationalError, InterfaceError)):
        message = "The database does not answer. Ask again later."
        return Refusal(503, "unavailable", message, Retry_After="5")
    return Refusal(500, "internal_error", "The stream could not be started.")


# --- As events ---------------------------------------------------------------


def is_final(snapshot: Snapshot) -> bool:
    return snapshot["status"] in FINAL


def event(snapshot: Snapshot) -> bytes:
    name = snapshot["status"].lower() if is_final(snapshot) else "progress"
    return f"id: {snapshot['version']}\nevent: {name}\ndata: {json.dumps(snapshot)}\n\n".encode()
