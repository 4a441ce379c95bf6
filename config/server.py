"""The web process: Daphne with limits on request bodies and an orderly shutdown.

Start it with `python -m config.server`. It changes four things in Daphne:

* Twisted, on which Daphne is built, parses every form before Django parses it again. It does so in
  the thread that serves all streams, needs ten times the body's size in memory, and takes minutes
  for a form that consists of line ends. Here only Django parses forms.
* Daphne reads a whole body into memory. Here the application receives it in chunks.
* Twisted closes the connection if it cannot store a body because the disk is full. Here the
  response has status 503.
* Daphne may exit before its requests have ended. Here the process waits for them. Meanwhile it
  accepts no connection, and the connection of each stream is closed at once.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any, BinaryIO

import daphne.server  # Must come first: it installs Twisted's event loop.
from corsheaders.middleware import CorsMiddleware
from daphne import http_protocol, ws_protocol
from daphne.cli import CommandLineInterface
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse
from twisted.internet.defer import Deferred

from imports.conf import MAX_FORM_OVERHEAD_BYTES, app_settings
from imports.error_body import (
    NO_SPACE_RETRY_SECONDS,
    ErrorBody,
    is_no_space_error,
    make_no_space_body,
    make_too_large_body,
)
from imports.request_ids import REQUEST_ID_HEADER, read_request_id

log = logging.getLogger(__name__)

BODY_CHUNK_BYTES = 256 * 1024

# A message of ASGI. The types of its values depend on the message's type.
Message = dict[str, Any]


class LimitedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # Daphne is untyped.
    """A request whose body is stored without parsing, up to `get_max_body_bytes()`."""

    has_no_space = False  # Whether the disk is full, so that nothing of the body is stored.

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, parsePOSTFormSubmission=False)
        self.received_bytes = 0

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > get_max_body_bytes():
            # Twisted would open a temporary file for a body that is not going to be stored.
            self.content = BytesIO()
        else:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self.received_bytes > get_max_body_bytes() or self.has_no_space:
            return
        try:
            super().handleContentChunk(data)
            self.content.flush()  # Otherwise the last bytes are written later, and fail there.
        except OSError as error:
            if not is_no_space_error(error):
                raise
            log.error("a request cannot be stored: no disk space is left for temporary files")
            self.has_no_space = True
            self.drop_content()

    def drop_content(self) -> None:
        """Delete what is stored of the body."""
        with suppress(OSError):  # The bytes in its buffer cannot be written.
            self.content.close()
        self.content = BytesIO()

    def process(self) -> Any:
        if self.received_bytes > get_max_body_bytes():
            return self.respond_without_view(
                413, make_too_large_body(app_settings.MAX_UPLOAD_BYTES)
            )
        if self.has_no_space:
            return self.respond_without_view(503, make_no_space_body())
        return super().process()

    def handle_reply(self, message: Message) -> None:
        # Daphne sends a body in response to HEAD. The client would take it for the next response.
        if self.method == b"HEAD" and message["type"] == "http.response.body":
            message = message | {"body": b""}
        super().handle_reply(message)

    def respond_without_view(self, status: int, body: ErrorBody) -> None:
        """Respond with an error, as JSON under /api/ and as HTML elsewhere.

        Twisted calls `process` after the whole body was received. An earlier response would be
        lost: a client that is still sending does not read it.
        """
        if not self.path.startswith(b"/api/"):
            self.basic_error(status, HTTPStatus(status).phrase.encode(), body["message"])
            return
        response = self.add_cors_headers(JsonResponse(body, status=status))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response["Retry-After"] = str(NO_SPACE_RETRY_SECONDS)
        sent = self.requestHeaders.getRawHeaders(REQUEST_ID_HEADER.lower().encode(), [])
        response[REQUEST_ID_HEADER] = read_request_id(
            (REQUEST_ID_HEADER.encode(), value) for value in sent
        )
        headers = [(name.encode(), value.encode()) for name, value in response.items()]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": response.content})

    def add_cors_headers(self, response: HttpResponse) -> HttpResponse:
        """Add the headers that let a page of an allowed origin read the response."""
        origins = self.requestHeaders.getRawHeaders(b"origin", [])
        headers = [(b"origin", origin) for origin in origins]
        request = ASGIRequest({"method": "POST", "path": "/api/", "headers": headers}, BytesIO())
        CorsMiddleware(lambda _: response)(request)
        return response


class WebSocketWithCloseReason(ws_protocol.WebSocketProtocol):  # type: ignore[misc]  # Untyped.
    """Send the reason of a close message, which Daphne drops."""

    def handle_reply(self, message: Message) -> None:
        if message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            self.sendClose(code=message.get("code"), reason=message.get("reason") or None)
        else:
            super().handle_reply(message)


class ReceiveQueue(asyncio.Queue[Message]):
    """What an HTTP application receives: the body in chunks, then messages of the connection.

    Each chunk is read from the stored body when the application asks for it.
    """

    def __init__(self, body: BinaryIO) -> None:
        super().__init__()
        self.body = body
        self.position = 0
        self.more_body = True

    def put_nowait(self, message: Message) -> None:
        # Daphne puts the whole body into one message. `get` reads the body itself.
        if message["type"] != "http.request":
            super().put_nowait(message)

    async def get(self) -> Message:
        await asyncio.sleep(0)  # Let the streams run between two chunks of a large body.
        if not self.more_body or self.body.closed:
            return await super().get()
        self.body.seek(self.position)
        chunk = self.body.read(BODY_CHUNK_BYTES)
        self.position += len(chunk)
        self.more_body = len(chunk) == BODY_CHUNK_BYTES
        return {"type": "http.request", "body": chunk, "more_body": self.more_body}


class WebServer(daphne.server.Server):  # type: ignore[misc]  # Daphne is untyped.
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ports: list[Any] = []  # What listens for connections.

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self.ports.append(port)

    def create_application(self, protocol: Any, scope: Message) -> asyncio.Queue[Message]:
        if scope["type"] != "http":
            queue: asyncio.Queue[Message] = super().create_application(protocol, scope)
            return queue
        receive_queue = ReceiveQueue(protocol.content)
        application = self.application(
            scope=scope | {"asgi": {"version": "3.0"}},
            receive=receive_queue.get,
            send=partial(self.handle_reply, protocol),
        )
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(application)
        return receive_queue

    def kill_all_applications(self) -> Deferred[list[Any]]:
        """Cancel every running request and stream, and wait until all of them have ended.

        Daphne's method waits for the first that ends, and does not wait at all if a connection is
        idle. A view's thread that calls the event loop after the loop has stopped would keep the
        process alive forever.

        Twisted stops to listen, and closes connections, only when this method has ended. The client
        of a stream would wait for the slowest view before it connects to another process.
        """
        for port in self.ports:
            port.stopListening()
        tasks = []
        for protocol, details in self.connections.items():
            task = details.get("application_instance")
            if task is None:
                continue
            task.add_done_callback(partial(self.close_connection, protocol))
            task.cancel()
            tasks.append(task)
        return Deferred.fromFuture(asyncio.gather(*tasks, return_exceptions=True))

    def close_connection(self, protocol: Any, _: object) -> None:
        """Close the connection of a request that has ended, after what it has sent."""
        if "disconnected" not in self.connections.get(protocol, {"disconnected": None}):
            protocol.transport.loseConnection()


class WebServerCommand(CommandLineInterface):  # type: ignore[misc]  # Daphne is untyped.
    server_class = WebServer


def get_max_body_bytes() -> int:
    """Return the size of the largest request body that is stored."""
    max_upload_bytes: int = app_settings.MAX_UPLOAD_BYTES
    return max_upload_bytes + MAX_FORM_OVERHEAD_BYTES


# Daphne has no option for the classes of requests and WebSockets.
http_protocol.WebRequest = LimitedRequest
ws_protocol.WebSocketFactory.protocol = WebSocketWithCloseReason

if __name__ == "__main__":
    WebServerCommand.entrypoint()
