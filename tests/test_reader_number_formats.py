"""Number formats: the kind of a cell and its displayed text."""

from __future__ import annotations

import datetime
import io

import pytest
from displayed_numbers import MAC_EPOCH, MAX_CACHED_CELLS, WINDOWS_EPOCH, NumberFormatter
from hypothesis import given, settings
from hypothesis import strategies as st
from number_formats import is_date, is_duration
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.datetime import from_excel
from xlsx_overrides import AmbiguousXml, CellOverrides, SheetXml

from imports.cell_values import FormattedCell
from tests import spreadsheets
from tests.spreadsheets import (
    READER_LIMITS,
    STREAMING_LIMITS,
    for_both_parsers,
    make_row_xml,
    make_xlsb_workbook,
    read_rows,
)
from tests.xls_workbooks import make_xls_workbook

MAY_7, MARCH_12 = 46149, 46093
NINETEEN_DIGITS = 12345678901234567890.0

DISPLAYED = [
    # Dates.
    ("mmm-yy", MAY_7, "date", "May-26"),
    ("d-mmm", MARCH_12, "date", "12-Mar"),
    ("d-mmm-yy", MAY_7, "date", "7-May-26"),
    ("m/d/yyyy", MAY_7, "date", "5/7/2026"),
    ("dd.mm.yy", MAY_7, "date", "07.05.26"),
    ("yyyy\\-mm\\-dd", MAY_7, "date", "2026-05-07"),
    ("ddd, d mmmm", MAY_7, "date", "Thu, 7 May"),
    ("dddd", MAY_7, "date", "Thursday"),
    ("mmmmm", MAY_7, "date", "M"),
    ('"Week of "d/m', MAY_7, "date", "Week of 7/5"),
    ("[$-409]mmm\\ d\\,\\ yyyy;@", MAY_7, "date", "May 7, 2026"),
    ("[$-407]dd.mm.yyyy", MAY_7, "date", "07.05.2026"),
    ("[$-407]d. mmmm", MAY_7, "date", ""),  # German names of months are not supported.
    ("[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy", MAY_7, "date", "Thursday, May 07, 2026"),
    ("[Red]yyyy", MAY_7, "date", "2026"),
    ("m/d/yyyy h:mm", MAY_7 + 0.52, "date", "5/7/2026 12:28"),
    ("yyyy-mm-dd hh:mm:ss", MAY_7 + 0.999999, "date", "2026-05-07 23:59:59"),
    ("d mmm", 59, "date", "28 Feb"),
    ("dddd " * 50, MAY_7, "date", ("Thursday " * 12)[:100]),
    ("[$-2000401]d/m", MAY_7, "date", ""),  # Digits of other scripts are not supported.
    # Times.
    ("h:mm", 0.5, "time", "12:00"),
    ("hh:mm:ss", 0.25, "time", "06:00:00"),
    ("h:mm AM/PM", 0, "time", "12:00 AM"),
    ("h:mm:ss am/pm", 0.75, "time", "6:00:00 PM"),
    ("h A/P", 0.75, "time", "6 P"),
    ("mm:ss.0", 90.25 / 86_400, "time", "01:30.3"),
    ("ss.000", 1.5 / 86_400, "time", "01.500"),
    ("h:mm", -0.5, "time", ""),  # Excel displays number signs.
    ("d/m/yyyy", 0.5, "time", "0/1/1900"),
    # Durations.
    ("[h]:mm:ss", 1.5, "duration", "36:00:00"),
    ("[h]:mm", 2.0, "duration", "48:00"),
    ("[mm]:ss", 0.0625, "duration", "90:00"),
    ("[ss]", 0.001, "duration", "86"),
    # Percentages.
    ("0%", 0.5, "percentage", "50%"),
    ("0%", 0.125, "percentage", "13%"),
    ("0.00%", 0.12345, "percentage", "12.35%"),
    ("0%", -0.25, "percentage", "-25%"),
    ("0%;[Red]-0%", -0.25, "percentage", "-25%"),
    ("#,##0.0%", 12.3456, "percentage", "1,234.6%"),
    ("0 %", 3, "percentage", "300 %"),
    ("0%", 1e200, "percentage", "1" + "0" * 99),
    ("0." + "0" * 200 + "%", 1e300, "percentage", ""),
    # Exponents.
    ("0.00E+00", 2.19e26, "exponent", "2.19E+26"),
    ("0.00E+00", 0.000123, "exponent", "1.23E-04"),
    ("0.00E+00", 9.999e9, "exponent", "1.00E+10"),
    ("##0.0E+0", 12345, "exponent", "12.3E+3"),
    ("0E-0", 1_000_000, "exponent", "1E6"),
    ("0.00E+00", 5, "exponent", "5.00E+00"),
    # Fractions.
    ("# ?/?", 0.5, "fraction", "1/2"),
    ("# ?/?", 1.25, "fraction", "1 1/4"),
    ("# ??/??", 3.14159, "fraction", "3 14/99"),
    ("?/?", 1.5, "fraction", "3/2"),
    ("# ?/8", 0.25, "fraction", "2/8"),
    ("# ?/?", -0.5, "fraction", "-1/2"),
    # Numbers of more than fifteen digits.
    ("General", NINETEEN_DIGITS, "rounded", "1.23457E+19"),
    ("0", NINETEEN_DIGITS, "rounded", "12345678901234600000"),
    ("#,##0", 1e15, "rounded", "1,000,000,000,000,000"),
    ("General", -1e15, "rounded", "-1E+15"),
    ('0 "pcs"', 1e15, "rounded", "1000000000000000 pcs"),
]


