"""Makes the files of this folder, anew, with the programs people make theirs with.

    pip install xlwt odfpy; apt install libreoffice-calc-nogui
    python -m tests.corpus.make

The files are committed, so no test needs any of these. `table.py` says what is expected.
"""

from __future__ import annotations

import datetime
import gzip
import io
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import xlsxwriter
import xlwt
from odf.office import Annotation
from odf.opendocument import OpenDocumentSpreadsheet
from odf.style import Style, TableProperties
from odf.table import CoveredTableCell, Table, TableCell, TableRow
from odf.text import LineBreak, P, S
from xlwt.CompoundDoc import XlsDoc

from tests import spreadsheets, xls_workbooks
from tests.corpus.cases import (
    ACCENTS,
    CZECH,
    FINNISH,
    GARBLED,
    HEAD,
    PEOPLE,
    PHONES_AS_NUMBERS,
    PHONES_WITH_MARKS,
    PHONES_WITH_SLASHES,
    PHONES_WITH_WORDS,
    RUSSIAN,
    customers_of,
)
from tests.spreadsheets import (
    make_workbook_from_xml,
    make_workbook_parts,
    row_xml,
    text_cell_xml,
    to_strict_parts,
    zip_parts,
)
from tests.xls_workbooks import old_workbook, record

HERE = Path(__file__).parent
# Not made here: they are kept as someone handed them in.
KEPT = (
    *("mark-turned-into-a-date.xlsx", "marks-the-spreadsheet-changed.xlsx"),
    *("filtered-rows-hidden-column.xlsx", "address-behind-a-link.xlsx"),
    *("one-cell-far-right.xlsx", "three-hundred-columns.xlsx"),
    "one-line-in-another-encoding.csv",
    "header-lacks-last-delimiter.csv",
    "two-phone-columns.csv",
    "placeholders-for-nothing.csv",
    "two-exports-pasted-together.csv",
    "title-total-signature.xlsx",
    "grouped-two-row-header.xlsx",
    "array-of-objects.json",
    "google-contacts.csv",
    "outlook-export.csv",
    "long-text-in-an-unused-column.csv",
    "contacts.vcf",
    "web-archive.xls",
)
DAY = datetime.date(2026, 1, 31)
NOON = datetime.datetime(2026, 1, 31, 12, 30)  # noqa: DTZ001  Spreadsheets know no time zones.


def main() -> None:
    for make in (xlsx, hand_built, xls, ods, texts, values, no_spreadsheets, by_libreoffice):
        make()
    for make in (strict_workbooks, old_workbooks_with_damage, binary_workbooks):
        make()
    assert all((HERE / name).exists() for name in KEPT)
    size = sum(file.stat().st_size for file in HERE.iterdir() if file.is_file())
    print(f"{len([*HERE.iterdir()])} files, {size / 1024:.0f} KB")


def put(name: str, content: bytes) -> None:
    (HERE / name).write_bytes(content)


def book(**sheets: list) -> openpyxl.Workbook:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for cells in rows:
            sheet.append(cells)
    return made


