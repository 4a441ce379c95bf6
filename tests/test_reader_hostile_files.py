"""Hostile and damaged files: reading each ends with an error code within seconds."""

from __future__ import annotations

import io
import itertools
import os
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from imports.cell_values import ShortenedText
from imports.pipeline.reader_client import open_rows
from tests.factories import make_csv
from tests.spreadsheets import (
    MAIN_NS,
    MEGABYTE,
    OLE2_SIGNATURE,
    READER_LIMITS,
    STREAMING_LIMITS,
    expect_unreadable,
    for_both_parsers,
    make_row_xml,
    make_sheet_xml,
    make_text_cell_xml,
    make_workbook,
    make_workbook_from_xml,
    make_workbook_parts,
    read_rows,
    zip_parts,
)  # fmt: skip

READER = Path(__file__).resolve().parents[1] / "imports" / "pipeline" / "reader"

# --- File types --------------------------------------------------------------

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
        ("encrypted_file", OLE2_SIGNATURE + bytes(2_000) + "EncryptedPackage".encode("utf-16-le")),
        ("damaged_file", OLE2_SIGNATURE + bytes(2_000) + "Workbook".encode("utf-16-le")),
        ("damaged_file", make_workbook(["a"])[:-40]),
        ("damaged_file", make_workbook(["a"])[:300]),
        ("damaged_file", make_workbook_from_xml("<row r='1'><c")),
        ("damaged_file", make_workbook_from_xml(make_row_xml(1, '<c t="s"><v>5</v></c>'))),
        ("damaged_file", b"PK\x03\x04" + b"nonsense" * 20),
        ("unknown_encoding", b"name\nZo\x81\x8d\n"),
        ("unknown_encoding", b"\xff\xfea\0b"),
    ],
)
def test_file_that_is_not_a_spreadsheet_is_recognised_by_its_content(code, content):
    assert expect_unreadable(content)[0] == code


def test_many_html_comments_are_checked_in_linear_time():
    content = b"<!---->" * 2_000 + b"x"

    assert len(read_rows(content)) == 1


def test_encrypted_archive_is_unreadable():
    content = bytearray(make_workbook(["a"]))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1

    assert expect_unreadable(bytes(content)) == ("encrypted_file", {})


@pytest.mark.parametrize("limits", [READER_LIMITS, STREAMING_LIMITS])
@pytest.mark.parametrize(
    ("changed", "code", "params"),
    [
        ({"rows": 2}, "too_many_rows", {"limit": 2}),
        ({"columns": 2}, "too_many_columns", {"row": 3, "limit": 2}),
        ({"inflated_bytes": 999}, "too_large_inflated", None),
    ],
)
def test_workbook_over_a_limit_is_unreadable(limits, changed, code, params):
    content = make_workbook(["a"], ["b"], ["c", None, "long enough"])

    error_code, error_params = expect_unreadable(content, replace(limits, **changed))

    assert error_code == code
    assert params is None or error_params == params


@pytest.mark.parametrize(
    ("changed", "code", "params"),
    [
        ({"rows": 2}, "too_many_rows", {"limit": 2}),
        ({"columns": 2}, "too_many_columns", {"row": 3, "limit": 2}),
    ],
)
def test_csv_file_over_a_limit_is_unreadable(changed, code, params):
    assert expect_unreadable(b"a\nb\nc,,long enough\n", replace(READER_LIMITS, **changed)) == (
        code,
        params,
    )


@for_both_parsers
@pytest.mark.parametrize("make", [make_workbook, lambda *rows: make_csv(rows, headers=None)])
def test_long_cell_is_shortened_and_its_row_is_noted(limits, make):
    content = make(["a"], ["b"], ["c", None, "long enough"])

    with open_rows(io.BytesIO(content), limits=replace(limits, cell_length=9)) as reader:
        chunk = next(iter(reader))

    assert chunk.list_rows() == [(1, ["a"]), (2, ["b"]), (3, ["c", None, "long enou"])]
    assert type(chunk.list_rows()[2][1][2]) is ShortenedText
    assert chunk.list_rows()[2][1][2].length == 11
    assert chunk.notes == {"cell_shortened": [3]}


@for_both_parsers
def test_row_of_many_long_cells_is_unreadable(limits):
    content = make_workbook([os.urandom(15_000).hex()] * 40)

    assert expect_unreadable(content, limits) == ("row_too_long", {"row": 1, "limit": 1_000_000})


