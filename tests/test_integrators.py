"""The programs of docs/integrators.md do what it says, against a real site and worker."""

import re
from pathlib import Path

import pytest

from config.embedded.demo import Client
from customers import samples
from customers.models import Customer
from tests.conftest import user
from tests.processes import worker
from tests.streams import daphne, make_job

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "integrators.md"


def test_every_python_snippet_runs(tmp_path, monkeypatch, capsys):
    demo = user("demo", "add_importjob")
    demo.set_password("demo")
    demo.save()
    monkeypatch.chdir(tmp_path)
    samples.write(Path("customers.xlsx"), 300, seed=1)
    samples.write(Path("more.xlsx"), 300, seed=2)
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    names = {}

    with worker(), daphne() as server:
        exec(program.replace("localhost:8000", f"localhost:{server.port}"), names)
        names["site"].close()

    said = capsys.readouterr().out
    assert "COMPLETE" in said
    assert names["state"]["status"] == "COMPLETE"
    assert names["state"]["created"] == names["checked"]["counts"]["valid"]
    assert (names["odd"]["status"], names["preview"]["created"]) == ("COMPLETE", 1)
    ends = [names[name]["created"] for name in ("job", "odd", "state")]
    assert Customer.objects.count() == sum(ends)


def test_the_demo_counts_the_imports_that_the_site_has_seen():
    """So that each of its runs imports new customers."""
    demo = user("demo", "add_importjob")
    demo.set_password("demo")
    demo.save()
    for _ in range(201):
        make_job(demo)

    with daphne() as server:
        client = Client(f"http://127.0.0.1:{server.port}")
        client.log_in("demo", "demo")
        assert client.imports_so_far() == 201
