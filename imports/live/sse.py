"""Progress as server-sent events: the stream of one import, or the feed of the user's imports.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from django.core.handlers.asgi import ASGIRequest

from imports.live.authorization import (
    NO_STORE_HEADERS,
    HttpError,
    RawHeaders,
    build_request,
    get_cross_origin_headers,
    get_job_id,
    open_subscription,
    to_http_error,
)
from imports.live.coalescing import is_final, iterate_updates
from imports.live.hub import Subscriber
from imports.live.stream_task import StreamTaskMixin
from imports.request_ids import REQUEST_ID_HEADER, read_request_id, set_request_id
from imports.snapshots import Snapshot

log = logging.getLogger(__name__)

# Neither ends with an empty line: each belongs to the event that follows. Some parsers report a
# block without data as an event without data.
RETRY_FIELD = b"retry: 3000\n"  # Milliseconds after which a browser reconnects.
HEARTBEAT = b": ping\n"
EVENT_STREAM_HEADERS: RawHeaders = [
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"X-Accel-Buffering", b"no"),  # Otherwise nginx would hold events back.
    *NO_STORE_HEADERS,
]


class ImportEventsConsumer(StreamTaskMixin, AsyncHttpConsumer):  # type: ignore[misc]  # Channels has no types.
    """Answers a GET or HEAD request for a stream, and the OPTIONS request of a browser."""

    has_started_stream = False
    # Of every response: the id of the request and, once they are known, the cross-origin headers.
    common_headers: RawHeaders = []

    async def http_request(self, message: dict[str, Any]) -> None:
        # While this method runs, the base class receives no message, not even the one that says
        # that the client has disconnected. Therefore the stream runs in a task of its own.
        if not message.get("more_body"):
            self.stream_task = asyncio.create_task(self.respond())

    async def http_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def respond(self) -> None:
        request_id = read_request_id(self.scope["headers"])
        self.common_headers = [(REQUEST_ID_HEADER.encode(), request_id.encode())]
        with set_request_id(request_id):
            await self.handle_errors()

    async def handle_errors(self) -> None:
        try:
            await self.handle_request()
        except Exception as error:
            if self.has_started_stream:
                log.warning("a progress stream failed: %s", type(error).__name__)
                await self.send_body(b"")  # The end of the response: the browser reconnects.
            else:
                response = to_http_error(error)
                await self.send_complete(response.status, response.headers, response.body)

    async def handle_request(self) -> None:
        request = build_request(self.scope)
        self.common_headers += get_cross_origin_headers(request)
        if request.method == "OPTIONS":  # The preflight request for a page of another site.
            await self.send_complete(204, [(b"Allow", b"GET, HEAD, OPTIONS")])
        elif request.method in {"GET", "HEAD"}:
            await self.send_stream(request)
        else:
            message = f"{request.method} is not possible here."
            raise HttpError(405, "method_not_allowed", message, Allow="GET, HEAD, OPTIONS")

    async def send_complete(self, status: int, headers: RawHeaders, body: bytes = b"") -> None:
        await self.send_response(status, body, headers=[*headers, *self.common_headers])

    async def send_stream(self, request: ASGIRequest) -> None:
        job_id = get_job_id(self.scope)
        async with open_subscription(request, job_id) as subscriber:
            if job_id and has_seen_end(request.headers.get("Last-Event-ID"), subscriber):
                # Status 204 tells a browser not to reconnect.
                await self.send_complete(204, NO_STORE_HEADERS)
                return
            self.has_started_stream = True
            await self.send_headers(headers=[*EVENT_STREAM_HEADERS, *self.common_headers])
            if request.method == "GET":
                await self.send_events(subscriber, until_final=bool(job_id))
        await self.send_body(b"")

    async def send_events(self, subscriber: Subscriber, *, until_final: bool) -> None:
        await self.send_body(RETRY_FIELD, more_body=True)
        async with aclosing(iterate_updates(subscriber)) as updates:
            async for snapshots in updates:
                events = b"".join(map(format_event, snapshots))
                await self.send_body(events or HEARTBEAT, more_body=True)
                if until_final and any(map(is_final, snapshots)):
                    return


def has_seen_end(last_event_id: str | None, subscriber: Subscriber) -> bool:
    """Whether the client that reconnects has received the last snapshot of the import."""
    return any(
        is_final(snapshot) and str(snapshot["version"]) == last_event_id
        for snapshot in subscriber.pending.values()
    )


def format_event(snapshot: Snapshot) -> bytes:
    """Return a snapshot as one event.

    The event is named after the status if that is final, otherwise "progress". Its id is the
    version of the import.
    """
    name = snapshot["status"].lower() if is_final(snapshot) else "progress"
    return f"id: {snapshot['version']}\nevent: {name}\ndata: {json.dumps(snapshot)}\n\n".encode()
