"""docs/adding.md, followed to the letter in a project that differs in everything it may.

The wheel is built and installed into a new environment. See tests/foreign_project/README.md.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg2
import pytest
from playwright.sync_api import expect

from tests.browser import launch_browser
from tests.streams import wait_until

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "docs" / "adding.md").read_text(encoding="utf-8")
FOREIGN_FILES = PROJECT / "tests" / "foreign_project"
EMAIL, PASSWORD = "ada@example.com", "a-long-password"
MANY_ROWS = 30_000
AT_THE_END = ", at its end"
# Texts of the pages that the project's rules for elements make white or put on its green.
UNREADABLE_TEXTS = """
[...document.querySelectorAll(".imports *")]
    .map((element) => [element, getComputedStyle(element)])
    .filter(([, { color, backgroundColor }]) =>
        color === "rgb(255, 255, 255)" || backgroundColor === "rgb(37, 77, 50)")
    .map(([element]) => element.outerHTML.slice(0, 80))
"""


def list_blocks(*languages):
    """Return the code blocks of the page in these languages, in order, as (language, text)."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
    return [(language, text) for language, text in blocks if language in languages]


class ForeignProject:
    """A Django project with its own environment and its own database."""

    def __init__(self, folder, wheels, database):
        self.folder = folder / "project"
        self.folder.mkdir()
        self.bin = folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PIP_FIND_LINKS": f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}",
            "PIP_CONSTRAINT": str(write_constraints(folder)),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "REDIS_URL": os.environ["REDIS_URL"],
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            **database,
        }

    def run(self, command):
        """Run a shell command that must succeed, and return its output."""
        completed = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert completed.returncode == 0, f"{command}\n{completed.stdout}\n{completed.stderr}"
        return completed.stdout

    def write(self, name, text):
        """Write a file; append to it if its name ends with ", at its end"."""
        path = self.folder / name.removesuffix(AT_THE_END)
        if name.endswith(AT_THE_END):
            text = f"{path.read_text()}\n{text}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @contextmanager
    def serving(self, command, log_name):
        """Run a command of the page in the background."""
        with (self.folder / log_name).open("w") as log:
            process = subprocess.Popen(
                command.split(),
                cwd=self.folder,
                env=self.environment | {"PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                executable=str(self.bin / command.split()[0]),
            )
            try:
                yield process
            finally:
                process.terminate()
                process.wait(60)


def write_constraints(folder):
    """Write the versions of our requirements as a file of constraints, without the hashes."""
    text = (PROJECT / "requirements-dev.txt").read_text()
    path = folder / "constraints.txt"
    path.write_text("\n".join(re.findall(r"^[\w.-]+==[^\\\n]+", text, re.MULTILINE)))
    return path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Build the wheel, as `make wheel` does."""
    folder = tmp_path_factory.mktemp("wheels")
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, "."]
    subprocess.run([sys.executable, "-m", *command], cwd=PROJECT, check=True)
    return folder


@pytest.fixture(scope="module")
def database():
    """Create a database. Yield the variables of libpq that name it."""
    server, name = urlsplit(os.environ["DATABASE_URL"]), f"foreign_project_{os.getpid()}"
    connection = psycopg2.connect(server.geturl())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        parameters = connection.info.dsn_parameters
        yield {
            "PGHOST": parameters["host"],
            "PGPORT": parameters["port"],
            "PGUSER": parameters["user"],
            "PGPASSWORD": connection.info.password or "",
            "PGDATABASE": name,
        }
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory, wheels, database):
    """The project as it was before somebody read the page."""
    project = ForeignProject(tmp_path_factory.mktemp("foreign"), wheels, database)
    project.run("pip install --quiet django djangorestframework 'psycopg[binary]'")
    project.run("django-admin startproject mysite . && python manage.py startapp shop")
    for name in ("accounts", "notes", "templates"):
        shutil.copytree(FOREIGN_FILES / name, project.folder / name)
    for name in ("settings", "urls"):
        text = (FOREIGN_FILES / f"{name}.py").read_text()
        project.write(f"mysite/{name}.py{AT_THE_END}", text)
    model, *_ = list_blocks("python")
    write_block(project, model)
    project.run("python manage.py makemigrations accounts shop && python manage.py migrate")
    project.run(f"python manage.py createsuperuser --no-input --email {EMAIL}")
    return project


def write_block(project, block):
    """Write the file of a code block, whose first line is a comment with the file's name."""
    first, _, text = block[1].partition("\n")
    project.write(re.sub(r"^(# |\{# )|( #\})$", "", first), text)


@pytest.fixture(scope="module")
def site(project):
    """Follow the page. Yield the address of the running site."""
    install, checks, worker, server = (text.strip() for _, text in list_blocks("sh"))
    project.run(install.replace("psycopg2", "psycopg"))
    for block in list_blocks("python", "html")[1:]:
        write_block(project, block)
    routes = (FOREIGN_FILES / "urls_after_ours.py").read_text()
    project.write(f"mysite/urls.py{AT_THE_END}", routes)
    output = project.run(checks)
    assert "WARNINGS" not in output
    assert "ERRORS" not in output
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as processes:
        processes.enter_context(project.serving(worker, "worker.log"))
        processes.enter_context(project.serving(f"{server} {port} --noreload", "server.log"))
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_answering(address))
        yield address


