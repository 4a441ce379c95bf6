"""Error cells, which calamine returns as empty, are read from the XML if it is unambiguous."""

import io

import pytest
from xlsx_overrides import SHEET_CHUNK_BYTES, SheetXml

from tests.spreadsheets import (
    for_both_parsers,
    make_row_xml,
    make_text_cell_xml,
    make_workbook_from_xml,
    read_rows,
)


def error_cell_xml(reference, value="#REF!", quote='"'):
    return f"<c r={quote}{reference}{quote} s='1' t={quote}e{quote}><v>{value}</v></c>"


def find_errors(*rows, **parts):
    overrides = SheetXml(io.BytesIO(make_workbook_from_xml(*rows, **parts)), 0).find_cells()
    return overrides and overrides.texts


def test_errors_are_found_by_their_cell_reference():
    errors = find_errors(
        make_row_xml(
            1,
            make_text_cell_xml("A1", "x"),
            error_cell_xml("B1"),
            error_cell_xml("AB1", "#N/A", quote="'"),
        ),
        make_row_xml(3, "<c r='A3' t='e'><f>1/0</f><v>#DIV/0!</v></c>"),
    )

    assert errors == {1: {1: "#REF!", 27: "#N/A"}, 3: {0: "#DIV/0!"}}


def test_errors_are_found_across_chunk_boundaries():
    rows = [
        make_row_xml(n, make_text_cell_xml(f"A{n}", "x" * 50), error_cell_xml(f"B{n}"))
        for n in range(1, 9_000)
    ]

    errors = find_errors(*rows)

    assert len("".join(rows)) > 3 * SHEET_CHUNK_BYTES
    assert errors == {n: {1: "#REF!"} for n in range(1, 9_000)}


@pytest.mark.parametrize(
    "cell",
    [
        "<c t='e'><v>#REF!</v></c>",  # Without a reference its position depends on other cells.
        make_text_cell_xml("A1", "he wrote: t='e'"),
        "<c r='A1' t='e'><v><![CDATA[#REF!]]></v></c>",
        "<x:c xmlns:x='urn:x' r='A1' t='e'><x:v>#REF!</x:v></x:c>",
        "<c r='A1' t='e'/>",
    ],
)
def test_ambiguous_cells_are_not_read(cell):
    assert find_errors(make_row_xml(1, cell)) is None


@for_both_parsers
def test_both_parsers_read_errors_as_text(limits):
    content = make_workbook_from_xml(
        make_row_xml(2, error_cell_xml("B2"), make_text_cell_xml("C2", "x")),
        make_row_xml(3, make_text_cell_xml("A3", "y"), error_cell_xml("E3", "#N/A")),
    )

    assert read_rows(content, limits) == [
        (2, [None, "#REF!", "x"]),
        (3, ["y", None, None, None, "#N/A"]),
    ]
