"""Values of fields that no column fills: `Importer.values`."""

import datetime
from decimal import Decimal

import pytest
from django.db import OperationalError

from customers.models import Customer
from imports import importer as registry
from imports import lifecycle
from imports.checks import list_importer_messages
from imports.error_messages import describe_job_error
from imports.importer import Column, Importer
from imports.models import ImportJob
from imports.pipeline import batch_applier, field_values, file_checker
from imports.pipeline.transactions import TransientError
from imports.preview import build_preview
from imports.statuses import Status
from tests.factories import (
    apply_all_batches,
    check_job,
    get_outcomes,
    make_csv,
    make_job,
    run_import,
)
from tests.parcels.models import Parcel

pytestmark = pytest.mark.django_db(transaction=True)

HEADERS = ["Number", "Weight"]
MOMENT = datetime.datetime(2026, 1, 31, 14, 30, tzinfo=datetime.UTC)


class CustomerParcels(Importer):
    """The parcels of one customer, who is not in the file."""

    name = "customer_parcels"
    model = Parcel
    columns = (Column("number", required=True), Column("weight", required=True))


@pytest.fixture
def ann():
    return make_customer("ANN", "+233244000001")


@pytest.fixture
def bea():
    return make_customer("BEA", "+233244000002")


def make_customer(mark, phone):
    return Customer.objects.create(shipping_mark=mark, first_name="A", last_name="A", phone=phone)


@pytest.fixture
def use_values(monkeypatch):
    """Return a function that registers the importer with these values, or with this function."""

    def use(values):
        function = values if callable(values) else lambda context: values
        importer = type("WithValues", (CustomerParcels,), {"values": staticmethod(function)})
        monkeypatch.setitem(registry._registered, importer.name, importer)
        return importer

    return use


def import_rows(*rows, **fields):
    return run_import(make_csv(rows, HEADERS), importer="customer_parcels", **fields)


def test_new_records_get_the_values(ann, use_values):
    use_values({"customer": ann, "note": 'a "b" \\ %s {x}', "sent_on": datetime.date(2026, 1, 31)})

    job = import_rows(["1", "2.5"], ["2", "3"])

    assert job.status == Status.COMPLETE
    assert set(Parcel.objects.values_list("customer", "number", "weight", "sent_on", "note")) == {
        (ann.pk, 1, Decimal("2.50"), datetime.date(2026, 1, 31), 'a "b" \\ %s {x}'),
        (ann.pk, 2, Decimal("3.00"), datetime.date(2026, 1, 31), 'a "b" \\ %s {x}'),
    }


