"""What is expected of each file of this folder: clause, file, outcome."""

from typing import Any, NamedTuple

from imports.pipeline.reader.cell_conversion import FORMULA_WITHOUT_VALUE as FORMULA

HEAD = ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]
PEOPLE = [
    HEAD,
    ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
    ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
]
ACCENTS = [HEAD, ["K 1", "Zoë", "Müller", None, "0244123451"],
           ["K 2", "José", "Größmann", None, "0244123452"]]  # fmt: skip
CZECH = [HEAD, ["C 1", "Jiří", "Dvořák", None, "0244123451"],
         ["C 2", "Běla", "Nováková", None, "0244123452"],
         ["C 3", "Łukasz", "Świątek", None, "0244123453"]]  # fmt: skip
RUSSIAN = [HEAD, ["R 1", "Иван", "Смирнов", None, "0244123451"],
           ["R 2", "Пётр", "Щукин", None, "0244123452"]]  # fmt: skip

THREE_HUNDRED_COLUMNS = {
    1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number",
        *[f"Month {n}" for n in range(300)]],
    2: ["TC-1", "Yaa", "Owusu", None, "0241000122", *range(300)],
}  # fmt: skip
FAR_RIGHT = [*[None] * 895, "moved by accident"]
# Values as people and programs write them: the cell of a phone column, then the number.
PHONES_WITH_SLASHES = {
    "024/1000151": "+233241000151",
    "+233 24/100/0152": "+233241000152",
    "tel:+233-24-100-0153": "+233241000153",
    "0241000154/0201000155": None,
    "024 100 0156 / +233 24 100 0156": "+233241000156",
    "024\\100\\0157": "+233241000157",
    "0241000158/9": None,
}
PHONES_AS_NUMBERS = {
    "233247146001.0": "+233247146001",
    "2.33247146002E11": "+233247146002",
    "2,33247146003E+11": "+233247146003",
    "233 247 146 004,00": "+233247146004",
    "0247146005.00": "+233247146005",
    "2.33247E+11": None,
    "+2.33247146007E+11": "+233247146007",
    "233.247.146.008": "+233247146008",
    "233,247,146,009.00": "+233247146009",
    "233'247'146'010": "+233247146010",
}
PHONES_WITH_MARKS = {
    "\u202a+233247142001\u202c": "+233247142001",
    "\u2068 0247142002\u2069": "+233247142002",
    "\ufe0d024\u00a07142003": "+233247142003",
    "0247\u2060 142\u200b006": "+233247142006",
    "\uff0b\uff12\uff13\uff13 24 714 2008": "+233247142008",
    "024\u20117142\u2011009": "+233247142009",
    "0247\u00ad142010": "+233247142010",
    "\u0660\u0662\u0664\u0667\u0661\u0664\u0662\u0660\u0661\u0662": "+233247142012",
    "\u06f0\u06f2\u06f4\u06f7\u06f1\u06f4\u06f2\u06f0\u06f1\u06f3": "+233247142013",
    "\u00e2\u20ac\u00aa0247142014\u00e2\u20ac\u00ac": "+233247142014",
}
PHONES_WITH_WORDS = {
    "Tel: 0247142021": "+233247142021",
    "Mob. 024 714 2022": "+233247142022",
    "0247142023 (WhatsApp)": "+233247142023",
    "https://wa.me/233247142024": "+233247142024",
    "Fax: 0247142025": None,
    "0247142026 call after 6": None,
    "0247142027 ext 5": None,
    "Tel 0247142028 Mob 0207142028": None,
}
FINNISH = ["Merkki", "Etunimi", "Sukunimi", "S\u00e4hk\u00f6posti", "Puhelin"]
GARBLED = [
    HEAD,
    ["G 1", "No\u00c3\u00abl", "Mensah", None, "0244123451"],
    ["G 2", "Ama", "D\u00c3\u00adaz", None, "0244123452"],
    ["G 3", "Ama", "No\u00c3\u0192\u00c2\u00abl", None, "0244123453"],
    ["G 4", "No\ufffdl", "Mensah", None, "0244123454"],
    ["G 5", "Jo\u00e3o", "CONCEI\u00c7\u00c3O", None, "0244123455"],
    ["1.23457E+19", "Ama", "Mensah", None, "0244123456"],
    ["219E24", "\u202eAma\u202c", "Men\u00adsah", None, "0244123457"],
]


def customers_of(mark: str, phones: dict, headers: list = HEAD) -> list[list]:
    """A row for each phone: the mark with a number, and a name."""
    rows = [
        [f"{mark}-{number}", "Ama", "Mensah", None, phone]
        for number, phone in enumerate(phones, start=1)
    ]
    return [headers, *rows]


