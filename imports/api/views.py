"""REST: each view calls one function and chooses the HTTP status of what it returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.decorators import method_decorator
from django.utils.translation import activate
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.parsers import BaseParser, FormParser, JSONParser, MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from imports import lifecycle, permissions, preview, row_results, snapshots
from imports.api import call_descriptions, error_hints
from imports.api.errors import Conflict, LengthRequired, PayloadTooLarge, ResourceNotFound
from imports.api.serializers import (
    ChangesSerializer,
    ImportJobSerializer,
    JobsQuery,
    ListedJobSerializer,
    RowsQuery,
    UploadSerializer,
    serialize_problem,
    serialize_read_summary,
    serialize_row,
)
from imports.models import ImportJob, ImportRow, TransitionNotAllowed

# Of a reading they ask nothing, and Django would answer them with an empty 412.
PRECONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE")
FRAME_BYTES = 64 * 1024  # What multipart and the fields beside the file may add to it.
CHANGES_BYTES = 64 * 1024


def in_english(view: Callable[..., Any]) -> Callable[..., Any]:
    """Programs and logs get English, whatever language the reader's browser asks for.

    And what changes nothing is asked for without preconditions.
    """

    def answer(request, *args, **kwargs):
        activate("en")
        for header in PRECONDITIONS:
            request.META.pop(header, None)
        return view(request, *args, **kwargs)

    return answer


@call_descriptions.describe_import_calls
# Whoever polls revalidates each time: the ETag is a hash of the body, and an unchanged one
# is answered with 304.
@method_decorator(
    [in_english, cache_control(private=True, no_cache=True), conditional_page], name="dispatch"
)
class ImportJobViewSet(RetrieveModelMixin, GenericViewSet):
    """Upload a file, follow its import, start or cancel it, read what became of its rows."""

    serializer_class = ImportJobSerializer
    lookup_value_converter = "uuid"
    parser_classes = (MultiPartParser, FormParser)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.action == "create":
            check_upload_length(request)  # First of all: the CSRF check parses the body.
        elif self.action == "partial_update":
            check_content_length(
                request, CHANGES_BYTES, PayloadTooLarge("This is too much to change at once.")
            )
        super().initial(request, *args, **kwargs)

    def get_parsers(self) -> list[BaseParser]:
        # Nobody asks yet where a view is only described.
        if self.request and self.request.method == "PATCH":
            return [JSONParser()]
        return super().get_parsers()

    def get_serializer_context(self) -> dict[str, Any]:
        return super().get_serializer_context() | {"user": self.request.user}

    def get_queryset(self) -> QuerySet[ImportJob]:
        found = permissions.get_visible_imports(self.request.user).select_related("owner")
        return found.order_by("-created_at", "-pk")

    def list(self, request: Request) -> Response:
        query = JobsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        jobs = self.get_queryset().defer(*ImportJob.LARGE_FIELDS)
        page = self.paginate_queryset(jobs.filter(**query.lookups()))
        context = {"waiting": snapshots.list_waiting_ids(page), "user": request.user}
        sent = ListedJobSerializer(page, many=True, context=context).data
        return self.get_paginated_response(sent)

    def create(self, request: Request) -> Response:
        if not permissions.can_import(request.user):
            raise PermissionDenied(error_hints.IMPORT_NOT_PERMITTED_MESSAGE)
        file, fields = get_uploaded_file(request), request.POST.copy()
        fields["idempotency_key"] = request.headers.get("Idempotency-Key", "")
        options = UploadSerializer(data=fields)
        options.is_valid(raise_exception=True)
        return self.accepted(lifecycle.upload(request.user, file, **options.validated_data))

    def partial_update(self, request: Request, pk: UUID) -> Response:
        job = self.get_controllable()
        changes = ChangesSerializer(data=request.data, partial=True)
        changes.is_valid(raise_exception=True)
        return self.accepted(lifecycle.check_again(job.pk, changes.validated_data))

    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: UUID) -> Response:
        return self.accepted(start_import(self.get_controllable()))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: UUID) -> Response:
        return self.accepted(lifecycle.cancel(self.get_controllable().pk))

    @action(detail=True)
    def rows(self, request: Request, pk: UUID) -> Response:
        job, query = self.get_object(), validate_query(RowsQuery, request)
        most = query["limit"]
        rows = row_results.list_rows(
            job, outcome=query.get("outcome"), after=query["after"], most=most + 1
        )
        following = behind(rows[most - 1], request) if len(rows) > most else None
        sent = [serialize_row(row, job.importer) for row in rows[:most]]
        return Response({"next": following, "results": sent})

    @action(detail=True)
    def problems(self, request: Request, pk: UUID) -> Response:
        job = self.get_object()
        found = [
            serialize_problem(problem, job.importer) for problem in row_results.group_problems(job)
        ]
        return Response({"complete": row_results.has_exact_problem_counts(job), "results": found})

    @action(detail=True)
    def preview(self, request: Request, pk: UUID) -> Response:
        job = self.get_object()
        found = preview.build_preview(job, request.user)
        known = {
            "checked_at": snapshots.to_json_value(found["checked_at"]),
            "read_summary": serialize_read_summary(job),
        }
        return Response(found | known)

    def get_controllable(self) -> ImportJob:
        """The import in the address: 404 if the user may not see it, 403 if only that."""
        job = self.get_object()
        if not permissions.get_controllable_imports(self.request.user).filter(pk=job.pk).exists():
            raise PermissionDenied("You may look at this import, but not start, stop or change it.")
        return job

    def accepted(self, job: ImportJob) -> Response:
        sent = self.get_serializer(job).data
        return Response(sent, status.HTTP_202_ACCEPTED, headers={"Location": sent["urls"]["self"]})


class UnknownAddressView(APIView):
    """Any other address under /api/."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise ResourceNotFound(error_hints.describe_missing_address(request))


