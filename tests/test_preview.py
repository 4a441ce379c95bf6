"""Test the preview of what starting an import would do."""

import pytest
from django.db.models import F

from customers.models import Customer
from imports import lifecycle, preview, snapshots
from imports.models import ImportJob, TransitionNotAllowed
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import (
    apply_all_batches,
    check_job,
    get_counts,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.streams import make_job as make_moved_job

pytestmark = pytest.mark.django_db(transaction=True)

# One as in the file, one with another name, one whose e-mail the file lacks.
EXISTING = [make_row(1), make_row(2, first="Kofi"), make_row(3)]
ROWS = [
    make_row(1),
    make_row(2),
    make_row(3, email=""),
    make_row(4),
    make_row(5, email=""),
    make_row(6, phone="none"),
    make_row(4),
]
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


def make_ready_job(rows=ROWS, **fields):
    for values in EXISTING:
        Customer.objects.create(**dict(zip(FIELDS, values, strict=True)))
    return check_job(make_job(make_csv(rows), check_first=True, **fields))


def select_counts(preview_data):
    names = ("created", "updated", "unchanged", "skipped", "failed")
    return {name: preview_data[name] for name in names}


@pytest.mark.parametrize("empty_cells", ["keep", "clear"])
@pytest.mark.parametrize("on_duplicate", ["skip", "update", "fail"])
def test_the_counts_of_the_preview_are_those_of_the_import(root, on_duplicate, empty_cells):
    job = make_ready_job(on_duplicate=on_duplicate, empty_cells=empty_cells)

    preview_data = preview.build_preview(job, root)
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)

    assert select_counts(preview_data) == {
        name: get_counts(job)[name] for name in select_counts(preview_data)
    }
    assert (preview_data["checked_at"], preview_data["total"]) == (job.checked_at, 7)


def test_updates_have_the_old_and_new_values_of_changed_fields(root):
    job = make_ready_job(owner=root, on_duplicate="update", empty_cells="clear")
    ids = dict(Customer.objects.values_list("shipping_mark", "pk"))

    preview_data = logged_in_client(root).get(f"/api/imports/{job.pk}/preview/").json()

    assert preview_data["updates"] == [
        {
            "row": 3,
            "record": str(ids["MARK 2"]),
            "changes": {"first_name": {"old": "Kofi", "new": "Ama"}},
        },
        {
            "row": 4,
            "record": str(ids["MARK 3"]),
            "changes": {"email": {"old": "ama3@example.com", "new": None}},
        },
    ]
    assert [(row["row"], row["values"]["phone"]) for row in preview_data["creates"]] == [
        (5, make_row(4)[4]),
        (6, make_row(5)[4]),
    ]
    assert preview_data["checked_at"] == snapshots.format_time(job.checked_at)


def test_records_that_the_user_may_not_view_are_not_shown(alice):
    run_import(make_csv([make_row(9)]), owner=alice)
    rows = [make_row(2, first="Guessed"), make_row(9, first="Own")]
    job = make_ready_job(rows, owner=alice, on_duplicate="update")
    own = Customer.objects.get(shipping_mark="MARK 9").pk

    preview_data = logged_in_client(alice).get(f"/api/imports/{job.pk}/preview/").json()
    page = logged_in_client(alice).get(f"/imports/{job.pk}/").content.decode()

    assert preview_data["updates"] == [
        {"row": 2, "record": None, "changes": {}},
        {
            "row": 3,
            "record": str(own),
            "changes": {"first_name": {"old": "Ama", "new": "Own"}},
        },
    ]
    assert "a record that you do not have permission to view" in page
    assert "Kofi" not in page


def test_samples_and_their_values_are_limited(root, monkeypatch):
    monkeypatch.setattr(preview, "MAX_SAMPLE_ROWS", 1)
    monkeypatch.setattr(preview, "MAX_PREVIEW_VALUE_CHARS", 3)

    preview_data = preview.build_preview(make_ready_job(on_duplicate="update"), root)

    assert [row["changes"] for row in preview_data["updates"]] == [
        {"first_name": {"old": "Kof", "new": "Ama"}}
    ]
    assert [row["values"]["phone"] for row in preview_data["creates"]] == ["+23"]


def test_the_number_of_unchanged_rows_is_unknown_if_not_all_are_compared(root, monkeypatch):
    job = make_ready_job(on_duplicate="update")
    monkeypatch.setattr(preview, "MAX_COMPARED_ROWS", 2)

    preview_data = preview.build_preview(job, root)

    assert (preview_data["updated"], preview_data["unchanged"], len(preview_data["updates"])) == (
        3,
        None,
        1,
    )


@pytest.mark.parametrize("status", ["QUEUED", "CHECKING", "MAPPING", "RUNNING", "PAUSED"])
def test_only_a_ready_import_has_a_preview(alice, status):
    job = make_moved_job(alice, Status(status))

    response = logged_in_client(alice).get(f"/api/imports/{job.pk}/preview/")

    assert response.status_code == 409
    assert response.json()["message"].startswith(f"An import that is {status} has no preview")


def test_an_import_that_is_checked_again_or_started_meanwhile_has_no_preview(root):
    job = make_ready_job()
    ImportJob.objects.filter(pk=job.pk).update(check_generation=F("check_generation") + 1)
    with pytest.raises(TransitionNotAllowed, match="checked again"):
        preview.build_preview(job, root)

    lifecycle.start(job.pk)

    with pytest.raises(TransitionNotAllowed, match="RUNNING has no preview"):
        preview.build_preview(job, root)


def test_deleted_records_are_not_compared(root):
    job = make_ready_job(on_duplicate="update")
    Customer.objects.all().delete()

    preview_data = preview.build_preview(job, root)

    assert (preview_data["updated"], preview_data["unchanged"], preview_data["updates"]) == (
        3,
        0,
        [],
    )


def test_an_import_without_its_importer_has_no_preview(root):
    job = make_ready_job()
    job.importer = "gone"
    with pytest.raises(TransitionNotAllowed, match="no longer installed"):
        preview.build_preview(job, root)
