"""Rules for whole columns give the same results as the rules for single cells."""

# ruff: noqa: RUF001  The cells hold letters that look like other letters.

from __future__ import annotations

import os
import random
from decimal import Decimal
from itertools import islice

import pytest
from django.core.validators import RegexValidator
from django.db import OperationalError, models

from customers import sample_data, validators
from imports.cell_values import Cell, make_cell
from imports.importer import (
    Column,
    Importer,
    InvalidValue,
    get_column_rule,
    get_importer,
    with_column_rule,
)
from imports.pipeline.column_cleaning import CleanedColumn, get_plain_cells_cleaner
from imports.pipeline.header_detection import DetectedColumns
from imports.pipeline.read_summary import ReadSummary
from imports.pipeline.row_block import RowBlock
from imports.pipeline.row_validation import RowValidator
from tests.row_validation import validate_rows
from tests.test_validator_errors import FieldsOnly

# `make fuzz` compares 100,000.
RANDOM_CELLS = int(os.environ.get("RANDOM_CELLS", "10000"))
BLOCK_ROWS = 1_000

CHARACTERS = (
    " \t\n.,;:+-_/'\"@#=()[]|0123456789aAeEnNxXzZéßİıǅ\u0301\u00a0\u200b\u2212\u202e٣０王\0"
)
SEED_TEXTS = [
    *("n/a", "NULL", " None ", "-", "nil", "unknown", "\u212aNIL", "N/A ::: 5", "a ::: b", "::: "),
    *("", " ", "  x  y ", "=1+1", "'=1", "#REF!", "2.19E+26", "1e+20", "0", "-0", "007", "+5"),
    *("12.00", "1,234", "1.5", "12345678901234567890", "31.12.2026", "12/31/2026", "5/1/2026"),
    *("yes", "No", "TRUE", "vrai", "red", "Red", "dark red", "ama@xn--exmple-cua.com", "a@b", "ß"),
    *(
        "Jos\u00c3\u00a9",
        "Jose\u0301",
        "ama@example.com",
        "Ama <ama@example.com>",
        "x" * 300,
        "a" * 310 + "@example.com",
        "0244123456.0 ",
    ),
    *("024 412 3456/57", "0244123456.0", "(024) 412-3456", "+233 (0)24 4123456", "00233244123456"),
]
OTHER_CELLS = [
    *(None, True, False, 0, 1, -1, 7, 233244123456, 244123456, 10**15, 0.0, -0.0, 1.0, 2.5, 1e22),
    make_cell("date", "2026-05-07", "May-26"),
    make_cell("time", "10:30:00", "10:30"),
    make_cell("percentage", 0.5, "50 %"),
    make_cell("exponent", 233244123456, "2.33E+11"),
    make_cell("rounded", 1234567890123456789, ""),
    make_cell("link", "Write to us", "mailto:ama@example.com"),
    make_cell("shortened", "x" * 100, 40_000),
]


def generate_cells(count: int, seed: int) -> list[Cell]:
    """Return cells as people write them, many of them with random changes."""
    generator = random.Random(seed)
    rows = [row for row in islice(sample_data.generate_customers(2_000, seed=seed), 2_000) if row]
    texts = [str(cell) for row in rows for cell in row if cell] + SEED_TEXTS * 40
    cells: list[Cell] = []
    while len(cells) < count:
        if generator.random() < 0.1:
            cells.append(generator.choice(OTHER_CELLS))
            continue
        text = generator.choice(texts)
        for _ in range(generator.choice([0, 0, 1, 1, 2, 5])):
            place = generator.randrange(len(text) + 1)
            end = place + generator.randrange(3)
            text = text[:place] + generator.choice(CHARACTERS) + text[end:]
        cells.append(text)
    return cells


def make_importer(field: models.Field | None, **options) -> type[Importer]:
    """Return an importer with one column, for the field or with rules of its own."""
    field = field or models.TextField()
    field.set_attributes_from_name("number")

    class OneColumn(Importer):
        name = "one column"
        columns = (Column("number", **options),)

    OneColumn.model = type("Model", (), {"_meta": FieldsOnly({"number": field})})
    return OneColumn