@pytest.mark.parametrize(("code", "value", "kind", "shown"), DISPLAYED)
def test_number_is_displayed_by_its_format(code, value, kind, shown):
    cell = NumberFormatter({0: code}).convert(float(value), 0)

    assert (cell[0], cell[2]) == (kind, shown)


@pytest.mark.parametrize(
    ("code", "value", "cell"),
    [
        ("General", 999_999_999_999_999, 999_999_999_999_999),
        ("0", 5, 5),
        ("#,##0.00", 1234.5, 1234.5),
        ('"5%"0', 5, 5),  # Quoted text does not make a percentage,
        ('0 "E+"', 5, 5),  # an exponent,
        ('0 "d/m"', 5, 5),  # or a date.
        ("0_%", 5, 5),
        ("@", 5, 5),
        ("00000", 412, "00412"),
        ('_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)', -12.5, -12.5),
        ("0" * 300 + "%", 0.5, 0.5),  # Longer than the limit of Excel.
    ],
)
def test_plain_number_stays_a_number(code, value, cell):
    assert repr(NumberFormatter({0: code}).convert(float(value), 0)) == repr(cell)


FORMAT_CODES = st.one_of(
    st.sampled_from([code for code, *_ in DISPLAYED] + list(BUILTIN_FORMATS.values())),
    st.lists(
        st.sampled_from(
            ["d", "m", "yy", "h", "ss", "0", "#", "?", ".", ",", "/", "%", "E+", "-", " ", ":",
             ";", '"d"', "\\d", "_d", "[Red]", "[$-409]", "[h]", "[mm]", "[>5]", "General", "@",
             "AM/PM", "*x", "[$€-407]"]
        ),
        max_size=8,
    ).map("".join),
)  # fmt: skip
NUMBERS = st.one_of(
    st.floats(-1e17, 1e17),
    st.integers(-(10**17), 10**17).map(float),
    st.floats(0, 60_000),
    st.integers(0, 60_000).map(float),
)


@given(FORMAT_CODES)
def test_date_formats_agree_with_openpyxl(code):
    assert is_duration(code) == is_timedelta_format(code)
    assert is_date(code) == bool(is_date_format(code))


