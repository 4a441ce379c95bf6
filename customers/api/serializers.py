"""Serializers of customers and of the filters of their list."""

from __future__ import annotations

from typing import Any, TypedDict

from django.urls import reverse
from rest_framework import serializers

from customers.models import Customer
from imports.api.fields import UtcDateTimeField
from imports.api.serializers import PageQuery, make_invalid_choice_messages
from imports.statuses import Outcome

WRITTEN_OUTCOMES = (Outcome.CREATED, Outcome.UPDATED)
MAX_SEARCH_CHARS = 254  # The longest e-mail address.


class CustomersQuery(PageQuery):
    """The filters of a list of customers."""

    search = serializers.CharField(required=False, max_length=MAX_SEARCH_CHARS)
    outcome = serializers.ChoiceField(
        WRITTEN_OUTCOMES,
        required=False,
        error_messages=make_invalid_choice_messages(WRITTEN_OUTCOMES),
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # A class cannot have an attribute that is named "import".
        return super().get_fields() | {"import": serializers.UUIDField(required=False)}

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if "outcome" in data and "import" not in data:
            problem = "Say of which import: outcome goes with import."
            raise serializers.ValidationError({"import": problem}, "required")
        return data


# A class cannot have an attribute that is named "import".
CustomerProvenance = TypedDict("CustomerProvenance", {"import": str, "row": int, "url": str})


class CustomerSerializer(serializers.ModelSerializer[Customer]):
    """A customer, and the import and the row that last wrote it."""

    # The context needs `provenance_by_key`, the provenance of each customer by primary key.

    id = serializers.CharField(source="pk")  # Keys of records are texts everywhere.
    created_at = UtcDateTimeField()
    updated_at = UtcDateTimeField()
    provenance = serializers.SerializerMethodField()

    class Meta:
        model = Customer
        fields = (
            "id",
            "shipping_mark",
            "first_name",
            "last_name",
            "email",
            "phone",
            "created_at",
            "updated_at",
            "provenance",
        )
        read_only_fields = fields

    def get_provenance(self, customer: Customer) -> CustomerProvenance | None:
        """Null if no import wrote the customer, or only imports that the user may not see."""
        provenance = self.context["provenance_by_key"].get(customer.pk)
        if provenance is None:
            return None
        return {
            "import": str(provenance.job_id),
            "row": provenance.row,
            "url": reverse("imports:api:import-detail", args=[provenance.job_id]),
        }
