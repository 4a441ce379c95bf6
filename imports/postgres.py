"""The PostgreSQL database of the app: its connection, its transactions, and its driver.

The driver is psycopg 3 or psycopg 2. Django uses psycopg 3 if both are installed. This module is
the only one that knows how they differ, and the only one that chooses the database: a project may
have several, and its routers say which one holds the imports.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from django.apps import apps
from django.db import (
    DataError,
    Error,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connections,
    router,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.backends.utils import CursorWrapper
from django.db.transaction import Atomic
from django.urls import URLPattern, URLResolver

# What Django raises if the database does not answer, or ends the connection.
UNAVAILABLE_ERRORS = (OperationalError, InterfaceError)

# SQLSTATEs of errors that the driver itself raises, without asking the server.
CONNECTION_FAILURE = "08006"
DATA_EXCEPTION = "22000"
SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION = "42000"
INTERNAL_ERROR = "XX000"
# The parts of PostgreSQL that read and write its files, as an error names them.
FILE_SOURCES = frozenset({"md.c", "fd.c", "buffile.c"})


# --- The database ------------------------------------------------------------


def get_alias() -> str:
    """Return the alias of the database that holds the imports: the one that routers write them to.

    A system check makes sure that they are read from the same database, and that the models of the
    importers and the users are in it.
    """
    return router.db_for_write(apps.get_model("imports", "ImportJob"))


def get_connection() -> BaseDatabaseWrapper:
    """Return this thread's connection to the database of the imports."""
    return connections[get_alias()]


def open_cursor() -> CursorWrapper:
    """Return a cursor on the database of the imports. Use it as a context manager."""
    return get_connection().cursor()


def atomic(*, durable: bool = False) -> Atomic:
    """Return `transaction.atomic` for the database of the imports.

    Raises:
        RuntimeError: On entry, if `durable` is True and a transaction is open.
    """
    return transaction.atomic(using=get_alias(), durable=durable)


def on_commit(function: Callable[[], object]) -> None:
    """Call `function` after the commit of the open transaction; at once if none is open."""
    transaction.on_commit(function, using=get_alias())


def exempt_from_atomic_requests(patterns: Iterable[object]) -> None:
    """Mark the views of these URLs, so that ATOMIC_REQUESTS opens no transaction around them.

    The views of the app need none, because every action is one transaction. Some must have none: a
    worker sees an upload after its commit only, and a check inside a request consists of many
    transactions.
    """
    mark = transaction.non_atomic_requests(using=get_alias())
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            exempt_from_atomic_requests(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            mark(pattern.callback)


def close_lost_connection() -> None:
    """Close this thread's connection if the driver has lost it; the next query opens a new one."""
    connection = get_connection()
    if connection.connection is not None and connection.connection.closed:
        connection.close()


# --- The driver --------------------------------------------------------------


def copy_into_table(statement: str, content: str) -> None:
    """Execute `COPY … FROM STDIN` with lines of COPY's text format.

    Raises:
        Error: As for any other statement.
    """
    connection = get_connection()
    # Django wraps the errors of its own calls only, and COPY is a call of the driver.
    with connection.wrap_database_errors, connection.cursor() as cursor:
        if is_psycopg3:
            with cursor.copy(statement) as copy:
                copy.write(content)
        else:
            cursor.copy_expert(statement, io.StringIO(content))


def get_sqlstate(error: Error) -> str:
    """Return the SQLSTATE of a database error.

    An error that the driver raised itself has none. If the driver rejected a value or a statement,
    the result is the SQLSTATE of that class of errors, otherwise that of a lost connection.
    """
    cause = error.__cause__
    sqlstate = getattr(cause, "sqlstate" if is_psycopg3 else "pgcode", None)
    if sqlstate is not None:
        return str(sqlstate)
    if isinstance(error, DataError):  # psycopg 3: a text with a NUL character.
        return DATA_EXCEPTION
    if isinstance(error, ProgrammingError | NotSupportedError):  # psycopg 3: too few parameters.
        return SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION
    return CONNECTION_FAILURE


def is_file_error(error: Error) -> bool:
    """Return whether PostgreSQL could not use a file for a reason that has no SQLSTATE of its own.

    A full disk has one. A quota that is used up is reported as an internal error.
    """
    source = getattr(getattr(error.__cause__, "diag", None), "source_file", None)
    return get_sqlstate(error) == INTERNAL_ERROR and source in FILE_SOURCES


def get_constraint_name(error: Error) -> str | None:
    """Return the name of the violated constraint, or None if the error is of another kind.

    The name may be logged and shown. The text of the error may not: it quotes the row.
    """
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def get_table_name(error: Error) -> str | None:
    """Return the name of the table that the error is about, or None if it names no table.

    For a foreign key that keeps a record from being deleted, this is the referring table.
    """
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "table_name", None)
