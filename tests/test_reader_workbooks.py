"""Workbooks: hidden rows and columns, links, strict and binary ones, damage, wide sheets."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import replace

import openpyxl
import pytest
import xlsxwriter
from hyperlinks import MAX_LINKS, MAX_RANGES, Links
from xlsx_overrides import NotCertain, SheetXml

from imports.cell_values import LinkedText, ShortenedText
from imports.pipeline.reader_client import ReaderLimits
from tests.spreadsheets import (
    BOTH_PARSERS,
    LIMITS,
    RELATIONS_NS,
    STREAMING_LIMITS,
    expect_unreadable,
    link_relations_xml,
    make_workbook_parts,
    make_xlsb_workbook,
    read_file,
    read_rows,
    row_xml,
    save_workbook,
    sheet_xml,
    text_cell_xml,
    to_strict_parts,
    zip_parts,
)  # fmt: skip
from tests.test_reader_number_formats import of_ods
from tests.xls_workbooks import SECTOR_BYTES, old_workbook, record

# --- Hidden rows and columns -------------------------------------------------


def hidden_in(content: bytes, limits: ReaderLimits = LIMITS) -> tuple[list[int], list[int]]:
    """The numbers of hidden rows, and the indices of hidden columns."""
    opened, _, chunks = read_file(content, limits)
    rows = [number for chunk in chunks for number in chunk.notes.get("hidden_row", ())]
    return rows, opened.hidden_columns


def of_rows(*attributes: str, cols: str = "") -> bytes:
    rows = [
        f'<row r="{n}" {attribute}>{text_cell_xml(f"A{n}", "x")}</row>'
        for n, attribute in enumerate(attributes, start=1)
    ]
    return zip_parts(make_workbook_parts(sheet_xml(*rows, before=cols)))


def by_openpyxl() -> bytes:
    book = openpyxl.Workbook()
    for n in range(1, 5):
        book.active.append([n, "x", "y"])
    book.active.row_dimensions[3].hidden = True
    book.active.column_dimensions["B"].hidden = True
    return save_workbook(book)


def by_xlsxwriter() -> bytes:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    page = book.add_worksheet()
    for n in range(4):
        page.write_row(n, 0, [n, "x", "y"])
    page.set_row(2, None, None, {"hidden": True})
    page.set_column(1, 1, None, None, {"hidden": True})
    book.close()
    return buffer.getvalue()


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("content", "rows", "columns"),
    [
        (of_rows("", 'hidden="1"', "hidden='true'", 'hidden="0"', 'hidden="false"'), [2, 3], []),
        (of_rows("hidden='1'", 'hidden="true"'), [1, 2], []),
        (of_rows("", cols='<cols><col min="2" max="4" hidden="1"/></cols>'), [], [1, 2, 3]),
        (of_rows("", cols='<cols><col hidden="true" max="1" min="1"/></cols>'), [], [0]),
        (of_rows("", cols='<cols><col min="1" max="9" hidden="0"/></cols>'), [], []),
        (of_rows("", cols='<cols><col min="3" max="16384" hidden="1"/></cols>'), [],
         [*range(2, 1_002)]),
        (of_rows("", cols='<cols><col min="1" max="99999999999" hidden="1"/></cols>'), [],
         [*range(1_000)]),
        (zip_parts(make_workbook_parts(
            sheet_xml(row_xml(1, text_cell_xml("A1", '&lt;row r="1" hidden="1">'))))), [], []),
        (by_openpyxl(), [3], [1]),
        (by_xlsxwriter(), [3], [1]),
    ],
)  # fmt: skip
def test_hidden_rows_and_columns_of_a_workbook_are_told(limits, content, rows, columns):
    assert hidden_in(content, limits) == (rows, columns)


def test_hidden_rows_are_found_wherever_a_piece_ends():
    content = of_rows(*['hidden="1" spans="1:9"'] * 9_000)

    assert hidden_in(content)[0] == [*range(1, 9_001)]


def test_a_hidden_row_without_a_number_is_found_by_the_other_parser():
    content = zip_parts(make_workbook_parts(sheet_xml('<row hidden="1"><c><v>1</v></c></row>')))

    assert hidden_in(content) == ([1], [])


def test_hidden_rows_and_columns_of_an_old_workbook_are_told():
    cells = {(n, c): "x" for n in range(4) for c in range(3)}

    content = old_workbook(cells, hidden_rows=[1, 3], hidden_columns=[2])

    assert hidden_in(content) == ([2, 4], [2])
    assert hidden_in(old_workbook(cells, flat_rows=[2])) == ([3], [])


def cell_of_ods(content: str = "x", more: str = "") -> str:
    return f'<table:table-cell office:value-type="string"{more}><text:p>{content}</text:p></table:table-cell>'  # noqa: E501


ROW = f"<table:table-row>{cell_of_ods()}</table:table-row>"


@pytest.mark.parametrize(
    ("table", "rows", "columns"),
    [
        (f'<table:table-row table:visibility="collapse">{cell_of_ods()}</table:table-row>{ROW}',
         [1], []),
        (f'{ROW}<table:table-row table:visibility="filter" table:number-rows-repeated="2">'
         f"{cell_of_ods()}</table:table-row>", [2, 3], []),
        (f'<table:table-row-group table:display="false">{ROW}{ROW}</table:table-row-group>{ROW}',
         [1, 2], []),
        (f'<table:table-row table:visibility="visible">{cell_of_ods()}</table:table-row>', [], []),
        ('<table:table-column table:number-columns-repeated="2"/>'
         f'<table:table-column table:visibility="collapse"/><table:table-column/>{ROW}', [], [2]),
        ('<table:table-column-group table:display="false"><table:table-column/>'
         f"</table:table-column-group><table:table-column/>{ROW}", [], [0]),
    ],
)  # fmt: skip
def test_hidden_rows_and_columns_of_an_opendocument_are_told(table, rows, columns):
    parts = parts_of(of_ods(""))
    empty = b"<table:table-row></table:table-row>"
    parts["content.xml"] = parts["content.xml"].replace(empty, table.encode())

    assert hidden_in(zip_parts(parts)) == (rows, columns)


@pytest.mark.parametrize(
    "rows",
    [
        '<row hidden="1"><c><v>1</v></c></row>',
        '<row r="x" hidden="1"/>',
        '<row r="1" hidden="1"/>' + text_cell_xml("A2", "x" * (3 << 20)),
    ],
)
def test_what_is_hidden_is_not_told_where_that_is_not_certain(rows):
    content = io.BytesIO(zip_parts(make_workbook_parts(sheet_xml(rows))))

    with pytest.raises(NotCertain):
        SheetXml(content, 0).find_hidden()


# --- Links -------------------------------------------------------------------


def linked(shown: str, target: str, *, ref: str = "A1", how: str = 'r:id="rId1"') -> bytes:
    links = f'<hyperlinks xmlns:r="{RELATIONS_NS}"><hyperlink ref="{ref}" {how}/></hyperlinks>'
    parts = make_workbook_parts(
        sheet_xml(row_xml(1, text_cell_xml("A1", shown), text_cell_xml("B1", "other")), after=links)
    )
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = link_relations_xml({"rId1": target})
    return zip_parts(parts)


def formula_of(formula: str, shown: str = "Write to Ama") -> bytes:
    cell = f'<c r="A1" t="str"><f>{formula}</f><v>{shown}</v></c>'
    return zip_parts(make_workbook_parts(sheet_xml(row_xml(1, cell))))


def link_in(content: bytes, limits: ReaderLimits = LIMITS) -> str | None:
    cell = read_rows(content, limits)[0][1][0]
    return cell.link if isinstance(cell, LinkedText) else None


MAIL = "mailto:ama@example.com"


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("content", "link"),
    [
        (linked("Write to Ama", MAIL), MAIL),
        (linked("Write", "MAILTO:ama@example.com?subject=x"), "MAILTO:ama@example.com?subject=x"),
        (linked("Call", "tel:+233244123451"), "tel:+233244123451"),
        (linked("Room 0244", "tel:+233244123451"), "tel:+233244123451"),
        (linked("Write", MAIL, ref="A1:B3"), MAIL),
        (linked("Write", MAIL, how=f'location="{MAIL}"'), MAIL),
        (linked("ama@example.com", MAIL), None),
        (linked("0244123451", "tel:+233244123451"), None),
        (linked("Our site", "https://example.com"), None),
        (linked("Write", MAIL, ref="B1"), None),
        (linked("Write", MAIL + "x" * 500), None),
        (formula_of('HYPERLINK("mailto:ama@example.com","Write to Ama")'), MAIL),
        (formula_of("HYPERLINK(&quot;mailto:ama@example.com&quot;,A9)"), MAIL),
        (formula_of('hyperlink( "tel:+233244123451" , "Call")', "Call"), "tel:+233244123451"),
        (formula_of('HYPERLINK("mailto:ama@example.com")', "ama@example.com"), None),
        (formula_of('HYPERLINK("mailto:"&amp;B1,"Write")'), None),
    ],
)  # fmt: skip
def test_an_address_behind_other_words_is_told(limits, content, link):
    assert link_in(content, limits) == link


@BOTH_PARSERS
def test_a_long_text_is_no_name_of_a_link(limits):
    assert link_in(linked("x" * 1_001, MAIL), limits) is None


def test_no_more_links_are_kept_than_a_sheet_may_have():
    links = Links(((n, n, 0, 0), MAIL) for n in range(1, MAX_LINKS + 2))
    areas = Links(((n, n, 0, 1), MAIL) for n in range(1, MAX_RANGES + 2))

    for kept, last in ((links, MAX_LINKS), (areas, MAX_RANGES)):
        found, beyond = ["x"], ["x"]
        kept.apply(last, found)
        kept.apply(last + 1, beyond)
        assert (found, beyond) == ([["link", "x", MAIL]], ["x"])


@BOTH_PARSERS
def test_links_stand_in_a_range_of_cells(limits):
    rows = read_rows(linked("Write", MAIL, ref="A1:B3"), limits)

    assert [getattr(cell, "link", None) for cell in rows[0][1]] == [MAIL, MAIL]


@pytest.mark.parametrize(
    ("shown", "target", "link"),
    [
        ("Write to Ama", MAIL, MAIL),
        ("Call", "tel:+233244123451", "tel:+233244123451"),
        ("ama@example.com", MAIL, None),
        ("Our site", "https://example.com", None),
    ],
)
def test_an_address_behind_other_words_of_an_old_workbook_is_told(shown, target, link):
    assert link_in(old_workbook({(0, 0): shown}, links={(0, 0): target})) == link


@pytest.mark.parametrize(
    ("cell", "link"),
    [
        (cell_of_ods(f'<text:a xmlns:x="urn:x" x:href="{MAIL}">Write to Ama</text:a>'), MAIL),
        (cell_of_ods('See <text:a xmlns:x="urn:x" x:href="tel:+233244123451">here</text:a>'),
         "tel:+233244123451"),
        (cell_of_ods(f'<text:a xmlns:x="urn:x" x:href="{MAIL}">ama@example.com</text:a>'), None),
        (cell_of_ods('<text:a xmlns:x="urn:x" x:href="https://example.com">Site</text:a>'), None),
        (cell_of_ods("Write", f""" table:formula='of:=HYPERLINK("{MAIL}";"Write")'"""), MAIL),
    ],
)  # fmt: skip
def test_an_address_behind_other_words_of_an_opendocument_is_told(cell, link):
    assert link_in(of_ods(cell)) == link


# --- Strict workbooks --------------------------------------------------------


@BOTH_PARSERS
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
def test_dates_of_strict_workbooks_are_dates(limits, cell, value, shown):
    parts = make_workbook_parts(sheet_xml(row_xml(1, cell)), formats=["General", "mmm-yy", "h:mm"])

    (found,) = read_rows(zip_parts(to_strict_parts(parts)), limits)[0][1]

    assert (found, getattr(found, "shown", None)) == (value, shown)


@BOTH_PARSERS
def test_a_strict_workbook_tells_its_links_and_what_it_hides(limits):
    links = f'<hyperlinks xmlns:r="{RELATIONS_NS}"><hyperlink ref="A2" r:id="rId1"/></hyperlinks>'
    rows = [
        row_xml(1, text_cell_xml("A1", "x")),
        f'<row r="2" hidden="1">{text_cell_xml("A2", "Write")}</row>',
    ]
    parts = make_workbook_parts(sheet_xml(*rows, after=links))
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = link_relations_xml({"rId1": MAIL})
    content = zip_parts(to_strict_parts(parts))

    assert hidden_in(content, limits) == ([2], [])
    assert read_rows(content, limits)[1][1][0].link == MAIL


# --- Old workbooks that xlrd gives up ----------------------------------------

PEOPLE = {(0, 0): "Shipping mark", (1, 0): "ACC 1", (1, 1): 244123451}
NAME = struct.pack("<HBBHHHI", 0, 0, 3, 3, 0, 0, 0)
SHORT_NAME = struct.pack("<HBBHHHI", 0, 0, 3, 2, 0, 0, 0)


def changed(at: int, value: int) -> bytes:
    content = bytearray(old_workbook(PEOPLE))
    struct.pack_into("<I", content, at, value)
    return bytes(content)


DAMAGED = {
    "unknown token of a formula": old_workbook(
        PEOPLE, globals_more=record(0x18, NAME + b"\0abc\0\0\0")
    ),
    "formula without operands": old_workbook(
        PEOPLE, globals_more=record(0x18, SHORT_NAME + b"\0abc\3\3")
    ),
    "unknown cell style": old_workbook(PEOPLE | {(1, 1): (244123451, 98)}),
    "short palette": old_workbook(PEOPLE, globals_more=record(0x92, b"\x38\0")),
    "unknown link": old_workbook(PEOPLE, sheet_more=record(0x1B8, bytes(32))),
    "short note": old_workbook(PEOPLE, sheet_more=record(0x1C, b"\0\0\5\0")),
    "sectors in a loop": changed(SECTOR_BYTES + 4 * 5, 3),
    "size of the stream": changed(2 * SECTOR_BYTES + 128 + 120, 9_100),
    "byte order": changed(28, 0x0009FEFF),
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_an_old_workbook_that_xlrd_gives_up_is_read_all_the_same(content):
    opened, rows, _ = read_file(content)

    assert (opened.format, opened.second_reader) == ("xls", True)
    assert rows == [(1, ["Shipping mark"]), (2, ["ACC 1", 244123451])]


def test_rows_that_were_sent_before_are_not_sent_again():
    assert read_rows(DAMAGED["unknown link"], after=1) == [(2, ["ACC 1", 244123451])]


def test_a_date_of_such_a_workbook_is_a_date_and_an_error_is_nothing():
    cells = {(0, 0): (46149, 0), (0, 1): b"\x07", (0, 2): "x"}

    (found,) = read_rows(old_workbook(cells, ["mmm-yy"], sheet_more=record(0x1B8, bytes(32))))

    assert found == (1, ["2026-05-07", None, "x"])
    assert (found[1][0].kind, found[1][0].shown) == ("date", "")


def test_a_sound_old_workbook_needs_no_second_reader():
    assert read_file(old_workbook(PEOPLE))[0].second_reader is False


def test_an_old_workbook_that_neither_reads_is_damaged():
    broken = old_workbook(PEOPLE, sheet_more=record(0xE5, struct.pack("<H", 3) + bytes(8)))

    assert expect_unreadable(broken) == ("damaged_file", {})


def test_limits_hold_for_the_second_reader_too():
    content = DAMAGED["unknown link"]

    assert expect_unreadable(content, replace(LIMITS, rows=1)) == ("too_many_rows", {"limit": 1})


# --- Binary workbooks --------------------------------------------------------


def test_a_binary_workbook_is_read():
    rows = {1: {0: "Shipping mark", 1: "Phone"}, 3: {0: "ACC 1", 1: 244123451.0, 2: True}}

    opened, found, _ = read_file(make_xlsb_workbook(rows, []))

    assert (opened.format, opened.sheets) == ("xlsb", ["Customers"])
    assert found == [(1, ["Shipping mark", "Phone"]), (3, ["ACC 1", 244123451, True])]


def test_a_binary_workbook_too_large_for_the_memory_ends_in_a_code():
    content = make_xlsb_workbook({1: {0: "x"}, 1_000_000: {16_383: "y"}}, [])

    assert expect_unreadable(content) == ("too_much_memory", {})


@pytest.mark.parametrize("damage", [slice(None, -300), slice(300, None)])
def test_a_damaged_binary_workbook_is_damaged(damage):
    content = make_xlsb_workbook({1: {0: "x"}}, [])

    assert expect_unreadable(content[damage])[0] in {"damaged_file", "not_a_spreadsheet"}


def test_a_binary_workbook_of_damaged_records_is_damaged():
    content = make_xlsb_workbook({1: {0: "x"}}, [])
    parts = parts_of(content)
    parts["xl/worksheets/sheet1.bin"] = parts["xl/worksheets/sheet1.bin"][:40]

    assert expect_unreadable(zip_parts(parts)) == ("damaged_file", {})


def parts_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- Wide sheets and long cells ----------------------------------------------


@BOTH_PARSERS
def test_a_cell_in_the_last_column_costs_the_other_rows_nothing(limits):
    rows = [row_xml(n, text_cell_xml(f"A{n}", "x")) for n in range(1, 200)]
    content = zip_parts(
        make_workbook_parts(sheet_xml(*rows, row_xml(200, text_cell_xml("XFD200", "far"))))
    )

    found = read_rows(content, limits)

    assert found[:199] == [(n, ["x"]) for n in range(1, 200)]
    assert found[199] == (200, [*[None] * 16_383, "far"])


@pytest.mark.parametrize("rows", [3_000, 60_000])
def test_a_far_cell_that_calamine_cannot_hold_is_streamed(rows):
    limits = replace(LIMITS, memory_bytes=300 << 20)
    cells = [row_xml(n, text_cell_xml(f"A{n}", "x")) for n in (1, rows)]
    content = zip_parts(
        make_workbook_parts(
            sheet_xml(*cells, row_xml(rows + 1, text_cell_xml(f"XFD{rows + 1}", "far")))
        )
    )

    found = read_rows(content, limits)

    assert [(number, len(cells)) for number, cells in found] == [
        (1, 1),
        (rows, 1),
        (rows + 1, 16_384),
    ]


@pytest.mark.parametrize("limits", [LIMITS, STREAMING_LIMITS], ids=["calamine", "openpyxl"])
def test_a_full_wide_row_is_read(limits):
    cells = "".join(f"<c><v>{n}</v></c>" for n in range(16_384))
    content = zip_parts(
        make_workbook_parts(sheet_xml(*[f'<row r="{n}">{cells}</row>' for n in (1, 2, 3)]))
    )

    assert read_rows(content, limits) == [(n, [*range(16_384)]) for n in (1, 2, 3)]


def test_columns_beyond_the_last_of_an_opendocument_are_too_many():
    far = '<table:table-cell table:number-columns-repeated="16384"/>'

    assert expect_unreadable(of_ods(far + cell_of_ods()))[0] == "too_many_columns"


@pytest.mark.parametrize(
    "content",
    [
        old_workbook({(0, 0): "a", (0, 1): "b" * 3_000}),
        of_ods(cell_of_ods("a") + cell_of_ods("b" * 3_000)),
        zip_parts(
            make_workbook_parts(
                sheet_xml(row_xml(1, text_cell_xml("A1", "a"), text_cell_xml("B1", "b" * 3_000)))
            )
        ),
        make_xlsb_workbook({1: {0: "a", 1: "b" * 3_000}}, []),
    ],
    ids=["xls", "ods", "xlsx", "xlsb"],
)
def test_a_long_cell_of_a_workbook_is_shortened(content):
    ((number, cells),) = read_rows(content, replace(LIMITS, cell_length=1_000))

    assert (number, cells) == (1, ["a", "b" * 1_000])
    assert type(cells[1]) is ShortenedText
    assert cells[1].length == 3_000
