"""The page that asks which column of a file is which: what it shows, takes and says."""

import re

import openpyxl
import pytest
from django.urls import reverse

from customers.models import Customer
from imports.models import SavedMapping
from imports.pages.column_mapping import problem_with
from imports.pipeline.column_mapping import InvalidMapping
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row
from tests.spreadsheets import save_workbook
from tests.streams import make_job as make_moved_job
from tests.test_pages import visible_text

pytestmark = pytest.mark.django_db(transaction=True)

ODD = ["Code", "First name", "Last name", "", "Number"]
FIELDS = ("shipping_mark", "first_name", "last_name", "", "phone")
ANSWER = {f"column-{n}": field for n, field in enumerate(FIELDS)}


@pytest.fixture
def asked(alice):
    job = check_job(make_job(make_csv([make_row(1), make_row(2)], ODD), owner=alice))
    assert job.status == Status.MAPPING
    return job


def say(client, job, **told):
    response = client.post(reverse("import-mapping", args=[job.pk]), told, follow=True)
    job.refresh_from_db()
    return response


def selected_fields(html):
    """Of each column the field that is selected, and whether that is called a guess."""
    columns = re.findall(r'<select name="column-\d+".*?</td>', html, re.DOTALL)
    return [
        ((re.findall(r'value="(\w+)" selected', one) or [""])[0], "our guess" in one)
        for one in columns
    ]


def test_each_column_is_shown_with_its_values_and_what_it_is_known_or_guessed_to_be(alice, asked):
    html = logged_in_client(alice).get(reverse("import", args=[asked.pk])).content.decode()

    assert selected_fields(html) == [
        ("shipping_mark", True),
        ("first_name", False),
        ("last_name", False),
        ("email", True),
        ("phone", True),
    ]
    assert "Column 4" in html
    assert f"<code>{make_row(2)[4]}</code>" in html


def test_an_answer_is_checked_and_remembered(alice, asked):
    say(logged_in_client(alice), asked, **ANSWER)

    assert (asked.status, asked.column_mapping["email"]) == (Status.QUEUED, None)
    assert apply_all_batches(check_job(asked).pk).status == Status.COMPLETE
    assert set(Customer.objects.values_list("phone", "email")) == {
        (make_row(n)[4], None) for n in (1, 2)
    }
    assert SavedMapping.objects.count() == 1


@pytest.mark.parametrize("check_first", [True, False])
def test_an_answer_that_is_used_again_is_told_again(alice, asked, check_first):
    said = "Columns as they were chosen for an earlier file with these headers:"
    say(logged_in_client(alice), asked, **ANSWER)
    assert said not in page_of(alice, check_job(asked))

    job = check_job(make_job(make_csv([make_row(9)], ODD), owner=alice, check_first=check_first))
    apply_all_batches(job.pk)

    assert f"{said} Shipping mark from “Code”" in page_of(alice, job)


def page_of(user, job):
    return visible_text(
        logged_in_client(user).get(reverse("import", args=[job.pk])).content.decode()
    )


def test_the_sheet_is_named_where_columns_are_asked_for(alice):
    book = openpyxl.Workbook()
    book.active.title = "Cover"
    sheet = book.create_sheet("Data")
    for row in (ODD, make_row(1), make_row(2)):
        sheet.append(row)
    job = check_job(make_job(save_workbook(book), owner=alice))

    assert job.status == Status.MAPPING
    assert "Read from the sheet “Data”. Not read: “Cover”" in page_of(alice, job)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"column-3": "phone"}, "Phone is chosen for more than one column. Keep one."),
        ({"column-4": "", "column-0": ""}, "Say which column holds: Shipping mark and Phone."),
        ({"column-4": "colour"}, "Say which column holds: Phone."),
    ],
)
def test_an_answer_that_does_not_do_is_shown_as_it_was_with_what_is_wrong(
    alice, asked, changed, problem
):
    version, told = asked.version, ANSWER | changed

    response = say(logged_in_client(alice), asked, **told)

    html = response.content.decode()
    assert (response.status_code, asked.version) == (422, version)
    assert problem in html
    known = [field if field != "colour" else "" for field in told.values()]
    assert selected_fields(html) == [(field, False) for field in known]


def test_a_problem_that_no_choice_on_the_page_makes_is_told_as_the_api_tells_it(asked):
    wrong = InvalidMapping({"email": ("unknown_column", {"column": "Mail", "last": 4})})

    assert "Mail" in problem_with(asked, wrong)
    needed = InvalidMapping(wrong.problems | {"phone": ("column_needed", {})})
    assert problem_with(asked, needed) == "Say which column holds: Phone."


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING"])
def test_of_an_import_that_is_under_way_nothing_is_changed(alice, status):
    job = make_moved_job(alice, Status(status))

    html = say(logged_in_client(alice), job, **ANSWER).content.decode()

    assert "That is no longer possible" in html
    assert (job.status, job.column_mapping) == (status, None)