def test_endless_line_is_unreadable():
    assert expect_unreadable(b"a,b\n" + b"xyz," * 500_000)[0] == "too_many_columns"
    assert expect_unreadable(b"a,b\n" + b"x" * 9_000_000)[0] == "row_too_long"
    assert expect_unreadable(b'a,b\n"' + b"xyz,\n" * 500_000)[0] == "unclosed_quote"
    assert expect_unreadable(b'a,b\n"' + b"xyz,\n" * 2_000_000)[0] == "unclosed_quote"


# --- Decompression bombs -----------------------------------------------------


def replace_declared_size(content: bytes, name: str) -> bytes:
    """Make the directory of the archive declare a size of ten bytes for the part."""
    changed = bytearray(content)
    for mark, size_at, name_at in ((b"PK\x01\x02", 24, 46), (b"PK\x03\x04", 22, 30)):
        position = -1
        while (position := content.find(mark, position + 1)) >= 0:
            if content[position + name_at :].startswith(name.encode()):
                changed[position + size_at : position + size_at + 4] = struct.pack("<I", 10)
    return bytes(changed)


def make_archive_with_many_entries() -> bytes:
    buffer = io.BytesIO(make_workbook(["a"]))
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(10_000):
            archive.writestr(str(number), b"")
    return buffer.getvalue()


def make_entity_attack(kind: str) -> bytes:
    entities = '<!ENTITY a "lol">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in itertools.pairwise("abcdefghij")
    )
    if kind == "external":
        entities = '<!ENTITY j SYSTEM "file:///etc/passwd">'
    cells = make_sheet_xml(make_row_xml(1, '<c r="A1" t="inlineStr"><is><t>&j;</t></is></c>'))
    return zip_parts(make_workbook_parts(f"<!DOCTYPE x [{entities}]>{cells}"))


@for_both_parsers
@pytest.mark.parametrize("kind", ["laughs", "external"])
def test_workbook_with_entities_is_unreadable(limits, kind):
    assert expect_unreadable(make_entity_attack(kind), limits) == ("damaged_file", {})


def test_entity_declaration_makes_a_streamed_workbook_unreadable():
    sheet_xml = make_sheet_xml(make_row_xml(1, make_text_cell_xml("A1", "x")))
    declared = f'<!DOCTYPE x [<!ENTITY a "b">]>{sheet_xml}'

    assert expect_unreadable(zip_parts(make_workbook_parts(declared)), STREAMING_LIMITS) == (
        "damaged_file",
        {},
    )


@for_both_parsers
def test_wrong_declared_size_is_detected(limits):
    content = make_workbook_from_xml(
        *[make_row_xml(n, make_text_cell_xml(f"A{n}", "x" * 90)) for n in range(1, 2_000)]
    )

    lying = replace_declared_size(content, "xl/worksheets/sheet1.xml")
    assert expect_unreadable(lying, limits) == ("damaged_file", {})


def test_decompression_bombs_are_unreadable():
    blank = make_workbook_from_xml(make_row_xml(1, make_text_cell_xml("A1", " " * 50 * MEGABYTE)))

    assert expect_unreadable(blank)[0] == "too_large_inflated"
    assert expect_unreadable(make_archive_with_many_entries())[0] == "too_large_inflated"
    assert (
        "bytes"
        in expect_unreadable(make_workbook(["a"]), replace(READER_LIMITS, inflated_bytes=999))[1]
    )


@for_both_parsers
def test_cell_in_the_last_row_and_column_breaks_the_column_limit(limits):
    content = make_workbook_from_xml(
        make_row_xml(1, make_text_cell_xml("A1", "a")),
        make_row_xml(1_048_576, make_text_cell_xml("XFD1048576", "z")),
    )

    assert expect_unreadable(content, replace(limits, columns=200)) == (
        "too_many_columns",
        {"row": 1_048_576, "limit": 200},
    )


def test_row_out_of_order_is_never_dropped():
    content = make_workbook_from_xml(
        make_row_xml(3, make_text_cell_xml("A3", "c")),
        make_row_xml(1, make_text_cell_xml("A1", "a")),
    )

    assert read_rows(content) == [(1, ["a"]), (3, ["c"])]
    assert expect_unreadable(content, STREAMING_LIMITS)[0] == "damaged_file"


def test_invalid_index_of_a_shared_string_is_damage():
    content = make_workbook_from_xml(
        make_row_xml(1, '<c t="s"><v>-1</v></c>'), strings="<si><t>last</t></si>"
    )

    assert expect_unreadable(content, STREAMING_LIMITS)[0] == "damaged_file"


