"""Error cells such as #REF!, which calamine gives as empty ones: looked up in the sheet's XML.

Only what is certain counts. Where a mark of an error is not plainly a cell with a place and a
text, nothing is said, and openpyxl reads the workbook.
"""

import posixpath
import re
import zipfile
from html import unescape
from io import BufferedReader

MARKS = (b't="e"', b"t='e'")
MARK = re.compile(rb"""\st=["']e["']""")
PLACE = re.compile(rb"""\sr=["']([A-Z]{1,3})([0-9]{1,7})["']""")
VALUE = re.compile(rb"<v>([^<]*)</v>")
CELL_BEGINS, CELL_ENDS = b"<c ", b"</c>"
PIECE_BYTES = 1 << 18

# Row to column to text; both are counted as a person does and as a list does: 1 and 0.
Errors = dict[int, dict[int, str]]


def error_cells(file: BufferedReader, sheet: int) -> Errors | None:
    """The errors of the workbook's sheet at this position, or None if that is not certain."""
    with zipfile.ZipFile(file) as archive:
        part = _part_of(archive, sheet)
        return None if part is None else _errors_in(archive, part)


def _part_of(archive: zipfile.ZipFile, sheet: int) -> str | None:
    """Which part of the archive holds the sheet."""
    from defusedxml.ElementTree import fromstring

    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= set(archive.namelist()):
        return None
    book = fromstring(archive.read("xl/workbook.xml"))
    sheets = [element for element in book.iter() if element.tag.endswith("}sheet")]
    ids = [v for name, v in sheets[sheet].attrib.items() if name.endswith("relationships}id")]
    for relation in fromstring(archive.read("xl/_rels/workbook.xml.rels")):
        if [relation.get("Id")] == ids:
            return posixpath.normpath(posixpath.join("/xl", relation.get("Target")))[1:]
    return None


def _errors_in(archive: zipfile.ZipFile, part: str) -> Errors | None:
    errors: Errors = {}
    rest = b""
    with archive.open(part) as source:
        while piece := source.read(PIECE_BYTES):
            whole, rest = _whole_cells(rest + piece)
            if any(mark in whole for mark in MARKS) and not _collect(whole, errors):
                return None
    return None if any(mark in rest for mark in MARKS) else errors


def _whole_cells(xml: bytes) -> tuple[bytes, bytes]:
    """Cut behind the last cell that has ended."""
    end = xml.rfind(CELL_ENDS) + len(CELL_ENDS) if CELL_ENDS in xml else len(xml) - PIECE_BYTES
    return xml[: max(end, 0)], xml[max(end, 0) :]


def _collect(xml: bytes, errors: Errors) -> bool:
    """Add the errors of some cells; False where one is not plain to see."""
    for mark in MARK.finditer(xml):
        begin, end = xml.rfind(CELL_BEGINS, 0, mark.start() + 1), xml.find(CELL_ENDS, mark.end())
        cell = xml[begin:end]
        head, _, body = cell.partition(b">")
        place, value = PLACE.search(head), VALUE.findall(body)
        if begin < 0 or end < 0 or not MARK.search(head) or not place or len(value) != 1:
            return False
        row = errors.setdefault(int(place[2]), {})
        row[_column(place[1])] = unescape(value[0].decode())
    return True


def _column(letters: bytes) -> int:
    """A to 0, Z to 25, AA to 26."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
