"""The clients of docs/integrators.md on a network that interrupts streams and drops responses.

The tests use a real site and worker. The TypeScript client runs in Node, and in a browser on a page
of another origin.
"""

import json
import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from rest_framework_simplejwt.tokens import AccessToken

from imports import snapshots
from imports.authentication import make_refresh_token
from imports.live.sse import format_event
from imports.models import ImportJob
from tests import browser, typescript
from tests.factories import make_csv, make_row
from tests.http_proxy import DROP_RESPONSE, running_proxy
from tests.processes import MAX_WAIT_SECONDS, upload_in_process, wait_for, worker
from tests.streams import Stream, running_daphne
from tests.test_integrators import PAGE, STREAM_SECTION, get_snippets
from tests.test_live import count_other_sessions

pytestmark = pytest.mark.django_db(transaction=True)

FOLLOW_PROGRAM = """
import {{ Site }} from "./client.ts";

const site = new Site("{address}", {tokens});
const last = await site.follow("{job}", ({{ version, status }}) => console.log(version, status));
console.log("The end:", last.status);
"""
UPLOAD_PROGRAM = """
import {{ Site }} from "./client.ts";

const site = new Site("{address}", {tokens});
const file = new File(["shipping mark,first name,last name,phone\\n"], "customers.csv");
const job = await site.upload(file, "once", {{ check_first: "true" }});
console.log(job.id);
"""
ABORT_PROGRAM = """
import {{ Site }} from "./client.ts";

const controller = new AbortController();
const site = new Site("{address}", {tokens});
const abort = () => setTimeout(() => controller.abort());
const result = site.follow("{job}", abort, controller.signal);
console.log(await result.catch((error: Error) => error.name));
"""
QUEUED_POLL_SECONDS = 2
PAGE_OF_ANOTHER_SITE = """
<!doctype html><link rel="icon" href="data:,">
<script type="module">await import("./program.js"); document.title = "The end";</script>
"""


def make_csv_of_rows(count):
    return make_csv([make_row(number) for number in range(1, count + 1)])


def make_tokens(user):
    return {"access": str(AccessToken.for_user(user)), "refresh": str(make_refresh_token(user))}


def expire_access_token(tokens):
    """Replace the access token with one that the site rejects, as it rejects an expired one."""
    return tokens | {"access": "x.y.z"}


@pytest.fixture
def network(server):
    with running_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def origin(tmp_path):
    """The origin of another site, which serves the files of `tmp_path`."""
    pages = partial(SilentHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), pages) as site:
        thread = Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(transactional_db, origin):
    options = {"IMPORTS_TICKET_SECONDS": "5", "CORS_ALLOWED_ORIGINS": origin}
    with running_daphne(**options) as running:
        yield running
    wait_for(lambda: count_other_sessions() == 0)


@pytest.fixture
def start_worker(server):
    """A function that starts a worker, which runs until the end of the test."""
    with ExitStack() as workers:
        yield lambda: workers.enter_context(worker())


@pytest.fixture
def job(alice, server):
    """An import that is QUEUED, and goes on when a worker starts."""
    return upload_in_process(alice, make_csv_of_rows(20_000))


class ProgramOutput:
    """The lines that a program has printed; empty until the program has exited."""

    lines: list[str] = []


@contextmanager
def run_in_node(folder, text, origin):
    with run_process(typescript.write_program(folder, text), folder) as output:
        yield output