def start_import(job: ImportJob) -> ImportJob:
    """The import, being written from now on; or Conflict, with what comes first."""
    try:
        return lifecycle.start(job.pk)
    except TransitionNotAllowed:
        job.refresh_from_db()
        raise Conflict(error_hints.describe_start_conflict(job)) from None


def check_upload_length(request: Request) -> None:
    check_content_length(request, settings.IMPORT_MAX_UPLOAD_BYTES + FRAME_BYTES, too_large())


def check_content_length(request: Request, most: int, refusal: PayloadTooLarge) -> None:
    """Refuse by the length it announces, before a byte of the body is looked at."""
    if "chunked" in request.headers.get("Transfer-Encoding", ""):
        raise LengthRequired
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > most:
        raise refusal


def too_large() -> PayloadTooLarge:
    most = format_size(settings.IMPORT_MAX_UPLOAD_BYTES)
    return PayloadTooLarge(f"The file is larger than {most}. Split it into several files.")


def format_size(size: int) -> str:
    return filesizeformat(size).replace("\xa0", " ")


def get_uploaded_file(request: Request) -> UploadedFile:
    files = request.FILES.getlist("file")
    if not files:
        raise ValidationError(error_hints.describe_missing_file(request), "no_file")
    if len(files) > 1:
        raise ValidationError("Send one file at a time.", "several_files")
    if not files[0].size:
        raise ValidationError(
            "The file is empty. Choose the file that holds your rows.", "empty_file"
        )
    if files[0].size > settings.IMPORT_MAX_UPLOAD_BYTES:
        raise too_large()
    return files[0]


def behind(row: ImportRow, request: Request) -> str:
    """The address of the rows that follow."""
    return replace_query_param(request.build_absolute_uri(), "after", row.number)


def validate_query(query: type[Serializer], request: Request) -> dict[str, Any]:
    sent = query(data=request.query_params)
    sent.is_valid(raise_exception=True)
    return sent.validated_data
