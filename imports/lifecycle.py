"""The Python API of the app: create imports, start, change and cancel them, read their snapshots.

Pages, the REST API and the admin call these functions too. Each function changes the status of an
import by one compare-and-set. Inside a transaction of the caller, everything that other processes
must know is sent after the commit. No function checks permissions: see `imports.permissions`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.core.files import File
from django.db.models import F

from imports import actors, progress
from imports.conf import app_settings
from imports.idempotency import IdempotencyKeyReused, get_or_create_key
from imports.importer import (
    Importer,
    get_importer,
    get_importer_or_placeholder,
    list_importers,
)
from imports.models import ImportJob, TransitionNotAllowed
from imports.pipeline import check_completion, file_checker
from imports.pipeline.column_mapping import InvalidMapping, resolve_mapping, validate_mapping
from imports.pipeline.header_detection import DetectedColumns
from imports.pipeline.reader.options import is_delimiter, is_encoding
from imports.postgres import atomic, on_commit
from imports.snapshots import Snapshot, build_snapshot
from imports.statuses import EmptyCells, HiddenRows, OnDuplicate, OnMissingColumns, Status
from imports.upload_options import InvalidOptions, clean_options

__all__ = [
    "IdempotencyKeyReused",
    "InvalidMapping",
    "InvalidOption",
    "InvalidOptions",
    "Snapshot",
    "TransitionNotAllowed",
    "can_change",
    "cancel",
    "check_again",
    "create_import",
    "get_snapshot",
    "start",
]

MAX_FILE_NAME_CHARS = 255
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


# A file to import: a path, a binary stream, or a file of Django, such as one from a form.
ImportFile: TypeAlias = "str | os.PathLike[str] | IO[bytes] | File[bytes]"


class InvalidOption(ValueError):
    """An argument of `create_import` or a change of `check_again` is not accepted.

    `option` is the name of the argument or of the change. The text says what to do.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")
        self.option = option


def create_import(
    user: AbstractBaseUser,
    file: ImportFile,
    *,
    importer: str | type[Importer],
    on_duplicate: str = OnDuplicate.SKIP,
    empty_cells: str = EmptyCells.KEEP,
    check_first: bool = False,
    sheet: str = "",
    encoding: str = "",
    delimiter: str = "",
    hidden_rows: str = HiddenRows.IMPORT,
    options: Mapping[str, Any] | None = None,
    has_header_row: bool | None = None,
    column_mapping: Mapping[str, Any] | None = None,
    on_missing_columns: str = OnMissingColumns.ASK,
    file_name: str = "",
    idempotency_key: str = "",
) -> ImportJob:
    """Create an import of a file, which a worker then checks and writes. Returns at once.

    `user` becomes the owner. `file` is read from its start and may be closed afterwards. `importer`
    is a registered importer or its name. With `check_first`, nothing is written before `start` is
    called. `sheet`, `encoding` and `delimiter` are detected if they are empty, and the header row
    if `has_header_row` is None. `file_name` is the name that people see; if it is empty, it is the
    file's own name. `options` are the fields of the importer's upload form, as text, numbers, dates
    or records. The other options are those of the REST API.

    A call with an `idempotency_key` that the user has used before returns the import that the
    earlier call created.

    Raises:
        InvalidOption: An argument has a value that it does not accept, or the file is empty or
            larger than IMPORTS_MAX_UPLOAD_BYTES.
        InvalidOptions: The upload form of the importer does not accept `options`.
        InvalidMapping: `column_mapping` has an unknown field, or an entry that names no column.
        IdempotencyKeyReused: The key was used for a different file or with different options.
        OSError: The file cannot be read.
    """
    importer_name = _get_importer_name(importer)
    _check_choice("on_duplicate", on_duplicate, OnDuplicate.values)
    _check_choice("empty_cells", empty_cells, EmptyCells.values)
    _check_choice("hidden_rows", hidden_rows, HiddenRows.values)
    _check_choice("on_missing_columns", on_missing_columns, OnMissingColumns.values)
    _check_text_options(encoding, delimiter)
    read_options = {
        "sheet": sheet,
        "encoding": encoding,
        "delimiter": delimiter,
        "hidden_rows": "" if hidden_rows == HiddenRows.IMPORT else hidden_rows,
    }
    with _open_file(file, file_name) as opened:
        if not opened.size:
            raise InvalidOption("file", f"{opened.name} is empty.")
        if opened.size > app_settings.MAX_UPLOAD_BYTES:
            limit = f"IMPORTS_MAX_UPLOAD_BYTES ({app_settings.MAX_UPLOAD_BYTES:,})"
            raise InvalidOption(
                "file", f"{opened.name} has {opened.size:,} bytes. {limit} is less."
            )
        return upload(
            user,
            opened,
            importer=importer_name,
            on_duplicate=on_duplicate,
            empty_cells=empty_cells,
            check_first=check_first,
            has_header_row=has_header_row,
            column_mapping=column_mapping,
            on_missing_columns=on_missing_columns,
            read_options={name: value for name, value in read_options.items() if value},
            options=options,
            idempotency_key=idempotency_key,
        )