@pytest.mark.parametrize("reference", ["B7", "XFE2", "A0"])
def test_cell_with_an_invalid_reference_is_damage(reference):
    assert (
        expect_unreadable(
            make_workbook_from_xml(make_row_xml(2, make_text_cell_xml(reference, "x"))),
            STREAMING_LIMITS,
        )[0]
        == "damaged_file"
    )


# --- OpenDocument and .xls files ---------------------------------------------

OFFICE = "urn:oasis:names:tc:opendocument:xmlns"


def make_ods(rows: str, before: str = "") -> bytes:
    names = "".join(f' xmlns:{name}="{OFFICE}:{name}:1.0"' for name in ("office", "table", "text"))
    return zip_parts({
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "content.xml": f"{before}<office:document-content{names}><office:body>"
        f'<office:spreadsheet><table:table table:name="A">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>",
    })  # fmt: skip


def ods_row_xml(cells: str, **repeated: int) -> str:
    return f"<table:table-row{repeat_attribute('rows', **repeated)}>{cells}</table:table-row>"


def repeat_attribute(what: str, repeated: int = 1) -> str:
    return f' table:number-{what}-repeated="{repeated}"'


def ods_cell_xml(text: str, **repeated: int) -> str:
    start = (
        f'<table:table-cell{repeat_attribute("columns", **repeated)} office:value-type="string">'
    )
    return f"{start}<text:p>{text}</text:p></table:table-cell>"


def test_endless_blank_rows_are_too_many_rows():
    content = make_ods(ods_row_xml(ods_cell_xml('<text:s text:c="1"/>'), repeated=9 * 10**11))

    assert expect_unreadable(content) == ("too_many_rows", {"limit": READER_LIMITS.rows})


def test_small_file_gets_little_cpu_time():
    spaces = ods_cell_xml('<text:s text:c="60000000"/>').replace(
        '"string"', '"float" office:value="1"'
    )
    content = make_ods(ods_row_xml(spaces) * 300)

    assert expect_unreadable(content, replace(READER_LIMITS, cpu_seconds=240)) == (
        "too_slow_to_read",
        {},
    )


def test_repeated_rows_and_cells_of_an_opendocument_are_read():
    content = make_ods(ods_row_xml(ods_cell_xml("x", repeated=2), repeated=2))

    assert read_rows(content) == [(1, ["x", "x"]), (2, ["x", "x"])]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (ods_row_xml(ods_cell_xml("x", repeated=10**9)), "too_many_columns"),
        (ods_row_xml(ods_cell_xml("x"), repeated=10**9), "too_many_rows"),
        (ods_row_xml(ods_cell_xml("x"), repeated=0), "damaged_file"),
        (ods_row_xml(ods_cell_xml("<text:span>" * 5_000 + "</text:span>" * 5_000)), "damaged_file"),
        ("<table:table-row>", "damaged_file"),
    ],
)
def test_hostile_opendocument_is_unreadable(rows, code):
    assert expect_unreadable(make_ods(rows), replace(READER_LIMITS, rows=5_000))[0] == code


def test_opendocument_with_an_entity_declaration_is_unreadable():
    declared = '<!DOCTYPE x [<!ENTITY a "b">]>'

    assert expect_unreadable(make_ods(ods_row_xml(ods_cell_xml("&a;")), declared)) == (
        "damaged_file",
        {},
    )
    spread = make_ods(
        ods_row_xml(ods_cell_xml("x")), f"<!--{os.urandom(300_000).hex()}-->{declared}"
    )
    assert expect_unreadable(spread) == ("damaged_file", {})


def test_repeated_empty_rows_are_skipped():
    blank = ods_row_xml("<table:table-cell/>", repeated=1_048_000)

    assert read_rows(make_ods(blank + ods_row_xml(ods_cell_xml("x")))) == [(1_048_001, ["x"])]


@pytest.mark.parametrize("size", [0, 100, 512, 3_000, 100_000])
def test_xls_file_of_random_bytes_is_unreadable(size):
    content = OLE2_SIGNATURE + os.urandom(size)

    assert expect_unreadable(content)[0] in {"damaged_file", "not_a_spreadsheet"}


# --- Parts that no parser opens ----------------------------------------------


