"""The generated tables of the documentation are up to date."""

import pytest

from docs.tables import build_documents, replace_table


def test_every_table_is_as_the_generator_writes_it():
    for path, text in build_documents().items():
        assert path.read_text(encoding="utf-8") == text, "Run `python -m docs.tables`."


def test_a_document_without_the_markers_is_named():
    with pytest.raises(ValueError, match="the table 'codes'"):
        replace_table("# No markers", "codes", "| a |")
