"""Send one POST to an address that somebody else has chosen, without reaching internal services.

The name of the host is resolved once, every address that it has is checked, and the connection goes
to a checked address: a second resolution cannot return another one. Redirects are not followed, the
whole exchange has one time limit, and only the beginning of the response is read.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

MAX_URL_CHARS = 500
MAX_RESPONSE_BYTES = 16 * 1024
DEFAULT_PORTS = {"https": 443, "http": 80}
# Addresses of IPv6 that stand for an address of IPv4, which may be an internal one: NAT64, 6to4,
# Teredo, and addresses that are compatible with IPv4.
EMBEDDING_NETWORKS = [
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "2002::/16", "2001::/32", "::/96")
]


class Address(NamedTuple):
    """An address to which a socket connects."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


@dataclass
class RequestFailed(Exception):
    """The request had no response with a status of success.

    `code` says why, for programs and people. `status` is that of the response, if there was one.
    Neither holds text of the other side.
    """

    code: str
    status: int | None = None

    def __str__(self) -> str:
        return self.code if self.status is None else f"{self.code} {self.status}"


class ForbiddenTarget(ValueError):
    """The host of a URL is no host of the public internet."""


def validate_url(url: str, *, allow_private: bool) -> SplitResult:
    """Return the parts of a URL to which a request may be sent, as far as the text shows it.

    Raises:
        ForbiddenTarget: The host is "localhost" or an address that is not public. With
            `allow_private`, it may be.
        ValueError: It is not an https URL of a host. With `allow_private`, http is valid, too.
    """
    parts = urlsplit(url)
    schemes = ("https", "http") if allow_private else ("https",)
    is_valid = parts.scheme in schemes and parts.hostname and len(url) <= MAX_URL_CHARS
    if not is_valid or parts.username or parts.password or parts.fragment:
        raise ValueError
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError
    _ = parts.port  # Raises ValueError for a port that is none.
    if not allow_private and _is_forbidden_host(parts.hostname or ""):
        raise ForbiddenTarget
    return parts


def _is_forbidden_host(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not is_public(host)
    except ValueError:  # A name. It is resolved when a request is sent.
        return False


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout_seconds: float,
    allow_private: bool = False,
) -> int:
    """Send a POST and return the status of the response, which is 200 to 299.

    Raises:
        RequestFailed: The address is not allowed, there was no connection or no response in time,
            or the response has another status.
    """
    try:
        parts = validate_url(url, allow_private=allow_private)
    except ForbiddenTarget:
        raise RequestFailed("forbidden_address") from None
    except ValueError:
        raise RequestFailed("invalid_url") from None
    host = str(parts.hostname)
    address = resolve(host, parts.port or DEFAULT_PORTS[parts.scheme], allow_private=allow_private)
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    with _connected(address, timeout_seconds) as (plain, is_over):
        try:
            connected = _encrypt(plain, host) if parts.scheme == "https" else plain
            status = _exchange(connected, parts.netloc, path, body, headers)
        except ssl.SSLCertVerificationError:
            raise RequestFailed("certificate_not_valid") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            is_late = isinstance(error, TimeoutError) or is_over.is_set()
            raise RequestFailed("timed_out" if is_late else "connection_failed") from None
    if not 200 <= status < 300:
        raise RequestFailed("wrong_status", status)
    return status


def resolve(host: str, port: int, *, allow_private: bool) -> Address:
    """Return the address of a host to connect to.

    Raises:
        RequestFailed: The host is not known, or any of its addresses is not a public one.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RequestFailed("unknown_host") from None
    addresses = [
        Address(family, sockaddr)
        for family, _, _, _, sockaddr in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
    if not addresses:
        raise RequestFailed("unknown_host")
    if not allow_private and not all(is_public(str(each.sockaddr[0])) for each in addresses):
        raise RequestFailed("forbidden_address")
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether an address belongs to the public internet: it is not private, local or reserved."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if any(address in network for network in EMBEDDING_NETWORKS):
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


@contextmanager
def _connected(
    address: Address, timeout_seconds: float
) -> Iterator[tuple[socket.socket, threading.Event]]:
    """Yield a connected socket, and an event that is set when the time limit has ended it.

    The time-out of a socket is for each read, so a server that sends one byte at a time would hold
    the thread for long. A timer therefore ends the connection.

    Raises:
        RequestFailed: There was no connection in time.
    """
    with socket.socket(address.family, socket.SOCK_STREAM) as connected:
        connected.settimeout(timeout_seconds)
        try:
            connected.connect(address.sockaddr)
        except TimeoutError:
            raise RequestFailed("timed_out") from None
        except OSError:
            raise RequestFailed("connection_failed") from None
        is_over = threading.Event()
        # TLS detaches the socket. Its duplicate stays valid.
        with connected.dup() as duplicate:

            def shut_down() -> None:
                is_over.set()
                with suppress(OSError):
                    duplicate.shutdown(socket.SHUT_RDWR)

            timer = threading.Timer(timeout_seconds, shut_down)
            timer.daemon = True
            timer.start()
            try:
                yield connected, is_over
            finally:
                timer.cancel()
                timer.join()


def _encrypt(plain: socket.socket, host: str) -> socket.socket:
    """Return the socket with TLS, after the certificate of the host was verified."""
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _exchange(
    connected: socket.socket, netloc: str, path: str, body: bytes, headers: Mapping[str, str]
) -> int:
    connection = http.client.HTTPConnection(netloc)
    connection.sock = connected  # It is connected, so the class opens no connection.
    with closing(connection):
        connection.request("POST", path, body, {**headers, "Connection": "close"})
        with connection.getresponse() as response:
            response.read(MAX_RESPONSE_BYTES)
            return response.status