@for_both_parsers
def test_doctype_in_an_image_of_the_workbook_is_ignored(limits):
    picture = {"xl/media/logo.svg": "<!DOCTYPE svg><svg/>"}

    assert read_rows(
        make_workbook_from_xml(make_row_xml(1, make_text_cell_xml("A1", "x")), **picture), limits
    ) == [(1, ["x"])]


# --- Merged cells ------------------------------------------------------------


@for_both_parsers
def test_too_many_merged_cells_are_unreadable(limits):
    merged = "".join(f'<mergeCell ref="A{n}:A{n + 1}"/>' for n in range(1, 200_003, 2))
    content = make_workbook_parts(make_sheet_xml(make_row_xml(1, make_text_cell_xml("A1", "x"))))
    part = "xl/worksheets/sheet1.xml"
    content[part] = content[part].replace(
        "</sheetData>", f"</sheetData><mergeCells>{merged}</mergeCells>"
    )

    assert expect_unreadable(zip_parts(content), limits) == ("too_many_merged", {"limit": 100_000})


# --- Shared strings ----------------------------------------------------------


def test_memory_of_shared_strings_is_limited():
    small = replace(STREAMING_LIMITS, memory_bytes=150 * MEGABYTE)

    def make_workbook_with_strings(count: int) -> bytes:
        strings = [f"<si><t>{os.urandom(200).hex() * 50}</t></si>" for _ in range(count)]
        return make_workbook_from_xml(
            make_row_xml(1, '<c t="s"><v>0</v></c>'), strings="".join(strings)
        )

    assert read_rows(make_workbook_with_strings(1_000), small)
    assert expect_unreadable(make_workbook_with_strings(3_200), small) == ("too_much_memory", {})


def make_workbook_of_one_string(count: int, **parts: bytes) -> bytes:
    """Return a workbook in which every row shows the same string of 32,000 characters."""
    rows = [make_row_xml(n, f'<c r="A{n}" t="s"><v>0</v></c>') for n in range(1, count + 1)]
    return make_workbook_from_xml(
        *rows, strings=f"<si><t>{os.urandom(16_000).hex()}</t></si>", **parts
    )


def test_workbook_that_does_not_fit_in_memory_is_streamed():
    small = replace(READER_LIMITS, memory_bytes=80 * MEGABYTE)  # calamine may take 36 MB of it.

    rows = read_rows(make_workbook_of_one_string(1_000), small, after=2)

    assert [number for number, _ in rows] == list(range(3, 1_001))
    assert {len(cells[0]) for _, cells in rows} == {32_000}


def test_workbook_with_large_styles_is_streamed():
    noise = "".join(f'<x a="{os.urandom(500).hex()}"/>' for _ in range(30_000))
    styles = f'<styleSheet xmlns="{MAIN_NS}">{noise}</styleSheet>'
    content = make_workbook_from_xml(
        make_row_xml(1, make_text_cell_xml("A1", "x")), **{"xl/styles.xml": styles}
    )

    assert read_rows(content, replace(READER_LIMITS, memory_bytes=100 * MEGABYTE)) == [(1, ["x"])]


@for_both_parsers
def test_characters_of_all_cells_are_limited(limits):
    code, params = expect_unreadable(make_workbook_of_one_string(3_000), limits)

    assert (code, params["limit"]) == ("too_large_inflated", 32 * MEGABYTE)
    assert params["bytes"] < 33 * MEGABYTE


def test_limit_on_all_characters_follows_the_file_size():
    of_a_megabyte = make_workbook_of_one_string(
        1_200, **{"xl/media/logo.png": os.urandom(MEGABYTE)}
    )

    assert len(read_rows(of_a_megabyte)) == 1_200
    assert (
        expect_unreadable(
            make_workbook_of_one_string(300), replace(READER_LIMITS, inflated_bytes=MEGABYTE)
        )[1]["limit"]
        == MEGABYTE
    )


@for_both_parsers
def test_empty_columns_count_as_few_characters(limits):
    wide = [
        make_row_xml(n, make_text_cell_xml(f"A{n}", "x"), make_text_cell_xml(f"NTP{n}", "z"))
        for n in range(1, 201)
    ]

    assert len(read_rows(make_workbook_from_xml(*wide), limits)) == 200


def test_openpyxl_is_not_used_without_defusedxml():
    done = subprocess.run(
        [sys.executable, "-c", "import xlsx_stream_reader"],
        cwd=READER,
        env={"PYTHONPATH": str(READER), "OPENPYXL_DEFUSEDXML": "False"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "openpyxl reads XML without defusedxml" in done.stderr