@contextmanager
def run_process(command, folder="."):
    """Run a command beside the block, and wait for its end after the block."""
    output = ProgramOutput()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield output
            printed, _ = process.communicate(timeout=MAX_WAIT_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, printed
    output.lines = printed.splitlines()


@contextmanager
def run_in_chromium(folder, text, origin):
    typescript.write_program(folder, text)
    typescript.run_compiler(folder, "--noEmit", "false")
    (folder / "index.html").write_text(PAGE_OF_ANOTHER_SITE)
    output, messages = ProgramOutput(), []
    with browser.launch_browser() as chromium:
        page = chromium.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.goto(origin)
        yield output
        page.wait_for_function("document.title == 'The end'", timeout=MAX_WAIT_SECONDS * 1_000)
    output.lines = [line for line in messages if "Failed to load resource" not in line]


def get_exchanges(network, ending):
    """Return the exchanges of paths with this ending, without the preflight requests of CORS."""
    return [
        exchange
        for exchange in network.exchanges
        if exchange.path.endswith(ending) and exchange.method != "OPTIONS"
    ]


def get_statuses(network, ending):
    return [exchange.status for exchange in get_exchanges(network, ending)]


def assert_versions_rise(lines):
    """No snapshot is older than the one before it."""
    versions = [int(line.split()[0]) for line in lines]
    assert versions == sorted(versions)
    assert len(versions) > 2


@pytest.mark.parametrize("run_program", [run_in_node, run_in_chromium])
def test_client_replaces_an_interrupted_stream_whose_ticket_has_expired(
    run_program, tmp_path, alice, job, server, network, origin, start_worker
):
    tokens = json.dumps(expire_access_token(make_tokens(alice)))
    text = FOLLOW_PROGRAM.format(address=network.address, tokens=tokens, job=job.pk)
    with run_program(tmp_path, text, origin) as program:
        wait_for(lambda: get_statuses(network, "/events/") == [200])
        first = get_exchanges(network, "/events/")[0]
        wait_for(lambda: request_status(server, f"{first.path}?{first.query}") == 401)
        network.stream_prefix = format_event(snapshots.build_snapshot(job))
        network.cut_responses()
        wait_for(lambda: get_statuses(network, "/events/") == [200, 401, 200])
        start_worker()

    _, with_expired_ticket, with_new_ticket = get_exchanges(network, "/events/")
    assert with_expired_ticket.query == first.query != with_new_ticket.query
    assert get_statuses(network, "/refresh/") == [200]
    *printed, end = program.lines
    assert (printed[-1].split()[1], end) == ("COMPLETE", "The end: COMPLETE")
    assert_versions_rise(printed)


def request_status(server, address):
    with Stream(server.port, address) as response:
        return response.status


def test_client_polls_at_the_given_interval_without_streams(
    tmp_path, alice, job, network, origin, start_worker
):
    network.fault = lambda method, path: 503 if path.endswith("/events/") else None
    text = FOLLOW_PROGRAM.format(
        address=network.address, tokens=json.dumps(make_tokens(alice)), job=job.pk
    )
    with run_in_node(tmp_path, text, origin) as program:
        wait_for(lambda: len(get_exchanges(network, f"/{job.pk}/")) >= 3)
        start_worker()

    assert program.lines[-1] == "The end: COMPLETE"
    assert set(get_statuses(network, "/events/")) == {503}
    # A slow machine can only make the interval longer.
    _, first, second, *_ = get_exchanges(network, f"/{job.pk}/")
    assert second.at - first.at > QUEUED_POLL_SECONDS - 0.1


def test_client_repeats_an_upload_until_it_succeeds_once(tmp_path, alice, network, origin):
    faults = iter([DROP_RESPONSE, 503])
    network.fault = lambda method, path: (
        next(faults, None) if path == "/api/imports/" and method == "POST" else None
    )
    text = UPLOAD_PROGRAM.format(address=network.address, tokens=json.dumps(make_tokens(alice)))
    with run_in_node(tmp_path, text, origin) as program:
        pass

    assert get_statuses(network, "/imports/") == [DROP_RESPONSE, 503, 202]
    assert program.lines == [str(ImportJob.objects.get().pk)]


def test_abort_signal_ends_the_stream(tmp_path, alice, job, network, origin):
    text = ABORT_PROGRAM.format(
        address=network.address, tokens=json.dumps(make_tokens(alice)), job=job.pk
    )
    with run_in_node(tmp_path, text, origin) as program:
        pass

    assert program.lines == ["AbortError"]


def test_python_loop_continues_after_interruptions_and_polls_without_streams(
    alice, job, network, start_worker
):
    call = get_snippets("python", PAGE).split('\ntokens = call("POST"')[0]
    follow = get_snippets("python", get_section(STREAM_SECTION)).partition("\n\n\nfor job in")[0]
    bearer = f"Bearer {AccessToken.for_user(alice)}"
    text = "\n".join(
        [
            call.replace("http://localhost:8000", network.address),
            f'site.headers["Authorization"] = "{bearer}"',
            follow,
            f'for job in follow("/api/imports/{job.pk}/"):',
            '    print(job["version"], job["status"])',
        ]
    )
    with run_process([sys.executable, "-W", "error", "-c", text]) as program:
        wait_for(lambda: get_statuses(network, "/events/") == [200])
        network.stream_prefix = format_event(snapshots.build_snapshot(job))
        network.cut_responses()
        wait_for(lambda: get_statuses(network, "/events/") == [200, 200])
        network.fault = lambda method, path: 503 if path.endswith("/events/") else None
        network.cut_responses()
        wait_for(lambda: 503 in get_statuses(network, "/events/"))
        start_worker()

    assert program.lines[-1].endswith("COMPLETE")
    assert_versions_rise(program.lines)


def get_section(name):
    return re.search(rf"### {name}\n.*?(?=\n###? )", PAGE, re.DOTALL)[0]
