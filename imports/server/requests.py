"""The requests of the web process: their bodies, and the errors that no view gives.

* Twisted, on which Daphne is built, parses every form before Django parses it again. It does so in
  the thread that serves all streams, needs ten times the body's size in memory, and takes minutes
  for a form that consists of line ends. Here only Django parses forms.
* Daphne reads a whole body into memory. Here the application receives it in chunks.
* Twisted closes the connection if it cannot store a body because the disk is full. Here the
  response has status 503.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import Any, BinaryIO

from daphne import http_protocol
from django.core.handlers.asgi import ASGIRequest

from imports.conf import app_settings
from imports.error_body import (
    NO_SPACE_RETRY_SECONDS,
    ErrorBody,
    is_no_space_error,
    make_length_required_body,
    make_no_space_body,
    make_too_large_body,
)
from imports.request_ids import REQUEST_ID_HEADER, read_request_id
from imports.server.channel import Channel, Phase, get_max_body_bytes

log = logging.getLogger(__name__)

BODY_CHUNK_BYTES = 256 * 1024

# A message of ASGI. The types of its values depend on the message's type.
Message = dict[str, Any]


class LimitedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # Daphne is untyped.
    """A request whose body is stored without parsing, up to `get_max_body_bytes()`.

    Its channel refuses a larger body before it is stored.
    """

    content: BinaryIO
    has_no_space = False  # Whether the disk is full, so that nothing of the body is stored.

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, parsePOSTFormSubmission=False)
        self.connection: Channel = self.channel  # Twisted sets `channel` to None at the end.
        self.open_connections = self.connection.connections
        self.received_bytes = self.stored_bytes = 0

    def handleContentChunk(self, data: bytes) -> None:
        if not self.is_incomplete() or self.has_no_space:
            return
        self.received_bytes += len(data)
        refusal = self.find_refusal()
        if refusal is not None:
            self.refuse(*refusal)
            return
        self.open_connections.count_stored_bytes(self, len(data))
        while self.open_connections.stored_bytes > app_settings.SERVER_MAX_STORED_BYTES:
            body = self.open_connections.find_body_to_refuse()
            if body is None:
                break
            body.refuse_without_space()
        if not self.is_incomplete():  # This body was refused.
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

    def is_incomplete(self) -> bool:
        return self.connection.phase is Phase.BODY and self.connection.requests[-1] is self

    def find_refusal(self) -> tuple[HTTPStatus, ErrorBody] | None:
        """Return the status and the error if too much of the body was received, else None."""
        if self.received_bytes > get_max_body_bytes():
            body = make_too_large_body(app_settings.MAX_UPLOAD_BYTES)
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, body
        is_chunked = self.connection.length is None
        if is_chunked and self.received_bytes > app_settings.SERVER_MAX_CHUNKED_BODY_BYTES:
            return HTTPStatus.LENGTH_REQUIRED, make_length_required_body()
        return None

    def refuse_without_space(self) -> None:
        log.warning("the request bodies need more than IMPORTS_SERVER_MAX_STORED_BYTES")
        self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, make_no_space_body(), NO_SPACE_RETRY_SECONDS)

    def refuse(self, status: HTTPStatus, body: ErrorBody, retry_seconds: int | None = None) -> None:
        """Delete the stored bytes of the body, and respond before the rest has arrived."""
        self.drop_content()
        self.connection.refuse(status, body, retry_seconds)

    def finish(self) -> None:
        self.open_connections.remove_body(self)
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        self.open_connections.remove_body(self)
        super().connectionLost(reason)

    def drop_content(self) -> None:
        """Delete what is stored of the body."""
        self.open_connections.remove_body(self)
        with suppress(OSError):  # The bytes in its buffer cannot be written.
            self.content.close()
        self.content = BytesIO()

    def process(self) -> Any:
        if self.has_no_space:
            self.respond_without_view(
                HTTPStatus.SERVICE_UNAVAILABLE, make_no_space_body(), NO_SPACE_RETRY_SECONDS
            )
            return None
        return super().process()

    def handle_reply(self, message: Message) -> None:
        # Daphne sends a body in response to HEAD. The client would take it for the next response.
        if self.method == b"HEAD" and message["type"] == "http.response.body":
            message = message | {"body": b""}
        super().handle_reply(message)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        # Twisted handles the next request of the connection inside `finish`. Thousands of requests
        # in a row that only get an error would exceed the depth of Python's stack.
        self.channel.close_after_response(self)
        super().basic_error(status, status_text, body)

    def respond_without_view(
        self, status: HTTPStatus, body: ErrorBody, retry_seconds: int | None = None
    ) -> None:
        """Respond with an error, as JSON under /api/ and as HTML elsewhere."""
        if retry_seconds is not None:
            self.responseHeaders.setRawHeaders(b"Retry-After", [str(retry_seconds).encode()])
        if not self.path.startswith(b"/api/"):
            self.basic_error(status, status.phrase.encode(), body["message"])
            return
        content = json.dumps(body).encode()
        sent_ids = self.requestHeaders.getRawHeaders(REQUEST_ID_HEADER.lower().encode(), [])
        request_id = read_request_id((REQUEST_ID_HEADER.encode(), value) for value in sent_ids)
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(content)).encode()),
            (REQUEST_ID_HEADER.encode(), request_id.encode()),
            *self.make_cross_origin_headers(),
        ]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": content})

    def make_cross_origin_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that let a page of an allowed origin read the response."""
        # The module imports models, so the import must follow Django's set-up.
        from imports.live.authorization import get_cross_origin_headers

        origins = self.requestHeaders.getRawHeaders(b"origin", [])
        headers = [(b"origin", origin) for origin in origins]
        scope = {"method": "POST", "path": "/api/", "headers": headers}
        return get_cross_origin_headers(ASGIRequest(scope, BytesIO()))


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
