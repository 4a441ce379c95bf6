"""Files made for tests, also such as no real program writes, and reading them."""

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

MB = 1 << 20
LIMITS = ReaderLimits(
    memory_bytes=512 * MB,
    cpu_seconds=20,
    wall_seconds=30,
    inflated_bytes=400 * MB,
    rows=1_048_576,
    columns=16_384,
    cell_length=32_767,
    calamine_bytes=200 * MB,
)
STREAMING_LIMITS = replace(LIMITS, calamine_bytes=0)  # openpyxl reads it, whatever its size.
BOTH_PARSERS = pytest.mark.parametrize(
    "limits", [LIMITS, STREAMING_LIMITS], ids=["calamine", "openpyxl"]
)

MAIN_NS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS_NS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE_NS = "http://schemas.openxmlformats.org/package/2006"
CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def text_cell_xml(place: str, value: str, space: str = "preserve") -> str:
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="{space}">{value}</t></is></c>'


def row_xml(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


def sheet_xml(*rows: str, before: str = "", after: str = "", namespace: str = MAIN_NS) -> str:
    body = f"{before}<sheetData>{''.join(rows)}</sheetData>{after}"
    return f'<worksheet xmlns="{namespace}">{body}</worksheet>'


def make_workbook_from_xml(
    *rows: str, strings: str = "", before: str = "", **parts: str | bytes
) -> bytes:
    """A workbook of one sheet; `parts` replaces or adds whole parts by a short name."""
    return zip_parts(make_workbook_parts(sheet_xml(*rows, before=before), strings=strings) | parts)


def make_workbook_parts(
    sheet_xml: str, *, strings: str = "", formats: list[str] | None = None
) -> dict[str, str]:
    kinds = {"workbook": "sheet.main", "worksheets/sheet1": "worksheet"}
    kinds |= {"sharedStrings": "sharedStrings", "styles": "styles"}
    overrides = "".join(
        f'<Override PartName="/xl/{part}.xml" ContentType="{CONTENT_TYPE}.{kind}+xml"/>'
        for part, kind in kinds.items()
    )
    relations = "".join(
        f'<Relationship Id="rId{n}" Type="{RELATIONS_NS}/{kind}" Target="{part}.xml"/>'
        for n, (kind, part) in enumerate(
            {"worksheet": "worksheets/sheet1", "sharedStrings": "sharedStrings", "styles": "styles"}
            .items(), start=1
        )
    )  # fmt: skip
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
        "xl/styles.xml": styles_xml(formats or ["General"]),
        "xl/worksheets/sheet1.xml": sheet_xml,
    }


def link_relations_xml(targets: dict[str, str]) -> str:
    """The relations of a sheet whose links lead to these targets, by their ids."""
    links = "".join(
        f'<Relationship Id="{key}" Type="{RELATIONS_NS}/hyperlink" Target="{target}" '
        'TargetMode="External"/>'
        for key, target in targets.items()
    )
    return f'<Relationships xmlns="{PACKAGE_NS}/relationships">{links}</Relationships>'


def styles_xml(formats: list[str]) -> str:
    """Cell style n shows numbers in the n-th of these formats."""
    codes = [code.replace("&", "&amp;").replace('"', "&quot;").replace(">", "&gt;")
             for code in formats]  # fmt: skip
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


STRICT = (
    (MAIN_NS, "http://purl.oclc.org/ooxml/spreadsheetml/main"),
    (RELATIONS_NS, "http://purl.oclc.org/ooxml/officeDocument/relationships"),
)


def to_strict_parts(parts: dict[str, str]) -> dict[str, str]:
    """The parts of a workbook as "Strict Open XML Spreadsheet" writes them."""
    made = {}
    for name, part in parts.items():
        for transitional, namespace in STRICT:
            part = part.replace(transitional, namespace)
        made[name] = part
    return made


