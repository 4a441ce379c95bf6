"""The limits of the web process, with sockets on a real server."""

from __future__ import annotations

import json
import re
import select
import socket
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from django.core.files.base import ContentFile
from websockets.sync.client import connect

from imports.client_addresses import find_forwarded_address, get_counted_address
from imports.conf import MAX_FORM_OVERHEAD_BYTES, MEGABYTES
from imports.models import ImportJob
from tests.database import connection
from tests.factories import make_csv, make_row
from tests.flooding_application import TOTAL_BYTES
from tests.streams import (
    MAX_WAIT_SECONDS,
    PING,
    is_lock_awaited,
    make_job,
    make_session_cookie,
    running_daphne,
    wait_until,
)
from tests.test_server import build_form, make_headers, post

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/accounts/login/"
MAX_UPLOAD_BYTES = 1_000_000
MAX_CHUNKED_BODY_BYTES = 500_000
# The buffers of the kernel take a few megabytes of `TOTAL_BYTES`.
MAX_SENT_BYTES = 16 * MEGABYTES


@pytest.fixture(scope="module")
def server(django_db_setup):
    """A server with time-outs that a test can wait for."""
    with running_daphne(
        IMPORTS_MAX_UPLOAD_BYTES=str(MAX_UPLOAD_BYTES),
        IMPORTS_SERVER_MAX_CHUNKED_BODY_BYTES=str(MAX_CHUNKED_BODY_BYTES),
        IMPORTS_SERVER_HEAD_TIMEOUT_SECONDS="3",
        IMPORTS_SERVER_IDLE_TIMEOUT_SECONDS="4",
        IMPORTS_SERVER_BODY_TIMEOUT_SECONDS="3",
        IMPORTS_SERVER_MIN_BODY_BYTES_PER_SECOND="10000",
        IMPORTS_SERVER_SEND_TIMEOUT_SECONDS="3",
        IMPORTS_SERVER_LINGER_SECONDS="3",
    ) as server:
        yield server


@contextmanager
def connected(server, address="127.0.0.1"):
    with closing(
        socket.create_connection(
            ("127.0.0.1", server.port), MAX_WAIT_SECONDS, source_address=(address, 0)
        )
    ) as client:
        yield client


def make_head(method="GET", path=PAGE, *headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_status(client):
    """Return the status of the next response; None if the connection is closed instead."""
    try:
        line = client.makefile("rb").readline()
    except ConnectionResetError:
        return None
    return int(line.split()[1]) if line else None


def read_to_end(client):
    """Receive until the server closes, and return what was received."""
    content = b""
    try:
        while data := client.recv(65_536):
            content += data
    except ConnectionResetError:
        pass
    return content


def get_page(server, *headers):
    with connected(server) as client:
        client.sendall(make_head("GET", PAGE, "Connection: close", *headers))
        return read_status(client)


# --- Bodies over the limit ---------------------------------------------------


@pytest.mark.parametrize("path", ["/api/imports/", PAGE, "/no-such-page/"])
@pytest.mark.parametrize(
    ("framing", "first_bytes", "status"),
    [
        ("Content-Length: 200000000", b"", 413),
        (
            "Transfer-Encoding: chunked",
            f"{MAX_CHUNKED_BODY_BYTES + 1:x}\r\n".encode() + b"x" * (MAX_CHUNKED_BODY_BYTES + 1),
            411,
        ),
    ],
    ids=["length", "chunked"],
)
def test_a_body_over_the_limit_is_refused_before_it_ends(
    server, path, framing, first_bytes, status
):
    with connected(server) as client:
        client.sendall(make_head("POST", path, framing) + first_bytes)

        assert read_status(client) == status


def test_a_chunked_body_of_exactly_the_limit_is_not_refused(server):
    response, _ = post(server, PAGE, iter([b"x" * MAX_CHUNKED_BODY_BYTES]))

    assert response.status == 403  # From Django: no CSRF token.


def test_a_chunked_body_may_be_limited_like_all_others():
    with running_daphne(
        IMPORTS_MAX_UPLOAD_BYTES="1000", IMPORTS_SERVER_MAX_CHUNKED_BODY_BYTES="2000000"
    ) as server:
        for size, status in [(1_000 + MAX_FORM_OVERHEAD_BYTES, 403), (2_000_000, 413)]:
            response, _ = post(server, PAGE, iter([b"x" * size]))
            assert response.status == status


def test_a_client_that_waits_for_100_continue_sends_no_refused_body(server):
    with connected(server) as client:
        client.sendall(make_head("POST", PAGE, "Content-Length: 200000000", "Expect: 100-continue"))

        assert read_status(client) == 413


def test_a_client_that_waits_for_100_continue_uploads(server, alice):
    content = build_form(make_csv([make_row(1)]))
    headers = [f"{name}: {value}" for name, value in make_headers(alice).items()]
    length = f"Content-Length: {len(content)}"
    with connected(server) as client:
        client.sendall(make_head("POST", "/api/imports/", length, "Expect: 100-continue", *headers))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(content)
        assert read_status(client) == 202


def test_twenty_large_bodies_at_once_use_no_memory_and_no_disk(server):
    get_page(server)
    before = get_memory(server)
    process = psutil.Process(server.process.pid)
    piece = b"x" * 65_536
    with ExitStack() as stack:
        # Writing to any file fails. The response would have another status.
        stack.callback(process.rlimit, psutil.RLIMIT_FSIZE, process.rlimit(psutil.RLIMIT_FSIZE))
        process.rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))
        clients = [stack.enter_context(connected(server)) for _ in range(20)]
        for client in clients:
            client.sendall(make_head("POST", "/api/imports/", "Content-Length: 200000000"))
        for _ in range(80):  # 105 MB in all.
            for client in clients:
                client.sendall(piece)
        assert get_peak_memory(server) - before < 10 * MEGABYTES
        assert {read_status(client) for client in clients} == {413}


