"""Find what imports hold about one person: `python manage.py find_person VALUE`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from imports import personal_data
from imports.management.base import USAGE_ERROR
from imports.management.people import (
    add_search_arguments,
    describe_finding,
    describe_unread_file,
    make_actor,
    read_searched_value,
)
from imports.personal_data import Finding


class Command(BaseCommand):
    help = (
        "Find everything that imports hold about one person: in their rows, in their stored files "
        "and in their options. Reads every row and every file. The exit status is 1 if a file "
        "could not be searched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_search_arguments(parser)
        parser.add_argument(
            "--export",
            type=Path,
            metavar="FILE",
            help="Write what was found to a new JSON file, which only its owner may read. The "
            "history of each import records the export.",
        )

    def handle(
        self,
        *,
        value: str,
        column: str | None,
        contains: bool,
        user: str | None,
        export: Path | None,
        **options: Any,
    ) -> None:
        by = make_actor(user)
        searched = read_searched_value(value, column, contains)
        if export is not None and export.exists():
            raise CommandError(
                f"The file {export} exists. Name a new file.", returncode=USAGE_ERROR
            )
        hits: list[Finding] = []
        unread = 0
        for finding in personal_data.find_person(searched):
            if finding.is_hit:
                hits.append(finding)
                self.stdout.write(describe_finding(finding))
            if finding.unread_file:
                unread += 1
                self.stdout.write(describe_unread_file(finding))
        if export is not None and hits:
            _write_export(export, hits)
            personal_data.record_export(hits, by)
            self.stdout.write(f"Wrote {export}.")
        self.stdout.write(f"Imports that hold the value: {len(hits):,}.")
        if unread:
            raise CommandError(f"Files that could not be searched: {unread:,}.")


def _write_export(path: Path, findings: list[Finding]) -> None:
    """Write the findings to a new file that only its owner may read.

    Raises:
        CommandError: The file cannot be written.
    """
    content = {"imports": [finding.as_json() for finding in findings]}
    text = json.dumps(content, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise CommandError(
            f"The file {path} cannot be written: {error.strerror}.", returncode=USAGE_ERROR
        ) from None
