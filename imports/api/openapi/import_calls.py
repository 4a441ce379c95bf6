"""The calls of imports: upload, list, follow, change, start and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema_view,
)

from imports.api.openapi import examples, extensions  # noqa: F401  Registers the extensions.
from imports.api.openapi.responses import (
    AUTHENTICATED_CALL_STATUSES,
    CONDITIONAL_HEADERS,
    LOCATION,
    NOT_MODIFIED_RESPONSE,
    THROTTLED_HEADERS,
    Decorator,
    describe_method,
    make_error_responses,
    make_request_header,
    make_response_example,
)
from imports.api.response_serializers import (
    ImportEventSerializer,
    ImportPreviewSerializer,
    ImportProblemSerializer,
    ImportRowSerializer,
    ImportUndoPreviewSerializer,
)
from imports.api.serializers import (
    IDEMPOTENCY_KEY_PATTERN,
    MAX_IDEMPOTENCY_KEY_CHARS,
    ImportChangesSerializer,
    ImportJobSerializer,
    ImportUploadSerializer,
    JobsQuery,
    ListedImportJobSerializer,
    PageQuery,
    RowsQuery,
)
from imports.history import Command
from imports.job_commands import JOB_COMMANDS, JobCommand

TAGS = ["imports"]
IDEMPOTENCY_KEY = make_request_header(
    "Idempotency-Key",
    "A name that you choose for this upload. For 24 hours, the same key returns the same import.",
    maxLength=MAX_IDEMPOTENCY_KEY_CHARS,
    pattern=IDEMPOTENCY_KEY_PATTERN,
)
FILE_ERROR_CODES = {
    "no_file": "there is no field named file",
    "several_files": "there is more than one file",
    "empty_file": "the file has no bytes",
}

COMMAND_DESCRIPTION = (
    "Of two commands, or of a command and the end of the import, one succeeds. The other one is a "
    "409, which says what the status is and what to do instead."
)
# The example of a response, if it is not a running import.
COMMAND_EXAMPLES = {Command.UNDO: examples.UNDOING_IMPORT}


def make_202_responses(name: str, value: dict[str, Any]) -> dict[int, OpenApiResponse]:
    """Return the 202 of a call that changes an import, with an example of this name."""
    example = make_response_example(name, value)
    return {202: OpenApiResponse(ImportJobSerializer, "The import as it is now.", [example])}


def make_200_responses(serializer: Any, value: Any) -> dict[int, OpenApiResponse]:
    """Return the responses of a call that reads: 200 with this example, or 304."""
    return {
        200: OpenApiResponse(serializer, examples=[make_response_example("found", value)]),
        **NOT_MODIFIED_RESPONSE,
    }


def describe_read(
    operation_id: str,
    summary: str,
    responses: dict[int, OpenApiResponse],
    *,
    parameters: Sequence[Any] = (),
    description: str = "",
    tags: Sequence[str] = TAGS,
) -> Decorator:
    """Return the description of a call that reads and that knows conditional requests."""
    return describe_method(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=tags,
        parameters=[*parameters, *CONDITIONAL_HEADERS, *THROTTLED_HEADERS],
        responses=responses,
    )


def describe_command(name: Command, command: JobCommand) -> Decorator:
    """Return the description of a POST that has no body and gives a command to an import."""
    return describe_method(
        operation_id=f"imports_{name}",
        summary=command.summary,
        description=f"{command.description} {COMMAND_DESCRIPTION}".lstrip(),
        tags=TAGS,
        request=None,
        parameters=[LOCATION, *THROTTLED_HEADERS],
        responses={
            **make_202_responses(name.value, COMMAND_EXAMPLES.get(name, examples.RUNNING_IMPORT)),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 403, 404, 409),
        },
    )


describe_import_calls = extend_schema_view(
    list=describe_read(
        "imports_list",
        "List the imports that you may see, newest first",
        {
            **make_200_responses(ListedImportJobSerializer(many=True), examples.LIST_ITEM),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES),
        },
        parameters=[
            JobsQuery,
            *(
                OpenApiParameter(name, OpenApiTypes.DATETIME)
                for name in ("created_after", "created_before")
            ),
        ],
        description="New imports do not shift the pages: follow the address in `next` unchanged.",
    ),
    retrieve=describe_read(
        "imports_retrieve",
        "Read one import: its progress, its options and its addresses",
        {
            **make_200_responses(ImportJobSerializer, examples.RUNNING_IMPORT),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        description="To poll, repeat the call after `poll_after_seconds`, until it is null or "
        "`waits_for` is not.",
    ),
    create=describe_method(
        operation_id="imports_create",
        summary="Upload a file",
        description="The 202 means that the file is stored. A worker then checks the file and "
        "writes its rows. `same_file_as` names an earlier import of the same bytes.",
        tags=TAGS,
        request={"multipart/form-data": ImportUploadSerializer},
        parameters=[IDEMPOTENCY_KEY, LOCATION, *THROTTLED_HEADERS],
        responses={
            **make_202_responses("accepted", examples.QUEUED_IMPORT),
            **make_error_responses(
                *AUTHENTICATED_CALL_STATUSES, 403, 409, 411, 413, 415, 422, **FILE_ERROR_CODES
            ),
        },
    ),
    partial_update=describe_method(
        operation_id="imports_change",
        summary="Change how the file is read, and check it again",
        description="Allowed while the import is MAPPING or READY, or if it FAILED because of the "
        "way it was read (`wrong_encoding`, `no_such_sheet`, `no_rows` and so on). "
        "`column_mapping` names for each field a header of `columns`, or an index, or null for no "
        "column. An absent field stays as it is. Change the read options first, and map the "
        "columns once the file is read again.",
        tags=TAGS,
        request={"application/json": ImportChangesSerializer},
        examples=[OpenApiExample("columns", examples.MAPPING, request_only=True)],
        parameters=[LOCATION, *THROTTLED_HEADERS],
        responses={
            **make_202_responses("checked_again", examples.QUEUED_IMPORT),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 403, 404, 409, 411, 413, 415),
        },
    ),
    **{name.value: describe_command(name, command) for name, command in JOB_COMMANDS.items()},
    destroy=describe_method(
        operation_id="imports_delete",
        summary="Delete the file and the rows of an import",
        description="An import that has not ended is cancelled first. Imported records, counts and "
        "history stay. The file, the rows and the failed rows are no longer available: requests "
        "for them receive status 410. A second call changes nothing.",
        tags=TAGS,
        request=None,
        parameters=[LOCATION, *THROTTLED_HEADERS],
        responses={
            **make_202_responses("deleted", examples.DELETED_IMPORT),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 403, 404, 409),
        },
    ),
    undo_preview=describe_read(
        "imports_undo_preview",
        "Show what undoing the import would do",
        {
            **make_200_responses(ImportUndoPreviewSerializer, examples.UNDO_PREVIEW),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404, 409, 410),
        },
        description="Available while the import can be undone. The counts change when records are "
        "edited.",
    ),
    rows=describe_read(
        "imports_rows",
        "List the rows and their outcomes",
        {
            **make_200_responses(ImportRowSerializer(many=True), examples.ROW),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404, 410),
        },
        parameters=[RowsQuery],
    ),
    problems=describe_read(
        "imports_problems",
        "List the causes for which rows failed or were skipped",
        {
            **make_200_responses(ImportProblemSerializer(many=True), examples.PROBLEM),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404, 410),
        },
        parameters=[PageQuery],
    ),
    history=describe_read(
        "imports_history",
        "List who did what with the import, newest first",
        {
            **make_200_responses(ImportEventSerializer(many=True), examples.EVENT),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        parameters=[PageQuery],
        description="The commands, and the downloads of the file and of the failed rows.",
    ),
    preview=describe_read(
        "imports_preview",
        "Show what starting the import would do",
        {
            **make_200_responses(ImportPreviewSerializer, examples.PREVIEW),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404, 409, 410),
        },
        description="Available while the import is READY.",
    ),
)