def test_a_refused_client_that_goes_on_sending_is_closed(server):
    started = time.monotonic()
    with connected(server) as client:
        client.sendall(make_head("POST", PAGE, "Content-Length: 200000000"))
        with pytest.raises(ConnectionError):  # noqa: PT012  # Which of the calls fails is open.
            while time.monotonic() - started < MAX_WAIT_SECONDS:
                client.sendall(b"x")
                time.sleep(0.05)


def test_a_websocket_request_with_a_body_is_refused(server):
    with connected(server) as client:
        client.sendall(
            make_head("GET", "/x", "Upgrade: websocket", "Connection: Upgrade", "Content-Length: 9")
        )

        assert read_status(client) == 400


def test_bodies_that_need_too_much_disk_space_get_503():
    head = make_head("POST", PAGE, "Content-Length: 2000000")
    with running_daphne(IMPORTS_SERVER_MAX_STORED_BYTES="1000000") as server:
        for _ in range(3):  # The space is free again after each interrupted upload.
            with connected(server) as first, connected(server) as second:
                first.sendall(head + b"x" * 600_000)
                second.sendall(head + b"x" * 600_000)
                readable, _, _ = select.select([first, second], [], [], MAX_WAIT_SECONDS)
                assert read_status(readable[0]) == 503
        for _ in range(3):  # And after each complete one.
            response, _ = post(server, PAGE, b"x" * 600_000)
            assert response.status == 403  # From Django: no CSRF token.


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_an_address_that_fills_the_disk_space_makes_room_for_another(proxies):
    head = make_head("POST", PAGE, "Content-Length: 2000000", "X-Forwarded-For: 10.0.0.1")
    other_head = make_head("POST", PAGE, "Content-Length: 400000", "X-Forwarded-For: 10.0.0.2")
    with (
        running_daphne(
            TRUSTED_PROXIES=proxies, IMPORTS_SERVER_MAX_STORED_BYTES="1000000"
        ) as server,
        ExitStack() as stack,
    ):
        attackers = [stack.enter_context(connected(server)) for _ in range(4)]
        for client in attackers:
            client.sendall(head + b"x" * 240_000)
        wait_until(lambda: count_stored_bytes(server) == 960_000)
        with connected(server, "127.0.0.2") as other:
            other.sendall(other_head + b"x" * 400_000)
            assert read_status(other) == 403  # From Django.
        refused, _, _ = select.select(attackers, [], [], MAX_WAIT_SECONDS)
        assert [read_status(client) for client in refused] == [503, 503]
        assert count_stored_bytes(server) == 480_000


def count_stored_bytes(server):
    """Return the size of the temporary files that the server has open, which have no name."""
    files = Path(f"/proc/{server.process.pid}/fd").iterdir()
    sizes = 0
    for file in files:
        with suppress(FileNotFoundError):
            sizes += file.stat().st_size if " (deleted)" in str(file.readlink()) else 0
    return sizes


# --- Time --------------------------------------------------------------------


def send_slowly(client, pieces, pause_seconds=0.1):
    """Send until the server closes or responds."""
    client.settimeout(pause_seconds)
    for piece in pieces:
        try:
            client.sendall(piece)
            if client.recv(1, socket.MSG_PEEK) is not None:
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    client.settimeout(MAX_WAIT_SECONDS)


