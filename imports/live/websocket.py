"""Progress over a WebSocket: each message is a snapshot, the last one that of the end.

Close codes: 1000 the import has come to its end; 4000 connect again (a connection lasts
minutes, not hours); 4400 nothing is to be sent here; 4401, 4404, 4429, 4503: HTTP's own.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.handlers.asgi import ASGIRequest

from imports.live.authorization import (
    build_request,
    get_job_id,
    is_origin_allowed,
    open_subscription,
    to_http_error,
)
from imports.live.coalescing import is_final, iterate_updates

THE_END, AGAIN, NOT_READ = 1000, 4000, 4400
HTTP = 4000  # Added to an HTTP status: a browser tells a script nothing of a refused handshake.


class ImportSocketConsumer(AsyncWebsocketConsumer):
    channel_layer_alias = "none"

    stream: asyncio.Task[None] | None = None

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:  # The tab was closed, or the server stops.
            if self.stream is not None:
                self.stream.cancel()
                await asyncio.wait([self.stream])

    async def websocket_connect(self, message):
        try:
            request = build_request(self.scope)
            welcome = is_origin_allowed(request)
        except Exception:  # Whatever a header leads its parser into.
            welcome = False
        if not welcome:
            return await self.close()
        await self.accept()
        self.stream = asyncio.create_task(self.respond(request))
        return None

    async def websocket_disconnect(self, message):
        raise StopConsumer

    async def receive(self, text_data=None, bytes_data=None):
        await self.close(NOT_READ, "Nothing is to be sent here.")

    async def respond(self, request: ASGIRequest) -> None:
        try:
            await self.send_news(request)
        except Exception as error:
            refusal = to_http_error(error)
            await self.close(HTTP + refusal.status, str(refusal))

    async def send_news(self, request: ASGIRequest) -> None:
        async with (
            open_subscription(request, get_job_id(self.scope)) as viewer,
            aclosing(iterate_updates(viewer)) as all_news,
        ):
            async for news in all_news:
                for snapshot in news:
                    await self.send(json.dumps(snapshot))
                    if is_final(snapshot):
                        return await self.close(THE_END)
        return await self.close(AGAIN, "Connect again.")
