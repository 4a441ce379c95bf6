"""Quotas: how much one user may upload and keep.

The counts are those of the database, and the last check of an upload holds a lock of the user until
its commit. Uploads that arrive at the same time, at any web process, therefore exceed no quota.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import ceil
from typing import Any

from django.db.models import QuerySet, Sum
from django.db.models.functions import Now
from django.urls import reverse

from imports import error_messages
from imports.advisory_locks import USER_QUOTA, lock_exclusively
from imports.conf import app_settings
from imports.history import Actor, Via
from imports.models import ImportJob
from imports.postgres import open_cursor
from imports.statuses import FINAL_STATUSES

# Code of the project and operators have no quota.
LIMITED_WAYS = frozenset({Via.PAGE, Via.REST, Via.ADMIN})
RATE_SECONDS = 60
MAX_NAMED_IMPORTS = 10


class QuotaExceeded(Exception):
    """An upload would exceed a quota of its user.

    The text says in the active language what to delete, or how long to wait. `params` are those of
    `code`, a key of `error_messages.QUOTA_MESSAGES`. `imports` has the imports that can be deleted,
    and `wait_seconds` is None if waiting does not help.
    """

    def __init__(
        self,
        code: str,
        imports: Sequence[ImportJob] = (),
        wait_seconds: int | None = None,
        **params: Any,
    ) -> None:
        self.code = code
        self.imports = imports
        self.wait_seconds = wait_seconds
        self.params = {**params, "imports": [describe_import(job) for job in imports]}
        super().__init__(error_messages.describe_quota(code, self.params))


def describe_import(job: ImportJob) -> dict[str, Any]:
    return {
        "id": str(job.pk),
        "file_name": job.file_name,
        "file_size": job.file_size,
        "status": job.status,
        "url": reverse("imports:api:import-detail", args=[job.pk]),
    }


def has_quota(actor: Actor) -> bool:
    return actor.via in LIMITED_WAYS


def check_quotas(owner_id: object, new_bytes: int) -> None:
    """Check whether the user may upload a file of this size now.

    Without a lock, another upload may be stored in between: see `lock_quotas`.

    Raises:
        QuotaExceeded: The user has uploaded too much in the last minute (`too_many_uploads`), has
            too many imports that have not ended (`too_many_imports`), or too large files
            (`too_many_bytes`).
    """
    jobs = ImportJob.objects.filter(owner=owner_id).defer(*ImportJob.LARGE_FIELDS)
    _check_rate(jobs)
    check_unfinished(owner_id)
    _check_stored_bytes(jobs, new_bytes)


def lock_quotas(owner_id: object) -> None:
    """Let no other upload of the user be stored before the end of the transaction."""
    lock_exclusively(USER_QUOTA, str(owner_id))


def check_unfinished(owner_id: object) -> None:
    """Check whether the user may have one more import that has not ended.

    Raises:
        QuotaExceeded: The user has too many of them (`too_many_imports`).
    """
    limit = app_settings.MAX_UNFINISHED_IMPORTS_PER_USER
    if limit is None:
        return
    jobs = ImportJob.objects.filter(owner=owner_id).exclude(status__in=FINAL_STATUSES)
    count = jobs.count()
    if count >= limit:
        oldest = jobs.defer(*ImportJob.LARGE_FIELDS).order_by("created_at")
        raise QuotaExceeded(
            "too_many_imports", list(oldest[:MAX_NAMED_IMPORTS]), limit=limit, count=count
        )


def find_exceeded_row_quota(job: ImportJob) -> dict[str, int] | None:
    """Return the parameters of the error if the owner has too many stored rows, else None.

    The rows of `job` itself do not count. A small file may hold many rows, and each retry stages
    the failed rows again. The number of rows is not known when a file is uploaded, so the check of
    the import calls this function before it stages the first row.
    """
    limit = app_settings.MAX_STORED_ROWS_PER_USER
    created_via = job.events.order_by("pk").values_list("via", flat=True).first()
    if limit is None or job.owner_id is None or created_via not in LIMITED_WAYS:
        return None
    kept = ImportJob.objects.filter(owner=job.owner_id, contents_deleted_at=None)
    stored = kept.exclude(pk=job.pk).aggregate(rows=Sum("checked"))["rows"] or 0
    return {"stored": stored, "limit": limit} if stored >= limit else None


def _check_rate(jobs: QuerySet[ImportJob]) -> None:
    limit = app_settings.MAX_UPLOADS_PER_USER_PER_MINUTE
    if limit is None:
        return
    # A retry is no upload.
    recent = jobs.filter(retry_of=None, created_at__gt=Now() - timedelta(seconds=RATE_SECONDS))
    times = list(recent.order_by("-created_at").values_list("created_at", flat=True)[:limit])
    if len(times) >= limit:
        with open_cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM statement_timestamp() - %s)", [times[-1]])
            age = float(cursor.fetchone()[0])
        wait = max(1, ceil(RATE_SECONDS - age))
        raise QuotaExceeded("too_many_uploads", wait_seconds=wait, limit=limit, seconds=wait)


def _check_stored_bytes(jobs: QuerySet[ImportJob], new_bytes: int) -> None:
    limit = app_settings.MAX_STORED_BYTES_PER_USER
    if limit is None:
        return
    # A retry reads the file of the import that it retries, which counts once.
    kept = jobs.filter(contents_deleted_at=None, retry_of=None)
    stored = kept.aggregate(bytes=Sum("file_size"))["bytes"] or 0
    if stored + new_bytes > limit:
        ended = kept.filter(status__in=FINAL_STATUSES).order_by("-file_size", "created_at")
        largest = list(ended[:MAX_NAMED_IMPORTS]) or list(
            kept.order_by("-file_size", "created_at")[:MAX_NAMED_IMPORTS]
        )
        raise QuotaExceeded(
            "too_many_bytes", largest, limit=limit, stored=stored, file_size=new_bytes
        )
