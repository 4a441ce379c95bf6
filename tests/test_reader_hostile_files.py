"""Files that mean harm or are not what they say: each ends in a code within seconds."""

from __future__ import annotations

import io
import itertools
import os
import struct
import zipfile
from dataclasses import replace

import pytest

from imports.cell_values import ShortenedText
from imports.pipeline.reader_client import open_rows
from tests.factories import make_csv
from tests.spreadsheets import (
    BOTH_PARSERS,
    LIMITS,
    MAIN_NS,
    MB,
    OLE2,
    STREAMING_LIMITS,
    expect_unreadable,
    make_workbook,
    make_workbook_from_xml,
    make_workbook_parts,
    read_rows,
    row_xml,
    sheet_xml,
    text_cell_xml,
    zip_parts,
)  # fmt: skip

# --- What the file is --------------------------------------------------------

OTHER_ZIPS = {"word/document.xml": "<w/>", "[Content_Types].xml": "<Types/>"}


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("empty_file", b""),
        ("empty_file", b" \r\n\n"),
        ("pdf_file", b"%PDF-1.7\n1 0 obj\n"),
        ("image_file", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("compressed_file", b"\x1f\x8b\x08\0abc"),
        ("not_a_spreadsheet", b"a,b\n" + bytes(range(32)) * 9),
        ("html_file", b"<!DOCTYPE html><html><table>"),
        ("not_a_spreadsheet", zip_parts(OTHER_ZIPS)),
        ("not_a_spreadsheet", zip_parts({"mimetype": "application/vnd.oasis.opendocument"})),
        ("not_a_spreadsheet", zip_parts({})),
        ("encrypted_file", OLE2 + bytes(2_000) + "EncryptedPackage".encode("utf-16-le")),
        ("damaged_file", OLE2 + bytes(2_000) + "Workbook".encode("utf-16-le")),
        ("damaged_file", make_workbook(["a"])[:-40]),
        ("damaged_file", make_workbook(["a"])[:300]),
        ("damaged_file", make_workbook_from_xml("<row r='1'><c")),
        ("damaged_file", make_workbook_from_xml(row_xml(1, '<c t="s"><v>5</v></c>'))),
        ("damaged_file", b"PK\x03\x04" + b"nonsense" * 20),
        ("unknown_encoding", b"name\nZo\x81\x8d\n"),
        ("unknown_encoding", b"\xff\xfea\0b"),
    ],
)
def test_what_is_no_spreadsheet_is_refused_by_its_content(code, content):
    assert expect_unreadable(content)[0] == code


def test_text_that_looks_like_comments_is_told_at_once():
    content = b"<!---->" * 2_000 + b"x"

    assert len(read_rows(content)) == 1


def test_an_encrypted_archive_is_refused():
    content = bytearray(make_workbook(["a"]))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1

    assert expect_unreadable(bytes(content)) == ("encrypted_file", {})


@pytest.mark.parametrize("limits", [LIMITS, STREAMING_LIMITS])
@pytest.mark.parametrize(
    ("changed", "code", "params"),
    [
        ({"rows": 2}, "too_many_rows", {"limit": 2}),
        ({"columns": 2}, "too_many_columns", {"row": 3, "limit": 2}),
        ({"inflated_bytes": 999}, "too_large_inflated", None),
    ],
)
def test_limits_on_what_a_workbook_holds(limits, changed, code, params):
    content = make_workbook(["a"], ["b"], ["c", None, "long enough"])

    refused, why = expect_unreadable(content, replace(limits, **changed))

    assert refused == code
    assert params is None or why == params


@pytest.mark.parametrize(
    ("changed", "code", "params"),
    [
        ({"rows": 2}, "too_many_rows", {"limit": 2}),
        ({"columns": 2}, "too_many_columns", {"row": 3, "limit": 2}),
    ],
)
def test_limits_on_what_a_text_file_holds(changed, code, params):
    assert expect_unreadable(b"a\nb\nc,,long enough\n", replace(LIMITS, **changed)) == (
        code,
        params,
    )