@pytest.mark.parametrize("name", ["customer", "customer_id"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_foreign_key_takes_a_key(ann, use_values, name, as_text):
    use_values({name: str(ann.pk) if as_text else ann.pk})

    import_rows(["1", "1"])

    assert Parcel.objects.get().customer == ann


def test_a_value_of_none_is_stored_instead_of_the_default(ann, use_values):
    use_values({"customer": ann, "sent_on": None, "made_at": MOMENT})

    import_rows(["1", "1"])

    assert (Parcel.objects.get().sent_on, Parcel.objects.get().made_at) == (None, MOMENT)


def test_the_context_has_the_import_and_its_owner(ann, alice, use_values):
    seen = []
    use_values(lambda context: seen.append(context) or {"customer": ann})

    job = import_rows(["1", "1"], owner=alice)

    assert [(context.import_id, context.user) for context in seen] == [(job.pk, alice)]


def test_the_owner_is_none_if_the_user_was_deleted(ann, alice, use_values):
    seen = []
    use_values(lambda context: seen.append(context.user) or {"customer": ann})
    job = make_job(make_csv([["1", "1"]], HEADERS), importer="customer_parcels", owner=alice)
    alice.delete()

    assert check_job(job).status == Status.RUNNING
    assert seen == [None]


# --- Unique constraints over values and columns -------------------------------


def test_a_duplicate_has_the_same_value_and_the_same_column(ann, bea, use_values):
    Parcel.objects.create(customer=bea, number=1, weight=1)
    Parcel.objects.create(customer=ann, number=2, weight=1)
    use_values({"customer": ann})

    job = import_rows(["1", "5"], ["2", "5"], ["3", "5"], ["3", "6"])

    assert get_outcomes(job) == {2: "created", 3: "skipped", 4: "created", 5: "failed"}
    assert [e["code"] for e in job.rows.get(number=5).errors] == ["repeats_row"]
    assert [(e["field"], e["code"]) for e in job.rows.get(number=3).errors] == [
        ("number", "exists")
    ]


def test_an_update_finds_the_record_and_keeps_its_values(ann, bea, use_values):
    theirs = Parcel.objects.create(customer=bea, number=1, weight=1)
    own = Parcel.objects.create(customer=ann, number=1, weight=1, note="kept")
    use_values({"customer": ann, "note": "new"})

    job = import_rows(["1", "5"], ["2", "5"], on_duplicate="update")

    assert get_outcomes(job) == {2: "updated", 3: "created"}
    own.refresh_from_db()
    theirs.refresh_from_db()
    assert (own.weight, own.note, theirs.weight) == (5, "kept", 1)
    assert Parcel.objects.get(number=2).note == "new"


def test_a_record_that_appears_after_the_check_is_a_duplicate(ann, use_values):
    use_values({"customer": ann})
    job = check_job(make_job(make_csv([["1", "5"]], HEADERS), importer="customer_parcels"))
    Parcel.objects.create(customer=ann, number=1, weight=1)

    batch_applier.apply_batch(job.pk, 1)

    assert get_outcomes(job) == {2: "skipped"}


def test_a_preview_compares_with_the_records_of_the_value(ann, bea, root, use_values):
    Parcel.objects.create(customer=bea, number=1, weight=1)
    Parcel.objects.create(customer=ann, number=1, weight=1)
    use_values({"customer": ann})
    content = make_csv([["1", "5"], ["2", "5"]], HEADERS)
    job = check_job(
        make_job(content, importer="customer_parcels", on_duplicate="update", check_first=True)
    )

    preview = build_preview(job, root)

    assert (preview["updated"], preview["created"]) == (1, 1)


# --- When they are computed ---------------------------------------------------


def make_counter(customer):
    calls = []

    def values(context):
        calls.append(context)
        return {"customer": customer, "note": f"call {len(calls)}"}

    return calls, values


def test_all_batches_of_an_import_get_the_same_values(ann, use_values, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 3
    calls, values = make_counter(ann)
    use_values(values)

    job = import_rows(*([str(n), "1"] for n in range(150)))

    assert job.batches.count() > 1
    assert set(Parcel.objects.values_list("note", flat=True)) == {"call 1"}
    assert len(calls) == 1


def test_a_reader_that_continues_a_check_keeps_the_values(ann, use_values):
    calls, values = make_counter(ann)
    use_values(values)
    content = make_csv([[str(n), "1"] for n in range(2_000)], HEADERS)
    job = make_job(content, importer="customer_parcels")
    stopped = check_job(job, should_stop=lambda: True)
    assert 0 < stopped.cursor_row < 2_000

    apply_all_batches(check_job(job).pk)

    assert len(calls) == 1
    assert Parcel.objects.filter(note="call 1").count() == 2_000


def test_a_file_that_is_checked_again_gets_new_values(ann, use_values):
    _, values = make_counter(ann)
    use_values(values)
    content = make_csv([["1", "1"]], HEADERS)
    job = check_job(make_job(content, importer="customer_parcels", check_first=True))

    lifecycle.check_again(job.pk, {"on_duplicate": "fail"})
    check_job(job)
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)

    assert Parcel.objects.get().note == "call 2"


def test_a_second_reader_does_not_replace_the_values(ann, use_values, monkeypatch):
    importer = use_values({"customer": ann})
    job = file_checker.acquire_lease(
        make_job(make_csv([["1", "1"]], HEADERS), importer="customer_parcels").pk
    )
    first, second = ImportJob.objects.get(pk=job.pk), ImportJob.objects.get(pk=job.pk)
    file_checker._store_field_values(first, importer)

    with pytest.raises(file_checker.JobNotActive):
        file_checker._store_field_values(second, importer)


# --- Mistakes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"custmer": 1}, ["custmer", "customer"]),
        ({"customer": 1, "number": 5}, ["number"]),
        ({"customer": 1, "id": 5}, ["id"]),
        ({"customer": None}, ["customer"]),
        ({}, ["customer"]),
        ({"customer": 10**6}, ["customer"]),
        ({"customer": 1, "sent_on": "never"}, ["sent_on"]),
        ({"customer": 1, "state": "much longer than allowed"}, ["state"]),
        ({"customer": Parcel()}, ["customer"]),
        ({"customer": 1, "note": Parcel()}, ["note"]),
    ],
)
def test_wrong_values_fail_the_import_and_name_the_fields(ann, use_values, caplog, values, fields):
    if values.get("customer") == 1:
        values = values | {"customer": ann.pk}
    use_values(values)

    job = import_rows(["1", "1"])

    assert (job.status, job.error_code) == (Status.FAILED, "invalid_values")
    assert job.error_params == {"fields": fields}
    assert all(f"values for import {job.pk}: {name}:" in caplog.text for name in fields)
    assert f"no column fills: {', '.join(fields)}." in describe_job_error(
        job.error_code, job.error_params
    )


