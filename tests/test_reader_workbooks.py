"""Workbooks: hidden rows and columns, links, strict and binary formats, damage, wide sheets."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import replace

import openpyxl
import pytest
import xlsxwriter
from hyperlinks import MAX_LINKS, MAX_RANGES, SheetLinks
from xlsx_overrides import AmbiguousXml, SheetXml

from imports.cell_values import LinkedText, ShortenedText
from imports.pipeline.reader_client import ReaderLimits
from tests.spreadsheets import (
    READER_LIMITS,
    RELATIONS_NS,
    STREAMING_LIMITS,
    convert_to_strict_parts,
    expect_unreadable,
    for_both_parsers,
    make_link_relations_xml,
    make_row_xml,
    make_sheet_xml,
    make_text_cell_xml,
    make_workbook_parts,
    make_xlsb_workbook,
    read_file,
    read_rows,
    save_workbook,
    zip_parts,
)  # fmt: skip
from tests.test_reader_number_formats import make_ods_of_cells
from tests.xls_workbooks import SECTOR_BYTES, make_record, make_xls_workbook

# --- Hidden rows and columns -------------------------------------------------


def find_hidden(
    content: bytes, limits: ReaderLimits = READER_LIMITS
) -> tuple[list[int], list[int]]:
    """Return the numbers of hidden rows and the indices of hidden columns."""
    detected, _, chunks = read_file(content, limits)
    rows = [number for chunk in chunks for number in chunk.notes.get("hidden_row", ())]
    return rows, detected.hidden_columns


def make_workbook_with_rows(*attributes: str, cols: str = "") -> bytes:
    rows = [
        f'<row r="{n}" {attribute}>{make_text_cell_xml(f"A{n}", "x")}</row>'
        for n, attribute in enumerate(attributes, start=1)
    ]
    return zip_parts(make_workbook_parts(make_sheet_xml(*rows, before=cols)))


def make_openpyxl_workbook_with_hidden() -> bytes:
    book = openpyxl.Workbook()
    for n in range(1, 5):
        book.active.append([n, "x", "y"])
    book.active.row_dimensions[3].hidden = True
    book.active.column_dimensions["B"].hidden = True
    return save_workbook(book)


def make_xlsxwriter_workbook_with_hidden() -> bytes:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    page = book.add_worksheet()
    for n in range(4):
        page.write_row(n, 0, [n, "x", "y"])
    page.set_row(2, None, None, {"hidden": True})
    page.set_column(1, 1, None, None, {"hidden": True})
    book.close()
    return buffer.getvalue()


@for_both_parsers
@pytest.mark.parametrize(
    ("content", "rows", "columns"),
    [
        (
            make_workbook_with_rows(
                "", 'hidden="1"', "hidden='true'", 'hidden="0"', 'hidden="false"'
            ),
            [2, 3],
            [],
        ),
        (make_workbook_with_rows("hidden='1'", 'hidden="true"'), [1, 2], []),
        (
            make_workbook_with_rows("", cols='<cols><col min="2" max="4" hidden="1"/></cols>'),
            [],
            [1, 2, 3],
        ),
        (
            make_workbook_with_rows("", cols='<cols><col hidden="true" max="1" min="1"/></cols>'),
            [],
            [0],
        ),
        (
            make_workbook_with_rows("", cols='<cols><col min="1" max="9" hidden="0"/></cols>'),
            [],
            [],
        ),
        (
            make_workbook_with_rows("", cols='<cols><col min="3" max="16384" hidden="1"/></cols>'),
            [],
            [*range(2, 1_002)],
        ),
        (
            make_workbook_with_rows(
                "", cols='<cols><col min="1" max="99999999999" hidden="1"/></cols>'
            ),
            [],
            [*range(1_000)],
        ),
        (
            zip_parts(
                make_workbook_parts(
                    make_sheet_xml(
                        make_row_xml(1, make_text_cell_xml("A1", '&lt;row r="1" hidden="1">'))
                    )
                )
            ),
            [],
            [],
        ),
        (make_openpyxl_workbook_with_hidden(), [3], [1]),
        (make_xlsxwriter_workbook_with_hidden(), [3], [1]),
    ],
)
def test_hidden_rows_and_columns_of_an_xlsx_file_are_reported(limits, content, rows, columns):
    assert find_hidden(content, limits) == (rows, columns)


def test_hidden_rows_are_found_across_chunk_boundaries():
    content = make_workbook_with_rows(*['hidden="1" spans="1:9"'] * 9_000)

    assert find_hidden(content)[0] == [*range(1, 9_001)]


def test_hidden_row_without_a_number_is_read_by_openpyxl():
    content = zip_parts(
        make_workbook_parts(make_sheet_xml('<row hidden="1"><c><v>1</v></c></row>'))
    )

    assert find_hidden(content) == ([1], [])


def test_hidden_rows_and_columns_of_an_xls_file_are_reported():
    cells = {(n, c): "x" for n in range(4) for c in range(3)}

    content = make_xls_workbook(cells, hidden_rows=[1, 3], hidden_columns=[2])

    assert find_hidden(content) == ([2, 4], [2])
    assert find_hidden(make_xls_workbook(cells, flat_rows=[2])) == ([3], [])


def ods_cell_xml(content: str = "x", more: str = "") -> str:
    start = f'<table:table-cell office:value-type="string"{more}>'
    return f"{start}<text:p>{content}</text:p></table:table-cell>"


ROW = f"<table:table-row>{ods_cell_xml()}</table:table-row>"


@pytest.mark.parametrize(
    ("table", "rows", "columns"),
    [
        (f'<table:table-row table:visibility="collapse">{ods_cell_xml()}</table:table-row>{ROW}',
         [1], []),
        (f'{ROW}<table:table-row table:visibility="filter" table:number-rows-repeated="2">'
         f"{ods_cell_xml()}</table:table-row>", [2, 3], []),
        (f'<table:table-row-group table:display="false">{ROW}{ROW}</table:table-row-group>{ROW}',
         [1, 2], []),
        (f'<table:table-row table:visibility="visible">{ods_cell_xml()}</table:table-row>', [], []),
        ('<table:table-column table:number-columns-repeated="2"/>'
         f'<table:table-column table:visibility="collapse"/><table:table-column/>{ROW}', [], [2]),
        ('<table:table-column-group table:display="false"><table:table-column/>'
         f"</table:table-column-group><table:table-column/>{ROW}", [], [0]),
    ],
)  # fmt: skip
def test_hidden_rows_and_columns_of_an_ods_file_are_reported(table, rows, columns):
    parts = read_parts(make_ods_of_cells(""))
    empty = b"<table:table-row></table:table-row>"
    parts["content.xml"] = parts["content.xml"].replace(empty, table.encode())

    assert find_hidden(zip_parts(parts)) == (rows, columns)


@pytest.mark.parametrize(
    "rows",
    [
        '<row hidden="1"><c><v>1</v></c></row>',
        '<row r="x" hidden="1"/>',
        '<row r="1" hidden="1"/>' + make_text_cell_xml("A2", "x" * (3 << 20)),
    ],
)
def test_ambiguous_hidden_rows_raise_an_error(rows):
    content = io.BytesIO(zip_parts(make_workbook_parts(make_sheet_xml(rows))))

    with pytest.raises(AmbiguousXml):
        SheetXml(content, 0).find_hidden()


# --- Links -------------------------------------------------------------------


def make_workbook_with_link(
    label: str, target: str, *, ref: str = "A1", attribute: str = 'r:id="rId1"'
) -> bytes:
    links = (
        f'<hyperlinks xmlns:r="{RELATIONS_NS}"><hyperlink ref="{ref}" {attribute}/></hyperlinks>'
    )
    parts = make_workbook_parts(
        make_sheet_xml(
            make_row_xml(1, make_text_cell_xml("A1", label), make_text_cell_xml("B1", "other")),
            after=links,
        )
    )
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = make_link_relations_xml({"rId1": target})
    return zip_parts(parts)


def make_workbook_with_formula(formula: str, label: str = "Write to Ama") -> bytes:
    cell = f'<c r="A1" t="str"><f>{formula}</f><v>{label}</v></c>'
    return zip_parts(make_workbook_parts(make_sheet_xml(make_row_xml(1, cell))))


def read_link(content: bytes, limits: ReaderLimits = READER_LIMITS) -> str | None:
    cell = read_rows(content, limits)[0][1][0]
    return cell.link if isinstance(cell, LinkedText) else None


MAIL = "mailto:ama@example.com"


@for_both_parsers
@pytest.mark.parametrize(
    ("content", "link"),
    [
        (make_workbook_with_link("Write to Ama", MAIL), MAIL),
        (
            make_workbook_with_link("Write", "MAILTO:ama@example.com?subject=x"),
            "MAILTO:ama@example.com?subject=x",
        ),
        (make_workbook_with_link("Call", "tel:+233244123451"), "tel:+233244123451"),
        (make_workbook_with_link("Room 0244", "tel:+233244123451"), "tel:+233244123451"),
        (make_workbook_with_link("Write", MAIL, ref="A1:B3"), MAIL),
        (make_workbook_with_link("Write", MAIL, attribute=f'location="{MAIL}"'), MAIL),
        (make_workbook_with_link("ama@example.com", MAIL), None),
        (make_workbook_with_link("0244123451", "tel:+233244123451"), None),
        (make_workbook_with_link("Our site", "https://example.com"), None),
        (make_workbook_with_link("Write", MAIL, ref="B1"), None),
        (make_workbook_with_link("Write", MAIL + "x" * 500), None),
        (make_workbook_with_formula('HYPERLINK("mailto:ama@example.com","Write to Ama")'), MAIL),
        (make_workbook_with_formula("HYPERLINK(&quot;mailto:ama@example.com&quot;,A9)"), MAIL),
        (
            make_workbook_with_formula('hyperlink( "tel:+233244123451" , "Call")', "Call"),
            "tel:+233244123451",
        ),
        (
            make_workbook_with_formula('HYPERLINK("mailto:ama@example.com")', "ama@example.com"),
            None,
        ),
        (make_workbook_with_formula('HYPERLINK("mailto:"&amp;B1,"Write")'), None),
    ],
)
def test_link_to_a_contact_address_is_read(limits, content, link):
    assert read_link(content, limits) == link


@for_both_parsers
def test_link_behind_a_long_text_is_ignored(limits):
    assert read_link(make_workbook_with_link("x" * 1_001, MAIL), limits) is None


def test_links_beyond_the_limit_are_ignored():
    links = SheetLinks(((n, n, 0, 0), MAIL) for n in range(1, MAX_LINKS + 2))
    areas = SheetLinks(((n, n, 0, 1), MAIL) for n in range(1, MAX_RANGES + 2))

    for kept, last in ((links, MAX_LINKS), (areas, MAX_RANGES)):
        last_cells, next_cells = ["x"], ["x"]
        kept.apply_to_row(last, last_cells)
        kept.apply_to_row(last + 1, next_cells)
        assert (last_cells, next_cells) == ([["link", "x", MAIL]], ["x"])


@for_both_parsers
def test_link_of_a_range_applies_to_each_cell(limits):
    rows = read_rows(make_workbook_with_link("Write", MAIL, ref="A1:B3"), limits)

    assert [getattr(cell, "link", None) for cell in rows[0][1]] == [MAIL, MAIL]


@pytest.mark.parametrize(
    ("label", "target", "link"),
    [
        ("Write to Ama", MAIL, MAIL),
        ("Call", "tel:+233244123451", "tel:+233244123451"),
        ("ama@example.com", MAIL, None),
        ("Our site", "https://example.com", None),
    ],
)
def test_link_in_an_xls_file_is_read(label, target, link):
    assert read_link(make_xls_workbook({(0, 0): label}, links={(0, 0): target})) == link


@pytest.mark.parametrize(
    ("cell", "link"),
    [
        (ods_cell_xml(f'<text:a xmlns:x="urn:x" x:href="{MAIL}">Write to Ama</text:a>'), MAIL),
        (ods_cell_xml('See <text:a xmlns:x="urn:x" x:href="tel:+233244123451">here</text:a>'),
         "tel:+233244123451"),
        (ods_cell_xml(f'<text:a xmlns:x="urn:x" x:href="{MAIL}">ama@example.com</text:a>'), None),
        (ods_cell_xml('<text:a xmlns:x="urn:x" x:href="https://example.com">Site</text:a>'), None),
        (ods_cell_xml("Write", f""" table:formula='of:=HYPERLINK("{MAIL}";"Write")'"""), MAIL),
    ],
)  # fmt: skip
def test_link_in_an_ods_file_is_read(cell, link):
    assert read_link(make_ods_of_cells(cell)) == link


# --- Strict workbooks --------------------------------------------------------


@for_both_parsers
@pytest.mark.parametrize(
    ("cell", "value", "shown"),
    [
        ('<c s="1" t="d"><v>2026-05-07</v></c>', "2026-05-07", "May-26"),
        ('<c s="1" t="d"><v>2026-05-07T00:00:00</v></c>', "2026-05-07", "May-26"),
        ('<c s="2" t="d"><v>2026-05-07T12:30:00.000</v></c>', "2026-05-07T12:30:00", "12:30"),
        ('<c s="2" t="d"><v>1899-12-30T12:30:00</v></c>', "12:30:00", "12:30"),
        ('<c s="2" t="d"><v>12:30:00</v></c>', "12:30:00", "12:30"),
        ('<c t="d"><v>2026-05-07</v></c>', "2026-05-07", ""),
        ('<c s="1"><v>46149</v></c>', "2026-05-07", "May-26"),
        ('<c t="d"><v>some day</v></c>', "some day", None),
    ],
)
def test_dates_of_strict_workbooks_are_read(limits, cell, value, shown):
    parts = make_workbook_parts(
        make_sheet_xml(make_row_xml(1, cell)), formats=["General", "mmm-yy", "h:mm"]
    )

    (actual,) = read_rows(zip_parts(convert_to_strict_parts(parts)), limits)[0][1]

    assert (actual, getattr(actual, "shown", None)) == (value, shown)


@for_both_parsers
def test_links_and_hidden_rows_of_a_strict_workbook_are_read(limits):
    links = f'<hyperlinks xmlns:r="{RELATIONS_NS}"><hyperlink ref="A2" r:id="rId1"/></hyperlinks>'
    rows = [
        make_row_xml(1, make_text_cell_xml("A1", "x")),
        f'<row r="2" hidden="1">{make_text_cell_xml("A2", "Write")}</row>',
    ]
    parts = make_workbook_parts(make_sheet_xml(*rows, after=links))
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = make_link_relations_xml({"rId1": MAIL})
    content = zip_parts(convert_to_strict_parts(parts))

    assert find_hidden(content, limits) == ([2], [])
    assert read_rows(content, limits)[1][1][0].link == MAIL


# --- .xls files that xlrd cannot read ----------------------------------------

PEOPLE = {(0, 0): "Shipping mark", (1, 0): "ACC 1", (1, 1): 244123451}
NAME = struct.pack("<HBBHHHI", 0, 0, 3, 3, 0, 0, 0)
SHORT_NAME = struct.pack("<HBBHHHI", 0, 0, 3, 2, 0, 0, 0)


def patch_xls_workbook(at: int, value: int) -> bytes:
    content = bytearray(make_xls_workbook(PEOPLE))
    struct.pack_into("<I", content, at, value)
    return bytes(content)


DAMAGED = {
    "unknown token of a formula": make_xls_workbook(
        PEOPLE, globals_more=make_record(0x18, NAME + b"\0abc\0\0\0")
    ),
    "formula without operands": make_xls_workbook(
        PEOPLE, globals_more=make_record(0x18, SHORT_NAME + b"\0abc\3\3")
    ),
    "unknown cell style": make_xls_workbook(PEOPLE | {(1, 1): (244123451, 98)}),
    "short palette": make_xls_workbook(PEOPLE, globals_more=make_record(0x92, b"\x38\0")),
    "unknown link": make_xls_workbook(PEOPLE, sheet_more=make_record(0x1B8, bytes(32))),
    "short note": make_xls_workbook(PEOPLE, sheet_more=make_record(0x1C, b"\0\0\5\0")),
    "sectors in a loop": patch_xls_workbook(SECTOR_BYTES + 4 * 5, 3),
    "size of the stream": patch_xls_workbook(2 * SECTOR_BYTES + 128 + 120, 9_100),
    "byte order": patch_xls_workbook(28, 0x0009FEFF),
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_xls_file_that_xlrd_cannot_read_is_read_by_calamine(content):
    detected, rows, _ = read_file(content)

    assert (detected.format, detected.second_reader) == ("xls", True)
    assert rows == [(1, ["Shipping mark"]), (2, ["ACC 1", 244123451])]


def test_second_parser_skips_rows_that_are_already_written():
    assert read_rows(DAMAGED["unknown link"], after=1) == [(2, ["ACC 1", 244123451])]


def test_second_parser_reads_dates_without_display_text_and_no_errors():
    cells = {(0, 0): (46149, 0), (0, 1): b"\x07", (0, 2): "x"}

    (actual,) = read_rows(
        make_xls_workbook(cells, ["mmm-yy"], sheet_more=make_record(0x1B8, bytes(32)))
    )

    assert actual == (1, ["2026-05-07", None, "x"])
    assert (actual[1][0].kind, actual[1][0].shown) == ("date", "")


def test_valid_xls_file_needs_no_second_parser():
    assert read_file(make_xls_workbook(PEOPLE))[0].second_reader is False


def test_xls_file_that_neither_parser_reads_is_damaged():
    broken = make_xls_workbook(
        PEOPLE, sheet_more=make_record(0xE5, struct.pack("<H", 3) + bytes(8))
    )

    assert expect_unreadable(broken) == ("damaged_file", {})


def test_limits_apply_to_the_second_parser():
    content = DAMAGED["unknown link"]

    assert expect_unreadable(content, replace(READER_LIMITS, rows=1)) == (
        "too_many_rows",
        {"limit": 1},
    )


# --- .xlsb files -------------------------------------------------------------


def test_xlsb_file_is_read():
    rows = {1: {0: "Shipping mark", 1: "Phone"}, 3: {0: "ACC 1", 1: 244123451.0, 2: True}}

    detected, actual, _ = read_file(make_xlsb_workbook(rows, []))

    assert (detected.format, detected.sheets) == ("xlsb", ["Customers"])
    assert actual == [(1, ["Shipping mark", "Phone"]), (3, ["ACC 1", 244123451, True])]


def test_xlsb_file_that_does_not_fit_in_memory_is_unreadable():
    content = make_xlsb_workbook({1: {0: "x"}, 1_000_000: {16_383: "y"}}, [])

    assert expect_unreadable(content) == ("too_much_memory", {})


@pytest.mark.parametrize("damage", [slice(None, -300), slice(300, None)])
def test_truncated_xlsb_file_is_damaged(damage):
    content = make_xlsb_workbook({1: {0: "x"}}, [])

    assert expect_unreadable(content[damage])[0] in {"damaged_file", "not_a_spreadsheet"}


def test_xlsb_file_with_truncated_records_is_damaged():
    content = make_xlsb_workbook({1: {0: "x"}}, [])
    parts = read_parts(content)
    parts["xl/worksheets/sheet1.bin"] = parts["xl/worksheets/sheet1.bin"][:40]

    assert expect_unreadable(zip_parts(parts)) == ("damaged_file", {})


def read_parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- Wide sheets and long cells ----------------------------------------------


@for_both_parsers
def test_cell_in_the_last_column_does_not_widen_other_rows(limits):
    rows = [make_row_xml(n, make_text_cell_xml(f"A{n}", "x")) for n in range(1, 200)]
    content = zip_parts(
        make_workbook_parts(
            make_sheet_xml(*rows, make_row_xml(200, make_text_cell_xml("XFD200", "far")))
        )
    )

    actual = read_rows(content, limits)

    assert actual[:199] == [(n, ["x"]) for n in range(1, 200)]
    assert actual[199] == (200, [*[None] * 16_383, "far"])


@pytest.mark.parametrize("rows", [3_000, 60_000])
def test_distant_cell_that_calamine_cannot_load_is_streamed(rows):
    limits = replace(READER_LIMITS, memory_bytes=300 << 20)
    cells = [make_row_xml(n, make_text_cell_xml(f"A{n}", "x")) for n in (1, rows)]
    content = zip_parts(
        make_workbook_parts(
            make_sheet_xml(
                *cells, make_row_xml(rows + 1, make_text_cell_xml(f"XFD{rows + 1}", "far"))
            )
        )
    )

    actual = read_rows(content, limits)

    assert [(number, len(cells)) for number, cells in actual] == [
        (1, 1),
        (rows, 1),
        (rows + 1, 16_384),
    ]


@pytest.mark.parametrize("limits", [READER_LIMITS, STREAMING_LIMITS], ids=["calamine", "openpyxl"])
def test_full_row_of_maximum_width_is_read(limits):
    cells = "".join(f"<c><v>{n}</v></c>" for n in range(16_384))
    content = zip_parts(
        make_workbook_parts(make_sheet_xml(*[f'<row r="{n}">{cells}</row>' for n in (1, 2, 3)]))
    )

    assert read_rows(content, limits) == [(n, [*range(16_384)]) for n in (1, 2, 3)]


def test_ods_file_has_too_many_columns():
    far = '<table:table-cell table:number-columns-repeated="16384"/>'

    assert expect_unreadable(make_ods_of_cells(far + ods_cell_xml()))[0] == "too_many_columns"


@pytest.mark.parametrize(
    "content",
    [
        make_xls_workbook({(0, 0): "a", (0, 1): "b" * 3_000}),
        make_ods_of_cells(ods_cell_xml("a") + ods_cell_xml("b" * 3_000)),
        zip_parts(
            make_workbook_parts(
                make_sheet_xml(
                    make_row_xml(
                        1, make_text_cell_xml("A1", "a"), make_text_cell_xml("B1", "b" * 3_000)
                    )
                )
            )
        ),
        make_xlsb_workbook({1: {0: "a", 1: "b" * 3_000}}, []),
    ],
    ids=["xls", "ods", "xlsx", "xlsb"],
)
def test_long_cell_is_shortened_in_each_workbook_format(content):
    ((number, cells),) = read_rows(content, replace(READER_LIMITS, cell_length=1_000))

    assert (number, cells) == (1, ["a", "b" * 1_000])
    assert type(cells[1]) is ShortenedText
    assert cells[1].length == 3_000
