"""Test the rules of columns without an own rule, and how cells are prepared for a rule."""

from __future__ import annotations

import pytest
from django.db import models
from django.test.utils import isolate_apps
from hypothesis import given
from hypothesis import strategies as st

from customers.importers import CustomerImporter
from imports.cell_values import NUMBER_KINDS, TEXT_KINDS, make_cell
from imports.conf import app_settings
from imports.importer import Column, Importer, InvalidValue
from imports.mojibake import SEQUENCE_PATTERN, repair_mojibake
from imports.pipeline.field_cleaning import (
    extract_link_address,
    is_placeholder,
    make_field_cleaner,
    prepare_cell,
)
from imports.text_cell_values import INVISIBLE_MARK_PATTERN
from tests.parcels.models import Parcel

TEXT_FIELDS = [
    models.CharField(max_length=50),
    models.TextField(),
    models.SlugField(),
    models.EmailField(),
    models.URLField(),
]
for_each_text_field = pytest.mark.parametrize(
    "field", TEXT_FIELDS, ids=lambda field: type(field).__name__
)


def clean_or_error(field, cell):
    try:
        return make_field_cleaner(field)(cell)
    except InvalidValue as error:
        return error.code, error.params


# --- Text that a spreadsheet program has changed -----------------------------


@for_each_text_field
@pytest.mark.parametrize(
    ("cell", "code", "shown"),
    [
        (make_cell("date", "2026-05-07", "May-26"), "date_in_text", "May-26"),
        (make_cell("date", "2026-05-07", ""), "date_in_text", "2026-05-07"),
        (make_cell("time", "12:00:00", "12:00"), "time_in_text", "12:00"),
        (make_cell("duration", "26:30:00", "26:30"), "time_in_text", "26:30"),
        (make_cell("percentage", 0.5, "50%"), "percentage_in_text", "50%"),
        (make_cell("fraction", 0.5, "1/2"), "fraction_in_text", "1/2"),
        (make_cell("exponent", 2.19e26, "2.19E+26"), "exponent_in_text", "2.19E+26"),
        (make_cell("rounded", 12345678901234567000, "1.23E+19"), "digits_lost", "1.23E+19"),
        (True, "boolean_in_text", "TRUE"),
        (False, "boolean_in_text", "FALSE"),
        ("1.23457E+19", "exponent_in_text", "1.23457E+19"),
        (" 2,19E+26 ", "exponent_in_text", "2,19E+26"),
    ],
)
def test_a_text_field_rejects_cells_that_a_spreadsheet_program_has_changed(
    field, cell, code, shown
):
    assert clean_or_error(field, cell) == (code, {"shown": shown})


@for_each_text_field
def test_a_text_field_rejects_garbled_and_damaged_text(field):
    assert clean_or_error(field, "NoÃ«l") == ("garbled_text", {"probably": "Noël"})
    assert clean_or_error(field, "voilÃ\xa0") == ("garbled_text", {"probably": "voilà"})
    assert clean_or_error(field, "No\ufffdl") == ("damaged_characters", {})
    assert clean_or_error(field, "NoÃ\u200b«l") == ("garbled_text", {"probably": "Noël"})


@pytest.mark.parametrize("cell", ["219E24", "5E-12", "2026-05-07", "12:00", "TRUE", "5%", "1/2"])
def test_text_is_not_changed(cell):
    assert clean_or_error(models.CharField(max_length=50), cell) == cell


def test_invisible_characters_are_removed_from_text():
    for cell in ("\u202aACC\u202c 1", "ACC\u00ad 1", "\ufeffACC 1", "A\ufe0fCC 1\u200b"):
        assert clean_or_error(models.CharField(max_length=5), cell) == "ACC 1"
    assert clean_or_error(models.TextField(), "one\n\ttwo  क्\u200dष") == "one\n\ttwo  क्\u200dष"


@given(
    drawn=st.one_of(
        st.text(max_size=20),
        st.text("NoÃ«l\xad\xa0\u200b\ufffd\u202e\ufe0f", max_size=8),
        st.tuples(st.sampled_from(sorted(TEXT_KINDS)), st.text(max_size=9), st.text(max_size=9)),
        st.tuples(st.sampled_from(sorted(NUMBER_KINDS)), st.integers(), st.text(max_size=9)),
        st.tuples(st.just("link"), st.text(max_size=9), st.text(max_size=9)),
    )
)
def test_accepted_text_is_neither_garbled_nor_has_invisible_characters(drawn):
    cell = make_cell(*drawn) if isinstance(drawn, tuple) else drawn
    text = clean_or_error(models.TextField(), cell)

    if isinstance(text, str):
        assert not INVISIBLE_MARK_PATTERN.search(text)
        assert "\ufffd" not in text
        assert not SEQUENCE_PATTERN.search(text) or repair_mojibake(text) is None
        assert isinstance(cell, str)


