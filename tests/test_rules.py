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

from customers import cells, rules
from customers.importer import Customers
from customers.models import Customer
from imports.importer import Invalid

FIELDS = {
    rules.shipping_mark: "shipping_mark",
    rules.name: "first_name",
    rules.email: "email",
    rules.phone: "phone",
}
LIMITS = {rule: Customer._meta.get_field(field).max_length for rule, field in FIELDS.items()}
every_rule = pytest.mark.parametrize("rule", FIELDS)

HUGE = pytest.param(10**5000, id="huge")  # Python refuses to print it.
TELEPHONIC = st.text("0123456789+-() .", max_size=20)
MAILISH = st.text("aZ09.@-_+'\"#\u017fK\u0130 é\u200d", max_size=30)
CELLS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=120)),
    *(st.from_regex(r"(\+233|00233|233|0)? ?[25][045] ?[0-9]{7}", fullmatch=True), TELEPHONIC),
    *(
        st.integers(200_000_000, 599_999_999),
        MAILISH,
        st.emails(),
        st.text(" \u00a0\u200b\u200d\u0301aE#", max_size=8),
    ),
    st.sampled_from(sorted(cells.ERROR_CELLS)),
    st.text("'=\"+-@#\u200d a1", max_size=12),
    st.text("0123456789/,;+ xort.\n", min_size=12, max_size=40),
)
# What is not seen, or not told apart, wherever it stands between words.
SPACES = st.text(" \t\n\r\v\f\x85\u00a0\u2007\u202f\u2028\u3000", min_size=1, max_size=3)
UNSEEN = st.text("\u200b\u200e\u2060\ufeff\u00ad", max_size=2)


def refusal(rule, cell):
    with pytest.raises(Invalid) as refused:
        rule(cell)
    return refused.value.code, refused.value.params


def outcome(rule, cell):
    try:
        return rule(cell)
    except Invalid as refused:
        return refused.code, refused.params


# --- Every rule --------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("cell", [None, "", "   ", "\t\n", "\u00a0", "\u200b \ufeff", "\u200d"])
def test_an_empty_cell_is_none(rule, cell):
    assert rule(cell) is None


@every_rule
@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1c", "\x7f", "\x92", "\ud800", "\uffff"])
def test_what_cannot_be_stored_is_refused(rule, character):
    assert refusal(rule, f"Ama{character}b") == ("forbidden_character", {})


@every_rule
@pytest.mark.parametrize("cell", [True, False, float("nan"), float("inf"), b"Ama", [], HUGE])
def test_what_is_neither_text_nor_a_number_is_refused(rule, cell):
    assert refusal(rule, cell) == ("not_text", {})


@every_rule
@pytest.mark.parametrize(
    "error", ["#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!"]
)
def test_a_failed_formula_is_named(rule, error):
    assert refusal(rule, error) == ("error_cell", {"error": error})
    assert refusal(rule, f" {error.lower()}\u200d") == ("error_cell", {"error": error})


@every_rule
@given(cell=CELLS)
def test_any_cell_ends_in_text_none_or_a_refusal_with_words(rule, cell):
    try:
        cleaned, refused = rule(cell), None
    except Invalid as error:
        cleaned, refused = None, error
    if refused:
        assert str(rules.MESSAGES[refused.code]) % refused.params
        assert set(refused.params) <= {"limit", "error", "region", "national", "international"}
        assert refused.params.get("limit", LIMITS[rule]) == LIMITS[rule]
        assert refused.params.get("error", "#REF!") in cells.ERROR_CELLS
    assert cleaned is None or cleaned == " ".join(cleaned.split()) != ""
    assert cleaned is None or len(cleaned) <= LIMITS[rule]
    assert cleaned is None or cleaned == unicodedata.normalize("NFC", cleaned)
    assert not cells.FORBIDDEN.search(cleaned or "")


@every_rule
@given(cell=CELLS)
def test_cleaning_twice_is_cleaning_once(rule, cell):
    cleaned = outcome(rule, cell)
    if not isinstance(cleaned, tuple):
        assert rule(cleaned) == cleaned


@every_rule
@given(cell=CELLS.filter(lambda cell: isinstance(cell, str)), drawn=st.data())
def test_what_is_not_seen_makes_no_difference(rule, cell, drawn):
    """Spaces of any kind and number, invisible marks, and how accents are stored."""
    assume(not cells.FORBIDDEN.search(cell))
    words = drawn.draw(st.sampled_from([cell, unicodedata.normalize("NFD", cell)])).split()
    again = drawn.draw(UNSEEN) + drawn.draw(st.sampled_from(["", " ", "\u00a0\n"]))
    for word in words:
        place = drawn.draw(st.integers(0, len(word)))
        again += word[:place] + drawn.draw(UNSEEN) + word[place:] + drawn.draw(SPACES)

    assert outcome(rule, again) == outcome(rule, cell)


