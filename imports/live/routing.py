"""Routing of connections: which ones are streams. All others go to Django."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.handlers.asgi import ASGIHandler
from django.urls import path, re_path

from imports.live.sse import ImportEventsConsumer
from imports.live.websocket import ImportSocketConsumer

Message = dict[str, Any]

EVENTS_PATH = "api/imports/<uuid:job_id>/events/"
FEED_PATH = "api/imports/events/"
SOCKET_PATH = "ws/imports/<uuid:job_id>/"


def make_stream_router(django_application: ASGIHandler) -> ProtocolTypeRouter:
    """Return the ASGI application of the site."""
    events, socket = ImportEventsConsumer.as_asgi(), ImportSocketConsumer.as_asgi()
    event_paths = add_paths_without_slash(EVENTS_PATH, FEED_PATH)
    socket_paths = add_paths_without_slash(SOCKET_PATH)
    return ProtocolTypeRouter(
        {
            "http": URLRouter(
                [
                    *(path(each, events) for each in event_paths),
                    # Django's stubs know views here; Channels calls ASGI applications.
                    re_path("", django_application),  # type: ignore[arg-type]
                ]
            ),
            "websocket": URLRouter(
                [
                    *(path(each, socket) for each in socket_paths),
                    re_path("", reject_websocket),  # type: ignore[arg-type]
                ]
            ),
        }
    )


def add_paths_without_slash(*paths: str) -> list[str]:
    """Return each path with and without its last slash.

    A stream cannot be redirected: a WebSocket client does not follow a redirect.
    """
    return [variant for each in paths for variant in (each, each.removesuffix("/"))]


async def reject_websocket(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Refuse the handshake of a WebSocket at an unknown path."""
    await receive()
    await send({"type": "websocket.close"})