class Read(NamedTuple):
    """A file that is read: which format, how it was opened, its rows, where its header is."""

    clause: str
    file: str
    format: str
    opened: dict[str, Any]
    rows: dict[int, list]
    header_row: int | None = 1
    missing: list[str] = []
    options: dict[str, str] = {}


class Refused(NamedTuple):
    """A file that is not, and why."""

    clause: str
    file: str
    code: str
    params: dict[str, int] = {}
    options: dict[str, str] = {}


def numbered(rows: list[list], first: int = 1) -> dict[int, list]:
    return dict(enumerate(rows, start=first))


CASES = [
    # --- success
    Read(
        "success",
        "every-row-fails.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        numbered(
            [
                ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
                [None, None, None, "x", "1"],
                [None, None, None, "y", "2"],
            ]
        ),
    ),
    # --- formats
    Read(
        "formats",
        "openpyxl.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "xlsxwriter.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "libreoffice.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "macros.xlsm",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "template.xltx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "xlwt.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Cover", "Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "libreoffice.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "odfpy.ods",
        "ods",
        {"sheet": "Customers", "sheets": ["Cover", "Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "formats",
        "libreoffice.ods",
        "ods",
        {"sheet": "Data", "sheets": ["Cover", "Notes", "Data"]},
        numbered(PEOPLE),
    ),
    Read("formats", "comma.csv", "csv", {"encoding": "utf-8", "delimiter": ","}, numbered(PEOPLE)),
    Read("formats", "crlf.csv", "csv", {"encoding": "utf-8", "delimiter": ","}, numbered(PEOPLE)),
    Read("formats", "tab.tsv", "csv", {"encoding": "utf-8", "delimiter": "\t"}, numbered(PEOPLE)),
    Read("formats", "bar.txt", "csv", {"encoding": "utf-8", "delimiter": "|"}, numbered(PEOPLE)),
    Read(
        "formats",
        "sep.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": "|"},
        numbered(PEOPLE, 2),
        header_row=2,
        missing=[],
    ),
    # --- told apart by content
    Read(
        "told apart by content",
        "named.csv",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
    ),
    Read(
        "told apart by content",
        "named.xlsx",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        numbered(PEOPLE),
    ),
    # --- encodings
    Read(
        "encodings",
        "bom.csv",
        "csv",
        {"encoding": "utf-8-sig", "delimiter": ";"},
        numbered(ACCENTS),
    ),
    Read(
        "encodings",
        "utf-16.csv",
        "csv",
        {"encoding": "utf-16", "delimiter": "\t"},
        numbered(ACCENTS),
    ),
    Read(
        "encodings",
        "utf-16-le.csv",
        "csv",
        {"encoding": "utf-16-le", "delimiter": ";"},
        numbered(ACCENTS),
    ),
    Read(
        "encodings",
        "utf-16-be.csv",
        "csv",
        {"encoding": "utf-16-be", "delimiter": ","},
        numbered(ACCENTS),
    ),
    Read(
        "encodings",
        "windows-1252.csv",
        "csv",
        {"encoding": "windows-1252", "delimiter": ";"},
        numbered(ACCENTS),
    ),
    Read(
        "encodings",
        "windows-1250.csv",
        "csv",
        {"encoding": "windows-1250", "delimiter": ";"},
        numbered(CZECH),
    ),
    Read(
        "encodings",
        "windows-1251.csv",
        "csv",
        {"encoding": "windows-1251", "delimiter": ";"},
        numbered(RUSSIAN),
    ),
    # --- delimiters and quotes
    Read(
        "delimiters and quotes",
        "decimal-comma.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ";"},
        {1: ["mark", "weight"], 2: ["A1", "1,5"], 3: ["A2", "2,25"]},
        header_row=1,
        missing=["first_name", "last_name", "phone"],
    ),
    Read(
        "delimiters and quotes",
        "single-quotes.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {1: ["a", "b,c"], 2: ["d", "it is"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "delimiters and quotes",
        "escaped-quotes.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {1: ["a", "b"], 2: ['say "hi" now', "x, y"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "delimiters and quotes",
        "doubled-quotes.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {1: ["a", "b"], 2: ['say "hi" now', "two\nlines"], 3: ["c", "d"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Refused("delimiters and quotes", "unclosed-quote.csv", "unclosed_quote", {"row": 3}),
    Read(
        "delimiters and quotes",
        "titles.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: ["Customers"],
            3: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            4: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            5: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
        },
        header_row=3,
        missing=[],
    ),
    # --- a wrong guess is overridden
    Read(
        "a wrong guess is overridden",
        "mac.csv",
        "csv",
        {"encoding": "mac-roman", "delimiter": ";"},
        numbered(ACCENTS),
        options={"encoding": "mac_roman"},
    ),
    Read(
        "a wrong guess is overridden",
        "caret.txt",
        "csv",
        {"encoding": "utf-8", "delimiter": "^"},
        numbered(PEOPLE),
        options={"delimiter": "^"},
    ),
    Refused(
        "a wrong guess is overridden",
        "windows-1252.csv",
        "wrong_encoding",
        {},
        options={"encoding": "utf-8"},
    ),
    Refused(
        "a wrong guess is overridden",
        "comma.csv",
        "wrong_encoding",
        {},
        options={"encoding": "klingon"},
    ),
    Refused(
        "a wrong guess is overridden",
        "comma.csv",
        "wrong_delimiter",
        {},
        options={"delimiter": ";;"},
    ),
    Read(
        "a wrong guess is overridden",
        "tab.tsv",
        "csv",
        {"encoding": "ascii", "delimiter": "\t"},
        numbered(PEOPLE),
        options={"delimiter": "\t", "encoding": "ASCII"},
    ),
    Read(
        "a wrong guess is overridden",
        "openpyxl.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        numbered(PEOPLE),
        options={"encoding": "utf-8", "delimiter": ","},
    ),
    # --- no spreadsheet
    Refused("no spreadsheet", "compressed.csv.gz", "compressed_file", {}),
    Refused("no spreadsheet", "compressed.zip", "compressed_file", {}),
    Refused("no spreadsheet", "web-page.xls", "html_file", {}),
    Refused("no spreadsheet", "excel-2003.xls", "xml_spreadsheet", {}),
    Refused("no spreadsheet", "document.xlsx", "pdf_file", {}),
    Refused("no spreadsheet", "picture.xlsx", "image_file", {}),
    Refused("no spreadsheet", "sheet.numbers", "numbers_file", {}),
    Refused("no spreadsheet", "document.docx", "text_document", {}),
    Refused("no spreadsheet", "document.odt", "text_document", {}),
    Refused("no spreadsheet", "document.rtf", "text_document", {}),
    Refused("no spreadsheet", "data.xml", "xml_file", {}),
    Refused("no spreadsheet", "noise.csv", "not_a_spreadsheet", {}),
    Refused("no spreadsheet", "empty.csv", "empty_file", {}),
    # --- protected
    Refused("protected", "password.xlsx", "encrypted_file", {}),
    Refused("protected", "password.xls", "encrypted_file", {}),
    Refused("protected", "password.ods", "encrypted_file", {}),
    # --- damaged
    Refused("damaged", "truncated.xlsx", "damaged_file", {}),
    Refused("damaged", "truncated.xls", "damaged_file", {}),
    Refused("damaged", "truncated.ods", "damaged_file", {}),
    # --- hostile
    Refused("hostile", "declared-entity.xlsx", "damaged_file", {}),
    Refused("hostile", "bomb.xlsx", "too_large_inflated", {"bytes": 20971714, "limit": 1048576}),
    # --- the sheet with the rows
    Read(
        "the sheet with the rows",
        "cover.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Cover", "Notes", "Data"]},
        numbered(PEOPLE),
    ),
    Read(
        "the sheet with the rows",
        "hidden.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        numbered(PEOPLE),
    ),
    Read(
        "the sheet with the rows",
        "empty-first.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Empty", "Data"]},
        numbered(PEOPLE),
    ),
    Read(
        "the sheet with the rows",
        "blank.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {},
        header_row=None,
        missing=[],
    ),
    # --- the sheet that is named
    Read(
        "the sheet that is named",
        "cover.xlsx",
        "xlsx",
        {"sheet": "Notes", "sheets": ["Cover", "Notes", "Data"]},
        {1: ["Phone"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name"],
        options={"sheet": "Notes"},
    ),
    Read(
        "the sheet that is named",
        "cover.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Cover", "Notes", "Data"]},
        numbered(PEOPLE),
        options={"sheet": " data"},
    ),
    Read(
        "the sheet that is named",
        "hidden.xlsx",
        "xlsx",
        {"sheet": "Older", "sheets": ["Data"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
        },
        options={"sheet": "Older"},
    ),
    Read(
        "the sheet that is named",
        "xlwt.xls",
        "xls",
        {"sheet": "Old", "sheets": ["Cover", "Customers"]},
        numbered(PEOPLE),
        options={"sheet": "Old"},
    ),
    Read(
        "the sheet that is named",
        "odfpy.ods",
        "ods",
        {"sheet": "Old", "sheets": ["Cover", "Customers"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
        },
        options={"sheet": "Old"},
    ),
    Refused(
        "the sheet that is named",
        "cover.xlsx",
        "no_such_sheet",
        {"sheets": ["Cover", "Notes", "Data"]},
        options={"sheet": "Kunden"},
    ),
    Refused(
        "the sheet that is named",
        "xlwt.xls",
        "no_such_sheet",
        {"sheets": ["Cover", "Customers"]},
        options={"sheet": "Kunden"},
    ),
    Refused(
        "the sheet that is named",
        "odfpy.ods",
        "no_such_sheet",
        {"sheets": ["Cover", "Customers"]},
        options={"sheet": "Kunden"},
    ),
    Read(
        "the sheet that is named",
        "comma.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        numbered(PEOPLE),
        options={"sheet": "Kunden"},
    ),
    # --- the header row
    Read(
        "the header row",
        "titles.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Customers of branch Accra"],
            3: [None, "as of", "2026-01-31"],
            6: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            7: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            8: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
        },
        header_row=6,
        missing=[],
    ),
    Read(
        "the header row",
        "two-levels.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Mark", "Name", None, "E-mail", "Phone"],
            2: ["Mark", "First name", "Last name", "E-mail", "Phone"],
            3: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            4: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
        },
        header_row=2,
        missing=[],
    ),
    Read(
        "the header row",
        "no-header.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        numbered(PEOPLE[1:]),
        header_row=0,
        missing=[],
    ),
    Read(
        "the header row",
        "no-header.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        numbered(PEOPLE[1:]),
        header_row=0,
        missing=[],
    ),
    Read(
        "the header row",
        "only-headers.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]},
    ),
    # --- headers
    Read(
        "headers",
        "folded-headers.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["SHIPPING-MARK:", " prénoms ", "Nom de famille*", "E_MAIL", "Téléphone."],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            3: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
        },
    ),
    Read(
        "headers",
        "ambiguous.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Mobile", "Telephone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451", "0201234567"],
            3: ["ACC 2", "Kofi", "Boateng", None, "0244123452", "0201234567"],
        },
        header_row=1,
        missing=["phone"],
    ),
    Read(
        "headers",
        "close-headers.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Shiping mark", "First nam", "Last name", "E-mail", "Customer phone no."],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            3: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "phone"],
    ),
    Read(
        "headers",
        "unknown-headers.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Kundennr", "Vorname", "Zuname", "Elektropost", "Rufnummer"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            3: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
        },
        header_row=1,
    ),
    # --- cells
    Read(
        "cells",
        "numbers.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["m1", 12, 233244123451, 244123452, 0.1],
            2: [True, "2026-01-31", "2026-01-31T12:30:00", "12:30:00", -7],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "cells.xlsx",
        "xlsx",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            1: ["00412", "244123451", "(024) 412-3451"],
            2: ["Ama Mensah"],
            3: ["ab", "#DIV/0!", FORMULA, 2],
            4: ["two\nlines", "\xa0Ama\xa0", "A\u200bma", "\u202bعمر\u202c", "😀"],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "libreoffice-cells.ods",
        "ods",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            1: ["00412", 244123451, "(024) 412-3451"],
            2: ["Ama Mensah"],
            3: ["ab", "#DIV/0!", FORMULA, 2],
            4: ["two\nlines", "\xa0Ama\xa0", "A\u200bma", "\u202bعمر\u202c", "😀"],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "libreoffice-cells.xls",
        "xls",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            1: ["00412", "244123451", "(024) 412-3451"],
            2: ["Ama Mensah"],
            3: [0, "#DIV/0!", None, 2],
            4: ["two\nlines", "\xa0Ama\xa0", "A\u200bma", "\u202bعمر\u202c", "😀"],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "cells.xls",
        "xls",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            2: ["2026-01-31", "2026-01-31T12:30:00", "12:30:00", "36:00:00", "00412"],
            4: [233244123451, 12, 0.1, True, "\xa0Ama\n😀"],
            6: ["Mensah", "Ama"],
            7: ["Mensah", "Kofi"],
        },
        header_row=2,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "cells.ods",
        "ods",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            2: ["00412", 233244123451, "2026-01-31", "12:30:00", "36:00:00", True],
            3: ["Ama", "two  spaces\nbroken\nagain"],
            4: [FORMULA],
            8: ["x", "x"],
            9: ["x", "x"],
            10: ["Mensah", "Ama"],
            11: ["Mensah", "Kofi"],
        },
        header_row=2,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "odd-cells.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {1: ["nul \x00", "half _xD800_", "\rend"], 4: [None, "#REF!", True], 9: [FORMULA]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "formula-without-value.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            3: [FORMULA, "Kofi", "Boateng", None, "0244123452"],
        },
    ),
    Read(
        "cells",
        "long-cell.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {1: ["a" * 32_767, "b"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    Read(
        "cells",
        "nul.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {1: ["name", "phone"], 2: ["A\x00ma", "024"], 3: ["Kofi", "025"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name"],
    ),
    # --- values
    *(
        Read(
            "values",
            file,
            "csv",
            {"encoding": "utf-8", "delimiter": delimiter},
            numbered(rows),
        )
        for file, delimiter, rows in (
            ("phones-with-slashes.csv", ",", customers_of("PS", PHONES_WITH_SLASHES)),
            ("phones-as-numbers.csv", ";", customers_of("PN", PHONES_AS_NUMBERS)),
            ("phones-with-words.csv", ",", customers_of("PW", PHONES_WITH_WORDS)),
            ("garbled-text.csv", ",", GARBLED),
        )
    ),
    Read(
        "values",
        "invisible-marks.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        numbered(
            customers_of(
                "IM",
                PHONES_WITH_MARKS,
                [
                    *("Shipping\u00a0Mark", "First\u200bName", "\ufeffLast Name"),
                    *("E\u2011mail", "Phone\u202f Number"),
                ],
            )
        ),
    ),
    Read(
        "headers",
        "finnish-headers.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        numbered([FINNISH, *PEOPLE[1:]]),
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    # --- merged cells
    Read(
        "merged cells",
        "merged.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            3: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
            4: ["ACC 3", "Esi", "Boateng", None, "0244123453"],
            5: ["ACC 4", "Ama", "Mensah", None, "0244123454"],
        },
    ),
    Read(
        "merged cells",
        "merged.ods",
        "ods",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            3: ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
            4: ["ACC 3", "Esi", "Boateng", None, "0244123453"],
            5: ["ACC 4", "Ama", "Mensah", None, "0244123454"],
        },
    ),
    # --- row numbers, and no row dropped
    Read(
        "row numbers, and no row dropped",
        "lying-dimension.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {1: ["a1", "b"], 2: ["a2", "b"], 7: ["a7", "b"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    # --- what a workbook shows, hides and links to
    Read(
        "what a workbook shows, hides and links to",
        "mark-turned-into-a-date.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            2: ["2026-05-07", "Yaa", "Owusu", None, "0241000141"],
            3: ["DM-2", "Kojo", "Osei", None, "0241000142"],
        },
    ),
    Read(
        "what a workbook shows, hides and links to",
        "marks-the-spreadsheet-changed.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            2: ["2026-03-12", "Kofi", "Boateng", "f29r1@example.org", "0247129001"],
            3: ["2012-03-01", "Esi", "Osei", "f29r2@example.org", "0247129002"],
            4: [2.19e26, "Yaw", "Asante", "f29r3@example.org", "0247129003"],
            5: [12345678901234569216, "Akua", "Owusu", "f29r4@example.org", "0247129004"],
            6: ["12:00:00", "Kojo", "Darko", "f29r5@example.org", "0247129005"],
        },
    ),
    Read(
        "what a workbook shows, hides and links to",
        "filtered-rows-hidden-column.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
            "hidden_columns": [4],
        },
        {
            1: [
                "Shipping Mark",
                "First Name",
                "Last Name",
                "Email",
                "Phone",
                "Phone Number",
                "Active",
            ],
            2: ["F30-1", "Kofi", "Boateng", "f30r1@example.org", "0247130091", "0247130001", "yes"],
            3: ["F30-2", "Esi", "Osei", "f30r2@example.org", "0247130092", "0247130002", "no"],
            4: ["F30-3", "Yaw", "Asante", "f30r3@example.org", "0247130093", "0247130003", "no"],
            5: ["F30-4", "Akua", "Owusu", "f30r4@example.org", "0247130094", "0247130004", "yes"],
            6: ["F30-5", "Kojo", "Darko", "f30r5@example.org", "0247130095", "0247130005", "no"],
        },
        header_row=1,
        missing=[],
    ),
    Read(
        "what a workbook shows, hides and links to",
        "address-behind-a-link.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            2: ["HL-1", "Yaa", "Owusu", "Write to Yaa", "0241000196"],
        },
    ),
    # --- wide sheets
    Read(
        "wide sheets",
        "one-cell-far-right.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            2: ["FR-1", "Yaa", "Owusu", None, "0241000121", *FAR_RIGHT],
        },
    ),
    Read(
        "wide sheets",
        "three-hundred-columns.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        THREE_HUNDRED_COLUMNS,
    ),
    # --- strict workbooks
    Read(
        "strict workbooks",
        "strict-inline-strings.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        numbered(PEOPLE),
    ),
    Read(
        "strict workbooks",
        "strict-shared-strings.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        numbered(PEOPLE),
    ),
    Read(
        "strict workbooks",
        "strict-dates-and-links.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        {
            1: ["Shipping mark", "Phone", "E-mail"],
            2: ["2026-05-07", "0244123451", "Write to Ama"],
            3: ["2026-05-07T12:30:00", "12:00:00"],
        },
        header_row=1,
        missing=["first_name", "last_name"],
    ),
    Refused("strict workbooks", "strict-no-sheet.xlsx", "no_sheet", {}),
    # --- old workbooks that xlrd gives up
    Read(
        "old workbooks that xlrd gives up",
        "bad-formula-of-a-name.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        numbered(PEOPLE),
    ),
    Read(
        "old workbooks that xlrd gives up",
        "unknown-cell-style.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        {
            1: PEOPLE[0],
            2: PEOPLE[1],
            3: [*PEOPLE[2], 46149],
        },
    ),
    Read(
        "old workbooks that xlrd gives up",
        "unknown-link.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        numbered(PEOPLE),
    ),
    Read(
        "old workbooks that xlrd gives up",
        "sectors-in-a-loop.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        {
            1: PEOPLE[0],
            2: PEOPLE[1],
            3: [*PEOPLE[2], "2026-05-07"],
        },
    ),
    # --- binary workbooks
    Read(
        "binary workbooks",
        "binary.xlsb",
        "xlsb",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        {
            1: PEOPLE[0],
            2: [*PEOPLE[1], "2026-05-07", "12:00:00", "36:00:00", True, None, 15000000000000000000],
            3: PEOPLE[2],
        },
    ),
    Refused("binary workbooks", "not-binary.xlsb", "damaged_file", {}),
    # --- what people hand in, made after reports of other importers
    Read(
        "what people hand in",
        "one-line-in-another-encoding.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ",", "second_encoding": "windows-1252"},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            2: ["ML-1", "Noël", "Françoise", None, "0241000131"],
            3: ["ML-2", "José", "Núñez", None, "0241000132"],
            4: ["ML-3", "Søren", "Đặng", None, "0241000133"],
        },
    ),
    Read(
        "what people hand in",
        "header-lacks-last-delimiter.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ";"},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            2: ["TL-1", "Yaa, Afia", "Owusu", None, "0241000101"],
            3: ["TL-2", "Kojo, Yaw", "Osei", "kojo@example.org", "0241000102"],
            4: ["TL-3", "Esi", "Asante, Dr", None, "0241000103"],
        },
    ),
    Read(
        "what people hand in",
        "two-phone-columns.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone", "Phone"],
            2: ["TP-1", "Yaa", "Owusu", None, "0241000111", "0201000112"],
            3: ["TP-2", "Kojo", "Osei", None, None, "0201000113"],
        },
    ),
    Read(
        "what people hand in",
        "placeholders-for-nothing.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone"],
            2: ["PN-1", "Yaa", "Owusu", "N/A", "0241000161"],
            3: ["PN-2", "Kojo", "Osei", "-", "0241000162"],
            4: ["PN-3", "Esi", "Asante", "nil", "0241000163"],
            5: ["PN-4", "Ama", "Null", "none", "0241000164"],
        },
    ),
    Read(
        "what people hand in",
        "two-exports-pasted-together.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            2: ["PT-1", "Yaa", "Owusu", None, "0241000191"],
            3: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            4: ["PT-2", "Kojo", "Osei", None, "0241000192"],
        },
    ),
    Read(
        "what people hand in",
        "title-total-signature.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {
            1: ["Customer list, branch Tema"],
            2: ["printed 12.03.2026"],
            4: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
            5: ["F48-1", "Kofi", "Boateng", "f48r1@example.org", "0247148001"],
            6: ["F48-2", "Esi", "Osei", "f48r2@example.org", "0247148002"],
            7: ["F48-3", "Yaw", "Asante", "f48r3@example.org", "0247148003"],
            9: ["Total customers", None, None, None, 3],
            11: ["Checked by: ______"],
        },
        header_row=4,
        missing=[],
    ),
    Read(
        "what people hand in",
        "grouped-two-row-header.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {
            1: ["Shipping Mark", "Name", None, "Contact"],
            2: ["Shipping Mark", "First", "Last", "E-mail", "Phone"],
            3: ["F31-1", "Kofi", "Boateng", "f31r1@example.org", "0247131001"],
            4: ["F31-2", "Esi", "Osei", "f31r2@example.org", "0247131002"],
        },
        header_row=2,
        missing=[],
    ),
    Read(
        "what people hand in",
        "array-of-objects.json",
        "json",
        {},
        {1: ["JA-1", "Yaa", "Owusu", None, "0241000171"]},
        header_row=0,
        missing=[],
    ),
    Read(
        "what people hand in",
        "google-contacts.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: [
                "First Name",
                "Middle Name",
                "Last Name",
                "Labels",
                "E-mail 1 - Label",
                "E-mail 1 - Value",
                "Phone 1 - Label",
                "Phone 1 - Value",
                "Shipping mark",
            ],
            2: [
                "Yaa",
                None,
                "Owusu",
                "* myContacts",
                "* Work",
                "yaa@example.org",
                "Mobile",
                "0241000195",
                "GC-1",
            ],
        },
    ),
    Read(
        "what people hand in",
        "outlook-export.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: [
                "Title",
                "First Name",
                "Middle Name",
                "Last Name",
                "Suffix",
                "Company",
                "Business Phone",
                "Home Phone",
                "Mobile Phone",
                "E-mail Address",
                "E-mail Type",
                "E-mail Display Name",
                "User 1",
                "Notes",
            ],
            2: [
                None,
                "Kofi",
                "Nana",
                "Boateng",
                None,
                "Boat Ltd",
                None,
                None,
                "0247137001",
                "f37r1@example.org",
                "SMTP",
                "Kofi Boateng (f37r1@example.org)",
                "F37-1",
            ],
            3: [
                None,
                "Esi",
                None,
                "Osei",
                None,
                None,
                "0247137092",
                None,
                "0247137002",
                None,
                None,
                None,
                "F37-2",
                "two\r\nlines",
            ],
        },
        header_row=1,
        missing=["shipping_mark"],
    ),
    Read(
        "what people hand in",
        "long-text-in-an-unused-column.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number", "Notes"],
            2: ["LT-1", "Kofi", "Boateng", "lt1@example.org", "0247140001", "short"],
            3: ["LT-2", "Esi", "Osei", None, "0247140002", "y" * 32_767],
        },
    ),
    Refused("what people hand in", "contacts.vcf", "vcard_file", {}),
    Refused("what people hand in", "web-archive.xls", "web_archive", {}),
]