@pytest.mark.parametrize("result", [None, [], "", 5])
def test_values_of_a_wrong_type_fail_the_import(use_values, caplog, result):
    importer = use_values(lambda context: result)

    job = import_rows(["1", "1"])

    rule, returned = f"{__name__}.{importer.values.__qualname__}", type(result).__name__
    assert job.error_code == "wrong_values_result"
    assert job.error_params == {"rule": rule, "returned": returned}
    assert f"wrong result (rule: {rule}, returned: {returned})" in caplog.text
    assert describe_job_error(job.error_code, job.error_params) == (
        f"The function {rule} returned a value of the type {returned}, but it must return a "
        "dictionary. Contact an administrator: the importer must be corrected."
    )


def test_an_exception_fails_the_import_without_personal_data_in_the_log(use_values, caplog):
    phone = "+233244000000"

    def values(context):
        raise LookupError(phone)

    use_values(values)

    job = import_rows(["1", "1"])

    assert (job.error_code, job.error_params) == ("values_failed", {"error": "LookupError"})
    assert "in values" in caplog.text
    assert str(job.pk) in caplog.text
    assert phone not in caplog.text


def test_a_lost_connection_does_not_fail_the_import(ann, use_values, monkeypatch):
    def values(context):
        error = OperationalError()
        error.__cause__ = Exception()  # As psycopg's error without an SQLSTATE.
        raise error

    use_values(values)
    job = make_job(make_csv([["1", "1"]], HEADERS), importer="customer_parcels")

    with pytest.raises(TransientError):
        check_job(job)

    use_values({"customer": ann})
    assert check_job(job).status == Status.RUNNING


def test_the_system_check_leaves_required_fields_to_the_values(use_values):
    # Without a value for the customer, no unique constraint is a key either.
    found = [message.id for message in list_importer_messages(CustomerParcels)]
    assert found == ["imports.W002", "imports.E005"]

    assert list_importer_messages(use_values({})) == []


def test_an_importer_without_values_stores_none():
    job = check_job(make_job(b"Number,Weight,Mark\n1,1,NOBODY\n", importer="parcels"))

    assert job.field_values is None
    assert field_values._cast_to_text({}) == {}