@BOTH_PARSERS
@pytest.mark.parametrize("make", [make_workbook, lambda *rows: make_csv(rows, headers=None)])
def test_a_long_cell_is_shortened_and_its_row_noted(limits, make):
    content = make(["a"], ["b"], ["c", None, "long enough"])

    with open_rows(io.BytesIO(content), limits=replace(limits, cell_length=9)) as reader:
        chunk = next(iter(reader))

    assert chunk.rows == [(1, ["a"]), (2, ["b"]), (3, ["c", None, "long enou"])]
    assert type(chunk.rows[2][1][2]) is ShortenedText
    assert chunk.rows[2][1][2].length == 11
    assert chunk.notes == {"cell_shortened": [3]}


@BOTH_PARSERS
def test_a_row_of_many_long_cells_is_refused(limits):
    content = make_workbook([os.urandom(15_000).hex()] * 40)

    assert expect_unreadable(content, limits) == ("row_too_long", {"row": 1, "limit": 1_000_000})


def test_a_line_without_end_is_refused():
    assert expect_unreadable(b"a,b\n" + b"xyz," * 500_000)[0] == "too_many_columns"
    assert expect_unreadable(b"a,b\n" + b"x" * 9_000_000)[0] == "row_too_long"
    assert expect_unreadable(b'a,b\n"' + b"xyz,\n" * 500_000)[0] == "unclosed_quote"
    assert expect_unreadable(b'a,b\n"' + b"xyz,\n" * 2_000_000)[0] == "unclosed_quote"


# --- Bombs -------------------------------------------------------------------


def with_lying_size(content: bytes, name: str) -> bytes:
    """The archive's directory says that the part holds ten bytes."""
    changed = bytearray(content)
    for mark, size_at, name_at in ((b"PK\x01\x02", 24, 46), (b"PK\x03\x04", 22, 30)):
        place = -1
        while (place := content.find(mark, place + 1)) >= 0:
            if content[place + name_at :].startswith(name.encode()):
                changed[place + size_at : place + size_at + 4] = struct.pack("<I", 10)
    return bytes(changed)


def with_many_entries() -> bytes:
    buffer = io.BytesIO(make_workbook(["a"]))
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(10_000):
            archive.writestr(str(number), b"")
    return buffer.getvalue()


def laughs(kind: str) -> bytes:
    entities = '<!ENTITY a "lol">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in itertools.pairwise("abcdefghij")
    )
    if kind == "external":
        entities = '<!ENTITY j SYSTEM "file:///etc/passwd">'
    cells = sheet_xml(row_xml(1, '<c r="A1" t="inlineStr"><is><t>&j;</t></is></c>'))
    return zip_parts(make_workbook_parts(f"<!DOCTYPE x [{entities}]>{cells}"))


@BOTH_PARSERS
@pytest.mark.parametrize("kind", ["laughs", "external"])
def test_entities_are_refused(limits, kind):
    assert expect_unreadable(laughs(kind), limits) == ("damaged_file", {})


def test_what_is_streamed_may_not_even_declare_entities():
    declared = f'<!DOCTYPE x [<!ENTITY a "b">]>{sheet_xml(row_xml(1, text_cell_xml("A1", "x")))}'

    assert expect_unreadable(zip_parts(make_workbook_parts(declared)), STREAMING_LIMITS) == (
        "damaged_file",
        {},
    )


@BOTH_PARSERS
def test_a_size_that_lies_is_found_out(limits):
    content = make_workbook_from_xml(
        *[row_xml(n, text_cell_xml(f"A{n}", "x" * 90)) for n in range(1, 2_000)]
    )

    lying = with_lying_size(content, "xl/worksheets/sheet1.xml")
    assert expect_unreadable(lying, limits) == ("damaged_file", {})


def test_archives_that_are_mostly_promise_are_refused():
    blank = make_workbook_from_xml(row_xml(1, text_cell_xml("A1", " " * 50 * MB)))

    assert expect_unreadable(blank)[0] == "too_large_inflated"
    assert expect_unreadable(with_many_entries())[0] == "too_large_inflated"
    assert (
        "bytes" in expect_unreadable(make_workbook(["a"]), replace(LIMITS, inflated_bytes=999))[1]
    )


@BOTH_PARSERS
def test_a_cell_in_the_far_corner_ends_in_a_code(limits):
    content = make_workbook_from_xml(
        row_xml(1, text_cell_xml("A1", "a")), row_xml(1_048_576, text_cell_xml("XFD1048576", "z"))
    )

    assert expect_unreadable(content, replace(limits, columns=200)) == (
        "too_many_columns",
        {"row": 1_048_576, "limit": 200},
    )


