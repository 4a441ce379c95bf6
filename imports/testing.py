"""Run imports in tests, from the upload to the last row, in the calling process.

    from imports.testing import run_import

    class ContactsTest(TestCase):
        def test_a_phone_number_is_required(self):
            rows = [["Name", "Phone"], ["Ama", "0244000000"], ["Kofi", ""]]

            result = run_import(self.user, rows, importer="contacts")

            assert result.outcomes == {2: "created", 3: "failed"}
            assert result.error_codes == [(3, "phone", "required")]

The real reader process opens the file, and the real checks and statements work on the database. No
worker, broker or Redis is needed, and nothing is sent to them. A test may run inside a transaction,
as in `TestCase` and with `pytest.mark.django_db`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.base import ContentFile
from django.db.models import QuerySet

from imports import hooks, lifecycle, provenance, row_results
from imports.broker import disable_sending
from imports.error_body import RowError, make_row_error
from imports.error_messages import describe_row_error
from imports.importer import Importer, get_importer
from imports.models import ImportJob, ImportRow
from imports.pipeline import batch_applier, file_checker
from imports.postgres import atomic, get_connection
from imports.statuses import Outcome, Status
from imports.uploads import ImportFile

ROWS_PER_QUERY = 10_000
DEFAULT_FILE_NAME = "test.csv"
# Settings that the steps of an import change until the end of the transaction.
TRANSACTION_SETTINGS = [
    "application_name",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "statement_timeout",
    "synchronous_commit",
    "work_mem",
]
GET_SETTINGS = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
SET_SETTINGS = (
    "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s (name, value)"
)

RowsOrFile: TypeAlias = "ImportFile | bytes | Sequence[Sequence[object]]"


@dataclass(frozen=True)
class ImportResult:
    """An import that has come to rest, and what became of its rows.

    Rows are named by their number in the file. In a CSV file the header is row 1.
    """

    job: ImportJob
    outcomes: dict[int, str | None]  # None for a row that is not written yet.
    errors: list[RowError]  # In the order of the rows. `message` is in the active language.

    @property
    def status(self) -> str:
        return self.job.status

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows with each outcome, without outcomes that no row has."""
        counts = {outcome.value: getattr(self.job, outcome.value) for outcome in Outcome}
        return {outcome: count for outcome, count in counts.items() if count}

    @property
    def error_codes(self) -> list[tuple[int, str | None, str]]:
        """Row number, field and code of each error; the field of an error of the row is None."""
        return [(error["row"], error["field"], error["code"]) for error in self.errors]

    @property
    def records(self) -> QuerySet[Any]:
        """The records that the import has created or updated."""
        jobs = ImportJob.objects.filter(pk=self.job.pk)
        return provenance.find_written_records(jobs, get_importer(self.job.importer).model)


def run_import(
    user: AbstractBaseUser,
    file: RowsOrFile,
    *,
    importer: str | type[Importer],
    start: bool = True,
    **options: Any,
) -> ImportResult:
    """Create an import, run it to its end, and return it with its rows.

    `file` is a list of rows, the first of which is the header, the bytes of a file, or what
    `lifecycle.create_import` takes. `options` are those of `create_import`. With `check_first=True`
    and `start=False` the import stops as READY.

    Raises:
        InvalidOption, InvalidOptions, UploadFormFailed, InvalidMapping, IdempotencyKeyReused,
            OSError: As in `create_import`.
        RuntimeError: The test has opened a transaction itself, see `finish_import`.
        TransientError: The database reported an error that no row causes.
        Exception: Whatever a hook raises.
    """
    if isinstance(file, Sequence) and not isinstance(file, str):
        content = file if isinstance(file, bytes) else _write_csv(file)
        file = ContentFile(content, DEFAULT_FILE_NAME)
    with disable_sending():
        job = lifecycle.create_import(user, file, importer=importer, **options)
    return finish_import(job, start=start)


def finish_import(job: ImportJob, *, start: bool = True) -> ImportResult:
    """Run an existing import to its end, such as one that the test has uploaded through a view.

    An import that waits for a column mapping stops as MAPPING. One that is READY is started, unless
    `start` is False. Hooks of the importer are called; an exception of a hook is raised.

    Raises:
        RuntimeError: The test has opened a transaction itself, or another process works on the
            import.
        TransientError: The database reported an error that no row causes.
        Exception: Whatever a hook raises.
    """
    _require_own_steps()
    with disable_sending(), _restored_transaction():
        job = _check(job)
        if job.status == Status.READY and start:
            job = lifecycle.start(job)
        while job.status == Status.RUNNING:
            job = _apply_next_batch(job)
        hooks.call_due_hooks(job.pk, should_raise=True)
    return _make_result(job)


def _check(job: ImportJob) -> ImportJob:
    for _ in range(file_checker.MAX_READER_CRASHES + 1):
        job = ImportJob.objects.get(pk=job.pk)
        if job.status not in {Status.QUEUED, Status.CHECKING}:
            return job
        file_checker.check_file(job.pk, on_progress=lambda job: None)
    job = ImportJob.objects.get(pk=job.pk)
    if job.status in {Status.QUEUED, Status.CHECKING}:
        raise RuntimeError("Another process checks this import. Stop the worker of the tests.")
    return job


def _apply_next_batch(job: ImportJob) -> ImportJob:
    number = job.batches.filter(applied_at=None).values_list("number", flat=True)[0]
    applied = batch_applier.apply_batch(job.pk, number)
    if applied is None:
        raise RuntimeError("Another process writes this import. Stop the worker of the tests.")
    hooks.call_due_hooks(job.pk, should_raise=True)
    return applied


def _write_csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


# --- The transaction of the test ---------------------------------------------


def _require_own_steps() -> None:
    """Raises: RuntimeError if the steps of the import could not be transactions of their own."""
    try:
        with atomic(durable=True):
            pass
    except RuntimeError:
        raise RuntimeError(
            "An import consists of several transactions, so it cannot run inside "
            "transaction.atomic(). The transaction of TestCase or pytest.mark.django_db is no "
            "obstacle; leave the one that the test itself has opened."
        ) from None


@contextmanager
def _restored_transaction() -> Iterator[None]:
    """Restore what the import changes until the end of the test's transaction, if there is one."""
    connection = get_connection()
    if not connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(GET_SETTINGS, [TRANSACTION_SETTINGS])
        names, values = zip(*cursor.fetchall(), strict=True)
        try:
            yield
        finally:
            if not connection.needs_rollback:
                cursor.execute(SET_SETTINGS, [list(names), list(values)])
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")


# --- The result --------------------------------------------------------------


def _make_result(job: ImportJob) -> ImportResult:
    job = ImportJob.objects.get(pk=job.pk)
    outcomes: dict[int, str | None] = {}
    errors: list[RowError] = []
    for row in _read_rows(job):
        outcomes[row.number] = row.result
        errors += (
            make_row_error(error, row.number, describe_row_error(error, job.importer, row.result))
            for error in row.errors or ()
        )
    return ImportResult(job, outcomes, errors)


def _read_rows(job: ImportJob) -> Iterator[ImportRow]:
    after = 0
    while rows := row_results.list_rows(job, after=after, limit=ROWS_PER_QUERY):
        yield from rows
        after = rows[-1].number
