"""Importers: any suitable model can be filled from files, here the model Parcel of a test app."""

import datetime
from decimal import Decimal

import pytest
from django.utils.translation import override

from customers.models import Customer
from imports import hooks, lifecycle
from imports.error_messages import describe_row_error
from imports.pipeline import batch_applier
from imports.pipeline.failed_rows import FailedRows
from imports.pipeline.target_table import _build_clear_sql
from imports.statuses import Outcome, Status
from tests.factories import (
    apply_all_batches,
    check_job,
    get_outcomes,
    make_csv,
    make_job,
    run_import,
)
from tests.parcels import importer
from tests.parcels.models import Parcel

pytestmark = pytest.mark.django_db(transaction=True)

HEADERS = ["Mark", "Number", "Weight", "Date", "Fragile", "Note"]


@pytest.fixture
def ann():
    return Customer.objects.create(
        shipping_mark="ANN", first_name="Ann", last_name="Addo", phone="+233244000001"
    )


@pytest.fixture
def bea():
    return Customer.objects.create(
        shipping_mark="BEA", first_name="Bea", last_name="Boateng", phone="+233244000002"
    )


def import_parcels(*rows, **fields):
    return run_import(make_csv(rows, HEADERS), importer="parcels", **fields)


def get_errors(job):
    rows = job.rows.exclude(errors=None).order_by("number")
    return {row.number: [(e["field"], e["code"]) for e in row.errors] for row in rows}


def test_values_of_every_type_are_written_correctly(ann):
    awkward = 'a "quoted", {braced} \\back\\slash\ttab\nline'

    job = import_parcels(["ANN", "7", "2.50", "2026-01-31", "True", awkward])

    assert job.status == Status.COMPLETE, job.error_code
    parcel = Parcel.objects.get()
    assert (parcel.customer, parcel.number, parcel.weight) == (ann, 7, Decimal("2.50"))
    assert (parcel.sent_on, parcel.fragile) == (datetime.date(2026, 1, 31), True)
    assert parcel.note == awkward
    assert parcel.state == "new"
    assert parcel.made_at is not None


def test_empty_cells_get_the_defaults_of_the_model(ann):
    import_parcels(["ANN", "7", "1", "", "", ""])

    parcel = Parcel.objects.get()
    assert (parcel.sent_on, parcel.fragile, parcel.note) == (None, False, "")


def test_a_lookup_without_a_match_is_an_error_of_its_row(ann):
    job = import_parcels(["ANN", "1", "1"], ["NOBODY", "2", "1"])

    assert get_outcomes(job) == {2: "created", 3: "failed"}
    assert get_errors(job) == {3: [("customer", "not_found")]}
    (error,) = job.rows.get(number=3).errors
    assert describe_row_error(error, "parcels").startswith(
        "There is no customer with this shipping mark."
    )
    assert describe_row_error(error, "gone").startswith("No record has this name.")
    with override("fr"):
        assert "«\u00a0client\u00a0»" in describe_row_error(error, "parcels")


def test_failed_rows_name_each_column_with_its_own_sentence(ann):
    job = import_parcels(["NOBODY", "2", "1"])
    (error,) = job.rows.get(number=2).errors
    job.rows.update(errors=[error, error | {"field": "note"}])

    ((cells, _),) = FailedRows(job).iterate_rows(Outcome.FAILED)

    assert "Mark: There is no customer with this shipping mark." in cells[-1]
    assert "Note: No record has this name." in cells[-1]


def test_a_duplicate_needs_all_columns_of_a_unique_constraint(ann, bea):
    job = import_parcels(["ANN", "1", "1"], ["BEA", "1", "1"], ["ANN", "2", "1"], ["ANN", "1", "2"])

    assert get_outcomes(job) == {2: "created", 3: "created", 4: "created", 5: "failed"}
    assert get_errors(job) == {5: [("customer", "repeats_row")]}


def test_values_are_compared_by_type_and_not_as_text(ann):
    import_parcels(["ANN", "1", "1.5", "2026-01-31"])

    job = import_parcels(["ANN", "01", "1.50", "2026-1-31"], on_duplicate="update")

    assert get_outcomes(job) == {2: "unchanged"}


def test_a_value_that_its_field_rejects_is_an_error_of_its_column(ann):
    job = import_parcels(["ANN", "x", "1.234", "31st", "perhaps", "ok"])

    assert get_errors(job) == {
        2: [
            ("number", "invalid_whole_number"),
            ("weight", "too_many_decimals"),
            ("sent_on", "invalid_date"),
            ("fragile", "invalid_boolean"),
        ]
    }


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("TRUE", True),
        ("true", True),
        ("1", True),
        ("Yes", True),
        ("y", True),
        ("OUI", True),
        ("false", False),
        ("0", False),
        ("no", False),
        ("N", False),
        ("non", False),
    ],
)
def test_the_usual_words_for_yes_and_no_are_accepted(ann, cell, value):
    import_parcels(["ANN", "1", "1", "", cell])

    assert Parcel.objects.get().fragile == value