def test_a_row_out_of_order_is_never_dropped():
    content = make_workbook_from_xml(
        row_xml(3, text_cell_xml("A3", "c")), row_xml(1, text_cell_xml("A1", "a"))
    )

    assert read_rows(content) == [(1, ["a"]), (3, ["c"])]
    assert expect_unreadable(content, STREAMING_LIMITS)[0] == "damaged_file"


def test_a_string_that_is_not_there_is_no_other_string():
    content = make_workbook_from_xml(
        row_xml(1, '<c t="s"><v>-1</v></c>'), strings="<si><t>last</t></si>"
    )

    assert expect_unreadable(content, STREAMING_LIMITS)[0] == "damaged_file"


@pytest.mark.parametrize("place", ["B7", "XFE2", "A0"])
def test_a_cell_that_is_not_where_it_says_is_never_dropped(place):
    assert (
        expect_unreadable(
            make_workbook_from_xml(row_xml(2, text_cell_xml(place, "x"))), STREAMING_LIMITS
        )[0]
        == "damaged_file"
    )


# --- OpenDocument and old workbooks ------------------------------------------

OFFICE = "urn:oasis:names:tc:opendocument:xmlns"


def opendocument(rows: str, before: str = "") -> bytes:
    names = "".join(f' xmlns:{name}="{OFFICE}:{name}:1.0"' for name in ("office", "table", "text"))
    return zip_parts({
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "content.xml": f"{before}<office:document-content{names}><office:body>"
        f'<office:spreadsheet><table:table table:name="A">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>",
    })  # fmt: skip


def line(cells: str, **repeated: int) -> str:
    return f"<table:table-row{times('rows', **repeated)}>{cells}</table:table-row>"


def times(what: str, repeated: int = 1) -> str:
    return f' table:number-{what}-repeated="{repeated}"'


def of_text(text: str, **repeated: int) -> str:
    start = f'<table:table-cell{times("columns", **repeated)} office:value-type="string">'
    return f"{start}<text:p>{text}</text:p></table:table-cell>"


def test_blank_rows_without_end_are_too_many():
    content = opendocument(line(of_text('<text:s text:c="1"/>'), repeated=9 * 10**11))

    assert expect_unreadable(content) == ("too_many_rows", {"limit": LIMITS.rows})


def test_a_small_file_that_takes_long_is_given_little_time():
    spaces = of_text('<text:s text:c="60000000"/>').replace('"string"', '"float" office:value="1"')
    content = opendocument(line(spaces) * 300)

    assert expect_unreadable(content, replace(LIMITS, cpu_seconds=240)) == ("too_slow_to_read", {})


def test_what_an_opendocument_repeats_is_read_as_often():
    content = opendocument(line(of_text("x", repeated=2), repeated=2))

    assert read_rows(content) == [(1, ["x", "x"]), (2, ["x", "x"])]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (line(of_text("x", repeated=10**9)), "too_many_columns"),
        (line(of_text("x"), repeated=10**9), "too_many_rows"),
        (line(of_text("x"), repeated=0), "damaged_file"),
        (line(of_text("<text:span>" * 5_000 + "</text:span>" * 5_000)), "damaged_file"),
        ("<table:table-row>", "damaged_file"),
    ],
)
def test_an_opendocument_that_means_harm_ends_in_a_code(rows, code):
    assert expect_unreadable(opendocument(rows), replace(LIMITS, rows=5_000))[0] == code


def test_an_opendocument_may_not_declare_entities():
    declared = '<!DOCTYPE x [<!ENTITY a "b">]>'

    assert expect_unreadable(opendocument(line(of_text("&a;")), declared)) == ("damaged_file", {})
    spread = opendocument(line(of_text("x")), f"<!--{os.urandom(300_000).hex()}-->{declared}")
    assert expect_unreadable(spread) == ("damaged_file", {})


def test_rows_repeated_without_a_value_are_no_rows():
    blank = line("<table:table-cell/>", repeated=1_048_000)

    assert read_rows(opendocument(blank + line(of_text("x")))) == [(1_048_001, ["x"])]


