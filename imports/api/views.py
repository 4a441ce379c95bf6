"""The REST views: each calls one function and chooses the HTTP status of its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.parsers import BaseParser, FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from imports import job_commands, lifecycle, permissions, preview, row_results, snapshots
from imports.api import error_hints
from imports.api.base import (
    ApiJSONParser,
    ApiViewMixin,
    check_content_length,
    get_actor,
    get_authenticated_user,
)
from imports.api.errors import Conflict, PayloadTooLarge
from imports.api.pagination import (
    CursorPages,
    HistoryPagination,
    ProblemPagination,
    RowPagination,
)
from imports.api.response_serializers import (
    ImportEventSerializer,
    ImportPreviewSerializer,
    ImportProblemSerializer,
    ImportRowSerializer,
    ImportUndoPreviewSerializer,
)
from imports.api.serializers import (
    ImportChangesSerializer,
    ImportJobSerializer,
    ImportUploadSerializer,
    JobsQuery,
    ListedImportJobSerializer,
    PageQuery,
    QuerySerializer,
    RowsQuery,
)
from imports.conf import app_settings
from imports.history import Actor, Command
from imports.models import ImportJob, TransitionNotAllowed
from imports.retention import require_contents
from imports.statuses import Status

MAX_UPLOAD_FIELDS_BYTES = 64 * 1024  # The multipart boundaries and the fields besides the file.
MAX_CHANGES_BYTES = 64 * 1024


def add_command_actions(viewset: type[ImportJobViewSet]) -> type[ImportJobViewSet]:
    """Give the viewset a POST without a body for each command."""
    for name in job_commands.JOB_COMMANDS:
        setattr(viewset, name.value, _make_command_action(name))
    return viewset


def _make_command_action(name: Command) -> Callable[..., Response]:
    def give(viewset: ImportJobViewSet, request: Request, pk: UUID) -> Response:
        return viewset._respond_to_command(request, name)

    give.__name__ = name.value
    decorated: Callable[..., Response] = action(detail=True, methods=["post"])(give)
    return decorated


# A client that polls sends the ETag, which is a hash of the body. If the body is unchanged, the
# answer is 304.
@add_command_actions
@method_decorator([cache_control(private=True, no_cache=True), conditional_page], name="dispatch")
class ImportJobViewSet(ApiViewMixin, RetrieveModelMixin, GenericViewSet[ImportJob]):
    """Upload a file, follow its import, start or cancel it, and read the outcomes of its rows."""

    serializer_class = ImportJobSerializer
    lookup_value_converter = "uuid"
    parser_classes = (MultiPartParser, FormParser)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before the CSRF check, which parses the body.
        if self.action == "create":
            check_upload_length(request)
        elif self.action == "partial_update":
            check_content_length(
                request, MAX_CHANGES_BYTES, PayloadTooLarge("This is too much to change at once.")
            )
        super().initial(request, *args, **kwargs)

    def get_parsers(self) -> list[BaseParser]:
        # There is no request while the description is generated.
        if self.request and self.request.method == "PATCH":
            return [ApiJSONParser()]
        return super().get_parsers()

    def get_query_serializer_class(self) -> type[QuerySerializer] | None:
        return JobsQuery if self.action == "list" else super().get_query_serializer_class()

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "user": self.request.user}

    def get_queryset(self) -> QuerySet[ImportJob]:
        jobs = permissions.get_visible_imports(self.request.user).select_related("owner")
        return jobs.order_by("-created_at", "-pk")

    def list(self, request: Request) -> Response:
        jobs = permissions.get_listed_imports(request.user).select_related("owner")
        jobs = jobs.order_by("-created_at", "-pk").defer(*ImportJob.LARGE_FIELDS)
        page = self.paginate_queryset(jobs.filter(**JobsQuery.get_lookups(self.query))) or []
        context = {"waiting": snapshots.list_waiting_ids(page), "user": request.user}
        data = ListedImportJobSerializer(page, many=True, context=context).data
        return self.get_paginated_response(data)

    def create(self, request: Request) -> Response:
        if not permissions.can_import(request.user):
            raise PermissionDenied(error_hints.IMPORT_NOT_PERMITTED_MESSAGE)
        file, fields = get_uploaded_file(request), request.POST.copy()
        fields["idempotency_key"] = request.headers.get("Idempotency-Key", "")
        options = ImportUploadSerializer(data=fields, context={"user": request.user})
        options.is_valid(raise_exception=True)
        by = get_actor(request)
        return self._accepted(
            lifecycle.upload(get_authenticated_user(request), file, by=by, **options.validated_data)
        )

    def partial_update(self, request: Request, pk: UUID) -> Response:
        job = self._get_controllable_import()
        changes = ImportChangesSerializer(data=request.data, partial=True)
        changes.is_valid(raise_exception=True)
        with job_commands.explain_refusals(Command.CHANGE, job.pk):
            job = lifecycle.check_again(job.pk, changes.validated_data, by=get_actor(request))
        return self._accepted(job)

    def destroy(self, request: Request, pk: UUID) -> Response:
        job = self._get_controllable_import()
        with job_commands.explain_refusals(Command.DELETE, job.pk):
            job = lifecycle.delete_contents(job.pk, by=get_actor(request))
        return self._accepted(job)

    @action(detail=True, url_path="undo-preview", url_name="undo-preview")
    def undo_preview(self, request: Request, pk: UUID) -> Response:
        job = self._get_import_with_contents()
        with job_commands.explain_refusals(Command.UNDO, job.pk):
            preview = lifecycle.preview_undo(job.pk)
        return Response(ImportUndoPreviewSerializer(preview).data)

    @action(detail=True, query_serializer_class=RowsQuery, pagination_class=RowPagination)
    def rows(self, request: Request, pk: UUID) -> Response:
        job = self._get_import_with_contents()
        rows = row_results.select_rows(
            job, outcome=self.query.get("outcome"), is_kept=self.query["kept"]
        )
        page = self._paginate(rows)
        keys = map(row_results.get_record_key, page)
        visible_keys = permissions.find_visible_keys(request.user, job, keys)
        context = {**self._make_row_context(job), "visible_keys": visible_keys}
        data = ImportRowSerializer(page, many=True, context=context).data
        return self.get_paginated_response(data)

    @action(detail=True, query_serializer_class=PageQuery, pagination_class=ProblemPagination)
    def problems(self, request: Request, pk: UUID) -> Response:
        job = self._get_import_with_contents()
        page = self._paginate(row_results.group_problems(job, has_limit=False))
        data = ImportProblemSerializer(page, many=True, context=self._make_row_context(job)).data
        return self.get_paginated_response(data)

    @action(detail=True, query_serializer_class=PageQuery, pagination_class=HistoryPagination)
    def history(self, request: Request, pk: UUID) -> Response:
        events = self.get_object().events.select_related("user")
        return self.get_paginated_response(
            ImportEventSerializer(self._paginate(events), many=True).data
        )

    @action(detail=True)
    def preview(self, request: Request, pk: UUID) -> Response:
        job = self._get_import_with_contents()
        data = {**preview.build_preview(job, request.user), "read_summary": job.read_summary}
        return Response(ImportPreviewSerializer(data, context={"importer": job.importer}).data)

    def _make_row_context(self, job: ImportJob) -> dict[str, Any]:
        mask = permissions.get_value_mask(self.request.user, job)
        return {"importer": job.importer, "mask": mask}

    def _paginate(self, results: Any) -> Any:
        assert isinstance(self.paginator, CursorPages)
        return self.paginator.paginate_queryset(results, self.request, self)

    def _get_import_with_contents(self) -> ImportJob:
        """Return the import of the address.

        Raises:
            Http404: There is no such import, or the user may not see it.
            ContentsDeleted: Its file and rows were deleted.
        """
        job = self.get_object()
        require_contents(job)
        return job

    def _get_controllable_import(self) -> ImportJob:
        """Return the import of the address.

        Raises:
            Http404: There is no such import, or the user may not see it.
            PermissionDenied: The user may see the import, but not control it.
        """
        job = self.get_object()
        if not permissions.get_controllable_imports(self.request.user).filter(pk=job.pk).exists():
            raise PermissionDenied("You may look at this import, but not start, stop or change it.")
        return job

    def _respond_to_command(self, request: Request, name: Command) -> Response:
        return self._accepted(
            give_command(name, self._get_controllable_import(), get_actor(request))
        )

    def _accepted(self, job: ImportJob) -> Response:
        data = self.get_serializer(job).data
        return Response(data, status.HTTP_202_ACCEPTED, headers={"Location": data["urls"]["self"]})


def give_command(name: Command, job: ImportJob, by: Actor) -> ImportJob:
    """Give a command to an import, and return the updated import.

    Raises:
        Conflict: The import does not allow the command now. The message says what to do instead,
            and the parameters have its `status`.
    """
    try:
        return job_commands.run_command(name, job.pk, by)
    except TransitionNotAllowed as error:
        message = str(error)
        if error.params["status"] == Status.MAPPING:
            job.refresh_from_db()
            message = f"{message} {error_hints.describe_failed_check(job)}"
        raise Conflict(message, error.code, error.params) from None


def check_upload_length(request: Request) -> None:
    """Check the announced length of an upload.

    Raises:
        LengthRequired: The body comes in chunks.
        PayloadTooLarge: The upload is larger than IMPORTS_MAX_UPLOAD_BYTES.
    """
    max_bytes = app_settings.MAX_UPLOAD_BYTES + MAX_UPLOAD_FIELDS_BYTES
    check_content_length(request, max_bytes, _make_file_too_large())


def _make_file_too_large() -> PayloadTooLarge:
    limit = format_size(app_settings.MAX_UPLOAD_BYTES)
    return PayloadTooLarge(f"The file is larger than {limit}. Split it into several files.")


def format_size(size: int) -> str:
    """Return a number of bytes as people write it, for example "100.0 MB"."""
    return filesizeformat(size).replace("\xa0", " ")


def get_uploaded_file(request: Request) -> UploadedFile[Any]:
    """Return the file of an upload.

    Raises:
        ValidationError: There is no file, more than one, or the file is empty.
        PayloadTooLarge: The file is larger than IMPORTS_MAX_UPLOAD_BYTES.
    """
    files = request.FILES.getlist("file")
    if not files:
        raise ValidationError(error_hints.describe_missing_file(request), "no_file")
    if len(files) > 1:
        raise ValidationError("Send one file at a time.", "several_files")
    file: UploadedFile[Any] = files[0]
    if not file.size:
        raise ValidationError(
            "The file is empty. Choose the file that holds your rows.", "empty_file"
        )
    if file.size > app_settings.MAX_UPLOAD_BYTES:
        raise _make_file_too_large()
    return file
