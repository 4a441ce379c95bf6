"""Rules about the code that import-linter cannot check (see .importlinter for the others)."""

import ast
import re

import pytest

from tests.services import PROJECT

MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts): path.read_text()
    for package in ("config", "customers", "devserver", "imports")
    for path in (PROJECT / package).rglob("*.py")
    if "migrations" not in path.parts
}


def test_only_transitions_writes_the_status_of_an_import():
    assert [name for name in MODULES if "SET status =" in MODULES[name]] == ["imports.transitions"]


@pytest.mark.parametrize("name", MODULES)
def test_no_status_is_written_through_the_orm(name):
    for node in ast.walk(ast.parse(MODULES[name])):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "update":
            assert "status" not in {keyword.arg for keyword in node.keywords}


def test_only_actors_sends_messages():
    # `super().enqueue(` belongs to the broker itself. Signals and e-mails are sent, too.
    others = r"(?<!self)(?<!user_logged_in)(?<!user_login_failed)(?<!message)"
    sending = re.compile(rf"(?<!super\(\))\.enqueue\(|{others}\.send(_with_options)?\(")
    senders = [name for name in MODULES if sending.search(MODULES[name])]

    assert senders == ["imports.actors"]
