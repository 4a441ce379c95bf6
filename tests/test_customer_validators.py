"""The rules for the values of customers: accepted values, stored spellings and error codes."""

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
from customers.importers import CustomerImporter
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

HUGE = pytest.param(10**5000, id="huge")  # Python does not print such an integer.
PHONE_LIKE_TEXTS = st.text("0123456789+-() .", max_size=20)
EMAIL_LIKE_TEXTS = st.text("aZ09.@-_+'\"#\u017fK\u0130 é\u200d", max_size=30)
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=120),
    st.from_regex(r"(\+233|00233|233|0)? ?[25][045] ?[0-9]{7}", fullmatch=True),
    PHONE_LIKE_TEXTS,
    st.integers(200_000_000, 599_999_999),
    EMAIL_LIKE_TEXTS,
    st.emails(),
    st.text(" \u00a0\u200b\u200d\u0301aE#", max_size=8),
    st.sampled_from(sorted(normalization.SPREADSHEET_ERRORS)),
    st.text("'=\"+-@#\u200d a1", max_size=12),
    st.text("0123456789/,;+ xort.\n", min_size=12, max_size=40),
    st.text("NoÃ«©¼\xad\u00a0\u200b…s\ufffd\ufe0f\u202e", max_size=10),
    st.from_regex(r"-?[0-9]([.,][0-9]{1,5})?[Ee][+-]?[0-9]{1,3}", fullmatch=True),
)
# Arguments of make_cell.
SPECIAL_CELLS = st.one_of(
    st.tuples(st.sampled_from(sorted(TEXT_KINDS)), st.text(max_size=9), st.text(max_size=9)),
    st.tuples(st.sampled_from(sorted(NUMBER_KINDS)), st.integers(), st.text(max_size=9)),
    st.tuples(st.sampled_from(sorted(NUMBER_KINDS)), st.floats(), st.text(max_size=9)),
    st.tuples(st.just("link"), st.text(max_size=9), st.text(max_size=9)),
    st.tuples(st.just("shortened"), st.text(max_size=9), st.just(40_000)),
)
# Spaces between words and invisible characters: they make no difference.
SPACE_TEXTS = st.text(" \t\n\r\v\f\x85\u00a0\u2007\u202f\u2028\u3000", min_size=1, max_size=3)
INVISIBLE_TEXTS = st.text("\u200b\u200e\u2060\ufeff\u00ad", max_size=2)


def clean_error(rule, cell):
    with pytest.raises(InvalidValue) as error_info:
        rule(cell)
    return error_info.value.code, error_info.value.params


def clean_or_error(rule, cell):
    try:
        return rule(cell)
    except InvalidValue as error:
        return error.code, error.params


# --- Every rule --------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("cell", [None, "", "   ", "\t\n", "\u00a0", "\u200b \ufeff", "\u200d"])
def test_empty_cell_is_none(rule, cell):
    assert rule(cell) is None


@every_rule
@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1c", "\x7f", "\x92", "\ud800", "\uffff"])
def test_forbidden_character_is_an_error(rule, character):
    assert clean_error(rule, f"Ama{character}b") == ("forbidden_character", {})


@every_rule
@pytest.mark.parametrize("cell", [float("nan"), float("inf"), b"Ama", [], HUGE])
def test_value_that_is_no_text_and_no_number_is_an_error(rule, cell):
    assert clean_error(rule, cell) == ("not_text", {})


@every_rule
@pytest.mark.parametrize(
    "error", ["#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!"]
)
def test_error_value_of_a_formula_is_named(rule, error):
    assert clean_error(rule, error) == ("error_cell", {"error": error})
    assert clean_error(rule, f" {error.lower()}\u200d") == ("error_cell", {"error": error})


