"""One connection: time-outs, the size of a head, refused bodies, and waiting for a slow client."""

from __future__ import annotations

import asyncio
import time
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from twisted.internet import tcp
from twisted.web import http

from imports.client_addresses import find_forwarded_address
from imports.conf import MAX_FORM_OVERHEAD_BYTES, app_settings
from imports.error_body import ErrorBody, make_error_body, make_too_large_body
from imports.server.connections import Connections

TOO_MANY_MESSAGE = "Too many connections are open from this address. Close some and try again."
RETRY_SECONDS = 5
MAX_LENGTH_DIGITS = 100  # Of a Content-Length.
UPGRADE_BODY_MESSAGE = "A request for a WebSocket has no body."


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = auto()  # For the first byte of another request.
    HEAD = auto()
    BODY = auto()
    RESPONSE = auto()  # For the application, or for the client to read. Also an open WebSocket.
    CLOSING = auto()  # For the client to read the last bytes and to close. It reads no request.


class Channel(http.HTTPChannel):  # type: ignore[misc]  # See pyproject.toml.
    """Twisted's HTTP connection with limits. `check_time` must be called every second."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self.connections = connections
        self.phase = Phase.HEAD
        self.phase_started_at = self.received_at = time.monotonic()
        self.phase_bytes = 0  # Received in this phase.
        self.is_refused = False  # Whether the client may still be sending what is not wanted.
        self.unsent_bytes, self.unsent_changed_at = 0, self.received_at
        self.is_writable = asyncio.Event()
        self.is_writable.set()

    # --- The life of a connection --------------------------------------------

    def connectionMade(self) -> None:
        self.maxHeaders = app_settings.SERVER_MAX_HEADERS
        self.totalHeadersSize = self.MAX_LENGTH = app_settings.SERVER_MAX_HEAD_BYTES
        self._optimisticEagerReadSize = app_settings.SERVER_MAX_HEAD_BYTES
        super().connectionMade()
        # A connection over a Unix socket has no address.
        address: str | None = getattr(self.transport.getPeer(), "host", None)
        if app_settings.TRUSTED_PROXIES:
            address = None  # It is the proxy's. `find_refusal` counts the client's.
        if not self.connections.add(self.transport, self):
            self.turn_away(HTTPStatus.SERVICE_UNAVAILABLE)
        elif address is not None and not self.connections.claim_address(self, address):
            self.connections.remove(self.transport)
            self.turn_away(HTTPStatus.TOO_MANY_REQUESTS)

    def connectionLost(self, reason: Any) -> None:
        self.connections.remove(self.transport)
        super().connectionLost(reason)

    def enter(self, phase: Phase) -> None:
        self.phase, self.phase_started_at, self.phase_bytes = phase, time.monotonic(), 0

    def get_waiting_since(self) -> float | None:
        return self.phase_started_at if self.phase in {Phase.IDLE, Phase.HEAD} else None

    def abort(self) -> None:
        self.enter(Phase.CLOSING)
        self.transport.abortConnection()

    # --- Receiving -----------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self.phase is Phase.CLOSING:
            return
        if self.phase is Phase.IDLE:
            self.enter(Phase.HEAD)
        self.received_at = time.monotonic()
        self.phase_bytes += len(data)
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self.phase is not Phase.CLOSING:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if self.phase is not Phase.CLOSING:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        # Twisted accepts "identity" besides "chunked". A proxy may interpret it in another way. For
        # a number with too many digits to convert, Twisted raises an exception.
        is_ambiguous = header == b"Transfer-Encoding" and data.lower() != b"chunked"
        is_too_long = header == b"Content-Length" and len(data) > MAX_LENGTH_DIGITS
        if is_ambiguous or is_too_long:
            rejected: bool = self._failChooseTransferDecoder()
            return rejected
        chosen: bool = super()._maybeChooseTransferDecoder(header, data)
        return chosen

    def allHeadersReceived(self) -> None:
        request = self.requests[-1]
        refusal = self.find_refusal(request)
        if refusal is not None:
            self.refuse(*refusal)
            return
        if self.length != 0:
            self.enter(Phase.BODY)
        super().allHeadersReceived()

    def find_refusal(self, request: http.Request) -> tuple[HTTPStatus, ErrorBody] | None:
        """Return status and body of the response, if a request is refused because of its head."""
        proxies = app_settings.TRUSTED_PROXIES
        if proxies:
            values = request.requestHeaders.getRawHeaders(b"x-forwarded-for", [])
            address = find_forwarded_address((value.decode("latin1") for value in values), proxies)
            if address is not None and not self.connections.claim_address(self, address):
                body = make_error_body("throttled", TOO_MANY_MESSAGE)
                return HTTPStatus.TOO_MANY_REQUESTS, body
        if self.length is not None and self.length > get_max_body_bytes():
            body = make_too_large_body(app_settings.MAX_UPLOAD_BYTES)
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, body
        upgrades = request.requestHeaders.getRawHeaders(b"upgrade", [])
        if self.length != 0 and any(value.lower() == b"websocket" for value in upgrades):
            return HTTPStatus.BAD_REQUEST, make_error_body("malformed", UPGRADE_BODY_MESSAGE)
        return None

    def allContentReceived(self) -> None:
        if self.phase is Phase.CLOSING:
            return
        self.enter(Phase.RESPONSE)
        super().allContentReceived()

    def requestDone(self, request: http.Request) -> None:
        if app_settings.TRUSTED_PROXIES:
            self.connections.release_address(self)
        if self.persistent:
            self.enter(Phase.IDLE)
        super().requestDone(request)

    # --- Refusing ------------------------------------------------------------

    def refuse(self, status: HTTPStatus, body: ErrorBody, retry_seconds: int | None = None) -> None:
        """Respond to the request whose head was received, and receive nothing more of it."""
        request = self.requests[-1]
        request.method, request.uri, request.clientproto = self._command, self._path, self._version
        request.path = request.uri.split(b"?", 1)[0]
        self.is_refused = True
        self.close_after_response(request)
        request.respond_without_view(status, body, retry_seconds)

    def close_after_response(self, request: http.Request) -> None:
        self.persistent = False
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])

    def reject(self, status: HTTPStatus) -> None:
        """Send a response without a body, and receive nothing more."""
        self.transport.write(format_response(status))
        self.is_refused = True
        self.loseConnection()

    def turn_away(self, status: HTTPStatus) -> None:
        """Respond to a new connection, and close it without waiting for its client."""
        self.transport.write(format_response(status))
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        is_head_too_large = (
            self._receivedHeaderSize > self.totalHeadersSize
            or self._receivedHeaderCount > self.maxHeaders
        )
        self.reject(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            if is_head_too_large
            else HTTPStatus.BAD_REQUEST
        )

    def loseConnection(self) -> None:
        """Close the connection when everything is sent.

        A refused client may still be sending. If the socket was closed, the kernel would answer the
        next bytes with a reset, and the client would lose the response. Therefore only the sending
        half is closed, and what arrives is discarded until the client closes or the time is over.
        """
        if self.phase is Phase.CLOSING:
            return
        self.enter(Phase.CLOSING)
        if self.is_refused and isinstance(self.transport, tcp.Connection):
            self._networkProducer.unregisterProducer()
            self.transport.loseWriteConnection()
            self._networkProducer.resumeProducing()
        else:
            super().loseConnection()

    # --- Sending -------------------------------------------------------------

    def pauseProducing(self) -> None:
        self.is_writable.clear()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self.is_writable.set()
        super().resumeProducing()

    async def wait_until_writable(self) -> None:
        """Wait until the client has read, if too much waits to be sent."""
        if self.count_unsent_bytes() > app_settings.SERVER_MAX_SEND_BUFFER_BYTES:
            await self.is_writable.wait()

    def stop_waiting(self) -> None:
        self.is_writable.set()

    def count_unsent_bytes(self) -> int:
        """Return the size of what waits in this process to be sent."""
        transport = self.transport
        if not isinstance(transport, tcp.Connection):
            return 0
        unsent: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return unsent

    # --- Time ----------------------------------------------------------------

    def check_time(self, now: float) -> None:
        """Close the connection if its client is too slow."""
        unsent_bytes = self.count_unsent_bytes()
        if unsent_bytes != self.unsent_bytes or not unsent_bytes:
            self.unsent_bytes, self.unsent_changed_at = unsent_bytes, now
        if now - self.unsent_changed_at > app_settings.SERVER_SEND_TIMEOUT_SECONDS:
            self.abort()
            return
        seconds = now - self.phase_started_at
        if self.phase is Phase.IDLE and seconds > app_settings.SERVER_IDLE_TIMEOUT_SECONDS:
            self.loseConnection()
        elif self.is_request_too_slow(now):
            self.time_out()
        elif (
            self.phase is Phase.CLOSING
            and not unsent_bytes
            and seconds > app_settings.SERVER_LINGER_SECONDS
        ):
            self.abort()

    def is_request_too_slow(self, now: float) -> bool:
        """Return whether a head or a body that is being received takes too long."""
        seconds = now - self.phase_started_at
        if self.phase is Phase.HEAD:
            return seconds > app_settings.SERVER_HEAD_TIMEOUT_SECONDS
        pause_seconds = app_settings.SERVER_BODY_TIMEOUT_SECONDS
        rate = app_settings.SERVER_MIN_BODY_BYTES_PER_SECOND
        return self.phase is Phase.BODY and (
            now - self.received_at > pause_seconds
            or (seconds - pause_seconds) * rate > self.phase_bytes
        )

    def time_out(self) -> None:
        """Close a connection with an incomplete request. If it is empty, no response is sent."""
        if self.phase is Phase.HEAD and not self.phase_bytes:
            self.loseConnection()
        else:
            self.reject(HTTPStatus.REQUEST_TIMEOUT)


def format_response(status: HTTPStatus) -> bytes:
    """Return a response without a body. A client should try again if there were too many."""
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n"
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        head += f"Retry-After: {RETRY_SECONDS}\r\n"
    return f"{head}\r\n".encode()


def get_max_body_bytes() -> int:
    """Return the size of the largest request body that is received."""
    max_upload_bytes: int = app_settings.MAX_UPLOAD_BYTES
    return max_upload_bytes + MAX_FORM_OVERHEAD_BYTES
