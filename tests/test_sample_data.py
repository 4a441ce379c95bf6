"""Sample files are reproducible and varied, and an import ends with the expected counts."""

from __future__ import annotations

import csv
import json
import tracemalloc
from codecs import BOM_UTF8
from itertools import islice
from random import Random

import pytest
from django.core.management import CommandError, call_command
from openpyxl import load_workbook

from customers import sample_data, validators
from imports.importer import InvalidValue

RULES = {
    sample_data.MARK: validators.clean_shipping_mark,
    sample_data.FIRST_NAME: validators.clean_name,
    sample_data.LAST_NAME: validators.clean_name,
    sample_data.EMAIL: validators.clean_email,
    sample_data.PHONE: validators.clean_phone,
}
UNIQUE_COLUMNS = (sample_data.MARK, sample_data.EMAIL, sample_data.PHONE)


def clean_row(row, seed):
    """Return the clean values of the row by column; None if a value is invalid."""
    values = {}
    for header, cell in zip(sample_data.make_header(seed), row, strict=True):
        column = sample_data.HEADERS.index(header)
        try:
            values[column] = RULES[column](cell)
        except InvalidValue:
            return None
        if values[column] is None and column != sample_data.EMAIL:
            return None
    return values


def simulate_import(rows, seed):
    """Return the created rows, and the numbers of invalid rows and of rows that repeat another."""
    kept, taken, invalid, repeats = [], set(), 0, 0
    for values in (clean_row(row, seed) for row in rows if row):
        keys = values and {(column, values[column]) for column in UNIQUE_COLUMNS if values[column]}
        if values is None:
            invalid += 1
        elif keys & taken:
            repeats += 1
        else:
            kept.append(values)
            taken |= keys
    return kept, invalid, repeats


@pytest.mark.parametrize(
    ("count", "seed"), [(0, 1), (1, 1), (99, 2), (250, 3), (7000, 1), (2000, 99)]
)
def test_expected_counts(count, seed):
    kept, invalid, repeats = simulate_import(sample_data.generate_rows(count, seed), seed)

    assert invalid == repeats == count // 100
    assert sample_data.compute_expected_counts(count) == {
        "total": count,
        "created": len(kept),
        "failed": invalid + repeats,
        "skipped": 0,
    }


def test_seed_determines_the_cells():
    assert sample_data.make_header(4) == sample_data.make_header(4)
    assert list(sample_data.generate_rows(1000, 4)) == list(sample_data.generate_rows(1000, 4))
    assert list(islice(sample_data.generate_rows(7000, 1), 2)) == [
        ("Kwabena", "TEMA-KK 01000000", 240100000, "kwabena.kpodo01000000@icloud.com", "Kpodo"),
        ("Mawuli", "SYI-MA 01000001", "0200161803", "mawuli.appiah01000001@icloud.com", "Appiah"),
    ]


def test_short_sample_is_the_beginning_of_a_long_one():
    short = list(sample_data.generate_rows(300, 1))
    assert short == list(islice(sample_data.generate_rows(7000, 1), len(short)))


def test_seeds_share_no_customer():
    taken = set()
    for seed in sample_data.SEEDS:
        keys = {
            (column, values[column])
            for values in simulate_import(sample_data.generate_rows(150, seed), seed)[0]
            for column in UNIQUE_COLUMNS
            if values[column]
        }
        assert not keys & taken
        taken |= keys


def test_every_row_of_a_seed_has_its_own_number():
    of_one_network = range(0, sample_data.MAX_ROWS, len(sample_data.MOBILE_NETWORK_PREFIXES))
    numbers = {sample_data.make_phone_number(n, 99) for n in of_one_network}

    assert len(numbers) == len(of_one_network)
    assert len(set(sample_data.MOBILE_NETWORK_PREFIXES)) == len(sample_data.MOBILE_NETWORK_PREFIXES)
    assert {number[2:4] for number in numbers} == {"99"}  # Each seed has its own block of numbers.
    for number in range(26):
        assert validators.clean_phone(sample_data.make_phone_number(number, 99))


def test_column_order_varies():
    headers = {sample_data.make_header(seed) for seed in sample_data.SEEDS}
    assert len(headers) > 30
    assert all(sorted(header) == sorted(sample_data.HEADERS) for header in headers)


