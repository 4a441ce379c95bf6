"""The rules for one value: what is accepted, in which spelling, and why the rest is not."""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path
from time import process_time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from customers import normalization, validators
from customers.importer import CustomerImporter
from customers.models import Customer
from imports.cell_values import NUMBER_KINDS, TEXT_KINDS, LinkedText, make_cell
from imports.error_messages import describe_row_error
from imports.importer import InvalidValue
from imports.mojibake import CONTINUATION, SEQUENCE_PATTERN, repair_mojibake
from imports.text_cell_values import FORMATTED_CELL_ERROR_CODES, INVISIBLE_MARK_PATTERN

FIELDS = {
    validators.clean_shipping_mark: "shipping_mark",
    validators.clean_name: "first_name",
    validators.clean_email: "email",
    validators.clean_phone: "phone",
}
LIMITS = {rule: Customer._meta.get_field(field).max_length for rule, field in FIELDS.items()}
every_rule = pytest.mark.parametrize("rule", FIELDS)

HUGE = pytest.param(10**5000, id="huge")  # Python refuses to print it.
TELEPHONIC = st.text("0123456789+-() .", max_size=20)
EMAIL_LIKE_TEXTS = st.text("aZ09.@-_+'\"#\u017fK\u0130 é\u200d", max_size=30)
CELLS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=120)),
    *(st.from_regex(r"(\+233|00233|233|0)? ?[25][045] ?[0-9]{7}", fullmatch=True), TELEPHONIC),
    *(
        st.integers(200_000_000, 599_999_999),
        EMAIL_LIKE_TEXTS,
        st.emails(),
        st.text(" \u00a0\u200b\u200d\u0301aE#", max_size=8),
    ),
    st.sampled_from(sorted(normalization.SPREADSHEET_ERRORS)),
    st.text("'=\"+-@#\u200d a1", max_size=12),
    st.text("0123456789/,;+ xort.\n", min_size=12, max_size=40),
    st.text("NoÃ«©¼\xad\u00a0\u200b…s\ufffd\ufe0f\u202e", max_size=10),
    st.from_regex(r"-?[0-9]([.,][0-9]{1,5})?[Ee][+-]?[0-9]{1,3}", fullmatch=True),
)
# What `make_cell` takes.
SPECIAL_CELLS = st.one_of(
    st.tuples(st.sampled_from(sorted(TEXT_KINDS)), st.text(max_size=9), st.text(max_size=9)),
    st.tuples(st.sampled_from(sorted(NUMBER_KINDS)), st.integers(), st.text(max_size=9)),
    st.tuples(st.sampled_from(sorted(NUMBER_KINDS)), st.floats(), st.text(max_size=9)),
    st.tuples(st.just("link"), st.text(max_size=9), st.text(max_size=9)),
    st.tuples(st.just("shortened"), st.text(max_size=9), st.just(40_000)),
)
# What is not seen, or not told apart, wherever it stands between words.
SPACES = st.text(" \t\n\r\v\f\x85\u00a0\u2007\u202f\u2028\u3000", min_size=1, max_size=3)
UNSEEN = st.text("\u200b\u200e\u2060\ufeff\u00ad", max_size=2)


def clean_error(rule, cell):
    with pytest.raises(InvalidValue) as refused:
        rule(cell)
    return refused.value.code, refused.value.params


def clean_or_error(rule, cell):
    try:
        return rule(cell)
    except InvalidValue as refused:
        return refused.code, refused.params


# --- Every rule --------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("cell", [None, "", "   ", "\t\n", "\u00a0", "\u200b \ufeff", "\u200d"])
def test_an_empty_cell_is_none(rule, cell):
    assert rule(cell) is None


@every_rule
@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1c", "\x7f", "\x92", "\ud800", "\uffff"])
def test_what_cannot_be_stored_is_refused(rule, character):
    assert clean_error(rule, f"Ama{character}b") == ("forbidden_character", {})


@every_rule
@pytest.mark.parametrize("cell", [float("nan"), float("inf"), b"Ama", [], HUGE])
def test_what_is_neither_text_nor_a_number_is_refused(rule, cell):
    assert clean_error(rule, cell) == ("not_text", {})