def xlsx() -> None:
    plain = book(Customers=PEOPLE)
    put("openpyxl.xlsx", spreadsheets.save_workbook(plain))
    put("named.csv", spreadsheets.save_workbook(plain))
    plain.template = True
    put("template.xltx", spreadsheets.save_workbook(plain))
    put("truncated.xlsx", spreadsheets.save_workbook(book(Customers=PEOPLE))[:-200])
    put("blank.xlsx", spreadsheets.save_workbook(book(Customers=[])))
    put("only-headers.xlsx", spreadsheets.save_workbook(book(Customers=[HEAD])))
    cover = [["Customer list 2026"], ["Contact", "Ama"]]
    put("cover.xlsx", spreadsheets.save_workbook(book(Cover=cover, Notes=[["Phone"]], Data=PEOPLE)))
    put("empty-first.xlsx", spreadsheets.save_workbook(book(Empty=[], Data=PEOPLE)))
    hidden = book(Old=PEOPLE[:2], Older=PEOPLE[:2], Data=PEOPLE)
    hidden["Old"].sheet_state, hidden["Older"].sheet_state = "hidden", "veryHidden"
    put("hidden.xlsx", spreadsheets.save_workbook(hidden))
    titles = [["Customers of branch Accra"], [], [None, "as of", DAY], [], []]
    put("titles.xlsx", spreadsheets.save_workbook(book(Data=[*titles, *PEOPLE])))
    put("no-header.xlsx", spreadsheets.save_workbook(book(Data=PEOPLE[1:])))
    unknown = ["Kundennr", "Vorname", "Zuname", "Elektropost", "Rufnummer"]
    put("unknown-headers.xlsx", spreadsheets.save_workbook(book(Data=[unknown, *PEOPLE[1:]])))
    close = ["Shiping mark", "First nam", "Last name", "E-mail", "Customer phone no."]
    put("close-headers.xlsx", spreadsheets.save_workbook(book(Data=[close, *PEOPLE[1:]])))
    twice = [*HEAD[:4], "Mobile", "Telephone"]
    rows = [[*cells, "0201234567"] for cells in PEOPLE[1:]]
    put("ambiguous.xlsx", spreadsheets.save_workbook(book(Data=[twice, *rows])))
    folded = ["SHIPPING-MARK:", " prénoms ", "Nom de famille*", "E_MAIL", "Téléphone."]
    put("folded-headers.xlsx", spreadsheets.save_workbook(book(Data=[folded, *PEOPLE[1:]])))
    numbers = [["m1", 12.0, 233244123451, 244123452, 0.1], [True, DAY, NOON, NOON.time(), -7]]
    put("numbers.xlsx", spreadsheets.save_workbook(book(Data=numbers)))
    formulas = [*PEOPLE[:2], ['=A1&"x"', "Kofi", "Boateng", None, "0244123452"]]
    put("formula-without-value.xlsx", spreadsheets.save_workbook(book(Data=formulas)))
    merged = book(Data=[HEAD])
    sheet = merged["Data"]
    for number, cells in enumerate(PEOPLE[1:], start=2):
        for column, cell in enumerate(cells, start=1):
            sheet.cell(number, column, cell)
    sheet["A4"], sheet["B4"], sheet["E4"] = "ACC 3", "Esi", "0244123453"
    sheet.merge_cells("C3:C4")  # One family name for two people.
    for column in "ABCDE":  # One person in two rows.
        sheet[f"{column}5"] = sheet[f"{column}2"].value
    sheet["A5"], sheet["D5"], sheet["E5"] = "ACC 4", None, "0244123454"
    for column in "ABCDE":
        sheet.merge_cells(f"{column}5:{column}6")
    put("merged.xlsx", spreadsheets.save_workbook(merged))
    levels = book(Data=[["Mark", "Name", None, "E-mail", "Phone"],
                        [None, "First name", "Last name", None, None], *PEOPLE[1:]])  # fmt: skip
    for place in ("A1:A2", "B1:C1", "D1:D2", "E1:E2"):
        levels["Data"].merge_cells(place)
    put("two-levels.xlsx", spreadsheets.save_workbook(levels))
    put("long-cell.xlsx", spreadsheets.save_workbook(book(Data=[["a" * 32_767, "b"]])))
    macros(spreadsheets.save_workbook(plain))
    by_xlsxwriter()


def macros(content: bytes) -> None:
    parts = {n: zipfile.ZipFile(io.BytesIO(content)).read(n)
             for n in zipfile.ZipFile(io.BytesIO(content)).namelist()}  # fmt: skip
    types = parts["[Content_Types].xml"].decode()
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml.template.main+xml"
    enabled = "application/vnd.ms-excel.sheet.macroEnabled.main+xml"
    parts["[Content_Types].xml"] = types.replace(main, enabled)
    parts["xl/vbaProject.bin"] = spreadsheets.OLE2 + bytes(512)
    put("macros.xlsm", zip_parts(parts))
    parts["[Content_Types].xml"] = types.replace(
        main, "application/vnd.ms-excel.sheet.binary.macroEnabled.main"
    )
    put("not-binary.xlsb", zip_parts(parts))


