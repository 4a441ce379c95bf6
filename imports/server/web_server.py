"""The web process: Daphne with limits, and an orderly shutdown.

Start it with `python -m imports.server`. The options are those of Daphne; the limits are settings
that begin with IMPORTS_SERVER_. See `channel` for connections and `requests` for bodies. Besides:

* Daphne runs any number of requests at the same time. Here they wait for a slot.
* Daphne stores all of a response in memory if its client does not read. Here the application waits,
  and a large response is sent in parts.
* Daphne may exit before its requests have ended. Here the process waits for them. Meanwhile it
  accepts no connection, and the connection of each stream is closed at once.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import Any

import daphne.server  # Must come first: it installs Twisted's event loop.
from daphne import http_protocol, ws_protocol
from daphne.cli import CommandLineInterface
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from imports.conf import app_settings
from imports.error_body import make_busy_body
from imports.server.channel import RETRY_SECONDS, Channel
from imports.server.connections import Connections
from imports.server.requests import LimitedRequest, Message, ReceiveQueue

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
RESPONSE_PART_BYTES = 64 * 1024
OTHER_FILES = 512  # Open files of the process besides connections and request bodies.


class ChannelFactory(http_protocol.HTTPFactory):  # type: ignore[misc]  # Daphne is untyped.
    def buildProtocol(self, addr: Any) -> Channel:
        channel = Channel(self.server.open_connections)
        channel.factory = self
        channel.requestFactory = LimitedRequest
        channel.callLater = self.reactor.callLater
        channel.timeOut = None  # `Channel.check_time` has the time-outs.
        return channel


class WebSocketWithCloseReason(ws_protocol.WebSocketProtocol):  # type: ignore[misc]  # Untyped.
    """Send the reason of a close message, which Daphne drops."""

    def handle_reply(self, message: Message) -> None:
        if message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            self.sendClose(code=message.get("code"), reason=message.get("reason") or None)
        else:
            super().handle_reply(message)

    def connectionLost(self, reason: Any) -> None:
        # From the upgrade on, the transport tells this object instead of the channel.
        self.factory.server_class.open_connections.remove(self.transport)
        super().connectionLost(reason)


class Slot:
    """The right of one request to run Django."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self.semaphore = semaphore
        self.is_held = False

    async def acquire(self) -> bool:
        """Wait for the slot. Return False if the wait is too long."""
        try:
            async with asyncio.timeout(app_settings.SERVER_MAX_WAIT_SECONDS):
                await self.semaphore.acquire()
        except TimeoutError:
            return False
        self.is_held = True
        return True

    def release(self) -> None:
        if self.is_held:
            self.is_held = False
            self.semaphore.release()


class WebServer(daphne.server.Server):  # type: ignore[misc]  # Daphne is untyped.
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.open_connections = Connections()
        self.semaphore = asyncio.Semaphore(app_settings.SERVER_MAX_CONCURRENT_REQUESTS)
        self.ports: list[Any] = []  # What listens for connections.

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self.ports.append(port)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Write to the access log, without the query string, which may hold a ticket."""
        path = details["path"].partition("?")[0]
        super().log_action(protocol, action, details | {"path": path})

    def run(self) -> None:
        raise_file_limit(2 * app_settings.SERVER_MAX_CONNECTIONS + OTHER_FILES)
        reactor.callLater(CHECK_SECONDS, self.check_connections)
        super().run()

    def check_connections(self) -> None:
        """Close the connections of slow clients, every second."""
        now = time.monotonic()
        for connection in list(self.open_connections.by_transport.values()):
            connection.check_time(now)
        reactor.callLater(CHECK_SECONDS, self.check_connections)

    def create_application(self, protocol: Any, scope: Message) -> asyncio.Queue[Message]:
        if scope["type"] != "http":
            queue: asyncio.Queue[Message] = super().create_application(protocol, scope)
            return queue
        receive_queue = ReceiveQueue(protocol.content)
        task = asyncio.ensure_future(self.run_application(protocol, scope, receive_queue))
        self.connections[protocol]["application_instance"] = task
        return receive_queue

    async def run_application(
        self, protocol: LimitedRequest, scope: Message, receive_queue: ReceiveQueue
    ) -> None:
        """Run the application for an HTTP request as soon as there is a slot."""
        slot = Slot(self.semaphore)
        if not await slot.acquire():
            log.warning("a request has waited too long for other requests")
            protocol.respond_without_view(
                HTTPStatus.SERVICE_UNAVAILABLE, make_busy_body(), RETRY_SECONDS
            )
            return

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                slot.release()
            await self.handle_reply(protocol, message)

        try:
            await self.application(
                scope=scope | {"asgi": {"version": "3.0"}}, receive=receive_queue.get, send=send
            )
        finally:
            slot.release()

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        """Send a message of the application, and wait if its client does not read."""
        transport = protocol.transport
        for part in split_body(message):
            await super().handle_reply(protocol, part)
            connection = self.open_connections.by_transport.get(transport)
            if connection is not None:
                await connection.wait_until_writable()

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


def split_body(message: Message) -> Iterator[Message]:
    """Yield a message, but a large part of a response body as several messages.

    Twisted copies whatever the socket does not accept at once.
    """
    body = message.get("body", b"")
    if message["type"] != "http.response.body" or len(body) <= RESPONSE_PART_BYTES:
        yield message
        return
    for start in range(0, len(body), RESPONSE_PART_BYTES):
        end = start + RESPONSE_PART_BYTES
        more_body = end < len(body) or message.get("more_body", False)
        yield message | {"body": body[start:end], "more_body": more_body}


def raise_file_limit(files: int) -> None:
    """Let the process open this many files, or as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if wanted < files:
        log.warning("the system allows %s open files; %s may be needed", hard, files)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# Daphne has no option for these classes.
daphne.server.HTTPFactory = ChannelFactory
http_protocol.WebRequest = LimitedRequest
ws_protocol.WebSocketFactory.protocol = WebSocketWithCloseReason
