"""The actions on imports: upload, start, check again, cancel.

Pages, the REST API and the admin call these functions. Each function changes
the status of an import by one compare-and-set, and enqueues the following work after the commit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import F

from imports import actors, progress
from imports.idempotency import get_or_create_key
from imports.importer import get_importer, get_importer_or_placeholder
from imports.models import ImportJob, TransitionNotAllowed
from imports.pipeline import check_completion, column_mapping, file_checker
from imports.pipeline.header_detection import DetectedColumns
from imports.statuses import EmptyCells, OnDuplicate, Status

MAX_FILE_NAME_CHARS = 255
# The read options that may change which columns a file has.
OPTIONS_THAT_CHANGE_COLUMNS = ("sheet", "encoding", "delimiter")
CHANGEABLE_STATUSES = {Status.MAPPING, Status.READY}
# Errors of reading a file that other read options may correct.
FIXABLE_READ_ERRORS = frozenset(
    {
        "wrong_encoding",
        "wrong_delimiter",
        "unknown_encoding",
        "no_such_sheet",
        "no_rows",
    }
)


def upload(
    owner: AbstractBaseUser,
    file: UploadedFile[bytes],
    *,
    importer: str,
    on_duplicate: str = OnDuplicate.SKIP,
    empty_cells: str = EmptyCells.KEEP,
    check_first: bool = False,
    read_options: Mapping[str, str] | None = None,
    idempotency_key: str = "",
    should_enqueue: bool = True,
) -> ImportJob:
    """Store a file and create its import, in one transaction.

    An upload with an idempotency key that was used before returns the import of that time. With
    `should_enqueue=False` no worker is asked to check the file, because the caller does it; if the
    caller crashes, recovery asks a worker.

    Raises:
        KeyError: There is no such importer.
        IdempotencyKeyReused: The key was used for a different upload.
    """
    get_importer(importer)  # KeyError before anything is stored.
    digest = _digest(file)
    read_options = dict(read_options or {})
    sorted_options = json.dumps(read_options, sort_keys=True)
    request = f"{digest}:{importer}:{on_duplicate}:{empty_cells}:{check_first}:{sorted_options}"
    with transaction.atomic():
        key = get_or_create_key(owner, idempotency_key, request) if idempotency_key else None
        if key and key.job:
            return key.job
        job = ImportJob(
            owner_id=owner.pk,
            importer=importer,
            on_duplicate=on_duplicate,
            empty_cells=empty_cells,
            check_first=check_first,
            read_options=read_options,
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
            transaction.on_commit(actors.enqueue_check)
    progress.publish(job)
    return job


def _digest(file: UploadedFile[bytes]) -> str:
    """Return the SHA-256 digest of the file."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def start(pk: UUID) -> ImportJob:
    """Start to write the checked rows of an import.

    Raises:
        TransitionNotAllowed: The import is not READY.
    """
    with transaction.atomic():
        job = check_completion.start_applying(pk, only_from=Status.READY)
        transaction.on_commit(partial(actors.enqueue_due_batches, job))
    progress.publish(job)
    return job


def can_change(job: ImportJob) -> bool:
    """Whether the options of the import may be changed, with `check_again`.

    This is so while the import waits for a person, or after an error that other read options may
    correct.
    """
    if job.status == Status.FAILED:
        return job.error_code in FIXABLE_READ_ERRORS
    return job.status in CHANGEABLE_STATUSES


def check_again(pk: UUID, changed: Mapping[str, Any]) -> ImportJob:
    """Change options of an import and check it again.

    `changed` holds new values of fields of `ImportJob`. `read_options` are added to those that the
    import has. `column_mapping` has the form that `column_mapping.resolve_mapping` takes.

    Raises:
        TransitionNotAllowed: The import may not be changed (see `can_change`), or has a new column
            mapping before its file was read.
        InvalidMapping: The column mapping does not fit the file.
    """
    options = dict(changed)
    with transaction.atomic():
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
            options["column_mapping"] = column_mapping.resolve_mapping(
                options["column_mapping"],
                DetectedColumns(**job.detected_columns),
                get_importer_or_placeholder(job.importer),
            )
        ImportJob.objects.filter(pk=pk).update(
            **options, **file_checker.INITIAL_CHECK_FIELDS, run=F("run") + 1, progress_percent=0
        )
        job = ImportJob.objects.transition(pk, Status.QUEUED, only_from=Status(job.status))
        transaction.on_commit(actors.enqueue_check)
    progress.publish(job)
    return job


def _merge_read_options(job: ImportJob, changed: Mapping[str, str]) -> dict[str, Any]:
    """Return the new values of the import's fields when these read options change.

    An empty value removes an option. If the options may change which columns the file has, the
    detected columns and the column mapping are removed.
    """
    options = {name: value for name, value in {**job.read_options, **changed}.items() if value}
    if not changed.keys() & set(OPTIONS_THAT_CHANGE_COLUMNS):
        return {"read_options": options}
    return {
        "read_options": options,
        "detected_format": None,
        "detected_columns": None,
        "column_mapping": None,
    }


def cancel(pk: UUID) -> ImportJob:
    """Cancel an import. Batches that were written stay written.

    Raises:
        TransitionNotAllowed: The import has ended, or cannot be cancelled in its status.
    """
    job = ImportJob.objects.transition(pk, Status.CANCELLED)
    progress.publish(job)
    return job
