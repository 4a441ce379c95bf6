"""docs/files.md documents every error code of files and cells, and every read summary code."""

import re
from pathlib import Path

import pytest

from imports import error_messages
from imports.text_cell_values import FORMATTED_CELL_ERROR_CODES

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "files.md").read_text()
DOCUMENTED_CODES = set(re.findall(r"`([a-z_]+)`", TEXT))
# Errors of an import that its file does not cause.
CODES_UNRELATED_TO_FILES = {
    "file_deleted",
    "undo_failed",
    "unknown_importer",
    "lookup_failed",
    "wrong_lookup_result",
    "wrong_lookup_model",
    "choices_failed",
    "values_failed",
    "wrong_values_result",
    "invalid_values",
    "missing_columns",
    "wrong_column_mapping",
    "database_error",
}


@pytest.mark.parametrize("codes", [
    error_messages.JOB_MESSAGES.keys() - CODES_UNRELATED_TO_FILES,
    error_messages.READ_SUMMARY_MESSAGES.keys(),
    {
        *FORMATTED_CELL_ERROR_CODES.values(),
        *("boolean_in_text", "garbled_text", "damaged_characters", "several_values"),
    },
])  # fmt: skip
def test_every_code_is_documented(codes):
    assert set(codes) - DOCUMENTED_CODES == set()


def test_every_cell_code_has_a_message():
    assert set(FORMATTED_CELL_ERROR_CODES.values()) <= error_messages.ROW_MESSAGES.keys()
