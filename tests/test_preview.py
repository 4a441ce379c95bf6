"""What starting an import would do, told before it is started."""

import pytest
from django.db.models import F

from customers.models import Customer
from imports import lifecycle, preview
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

# As they are, with another name, without an e-mail.
EXISTING = [make_row(1), make_row(2, first="Kofi"), make_row(3)]
ROWS = [
    *(make_row(1), make_row(2), make_row(3, email="")),
    *(make_row(4), make_row(5, email=""), make_row(6, phone="none"), make_row(4)),
]
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


def ready(rows=ROWS, **fields):
    for values in EXISTING:
        Customer.objects.create(**dict(zip(FIELDS, values, strict=True)))
    return check_job(make_job(make_csv(rows), check_first=True, **fields))


def counted(found):
    names = ("created", "updated", "unchanged", "skipped", "failed")
    return {name: found[name] for name in names}


@pytest.mark.parametrize("empty_cells", ["keep", "clear"])
@pytest.mark.parametrize("on_duplicate", ["skip", "update", "fail"])
def test_what_is_told_is_what_happens(root, on_duplicate, empty_cells):
    job = ready(on_duplicate=on_duplicate, empty_cells=empty_cells)

    found = preview.build_preview(job, root)
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)

    assert counted(found) == {name: get_counts(job)[name] for name in counted(found)}
    assert (found["checked_at"], found["total"]) == (job.checked_at, 7)


def test_updates_are_shown_with_old_and_new_values_of_what_changes(root):
    job = ready(owner=root, on_duplicate="update", empty_cells="clear")
    ids = dict(Customer.objects.values_list("shipping_mark", "pk"))

    found = logged_in_client(root).get(f"/api/imports/{job.pk}/preview/").json()

    assert found["updates"] == [
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
    assert [(row["row"], row["values"]["phone"]) for row in found["creates"]] == [
        (5, make_row(4)[4]),
        (6, make_row(5)[4]),
    ]
    assert found["checked_at"] == job.checked_at.isoformat()


def test_of_what_its_reader_may_not_see_nothing_is_told(alice):
    run_import(make_csv([make_row(9)]), owner=alice)
    rows = [make_row(2, first="Guessed"), make_row(9, first="Own")]
    job = ready(rows, owner=alice, on_duplicate="update")
    own = Customer.objects.get(shipping_mark="MARK 9").pk

    found = logged_in_client(alice).get(f"/api/imports/{job.pk}/preview/").json()
    page = logged_in_client(alice).get(f"/imports/{job.pk}/").content.decode()

    assert found["updates"] == [
        {"row": 2, "record": None, "changes": {}},
        {
            "row": 3,
            "record": str(own),
            "changes": {"first_name": {"old": "Ama", "new": "Own"}},
        },
    ]
    assert "a record that you do not have permission to view" in page
    assert "Kofi" not in page


def test_samples_are_small_and_so_are_their_values(root, monkeypatch):
    monkeypatch.setattr(preview, "MAX_SAMPLE_ROWS", 1)
    monkeypatch.setattr(preview, "MAX_PREVIEW_VALUE_CHARS", 3)

    found = preview.build_preview(ready(on_duplicate="update"), root)

    assert [row["changes"] for row in found["updates"]] == [
        {"first_name": {"old": "Kof", "new": "Ama"}}
    ]
    assert [row["values"]["phone"] for row in found["creates"]] == ["+23"]


def test_where_not_all_are_compared_nobody_claims_to_know(root, monkeypatch):
    job = ready(on_duplicate="update")
    monkeypatch.setattr(preview, "MAX_COMPARED_ROWS", 2)

    found = preview.build_preview(job, root)

    assert (found["updated"], found["unchanged"], len(found["updates"])) == (3, None, 1)


@pytest.mark.parametrize("status", ["QUEUED", "CHECKING", "MAPPING", "RUNNING", "PAUSED"])
def test_there_is_a_preview_only_while_nothing_is_written_and_all_is_judged(alice, status):
    job = make_moved_job(alice, Status(status))

    response = logged_in_client(alice).get(f"/api/imports/{job.pk}/preview/")

    assert response.status_code == 409
    assert response.json()["message"].startswith(f"An import that is {status} has no preview")


def test_what_begins_meanwhile_gets_no_preview(root):
    job = ready()
    ImportJob.objects.filter(pk=job.pk).update(check_generation=F("check_generation") + 1)
    with pytest.raises(TransitionNotAllowed, match="checked again"):
        preview.build_preview(job, root)

    lifecycle.start(job.pk)

    with pytest.raises(TransitionNotAllowed, match="RUNNING has no preview"):
        preview.build_preview(job, root)


def test_where_the_records_are_gone_nothing_is_compared(root):
    job = ready(on_duplicate="update")
    Customer.objects.all().delete()

    found = preview.build_preview(job, root)

    assert (found["updated"], found["unchanged"], found["updates"]) == (3, 0, [])


def test_an_import_whose_importer_is_gone_says_so(root):
    job = ready()
    job.importer = "gone"
    with pytest.raises(TransitionNotAllowed, match="no longer installed"):
        preview.build_preview(job, root)