def is_answering(address):
    try:
        return httpx.get(address, trust_env=False).status_code > 0
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def client(site):
    """A client with an access token of the user, who has no username."""
    with httpx.Client(base_url=site, trust_env=False, timeout=60) as client:
        response = client.post("/data/api/auth/token/", json={"email": EMAIL, "password": PASSWORD})
        assert response.status_code == 200, response.text
        client.headers["Authorization"] = f"Bearer {response.json()['access']}"
        yield client


@pytest.fixture(scope="module")
def chromium():
    with launch_browser() as browser:
        yield browser


def test_the_first_live_bar(site, project, chromium):
    page, streams = chromium.new_page(), []
    page.on(
        "response",
        lambda response: (
            streams.append(response.headers.get("content-type"))
            if response.url.endswith("/events/")
            else None
        ),
    )
    page.goto(f"{site}/data/")
    page.fill("[name=username]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.click("text=Enter")
    ((_, rows),) = list_blocks("csv")
    csv = project.folder / "products.csv"
    csv.write_text(rows)

    page.set_input_files("input[type=file]", csv)
    page.click("#upload button")

    expect(page.locator(".stamp")).to_contain_text("Complete", ignore_case=True)
    expect(page.locator("[data-field=created]")).to_have_text("2")
    expect(page.locator("[data-field=failed]").first).to_have_text("1")
    assert "text/event-stream; charset=utf-8" in streams


def test_the_bar_moves_and_the_layout_stays_that_of_the_project(site, project, chromium):
    page = chromium.new_page()
    page.goto(f"{site}/data/")
    page.fill("[name=username]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.click("text=Enter")
    csv = project.folder / "many.csv"
    csv.write_text(
        "code,name,price\n" + "".join(f"B-{n},Chair {n},9.5\n" for n in range(MANY_ROWS))
    )
    page.add_init_script(
        """
        window.values = [];
        setInterval(() => values.push(document.querySelector("#bar")?.value), 20);
        """
    )

    page.set_input_files("input[type=file]", csv)
    page.click("#upload button")

    expect(page.locator("[data-field=created]")).to_have_text(f"{MANY_ROWS:,}", timeout=60_000)
    assert {value for value in page.evaluate("values") if value is not None} - {0, 100}
    heading = page.locator("#company")
    expect(heading).to_have_css("color", "rgb(107, 29, 29)")
    expect(heading).to_have_css("text-transform", "uppercase")
    expect(page.locator("#import .card")).to_have_css("border-radius", "6px")
    expect(page.locator("#import h1")).to_have_css("text-transform", "none")
    assert page.evaluate(UNREADABLE_TEXTS) == []
    page.goto(f"{site}/data/")
    assert page.evaluate(UNREADABLE_TEXTS) == []


def test_programs_use_the_api_below_the_prefix(client):
    csv = b"code,name,price\nC-1,Lamp,5\n"
    upload = client.post("/data/api/imports/", files={"file": ("lamps.csv", csv)})
    assert upload.status_code == 202, upload.text
    urls = upload.json()["urls"]
    assert all("/data/" in url for url in urls.values() if url)

    events = client.get(urls["events"]).text

    last = json.loads(events.strip().split("data: ")[-1])
    assert (last["status"], last["created"]) == ("COMPLETE", 1)
    page = client.get("/data/api/imports/").json()
    assert {"next", "previous", "results"} <= page.keys()
    assert page["results"][0]["id"] == last["id"]


def test_settings_of_the_project_do_not_apply_to_the_api(site):
    response = httpx.get(f"{site}/data/api/imports/", trust_env=False)

    assert response.status_code == 401
    assert response.json()["code"] == "not_authenticated"


def test_the_views_and_routes_of_the_project_do_not_change(site):
    with httpx.Client(base_url=site, trust_env=False) as client:
        client.headers["Accept"] = "application/json"
        products = client.get("/api/products/").json()

        assert products["count"] >= 2
        assert len(products["results"]) == 2
        assert client.get("/api/fail/").json() == {"project_error": "It failed."}
        assert client.get("/data/ping/").json() == {"ping": "pong"}
        assert client.get("/data/api/ping/").json() == {"ping": "pong"}
        unknown = client.get("/data/api/nothing/")
        assert unknown.status_code == 404
        assert "text/html" in unknown.headers["content-type"]


def test_the_schema_describes_the_app_only(client):
    schema = client.get("/data/api/schema/").json()

    assert "/data/api/imports/" in schema["paths"]
    assert not [path for path in schema["paths"] if "products" in path]