def by_xlsxwriter() -> None:
    made = xlsxwriter.Workbook(HERE / "xlsxwriter.xlsx")
    sheet = made.add_worksheet("Customers")
    for number, cells in enumerate(PEOPLE):
        sheet.write_row(number, 0, cells)
    made.close()
    made = xlsxwriter.Workbook(HERE / "cells.xlsx")
    sheet = made.add_worksheet("Cells")
    code, phone = (made.add_format({"num_format": f}) for f in ("00000", "(000) 000-0000"))
    sheet.write_row(0, 0, [412, 244123451], code)
    sheet.write(0, 2, 244123451, phone)
    sheet.write_rich_string(1, 0, made.add_format({"bold": True}), "Ama", " Mensah")
    sheet.write_formula(2, 0, '="a"&"b"', None, "ab")
    sheet.write_formula(2, 1, "=1/0", None, "#DIV/0!")
    sheet.write_formula(2, 2, '=IF(1,"","")', None, "")
    sheet.write_formula(2, 3, "=1+1", None, 2)
    sheet.write_row(3, 0, ["two\nlines", "\u00a0Ama\u00a0", "A\u200bma", "\u202bعمر\u202c", "😀"])
    made.close()


def hand_built() -> None:
    odd = [
        row_xml(
            1,
            text_cell_xml("A1", "nul _x0000_"),
            text_cell_xml("B1", "half _xD800_"),
            text_cell_xml("C1", "_x000D_end"),
        ),
        row_xml(4, '<c r="B4" t="e"><v>#REF!</v></c>', '<c r="C4" t="b"><v>1</v></c>'),
        row_xml(9, "<c r='A9'><f>B4</f></c>", "<c r='B9' t='str'><f>C4</f><v></v></c>"),
    ]
    put("odd-cells.xlsx", make_workbook_from_xml(*odd))
    lying = [
        row_xml(n, text_cell_xml(f"A{n}", f"a{n}"), text_cell_xml(f"B{n}", "b")) for n in (1, 2, 7)
    ]
    put("lying-dimension.xlsx", make_workbook_from_xml(*lying, before='<dimension ref="A1:A1"/>'))
    declared = '<!DOCTYPE x [<!ENTITY a "b">]>' + spreadsheets.sheet_xml(
        row_xml(1, text_cell_xml("A1", "x"))
    )
    put("declared-entity.xlsx", zip_parts(spreadsheets.make_workbook_parts(declared)))
    put("bomb.xlsx", make_workbook_from_xml(row_xml(1, text_cell_xml("A1", " " * (20 << 20)))))


def people_in_xml(cell: Callable[[str, str], str]) -> list[str]:
    return [
        row_xml(n, *[cell(f"{'ABCDE'[c]}{n}", v) for c, v in enumerate(cells) if v is not None])
        for n, cells in enumerate(PEOPLE, start=1)
    ]


def strict_workbooks() -> None:
    """As Excel writes them where one chooses "Strict Open XML Spreadsheet"."""
    put(
        "strict-inline-strings.xlsx",
        zip_parts(
            to_strict_parts(
                make_workbook_parts(spreadsheets.sheet_xml(*people_in_xml(text_cell_xml)))
            )
        ),
    )
    strings = sorted({cell for cells in PEOPLE for cell in cells if cell})
    shared = people_in_xml(
        lambda place, value: f'<c r="{place}" t="s"><v>{strings.index(value)}</v></c>'
    )
    items = "".join(f"<si><t>{one}</t></si>" for one in strings)
    parts = make_workbook_parts(spreadsheets.sheet_xml(*shared), strings=items)
    put("strict-shared-strings.xlsx", zip_parts(to_strict_parts(parts)))
    dated = [
        row_xml(1, text_cell_xml("A1", "Shipping mark"), text_cell_xml("B1", "Phone"),
            text_cell_xml("C1", "E-mail")),
        row_xml(2, '<c r="A2" s="1" t="d"><v>2026-05-07</v></c>', text_cell_xml("B2", "0244123451"),
            text_cell_xml("C2", "Write to Ama")),
        row_xml(3, '<c r="A3" s="2" t="d"><v>2026-05-07T12:30:00</v></c>',
            '<c r="B3" s="3" t="d"><v>1899-12-30T12:00:00</v></c>'),
    ]  # fmt: skip
    link = f'<hyperlinks><hyperlink xmlns:r="{spreadsheets.RELATIONS_NS}" ref="C2" r:id="rId1"/>'
    formats = ["General", "mmm\\-yy", "m/d/yyyy\\ h:mm", "h:mm"]
    parts = make_workbook_parts(
        spreadsheets.sheet_xml(*dated, after=link + "</hyperlinks>"), formats=formats
    )
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = spreadsheets.link_relations_xml(
        {"rId1": "mailto:ama@example.com"}
    )
    put("strict-dates-and-links.xlsx", zip_parts(to_strict_parts(parts)))
    put("strict-no-sheet.xlsx", zip_parts(to_strict_parts(parts | {
        "xl/workbook.xml": f'<workbook xmlns="{spreadsheets.MAIN_NS}"><sheets/></workbook>',
    })))  # fmt: skip


