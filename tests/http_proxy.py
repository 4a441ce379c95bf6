"""An HTTP proxy between a client and the site that records requests and causes faults.

It forwards each request on a connection of its own, and closes the client's connection afterwards.
"""

import http.client
import socket
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic
from typing import NamedTuple

HOP_BY_HOP_HEADERS = {"connection", "transfer-encoding"}
DROP_RESPONSE = "response dropped"


class Exchange(NamedTuple):
    """A request, the status of its response (or DROP_RESPONSE), and the response's time."""

    method: str
    path: str
    query: str
    status: int | str
    at: float


class Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site_port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.site_port = site_port
        self.exchanges: list[Exchange] = []
        self.site_sockets: list[socket.socket] = []
        # The fault of a request, by method and path: None, DROP_RESPONSE, or a status that the
        # proxy responds with.
        self.fault: Callable[[str, str], int | str | None] = lambda method, path: None
        self.stream_prefix = b""  # What a defective cache inserts at the start of a stream.

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def record(self, method, target, status):
        path, _, query = target.partition("?")
        self.exchanges.append(Exchange(method, path, query, status, monotonic()))

    def cut_responses(self):
        """Break off every response that has not ended."""
        while self.site_sockets:
            with suppress(OSError):  # The response has ended.
                self.site_sockets.pop().shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # A client can distinguish a broken stream from a complete one.

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.fault(self.command, self.path.partition("?")[0])
        if isinstance(fault, int):
            self.server.record(self.command, self.path, fault)
            return self.respond_with_status(fault)
        site = http.client.HTTPConnection("127.0.0.1", self.server.site_port)
        site.request(self.command, self.path, body, dict(self.headers))
        site_socket, response = site.sock, site.getresponse()
        self.server.site_sockets.append(site_socket)
        self.server.record(self.command, self.path, fault or response.status)
        if fault is None:
            self.forward_response(response)
        self.close_connection = True
        return site.close()

    do_GET = do_POST = do_OPTIONS = forward

    def respond_with_status(self, status):
        self.send_response(status)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def forward_response(self, response):
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            if name.lower() not in HOP_BY_HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        is_stream = response.headers.get_content_type() == "text/event-stream"
        if is_stream:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        # The response was cut, or the client has closed the connection.
        with suppress(OSError, http.client.HTTPException, ValueError):
            if is_stream:
                self.forward_stream(response)
            else:
                self.wfile.write(response.read())

    def forward_stream(self, response):
        """Forward in chunks. A stream that is cut lacks the empty chunk at the end."""
        part = self.server.stream_prefix or response.read1()
        while part:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            part = response.read1()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@contextmanager
def running_proxy(site_port):
    with Proxy(site_port) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.cut_responses()
            server.shutdown()
            thread.join()
