"""The calls that list the importers and the addresses of the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema_view,
)

from imports.api.importer_serializers import ImporterSerializer
from imports.api.importer_views import ApiAddressSerializer
from imports.api.openapi.import_calls import describe_read, make_200_responses
from imports.api.openapi.responses import (
    AUTHENTICATED_CALL_STATUSES,
    PUBLIC_CALL_STATUSES,
    THROTTLED_HEADERS,
    describe_method,
    make_error_responses,
    make_response_example,
)
from imports.api.serializers import PageQuery

TAGS = ["importers"]
IMPORTER: dict[str, Any] = {
    "name": "customers",
    "title": "customers",
    "columns": [
        {
            "field": "shipping_mark",
            "label": "shipping mark",
            "header": "Shipping mark",
            "required": True,
            "unique": True,
            "sensitive": False,
            "aliases": ["mark"],
            "type": "text",
            "max_length": 40,
            "choices": None,
            "lookup": None,
            "example": "GH 204",
            "note": "",
        }
    ],
    "options": [
        {
            "name": "on_duplicate",
            "type": "choice",
            "required": False,
            "default": "skip",
            "choices": [
                {"value": "skip", "label": "Skip the row and keep the existing record"},
                {"value": "update", "label": "Update the existing record"},
                {"value": "fail", "label": "Mark the row as failed"},
            ],
            "suggestions": None,
            "note": "",
        }
    ],
    "urls": {
        "self": "/api/importers/customers/",
        "upload": "/api/imports/",
        "template": "/api/imports/template.xlsx?importer=customers",
    },
}
ADDRESS = {
    "name": "import-list",
    "url": "/api/imports/",
    "description": "POST a file to import it, and GET the imports that you may see.",
}

describe_importer_calls = extend_schema_view(
    list=describe_read(
        "importers_list",
        "List the importers: their columns, and the options of an upload",
        {
            **make_200_responses(ImporterSerializer(many=True), IMPORTER),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES),
        },
        parameters=[PageQuery],
        description="For a form that uploads files. The list is empty if you may not import.",
        tags=TAGS,
    ),
    retrieve=describe_read(
        "importers_retrieve",
        "Read one importer",
        {
            **make_200_responses(ImporterSerializer, IMPORTER),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH)],
        tags=TAGS,
    ),
)
describe_root = extend_schema_view(
    get=describe_method(
        operation_id="root",
        summary="List the addresses of this API",
        description="",
        tags=["description"],
        auth=[],
        parameters=[PageQuery, *THROTTLED_HEADERS],
        responses={
            200: OpenApiResponse(
                ApiAddressSerializer(many=True),
                examples=[make_response_example("addresses", ADDRESS)],
            ),
            **make_error_responses(*PUBLIC_CALL_STATUSES),
        },
    )
)