def cells_of_people() -> dict[tuple[int, int], object]:
    return {
        (r, c): cell
        for r, cells in enumerate(PEOPLE)
        for c, cell in enumerate(cells)
        if cell is not None
    }


def old_workbooks_with_damage() -> None:
    """Damage that xlrd minds and other programs do not."""
    people = cells_of_people()
    name = record(0x18, struct.pack("<HBBHHHI", 0, 0, 3, 3, 0, 0, 0) + b"\0abc\0\0\0")
    put("bad-formula-of-a-name.xls", old_workbook(people, globals_more=name))
    put("unknown-cell-style.xls", old_workbook(people | {(2, 5): (46149, 98)}, ["mmm-yy"]))
    link = record(0x1B8, bytes(8) + bytes(24))
    put("unknown-link.xls", old_workbook(people | {(1, 5): b"\x17"}, sheet_more=link))
    whole = bytearray(old_workbook(people | {(2, 5): (46149, 0)}, ["mmm-yy"]))
    struct.pack_into("<I", whole, xls_workbooks.SECTOR_BYTES + 4 * 5, 3)
    put("sectors-in-a-loop.xls", bytes(whole))


def binary_workbooks() -> None:
    rows = {n: {c: cell for c, cell in enumerate(cells) if cell is not None}
            for n, cells in enumerate(PEOPLE, start=1)}  # fmt: skip
    rows[2] |= {5: (46149, 0), 6: (0.5, 1), 7: (1.5, 2), 8: True, 9: b"\x07", 10: 1.5e19}
    put("binary.xlsb", spreadsheets.make_xlsb_workbook(rows, ["mmm-yy", "h:mm", "[h]:mm"]))