@every_rule
@given(drawn=CELLS | SPECIAL_CELLS)
def test_any_cell_gives_clean_text_none_or_a_described_error(rule, drawn):
    cell = make_cell(*drawn) if isinstance(drawn, tuple) else drawn
    try:
        cleaned, invalid = rule(cell), None
    except InvalidValue as error:
        cleaned, invalid = None, error
    if invalid:
        error = {"field": FIELDS[rule], "code": invalid.code, "params": invalid.params}
        assert describe_row_error(error, "customers") != invalid.code
        names = {"limit", "error", "region", "national", "international", "shown", "probably"}
        assert set(invalid.params) <= names
        assert invalid.params.get("limit", LIMITS[rule]) == LIMITS[rule]
        assert invalid.params.get("error", "#REF!") in normalization.SPREADSHEET_ERRORS
    assert cleaned is None or cleaned == " ".join(cleaned.split()) != ""
    assert cleaned is None or len(cleaned) <= LIMITS[rule]
    assert cleaned is None or cleaned == unicodedata.normalize("NFC", cleaned)
    assert not normalization.FORBIDDEN_CHARACTERS.search(cleaned or "")
    assert not INVISIBLE_MARK_PATTERN.search(cleaned or "")
    assert "\ufffd" not in (cleaned or "")
    assert cleaned is None or repair_mojibake(cleaned) is None


@every_rule
@given(cell=CELLS)
def test_cleaning_is_idempotent(rule, cell):
    cleaned = clean_or_error(rule, cell)
    if not isinstance(cleaned, tuple):
        assert rule(cleaned) == cleaned


def looks_garbled(text):
    """Tell whether the text has a sequence that decoding errors produce.

    A soft hyphen or a no-break space may complete such a sequence.
    """
    text = unicodedata.normalize("NFC", text)
    seen = unicodedata.normalize("NFC", normalization.INVISIBLE_CHARACTERS.sub("", text))
    return SEQUENCE_PATTERN.search(text) or SEQUENCE_PATTERN.search(seen)


@every_rule
@given(cell=CELLS.filter(lambda cell: isinstance(cell, str)), drawn=st.data())
def test_spaces_and_invisible_characters_make_no_difference(rule, cell, drawn):
    """Neither do decomposed accents."""
    assume(not normalization.FORBIDDEN_CHARACTERS.search(cell))
    words = drawn.draw(st.sampled_from([cell, unicodedata.normalize("NFD", cell)])).split()
    other_spelling = drawn.draw(INVISIBLE_TEXTS) + drawn.draw(
        st.sampled_from(["", " ", "\u00a0\n"])
    )
    for word in words:
        place = drawn.draw(st.integers(0, len(word)))
        other_spelling += (
            word[:place] + drawn.draw(INVISIBLE_TEXTS) + word[place:] + drawn.draw(SPACE_TEXTS)
        )

    assume(not looks_garbled(cell) and not looks_garbled(other_spelling))
    assert clean_or_error(rule, other_spelling) == clean_or_error(rule, cell)


# --- Formatted cells and garbled text ----------------------------------------


def make_formatted_cell(kind, value, shown):
    return make_cell(kind, value, shown)


FORMATTED_CELLS = [
    (make_formatted_cell("date", "2026-05-07", "May-26"), "date_in_text", "May-26"),
    (make_formatted_cell("date", "2026-12-03", "3/12"), "date_in_text", "3/12"),
    (make_formatted_cell("date", "2026-05-07", ""), "date_in_text", "2026-05-07"),
    (make_formatted_cell("time", "12:00:00", "12:00"), "time_in_text", "12:00"),
    (make_formatted_cell("duration", "26:30:00", "26:30"), "time_in_text", "26:30"),
    (make_formatted_cell("percentage", 0.05, "5%"), "percentage_in_text", "5%"),
    (make_formatted_cell("percentage", 1, "100%"), "percentage_in_text", "100%"),
    (make_formatted_cell("fraction", 0.5, "1/2"), "fraction_in_text", "1/2"),
    (make_formatted_cell("exponent", 2.19e26, "2.19E+26"), "exponent_in_text", "2.19E+26"),
    (make_formatted_cell("rounded", 12345678901234567000, "1.23E+19"), "digits_lost", "1.23E+19"),
    (True, "boolean_in_text", "TRUE"),
    (False, "boolean_in_text", "FALSE"),
]
of_text = pytest.mark.parametrize(
    "rule", [validators.clean_shipping_mark, validators.clean_name, validators.clean_email]
)


@of_text
@pytest.mark.parametrize(("cell", "code", "shown"), FORMATTED_CELLS)
def test_formatted_cell_is_an_error_with_its_shown_text(rule, cell, code, shown):
    assert clean_error(rule, cell) == (code, {"shown": shown})


