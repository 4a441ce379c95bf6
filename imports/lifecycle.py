"""The Python API of the app: create and control imports, and read their snapshots.

Pages, the REST API and the admin call these functions too. Each function changes the status of an
import by one compare-and-set. Inside a transaction of the caller, everything that other processes
must know is sent after the commit.

`by` says who gives a command and in which way; it goes into the history of the import. Unless it is
code of the project, the user needs the permissions that the importer asks for. Which imports a user
may control is not checked here: see `imports.permissions`.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from imports import actors, retention
from imports.history import PYTHON, Actor, Command, Via, record_event
from imports.idempotency import IdempotencyKeyReused
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob, TransitionNotAllowed, get_import_id
from imports.option_changes import can_change, check_again
from imports.permissions import NotPermitted, check_command
from imports.pipeline import check_completion, file_checker
from imports.pipeline import undo as undo_engine
from imports.pipeline.column_mapping import InvalidMapping
from imports.pipeline.undo_preview import UndoPreview, build_undo_preview
from imports.postgres import atomic, on_commit
from imports.progress import publish_after_commit
from imports.quotas import QuotaExceeded, check_unfinished, has_quota, lock_quotas
from imports.retention import get_contents_deadline
from imports.snapshots import Snapshot, build_snapshot, format_time
from imports.statuses import Status, get_source_statuses
from imports.upload_options import InvalidOptions, UploadFormFailed
from imports.uploads import InvalidOption, create_import, upload

__all__ = [
    "Actor",
    "IdempotencyKeyReused",
    "InvalidMapping",
    "InvalidOption",
    "InvalidOptions",
    "NotPermitted",
    "QuotaExceeded",
    "Snapshot",
    "TransitionNotAllowed",
    "UploadFormFailed",
    "Via",
    "can_change",
    "can_retry",
    "can_undo",
    "cancel",
    "check_again",
    "create_import",
    "delete_contents",
    "get_snapshot",
    "pause",
    "preview_undo",
    "resume",
    "retry",
    "start",
    "undo",
    "upload",
]

# What an import that retries failed rows takes over, besides the column mapping.
COPIED_FIELDS = (
    "importer",
    "on_duplicate",
    "empty_cells",
    "check_first",
    "on_missing_columns",
    "read_options",
    "importer_options",
    "has_header_row",
    "file",
    "file_name",
    "file_size",
    "file_digest",
)
# Errors after which the import can go on from where it stopped, once their cause is removed.
RETRYABLE_ERRORS = frozenset(
    {
        "crashed_reader",  # The worker or the machine may have been the cause, not the file.
        "too_much_memory",  # An administrator may have raised a limit.
        "too_slow_to_read",
        "too_large_inflated",
        "too_many_stored_rows",  # The owner may have deleted rows of other imports.
        "unknown_importer",  # The workers may have been restarted.
        "values_failed",  # The importer may have been corrected.
        "wrong_values_result",
        "invalid_values",
        "lookup_failed",
        "wrong_lookup_result",
        "wrong_lookup_model",
        "choices_failed",
        "database_error",
        "database_timeout",
        "writing_failed",
        "undo_failed",
    }
)


def start(job: ImportJob | UUID, *, by: Actor = PYTHON) -> ImportJob:
    """Start to write the checked rows of an import, and return the updated import.

    Raises:
        NotPermitted: The importer does not allow it to the user of `by`.
        TransitionNotAllowed: The import is not READY.
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = get_import_id(job)
    with atomic():
        check_command(by, ImportJob.objects.get(pk=pk), Command.START)
        # What was uploaded for a preview only becomes an import like any other.
        ImportJob.objects.filter(pk=pk, is_preview=True).update(is_preview=False)
        job = check_completion.start_applying(pk, only_from=Status.READY)
        record_event(pk, Command.START, by)
        on_commit(partial(actors.enqueue_due_batches, job))
        if job.is_final:  # There was nothing to write.
            on_commit(actors.enqueue_hooks)
    publish_after_commit(job)
    return job


