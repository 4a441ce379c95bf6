"""Apply each mutation to a copy of the project, and run the tests that must fail.

`make mutations` runs this module; its arguments are names of patches or parts of them. `--report`
writes the results of a complete run to a file. The exit status is 0 if every patch applies, and
each of its tests fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
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
MAX_UNPATCHED_RUN_SECONDS = 3_600  # All tests, once.
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


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of patches, or parts of them")
    parser.add_argument("--report", type=Path, help="the file that gets the table of results")
    parser.add_argument(
        "--processes", type=int, default=1, help="how many mutations are tried at the same time"
    )
    options = parser.parse_args(arguments)
    if options.names and options.report:
        parser.error("A report needs a complete run: leave out the names, or --report.")
    mutations = [
        each
        for each in list_mutations()
        if not options.names or any(name in each.name for name in options.names)
    ]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(options.processes) as threads:
        copies = SimpleQueue[Path]()  # Each mutation has a copy for itself.
        for number in range(options.processes):
            project = Path(folder, f"project{number}")
            shutil.copytree(PROJECT, project, ignore=NOT_COPIED, symlinks=True)
            copies.put(project)
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        before = run_tests(
            project, tests, processes=options.processes, max_seconds=MAX_UNPATCHED_RUN_SECONDS
        )
        if before.failures or before.errors or not before.passed:
            print(
                "Without a mutation, tests fail:",
                *before.failures.items(),
                *before.errors,
                sep="\n",
            )
            return 1
        try:
            results = threads.map(partial(try_mutation, copies), mutations)
            outcomes = [print_outcome(outcome) for outcome in results]
        except BaseException:  # SIGINT, or SIGTERM: the copies are deleted when their tests end.
            threads.shutdown(cancel_futures=True)
            raise
    print(format_summary(outcomes))
    if options.report:
        options.report.write_text(format_report(outcomes))
    return int(not outcomes or not all(outcome.is_detected for outcome in outcomes))


def try_mutation(copies: SimpleQueue[Path], mutation: Mutation) -> Outcome:
    """Apply the patch to a copy of the project, run its tests, and take the patch back."""
    project = copies.get()
    started, file = time.monotonic(), project / mutation.path
    original = file.read_text()
    try:
        mutation.apply(project)
        is_detected, sentence = evaluate_results(mutation, run_tests(project, mutation.tests))
    except PatchDoesNotApply as error:
        is_detected, sentence = False, f"does not apply: {error}"
    finally:
        file.write_text(original)
        copies.put(project)
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


def run_tests(
    project: Path,
    tests: Iterable[str],
    *,
    processes: int = 0,
    max_seconds: int = MAX_RUN_SECONDS,
) -> Results:
    report = project / "results.xml"
    report.unlink(missing_ok=True)
    options = ["-q", f"--numprocesses={processes}", "--dist=loadfile", "-p", "no:cacheprovider"]
    options.append(f"--timeout={MAX_TEST_SECONDS}")
    try:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *tests],
            cwd=project,
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=max_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Results(0, {}, [f"The tests have not ended within {max_seconds} s."])
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


def format_report(outcomes: list[Outcome]) -> str:
    """Return the page of the results, in Markdown."""
    rows = [
        (
            f"`{outcome.mutation.name}`",
            outcome.mutation.guard,
            "<br>".join(f"`{test.removeprefix('tests/')}`" for test in outcome.mutation.tests),
            "detected" if outcome.is_detected else "**not detected**",
            f"{outcome.seconds:.0f}",
        )
        for outcome in outcomes
    ]
    header = ("mutation", "guard that it removes", "tests", "result", "seconds")
    paragraphs = (
        "# Results of the mutations",
        '`make mutations ARGS="--report docs/mutations.md"` has written this page; do not'
        " edit it.\n[Testing](testing.md#mutations) describes when a mutation counts as detected.",
        f"**{format_summary(outcomes)}**",
        format_table(header, rows),
    )
    return "\n\n".join(paragraphs) + "\n"


def format_summary(outcomes: list[Outcome]) -> str:
    detected = sum(outcome.is_detected for outcome in outcomes)
    return f"{detected} of {len(outcomes)} mutations are detected."


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
