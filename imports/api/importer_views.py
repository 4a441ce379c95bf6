"""The views that list the importers and the addresses of the API."""

from __future__ import annotations

from typing import Any, TypedDict

from django.http import Http404
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from imports import permissions
from imports.api.base import ApiView, ApiViewMixin
from imports.api.fields import HAS_DESCRIPTION, has_docs_page
from imports.api.importer_serializers import ImporterSerializer, describe_importer
from imports.api.pagination import SequencePagination
from imports.api.serializers import PageQuery, QuerySerializer
from imports.authentication import HAS_TOKENS


@method_decorator([cache_control(private=True, no_cache=True), conditional_page], name="dispatch")
class ImporterViewSet(ApiViewMixin, ViewSet):
    """List the importers for which the user may upload files, and read one."""

    serializer_class = ImporterSerializer
    pagination_class = SequencePagination
    lookup_field = "name"

    def get_query_serializer_class(self) -> type[QuerySerializer] | None:
        return PageQuery if self.action == "list" else super().get_query_serializer_class()

    def list(self, request: Request) -> Response:
        importers = permissions.list_permitted_importers(request.user)
        importers.sort(key=lambda importer: importer.name)
        paginator = SequencePagination()
        page: Any = paginator.paginate_queryset(
            [describe_importer(importer, request.user) for importer in importers], request, self
        )
        return paginator.get_paginated_response(ImporterSerializer(page, many=True).data)

    def retrieve(self, request: Request, name: str) -> Response:
        for importer in permissions.list_permitted_importers(request.user):
            if importer.name == name:
                return Response(ImporterSerializer(describe_importer(importer, request.user)).data)
        raise Http404


class Address(TypedDict):
    """One address of the API."""

    name: str
    url: str
    description: str


class ApiAddressSerializer(serializers.Serializer[Address]):
    """One address of the API."""

    name = serializers.CharField()
    url = serializers.CharField()
    description = serializers.CharField(help_text="What the address is for, in English.")


# URL names of `imports.api.urls`. Tokens and the description are optional parts of the app.
ADDRESSES = {
    "token": "POST a username and a password to get tokens for the other calls.",
    "token-refresh": "POST the refresh token to get new tokens.",
    "token-revoke": "POST the refresh token to log out.",
    "importer-list": "GET the importers: their columns and the options of an upload.",
    "template": "GET an empty workbook to fill in. ?importer= names the importer.",
    "import-list": "POST a file to import it, and GET the imports that you may see.",
    "feed": "GET the progress of all imports that you may see, as server-sent events.",
    "health": "GET whether database, Redis and workers work. Needs no login.",
    "schema": "GET the description of all calls as OpenAPI.",
    "docs": "A page for people that describes all calls.",
}


class RootView(ApiView):
    """List the addresses of the API."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    query_serializer_class = PageQuery
    serializer_class = ApiAddressSerializer

    def get(self, request: Request) -> Response:
        paginator = SequencePagination()
        page: Any = paginator.paginate_queryset(_list_addresses(), request, self)
        return paginator.get_paginated_response(ApiAddressSerializer(page, many=True).data)


def _list_addresses() -> list[Address]:
    missing: set[str] = set()
    if not HAS_TOKENS:
        missing |= {"token", "token-refresh", "token-revoke"}
    if not HAS_DESCRIPTION:
        missing.add("schema")
    if not has_docs_page():
        missing.add("docs")
    return [
        {"name": name, "url": reverse(f"imports:api:{name}"), "description": description}
        for name, description in ADDRESSES.items()
        if name not in missing
    ]
