"""A server on this machine that receives webhooks."""

import ssl
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import NamedTuple


class ReceivedRequest(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers every POST with `status` and `reply`, and keeps the requests.

    `hold` makes the server wait before it answers, one byte at a time, until `release` is set.
    """

    daemon_threads = True
    block_on_close = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.reply, self.location = 200, b"ok", ""
        self.hold = False
        self.release = Event()
        self.requests = []
        self.sent_bytes = 0
        self.scheme = "http"

    def url(self, path="/hook?key=URLSECRET"):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request, client_address):
        """Print nothing: a client may end the connection at any time."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(ReceivedRequest(self.path, headers, body))
        while self.server.hold and not self.server.release.wait(0.05):
            self.wfile.write(b"H")
            self.wfile.flush()
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(self.server.reply)))
        self.end_headers()
        for start in range(0, len(self.server.reply), 4096):
            self.server.sent_bytes += self.wfile.write(self.server.reply[start : start + 4096])

    def log_message(self, *arguments):
        """Print nothing."""


@contextmanager
def running_receiver(certificate=None):
    """Start a receiver; with the path of a certificate and its key, over TLS."""
    receiver = Receiver()
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
        receiver.scheme = "https"
    thread = Thread(target=receiver.serve_forever, args=[0.01])
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release.set()
        receiver.shutdown()
        thread.join()
        receiver.server_close()