RULES = {
    "shipping mark": (None, {"clean": validators.clean_shipping_mark, "required": True}),
    "name": (None, {"clean": validators.clean_name, "required": True}),
    "email": (None, {"clean": validators.clean_email, "placeholders": ("n/a", "-", "null")}),
    "phone": (None, {"clean": validators.clean_phone, "required": True}),
    "text": (models.TextField(), {}),
    "text with placeholders": (models.TextField(), {"placeholders": ("n/a", "-")}),
    "short text": (models.CharField(max_length=20), {"required": True}),
    "text with a validator": (models.CharField(validators=[RegexValidator("^[A-Z]")]), {}),
    "address": (models.EmailField(), {}),
    "long address": (models.EmailField(max_length=1_000), {}),
    "short address": (models.EmailField(max_length=20), {}),
    "whole number": (models.IntegerField(), {}),
    "small number": (models.PositiveSmallIntegerField(), {"required": True}),
    "decimal": (models.DecimalField(max_digits=8, decimal_places=2), {}),
    "date": (models.DateField(), {}),
    "yes or no": (models.BooleanField(), {}),
    "choice": (models.CharField(choices=[("r", "Red"), ("n/a", "None of them")]), {}),
    "function without a column rule": (None, {"clean": lambda cell: cell and str(cell).strip()}),
}


def validate_both_ways(importer, cells, monkeypatch):
    """Return the results of the rules for whole columns, and of those for single cells."""
    columns = DetectedColumns(1, [], {"number": 0}, [])
    numbers = range(2, len(cells) + 2)
    rows = [(number, [cell]) for number, cell in zip(numbers, cells, strict=True)]
    results = []
    for is_single in (False, True):
        with monkeypatch.context() as patch:
            if is_single:
                patch.setattr(RowValidator, "_clean_plain_cells", leave_all_cells)
            summary = ReadSummary()
            validated = []
            for start in range(0, len(rows), BLOCK_ROWS):
                block = RowBlock.from_rows(rows[start : start + BLOCK_ROWS])
                validated += RowValidator(importer, columns, summary).validate([block])
        contents = [
            [(block.rows.numbers[i], values, block.errors.get(i), block.stored_cells.get(i))]
            for block in validated
            for i, values in enumerate(zip(*block.cleaned, strict=True))
        ]
        results.append((contents, summary.entries()))
    return results


def leave_all_cells(self, step, cells):
    return CleanedColumn([None] * len(cells), list(range(len(cells))))


@pytest.mark.parametrize("name", RULES)
def test_the_rules_for_whole_columns_and_for_single_cells_agree(name, monkeypatch):
    field, options = RULES[name]
    cells = generate_cells(RANDOM_CELLS, seed=len(name))

    together, singly = validate_both_ways(make_importer(field, **options), cells, monkeypatch)

    for one, other in zip(together[0], singly[0], strict=True):
        assert one == other
    assert together[1] == singly[1]


@pytest.mark.parametrize(
    "name", ["shipping mark", "name", "email", "phone", "text", "whole number"]
)
def test_the_rules_for_whole_columns_accept_most_ordinary_cells(name):
    position = {"name": 1, "email": 3, "phone": 4}.get(name, 0)
    rows = [row for row in islice(sample_data.generate_customers(2_000, seed=3), 2_000) if row]
    cells: list[Cell] = [row[position] for row in rows]
    if name == "whole number":
        cells = list(range(-500, 500))
    field, options = RULES[name]

    importer = make_importer(field, **options)
    cleaned = get_plain_cells_cleaner(importer, importer.columns[0])(cells)

    assert len(cleaned.remaining) < 0.15 * len(cells)


def test_a_function_that_wraps_a_rule_has_no_column_rule():
    def clean(cell):
        return validators.clean_name(cell)

    clean.__wrapped__ = validators.clean_name
    clean.__dict__.update(validators.clean_name.__dict__)

    assert get_column_rule(validators.clean_name) is not None
    assert get_column_rule(clean) is None