@given(st.floats(1, 2_958_465), st.booleans())
def test_date_values_agree_with_openpyxl(value, is_1904):
    numbers = NumberFormatter({0: "yyyy-mm-dd hh:mm:ss.000"}, is_1904=is_1904)
    epoch = MAC_EPOCH if is_1904 else WINDOWS_EPOCH
    try:
        expected = from_excel(value, epoch)
    except OverflowError:
        return

    text = numbers.convert(value, 0)[1]

    assert datetime.datetime.fromisoformat(text) == expected


@given(FORMAT_CODES, NUMBERS)
def test_displayed_text_is_short_for_any_format(code, value):
    cell = NumberFormatter({0: code}).convert(value, 0)

    if type(cell) is list:
        assert len(cell[2]) <= 100


# --- Agreement of the workbook parsers ---------------------------------------


def describe_rows(rows) -> list:
    """Return the rows with the kind and the displayed text of each cell."""
    return [
        (number, [(c.kind, repr(c), c.shown) if isinstance(c, FormattedCell) else repr(c)
                  for c in cells])
        for number, cells in rows
    ]  # fmt: skip


def make_xlsx(pairs, *, formula: str = "") -> bytes:
    codes = [code for code, _ in pairs]
    cells = [
        f'<c r="A{n}" s="{n - 1}">{formula}<v>{value!r}</v></c>'
        for n, (_, value) in enumerate(pairs, start=1)
    ]
    rows = [make_row_xml(n, cell) for n, cell in enumerate(cells, start=1)]
    return spreadsheets.zip_parts(
        spreadsheets.make_workbook_parts(spreadsheets.make_sheet_xml(*rows), formats=codes)
    )


@pytest.mark.parametrize("formula", ["", "<f>NOW()</f>"], ids=["values", "formulas"])
def test_all_workbook_parsers_display_the_same(formula):
    pairs = [(code, float(value)) for code, value, *_ in DISPLAYED]
    expected = [(kind, shown) for *_, kind, shown in DISPLAYED]

    readers = {
        "calamine": describe_rows(read_rows(make_xlsx(pairs, formula=formula))),
        "openpyxl": describe_rows(read_rows(make_xlsx(pairs, formula=formula), STREAMING_LIMITS)),
        "xlrd": describe_rows(read_rows(make_xls(pairs))),
    }

    assert readers["calamine"] == readers["openpyxl"] == readers["xlrd"]
    assert [(cells[0][0], cells[0][2]) for _, cells in readers["calamine"]] == expected


def make_xls(pairs) -> bytes:
    cells = {(n, 0): (value, n) for n, (_, value) in enumerate(pairs)}
    return make_xls_workbook(cells, [code for code, _ in pairs])


@settings(max_examples=15)
@given(st.lists(st.tuples(FORMAT_CODES.filter(bool), NUMBERS), min_size=1, max_size=60))
def test_all_workbook_parsers_agree_on_random_formats(pairs):
    calamine = describe_rows(read_rows(make_xlsx(pairs)))

    assert describe_rows(read_rows(make_xlsx(pairs), STREAMING_LIMITS)) == calamine
    assert describe_rows(read_rows(make_xls(pairs))) == calamine


@for_both_parsers
def test_builtin_formats_are_displayed_in_english(limits):
    numbers = {9: "0.5", 11: "5", 12: "0.5", 14: "46149", 15: "46149", 16: "46149", 17: "46149",
               18: "0.5", 19: "0.5", 20: "0.5", 21: "0.5", 22: "46149.5", 45: "0.5", 46: "1.5",
               47: "0.5", 48: "5"}  # fmt: skip
    uses = "".join(f'<xf numFmtId="{number}"/>' for number in numbers)
    styles = f'<styleSheet xmlns="{spreadsheets.MAIN_NS}"><cellXfs>{uses}</cellXfs></styleSheet>'
    cells = [f'<c s="{n}"><v>{raw}</v></c>' for n, raw in enumerate(numbers.values())]
    content = spreadsheets.make_workbook_from_xml(
        make_row_xml(1, *cells), **{"xl/styles.xml": styles}
    )

    shown = [cell.shown for cell in read_rows(content, limits)[0][1]]

    assert shown == [
        "50%",
        "5.00E+00",
        "1/2",
        "5/7/2026",
        "7-May-26",
        "7-May",
        "May-26",
        "12:00 PM",
        "12:00:00 PM",
        "12:00",
        "12:00:00",
        "5/7/2026 12:00",
        "00:00",
        "36:00:00",
        "00:00.0",
        "5.0E+0",
    ]