def pause(job: ImportJob | UUID, *, by: Actor = PYTHON) -> ImportJob:
    """Pause the writing of an import, and return the updated import.

    Batches that were written stay written. A batch that is being written is rolled back.

    Raises:
        TransitionNotAllowed: The import is not RUNNING.
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = get_import_id(job)
    with atomic():
        job = ImportJob.objects.transition(pk, Status.PAUSED)
        record_event(pk, Command.PAUSE, by)
    publish_after_commit(job)
    return job


def resume(job: ImportJob | UUID, *, by: Actor = PYTHON) -> ImportJob:
    """Go on with the writing of a paused import, and return the updated import.

    Raises:
        NotPermitted: The importer does not allow it to the user of `by`.
        TransitionNotAllowed: The import is not PAUSED.
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = get_import_id(job)
    with atomic():
        check_command(by, ImportJob.objects.get(pk=pk), Command.RESUME)
        job = ImportJob.objects.transition(pk, Status.RUNNING, only_from=Status.PAUSED)
        record_event(pk, Command.RESUME, by)
        # The messages that were sent before the pause were received while nothing could be written.
        job.batches.filter(applied_at=None).update(enqueued_at=None)
        on_commit(partial(actors.enqueue_due_batches, job))
    publish_after_commit(job)
    return job


def cancel(job: ImportJob | UUID, *, by: Actor = PYTHON) -> ImportJob:
    """Cancel an import, and return the updated import. Batches that were written stay written.

    Raises:
        TransitionNotAllowed: The import has ended, or cannot be cancelled in its status.
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = get_import_id(job)
    with atomic():
        job = ImportJob.objects.transition(pk, Status.CANCELLED)
        record_event(pk, Command.CANCEL, by)
        on_commit(actors.enqueue_hooks)
    publish_after_commit(job)
    return job


def undo(job: ImportJob | UUID, *, by: Actor = PYTHON) -> ImportJob:
    """Start to undo an import that has ended, and return the updated import.

    Created records are removed and updated records restored, except those that were edited or used
    since: see docs/undo.md. Call it again if the undo has failed.

    Raises:
        NotPermitted: The importer does not allow it to the user of `by`.
        TransitionNotAllowed: The import cannot be undone: its status does not allow it
            (`not_allowed`), it has written nothing (`nothing_to_undo`), or its rows are no longer
            kept (`too_late`).
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = get_import_id(job)
    with atomic():
        job = ImportJob.objects.select_for_update().get(pk=pk)
        check_undo(job)
        check_command(by, job, Command.UNDO)
        undo_engine.prepare_undo(pk)
        ImportJob.objects.filter(pk=pk).update(run=F("run") + 1, progress_percent=0)
        job = ImportJob.objects.transition(pk, Status.UNDOING, only_from=Status(job.status))
        record_event(pk, Command.UNDO, by)
        on_commit(partial(actors.enqueue_undo, pk))
    publish_after_commit(job)
    return job