@every_rule
@pytest.mark.parametrize(
    "error", ["#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!"]
)
def test_a_failed_formula_is_named(rule, error):
    assert clean_error(rule, error) == ("error_cell", {"error": error})
    assert clean_error(rule, f" {error.lower()}\u200d") == ("error_cell", {"error": error})


@every_rule
@given(drawn=CELLS | SPECIAL_CELLS)
def test_any_cell_ends_in_text_none_or_a_refusal_with_words(rule, drawn):
    cell = make_cell(*drawn) if isinstance(drawn, tuple) else drawn
    try:
        cleaned, refused = rule(cell), None
    except InvalidValue as error:
        cleaned, refused = None, error
    if refused:
        error = {"column": FIELDS[rule], "code": refused.code, "params": refused.params}
        assert describe_row_error(error, "customers") != refused.code
        names = {"limit", "error", "region", "national", "international", "shown", "probably"}
        assert set(refused.params) <= names
        assert refused.params.get("limit", LIMITS[rule]) == LIMITS[rule]
        assert refused.params.get("error", "#REF!") in normalization.SPREADSHEET_ERRORS
    assert cleaned is None or cleaned == " ".join(cleaned.split()) != ""
    assert cleaned is None or len(cleaned) <= LIMITS[rule]
    assert cleaned is None or cleaned == unicodedata.normalize("NFC", cleaned)
    assert not normalization.FORBIDDEN_CHARACTERS.search(cleaned or "")
    assert not INVISIBLE_MARK_PATTERN.search(cleaned or "")
    assert "\ufffd" not in (cleaned or "")
    assert cleaned is None or repair_mojibake(cleaned) is None


@every_rule
@given(cell=CELLS)
def test_cleaning_twice_is_cleaning_once(rule, cell):
    cleaned = clean_or_error(rule, cell)
    if not isinstance(cleaned, tuple):
        assert rule(cleaned) == cleaned


def may_be_garbled(text):
    """A soft hyphen or a no-break space may make a garbled letter of the one before it."""
    text = unicodedata.normalize("NFC", text)
    seen = unicodedata.normalize("NFC", normalization.INVISIBLE_CHARACTERS.sub("", text))
    return SEQUENCE_PATTERN.search(text) or SEQUENCE_PATTERN.search(seen)


@every_rule
@given(cell=CELLS.filter(lambda cell: isinstance(cell, str)), drawn=st.data())
def test_what_is_not_seen_makes_no_difference(rule, cell, drawn):
    """Spaces of any kind and number, invisible marks, and how accents are stored."""
    assume(not normalization.FORBIDDEN_CHARACTERS.search(cell))
    words = drawn.draw(st.sampled_from([cell, unicodedata.normalize("NFD", cell)])).split()
    again = drawn.draw(UNSEEN) + drawn.draw(st.sampled_from(["", " ", "\u00a0\n"]))
    for word in words:
        place = drawn.draw(st.integers(0, len(word)))
        again += word[:place] + drawn.draw(UNSEEN) + word[place:] + drawn.draw(SPACES)

    assume(not may_be_garbled(cell) and not may_be_garbled(again))
    assert clean_or_error(rule, again) == clean_or_error(rule, cell)


# --- What a spreadsheet program has changed, and text in the wrong encoding -----


def formatted(kind, value, shown):
    return make_cell(kind, value, shown)


CHANGED = [
    (formatted("date", "2026-05-07", "May-26"), "date_in_text", "May-26"),
    (formatted("date", "2026-12-03", "3/12"), "date_in_text", "3/12"),
    (formatted("date", "2026-05-07", ""), "date_in_text", "2026-05-07"),
    (formatted("time", "12:00:00", "12:00"), "time_in_text", "12:00"),
    (formatted("duration", "26:30:00", "26:30"), "time_in_text", "26:30"),
    (formatted("percentage", 0.05, "5%"), "percentage_in_text", "5%"),
    (formatted("percentage", 1, "100%"), "percentage_in_text", "100%"),
    (formatted("fraction", 0.5, "1/2"), "fraction_in_text", "1/2"),
    (formatted("exponent", 2.19e26, "2.19E+26"), "exponent_in_text", "2.19E+26"),
    (formatted("rounded", 12345678901234567000, "1.23E+19"), "digits_lost", "1.23E+19"),
    (True, "yes_or_no_in_text", "TRUE"),
    (False, "yes_or_no_in_text", "FALSE"),
]
of_text = pytest.mark.parametrize(
    "rule", [validators.clean_shipping_mark, validators.clean_name, validators.clean_email]
)