def xls() -> None:
    made = xlwt.Workbook()
    cover, data, old = (made.add_sheet(name) for name in ("Cover", "Customers", "Old"))
    old.visibility = 2
    cover.write(0, 0, "Customer list")
    for sheet in (data, old):
        for number, cells in enumerate(PEOPLE):
            for column, cell in enumerate(cells):
                if cell is not None:
                    sheet.write(number, column, cell)
    made.save(str(HERE / "xlwt.xls"))
    whole = (HERE / "xlwt.xls").read_bytes()
    put("truncated.xls", whole[: len(whole) // 2])
    made = xlwt.Workbook()
    sheet = made.add_sheet("Cells")
    formats = ["yyyy-mm-dd", "yyyy-mm-dd hh:mm", "hh:mm:ss", "[h]:mm:ss", "00000"]
    styles = [xlwt.easyxf(num_format_str=code) for code in formats]
    for column, value in enumerate([DAY, NOON, NOON.time(), 1.5, 412]):
        sheet.write(1, column, value, styles[column])
    for column, value in enumerate([233244123451, 12.0, 0.1, True, "\u00a0Ama\n😀"]):
        sheet.write(3, column, value)
    sheet.write_merge(5, 6, 0, 0, "Mensah")
    sheet.write(5, 1, "Ama")
    sheet.write(6, 1, "Kofi")
    made.save(str(HERE / "cells.xls"))
    stream = made.get_biff_data()
    begin = 4 + struct.unpack_from("<H", stream, 2)[0]
    locked = stream[:begin] + struct.pack("<HH6s", 0x2F, 6, b"\0\0abcd") + stream[begin:]
    XlsDoc().save(str(HERE / "password.xls"), locked)


def cell(value: object = None, kind: str = "string", shown: str | None = None, **more) -> TableCell:
    if value is None and not more:
        return TableCell()
    names = {"float": "value", "date": "datevalue", "time": "timevalue", "boolean": "booleanvalue"}
    given = {names[kind]: value} if kind in names else {}
    made = TableCell(valuetype=kind, **given, **more) if kind else TableCell(**more)
    if shown or kind == "string":
        made.addElement(P(text_cell_xml=shown or str(value)))
    return made


def table(name: str, rows: list, **more) -> Table:
    made = Table(name=name, **more)
    for cells in rows:
        line = TableRow()
        for one in cells:
            is_cell = hasattr(one, "qname")
            line.addElement(one if is_cell else cell(one))
        made.addElement(line)
    return made


def ods() -> None:
    made = OpenDocumentSpreadsheet()
    unseen = Style(name="unseen", family="table")
    unseen.addElement(TableProperties(display="false"))
    made.automaticstyles.addElement(unseen)
    made.spreadsheet.addElement(table("Old", PEOPLE[:2], stylename=unseen))
    made.spreadsheet.addElement(table("Cover", [["Customer list"]]))
    made.spreadsheet.addElement(table("Customers", PEOPLE))
    made.save(str(HERE / "odfpy.ods"))
    whole = (HERE / "odfpy.ods").read_bytes()
    put("truncated.ods", whole[: len(whole) // 2])

    made = OpenDocumentSpreadsheet()
    noted = cell("Ama")
    note = Annotation()
    note.addElement(P(text_cell_xml="a note"))
    noted.addElement(note)
    lines = TableCell(valuetype="string")
    paragraph = P(text_cell_xml="two")
    paragraph.addElement(S(c=2))
    paragraph.addText("spaces")
    paragraph.addElement(LineBreak())
    paragraph.addText("broken")
    lines.addElement(paragraph)
    lines.addElement(P(text_cell_xml="again"))
    numbers = [cell(412, "float", "00412"), cell(233244123451, "float", "2.33E+11"),
               cell("2026-01-31", "date", "31.01.26"), cell("PT12H30M00S", "time", "12:30"),
               cell("PT36H00M00S", "time", "36:00"), cell("true", "boolean", "WAHR")]  # fmt: skip
    rows = [[], numbers, [noted, lines], [cell(kind="", formula="of:=1+1")]]
    sheet = table("Cells", rows)
    sheet.addElement(TableRow(numberrowsrepeated=3))
    repeated = TableRow(numberrowsrepeated=2)
    repeated.addElement(cell("x", numbercolumnsrepeated=2))
    sheet.addElement(repeated)
    for first in (True, False):
        line = TableRow()
        line.addElement(cell("Mensah", numberrowsspanned=2) if first else CoveredTableCell())
        line.addElement(cell("Ama" if first else "Kofi"))
        sheet.addElement(line)
    sheet.addElement(TableRow(numberrowsrepeated=1_048_000))
    made.spreadsheet.addElement(sheet)
    made.save(str(HERE / "cells.ods"))
    put("password.ods", zip_parts({
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": b"\x8f\0",
        "META-INF/manifest.xml": "<manifest:encryption-data/>"}))  # fmt: skip
    put("document.odt", zip_parts({"mimetype": "application/vnd.oasis.opendocument.text"}))


def lines_of(rows: list, delimiter: str = ",", end: str = "\n") -> str:
    return "".join(delimiter.join(c or "" for c in cells) + end for cells in rows)


def texts() -> None:
    plain = lines_of(PEOPLE)
    put("comma.csv", plain.encode())
    header = ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"]
    nobody = [[None, None, None, "x", "1"], [None, None, None, "y", "2"]]
    put("every-row-fails.csv", lines_of([header, *nobody]).encode())
    put("named.xlsx", plain.encode())
    put("crlf.csv", lines_of(PEOPLE, end="\r\n").encode())
    put("bom.csv", b"\xef\xbb\xbf" + lines_of(ACCENTS, ";").encode())
    put("utf-16.csv", lines_of(ACCENTS, "\t").encode("utf-16"))
    put("utf-16-le.csv", lines_of(ACCENTS, ";").encode("utf-16-le"))
    put("utf-16-be.csv", lines_of(ACCENTS).encode("utf-16-be"))
    put("windows-1252.csv", lines_of(ACCENTS, ";").encode("cp1252"))
    put("windows-1250.csv", lines_of(CZECH, ";").encode("cp1250"))
    put("windows-1251.csv", lines_of(RUSSIAN, ";").encode("cp1251"))
    put("mac.csv", lines_of(ACCENTS, ";").encode("mac_roman"))
    put("tab.tsv", lines_of(PEOPLE, "\t").encode())
    put("bar.txt", lines_of(PEOPLE, "|").encode())
    put("sep.csv", ("sep=|\n" + lines_of(PEOPLE, "|")).encode())
    put("caret.txt", lines_of(PEOPLE, "^").encode())
    quoted = [[f"'{c}'" for c in cells] for cells in [["a", "b,c"], ["d", "it is"]]]
    put("single-quotes.csv", lines_of(quoted).encode())
    put("escaped-quotes.csv", b'a,b\n"say \\"hi\\" now","x, y"\n')
    put("doubled-quotes.csv", b'a,b\n"say ""hi"" now","two\nlines"\nc,d\n')
    put("unclosed-quote.csv", b'a,b\nc,d\n"e,f\ng,h\n')
    put("decimal-comma.csv", b"mark;weight\nA1;1,5\nA2;2,25\n")
    put("no-header.csv", lines_of(PEOPLE[1:]).encode())
    put("titles.csv", ("Customers\n\n" + plain).encode())
    put("empty.csv", b"")
    put("nul.csv", b"name,phone\nA\0ma,024\nKofi,025\n")


def values() -> None:
    """What one cell may hold, in the spellings of people and programs."""
    put("phones-with-slashes.csv", lines_of(customers_of("PS", PHONES_WITH_SLASHES)).encode())
    put("phones-as-numbers.csv", lines_of(customers_of("PN", PHONES_AS_NUMBERS), ";").encode())
    put("phones-with-words.csv", lines_of(customers_of("PW", PHONES_WITH_WORDS)).encode())
    headers = ["Shipping\u00a0Mark", "First\u200bName", "\ufeffLast Name", "E\u2011mail"]
    marked = customers_of("IM", PHONES_WITH_MARKS, [*headers, "Phone\u202f Number"])
    put("invisible-marks.csv", lines_of(marked, end="\r\n").encode())
    put("garbled-text.csv", lines_of(GARBLED).encode())
    put("finnish-headers.csv", lines_of([FINNISH, *PEOPLE[1:]]).encode())


def no_spreadsheets() -> None:
    people = lines_of(PEOPLE).encode()
    put("compressed.csv.gz", gzip.compress(people, mtime=0))
    put("compressed.zip", zip_parts({"customers.csv": people}))
    put("password.xlsx", spreadsheets.OLE2 + bytes(2_000) + "EncryptedPackage".encode("utf-16-le"))
    put("web-page.xls", b"<html><body><table><tr><td>Phone</td></tr></table></body></html>")
    put("excel-2003.xls", b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>'
        b'<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>')  # fmt: skip
    put("document.xlsx", b"%PDF-1.7\n1 0 obj\n")
    put("picture.xlsx", b"\x89PNG\r\n\x1a\n" + bytes(100))
    put("sheet.numbers", zip_parts({"Index/Document.iwa": b"\0", "preview.jpg": b"\0"}))
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    put("document.docx", zip_parts({"[Content_Types].xml": f'<Types x="{kind}"/>'}))
    put("document.rtf", b"{\\rtf1 Phone}")
    put("data.xml", b'<?xml version="1.0"?><customers/>')
    put("noise.csv", bytes(range(32)) * 20)


def by_libreoffice() -> None:
    convert("openpyxl.xlsx", "xlsx", "libreoffice.xlsx")
    convert("openpyxl.xlsx", "xls", "libreoffice.xls")
    convert("cover.xlsx", "ods", "libreoffice.ods")
    convert("cells.xlsx", "ods", "libreoffice-cells.ods")
    convert("cells.xlsx", "xls", "libreoffice-cells.xls")
    convert("merged.xlsx", "ods", "merged.ods")


def convert(name: str, kind: str, to: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["soffice", "--headless", "--convert-to", kind, "--outdir", folder, str(HERE / name)],
            check=True,
            capture_output=True,
        )
        made = Path(folder) / Path(name).with_suffix(f".{kind}").name
        put(to, made.read_bytes())


if __name__ == "__main__":
    main()
