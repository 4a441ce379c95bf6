"""Apply each mutation to a copy of the project, and run the tests that must fail.

`make mutations` runs this module; its arguments are names of patches or parts of them. The exit
status is 0 if every patch applies, and some test of each fails by an assertion.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree import ElementTree

from docs.tables import format_table
from tests.mutations import Mutation, PatchDoesNotApply, list_mutations

PROJECT = Path(__file__).resolve().parents[2]
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "node_modules", "var", "htmlcov", "staticfiles", "__pycache__", ".*_cache"
)
# A mutation may let a test wait for ever, for a lock or for something else.
MAX_LOCK_SECONDS = 15
MAX_TEST_SECONDS = 40
MAX_RUN_SECONDS = 600
ENVIRONMENT = {
    # Compiled code of a patched file could be taken for that of the original.
    "PYTHONDONTWRITEBYTECODE": "1",
    "PGOPTIONS": f"-c lock_timeout={MAX_LOCK_SECONDS}s",
    # Of the tests that compare with the model, so many files detect each mutation.
    "ORACLE_FILES": "15",
}
# Errors of code that cannot run at all. They would make every test fail.
ERRORS_OF_BROKEN_CODE = ("ImportError", "ModuleNotFoundError", "SyntaxError", "NameError")


class Results(NamedTuple):
    passed: int
    failures: dict[str, str]  # The ID of each test that failed, and the line of its exception.
    errors: list[str]  # The exceptions of collection, fixtures and teardowns.


class Outcome(NamedTuple):
    mutation: Mutation
    is_detected: bool
    sentence: str
    seconds: float


def main(words: list[str]) -> int:
    mutations = [
        each for each in list_mutations() if not words or any(word in each.name for word in words)
    ]
    with TemporaryDirectory() as folder:
        project = Path(folder, "project")
        shutil.copytree(PROJECT, project, ignore=NOT_COPIED, symlinks=True)
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        before = run_tests(project, tests)
        if before.failures or before.errors or not before.passed:
            print(
                "Without a mutation, tests fail:",
                *before.failures.items(),
                *before.errors,
                sep="\n",
            )
            return 1
        outcomes = [print_outcome(try_mutation(project, mutation)) for mutation in mutations]
    print_table(outcomes)
    return int(not outcomes or not all(outcome.is_detected for outcome in outcomes))


def try_mutation(project: Path, mutation: Mutation) -> Outcome:
    """Apply the patch, run its tests, and take the patch back."""
    started, file = time.monotonic(), project / mutation.path
    original = file.read_text()
    try:
        mutation.apply(project)
        results = run_tests(project, mutation.tests)
    except PatchDoesNotApply as error:
        return Outcome(mutation, False, f"does not apply: {error}", time.monotonic() - started)
    finally:
        file.write_text(original)
    is_detected, sentence = evaluate_results(mutation, results)
    return Outcome(mutation, is_detected, sentence, time.monotonic() - started)


def evaluate_results(mutation: Mutation, results: Results) -> tuple[bool, str]:
    """Return whether each test has detected the mutation, and a sentence that says how.

    Of a test with parameters, some case has to fail.
    """
    failures = {
        test: next((text for case, text in results.failures.items() if is_case(case, test)), None)
        for test in mutation.tests
    }
    if results.errors and not results.failures:
        return False, f"tests could not run: {results.errors[0]}"
    if missed := [test for test, text in failures.items() if text is None]:
        return False, f"survives: {', '.join(missed)} has passed"
    texts = [text for text in failures.values() if text]
    if broken := [text for text in texts if text.startswith(ERRORS_OF_BROKEN_CODE)]:
        return False, f"the patched code is broken: {broken[0]}"
    return True, texts[0]


def is_case(case: str, test: str) -> bool:
    return case == test or case.startswith(f"{test}[")


def run_tests(project: Path, tests: Iterable[str]) -> Results:
    report = project / "results.xml"
    report.unlink(missing_ok=True)
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", f"--timeout={MAX_TEST_SECONDS}"]
    try:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *tests],
            cwd=project,
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MAX_RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Results(0, {}, [f"The tests have not ended within {MAX_RUN_SECONDS} s."])
    if not report.exists():
        return Results(0, {}, [run.stdout[-2_000:]])
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures, errors = _find_messages(cases, "failure"), _find_messages(cases, "error")
    return Results(len(cases) - len(failures.keys() | errors), failures, [*errors.values()])


def _find_messages(cases: list[ElementTree.Element], kind: str) -> dict[str, str]:
    """Return the ID of each test with an exception of this kind, and its first line."""
    return {
        f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}": (
            child.get("message", "").strip().partition("\n")[0]
        )
        for case in cases
        for child in case
        if child.tag == kind
    }


def print_outcome(outcome: Outcome) -> Outcome:
    word = "detected" if outcome.is_detected else "NOT DETECTED"
    print(
        f"{outcome.mutation.name}: {word}, {outcome.seconds:.0f} s: {outcome.sentence}", flush=True
    )
    return outcome


def print_table(outcomes: list[Outcome]) -> None:
    rows = [
        (
            outcome.mutation.name,
            outcome.mutation.guard,
            "yes" if outcome.is_detected else "NO",
            f"{outcome.seconds:.0f}",
        )
        for outcome in outcomes
    ]
    detected = sum(outcome.is_detected for outcome in outcomes)
    print(format_table(("mutation", "guard", "detected", "seconds"), rows))
    print(f"{detected} of {len(outcomes)} mutations are detected.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
