"""Import a file: `python manage.py import_file customers.xlsx --importer customers --user ann`."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports import lifecycle
from imports.history import Actor, Via
from imports.idempotency import IdempotencyKeyReused
from imports.management.base import USAGE_ERROR, find_user
from imports.management.waiting import wait_for_import
from imports.permissions import NotPermitted
from imports.pipeline.column_mapping import InvalidMapping
from imports.statuses import EmptyCells, HiddenRows, OnDuplicate, OnMissingColumns
from imports.upload_options import InvalidOptions, UploadFormFailed
from imports.uploads import InvalidOption

STANDARD_INPUT = "-"


# Their texts are complete sentences.
REFUSED_UPLOADS = (InvalidOptions, UploadFormFailed, InvalidMapping, IdempotencyKeyReused)


class Command(BaseCommand):
    help = (
        "Import a spreadsheet. A worker does the work: without --wait the command prints the id of "
        "the import and ends. With --wait the exit status is 0 if the import is complete and no "
        "row failed, 1 if not, and 2 if nothing was imported because an argument is wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path", metavar="PATH", help="The file; - reads standard input and needs --name."
        )
        parser.add_argument(
            "--importer", required=True, metavar="NAME", help="What the rows are imported as."
        )
        parser.add_argument(
            "--user",
            required=True,
            metavar="USERNAME",
            help="Who becomes the owner. The user needs the permission to import this.",
        )
        parser.add_argument(
            "--name", default="", help="The file name that people see. (default: that of PATH)"
        )
        parser.add_argument(
            "--check-first",
            action="store_true",
            help="Check the file and write nothing. With --wait, the exit status is 0 when the "
            "import is ready to start.",
        )
        duplicates = parser.add_mutually_exclusive_group()
        duplicates.add_argument(
            "--update",
            dest="on_duplicate",
            action="store_const",
            const=OnDuplicate.UPDATE.value,
            default=OnDuplicate.SKIP.value,
            help="A row whose record exists already updates the record. (default: it is skipped)",
        )
        duplicates.add_argument(
            "--fail",
            dest="on_duplicate",
            action="store_const",
            const=OnDuplicate.FAIL.value,
            default=OnDuplicate.SKIP.value,
            help="A row whose record exists already fails.",
        )
        parser.add_argument(
            "--empty-cells",
            choices=EmptyCells.values,
            default=EmptyCells.KEEP.value,
            help="What an empty cell does to the value of a record that is updated. "
            "(default: %(default)s)",
        )
        parser.add_argument(
            "--on-missing-columns",
            choices=OnMissingColumns.values,
            default=OnMissingColumns.ASK.value,
            help="What becomes of a file whose required columns are not recognised: a person is "
            "asked on the page of the import, or the import fails. (default: %(default)s)",
        )
        parser.add_argument("--sheet", default="", help="The sheet of a workbook.")
        parser.add_argument("--encoding", default="", help="The encoding of a text file.")
        parser.add_argument(
            "--delimiter", default="", help="The delimiter of a text file; \\t is a tab."
        )
        parser.add_argument(
            "--hidden-rows",
            choices=HiddenRows.values,
            default=HiddenRows.IMPORT.value,
            help="What to do with hidden rows of a workbook. (default: %(default)s)",
        )
        parser.add_argument(
            "--option",
            dest="importer_options",
            action="append",
            type=parse_option,
            default=[],
            metavar="NAME=VALUE",
            help="An option of the importer's upload form. May be repeated.",
        )
        parser.add_argument(
            "--idempotency-key",
            default="",
            metavar="KEY",
            help="A second command with the same key and file returns the import of the first.",
        )
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Wait until the import has ended, and show its progress and result. Ctrl-C ends "
            "the command and not the import.",
        )

    def handle(
        self,
        *,
        path: str,
        user: str,
        name: str,
        delimiter: str,
        importer_options: list[tuple[str, str]],
        wait: bool,
        **options: Any,
    ) -> None:
        owner = find_user(user)
        upload_options = {
            option: options[option]
            for option in (
                "importer",
                "on_duplicate",
                "empty_cells",
                "check_first",
                "on_missing_columns",
                "sheet",
                "encoding",
                "hidden_rows",
                "idempotency_key",
            )
        }
        try:
            job = lifecycle.create_import(
                owner,
                open_input(path, name),
                file_name=name,
                delimiter="\t" if delimiter == "\\t" else delimiter,
                options=collect_options(importer_options),
                by=Actor(owner, Via.COMMAND_LINE),
                **upload_options,
            )
        except InvalidOption as error:
            raise CommandError(describe_invalid_option(error), returncode=USAGE_ERROR) from error
        except REFUSED_UPLOADS as error:
            raise CommandError(str(error), returncode=USAGE_ERROR) from error
        except NotPermitted as error:
            raise CommandError(f"{error} (code: {error.code})", returncode=USAGE_ERROR) from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CommandError(
                f"{path} cannot be read: {reason}.", returncode=USAGE_ERROR
            ) from error
        self.stdout.write(str(job.pk))
        self.stdout.flush()
        if wait:
            wait_for_import(job.pk, self.stdout)


def open_input(path: str, name: str) -> IO[bytes] | Path:
    """Return standard input for "-", otherwise the path.

    Raises:
        CommandError: Standard input has no name.
    """
    if path != STANDARD_INPUT:
        return Path(path)
    if not name:
        raise CommandError(
            "Standard input has no file name. Add --name with the name that people shall see, such "
            "as --name customers.csv.",
            returncode=USAGE_ERROR,
        )
    return sys.stdin.buffer


def parse_option(text: str) -> tuple[str, str]:
    """Return the name and the value of NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE.")
    return name, value


def collect_options(pairs: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Return the options by name. An option that is given several times has a list of values."""
    options: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if name not in options:
            options[name] = value
            continue
        earlier = options[name]
        options[name] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
    return options


def describe_invalid_option(error: InvalidOption) -> str:
    """Return the text of the error with the name of the argument of this command."""
    if error.option == "file":
        return str(error).removeprefix("file: ")
    return f"--{str(error).replace('_', '-', error.option.count('_'))}"