def make_xlsb_workbook(rows: dict[int, dict[int, object]], formats: list[str]) -> bytes:
    """An .xlsb of one sheet; a number in a format is a pair of the number and the format's index.

    Source: [MS-XLSB], 2.1.4 (records) and 2.4 (their content).
    """
    cells = b"".join(
        _record(0, struct.pack("<II", number - 1, 0) + bytes(17))
        + b"".join(_binary_cell(column, cell) for column, cell in sorted(row.items()))
        for number, row in rows.items()
    )
    width = max((max(row) for row in rows.values()), default=0)
    size = struct.pack("<IIII", min(rows) - 1, max(rows) - 1, 0, width)
    own = b"".join(
        _record(44, struct.pack("<H", 200 + n) + _wide(code)) for n, code in enumerate(formats)
    )
    styles = b"".join(
        _record(47, struct.pack("<HH", 0, number) + bytes(12))
        for number in (0, *range(200, 200 + len(formats)))
    )
    count = struct.pack("<I", len(formats))
    kind = "application/vnd.ms-excel."
    return zip_parts({
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE_NS}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="bin" ContentType="{kind}sheet.binary.macroEnabled.main"/>'
        f'<Override PartName="/xl/worksheets/sheet1.bin" ContentType="{kind}worksheet"/>'
        f'<Override PartName="/xl/styles.bin" ContentType="{kind}styles"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE_NS}/relationships"><Relationship Id="rId1" '
        f'Type="{RELATIONS_NS}/officeDocument" Target="xl/workbook.bin"/></Relationships>',
        "xl/workbook.bin": _record(131) + _record(153, bytes(12)) + _record(143)
        + _record(156, struct.pack("<II", 0, 1) + _wide("rId1") + _wide("Customers"))
        + _record(144) + _record(132),
        "xl/_rels/workbook.bin.rels": f'<Relationships xmlns="{PACKAGE_NS}/relationships">'
        f'<Relationship Id="rId1" Type="{RELATIONS_NS}/worksheet" Target="worksheets/sheet1.bin"/>'
        f'<Relationship Id="rId2" Type="{RELATIONS_NS}/styles" Target="styles.bin"/>'
        "</Relationships>",
        "xl/styles.bin": _record(278) + _record(615, count) + own + _record(616)
        + _record(617, struct.pack("<I", len(formats) + 1)) + styles + _record(618) + _record(279),
        "xl/worksheets/sheet1.bin": _record(129) + _record(148, size) + _record(145) + cells
        + _record(146) + _record(130),
    })  # fmt: skip


def _record(kind: int, content: bytes = b"") -> bytes:
    number = bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])
    size, length = len(content), b""
    while size >= 128:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return number + length + bytes([size]) + content


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text.encode("utf-16-le")) // 2) + text.encode("utf-16-le")


def _binary_cell(column: int, cell: object) -> bytes:
    number, style = cell if isinstance(cell, tuple) else (cell, -1)
    place = struct.pack("<II", column, style + 1)
    if isinstance(number, bool):
        return _record(4, place + bytes([number]))
    if isinstance(number, bytes):  # The code of an error.
        return _record(3, place + number)
    if isinstance(number, str):
        return _record(6, place + _wide(number))
    return _record(5, place + struct.pack("<d", number))


def zip_parts(parts: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read_file(
    content: bytes, limits: ReaderLimits = LIMITS, **options
) -> tuple[DetectedFormat, list, list[Chunk]]:
    with open_rows(io.BytesIO(content), limits=limits, **options) as reader:
        chunks = list(reader)
    return reader.detected_format, [row_xml for chunk in chunks for row_xml in chunk.rows], chunks


def read_rows(content: bytes, limits: ReaderLimits = LIMITS, **options) -> list:
    return read_file(content, limits, **options)[1]


def expect_unreadable(content: bytes, limits: ReaderLimits = LIMITS) -> tuple[str, dict]:
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


def make_long_csv(count: int) -> bytes:
    return "".join(f"mark {n},name\n\n" for n in range(count)).encode()