def test_sample_has_the_variety_of_real_files():
    rows = [row for row in sample_data.generate_rows(7000, 1) if row]
    cells = dict(zip(sample_data.make_header(1), zip(*rows, strict=True), strict=True))
    phones, marks = cells["Phone number"], cells["Shipping Mark"]

    assert 0.35 < sum(email is None for email in cells["E-mail address"]) / 7000 < 0.45
    assert 0.15 < sum(type(phone) is int for phone in phones) / 7000 < 0.35
    for prefix in ("0", "+233", "00233", "("):
        assert any(str(phone).startswith(prefix) for phone in phones)
    assert {"Adélaïde", "Ɛsi", "Ayọ̀délé", "N'Guessan"} <= {*cells["First Name"], *cells["Surname"]}
    assert any(mark and mark != mark.upper() for mark in marks)
    assert 5 < sum(not row for row in sample_data.generate_rows(7000, 1)) < 40


def test_every_fault_occurs_and_is_invalid():
    rows = [row for row in sample_data.generate_rows(100 * len(sample_data.FAULTS), 1) if row]
    header = sample_data.make_header(1)
    invalid_rows = [row for row in rows if clean_row(row, 1) is None]

    for row, (column, value) in zip(invalid_rows, sample_data.FAULTS, strict=True):
        assert row[header.index(sample_data.HEADERS[column])] == value


def test_repeated_row_has_an_earlier_row():
    places = [sample_data.choose_bad_rows(100, 200, Random(seed)) for seed in range(1000)]
    assert all(110 <= min(place) < max(place) < 200 for place in places)
    assert sample_data.choose_bad_rows(100, 199, Random(1)) == (-1, -1)


def test_repeats_have_other_spellings_too():
    taken, same, other = {}, 0, 0
    for row in filter(None, sample_data.generate_rows(8_000, 1)):
        values = clean_row(row, 1) or {}
        for column in UNIQUE_COLUMNS:
            cell = row[sample_data.make_header(1).index(sample_data.HEADERS[column])]
            earlier = taken.setdefault((column, values.get(column)), cell)
            if values.get(column) and earlier is not cell:
                same, other = same + (earlier == cell), other + (earlier != cell)
    assert same > 0
    assert other > 5


@pytest.mark.parametrize(("count", "seed"), [(-1, 1), (1_000_001, 1), (10, 100), (10, -1)])
def test_count_or_seed_out_of_range_is_an_error(count, seed, tmp_path):
    with pytest.raises(ValueError, match="0 to 1,000,000 rows, and seeds 0 to 99"):
        next(sample_data.generate_rows(count, seed))
    with pytest.raises(CommandError, match="seeds 0 to 99"):
        call_command("sample_workbook", str(tmp_path / "a.csv"), rows=count, seed=seed)
    assert not (tmp_path / "a.csv").exists()


def test_rows_need_little_memory():
    tracemalloc.start()
    for _ in sample_data.generate_rows(20_000, 5):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


# --- The command -------------------------------------------------------------


def test_command_writes_a_workbook_and_expected_counts(tmp_path):
    path, expect = tmp_path / "sample.xlsx", tmp_path / "expect.json"
    call_command("sample_workbook", str(path), "--rows=700", "--seed=7", f"--expect={expect}")

    workbook = load_workbook(path, read_only=True)
    written = list(workbook.active.iter_rows(values_only=True))
    workbook.close()
    blank = (None,) * 5
    assert written[0] == sample_data.make_header(7)
    assert [row if any(row) else blank for row in written[1:]] == [
        row or blank for row in sample_data.generate_rows(700, 7)
    ]
    assert json.loads(expect.read_text()) == sample_data.compute_expected_counts(700)


def test_command_writes_csv(tmp_path):
    path = tmp_path / "Sample.CSV"
    call_command("sample_workbook", str(path), "--rows=700", "--seed=7")

    assert path.read_bytes().startswith(BOM_UTF8)  # Without it Excel misreads accents.
    with path.open(encoding="utf-8-sig", newline="") as file:
        written = list(csv.reader(file))
    assert written == [
        ["" if cell is None else str(cell) for cell in row]
        for row in (sample_data.make_header(7), *sample_data.generate_rows(700, 7))
    ]


def test_command_reports_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("sample_workbook", str(tmp_path / "nowhere" / "a.csv"), "--rows=1")
