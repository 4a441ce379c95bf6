"""What the description says of calls that answer with a file."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)

from imports.api.call_descriptions import importer_names, importer_schema
from imports.api.describing import (
    COMMON_HEADERS,
    CONTENT_DISPOSITION,
    CONTENT_LENGTH,
    EMPTY_STRING_SCHEMA,
    FILE_CALL_STATUSES,
    error_response,
    error_responses,
)
from imports.downloads import BINARY_MEDIA_TYPE, CSV_MEDIA_TYPE, XLSX_MEDIA_TYPE

ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)
NO_FAILED_ROWS = {"no_failed_rows": "no row was, or they are no longer kept"}


def file(name: str, summary: str, kind: str, answers: dict[int, Any], **more: Any) -> Any:
    """A view whose GET answers with a file; refusals are JSON."""
    sent = {(200, kind.partition(";")[0]): OpenApiResponse(OpenApiTypes.BINARY, "The file.")}
    refused = {(status, "application/json"): answer for status, answer in answers.items()}
    described = {
        "description": "",
        "tags": ["files"],
        "parameters": [CONTENT_DISPOSITION, CONTENT_LENGTH, *COMMON_HEADERS],
    }
    described["parameters"] += more.pop("parameters", ())
    described |= {"operation_id": name, "summary": summary, "responses": sent | refused} | more
    return extend_schema_view(get=extend_schema(**described))


def of_import(name: str, summary: str, kind: str, missing: dict[str, str]) -> Any:
    answers = error_responses(*FILE_CALL_STATUSES) | {404: error_response(404, missing)}
    return file(f"imports_{name}", summary, kind, answers, parameters=[ID])


def describe_template(name: str, **more: Any) -> Any:
    answers = error_responses(400, 401, 403, 429, 503)
    return file(name, "A workbook to fill in", XLSX_MEDIA_TYPE, answers, **more)


def importer() -> OpenApiParameter:
    """What the file will hold; where there is one importer, nobody has to say so."""
    required = len(importer_names()) > 1
    kind = importer_schema() if required else {"anyOf": [importer_schema(), EMPTY_STRING_SCHEMA]}
    return OpenApiParameter("importer", kind, required=required)


describe_original_file = of_import(
    *("file", "The file as it was uploaded", BINARY_MEDIA_TYPE),
    {"file_gone": "it is no longer kept"},
)
describe_failed_rows_workbook = of_import(
    "failed_rows_xlsx",
    "Refused rows and skipped ones, to correct and send again",
    XLSX_MEDIA_TYPE,
    NO_FAILED_ROWS,
)
describe_failed_rows_csv = of_import(
    "failed_rows_csv", "Refused rows as CSV", CSV_MEDIA_TYPE, NO_FAILED_ROWS
)
describe_import_template = describe_template("imports_template", parameters=[importer()])