class Imported(NamedTuple):
    """What becomes of a file: status, error code, customers, (row, column, code), suggestions."""

    file: str
    customers: list[tuple[str, str]] = []
    status: str = "COMPLETE"
    code: str | None = None
    refused: set[tuple[int, str, str]] = set()
    suggested: dict[str, str] = {}
    options: dict[str, str] = {}


ONE = ("ACC 1", "+233244123451")
BOTH = [ONE, ("ACC 2", "+233244123452")]


def taken(mark: str, phones: dict[str, str | None]) -> list[tuple[str, str]]:
    """The customers that `customers_of` leads to, in the order of their marks."""
    numbers = enumerate(phones.values(), start=1)
    return sorted((f"{mark}-{number}", phone) for number, phone in numbers if phone)


IMPORTS = [
    *[
        Imported(file, BOTH)
        for file in (
            *("openpyxl.xlsx", "macros.xlsm", "xlwt.xls", "odfpy.ods", "tab.tsv", "sep.csv"),
            *("cover.xlsx", "hidden.xlsx", "libreoffice.ods", "titles.xlsx", "titles.csv"),
            *("two-levels.xlsx", "no-header.xlsx", "folded-headers.xlsx"),
        )
    ],
    Imported("caret.txt", BOTH, options={"delimiter": "^"}),
    Imported("hidden.xlsx", [ONE], options={"sheet": "old"}),
    Imported("windows-1251.csv", [("R 1", ONE[1]), ("R 2", BOTH[1][1])]),
    Imported(
        "formula-without-value.xlsx",
        [ONE],
        refused={(3, "shipping_mark", "formula_without_value")},
    ),
    Imported("merged.xlsx", [*BOTH, ("ACC 3", "+233244123453"), ("ACC 4", "+233244123454")]),
    Imported(
        "close-headers.xlsx",
        status="MAPPING",
        code="missing_columns",
        suggested={
            "Shiping mark": "shipping_mark",
            "First nam": "first_name",
            "Customer phone no.": "phone",
        },
    ),
    Imported(
        "ambiguous.xlsx", status="MAPPING", code="missing_columns", suggested={"Mobile": "phone"}
    ),
    Imported("unknown-headers.xlsx", BOTH, suggested={"Elektropost": "email"}),
    Imported(
        "finnish-headers.csv",
        status="MAPPING",
        code="missing_columns",
        suggested={"S\u00e4hk\u00f6posti": "email", "Puhelin": "phone"},
    ),
    Imported(
        "phones-with-slashes.csv",
        taken("PS", PHONES_WITH_SLASHES),
        refused={(5, "phone", "several_phones"), (8, "phone", "several_phones")},
    ),
    Imported(
        "phones-as-numbers.csv",
        taken("PN", PHONES_AS_NUMBERS),
        refused={(7, "phone", "phone_lost_digits")},
    ),
    Imported("invisible-marks.csv", taken("IM", PHONES_WITH_MARKS)),
    Imported(
        "phones-with-words.csv",
        taken("PW", PHONES_WITH_WORDS),
        refused={
            (6, "phone", "invalid_phone"),
            (7, "phone", "invalid_phone"),
            (8, "phone", "phone_with_extension"),
            (9, "phone", "several_phones"),
        },
    ),
    Imported(
        "garbled-text.csv",
        [("219E24", "+233244123457"), ("G 5", "+233244123455")],
        refused={
            (2, "first_name", "garbled_text"),
            (3, "last_name", "garbled_text"),
            (4, "last_name", "garbled_text"),
            (5, "first_name", "damaged_characters"),
            (7, "shipping_mark", "exponent_in_text"),
        },
    ),
    # --- success
    Imported(
        "every-row-fails.csv",
        refused={
            (number, column, code)
            for number in (2, 3)
            for column, code in (
                *((name, "required") for name in ("shipping_mark", "first_name", "last_name")),
                ("email", "email_without_at"),
                ("phone", "phone_too_short"),
            )
        },
    ),
    Imported("only-headers.xlsx", status="FAILED", code="no_rows"),
    Imported("blank.xlsx", status="FAILED", code="no_rows"),
    *[
        Imported(file, BOTH)
        for file in (
            *("strict-inline-strings.xlsx", "strict-shared-strings.xlsx", "binary.xlsb"),
            *("bad-formula-of-a-name.xls", "unknown-cell-style.xls", "unknown-link.xls"),
            "sectors-in-a-loop.xls",
        )
    ],
    Imported("one-cell-far-right.xlsx", [("FR-1", "+233241000121")]),
    Imported("three-hundred-columns.xlsx", [("TC-1", "+233241000122")]),
    Imported("password.xls", status="FAILED", code="encrypted_file"),
    Imported("cover.xlsx", status="FAILED", code="no_such_sheet", options={"sheet": "Kunden"}),
    # --- what people hand in
    Imported(
        "one-line-in-another-encoding.csv",
        [("ML-1", "+233241000131"), ("ML-2", "+233241000132"), ("ML-3", "+233241000133")],
    ),
    Imported(
        "header-lacks-last-delimiter.csv",
        [("TL-1", "+233241000101"), ("TL-2", "+233241000102"), ("TL-3", "+233241000103")],
    ),
    Imported(
        "two-phone-columns.csv",
        [("TP-2", "+233201000113")],
        refused={(2, "phone", "several_values")},
    ),
    Imported(
        "placeholders-for-nothing.csv",
        [
            ("PN-1", "+233241000161"),
            ("PN-2", "+233241000162"),
            ("PN-3", "+233241000163"),
            ("PN-4", "+233241000164"),
        ],
    ),
    Imported(
        "two-exports-pasted-together.csv", [("PT-1", "+233241000191"), ("PT-2", "+233241000192")]
    ),
    Imported(
        "title-total-signature.xlsx",
        [("F48-1", "+233247148001"), ("F48-2", "+233247148002"), ("F48-3", "+233247148003")],
    ),
    Imported(
        "grouped-two-row-header.xlsx", [("F31-1", "+233247131001"), ("F31-2", "+233247131002")]
    ),
    Imported("array-of-objects.json", [("JA-1", "+233241000171")]),
    Imported("google-contacts.csv", [("GC-1", "+233241000195")]),
    Imported("outlook-export.csv", status="MAPPING", code="missing_columns"),
    Imported(
        "long-text-in-an-unused-column.csv", [("LT-1", "+233247140001"), ("LT-2", "+233247140002")]
    ),
    Imported("contacts.vcf", status="FAILED", code="vcard_file"),
    Imported("web-archive.xls", status="FAILED", code="web_archive"),
]