def _get_importer_name(importer: str | type[Importer]) -> str:
    name = importer if isinstance(importer, str) else importer.name
    names = sorted(registered.name for registered in list_importers())
    if name not in names:
        known = f"These are: {', '.join(names)}." if names else "No importer is registered."
        raise InvalidOption("importer", f"There is no importer {name!r}. {known}")
    return name


def _check_choice(option: str, value: object, allowed: list[str]) -> None:
    if value not in allowed:
        raise InvalidOption(option, f"{value!r} is none of {', '.join(allowed)}.")


def _check_text_options(encoding: str, delimiter: str) -> None:
    if encoding and not is_encoding(encoding):
        raise InvalidOption("encoding", f"Python knows no encoding {encoding!r}.")
    if delimiter and not is_delimiter(delimiter):
        raise InvalidOption("delimiter", "Give one character that is no letter, digit or quote.")


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
            _check_choice(name, value, CHANGEABLE_CHOICES[name])
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
    _check_choice("hidden_rows", read_options.get("hidden_rows", ""), ["", *HiddenRows.values])
    _check_text_options(read_options.get("encoding", ""), read_options.get("delimiter", ""))


@contextmanager
def _open_file(file: ImportFile, file_name: str) -> Iterator[File[bytes]]:
    """Yield the file as a file of Django that can be read twice. Closes only what it opened."""
    if isinstance(file, (str, os.PathLike)):
        with Path(file).open("rb") as stream:
            yield File(stream, file_name or Path(file).name)
        return
    name = file_name or getattr(file, "name", "")
    if not name or not isinstance(name, str):  # The name of an unnamed stream may be a number.
        raise InvalidOption("file_name", "This file has no name. Say what people shall see.")
    if isinstance(file.read(0), str):
        raise InvalidOption("file", f"{name} is open as text. Open it in binary mode.")
    content = file.file if isinstance(file, File) else file
    if content is None:
        raise InvalidOption("file", f"{name} is closed.")
    if content.seekable():
        yield _wrap(content, name)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(content, copy)
        yield _wrap(copy, name)


def _wrap(content: IO[bytes], name: str) -> File[bytes]:
    """Return a file of Django. Its size is that of the content, also of a compressed stream."""
    wrapped = File(content, Path(name).name)
    wrapped.size = content.seek(0, os.SEEK_END)
    return wrapped


def upload(
    owner: AbstractBaseUser,
    file: File[bytes],
    *,
    importer: str,
    on_duplicate: str = OnDuplicate.SKIP,
    empty_cells: str = EmptyCells.KEEP,
    check_first: bool = False,
    on_missing_columns: str = OnMissingColumns.ASK,
    has_header_row: bool | None = None,
    column_mapping: Mapping[str, Any] | None = None,
    read_options: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    idempotency_key: str = "",
    should_enqueue: bool = True,
) -> ImportJob:
    """Store a file and create its import, in one transaction.

    The caller has validated the options, as `create_import` does, except for `options`. These are
    the fields of the importer's upload form, which validates them here. `column_mapping` names the
    columns of fields, as in `column_mapping.resolve_mapping`. A field without an entry gets the
    column that is detected. `has_header_row` None detects the header.

    An upload with an idempotency key that was used before returns the import that the earlier call
    created. With `should_enqueue=False` no worker is asked to check the file, because the caller
    does it; if the caller crashes, recovery asks a worker.

    Raises:
        KeyError: There is no such importer.
        InvalidOptions: The upload form of the importer does not accept `options`.
        InvalidMapping: The column mapping has an unknown field, or an entry that names no column.
        IdempotencyKeyReused: The key was used for a different upload.
    """
    # Errors are raised before anything is stored.
    known_importer = get_importer(importer)
    importer_options = clean_options(known_importer, owner, options or {})
    if column_mapping is not None:
        validate_mapping(column_mapping, known_importer)
    digest = _digest(file)
    fields: dict[str, Any] = {
        "importer": importer,
        "on_duplicate": on_duplicate,
        "empty_cells": empty_cells,
        "check_first": check_first,
        "on_missing_columns": on_missing_columns,
        "has_header_row": has_header_row,
        "column_mapping": column_mapping,
        "read_options": dict(read_options or {}),
        "importer_options": importer_options,
    }
    request = f"{digest}:{json.dumps(fields, sort_keys=True)}"
    with atomic():
        key = get_or_create_key(owner, idempotency_key, request) if idempotency_key else None
        if key and key.job:
            return key.job
        job = ImportJob(
            **fields,
            owner_id=owner.pk,
            file_name=(file.name or "")[-MAX_FILE_NAME_CHARS:],
            file_size=file.size or 0,
            file_digest=digest,
        )
        job.file.save(str(job.id), file, save=False)
        job.save(force_insert=True)
        if key:
            key.job = job
            key.save(update_fields=["job"])
        if should_enqueue:
            on_commit(actors.enqueue_check)
    publish_after_commit(job)
    return job


