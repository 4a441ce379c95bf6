"""Files with lines in two encodings: each line is decoded correctly or marked as undecodable."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imports.pipeline.reader_client import open_rows
from tests.factories import run_import
from tests.spreadsheets import READER_LIMITS, expect_unreadable, read_file, read_rows

HEADER = b"mark,first,last\n"
UTF_8 = ["A1,Noël,Françoise", "A2,Søren,Đặng", "A3,Łukasz,Świątek", "A4,Ama,Mensah"]


def make_csv_file(*lines, head=HEADER):
    """Return a CSV file. A line is text, for UTF-8, or a pair of text and encoding."""
    encoded = [x.encode() if isinstance(x, str) else x[0].encode(x[1]) for x in lines]
    return head + b"".join(line + b"\n" for line in encoded)


def read_with_encodings(content, **options):
    """Return the detected encodings, the rows below the header, and the notes."""
    detected, rows, chunks = read_file(content, **options)
    notes = {code: numbers for chunk in chunks for code, numbers in chunk.notes.items()}
    return (detected.encoding, detected.second_encoding), [cells for _, cells in rows[1:]], notes


@pytest.mark.parametrize(
    ("text", "encoding", "second"),
    [
        ("B1,José,Núñez", "cp1252", "windows-1252"),
        ("B1,François,Lefèvre", "latin-1", "windows-1252"),
        ("B1,Jürgen,Größmann", "cp1252", "windows-1252"),
        ("B1,Zoë,Ångström", "cp1252", "windows-1252"),
        ("B1,Świątek,Żółć", "cp1250", "windows-1250"),
        ("B1,Jiří,Dvořák", "cp1250", "windows-1250"),
        ("B1,Иван,Смирнов", "cp1251", "windows-1251"),
    ],
)
def test_line_in_another_encoding_is_decoded_and_noted(text, encoding, second):
    content = make_csv_file(*UTF_8, (text, encoding), "A5,Renée,Müller")

    encodings, rows, notes = read_with_encodings(content)

    assert encodings == ("utf-8", second)
    assert rows == [line.split(",") for line in (*UTF_8, text, "A5,Renée,Müller")]
    assert notes == {"other_encoding": [6]}


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ("cp1252", ["B1,José,Núñez", "B2,Noël,Garçon", "B3,Jürgen,Müller"]),
        ("cp1250", ["B1,Świątek,Żółć", "B2,Łukasz,Wójcik", "B3,Jiří,Dvořák"]),
        ("cp1251", ["B1,Иван,Смирнов", "B2,Пётр,Щукин", "B3,Анна,Кузнецова"]),
    ],
)
def test_utf_8_line_in_a_file_of_another_encoding_is_decoded(page, lines):
    content = make_csv_file(*((line, page) for line in lines), "A1,Noël,Françoise")

    encodings, rows, notes = read_with_encodings(content)

    assert encodings == (f"windows-{page[2:]}", "utf-8")
    assert rows == [line.split(",") for line in (*lines, "A1,Noël,Françoise")]
    assert notes == {"other_encoding": [5]}


@pytest.mark.parametrize(
    ("encoding", "lines"),
    [
        ("cp1252", ["B1,José,Núñez", "B2,Noël,Garçon"]),
        ("cp1251", ["B1,Иван,Смирнов", "B2,Пётр,Вёрстка"]),
        ("cp1253", ["B1,Γιώργος,Παπαδόπουλος", "B2,Ελένη,Νικολάου"]),
        ("euc_kr", ["B1,김민준,서울", "B2,이서연,부산", "B3,박지훈,대구"]),
        ("gb18030", ["B1,王小明,北京", "B2,李华,上海", "B3,张伟,广州"]),
        ("shift_jis", ["B1,田中太郎,東京", "B2,佐藤花子,大阪", "B3,鈴木一郎,京都"]),
    ],
)
def test_file_of_one_encoding_has_no_second_encoding(encoding, lines):
    encodings, rows, notes = read_with_encodings(
        make_csv_file(*((line, encoding) for line in lines))
    )

    assert encodings[1] is None
    assert rows == [line.split(",") for line in lines]
    assert notes == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"B1,wi\xb9tek,\xa3\x81",  # Letters of no language, and an invalid byte.
        b"B1,M\xc5ller\xaa,x\xd7y\xf7z",
        b"B1,\x81\x8d\x8f,\x90",
        b"B1,\xd5\xc5\xce\xb0,\xb1\xb1\xbe\xa9",  # Chinese in GB 18030.
        b"B1,r\xc9n\xe9,x",  # A capital inside a word.
        b"B1,Jos\xe9\x01,x",
        b"B1,caf\x8e,cr\x8fme",  # Valid in Mac Roman, but one line is no evidence for it.
        b"B1,abc\xff\xfe\x00\x01d,e",
    ],
)
def test_line_of_unknown_encoding_gets_replacement_characters(raw):
    content = make_csv_file(*UTF_8) + raw + b"\n"

    _, rows, notes = read_with_encodings(content)

    assert rows[:4] == [line.split(",") for line in UTF_8]
    assert any("\ufffd" in cell for cell in rows[4])
    assert notes == {"undecodable_characters": [6]}


def test_record_of_several_lines_is_noted_once():
    content = make_csv_file(*UTF_8) + '"B1","José\nNúñez",x\nA9,Zoë,y\n'.encode("cp1252")

    _, rows, notes = read_with_encodings(content)

    assert rows[4:] == [["B1", "José\nNúñez", "x"], ["A9", "Zoë", "y"]]
    assert notes == {"other_encoding": [6, 7]}


def test_byte_order_mark_names_the_main_encoding():
    content = b"\xef\xbb\xbf" + make_csv_file(("B1,José,Núñez", "cp1252"), ("B2,Noël,x", "cp1252"))

    encodings, rows, notes = read_with_encodings(content)

    assert encodings == ("utf-8", "windows-1252")
    assert rows == [["B1", "José", "Núñez"], ["B2", "Noël", "x"]]
    assert notes == {"other_encoding": [2, 3]}


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_all_line_endings_are_supported(newline):
    content = make_csv_file(*UTF_8, ("B1,José,Núñez", "cp1252")).replace(b"\n", newline)

    assert read_with_encodings(content)[1][4] == ["B1", "José", "Núñez"]


def test_requested_encoding_must_fit_the_file():
    content = make_csv_file(*UTF_8, ("B1,José,Núñez", "cp1252"))

    assert read_with_encodings(content, options={"encoding": "utf-8"}) == read_with_encodings(
        content
    )
    with pytest.raises(Exception, match="wrong_encoding"):
        read_file(make_csv_file(("B1,José,Núñez", "cp1252")), options={"encoding": "utf-8"})


def test_resumed_reading_returns_the_same_rows():
    lines = [("B1,José,Núñez", "cp1252"), ("B2,Noël,Garçon", "cp1252"), "A1,Noël,Françoise"]
    content = make_csv_file(*lines, *[(f"C{n},Zoë,x", "cp1252") for n in range(20)])
    (encoding, second), rows, _ = read_with_encodings(content)

    options = {"encoding": encoding, "second_encoding": second}
    with open_rows(io.BytesIO(content), limits=READER_LIMITS, options=options, after=3) as reader:
        rest = [(number, cells) for chunk in reader for number, cells in chunk.list_rows()]

    assert rest == list(enumerate(rows, start=2))[2:]


NAMES = st.sampled_from(
    [
        "Noël",
        "José Núñez",
        "Søren",
        "Müller",
        "Garçon",
        "Zoë",
        "Ångström",
        "Größmann",
        "Ama",
        "François Lefèvre",
        "Íñigo",
        "Þórður",
        "João Gonçalves",
        "Élodie",
        "MÜLLER",
        "Renée",
    ]
)
LINES = st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=6)


@given(LINES)
@example([("Noël", False), ("Søren", False)])
@example([("Noël", False), ("Søren", False), ("Søren", False), ("Noël", False)])
def test_each_line_is_decoded_independently_of_the_others(drawn):
    content = b"mark\nZo\xc3\xab\n" + b"".join(
        text.encode("utf-8" if is_utf_8 else "cp1252") + b"\n" for text, is_utf_8 in drawn
    )

    rows = [cells[0] for _, cells in read_rows(content)[1:]]

    assert rows == ["Zoë", *[text for text, _ in drawn]]


@pytest.mark.django_db
def test_read_summary_names_the_rows_and_the_encodings():
    head = b"Shipping mark,First name,Last name,E-mail,Phone\n"
    lines = ["A 1,Noël,Asante,,0244123451", ("A 2,José,Núñez,,0244123452", "cp1252")]

    job = run_import(make_csv_file(*lines, head=head))

    params = {"encoding": "utf-8", "second_encoding": "windows-1252", "count": 1, "rows": [3]}
    assert job.created == 2
    assert job.read_summary == [{"code": "other_encoding", "params": params}]


def test_file_of_no_known_encoding_is_unreadable():
    assert expect_unreadable(b"name\nZo\x81\x8d\n")[0] == "unknown_encoding"