def test_a_row_that_only_the_database_rejects_fails_alone(ann):
    rows = [["ANN", str(n), "0" if n == 5 else "1"] for n in range(10)]

    job = import_parcels(*rows)

    assert job.status == Status.COMPLETE
    assert get_errors(job) == {7: [(None, "database_error")]}
    assert Parcel.objects.count() == job.created == 9


def test_a_row_whose_foreign_key_was_deleted_after_the_check_fails_alone(ann, bea):
    content = make_csv([["ANN", "1", "1"], ["BEA", "2", "1"]], HEADERS)
    job = check_job(make_job(content, importer="parcels"))
    bea.delete()

    batch_applier.apply_batch(job.pk, 1)

    assert get_outcomes(job) == {2: "created", 3: "failed"}
    assert Parcel.objects.get().number == 1


def test_an_update_keeps_values_whose_cells_are_empty(ann):
    import_parcels(["ANN", "1", "1", "2026-01-31", "true", "careful"])

    job = import_parcels(["ANN", "1", "3", "", "", ""], on_duplicate="update")

    parcel = Parcel.objects.get()
    assert (parcel.weight, parcel.note, parcel.fragile) == (Decimal("3"), "careful", True)
    assert get_outcomes(job) == {2: "updated"}
    assert job.rows.get().previous_values[2] == "1.00"


def test_after_batch_gets_the_keys_of_written_records_once(ann):
    importer.after_batch_calls.clear()
    job = import_parcels(["ANN", "1", "1"], ["ANN", "2", "1"], ["NOBODY", "3", "1"])

    hooks.call_due_hooks(job.pk)
    hooks.call_due_hooks(job.pk)  # Has run already, so it does nothing.

    assert importer.after_batch_calls == [sorted(Parcel.objects.values_list("pk", flat=True))]


# --- Empty cells of rows that update -----------------------------------------

FULL = ["ANN", "1", "1.5", "2026-01-31", "True", "a note"]


def update_parcel(row, headers=HEADERS, **fields):
    """Import one row with the policy "update".

    Returns the outcome of the row, the values of the parcel, and the previous values.
    """
    fields = {"importer": "parcels", "on_duplicate": "update"} | fields
    job = run_import(make_csv([row], headers), **fields)
    parcel, staged = Parcel.objects.get(), job.rows.get()
    values = (str(parcel.weight), parcel.sent_on, parcel.fragile, parcel.note)
    return staged.outcome, values, staged.previous_values


def test_an_empty_cell_keeps_the_old_value_by_default(ann):
    import_parcels(FULL)

    outcome, values, previous = update_parcel(["ANN", "1", "1.5", "", "", ""])

    old = ("1.50", datetime.date(2026, 1, 31), True, "a note")
    assert (outcome, values, previous) == ("unchanged", old, None)


def test_an_empty_cell_removes_the_old_value_with_the_option_clear(ann):
    import_parcels(FULL)

    outcome, values, previous = update_parcel(["ANN", "1", "1.5", "", "", ""], empty_cells="clear")

    assert outcome == "updated"
    assert values == ("1.50", None, True, "")  # A required boolean keeps its value.
    assert previous == [str(ann.pk), "1", "1.50", "2026-01-31", "true", "a note"]
    again = update_parcel(["ANN", "1", "1.5", "", "", ""], empty_cells="clear")
    assert again == ("unchanged", values, None)


@pytest.mark.parametrize(
    ("field", "cleared"), [("sent_on", "NULL"), ("note", "''"), ("fragile", None), ("state", None)]
)
def test_only_a_field_that_may_be_empty_can_be_cleared(field, cleared):
    assert _build_clear_sql(Parcel._meta.get_field(field)) == cleared


@pytest.mark.parametrize("empty_cells", ["keep", "clear"])
def test_a_column_that_the_file_lacks_never_removes_a_value(ann, empty_cells):
    import_parcels(FULL)

    outcome, values, previous = update_parcel(
        ["ANN", "1", "2.5"], HEADERS[:3], empty_cells=empty_cells
    )

    assert (outcome, values) == ("updated", ("2.50", datetime.date(2026, 1, 31), True, "a note"))
    assert previous[2] == "1.50"


def test_a_field_without_a_column_in_the_mapping_keeps_its_value(ann):
    import_parcels(FULL)
    row = make_csv([["ANN", "1", "1.5", "", "", ""]], HEADERS)
    fields = {"importer": "parcels", "on_duplicate": "update", "empty_cells": "clear"}
    job = check_job(make_job(row, check_first=True, **fields))

    lifecycle.check_again(job.pk, {"column_mapping": {"sent_on": None}})
    check_job(job)
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)

    parcel = Parcel.objects.get()
    assert (parcel.sent_on, parcel.note) == (datetime.date(2026, 1, 31), "")
