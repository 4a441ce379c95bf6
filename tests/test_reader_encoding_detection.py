"""Files whose lines are in two encodings: right lines stay right, others are never misread."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports.pipeline.reader_client import open_rows
from tests.factories import run_import
from tests.spreadsheets import LIMITS, expect_unreadable, read_file, read_rows

HEAD = b"mark,first,last\n"
UTF_8 = ["A1,Noël,Françoise", "A2,Søren,Đặng", "A3,Łukasz,Świątek", "A4,Ama,Mensah"]


def file_of(*lines, head=HEAD):
    """A CSV file of lines: text is written in UTF-8, (text, encoding) in that encoding."""
    encoded = [x.encode() if isinstance(x, str) else x[0].encode(x[1]) for x in lines]
    return head + b"".join(line + b"\n" for line in encoded)


def opened(content, **options):
    """The encodings found, the rows below the header, and the notes."""
    how, rows, chunks = read_file(content, **options)
    notes = {code: numbers for chunk in chunks for code, numbers in chunk.notes.items()}
    return (how.encoding, how.second_encoding), [cells for _, cells in rows[1:]], notes


@pytest.mark.parametrize(
    ("odd", "encoding", "second"),
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
def test_the_odd_line_is_read_in_the_best_guess_and_noted(odd, encoding, second):
    content = file_of(*UTF_8, (odd, encoding), "A5,Renée,Müller")

    found, rows, notes = opened(content)

    assert found == ("utf-8", second)
    assert rows == [line.split(",") for line in (*UTF_8, odd, "A5,Renée,Müller")]
    assert notes == {"other_encoding": [6]}


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ("cp1252", ["B1,José,Núñez", "B2,Noël,Garçon", "B3,Jürgen,Müller"]),
        ("cp1250", ["B1,Świątek,Żółć", "B2,Łukasz,Wójcik", "B3,Jiří,Dvořák"]),
        ("cp1251", ["B1,Иван,Смирнов", "B2,Пётр,Щукин", "B3,Анна,Кузнецова"]),
    ],
)
def test_one_line_of_utf_8_among_others_stays_utf_8(page, lines):
    content = file_of(*((line, page) for line in lines), "A1,Noël,Françoise")

    found, rows, notes = opened(content)

    assert found == (f"windows-{page[2:]}", "utf-8")
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
def test_a_file_of_one_encoding_is_read_as_before(encoding, lines):
    found, rows, notes = opened(file_of(*((line, encoding) for line in lines)))

    assert found[1] is None
    assert rows == [line.split(",") for line in lines]
    assert notes == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"B1,wi\xb9tek,\xa3\x81",  # No letters of any language, and no character at all.
        b"B1,M\xc5ller\xaa,x\xd7y\xf7z",
        b"B1,\x81\x8d\x8f,\x90",
        b"B1,\xd5\xc5\xce\xb0,\xb1\xb1\xbe\xa9",  # Chinese in GB 18030.
        b"B1,r\xc9n\xe9,x",  # A capital inside a word.
        b"B1,Jos\xe9\x01,x",
        b"B1,caf\x8e,cr\x8fme",  # Right in Mac Roman, but one line is no evidence for that.
        b"B1,abc\xff\xfe\x00\x01d,e",
    ],
)
def test_a_line_that_no_guess_explains_holds_no_wrong_letter(raw):
    content = file_of(*UTF_8) + raw + b"\n"

    _, rows, notes = opened(content)

    assert rows[:4] == [line.split(",") for line in UTF_8]
    assert any("\ufffd" in cell for cell in rows[4])
    assert notes == {"undecodable_characters": [6]}


def test_a_record_of_several_lines_is_noted_once():
    content = file_of(*UTF_8) + '"B1","José\nNúñez",x\nA9,Zoë,y\n'.encode("cp1252")

    _, rows, notes = opened(content)

    assert rows[4:] == [["B1", "José\nNúñez", "x"], ["A9", "Zoë", "y"]]
    assert notes == {"other_encoding": [6, 7]}


def test_a_byte_order_mark_says_which_encoding_most_lines_have():
    content = b"\xef\xbb\xbf" + file_of(("B1,José,Núñez", "cp1252"), ("B2,Noël,x", "cp1252"))

    found, rows, notes = opened(content)

    assert found == ("utf-8", "windows-1252")
    assert rows == [["B1", "José", "Núñez"], ["B2", "Noël", "x"]]
    assert notes == {"other_encoding": [2, 3]}


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_lines_may_end_as_they_like(newline):
    content = file_of(*UTF_8, ("B1,José,Núñez", "cp1252")).replace(b"\n", newline)

    assert opened(content)[1][4] == ["B1", "José", "Núñez"]


def test_who_names_utf_8_gets_the_same_and_who_names_what_does_not_fit_is_told():
    content = file_of(*UTF_8, ("B1,José,Núñez", "cp1252"))

    assert opened(content, options={"encoding": "utf-8"}) == opened(content)
    with pytest.raises(Exception, match="wrong_encoding"):
        read_file(file_of(("B1,José,Núñez", "cp1252")), options={"encoding": "utf-8"})


def test_a_reader_that_goes_on_gives_the_same_rows():
    lines = [("B1,José,Núñez", "cp1252"), ("B2,Noël,Garçon", "cp1252"), "A1,Noël,Françoise"]
    content = file_of(*lines, *[(f"C{n},Zoë,x", "cp1252") for n in range(20)])
    (encoding, second), rows, _ = opened(content)

    options = {"encoding": encoding, "second_encoding": second}
    with open_rows(io.BytesIO(content), limits=LIMITS, options=options, after=3) as reader:
        rest = [(number, cells) for chunk in reader for number, cells in chunk.rows]

    assert rest == list(enumerate(rows, start=2))[2:]


NAMES = st.sampled_from([
    *("Noël", "José Núñez", "Søren", "Müller", "Garçon", "Zoë", "Ångström", "Größmann", "Ama"),
    *("François Lefèvre", "Íñigo", "Þórður", "João Gonçalves", "Élodie", "MÜLLER", "Renée"),
])  # fmt: skip
LINES = st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=6)


@given(LINES)
def test_right_lines_stay_right_whatever_stands_beside_them(drawn):
    content = b"mark\nZo\xc3\xab\n" + b"".join(
        text.encode("utf-8" if is_utf_8 else "cp1252") + b"\n" for text, is_utf_8 in drawn
    )

    rows = [cells[0] for _, cells in read_rows(content)[1:]]

    assert rows == ["Zoë", *[text for text, _ in drawn]]


@pytest.mark.django_db
def test_the_summary_names_the_rows_and_the_encodings():
    head = b"Shipping mark,First name,Last name,E-mail,Phone\n"
    lines = ["A 1,Noël,Asante,,0244123451", ("A 2,José,Núñez,,0244123452", "cp1252")]

    job = run_import(file_of(*lines, head=head))

    params = {"encoding": "utf-8", "second_encoding": "windows-1252", "count": 1, "rows": [3]}
    assert job.created == 2
    assert job.read_summary == [{"code": "other_encoding", "params": params}]


def test_what_is_no_text_in_any_encoding_is_refused():
    assert expect_unreadable(b"name\nZo\x81\x8d\n")[0] == "unknown_encoding"
