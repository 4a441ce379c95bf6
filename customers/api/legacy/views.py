"""The earlier contract for spreadsheets of customers, on top of imports.

Clients call upload/, bulk-create-async/ and bulk-create/status/<task_id>/ in this order. A task is
an import: lists, pages and streams show it like any other import. What upload/ creates is a
preview. It is in no list unless it is started by its upload_id, and it is deleted after
IMPORTS_KEEP_PREVIEWS_DAYS. URLs and JSON keys never change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from customers.api.legacy import call_descriptions, estimates
from customers.api.legacy.parsers import CustomersParser, PostedCustomers
from customers.api.legacy.results import (
    IMPORTER_NAME,
    QueuedSerializer,
    TaskSerializer,
    serialize_check,
)
from imports import inline, lifecycle, permissions
from imports.api import downloads, error_hints, views
from imports.api.base import ApiView, check_content_length, get_actor, get_authenticated_user
from imports.api.errors import Conflict, PayloadTooLarge, ResourceNotFound, ServiceUnavailable
from imports.api.serializers import IDEMPOTENCY_KEY_PATTERN, MAX_IDEMPOTENCY_KEY_CHARS
from imports.api.views import check_upload_length, format_size, get_uploaded_file
from imports.history import SYSTEM, Command
from imports.models import ImportJob
from imports.pipeline.reader_client import ReaderLimits
from imports.statuses import Status

FILE_TOO_LARGE_MESSAGE = (
    "This file is too large to be checked while you wait. Send it to POST /api/imports/ with "
    "check_first=true and follow it there."
)
LIST_TOO_LARGE_MESSAGE = (
    "This list is larger than %(limit)s. Send several, or a file to POST /api/imports/."
)
# The codes of a file that is too much for a request, but perhaps not for a worker.
TOO_LARGE_CODES = {
    "too_many_rows",
    "too_large_inflated",
    "too_much_memory",
    "too_slow_to_read",
}
BUSY_MESSAGE = (
    "Too much is being checked just now. Ask again in a few seconds, or use POST /api/imports/."
)
UPLOAD_NOT_FOUND_MESSAGE = (
    "There is no upload of this upload_id that you may start. Send the file to "
    "POST /api/auth/customers/excel/upload/ and use the upload_id of its answer."
)
TASK_NOT_FOUND_MESSAGE = (
    "There is no task of this id that you may see. Use the task_id from an answer of "
    "bulk-create-async/ or bulk-create/."
)
# How many files a process checks inside requests at the same time.
CHECK_SLOTS = BoundedSemaphore(settings.EXCEL_MAX_CONCURRENT_REQUESTS)
STARTED_STATUSES = {Status.RUNNING, Status.PAUSED, Status.COMPLETE}


class ExcelView(ApiView):
    """Base of the views of the earlier contract: a POST needs the permission to import."""

    query_serializer_class = None  # The earlier system ignored query parameters.

    def check_length(self, request: Request) -> None:
        check_upload_length(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method == "POST":
            self.check_length(request)  # Before the CSRF check, which parses the body.
        super().initial(request, *args, **kwargs)
        if request.method == "POST" and not permissions.can_import(request.user):
            raise PermissionDenied(error_hints.IMPORT_NOT_PERMITTED_MESSAGE)


class UploadView(ExcelView):
    """Check a file while the client waits. No customer is written."""

    parser_classes = (MultiPartParser,)

    @call_descriptions.describe_upload
    def post(self, request: Request) -> Response:
        file = get_uploaded_file(request)
        if (file.size or 0) > settings.EXCEL_UPLOAD_MAX_BYTES:
            raise PayloadTooLarge(FILE_TOO_LARGE_MESSAGE)
        with _check_slot():
            job = lifecycle.upload(
                get_authenticated_user(request),
                file,
                importer=IMPORTER_NAME,
                check_first=True,
                should_enqueue=False,
                by=get_actor(request),
                is_preview=True,
            )
            job = inline.check_import_inline(job.pk, get_reader_limits())
            _require_ready(job)
            return Response(serialize_check(job))


class CustomerListView(ExcelView):
    """Base of the views that take a list of customers."""

    parser_classes = (CustomersParser,)

    def check_length(self, request: Request) -> None:
        max_bytes = settings.EXCEL_MAX_LIST_BYTES
        message = LIST_TOO_LARGE_MESSAGE % {"limit": format_size(max_bytes)}
        check_content_length(request, max_bytes, PayloadTooLarge(message))


class BulkCreateAsyncView(CustomerListView):
    """Queue a list of customers, or start a checked upload."""

    @call_descriptions.describe_bulk_create_async
    def post(self, request: Request) -> Response:
        posted = _get_posted_customers(request)
        try:
            return _respond_queued(_get_or_create_import(posted, request), posted.total)
        finally:
            posted.close()


class BulkCreateView(CustomerListView):
    """Import a short list while the client waits, and queue a longer one."""

    @call_descriptions.describe_bulk_create
    def post(self, request: Request) -> Response:
        posted = _get_posted_customers(request)
        try:
            return self._import(posted, request)
        finally:
            posted.close()

    def _import(self, posted: PostedCustomers, request: Request) -> Response:
        if posted.upload_id or posted.total > settings.EXCEL_SYNC_MAX_CUSTOMERS:
            return _respond_queued(_get_or_create_import(posted, request), posted.total)
        with _check_slot():
            job = _get_or_create_import(posted, request, should_enqueue=False)
            if not job.is_final:
                job = inline.check_and_apply_inline(job.pk, get_reader_limits())
        if job.status in {Status.QUEUED, Status.CHECKING, Status.RUNNING}:
            return _respond_queued(job, posted.total)
        return _respond_task(job, request)


@call_descriptions.describe_legacy_template
class TemplateView(downloads.TemplateView):
    """An empty workbook for customers."""

    importer = IMPORTER_NAME
    query_serializer_class = None


class StatusView(ExcelView):
    """Show how far a task is."""

    @call_descriptions.describe_status
    def get(self, request: Request, task_id: str) -> Response:
        tasks = permissions.get_visible_imports(request.user).filter(importer=IMPORTER_NAME)
        key = _parse_uuid(task_id)
        job = tasks.filter(pk=key).first() if key else None
        if job is None:
            raise ResourceNotFound(TASK_NOT_FOUND_MESSAGE)
        return _respond_task(job, request)


def _get_posted_customers(request: Request) -> PostedCustomers:
    """Return the parsed body, which the caller closes.

    Raises:
        ValidationError: The body has neither customers nor an upload_id, or both, or the list is
            empty.
    """
    posted = request.data if isinstance(request.data, PostedCustomers) else PostedCustomers()
    if bool(posted.file) == bool(posted.upload_id):
        posted.close()
        raise ValidationError(
            "Send either customers or the upload_id of a checked file.", "invalid"
        )
    if posted.file and not posted.total:
        posted.close()
        raise ValidationError("The list of customers is empty.", "empty_list")
    return posted


def _get_or_create_import(
    posted: PostedCustomers, request: Request, *, should_enqueue: bool = True
) -> ImportJob:
    """Return the started upload, or a new import of the posted list."""
    if posted.file is None:
        return _start_upload(posted.upload_id or "", request)
    return lifecycle.upload(
        get_authenticated_user(request),
        posted.file,
        importer=IMPORTER_NAME,
        idempotency_key=_get_idempotency_key(request),
        should_enqueue=should_enqueue,
        by=get_actor(request),
    )


def _get_idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_IDEMPOTENCY_KEY_CHARS or not re.search(IDEMPOTENCY_KEY_PATTERN, key):
        message = (
            f"An Idempotency-Key has up to {MAX_IDEMPOTENCY_KEY_CHARS} printable ASCII characters."
        )
        raise ValidationError({"idempotency_key": [message]}, "invalid")
    return key


def _start_upload(upload_id: str, request: Request) -> ImportJob:
    """Start a checked upload and return its import; an upload that is started already is returned.

    Raises:
        ResourceNotFound: There is no such upload, or the user may not control it.
        Conflict: The status does not allow it.
    """
    uploads = permissions.get_controllable_imports(request.user).filter(importer=IMPORTER_NAME)
    key = _parse_uuid(upload_id)
    job = uploads.filter(pk=key).first() if key else None
    if job is None:
        raise ResourceNotFound(UPLOAD_NOT_FOUND_MESSAGE)
    try:
        return views.give_command(Command.START, job, get_actor(request))
    except Conflict:
        job.refresh_from_db()
        if job.status in STARTED_STATUSES:
            return job
        raise


def _parse_uuid(text: str) -> UUID | None:
    """Return the UUID; None if the text is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def get_reader_limits() -> ReaderLimits:
    """Return the limits of a file that is checked inside a request."""
    return ReaderLimits(**settings.EXCEL_READER_LIMITS)


