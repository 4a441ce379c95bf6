"""Which connections are streams; everything else is Django's."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.handlers.asgi import ASGIHandler
from django.urls import path, re_path

from imports.live.consumers import ImportEvents


def with_streams(django_application: ASGIHandler) -> ProtocolTypeRouter:
    events = ImportEvents.as_asgi()
    return ProtocolTypeRouter(
        {
            "http": URLRouter(
                [
                    path("api/imports/<uuid:job_id>/events/", events),
                    path("api/imports/<uuid:job_id>/events", events),
                    re_path("", django_application),
                ]
            ),
            "websocket": refuse_socket,
        }
    )


async def refuse_socket(scope, receive, send):
    """Nothing here is spoken over WebSocket: refuse the handshake."""
    await receive()
    await send({"type": "websocket.close"})
