"""Reading JSON lines: the names of the members are the columns, a line is a row."""

import io
import json
from typing import NamedTuple

import pytest

from imports.pipeline.reader_client import UnreadableFile, open_rows
from imports.statuses import Status
from tests.factories import check_job, make_job, make_row, run_import
from tests.spreadsheets import READER_LIMITS

NAMES = ["shipping_mark", "first_name", "last_name", "email", "phone"]


class JsonLines(NamedTuple):
    headers: list
    rows: list


def read_jsonl(content, after=0):
    with open_rows(io.BytesIO(content), limits=READER_LIMITS, after=after) as reader:
        return JsonLines(reader.headers, [row for chunk in reader for row in chunk.list_rows()])


def make_json_lines(*objects):
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def test_columns_are_all_names_in_order_of_occurrence():
    result = read_jsonl(
        make_json_lines({"a": 1, "b": True}, {"c": "x", "a": None}, {"b": 1.5, "c": ""})
    )
    assert result.headers == ["a", "b", "c"]
    assert result.rows == [(1, [1, True]), (2, [None, None, "x"]), (3, [None, 1.5])]


def test_nested_values_and_large_numbers_become_text():
    result = read_jsonl(make_json_lines({"a": [1, {"b": 2}], "c": 10**30, "d": 1e20}))
    assert result.rows == [(1, ['[1, {"b": 2}]', str(10**30), 10**20])]


@pytest.mark.parametrize("row", [1, 2])
def test_number_of_too_many_digits_becomes_text(row):
    long = "9" * 5_000
    content = [b'{"a": 1}', b'{"a": 1}']
    content[row - 1] = b'{"a": %s}' % long.encode()
    assert dict(read_jsonl(b"\n".join(content)).rows)[row] == [long]


def test_blank_lines_are_skipped_but_counted():
    result = read_jsonl(b'\n{"a": 1}\n\n{"a": 2}')
    assert [number for number, _ in result.rows] == [2, 4]


def test_reading_resumes_after_a_row():
    content = make_json_lines(*({"a": n} for n in range(1, 3_001)))
    result = read_jsonl(content, after=2_999)
    assert (result.headers, result.rows) == (["a"], [(3_000, [3_000])])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"a": 1}\nnothing\n', "damaged_file"),
        (b'{"a": 1}\n[1]\n', "damaged_file"),
        (b'{"a": 1}\n{"a": NaN\n', "damaged_file"),
        (b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b"\n", "damaged_file"),
        (b'{"a": 1}\n' + b" " * 17_000_000, "row_too_long"),
        (make_json_lines({"a": 1}, {str(n): n for n in range(20_000)}), "too_many_columns"),
        (make_json_lines({"x" * 40_000: 1}), "cell_too_long"),
    ],
)
def test_invalid_json_lines_are_unreadable(content, code):
    with pytest.raises(UnreadableFile) as refused:
        read_jsonl(content)
    assert refused.value.code == code


def test_csv_file_that_starts_with_a_brace_is_read_as_csv():
    assert read_jsonl(b"{a},b\n1,2\n").rows == [(1, ["{a}", "b"]), (2, ["1", "2"])]


@pytest.mark.django_db(transaction=True)
def test_json_lines_file_is_imported():
    rows = [dict(zip(NAMES, make_row(n), strict=True)) for n in (1, 2)]
    job = run_import(make_json_lines(*rows, {}))
    assert (job.status, job.created, job.total) == (Status.COMPLETE, 2, 2)
    assert (job.detected_columns["header_row"], job.detected_columns["headers"]) == (0, NAMES)


@pytest.mark.django_db(transaction=True)
def test_unknown_names_require_a_column_mapping():
    job = check_job(make_job(make_json_lines({"x": "MARK", "y": "Ama"})))
    assert job.status == Status.MAPPING


@pytest.mark.django_db(transaction=True)
def test_names_are_not_read_as_a_record():
    """Five names that would be a valid customer are still column names."""
    names = make_row(1)
    job = check_job(make_job(make_json_lines(dict(zip(names, make_row(2), strict=True)))))
    assert job.status == Status.MAPPING
