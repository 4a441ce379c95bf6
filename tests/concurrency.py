"""Concurrent transactions that block a worker, or a web request, in the middle of its own."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event

from django.db import DatabaseError

from tests.database import connection

BLOCKED_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'
"""
INSERT_CUSTOMER = """
INSERT INTO customers_customer (shipping_mark, first_name, last_name, phone, created_at, updated_at)
VALUES ('OTHER', 'O', 'O', %s, now(), now())
"""
POLL_SECONDS = 0.01


@contextmanager
def concurrent_transaction():
    """Open a transaction in another database session. Yields its cursor, and rolls back."""
    other = connection.copy()
    other.connect()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        with suppress(DatabaseError):  # In some tests PostgreSQL ends the session.
            other.rollback()
        other.close()


def call_then_close_connection(function, *arguments):
    """Call the function, and close the database connection of the current thread."""
    try:
        return function(*arguments)
    finally:
        connection.close()


@contextmanager
def blocked_worker(function, *arguments, phone):
    """Run a function in a thread, blocked in the middle of a batch until the block ends.

    Another transaction has inserted a customer with a phone number of the batch and has not
    committed, so the worker's INSERT waits. Yields the future of the function's result.
    """
    with ThreadPoolExecutor(1) as thread, concurrent_transaction() as cursor:
        cursor.execute(INSERT_CUSTOMER, [phone])
        result = thread.submit(call_then_close_connection, function, *arguments)
        wait_until_blocked()
        yield result
        cursor.connection.rollback()
        result.exception(timeout=10)


def wait_until_blocked(sessions=1):
    """Wait until this many sessions of the database wait for a lock."""
    poll_until(lambda: _count_blocked_sessions() >= sessions)


def _count_blocked_sessions():
    with connection.cursor() as cursor:
        cursor.execute(BLOCKED_SESSIONS)
        return cursor.fetchone()[0]


def poll_until(condition, seconds=15):
    """Wait until the condition is true. Raises: AssertionError if it is not true in time."""
    pause = Event()
    for _ in range(int(seconds / POLL_SECONDS)):
        if condition():
            return
        pause.wait(POLL_SECONDS)
    raise AssertionError(f"The condition was not true within {seconds} seconds.")
