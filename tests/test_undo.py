"""Undo: which records it removes and restores, which it keeps, and why."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone

from customers.models import Customer
from imports import importer as registry
from imports import lifecycle
from imports.history import Command
from imports.importer import Column, Importer
from imports.models import HookCall, ImportAttempt, ImportJob, TransitionNotAllowed
from imports.pipeline import undo, undo_preview
from imports.pipeline.batch_applier import apply_batch
from imports.pipeline.undo_preview import list_kept_reasons
from imports.statuses import Hook, Status
from tests.concurrency import concurrent_transaction
from tests.database import connection
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row, run_import
from tests.parcels.models import Crate, Parcel, Remark, Shelf, Team, Visit
from tests.test_batch_applier import replan_batches
from tests.test_field_values import CustomerParcels

pytestmark = pytest.mark.django_db(transaction=True)

UNMANAGED_TABLE = """
CREATE TABLE loyalty_card (
    id serial PRIMARY KEY,
    customer_id bigint REFERENCES customers_customer ON DELETE {action})
"""


def undo_all_batches(pk):
    """Undo the batches one after another, as a single worker does."""
    while (job := ImportJob.objects.get(pk=pk)).status == Status.UNDOING:
        undo.undo_next_batch(pk)
    return job


def undo_import(job):
    return undo_all_batches(lifecycle.undo(job.pk).pk)


def import_people(*people, batch_rows=2, **fields):
    """Import rows of these numbers in batches of two rows."""
    return import_rows([make_row(n) for n in people], batch_rows=batch_rows, **fields)


def import_rows(rows, *, batch_rows=2, **fields):
    job = check_job(make_job(make_csv(rows), **fields))
    replan_batches(job, rows=batch_rows)
    return apply_all_batches(job.pk)


def get_undo_counts(job):
    job.refresh_from_db()
    return job.removed, job.restored, job.kept


def get_kept(job):
    """Return the row numbers of the records that were kept, with the codes of the reasons."""
    rows = job.rows.filter(kept__isnull=False).order_by("number")
    return {number: kept["code"] for number, kept in rows.values_list("number", "kept")}


def get_customer(n):
    return Customer.objects.get(shipping_mark=f"MARK {n}")


def list_marks():
    return sorted(Customer.objects.values_list("shipping_mark", flat=True))


# --- The status --------------------------------------------------------------


def test_created_records_are_removed():
    job = import_people(1, 2, 3)
    other = import_people(4)

    undone = undo_import(job)

    assert (undone.status, undone.progress_percent) == (Status.UNDONE, 100)
    assert get_undo_counts(job) == (3, 0, 0)
    assert list_marks() == ["MARK 4"]
    assert (other.created, undone.created, undone.run) == (1, 3, 2)
    assert not job.batches.filter(undone_at=None).exists()
    assert not ImportAttempt.objects.exists()
    assert [event.command for event in job.events.all()] == [Command.UNDO]
    assert [call.hook for call in HookCall.objects.filter(job=job)][-1] == Hook.IMPORT_UNDONE


def test_updated_records_get_their_previous_values_back():
    import_people(1, 2, 3)
    before = list(Customer.objects.order_by("pk").values("first_name", "phone"))
    rows = [make_row(n, first="Esi", phone=f"+23324999999{n}") for n in (1, 2)] + [make_row(4)]
    job = import_rows(rows, on_duplicate="update")
    assert get_customer(1).first_name == "Esi"
    stamp = get_customer(1).updated_at

    undo_import(job)

    assert get_undo_counts(job) == (1, 2, 0)
    assert list(Customer.objects.order_by("pk").values("first_name", "phone")) == before
    assert get_customer(1).updated_at > stamp


def test_progress_rises_with_each_batch():
    job = lifecycle.undo(import_people(1, 2, 3, 4).pk)
    assert (job.status, job.progress_percent) == (Status.UNDOING, 0)
    assert job.finished_at is None

    job = undo.undo_next_batch(job.pk)

    assert (job.status, job.progress_percent, job.undone) == (Status.UNDOING, 49, 2)
    assert list_marks() == ["MARK 1", "MARK 2"]  # The batch that was written last is undone first.
    snapshot = lifecycle.get_snapshot(job)
    assert (snapshot["removed"], snapshot["restored"], snapshot["kept"]) == (2, 0, 0)
    assert snapshot["live"]["rows_per_second"] > 0
    assert snapshot["live"]["eta_seconds"] is not None


def test_a_cancelled_import_can_be_undone():
    job = check_job(make_job(make_csv([make_row(n) for n in (1, 2, 3)])))
    replan_batches(job, rows=2)
    apply_batch(job.pk, 1)
    lifecycle.cancel(job.pk)

    undo_import(job)

    assert get_undo_counts(job) == (2, 0, 0)
    assert list_marks() == []


def test_an_import_that_has_written_nothing_cannot_be_undone():
    import_people(1)
    job = import_people(1)

    assert not lifecycle.can_undo(job)
    with pytest.raises(TransitionNotAllowed) as error:
        lifecycle.undo(job.pk)

    assert error.value.code == "nothing_to_undo"
    assert not job.events.exists()


def test_an_import_can_be_undone_until_its_rows_are_deleted(settings):
    job = import_people(1)
    ImportJob.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(days=31))

    with pytest.raises(TransitionNotAllowed) as error:
        lifecycle.undo(job.pk)

    assert error.value.code == "too_late"
    assert error.value.params["date"][:10] in str(error.value)
    settings.IMPORTS_KEEP_CONTENTS_DAYS = 32
    ImportJob.objects.filter(pk=job.pk).update(contents_deleted_at=timezone.now())
    with pytest.raises(TransitionNotAllowed, match="no longer be undone"):
        lifecycle.undo(job.pk)
    ImportJob.objects.filter(pk=job.pk).update(contents_deleted_at=None)
    assert undo_import(job).status == Status.UNDONE


@pytest.mark.parametrize("command", [lifecycle.undo, lifecycle.cancel])
def test_an_undo_is_neither_started_twice_nor_cancelled(command):
    job = lifecycle.undo(import_people(1).pk)

    with pytest.raises(TransitionNotAllowed):
        command(job.pk)
    undo_all_batches(job.pk)
    with pytest.raises(TransitionNotAllowed):
        command(job.pk)

    assert get_undo_counts(job) == (1, 0, 0)


# --- What is kept ------------------------------------------------------------


@pytest.mark.parametrize("field", ["shipping_mark", "first_name", "last_name", "email", "phone"])
def test_a_created_record_that_was_edited_is_kept(field):
    job = import_people(1, 2)
    Customer.objects.filter(pk=get_customer(1).pk).update(**{field: "edited"})

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 1)
    assert get_kept(job) == {2: "edited"}
    assert Customer.objects.count() == 1


def test_a_changed_letter_case_is_an_edit():
    job = import_people(1)
    Customer.objects.update(first_name="AMA")

    undo_import(job)

    assert get_kept(job) == {2: "edited"}


@pytest.mark.parametrize("field", ["first_name", "email"])
def test_an_updated_record_that_was_edited_is_kept(field):
    import_people(1, 2)
    job = import_rows([make_row(n, first="Esi", email="") for n in (1, 2)], on_duplicate="update")
    Customer.objects.filter(pk=get_customer(1).pk).update(**{field: "edited"})

    undo_import(job)

    assert get_undo_counts(job) == (0, 1, 1)
    assert get_kept(job) == {2: "edited"}
    assert getattr(get_customer(1), field) == "edited"
    assert get_customer(2).first_name == "Ama"


def test_a_field_that_no_import_fills_may_be_edited():
    job = import_people(1)
    Customer.objects.update(updated_at=timezone.now())

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 0)


def test_a_deleted_record_counts_as_kept():
    import_people(1)
    job = import_rows([make_row(1, first="Esi"), make_row(2), make_row(3)], on_duplicate="update")
    Customer.objects.exclude(shipping_mark="MARK 3").delete()

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 2)
    assert get_kept(job) == {2: "deleted", 3: "deleted"}


def test_a_previous_value_that_another_record_has_is_not_restored():
    import_people(1, 2)
    job = import_rows(
        [make_row(n, phone=f"+23324999999{n}") for n in (1, 2)], on_duplicate="update"
    )
    Customer.objects.create(shipping_mark="NEW", first_name="N", phone=make_row(1)[4])

    undo_import(job)

    assert get_undo_counts(job) == (0, 1, 1)
    assert get_kept(job) == {2: "values_taken"}
    assert get_customer(1).phone == "+233249999991"


@pytest.mark.parametrize("batch_rows", [1, 2, 10])
@pytest.mark.parametrize("numbers", [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 1, 5, 2, 4]])
def test_a_chain_of_unique_values_is_restored(batch_rows, numbers):
    """Each row gives its record the phone number that the row before it releases."""
    import_people(1, 2, 3, 4, 5)
    before = dict(Customer.objects.values_list("shipping_mark", "phone"))
    taken = ["+233249999999", *[make_row(n)[4] for n in numbers[:-1]]]
    # The lookup is by the shipping mark and by the e-mail address; the phone number is new.
    job = check_job(
        make_job(
            make_csv([make_row(n, phone=f"+23324888888{n}") for n in numbers]),
            on_duplicate="update",
        )
    )
    for n, phone in zip(numbers, taken, strict=True):
        row = job.rows.get(cleaned__0=f"MARK {n}")
        row.cleaned[4] = phone
        row.save(update_fields=["cleaned"])
    replan_batches(job, rows=batch_rows)
    job = apply_all_batches(job.pk)

    undo_import(job)

    assert get_undo_counts(job) == (0, 5, 0)
    assert dict(Customer.objects.values_list("shipping_mark", "phone")) == before


# --- References --------------------------------------------------------------


def refer_by_foreign_key(customer):
    Parcel.objects.create(customer=customer, number=1, weight=1)


def refer_by_cascading_foreign_key(customer):
    Shelf.objects.create(number=1, customer=customer)


def refer_by_many_to_many(customer):
    Team.objects.create().customers.add(customer)


def refer_without_constraint(customer):
    Visit.objects.create(customer=customer)


def refer_by_generic_key(customer):
    Remark.objects.create(record=customer)


@pytest.mark.parametrize(
    ("refer", "model"),
    [
        (refer_by_foreign_key, "parcels.Parcel"),
        (refer_by_cascading_foreign_key, "parcels.Shelf"),
        (refer_by_many_to_many, "parcels.Team_customers"),
        (refer_without_constraint, "parcels.Visit"),
        (refer_by_generic_key, "parcels.Remark"),
    ],
)
def test_a_record_to_which_another_refers_is_kept(refer, model):
    job = import_people(1, 2)
    refer(get_customer(1))

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 1)
    assert list_marks() == ["MARK 1"]
    kept = job.rows.get(kept__isnull=False)
    assert (kept.number, kept.kept) == (2, {"code": "referred_to", "params": {"model": model}})


def test_a_generic_key_of_another_model_is_no_reference():
    job = import_people(1)
    depot = ContentType.objects.get(app_label="parcels", model="depot")
    Remark.objects.create(content_type=depot, record_id=str(get_customer(1).pk))

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 0)


@pytest.mark.parametrize(
    "action", ["CASCADE", "SET NULL", "NO ACTION DEFERRABLE INITIALLY DEFERRED"]
)
def test_a_table_without_a_model_keeps_the_record(action):
    """The database would delete or change the referring row. Undo never does that."""
    job = import_people(1, 2)
    with connection.cursor() as cursor:
        cursor.execute(UNMANAGED_TABLE.format(action=action))
    try:
        with connection.cursor() as cursor:
            key = get_customer(1).pk
            cursor.execute("INSERT INTO loyalty_card (customer_id) VALUES (%s)", [key])

            undo_import(job)

            cursor.execute("SELECT customer_id FROM loyalty_card")
            assert cursor.fetchall() == [(key,)]
        kept = job.rows.get(kept__isnull=False)
        assert kept.kept == {"code": "referred_to", "params": {"model": "loyalty_card"}}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE loyalty_card")


def test_an_updated_record_is_restored_although_another_refers_to_it():
    import_people(1)
    refer_by_foreign_key(get_customer(1))
    job = import_rows([make_row(1, first="Esi")], on_duplicate="update")

    undo_import(job)

    assert get_undo_counts(job) == (0, 1, 0)


def test_a_record_that_refers_to_itself_is_removed(use_crates):
    job = import_crates(["A", "1"], ["B", "2"])
    Crate.objects.update(inside=models.F("pk"))

    undo_import(job)

    assert get_undo_counts(job) == (2, 0, 0)


def test_records_of_the_import_that_refer_to_each_other_are_removed(use_crates):
    job = import_crates(["A", "1"], ["B", "2"], ["C", "3"])
    crates = {crate.code: crate for crate in Crate.objects.all()}
    Crate.objects.filter(code="B").update(inside=crates["A"])
    Crate.objects.filter(code="C").update(inside=crates["B"])

    undo_import(job)

    assert get_undo_counts(job) == (3, 0, 0)


def test_a_record_inside_which_another_is_put_is_kept(use_crates):
    job = import_crates(["A", "1"], ["B", "2"])
    Crate.objects.create(code="NEW", inside=Crate.objects.get(code="A"))

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 1)
    assert job.rows.get(kept__isnull=False).kept["params"] == {"model": "parcels.Crate"}


# --- Values ------------------------------------------------------------------


class CrateImporter(Importer):
    name = "crates"
    model = Crate
    columns = (
        Column("code", required=True),
        Column("length"),
        Column("capacity"),
        Column("opened_at"),
    )


@pytest.fixture
def use_crates(monkeypatch):
    monkeypatch.setitem(registry._registered, CrateImporter.name, CrateImporter)


def import_crates(*rows, headers=("Code", "Length"), **fields):
    return run_import(make_csv(rows, list(headers)), importer="crates", **fields)


def set_staged_value(job, number, index, value):
    """Replace a cleaned value, as a cleaning function of an importer could return it."""
    row = job.rows.get(number=number)
    row.cleaned[index] = value
    row.save(update_fields=["cleaned"])


def test_a_value_that_the_database_rounds_is_no_edit(use_crates):
    job = check_job(
        make_job(make_csv([["A", "1"], ["B", "2"]], ["Code", "Length"]), importer="crates")
    )
    set_staged_value(job, 2, 1, "2.504")
    set_staged_value(job, 3, 1, "2.504")
    job = apply_all_batches(job.pk)
    Crate.objects.filter(code="B").update(length=Decimal("2.51"))

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 1)
    assert get_kept(job) == {3: "edited"}


def test_a_rounded_value_of_an_updated_record_is_no_edit(use_crates):
    Crate.objects.create(code="A", length=Decimal("1.25"))
    job = make_job(
        make_csv([["A", "1"]], ["Code", "Length"]), importer="crates", on_duplicate="update"
    )
    set_staged_value(check_job(job), 2, 1, "2.504")
    job = apply_all_batches(job.pk)
    assert Crate.objects.get().length == Decimal("2.50")

    undo_import(job)

    assert get_undo_counts(job) == (0, 1, 0)
    assert Crate.objects.get().length == Decimal("1.25")


def test_a_static_default_is_compared_and_a_computed_one_is_not(use_crates):
    job = import_crates(["A", "1"], ["B", "2"], ["C", "3"])
    Crate.objects.filter(code="A").update(capacity=6)
    Crate.objects.filter(code="B").update(opened_at=timezone.now())

    undo_import(job)

    assert get_undo_counts(job) == (2, 0, 1)
    assert get_kept(job) == {2: "edited"}


def test_a_value_in_a_column_with_a_computed_default_is_compared(use_crates):
    rows = ["A", "2026-01-31 14:30"], ["B", "2026-01-31 14:30"]
    job = import_crates(*rows, headers=("Code", "Opened at"))
    Crate.objects.filter(code="A").update(opened_at=timezone.now())

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 1)
    assert get_kept(job) == {2: "edited"}


@pytest.mark.parametrize("empty_cells", ["keep", "clear"])
def test_values_that_empty_cells_have_cleared_or_kept_are_restored(empty_cells):
    import_people(1, 2)
    rows = [make_row(n, first="Esi", email="") for n in (1, 2)]
    job = import_rows(rows, on_duplicate="update", empty_cells=empty_cells)
    assert (get_customer(1).email is None) == (empty_cells == "clear")
    Customer.objects.filter(pk=get_customer(2).pk).update(email="new@example.com")

    undo_import(job)

    assert get_undo_counts(job) == (0, 1, 1)
    assert get_kept(job) == {3: "edited"}
    assert (get_customer(1).email, get_customer(1).first_name) == ("ama1@example.com", "Ama")


def test_a_value_that_no_column_fills_is_compared(monkeypatch):
    import_people(1, 2)
    first, second = get_customer(1), get_customer(2)
    importer = type(
        "WithValues",
        (CustomerParcels,),
        {"values": staticmethod(lambda context: {"customer": first})},
    )
    monkeypatch.setitem(registry._registered, importer.name, importer)
    rows = make_csv([["1", "2.5"], ["2", "3"]], ["Number", "Weight"])
    job = run_import(rows, importer=importer.name)
    Parcel.objects.filter(number=1).update(customer=second)

    undo_import(job)

    assert get_undo_counts(job) == (1, 0, 1)
    assert get_kept(job) == {2: "edited"}


# --- The preview -------------------------------------------------------------


def test_the_preview_has_the_counts_of_the_undo():
    import_people(1, 2, 3)
    rows = [make_row(n, first="Esi", phone=f"+23324999999{n}") for n in (1, 2, 3)]
    rows += [make_row(n) for n in (4, 5, 6, 7)]
    job = import_rows(rows, on_duplicate="update")
    Customer.objects.filter(pk=get_customer(1).pk).update(first_name="edited")
    Customer.objects.create(shipping_mark="NEW", first_name="N", phone=make_row(2)[4])
    Customer.objects.filter(pk=get_customer(4).pk).update(first_name="edited")
    refer_without_constraint(get_customer(5))
    get_customer(6).delete()

    preview = lifecycle.preview_undo(job)
    undo_import(job)

    assert (preview["removed"], preview["restored"], preview["kept"]) == (1, 1, 5)
    assert get_undo_counts(job) == (1, 1, 5)
    assert preview["is_exact"]
    assert preview["reasons"] == [
        {"code": "edited", "params": {}, "count": 2},
        {"code": "deleted", "params": {}, "count": 1},
        {"code": "referred_to", "params": {"model": "parcels.Visit"}, "count": 1},
        {"code": "values_taken", "params": {}, "count": 1},
    ]
    assert list_kept_reasons(job) == preview["reasons"]


def test_the_preview_of_the_rest_includes_what_is_done():
    job = lifecycle.undo(import_people(1, 2, 3, 4).pk)
    Customer.objects.filter(pk=get_customer(3).pk).update(first_name="edited")
    undo.undo_next_batch(job.pk)
    job = ImportJob.objects.transition(job.pk, Status.FAILED, error_code="undo_failed")

    preview = lifecycle.preview_undo(job)

    assert (preview["removed"], preview["restored"], preview["kept"]) == (3, 0, 1)
    undo_import(job)
    assert get_undo_counts(job) == (3, 0, 1)


def test_a_value_that_the_undo_releases_is_free():
    """The preview knows that record 2 gives back the number that record 1 had."""
    import_people(1, 2)
    first, second = make_row(1)[4], make_row(2)[4]
    job = check_job(
        make_job(
            make_csv([make_row(n, phone=f"+23324888888{n}") for n in (1, 2)]),
            on_duplicate="update",
        )
    )
    set_staged_value(job, 3, 4, first)
    job = apply_all_batches(job.pk)
    assert (get_customer(2).phone, job.updated) == (first, 2)

    preview = lifecycle.preview_undo(job)
    undo_import(job)

    assert (preview["restored"], preview["kept"]) == (2, 0)
    assert get_undo_counts(job) == (0, 2, 0)
    assert get_customer(2).phone == second


def test_a_preview_that_waits_too_long_is_not_exact(monkeypatch):
    job = import_people(1, 2)
    Customer.objects.update(first_name="edited")
    monkeypatch.setattr(undo_preview, "MAX_SECONDS", 1)
    with concurrent_transaction() as cursor:
        cursor.execute("LOCK TABLE customers_customer IN ACCESS EXCLUSIVE MODE")
        preview = lifecycle.preview_undo(job)

    assert preview == {"removed": 2, "restored": 0, "kept": 0, "reasons": [], "is_exact": False}
    assert lifecycle.preview_undo(job)["kept"] == 2
