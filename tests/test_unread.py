"""Test the mark of imports that ended since their owner last opened their pages."""

import pytest
from django.urls import reverse

from imports import actors, lifecycle, permissions
from imports.history import SYSTEM
from imports.models import ImportJob
from tests.conftest import logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db(transaction=True)

MARK = "Not opened yet"


def read_list(user) -> str:
    return logged_in_client(user).get(reverse("imports:list")).content.decode()


def open_page(user, job, **headers):
    url = reverse("imports:detail", args=[job.pk])
    response = logged_in_client(user).get(url, headers=headers)
    assert response.status_code == 200
    return response


def test_an_import_that_has_ended_is_marked_until_its_owner_opens_it(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    page = read_list(alice)
    assert MARK in page
    assert "1 import has ended since you last opened it." in page

    open_page(alice, job)

    page = read_list(alice)
    assert MARK not in page
    assert "since you last opened" not in page


def test_an_import_that_ends_again_is_marked_again(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    open_page(alice, job)

    lifecycle.undo(job, by=SYSTEM)
    assert MARK not in read_list(alice)
    actors.undo_batches(str(job.pk))

    page = read_list(alice)
    assert MARK in page
    assert "1 import has ended since you last opened it." in page
    open_page(alice, job)
    assert MARK not in read_list(alice)


def test_an_import_that_is_opened_before_its_end_is_marked(alice):
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice, check_first=True))
    open_page(alice, job)
    assert MARK not in read_list(alice)

    lifecycle.cancel(job, by=SYSTEM)

    assert MARK in read_list(alice)


def test_only_the_owner_has_marks_and_removes_them(alice, eve):
    job = run_import(make_csv([make_row(1)]), owner=alice)
    assert MARK not in read_list(eve)

    open_page(eve, job)
    logged_in_client(eve).post(reverse("imports:mark-all-seen"))

    assert MARK in read_list(alice)


@pytest.mark.parametrize("method", ["head", "hidden"])
def test_a_request_that_nobody_looks_at_keeps_the_mark(method, alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)

    if method == "head":
        logged_in_client(alice).head(reverse("imports:detail", args=[job.pk]))
    else:
        open_page(alice, job, x_page_hidden="1")

    assert MARK in read_list(alice)


def test_all_marks_are_removed_at_once(alice, bob):
    for _ in range(2):
        run_import(make_csv([make_row(1)]), owner=alice)
    other = run_import(make_csv([make_row(2)]), owner=bob)
    assert "2 imports have ended since you last opened them." in read_list(alice)

    response = logged_in_client(alice).post(reverse("imports:mark-all-seen"))

    assert response["Location"] == reverse("imports:list")
    assert MARK not in read_list(alice)
    assert list(permissions.get_unread_imports(bob)) == [other]
    assert logged_in_client(alice).get(reverse("imports:mark-all-seen")).status_code == 405


def test_a_preview_is_not_marked(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice, is_preview=True)

    assert not job.is_unread
    assert not permissions.get_unread_imports(alice).exists()


def test_opening_a_page_is_no_change_of_the_import(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)

    open_page(alice, job)

    seen = ImportJob.objects.get(pk=job.pk)
    assert seen.seen_at
    assert (seen.version, seen.updated_at) == (job.version, job.updated_at)
    assert not job.events.filter(command="change").exists()