@of_text
@pytest.mark.parametrize(("cell", "code", "shown"), CHANGED)
def test_a_cell_that_is_no_text_is_refused_with_what_it_shows(rule, cell, code, shown):
    assert clean_error(rule, cell) == (code, {"shown": shown})


def test_every_kind_of_formatted_cell_has_a_code():
    assert FORMATTED_CELL_ERROR_CODES.keys() == TEXT_KINDS | NUMBER_KINDS


def test_the_sentence_for_a_date_says_what_it_shows_and_what_to_do():
    error = {"column": "shipping_mark", "code": "date_in_text", "params": {"shown": "May-26"}}

    assert describe_row_error(error, "customers") == (
        "This cell contains a date, not text. It shows May-26, which is probably the code that was "
        "typed before the spreadsheet program changed it to a date. Format the column as text, "
        "then type the code again."
    )


@pytest.mark.parametrize("rule", [validators.clean_shipping_mark, validators.clean_name])
@pytest.mark.parametrize(
    "cell",
    [
        *("2.19E+26", "1.23457E+19", "2,19E+26", "1E+20", "-4.5E+123", " 1.23457E+19 "),
        *("1.2345678901234567e+19", "5.00E-12", '="2.19E+26"', "1.23457E\u200b+19"),
    ],
)
def test_a_number_that_a_program_has_shortened_is_no_text(rule, cell):
    code, params = clean_error(rule, cell)
    assert code == "exponent_in_text"
    assert re.fullmatch(r"-?\d([.,]\d+)?[Ee][+-]\d{2,3}", params["shown"])


@pytest.mark.parametrize(
    "mark",
    [
        *("219E24", "2E26", "5E-12", "1E+5", "1E+1234", "12E+20", "1.2E20", "E+20", "1.5E+20 B"),
        *("A1E+20", "1E 20", "2026-05-07", "12:00", "5%", "TRUE", "12345678901234567890", "1/2"),
    ],
)
def test_a_code_that_was_typed_as_text_stays(mark):
    assert validators.clean_shipping_mark(mark) == validators.clean_name(mark) == mark


@pytest.mark.parametrize(
    "rule", [validators.clean_shipping_mark, validators.clean_name, validators.clean_email]
)
@pytest.mark.parametrize(
    ("cell", "probably"),
    [
        *(("NoÃ«l", "Noël"), (" FranÃ§ois ", " François "), ("Oâ€™Brien", "O\u2019Brien")),
        *(("voilÃ\xa0", "voilà"), ("GarcÃ\xada", "García"), ("NoÃ\x83Â«l", "Noël")),
        *(("A\u0303« NoA\u0303«l", "ë Noël"), ("NoÃ\u200b«l", "Noël")),
    ],
)
def test_text_in_the_wrong_encoding_is_refused_with_what_it_was(rule, cell, probably):
    assert clean_error(rule, cell) == ("garbled_text", {"probably": probably})


def test_a_mark_is_judged_in_capital_letters_too():
    assert clean_error(validators.clean_shipping_mark, "\u00e2\u00a1") == (
        "garbled_text",
        {"probably": "\u00a1"},
    )


def test_what_garbled_text_was_is_shown_in_part():
    _, params = clean_error(validators.clean_name, "NoÃ«l " * 90)
    assert params == {"probably": ("Noël " * 90)[:200]}


@every_rule
@pytest.mark.parametrize("cell", ["No\ufffdl", "\ufffd", "Ama \ufffd\ufffd", "NoÃ«l\ufffd"])
def test_text_with_characters_that_are_lost_is_refused(rule, cell):
    assert clean_error(rule, cell) == ("damaged_characters", {})


