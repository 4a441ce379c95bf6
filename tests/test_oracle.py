"""The whole pipeline against a model of plain Python, one row after another.

ORACLE_FILES sets how many files are generated for each test; ORACLE_SEED where the
numbering begins.
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
from tests.spreadsheets import make_workbook as workbook

pytestmark = pytest.mark.django_db(transaction=True)

FILES = int(os.environ.get("ORACLE_FILES", "60"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
every_file = pytest.mark.parametrize("seed", range(SEED, SEED + FILES))
NOTHING = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed"), 0)
POLICIES = ("skip", "update", "fail")
PK = 10**6  # Far from the keys that imports draw.
FAULTS = (  # A bad cell of each column, and its error.
    *(("", "required"), (None, "required"), ("\u200b", "required")),
    *(("no", "email_without_at"), ("12", "phone_too_short")),
)


def random_row(dice, people):
    """A row from few values, so that chains of repeats over all three columns are common."""
    n = dice.randrange
    return {
        "shipping_mark": f"MARK {n(people)}",
        "first_name": f"Name{n(3)}",
        "last_name": "Mensah",
        "email": f"m{n(people)}@example.com" if n(3) else None,
        "phone": f"+23324{n(people):07d}",
    }


def spelled(dice, row):
    """The row as somebody typed it, and what is wrong with it."""
    mark, first, last, email, phone = row.values()
    cells = [
        dice.choice([mark, mark.lower(), f" {mark}\u00a0"]),
        first,
        f"{last} " if dice.random() < 0.2 else last,
        dice.choice([email, email.upper(), f"<{email}>"]) if email else dice.choice([None, " "]),
        dice.choice([phone, f"0{phone[4:]}", f"{phone[:4]} (0){phone[4:6]} {phone[6:]}"]),
    ]
    faults = []
    for place, (bad, code) in enumerate(FAULTS):
        if dice.random() < 0.03:
            cells[place] = bad
            faults.append((FIELDS[place], code))
    return cells, faults


class Case:
    """A file of few people, and customers who were there before."""

    def __init__(self, seed):
        self.dice = dice = random.Random(seed)
        self.policy = POLICIES[seed % 3]
        self.empty_cells = "clear" if seed % 2 else "keep"
        self.people = dice.choice([5, 20, 60])
        rows = [random_row(dice, self.people) for _ in range(dice.randrange(1, 80))]
        typed = [spelled(dice, row) for row in rows]
        self.rows = {
            number: (row, faults)
            for number, (row, (_, faults)) in enumerate(zip(rows, typed, strict=True), start=2)
        }
        cells = [cells for cells, _ in typed]
        as_csv = dice.random() < 0.5
        self.content = make_csv(cells) if as_csv else workbook(HEADERS, *cells)
        self.table = oracle.Table(self.strangers(dice.choice([0, 3, 15, 40])))
        for name, record in self.table.records.items():
            Customer.objects.create(pk=name + PK, **record)

    def strangers(self, count):
        """So many people at most who share no key with each other or with who is there."""
        table = oracle.Table(map(dict, Customer.objects.values(*FIELDS)))
        there = len(table.records)
        for _ in range(count):
            row = random_row(self.dice, self.people)
            if not table.holders(row):
                table.add(row)
        return list(table.records.values())[there:]

    def meanwhile(self):
        """Others delete, add and edit customers between the check and the writing."""
        dice, records = self.dice, self.table.records
        for name in dice.sample(sorted(records), len(records) // 4):
            del records[name]
            Customer.objects.filter(pk=name + PK).delete()
        for row in self.strangers(dice.choice([1, 5, 10])):
            Customer.objects.create(pk=self.table.add(row) + PK, **row)
        for name in dice.sample(sorted(records), len(records) // 4):
            records[name]["first_name"] = "Edited"
            Customer.objects.filter(pk=name + PK).update(first_name="Edited")

    def written(self, judged, spans):
        return oracle.written(self.rows, judged, self.table, self.policy, spans, self.empty_cells)

    def check(self):
        """The file, checked as an import with these options."""
        options = {"on_duplicate": self.policy, "empty_cells": self.empty_cells}
        return check_job(make_job(self.content, **options))

    def assert_complete(self, job):
        assert job.status == "COMPLETE"
        assert job.processed == job.total == len(self.rows)
        assert get_counts(job) == NOTHING | Counter(get_outcomes(job).values()) | {
            "processed": job.total
        }

    def assert_agrees(self, job, verdicts):
        self.assert_complete(job)
        assert dict(sorted(get_outcomes(job).items())) == {
            number: verdict.outcome for number, verdict in verdicts.items()
        }
        rows = {row.number: row for row in job.rows.all()}
        for number, verdict in verdicts.items():
            assert errors_of(rows[number]) == verdict.errors
            assert verdict.before == (
                rows[number].previous_values and tuple(rows[number].previous_values)
            )
        assert sorted(Customer.objects.values_list(*FIELDS), key=str) == self.table.rows()


def errors_of(row):
    return tuple(
        (error["column"], error["code"], error["params"].get("row", error["params"].get("count")))
        for error in row.errors or ()
    )


@every_file
def test_every_row_becomes_what_the_oracle_says(seed):
    case = Case(seed)

    job = apply_all_batches(case.check().pk)

    judged = oracle.settled(case.rows, case.table, case.policy)
    case.assert_agrees(job, case.written(judged, [case.rows]))


@every_file
def test_what_others_do_between_the_check_and_the_writing_is_seen(seed):
    """Where a batch and its rows one by one come to the same, it is that; else one or the other.

    A batch that meets a clash is halved, so an update may set a key free for a later row.
    """
    case = Case(seed)

    job = case.check()
    judged = oracle.settled(case.rows, case.table, case.policy)
    case.meanwhile()
    spans = [
        range(first, last + 1)
        for first, last in job.batches.order_by("number").values_list("first_row", "last_row")
    ]
    job = apply_all_batches(job.pk)

    one_by_one = deepcopy(case).written(judged, [[number] for number in case.rows])
    in_batches = case.written(judged, spans)
    if one_by_one == in_batches:
        case.assert_agrees(job, in_batches)
    else:
        assert case.policy == "update"
        case.assert_complete(job)
        found = dict(sorted(get_outcomes(job).items()))
        assert all(
            outcome in (one_by_one[number].outcome, in_batches[number].outcome)
            for number, outcome in found.items()
        )
