"""A network of ours between a program and the site: it can be cut_responses, and it remembers.

Programs speak HTTP to it, one request a connection; it passes each on and its answer back.
"""

import http.client
import socket
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic
from typing import NamedTuple

HOP_BY_HOP = {"connection", "transfer-encoding"}
DROP_RESPONSE = "lost"


class Exchange(NamedTuple):
    """A request, the status of its answer, and when that came."""

    method: str
    path: str
    query: str
    status: int | str
    at: float


class Relay(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site_port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.site_port = site_port
        self.exchanges: list[Exchange] = []
        self.wires: list[socket.socket] = []  # To the site, with answers on them.
        # What happens to a request: nothing (None), its answer is lost, or it is this status.
        self.fault: Callable[[str, str], int | str | None] = lambda method, path: None
        self.stream_prefix = b""  # What a confused cache puts before a stream.

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def remember(self, method, target, status):
        path, _, query = target.partition("?")
        self.exchanges.append(Exchange(method, path, query, status, monotonic()))

    def cut_responses(self):
        """Break off every answer that has not ended."""
        while self.wires:
            with suppress(OSError):  # It has ended.
                self.wires.pop().shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # So that a program can tell a cut_responses from an end.

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.fault(self.command, self.path.partition("?")[0])
        if isinstance(fault, int):
            self.server.remember(self.command, self.path, fault)
            return self.refuse(fault)
        site = http.client.HTTPConnection("127.0.0.1", self.server.site_port)
        site.request(self.command, self.path, body, dict(self.headers))
        wire, answer = site.sock, site.getresponse()
        self.server.wires.append(wire)
        self.server.remember(self.command, self.path, fault or answer.status)
        if fault is None:
            self.pass_on(answer)
        self.close_connection = True
        return site.close()

    do_GET = do_POST = do_OPTIONS = handle_one

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def pass_on(self, answer):
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        is_stream = answer.headers.get_content_type() == "text/event-stream"
        if is_stream:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(OSError, http.client.HTTPException, ValueError):  # Cut, or nobody reads.
            if is_stream:
                self.pass_on_stream(answer)
            else:
                self.wfile.write(answer.read())

    def pass_on_stream(self, answer):
        """In chunks: a cut_responses stream lacks the empty one at the end."""
        part = self.server.stream_prefix or answer.read1()
        while part:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            part = answer.read1()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@contextmanager
def running_proxy(site_port):
    with Relay(site_port) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.cut_responses()
            server.shutdown()
            thread.join()
