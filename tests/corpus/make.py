"""Write the files of this folder again, with the programs that users have.

    pip install xlwt odfpy; apt install libreoffice-calc-nogui
    python -m tests.corpus.make

The files are committed, so no test needs these programs. `cases.py` has the expected results.
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
    make_customers,
)
from tests.spreadsheets import (
    convert_to_strict_parts,
    make_row_xml,
    make_text_cell_xml,
    make_workbook_from_xml,
    make_workbook_parts,
    zip_parts,
)
from tests.xls_workbooks import make_record, make_xls_workbook

FOLDER = Path(__file__).parent
# Files that this program does not write. They are kept as users have uploaded them.
KEPT_FILES = (
    "mark-turned-into-a-date.xlsx",
    "marks-the-spreadsheet-changed.xlsx",
    "filtered-rows-hidden-column.xlsx",
    "address-behind-a-link.xlsx",
    "one-cell-far-right.xlsx",
    "three-hundred-columns.xlsx",
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
NOON = datetime.datetime(2026, 1, 31, 12, 30)  # noqa: DTZ001  Workbooks have no time zones.


def main() -> None:
    write_xlsx_files()
    write_files_from_xml()
    write_xls_files()
    write_ods_files()
    write_csv_files()
    write_files_of_values()
    write_other_files()
    write_libreoffice_files()
    write_strict_workbooks()
    write_damaged_xls_files()
    write_xlsb_files()
    assert all((FOLDER / name).exists() for name in KEPT_FILES)
    size = sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file())
    print(f"{len([*FOLDER.iterdir()])} files, {size / 1024:.0f} KB")


def write_file(name: str, content: bytes) -> None:
    (FOLDER / name).write_bytes(content)


def make_book(**sheets: list) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for cells in rows:
            sheet.append(cells)
    return book


def write_xlsx_files() -> None:
    plain = make_book(Customers=PEOPLE)
    write_file("openpyxl.xlsx", spreadsheets.save_workbook(plain))
    write_file("named.csv", spreadsheets.save_workbook(plain))
    plain.template = True
    write_file("template.xltx", spreadsheets.save_workbook(plain))
    write_file("truncated.xlsx", spreadsheets.save_workbook(make_book(Customers=PEOPLE))[:-200])
    write_file("blank.xlsx", spreadsheets.save_workbook(make_book(Customers=[])))
    write_file("only-headers.xlsx", spreadsheets.save_workbook(make_book(Customers=[HEAD])))
    cover = [["Customer list 2026"], ["Contact", "Ama"]]
    write_file(
        "cover.xlsx",
        spreadsheets.save_workbook(make_book(Cover=cover, Notes=[["Phone"]], Data=PEOPLE)),
    )
    write_file("empty-first.xlsx", spreadsheets.save_workbook(make_book(Empty=[], Data=PEOPLE)))
    hidden = make_book(Old=PEOPLE[:2], Older=PEOPLE[:2], Data=PEOPLE)
    hidden["Old"].sheet_state, hidden["Older"].sheet_state = "hidden", "veryHidden"
    write_file("hidden.xlsx", spreadsheets.save_workbook(hidden))
    titles = [["Customers of branch Accra"], [], [None, "as of", DAY], [], []]
    write_file("titles.xlsx", spreadsheets.save_workbook(make_book(Data=[*titles, *PEOPLE])))
    write_file("no-header.xlsx", spreadsheets.save_workbook(make_book(Data=PEOPLE[1:])))
    unknown = ["Kundennr", "Vorname", "Zuname", "Elektropost", "Rufnummer"]
    write_file(
        "unknown-headers.xlsx", spreadsheets.save_workbook(make_book(Data=[unknown, *PEOPLE[1:]]))
    )
    close = ["Shiping mark", "First nam", "Last name", "E-mail", "Customer phone no."]
    write_file(
        "close-headers.xlsx", spreadsheets.save_workbook(make_book(Data=[close, *PEOPLE[1:]]))
    )
    twice = [*HEAD[:4], "Mobile", "Telephone"]
    rows = [[*cells, "0201234567"] for cells in PEOPLE[1:]]
    write_file("ambiguous.xlsx", spreadsheets.save_workbook(make_book(Data=[twice, *rows])))
    folded = ["SHIPPING-MARK:", " prénoms ", "Nom de famille*", "E_MAIL", "Téléphone."]
    write_file(
        "folded-headers.xlsx", spreadsheets.save_workbook(make_book(Data=[folded, *PEOPLE[1:]]))
    )
    numbers = [["m1", 12.0, 233244123451, 244123452, 0.1], [True, DAY, NOON, NOON.time(), -7]]
    write_file("numbers.xlsx", spreadsheets.save_workbook(make_book(Data=numbers)))
    formulas = [*PEOPLE[:2], ['=A1&"x"', "Kofi", "Boateng", None, "0244123452"]]
    write_file("formula-without-value.xlsx", spreadsheets.save_workbook(make_book(Data=formulas)))
    merged = make_book(Data=[HEAD])
    sheet = merged["Data"]
    for number, cells in enumerate(PEOPLE[1:], start=2):
        for column, make_ods_cell in enumerate(cells, start=1):
            sheet.cell(number, column, make_ods_cell)
    sheet["A4"], sheet["B4"], sheet["E4"] = "ACC 3", "Esi", "0244123453"
    sheet.merge_cells("C3:C4")  # One last name for two people.
    for column in "ABCDE":  # One person in two rows.
        sheet[f"{column}5"] = sheet[f"{column}2"].value
    sheet["A5"], sheet["D5"], sheet["E5"] = "ACC 4", None, "0244123454"
    for column in "ABCDE":
        sheet.merge_cells(f"{column}5:{column}6")
    write_file("merged.xlsx", spreadsheets.save_workbook(merged))
    levels = make_book(
        Data=[
            ["Mark", "Name", None, "E-mail", "Phone"],
            [None, "First name", "Last name", None, None],
            *PEOPLE[1:],
        ]
    )
    for place in ("A1:A2", "B1:C1", "D1:D2", "E1:E2"):
        levels["Data"].merge_cells(place)
    write_file("two-levels.xlsx", spreadsheets.save_workbook(levels))
    write_file("long-cell.xlsx", spreadsheets.save_workbook(make_book(Data=[["a" * 32_767, "b"]])))
    write_macro_workbooks(spreadsheets.save_workbook(plain))
    write_xlsxwriter_files()


def write_macro_workbooks(content: bytes) -> None:
    parts = {
        n: zipfile.ZipFile(io.BytesIO(content)).read(n)
        for n in zipfile.ZipFile(io.BytesIO(content)).namelist()
    }
    types = parts["[Content_Types].xml"].decode()
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml.template.main+xml"
    enabled = "application/vnd.ms-excel.sheet.macroEnabled.main+xml"
    parts["[Content_Types].xml"] = types.replace(main, enabled)
    parts["xl/vbaProject.bin"] = spreadsheets.OLE2_SIGNATURE + bytes(512)
    write_file("macros.xlsm", zip_parts(parts))
    parts["[Content_Types].xml"] = types.replace(
        main, "application/vnd.ms-excel.sheet.binary.macroEnabled.main"
    )
    write_file("not-binary.xlsb", zip_parts(parts))


def write_xlsxwriter_files() -> None:
    book = xlsxwriter.Workbook(FOLDER / "xlsxwriter.xlsx")
    sheet = book.add_worksheet("Customers")
    for number, cells in enumerate(PEOPLE):
        sheet.write_row(number, 0, cells)
    book.close()
    book = xlsxwriter.Workbook(FOLDER / "cells.xlsx")
    sheet = book.add_worksheet("Cells")
    code, phone = (book.add_format({"num_format": f}) for f in ("00000", "(000) 000-0000"))
    sheet.write_row(0, 0, [412, 244123451], code)
    sheet.write(0, 2, 244123451, phone)
    sheet.write_rich_string(1, 0, book.add_format({"bold": True}), "Ama", " Mensah")
    sheet.write_formula(2, 0, '="a"&"b"', None, "ab")
    sheet.write_formula(2, 1, "=1/0", None, "#DIV/0!")
    sheet.write_formula(2, 2, '=IF(1,"","")', None, "")
    sheet.write_formula(2, 3, "=1+1", None, 2)
    sheet.write_row(3, 0, ["two\nlines", "\u00a0Ama\u00a0", "A\u200bma", "\u202bعمر\u202c", "😀"])
    book.close()


def write_files_from_xml() -> None:
    odd = [
        make_row_xml(
            1,
            make_text_cell_xml("A1", "nul _x0000_"),
            make_text_cell_xml("B1", "half _xD800_"),
            make_text_cell_xml("C1", "_x000D_end"),
        ),
        make_row_xml(4, '<c r="B4" t="e"><v>#REF!</v></c>', '<c r="C4" t="b"><v>1</v></c>'),
        make_row_xml(9, "<c r='A9'><f>B4</f></c>", "<c r='B9' t='str'><f>C4</f><v></v></c>"),
    ]
    write_file("odd-cells.xlsx", make_workbook_from_xml(*odd))
    lying = [
        make_row_xml(n, make_text_cell_xml(f"A{n}", f"a{n}"), make_text_cell_xml(f"B{n}", "b"))
        for n in (1, 2, 7)
    ]
    write_file(
        "lying-dimension.xlsx", make_workbook_from_xml(*lying, before='<dimension ref="A1:A1"/>')
    )
    declared = '<!DOCTYPE x [<!ENTITY a "b">]>' + spreadsheets.make_sheet_xml(
        make_row_xml(1, make_text_cell_xml("A1", "x"))
    )
    write_file("declared-entity.xlsx", zip_parts(spreadsheets.make_workbook_parts(declared)))
    write_file(
        "bomb.xlsx",
        make_workbook_from_xml(make_row_xml(1, make_text_cell_xml("A1", " " * (20 << 20)))),
    )


def make_people_xml(make_cell: Callable[[str, str], str]) -> list[str]:
    return [
        make_row_xml(
            n, *[make_cell(f"{'ABCDE'[c]}{n}", v) for c, v in enumerate(cells) if v is not None]
        )
        for n, cells in enumerate(PEOPLE, start=1)
    ]


def write_strict_workbooks() -> None:
    """Write workbooks as Excel saves them in the format "Strict Open XML Spreadsheet"."""
    write_file(
        "strict-inline-strings.xlsx",
        zip_parts(
            convert_to_strict_parts(
                make_workbook_parts(
                    spreadsheets.make_sheet_xml(*make_people_xml(make_text_cell_xml))
                )
            )
        ),
    )
    strings = sorted(
        {make_ods_cell for cells in PEOPLE for make_ods_cell in cells if make_ods_cell}
    )
    shared = make_people_xml(
        lambda place, value: f'<c r="{place}" t="s"><v>{strings.index(value)}</v></c>'
    )
    items = "".join(f"<si><t>{one}</t></si>" for one in strings)
    parts = make_workbook_parts(spreadsheets.make_sheet_xml(*shared), strings=items)
    write_file("strict-shared-strings.xlsx", zip_parts(convert_to_strict_parts(parts)))
    dated = [
        make_row_xml(
            1,
            make_text_cell_xml("A1", "Shipping mark"),
            make_text_cell_xml("B1", "Phone"),
            make_text_cell_xml("C1", "E-mail"),
        ),
        make_row_xml(
            2,
            '<c r="A2" s="1" t="d"><v>2026-05-07</v></c>',
            make_text_cell_xml("B2", "0244123451"),
            make_text_cell_xml("C2", "Write to Ama"),
        ),
        make_row_xml(
            3,
            '<c r="A3" s="2" t="d"><v>2026-05-07T12:30:00</v></c>',
            '<c r="B3" s="3" t="d"><v>1899-12-30T12:00:00</v></c>',
        ),
    ]
    link = f'<hyperlinks><hyperlink xmlns:r="{spreadsheets.RELATIONS_NS}" ref="C2" r:id="rId1"/>'
    formats = ["General", "mmm\\-yy", "m/d/yyyy\\ h:mm", "h:mm"]
    parts = make_workbook_parts(
        spreadsheets.make_sheet_xml(*dated, after=link + "</hyperlinks>"), formats=formats
    )
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = spreadsheets.make_link_relations_xml(
        {"rId1": "mailto:ama@example.com"}
    )
    write_file("strict-dates-and-links.xlsx", zip_parts(convert_to_strict_parts(parts)))
    no_sheets = f'<workbook xmlns="{spreadsheets.MAIN_NS}"><sheets/></workbook>'
    write_file(
        "strict-no-sheet.xlsx",
        zip_parts(convert_to_strict_parts(parts | {"xl/workbook.xml": no_sheets})),
    )


def make_people_cells() -> dict[tuple[int, int], object]:
    return {
        (r, c): make_ods_cell
        for r, cells in enumerate(PEOPLE)
        for c, make_ods_cell in enumerate(cells)
        if make_ods_cell is not None
    }


def write_damaged_xls_files() -> None:
    """Write .xls files with damage that only xlrd fails on."""
    people = make_people_cells()
    name = make_record(0x18, struct.pack("<HBBHHHI", 0, 0, 3, 3, 0, 0, 0) + b"\0abc\0\0\0")
    write_file("bad-formula-of-a-name.xls", make_xls_workbook(people, globals_more=name))
    write_file(
        "unknown-cell-style.xls", make_xls_workbook(people | {(2, 5): (46149, 98)}, ["mmm-yy"])
    )
    link = make_record(0x1B8, bytes(8) + bytes(24))
    write_file("unknown-link.xls", make_xls_workbook(people | {(1, 5): b"\x17"}, sheet_more=link))
    whole = bytearray(make_xls_workbook(people | {(2, 5): (46149, 0)}, ["mmm-yy"]))
    struct.pack_into("<I", whole, xls_workbooks.SECTOR_BYTES + 4 * 5, 3)
    write_file("sectors-in-a-loop.xls", bytes(whole))


def write_xlsb_files() -> None:
    rows = {
        n: {c: make_ods_cell for c, make_ods_cell in enumerate(cells) if make_ods_cell is not None}
        for n, cells in enumerate(PEOPLE, start=1)
    }
    rows[2] |= {5: (46149, 0), 6: (0.5, 1), 7: (1.5, 2), 8: True, 9: b"\x07", 10: 1.5e19}
    write_file("binary.xlsb", spreadsheets.make_xlsb_workbook(rows, ["mmm-yy", "h:mm", "[h]:mm"]))


def write_xls_files() -> None:
    book = xlwt.Workbook()
    cover, data, old = (book.add_sheet(name) for name in ("Cover", "Customers", "Old"))
    old.visibility = 2
    cover.write(0, 0, "Customer list")
    for sheet in (data, old):
        for number, cells in enumerate(PEOPLE):
            for column, make_ods_cell in enumerate(cells):
                if make_ods_cell is not None:
                    sheet.write(number, column, make_ods_cell)
    book.save(str(FOLDER / "xlwt.xls"))
    whole = (FOLDER / "xlwt.xls").read_bytes()
    write_file("truncated.xls", whole[: len(whole) // 2])
    book = xlwt.Workbook()
    sheet = book.add_sheet("Cells")
    formats = ["yyyy-mm-dd", "yyyy-mm-dd hh:mm", "hh:mm:ss", "[h]:mm:ss", "00000"]
    styles = [xlwt.easyxf(num_format_str=code) for code in formats]
    for column, value in enumerate([DAY, NOON, NOON.time(), 1.5, 412]):
        sheet.write(1, column, value, styles[column])
    for column, value in enumerate([233244123451, 12.0, 0.1, True, "\u00a0Ama\n😀"]):
        sheet.write(3, column, value)
    sheet.write_merge(5, 6, 0, 0, "Mensah")
    sheet.write(5, 1, "Ama")
    sheet.write(6, 1, "Kofi")
    book.save(str(FOLDER / "cells.xls"))
    stream = book.get_biff_data()
    begin = 4 + struct.unpack_from("<H", stream, 2)[0]
    locked = stream[:begin] + struct.pack("<HH6s", 0x2F, 6, b"\0\0abcd") + stream[begin:]
    XlsDoc().save(str(FOLDER / "password.xls"), locked)


def make_ods_cell(
    value: object = None, kind: str = "string", display_text: str | None = None, **attributes
) -> TableCell:
    if value is None and not attributes:
        return TableCell()
    names = {"float": "value", "date": "datevalue", "time": "timevalue", "boolean": "booleanvalue"}
    value_attribute = {names[kind]: value} if kind in names else {}
    element = (
        TableCell(valuetype=kind, **value_attribute, **attributes)
        if kind
        else TableCell(**attributes)
    )
    if display_text or kind == "string":
        element.addElement(P(text=display_text or str(value)))
    return element


def make_ods_table(name: str, rows: list, **attributes) -> Table:
    table = Table(name=name, **attributes)
    for cells in rows:
        row = TableRow()
        for cell in cells:
            is_cell = hasattr(cell, "qname")
            row.addElement(cell if is_cell else make_ods_cell(cell))
        table.addElement(row)
    return table


def write_ods_files() -> None:
    document = OpenDocumentSpreadsheet()
    hidden_style = Style(name="unseen", family="table")
    hidden_style.addElement(TableProperties(display="false"))
    document.automaticstyles.addElement(hidden_style)
    document.spreadsheet.addElement(make_ods_table("Old", PEOPLE[:2], stylename=hidden_style))
    document.spreadsheet.addElement(make_ods_table("Cover", [["Customer list"]]))
    document.spreadsheet.addElement(make_ods_table("Customers", PEOPLE))
    document.save(str(FOLDER / "odfpy.ods"))
    whole = (FOLDER / "odfpy.ods").read_bytes()
    write_file("truncated.ods", whole[: len(whole) // 2])

    document = OpenDocumentSpreadsheet()
    noted = make_ods_cell("Ama")
    note = Annotation()
    note.addElement(P(text="a note"))
    noted.addElement(note)
    lines = TableCell(valuetype="string")
    paragraph = P(text="two")
    paragraph.addElement(S(c=2))
    paragraph.addText("spaces")
    paragraph.addElement(LineBreak())
    paragraph.addText("broken")
    lines.addElement(paragraph)
    lines.addElement(P(text="again"))
    numbers = [
        make_ods_cell(412, "float", "00412"),
        make_ods_cell(233244123451, "float", "2.33E+11"),
        make_ods_cell("2026-01-31", "date", "31.01.26"),
        make_ods_cell("PT12H30M00S", "time", "12:30"),
        make_ods_cell("PT36H00M00S", "time", "36:00"),
        make_ods_cell("true", "boolean", "WAHR"),
    ]
    rows = [[], numbers, [noted, lines], [make_ods_cell(kind="", formula="of:=1+1")]]
    sheet = make_ods_table("Cells", rows)
    sheet.addElement(TableRow(numberrowsrepeated=3))
    repeated = TableRow(numberrowsrepeated=2)
    repeated.addElement(make_ods_cell("x", numbercolumnsrepeated=2))
    sheet.addElement(repeated)
    for first in (True, False):
        line = TableRow()
        line.addElement(
            make_ods_cell("Mensah", numberrowsspanned=2) if first else CoveredTableCell()
        )
        line.addElement(make_ods_cell("Ama" if first else "Kofi"))
        sheet.addElement(line)
    sheet.addElement(TableRow(numberrowsrepeated=1_048_000))
    document.spreadsheet.addElement(sheet)
    document.save(str(FOLDER / "cells.ods"))
    write_file(
        "password.ods",
        zip_parts(
            {
                "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
                "content.xml": b"\x8f\0",
                "META-INF/manifest.xml": "<manifest:encryption-data/>",
            }
        ),
    )
    write_file("document.odt", zip_parts({"mimetype": "application/vnd.oasis.opendocument.text"}))


def join_rows(rows: list, delimiter: str = ",", end: str = "\n") -> str:
    return "".join(delimiter.join(c or "" for c in cells) + end for cells in rows)


def write_csv_files() -> None:
    plain = join_rows(PEOPLE)
    write_file("comma.csv", plain.encode())
    header = ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"]
    invalid = [[None, None, None, "x", "1"], [None, None, None, "y", "2"]]
    write_file("every-row-fails.csv", join_rows([header, *invalid]).encode())
    write_file("named.xlsx", plain.encode())
    write_file("crlf.csv", join_rows(PEOPLE, end="\r\n").encode())
    write_file("bom.csv", b"\xef\xbb\xbf" + join_rows(ACCENTS, ";").encode())
    write_file("utf-16.csv", join_rows(ACCENTS, "\t").encode("utf-16"))
    write_file("utf-16-le.csv", join_rows(ACCENTS, ";").encode("utf-16-le"))
    write_file("utf-16-be.csv", join_rows(ACCENTS).encode("utf-16-be"))
    write_file("windows-1252.csv", join_rows(ACCENTS, ";").encode("cp1252"))
    write_file("windows-1250.csv", join_rows(CZECH, ";").encode("cp1250"))
    write_file("windows-1251.csv", join_rows(RUSSIAN, ";").encode("cp1251"))
    write_file("mac.csv", join_rows(ACCENTS, ";").encode("mac_roman"))
    write_file("tab.tsv", join_rows(PEOPLE, "\t").encode())
    write_file("bar.txt", join_rows(PEOPLE, "|").encode())
    write_file("sep.csv", ("sep=|\n" + join_rows(PEOPLE, "|")).encode())
    write_file("caret.txt", join_rows(PEOPLE, "^").encode())
    quoted = [[f"'{c}'" for c in cells] for cells in [["a", "b,c"], ["d", "it is"]]]
    write_file("single-quotes.csv", join_rows(quoted).encode())
    write_file("escaped-quotes.csv", b'a,b\n"say \\"hi\\" now","x, y"\n')
    write_file("doubled-quotes.csv", b'a,b\n"say ""hi"" now","two\nlines"\nc,d\n')
    write_file("unclosed-quote.csv", b'a,b\nc,d\n"e,f\ng,h\n')
    write_file("decimal-comma.csv", b"mark;weight\nA1;1,5\nA2;2,25\n")
    write_file("no-header.csv", join_rows(PEOPLE[1:]).encode())
    write_file("titles.csv", ("Customers\n\n" + plain).encode())
    write_file("empty.csv", b"")
    write_file("nul.csv", b"name,phone\nA\0ma,024\nKofi,025\n")


def write_files_of_values() -> None:
    """Write values as people and programs spell them."""
    write_file(
        "phones-with-slashes.csv", join_rows(make_customers("PS", PHONES_WITH_SLASHES)).encode()
    )
    write_file(
        "phones-as-numbers.csv", join_rows(make_customers("PN", PHONES_AS_NUMBERS), ";").encode()
    )
    write_file("phones-with-words.csv", join_rows(make_customers("PW", PHONES_WITH_WORDS)).encode())
    headers = ["Shipping\u00a0Mark", "First\u200bName", "\ufeffLast Name", "E\u2011mail"]
    marked = make_customers("IM", PHONES_WITH_MARKS, [*headers, "Phone\u202f Number"])
    write_file("invisible-marks.csv", join_rows(marked, end="\r\n").encode())
    write_file("garbled-text.csv", join_rows(GARBLED).encode())
    write_file("finnish-headers.csv", join_rows([FINNISH, *PEOPLE[1:]]).encode())


def write_other_files() -> None:
    people = join_rows(PEOPLE).encode()
    write_file("compressed.csv.gz", gzip.compress(people, mtime=0))
    write_file("compressed.zip", zip_parts({"customers.csv": people}))
    write_file(
        "password.xlsx",
        spreadsheets.OLE2_SIGNATURE + bytes(2_000) + "EncryptedPackage".encode("utf-16-le"),
    )
    write_file("web-page.xls", b"<html><body><table><tr><td>Phone</td></tr></table></body></html>")
    write_file(
        "excel-2003.xls",
        b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>'
        b'<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>',
    )
    write_file("document.xlsx", b"%PDF-1.7\n1 0 obj\n")
    write_file("picture.xlsx", b"\x89PNG\r\n\x1a\n" + bytes(100))
    write_file("sheet.numbers", zip_parts({"Index/Document.iwa": b"\0", "preview.jpg": b"\0"}))
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    write_file("document.docx", zip_parts({"[Content_Types].xml": f'<Types x="{kind}"/>'}))
    write_file("document.rtf", b"{\\rtf1 Phone}")
    write_file("data.xml", b'<?xml version="1.0"?><customers/>')
    write_file("noise.csv", bytes(range(32)) * 20)


def write_libreoffice_files() -> None:
    convert_with_libreoffice("openpyxl.xlsx", "xlsx", "libreoffice.xlsx")
    convert_with_libreoffice("openpyxl.xlsx", "xls", "libreoffice.xls")
    convert_with_libreoffice("cover.xlsx", "ods", "libreoffice.ods")
    convert_with_libreoffice("cells.xlsx", "ods", "libreoffice-cells.ods")
    convert_with_libreoffice("cells.xlsx", "xls", "libreoffice-cells.xls")
    convert_with_libreoffice("merged.xlsx", "ods", "merged.ods")


def convert_with_libreoffice(name: str, file_format: str, converted_name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                "soffice",
                "--headless",
                "--convert-to",
                file_format,
                "--outdir",
                folder,
                str(FOLDER / name),
            ],
            check=True,
            capture_output=True,
        )
        converted = Path(folder) / Path(name).with_suffix(f".{file_format}").name
        write_file(converted_name, converted.read_bytes())


if __name__ == "__main__":
    main()
