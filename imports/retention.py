"""Retention: how long the data of imports is kept, and how its contents are marked as deleted.

The contents of an import are its file, its rows and the values of cells elsewhere. They are
deleted in two steps. `mark_contents_deleted` makes them inaccessible and deletes the file, in the
transaction of the command. `imports.purge` deletes the rows later, in small transactions.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import override

from imports.conf import app_settings
from imports.error_log import log_error
from imports.models import ImportJob, ImportRow
from imports.postgres import atomic, on_commit
from imports.statuses import FINAL_STATUSES, Status
from imports.storage import DatabaseStorage
from imports.transitions import TransitionNotAllowed

log = logging.getLogger(__name__)

# Names of sheets may be personal data. The error of an unknown sheet lists the sheets of the file.
NO_SHEETS: dict[str, Any] = {"sheet": None, "sheets": []}


class ContentsDeleted(Exception):
    """The file and the rows of the import were deleted. The text says when."""

    def __init__(self, deleted_at: datetime) -> None:
        with override("en"):
            date = date_format(localtime(deleted_at), "DATE_FORMAT")
        super().__init__(f"The file and the rows of this import were deleted on {date}.")
        self.deleted_at = deleted_at


def require_contents(job: ImportJob) -> None:
    """Check that the file and the rows of the import may be read.

    Raises:
        ContentsDeleted: They were deleted, or are being deleted.
    """
    if job.contents_deleted_at is not None:
        raise ContentsDeleted(job.contents_deleted_at)


# --- Deadlines ---------------------------------------------------------------


def get_contents_deadline(job: ImportJob) -> datetime | None:
    """Return until when the file and the rows of an import are kept.

    None until the import has ended, and after its contents were deleted.
    """
    if job.finished_at is None or job.contents_deleted_at is not None:
        return None
    return job.finished_at + timedelta(days=_get_contents_days(is_preview=job.is_preview))


def _get_contents_days(*, is_preview: bool) -> int:
    if is_preview:
        return app_settings.KEEP_PREVIEWS_DAYS
    return min(app_settings.KEEP_CONTENTS_DAYS, app_settings.KEEP_HISTORY_DAYS)


def select_imports_waiting_too_long() -> QuerySet[ImportJob]:
    """Return the imports that have waited for a person for too long, and are to be cancelled."""
    too_old = Q(is_preview=False, phase_started_at__lt=_days_ago(app_settings.CANCEL_WAITING_DAYS))
    too_old |= Q(is_preview=True, phase_started_at__lt=_days_ago(app_settings.KEEP_PREVIEWS_DAYS))
    return ImportJob.objects.filter(too_old, status__in=[Status.MAPPING, Status.READY])


def select_imports_with_expired_contents() -> QuerySet[ImportJob]:
    """Return the imports whose contents are to be deleted.

    An import that ended is left out while a retry of its failed rows has not ended, because the
    retry reads its rows.
    """
    expired = Q(is_preview=False, finished_at__lt=_days_ago(_get_contents_days(is_preview=False)))
    expired |= Q(is_preview=True, finished_at__lt=_days_ago(_get_contents_days(is_preview=True)))
    unfinished = ImportJob.objects.filter(retry_of=OuterRef("pk"))
    return ImportJob.objects.filter(
        ~Exists(unfinished.exclude(status__in=FINAL_STATUSES)),
        expired,
        status__in=FINAL_STATUSES,
        contents_deleted_at=None,
    )


def has_expired_history() -> Q:
    """Whether an import without contents is to be deleted altogether. A preview has no history."""
    return Q(finished_at__lt=_days_ago(app_settings.KEEP_HISTORY_DAYS)) | Q(is_preview=True)


def select_imports_with_expired_history() -> QuerySet[ImportJob]:
    """Return the imports that are to be deleted altogether: their contents are deleted already.

    An import whose file could not be deleted stays, because it has the name of the file.
    """
    return ImportJob.objects.filter(
        has_expired_history(), contents_deleted_at__isnull=False, needs_purge=False, file=""
    )


def _days_ago(days: int) -> Any:
    return Now() - timedelta(days=days)


# --- Deleting the contents of one import -------------------------------------


def lock_import(job_id: UUID) -> ImportJob:
    """Lock an import together with the imports of the same stored file, and return it.

    Imports that share a file, such as an import and its retries, are locked in the order of their
    keys. Of two transactions that delete the contents of such imports, the second one therefore
    sees what the first has done, and deletes the file if it was the last user of it.

    Raises:
        ImportJob.DoesNotExist: There is no such import.
    """
    found = ImportJob.objects.only("file", "file_digest", "importer").get(pk=job_id)
    same_file = Q(pk=job_id)
    if found.file:
        same_file |= _has_same_file(found)
    locked = ImportJob.objects.filter(same_file).order_by("pk").select_for_update(no_key=True)
    for job in locked:
        if job.pk == job_id:
            return job
    raise ImportJob.DoesNotExist


def mark_contents_deleted(job: ImportJob) -> ImportJob:
    """Make the contents of an import inaccessible, delete its file, and return the import.

    Call it in a transaction, with the result of `lock_import`. A file in the database is deleted in
    the transaction, a file in another storage after the commit. The rows are deleted by
    `imports.purge`.

    Raises:
        TransitionNotAllowed: The import has not ended, or a retry of its failed rows has not ended.
    """
    if not job.is_final:
        raise TransitionNotAllowed(f"The contents of an import that is {job.status} are in use.")
    if job.retries.exclude(status__in=FINAL_STATUSES).exists():
        raise TransitionNotAllowed(
            "A retry of the failed rows of this import has not ended, and reads its rows. Cancel "
            "the retry first.",
            "retry_not_ended",
        )
    changes: dict[str, Any] = {
        "contents_deleted_at": Now(),
        "needs_purge": True,
        "version": F("version") + 1,
        "updated_at": Now(),
        **_remove_values(job),
    }
    if delete_file_or_defer(job):
        changes["file"] = ""
    ImportJob.objects.filter(pk=job.pk).update(**changes)
    return ImportJob.objects.get(pk=job.pk)


def _remove_values(job: ImportJob) -> dict[str, Any]:
    """Return the JSON fields of an import without values of cells and names of sheets.

    Headers, counts, codes and row numbers stay. `importer_options` stay, because they are what the
    user chose for the import, and no data of the file.
    """
    changes: dict[str, Any] = {"field_values": None}
    if columns := job.detected_columns:
        # One empty list for each column, because the number of lists is the number of columns.
        samples: list[list[str]] = [[] for _ in columns.get("samples", ())]
        changes["detected_columns"] = {**columns, "samples": samples}
    if detected := job.detected_format:
        changes["detected_format"] = {key: NO_SHEETS.get(key, detected[key]) for key in detected}
    for name in ("error_params", "read_options"):
        if values := getattr(job, name):
            changes[name] = {key: values[key] for key in values if key not in NO_SHEETS}
    return changes


# --- Stored files ------------------------------------------------------------


def _has_same_file(job: ImportJob) -> Q:
    # The index is on the digest and the importer.
    return Q(file=job.file.name, file_digest=job.file_digest, importer=job.importer)


def _is_file_in_use(job: ImportJob) -> bool:
    """Whether another import, whose contents are not deleted, has the same stored file."""
    others = ImportJob.objects.exclude(pk=job.pk).filter(_has_same_file(job))
    return others.filter(contents_deleted_at=None).exists()


def delete_file_or_defer(job: ImportJob) -> bool:
    """Delete the stored file of an import now or after the commit, unless another import uses it.

    Returns whether the import no longer needs the name of its file. This is not so if the file is
    in a storage outside the database: its deletion may fail, and is then repeated with the name.
    """
    if not job.file or _is_file_in_use(job):
        return True
    if isinstance(job.file.storage, DatabaseStorage):
        job.file.storage.delete(str(job.file.name))
        return True
    on_commit(partial(delete_file_safely, job))
    return False


def delete_file_safely(job: ImportJob) -> bool:
    """Delete a file outside the database, and forget its name; return whether it is deleted.

    An exception of the storage is logged. The import keeps the name, and the next purge repeats
    the deletion.
    """
    name = str(job.file.name)
    try:
        job.file.storage.delete(name)
        deleted = ImportJob.objects.filter(_has_same_file(job), contents_deleted_at__isnull=False)
        deleted.update(file="")
    except Exception as error:  # The code of a storage. The text of its error may name the file.
        log_error(log, f"deleting the file of import {job.pk}", error)
        return False
    return True


def select_imports_with_undeleted_files() -> QuerySet[ImportJob]:
    """Return imports whose file could not be deleted although their contents are deleted."""
    return ImportJob.objects.filter(contents_deleted_at__isnull=False, needs_purge=False).exclude(
        file=""
    )


def repeat_file_deletion(job: ImportJob) -> None:
    """Delete such a file after the commit. If another import uses it, only forget its name."""
    if delete_file_or_defer(job):
        ImportJob.objects.filter(pk=job.pk).update(file="")


# --- Imports that the project deletes ----------------------------------------


def delete_remains(sender: object, instance: ImportJob, **kwargs: object) -> None:
    """Delete the rows and the file of an import that Django has deleted.

    A receiver of `post_delete`. No foreign key of the database leads from the rows or the file to
    the import, so no cascade deletes them.
    """
    with atomic():
        ImportRow.objects.filter(job_id=instance.pk).delete()
        delete_file_or_defer(instance)
