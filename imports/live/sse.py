"""Progress as server-sent events: of one import, or the feed of all that one may see."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing

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
from imports.snapshots import Snapshot

log = logging.getLogger(__name__)

RETRY = b"retry: 3000\n\n"
PING = b": ping\n\n"
EVENTS: RawHeaders = [
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"X-Accel-Buffering", b"no"),  # nginx would collect events.
    *NO_STORE_HEADERS,
]


class ImportEventsConsumer(AsyncHttpConsumer):
    channel_layer_alias = "none"  # Else every request would open a channel of its own.

    stream: asyncio.Task[None] | None = None
    is_open = False
    cross_origin: RawHeaders = []

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
            await self.answer()
        except Exception as error:
            if self.is_open:
                log.warning("a progress stream failed: %s", type(error).__name__)
                await self.send_body(b"")  # Ends the answer; the browser asks again.
            else:
                refusal = to_http_error(error)
                await self.respond_with(refusal.status, refusal.headers, refusal.body)

    async def answer(self) -> None:
        request = build_request(self.scope)
        self.cross_origin = get_cross_origin_headers(request)
        if request.method == "OPTIONS":  # A browser asks for a page of another site.
            await self.respond_with(204, [(b"Allow", b"GET, HEAD, OPTIONS")])
        elif request.method in {"GET", "HEAD"}:
            await self.send_events(request)
        else:
            message = f"{request.method} is not possible here."
            raise HttpError(405, "method_not_allowed", message, Allow="GET, HEAD, OPTIONS")

    async def respond_with(self, status: int, headers: RawHeaders, body: bytes = b"") -> None:
        await self.send_response(status, body, headers=[*headers, *self.cross_origin])

    async def send_events(self, request: ASGIRequest) -> None:
        job_id = get_job_id(self.scope)
        async with open_subscription(request, job_id) as viewer:
            if job_id and ends_at(request.headers.get("Last-Event-ID"), viewer):
                return await self.respond_with(204, NO_STORE_HEADERS)
            self.is_open = True
            await self.send_headers(headers=[*EVENTS, *self.cross_origin])
            if request.method == "GET":
                await self.send_news(viewer, until_final=bool(job_id))
        return await self.send_body(b"")

    async def send_news(self, viewer: Subscriber, *, until_final: bool) -> None:
        await self.send_body(RETRY, more_body=True)
        async with aclosing(iterate_updates(viewer)) as all_news:
            async for news in all_news:
                await self.send_body(b"".join(map(format_event, news)) or PING, more_body=True)
                if until_final and any(map(is_final, news)):
                    return


def ends_at(last_event_id: str | None, viewer: Subscriber) -> bool:
    """Whether the end of the import has been seen, so that there is no more to wait for."""
    shown = viewer.news.values()
    return any(is_final(one) and str(one["version"]) == last_event_id for one in shown)


def format_event(snapshot: Snapshot) -> bytes:
    name = snapshot["status"].lower() if is_final(snapshot) else "progress"
    return f"id: {snapshot['version']}\nevent: {name}\ndata: {json.dumps(snapshot)}\n\n".encode()
