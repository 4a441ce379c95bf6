"""The reader process on real files: workbooks, CSV files, chunks and resuming."""

from __future__ import annotations

import datetime

import openpyxl
import pytest

from imports.pipeline.reader_client import Chunk, DetectedFormat
from tests.spreadsheets import (
    READER_LIMITS,
    STREAMING_LIMITS,
    expect_unreadable,
    for_both_parsers,
    make_csv_with_blank_lines,
    make_row_xml,
    make_text_cell_xml,
    make_workbook,
    make_workbook_from_xml,
    read_file,
    read_rows,
    save_workbook,
)  # fmt: skip

JANUARY_31 = datetime.datetime(2026, 1, 31, 10)  # noqa: DTZ001  Workbooks have no time zones.

# --- Workbooks ---------------------------------------------------------------


@for_both_parsers
def test_workbook_rows_keep_their_row_numbers(limits):
    content = make_workbook(["Phone", "Name"], [], ["024", "Ann"], [" ", None, "\t"], [None, "Bea"])

    detected, rows, chunks = read_file(content, limits)

    assert detected == DetectedFormat("xlsx", "Sheet", sheets=["Sheet"])
    assert rows == [(1, ["Phone", "Name"]), (3, ["024", "Ann"]), (5, [None, "Bea"])]
    assert (chunks[-1].last_row, chunks[-1].fraction) == (5, 1.0)


@for_both_parsers
def test_empty_rows_and_columns_before_the_table_are_kept(limits):
    content = make_workbook_from_xml(
        make_row_xml(3, make_text_cell_xml("C3", "x"), make_text_cell_xml("E3", "y")),
        make_row_xml(7, make_text_cell_xml("B7", "z")),
    )

    assert read_rows(content, limits) == [(3, [None, None, "x", None, "y"]), (7, [None, "z"])]


@for_both_parsers
def test_cells_of_each_type_become_plain_values(limits):
    content = make_workbook(
        [1, 2.5, 3.0, -0.0, 233201234567, True, False, None, " spaced ", "two\nlines"],
        [JANUARY_31.date(), JANUARY_31, JANUARY_31.time()],
        [datetime.timedelta(hours=36, minutes=5), 12345678901234567890],
    )

    (_, plain), (_, times), (_, others) = read_rows(content, limits)

    assert plain == [1, 2.5, 3, 0, 233201234567, True, False, None, " spaced ", "two\nlines"]
    assert [type(cell) for cell in plain[:7]] == [int, float, int, int, int, bool, bool]
    assert times == ["2026-01-31", "2026-01-31T10:00:00", "10:00:00"]
    assert others == ["36:05:00", 12345678901234569216]


@for_both_parsers
@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('<c t="e"><v>#REF!</v></c>', "#REF!"),
        ("<c t='e'><v>#N/A</v></c>", "#N/A"),
        ('<c t="e"><v>#SPILL!</v></c>', "#SPILL!"),
        ('<c t="d"><v>2026-01-31T10:00:00Z</v></c>', "2026-01-31T10:00:00Z"),
        ('<c t="str"><v><![CDATA[a<b]]></v></c>', "a<b"),
    ],
)
def test_error_cells_and_other_rare_cells_become_text(limits, cell, value):
    assert read_rows(make_workbook_from_xml(make_row_xml(1, cell)), limits) == [(1, [value])]


@for_both_parsers
def test_rows_outside_the_declared_dimension_are_read(limits):
    content = make_workbook_from_xml(
        *[
            make_row_xml(n, make_text_cell_xml(f"A{n}", "a"), make_text_cell_xml(f"B{n}", "b"))
            for n in range(1, 11)
        ],
        before='<dimension ref="A1:A2"/>',
    )

    assert read_rows(content, limits) == [(n, ["a", "b"]) for n in range(1, 11)]


@for_both_parsers
def test_cell_in_the_last_column_is_read(limits):
    cells = read_rows(
        make_workbook_from_xml(
            make_row_xml(1, make_text_cell_xml("A1", "a"), make_text_cell_xml("XFD1", "z"))
        ),
        limits,
    )[0][1]

    assert (len(cells), cells[0], cells[-1]) == (16_384, "a", "z")


@for_both_parsers
def test_escaped_and_special_characters_are_decoded(limits):
    content = make_workbook_from_xml(
        make_row_xml(
            1, make_text_cell_xml("A1", "nul _x0000_, tab _x0009_, _xD800_, é😀&amp;\u2028")
        )
    )

    assert read_rows(content, limits) == [(1, ["nul \0, tab \t, _xD800_, é😀&\u2028"])]


