"""The views that answer with a file. The words in the files are English."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from rest_framework import status
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request

from imports import downloads, permissions
from imports.api import error_hints
from imports.api.base import ApiView, JsonErrorNegotiation, get_actor
from imports.api.errors import ServiceUnavailable
from imports.api.serializers import QuerySerializer, TemplateQuery
from imports.history import Actor
from imports.importer import get_importer
from imports.inline import NoFreeSlot
from imports.models import ImportJob
from imports.pipeline.failed_rows import NoFailedRows
from imports.storage import StoredFileNotFound
from imports.workbooks import WorkbooksNotSupported

SENSITIVE_FILE_MESSAGE = (
    "This file holds columns that you may not see. Ask an administrator for the permission "
    "imports.view_sensitive."
)
TOO_MANY_REPORTS_MESSAGE = "Too many reports are being built just now. Ask again in a few seconds."


class FileNotKept(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "file_deleted"
    default_detail = "The uploaded file is no longer kept."


class FailedRowsNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "no_failed_rows"
    default_detail = "This import has no such rows, or they were deleted."


class WorkbooksNotWritten(APIException):
    status_code = status.HTTP_501_NOT_IMPLEMENTED
    default_code = "workbooks_not_supported"
    default_detail = "This site cannot create workbooks. Ask for the CSV file instead."


@method_decorator(cache_control(private=True, no_store=True), name="dispatch")
class FileView(ApiView):
    content_negotiation_class = JsonErrorNegotiation

    def get_downloadable_import(self, pk: UUID) -> ImportJob:
        """Return the import.

        Raises:
            Http404: There is no such import, or the user may not see it.
            PermissionDenied: Values of the import are hidden from the user.
        """
        job = get_object_or_404(permissions.get_visible_imports(self.request.user), pk=pk)
        if not permissions.can_download(self.request.user, job):
            raise PermissionDenied(SENSITIVE_FILE_MESSAGE)
        return job

    def get_receiver(self) -> Actor | None:
        """Return who receives the file; None if the request is for the headers only."""
        return None if self.request.method == "HEAD" else get_actor(self.request)


class OriginalFileView(FileView):
    """The file as it was uploaded."""

    def get(self, request: Request, pk: UUID) -> StreamingHttpResponse:
        try:
            return downloads.send_original_file(
                self.get_downloadable_import(pk), self.get_receiver()
            )
        except StoredFileNotFound:
            raise FileNotKept from None


class FailedRowsView(FileView):
    """Base of the views that answer with the failed rows of an import."""

    send_report: Callable[[ImportJob, Actor | None], StreamingHttpResponse]

    def get(self, request: Request, pk: UUID) -> StreamingHttpResponse:
        job = self.get_downloadable_import(pk)
        try:
            return self.send_report(job, self.get_receiver())
        except NoFailedRows:
            raise FailedRowsNotFound from None
        except NoFreeSlot:
            raise ServiceUnavailable(TOO_MANY_REPORTS_MESSAGE) from None
        except WorkbooksNotSupported:
            raise WorkbooksNotWritten from None


class FailedRowsWorkbookView(FailedRowsView):
    """A workbook to correct and upload again: failed rows, and a second sheet of skipped rows."""

    send_report = staticmethod(downloads.send_failed_rows_workbook)


class FailedRowsCsvView(FailedRowsView):
    """Failed rows as CSV."""

    send_report = staticmethod(downloads.send_failed_rows_csv)


class KeptRowsWorkbookView(FailedRowsView):
    """The rows whose records undo has kept, with the reasons, as a workbook."""

    send_report = staticmethod(downloads.send_kept_rows_workbook)


class KeptRowsCsvView(FailedRowsView):
    """The rows whose records undo has kept, with the reasons, as CSV."""

    send_report = staticmethod(downloads.send_kept_rows_csv)


class TemplateView(FileView):
    """An empty workbook to fill in."""

    importer = ""  # The name of an importer; "" takes it from the query.
    query_serializer_class: type[QuerySerializer] | None = TemplateQuery

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if not permissions.can_import(request.user):
            raise PermissionDenied(error_hints.IMPORT_NOT_PERMITTED_MESSAGE)

    def get(self, request: Request) -> StreamingHttpResponse:
        importer = get_importer(self.importer or self.query["importer"])
        permissions.check_any_policy(request.user, importer)
        try:
            return downloads.send_template(importer)
        except WorkbooksNotSupported:
            raise WorkbooksNotWritten from None
