"""Test files with as many columns as a workbook may have: pages and API must stay usable."""

import json
from dataclasses import replace

import pytest
from django.urls import reverse

from imports import snapshots
from imports.conf import app_settings
from imports.importer import get_importer
from imports.models import ImportJob
from imports.pages.column_mapping import MAX_OFFERED_COLUMNS
from imports.pipeline.column_suggestions import (
    MAX_COMPARED_COLUMNS,
    MAX_HEADERS_BYTES,
    add_suggestions,
)
from imports.pipeline.header_detection import DetectedColumns
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import HEADERS, apply_all_batches, check_job, make_csv, make_job, make_row
from tests.test_mapping_page import selected_fields
from tests.test_pages import visible_text

pytestmark = pytest.mark.django_db(transaction=True)

MAX_COLUMNS_OF_A_WORKBOOK = 16_384
MAX_COLUMNS_BYTES = 1_000_000
MAX_PAGE_BYTES = 250_000
FURTHER_COLUMNS = MAX_COLUMNS_OF_A_WORKBOOK - len(HEADERS)


@pytest.fixture(autouse=True)
def allow_wide_files(settings):
    limits = app_settings.READER_LIMITS | {"columns": MAX_COLUMNS_OF_A_WORKBOOK}
    settings.IMPORTS_READER_LIMITS = limits


def make_wide_file(name="Measured value {}", value="value {}", headers=HEADERS):
    """Return a file with the columns of customers first, and as many others as possible."""
    others = [name.format(n) for n in range(FURTHER_COLUMNS)]
    rows = [
        [*make_row(n), *(value.format(n * i) for i in range(FURTHER_COLUMNS))] for n in range(1, 4)
    ]
    return make_csv(rows, [*headers, *others])


def count_columns_bytes(job):
    return len(json.dumps(job.detected_columns, ensure_ascii=False).encode())