@every_rule
def test_text_that_the_reader_has_cut_is_too_long(rule):
    cell = make_cell("shortened", "ama@example.com", 40_000)
    assert clean_error(rule, cell) == ("too_long", {"limit": LIMITS[rule]})


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        *(
            (validators.clean_shipping_mark, "ACC 1"),
            (validators.clean_name, "Ama"),
            (validators.clean_email, "ama@example.com"),
        ),
        (validators.clean_phone, "+233244123456"),
    ],
)
@given(
    place=st.integers(0, 20),
    mark=st.sampled_from(
        "\u202a\u202e\u2066\u2069\u200f\u061c\ufe0d\ufe0f\u115f\u3164\U000e0041\u180e\ufffb\u034f\u2065"
    ),
)
def test_marks_that_nobody_sees_go(rule, text, place, mark):
    assert rule(text[:place] + mark + text[place:]) == text


def test_marks_that_shape_letters_stay_in_names():
    for name in ("\u1820\u180b\u1820", "葛\U000e0100城", "क्\u200dष"):
        assert validators.clean_name(name) == name


def test_text_with_a_link_is_that_text():
    linked = make_cell("link", "Ama", "mailto:ama@example.com")
    assert type(linked) is LinkedText
    assert (validators.clean_name(linked), type(validators.clean_name(linked))) == ("Ama", str)


@pytest.mark.parametrize("rule", [validators.clean_shipping_mark, validators.clean_email])
@given(cell=st.one_of(st.emails(), EMAIL_LIKE_TEXTS, st.text("aZß09-éŉǰɔẹ", max_size=12)))
def test_case_makes_no_difference(rule, cell):
    for again in (cell.upper(), cell.title()):
        if again.lower() == cell.lower() and again.upper() == cell.upper():
            assert clean_or_error(rule, again) == clean_or_error(rule, cell)


@every_rule
@pytest.mark.parametrize(
    "cell", ["=A1", "=SUM(A1:A9)", "'=A1", ' ="a"&"b"', "=", '="=A1"', "\u200b=A1"]
)
def test_a_formula_is_no_value(rule, cell):
    assert clean_error(rule, cell) == ("formula", {})


@pytest.mark.parametrize(
    ("rule", "cell", "value"),
    [
        (validators.clean_phone, '="0244123456"', "+233244123456"),
        (validators.clean_phone, "'+233244123456", "+233244123456"),
        (validators.clean_shipping_mark, '="0012"', "0012"),
        (validators.clean_shipping_mark, "'-5", "-5"),
        (validators.clean_shipping_mark, "''-5", "-5"),
        (validators.clean_shipping_mark, '="\'-5"', "-5"),
        (validators.clean_shipping_mark, '="" ', None),
        (validators.clean_name, "'@Ama", "@Ama"),
        (validators.clean_name, "'N Gbesso", "'N Gbesso"),
    ],
)
def test_what_kept_text_from_being_a_formula_is_no_part_of_it(rule, cell, value):
    assert rule(cell) == value


@every_rule
def test_a_cell_longer_than_any_value_is_told_its_own_limit(rule):
    assert clean_error(rule, "a" * 1_001) == ("too_long", {"limit": LIMITS[rule]})


@every_rule
@pytest.mark.parametrize("filling", ["(", "a", "1", " ", "@", ".", "-", "\u200d", "+", "é"])
def test_the_longest_cell_is_judged_at_once(rule, filling):
    begun = process_time()
    clean_or_error(rule, filling * 32_766 + "x")
    assert process_time() - begun < 0.5


# --- Shipping mark and names -------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "mark"),
    [
        ("acc-41", "ACC-41"),
        (" acc\u00a0 41\n", "ACC 41"),
        ("ac\u200bc\u200d41", "ACC41"),
        ("a \u200d b", "A B"),
        ("e\u0301clair", "ÉCLAIR"),
        ("e\u2060\u0301clair", "ÉCLAIR"),
        ("straße", "STRASSE"),
        (12, "12"),
        (12.0, "12"),
        (12.5, "12.5"),
        (1e11, "100000000000"),
        (1e16, "10000000000000000"),
        (0.00001, "0.00001"),
        ("0012", "0012"),
        ("#1", "#1"),
    ],
)
def test_a_mark_is_upper_case_with_single_spaces(cell, mark):
    assert validators.clean_shipping_mark(cell) == mark


