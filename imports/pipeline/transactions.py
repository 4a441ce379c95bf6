"""What every step of the pipeline shares: short transactions, and whom an error blames."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from django.conf import settings
from django.db import DatabaseError, Error, connection, transaction

# PostgreSQL evicts whoever waits, works or freezes for too long. It cannot see a client
# that freezes inside COPY; for that the session carries its longest time in its name, and
# `end_frozen_sessions` reads it.
LIMIT_TIME = """
SET LOCAL lock_timeout = %(lock_timeout)s;
SET LOCAL statement_timeout = %(statement_timeout)s;
SET LOCAL idle_in_transaction_session_timeout = %(idle_in_transaction_session_timeout)s;
SET LOCAL application_name = %(application_name)s;
SET LOCAL synchronous_commit = %(synchronous_commit)s;
SET LOCAL jit = off
"""
LONGEST_IDLE_OF_A_STEP = "imports step, at most %s s"
END_FROZEN = r"""
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
   AND application_name ~ '^imports step, at most \d+ s$'
   AND xact_start < now() - substring(application_name FROM '\d+')::int * interval '1 second'
"""


class TransientError(Exception):
    """A deadlock, a timeout, a lost connection: nobody's fault, the whole step is done again.

    Its text is the SQLSTATE.
    """


class JobNotActive(Exception):
    """The import is no longer in the status this step works in, so the step rolls back."""


@contextmanager
def short_transaction(*, durable: bool = True, **limits: str) -> Iterator[None]:
    """One step: a transaction that PostgreSQL ends when it takes too long.

    `limits` replace single entries of settings.IMPORT_TIMEOUTS. Without `durable` the commit
    does not wait for the disk: for what a crash of PostgreSQL may take back.
    Raises Interrupted for what blames nobody; a data or constraint error leaves as it is.
    """
    timeouts = settings.IMPORT_TIMEOUTS | limits
    name = LONGEST_IDLE_OF_A_STEP % _longest_seconds(timeouts)
    commit = "on" if durable else "off"
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(
                LIMIT_TIME, timeouts | {"application_name": name, "synchronous_commit": commit}
            )
            yield
    except Error as error:
        if connection.connection is not None and connection.connection.closed:
            connection.close()  # So that the next step opens a new one.
        if not is_transient(error):
            raise
        # Its text quotes the row, phone number and all: it goes no further.
        raise TransientError(get_sqlstate(error)) from None


def _longest_seconds(timeouts: dict[str, str]) -> int:
    """A whole step may take a few of its longest statements, and not for ever."""
    return 2 * max(_seconds(timeouts["statement_timeout"]), 1) + 10


def _seconds(duration: str) -> int:
    value, unit = re.fullmatch(r"(\d+)\s*(ms|s|min)", duration).groups()
    return int(value) * {"ms": 1, "s": 1_000, "min": 60_000}[unit] // 1_000


def terminate_frozen_sessions() -> int:
    """End sessions of ours that stand in a step for longer than any step takes."""
    with connection.cursor() as cursor:
        cursor.execute(END_FROZEN)
        return cursor.rowcount


# Classes of SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html
# Connection, rollback (deadlocks), resources, locks, intervention (timeouts), system.
TRANSIENT_ERROR_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})
# Not supported, transaction state, no such statement or cursor, syntax and access rules.
PROGRAMMING_ERROR_CLASSES = frozenset({"0A", "25", "26", "34", "42"})

_owed: deque[Callable[[], None]] = deque()
_one_at_a_time = Lock()


def run_or_defer(step: Callable[[], None]) -> None:
    """Do `step` now or, if the database is away, at a later `catch_up` of this process."""
    _owed.append(step)
    with suppress(TransientError):
        run_deferred()


def run_deferred() -> None:
    """Do the steps that are owed. Raises Interrupted, and forgets nothing."""
    with _one_at_a_time:
        while _owed:
            _owed[0]()
            _owed.popleft()


def get_sqlstate(error: Error) -> str:
    return getattr(error.__cause__, "pgcode", None) or "08006"  # No answer at all: no connection.


def get_constraint_name(error: Error) -> str | None:
    """The name of the constraint that was broken: ours to show, unlike the error's text."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def is_transient(error: Error) -> bool:
    """Whether the step may go well when it is done again; not an error of Django's own."""
    return error.__cause__ is not None and get_sqlstate(error)[:2] in TRANSIENT_ERROR_CLASSES


def is_row_error(error: Error) -> bool:
    """Data and constraint errors do, and what a trigger raises; a wrong statement is ours."""
    is_ours = error.__cause__ is None or get_sqlstate(error)[:2] in PROGRAMMING_ERROR_CLASSES
    return isinstance(error, DatabaseError) and not is_ours and not is_transient(error)
