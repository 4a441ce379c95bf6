"""A network of ours between a program and the site: it can be cut, and it remembers.

Programs speak HTTP to it, one request a connection; it passes each on and its answer back.
"""

import http.client
import socket
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

HOP_BY_HOP = {"connection", "transfer-encoding"}
LOSE_THE_ANSWER = "lost"


class Exchange(NamedTuple):
    """A request, and the status of its answer."""

    method: str
    path: str
    query: str
    status: int | str


class Relay(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site_port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.site_port = site_port
        self.seen: list[Exchange] = []
        self.streams: list[socket.socket] = []
        # What happens to a request: nothing (None), its answer is lost, or it is this status.
        self.trouble: Callable[[str, str], int | str | None] = lambda method, path: None
        self.said_before_streams = b""  # What a confused cache puts before a stream.

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def statuses(self, ending):
        """Of the answers to addresses that end so, in order."""
        return [one.status for one in self.seen if one.path.endswith(ending)]

    def cut(self):
        """End every stream that is open."""
        while self.streams:
            with suppress(OSError):  # It has ended by itself.
                self.streams.pop().shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        trouble = self.server.trouble(self.command, path)
        if isinstance(trouble, int):
            self.server.seen.append(Exchange(self.command, path, query, trouble))
            return self.refuse(trouble)
        site = http.client.HTTPConnection("127.0.0.1", self.server.site_port)
        site.request(self.command, self.path, body, dict(self.headers))
        wire, answer = site.sock, site.getresponse()
        self.server.seen.append(Exchange(self.command, path, query, trouble or answer.status))
        if trouble is None:
            self.pass_on(answer, wire)
        return site.close()

    do_GET = do_POST = do_OPTIONS = handle_one

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Retry-After", "1")
        self.end_headers()

    def pass_on(self, answer, wire):
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        if answer.headers.get_content_type() == "text/event-stream":
            self.wfile.write(self.server.said_before_streams)
            self.server.streams.append(wire)
        with suppress(OSError, http.client.HTTPException, ValueError):  # Cut, or nobody reads.
            while part := answer.read1():
                self.wfile.write(part)

    def log_message(self, *_):
        pass


@contextmanager
def relay(site_port):
    with Relay(site_port) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.cut()
            server.shutdown()
            thread.join()
