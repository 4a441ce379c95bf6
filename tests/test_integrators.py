"""The programs of docs/integrators.md and README.md do what they say, on a real site and worker."""

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
from tests import typescript
from tests.conftest import create_user
from tests.processes import wait_until_final, worker
from tests.streams import PROJECT, make_job, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = (PROJECT / "docs" / "integrators.md").read_text()
# A hundred rows of a sample hold one that is invalid and one that repeats another.
ROWS, GOOD = 300, 294
FOLLOW, POLL = "Follow it by a stream", "Or poll"


@pytest.fixture(scope="module")
def port(django_db_setup, django_db_blocker):
    """Of a site with a worker, for all that is tried here."""
    with django_db_blocker.unblock():
        with worker(), running_daphne(THROTTLE_LOGINS="1000/min") as server:
            yield server.port
        Worker.objects.all().delete()  # It has said that it lives after the last test, too.


@pytest.fixture(autouse=True)
def demo(tmp_path, monkeypatch):
    """What the page begins with: an account, and a sample in the folder one is in."""
    person = create_user("demo", "add_importjob")
    person.set_password("demo")
    person.save()
    monkeypatch.chdir(tmp_path)
    # As on a machine where Python is all there is.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    sample_data.write_sample(Path("customers.xlsx"), ROWS, seed=1)
    return person


def snippets(language, text):
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))


def program(language, *, without, port):
    """All snippets of a language but those of one section, for the site on this port."""
    text = re.sub(rf"### {without}\n.*?(?=\n###? )", "", PAGE, count=1, flags=re.DOTALL)
    assert len(text) < len(PAGE)
    return snippets(language, text).replace("localhost:8000", f"localhost:{port}")


def output_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def in_shell(text):
    return ["sh", "-c", text]


def in_python(text):
    return [sys.executable, "-W", "error", "-c", text]


def in_typescript(text):
    return typescript.write_program(Path(), text)


LANGUAGES = {"sh": in_shell, "python": in_python, "typescript": in_typescript}


@pytest.mark.parametrize("without", [FOLLOW, POLL])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_a_program_in_each_language(port, language, without):
    said = output_of(LANGUAGES[language](program(language, without=without, port=port)))
    wait_until_final(ImportJob.objects.get(file_name="odd.csv"))

    assert f"COMPLETE: {GOOD} created" in said
    assert "COMPLETE: 2 created" in said  # By the earlier flow.
    assert said.count("is a duplicate of") >= 3
    assert "1 new, 0 changed" in said
    assert Customer.objects.count() == GOOD + 1 + 2


def test_every_section_with_a_program_has_it_in_each_language():
    for section in re.split(r"\n(?=###? )", PAGE):
        assert len({f"```{language}\n" in section for language in LANGUAGES}) == 1, section


def test_the_three_lines_of_the_readme(port, demo):
    lines = snippets("sh", (PROJECT / "README.md").read_text()).splitlines()
    known = {}
    for line in lines:
        line = line.replace("localhost:8000", f"localhost:{port}")
        for name, value in known.items():
            line = line.replace(f"<{name}>", value)
        said = output_of(in_shell(line))
        known |= re.findall(r'"(access|id)": ?"([^"]+)"', said)
    job = ImportJob.objects.get(owner=demo)
    wait_until_final(job)

    assert (job.status, job.created) == ("COMPLETE", GOOD)
    assert "event: complete" in said


def test_the_demo_counts_the_imports_that_the_site_has_seen(port, demo):
    """So that each of its runs imports new customers."""
    for _ in range(201):
        make_job(demo)

    client = Client(f"http://127.0.0.1:{port}")
    client.log_in("demo", "demo")
    assert client.count_imports() == 201
