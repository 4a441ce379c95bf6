"""The exact result of an import of a sample file, row by row, computed without the pipeline."""

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
from django.conf import settings
from redis import Redis

from customers import sample_data
from customers.models import Customer
from imports.actors import QUEUES
from imports.advisory_locks import CHECK_COMPLETION, MAINTENANCE, TARGET_TABLE
from imports.ledger import check_ledger
from imports.models import ImportAttempt
from imports.statuses import Outcome, Status
from tests.database import connection
from tests.factories import get_counts, get_outcomes
from tests.processes import MAX_WAIT_SECONDS, is_reader, wait_until_final
from tests.streams import wait_until
from tests.test_sample_data import UNIQUE_COLUMNS, clean_row

FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")  # As sample_data.COLUMNS.
COUNT_OPEN_STEPS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'imports step%%'
   AND state <> 'idle'
"""
LIST_SESSIONS_LEFT = """
SELECT state || ': ' || application_name FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND (state LIKE 'idle in transaction%%'
        OR state <> 'idle' AND application_name LIKE 'imports step%%')
"""
LIST_LOCKS_LEFT = """
SELECT 'advisory lock ' || classid FROM pg_locks
 WHERE locktype = 'advisory' AND classid = ANY(%s)
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
MAX_SECONDS_LEFT = 30  # After the end of an import, everything of it is gone by then.
MAX_SILENCE_SECONDS = 3  # A worker of Dramatiq that runs writes its heartbeat more often.


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


# --- What an import leaves behind --------------------------------------------


def wait_until_end(*watchers, seconds=MAX_WAIT_SECONDS, **left):
    """Wait until the watched imports are final. Refreshes the imports of the watchers.

    Each stream must have reached the end, and nothing may be left, see `assert_nothing_left`. Call
    it while a worker still runs.
    """
    wait_until_final(*(watcher.job for watcher in watchers), seconds=seconds)
    for watcher in watchers:
        watcher.assert_saw_the_end(watcher.job)
    assert_nothing_left(**left)


def assert_nothing_left(
    *, crashes=(0,), redis_url=None, is_reply_lost=False, counts_fetched_messages=False
):
    """Assert that within 30 seconds nothing of the pipeline is left but its result.

    That is: no advisory lock, no open step and no session idle in a transaction, no message, no
    reader process, and no attempt except those of killed workers, of which there are `crashes`
    (one of these numbers). Call it while a worker still runs. The messages that a killed worker
    had fetched count only with `counts_fetched_messages`, because the test then takes longer:
    Dramatiq gives them to another worker 30 seconds after the kill. With `is_reply_lost`, messages
    are not counted at all: a message whose reply did not reach the worker stays in Redis until that
    worker has exited. It does no harm.
    """
    left = []

    def list_messages():
        if is_reply_lost:
            return []
        return list_messages_left(redis_url, counts_fetched=counts_fetched_messages)

    try:
        wait_until(
            lambda: not replace(left, list_left(crashes, list_messages)),
            MAX_SECONDS_LEFT,
        )
    except AssertionError:
        raise AssertionError(f"Left after {MAX_SECONDS_LEFT} s: {', '.join(left)}") from None


def replace(items, new_items):
    items[:] = new_items
    return items


def list_left(crashes, list_messages):
    """Return a description of everything that is left."""
    with connection.cursor() as cursor:
        cursor.execute(LIST_SESSIONS_LEFT)
        left = [text for (text,) in cursor.fetchall()]
        cursor.execute(LIST_LOCKS_LEFT, [[TARGET_TABLE, CHECK_COMPLETION, MAINTENANCE]])
        left += [text for (text,) in cursor.fetchall()]
    attempts = ImportAttempt.objects.count()
    left += [] if attempts in crashes else [f"{attempts} attempts"]
    left += [f"message {message}" for message in list_messages()]
    return left + [f"reader process {pid}" for pid in list_readers()]


def list_messages_left(redis_url=None, *, counts_fetched=False):
    """Return the messages of all queues; those that a killed worker had fetched on request."""
    with Redis.from_url(redis_url or settings.REDIS_URL) as client:
        if counts_fetched:
            return [
                message for queue in QUEUES for message in client.hkeys(f"imports:{queue}.msgs")
            ]
        now = float(".".join(map(str, client.time()))) * 1_000
        silent_since = now - 1_000 * MAX_SILENCE_SECONDS
        silent = client.zrangebyscore("imports:__heartbeats__", "-inf", silent_since)
        return [
            message
            for queue in QUEUES
            for message in set(client.hkeys(f"imports:{queue}.msgs")).difference(
                *(client.smembers(f"imports:__acks__.{each.decode()}.{queue}") for each in silent)
            )
        ]


def list_fetched_messages():
    """Return the messages that a worker has fetched and not acknowledged, of all queues."""
    with Redis.from_url(settings.REDIS_URL) as client:
        return [
            message
            for key in client.scan_iter("imports:__acks__.*")
            for message in client.smembers(key)
        ]


def list_readers():
    """Return the process IDs of the reader processes that this process has caused."""
    children = psutil.Process().children(recursive=True)
    return [process.pid for process in children if is_reader(process)]
