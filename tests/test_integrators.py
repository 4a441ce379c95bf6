"""The programs of docs/integrators.md and README.md, run against a real site and worker."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from customers import sample_data
from customers.models import Customer
from devserver.demo import Client
from imports.models import ImportJob, Worker
from imports.postgres import atomic
from tests import typescript
from tests.conftest import create_user
from tests.processes import wait_until_final, worker
from tests.streams import PROJECT, make_job, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = (PROJECT / "docs" / "integrators.md").read_text()
# Of each hundred rows of a sample, one is invalid and one repeats another row.
SAMPLE_ROWS, VALID_ROWS = 300, 294
# Sections of the page that are alternatives.
STREAM_SECTION = "Follow the import with a stream"
POLL_SECTION = "Poll the import"


@pytest.fixture(scope="module")
def port(django_db_setup, django_db_blocker):
    """The port of a site with a worker, for all tests of this module."""
    with django_db_blocker.unblock():
        with worker(), running_daphne(THROTTLE_LOGINS="1000/min") as server:
            yield server.port
        Worker.objects.all().delete()  # Its heartbeat was written after the last test.


@pytest.fixture(autouse=True)
def demo_user(tmp_path, monkeypatch):
    """What the page requires: the user demo, and a sample in the current folder."""
    user = create_user("demo", "add_importjob")
    user.set_password("demo")
    user.save()
    monkeypatch.chdir(tmp_path)
    # Only Python and the standard programs, as on a new machine.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    sample_data.write_sample(Path("customers.xlsx"), SAMPLE_ROWS, seed=1)
    return user


def get_snippets(language, text):
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))


def make_program(language, *, without, port):
    """Return the snippets of a language except those of one section, for the site on `port`."""
    text = re.sub(rf"### {without}\n.*?(?=\n###? )", "", PAGE, count=1, flags=re.DOTALL)
    assert len(text) < len(PAGE)
    return get_snippets(language, text).replace("localhost:8000", f"localhost:{port}")


def run_command(command):
    """Run a command that must succeed, and return its output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def make_shell_command(text):
    return ["sh", "-c", text]


def make_python_command(text):
    return [sys.executable, "-W", "error", "-c", text]


def make_typescript_command(text):
    return typescript.write_program(Path(), text)


LANGUAGES = {
    "sh": make_shell_command,
    "python": make_python_command,
    "typescript": make_typescript_command,
}


@pytest.mark.parametrize("without", [STREAM_SECTION, POLL_SECTION])
@pytest.mark.parametrize("language", LANGUAGES)
def test_snippets_of_each_language_form_a_program(port, language, without):
    program = make_program(language, without=without, port=port)
    output = run_command(LANGUAGES[language](program))
    wait_until_final(ImportJob.objects.get(file_name="odd.csv"))

    assert f"COMPLETE: {VALID_ROWS} created" in output
    assert "COMPLETE: 2 created" in output  # With the earlier API.
    assert output.count("is a duplicate of") >= 3
    assert "1 new, 0 changed" in output
    assert Customer.objects.count() == VALID_ROWS + 1 + 2


def test_each_section_has_snippets_in_all_languages_or_none():
    for section in re.split(r"\n(?=###? )", PAGE):
        assert len({f"```{language}\n" in section for language in LANGUAGES}) == 1, section


def test_commands_of_the_readme(port, demo_user):
    lines = get_snippets("sh", (PROJECT / "README.md").read_text()).splitlines()
    values = {}
    for line in lines:
        line = line.replace("localhost:8000", f"localhost:{port}")
        for name, value in values.items():
            line = line.replace(f"<{name}>", value)
        output = run_command(make_shell_command(line))
        values |= re.findall(r'"(access|id)": ?"([^"]+)"', output)
    job = ImportJob.objects.get(owner=demo_user)
    wait_until_final(job)

    assert (job.status, job.created) == ("COMPLETE", VALID_ROWS)
    assert "event: complete" in output


def test_demo_counts_all_imports_of_the_site(port, demo_user):
    """The demo imports new customers in each run; the count is the seed of its sample."""
    with atomic():  # So that the worker never sees a job that is QUEUED.
        for _ in range(201):
            make_job(demo_user)

    client = Client(f"http://127.0.0.1:{port}")
    client.log_in("demo", "demo")
    assert client.count_imports() == 201