def test_a_slow_head_times_out(server):
    with connected(server) as client:
        send_slowly(client, [b"GET / HTTP/1.1\r\nX: ", *[b"x"] * 600])

        assert read_status(client) == 408


def test_a_connection_without_a_request_is_closed(server):
    with connected(server) as client:
        assert read_to_end(client) == b""


def test_an_idle_connection_is_closed_after_a_second_request(server):
    with connected(server) as client:
        for _ in range(2):
            client.sendall(make_head())
            assert b"200 OK" in client.recv(65_536)
        read_to_end(client)


@pytest.mark.parametrize(
    "pieces",
    # The average of the first is over the minimum rate for more than a minute.
    [[b"x" * 800_000], [b"x" * 300] * 600],
    ids=["pause", "rate"],
)
def test_a_slow_body_times_out(server, pieces):
    with connected(server) as client:
        client.sendall(make_head("POST", PAGE, "Content-Length: 900000"))
        send_slowly(client, pieces)

        assert read_status(client) == 408


def test_a_slow_upload_over_the_minimum_rate_is_accepted(server, alice):
    content = build_form(make_csv([make_row(number) for number in range(6_000)])[:300_000])
    headers = [f"{name}: {value}" for name, value in make_headers(alice).items()]
    with connected(server) as client:
        length = f"Content-Length: {len(content)}"
        client.sendall(make_head("POST", "/api/imports/", length, *headers))
        for start in range(0, len(content), 5_000):
            client.sendall(content[start : start + 5_000])
            time.sleep(0.1)  # The rate is what is tested.
        assert read_status(client) == 202
    assert ImportJob.objects.exists()


def test_streams_outlive_every_time_out(alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    with (
        running_daphne(
            IMPORTS_STREAM_PING_SECONDS="0.5",
            IMPORTS_SERVER_HEAD_TIMEOUT_SECONDS="2",  # The machine may be busy.
            IMPORTS_SERVER_IDLE_TIMEOUT_SECONDS="0.2",
            IMPORTS_SERVER_BODY_TIMEOUT_SECONDS="0.2",
            IMPORTS_SERVER_SEND_TIMEOUT_SECONDS="0.2",
            IMPORTS_SERVER_LINGER_SECONDS="0.2",
        ) as server,
        server.stream(job, cookie) as stream,
        connect(
            f"ws://127.0.0.1:{server.port}/ws/imports/{job.pk}/",
            origin=f"http://127.0.0.1:{server.port}",
            additional_headers={"Cookie": f"sessionid={cookie}"},
        ) as websocket,
    ):
        assert stream.next()
        assert websocket.recv(MAX_WAIT_SECONDS)
        for _ in range(8):  # Four seconds, in which the server looks for slow clients.
            assert stream.next(pings=True) == PING
        job.refresh_from_db()
        ImportJob.objects.filter(pk=job.pk).update(version=job.version + 1, checked=1)
        assert stream.next().snapshot["checked"] == 1
        while json.loads(websocket.recv(MAX_WAIT_SECONDS)).get("checked") != 1:
            pass


# --- Heads and pipelining ----------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [f"X-{number}: x" for number in range(101)],
        ["X: " + "x" * 17_000],
        ["X: " + "x" * 9_000] * 2,
    ],
    ids=["count", "line", "bytes"],
)
def test_a_head_over_the_limits_is_refused(server, headers):
    assert get_page(server, *headers) == 431


def test_the_limit_of_a_head_is_the_setting_and_not_the_default_of_twisted():
    with running_daphne(IMPORTS_SERVER_MAX_HEAD_BYTES="4096") as server:
        assert get_page(server, "X-Long: " + "x" * 6_000) == 431
        assert get_page(server, "X-Short: " + "x" * 2_000) == 200


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: " + "9" * 5_000],
        ["Transfer-Encoding: identity", "Content-Length: 2"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Transfer-Encoding: chunked", "Content-Length: 2"],
        ["Content-Length: 2", "Content-Length: 3"],
    ],
    ids=["long number", "identity", "two encodings", "encoding and length", "two lengths"],
)
def test_a_body_whose_end_is_ambiguous_is_refused(server, headers):
    with connected(server) as client:
        client.sendall(make_head("POST", PAGE, *headers) + b"{}")
        content = read_to_end(client)

    assert content.startswith(b"HTTP/1.1 400 ")


