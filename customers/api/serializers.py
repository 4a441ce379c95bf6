"""What a program asks about customers, and how one is sent."""

from __future__ import annotations

from typing import Any, TypedDict

from django.urls import reverse
from rest_framework import serializers

from customers.models import Customer
from imports.api.serializers import invalid_choice_messages
from imports.statuses import Outcome

WRITTEN = (Outcome.CREATED, Outcome.UPDATED)
LONGEST_SEARCH = 254  # An e-mail address.


class CustomersQuery(serializers.Serializer):
    """Which customers a list shows."""

    search = serializers.CharField(required=False, max_length=LONGEST_SEARCH)
    outcome = serializers.ChoiceField(
        WRITTEN, required=False, error_messages=invalid_choice_messages(WRITTEN)
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        # "import" is no name that Python lets a class have.
        return super().get_fields() | {"import": serializers.UUIDField(required=False)}

    def validate(self, sent: dict[str, Any]) -> dict[str, Any]:
        if "outcome" in sent and "import" not in sent:
            problem = "Say of which import: outcome goes with import."
            raise serializers.ValidationError({"import": problem}, "required")
        return sent


# "import" is no name that a class lets an attribute have.
Origin = TypedDict("Origin", {"import": str, "row": int, "url": str})


class CustomerSerializer(serializers.ModelSerializer):
    """A customer, and the import and row it was last written by."""

    origin = serializers.SerializerMethodField()

    class Meta:
        model = Customer
        fields = (
            *("id", "shipping_mark", "first_name", "last_name", "email", "phone"),
            *("created_at", "updated_at", "origin"),
        )
        read_only_fields = fields

    def get_origin(self, customer: Customer) -> Origin | None:
        """Null if nobody imported it, or in an import that the asker may not see."""
        origin = self.context["origins"].get(customer.pk)
        return origin and {
            "import": str(origin.job_id),
            "row": origin.row,
            "url": reverse("api:import-detail", args=[origin.job_id]),
        }
