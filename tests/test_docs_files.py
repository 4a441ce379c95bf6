"""docs/files.md names every code that a file, a cell or the way of reading can have."""

import re
from pathlib import Path

import pytest

from imports import error_messages
from imports.text_cell_values import FORMATTED_CELL_ERROR_CODES

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "files.md").read_text()
NAMED = set(re.findall(r"`([a-z_]+)`", PAGE))
# Said of an import for another reason than its file.
NOT_OF_A_FILE = {"file_gone", "unknown_importer", "missing_columns", "refused_by_database"}


@pytest.mark.parametrize("codes", [
    error_messages.JOB_MESSAGES.keys() - NOT_OF_A_FILE,
    error_messages.READ_SUMMARY_MESSAGES.keys(),
    {
        *FORMATTED_CELL_ERROR_CODES.values(),
        *("yes_or_no_in_text", "garbled_text", "damaged_characters", "several_values"),
    },
])  # fmt: skip
def test_every_code_is_named(codes):
    assert set(codes) - NAMED == set()


def test_rows_have_a_sentence_for_each_code_of_a_cell():
    assert set(FORMATTED_CELL_ERROR_CODES.values()) <= error_messages.ROW_MESSAGES.keys()