def test_requests_in_advance_are_answered_in_order(server):
    request = make_head("GET", "/no-such-page/")
    with connected(server) as client:
        client.sendall(request * 3 + make_head("GET", PAGE, "Connection: close"))
        content = read_to_end(client)

    assert content.count(b"HTTP/1.1 404") == 3
    assert content.count(b"HTTP/1.1 200") == 1


def test_what_a_client_sends_during_a_stream_is_not_stored(server, alice):
    job, cookie = make_job(alice), f"Cookie: sessionid={make_session_cookie(alice)}"
    sent_bytes = 0
    with connected(server) as client:
        client.sendall(make_head("GET", f"/api/imports/{job.pk}/events/", cookie))
        assert read_status(client) == 200
        client.settimeout(2)
        with suppress(TimeoutError):  # The server does not read on.
            while sent_bytes < TOTAL_BYTES:
                sent_bytes += client.send(b"x" * 65_536)

    assert sent_bytes < MAX_SENT_BYTES


def test_an_error_of_the_server_itself_ends_the_connection(server):
    with connected(server) as client:
        client.sendall(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        content = read_to_end(client)

    assert content.count(b"HTTP/1.1 400") == 1


# --- Connections -------------------------------------------------------------


def test_an_address_has_a_limit_of_connections():
    with running_daphne(IMPORTS_SERVER_MAX_CONNECTIONS_PER_ADDRESS="3") as server:
        with ExitStack() as stack:
            for _ in range(3):
                client = stack.enter_context(connected(server))
                client.sendall(make_head())
                assert client.recv(1)
            assert get_page(server) in {429, None}  # The close may overtake the response.
            with connected(server, "127.0.0.2") as other:
                other.sendall(make_head())
                assert read_status(other) == 200
        wait_until(lambda: get_page(server) == 200)


def test_behind_a_proxy_the_streams_of_a_client_have_the_limit(alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    with (
        running_daphne(
            TRUSTED_PROXIES="1", IMPORTS_SERVER_MAX_CONNECTIONS_PER_ADDRESS="2"
        ) as server,
        ExitStack() as stack,
    ):
        headers = {"X-Forwarded-For": "10.0.0.9, 10.0.0.1"}
        for _ in range(2):
            stream = stack.enter_context(server.stream(job, cookie, **headers))
            assert stream.status == 200
        assert get_page(server, "X-Forwarded-For: 10.0.0.9, 10.0.0.1") == 429
        assert get_page(server, "X-Forwarded-For: 10.0.0.1, 10.0.0.2") == 200


def test_a_new_connection_takes_the_place_of_one_without_a_request():
    with (
        running_daphne(IMPORTS_SERVER_MAX_CONNECTIONS="10") as server,
        ExitStack() as stack,
    ):
        slow = [stack.enter_context(connected(server)) for _ in range(10)]
        for client in slow:
            client.sendall(b"GET / HTTP/1.1\r\nX: ")
        wait_until(lambda: get_page(server) == 200)
        assert read_to_end(slow[0]) == b""  # The oldest one.


# --- Slow readers and slots --------------------------------------------------


UPGRADE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


@pytest.fixture(scope="module")
def flooding_server(django_db_setup):
    with running_daphne(
        application="tests.flooding_application:application",
        IMPORTS_SERVER_SEND_TIMEOUT_SECONDS="1",
    ) as server:
        yield server


def get_report(server, path):
    with urlopen(f"http://127.0.0.1:{server.port}/report/", timeout=MAX_WAIT_SECONDS) as response:
        return json.load(response).get(path)


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/download/", []), ("/events/", []), ("/websocket/", UPGRADE)],
    ids=["download", "events", "websocket"],
)
def test_an_application_waits_for_a_client_that_never_reads(flooding_server, path, headers):
    assert get_report(flooding_server, path) is None
    before = get_memory(flooding_server)
    with connected(flooding_server) as client:
        client.sendall(make_head("GET", path, *headers))
        wait_until(lambda: (get_report(flooding_server, path) or {}).get("has_ended"))

    # The server has closed the connection after a second. The application has ended by itself.
    assert get_report(flooding_server, path)["sent_bytes"] < MAX_SENT_BYTES < TOTAL_BYTES
    assert get_peak_memory(flooding_server) - before < MAX_SENT_BYTES
    assert "too long to shut down" not in flooding_server.errors.read_text()


def test_a_large_response_is_not_copied(flooding_server):
    assert get_report(flooding_server, "/large/") is None
    before = get_memory(flooding_server)
    with connected(flooding_server) as client:
        client.sendall(make_head("GET", "/large/"))
        wait_until(lambda: (get_report(flooding_server, "/large/") or {}).get("has_ended"))

    # The application itself holds `TOTAL_BYTES`.
    assert get_peak_memory(flooding_server) - before < TOTAL_BYTES + MAX_SENT_BYTES


def test_a_client_that_reads_receives_a_large_response(flooding_server):
    with urlopen(f"http://127.0.0.1:{flooding_server.port}/large/") as response:
        content = response.read(TOTAL_BYTES)

    assert len(content) == TOTAL_BYTES
    assert content.count(b"x") == TOTAL_BYTES


def test_a_slow_websocket_client_receives_everything_and_is_still_heard(flooding_server):
    url = f"ws://127.0.0.1:{flooding_server.port}/slow/"
    with connect(url, max_size=None, compression=None, max_queue=1) as websocket:
        wait_until(lambda: get_report(flooding_server, "/slow/"))
        received_bytes = 0
        while received_bytes < TOTAL_BYTES:
            received_bytes += len(websocket.recv(MAX_WAIT_SECONDS))
        websocket.send("That was all.")

        assert websocket.recv(MAX_WAIT_SECONDS) == "received"


def test_a_download_waits_for_a_client_that_never_reads(server, alice):
    job = make_job(alice)
    job.file.save("large.csv", ContentFile(bytes(64 * MEGABYTES)))
    get_page(server)
    before = get_memory(server)
    authorization = f"Authorization: {make_headers(alice)['Authorization']}"
    with connected(server) as client:
        client.sendall(make_head("GET", f"/api/imports/{job.pk}/file/", authorization))
        client.recv(1, socket.MSG_PEEK)
        process = psutil.Process(server.process.pid)
        wait_until(lambda: count_connections(process) == 0)
        content = read_to_end(client)

    assert content.startswith(b"HTTP/1.1 200")
    assert len(content) < MAX_SENT_BYTES
    assert get_peak_memory(server) - before < MAX_SENT_BYTES


def get_memory(server):
    """Return the bytes of memory that the server uses."""
    return psutil.Process(server.process.pid).memory_info().rss


def get_peak_memory(server):
    """Return the most memory that the server has used since it started, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def upload_file(server, user, size):
    response, body = post(server, "/api/imports/", build_form(b"x" * size), **make_headers(user))
    assert response.status == 202
    return json.loads(body)["id"]


def count_connections(process):
    """Return how many clients are connected. Those of Redis and PostgreSQL use Unix sockets."""
    return sum(item.status == "ESTABLISHED" for item in process.net_connections("tcp"))


def test_requests_over_the_slots_wait_and_then_get_503_while_streams_do_not_count(alice):
    job, cookie = make_job(alice), make_session_cookie(alice)
    session = f"Cookie: sessionid={cookie}"
    with (
        running_daphne(
            IMPORTS_SERVER_MAX_CONCURRENT_REQUESTS="2", IMPORTS_SERVER_MAX_WAIT_SECONDS="1"
        ) as server,
        ExitStack() as stack,
    ):
        for _ in range(3):  # More than there are slots.
            stream = stack.enter_context(server.stream(job, cookie))
            assert stream.next()
        assert get_page(server) == 200
        other = stack.enter_context(
            closing(connection.Database.connect(**connection.get_connection_params()))
        )
        cursor = stack.enter_context(other.cursor())
        cursor.execute("LOCK TABLE customers_customer IN ACCESS EXCLUSIVE MODE")
        blocked = [stack.enter_context(connected(server)) for _ in range(2)]
        for client in blocked:
            client.sendall(make_head("GET", "/api/customers/", session))
        wait_until(lambda: is_lock_awaited(cursor, "customers_customer"))
        with connected(server) as client:
            client.sendall(make_head("GET", PAGE, "Connection: close"))
            content = read_to_end(client)
        assert content.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 5" in content
        other.rollback()
        assert {read_status(client) for client in blocked} == {200}
        assert get_page(server) == 200


# --- Addresses ---------------------------------------------------------------


def test_an_ipv6_address_counts_for_its_network():
    assert get_counted_address("2001:db8::1") == get_counted_address("2001:db8::ffff:1")
    assert get_counted_address("2001:db8::1") != get_counted_address("2001:db8:0:1::1")
    assert get_counted_address("::ffff:10.0.0.1") == "10.0.0.1"


def test_only_addresses_that_trusted_proxies_report_count():
    values = ["1.1.1.1, 2.2.2.2", "3.3.3.3"]
    assert find_forwarded_address(values, 1) == "3.3.3.3"
    assert find_forwarded_address(values, 2) == "2.2.2.2"
    assert find_forwarded_address(values, 9) == "1.1.1.1"
    assert find_forwarded_address([" , "], 1) is None
