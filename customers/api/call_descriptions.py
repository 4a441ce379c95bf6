"""The OpenAPI description of the calls of customers."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_view

from customers.api.serializers import (
    MAX_SEARCH_CHARS,
    WRITTEN_OUTCOMES,
    CustomerSerializer,
)
from imports.api.openapi.examples import IMPORT_ID, IMPORT_URL, SNAPSHOT
from imports.api.openapi.import_calls import describe_read, make_200_responses
from imports.api.openapi.responses import (
    AUTHENTICATED_CALL_STATUSES,
    make_error_responses,
)
from imports.api.serializers import PageQuery

TAGS = ["customers"]
CUSTOMER = {
    "id": "57",
    "shipping_mark": "GH 204",
    "first_name": "Ama",
    "last_name": "Mensah",
    "email": "ama@example.com",
    "phone": "+233241234567",
    "created_at": SNAPSHOT["updated_at"],
    "updated_at": SNAPSHOT["updated_at"],
    "provenance": {"import": IMPORT_ID, "row": 2, "url": IMPORT_URL},
}
QUERY_PARAMETERS = [
    PageQuery,
    OpenApiParameter(
        "import",
        OpenApiTypes.UUID,
        description="Only customers that this import created or updated.",
    ),
    OpenApiParameter(
        "outcome",
        {"type": "string", "enum": [*WRITTEN_OUTCOMES]},
        description="Together with `import`: only customers that it created, or only those that "
        "it updated.",
    ),
    OpenApiParameter(
        "search",
        {"type": "string", "maxLength": MAX_SEARCH_CHARS},
        description="The beginning of a shipping mark, an e-mail address or a phone number. A "
        "text without a digit and without @ is searched in names too.",
    ),
]

describe_customer_calls = extend_schema_view(
    list=describe_read(
        "customers_list",
        "List the customers that you may see, newest first",
        {
            **make_200_responses(CustomerSerializer(many=True), CUSTOMER),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        parameters=QUERY_PARAMETERS,
        description="New customers do not shift the pages: follow the address in `next` unchanged.",
        tags=TAGS,
    ),
    retrieve=describe_read(
        "customers_retrieve",
        "Read one customer, with the import and the row that last wrote it",
        {
            **make_200_responses(CustomerSerializer, CUSTOMER),
            **make_error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        tags=TAGS,
    ),
)