@contextmanager
def _check_slot() -> Iterator[None]:
    try:
        with inline.acquire_slot(CHECK_SLOTS):
            yield
    except inline.NoFreeSlot:
        raise ServiceUnavailable(BUSY_MESSAGE) from None


def _require_ready(job: ImportJob) -> None:
    """Check that the import is READY and small. A larger import is cancelled.

    Raises:
        PayloadTooLarge: The file has too much for a request.
        ServiceUnavailable: The check did not end in time.
        ValidationError: The file cannot be checked; the code is that of the import.
    """
    is_ready = job.status == Status.READY
    if is_ready and (job.total or 0) <= settings.EXCEL_UPLOAD_MAX_ROWS:
        return
    if is_ready:
        lifecycle.cancel(job.pk, by=SYSTEM)
    if is_ready or job.error_code in TOO_LARGE_CODES:
        raise PayloadTooLarge(FILE_TOO_LARGE_MESSAGE)
    if job.error_code is None:
        raise ServiceUnavailable(BUSY_MESSAGE)
    raise ValidationError(error_hints.describe_failed_check(job), job.error_code)


def _respond_task(job: ImportJob, request: Request) -> Response:
    context = {"mask": permissions.get_value_mask(request.user, job)}
    return Response(TaskSerializer(job, context=context).data)


def _respond_queued(job: ImportJob, total: int) -> Response:
    """Return the 202 of a task; with a total of 0, the total of the import is used."""
    total = total or job.total or 0
    task = {
        "task_id": job.pk,
        "status": "QUEUED",
        "total_customers": total,
        "estimated_time_seconds": estimates.estimate_seconds(total),
    }
    return Response(QueuedSerializer(task).data, status.HTTP_202_ACCEPTED)
