"""All texts of a workbook are read within the limits, also those that are in no visible row."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import openpyxl
import pytest
from openpyxl.comments import Comment

from imports.pipeline.reader_client import UnreadableFile, open_texts
from tests.factories import make_csv
from tests.spreadsheets import (
    MEGABYTE,
    READER_LIMITS,
    make_row_xml,
    make_text_cell_xml,
    make_workbook,
    make_workbook_from_xml,
    make_xlsb_workbook,
    save_workbook,
    zip_parts,
)
from tests.xls_workbooks import make_record, make_xls_workbook

NAME = "Canary Mensah"
EMAIL = "canary@example.com"


def read_texts(content: bytes, limits=READER_LIMITS) -> dict[str, list[str]]:
    """Return the texts by the name of their part."""
    texts: dict[str, list[str]] = {}
    with open_texts(io.BytesIO(content), limits=limits) as parts:
        for part in parts:
            texts.setdefault(part.part_name, []).extend(part.texts)
    return texts


def list_texts(content: bytes) -> list[str]:
    return [text for texts in read_texts(content).values() for text in texts]


def make_workbook_with(part: str, name: str = "docProps/custom.xml", **more) -> bytes:
    return make_workbook_from_xml(make_row_xml(1, make_text_cell_xml("A1", "x")), **{name: part})


def make_ods(*, meta: str | bytes) -> bytes:
    return zip_parts({
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "content.xml": "<x>content</x>",
        "meta.xml": meta,
    })  # fmt: skip


def change_part(content: bytes, name: str, old: bytes, new: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    assert old in parts[name]
    return zip_parts(parts | {name: parts[name].replace(old, new, 1)})


def test_texts_of_hidden_sheets_comments_and_properties_are_read():
    book = openpyxl.Workbook()
    book.active.append(["visible"])
    book.active["A1"].comment = Comment("in a comment", "Author Mensah")
    hidden = book.create_sheet("Hidden sheet")
    hidden.append(["in a hidden sheet", 233244000001])
    hidden.sheet_state = "veryHidden"
    book.properties.creator = "in the properties"
    book.active.oddHeader.center.text = "in a header"

    texts = list_texts(save_workbook(book))

    for text in ("visible", "in a comment", "Author Mensah", "in a hidden sheet", "233244000001"):
        assert text in texts
    assert "in the properties" in texts
    assert "Hidden sheet" in texts
    assert any("in a header" in text for text in texts)


@pytest.mark.parametrize(
    "part",
    [
        f"<x>{NAME}</x>",
        f"<x><y/>{NAME}<y/></x>",
        f"<x y='{NAME}'/>",
        f"<!-- {NAME} --><x/>",
        f"<x><![CDATA[{NAME}]]></x>",
        "<x>Canary&#32;Mensah</x>",
        "<si><r><t>Canary M</t></r><r><rPr><b/><sz val='9'/></rPr><t>ensah</t></r></si>",
        "<si>\n <r>\n <t>Canary</t>\n </r>\n <r><t xml:space='preserve'> </t></r><r><t>Mensah</t>"
        "</r></si>",
        "<p>Canary<s/>Mensah</p>",
        "<o:p xmlns:o='urn:o'>Canary <o:span>Men</o:span>sah</o:p>",
        f"<x><t>Ama</t><t>{NAME}</t></x>",  # Two texts without a separator.
        f"<?xml version='1.0' encoding='utf-16'?><x>{NAME}</x>".encode("utf-16"),
        f"<br>{NAME}",  # Drawings of old programs are no XML.
        f"<!DOCTYPE x [<!ENTITY a 'b'>]><x>{NAME}</x>",
        f"no XML: {NAME}",
        NAME.encode("utf-16-le"),
        b"x" + NAME.encode("utf-16-le"),
        b"\0\1" + b"x" * 65_530 + b"\0" + NAME.encode() + b"\0" * 9,  # At the limit of a read.
    ],
)
def test_a_text_is_found_however_a_part_holds_it(part):
    if isinstance(part, bytes):
        content = make_workbook_with(part, "xl/part.bin")
    elif part.startswith("<!DOCTYPE"):  # Refused in the parts that a parser of rows opens.
        content = make_ods(meta=part)
    else:
        content = make_workbook_with(part)

    found = [text for text in list_texts(content) if NAME in text]

    assert found, "The value is in no text."


def test_a_text_longer_than_a_piece_is_read_in_pieces_that_overlap():
    letters = "".join(chr(0x100 + number % 400) for number in range(60_000))
    text = f"{letters[:32_760]}{NAME}{letters}"
    limits = replace(READER_LIMITS, cell_length=32_767)

    texts = read_texts(make_workbook_with(f"<x>{text}</x>"), limits)["docProps/custom.xml"]

    assert any(NAME in piece for piece in texts)
    assert max(map(len, texts)) <= 32_767


def test_texts_of_opendocument_files_are_read():
    with open("tests/corpus/libreoffice.ods", "rb") as file:
        content = file.read()
    hidden = f"<table:table table:name='H' table:display='false'><text:p>{NAME}</text:p>"
    content = change_part(
        content,
        "content.xml",
        b"</office:spreadsheet>",
        f"{hidden}</table:table></office:spreadsheet>".encode(),
    )

    assert NAME in read_texts(content)["content.xml"]


@pytest.mark.parametrize("encoded", [NAME.encode("latin-1"), NAME.encode("utf-16-le")])
def test_texts_of_old_workbooks_are_read(encoded):
    note = make_record(0x3C, b"\0" + encoded)
    content = make_xls_workbook({(0, 0): "x"}, sheet_more=note)

    assert any(NAME in text for text in list_texts(content))


def test_texts_of_binary_workbooks_are_read():
    assert any(NAME in text for text in list_texts(make_xlsb_workbook({1: {0: NAME}}, [])))


def test_text_files_have_no_texts_beside_their_rows():
    assert read_texts(make_csv([[NAME]])) == {}


# --- Hostile files -------------------------------------------------------------


def expect_error(content: bytes, limits=READER_LIMITS) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_texts(content, limits)
    return caught.value.code


def test_an_archive_in_the_workbook_is_an_error_after_all_other_texts():
    content = make_workbook_with(make_workbook([NAME]), "xl/embeddings/book.xlsx")
    parts = []

    with (
        open_texts(io.BytesIO(content), limits=READER_LIMITS) as texts,
        pytest.raises(UnreadableFile, match="compressed_file"),
    ):
        parts.extend(part.part_name for part in texts)

    assert "xl/worksheets/sheet1.xml" in parts


def test_a_bomb_is_refused_before_it_is_parsed():
    assert expect_error(make_workbook_with("<x>" + "a" * 40 * MEGABYTE)) == "too_large_inflated"


def test_all_texts_together_are_limited():
    texts = "".join(f"<x>{'ab' * 500}{number}</x>" for number in range(9_000))
    limits = replace(READER_LIMITS, inflated_bytes=10 * MEGABYTE)

    assert list_texts(make_workbook_with(f"<y>{texts[:100_000]}</y>"))
    assert expect_error(make_workbook_with(f"<y>{texts * 2}</y>"), limits) == "too_large_inflated"


@pytest.mark.parametrize(
    "part",
    [
        "<x>" * 200_000,
        "<x " + " ".join(f"a{number}='{number}'" for number in range(50_000)) + "/>",
        "<x><!-- " + " ".join(map(str, range(500_000))),
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>"
        + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10 if n else '&a;'}'>" for n in range(9))
        + "]><x>&a8;</x>",
        b"\xff\xfe<" + bytes(range(256)) * 4_000,
    ],
)
def test_a_hostile_part_ends_in_time(part):
    assert "content" in read_texts(make_ods(meta=part))["content.xml"]


def test_an_encrypted_workbook_is_an_error():
    with open("tests/corpus/password.xlsx", "rb") as file:
        assert expect_error(file.read()) == "encrypted_file"
