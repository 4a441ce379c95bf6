"""Orphans: what no import refers to any more, because a crash or the project left it behind."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from imports.error_log import log_error
from imports.models import (
    ImportAttempt,
    ImportBatch,
    ImportJob,
    ImportRow,
    StoredFile,
    import_storage,
)
from imports.postgres import open_cursor
from imports.storage import FILE_FOLDER, DatabaseStorage

log = logging.getLogger(__name__)

MIN_FILE_AGE = timedelta(days=1)  # The import of a younger file may not be committed yet.
MAX_FILES = 20  # Deleted in one step. A file may have 100 MB.

# Visits each import once, through the index of the primary key, and not each row.
FIND_ORPHAN_ROWS = """
WITH RECURSIVE owner AS (
    (SELECT job_id FROM imports_importrow ORDER BY job_id LIMIT 1)
    UNION ALL
    SELECT (SELECT job_id FROM imports_importrow r WHERE r.job_id > owner.job_id
             ORDER BY job_id LIMIT 1)
      FROM owner WHERE owner.job_id IS NOT NULL)
SELECT job_id FROM owner
 WHERE job_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM imports_importjob job WHERE job.id = owner.job_id)
 LIMIT 1
"""


def find_import_of_orphan_rows() -> UUID | None:
    """Return the key of an import that does not exist and has rows; None if there is none."""
    with open_cursor() as cursor:
        cursor.execute(FIND_ORPHAN_ROWS)
        row = cursor.fetchone()
    return None if row is None else row[0]


def select_orphan_rows() -> QuerySet[ImportRow]:
    """Return the rows without an import. The query reads all rows."""
    return ImportRow.objects.filter(~Exists(ImportJob.objects.filter(pk=OuterRef("job_id"))))


def delete_orphan_attempts() -> None:
    """Delete attempts at batches that do not exist."""
    batch = ImportBatch.objects.filter(pk=OuterRef("batch_id"))
    ImportAttempt.objects.filter(~Exists(batch)).delete()


def count_orphan_files() -> int:
    """Return the number of files without an import, in the database and outside."""
    return _select_orphan_files().count() + len(list_orphan_names())


def delete_orphan_files() -> int:
    """Delete some files of the database without an import; return how many."""
    names = list(_select_orphan_files().values_list("pk", flat=True)[:MAX_FILES])
    StoredFile.objects.filter(pk__in=names).delete()
    return len(names)


def list_orphan_names() -> list[str]:
    """Return the names of the files outside the database that have no import.

    Empty if files are stored in the database. An exception of the storage is logged. A request
    that crashes between the storage and the commit leaves such a file.
    """
    storage = import_storage()
    if isinstance(storage, DatabaseStorage):
        return []
    used = set(ImportJob.objects.exclude(file="").values_list("file", flat=True))
    youngest = timezone.now() - MIN_FILE_AGE
    try:
        names = [f"{FILE_FOLDER}/{name}" for name in storage.listdir(FILE_FOLDER)[1]]
        return [
            name
            for name in names
            if name not in used and _as_utc(storage.get_modified_time(name)) < youngest
        ]
    except FileNotFoundError:  # Nothing was uploaded yet.
        return []
    except Exception as error:  # The code of a storage.
        log_error(log, "listing the uploaded files", error)
        return []


def _as_utc(moment: datetime) -> datetime:
    """Return an aware time. Without USE_TZ, a storage returns a time of the default time zone."""
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def delete_file_outside(name: str) -> bool:
    """Delete a file outside the database; return whether this was possible."""
    try:
        import_storage().delete(name)
    except Exception as error:  # The code of a storage.
        log_error(log, "deleting a file without an import", error)
        return False
    return True


def _select_orphan_files() -> QuerySet[StoredFile]:
    job = ImportJob.objects.filter(file=OuterRef("name"))
    return StoredFile.objects.filter(~Exists(job), created_at__lt=Now() - MIN_FILE_AGE)
