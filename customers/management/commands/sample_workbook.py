"""`manage.py sample_workbook`: write a workbook of invented customers and the expected counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from customers import sample_data


class Command(BaseCommand):
    help = "Write a sample workbook of customers. The same rows and seed give the same cells."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="the file to write; .csv writes a CSV file")
        parser.add_argument("--rows", type=int, default=7000, help="0 to a million (7000)")
        parser.add_argument(
            "--seed", type=int, default=1, help="0 to 99; changes all customers (1)"
        )
        parser.add_argument("--expect", type=Path, help="a file for the expected counts")

    def handle(self, *, path: Path, rows: int, seed: int, expect: Path | None, **_: Any) -> None:
        try:
            sample_data.write_sample(path, rows, seed)
            if expect:
                expect.write_text(json.dumps(sample_data.compute_expected_counts(rows)) + "\n")
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{rows:,} rows of sample customers are in {path}.")
