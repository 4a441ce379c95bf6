"""Undo, compared with a model in plain Python: random imports, edits, references and deletions.

The environment variables ORACLE_FILES and ORACLE_SEED are those of `tests.test_oracle`.
"""

from copy import deepcopy

import pytest

from customers.models import Customer
from imports import lifecycle
from tests.factories import apply_all_batches, get_outcomes
from tests.oracle import FIELDS, KEYS, merge_row
from tests.parcels.models import Visit
from tests.test_batch_applier import replan_batches
from tests.test_oracle import GeneratedCase, every_file
from tests.test_undo import get_kept, get_undo_counts, undo_import

pytestmark = pytest.mark.django_db(transaction=True)


def read_customers():
    """Return the imported fields of the customers, by primary key."""
    return {
        pk: dict(zip(FIELDS, values, strict=False))
        for pk, *values in Customer.objects.values_list("pk", *FIELDS)
    }


def change_randomly(rng, written):
    """Edit, delete and refer to some of the records that the import has written, and add others."""
    for pk in written:
        match rng.randrange(8):
            case 0:
                field = rng.choice(FIELDS)
                Customer.objects.filter(pk=pk).update(**{field: f"edited {pk}"})
            case 1:
                Customer.objects.filter(pk=pk).delete()
            case 2:
                Visit.objects.create(customer_id=pk)


def take_previous_value(rng, previous):
    """Create a customer with one of the values that a record had before the import."""
    customers = read_customers()
    for values in previous:
        key = rng.choice(KEYS)
        taken = {customer[key] for customer in customers.values()}
        if values[key] and values[key] not in taken and rng.random() < 0.3:
            number = len(customers)
            others = {"shipping_mark": f"NEW {number}", "email": None, "phone": f"new {number}"}
            record = Customer.objects.create(first_name="N", **(others | {key: values[key]}))
            customers[record.pk] = {field: getattr(record, field) for field in FIELDS}


class Rows:
    """The written rows of an import, in plain Python."""

    def __init__(self, case, job):
        outcomes = get_outcomes(job)
        rows = job.rows.order_by("number")
        self.created = {
            row.number: (int(row.target_id), dict(zip(FIELDS, row.cleaned, strict=False)))
            for row in rows
            if outcomes[row.number] == "created"
        }
        self.updated = {
            row.number: (
                int(row.target_id),
                (before := dict(zip(FIELDS, row.previous_values, strict=False))),
                merge_row(dict(zip(FIELDS, row.cleaned, strict=False)), before, case.empty_cells),
            )
            for row in rows
            if outcomes[row.number] == "updated"
        }

    @property
    def written(self):
        return [pk for pk, *_ in [*self.created.values(), *self.updated.values()]]


def undo_in_model(rows, table, referred_to):
    """Undo the rows in the order in which nothing blocks them; return the reasons of the rest."""
    reasons, left = {}, []
    for number, (pk, *_, written) in {**rows.created, **rows.updated}.items():
        if pk not in table:
            reasons[number] = "deleted"
        elif table[pk] != written:
            reasons[number] = "edited"
        elif number in rows.created and pk in referred_to:
            reasons[number] = "referred_to"
        else:
            left.append(number)
    has_changed = True
    while has_changed:
        has_changed = False
        for number in list(left):
            if number in rows.created:
                del table[rows.created[number][0]]
            else:
                pk, before, _ = rows.updated[number]
                others = [record for key, record in table.items() if key != pk]
                if any(
                    before[key] and before[key] == other[key] for other in others for key in KEYS
                ):
                    continue
                table[pk] = before
            left.remove(number)
            has_changed = True
    return reasons | dict.fromkeys(left, "values_taken")


@every_file
def test_undo_has_the_results_of_the_model(seed):
    case = GeneratedCase(seed)
    case.policy = "update" if seed % 4 else case.policy
    job = case.check_job()
    replan_batches(job, rows=case.rng.choice([1, 3, 7, 100]))
    job = apply_all_batches(job.pk)
    rows = Rows(case, job)
    if not rows.written:
        assert not lifecycle.can_undo(job)
        return
    change_randomly(case.rng, rows.written)
    take_previous_value(case.rng, [before for _, before, _ in rows.updated.values()])
    table = read_customers()
    referred_to = set(Visit.objects.values_list("customer_id", flat=True))
    expected_table = deepcopy(table)
    expected = undo_in_model(rows, expected_table, referred_to)

    preview = lifecycle.preview_undo(job)
    undo_import(job)

    assert get_kept(job) == dict(sorted(expected.items()))
    removed = len(rows.created.keys() - expected.keys())
    restored = len(rows.updated.keys() - expected.keys())
    assert get_undo_counts(job) == (removed, restored, len(expected))
    assert read_customers() == expected_table
    assert (preview["removed"], preview["restored"], preview["kept"]) == get_undo_counts(job)
    assert set(Visit.objects.values_list("customer_id", flat=True)) == referred_to