def test_every_kind_of_formatted_cell_has_a_code():
    assert FORMATTED_CELL_ERROR_CODES.keys() == TEXT_KINDS | NUMBER_KINDS


def test_message_of_a_date_says_what_to_do():
    error = {"field": "shipping_mark", "code": "date_in_text", "params": {"shown": "May-26"}}

    assert describe_row_error(error, "customers") == (
        "This cell contains a date, not text. It shows May-26, which is probably the code that was "
        "typed before the spreadsheet program changed it to a date. Format the column as text, "
        "then type the code again."
    )


@pytest.mark.parametrize("rule", [validators.clean_shipping_mark, validators.clean_name])
@pytest.mark.parametrize(
    "cell",
    [
        "2.19E+26",
        "1.23457E+19",
        "2,19E+26",
        "1E+20",
        "-4.5E+123",
        " 1.23457E+19 ",
        "1.2345678901234567e+19",
        "5.00E-12",
        '="2.19E+26"',
        "1.23457E\u200b+19",
    ],
)
def test_exponent_is_an_error(rule, cell):
    code, params = clean_error(rule, cell)
    assert code == "exponent_in_text"
    assert re.fullmatch(r"-?\d([.,]\d+)?[Ee][+-]\d{2,3}", params["shown"])


@pytest.mark.parametrize(
    "mark",
    [
        "219E24",
        "2E26",
        "5E-12",
        "1E+5",
        "1E+1234",
        "12E+20",
        "1.2E20",
        "E+20",
        "1.5E+20 B",
        "A1E+20",
        "1E 20",
        "2026-05-07",
        "12:00",
        "5%",
        "TRUE",
        "12345678901234567890",
        "1/2",
    ],
)
def test_code_that_looks_like_a_number_is_kept(mark):
    assert validators.clean_shipping_mark(mark) == validators.clean_name(mark) == mark


@pytest.mark.parametrize(
    "rule", [validators.clean_shipping_mark, validators.clean_name, validators.clean_email]
)
@pytest.mark.parametrize(
    ("cell", "probably"),
    [
        ("NoÃ«l", "Noël"),
        (" FranÃ§ois ", " François "),
        ("Oâ€™Brien", "O\u2019Brien"),
        ("voilÃ\xa0", "voilà"),
        ("GarcÃ\xada", "García"),
        ("NoÃ\x83Â«l", "Noël"),
        ("A\u0303« NoA\u0303«l", "ë Noël"),
        ("NoÃ\u200b«l", "Noël"),
    ],
)
def test_garbled_text_is_an_error_with_the_probable_text(rule, cell, probably):
    assert clean_error(rule, cell) == ("garbled_text", {"probably": probably})


def test_mark_is_checked_in_capital_letters_too():
    assert clean_error(validators.clean_shipping_mark, "\u00e2\u00a1") == (
        "garbled_text",
        {"probably": "\u00a1"},
    )


def test_probable_text_is_shortened():
    _, params = clean_error(validators.clean_name, "NoÃ«l " * 90)
    assert params == {"probably": ("Noël " * 90)[:200]}


@every_rule
@pytest.mark.parametrize("cell", ["No\ufffdl", "\ufffd", "Ama \ufffd\ufffd", "NoÃ«l\ufffd"])
def test_replacement_characters_are_an_error(rule, cell):
    assert clean_error(rule, cell) == ("damaged_characters", {})


@every_rule
def test_shortened_text_is_too_long(rule):
    cell = make_cell("shortened", "ama@example.com", 40_000)
    assert clean_error(rule, cell) == ("too_long", {"limit": LIMITS[rule]})


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (validators.clean_shipping_mark, "ACC 1"),
        (validators.clean_name, "Ama"),
        (validators.clean_email, "ama@example.com"),
        (validators.clean_phone, "+233244123456"),
    ],
)
@given(
    place=st.integers(0, 20),
    mark=st.sampled_from(
        "\u202a\u202e\u2066\u2069\u200f\u061c\ufe0d\ufe0f\u115f\u3164\U000e0041\u180e\ufffb\u034f\u2065"
    ),
)
def test_invisible_marks_are_removed(rule, text, place, mark):
    assert rule(text[:place] + mark + text[place:]) == text