@pytest.mark.parametrize(
    ("field", "cell", "becomes"),
    [
        (models.DateField(), make_cell("date", "2026-05-07", "May-26"), "2026-05-07"),
        (models.TimeField(), make_cell("time", "12:00:00", "12:00"), "12:00:00"),
        (models.FloatField(), make_cell("percentage", 0.05, "5%"), "0.05"),
        (models.FloatField(), make_cell("fraction", 0.5, "1/2"), "0.5"),
        (models.FloatField(), make_cell("exponent", 2.19e26, "2.19E+26"), "2.19e+26"),
        (models.FloatField(), "2.19E+26", "2.19e+26"),
        (models.BigIntegerField(), make_cell("exponent", 10**12, "1E+12"), "1000000000000"),
        (models.BooleanField(), True, "True"),
        (models.IntegerField(choices=[(1, "one")]), make_cell("percentage", 1, "100%"), "1"),
    ],
)
def test_a_field_of_another_type_accepts_the_value_of_a_formatted_cell(field, cell, becomes):
    assert clean_or_error(field, cell) == becomes


def test_text_of_a_choice_field_is_compared_with_its_choices_only():
    field = models.CharField(choices=[("1E+20", "a"), ("NoÃ«l", "b")])
    assert [clean_or_error(field, cell) for cell in ("1E+20", "NoÃ«l")] == ["1E+20", "NoÃ«l"]


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        (models.CharField(max_length=7), 7),
        (models.CharField(max_length=200), 12),
        (models.TextField(), 12),
        (models.IntegerField(), 12),
    ],
)
def test_text_that_the_reader_has_shortened_is_too_long(field, limit):
    cell = make_cell("shortened", "1" * 12, 40_000)
    assert clean_or_error(field, cell) == ("too_long", {"limit": limit})


# --- Before the rule ---------------------------------------------------------


with isolate_apps("tests.parcels"):  # Registered, the model would break deletions: it has no table.

    class Wares(models.Model):
        code = models.CharField(max_length=10)
        name = models.CharField(max_length=50, blank=True)
        remark = models.TextField(blank=True)
        price = models.DecimalField(max_digits=9, decimal_places=2, null=True)
        sold_on = models.DateField(null=True)
        size = models.CharField(max_length=3, blank=True, choices=[("S", "S"), ("NA", "none")])
        email = models.EmailField(blank=True)
        site = models.URLField(blank=True)
        slug = models.SlugField(blank=True)
        parcel = models.ForeignKey(Parcel, models.PROTECT, null=True)

        class Meta:
            app_label = "parcels"

        def __str__(self):
            return self.code


class Warehouse(Importer):
    name = "wares"
    model = Wares
    columns = (
        Column("name"),
        Column("remark"),
        Column("price"),
        Column("sold_on"),
        Column("size"),
        Column("email"),
        Column("site"),
        Column("slug"),
        Column("parcel", lookup="number"),
        Column("code", required=True, placeholders=("n/a",)),
    )


def prepare(field, cell, importer=Warehouse, **changed):
    column = next(column for column in importer.columns if column.field == field)
    if changed:
        column = Column(field, **changed)
    return prepare_cell(importer, column, cell)


PLACEHOLDER_RESULT = (None, "placeholder_as_empty")


@pytest.mark.parametrize(
    "cell",
    [
        "N/A",
        "n/a",
        " n/a ",
        "NA",
        "n.a.",
        "-",
        "--",
        "\u2013",
        "\u2014",
        ".",
        "?",
        "nil",
        "NONE",
        "Null",
        "unknown",
        "keine",
        "Aucun",
        "NÉANT",
        "sans",
        "ninguno",
        "nenhum",
        "nessuno",
        "geen",
        "无",
        "нет",
        "\xa0n/a\xa0",
        "keine  Angabe",
        "\\N",
        "(null)",
        "لا يوجد",
    ],
)
@pytest.mark.parametrize("field", ["price", "sold_on", "email", "site", "parcel", "size"])
def test_a_placeholder_is_an_empty_cell_in_a_field_that_is_not_free_text(field, cell):
    if (field, cell) not in {("size", "NA"), ("size", "NONE")}:  # A value and a label.
        assert prepare(field, cell) == PLACEHOLDER_RESULT


@pytest.mark.parametrize("cell", ["N/A", "-", "nil", "none", "Null", "sans", "无"])
@pytest.mark.parametrize("field", ["name", "remark", "slug", "code"])
def test_placeholders_are_values_in_free_text_and_required_columns(field, cell):
    assert prepare(field, cell) == (cell, None)


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        *(("price", cell) for cell in ("0", "12.50", "#N/A", "n/a!", "none of them", "", "-5", 0)),
        *(("email", cell) for cell in ("na@example.com", "n/a@example.com", "x" * 10_000)),
        ("size", "NA"),  # One of the choices.
        ("size", "None"),  # The label of one.
        ("price", None),
        ("price", True),
    ],
)
def test_other_cells_are_not_placeholders(field, cell):
    assert prepare(field, cell) == (cell, None)
    assert not is_placeholder(Warehouse, Column(field), cell)