def test_builtin_formats_of_xls_files_are_displayed_in_english():
    cells = {(0, n): (46149.5, n) for n in range(3)}

    (actual,) = read_rows(make_xls_workbook(cells, builtin_formats=[14, 22, 20]))

    assert [cell.shown for cell in actual[1]] == ["5/7/2026", "5/7/2026 12:00", "12:00"]


def test_date_beyond_the_calendar_is_a_number():
    assert NumberFormatter({0: "yyyy"}, is_1904=True).convert(2_958_000.0, 0) == 2_958_000
    assert NumberFormatter({0: "yyyy"}).convert(2_958_466.0, 0) == 2_958_466


def test_cell_cache_is_bounded():
    numbers = NumberFormatter({0: "0%"})
    for value in range(2 * MAX_CACHED_CELLS):
        numbers.convert(float(value), 0)

    assert len(numbers._cache) <= MAX_CACHED_CELLS


@for_both_parsers
def test_plain_cells_are_not_formatted_cells(limits):
    cells = ['<c r="A1"><v>5</v></c>', '<c r="B1" t="b"><v>1</v></c>', '<c r="C1"><v>0.5</v></c>']
    content = spreadsheets.make_workbook_from_xml(
        make_row_xml(1, *cells, spreadsheets.make_text_cell_xml("D1", "x"))
    )

    assert [type(cell) for cell in read_rows(content, limits)[0][1]] == [int, bool, float, str]


@for_both_parsers
def test_style_of_a_cell_without_a_number_is_ignored(limits):
    cells = ['<c r="A1" s="1"/>', '<c r="B1" s="1" t="s"><v>0</v></c>',
             '<c r="C1" t="b" s="1"><v>1</v></c>', "<c r='D1' s='1'><v>46149</v></c>",
             '<c r="E1" s="1" t="e"><v>#N/A</v></c>']  # fmt: skip
    parts = spreadsheets.make_workbook_parts(
        spreadsheets.make_sheet_xml(f'<row r="1" s="1" customFormat="1">{"".join(cells)}</row>'),
        strings="<si><t>x</t></si>",
        formats=["General", "mmm-yy"],
    )

    read = read_rows(spreadsheets.zip_parts(parts), limits)

    assert describe_rows(read) == [
        (1, ["None", "'x'", "True", ("date", "'2026-05-07'", "May-26"), "'#N/A'"])
    ]


def test_cells_with_unusual_attribute_order_are_found():
    cells = ['<c r="A1" s="1"><v>46149</v></c>', "<c s='1' r='B1'><v>46093</v></c>"]
    content = spreadsheets.zip_parts(
        spreadsheets.make_workbook_parts(spreadsheets.make_sheet_xml(make_row_xml(1, *cells)))
    )
    actual: list = [None, None]

    overrides = SheetXml(io.BytesIO(content), 0).find_cells({1})

    assert overrides.apply_to_row(1, actual, NumberFormatter({1: "mmm-yy"})) == 2
    assert [shown for _, _, shown in actual] == ["May-26", "Mar-26"]


@pytest.mark.parametrize(("column", "style"), [(1 << 14, 1), (0, 1 << 16)])
def test_number_beyond_the_last_column_or_style_is_ambiguous(column, style):
    with pytest.raises(AmbiguousXml):
        CellOverrides().add_number(1, column, 0.5, style)


