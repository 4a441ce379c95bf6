"""The database of the imports, and the driver: both versions of psycopg behave in the same way."""

import pytest
from django.db import DataError, Error, IntegrityError, InterfaceError, OperationalError
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from imports import postgres
from imports.models import ImportJob, StoredFile
from imports.pipeline.transactions import (
    TransientError,
    is_row_error,
    is_transient,
    short_transaction,
)
from tests.database import connection

TERMINATE_OWN_SESSION = "SELECT pg_terminate_backend(pg_backend_pid())"
READ_TIMEOUTS = "SELECT current_setting('lock_timeout'), current_setting('application_name')"


def catch_error(statement, parameters=None):
    """Return the database error of the statement."""
    with (
        pytest.raises(Error) as caught,
        postgres.atomic(),
        postgres.open_cursor() as cursor,
    ):
        cursor.execute(statement, parameters)
    return caught.value


def make_driver_error(error_class):
    """Return an error that the driver raised without asking the server."""
    error = error_class("text")
    error.__cause__ = getattr(connection.Database, error_class.__name__)("text")
    return error


@pytest.mark.django_db
def test_an_error_of_a_constraint_has_a_sqlstate_and_the_name_of_the_constraint():
    StoredFile.objects.create(name="file", size=0)

    with pytest.raises(IntegrityError) as caught, postgres.atomic():
        StoredFile.objects.create(name="file", size=0)

    assert postgres.get_sqlstate(caught.value) == "23505"
    assert postgres.get_constraint_name(caught.value) == "stored_file_unique"
    assert is_row_error(caught.value)


@pytest.mark.django_db
def test_an_error_of_another_kind_has_no_constraint():
    error = catch_error("SELECT 1 / 0")

    assert postgres.get_sqlstate(error) == "22012"
    assert postgres.get_constraint_name(error) is None


@pytest.mark.django_db
def test_a_statement_without_its_parameters_is_a_programming_error():
    if not is_psycopg3:  # psycopg 2 raises a TypeError, which is no error of the database.
        with pytest.raises((TypeError, IndexError)), postgres.open_cursor() as cursor:
            cursor.execute("SELECT %s, %s", ["a"])
        return
    error = catch_error("SELECT %s, %s", ["a"])

    assert postgres.get_sqlstate(error) == "42000"
    assert not is_transient(error)
    assert not is_row_error(error)


def test_a_value_that_the_driver_rejects_is_an_error_of_the_row():
    error = make_driver_error(DataError)

    assert postgres.get_sqlstate(error) == "22000"
    assert is_row_error(error)
    assert not is_transient(error)


@pytest.mark.parametrize("error_class", [OperationalError, InterfaceError])
def test_an_error_of_the_connection_is_transient(error_class):
    error = make_driver_error(error_class)

    assert postgres.get_sqlstate(error) == "08006"
    assert is_transient(error)


@pytest.mark.django_db(transaction=True)
def test_a_step_opens_a_new_connection_after_a_lost_one():
    with pytest.raises(TransientError), short_transaction(), postgres.open_cursor() as cursor:
        cursor.execute(TERMINATE_OWN_SESSION)

    with short_transaction():
        assert not ImportJob.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_timeouts_of_a_step_end_with_its_transaction():
    with postgres.open_cursor() as cursor:
        cursor.execute(READ_TIMEOUTS)
        before = cursor.fetchone()
        with short_transaction(lock_timeout="7s"):
            cursor.execute(READ_TIMEOUTS)
            assert cursor.fetchone() == ("7s", "imports step, at most 70 s")
        cursor.execute(READ_TIMEOUTS)
        assert cursor.fetchone() == before


@pytest.mark.django_db
def test_an_error_inside_copy_is_an_error_of_the_database():
    with pytest.raises(DataError) as caught, postgres.atomic():
        postgres.copy_into_table("COPY imports_storedfile (name) FROM STDIN", "a\tb\tc\n")

    assert postgres.get_sqlstate(caught.value) == "22P04"


@pytest.mark.django_db
def test_copy_keeps_every_character():
    content = "tab \\t line \\n backslash \\\\ ünïcode 唛头"

    with postgres.atomic():
        postgres.copy_into_table(
            "COPY imports_storedfile (name, size, created_at) FROM STDIN",
            f"{content}\t1\t2026-01-01 00:00+00\n",
        )

    assert StoredFile.objects.get().name == "tab \t line \n backslash \\ ünïcode 唛头"


RAISE_INTERNAL_ERROR = """
DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'internal_error', MESSAGE = 'text'; END $$
"""


@pytest.mark.django_db
def test_an_internal_error_is_transient_only_if_it_comes_from_the_files_of_postgresql():
    error = catch_error(RAISE_INTERNAL_ERROR)

    assert postgres.get_sqlstate(error) == "XX000"
    assert not postgres.is_file_error(error)
    assert not is_transient(error)
    assert is_row_error(error)