@pytest.mark.parametrize("size", [0, 100, 512, 3_000, 100_000])
def test_an_old_workbook_of_noise_is_damaged_or_none(size):
    content = OLE2 + os.urandom(size)

    assert expect_unreadable(content)[0] in {"damaged_file", "not_a_spreadsheet"}


# --- What a picture among the parts declares is nobody's business ------------


@BOTH_PARSERS
def test_only_parts_that_are_parsed_are_looked_through(limits):
    picture = {"xl/media/logo.svg": "<!DOCTYPE svg><svg/>"}

    assert read_rows(
        make_workbook_from_xml(row_xml(1, text_cell_xml("A1", "x")), **picture), limits
    ) == [(1, ["x"])]


# --- Merged cells ------------------------------------------------------------


@BOTH_PARSERS
def test_more_merged_cells_than_anybody_merges_are_refused(limits):
    merged = "".join(f'<mergeCell ref="A{n}:A{n + 1}"/>' for n in range(1, 200_003, 2))
    content = make_workbook_parts(sheet_xml(row_xml(1, text_cell_xml("A1", "x"))))
    part = "xl/worksheets/sheet1.xml"
    content[part] = content[part].replace(
        "</sheetData>", f"</sheetData><mergeCells>{merged}</mergeCells>"
    )

    assert expect_unreadable(zip_parts(content), limits) == ("too_many_merged", {"limit": 100_000})


# --- Strings that cells share ------------------------------------------------


def test_shared_strings_are_bounded():
    small = replace(STREAMING_LIMITS, memory_bytes=150 * MB)

    def with_strings(count: int) -> bytes:
        strings = [f"<si><t>{os.urandom(200).hex() * 50}</t></si>" for _ in range(count)]
        return make_workbook_from_xml(row_xml(1, '<c t="s"><v>0</v></c>'), strings="".join(strings))

    assert read_rows(with_strings(1_000), small)
    assert expect_unreadable(with_strings(3_200), small) == ("too_much_memory", {})


def of_one_string(count: int, **parts: bytes) -> bytes:
    """A workbook whose every row shows the same string of 32,000 characters."""
    rows = [row_xml(n, f'<c r="A{n}" t="s"><v>0</v></c>') for n in range(1, count + 1)]
    return make_workbook_from_xml(
        *rows, strings=f"<si><t>{os.urandom(16_000).hex()}</t></si>", **parts
    )


def test_what_is_too_much_to_hold_is_streamed():
    small = replace(LIMITS, memory_bytes=80 * MB)  # Of which calamine may take 36.

    rows = read_rows(of_one_string(1_000), small, after=2)

    assert [number for number, _ in rows] == list(range(3, 1_001))
    assert {len(cells[0]) for _, cells in rows} == {32_000}


def test_what_leaves_no_memory_for_our_own_part_is_streamed_too():
    noise = "".join(f'<x a="{os.urandom(500).hex()}"/>' for _ in range(30_000))
    styles = f'<styleSheet xmlns="{MAIN_NS}">{noise}</styleSheet>'
    content = make_workbook_from_xml(
        row_xml(1, text_cell_xml("A1", "x")), **{"xl/styles.xml": styles}
    )

    assert read_rows(content, replace(LIMITS, memory_bytes=100 * MB)) == [(1, ["x"])]


@BOTH_PARSERS
def test_what_all_cells_hold_is_bounded_however_often_one_string_is_shown(limits):
    code, why = expect_unreadable(of_one_string(3_000), limits)

    assert (code, why["limit"]) == ("too_large_inflated", 32 * MB)
    assert why["bytes"] < 33 * MB


def test_what_all_cells_hold_is_bounded_by_the_files_size_and_by_what_it_may_unpack_to():
    of_a_megabyte = of_one_string(1_200, **{"xl/media/logo.png": os.urandom(MB)})

    assert len(read_rows(of_a_megabyte)) == 1_200
    assert (
        expect_unreadable(of_one_string(300), replace(LIMITS, inflated_bytes=MB))[1]["limit"] == MB
    )


@BOTH_PARSERS
def test_columns_without_a_value_are_not_counted_as_if_they_had_one(limits):
    wide = [
        row_xml(n, text_cell_xml(f"A{n}", "x"), text_cell_xml(f"NTP{n}", "z"))
        for n in range(1, 201)
    ]

    assert len(read_rows(make_workbook_from_xml(*wide), limits)) == 200