def retry(job: ImportJob | UUID, *, by: Actor = PYTHON) -> ImportJob:
    """Go on with an import that has failed, or import the failed rows of a completed one again.

    A check that failed reads on after the rows that it has staged. Writing that failed continues
    with the first batch that is not written. An undo that failed continues. In these cases the
    import itself is returned.

    For a completed import, a new import of the same file is returned, which reads only the rows
    that have failed. Rows that repeat an earlier row of the file would fail again and are left out.

    Raises:
        NotPermitted: The importer does not allow it to the user of `by`.
        QuotaExceeded: The owner has too many imports that have not ended.
        TransitionNotAllowed: The import cannot be retried: its status or its error does not allow
            it (`not_allowed`), no row can be retried (`nothing_to_retry`), its failed rows are
            retried already (`retried_already`), or its rows were deleted (`contents_deleted`).
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = get_import_id(job)
    with atomic():
        job = ImportJob.objects.select_for_update().get(pk=pk)
        check_retry(job)
        check_command(by, job, Command.RETRY)
        if job.status == Status.COMPLETE:
            job = _retry_failed_rows(job, by)
        elif job.error_code == "undo_failed":
            job = undo(job, by=by)
        else:
            job = _continue_import(job, by)
    publish_after_commit(job)
    return job


def _continue_import(job: ImportJob, by: Actor) -> ImportJob:
    """Let a failed import go on from where it stopped, within the caller's transaction."""
    is_checked = job.total is not None
    ImportJob.objects.filter(pk=job.pk).update(
        run=F("run") + 1,
        continues_check=not is_checked,
        # The limits of a small file would start the check anew.
        needs_main_reader=True,
        reader_crashes=0,
        timeouts=0,
    )
    record_event(job.pk, Command.RETRY, by)
    if not is_checked:
        on_commit(actors.enqueue_check)
        return ImportJob.objects.transition(job.pk, Status.QUEUED, only_from=Status.FAILED)
    job.batches.filter(applied_at=None).update(enqueued_at=None, timeouts=0)
    job = ImportJob.objects.transition(job.pk, Status.RUNNING, only_from=Status.FAILED)
    on_commit(partial(actors.enqueue_due_batches, job))
    return job


def _retry_failed_rows(job: ImportJob, by: Actor) -> ImportJob:
    """Create the import that reads the failed rows of a completed import again.

    Raises:
        QuotaExceeded: The owner has too many imports that have not ended.
    """
    if has_quota(by):
        lock_quotas(job.owner_id)
        check_unfinished(job.owner_id)
    positions = (job.detected_columns or {}).get("positions", {})
    fields = [column.field for column in get_importer_or_placeholder(job.importer).columns]
    retried = ImportJob(
        owner_id=job.owner_id,
        retry_of_id=job.pk,
        column_mapping={field: positions.get(field) for field in fields},
        **{name: getattr(job, name) for name in COPIED_FIELDS},
    )
    retried.save(force_insert=True)
    record_event(job.pk, Command.RETRY, by, {"import": str(retried.pk)})
    record_event(retried.pk, Command.UPLOAD, by, {"retry_of": str(job.pk)})
    on_commit(actors.enqueue_check)
    return retried


def can_retry(job: ImportJob) -> bool:
    """Whether a retry may be possible. Reads nothing, so `retry` may still find no row to retry."""
    if job.status == Status.FAILED and job.error_code == "undo_failed":
        return can_undo(job)
    if not _has_file_and_rows(job):
        return False
    if job.status == Status.COMPLETE:
        return job.failed > 0
    return job.status == Status.FAILED and job.error_code in RETRYABLE_ERRORS


def _has_file_and_rows(job: ImportJob) -> bool:
    return job.has_contents and bool(job.file)


def check_retry(job: ImportJob) -> None:
    """Check whether the import can be retried.

    Raises:
        TransitionNotAllowed: It cannot. The codes are those of `retry`.
    """
    if job.status == Status.FAILED and job.error_code == "undo_failed":
        check_undo(job)
        return
    is_retryable = job.status == Status.COMPLETE or (
        job.status == Status.FAILED and job.error_code in RETRYABLE_ERRORS
    )
    if not is_retryable:
        reason = f" ({job.error_code})" if job.status == Status.FAILED else ""
        raise TransitionNotAllowed(f"An import that is {job.status}{reason} cannot be retried.")
    if not _has_file_and_rows(job):
        raise TransitionNotAllowed(
            "This import can no longer be retried: its file and its rows were deleted.",
            "contents_deleted",
        )
    if job.status == Status.COMPLETE:
        _check_failed_rows(job)