@for_both_parsers
def test_the_first_visible_sheet_with_rows_is_read(limits):
    book = openpyxl.Workbook()
    book.active.title, book.active["A1"] = "Blank", " "
    hidden, chosen = book.create_sheet("Hidden"), book.create_sheet("Chosen")
    hidden.sheet_state = "hidden"
    for sheet in (hidden, chosen, book.create_sheet("Later")):
        sheet["B2"] = sheet.title
    book.create_chartsheet("Chart", index=0)

    detected, rows, _ = read_file(save_workbook(book), limits)

    assert (detected.sheet, rows) == ("Chosen", [(2, [None, "Chosen"])])


@for_both_parsers
def test_workbook_of_blank_sheets_has_no_rows(limits):
    detected, rows, chunks = read_file(save_workbook(openpyxl.Workbook()), limits)

    assert (detected.sheet, rows, chunks[-1]) == ("Sheet", [], Chunk([], 1.0, 0))


@for_both_parsers
def test_workbook_without_a_worksheet_fails(limits):
    book = openpyxl.Workbook()
    book.create_chartsheet("Chart")
    book.remove(book.active)

    assert expect_unreadable(save_workbook(book), limits) == ("no_sheet", {})


@for_both_parsers
def test_rows_after_the_header_search_are_read(limits):
    assert len(read_rows(make_workbook(*[[f"m{n}"] for n in range(100)]), limits)) == 100


@for_both_parsers
def test_record_merged_over_two_rows_is_one_row(limits):
    book = openpyxl.Workbook()
    for reference, value in {
        "A1": "m1",
        "B1": "Ama",
        "A3": "m2",
        "B3": "Kofi",
        "B4": "Esi",
    }.items():
        book.active[reference] = value
    for reference in ("A1:A2", "B1:B2", "A3:A4"):
        book.active.merge_cells(reference)

    expected = [(1, ["m1", "Ama"]), (3, ["m2", "Kofi"]), (4, ["m2", "Esi"])]
    assert read_rows(save_workbook(book), limits) == expected


# --- Text files --------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("cp1252", "windows-1252"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_detected(encoding, named, delimiter):
    lines = [["Name", "Phone", "Note"], ["Zoë", "024", "1,5; x"], ["Bea", "", "€"]]
    content = "\r\n".join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)

    detected, rows, _ = read_file(content.encode(encoding))

    assert detected == DetectedFormat("csv", None, named, delimiter)
    assert rows == [
        (1, ["Name", "Phone", "Note"]),
        (2, ["Zoë", "024", "1,5; x"]),
        (3, ["Bea", None, "€"]),
    ]


def test_accents_of_several_encodings_are_read_as_windows_1252():
    content = "Nom;Prénom\nDupont;Zoé\nMüller;Jörg\n" + "Mensah;Ama\n" * 40

    assert read_file(content.encode("cp1252"))[0].encoding == "windows-1252"


# Names by the code page in which Excel saves them in their countries.
NAMES = {
    "windows-1252": [
        "Éloïse Lefèvre, François Dubé, Hélène Côté",
        "Íñigo Muñoz Peña, José García",
        "João Gonçalves, Conceição Simões",
        "Jürgen Müller, Björn Größ, Käthe Schäfer",
        "Nicolò Forlì, Niccolò Cantù",
        "Søren Sørensen, Åse Kjær",
        "Åsa Öberg, Märta Sjöström",
        "Þórður Jónsson, Guðrún Ægisdóttir",
        "Éloïse Lefèvre",
        "Íñigo Muñoz Peña",
        "Éloïse Lefèvre, Íñigo Muñoz Peña, João Gonçalves, Jürgen Groß, Søren Kjær, Nicolò Cantù",
    ],
    "windows-1250": [
        "Łukasz Wójcik, Małgorzata Dąbrowska",
        "Jiří Dvořák, Tomáš Němec, Božena Černá",
        "Győző Erdős, Gergő Szűcs, László Kovács",
        "Željko Šarić, Đorđe Čović, Ivana Matić",
        "Ştefan Popa, Mădălina Ţurcanu",
        "Ľubomír Ďuriš, Mária Kováčová, Štefan Hruška",
        "Jiří Dvořák, Běla Nováková, Łukasz Świątek",
    ],
    "windows-1254": ["Ayşe Güneş, Çağlar Öztürk, İbrahim Yılmaz"],  # noqa: RUF001
    "windows-1257": ["Rūta Žukauskaitė, Jūratė Kazlauskienė"],
    "windows-1251": ["Иван Петров, Ольга Смирнова, Дмитрий Соколов"],
    "windows-1253": ["Γιώργος Παπαδόπουλος, Ελένη Νικολάου"],
    "mac_roman": ["Éloïse Lefèvre, François Dubé", "João Gonçalves, Conceição Simões"],
    "cp850": [
        "Éloïse Lefèvre, François Dubé",
        "Jürgen Müller, Björn Größ, Käthe Schäfer",
        "Jürgen Müller",
    ],
}


