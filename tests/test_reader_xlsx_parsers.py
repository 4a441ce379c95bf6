"""calamine and openpyxl read the same rows from the same file, whatever program wrote it."""

from __future__ import annotations

import datetime
import io

import pytest
import xlsxwriter

from tests import spreadsheets
from tests.spreadsheets import (
    STREAMING_LIMITS,
    make_row_xml,
    make_workbook,
    make_workbook_from_xml,
    read_rows,
)

JANUARY_31 = datetime.datetime(2026, 1, 31, 10)  # noqa: DTZ001  Workbooks have no time zones.

FORMATS = [
    "General",
    "0.00",
    "0%",
    "@",
    "# ?/?",
    "yyyy-mm-dd",
    "yyyy-mm-dd hh:mm",
    "hh:mm:ss",
    "[h]:mm:ss",
    "[hh]:mm",
    "[mm]",
    "mm:ss.0",
    "d mmm",
    "[$-409]d-mmm-yy",
    "[Red]0",
    '"day" 0',
    "\\d0",
    "_d0",
    "[$-F800]dddd\\,\\ mmmm\\ dd",
    "[>=100][Magenta]d.m.yy",
    "0.0E+00",
    "h AM/PM",
]
NUMBERS = (
    "0",
    "1",
    "0.25",
    "59",
    "60",
    "61",
    "45000",
    "45000.5",
    "45000.123456",
    "44999.999999999",
    "1.5",
    "-1",
    "-1.25",
    "-0.5",
    "2958465",
    "2958466",
    "3e6",
    "0.999999999",
    "-0.0",
    "1e-8",
    "0.30000000000000004",
    "abc",
    "1_0",
    "+5",
    ".5",
    "5.",
)
# calamine fails on a duration of one of these lengths.
OVERLONG_NUMBERS = ("12345678901234567890", "1e9", "1e15", "1E400", "-1E400")


def make_workbook_of_formats(numbers: tuple[str, ...], formats: list[str]) -> bytes:
    rows = [
        make_row_xml(n, *[f'<c s="{style}"><v>{raw}</v></c>' for style in range(len(formats))])
        for n, raw in enumerate(numbers, start=1)
    ]
    parts = spreadsheets.make_workbook_parts(spreadsheets.make_sheet_xml(*rows), formats=formats)
    return spreadsheets.zip_parts(parts)


def make_workbook_of_strings() -> bytes:
    strings = [
        '<t xml:space="preserve"> kept </t>',
        "<t> cut </t>",
        "<t/>",
        "",
        "<t>\t</t>",
        "<t>_x000D_\r\n_x005F_x000D__x0041_ _xDC00_</t>",
        '<r><t>rich </t></r><r><rPr/><t xml:space="preserve"> text</t></r><rPh><t>aid</t></rPh>',
        "<t>&amp;lt;&#233;&#x1F600;</t>",
        "<t>\u00a0hard\u00a0</t>",
    ]
    cells = [f'<c t="s"><v>{n}</v></c>' for n in range(len(strings))]
    cells += ['<c t="str"><f>A1</f><v> _x0041_ </v></c>', "<c><f>1+1</f></c>", "<c><v></v></c>"]
    cells += ["<c><is><t>loose</t></is></c>", '<c t="b"><v>true</v></c>', '<c t="b"><v>0</v></c>']
    cells += ['<c t="inlineStr"><is><r><t>a</t></r><r><t> b</t></r></is></c>', "<c><v>7</v></c>"]
    return make_workbook_from_xml(
        make_row_xml(4, *cells), strings="".join(f"<si>{s}</si>" for s in strings)
    )


def make_workbook_of_misplaced_cells() -> bytes:
    cells = ('<c r="C2"><v>3</v></c>', '<c r="A2"><v>1</v></c>', "<c><v>2</v></c>")
    unplaced = '<row><c><v>4</v></c><c t="b"><v>1</v></c></row><row r="9"/>'
    return make_workbook_from_xml(
        make_row_xml(2, *cells), unplaced, '<row><c r="B12"><v>5</v></c></row>'
    )


def make_xlsxwriter_workbook(**options) -> bytes:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, **options})
    sheet = book.add_worksheet("Été & co")
    day = book.add_format({"num_format": "d/m/yyyy;@"})
    for number in range(3_000):
        sheet.write_row(number, 1, [f"Mark {number}", number * 0.5, "ä" * (number % 40), None, ""])
        sheet.write_datetime(number, 7, JANUARY_31.replace(hour=number % 24), day)
    sheet.write_rich_string(3_005, 0, book.add_format({"bold": True}), "bold", " plain ")
    sheet.write_formula(3_006, 0, "=1/4", None, 0.25)
    sheet.merge_range("A3010:C3012", "merged")
    sheet.set_row(3_020, 40)
    book.close()
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(make_workbook_of_formats(NUMBERS, FORMATS), id="dates"),
        pytest.param(
            make_workbook_of_formats(NUMBERS + OVERLONG_NUMBERS, FORMATS), id="overlong durations"
        ),
        pytest.param(
            make_workbook_of_formats(OVERLONG_NUMBERS, FORMATS[:7]), id="overlong numbers"
        ),
        pytest.param(make_workbook_of_strings(), id="strings"),
        pytest.param(make_workbook_of_misplaced_cells(), id="misplaced cells"),
        pytest.param(make_xlsxwriter_workbook(), id="xlsxwriter"),
        pytest.param(
            make_xlsxwriter_workbook(date_1904=True, constant_memory=True), id="1904, inline"
        ),
        pytest.param(
            make_workbook(*[[n, n / 7, str(n), None, n < 5] for n in range(900)]), id="openpyxl"
        ),
    ],
)
def test_calamine_and_openpyxl_read_the_same_rows(content):
    calamine, streamed = read_rows(content), read_rows(content, STREAMING_LIMITS)

    assert repr(streamed) == repr(calamine)  # `repr` distinguishes True, 1 and 1.0.
    assert calamine
