"""What people and programs do to an import: upload, start, cancel.

All that pages, REST, admin and commands call. Each is one move by compare-and-set; what it
sets going is asked for after the commit.
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
# Read options that may give a file other columns.
OPTIONS_THAT_CHANGE_COLUMNS = ("sheet", "encoding", "delimiter")
CHANGEABLE_STATUSES = {Status.MAPPING, Status.READY}
# Why a file could not be read that may well be readable otherwise.
FIXABLE_READ_ERRORS = frozenset({
    *("wrong_encoding", "wrong_delimiter", "unknown_encoding", "no_such_sheet", "no_rows")
})  # fmt: skip


def upload(
    owner: AbstractBaseUser,
    file: UploadedFile,
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
    how = json.dumps(read_options, sort_keys=True)
    options = f"{digest}:{importer}:{on_duplicate}:{empty_cells}:{check_first}:{how}"
    with transaction.atomic():
        key = get_or_create_key(owner, idempotency_key, options) if idempotency_key else None
        if key and key.job:
            return key.job
        name = file.name[-MAX_FILE_NAME_CHARS:]
        job = ImportJob(
            owner=owner,
            importer=importer,
            on_duplicate=on_duplicate,
            empty_cells=empty_cells,
            check_first=check_first,
            read_options=read_options,
            file_name=name,
            file_size=file.size,
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


def _digest(file: UploadedFile) -> str:
    """SHA-256 of the file's bytes: the same file is known again."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def start(pk: UUID) -> ImportJob:
    """Write what was checked. Raises TransitionNotAllowed unless the import is READY."""
    with transaction.atomic():
        job = check_completion.start_applying(pk, only_from=Status.READY)
        transaction.on_commit(partial(actors.enqueue_due_batches, job))
    progress.publish(job)
    return job


def can_change(job: ImportJob) -> bool:
    """Whether it waits for someone's word, or failed of what someone can say otherwise."""
    if job.status == Status.FAILED:
        return job.error_code in FIXABLE_READ_ERRORS
    return job.status in CHANGEABLE_STATUSES


def check_again(pk: UUID, changed: Mapping[str, Any]) -> ImportJob:
    """Check an import anew with other options; `column_mapping` is told as `mapping` has it.

    Raises TransitionNotAllowed unless it may be changed, and WrongMapping; then nothing changes.
    """
    options = dict(changed)
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=pk)
        if not can_change(job):
            raise TransitionNotAllowed(f"An import that is {job.status} can no longer be changed.")
        if "read_options" in options:
            options |= _read_anew(job, options["read_options"])
        if options.get("column_mapping") is not None:
            if job.detected_columns is None:
                raise TransitionNotAllowed(
                    "This file has not been read: say first how it is to be read."
                )
            told, importer = options["column_mapping"], get_importer_or_placeholder(job.importer)
            options["column_mapping"] = column_mapping.resolve_mapping(
                told, DetectedColumns(**job.detected_columns), importer
            )
        mine = ImportJob.objects.filter(pk=pk)
        mine.update(
            **options, **file_checker.VALUES_BEFORE_CHECK, run=F("run") + 1, progress_percent=0
        )
        job = ImportJob.objects.transition(pk, Status.QUEUED, only_from=job.status)
        transaction.on_commit(actors.enqueue_check)
    progress.publish(job)
    return job


def _read_anew(job: ImportJob, told: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that change where a file is to be read by these options.

    An option that is empty no longer holds. What is known of the columns is forgotten where the
    options may give the file other columns.
    """
    options = {name: value for name, value in {**job.read_options, **told}.items() if value}
    if not told.keys() & set(OPTIONS_THAT_CHANGE_COLUMNS):
        return {"read_options": options}
    return {
        "read_options": options,
        "detected_format": None,
        "detected_columns": None,
        "column_mapping": None,
    }


def cancel(pk: UUID) -> ImportJob:
    """Stop an import for good; batches already written stay written.

    Raises:
        TransitionNotAllowed: The import has ended, or cannot be cancelled in its status.
    """
    job = ImportJob.objects.transition(pk, Status.CANCELLED)
    progress.publish(job)
    return job
