"""Reading JSON documents: arrays of objects, and other shapes that APIs return."""

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports.pipeline.reader_client import open_rows
from tests.factories import run_import
from tests.spreadsheets import READER_LIMITS, expect_unreadable

PEOPLE = [
    {"shipping_mark": "A 1", "first_name": "Ama", "last_name": "Mensah", "phone": "0244123451"},
    {"shipping_mark": "A 2", "first_name": "Esi", "last_name": "Owusu", "phone": "0244123452"},
]
NAMES = ["shipping_mark", "first_name", "last_name", "phone"]
ROWS = [(n, list(person.values())) for n, person in enumerate(PEOPLE, start=1)]


def read_json(content, after=0):
    with open_rows(io.BytesIO(content), limits=READER_LIMITS, after=after) as reader:
        return (
            reader.detected_format.format,
            reader.headers,
            [row for chunk in reader for row in chunk.list_rows()],
        )


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(PEOPLE).encode(),
        json.dumps(PEOPLE, indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(PEOPLE).encode(),
        json.dumps(PEOPLE).encode("utf-16"),
        json.dumps({"customers": PEOPLE}).encode(),
        json.dumps({"customers": PEOPLE}, indent=1).encode(),
        json.dumps({"count": 2, "next": None, "tags": [1], "results": PEOPLE, "x": {}}).encode(),
        b" \n" + json.dumps(PEOPLE).replace("}, {", "}\n,\n{").encode(),
        json.dumps(PEOPLE)[:-1].encode() + b",]",  # A trailing comma.
    ],
)
def test_array_of_objects_is_read(content):
    assert read_json(content) == ("json", NAMES, ROWS)


def test_columns_are_all_names_in_order_of_occurrence():
    content = [{"a": 1, "b": "x"}, {"c": [1, {"d": 2}], "a": None}, {"b": "", "a": True, "c": 1.5}]

    expected = [(1, [1, "x"]), (2, [None, None, '[1, {"d": 2}]']), (3, [True, None, 1.5])]
    assert read_json(json.dumps(content).encode()) == ("json", ["a", "b", "c"], expected)


def test_array_of_arrays_is_read_as_rows():
    content = json.dumps([["Mark", "Phone"], ["A 1", 244123451], ["A 2"]]).encode()

    assert read_json(content) == (
        "json",
        [],
        [(1, ["Mark", "Phone"]), (2, ["A 1", 244123451]), (3, ["A 2"])],
    )


def test_single_object_is_one_row():
    content = json.dumps(PEOPLE[0], indent=2).encode()

    assert read_json(content) == ("json", NAMES, ROWS[:1])


def test_one_object_per_line_is_json_lines():
    content = b"".join(json.dumps(person).encode() + b"\n" for person in PEOPLE)

    assert read_json(content) == ("jsonl", NAMES, ROWS)


def test_reading_resumes_after_a_row():
    content = json.dumps([{"n": n} for n in range(5_000)]).encode()

    assert read_json(content, after=4_998)[2] == [(4_999, [4_998]), (5_000, [4_999])]


def test_long_document_is_read_through_a_window():
    content = json.dumps([{"n": n, "text": "x" * 1_000} for n in range(3_000)]).encode()

    assert [row[1][0] for row in read_json(content)[2]] == list(range(3_000))


@pytest.mark.parametrize(
    ("content", "code", "params"),
    [
        (b"[]", None, None),
        (b'[{"a": 1},', "damaged_file", {"row": 1}),
        (b'[{"a": 1}, 5]', "damaged_file", {"row": 2}),
        (b'[{"a": 1}, {"a" 2}]', "damaged_file", {"row": 2}),
        (b'[{"a": 1}, [2]]', "damaged_file", {"row": 2}),
        (b'[[1], {"a": 2}]', "damaged_file", {"row": 2}),
        (b'{"a": 1,\n', "damaged_file", {"row": 1}),
        (b'[{"a": ' + b"[" * 100_000, "damaged_file", {"row": 1}),
        (b'[{"a": "' + b"x" * 40_000_000, "row_too_long", {"row": 1, "limit": 16 << 20}),
    ],
)
def test_damaged_document_is_unreadable(content, code, params):
    if code is None:
        assert read_json(content) == ("json", [], [])
    else:
        assert expect_unreadable(content) == (code, params)


@pytest.mark.parametrize("shift", range(24))
def test_number_cut_by_the_window_is_read_completely(shift):
    text = "x" * ((1 << 18) - 40 + shift)
    content = json.dumps({"n": text, "number": 1234567890, "last": 1}, indent=0).encode()

    with open_rows(
        io.BytesIO(content), limits=replace(READER_LIMITS, cell_length=1_000_000)
    ) as reader:
        assert next(iter(reader)).list_rows() == [(1, [text, 1234567890, 1])]


def test_number_of_too_many_digits_is_text():
    content = b'[{"a": ' + b"1" * 5_000 + b"}]"

    assert read_json(content)[2] == [(1, ["1" * 5_000])]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


@given(
    st.lists(st.dictionaries(st.text(min_size=1, max_size=4), JSON, max_size=3), max_size=5),
    st.sampled_from([None, 1]),
)
def test_written_values_are_read_back(objects, indent):
    _, names, rows = read_json(json.dumps(objects, indent=indent).encode())

    read = dict(rows)
    for number, one in enumerate(objects, start=1):
        cells = dict(zip(names, [*read.get(number, []), *[None] * len(names)], strict=False))
        for name, value in one.items():
            plain = not isinstance(value, list)
            expected = value if plain else json.dumps(value, ensure_ascii=False)
            assert cells[name] == (None if expected == "" else expected)


@pytest.mark.django_db
def test_array_of_objects_is_imported():
    job = run_import(json.dumps({"customers": PEOPLE}).encode())

    assert (job.status, job.created, job.detected_format["format"]) == ("COMPLETE", 2, "json")
