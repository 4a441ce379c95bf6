"""docs/security.md: each control of the tables has a test that exists, and a result."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
# The tables of measurements are below this heading.
PAGE, _, MEASURED = (TESTS.parent / "docs" / "security.md").read_text().partition("## Measured")
HEADER = "| threat | control | test | result |"
TEST_NAME = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and line != HEADER and not line.startswith("| ---")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_each_control_has_tests_that_exist_and_a_result(row):
    _, threat, control, tests, result, _ = row.split("|")

    assert all(map(str.strip, (threat, control, result)))
    names = TEST_NAME.findall(tests)
    assert names
    for file, name in names:
        assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE), name


def test_the_tables_have_the_same_columns():
    tables = [line for line in PAGE.splitlines() if line.startswith("| threat")]

    assert tables == [HEADER] * len(tables)
    assert ROWS
    assert MEASURED
