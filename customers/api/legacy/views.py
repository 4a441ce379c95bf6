"""The earlier contract, kept field by field: a thin face over the same imports.

upload/ → bulk-create-async/ → bulk-create/status/<task_id>/. A task is an import, to be seen
in lists, pages and streams like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.decorators import method_decorator
from rest_framework import status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from customers.api.legacy import call_descriptions, estimates
from customers.api.legacy.parsers import CustomersParser, PostedCustomers
from customers.api.legacy.results import IMPORTER_NAME, serialize_check, serialize_task
from imports import inline, lifecycle, permissions
from imports.api import downloads, error_hints, views
from imports.api.errors import Conflict, PayloadTooLarge, ResourceNotFound, ServiceUnavailable
from imports.api.serializers import IDEMPOTENCY_KEY_PATTERN, MAX_IDEMPOTENCY_KEY_CHARS
from imports.api.views import (
    check_content_length,
    check_upload_length,
    format_size,
    get_uploaded_file,
    in_english,
)
from imports.models import ImportJob
from imports.pipeline.reader_client import ReaderLimits
from imports.statuses import Status

OTHER_WAY = (
    "This file is too large to be checked while you wait. Send it to POST /api/imports/ with "
    "check_first=true and follow it there."
)
LIST_TOO_LARGE = "This list is larger than %(most)s. Send several, or a file to POST /api/imports/."
TOO_MUCH_FOR_A_REQUEST = {
    *("too_many_rows", "too_large_inflated", "too_much_memory", "too_slow_to_read")
}
NOT_NOW = (
    "Too much is being checked just now. Ask again in a few seconds, or use POST /api/imports/."
)
NO_UPLOAD = (
    "There is no upload of this upload_id that you may start. Send the file to "
    "POST /api/auth/customers/excel/upload/ and use the upload_id of its answer."
)
NO_TASK = (
    "There is no task of this id that you may see. Use the task_id that bulk-create-async/ or "
    "bulk-create/ has answered."
)
# How many files a process checks inside requests at the same time.
SLOTS = BoundedSemaphore(settings.EXCEL_AT_ONCE)
UNDER_WAY = {Status.RUNNING, Status.PAUSED, Status.COMPLETE}


@method_decorator(in_english, name="dispatch")
class ExcelView(APIView):
    def refuse_too_large(self, request: Request) -> None:
        check_upload_length(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method == "POST":
            self.refuse_too_large(request)  # First of all: the CSRF check parses the body.
        super().initial(request, *args, **kwargs)
        if request.method == "POST" and not permissions.can_import(request.user):
            raise PermissionDenied(error_hints.IMPORT_NOT_PERMITTED_MESSAGE)


class UploadView(ExcelView):
    """Check a file while the client waits, write nothing."""

    parser_classes = (MultiPartParser,)

    @call_descriptions.describe_upload
    def post(self, request: Request) -> Response:
        file = get_uploaded_file(request)
        if file.size > settings.EXCEL_UPLOAD_MAX_BYTES:
            raise PayloadTooLarge(OTHER_WAY)
        with waiting_for_a_place():
            job = lifecycle.upload(
                request.user, file, importer=IMPORTER_NAME, check_first=True, should_enqueue=False
            )
            return Response(serialize_check(ready(inline.check_now(job.pk, reader_limits()))))


class ListView(ExcelView):
    parser_classes = (CustomersParser,)

    def refuse_too_large(self, request: Request) -> None:
        most = settings.EXCEL_MAX_LIST_BYTES
        check_content_length(
            request, most, PayloadTooLarge(LIST_TOO_LARGE % {"most": format_size(most)})
        )


class BulkCreateAsyncView(ListView):
    """Queue a list of customers, or start an upload that was checked."""

    @call_descriptions.describe_bulk_create_async
    def post(self, request: Request) -> Response:
        posted = sent_customers(request)
        try:
            return queued(job_of(posted, request), posted.total)
        finally:
            posted.close()


class BulkCreateView(ListView):
    """Import a short list while the client waits; queue a longer one."""

    @call_descriptions.describe_bulk_create
    def post(self, request: Request) -> Response:
        posted = sent_customers(request)
        try:
            return self.answer(posted, request)
        finally:
            posted.close()

    def answer(self, posted: PostedCustomers, request: Request) -> Response:
        if posted.upload_id or posted.total > settings.EXCEL_SYNC_MAX_CUSTOMERS:
            return queued(job_of(posted, request), posted.total)
        with waiting_for_a_place():
            job = job_of(posted, request, should_enqueue=False)
            job = job if job.is_final else inline.finish_now(job.pk, reader_limits())
        if job.status in {Status.QUEUED, Status.CHECKING, Status.RUNNING}:
            return queued(job, posted.total)
        return Response(serialize_task(job))


@call_descriptions.describe_legacy_template
class TemplateView(downloads.TemplateView):
    """The workbook to fill in."""

    importer = IMPORTER_NAME


class StatusView(ExcelView):
    """How far a task is."""

    @call_descriptions.describe_status
    def get(self, request: Request, task_id: str) -> Response:
        tasks = permissions.get_visible_imports(request.user).filter(importer=IMPORTER_NAME)
        job = tasks.filter(pk=as_uuid(task_id)).first()
        if job is None:
            raise ResourceNotFound(NO_TASK)
        return Response(serialize_task(job))


def sent_customers(request: Request) -> PostedCustomers:
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


def job_of(posted: PostedCustomers, request: Request, *, should_enqueue: bool = True) -> ImportJob:
    if posted.upload_id:
        return started(posted.upload_id, request)
    return lifecycle.upload(
        request.user,
        posted.file,
        importer=IMPORTER_NAME,
        idempotency_key=sent_key(request),
        should_enqueue=should_enqueue,
    )


def sent_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_IDEMPOTENCY_KEY_CHARS or not re.search(IDEMPOTENCY_KEY_PATTERN, key):
        message = (
            f"An Idempotency-Key has up to {MAX_IDEMPOTENCY_KEY_CHARS} printable ASCII characters."
        )
        raise ValidationError({"idempotency_key": [message]}, "invalid")
    return key


def started(upload_id: str, request: Request) -> ImportJob:
    """The checked upload, started; once more asked for, as it is."""
    uploads = permissions.get_controllable_imports(request.user).filter(importer=IMPORTER_NAME)
    job = uploads.filter(pk=as_uuid(upload_id)).first()
    if job is None:
        raise ResourceNotFound(NO_UPLOAD)
    try:
        return views.start_import(job)
    except Conflict:
        if job.status in UNDER_WAY:
            return job
        raise


def as_uuid(text: str) -> UUID | None:
    """None, which is no import's, for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def reader_limits() -> ReaderLimits:
    """Return the limits of a file that is checked inside a request."""
    return ReaderLimits(**settings.EXCEL_READER)


@contextmanager
def waiting_for_a_place() -> Iterator[None]:
    try:
        with inline.limited_slot(SLOTS):
            yield
    except inline.NoFreeSlot:
        raise ServiceUnavailable(NOT_NOW) from None


def ready(job: ImportJob) -> ImportJob:
    """The import if it is READY; or say why its file could not be checked."""
    if job.status == Status.READY and job.total <= settings.EXCEL_UPLOAD_MAX_ROWS:
        return job
    if job.status == Status.READY:
        lifecycle.cancel(job.pk)
    if job.status == Status.READY or job.error_code in TOO_MUCH_FOR_A_REQUEST:
        raise PayloadTooLarge(OTHER_WAY)
    if job.error_code is None:
        raise ServiceUnavailable(NOT_NOW)
    raise ValidationError(error_hints.describe_failed_check(job), job.error_code)


def queued(job: ImportJob, total: int) -> Response:
    total = total or job.total or 0
    answer = {
        "task_id": str(job.pk),
        "status": "QUEUED",
        "total_customers": total,
        "estimated_time_seconds": estimates.estimate_seconds(total),
    }
    return Response(answer, status.HTTP_202_ACCEPTED)