@pytest.mark.parametrize("rule", [rules.shipping_mark, rules.email])
@given(cell=st.one_of(st.emails(), MAILISH, st.text("aZß09-éŉǰɔẹ", max_size=12)))
def test_case_makes_no_difference(rule, cell):
    for again in (cell.upper(), cell.title()):
        if again.lower() == cell.lower() and again.upper() == cell.upper():
            assert outcome(rule, again) == outcome(rule, cell)


@every_rule
@pytest.mark.parametrize(
    "cell", ["=A1", "=SUM(A1:A9)", "'=A1", ' ="a"&"b"', "=", '="=A1"', "\u200b=A1"]
)
def test_a_formula_is_no_value(rule, cell):
    assert refusal(rule, cell) == ("formula", {})


@pytest.mark.parametrize(
    ("rule", "cell", "value"),
    [
        (rules.phone, '="0244123456"', "+233244123456"),
        (rules.phone, "'+233244123456", "+233244123456"),
        (rules.shipping_mark, '="0012"', "0012"),
        (rules.shipping_mark, "'-5", "-5"),
        (rules.shipping_mark, "''-5", "-5"),
        (rules.shipping_mark, '="\'-5"', "-5"),
        (rules.shipping_mark, '="" ', None),
        (rules.name, "'@Ama", "@Ama"),
        (rules.name, "'N Gbesso", "'N Gbesso"),
    ],
)
def test_what_kept_text_from_being_a_formula_is_no_part_of_it(rule, cell, value):
    assert rule(cell) == value


@every_rule
def test_a_cell_longer_than_any_value_is_told_its_own_limit(rule):
    assert refusal(rule, "a" * 1_001) == ("too_long", {"limit": LIMITS[rule]})


@every_rule
@pytest.mark.parametrize("filling", ["(", "a", "1", " ", "@", ".", "-", "\u200d", "+", "é"])
def test_the_longest_cell_is_judged_at_once(rule, filling):
    begun = process_time()
    outcome(rule, filling * 32_766 + "x")
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
    assert rules.shipping_mark(cell) == mark


@pytest.mark.parametrize(("rule", "limit"), [(rules.shipping_mark, 50), (rules.name, 100)])
@pytest.mark.parametrize("letter", ["a", "ɔ", "字"])
def test_text_may_be_as_long_as_its_field(rule, limit, letter):
    assert len(rule(letter * limit)) == len(rule(f"  {letter * limit} ")) == limit
    assert refusal(rule, letter * (limit + 1)) == ("too_long", {"limit": limit})


def test_every_letter_has_one_upper_case_spelling():
    for letter in map(chr, range(0xA0, 0x20000)):
        if letter.upper() != letter or unicodedata.normalize("NFC", letter) != letter:
            for cell in (letter, f"a{letter}\u0301", f"\u03b1\u0345{letter}"):
                mark = rules.shipping_mark(cell) or ""
                assert (rules.shipping_mark(mark) or "") == mark
                assert unicodedata.is_normalized("NFC", mark)


def test_a_mark_is_measured_as_it_is_stored():
    assert refusal(rules.shipping_mark, "ß" * 26) == ("too_long", {"limit": 50})


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
    assert rules.name(cell) == name


# --- The short ways ----------------------------------------------------------


def long_way(rule, cell):
    """What a rule makes of a cell that its pattern for ordinary cells cannot take."""
    return rule(type("Text", (str,), {})(cell))


def test_letters_of_plain_names_never_combine():
    letters = [
        chr(code) for code in range(0x20, sys.maxunicode) if code not in range(0xD800, 0xE000)
    ]
    plain = [letter for letter in letters if rules.PLAIN_NAME.fullmatch(letter)]

    assert len(plain) > 900
    for letter in plain:
        assert unicodedata.normalize("NFC", letter) == letter
        assert unicodedata.combining(letter) == 0
        assert long_way(rules.name, letter) == rules.name(letter) == letter


@pytest.mark.parametrize("rule", [rules.shipping_mark, rules.name])
@given(cell=st.text("aZß09#-' \u00ad\u00a0\u0301éŉǰɔẹ!/N", max_size=12))
def test_ordinary_text_is_judged_as_all_text(rule, cell):
    assert outcome(rule, cell) == outcome(lambda text: long_way(rule, text), cell)


# --- The page ----------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[1] / "docs" / "values.md"
CLEAN = {column.field: column.clean for column in Customers.columns}


@pytest.mark.parametrize(
    ("field", "cell", "result"),
    re.findall(r"^\| (\w+) \| `(.*)` \| `(.*)` \|$", PAGE.read_text(), re.MULTILINE),
)
def test_the_page_on_values_is_true(field, cell, result):
    found = outcome(CLEAN[field], cell)
    assert (found[0] if isinstance(found, tuple) else found) == result


def test_the_page_on_values_names_every_refusal_of_a_phone_or_an_address():
    general = {"too_long", "forbidden_character", "not_text", "phone_of_wrong_length"}
    assert set(re.findall(r"`(\w+)` \|$", PAGE.read_text(), re.MULTILINE)) >= (
        rules.MESSAGES.keys() - general
    )