def test_placeholders_come_from_the_setting_or_from_the_column(settings):
    assert {"n/a", "-", "nil", "none"} <= set(app_settings.PLACEHOLDERS)
    settings.IMPORTS_PLACEHOLDERS = ["Nix"]

    assert prepare("price", "nix") == PLACEHOLDER_RESULT
    assert prepare("price", "n/a") == ("n/a", None)
    assert prepare("price", "NADA", placeholders=("nada",)) == PLACEHOLDER_RESULT
    assert prepare("price", "nix", placeholders=("nada",)) == ("nix", None)
    assert prepare("price", "nix", placeholders=()) == ("nix", None)
    assert prepare("name", "nada", placeholders=("nada",)) == PLACEHOLDER_RESULT
    assert prepare("name", "nada", placeholders=("nada",), required=True) == ("nada", None)


@pytest.mark.parametrize(
    ("field", "cell", "result"),
    [
        *(("email", cell, PLACEHOLDER_RESULT) for cell in ("N/A", "-", "nil", "none")),
        *((name, "Null", ("Null", None)) for name in ("first_name", "last_name")),
        *((name, "-", ("-", None)) for name in ("first_name", "shipping_mark", "phone")),
    ],
)
def test_customers_have_placeholders_for_their_email_address_only(field, cell, result):
    assert prepare(field, cell, CustomerImporter) == result


@pytest.mark.parametrize(
    ("cell", "first", "code"),
    [
        ("a@x.com ::: b@x.com", "a@x.com", "first_of_several_values"),
        (" a@x.com  :::  b@x.com ::: c@x.com", "a@x.com", "first_of_several_values"),
        (" ::: b@x.com ::: c@x.com", "b@x.com", "first_of_several_values"),
        (" ::: b@x.com", "b@x.com", None),
        ("a@x.com ::: ", "a@x.com", None),
        ("a@x.com ::: a@x.com", "a@x.com", None),
        (" ::: ", "", None),
        ("a@x.com:::b@x.com", "a@x.com:::b@x.com", None),
        ("N/A ::: b@x.com", None, "placeholder_as_empty"),
    ],
)
def test_the_first_of_several_values_in_a_cell_is_used(cell, first, code):
    assert prepare("email", cell, CustomerImporter) == (first, code)


def make_link(text, link):
    return make_cell("link", text, link)


@pytest.mark.parametrize(
    ("field", "cell", "address"),
    [
        ("email", make_link("Write to Yaa", "mailto:yaa@example.com"), "yaa@example.com"),
        ("email", make_link("Yaa", "MAILTO:Yaa@example.com?subject=Hi"), "Yaa@example.com"),
        ("email", make_link("Yaa", "mailto:yaa%40example.com"), "yaa@example.com"),
        ("phone", make_link("Call", "tel:+233-24-100-0153"), "+233-24-100-0153"),
        ("phone", make_link("Chat", "https://wa.me/233241000153"), "https://wa.me/233241000153"),
    ],
)
def test_the_address_of_a_link_replaces_text_that_is_no_address(field, cell, address):
    assert prepare(field, cell, CustomerImporter) == (address, "link_taken")


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("email", make_link("yaa@example.com", "mailto:other@example.com")),  # The text is valid.
        ("email", make_link("Write to Yaa", "https://example.com")),
        ("email", make_link("Write to Yaa", "mailto:nobody")),
        ("email", make_link("Write to Yaa", "tel:+233241000153")),
        ("email", make_link("Write to Yaa", "")),
        ("phone", make_link("Call", "mailto:yaa@example.com")),
        ("phone", make_link("0241000153", "tel:+233201000155")),
        ("first_name", make_link("Yaa", "mailto:yaa@example.com")),
        ("first_name", make_link("#REF!", "mailto:yaa@example.com")),  # A name may be any word.
        ("shipping_mark", make_link("M" * 51, "tel:+233241000153")),
    ],
)
def test_the_text_of_a_link_is_kept_if_its_address_is_no_value_of_the_column(field, cell):
    assert prepare(field, cell, CustomerImporter) == (cell, None)


def test_a_url_field_takes_the_address_of_a_link():
    assert prepare("site", make_link("Our site", "https://example.com/a")) == (
        "https://example.com/a",
        "link_taken",
    )


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("mailto:ama@example.com", "ama@example.com"),
        ("MailTo: ama@example.com ?subject=x", "ama@example.com"),
        ("tel:+233%2024", "+233 24"),
        ("https://example.com?a=%20", "https://example.com?a=%20"),
        ("#Sheet2!A1", "#Sheet2!A1"),
    ],
)
def test_extract_link_address(link, address):
    assert extract_link_address(link) == address


def test_shortened_text_is_too_long_even_if_the_rule_accepts_it():
    cell = make_cell("shortened", "a" * 200, 40_000)
    column = Column("code", clean=lambda cell: cell)

    with pytest.raises(InvalidValue) as error_info:
        prepare_cell(Warehouse, column, cell)
    assert (error_info.value.code, error_info.value.params) == ("too_long", {"limit": 10})
    with pytest.raises(InvalidValue) as error_info:
        prepare("remark", cell)
    assert error_info.value.params == {"limit": 200}
