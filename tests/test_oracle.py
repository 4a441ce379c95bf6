"""The whole pipeline, compared with the model in `tests/oracle.py`.

The environment variable ORACLE_FILES sets the number of files that are generated for each
test, ORACLE_SEED the seed of the first file.
"""

import os
import random
from collections import Counter
from copy import deepcopy

import pytest

from customers.models import Customer
from tests import oracle
from tests.factories import (
    HEADERS,
    apply_all_batches,
    check_job,
    get_counts,
    get_outcomes,
    make_csv,
    make_job,
)
from tests.oracle import FIELDS
from tests.spreadsheets import make_workbook

pytestmark = pytest.mark.django_db(transaction=True)

FILES = int(os.environ.get("ORACLE_FILES", "60"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
every_file = pytest.mark.parametrize("seed", range(SEED, SEED + FILES))
NO_COUNTS = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed"), 0)
POLICIES = ("skip", "update", "fail")
FIRST_PK = 10**6  # Far above the keys of customers that an import creates.
BAD_CELLS = (  # An invalid cell of each column, and the code of its error.
    ("", "required"),
    (None, "required"),
    ("\u200b", "required"),
    ("no", "email_without_at"),
    ("12", "phone_too_short"),
)


def make_random_row(rng, key_count):
    """Make a row whose keys are among `key_count` values each.

    The few values make chains of duplicates over all three key columns common.
    """
    randrange = rng.randrange
    return {
        "shipping_mark": f"MARK {randrange(key_count)}",
        "first_name": f"Name{randrange(3)}",
        "last_name": "Mensah",
        "email": f"m{randrange(key_count)}@example.com" if randrange(3) else None,
        "phone": f"+23324{randrange(key_count):07d}",
    }


def type_row(rng, row):
    """Return the cells of the row in one of their spellings, and the errors in them."""
    mark, first, last, email, phone = row.values()
    cells = [
        rng.choice([mark, mark.lower(), f" {mark}\u00a0"]),
        first,
        f"{last} " if rng.random() < 0.2 else last,
        rng.choice([email, email.upper(), f"<{email}>"]) if email else rng.choice([None, " "]),
        rng.choice([phone, f"0{phone[4:]}", f"{phone[:4]} (0){phone[4:6]} {phone[6:]}"]),
    ]
    errors = []
    for column, (bad_cell, code) in enumerate(BAD_CELLS):
        if rng.random() < 0.03:
            cells[column] = bad_cell
            errors.append((FIELDS[column], code))
    return cells, errors


class GeneratedCase:
    """A random file, and customers that exist before its import."""

    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        self.policy = POLICIES[seed % 3]
        self.empty_cells = "clear" if seed % 2 else "keep"
        self.key_count = rng.choice([5, 20, 60])
        rows = [make_random_row(rng, self.key_count) for _ in range(rng.randrange(1, 80))]
        typed_rows = [type_row(rng, row) for row in rows]
        self.rows = {
            number: (row, errors)
            for number, (row, (_, errors)) in enumerate(zip(rows, typed_rows, strict=True), start=2)
        }
        cells = [cells for cells, _ in typed_rows]
        is_csv = rng.random() < 0.5
        self.content = make_csv(cells) if is_csv else make_workbook(HEADERS, *cells)
        self.table = oracle.CustomerTable(self.make_unrelated_customers(rng.choice([0, 3, 15, 40])))
        for record_id, record in self.table.records.items():
            Customer.objects.create(pk=record_id + FIRST_PK, **record)

    def make_unrelated_customers(self, max_count):
        """Make customers that share no key with each other or with an existing customer."""
        table = oracle.CustomerTable(map(dict, Customer.objects.values(*FIELDS)))
        existing_count = len(table.records)
        for _ in range(max_count):
            row = make_random_row(self.rng, self.key_count)
            if not table.find_matches(row):
                table.add(row)
        return list(table.records.values())[existing_count:]

    def change_customers(self):
        """Delete, add and edit customers, in the database and in the model."""
        rng, records = self.rng, self.table.records
        for record_id in rng.sample(sorted(records), len(records) // 4):
            del records[record_id]
            Customer.objects.filter(pk=record_id + FIRST_PK).delete()
        for row in self.make_unrelated_customers(rng.choice([1, 5, 10])):
            Customer.objects.create(pk=self.table.add(row) + FIRST_PK, **row)
        for record_id in rng.sample(sorted(records), len(records) // 4):
            records[record_id]["first_name"] = "Edited"
            Customer.objects.filter(pk=record_id + FIRST_PK).update(first_name="Edited")

    def apply_rows(self, decisions, batches):
        return oracle.apply_rows(
            self.rows, decisions, self.table, self.policy, batches, self.empty_cells
        )

    def check_job(self):
        """Import the file up to the end of the check. Return the job."""
        options = {"on_duplicate": self.policy, "empty_cells": self.empty_cells}
        return check_job(make_job(self.content, **options))

    def assert_complete(self, job):
        assert job.status == "COMPLETE"
        assert job.processed == job.total == len(self.rows)
        assert get_counts(job) == NO_COUNTS | Counter(get_outcomes(job).values()) | {
            "processed": job.total
        }

    def assert_matches(self, job, results):
        self.assert_complete(job)
        assert dict(sorted(get_outcomes(job).items())) == {
            number: result.outcome for number, result in results.items()
        }
        rows = {row.number: row for row in job.rows.all()}
        for number, result in results.items():
            assert get_errors(rows[number]) == result.errors
            assert result.previous_values == (
                rows[number].previous_values and tuple(rows[number].previous_values)
            )
        assert sorted(Customer.objects.values_list(*FIELDS), key=str) == self.table.list_values()


def get_errors(row):
    return tuple(
        (error["field"], error["code"], error["params"].get("row", error["params"].get("count")))
        for error in row.errors or ()
    )


@every_file
def test_every_row_has_the_result_of_the_model(seed):
    case = GeneratedCase(seed)

    job = apply_all_batches(case.check_job().pk)

    decisions = oracle.check_rows(case.rows, case.table, case.policy)
    case.assert_matches(job, case.apply_rows(decisions, [case.rows]))


@every_file
def test_changes_between_the_check_and_the_writing_are_noticed(seed):
    """The results are those of whole batches or those of single rows.

    A batch is split in halves when it violates a constraint. An update in one half may then
    free a key for a row in the other half. Where both orders lead to the same results, the
    import must have these.
    """
    case = GeneratedCase(seed)

    job = case.check_job()
    decisions = oracle.check_rows(case.rows, case.table, case.policy)
    case.change_customers()
    batches = [
        range(first, last + 1)
        for first, last in job.batches.order_by("number").values_list("first_row", "last_row")
    ]
    job = apply_all_batches(job.pk)

    one_by_one = deepcopy(case).apply_rows(decisions, [[number] for number in case.rows])
    in_batches = case.apply_rows(decisions, batches)
    if one_by_one == in_batches:
        case.assert_matches(job, in_batches)
    else:
        assert case.policy == "update"
        case.assert_complete(job)
        outcomes = get_outcomes(job)
        assert all(
            outcome in (one_by_one[number].outcome, in_batches[number].outcome)
            for number, outcome in outcomes.items()
        )
