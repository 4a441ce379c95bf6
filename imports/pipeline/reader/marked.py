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
TEXT = re.compile(rb"""\st=["']str["']""")
NUMBER = re.compile(rb"""\st=["'](?!n["'])""")
STYLE = re.compile(rb"""\ss=["'](\d+)["']""")
PLACE = re.compile(rb"""(?:^|\s)r=["']([A-Z]{1,3})([0-9]{1,7})["']""")
CELL = re.compile(rb"<c\s([^>]*[^/>])>(.*?)</c>", re.DOTALL)
VALUE = re.compile(rb"<v(?:\s[^>]*)?>([^<]*)</v>")
CODE = re.compile(rb"""formatCode=["']([^"']*)""")
CELL_ENDS = b"</c>"
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
    marked: Marked = {}
    rest = b""
    with archive.open(part) as source:
        while piece := source.read(PIECE_BYTES):
            whole, rest = _whole_cells(rest + piece)
            if not _collect(whole, paddings, marked):
                return None
    return marked if _collect(rest, paddings, marked) else None


def _whole_cells(xml: bytes) -> tuple[bytes, bytes]:
    """Cut behind the last cell that has ended."""
    end = xml.rfind(CELL_ENDS) + len(CELL_ENDS) if CELL_ENDS in xml else len(xml) - PIECE_BYTES
    return xml[: max(end, 0)], xml[max(end, 0) :]


def _collect(xml: bytes, paddings: Paddings, marked: Marked) -> bool:
    """Add what some cells show; False where one of them is not plain to see."""
    marks = len(ERROR.findall(xml)), len(FORMULA.findall(xml))
    if not any(marks) and not paddings:
        return True
    errors = formulas = 0
    for head, body in CELL.findall(xml):
        is_error, is_formula = bool(ERROR.search(b" " + head)), bool(FORMULA.search(body))
        template = _template(head, paddings)
        if not (is_error or is_formula or template):
            continue
        errors, formulas = errors + is_error, formulas + is_formula
        place, values = PLACE.search(head), VALUE.findall(body)
        if not place or len(values) > 1 or (is_error and not values):
            return False
        text = _shown(head, values[0] if values else b"", is_error, is_formula, template)
        if text is not None:
            marked.setdefault(int(place[2]), {})[_column(place[1])] = text
    return (errors, formulas) == marks


def _template(head: bytes, paddings: Paddings) -> Template | None:
    if not paddings or NUMBER.search(b" " + head):
        return None
    style = STYLE.search(b" " + head)
    return paddings.get(style[1]) if style else None


def _shown(
    head: bytes, value: bytes, is_error: bool, is_formula: bool, template: Template | None
) -> str | None:
    """What the cell shows, where calamine says otherwise."""
    if is_error:
        return unescape(value.decode())
    if is_formula and not value and not TEXT.search(b" " + head):  # Text may well be empty.
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
