"""Factories for spreadsheet files, and functions that read them.

Some of the files have content that no real program writes.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import replace

import openpyxl
import pytest

from imports.pipeline.reader_client import (
    Chunk,
    DetectedFormat,
    ReaderLimits,
    UnreadableFile,
    open_rows,
)

MEGABYTE = 1 << 20
READER_LIMITS = ReaderLimits(
    memory_bytes=512 * MEGABYTE,
    cpu_seconds=20,
    wall_seconds=30,
    inflated_bytes=400 * MEGABYTE,
    rows=1_048_576,
    columns=16_384,
    cell_length=32_767,
    calamine_bytes=200 * MEGABYTE,
)
STREAMING_LIMITS = replace(READER_LIMITS, calamine_bytes=0)  # openpyxl reads every workbook.
for_both_parsers = pytest.mark.parametrize(
    "limits", [READER_LIMITS, STREAMING_LIMITS], ids=["calamine", "openpyxl"]
)

MAIN_NS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS_NS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE_NS = "http://schemas.openxmlformats.org/package/2006"
CONTENT_TYPE_PREFIX = "application/vnd.openxmlformats-officedocument.spreadsheetml"
OLE2_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def make_text_cell_xml(reference: str, value: str, space: str = "preserve") -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t xml:space="{space}">{value}</t></is></c>'


def make_row_xml(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


def make_sheet_xml(*rows: str, before: str = "", after: str = "", namespace: str = MAIN_NS) -> str:
    body = f"{before}<sheetData>{''.join(rows)}</sheetData>{after}"
    return f'<worksheet xmlns="{namespace}">{body}</worksheet>'


def make_workbook_from_xml(
    *rows: str, strings: str = "", before: str = "", **parts: str | bytes
) -> bytes:
    """Return a workbook of one sheet.

    parts: parts of the archive that are added or replaced, by name.
    """
    return zip_parts(
        make_workbook_parts(make_sheet_xml(*rows, before=before), strings=strings) | parts
    )


def make_workbook_parts(
    sheet_xml: str, *, strings: str = "", formats: list[str] | None = None
) -> dict[str, str]:
    kinds = {"workbook": "sheet.main", "worksheets/sheet1": "worksheet"}
    kinds |= {"sharedStrings": "sharedStrings", "styles": "styles"}
    overrides = "".join(
        f'<Override PartName="/xl/{part}.xml" ContentType="{CONTENT_TYPE_PREFIX}.{kind}+xml"/>'
        for part, kind in kinds.items()
    )
    relations = "".join(
        f'<Relationship Id="rId{n}" Type="{RELATIONS_NS}/{kind}" Target="{part}.xml"/>'
        for n, (kind, part) in enumerate(
            {
                "worksheet": "worksheets/sheet1",
                "sharedStrings": "sharedStrings",
                "styles": "styles",
            }.items(),
            start=1,
        )
    )
    return {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE_NS}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE_NS}/relationships"><Relationship Id="rId1" '
        f'Type="{RELATIONS_NS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN_NS}" xmlns:r="{RELATIONS_NS}"><sheets>'
        '<sheet name="Customers" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE_NS}/relationships">'
        f"{relations}</Relationships>",
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN_NS}">{strings}</sst>',
        "xl/styles.xml": make_styles_xml(formats or ["General"]),
        "xl/worksheets/sheet1.xml": sheet_xml,
    }


def make_link_relations_xml(targets: dict[str, str]) -> str:
    """Return the relations part of a sheet with links.

    targets: the target of each relation id.
    """
    links = "".join(
        f'<Relationship Id="{key}" Type="{RELATIONS_NS}/hyperlink" Target="{target}" '
        'TargetMode="External"/>'
        for key, target in targets.items()
    )
    return f'<Relationships xmlns="{PACKAGE_NS}/relationships">{links}</Relationships>'


def make_styles_xml(formats: list[str]) -> str:
    """Return a styles part in which cell style n uses the n-th of these formats."""
    codes = [
        code.replace("&", "&amp;").replace('"', "&quot;").replace(">", "&gt;") for code in formats
    ]
    own = "".join(f'<numFmt numFmtId="{200 + n}" formatCode="{c}"/>' for n, c in enumerate(codes))
    uses = "".join(
        f'<xf numFmtId="{200 + n}" fontId="0" fillId="0" borderId="0" xfId="0" '
        'applyNumberFormat="1"/>'
        for n in range(len(codes))
    )
    return (
        f'<styleSheet xmlns="{MAIN_NS}"><numFmts count="{len(codes)}">{own}</numFmts>'
        '<fonts count="1"><font/></fonts><fills count="1"><fill/></fills>'
        '<borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/>'
        f'</cellStyleXfs><cellXfs count="{len(codes)}">{uses}</cellXfs></styleSheet>'
    )


STRICT_NAMESPACES = (
    (MAIN_NS, "http://purl.oclc.org/ooxml/spreadsheetml/main"),
    (RELATIONS_NS, "http://purl.oclc.org/ooxml/officeDocument/relationships"),
)


def convert_to_strict_parts(parts: dict[str, str]) -> dict[str, str]:
    """Return the parts of a workbook as Excel saves them in "Strict Open XML Spreadsheet"."""
    made = {}
    for name, part in parts.items():
        for transitional, namespace in STRICT_NAMESPACES:
            part = part.replace(transitional, namespace)
        made[name] = part
    return made


def make_xlsb_workbook(rows: dict[int, dict[int, object]], formats: list[str]) -> bytes:
    """Return an .xlsb file of one sheet.

    rows: row number to column index to cell. A number with a format is a pair of the number and the
        index of its format.

    Source: [MS-XLSB], 2.1.4 (records) and 2.4 (their content).
    """
    cells = b"".join(
        _make_record(0, struct.pack("<II", number - 1, 0) + bytes(17))
        + b"".join(_make_binary_cell(column, cell) for column, cell in sorted(row.items()))
        for number, row in rows.items()
    )
    width = max((max(row) for row in rows.values()), default=0)
    size = struct.pack("<IIII", min(rows) - 1, max(rows) - 1, 0, width)
    own = b"".join(
        _make_record(44, struct.pack("<H", 200 + n) + _encode_wide_text(code))
        for n, code in enumerate(formats)
    )
    styles = b"".join(
        _make_record(47, struct.pack("<HH", 0, number) + bytes(12))
        for number in (0, *range(200, 200 + len(formats)))
    )
    count = struct.pack("<I", len(formats))
    kind = "application/vnd.ms-excel."
    return zip_parts(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE_NS}/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Default Extension="bin" ContentType="{kind}sheet.binary.macroEnabled.main"/>'
            f'<Override PartName="/xl/worksheets/sheet1.bin" ContentType="{kind}worksheet"/>'
            f'<Override PartName="/xl/styles.bin" ContentType="{kind}styles"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE_NS}/relationships">'
            f'<Relationship Id="rId1" Type="{RELATIONS_NS}/officeDocument" '
            'Target="xl/workbook.bin"/></Relationships>',
            "xl/workbook.bin": _make_record(131)
            + _make_record(153, bytes(12))
            + _make_record(143)
            + _make_record(
                156,
                struct.pack("<II", 0, 1)
                + _encode_wide_text("rId1")
                + _encode_wide_text("Customers"),
            )
            + _make_record(144)
            + _make_record(132),
            "xl/_rels/workbook.bin.rels": f'<Relationships xmlns="{PACKAGE_NS}/relationships">'
            f'<Relationship Id="rId1" Type="{RELATIONS_NS}/worksheet" '
            'Target="worksheets/sheet1.bin"/>'
            f'<Relationship Id="rId2" Type="{RELATIONS_NS}/styles" Target="styles.bin"/>'
            "</Relationships>",
            "xl/styles.bin": _make_record(278)
            + _make_record(615, count)
            + own
            + _make_record(616)
            + _make_record(617, struct.pack("<I", len(formats) + 1))
            + styles
            + _make_record(618)
            + _make_record(279),
            "xl/worksheets/sheet1.bin": _make_record(129)
            + _make_record(148, size)
            + _make_record(145)
            + cells
            + _make_record(146)
            + _make_record(130),
        }
    )


def _make_record(kind: int, content: bytes = b"") -> bytes:
    number = bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])
    size, length = len(content), b""
    while size >= 128:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return number + length + bytes([size]) + content


def _encode_wide_text(text: str) -> bytes:
    return struct.pack("<I", len(text.encode("utf-16-le")) // 2) + text.encode("utf-16-le")


def _make_binary_cell(column: int, cell: object) -> bytes:
    number, style = cell if isinstance(cell, tuple) else (cell, -1)
    position = struct.pack("<II", column, style + 1)
    if isinstance(number, bool):
        return _make_record(4, position + bytes([number]))
    if isinstance(number, bytes):  # The code of an error.
        return _make_record(3, position + number)
    if isinstance(number, str):
        return _make_record(6, position + _encode_wide_text(number))
    return _make_record(5, position + struct.pack("<d", number))


def zip_parts(parts: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read_file(
    content: bytes, limits: ReaderLimits = READER_LIMITS, **options
) -> tuple[DetectedFormat, list, list[Chunk]]:
    """Return the detected format, the rows and the chunks of a file."""
    with open_rows(io.BytesIO(content), limits=limits, **options) as reader:
        chunks = list(reader)
    return reader.detected_format, [row for chunk in chunks for row in chunk.list_rows()], chunks


def read_rows(content: bytes, limits: ReaderLimits = READER_LIMITS, **options) -> list:
    return read_file(content, limits, **options)[1]


def expect_unreadable(content: bytes, limits: ReaderLimits = READER_LIMITS) -> tuple[str, dict]:
    """Check that the file is unreadable. Return the code and the parameters of the error."""
    with pytest.raises(UnreadableFile) as caught:
        read_file(content, limits)
    return caught.value.code, caught.value.params


def save_workbook(book: openpyxl.Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def make_workbook(*rows: list) -> bytes:
    book = openpyxl.Workbook()
    for cells in rows:
        book.active.append(cells)
    return save_workbook(book)


def make_csv_with_blank_lines(count: int) -> bytes:
    return "".join(f"mark {n},name\n\n" for n in range(count)).encode()
