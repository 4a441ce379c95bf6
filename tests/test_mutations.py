"""Each patch in tests/mutations applies to the code, and names tests that exist."""

import ast
import shutil
from pathlib import Path

import pytest

from tests.mutations import PatchDoesNotApply, list_mutations
from tests.mutations.__main__ import Outcome, Results, evaluate_results, format_report, main

PROJECT = Path(__file__).resolve().parents[1]
MUTATIONS = list_mutations()
every_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)


@pytest.fixture
def copy(tmp_path):
    """Return a function that copies the file of a mutation, and returns the copy."""

    def copy_file(mutation):
        copied = tmp_path / mutation.path
        copied.parent.mkdir(parents=True)
        return Path(shutil.copy(PROJECT / mutation.path, copied))

    return copy_file


def list_functions(path):
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


@every_mutation
def test_a_patch_applies_and_leaves_code_that_compiles(mutation, copy, tmp_path):
    copied = copy(mutation)

    mutation.apply(tmp_path)

    assert copied.read_text() != (PROJECT / mutation.path).read_text()
    compile(copied.read_text(), mutation.path, "exec")


@every_mutation
def test_the_tests_of_a_mutation_exist(mutation):
    assert mutation.guard.endswith(".")
    assert mutation.tests
    for test in mutation.tests:
        path, _, name = test.partition("::")
        assert name.partition("[")[0] in list_functions(PROJECT / path)


def test_a_patch_of_code_that_has_changed_does_not_apply(copy, tmp_path):
    mutation = MUTATIONS[0]
    copied = copy(mutation)
    mutation.apply(tmp_path)
    patched = copied.read_text()

    with pytest.raises(PatchDoesNotApply, match=mutation.path):
        mutation.apply(tmp_path)

    assert copied.read_text() == patched


@pytest.mark.parametrize(
    ("failures", "errors", "is_detected"),
    [
        ({"a.py::test_one": "assert 1 == 2", "a.py::test_two[x]": "ValueError"}, [], True),
        ({"a.py::test_one": "assert 1 == 2"}, [], False),
        ({"a.py::test_one": "assert 1 == 2", "a.py::test_two_more": "assert 0"}, [], False),
        ({"a.py::test_one": "assert 0", "a.py::test_two": "NameError: name 'x'"}, [], False),
        ({}, ["ImportError: cannot import"], False),
    ],
)
def test_a_mutation_is_detected_if_each_test_fails_by_itself(failures, errors, is_detected):
    mutation = MUTATIONS[0]._replace(tests=["a.py::test_one", "a.py::test_two"])

    assert evaluate_results(mutation, Results(1, failures, errors))[0] == is_detected


def test_the_report_names_each_guard_its_tests_and_its_result():
    mutation = MUTATIONS[0]._replace(name="lock", guard="One at a time.", tests=["tests/a.py::b"])
    outcomes = [Outcome(mutation, True, "", 1.4), Outcome(mutation, False, "survives", 2.6)]

    report = format_report(outcomes)

    assert "**1 of 2 mutations are detected.**" in report
    assert "| `lock` | One at a time. | `a.py::b` | detected | 1 |" in report
    assert "| `lock` | One at a time. | `a.py::b` | **not detected** | 3 |" in report


def test_a_report_of_some_mutations_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["lock", "--report", str(tmp_path / "report.md")])

    assert "complete run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
