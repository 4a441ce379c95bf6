"""The form that maps the columns of a file to fields."""

import re

import openpyxl
import pytest
from django.urls import reverse

from customers.models import Customer
from imports.models import SavedMapping
from imports.pages.column_mapping import describe_invalid_mapping
from imports.pipeline.column_mapping import InvalidMapping
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row
from tests.spreadsheets import save_workbook
from tests.streams import make_job as make_moved_job
from tests.test_pages import visible_text

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN_HEADERS = ["Code", "First name", "Last name", "", "Number"]
FIELDS = ("shipping_mark", "first_name", "last_name", "", "phone")
VALID_MAPPING = {f"column-{n}": field for n, field in enumerate(FIELDS)}


@pytest.fixture
def mapping_job(alice):
    job = check_job(make_job(make_csv([make_row(1), make_row(2)], UNKNOWN_HEADERS), owner=alice))
    assert job.status == Status.MAPPING
    return job


def post_mapping(client, job, **mapping):
    response = client.post(reverse("imports:mapping", args=[job.pk]), mapping, follow=True)
    job.refresh_from_db()
    return response


def selected_fields(html):
    """Return the selected field of each column, and whether it is marked as a suggestion."""
    columns = re.findall(r'<select name="column-\d+".*?</td>', html, re.DOTALL)
    return [
        ((re.findall(r'value="(\w+)" selected', column) or [""])[0], "suggestion" in column)
        for column in columns
    ]


def test_each_column_is_shown_with_samples_and_its_field(alice, mapping_job):
    html = (
        logged_in_client(alice)
        .get(reverse("imports:detail", args=[mapping_job.pk]))
        .content.decode()
    )

    assert selected_fields(html) == [
        ("shipping_mark", True),
        ("first_name", False),
        ("last_name", False),
        ("email", True),
        ("phone", True),
    ]
    assert "Column 4" in html
    assert f'<code dir="auto">{make_row(2)[4]}</code>' in html


def test_mapping_is_applied_and_saved(alice, mapping_job):
    post_mapping(logged_in_client(alice), mapping_job, **VALID_MAPPING)

    assert (mapping_job.status, mapping_job.column_mapping["email"]) == (Status.QUEUED, None)
    assert apply_all_batches(check_job(mapping_job).pk).status == Status.COMPLETE
    assert set(Customer.objects.values_list("phone", "email")) == {
        (make_row(n)[4], None) for n in (1, 2)
    }
    assert SavedMapping.objects.count() == 1


@pytest.mark.parametrize("check_first", [True, False])
def test_reused_saved_mapping_is_shown(alice, mapping_job, check_first):
    sentence = "Column mapping saved from an earlier file with the same headers:"
    post_mapping(logged_in_client(alice), mapping_job, **VALID_MAPPING)
    assert sentence not in read_page(alice, check_job(mapping_job))

    job = check_job(
        make_job(make_csv([make_row(9)], UNKNOWN_HEADERS), owner=alice, check_first=check_first)
    )
    apply_all_batches(job.pk)

    assert f"{sentence} Shipping mark from “Code”" in read_page(alice, job)


def read_page(user, job):
    return visible_text(
        logged_in_client(user).get(reverse("imports:detail", args=[job.pk])).content.decode()
    )


def test_mapping_page_names_the_sheet(alice):
    book = openpyxl.Workbook()
    book.active.title = "Cover"
    sheet = book.create_sheet("Data")
    for row in (UNKNOWN_HEADERS, make_row(1), make_row(2)):
        sheet.append(row)
    job = check_job(make_job(save_workbook(book), owner=alice))

    assert job.status == Status.MAPPING
    assert "Read from the sheet “Data”. Not read: “Cover”" in read_page(alice, job)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"column-3": "phone"},
            "Phone is selected for more than one column. Keep only one of them.",
        ),
        ({"column-4": "", "column-0": ""}, "Select a column for: Shipping mark and Phone."),
        ({"column-4": "colour"}, "Select a column for: Phone."),
    ],
)
def test_invalid_mapping_is_shown_again_with_the_problem(alice, mapping_job, changed, problem):
    version, mapping = mapping_job.version, VALID_MAPPING | changed

    response = post_mapping(logged_in_client(alice), mapping_job, **mapping)

    html = response.content.decode()
    assert (response.status_code, mapping_job.version) == (422, version)
    assert problem in html
    expected = [field if field != "colour" else "" for field in mapping.values()]
    assert selected_fields(html) == [(field, False) for field in expected]


def test_problem_that_the_form_cannot_cause_has_the_sentence_of_the_api(mapping_job):
    wrong = InvalidMapping({"email": ("unknown_column", {"column": "Mail", "last": 4})})

    assert "Mail" in describe_invalid_mapping(mapping_job, wrong)
    needed = InvalidMapping(wrong.problems | {"phone": ("column_required", {})})
    assert describe_invalid_mapping(mapping_job, needed) == "Select a column for: Phone."


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING"])
def test_active_import_cannot_be_mapped(alice, status):
    job = make_moved_job(alice, Status(status))

    html = post_mapping(logged_in_client(alice), job, **VALID_MAPPING).content.decode()

    assert "The import was not changed." in html
    assert (job.status, job.column_mapping) == (status, None)
