"""Error cells, which calamine gives as empty, are looked up; what is not certain is not told."""

import io

import pytest
from xlsx_overrides import PIECE_BYTES, SheetXml

from tests.spreadsheets import (
    BOTH_PARSERS,
    make_workbook_from_xml,
    read_rows,
    row_xml,
    text_cell_xml,
)


def error(place, value="#REF!", quote='"'):
    return f"<c r={quote}{place}{quote} s='1' t={quote}e{quote}><v>{value}</v></c>"


def errors(*rows, **parts):
    marked = SheetXml(io.BytesIO(make_workbook_from_xml(*rows, **parts)), 0).find_cells()
    return marked and marked.texts


def test_errors_are_found_by_their_place():
    found = errors(
        row_xml(1, text_cell_xml("A1", "x"), error("B1"), error("AB1", "#N/A", quote="'")),
        row_xml(3, "<c r='A3' t='e'><f>1/0</f><v>#DIV/0!</v></c>"),
    )

    assert found == {1: {1: "#REF!", 27: "#N/A"}, 3: {0: "#DIV/0!"}}


def test_errors_are_found_wherever_a_piece_ends():
    filling = [
        row_xml(n, text_cell_xml(f"A{n}", "x" * 50), error(f"B{n}")) for n in range(1, 9_000)
    ]

    found = errors(*filling)

    assert len("".join(filling)) > 3 * PIECE_BYTES
    assert found == {n: {1: "#REF!"} for n in range(1, 9_000)}


@pytest.mark.parametrize(
    "cell",
    [
        "<c t='e'><v>#REF!</v></c>",  # Where it stands only its neighbours say.
        text_cell_xml("A1", "he wrote: t='e'"),
        "<c r='A1' t='e'><v><![CDATA[#REF!]]></v></c>",
        "<x:c xmlns:x='urn:x' r='A1' t='e'><x:v>#REF!</x:v></x:c>",
        "<c r='A1' t='e'/>",
    ],
)
def test_what_is_not_plain_to_see_is_left_to_the_other_parser(cell):
    assert errors(row_xml(1, cell)) is None


@BOTH_PARSERS
def test_both_parsers_show_errors_as_their_text(limits):
    content = make_workbook_from_xml(
        row_xml(2, error("B2"), text_cell_xml("C2", "x")),
        row_xml(3, text_cell_xml("A3", "y"), error("E3", "#N/A")),
    )

    assert read_rows(content, limits) == [
        (2, [None, "#REF!", "x"]),
        (3, ["y", None, None, None, "#N/A"]),
    ]
