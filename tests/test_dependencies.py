"""The page about dependencies, the hashes of the pins, and the check for vulnerabilities."""

import json
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import audit

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "docs" / "dependencies.md").read_text(encoding="utf-8")
NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")
VULNERABLE = {
    "name": "a",
    "version": "1",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"], "aliases": [], "description": ""}],
}
CLEAN = {"name": "b", "version": "1", "vulns": []}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


def normalize(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def list_names(lines):
    return {normalize(match[1]) for line in lines if (match := NAME.match(line.strip()))}


def read_page_names(heading):
    """Return the names in the first column of the table below a heading."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return {normalize(name) for name in re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)}


@pytest.mark.parametrize(
    ("heading", "file"),
    [
        ("Packages of the site", "requirements.in"),
        ("Packages of development and tests", "requirements-dev.in"),
    ],
)
def test_the_page_lists_exactly_the_direct_dependencies(heading, file):
    lines = (PROJECT / file).read_text(encoding="utf-8").splitlines()

    assert read_page_names(heading) == list_names(lines)


def test_the_page_lists_what_the_installable_app_needs():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [line for extra in project["optional-dependencies"].values() for line in extra]
    names = list_names([*project["dependencies"], *optional]) - {"django-live-imports", "psycopg"}

    assert names <= read_page_names("Packages of the site")


def test_the_installable_app_excludes_versions_with_known_faults():
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    specifiers = {req.name: req.specifier for line in needed if (req := Requirement(line))}

    assert not specifiers["daphne"].contains("4.2.1")  # A WebSocket client could use up the memory.
    assert not specifiers["dramatiq"].contains("2.1.0")  # It could lose the order of messages.
    assert "defusedxml" in specifiers  # openpyxl guards against hostile XML only with it.


def test_the_state_of_a_package_follows_from_its_latest_release():
    looked_up = date.fromisoformat(re.search(r"looked up on (\d{4}-\d\d-\d\d), for", PAGE)[1])
    rows = re.findall(r"^\| `([^`]+)` \|.*\| \S+, (\d{4}-\d\d-\d\d) \| (\w+)", PAGE, re.MULTILINE)
    plans = PAGE.split("## Plans\n", 1)[1]

    assert len(rows) == len(re.findall(r"^\| `[^`]+` \|", PAGE, re.MULTILINE))
    for name, released, state in rows:
        days = (looked_up - date.fromisoformat(released)).days
        assert state == ("active" if days <= 365 else "quiet" if days <= 730 else "dormant"), name
        assert state == "active" or f"**{name}**" in plans or f"### {name}" in plans, name


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_has_a_hash(file):
    text = (PROJECT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]

    assert pins
    assert [
        pin[:60] for pin in pins if not re.search(r"==\S+.*--hash=sha256:[0-9a-f]{64}", pin)
    ] == []


def test_the_development_pins_contain_those_of_the_site():
    site, development = (
        set(re.findall(r"^([a-z0-9-]+==\S+)", (PROJECT / file).read_text(encoding="utf-8"), re.M))
        for file in ("requirements.txt", "requirements-dev.txt")
    )

    assert site
    assert site <= development


@pytest.mark.parametrize(
    ("packages", "status", "strict_status"),
    [
        ([CLEAN], 0, 0),
        ([CLEAN, SKIPPED], 0, 2),
        ([CLEAN, SKIPPED, VULNERABLE], 1, 1),
        (None, 0, 2),
    ],
)
def test_a_package_that_was_not_checked_does_not_count_as_clean(packages, status, strict_status):
    report = audit.parse_report("" if packages is None else json.dumps({"dependencies": packages}))

    assert audit.get_exit_status(report, is_strict=False) == status
    assert audit.get_exit_status(report, is_strict=True) == strict_status
    assert ("NOT CHECKED" in audit.describe(report)) == bool(report.not_checked)


def test_a_vulnerability_is_printed_with_the_version_that_has_none():
    report = audit.parse_report(json.dumps({"dependencies": [VULNERABLE]}))

    assert "a 1: PYSEC-1, fixed in 2" in audit.describe(report)
