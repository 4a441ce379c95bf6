"""A TCP proxy in front of PostgreSQL or Redis that breaks the network in defined ways.

The servers of the tests listen on Unix sockets. The proxy listens on a port of 127.0.0.1.
"""

import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread

from django.conf import settings

from tests.database import connection

BUFFER_BYTES = 65_536


class TcpProxy:
    """Forwards the connections of any number of clients to one Unix socket."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.is_refusing = False
        self.delay_seconds = 0.0
        self.lost_replies = 0  # Replies that were dropped.
        self.held_replies = 0  # Replies that wait for `release`.
        self._flowing = Event()
        self._flowing.set()
        self._pause = Event()  # Never set: its wait is a delay that `close` need not end.
        self._lock = Lock()
        self._sockets = set()
        self._fault = None  # What happens to a reply: "drop" or "hold", and to which.
        self._released = Event()
        Thread(target=self._accept, daemon=True).start()

    # --- Faults --------------------------------------------------------------

    def cut(self):
        """Close every connection at once."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def refuse(self):
        """Close every connection, and each new one until `accept` is called."""
        self.is_refusing = True
        self.cut()

    def accept(self):
        self.is_refusing = False

    def freeze(self):
        """Forward nothing and close nothing, as a network does that loses every packet."""
        self._flowing.clear()

    def thaw(self):
        self._flowing.set()

    def drop_reply(self, request, reply=b""):
        """Drop the next reply to a request with these bytes, and cut its connection.

        The server has executed the request. `reply` are bytes that the reply contains.
        """
        self._fault = ("drop", request, reply)

    def hold_replies(self, request):
        """Hold back the replies to all requests with these bytes until `release` is called."""
        self._released.clear()
        self._fault = ("hold", request, b"")

    def release(self):
        self._fault = None
        self._released.set()

    # --- Forwarding ----------------------------------------------------------

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # The proxy was closed.
                return
            if self.is_refusing:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.upstream)
            except OSError:  # The server is down.
                server.close()
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, server}
            link = Link(self, client, server)
            Thread(target=link.forward_requests, daemon=True).start()
            Thread(target=link.forward_replies, daemon=True).start()

    def wait_for_network(self):
        if self.delay_seconds:
            self._pause.wait(self.delay_seconds)
        self._flowing.wait()

    def is_reply_lost(self, request, reply):
        """Whether the reply is dropped. A reply that is held back is not, and this call waits."""
        fault = self._fault
        if fault is None or fault[1] not in request or fault[2] not in reply:
            return False
        if fault[0] == "drop":
            self._fault = None
            self.lost_replies += 1
            return True
        self.held_replies += 1
        self._released.wait()
        return False

    def forget(self, *sockets):
        with self._lock:
            self._sockets -= set(sockets)

    def close(self):
        self.thaw()
        self.release()
        self.listener.close()
        self.cut()


class Link:
    """One connection of a client, and its connection to the server."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.client = client
        self.server = server
        self.request = b""  # What the client has sent since the last reply.

    def forward_requests(self):
        with suppress(OSError):
            while data := self.client.recv(BUFFER_BYTES):
                self.request = (self.request + data)[-BUFFER_BYTES:]
                self.proxy.wait_for_network()
                self.server.sendall(data)
        self.close()

    def forward_replies(self):
        with suppress(OSError):
            while data := self.server.recv(BUFFER_BYTES):
                request, self.request = self.request, b""
                if self.proxy.is_reply_lost(request, data):
                    break
                self.proxy.wait_for_network()
                self.client.sendall(data)
        self.close()

    def close(self):
        """End both connections. The thread of the other direction notices it and ends, too."""
        self.proxy.forget(self.client, self.server)
        for each in (self.client, self.server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def running_tcp_proxy(upstream):
    """Run a proxy in front of the Unix socket with this path."""
    proxy = TcpProxy(str(upstream))
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def redis_proxy():
    """Run a proxy in front of Redis. Yields it and the environment that names it."""
    path = settings.REDIS_URL.removeprefix("unix://").partition("?")[0]
    with running_tcp_proxy(path) as proxy:
        yield proxy, {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}


@contextmanager
def database_proxy():
    """Run a proxy in front of PostgreSQL. Yields it and the environment that names it."""
    parameters = connection.get_connection_params()
    path = Path(parameters["host"], f".s.PGSQL.{parameters.get('port') or 5432}")
    with running_tcp_proxy(path) as proxy:
        url = f"postgres://{parameters['user']}@127.0.0.1:{proxy.port}/{parameters['dbname']}"
        yield proxy, {"DATABASE_URL": url}
