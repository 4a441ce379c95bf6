"""Change the options of an import, and check its file again.

`imports.lifecycle` offers `can_change` and `check_again` as parts of the Python API.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import F

from imports import actors
from imports.history import PYTHON, Actor, Command, record_event
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob, TransitionNotAllowed, get_import_id
from imports.permissions import check_command
from imports.pipeline import file_checker
from imports.pipeline.column_mapping import resolve_mapping
from imports.pipeline.header_detection import DetectedColumns
from imports.postgres import atomic, on_commit
from imports.progress import publish_after_commit
from imports.statuses import EmptyCells, HiddenRows, OnDuplicate, OnMissingColumns, Status
from imports.uploads import InvalidOption, check_choice, check_text_options

# The read options that may change which columns a file has.
OPTIONS_THAT_CHANGE_COLUMNS = ("sheet", "encoding", "delimiter")
READ_OPTIONS = (*OPTIONS_THAT_CHANGE_COLUMNS, "hidden_rows")
CHANGEABLE_CHOICES = {
    "on_duplicate": OnDuplicate.values,
    "empty_cells": EmptyCells.values,
    "on_missing_columns": OnMissingColumns.values,
}
# What `check_again` changes.
CHANGEABLE_FIELDS = (
    *CHANGEABLE_CHOICES,
    "check_first",
    "has_header_row",
    "column_mapping",
    "read_options",
)
CHANGEABLE_STATUSES = {Status.MAPPING, Status.READY}
# Errors of a check that other options may correct.
FIXABLE_READ_ERRORS = frozenset(
    {
        "wrong_encoding",
        "wrong_delimiter",
        "unknown_encoding",
        "no_such_sheet",
        "no_rows",
        "missing_columns",
        "wrong_column_mapping",
    }
)


def can_change(job: ImportJob) -> bool:
    """Whether the options of the import may be changed, with `check_again`.

    This is so while the import waits for a person, or after an error that other options may
    correct, and while its file is kept.
    """
    if not job.has_contents:
        return False
    if job.status == Status.FAILED:
        return job.error_code in FIXABLE_READ_ERRORS
    return job.status in CHANGEABLE_STATUSES


def check_again(
    job: ImportJob | UUID, changes: Mapping[str, Any], *, by: Actor = PYTHON
) -> ImportJob:
    """Change options of an import, check it again, and return it as it is then.

    `changes` holds new values of CHANGEABLE_FIELDS. `read_options` are added to those that the
    import has. `column_mapping` has the form that `column_mapping.resolve_mapping` takes.

    Raises:
        NotPermitted: The importer does not allow the user of `by` to import with the new options.
        InvalidOption: A change is unknown, or has a value that is not accepted.
        TransitionNotAllowed: The import may not be changed (see `can_change`), or has a new column
            mapping before its file was read.
        InvalidMapping: The column mapping does not fit the file.
        ImportJob.DoesNotExist: There is no such import.
    """
    _check_changes(changes)
    pk, options = get_import_id(job), dict(changes)
    with atomic():
        job = ImportJob.objects.select_for_update().get(pk=pk)
        if not can_change(job):
            raise TransitionNotAllowed(f"An import that is {job.status} can no longer be changed.")
        check_command(by, job, Command.CHANGE, options.get("on_duplicate"))
        if "read_options" in options:
            options |= _merge_read_options(job, options["read_options"])
        if options.get("column_mapping") is not None:
            if job.detected_columns is None:
                raise TransitionNotAllowed(
                    "The file has not been read. Change how it is read first.", "file_not_read"
                )
            options["column_mapping"] = resolve_mapping(
                options["column_mapping"],
                DetectedColumns(**job.detected_columns),
                get_importer_or_placeholder(job.importer),
            )
        ImportJob.objects.filter(pk=pk).update(
            **options, **file_checker.INITIAL_CHECK_FIELDS, run=F("run") + 1, progress_percent=0
        )
        job = ImportJob.objects.transition(pk, Status.QUEUED, only_from=Status(job.status))
        record_event(pk, Command.CHANGE, by, {"options": sorted(changes)})
        on_commit(actors.enqueue_check)
    publish_after_commit(job)
    return job


def _merge_read_options(job: ImportJob, changes: Mapping[str, str]) -> dict[str, Any]:
    """Return the new values of the import's fields when these read options change.

    An empty value removes an option. If the options may change which columns the file has, the
    detected columns and the column mapping are removed.
    """
    options = {name: value for name, value in {**job.read_options, **changes}.items() if value}
    if not changes.keys() & set(OPTIONS_THAT_CHANGE_COLUMNS):
        return {"read_options": options}
    return {
        "read_options": options,
        "detected_format": None,
        "detected_columns": None,
        "column_mapping": None,
    }


def _check_names(names: Iterable[str], allowed: Collection[str]) -> None:
    for name in names:
        if name not in allowed:
            raise InvalidOption(name, f"This cannot be changed. These can: {', '.join(allowed)}.")


def _check_changes(changes: Mapping[str, Any]) -> None:
    """Validate the names and the values of changes, except the columns that a mapping names.

    Raises:
        InvalidOption: A name is unknown, or a value is not accepted.
    """
    _check_names(changes, CHANGEABLE_FIELDS)
    for name, value in changes.items():
        if name in CHANGEABLE_CHOICES:
            check_choice(name, value, CHANGEABLE_CHOICES[name])
    if not isinstance(changes.get("check_first", False), bool):
        raise InvalidOption("check_first", "Give True or False.")
    if not isinstance(changes.get("has_header_row"), bool | None):
        raise InvalidOption("has_header_row", "Give True, False or None.")
    for name in ("column_mapping", "read_options"):
        value = changes.get(name, {})
        if not isinstance(value, Mapping) and not (value is None and name == "column_mapping"):
            raise InvalidOption(name, "Give a dictionary.")
    read_options = changes.get("read_options", {})
    _check_names(read_options, READ_OPTIONS)
    for name, value in read_options.items():
        if not isinstance(value, str):
            raise InvalidOption(name, "Give a text.")
    check_choice("hidden_rows", read_options.get("hidden_rows", ""), ["", *HiddenRows.values])
    check_text_options(read_options.get("encoding", ""), read_options.get("delimiter", ""))
