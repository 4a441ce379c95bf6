"""The exact result of an import of a sample file, row by row, computed without the pipeline."""

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from customers import sample_data
from customers.models import Customer
from imports.ledger import check_ledger
from imports.models import ImportAttempt
from imports.statuses import Outcome, Status
from tests.database import connection
from tests.factories import get_counts, get_outcomes
from tests.test_sample_data import UNIQUE_COLUMNS, clean_row

FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")  # As sample_data.COLUMNS.
COUNT_OPEN_STEPS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'imports step%%'
   AND state <> 'idle'
"""


class Sample(NamedTuple):
    content: bytes
    name: str
    rows: dict[int, tuple | None]  # Row number to the customer that it creates; None if it fails.

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
    """Return the customers that the rows create in an empty table.

    A kept row takes its keys, and a later row with one of these keys fails.
    """
    rows, taken = {}, set()
    for number, row in enumerate(sample_data.generate_rows(count, seed), start=2):
        if row:
            values = clean_row(row, seed)
            keys = (
                {(column, values[column]) for column in UNIQUE_COLUMNS if values[column]}
                if values
                else ()
            )
            is_kept = values and not taken.intersection(keys)
            taken |= keys if is_kept else set()
            customer = tuple(values[column] for column in sample_data.COLUMNS) if is_kept else None
            rows[number] = customer
    return rows


def assert_exact(jobs_and_samples):
    """Assert that the imports are complete, and that all customers come from them.

    Each row must have its expected outcome, and each expected customer must be in the table.
    """
    for job, sample in jobs_and_samples.items():
        job.refresh_from_db()
        expected = {
            number: Outcome.CREATED if customer else Outcome.FAILED
            for number, customer in sample.rows.items()
        }
        assert (job.status, job.error_code) == (Status.COMPLETE, None)
        assert job.total == len(expected)
        assert get_outcomes(job) == expected
        no_rows = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed"), 0)
        expected_counts = no_rows | Counter(expected.values()) | {"processed": len(expected)}
        assert get_counts(job) == expected_counts
        assert_ledger(job)
    customers = [customer for sample in jobs_and_samples.values() for customer in sample.customers]
    assert sort_by_mark(Customer.objects.values_list(*FIELDS)) == sort_by_mark(customers)


def assert_ledger(job):
    """Assert that the counts of the import agree with its rows, batches and records."""
    report = check_ledger(job)
    assert report.violations == []
    assert report.information == []  # Also no record is missing.


def sort_by_mark(customers):
    return sorted(customers, key=lambda customer: customer[0])


def assert_no_attempts_left():
    assert not ImportAttempt.objects.exists()


def count_open_steps():
    """Return how many sessions are inside a short transaction of the pipeline."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_OPEN_STEPS)
        return cursor.fetchone()[0]
