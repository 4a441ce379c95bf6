"""Erase what imports hold about one person: `python manage.py erase_person VALUE`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports import personal_data, purge
from imports.management.people import (
    add_search_arguments,
    describe_finding,
    describe_unread_file,
    make_actor,
    read_searched_value,
)
from imports.models import ImportJob, ImportRow, TransitionNotAllowed
from imports.personal_data import Finding, SearchedValue
from imports.pipeline.transactions import TransientError


class Command(BaseCommand):
    help = (
        "Erase everything that imports hold about one person: the contents of each import that "
        "holds the value are deleted: its file and all of its rows. Such an import can no longer "
        "be undone or retried. Counts, history and imported records stay. The exit status "
        "is 1 if something could not be erased."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_search_arguments(parser)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Only print what would be erased. Nothing is changed.",
        )

    def handle(
        self,
        *,
        value: str,
        column: str | None,
        contains: bool,
        user: str | None,
        dry_run: bool,
        **options: Any,
    ) -> None:
        by = make_actor(user)
        searched = read_searched_value(value, column, contains)
        erased: list[Finding] = []
        failed = 0
        for finding in personal_data.find_person(searched):
            if finding.unread_file:
                failed += 1
                self.stdout.write(describe_unread_file(finding))
            if not finding.is_hit:
                continue
            self.stdout.write(describe_finding(finding))
            if self._erase(finding, searched, None if dry_run else by):
                erased.append(finding)
            else:
                failed += 1
        if dry_run:
            self.stdout.write(f"Imports whose contents would be deleted: {len(erased):,}.")
        elif erased:
            failed += self._delete_rows(erased)
            self.stdout.write(f"Imports whose contents were deleted: {len(erased):,}.")
        else:
            self.stdout.write("Nothing was erased.")
        if failed:
            raise CommandError(f"Imports that may still hold the person: {failed:,}.")

    def _erase(self, finding: Finding, searched: SearchedValue, by: Any) -> bool:
        """Erase the value from one import, or only check whether it can be; return whether."""
        try:
            if by is None:
                personal_data.check_erasable(finding.job)
            else:
                personal_data.erase(finding, searched, by)
        except TransitionNotAllowed as error:
            self.stdout.write(f"Not erased: import {finding.job.pk}: {error}")
            return False
        except ImportJob.DoesNotExist:  # Deleted meanwhile, with everything in it.
            pass
        return True

    def _delete_rows(self, erased: list[Finding]) -> int:
        """Delete the rows now, and return of how many imports rows are left."""
        try:
            purge.run_to_end()
        except TransientError as error:
            self.stdout.write(f"The database is not available (SQLSTATE {error}).")
        left = 0
        for finding in erased:
            if ImportRow.objects.filter(job=finding.job.pk).exists():
                left += 1
                self.stdout.write(
                    f"Import {finding.job.pk}: its rows can no longer be read. A worker deletes "
                    "them after the hooks of the import were called, within a day."
                )
        return left
