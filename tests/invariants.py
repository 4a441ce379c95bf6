"""What an import of a sample must have left, row by row, known without importing it."""

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from django.db import connection

from customers import sample_data
from customers.models import Customer
from imports.models import ImportAttempt
from imports.statuses import Outcome, Status
from tests.factories import get_counts, get_outcomes
from tests.test_sample_data import UNIQUE_COLUMNS, clean_row

FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")  # As samples.COLUMNS.
IN_A_STEP = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'imports step%%'
   AND state <> 'idle'
"""


class Sample(NamedTuple):
    content: bytes
    name: str
    rows: dict[int, tuple | None]  # The customer each becomes; None where it is refused.

    @property
    def customers(self):
        return [customer for customer in self.rows.values() if customer]


@cache
def make_sample(count=2_000, seed=1, name="customers.csv"):
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        sample_data.write_sample(path, count, seed)
        return Sample(path.read_bytes(), name, get_expected_rows(count, seed))


def get_expected_rows(count, seed):
    """Row after row into nothing: a kept row takes its keys, and who repeats one is refused."""
    rows, taken = {}, set()
    for number, row in enumerate(sample_data.generate_rows(count, seed), start=2):
        if row:
            values = clean_row(row, seed)
            keys = (
                {(column, values[column]) for column in UNIQUE_COLUMNS if values[column]}
                if values
                else ()
            )
            kept = values and not taken.intersection(keys)
            taken |= keys if kept else set()
            rows[number] = tuple(values[column] for column in sample_data.COLUMNS) if kept else None
    return rows


def assert_exact(jobs_and_samples):
    """These imports, and no other, are complete: each row has its outcome, each customer is in."""
    for job, sent in jobs_and_samples.items():
        job.refresh_from_db()
        expected = {
            number: Outcome.CREATED if customer else Outcome.FAILED
            for number, customer in sent.rows.items()
        }
        assert (job.status, job.error_code) == (Status.COMPLETE, None)
        assert job.total == len(expected)
        assert get_outcomes(job) == expected
        tally = Counter(expected.values())
        nothing = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed"), 0)
        assert get_counts(job) == nothing | tally | {"processed": len(expected)}
    sent = [customer for sample in jobs_and_samples.values() for customer in sample.customers]
    assert sorted_by_mark(Customer.objects.values_list(*FIELDS)) == sorted_by_mark(sent)


def sorted_by_mark(customers):
    return sorted(customers, key=lambda customer: customer[0])


def assert_no_attempts_left():
    assert not ImportAttempt.objects.exists()


def count_open_steps():
    with connection.cursor() as cursor:
        cursor.execute(IN_A_STEP)
        return cursor.fetchone()[0]