def _check_failed_rows(job: ImportJob) -> None:
    if not job.failed or not job.rows.filter(file_checker.IS_RETRIED).exists():
        raise TransitionNotAllowed(
            "No row of this import can be retried: none has failed, or the failed ones repeat "
            "earlier rows of the file.",
            "nothing_to_retry",
        )
    ended_without_effect = (Status.CANCELLED, Status.UNDOING, Status.UNDONE)
    earlier = job.retries.exclude(status__in=ended_without_effect).first()
    if earlier is not None:
        raise TransitionNotAllowed(
            f"The failed rows of this import are retried already, by the import {earlier.pk}.",
            "retried_already",
            import_id=str(earlier.pk),
        )


def preview_undo(job: ImportJob | UUID) -> UndoPreview:
    """Return what `undo` would do now: how many records it would remove, restore and keep, and why.

    Raises:
        TransitionNotAllowed: The import cannot be undone, as for `undo`.
        ImportJob.DoesNotExist: There is no such import.
    """
    job = ImportJob.objects.get(pk=get_import_id(job))
    check_undo(job)
    return build_undo_preview(job)


def can_undo(job: ImportJob) -> bool:
    """Whether `undo` accepts the import."""
    try:
        check_undo(job)
    except TransitionNotAllowed:
        return False
    return True


def check_undo(job: ImportJob) -> None:
    """Check whether the import can be undone.

    Raises:
        TransitionNotAllowed: It cannot. The codes are those of `undo`.
    """
    if job.status not in get_source_statuses(Status.UNDOING):
        raise TransitionNotAllowed(f"An import that is {job.status} cannot be undone.")
    if not job.written:
        raise TransitionNotAllowed(
            "This import has created and updated no record: there is nothing to undo.",
            "nothing_to_undo",
        )
    deadline = job.contents_deleted_at or get_contents_deadline(job)
    if deadline is not None and deadline <= timezone.now():
        date = format_time(deadline)
        raise TransitionNotAllowed(
            f"This import can no longer be undone: its rows were kept until {date[:10]}.",
            "too_late",
            date=date,
        )


def can_delete_contents(job: ImportJob) -> bool:
    """Whether the file and the rows of the import can be deleted, with `delete_contents`."""
    return job.has_contents and job.status != Status.UNDOING


def delete_contents(job: ImportJob | UUID, *, by: Actor = PYTHON) -> ImportJob:
    """Delete the file and the rows of an import, and return the updated import.

    An import that has not ended is cancelled first. Imported records, counts and history stay. From
    now on nobody can read the file and the rows; a worker deletes the rows. A second call does
    nothing.

    Raises:
        TransitionNotAllowed: The import is being undone, or a retry of its failed rows has not
            ended.
        ImportJob.DoesNotExist: There is no such import.
    """
    pk = get_import_id(job)
    with atomic():
        job = retention.lock_import(pk)
        if not job.has_contents:
            return job
        if job.status == Status.UNDOING:
            raise TransitionNotAllowed(
                "This import is being undone. Delete its file and rows once it is UNDONE."
            )
        if not job.is_final:
            job = ImportJob.objects.transition(pk, Status.CANCELLED)
            record_event(pk, Command.CANCEL, by)
            on_commit(actors.enqueue_hooks)
        job = retention.mark_contents_deleted(job)
        record_event(pk, Command.DELETE, by)
        on_commit(actors.enqueue_purge)
    publish_after_commit(job)
    return job


def mark_seen(jobs: QuerySet[ImportJob]) -> int:
    """Record that the owner has seen how these imports ended; return how many were unread.

    `jobs` are unread imports of one owner: see `permissions.get_unread_imports`. It is no change of
    the imports, so neither their versions nor their history change.
    """
    return jobs.update(seen_at=Now())


def get_snapshot(job: ImportJob | UUID) -> Snapshot:
    """Return how far an import is now, as the REST API and the streams do.

    Raises:
        ImportJob.DoesNotExist: There is no such import.
    """
    jobs = ImportJob.objects.defer(*ImportJob.LARGE_FIELDS)
    return build_snapshot(jobs.get(pk=get_import_id(job)))