def test_openpyxl_reads_dates_if_the_styles_are_not_found():
    parts = spreadsheets.make_workbook_parts(
        spreadsheets.make_sheet_xml(make_row_xml(1, '<c r="A1" s="1"><v>46149</v></c>')),
        formats=["0", "mmm-yy"],
    )
    other = {"xl/otherstyles.xml": spreadsheets.make_styles_xml(["General"])}

    assert describe_rows(read_rows(spreadsheets.zip_parts(other | parts))) == [
        (1, [("date", "'2026-05-07'", "May-26")])
    ]


def test_dates_of_rows_out_of_order_are_matched():
    rows = [
        make_row_xml(3, '<c r="A3" s="1"><v>46149</v></c>'),
        make_row_xml(1, '<c r="A1" s="1"><v>46093</v></c>'),
    ]
    parts = spreadsheets.make_workbook_parts(
        spreadsheets.make_sheet_xml(*rows), formats=["General", "mmm-yy"]
    )

    read = read_rows(spreadsheets.zip_parts(parts), READER_LIMITS)

    assert [(n, cells[0].shown) for n, cells in read] == [(1, "Mar-26"), (3, "May-26")]


def test_dates_of_xlsb_files_have_no_display_text():
    content = make_xlsb_workbook({1: {0: (46149.0, 0), 1: (0.5, 1), 2: 1e15, 3: 0.5}},
                              ["mmm-yy", "h:mm"])  # fmt: skip

    assert describe_rows(read_rows(content)) == [
        (1, [("date", "'2026-05-07'", ""), ("time", "'12:00:00'", ""),
             ("rounded", "1000000000000000", ""), "0.5"])
    ]  # fmt: skip


def make_ods_of_cells(*cells: str) -> bytes:
    names = ("office", "table", "text", "style")
    spaces = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names
    )
    made = "".join(f"<table:table-row>{cell}</table:table-row>" for cell in cells)
    return spreadsheets.zip_parts({
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "content.xml": f"<office:document-content{spaces}><office:body><office:spreadsheet>"
        f'<table:table table:name="A">{made}</table:table></office:spreadsheet></office:body>'
        "</office:document-content>",
    })  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "shown", "cell"),
    [
        ("date", "2026-05-07", "Mai 26", ("date", "'2026-05-07'", "Mai 26")),
        ("date", "2026-05-07", "x" * 200, ("date", "'2026-05-07'", "x" * 100)),
        ("percentage", "0.5", "x" * 200, ("percentage", "0.5", "x" * 100)),
        ("date", "2026-05-07T12:30:00", "7.5.", ("date", "'2026-05-07T12:30:00'", "7.5.")),
        ("time", "PT12H30M00S", "12:30", ("time", "'12:30:00'", "12:30")),
        ("time", "PT36H00M00S", "36:00", ("duration", "'36:00:00'", "36:00")),
        ("percentage", "0.5", "50 %", ("percentage", "0.5", "50 %")),
        ("float", "2.19E+026", "2.19E+26", ("exponent", "2.19e+26", "2.19E+26")),
        ("float", "123456", "1,23E+05", ("exponent", "123456", "1,23E+05")),
        ("float", "0.5", "1/2", ("fraction", "0.5", "1/2")),
        ("float", "1.5", "1 1/2", ("fraction", "1.5", "1 1/2")),
        ("float", "12345678901234567890", "1.23456789012346E+019",
         ("rounded", "12345678901234567168", "1.23456789012346E+019")),
        ("float", "1234567890123456", "1234567890123460",
         ("rounded", "1234567890123456", "1234567890123460")),
        ("float", "123456789012345", "123456789012345", "123456789012345"),
        ("float", "412", "00412", "'00412'"),
        ("currency", "5", "5 €", "5"),
    ],
)  # fmt: skip
def test_ods_cells_have_their_display_text(kind, value, shown, cell):
    name = {"date": "date-value", "time": "time-value"}.get(kind, "value")
    content = make_ods_of_cells(
        f'<table:table-cell office:value-type="{kind}" office:{name}="{value}">'
        f"<text:p>{shown}</text:p></table:table-cell>"
    )

    assert describe_rows(read_rows(content)) == [(1, [cell])]
