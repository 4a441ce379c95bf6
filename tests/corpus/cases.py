"""The expected result for each file of this folder."""

from typing import Any, NamedTuple

from imports.pipeline.reader.cell_conversion import FORMULA_WITHOUT_VALUE

HEAD = ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]
PEOPLE = [
    HEAD,
    ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
    ["ACC 2", "Kofi", "Boateng", None, "0244123452"],
]
ACCENTS = [
    HEAD,
    ["K 1", "Zoë", "Müller", None, "0244123451"],
    ["K 2", "José", "Größmann", None, "0244123452"],
]
CZECH = [
    HEAD,
    ["C 1", "Jiří", "Dvořák", None, "0244123451"],
    ["C 2", "Běla", "Nováková", None, "0244123452"],
    ["C 3", "Łukasz", "Świątek", None, "0244123453"],
]
RUSSIAN = [
    HEAD,
    ["R 1", "Иван", "Смирнов", None, "0244123451"],
    ["R 2", "Пётр", "Щукин", None, "0244123452"],
]

THREE_HUNDRED_COLUMNS = {
    1: [
        "Shipping Mark",
        "First Name",
        "Last Name",
        "Email",
        "Phone Number",
        *[f"Month {n}" for n in range(300)],
    ],
    2: ["TC-1", "Yaa", "Owusu", None, "0241000122", *range(300)],
}
FAR_RIGHT = [*[None] * 895, "moved by accident"]
# Phone numbers as people and programs write them: the cell, then the cleaned number or None.
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


def make_customers(mark: str, phones: dict, headers: list = HEAD) -> list[list]:
    """Return a header and a row for each phone number. `mark` is the start of the shipping mark."""
    rows = [
        [f"{mark}-{number}", "Ama", "Mensah", None, phone]
        for number, phone in enumerate(phones, start=1)
    ]
    return [headers, *rows]


class ReadableCase(NamedTuple):
    """A readable file: its topic, detected format, rows, and the position of its header."""

    topic: str
    file: str
    format: str
    opened: dict[str, Any]
    rows: dict[int, list]
    header_row: int | None = 1
    missing: list[str] = []
    options: dict[str, str] = {}


class UnreadableCase(NamedTuple):
    """An unreadable file and its error."""

    topic: str
    file: str
    code: str
    params: dict[str, int] = {}
    options: dict[str, str] = {}


def number_rows(rows: list[list], first: int = 1) -> dict[int, list]:
    return dict(enumerate(rows, start=first))


