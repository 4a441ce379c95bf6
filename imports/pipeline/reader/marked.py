"""Cells that calamine gives otherwise than they show: looked up in the sheet's XML.

They are errors such as #REF! and formulas without a result, which it gives as empty, and numbers
that their format pads with zeros. Only what is certain counts: where a mark of one is not plainly
a cell with a place and a value, nothing is said, and openpyxl reads the workbook.
"""

import posixpath
import re
import zipfile
from html import unescape
from io import BufferedReader

from cells import FORMULA_WITHOUT_VALUE
from padding import Template, padded, padding

ERROR = re.compile(rb"""\st=["']e["']""")
FORMULA = re.compile(rb"<f[\s>/]")
NUMBER = re.compile(rb"""\st=["'](?!n["'])""")
TEXT = re.compile(rb"""\st=["']str["']""")
STYLE = re.compile(rb"""\ss=["'](\d+)["']""")
PLACE = re.compile(rb"""\sr=["']([A-Z]{1,3})([0-9]{1,7})["']""")
VALUE = re.compile(rb"<v(?:\s[^>]*)?>([^<]*)</v>")
CODE = re.compile(rb"""formatCode=["']([^"']*)""")
CELL_BEGINS, CELL_ENDS = b"<c ", b"</c>"
PIECE_BYTES = 1 << 18

# Row to column to text; both are counted as a person does and as a list does: 1 and 0.
Marked = dict[int, dict[int, str]]
Paddings = dict[bytes, Template]


def marked_cells(file: BufferedReader, sheet: int, paddings: Paddings) -> Marked | None:
    """Such cells of the workbook's sheet at this position, or None if that is not certain."""
    with zipfile.ZipFile(file) as archive:
        part = _part_of(archive, sheet)
        return None if part is None else _marked_in(archive, part, paddings)


def paddings(file: BufferedReader) -> Paddings:
    """The cell styles whose number format puts zeros before a number."""
    with zipfile.ZipFile(file) as archive:
        name = next((n for n in archive.namelist() if n.lower().endswith("styles.xml")), None)
        xml = archive.read(name) if name else b""
    codes = {unescape(code.decode(errors="replace")) for code in CODE.findall(xml)}
    return _styles(xml) if any(map(padding, codes)) else {}


def _styles(xml: bytes) -> Paddings:
    from defusedxml.ElementTree import fromstring

    root = fromstring(xml)
    own = {f.get("numFmtId"): f.get("formatCode") for f in root.iter() if _is(f, "numFmt")}
    uses = [use.get("numFmtId") for part in root if _is(part, "cellXfs") for use in part]
    templates = [padding(own.get(number) or "") for number in uses]
    return {b"%d" % n: template for n, template in enumerate(templates) if template}


def _is(element, name: str) -> bool:
    return element.tag.endswith("}" + name)


def _part_of(archive: zipfile.ZipFile, sheet: int) -> str | None:
    """Which part of the archive holds the sheet."""
    from defusedxml.ElementTree import fromstring

    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= set(archive.namelist()):
        return None
    book = fromstring(archive.read("xl/workbook.xml"))
    sheets = [element for element in book.iter() if _is(element, "sheet")]
    ids = [v for name, v in sheets[sheet].attrib.items() if name.endswith("relationships}id")]
    for relation in fromstring(archive.read("xl/_rels/workbook.xml.rels")):
        if [relation.get("Id")] == ids:
            return posixpath.normpath(posixpath.join("/xl", relation.get("Target")))[1:]
    return None


def _marked_in(archive: zipfile.ZipFile, part: str, paddings: Paddings) -> Marked | None:
    styles = re.compile(rb"""\ss=["'](?:%s)["']""" % b"|".join(paddings)) if paddings else None
    marked: Marked = {}
    rest = b""
    with archive.open(part) as source:
        while piece := source.read(PIECE_BYTES):
            whole, rest = _whole_cells(rest + piece)
            if not _collect(whole, styles, paddings, marked):
                return None
    return marked if _collect(rest, styles, paddings, marked) else None


def _whole_cells(xml: bytes) -> tuple[bytes, bytes]:
    """Cut behind the last cell that has ended."""
    end = xml.rfind(CELL_ENDS) + len(CELL_ENDS) if CELL_ENDS in xml else len(xml) - PIECE_BYTES
    return xml[: max(end, 0)], xml[max(end, 0) :]


def _collect(xml: bytes, styles: re.Pattern | None, paddings: Paddings, marked: Marked) -> bool:
    """Add what some cells show; False where one of them is not plain to see."""
    seen = 0
    for mark in _marks(xml, styles):
        if mark.start() < seen:
            continue  # Of the same cell.
        begin = xml.rfind(CELL_BEGINS, seen, mark.start() + 1)
        seen = xml.find(CELL_ENDS, begin if begin >= 0 else mark.start())
        head, _, body = xml[begin:seen].partition(b">")
        is_inside = 0 <= begin < mark.start() < seen
        if not is_inside or head.endswith(b"/"):
            if not STYLE.match(mark[0]):
                return False
            seen = mark.end()  # A row of that style, or a cell without a value.
        elif not _add(head, body, paddings, marked):
            return False
    return True


def _marks(xml: bytes, styles: re.Pattern | None) -> list[re.Match]:
    """Marks in their order; one pattern for all of them would take thrice as long."""
    patterns = [styles] if styles else []
    patterns += [ERROR] if b't="e"' in xml or b"t='e'" in xml else []
    patterns += [FORMULA] if b"<f" in xml else []
    return sorted([m for p in patterns for m in p.finditer(xml)], key=re.Match.start)


def _add(head: bytes, body: bytes, paddings: Paddings, marked: Marked) -> bool:
    is_error, is_formula = bool(ERROR.search(head)), bool(FORMULA.search(body))
    style = None if NUMBER.search(head) else STYLE.search(head)
    template = paddings.get(style[1]) if style else None
    if not (is_error or is_formula or template):
        return False
    place, values = PLACE.search(head), VALUE.findall(body)
    if not place or len(values) > 1 or (is_error and not values):
        return False
    text = _shown(head, values[0] if values else b"", is_error, is_formula, template)
    if text is not None:
        marked.setdefault(int(place[2]), {})[_column(place[1])] = text
    return True


def _shown(
    head: bytes, value: bytes, is_error: bool, is_formula: bool, template: Template | None
) -> str | None:
    """What the cell shows, where calamine says otherwise."""
    if is_error:
        return unescape(value.decode())
    if is_formula and not value and not TEXT.search(head):  # Text may well be empty.
        return FORMULA_WITHOUT_VALUE
    try:
        return padded(float(value), template) if template else None
    except ValueError:
        return None


def _column(letters: bytes) -> int:
    """A to 0, Z to 25, AA to 26."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
