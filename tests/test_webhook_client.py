"""Test that a POST to a foreign address reaches no internal service, and ends in time."""

import socket
import subprocess
import time

import pytest

from imports.webhook_client import RequestFailed, is_public, post
from tests.webhook_receiver import running_receiver

FORBIDDEN = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "::7f00:1",
    "2001:db8::1",
]


@pytest.fixture
def receiver():
    with running_receiver() as server:
        yield server


def fail(url, **options) -> RequestFailed:
    """Return why a POST fails."""
    options = {"timeout_seconds": 5, "allow_private": True} | options
    with pytest.raises(RequestFailed) as caught:
        post(url, b"{}", {}, **options)
    return caught.value


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "::ffff:93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
)
def test_addresses_that_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f000001", "127.1"]
)
def test_an_internal_address_is_refused_however_it_is_written(host, receiver):
    url = f"https://{host}:{receiver.server_address[1]}/"

    assert fail(url, allow_private=False).code in {"forbidden_address", "unknown_host"}
    assert receiver.requests == []


def test_a_host_with_one_internal_address_among_others_is_refused(monkeypatch):
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in ("93.184.215.14", "169.254.169.254")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: answers)

    assert fail("https://rebinding.example/", allow_private=False).code == "forbidden_address"


def test_a_name_is_resolved_once_and_the_checked_address_is_used(monkeypatch, receiver):
    """A second resolution could return another address (DNS rebinding)."""
    resolved = []
    resolve = socket.getaddrinfo

    def count_and_resolve(host, *args, **options):
        resolved.append(host)
        return resolve("127.0.0.1" if len(resolved) == 1 else "192.0.2.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", count_and_resolve)
    url = f"http://once.example:{receiver.server_address[1]}/x"

    assert post(url, b"{}", {}, timeout_seconds=5, allow_private=True) == 200
    assert resolved == ["once.example"]
    host = f"once.example:{receiver.server_address[1]}"
    assert receiver.requests[0].headers["host"] == host


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https:///path",
        "https://user:password@example.com/",
        "https://example.com/#fragment",
        "https://example.com/a b",
        "https://example.com/\r\nHost: internal",
        "https://example.com:port/",
        "https://example.com/" + "x" * 500,
        "https://exämple.com/",
    ],
)
def test_urls_that_are_refused(url):
    assert fail(url, allow_private=False).code == "invalid_url"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status, receiver):
    receiver.status, receiver.location = status, receiver.url("/internal")

    failure = fail(receiver.url("/"))

    assert (failure.code, failure.status) == ("wrong_status", status)
    assert [request.path for request in receiver.requests] == ["/"]


def test_a_response_that_never_ends_is_ended_in_time(receiver):
    receiver.hold = True
    started = time.monotonic()

    failure = fail(receiver.url(), timeout_seconds=0.5)

    assert failure.code == "timed_out"
    assert time.monotonic() - started < 3


def test_only_the_beginning_of_a_response_is_read(receiver):
    receiver.reply = b"x" * 50_000_000

    assert post(receiver.url(), b"{}", {}, timeout_seconds=10, allow_private=True) == 200
    assert receiver.sent_bytes < 25_000_000


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
def test_a_status_of_failure_is_reported(status, receiver):
    receiver.status = status

    failure = fail(receiver.url())

    assert (failure.code, failure.status) == ("wrong_status", status)


def test_a_server_that_is_down_is_reported():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        assert fail(f"http://127.0.0.1:{unused.getsockname()[1]}/").code == "connection_failed"


def test_a_host_that_does_not_exist_is_reported():
    assert fail("https://nothing.invalid/").code == "unknown_host"


@pytest.fixture
def certificate(tmp_path):
    """A certificate of 127.0.0.1 that is its own issuer, with its key."""
    path = tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-batch",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", path, "-out", tmp_path / "public.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (tmp_path / "public.pem").read_text())
    return path


def test_a_certificate_that_nobody_trusts_is_refused(certificate):
    with running_receiver(certificate) as server:
        assert fail(server.url()).code == "certificate_not_valid"
        assert server.requests == []


def test_a_webhook_is_sent_over_tls(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with running_receiver(certificate) as server:
        assert post(server.url(), b"{}", {}, timeout_seconds=5, allow_private=True) == 200
        assert server.requests[0].body == b"{}"


def test_a_failure_holds_no_text_of_the_address():
    failure = fail("https://nothing.invalid/?key=URLSECRET")

    assert "URLSECRET" not in f"{failure!r} {failure}"
