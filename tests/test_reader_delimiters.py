"""Detection of the delimiter: a known header wins, then the most regular table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers.importers import CustomerImporter
from imports.pipeline.header_detection import get_field_headers
from tests.spreadsheets import read_file

FIELDS = get_field_headers(CustomerImporter)
HEADER = ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"]
ROW = ["A 1", "Ama", "Mensah", "", "0244123451"]


def read_delimiter(text, fields=FIELDS):
    return read_file(text.encode(), fields=fields)[0].delimiter


def make_csv_text(*rows, by=","):
    return "".join(by.join(row) + "\r\n" for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~"])
def test_delimiter_is_detected_by_a_known_header(delimiter):
    assert read_delimiter(make_csv_text(HEADER, ROW, ROW, by=delimiter)) == delimiter


@pytest.mark.parametrize(
    ("delimiter", "text"),
    [
        # The header is one field shorter or longer than the rows.
        (";", make_csv_text(HEADER, [*ROW, ""], [*ROW, ""], by=";")),
        (";", make_csv_text([*HEADER, ""], ROW, ROW, by=";")),
        (",", make_csv_text(HEADER, [*ROW, ""], [*ROW, ""])),
        ("\t", make_csv_text(HEADER, [*ROW, ""], by="\t")),
        # Rows contain more of another delimiter than of the right one.
        (
            ";",
            make_csv_text(
                HEADER, ["A 1", "Yaa, Afia, Esi, Efua, Abena, Adwoa", "O", "", "024"], by=";"
            ),
        ),
        (";", "".join(f"{x}\n" for x in (";".join(HEADER), *["A,B,C,D,E,F,G,H;x;y;;024"] * 30))),
        ("\t", make_csv_text(HEADER, ["A, 1, 2", "Ama, A", "M, x", "", "024, 025"], by="\t")),
        ("|", make_csv_text(HEADER, ["a;b;c;d;e;f;g", "x;y", "z;z", "", "1;2;3"], by="|")),
        (",", make_csv_text(HEADER, ["A 1", "Ama;Esi;Efua;Abena;Adwoa", "M;N;O", "", "024;025"])),
        # Titles above the header.
        (";", "Customers, branch, Tema, 2026\n\n" + make_csv_text(HEADER, ROW, by=";")),
        (",", "Customers; printed; today; at; ten\n" + make_csv_text(HEADER, ROW)),
        # Quotes.
        (";", make_csv_text(HEADER, ['"a,b,c"', '"Ama, ""A"""', '"M,N"', "", "024"], by=";")),
        (",", make_csv_text(HEADER, ['"a;b;c;d;e;f"', "Ama", "M", "", "024"])),
        (
            ";",
            make_csv_text(
                [f'"{name}"' for name in HEADER], ['"x\ny,z"', "a", "b", "", "c"], by=";"
            ),
        ),
        # Spaces around the delimiter.
        (";", make_csv_text(HEADER, ROW, by=" ; ")),
        ("|", make_csv_text(HEADER, ROW, by=" | ")),
        # Named by the file.
        ("|", "sep=|\n" + make_csv_text(HEADER, ROW, by="|")),
        (";", "sep=;\n" + make_csv_text(HEADER, ROW, by=";")),
        # A header without rows, and a header of two columns.
        (";", make_csv_text(HEADER, by=";")),
        ("\t", make_csv_text(["Phone", "Name, first; last"], ["024", "Ama"], by="\t")),
        # In other languages.
        (";", "Prénom;Nom;Téléphone;Marque\nAma, A;M;024;x,y,z,a,b\n"),
    ],
)
def test_table_with_the_known_header_wins(delimiter, text):
    assert read_delimiter(text) == delimiter


@pytest.mark.parametrize(
    ("delimiter", "text"),
    [
        (";", "a;b;c\n1,5;2,5;3\n4;5,5;6\n"),
        (",", "a,b,c\n1,2,3\n"),
        ("\t", "a\tb\n1,5\t2\n"),
        ("|", "a|b|c\n1|2|3\n"),
        (",", "one column\nAma\nKofi\n"),
        (",", "12:30\n14:45\n"),  # A rare delimiter needs a header that names fields.
        (",", "a~b\n1~2\n"),
        (";", "a;b;c;d\n1,5;2;3,5;4;\n1,5;2;3,5;4;\n"),
    ],
)
def test_regular_table_wins_without_a_known_header(delimiter, text):
    assert read_delimiter(text) == delimiter


CELLS = st.text(st.sampled_from("abc ,;|\t"), max_size=12).map(str.strip)


@given(st.sampled_from(",;\t|"), st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=5))
def test_header_decides_for_any_cells(delimiter, rows):
    others = str.maketrans(dict.fromkeys(delimiter, "x"))
    cells = [[cell.translate(others) for cell in row] for row in rows]

    assert read_delimiter(make_csv_text(HEADER, *cells, by=delimiter)) == delimiter
