"""Second transactions that hold a worker, or a web request, in the middle of its own."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event

from django.db import DatabaseError, connection

BLOCKED = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'
"""
TAKE_PHONE = """
INSERT INTO customers_customer (shipping_mark, first_name, last_name, phone, created_at, updated_at)
VALUES ('RIVAL', 'R', 'R', %s, now(), now())
"""


@contextmanager
def concurrent_transaction():
    """A cursor of another session, whose transaction is rolled back in the end."""
    rival = connection.copy()
    rival.connect()
    rival.set_autocommit(False)
    try:
        with rival.cursor() as cursor:
            yield cursor
    finally:
        with suppress(DatabaseError):  # Ended by PostgreSQL, where that is the test.
            rival.rollback()
        rival.close()


def call_then_close_connection(function, *arguments):
    """Run with a database connection of the thread's own, closed in the end."""
    try:
        return function(*arguments)
    finally:
        connection.close()


@contextmanager
def blocked_worker(function, *arguments, phone):
    """A worker held in the middle of a batch until the block ends.

    No patching: another transaction has taken a phone number of the batch and has not
    decided yet, so the worker's INSERT has to wait for it.
    """
    with ThreadPoolExecutor(1) as worker, concurrent_transaction() as cursor:
        cursor.execute(TAKE_PHONE, [phone])
        result = worker.submit(call_then_close_connection, function, *arguments)
        wait_until_blocked()
        yield result
        cursor.connection.rollback()
        result.exception(timeout=10)


def wait_until_blocked(sessions=1):
    poll_until(lambda: _blocked() >= sessions)


def _blocked():
    with connection.cursor() as cursor:
        cursor.execute(BLOCKED)
        return cursor.fetchone()[0]


def poll_until(is_true, seconds=15):
    pause = Event()
    for _ in range(int(seconds / 0.01)):
        if is_true():
            return
        pause.wait(0.01)
    raise AssertionError("It did not happen in time.")
