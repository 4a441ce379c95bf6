"""Progress over a WebSocket: each message is a snapshot, and the last one is final.

Close codes: 1000: the import has ended. 4000: the connection has reached its maximum age, connect
again. 4400: the client sent a message. 4401, 4404, 4429, 4503: 4000 plus the status that an HTTP
request would get.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any

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
from imports.live.stream_task import StreamTaskMixin
from imports.request_ids import REQUEST_ID_HEADER, read_request_id, set_request_id

CLOSE_IMPORT_ENDED = 1000
CLOSE_CONNECT_AGAIN = 4000
CLOSE_MESSAGE_NOT_ALLOWED = 4400
# Added to an HTTP status. A browser does not tell a script why a handshake was refused, so the
# connection is accepted and then closed with a code.
CLOSE_HTTP_STATUS_OFFSET = 4000


class ClientDisconnected(Exception):
    """The client has closed the connection, and its disconnect message is still to come."""


@contextmanager
def raising_disconnected() -> Iterator[None]:
    """Raise ClientDisconnected for any exception of the block, which sends one message.

    Each ASGI server has an exception of its own for a connection that is closed already.
    """
    try:
        yield
    except Exception as error:
        raise ClientDisconnected from error


class ImportSocketConsumer(StreamTaskMixin, AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types.
    """Sends the snapshots of one import."""

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        try:
            request = build_request(self.scope)
            is_allowed = is_origin_allowed(request)
        except Exception:  # Parsing of a malformed header may raise anything.
            is_allowed = False
        if not is_allowed:
            await self.close()
            return
        request_id = read_request_id(self.scope["headers"])
        await self.accept(headers=[(REQUEST_ID_HEADER.encode(), request_id.encode())])
        with set_request_id(request_id):  # The task copies the context.
            self.stream_task = asyncio.create_task(self.respond(request))

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.close(CLOSE_MESSAGE_NOT_ALLOWED, "This connection accepts no messages.")

    async def respond(self, request: ASGIRequest) -> None:
        with suppress(ClientDisconnected):
            try:
                await self.send_snapshots(request)
            except ClientDisconnected:
                raise
            except Exception as error:
                response = to_http_error(error)
                await self.end(CLOSE_HTTP_STATUS_OFFSET + response.status, str(response))

    async def send_snapshots(self, request: ASGIRequest) -> None:
        async with (
            open_subscription(request, get_job_id(self.scope)) as subscriber,
            aclosing(iterate_updates(subscriber)) as updates,
        ):
            async for snapshots in updates:
                for snapshot in snapshots:
                    with raising_disconnected():
                        await self.send(json.dumps(snapshot))
                    if is_final(snapshot):
                        await self.end(CLOSE_IMPORT_ENDED)
                        return
        await self.end(CLOSE_CONNECT_AGAIN, "Connect again.")

    async def end(self, code: int, reason: str | None = None) -> None:
        """Close the connection. Raises: ClientDisconnected."""
        with raising_disconnected():
            await self.close(code, reason)