def _digest(file: File[bytes]) -> str:
    """Return the SHA-256 digest of the file."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def start(job: ImportJob | UUID) -> ImportJob:
    """Start to write the checked rows of an import, and return the updated import.

    Raises:
        TransitionNotAllowed: The import is not READY.
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = _get_id(job)
    with atomic():
        job = check_completion.start_applying(pk, only_from=Status.READY)
        on_commit(partial(actors.enqueue_due_batches, job))
        if job.is_final:  # There was nothing to write.
            on_commit(actors.enqueue_hooks)
    publish_after_commit(job)
    return job


def can_change(job: ImportJob) -> bool:
    """Whether the options of the import may be changed, with `check_again`.

    This is so while the import waits for a person, or after an error that other options may
    correct.
    """
    if job.status == Status.FAILED:
        return job.error_code in FIXABLE_READ_ERRORS
    return job.status in CHANGEABLE_STATUSES


def check_again(job: ImportJob | UUID, changes: Mapping[str, Any]) -> ImportJob:
    """Change options of an import, check it again, and return it as it is then.

    `changes` holds new values of CHANGEABLE_FIELDS. `read_options` are added to those that the
    import has. `column_mapping` has the form that `column_mapping.resolve_mapping` takes.

    Raises:
        InvalidOption: A change is unknown, or has a value that is not accepted.
        TransitionNotAllowed: The import may not be changed (see `can_change`), or has a new column
            mapping before its file was read.
        InvalidMapping: The column mapping does not fit the file.
        ImportJob.DoesNotExist: There is no such import.
    """
    _check_changes(changes)
    pk, options = _get_id(job), dict(changes)
    with atomic():
        job = ImportJob.objects.select_for_update().get(pk=pk)
        if not can_change(job):
            raise TransitionNotAllowed(f"An import that is {job.status} can no longer be changed.")
        if "read_options" in options:
            options |= _merge_read_options(job, options["read_options"])
        if options.get("column_mapping") is not None:
            if job.detected_columns is None:
                raise TransitionNotAllowed(
                    "This file has not been read: say first how it is to be read."
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


def publish_after_commit(job: ImportJob) -> None:
    """Publish the snapshot of an import when the caller's transaction, if there is one, commits."""
    on_commit(partial(progress.publish, job))


def cancel(job: ImportJob | UUID) -> ImportJob:
    """Cancel an import, and return the updated import. Batches that were written stay written.

    Raises:
        TransitionNotAllowed: The import has ended, or cannot be cancelled in its status.
        ImportJob.DoesNotExist: There is no such import.
    """
    with atomic():
        job = ImportJob.objects.transition(_get_id(job), Status.CANCELLED)
        on_commit(actors.enqueue_hooks)
    publish_after_commit(job)
    return job


def get_snapshot(job: ImportJob | UUID) -> Snapshot:
    """Return how far an import is now, as the REST API and the streams do.

    Raises:
        ImportJob.DoesNotExist: There is no such import.
    """
    jobs = ImportJob.objects.defer(*ImportJob.LARGE_FIELDS)
    return build_snapshot(jobs.get(pk=_get_id(job)))


def _get_id(job: ImportJob | UUID) -> UUID:
    return job.pk if isinstance(job, ImportJob) else job
