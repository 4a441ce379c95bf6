"""The examples for integrators on a network that cuts, loses, refuses and mixes up.

Against a real site and worker; the TypeScript client in Node, and in a browser whose page
is of another origin.
"""

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from imports import lifecycle, snapshots
from imports.live.sse import format_event
from imports.models import ImportJob
from imports.statuses import Status
from tests import browser, typescript
from tests.factories import make_csv, make_row
from tests.http_proxy import DROP_RESPONSE, running_proxy
from tests.processes import MAX_WAIT_SECONDS, upload_in_process, wait_for, worker
from tests.streams import Stream, running_daphne
from tests.test_integrators import FOLLOW, PAGE, snippets
from tests.test_live import other_sessions

pytestmark = pytest.mark.django_db(transaction=True)

FOLLOWING = """
import {{ Site }} from "./client.ts";

const site = new Site("{address}", {tokens});
const last = await site.follow("{job}", ({{ version, status }}) => console.log(version, status));
console.log("The end:", last.status);
"""
UPLOADING = """
import {{ Site }} from "./client.ts";

const site = new Site("{address}", {tokens});
const file = new File(["shipping mark,first name,last name,phone\\n"], "customers.csv");
const job = await site.upload(file, "once", {{ check_first: "true" }});
console.log(job.id);
"""
LEAVING = """
import {{ Site }} from "./client.ts";

const leaving = new AbortController();
const site = new Site("{address}", {tokens});
const follows = site.follow("{job}", () => setTimeout(() => leaving.abort()), leaving.signal);
console.log(await follows.catch((error: Error) => error.name));
"""
POLL_SECONDS_OF_READY = 5
PAGE_OF_ANOTHER_SITE = """
<!doctype html><link rel="icon" href="data:,">
<script type="module">await import("./program.js"); document.title = "The end";</script>
"""


def content(rows):
    return make_csv([make_row(number) for number in range(1, rows + 1)])


def tokens(user):
    return {"access": str(AccessToken.for_user(user)), "refresh": str(RefreshToken.for_user(user))}


def expired(tokens):
    """As the site takes it: any token that it would not give today."""
    return tokens | {"access": "x.y.z"}


@pytest.fixture
def network(server):
    with running_proxy(server.port) as between:
        yield between


@pytest.fixture
def origin(tmp_path):
    """A site of other people, whose pages lie in a folder."""
    pages = partial(Quiet, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), pages) as site:
        thread = Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(transactional_db, origin):
    options = {"IMPORT_TICKET_SECONDS": "5", "CORS_ALLOWED_ORIGINS": origin}
    with worker(), running_daphne(**options) as running:
        yield running
    wait_for(lambda: other_sessions() == 0)


@pytest.fixture
def job(alice, server):
    """Checked, and waiting to be started."""
    job = upload_in_process(alice, content(20_000), check_first=True)
    wait_for(lambda: ImportJob.objects.get(pk=job.pk).status == Status.READY)
    return job  # As it was when it was new.


class Ended:
    """What a program has said, line by line; filled when it has ended."""

    lines: list[str] = []


@contextmanager
def in_node(folder, text, origin):
    with in_process(typescript.write_program(folder, text), folder) as ended:
        yield ended


