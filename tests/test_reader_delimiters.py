"""Which character separates the columns: the one whose table has a known header and is regular."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers.importer import CustomerImporter
from imports.pipeline.header_detection import get_field_headers
from tests.spreadsheets import read_file

FIELDS = get_field_headers(CustomerImporter)
HEAD = ["Shipping Mark", "First Name", "Last Name", "Email", "Phone Number"]
ROW = ["A 1", "Ama", "Mensah", "", "0244123451"]


def found(text, fields=FIELDS):
    return read_file(text.encode(), fields=fields)[0].delimiter


def lines(*rows, by=","):
    return "".join(by.join(row) + "\r\n" for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~"])
def test_each_delimiter_is_found_by_a_known_header(delimiter):
    assert found(lines(HEAD, ROW, ROW, by=delimiter)) == delimiter


@pytest.mark.parametrize(
    ("delimiter", "text"),
    [
        # The header is one field shorter or longer than the rows.
        (";", lines(HEAD, [*ROW, ""], [*ROW, ""], by=";")),
        (";", lines([*HEAD, ""], ROW, ROW, by=";")),
        (",", lines(HEAD, [*ROW, ""], [*ROW, ""])),
        ("\t", lines(HEAD, [*ROW, ""], by="\t")),
        # Rows hold more of another delimiter than of the right one.
        (";", lines(HEAD, ["A 1", "Yaa, Afia, Esi, Efua, Abena, Adwoa", "O", "", "024"], by=";")),
        (";", "".join(f"{x}\n" for x in (";".join(HEAD), *["A,B,C,D,E,F,G,H;x;y;;024"] * 30))),
        ("\t", lines(HEAD, ["A, 1, 2", "Ama, A", "M, x", "", "024, 025"], by="\t")),
        ("|", lines(HEAD, ["a;b;c;d;e;f;g", "x;y", "z;z", "", "1;2;3"], by="|")),
        (",", lines(HEAD, ["A 1", "Ama;Esi;Efua;Abena;Adwoa", "M;N;O", "", "024;025"])),
        # Titles above the header.
        (";", "Customers, branch, Tema, 2026\n\n" + lines(HEAD, ROW, by=";")),
        (",", "Customers; printed; today; at; ten\n" + lines(HEAD, ROW)),
        # Quotes.
        (";", lines(HEAD, ['"a,b,c"', '"Ama, ""A"""', '"M,N"', "", "024"], by=";")),
        (",", lines(HEAD, ['"a;b;c;d;e;f"', "Ama", "M", "", "024"])),
        (";", lines([f'"{name}"' for name in HEAD], ['"x\ny,z"', "a", "b", "", "c"], by=";")),
        # Spaces around.
        (";", lines(HEAD, ROW, by=" ; ")),
        ("|", lines(HEAD, ROW, by=" | ")),
        # Said by the file.
        ("|", "sep=|\n" + lines(HEAD, ROW, by="|")),
        (";", "sep=;\n" + lines(HEAD, ROW, by=";")),
        # A header alone, and two columns of it.
        (";", lines(HEAD, by=";")),
        ("\t", lines(["Phone", "Name, first; last"], ["024", "Ama"], by="\t")),
        # In other languages.
        (";", "Prénom;Nom;Téléphone;Marque\nAma, A;M;024;x,y,z,a,b\n"),
    ],
)
def test_the_table_with_the_known_header_wins(delimiter, text):
    assert found(text) == delimiter


@pytest.mark.parametrize(
    ("delimiter", "text"),
    [
        (";", "a;b;c\n1,5;2,5;3\n4;5,5;6\n"),
        (",", "a,b,c\n1,2,3\n"),
        ("\t", "a\tb\n1,5\t2\n"),
        ("|", "a|b|c\n1|2|3\n"),
        (",", "one column\nAma\nKofi\n"),
        (",", "12:30\n14:45\n"),  # No unusual delimiter without a header that it names.
        (",", "a~b\n1~2\n"),
        (";", "a;b;c;d\n1,5;2;3,5;4;\n1,5;2;3,5;4;\n"),
    ],
)
def test_without_a_known_header_the_regular_table_wins(delimiter, text):
    assert found(text) == delimiter


CELLS = st.text(st.sampled_from("abc ,;|\t"), max_size=12).map(str.strip)


@given(st.sampled_from(",;\t|"), st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=5))
def test_whatever_the_cells_hold_the_header_decides(delimiter, rows):
    others = str.maketrans(dict.fromkeys(delimiter, "x"))
    cells = [[cell.translate(others) for cell in row] for row in rows]

    assert found(lines(HEAD, *cells, by=delimiter)) == delimiter
