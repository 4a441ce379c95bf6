"""Compare the whole pipeline with a model of it in plain Python, on random files.

The environment variable ORACLE_FILES sets how many files each test generates, ORACLE_SEED the seed
of the first one.
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

FILE_COUNT = int(os.environ.get("ORACLE_FILES", "60"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
for_each_file = pytest.mark.parametrize("seed", range(SEED, SEED + FILE_COUNT))
NO_COUNTS = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed"), 0)
POLICIES = ("skip", "update", "fail")
FIRST_KEY = 10**6  # Of existing customers: larger than the keys that imports draw.
INVALID_CELLS = (  # One for each column, with its error code.
    ("", "required"),
    (None, "required"),
    ("\u200b", "required"),
    ("no", "email_without_at"),
    ("12", "phone_too_short"),
)


def make_random_row(generator, people):
    """Return a row with few different values, so that chains of repeated keys are common."""
    n = generator.randrange
    return {
        "shipping_mark": f"MARK {n(people)}",
        "first_name": f"Name{n(3)}",
        "last_name": "Mensah",
        "email": f"m{n(people)}@example.com" if n(3) else None,
        "phone": f"+23324{n(people):07d}",
    }


def make_cells(generator, row):
    """Return the row's cells as a person may type them, and their errors."""
    mark, first, last, email, phone = row.values()
    cells = [
        generator.choice([mark, mark.lower(), f" {mark}\u00a0"]),
        first,
        f"{last} " if generator.random() < 0.2 else last,
        generator.choice([email, email.upper(), f"<{email}>"])
        if email
        else generator.choice([None, " "]),
        generator.choice([phone, f"0{phone[4:]}", f"{phone[:4]} (0){phone[4:6]} {phone[6:]}"]),
    ]
    errors = []
    for index, (cell, code) in enumerate(INVALID_CELLS):
        if generator.random() < 0.03:
            cells[index] = cell
            errors.append((FIELDS[index], code))
    return cells, errors


class Case:
    """A random file, and random customers that exist before the import."""

    def __init__(self, seed):
        self.generator = generator = random.Random(seed)
        self.policy = POLICIES[seed % 3]
        self.empty_cells = "clear" if seed % 2 else "keep"
        self.people = generator.choice([5, 20, 60])
        rows = [make_random_row(generator, self.people) for _ in range(generator.randrange(1, 80))]
        cells_and_errors = [make_cells(generator, row) for row in rows]
        self.rows = {
            number: (row, errors)
            for number, (row, (_, errors)) in enumerate(
                zip(rows, cells_and_errors, strict=True), start=2
            )
        }
        cells = [cells for cells, _ in cells_and_errors]
        is_csv = generator.random() < 0.5
        self.content = make_csv(cells) if is_csv else make_workbook(HEADERS, *cells)
        self.table = oracle.Table(self.make_unrelated_records(generator.choice([0, 3, 15, 40])))
        for record_id, record in self.table.records.items():
            Customer.objects.create(pk=record_id + FIRST_KEY, **record)

    def make_unrelated_records(self, count):
        """Return at most `count` records that share no key with each other or with customers."""
        table = oracle.Table(map(dict, Customer.objects.values(*FIELDS)))
        existing = len(table.records)
        for _ in range(count):
            row = make_random_row(self.generator, self.people)
            if not table.find_holders(row):
                table.add(row)
        return list(table.records.values())[existing:]

    def change_customers(self):
        """Delete, add and edit customers, as other users do between the check and the writing."""
        generator, records = self.generator, self.table.records
        for record_id in generator.sample(sorted(records), len(records) // 4):
            del records[record_id]
            Customer.objects.filter(pk=record_id + FIRST_KEY).delete()
        for row in self.make_unrelated_records(generator.choice([1, 5, 10])):
            Customer.objects.create(pk=self.table.add(row) + FIRST_KEY, **row)
        for record_id in generator.sample(sorted(records), len(records) // 4):
            records[record_id]["first_name"] = "Edited"
            Customer.objects.filter(pk=record_id + FIRST_KEY).update(first_name="Edited")

    def apply_oracle(self, results, batches):
        return oracle.apply(self.rows, results, self.table, self.policy, batches, self.empty_cells)

    def check(self):
        """Import the file with the options of this case, as far as the check."""
        options = {"on_duplicate": self.policy, "empty_cells": self.empty_cells}
        return check_job(make_job(self.content, **options))

    def assert_complete(self, job):
        assert job.status == "COMPLETE"
        assert job.processed == job.total == len(self.rows)
        assert get_counts(job) == NO_COUNTS | Counter(get_outcomes(job).values()) | {
            "processed": job.total
        }

    def assert_agrees(self, job, verdicts):
        self.assert_complete(job)
        assert dict(sorted(get_outcomes(job).items())) == {
            number: verdict.outcome for number, verdict in verdicts.items()
        }
        rows = {row.number: row for row in job.rows.all()}
        for number, verdict in verdicts.items():
            assert get_errors(rows[number]) == verdict.errors
            assert verdict.previous_values == (
                rows[number].previous_values and tuple(rows[number].previous_values)
            )
        assert sorted(Customer.objects.values_list(*FIELDS), key=str) == self.table.list_records()


def get_errors(row):
    return tuple(
        (error["column"], error["code"], error["params"].get("row", error["params"].get("count")))
        for error in row.errors or ()
    )


@for_each_file
def test_every_row_has_the_result_of_the_oracle(seed):
    case = Case(seed)

    job = apply_all_batches(case.check().pk)

    results = oracle.check(case.rows, case.table, case.policy)
    case.assert_agrees(job, case.apply_oracle(results, [case.rows]))


@for_each_file
def test_changes_by_others_between_the_check_and_the_writing_are_respected(seed):
    """Each row has the result of writing whole batches, or of writing rows one by one.

    The two differ only under the policy `update`: a batch that meets a duplicate key is halved, so
    an update may release a key for a later row.
    """
    case = Case(seed)

    job = case.check()
    results = oracle.check(case.rows, case.table, case.policy)
    case.change_customers()
    batches = [
        range(first, last + 1)
        for first, last in job.batches.order_by("number").values_list("first_row", "last_row")
    ]
    job = apply_all_batches(job.pk)

    one_by_one = deepcopy(case).apply_oracle(results, [[number] for number in case.rows])
    in_batches = case.apply_oracle(results, batches)
    if one_by_one == in_batches:
        case.assert_agrees(job, in_batches)
    else:
        assert case.policy == "update"
        case.assert_complete(job)
        assert all(
            outcome in (one_by_one[number].outcome, in_batches[number].outcome)
            for number, outcome in get_outcomes(job).items()
        )