def test_shaping_marks_stay_in_names():
    for name in ("\u1820\u180b\u1820", "葛\U000e0100城", "क्\u200dष"):
        assert validators.clean_name(name) == name


def test_linked_text_is_its_text():
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
def test_formula_is_an_error(rule, cell):
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
def test_quotes_and_apostrophes_against_formulas_are_removed(rule, cell, value):
    assert rule(cell) == value


@every_rule
def test_very_long_cell_has_the_limit_of_its_field(rule):
    assert clean_error(rule, "a" * 1_001) == ("too_long", {"limit": LIMITS[rule]})


@every_rule
@pytest.mark.parametrize("filling", ["(", "a", "1", " ", "@", ".", "-", "\u200d", "+", "é"])
def test_longest_cell_is_fast(rule, filling):
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
def test_mark_is_upper_case_with_single_spaces(cell, mark):
    assert validators.clean_shipping_mark(cell) == mark


@pytest.mark.parametrize(
    ("rule", "limit"), [(validators.clean_shipping_mark, 50), (validators.clean_name, 100)]
)
@pytest.mark.parametrize("letter", ["a", "ɔ", "字"])
def test_text_may_be_as_long_as_its_field(rule, limit, letter):
    assert len(rule(letter * limit)) == len(rule(f"  {letter * limit} ")) == limit
    assert clean_error(rule, letter * (limit + 1)) == ("too_long", {"limit": limit})


def test_upper_case_is_stable_for_every_letter():
    for letter in map(chr, range(0xA0, 0x20000)):
        if letter.upper() != letter or unicodedata.normalize("NFC", letter) != letter:
            for cell in (letter, f"a{letter}\u0301", f"\u03b1\u0345{letter}"):
                mark = validators.clean_shipping_mark(cell) or ""
                assert (validators.clean_shipping_mark(mark) or "") == mark
                assert unicodedata.is_normalized("NFC", mark)


def test_length_of_a_mark_is_that_of_the_stored_text():
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
def test_name_keeps_its_spelling(cell, name):
    assert validators.clean_name(cell) == name


# --- Fast patterns -----------------------------------------------------------


def clean_without_patterns(rule, cell):
    """Return the result of the full rule: the fast patterns do not accept a subclass of str."""
    return rule(type("Text", (str,), {})(cell))


def test_letters_of_the_simple_name_pattern_do_not_combine():
    letters = [
        chr(code) for code in range(0x20, sys.maxunicode) if code not in range(0xD800, 0xE000)
    ]
    plain = [letter for letter in letters if validators.SIMPLE_NAME.fullmatch(letter)]

    assert len(plain) > 800
    assert not set(plain) & set(CONTINUATION)  # None of them is part of a garbled letter.
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
def test_simple_patterns_agree_with_the_full_rules(rule, cell):
    assert clean_or_error(rule, cell) == clean_or_error(
        lambda text: clean_without_patterns(rule, text), cell
    )


# --- The page docs/values.md -------------------------------------------------

PAGE = Path(__file__).resolve().parents[1] / "docs" / "values.md"
CLEAN = {column.field: column.clean for column in CustomerImporter.columns}


@pytest.mark.parametrize(
    ("field", "cell", "result"),
    re.findall(r"^\| (\w+) \| `(.*)` \| `(.*)` \|$", PAGE.read_text(), re.MULTILINE),
)
def test_examples_of_the_values_page(field, cell, result):
    cleaned = clean_or_error(CLEAN[field], cell)
    assert (cleaned[0] if isinstance(cleaned, tuple) else cleaned) == result


def test_values_page_names_every_error_code():
    general = {"too_long", "forbidden_character", "not_text", "phone_of_wrong_length"}
    named = set(re.findall(r"`(\w+)` \|$", PAGE.read_text(), re.MULTILINE))
    assert named >= validators.MESSAGES.keys() - general
    assert named >= {
        *FORMATTED_CELL_ERROR_CODES.values(),
        "boolean_in_text",
        "garbled_text",
        "damaged_characters",
    }
