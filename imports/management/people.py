"""What the commands about the data of one person share."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.template.defaultfilters import pluralize

from imports.history import Actor, Via
from imports.importer import list_importers
from imports.management.base import USAGE_ERROR, find_user
from imports.personal_data import Finding, SearchedValue

STANDARD_INPUT = "-"
MAX_LISTED_ROWS = 10


def add_search_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "value",
        metavar="VALUE",
        help="What names the person, such as an e-mail address or a phone number. `-` reads it "
        "from standard input, so that it is in no list of processes and no history of a shell.",
    )
    parser.add_argument(
        "--column",
        metavar="FIELD",
        help="Search only the column of this field. (default: every column, the name of the file "
        "and the options of the import)",
    )
    parser.add_argument(
        "--contains",
        action="store_true",
        help="Find the value also as a part of a longer text.",
    )
    parser.add_argument(
        "--user",
        metavar="USERNAME",
        help="Who gives the command, for the history of the imports. (default: nobody)",
    )


def read_searched_value(value: str, column: str | None, contains: bool) -> SearchedValue:
    """Return what to search for.

    Raises:
        CommandError: The value is empty, or no importer has such a column.
    """
    text = sys.stdin.readline().strip() if value == STANDARD_INPUT else value.strip()
    if not text:
        raise CommandError(
            "The value is empty. Give an e-mail address, for example.", returncode=USAGE_ERROR
        )
    fields = sorted({each.field for importer in list_importers() for each in importer.columns})
    if column is not None and column not in fields:
        raise CommandError(
            f"No importer has a column {column!r}. The columns are: {', '.join(fields)}.",
            returncode=USAGE_ERROR,
        )
    return SearchedValue(text, column, is_part=contains)


def make_actor(user: str | None) -> Actor:
    return Actor(None if user is None else find_user(user), Via.COMMAND_LINE)


def describe_finding(finding: Finding) -> str:
    """Return where an import holds the value, without the value and without the file name."""
    places = [
        *_describe_rows("row", [row["row"] for row in finding.rows]),
        *_describe_rows("row of the file", [row["row"] for row in finding.file_rows]),
        *_describe_other_texts(len(finding.other_texts)),
        *(f"field {name} of the import" for name in finding.texts),
    ]
    return f"Import {finding.job.pk} ({finding.job.status}): {'; '.join(places)}."


def describe_unread_file(finding: Finding) -> str:
    return (
        f"Import {finding.job.pk} ({finding.job.status}): its file could not be searched "
        f"({finding.unread_file}). If it may hold the person, delete its contents."
    )


def _describe_other_texts(number: int) -> list[str]:
    if not number:
        return []
    return [f"{number:,} text{pluralize(number)} of the file outside of its visible rows"]


def _describe_rows(what: str, numbers: list[Any]) -> list[str]:
    if not numbers:
        return []
    shown = ", ".join(map(str, numbers[:MAX_LISTED_ROWS]))
    more = f" and {len(numbers) - MAX_LISTED_ROWS:,} more" if len(numbers) > MAX_LISTED_ROWS else ""
    noun = what.replace("row", f"row{pluralize(len(numbers))}", 1)
    return [f"{noun} {shown}{more}"]