@pytest.mark.parametrize(
    ("rule", "limit"), [(validators.clean_shipping_mark, 50), (validators.clean_name, 100)]
)
@pytest.mark.parametrize("letter", ["a", "ɔ", "字"])
def test_text_may_be_as_long_as_its_field(rule, limit, letter):
    assert len(rule(letter * limit)) == len(rule(f"  {letter * limit} ")) == limit
    assert clean_error(rule, letter * (limit + 1)) == ("too_long", {"limit": limit})


def test_every_letter_has_one_upper_case_spelling():
    for letter in map(chr, range(0xA0, 0x20000)):
        if letter.upper() != letter or unicodedata.normalize("NFC", letter) != letter:
            for cell in (letter, f"a{letter}\u0301", f"\u03b1\u0345{letter}"):
                mark = validators.clean_shipping_mark(cell) or ""
                assert (validators.clean_shipping_mark(mark) or "") == mark
                assert unicodedata.is_normalized("NFC", mark)


def test_a_mark_is_measured_as_it_is_stored():
    assert clean_error(validators.clean_shipping_mark, "ß" * 26) == ("too_long", {"limit": 50})


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("N'Guessan", "N'Guessan"),
        (" van   Dyck\u202f", "van Dyck"),
        ("Ade\u0301lai\u0308de", "Adélaïde"),
        ("Ade\u2060\u0301laïde", "Adélaïde"),
        ("Ọlá\u00adtúnjí", "Ọlátúnjí"),
        ("Ayọ̀délé", "Ayọ̀délé"),
        ("क्\u200dष", "क्\u200dष"),
        ("王小明", "王小明"),
        ("John\nKofi", "John Kofi"),
        (7, "7"),
    ],
)
def test_a_name_stays_as_it_was_written(cell, name):
    assert validators.clean_name(cell) == name


# --- The short ways ----------------------------------------------------------


def clean_without_patterns(rule, cell):
    """What a rule makes of a cell that its pattern for ordinary cells cannot take."""
    return rule(type("Text", (str,), {})(cell))


def test_letters_of_plain_names_never_combine():
    letters = [
        chr(code) for code in range(0x20, sys.maxunicode) if code not in range(0xD800, 0xE000)
    ]
    plain = [letter for letter in letters if validators.SIMPLE_NAME.fullmatch(letter)]

    assert len(plain) > 800
    assert not set(plain) & set(CONTINUATION)  # So none is part of a garbled letter.
    for letter in plain:
        assert unicodedata.normalize("NFC", letter) == letter
        assert unicodedata.combining(letter) == 0
        assert (
            clean_without_patterns(validators.clean_name, letter)
            == validators.clean_name(letter)
            == letter
        )


@pytest.mark.parametrize("rule", [validators.clean_shipping_mark, validators.clean_name])
@given(
    cell=st.one_of(
        st.text("aZß09#-' \u00ad\u00a0\u0301éŉǰɔẹ!/NÃ«", max_size=12),
        st.from_regex(r"-?[0-9]([.,][0-9]{1,5})?[Ee][+-]?[0-9]{1,3}", fullmatch=True),
    )
)
def test_ordinary_text_is_judged_as_all_text(rule, cell):
    assert clean_or_error(rule, cell) == clean_or_error(
        lambda text: clean_without_patterns(rule, text), cell
    )


# --- The page ----------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[1] / "docs" / "values.md"
CLEAN = {column.field: column.clean for column in CustomerImporter.columns}


@pytest.mark.parametrize(
    ("field", "cell", "result"),
    re.findall(r"^\| (\w+) \| `(.*)` \| `(.*)` \|$", PAGE.read_text(), re.MULTILINE),
)
def test_the_page_on_values_is_true(field, cell, result):
    found = clean_or_error(CLEAN[field], cell)
    assert (found[0] if isinstance(found, tuple) else found) == result


def test_the_page_on_values_names_every_refusal_of_a_phone_or_an_address():
    general = {"too_long", "forbidden_character", "not_text", "phone_of_wrong_length"}
    named = set(re.findall(r"`(\w+)` \|$", PAGE.read_text(), re.MULTILINE))
    assert named >= validators.MESSAGES.keys() - general
    assert named >= {
        *FORMATTED_CELL_ERROR_CODES.values(),
        "yes_or_no_in_text",
        "garbled_text",
        "damaged_characters",
    }
