"""What the description says of customers."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema_view

from customers.api.serializers import CustomerSerializer, CustomersQuery
from imports.api.call_descriptions import found, reading
from imports.api.describing import NOTHING, SIGNED_IN, refusals
from imports.api.examples import IMPORT, OWN, SNAPSHOT

AMA = {
    "id": 57,
    "shipping_mark": "GH 204",
    "first_name": "Ama",
    "last_name": "Mensah",
    "email": "ama@example.com",
    "phone": "+233241234567",
    **dict.fromkeys(("created_at", "updated_at"), SNAPSHOT["updated_at"]),
    "origin": {"import": IMPORT, "row": 2, "url": OWN},
}
LONGEST = CustomersQuery().fields["search"].max_length
WHICH = {"anyOf": [{"type": "string", "format": "uuid"}, NOTHING]}
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

CUSTOMERS = extend_schema_view(
    list=reading(
        "customers_list",
        "The customers that you may see, newest first",
        {**found(CustomerSerializer(many=True), AMA), **refusals(*SIGNED_IN, 404)},
        parameters=QUERY,
        description="Pages hold still while new customers come in: follow `next` as it is.",
        tags=["customers"],
    ),
    retrieve=reading(
        "customers_retrieve",
        "One customer, and the import and row that wrote it last",
        {**found(CustomerSerializer, AMA), **refusals(*SIGNED_IN, 404)},
        tags=["customers"],
    ),
)
