"""Short transactions, and the classification of database errors, for every step of the pipeline."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from django.db import DatabaseError, Error

from imports.conf import app_settings
from imports.postgres import (
    atomic,
    close_lost_connection,
    get_sqlstate,
    is_file_error,
    open_cursor,
)

# PostgreSQL ends a session that waits, works or idles for too long. It does not notice a client
# that stops inside COPY. Therefore the session carries its longest allowed time in its application
# name, and `terminate_frozen_sessions` reads it there.
SET_TIMEOUTS = """
SELECT set_config(name, value, true)  -- Until the end of the transaction.
  FROM (VALUES
        ('lock_timeout', %(lock_timeout)s),
        ('statement_timeout', %(statement_timeout)s),
        ('idle_in_transaction_session_timeout', %(idle_in_transaction_session_timeout)s),
        ('application_name', %(application_name)s),
        ('synchronous_commit', %(synchronous_commit)s),
        ('jit', 'off')) AS settings (name, value)
"""
APPLICATION_NAME = "imports step, at most %s s"
TERMINATE_FROZEN_SESSIONS = r"""
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
   AND application_name ~ '^imports step, at most \d+ s$'
   AND xact_start < now() - substring(application_name FROM '\d+')::int * interval '1 second'
"""


class TransientError(Exception):
    """A deadlock, a timeout or a lost connection: the whole step should be retried.

    The text of the exception is the SQLSTATE.
    """


class StatementTimeout(TransientError):
    """A statement took longer than it may. If that happens repeatedly, retrying does not help.

    `setting` is the name of the setting that limits the statement, and `limit` its value.
    """

    def __init__(self, sqlstate: str, setting: str, limit: str) -> None:
        super().__init__(sqlstate)
        self.setting = setting
        self.limit = limit

    def make_error_params(self, times: int) -> dict[str, str | int]:
        """Return the parameters of the code `database_timeout`, after `times` time-outs."""
        return {"setting": self.setting, "limit": self.limit, "times": times}


class JobNotActive(Exception):
    """The import is no longer in the status in which this step works, so the step rolls back."""


@contextmanager
def short_transaction(
    *,
    durable: bool = True,
    timeout_setting: str = "IMPORTS_DATABASE_TIMEOUTS",
    **timeouts: str,
) -> Iterator[None]:
    """Run one step in a transaction that PostgreSQL ends when it takes too long.

    `timeouts` replace single entries of `app_settings.DATABASE_TIMEOUTS`, as PostgreSQL durations
    such as "60s"; `timeout_setting` is the setting that their statement_timeout comes from. With
    `durable=False` the commit does not wait for the disk, so a crash of PostgreSQL may lose the
    transaction.

    Raises:
        StatementTimeout: A statement exceeded its statement_timeout.
        TransientError: The database reported another transient error, see `is_transient`.
        Error: The database reported any other error.
    """
    durations = app_settings.DATABASE_TIMEOUTS | timeouts
    name = APPLICATION_NAME % _get_max_step_seconds(durations)
    commit = "on" if durable else "off"
    try:
        with atomic(durable=True), open_cursor() as cursor:
            cursor.execute(
                SET_TIMEOUTS,
                durations | {"application_name": name, "synchronous_commit": commit},
            )
            yield
    except Error as error:
        close_lost_connection()
        if not is_transient(error):
            raise
        # The text of the error may quote the row with its personal data, so it is dropped.
        sqlstate = get_sqlstate(error)
        if sqlstate == QUERY_CANCELED:
            limit = durations["statement_timeout"]
            raise StatementTimeout(sqlstate, timeout_setting, limit) from None
        raise TransientError(sqlstate) from None


def _get_max_step_seconds(durations: dict[str, str]) -> int:
    """Return how long a step may take: time for a few of its longest statements."""
    return 2 * max(_parse_seconds(durations["statement_timeout"]), 1) + 10


def _parse_seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)\s*(ms|s|min)", duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration such as 60s.")
    value, unit = match.groups()
    return int(value) * {"ms": 1, "s": 1_000, "min": 60_000}[unit] // 1_000


def terminate_frozen_sessions() -> int:
    """Terminate sessions that have been in one step for longer than it may take.

    Returns the number of terminated sessions.
    """
    with open_cursor() as cursor:
        cursor.execute(TERMINATE_FROZEN_SESSIONS)
        return int(cursor.rowcount)


# Classes of SQLSTATE.
# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
# Connection, rollback (deadlocks), resources, locks, operator intervention (timeouts), system.
TRANSIENT_ERROR_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})
# Not supported, transaction state, no such statement or cursor, syntax and access rules.
PROGRAMMING_ERROR_CLASSES = frozenset({"0A", "25", "26", "34", "42"})

QUERY_CANCELED = "57014"  # By the statement_timeout.

_deferred_steps: deque[Callable[[], None]] = deque()
_deferred_lock = Lock()


def run_or_defer(step: Callable[[], None]) -> None:
    """Run `step` now or, while the database is not available, in a later `run_deferred`.

    A deferred step is kept in the memory of this process only.
    """
    _deferred_steps.append(step)
    with suppress(TransientError):
        run_deferred()


def run_deferred() -> None:
    """Run the deferred steps in their order.

    Raises:
        TransientError: A step failed. This step and those after it stay deferred.
    """
    with _deferred_lock:
        while _deferred_steps:
            _deferred_steps[0]()
            _deferred_steps.popleft()


def is_transient(error: Error) -> bool:
    """Return whether the same step may succeed when it is retried.

    Errors that Django raises itself are not transient.
    """
    if error.__cause__ is None:
        return False
    return get_sqlstate(error)[:2] in TRANSIENT_ERROR_CLASSES or is_file_error(error)


def is_row_error(error: Error) -> bool:
    """Return whether the data of a row caused the error.

    These are errors of data and constraints, and those that a trigger raises. A wrong statement
    is a programming error.
    """
    is_programming_error = (
        error.__cause__ is None or get_sqlstate(error)[:2] in PROGRAMMING_ERROR_CLASSES
    )
    return isinstance(error, DatabaseError) and not is_programming_error and not is_transient(error)
