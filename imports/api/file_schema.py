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

from imports.api.call_descriptions import importer_field, importer_names
from imports.api.describing import ALWAYS, FILES, LENGTH, NAMED, NOTHING, refusal, refusals
from imports.downloads import ANY, TEXT, WORKBOOK

ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)
NO_FAILED_ROWS = {"no_failed_rows": "no row was, or they are no longer kept"}


def file(name: str, summary: str, kind: str, answers: dict[int, Any], **more: Any) -> Any:
    """A view whose GET answers with a file; refusals are JSON."""
    sent = {(200, kind.partition(";")[0]): OpenApiResponse(OpenApiTypes.BINARY, "The file.")}
    refused = {(status, "application/json"): answer for status, answer in answers.items()}
    described = {"description": "", "tags": ["files"], "parameters": [NAMED, LENGTH, *ALWAYS]}
    described["parameters"] += more.pop("parameters", ())
    described |= {"operation_id": name, "summary": summary, "responses": sent | refused} | more
    return extend_schema_view(get=extend_schema(**described))


def of_import(name: str, summary: str, kind: str, missing: dict[str, str]) -> Any:
    answers = refusals(*FILES) | {404: refusal(404, missing)}
    return file(f"imports_{name}", summary, kind, answers, parameters=[ID])


def template(name: str, **more: Any) -> Any:
    answers = refusals(400, 401, 403, 429, 503)
    return file(name, "A workbook to fill in", WORKBOOK, answers, **more)


def importer() -> OpenApiParameter:
    """What the file will hold; where there is one importer, nobody has to say so."""
    required = len(importer_names()) > 1
    kind = importer_field() if required else {"anyOf": [importer_field(), NOTHING]}
    return OpenApiParameter("importer", kind, required=required)


ORIGINAL = of_import(
    *("file", "The file as it was uploaded", ANY), {"file_gone": "it is no longer kept"}
)
FAILED_ROWS_XLSX = of_import(
    "failed_rows_xlsx",
    "Refused rows and skipped ones, to correct and send again",
    WORKBOOK,
    NO_FAILED_ROWS,
)
FAILED_ROWS_CSV = of_import("failed_rows_csv", "Refused rows as CSV", TEXT, NO_FAILED_ROWS)
TEMPLATE = template("imports_template", parameters=[importer()])
