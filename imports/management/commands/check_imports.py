"""Check the ledger of imports: `python manage.py check_imports [ID …]`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports.ledger import check_ledger
from imports.management.base import find_import
from imports.models import ImportJob


class Command(BaseCommand):
    help = (
        "Check that the counts of imports agree with the outcomes of their rows, with their "
        "batches and with the records that they created. Changes nothing, and may run beside "
        "workers. The exit status is 1 if anything disagrees."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "ids",
            nargs="*",
            type=UUID,
            metavar="ID",
            help="The imports to check. (default: every import)",
        )

    def handle(self, *, ids: list[UUID], verbosity: int, **options: Any) -> None:
        checked = wrong = 0
        for job in self._list_imports(ids):
            try:
                report = check_ledger(job)
            except ImportJob.DoesNotExist:  # Deleted since it was listed.
                continue
            checked += 1
            wrong += bool(report.violations)
            self._print(job, "WRONG", report.violations)
            if verbosity:
                self._print(job, "note", report.information)
        if wrong:
            raise CommandError(f"The ledger of {wrong:,} of {checked:,} imports is wrong.")
        if verbosity:
            self.stdout.write(f"Checked {checked:,} imports. Every row has exactly one outcome.")

    def _list_imports(self, ids: list[UUID]) -> Iterable[ImportJob]:
        if ids:
            return [find_import(job_id) for job_id in ids]
        jobs = ImportJob.objects.defer(*ImportJob.LARGE_FIELDS).order_by("created_at")
        return jobs.iterator(chunk_size=100)

    def _print(self, job: ImportJob, kind: str, sentences: list[str]) -> None:
        for sentence in sentences:
            self.stdout.write(f"{kind}: import {job.pk}: {sentence}")
