"""Create imports for tests, and run them through the pipeline without a queue."""

import csv
import io
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile

from imports.models import ImportJob
from imports.pipeline import batch_applier, file_checker
from imports.pipeline.row_block import RowBlock
from imports.pipeline.row_validation import ValidatedBlock
from imports.statuses import Status
from tests.conftest import make_username

HEADERS = ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]


def make_row(n: int, **changed: str) -> list[str]:
    """Return a valid row. Rows of the same number are the same customer."""
    values = {
        "mark": f"MARK {n}",
        "first": "Ama",
        "last": f"Mensah{n}",
        "email": f"ama{n}@example.com",
        "phone": f"+23324{n:07d}",
    }
    return list((values | changed).values())


def make_csv(rows, headers=HEADERS) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([headers, *rows] if headers else rows)
    return text.getvalue().encode()


def make_job(content: bytes, *, owner=None, importer="customers", **fields) -> ImportJob:
    """Create a QUEUED import of a file with this content.

    Its owner is Alice, who is created as a superuser unless the test has its own Alice.
    """
    if owner is None:
        users = get_user_model()
        owner, _ = users.objects.get_or_create(
            **{users.USERNAME_FIELD: make_username("alice")}, defaults={"is_superuser": True}
        )
    job = ImportJob(
        owner=owner,
        importer=importer,
        file_name="customers.csv",
        file_size=len(content),
        file_digest="",
        **fields,
    )
    job.file.save(str(job.id), ContentFile(content), save=False)
    job.save(force_insert=True)
    return job


def check_job(job: ImportJob, **options) -> ImportJob:
    """Check the import, and return it with its new status."""
    file_checker.check_file(job.pk, on_progress=lambda job: None, **options)
    job.refresh_from_db()
    return job


def apply_all_batches(pk: UUID) -> ImportJob:
    """Apply the batches one after another, as a single worker does."""
    job = ImportJob.objects.get(pk=pk)
    while job.status == Status.RUNNING:
        number = job.batches.filter(applied_at=None).values_list("number", flat=True)[0]
        batch_applier.apply_batch(pk, number)
        job.refresh_from_db()
    return job


def run_import(content: bytes, **fields) -> ImportJob:
    """Create an import, check it and apply its batches."""
    return apply_all_batches(check_job(make_job(content, **fields)).pk)


def make_validated_block(*numbers: int) -> ValidatedBlock:
    """Return valid rows of customers with these numbers, for staging."""
    rows = RowBlock.from_rows([(number, make_row(number)) for number in numbers])
    return ValidatedBlock(rows, rows.columns)


def get_outcomes(job: ImportJob) -> dict[int, str]:
    """Return row number to outcome.

    A row without a stored outcome is created once its batch is applied, as for every reader.
    """
    applied = {
        number
        for first, last in job.batches.exclude(applied_at=None).values_list("first_row", "last_row")
        for number in range(first, last + 1)
    }
    return {
        number: outcome or ("created" if number in applied else None)
        for number, outcome in job.rows.values_list("number", "outcome")
    }


def get_counts(job: ImportJob) -> dict[str, int]:
    """Return the counts of the import as they are in the database."""
    job.refresh_from_db()
    names = ("created", "updated", "unchanged", "skipped", "failed", "processed")
    return {name: getattr(job, name) for name in names}
