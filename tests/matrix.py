"""Run the core of the tests with each supported driver and Django, and in unusual projects.

`make matrix` runs this module. Each environment is a folder in `.venv-matrix/`, which uv creates
and brings up to date. The exit status is 0 if every test of every combination has passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

PROJECT = Path(__file__).resolve().parents[1]
FOLDER = PROJECT / ".venv-matrix"
UV = Path(sys.executable).with_name("uv")

# Pipeline, REST API, pages, admin, streams and workers that crash. Parsers need no database.
CORE = (
    "admin", "api_errors", "api_views", "atomic_requests", "batch_applier", "column_mapping",
    "customers_api", "database_checks", "downloads", "failed_rows", "faults_database",
    "faults_worker", "file_checker", "importer_permissions", "legacy_api", "live",
    "live_transports", "login_limits", "notices", "pages", "personal_data", "postgres", "preview",
    "progress", "quotas", "recovery", "retry", "sensitive_columns", "storage", "stream_visibility",
    "token_families", "undo", "users",
)  # fmt: skip
PROCESSES = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile")

PSYCOPG_2, PSYCOPG_3 = "psycopg2-binary", "psycopg[binary]"
DJANGO_5, DJANGO_6 = "Django~=5.2.0", "Django>=6,<7"
# An override that is never installed: requirements.in names this driver.
NO_PSYCOPG_2 = "psycopg2-binary; python_version < '3'"


class Environment(NamedTuple):
    """The packages that differ. Django 6 needs Python 3.12, with which Redis has a wheel too."""

    name: str
    python: str
    django: str
    driver: str


class Combination(NamedTuple):
    name: str
    environment: Environment
    settings: str = "tests.settings"


OLD = Environment("psycopg2-django5", "3.11", DJANGO_5, PSYCOPG_2)
NEW = Environment("psycopg3-django6", "3.12", DJANGO_6, PSYCOPG_3)
COMBINATIONS = (
    Combination("psycopg 2, Django 5.2", OLD),
    Combination(
        "psycopg 3, Django 5.2", Environment("psycopg3-django5", "3.11", DJANGO_5, PSYCOPG_3)
    ),
    Combination(
        "psycopg 2, Django 6", Environment("psycopg2-django6", "3.12", DJANGO_6, PSYCOPG_2)
    ),
    Combination("psycopg 3, Django 6", NEW),
    Combination("ATOMIC_REQUESTS", NEW, "tests.settings_atomic_requests"),
    Combination("another database alias", NEW, "tests.settings_database_alias"),
    Combination("UUID user without a user name", NEW, "tests.settings_uuid_user"),
)


class Result(NamedTuple):
    passed: int
    others: Counter[str]  # Number of tests that failed, had an error, or were skipped.
    seconds: float
    status: int  # Exit status of pytest.


def main(words: list[str]) -> int:
    """Run the combinations whose name contains all words, and print a table of their results."""
    chosen = [each for each in COMBINATIONS if all(word in each.name for word in words)]
    results = {}
    for combination in chosen:
        print(f"--- {combination.name}", flush=True)
        results[combination] = run_tests(combination, install(combination.environment))
    print_table(results)
    return int(not results or any(result.status for result in results.values()))


def install(environment: Environment) -> Path:
    """Create the environment or bring it up to date, and return its Python."""
    folder = FOLDER / environment.name
    python = folder / "bin" / "python"
    if not python.exists():
        run_uv("venv", "--python", find_python(environment.python), str(folder))
    overrides = FOLDER / f"{environment.name}.overrides"
    excluded = [] if environment.driver == PSYCOPG_2 else [NO_PSYCOPG_2]
    overrides.write_text("\n".join([environment.django, *excluded]))
    options = ["--upgrade", "--python", str(python), "--overrides", str(overrides)]
    run_uv("pip", "install", *options, "-r", "requirements-dev.in", environment.driver)
    return python


def run_uv(*arguments: str) -> None:
    subprocess.run([UV, *arguments, "--quiet"], cwd=PROJECT, check=True)


def find_python(version: str) -> str:
    """Return a Python of this version, or the version itself, so that uv downloads one.

    A program on PATH may be a shim that fails.
    """
    candidates = [f"python{version}", *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for candidate in candidates:
        try:
            command = [candidate, "-c", "import sys; print(sys.executable)"]
            return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
        except (OSError, subprocess.CalledProcessError):
            continue
    return version


def run_tests(combination: Combination, python: Path) -> Result:
    report = FOLDER / "results.xml"
    report.unlink(missing_ok=True)
    files = [f"tests/test_{name}.py" for name in CORE]
    options = ["-q", "-p", "no:cacheprovider", f"--ds={combination.settings}"]
    started = time.monotonic()
    status = subprocess.run(
        [python, "-m", "pytest", *options, f"--junitxml={report}", *PROCESSES, *files],
        cwd=PROJECT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": combination.settings},
        check=False,
    ).returncode
    seconds = time.monotonic() - started
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    others = Counter(child.tag for case in cases for child in case if not is_output(child))
    failed = sum(any(not is_output(child) for child in case) for case in cases)
    return Result(len(cases) - failed, others, seconds, status)


def is_output(element: ElementTree.Element) -> bool:
    return element.tag in {"system-out", "system-err", "properties"}


def print_table(results: dict[Combination, Result]) -> None:
    width = max((len(combination.name) for combination in results), default=0)
    print(f"\n{'combination':{width}}  passed  failed  seconds")
    for combination, result in results.items():
        failed = sum(result.others.values()) or (result.status and "?") or 0
        print(f"{combination.name:{width}}  {result.passed:6}  {failed:>6}  {result.seconds:7.0f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