CASES = [
    # --- success
    ReadableCase(
        "success",
        "every-row-fails.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        number_rows(
            [
                ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"],
                [None, None, None, "x", "1"],
                [None, None, None, "y", "2"],
            ]
        ),
    ),
    # --- formats
    ReadableCase(
        "formats",
        "openpyxl.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "xlsxwriter.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "libreoffice.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "macros.xlsm",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "template.xltx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "xlwt.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Cover", "Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "libreoffice.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "odfpy.ods",
        "ods",
        {"sheet": "Customers", "sheets": ["Cover", "Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats",
        "libreoffice.ods",
        "ods",
        {"sheet": "Data", "sheets": ["Cover", "Notes", "Data"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "formats", "comma.csv", "csv", {"encoding": "utf-8", "delimiter": ","}, number_rows(PEOPLE)
    ),
    ReadableCase(
        "formats", "crlf.csv", "csv", {"encoding": "utf-8", "delimiter": ","}, number_rows(PEOPLE)
    ),
    ReadableCase(
        "formats", "tab.tsv", "csv", {"encoding": "utf-8", "delimiter": "\t"}, number_rows(PEOPLE)
    ),
    ReadableCase(
        "formats", "bar.txt", "csv", {"encoding": "utf-8", "delimiter": "|"}, number_rows(PEOPLE)
    ),
    ReadableCase(
        "formats",
        "sep.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": "|"},
        number_rows(PEOPLE, 2),
        header_row=2,
        missing=[],
    ),
    # --- detected by content
    ReadableCase(
        "detection by content",
        "named.csv",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "detection by content",
        "named.xlsx",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        number_rows(PEOPLE),
    ),
    # --- encodings
    ReadableCase(
        "encodings",
        "bom.csv",
        "csv",
        {"encoding": "utf-8-sig", "delimiter": ";"},
        number_rows(ACCENTS),
    ),
    ReadableCase(
        "encodings",
        "utf-16.csv",
        "csv",
        {"encoding": "utf-16", "delimiter": "\t"},
        number_rows(ACCENTS),
    ),
    ReadableCase(
        "encodings",
        "utf-16-le.csv",
        "csv",
        {"encoding": "utf-16-le", "delimiter": ";"},
        number_rows(ACCENTS),
    ),
    ReadableCase(
        "encodings",
        "utf-16-be.csv",
        "csv",
        {"encoding": "utf-16-be", "delimiter": ","},
        number_rows(ACCENTS),
    ),
    ReadableCase(
        "encodings",
        "windows-1252.csv",
        "csv",
        {"encoding": "windows-1252", "delimiter": ";"},
        number_rows(ACCENTS),
    ),
    ReadableCase(
        "encodings",
        "windows-1250.csv",
        "csv",
        {"encoding": "windows-1250", "delimiter": ";"},
        number_rows(CZECH),
    ),
    ReadableCase(
        "encodings",
        "windows-1251.csv",
        "csv",
        {"encoding": "windows-1251", "delimiter": ";"},
        number_rows(RUSSIAN),
    ),
    # --- delimiters and quotes
    ReadableCase(
        "delimiters and quotes",
        "decimal-comma.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ";"},
        {1: ["mark", "weight"], 2: ["A1", "1,5"], 3: ["A2", "2,25"]},
        header_row=1,
        missing=["first_name", "last_name", "phone"],
    ),
    ReadableCase(
        "delimiters and quotes",
        "single-quotes.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {1: ["a", "b,c"], 2: ["d", "it is"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    ReadableCase(
        "delimiters and quotes",
        "escaped-quotes.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {1: ["a", "b"], 2: ['say "hi" now', "x, y"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    ReadableCase(
        "delimiters and quotes",
        "doubled-quotes.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {1: ["a", "b"], 2: ['say "hi" now', "two\nlines"], 3: ["c", "d"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    UnreadableCase("delimiters and quotes", "unclosed-quote.csv", "unclosed_quote", {"row": 3}),
    ReadableCase(
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
    # --- options override the detection
    ReadableCase(
        "options",
        "mac.csv",
        "csv",
        {"encoding": "mac-roman", "delimiter": ";"},
        number_rows(ACCENTS),
        options={"encoding": "mac_roman"},
    ),
    ReadableCase(
        "options",
        "caret.txt",
        "csv",
        {"encoding": "utf-8", "delimiter": "^"},
        number_rows(PEOPLE),
        options={"delimiter": "^"},
    ),
    UnreadableCase(
        "options",
        "windows-1252.csv",
        "wrong_encoding",
        {},
        options={"encoding": "utf-8"},
    ),
    UnreadableCase(
        "options",
        "comma.csv",
        "wrong_encoding",
        {},
        options={"encoding": "klingon"},
    ),
    UnreadableCase(
        "options",
        "comma.csv",
        "wrong_delimiter",
        {},
        options={"delimiter": ";;"},
    ),
    ReadableCase(
        "options",
        "tab.tsv",
        "csv",
        {"encoding": "ascii", "delimiter": "\t"},
        number_rows(PEOPLE),
        options={"delimiter": "\t", "encoding": "ASCII"},
    ),
    ReadableCase(
        "options",
        "openpyxl.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        number_rows(PEOPLE),
        options={"encoding": "utf-8", "delimiter": ","},
    ),
    # --- not a spreadsheet
    UnreadableCase("not a spreadsheet", "compressed.csv.gz", "compressed_file", {}),
    UnreadableCase("not a spreadsheet", "compressed.zip", "compressed_file", {}),
    UnreadableCase("not a spreadsheet", "web-page.xls", "html_file", {}),
    UnreadableCase("not a spreadsheet", "excel-2003.xls", "xml_spreadsheet", {}),
    UnreadableCase("not a spreadsheet", "document.xlsx", "pdf_file", {}),
    UnreadableCase("not a spreadsheet", "picture.xlsx", "image_file", {}),
    UnreadableCase("not a spreadsheet", "sheet.numbers", "numbers_file", {}),
    UnreadableCase("not a spreadsheet", "document.docx", "text_document", {}),
    UnreadableCase("not a spreadsheet", "document.odt", "text_document", {}),
    UnreadableCase("not a spreadsheet", "document.rtf", "text_document", {}),
    UnreadableCase("not a spreadsheet", "data.xml", "xml_file", {}),
    UnreadableCase("not a spreadsheet", "noise.csv", "not_a_spreadsheet", {}),
    UnreadableCase("not a spreadsheet", "empty.csv", "empty_file", {}),
    # --- encrypted
    UnreadableCase("encrypted", "password.xlsx", "encrypted_file", {}),
    UnreadableCase("encrypted", "password.xls", "encrypted_file", {}),
    UnreadableCase("encrypted", "password.ods", "encrypted_file", {}),
    # --- damaged
    UnreadableCase("damaged", "truncated.xlsx", "damaged_file", {}),
    UnreadableCase("damaged", "truncated.xls", "damaged_file", {}),
    UnreadableCase("damaged", "truncated.ods", "damaged_file", {}),
    # --- hostile
    UnreadableCase("hostile", "declared-entity.xlsx", "damaged_file", {}),
    UnreadableCase(
        "hostile", "bomb.xlsx", "too_large_inflated", {"bytes": 20971714, "limit": 1048576}
    ),
    # --- choice of the sheet
    ReadableCase(
        "choice of the sheet",
        "cover.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Cover", "Notes", "Data"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "choice of the sheet",
        "hidden.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "choice of the sheet",
        "empty-first.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Empty", "Data"]},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "choice of the sheet",
        "blank.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {},
        header_row=None,
        missing=[],
    ),
    # --- requested sheet
    ReadableCase(
        "requested sheet",
        "cover.xlsx",
        "xlsx",
        {"sheet": "Notes", "sheets": ["Cover", "Notes", "Data"]},
        {1: ["Phone"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name"],
        options={"sheet": "Notes"},
    ),
    ReadableCase(
        "requested sheet",
        "cover.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Cover", "Notes", "Data"]},
        number_rows(PEOPLE),
        options={"sheet": " data"},
    ),
    ReadableCase(
        "requested sheet",
        "hidden.xlsx",
        "xlsx",
        {"sheet": "Older", "sheets": ["Data"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
        },
        options={"sheet": "Older"},
    ),
    ReadableCase(
        "requested sheet",
        "xlwt.xls",
        "xls",
        {"sheet": "Old", "sheets": ["Cover", "Customers"]},
        number_rows(PEOPLE),
        options={"sheet": "Old"},
    ),
    ReadableCase(
        "requested sheet",
        "odfpy.ods",
        "ods",
        {"sheet": "Old", "sheets": ["Cover", "Customers"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
        },
        options={"sheet": "Old"},
    ),
    UnreadableCase(
        "requested sheet",
        "cover.xlsx",
        "no_such_sheet",
        {"sheets": ["Cover", "Notes", "Data"]},
        options={"sheet": "Kunden"},
    ),
    UnreadableCase(
        "requested sheet",
        "xlwt.xls",
        "no_such_sheet",
        {"sheets": ["Cover", "Customers"]},
        options={"sheet": "Kunden"},
    ),
    UnreadableCase(
        "requested sheet",
        "odfpy.ods",
        "no_such_sheet",
        {"sheets": ["Cover", "Customers"]},
        options={"sheet": "Kunden"},
    ),
    ReadableCase(
        "requested sheet",
        "comma.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        number_rows(PEOPLE),
        options={"sheet": "Kunden"},
    ),
    # --- the header row
    ReadableCase(
        "header row",
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
    ReadableCase(
        "header row",
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
    ReadableCase(
        "header row",
        "no-header.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        number_rows(PEOPLE[1:]),
        header_row=0,
        missing=[],
    ),
    ReadableCase(
        "header row",
        "no-header.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        number_rows(PEOPLE[1:]),
        header_row=0,
        missing=[],
    ),
    ReadableCase(
        "header row",
        "only-headers.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]},
    ),
    # --- headers
    ReadableCase(
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
    ReadableCase(
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
    ReadableCase(
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
    ReadableCase(
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
    ReadableCase(
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
    ReadableCase(
        "cells",
        "cells.xlsx",
        "xlsx",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            1: ["00412", "244123451", "(024) 412-3451"],
            2: ["Ama Mensah"],
            3: ["ab", "#DIV/0!", FORMULA_WITHOUT_VALUE, 2],
            4: ["two\nlines", "\xa0Ama\xa0", "A\u200bma", "\u202bعمر\u202c", "😀"],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    ReadableCase(
        "cells",
        "libreoffice-cells.ods",
        "ods",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            1: ["00412", 244123451, "(024) 412-3451"],
            2: ["Ama Mensah"],
            3: ["ab", "#DIV/0!", FORMULA_WITHOUT_VALUE, 2],
            4: ["two\nlines", "\xa0Ama\xa0", "A\u200bma", "\u202bعمر\u202c", "😀"],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    ReadableCase(
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
    ReadableCase(
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
    ReadableCase(
        "cells",
        "cells.ods",
        "ods",
        {"sheet": "Cells", "sheets": ["Cells"]},
        {
            2: ["00412", 233244123451, "2026-01-31", "12:30:00", "36:00:00", True],
            3: ["Ama", "two  spaces\nbroken\nagain"],
            4: [FORMULA_WITHOUT_VALUE],
            8: ["x", "x"],
            9: ["x", "x"],
            10: ["Mensah", "Ama"],
            11: ["Mensah", "Kofi"],
        },
        header_row=2,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    ReadableCase(
        "cells",
        "odd-cells.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {
            1: ["nul \x00", "half _xD800_", "\rend"],
            4: [None, "#REF!", True],
            9: [FORMULA_WITHOUT_VALUE],
        },
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    ReadableCase(
        "cells",
        "formula-without-value.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {
            1: ["Shipping mark", "First name", "Last name", "E-mail", "Phone"],
            2: ["ACC 1", "Ama", "Mensah", "ama@example.com", "0244123451"],
            3: [FORMULA_WITHOUT_VALUE, "Kofi", "Boateng", None, "0244123452"],
        },
    ),
    ReadableCase(
        "cells",
        "long-cell.xlsx",
        "xlsx",
        {"sheet": "Data", "sheets": ["Data"]},
        {1: ["a" * 32_767, "b"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    ReadableCase(
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
        ReadableCase(
            "values",
            file,
            "csv",
            {"encoding": "utf-8", "delimiter": delimiter},
            number_rows(rows),
        )
        for file, delimiter, rows in (
            ("phones-with-slashes.csv", ",", make_customers("PS", PHONES_WITH_SLASHES)),
            ("phones-as-numbers.csv", ";", make_customers("PN", PHONES_AS_NUMBERS)),
            ("phones-with-words.csv", ",", make_customers("PW", PHONES_WITH_WORDS)),
            ("garbled-text.csv", ",", GARBLED),
        )
    ),
    ReadableCase(
        "values",
        "invisible-marks.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        number_rows(
            make_customers(
                "IM",
                PHONES_WITH_MARKS,
                [
                    "Shipping\u00a0Mark",
                    "First\u200bName",
                    "\ufeffLast Name",
                    "E\u2011mail",
                    "Phone\u202f Number",
                ],
            )
        ),
    ),
    ReadableCase(
        "headers",
        "finnish-headers.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        number_rows([FINNISH, *PEOPLE[1:]]),
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    # --- merged cells
    ReadableCase(
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
    ReadableCase(
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
    # --- row numbers
    ReadableCase(
        "row numbers",
        "lying-dimension.xlsx",
        "xlsx",
        {"sheet": "Customers", "sheets": ["Customers"]},
        {1: ["a1", "b"], 2: ["a2", "b"], 7: ["a7", "b"]},
        header_row=1,
        missing=["shipping_mark", "first_name", "last_name", "phone"],
    ),
    # --- display text, hidden rows and links
    ReadableCase(
        "display text, hidden rows and links",
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
    ReadableCase(
        "display text, hidden rows and links",
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
    ReadableCase(
        "display text, hidden rows and links",
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
    ReadableCase(
        "display text, hidden rows and links",
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
    ReadableCase(
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
    ReadableCase(
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
    ReadableCase(
        "strict workbooks",
        "strict-inline-strings.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "strict workbooks",
        "strict-shared-strings.xlsx",
        "xlsx",
        {
            "sheet": "Customers",
            "sheets": ["Customers"],
        },
        number_rows(PEOPLE),
    ),
    ReadableCase(
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
    UnreadableCase("strict workbooks", "strict-no-sheet.xlsx", "no_sheet", {}),
    # --- .xls files that xlrd cannot read
    ReadableCase(
        "xls files that xlrd cannot read",
        "bad-formula-of-a-name.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "xls files that xlrd cannot read",
        "unknown-cell-style.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        {
            1: PEOPLE[0],
            2: PEOPLE[1],
            3: [*PEOPLE[2], 46149],
        },
    ),
    ReadableCase(
        "xls files that xlrd cannot read",
        "unknown-link.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        number_rows(PEOPLE),
    ),
    ReadableCase(
        "xls files that xlrd cannot read",
        "sectors-in-a-loop.xls",
        "xls",
        {"sheet": "Customers", "sheets": ["Customers"], "second_reader": True},
        {
            1: PEOPLE[0],
            2: PEOPLE[1],
            3: [*PEOPLE[2], "2026-05-07"],
        },
    ),
    # --- .xlsb files
    ReadableCase(
        "xlsb files",
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
    UnreadableCase("xlsb files", "not-binary.xlsb", "damaged_file", {}),
    # --- files as users upload them, after bug reports of other importers
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
        "two-phone-columns.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone", "Phone"],
            2: ["TP-1", "Yaa", "Owusu", None, "0241000111", "0201000112"],
            3: ["TP-2", "Kojo", "Osei", None, None, "0201000113"],
        },
    ),
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
        "array-of-objects.json",
        "json",
        {},
        {1: ["JA-1", "Yaa", "Owusu", None, "0241000171"]},
        header_row=0,
        missing=[],
    ),
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
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
    ReadableCase(
        "user files",
        "long-text-in-an-unused-column.csv",
        "csv",
        {"encoding": "utf-8", "delimiter": ","},
        {
            1: ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number", "Notes"],
            2: ["LT-1", "Kofi", "Boateng", "lt1@example.org", "0247140001", "short"],
            3: ["LT-2", "Esi", "Osei", None, "0247140002", "y" * 32_767],
        },
    ),
    UnreadableCase("user files", "contacts.vcf", "vcard_file", {}),
    UnreadableCase("user files", "web-archive.xls", "web_archive", {}),
]


class ImportCase(NamedTuple):
    """The result of an import.

    customers: shipping mark and phone number of each imported customer.
    code: error code of the import.
    failed: row number, column and error code of each row error.
    suggested: the suggested field of each header.
    """

    file: str
    customers: list[tuple[str, str]] = []
    status: str = "COMPLETE"
    code: str | None = None
    failed: set[tuple[int, str, str]] = set()
    suggested: dict[str, str] = {}
    options: dict[str, str] = {}


ONE_CUSTOMER = ("ACC 1", "+233244123451")
BOTH_CUSTOMERS = [ONE_CUSTOMER, ("ACC 2", "+233244123452")]


def get_customers(mark: str, phones: dict[str, str | None]) -> list[tuple[str, str]]:
    """Return the customers that the rows of `make_customers` create, ordered by mark."""
    numbers = enumerate(phones.values(), start=1)
    return sorted((f"{mark}-{number}", phone) for number, phone in numbers if phone)


IMPORTS = [
    *[
        ImportCase(file, BOTH_CUSTOMERS)
        for file in (
            "openpyxl.xlsx",
            "macros.xlsm",
            "xlwt.xls",
            "odfpy.ods",
            "tab.tsv",
            "sep.csv",
            "cover.xlsx",
            "hidden.xlsx",
            "libreoffice.ods",
            "titles.xlsx",
            "titles.csv",
            "two-levels.xlsx",
            "no-header.xlsx",
            "folded-headers.xlsx",
        )
    ],
    ImportCase("caret.txt", BOTH_CUSTOMERS, options={"delimiter": "^"}),
    ImportCase("hidden.xlsx", [ONE_CUSTOMER], options={"sheet": "old"}),
    ImportCase("windows-1251.csv", [("R 1", ONE_CUSTOMER[1]), ("R 2", BOTH_CUSTOMERS[1][1])]),
    ImportCase(
        "formula-without-value.xlsx",
        [ONE_CUSTOMER],
        failed={(3, "shipping_mark", "formula_without_value")},
    ),
    ImportCase(
        "merged.xlsx", [*BOTH_CUSTOMERS, ("ACC 3", "+233244123453"), ("ACC 4", "+233244123454")]
    ),
    ImportCase(
        "close-headers.xlsx",
        status="MAPPING",
        code="missing_columns",
        suggested={
            "Shiping mark": "shipping_mark",
            "First nam": "first_name",
            "Customer phone no.": "phone",
        },
    ),
    ImportCase(
        "ambiguous.xlsx", status="MAPPING", code="missing_columns", suggested={"Mobile": "phone"}
    ),
    ImportCase("unknown-headers.xlsx", BOTH_CUSTOMERS, suggested={"Elektropost": "email"}),
    ImportCase(
        "finnish-headers.csv",
        status="MAPPING",
        code="missing_columns",
        suggested={"S\u00e4hk\u00f6posti": "email", "Puhelin": "phone"},
    ),
    ImportCase(
        "phones-with-slashes.csv",
        get_customers("PS", PHONES_WITH_SLASHES),
        failed={(5, "phone", "several_phones"), (8, "phone", "several_phones")},
    ),
    ImportCase(
        "phones-as-numbers.csv",
        get_customers("PN", PHONES_AS_NUMBERS),
        failed={(7, "phone", "phone_lost_digits")},
    ),
    ImportCase("invisible-marks.csv", get_customers("IM", PHONES_WITH_MARKS)),
    ImportCase(
        "phones-with-words.csv",
        get_customers("PW", PHONES_WITH_WORDS),
        failed={
            (6, "phone", "invalid_phone"),
            (7, "phone", "invalid_phone"),
            (8, "phone", "phone_with_extension"),
            (9, "phone", "several_phones"),
        },
    ),
    ImportCase(
        "garbled-text.csv",
        [("219E24", "+233244123457"), ("G 5", "+233244123455")],
        failed={
            (2, "first_name", "garbled_text"),
            (3, "last_name", "garbled_text"),
            (4, "last_name", "garbled_text"),
            (5, "first_name", "damaged_characters"),
            (7, "shipping_mark", "exponent_in_text"),
        },
    ),
    # --- success
    ImportCase(
        "every-row-fails.csv",
        failed={
            (number, column, code)
            for number in (2, 3)
            for column, code in (
                *((name, "required") for name in ("shipping_mark", "first_name", "last_name")),
                ("email", "email_without_at"),
                ("phone", "phone_too_short"),
            )
        },
    ),
    ImportCase("only-headers.xlsx", status="FAILED", code="no_rows"),
    ImportCase("blank.xlsx", status="FAILED", code="no_rows"),
    *[
        ImportCase(file, BOTH_CUSTOMERS)
        for file in (
            "strict-inline-strings.xlsx",
            "strict-shared-strings.xlsx",
            "binary.xlsb",
            "bad-formula-of-a-name.xls",
            "unknown-cell-style.xls",
            "unknown-link.xls",
            "sectors-in-a-loop.xls",
        )
    ],
    ImportCase("one-cell-far-right.xlsx", [("FR-1", "+233241000121")]),
    ImportCase("three-hundred-columns.xlsx", [("TC-1", "+233241000122")]),
    ImportCase("password.xls", status="FAILED", code="encrypted_file"),
    ImportCase("cover.xlsx", status="FAILED", code="no_such_sheet", options={"sheet": "Kunden"}),
    # --- files as users upload them
    ImportCase(
        "one-line-in-another-encoding.csv",
        [("ML-1", "+233241000131"), ("ML-2", "+233241000132"), ("ML-3", "+233241000133")],
    ),
    ImportCase(
        "header-lacks-last-delimiter.csv",
        [("TL-1", "+233241000101"), ("TL-2", "+233241000102"), ("TL-3", "+233241000103")],
    ),
    ImportCase(
        "two-phone-columns.csv",
        [("TP-2", "+233201000113")],
        failed={(2, "phone", "several_values")},
    ),
    ImportCase(
        "placeholders-for-nothing.csv",
        [
            ("PN-1", "+233241000161"),
            ("PN-2", "+233241000162"),
            ("PN-3", "+233241000163"),
            ("PN-4", "+233241000164"),
        ],
    ),
    ImportCase(
        "two-exports-pasted-together.csv", [("PT-1", "+233241000191"), ("PT-2", "+233241000192")]
    ),
    ImportCase(
        "title-total-signature.xlsx",
        [("F48-1", "+233247148001"), ("F48-2", "+233247148002"), ("F48-3", "+233247148003")],
    ),
    ImportCase(
        "grouped-two-row-header.xlsx", [("F31-1", "+233247131001"), ("F31-2", "+233247131002")]
    ),
    ImportCase("array-of-objects.json", [("JA-1", "+233241000171")]),
    ImportCase("google-contacts.csv", [("GC-1", "+233241000195")]),
    ImportCase("outlook-export.csv", status="MAPPING", code="missing_columns"),
    ImportCase(
        "long-text-in-an-unused-column.csv", [("LT-1", "+233247140001"), ("LT-2", "+233247140002")]
    ),
    ImportCase("contacts.vcf", status="FAILED", code="vcard_file"),
    ImportCase("web-archive.xls", status="FAILED", code="web_archive"),
]
