"""Files that go back to programs; their words are English."""

from __future__ import annotations

from uuid import UUID

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from rest_framework import status
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import downloads, permissions
from imports.api import error_hints, file_schema
from imports.api.errors import ServiceUnavailable
from imports.api.serializers import ImporterChoiceSerializer
from imports.api.views import in_english, validate_query
from imports.importer import get_importer
from imports.inline import NoFreeSlot
from imports.models import ImportJob
from imports.pipeline.failed_rows import NoFailedRows
from imports.storage import StoredFileNotFound

TOO_MANY = "Too many reports are being built just now. Ask again in a few seconds."


class FileMissing(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "file_gone"
    default_detail = "The uploaded file is no longer kept."


class NoFailedRowsError(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "no_failed_rows"
    default_detail = "This import has no such rows: none was refused, or they are no longer kept."


class AnyAccepted(DefaultContentNegotiation):
    """Only errors are rendered, and they are JSON, whatever kind of file was asked for."""

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


@method_decorator([in_english, cache_control(private=True, no_store=True)], name="dispatch")
class FileView(APIView):
    content_negotiation_class = AnyAccepted

    def visible(self, pk: UUID) -> ImportJob:
        return get_object_or_404(permissions.get_visible_imports(self.request.user), pk=pk)


@file_schema.describe_original_file
class OriginalFileView(FileView):
    """The file as it was uploaded."""

    def get(self, request: Request, pk: UUID) -> StreamingHttpResponse:
        try:
            return downloads.send_original_file(self.visible(pk))
        except StoredFileNotFound:
            raise FileMissing from None


class FailedRowsView(FileView):
    def get(self, request: Request, pk: UUID) -> StreamingHttpResponse:
        try:
            return self.report(self.visible(pk))
        except NoFailedRows:
            raise NoFailedRowsError from None
        except NoFreeSlot:
            raise ServiceUnavailable(TOO_MANY) from None


@file_schema.describe_failed_rows_workbook
class FailedRowsWorkbookView(FailedRowsView):
    """Refused rows as a workbook to correct and upload again; skipped ones on a second sheet."""

    report = staticmethod(downloads.send_failed_rows_workbook)


@file_schema.describe_failed_rows_csv
class FailedRowsCsvView(FailedRowsView):
    """Refused rows as CSV."""

    report = staticmethod(downloads.send_failed_rows_csv)


@file_schema.describe_import_template
class TemplateView(FileView):
    """An empty workbook to fill in."""

    importer = ""  # Of a view for one; else the client says which.

    def get(self, request: Request) -> StreamingHttpResponse:
        if not permissions.can_import(request.user):
            raise PermissionDenied(error_hints.IMPORT_NOT_PERMITTED_MESSAGE)
        name = self.importer or validate_query(ImporterChoiceSerializer, request)["importer"]
        return downloads.send_template(get_importer(name))
