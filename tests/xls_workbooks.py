"""Factories for .xls files of Excel 97 to 2003.

Some of the files have content that no real program writes.

Source: [MS-XLS] for the records, [MS-CFB] for the compound file around them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

SECTOR_BYTES = 512
MINI_STREAM_BYTES = 4_096  # A shorter stream would be stored in the mini stream.
FREE, END_OF_CHAIN, FAT_SECTOR = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
NO_ENTRY = 0xFFFFFFFF


def make_record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def make_xls_workbook(
    cells: dict[tuple[int, int], object],
    formats: Iterable[str] = (),
    *,
    builtin_formats: Iterable[int] = (),
    hidden_rows: Iterable[int] = (),
    flat_rows: Iterable[int] = (),
    hidden_columns: Iterable[int] = (),
    links: dict[tuple[int, int], str] | None = None,
    globals_more: bytes = b"",
    sheet_more: bytes = b"",
) -> bytes:
    """Return an .xls file of one sheet.

    cells, links: by row and column, both counted from 0. A number with a format is a pair of the
        number and the index of its format. The indices of builtin formats follow the others.
    hidden_rows, flat_rows, hidden_columns: indices. A flat row has the height 0.
    globals_more, sheet_more: records to add after those of the workbook and those of the sheet.
    """
    codes = list(formats)
    head = make_record(0x809, struct.pack("<HHHHII", 0x600, 5, 0xDBB, 0x7CC, 0x41, 6))
    font = struct.pack("<HHHHHBBBB", 200, 0, 0x7FFF, 400, 0, 0, 0, 0, 0)
    head += make_record(0x31, font + b"\x05\x00Arial") * 5
    for index, code in enumerate(codes):
        head += make_record(0x41E, struct.pack("<H", 164 + index) + _encode_text(code))
    for index in (0, *range(164, 164 + len(codes)), *builtin_formats):
        head += make_record(0xE0, struct.pack("<HHH", 0, index, 1) + bytes(14))
    # The offset of the sheet depends on the length of all records before it.
    bound = make_record(0x85, struct.pack("<IBB", 0, 0, 0) + b"\x09\x00Customers")
    position = len(head) + len(bound) + len(globals_more) + len(make_record(0xA))
    bound = make_record(0x85, struct.pack("<IBB", position, 0, 0) + b"\x09\x00Customers")
    sheet = make_record(0x809, struct.pack("<HHHHII", 0x600, 0x10, 0xDBB, 0x7CC, 0x41, 6))
    for column in hidden_columns:
        sheet += make_record(0x7D, struct.pack("<HHHHHH", column, column, 2_560, 0, 1, 0))
    for row in hidden_rows:
        sheet += make_record(0x208, struct.pack("<HHHHHHI", row, 0, 9, 255, 0, 0, 0x20))
    for row in flat_rows:
        sheet += make_record(0x208, struct.pack("<HHHHHHI", row, 0, 9, 0, 0, 0, 0x40))
    for (row, column), cell in sorted(cells.items()):
        sheet += _make_cell(row, column, cell)
    for (row, column), target in (links or {}).items():
        sheet += make_record(
            0x1B8, struct.pack("<HHHH", row, row, column, column) + _encode_link(target)
        )
    sheet += sheet_more + make_record(0xA)
    return make_compound_file(head + bound + globals_more + make_record(0xA) + sheet)


def _make_cell(row: int, column: int, cell: object) -> bytes:
    value, style = cell if isinstance(cell, tuple) else (cell, -1)
    position = struct.pack("<HHH", row, column, style + 1)
    if isinstance(value, bool):
        return make_record(0x205, position + bytes([value, 0]))
    if isinstance(value, bytes):  # The code of an error.
        return make_record(0x205, position + value + b"\1")
    if isinstance(value, str):
        return make_record(0x204, position + _encode_text(value))
    return make_record(0x203, position + struct.pack("<d", value))


def _encode_text(text: str) -> bytes:
    return struct.pack("<HB", len(text.encode("utf-16-le")) // 2, 1) + text.encode("utf-16-le")


def _encode_link(target: str) -> bytes:
    standard = bytes.fromhex("d0c9ea79f9bace118c8200aa004ba90b")
    moniker = bytes.fromhex("e0c9ea79f9bace118c8200aa004ba90b")
    address = (target + "\0").encode("utf-16-le")
    return standard + struct.pack("<II", 2, 3) + moniker + struct.pack("<I", len(address)) + address


def make_compound_file(stream: bytes) -> bytes:
    """Return a compound file with one stream, named Workbook.

    It has one sector for the allocation table and one for the directory.
    """
    stream = stream.ljust(MINI_STREAM_BYTES, b"\0")
    stream += bytes(-len(stream) % SECTOR_BYTES)
    count = len(stream) // SECTOR_BYTES
    chain = [FAT_SECTOR, END_OF_CHAIN, *range(3, 2 + count), END_OF_CHAIN]
    table = struct.pack("<128I", *chain, *[FREE] * (128 - len(chain)))
    root = _make_directory_entry("Root Entry", 5, END_OF_CHAIN, 0, child=1)
    book = _make_directory_entry("Workbook", 2, 2, len(stream))
    header = struct.pack(
        "<8s16sHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        bytes(16),
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        0,
        1,
        1,
        0,
        MINI_STREAM_BYTES,
        END_OF_CHAIN,
        0,
        END_OF_CHAIN,
        0,
    )
    header += struct.pack("<109I", 0, *[FREE] * 108)
    return header + table + (root + book).ljust(SECTOR_BYTES, b"\0") + stream


def _make_directory_entry(
    name: str, kind: int, start: int, size: int, child: int = NO_ENTRY
) -> bytes:
    named = (name + "\0").encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16sI8s8sIII",
        named,
        len(named),
        kind,
        1,
        NO_ENTRY,
        NO_ENTRY,
        child,
        bytes(16),
        0,
        bytes(8),
        bytes(8),
        start,
        size,
        0,
    )
