"""docs/faults.md: each fault of the table has a test, and each of these tests exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "faults.md"
FAULT_COUNT = 42
ROW = re.compile(r"\| (\d+) \|[^|]+\|[^|]+\|([^|]+)\|[^|]+\|")
TEST_NAME = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def read_table():
    """Return for each number the tests that the table names, as file and function."""
    rows = filter(None, map(ROW.fullmatch, PAGE.read_text().splitlines()))
    return {int(row[1]): TEST_NAME.findall(row[2]) for row in rows}


def test_the_table_has_every_fault():
    assert list(read_table()) == list(range(1, FAULT_COUNT + 1))


@pytest.mark.parametrize("number", range(1, FAULT_COUNT + 1))
def test_each_fault_has_tests_that_exist(number):
    tests = read_table()[number]

    assert tests
    for file, name in tests:
        assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE), name


def test_the_page_names_every_test_of_a_fault():
    defined = {
        (path.name, name)
        for path in TESTS.glob("test_faults_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }

    assert not defined - set(TEST_NAME.findall(PAGE.read_text()))
