"""The calls that answer with a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema_view,
)

from imports.api.downloads import WorkbooksNotWritten
from imports.api.openapi.extensions import list_importer_names, make_importer_schema
from imports.api.openapi.responses import (
    CONTENT_DISPOSITION,
    CONTENT_LENGTH,
    FILE_CALL_STATUSES,
    IMPORT_ID_PARAMETER,
    THROTTLED_HEADERS,
    Decorator,
    describe_method,
    make_error_response,
    make_error_responses,
    make_missing_part_response,
)
from imports.downloads import BINARY_MEDIA_TYPE, CSV_MEDIA_TYPE, XLSX_MEDIA_TYPE

NO_WORKBOOKS = {501: make_missing_part_response(WorkbooksNotWritten)}
NO_FAILED_ROWS_CODE = {"no_failed_rows": "the import has none, or they are no longer kept"}


def describe_file(
    operation_id: str,
    summary: str,
    content_type: str,
    errors: Mapping[int, OpenApiResponse],
    *,
    parameters: Sequence[OpenApiParameter] = (),
    tags: Sequence[str] = ("files",),
) -> Decorator:
    """Return the description of a view whose GET answers with a file and whose errors are JSON.

    A client that knows no type of the file may take its bytes as application/octet-stream: some
    generators leave out a response of a type that they do not know. CSV is text.
    """
    media_type = content_type.partition(";")[0]
    schema = OpenApiTypes.STR if content_type == CSV_MEDIA_TYPE else OpenApiTypes.BINARY
    media_types = [media_type] if schema is OpenApiTypes.STR else [media_type, BINARY_MEDIA_TYPE]
    responses = {
        **{(200, each): OpenApiResponse(schema, "The file.") for each in media_types},
        **{(status, "application/json"): error for status, error in errors.items()},
    }
    return extend_schema_view(
        get=describe_method(
            operation_id=operation_id,
            summary=summary,
            description="",
            tags=tags,
            parameters=[CONTENT_DISPOSITION, CONTENT_LENGTH, *THROTTLED_HEADERS, *parameters],
            responses=responses,
        )
    )


def describe_import_file(
    name: str, summary: str, content_type: str, missing_codes: dict[str, str]
) -> Decorator:
    """Return the description of a file of one import; `missing_codes` are the codes of its 404."""
    errors = make_error_responses(*FILE_CALL_STATUSES) | {
        404: make_error_response(404, missing_codes),
        410: make_error_response(410, {}),
    }
    if content_type == XLSX_MEDIA_TYPE:
        errors |= NO_WORKBOOKS
    return describe_file(
        f"imports_{name}", summary, content_type, errors, parameters=[IMPORT_ID_PARAMETER]
    )


def describe_template(
    operation_id: str,
    *,
    parameters: Sequence[OpenApiParameter],
    tags: Sequence[str] = ("files",),
) -> Decorator:
    """Return the description of a view that answers with an empty workbook."""
    return describe_file(
        operation_id,
        "Download an empty workbook to fill in",
        XLSX_MEDIA_TYPE,
        make_error_responses(400, 401, 403, 429, 500, 503) | NO_WORKBOOKS,
        parameters=parameters,
        tags=tags,
    )


def importer_parameter() -> OpenApiParameter:
    """Return the parameter `importer`, which is required if there are several importers."""
    is_required = len(list_importer_names()) > 1
    schema = make_importer_schema()
    return OpenApiParameter("importer", schema, required=is_required)


describe_original_file = describe_import_file(
    "file",
    "Download the file as it was uploaded",
    BINARY_MEDIA_TYPE,
    {"file_deleted": "the file is no longer kept"},
)
describe_failed_rows_workbook = describe_import_file(
    "failed_rows_xlsx",
    "Download failed rows and skipped rows as a workbook, to correct and upload again",
    XLSX_MEDIA_TYPE,
    NO_FAILED_ROWS_CODE,
)
describe_failed_rows_csv = describe_import_file(
    "failed_rows_csv", "Download failed rows as CSV", CSV_MEDIA_TYPE, NO_FAILED_ROWS_CODE
)
describe_kept_rows_workbook = describe_import_file(
    "kept_rows_xlsx",
    "Download the rows whose records undo has kept as a workbook, with the reasons",
    XLSX_MEDIA_TYPE,
    NO_FAILED_ROWS_CODE,
)
describe_kept_rows_csv = describe_import_file(
    "kept_rows_csv",
    "Download the rows whose records undo has kept as CSV, with the reasons",
    CSV_MEDIA_TYPE,
    NO_FAILED_ROWS_CODE,
)
describe_import_template = describe_template("imports_template", parameters=[importer_parameter()])
