"""Routing of connections: which ones are streams. All others go to the project's application.

In the asgi.py of a project::

    application = add_streams(get_asgi_application())
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import UUID

from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, ResolverMatch, resolve

from imports.live.request_threads import reuse_threads
from imports.live.sse import ImportEventsConsumer
from imports.live.websocket import ImportSocketConsumer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Any, Any, Any], Awaitable[Any]]

EVENT_STREAM_SUFFIXES = ("/events/", "/events")


def add_streams(application: ASGIApplication) -> ASGIApplication:
    """Return an ASGI application that serves the streams of imports.

    It passes every other connection to `application`. The streams have the addresses that the
    project's URLconf gives them, by including `imports.urls`. If `application` is Django's own, its
    requests run in threads that are kept: see `request_threads`.
    """
    events, socket = ImportEventsConsumer.as_asgi(), ImportSocketConsumer.as_asgi()
    others = application
    if isinstance(application, ASGIHandler):
        others = reject_websocket  # Django itself cannot handle WebSockets.
        application = reuse_threads(application)

    async def streaming_application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (match := find_event_stream(scope)):
            await events({**scope, **make_url_route(match)}, receive, send)
        elif scope["type"] == "websocket":
            match = find_socket(scope)
            if match:
                await socket({**scope, **make_url_route(match)}, receive, send)
            else:
                await others(scope, receive, send)
        else:
            await application(scope, receive, send)

    return streaming_application


def find_event_stream(scope: Scope) -> ResolverMatch | None:
    """Return the match of an HTTP request for an event stream; None for any other request."""
    if not scope["path"].endswith(EVENT_STREAM_SUFFIXES):  # Most requests are resolved only once.
        return None
    match = resolve_scope(scope)
    view_class = getattr(match.func, "cls", None) if match else None
    return match if getattr(view_class, "is_event_stream", False) else None


def find_socket(scope: Scope) -> ResolverMatch | None:
    """Return the match of a WebSocket of an import; None for any other WebSocket."""
    match = resolve_scope(scope)
    return match if match and match.func is require_websocket else None


def resolve_scope(scope: Scope) -> ResolverMatch | None:
    """Return what the project's URLconf has for a connection; None if it has nothing.

    The path may lack its last slash. A stream cannot be redirected: a WebSocket client does not
    follow a redirect.
    """
    path = scope["path"].removeprefix(get_script_prefix(scope).rstrip("/"))
    try:
        return resolve(f"{path.removesuffix('/')}/")
    except Resolver404:
        return None


def make_url_route(match: ResolverMatch) -> Scope:
    """Return the entry of a scope that Channels' URLRouter would make."""
    return {"url_route": {"args": match.args, "kwargs": match.kwargs}}


async def reject_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the handshake of a WebSocket at an unknown path."""
    await receive()
    await send({"type": "websocket.close"})


def require_websocket(request: HttpRequest, id: UUID) -> HttpResponse:  # noqa: A002
    """Answer a request without a WebSocket handshake. `add_streams` handles the others."""
    return HttpResponse(status=426, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
