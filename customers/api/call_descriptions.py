"""What the description says of customers."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema_view

from customers.api.serializers import CustomerSerializer, CustomersQuery
from imports.api.call_descriptions import describe_read, ok_responses
from imports.api.describing import AUTHENTICATED_CALL_STATUSES, EMPTY_STRING_SCHEMA, error_responses
from imports.api.examples import IMPORT_ID, IMPORT_URL, SNAPSHOT

AMA = {
    "id": 57,
    "shipping_mark": "GH 204",
    "first_name": "Ama",
    "last_name": "Mensah",
    "email": "ama@example.com",
    "phone": "+233241234567",
    **dict.fromkeys(("created_at", "updated_at"), SNAPSHOT["updated_at"]),
    "origin": {"import": IMPORT_ID, "row": 2, "url": IMPORT_URL},
}
LONGEST = CustomersQuery().fields["search"].max_length
WHICH = {"anyOf": [{"type": "string", "format": "uuid"}, EMPTY_STRING_SCHEMA]}
# A form sends what is not chosen as nothing.
QUERY = [
    OpenApiParameter("import", WHICH, description="Whom it has created or updated."),
    OpenApiParameter(
        "outcome",
        {"type": "string", "enum": [*CustomersQuery().fields["outcome"].choices, ""]},
        description="With `import`: only whom it has created, or updated.",
    ),
    OpenApiParameter(
        "search",
        {"type": "string", "maxLength": LONGEST},
        description="A key, or its beginning; without a digit or an @, the beginnings of names.",
    ),
]

describe_customer_calls = extend_schema_view(
    list=describe_read(
        "customers_list",
        "The customers that you may see, newest first",
        {
            **ok_responses(CustomerSerializer(many=True), AMA),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        parameters=QUERY,
        description="Pages hold still while new customers come in: follow `next` as it is.",
        tags=["customers"],
    ),
    retrieve=describe_read(
        "customers_retrieve",
        "One customer, and the import and row that wrote it last",
        {
            **ok_responses(CustomerSerializer, AMA),
            **error_responses(*AUTHENTICATED_CALL_STATUSES, 404),
        },
        tags=["customers"],
    ),
)
