"""Customers for programs, to be read: written they are by imports, and in the admin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from rest_framework.fields import IntegerField
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from customers import search
from customers.api import call_descriptions
from customers.api.serializers import CustomerSerializer, CustomersQuery
from customers.models import Customer
from imports import permissions, provenance
from imports.api.pagination import KeysetPagination
from imports.api.views import in_english

LARGEST_KEY = 2**63 - 1


class NewestCustomers(KeysetPagination):
    position = {"pk": IntegerField(min_value=0, max_value=LARGEST_KEY)}


@call_descriptions.describe_customer_calls
@method_decorator(
    [in_english, cache_control(private=True, no_cache=True), conditional_page], name="dispatch"
)
class CustomerViewSet(GenericViewSet):
    """List and search the customers one may see, by import if asked for, and read one."""

    serializer_class = CustomerSerializer
    pagination_class = NewestCustomers
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[Customer]:
        return permissions.get_visible_records(self.request.user, Customer)

    def list(self, request: Request) -> Response:
        query = CustomersQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked, customers = query.validated_data, self.get_queryset()
        if "import" in asked:
            customers = customers & self.written_by(asked["import"], asked.get("outcome"))
        if "search" in asked:
            customers = search.search_customers(customers, asked["search"])
        return self.get_paginated_response(self.sent(self.paginate_queryset(customers)))

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self.sent([self.get_object()])[0])

    def written_by(self, job_id: UUID, outcome: str | None) -> QuerySet[Customer]:
        jobs = permissions.get_visible_imports(self.request.user).filter(pk=job_id)
        if not jobs.exists():
            raise Http404
        return provenance.find_written_records(jobs, Customer, outcome)

    def sent(self, customers: Sequence[Customer]) -> Any:
        found = provenance.find_provenance(
            customers, permissions.get_visible_imports(self.request.user)
        )
        return self.get_serializer(customers, many=True, context={"origins": found}).data