@pytest.mark.parametrize(
    ("encoding", "names"), [(page, names) for page, all_of in NAMES.items() for names in all_of]
)
@pytest.mark.parametrize("times", [1, 20])
def test_code_page_of_names_is_detected(encoding, names, times):
    people = [name.split(" ", 1) for name in names.split(", ")] * times
    lines = ["Mark;First name;Surname", *(f"MS {n};{a};{b}" for n, (a, b) in enumerate(people))]

    detected, rows, _ = read_file("\r\n".join(lines).encode(encoding))

    assert (detected.encoding, [cells[1:] for _, cells in rows[1:]]) == (encoding, people)


def test_line_break_inside_quotes_does_not_start_a_row():
    content = b'a,b\n"one\ntwo\r\nthree",x\n\n , \r"last",y'

    expected = [(1, ["a", "b"]), (2, ["one\ntwo\r\nthree", "x"]), (5, ["last", "y"])]
    assert read_rows(content) == expected


def test_decimal_commas_are_not_taken_for_the_delimiter():
    content = b"mark;weight;price\n" + b"A1;1,5;2,25\n" * 30

    assert read_file(content)[0].delimiter == ";"


@pytest.mark.parametrize("named_delimiter", ['"', "'", "a", "\0", "\ufeff"])
def test_invalid_delimiter_named_by_the_file_is_ignored(named_delimiter):
    detected, rows, _ = read_file(f"sep={named_delimiter}\nname;phone\nAma;1\n".encode())

    assert detected.delimiter == ";"
    assert [cells for _, cells in rows] == [["name", "phone"], ["Ama", "1"]]


def test_file_of_one_column_needs_no_delimiter():
    assert read_rows(b"phone\n0241234567\n") == [(1, ["phone"]), (2, ["0241234567"])]


def test_nul_byte_makes_one_cell_invalid_not_the_file():
    content = b"name,phone\n" + b"Ann,024\n" * 20 + b"B\0b,025\n"

    assert read_rows(content)[-1] == (22, ["B\0b", "025"])


# --- Chunks and resuming -----------------------------------------------------


def test_chunks_are_small_and_progress_never_falls():
    _, rows, chunks = read_file(make_csv_with_blank_lines(5_000))

    fractions = [chunk.fraction for chunk in chunks]
    assert [chunk.row_count for chunk in chunks] == [500, 1000, 1000, 1000, 1000, 500, 0]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.9
    assert fractions[-1] == 1.0
    assert [chunk.last_row for chunk in chunks][:2] == [999, 2_999]
    assert (len(rows), chunks[-1].last_row) == (5_000, 10_000)


def test_wide_rows_come_in_shorter_chunks():
    chunks = read_file(b",".join([b"x" * 1_000] * 30) + b"\n" + (b"y" * 30_000 + b"\n") * 100)[2]

    assert max(sum(len(str(row)) for row in chunk.list_rows()) for chunk in chunks) < 400_000


def test_a_wide_row_among_many_short_ones_is_not_multiplied():
    wide = b",".join(b"%d" % n for n in range(16_000))
    lines = [b"Ama" if n % 300 else wide for n in range(1, 1_001)]

    _, rows, chunks = read_file(b"\n".join(lines))

    assert [len(cells) for _, cells in rows] == [1 if n % 300 else 16_000 for n in range(1, 1_001)]
    cell_counts = [len(b) * len(b.columns) for chunk in chunks for b in chunk.blocks]
    assert max(cell_counts) <= 50_000 + 16_000
    # A reader that continues after a chunk misses no row.
    for chunk in chunks:
        rest = read_file(b"\n".join(lines), after=chunk.last_row)[1]
        assert rest == [row for row in rows if row[0] > chunk.last_row]


@pytest.mark.parametrize(
    "content", [make_csv_with_blank_lines(700), make_workbook(*[[f"m{n}"] for n in range(1_400)])]
)
@pytest.mark.parametrize("limits", [READER_LIMITS, STREAMING_LIMITS])
@pytest.mark.parametrize("after", [1, 500, 999, 1_000_000])
def test_reading_resumes_after_a_row(content, limits, after):
    whole = read_rows(content, limits)

    assert read_rows(content, limits, after=after) == [row for row in whole if row[0] > after]