def test_a_value_that_many_cells_repeat_is_cleaned_once():
    calls = []

    def clean(cell):
        calls.append(cell)
        return cell and cell.upper()

    importer = make_importer(None, clean=clean)
    validator = RowValidator(importer, DetectedColumns(1, [], {"number": 0}, []))
    rows = validate_rows(validator, [(n, ["ab"[n % 2]]) for n in range(2, 102)])

    assert [row.cleaned for row in rows] == [["AB"[n % 2]] for n in range(2, 102)]
    assert sorted(call for call in calls if call is not None) == ["a", "b"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (lambda cells: None, "returned: NoneType"),
        (lambda cells: [1 for _ in cells], "returned: int"),
        (lambda cells: ["a"], "expected: 2, returned: 1"),
        (lambda cells: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_bug_of_a_column_rule_is_logged_and_single_cells_are_cleaned(result, text, caplog):
    @with_column_rule(result)
    def clean(cell):
        return cell and cell.upper()

    importer = make_importer(None, clean=clean)
    validator = RowValidator(importer, DetectedColumns(1, [], {"number": 0}, []))
    rows = validate_rows(validator, [(2, ["a"]), (3, ["b"])])

    assert [(row.cleaned, row.errors) for row in rows] == [(["A"], None), (["B"], None)]
    (record,) = caplog.records
    assert "the rule for whole columns of number" in record.getMessage()
    assert text in record.getMessage()


def test_an_unavailable_database_ends_the_check_after_two_calls():
    calls = []

    def clean(cell):
        if cell is None:
            return
        calls.append(cell)
        raise OperationalError from ConnectionError()

    importer = make_importer(None, clean=clean)
    validator = RowValidator(importer, DetectedColumns(1, [], {"number": 0}, []))

    with pytest.raises(OperationalError):
        validate_rows(validator, [(n, [f"x{n}"]) for n in range(2, 102)])

    assert len(calls) == 2


@pytest.mark.parametrize(
    ("cells", "texts"),
    [([0.0, -0.0], ["0.0", "-0.0"]), ([1, True], ["1", "True"]), ([1, 1.0], ["1", "1.0"])],
)
def test_cells_that_are_equal_in_python_keep_their_differences(cells, texts):
    importer = make_importer(None, clean=lambda cell: None if cell is None else str(cell))
    validator = RowValidator(importer, DetectedColumns(1, [], {"number": 0}, []))

    rows = validate_rows(validator, list(enumerate([[cell] for cell in cells * 5], start=2)))

    assert [row.cleaned for row in rows] == [[text] for text in texts * 5]


def test_a_field_without_a_rule_for_whole_columns_is_cleaned_cell_by_cell():
    importer = make_importer(models.DecimalField(max_digits=8, decimal_places=2))
    validator = RowValidator(importer, DetectedColumns(1, [], {"number": 0}, []))

    rows = validate_rows(validator, [(2, ["1,5"]), (3, ["2.50"]), (4, ["x"])])

    assert [row.cleaned and Decimal(row.cleaned[0]) for row in rows] == [
        Decimal("1.5"),
        Decimal("2.5"),
        None,
    ]


def test_an_error_comes_from_the_rule_for_single_cells():
    @with_column_rule(lambda cells: [None for _ in cells])
    def clean(cell):
        raise InvalidValue("no_text", quoted=cell)

    importer = make_importer(None, clean=clean)
    validator = RowValidator(importer, DetectedColumns(1, [], {"number": 0}, []))
    (row,) = validate_rows(validator, [(2, ["a"])])

    assert [(error["code"], error["params"]) for error in row.errors] == [
        ("no_text", {"quoted": "a"})
    ]


def test_every_column_of_the_customer_importer_has_a_column_rule():
    columns = get_importer("customers").columns

    assert all(column.clean and get_column_rule(column.clean) for column in columns)
