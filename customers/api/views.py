"""Read-only views of customers. Imports and the admin write customers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
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

from customers.api.call_descriptions import describe_customer_calls
from customers.api.serializers import CustomerSerializer, CustomersQuery
from customers.models import Customer
from customers.search import search_customers
from imports import permissions, provenance
from imports.api.base import ApiViewMixin
from imports.api.pagination import KeysetPagination
from imports.api.serializers import QuerySerializer

MAX_KEY = 2**63 - 1


class CustomerPagination(KeysetPagination):
    position = {"pk": IntegerField(min_value=0, max_value=MAX_KEY)}


@describe_customer_calls
@method_decorator([cache_control(private=True, no_cache=True), conditional_page], name="dispatch")
class CustomerViewSet(ApiViewMixin, GenericViewSet[Customer]):
    """List, filter and search the customers that the user may see, and read one."""

    serializer_class = CustomerSerializer
    pagination_class = CustomerPagination
    lookup_value_converter = "int"

    def get_query_serializer_class(self) -> type[QuerySerializer] | None:
        return CustomersQuery if self.action == "list" else super().get_query_serializer_class()

    def get_queryset(self) -> QuerySet[Customer]:
        records = permissions.get_visible_records(self.request.user, Customer)
        return cast("QuerySet[Customer]", records)

    def list(self, request: Request) -> Response:
        filters, customers = self.query, self.get_queryset()
        if "import" in filters:
            customers &= self._filter_by_import(filters["import"], filters.get("outcome"))
        if "search" in filters:
            customers = search_customers(customers, filters["search"])
        page = self.paginate_queryset(customers) or []
        return self.get_paginated_response(self._serialize(page))

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self._serialize([self.get_object()])[0])

    def _filter_by_import(self, job_id: UUID, outcome: str | None) -> QuerySet[Customer]:
        """Return the customers that the import wrote; `outcome` None means created or updated.

        Raises:
            Http404: There is no such import, or the user may not see it.
        """
        jobs = permissions.get_visible_imports(self.request.user).filter(pk=job_id)
        if not jobs.exists():
            raise Http404
        return provenance.find_written_records(jobs, Customer, outcome)

    def _serialize(self, customers: Sequence[Customer]) -> Any:
        visible = permissions.get_visible_imports(self.request.user)
        context = {"provenance_by_key": provenance.find_provenance(customers, visible)}
        return self.get_serializer(customers, many=True, context=context).data
