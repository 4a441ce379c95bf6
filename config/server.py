"""The web process: Daphne, with care for bodies and for its end. `python -m config.server`.

Twisted, on which Daphne stands, would read every form itself, though Django does it again: in
the one thread that serves all streams, at ten times the body's size in memory, and for
minutes where a form is made of line ends. And Daphne would put a whole body into memory.
"""

from __future__ import annotations

import asyncio
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO

import daphne.server  # First: it chooses Twisted's event loop.
from corsheaders.middleware import CorsMiddleware
from daphne import http_protocol, ws_protocol
from daphne.cli import CommandLineInterface
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import JsonResponse
from twisted.internet.defer import Deferred

# What a multipart frame and the fields beside a file may add to it.
ROOM_BESIDE_FILE_BYTES = 1024 * 1024
PIECE_BYTES = 256 * 1024

Message = dict[str, Any]


class Request(http_protocol.WebRequest):
    """A request whose body is stored unread, up to a limit, and handed on piece by piece."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, parsePOSTFormSubmission=False)
        self.taken = 0

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > most_bytes():
            self.content = BytesIO()  # Nothing of it will be stored.
        else:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        self.taken += len(data)
        if self.taken <= most_bytes():
            super().handleContentChunk(data)

    def process(self) -> Any:
        return self.refuse_too_large() if self.taken > most_bytes() else super().process()

    def handle_reply(self, message: Message) -> None:
        """To HEAD only the headers: Daphne sends the body, which the next answer would follow."""
        if self.method == b"HEAD" and message["type"] == "http.response.body":
            message = message | {"body": b""}
        super().handle_reply(message)

    def refuse_too_large(self) -> None:
        """Once all has been sent: who still sends does not read an answer."""
        problem = "What was sent is larger than this site takes. Split it into several files."
        if not self.path.startswith(b"/api/"):
            return self.basic_error(413, b"Content Too Large", problem)
        body = {"code": "too_large", "message": problem, "errors": []}
        answer = CorsMiddleware(lambda _: JsonResponse(body))(self.as_django_has_it())
        headers = [(name.encode(), value.encode()) for name, value in answer.items()]
        self.handle_reply({"type": "http.response.start", "status": 413, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": answer.content})
        return None

    def as_django_has_it(self) -> ASGIRequest:
        """As much as tells whether a page of another site may read the answer."""
        origin = self.requestHeaders.getRawHeaders(b"origin", [])
        headers = [(b"origin", one) for one in origin]
        return ASGIRequest({"method": "POST", "path": "/api/", "headers": headers}, BytesIO())


class Socket(ws_protocol.WebSocketProtocol):
    def handle_reply(self, message: Message) -> None:
        """A close with its reason, which Daphne keeps to itself."""
        if message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            self.sendClose(code=message.get("code"), reason=message.get("reason") or None)
        else:
            super().handle_reply(message)


class Inbox(asyncio.Queue):
    """What the application receives: the body as it asks for it, then news of the connection."""

    def __init__(self, body: BinaryIO) -> None:
        super().__init__()
        self.body = body
        self.position = 0
        self.more_body = True

    def put_nowait(self, message: Message) -> None:
        if message["type"] != "http.request":  # Pieces of the body are read again when asked for.
            super().put_nowait(message)

    async def get(self) -> Message:
        await asyncio.sleep(0)  # A large body must not keep the streams waiting.
        if not self.more_body or self.body.closed:
            return await super().get()
        self.body.seek(self.position)
        piece = self.body.read(PIECE_BYTES)
        self.position += len(piece)
        self.more_body = len(piece) == PIECE_BYTES
        return {"type": "http.request", "body": piece, "more_body": self.more_body}


class WebServer(daphne.server.Server):
    def create_application(self, protocol: Any, scope: Message) -> asyncio.Queue:
        if scope["type"] != "http":
            return super().create_application(protocol, scope)
        inbox = Inbox(protocol.content)
        answering = self.application(
            scope=scope | {"asgi": {"version": "3.0"}},
            receive=inbox.get,
            send=partial(self.handle_reply, protocol),
        )
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(answering)
        return inbox

    def kill_all_applications(self) -> Deferred:
        """Cancel what is being answered and wait until all of it has ended.

        Daphne's own waits for the first that ends, and not at all where a connection is idle.
        A view's thread that then asks the loop, which has gone, would keep the process for ever.
        """
        applications = [
            details.get("application_instance") for details in self.connections.values()
        ]
        answering = [each for each in applications if each is not None]
        for each in answering:
            each.cancel()
        return Deferred.fromFuture(asyncio.gather(*answering, return_exceptions=True))


class Web(CommandLineInterface):
    server_class = WebServer


def most_bytes() -> int:
    return settings.IMPORT_MAX_UPLOAD_BYTES + ROOM_BESIDE_FILE_BYTES


# What Daphne makes of each request and socket; it has no option for either.
http_protocol.WebRequest = Request
ws_protocol.WebSocketFactory.protocol = Socket

if __name__ == "__main__":
    Web.entrypoint()