@contextmanager
def in_process(command, folder="."):
    ended = Ended()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield ended
            said, _ = process.communicate(timeout=MAX_WAIT_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, said
    ended.lines = said.splitlines()


@contextmanager
def in_chromium(folder, text, origin):
    typescript.write_program(folder, text)
    typescript.run_compiler(folder, "--noEmit", "false")
    (folder / "index.html").write_text(PAGE_OF_ANOTHER_SITE)
    ended, said = Ended(), []
    with browser.launch_browser() as chromium:
        page = chromium.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.goto(origin)
        yield ended
        page.wait_for_function("document.title == 'The end'", timeout=MAX_WAIT_SECONDS * 1_000)
    ended.lines = [line for line in said if "Failed to load resource" not in line]


def answers(network, ending):
    """The exchanges of one address, but for what a browser asks for other sites' pages."""
    return [
        one for one in network.exchanges if one.path.endswith(ending) and one.method != "OPTIONS"
    ]


def statuses(network, ending):
    return [one.status for one in answers(network, ending)]


def check_versions(lines):
    """Never an older one after a newer."""
    versions = [int(line.split()[0]) for line in lines]
    assert versions == sorted(versions)
    assert len(versions) > 2


@pytest.mark.parametrize("running", [in_node, in_chromium])
def test_a_cut_stream_whose_ticket_has_expired_comes_back_by_itself(
    running, tmp_path, alice, job, server, network, origin
):
    sent = json.dumps(expired(tokens(alice)))
    text = FOLLOWING.format(address=network.address, tokens=sent, job=job.pk)
    with running(tmp_path, text, origin) as program:
        wait_for(lambda: statuses(network, "/events/") == [200])
        first = answers(network, "/events/")[0]
        wait_for(lambda: status_of(server, f"{first.path}?{first.query}") == 401)
        network.stream_prefix = format_event(snapshots.build_snapshot(job))
        network.cut_responses()
        wait_for(lambda: statuses(network, "/events/") == [200, 401, 200])
        lifecycle.start(job.pk)

    _, refused, renewed = answers(network, "/events/")
    assert refused.query == first.query != renewed.query
    assert statuses(network, "/refresh/") == [200]
    *printed, end = program.lines
    assert (printed[-1].split()[1], end) == ("COMPLETE", "The end: COMPLETE")
    check_versions(printed)


def status_of(server, address):
    with Stream(server.port, address) as answer:
        return answer.status


def test_where_no_stream_comes_through_it_polls_as_it_is_told(
    tmp_path, alice, job, network, origin
):
    network.fault = lambda method, path: 503 if path.endswith("/events/") else None
    text = FOLLOWING.format(address=network.address, tokens=json.dumps(tokens(alice)), job=job.pk)
    with in_node(tmp_path, text, origin) as program:
        wait_for(lambda: len(answers(network, f"/{job.pk}/")) >= 3)
        lifecycle.start(job.pk)

    assert program.lines[-1] == "The end: COMPLETE"
    assert set(statuses(network, "/events/")) == {503}
    # A slow machine can only make a pause longer.
    _, told, asked_again, *_ = answers(network, f"/{job.pk}/")
    assert asked_again.at - told.at > POLL_SECONDS_OF_READY - 0.1


def test_an_upload_is_sent_until_it_is_answered_and_is_one_import(tmp_path, alice, network, origin):
    troubles = iter([DROP_RESPONSE, 503])
    network.fault = lambda method, path: (
        next(troubles, None) if path == "/api/imports/" and method == "POST" else None
    )
    text = UPLOADING.format(address=network.address, tokens=json.dumps(tokens(alice)))
    with in_node(tmp_path, text, origin) as program:
        pass

    assert statuses(network, "/imports/") == [DROP_RESPONSE, 503, 202]
    assert program.lines == [str(ImportJob.objects.get().pk)]


def test_whoever_leaves_the_page_ends_the_stream(tmp_path, alice, job, network, origin):
    text = LEAVING.format(address=network.address, tokens=json.dumps(tokens(alice)), job=job.pk)
    with in_node(tmp_path, text, origin) as program:
        pass

    assert program.lines == ["AbortError"]


def test_the_python_loop_survives_cuts_and_polls_in_the_end(alice, job, network):
    log_in, following = snippets("python", PAGE).split('\ntokens = ask("POST"')[0], section(FOLLOW)
    following = snippets("python", following).partition("\n\n\nfor job in")[0]
    bearer = f"Bearer {AccessToken.for_user(alice)}"
    text = "\n".join(
        [
            log_in.replace("http://localhost:8000", network.address),
            f'site.headers["Authorization"] = "{bearer}"',
            following,
            f'for job in follow("/api/imports/{job.pk}/"):',
            '    print(job["version"], job["status"])',
        ]
    )
    with in_process([sys.executable, "-W", "error", "-c", text]) as program:
        wait_for(lambda: statuses(network, "/events/") == [200])
        network.stream_prefix = format_event(snapshots.build_snapshot(job))
        network.cut_responses()
        wait_for(lambda: statuses(network, "/events/") == [200, 200])
        network.fault = lambda method, path: 503 if path.endswith("/events/") else None
        network.cut_responses()
        wait_for(lambda: 503 in statuses(network, "/events/"))
        lifecycle.start(job.pk)

    assert program.lines[-1].endswith("COMPLETE")
    check_versions(program.lines)


def section(name):
    return re.search(rf"### {name}\n.*?(?=\n###? )", PAGE, re.DOTALL)[0]
