"""Call the hooks of importers (`after_batch`, `after_import`) and send the signals of the app.

A call that is due is a row of `HookCall`, which commits with the change that it follows. A worker
claims the row, makes the call, and deletes the row. If the call fails, or its worker crashes, the
row stays and is claimed again later, after pauses that grow up to an hour. A call that has failed
for IMPORTS_HOOK_MAX_SECONDS is given up. Its row stays until an administrator calls the hook again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from imports import notice_delivery, signals
from imports.conf import app_settings
from imports.error_log import log_error
from imports.importer import FinishedImportContext, Importer, get_importer, is_registered
from imports.models import HookCall, ImportBatch, ImportJob
from imports.pipeline.batch_writer import get_written_keys
from imports.pipeline.target_table import get_target_table
from imports.postgres import get_connection
from imports.snapshots import build_snapshot
from imports.statuses import Hook

log = logging.getLogger(__name__)

MAX_RETRY_SECONDS = 3_600
# A call is given up after this many attempts at least. After days without a worker, its first
# attempts would otherwise be its last.
MIN_ATTEMPTS = 10
MAX_ERROR_CHARS = 100

# statement_timestamp(), because now() does not change within a transaction, and a test may run all
# calls in one.
# The time to the next attempt is the age of the call, so it doubles with each attempt. The call of
# after_import waits until after_batch has succeeded for every batch.
CLAIM = """
UPDATE imports_hookcall
   SET attempts = attempts + 1,
       due_at = statement_timestamp() + greatest(%(timeout)s * interval '1 second',
           least(statement_timestamp() - created_at, %(max_retry)s * interval '1 second'))
 WHERE id = (
       SELECT id FROM imports_hookcall AS due
        WHERE due_at <= statement_timestamp() AND gave_up_at IS NULL
          AND (%(job)s::uuid IS NULL OR job_id = %(job)s::uuid)
          AND (hook <> 'after_import' OR NOT EXISTS (
               SELECT FROM imports_hookcall AS earlier
                WHERE earlier.job_id = due.job_id AND earlier.hook = 'after_batch'))
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""


def has_due_calls() -> bool:
    """Whether a call can be made now."""
    earlier = HookCall.objects.filter(job=OuterRef("job"), hook=Hook.AFTER_BATCH)
    waits = Q(hook=Hook.AFTER_IMPORT) & Exists(earlier)
    due = HookCall.objects.filter(due_at__lte=Now(), gave_up_at=None)
    return due.exclude(waits).exists()


def list_failed_calls(job: ImportJob) -> models.QuerySet[HookCall]:
    """Return the calls of an import that have failed and are not made yet, in their order."""
    return HookCall.objects.filter(job=job).exclude(error="")


def call_again(job: ImportJob) -> int:
    """Let the failed calls of an import be made now, also those given up; return how many.

    The time until a call is given up begins again.
    """
    return list_failed_calls(job).update(
        created_at=Now(), due_at=Now(), attempts=0, gave_up_at=None
    )


def call_due_hooks(
    job_id: UUID | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    should_raise: bool = False,
) -> None:
    """Make the calls that are due, of one import or of all, in their order.

    An exception of a hook is logged, and the call is made again later. Ends between two calls if
    `should_stop` returns True. `should_raise` is for tests of an importer: the exception of a hook
    is raised instead.

    Raises:
        Error: The database is not available.
        Exception: With `should_raise`, whatever a hook raises.
    """
    while not should_stop() and (call := _claim_call(job_id)):
        try:
            _make_call(call)
        except Exception as error:  # The code of an app. The text of its error may quote a record.
            if should_raise:
                raise
            log_error(log, f"{call.hook} of import {call.job_id}", error)
            get_connection().close_if_unusable_or_obsolete()
            _record_failure(call, error)
        else:
            call.delete()


def _claim_call(job_id: UUID | None) -> HookCall | None:
    parameters = {
        "job": job_id,
        "timeout": app_settings.HOOK_TIMEOUT_SECONDS,
        "max_retry": MAX_RETRY_SECONDS,
    }
    return next(iter(HookCall.objects.raw(CLAIM, parameters)), None)


def _record_failure(call: HookCall, error: Exception) -> None:
    """Store the class of the exception, and give the call up if it has failed for too long."""
    own = HookCall.objects.filter(pk=call.pk)
    own.update(error=type(error).__name__[:MAX_ERROR_CHARS])
    oldest = Now() - timedelta(seconds=app_settings.HOOK_MAX_SECONDS)
    if own.filter(created_at__lte=oldest, attempts__gte=MIN_ATTEMPTS).update(gave_up_at=Now()):
        log.error("%s of import %s is given up: no attempt has succeeded", call.hook, call.job_id)


def _make_call(call: HookCall) -> None:
    job = call.job
    importer = get_importer(job.importer) if is_registered(job.importer) else Importer
    match Hook(call.hook):
        case Hook.IMPORT_STARTED:
            signals.import_started.send_robust(sender=ImportJob, job=job)
        case Hook.AFTER_BATCH:
            _call_after_batch(importer, job, call.batch_number or 0)
        case Hook.AFTER_IMPORT if job.is_final:
            importer.after_import(_make_finished_context(job))
        case Hook.IMPORT_FINISHED if job.is_final:
            notice_delivery.create_notices(job)
            signals.import_finished.send_robust(sender=ImportJob, job=job)
        case Hook.IMPORT_UNDONE:
            notice_delivery.create_notices(job)
            signals.import_undone.send_robust(sender=ImportJob, job=job)


def _call_after_batch(importer: type[Importer], job: ImportJob, number: int) -> None:
    batch = ImportBatch.objects.filter(job=job, number=number).first()
    if batch is not None and importer is not Importer:
        keys = get_written_keys(batch, get_target_table(importer))
        importer.after_batch(keys, job.make_context())


def _make_finished_context(job: ImportJob) -> FinishedImportContext:
    context = job.make_context()
    return FinishedImportContext(
        import_id=context.import_id,
        user=context.user,
        options=context.options,
        snapshot=build_snapshot(job),
    )