CONTENTS = {
    "named": make_wide_file(),
    "unnamed": make_wide_file(name=""),
    "long names": make_wide_file(name="A rather long name of a column, no. {}"),
    "Chinese names": make_wide_file(name="一个相当长的列名称用于调查{}"),
    "long values": make_wide_file(value="A remark longer than what is kept, no. {}"),
    "long values, unnamed": make_wide_file(
        name="", value="A remark longer than what is kept, no. {}"
    ),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_an_import_of_a_wide_file_is_shown_everywhere(alice, root, content):
    job = check_job(make_job(content, owner=alice, check_first=True))
    assert (job.status, job.total, job.failed) == (Status.READY, 3, 0)
    client, admin = logged_in_client(alice), logged_in_client(root)
    address = f"/api/imports/{job.pk}/"

    html = client.get(reverse("imports:detail", args=[job.pk])).content
    detail = client.get(address).content
    review = admin.get(reverse("admin:imports_importjob_change", args=[job.pk])).content

    assert count_columns_bytes(job) < MAX_COLUMNS_BYTES
    assert len(html) < MAX_PAGE_BYTES
    assert len(detail) < 1_000_000
    assert len(review) < MAX_PAGE_BYTES
    assert f"and {FURTHER_COLUMNS - 10} more" in visible_text(html.decode())
    assert len(selected_fields(html.decode())) == MAX_OFFERED_COLUMNS
    ignored = json.loads(detail)["read_summary"]
    assert [(e["code"], e["params"]["count"]) for e in ignored] == [
        ("columns_ignored", FURTHER_COLUMNS)
    ]
    assert apply_all_batches(client.post(f"{address}start/").json()["id"]).created == 3


def test_columns_of_a_wide_file_can_be_chosen_on_the_page(alice):
    odd = ["Code", "First name", "Last name", "", "Number"]
    job = check_job(make_job(make_wide_file(headers=odd), owner=alice))
    assert job.status == Status.MAPPING
    client, address = logged_in_client(alice), reverse("imports:detail", args=[job.pk])

    html = client.get(address).content.decode()

    assert [field for field, _ in selected_fields(html)[:5]] == [
        "shipping_mark",
        "first_name",
        "last_name",
        "email",
        "phone",
    ]
    left_out = MAX_COLUMNS_OF_A_WORKBOOK - MAX_OFFERED_COLUMNS
    assert f"{left_out:,} more columns of the file are not shown." in visible_text(html)
    choices = {"column-0": "shipping_mark", "column-1": "first_name", "column-2": "last_name"}
    client.post(reverse("imports:mapping", args=[job.pk]), choices | {"column-4": "phone"})
    assert apply_all_batches(check_job(job).pk).created == 3


def test_a_column_far_right_is_offered_where_it_fills_a_field(alice):
    """A mapping that a program gives is kept when a person sees the form afterwards."""
    content = make_wide_file(headers=["Code", *HEADERS[1:]])
    job = check_job(make_job(content, owner=alice, check_first=True))
    client, last = logged_in_client(alice), MAX_COLUMNS_OF_A_WORKBOOK - 1
    choices = {"column_mapping": {"shipping_mark": last}}
    client.patch(f"/api/imports/{job.pk}/", choices, content_type="application/json")

    job = check_job(job)
    html = client.get(reverse("imports:detail", args=[job.pk])).content.decode()

    assert f'<select name="column-{last}"' in html
    assert selected_fields(html)[-1] == ("shipping_mark", False)
    assert f'<code dir="auto">value {last - 5}</code>' in html


def test_columns_without_header_and_values_are_not_offered(alice):
    rows = [[*make_row(n), *[""] * 50, "far right"] for n in range(1, 4)]
    job = check_job(make_job(make_csv(rows), owner=alice, check_first=True))

    html = logged_in_client(alice).get(reverse("imports:detail", args=[job.pk])).content.decode()

    assert job.status == Status.READY
    assert len(selected_fields(html)) == len(HEADERS) + 1
    assert "Columns not imported: “Column 56”" in visible_text(html)


def test_headers_are_cut_only_where_they_are_too_long_together(alice):
    kept = check_job(make_job(CONTENTS["named"], owner=alice)).detected_columns["headers"]
    cut = check_job(make_job(CONTENTS["Chinese names"], owner=alice)).detected_columns["headers"]

    assert kept == [*HEADERS, *(f"Measured value {n}" for n in range(FURTHER_COLUMNS))][: len(kept)]
    assert cut[:5] == HEADERS
    assert MAX_HEADERS_BYTES / 2 < len("".join(cut).encode()) <= MAX_HEADERS_BYTES


def test_suggestions_are_based_on_few_columns():
    """Rules are slow, and a file may have more columns than a person looks at."""
    cleaned_cells = []

    def record_cells(rule):
        return lambda cell: cleaned_cells.append(cell) or rule(cell)

    class RecordingImporter(get_importer("customers")):
        columns = tuple(
            replace(column, clean=record_cells(column.clean))
            for column in get_importer("customers").columns
        )

    headers = [f"Number {n}" for n in range(MAX_COLUMNS_OF_A_WORKBOOK)]
    row = (2, ["x"] * MAX_COLUMNS_OF_A_WORKBOOK)

    add_suggestions(DetectedColumns(1, headers, {}, []), [row], RecordingImporter)

    assert 0 < len(cleaned_cells) <= MAX_COMPARED_COLUMNS * len(RecordingImporter.columns)


def test_lists_and_snapshots_do_not_load_the_columns(alice, root, django_assert_max_num_queries):
    job = check_job(make_job(CONTENTS["named"], owner=alice))
    ImportJob.objects.filter(pk=job.pk).update(detected_columns={"headers": ["canary"]})
    client, admin = logged_in_client(alice), logged_in_client(root)

    for load in (
        lambda: client.get("/api/imports/"),
        lambda: client.get(reverse("imports:list")),
        lambda: admin.get(reverse("admin:imports_importjob_changelist")),
        lambda: snapshots.read_snapshots([job.pk]),
        lambda: snapshots.read_feed([snapshots.make_owner_topic(alice.pk)]),
    ):
        with django_assert_max_num_queries(30) as queries:
            assert load()
        assert not [q for q in queries if '"imports_importjob"."detected_columns"' in q["sql"]]
