"""Delete old data of imports now: `python manage.py purge_imports`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports import purge
from imports.pipeline.transactions import TransientError

# For each kind: what was done, for one and for several, and what would be done.
SENTENCES = {
    purge.CANCELLED: (
        "Cancelled {n} import that has waited for a person for too long.",
        "Cancelled {n} imports that have waited for a person for too long.",
        "{n} import that has waited for a person for too long would be cancelled.",
        "{n} imports that have waited for a person for too long would be cancelled.",
    ),
    purge.PURGED: (
        "Deleted the contents of {n} import.",
        "Deleted the contents of {n} imports.",
        "The contents of {n} import would be deleted.",
        "The contents of {n} imports would be deleted.",
    ),
    purge.ROWS: (
        "Deleted {n} row of imports.",
        "Deleted {n} rows of imports.",
        "{n} row of imports would be deleted.",
        "{n} rows of imports would be deleted.",
    ),
    purge.DELETED: (
        "Deleted {n} import with its history.",
        "Deleted {n} imports with their history.",
        "{n} import with its history would be deleted.",
        "{n} imports with their history would be deleted.",
    ),
    purge.FILES: (
        "Deleted {n} stored file without an import.",
        "Deleted {n} stored files without an import.",
        "{n} stored file without an import would be deleted.",
        "{n} stored files without an import would be deleted.",
    ),
    purge.KEYS: (
        "Deleted {n} expired idempotency key.",
        "Deleted {n} expired idempotency keys.",
        "{n} expired idempotency key would be deleted.",
        "{n} expired idempotency keys would be deleted.",
    ),
}
NOTHING_MESSAGE = "There is nothing to delete."


class Command(BaseCommand):
    help = (
        "Delete data of imports that is kept no longer: contents, old imports, and what no import "
        "refers to. Workers do the same once a day. Imported records are never deleted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Only print what would be deleted. Nothing is changed.",
        )

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        try:
            counts = purge.count_due() if dry_run else purge.run_to_end()
        except TransientError as error:
            raise CommandError(
                f"The database is not available or a lock is not free (SQLSTATE {error}). What was "
                "deleted stays deleted. Run the command again."
            ) from None
        for kind, sentences in SENTENCES.items():
            if counts[kind]:
                sentence = sentences[2 * dry_run + (counts[kind] != 1)]
                self.stdout.write(sentence.format(n=f"{counts[kind]:,}"))
        if not counts:
            self.stdout.write(NOTHING_MESSAGE)
