"""JSON lines: names are the columns, a line is a row."""

import io
import json
from typing import NamedTuple

import pytest

from imports.pipeline.reader_client import UnreadableFile, open_rows
from imports.statuses import Status
from tests.factories import check_job, make_job, make_row, run_import
from tests.spreadsheets import LIMITS

NAMES = ["shipping_mark", "first_name", "last_name", "email", "phone"]


class Got(NamedTuple):
    headers: list
    rows: list


def read(content, after=0):
    with open_rows(io.BytesIO(content), limits=LIMITS, after=after) as reader:
        return Got(reader.headers, [row for chunk in reader for row in chunk.rows])


def lines(*objects):
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def test_the_columns_are_all_the_names_in_the_order_they_are_met():
    got = read(lines({"a": 1, "b": True}, {"c": "x", "a": None}, {"b": 1.5, "c": ""}))
    assert got.headers == ["a", "b", "c"]
    assert got.rows == [(1, [1, True]), (2, [None, None, "x"]), (3, [None, 1.5])]


def test_what_is_nested_or_too_large_for_a_number_becomes_text():
    got = read(lines({"a": [1, {"b": 2}], "c": 10**30, "d": 1e20}))
    assert got.rows == [(1, ['[1, {"b": 2}]', str(10**30), 10**20])]


@pytest.mark.parametrize("row", [1, 2])
def test_a_number_longer_than_python_takes_becomes_text(row):
    long = "9" * 5_000
    content = [b'{"a": 1}', b'{"a": 1}']
    content[row - 1] = b'{"a": %s}' % long.encode()
    assert dict(read(b"\n".join(content)).rows)[row] == [long]


def test_blank_lines_are_no_rows_but_count():
    got = read(b'\n{"a": 1}\n\n{"a": 2}')
    assert [number for number, _ in got.rows] == [2, 4]


def test_reading_goes_on_behind_a_row():
    content = lines(*({"a": n} for n in range(1, 3_001)))
    got = read(content, after=2_999)
    assert (got.headers, got.rows) == (["a"], [(3_000, [3_000])])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"a": 1}\nnothing\n', "damaged_file"),
        (b'{"a": 1}\n[1]\n', "damaged_file"),
        (b'{"a": 1}\n{"a": NaN\n', "damaged_file"),
        (b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b"\n", "damaged_file"),
        (b'{"a": 1}\n' + b" " * 17_000_000, "row_too_long"),
        (lines({"a": 1}, {str(n): n for n in range(20_000)}), "too_many_columns"),
        (lines({"x" * 40_000: 1}), "cell_too_long"),
    ],
)
def test_what_is_no_list_of_objects_is_refused(content, code):
    with pytest.raises(UnreadableFile) as refused:
        read(content)
    assert refused.value.code == code


def test_a_text_file_that_only_begins_like_an_object_is_text():
    assert read(b"{a},b\n1,2\n").rows == [(1, ["{a}", "b"]), (2, ["1", "2"])]


@pytest.mark.django_db(transaction=True)
def test_an_uploaded_file_of_lines_is_imported():
    rows = [dict(zip(NAMES, make_row(n), strict=True)) for n in (1, 2)]
    job = run_import(lines(*rows, {}))
    assert (job.status, job.created, job.total) == (Status.COMPLETE, 2, 2)
    assert (job.detected_columns["header_row"], job.detected_columns["headers"]) == (0, NAMES)


@pytest.mark.django_db(transaction=True)
def test_names_that_say_nothing_ask_for_the_columns():
    job = check_job(make_job(lines({"x": "MARK", "y": "Ama"})))
    assert job.status == Status.MAPPING


@pytest.mark.django_db(transaction=True)
def test_names_are_never_taken_for_a_record():
    """Five names that would pass as a customer are names still."""
    names = make_row(1)
    job = check_job(make_job(lines(dict(zip(names, make_row(2), strict=True)))))
    assert job.status == Status.MAPPING
