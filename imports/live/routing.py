"""Which connections are streams; everything else is Django's."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.handlers.asgi import ASGIHandler
from django.urls import path, re_path

from imports.live.sse import ImportEventsConsumer
from imports.live.websocket import ImportSocketConsumer

EVENTS_PATH = "api/imports/<uuid:job_id>/events/"
FEED_PATH = "api/imports/events/"
SOCKET_PATH = "ws/imports/<uuid:job_id>/"


def make_stream_router(django_application: ASGIHandler) -> ProtocolTypeRouter:
    events, socket = ImportEventsConsumer.as_asgi(), ImportSocketConsumer.as_asgi()
    return ProtocolTypeRouter(
        {
            "http": URLRouter(
                [
                    *(path(one, events) for one in with_and_without_slash(EVENTS_PATH, FEED_PATH)),
                    re_path("", django_application),
                ]
            ),
            "websocket": URLRouter(
                [
                    *(path(one, socket) for one in with_and_without_slash(SOCKET_PATH)),
                    re_path("", refuse_socket),
                ]
            ),
        }
    )


def with_and_without_slash(*addresses: str) -> list[str]:
    """A stream cannot be redirected: neither a WebSocket nor a POST follows."""
    return [form for address in addresses for form in (address, address.removesuffix("/"))]


async def refuse_socket(scope, receive, send):
    """No WebSocket is spoken here: refuse the handshake."""
    await receive()
    await send({"type": "websocket.close"})
