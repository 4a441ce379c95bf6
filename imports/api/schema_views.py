"""The OpenAPI description and a page to read it. Both are public: they hold no data."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import override
from django.views import View
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer, TemplateHTMLRenderer
from rest_framework.request import Request

from imports.api import downloads, importer_views, stream_views, views
from imports.api.base import ApiContentNegotiation, ApiView
from imports.api.openapi import file_calls, import_calls, importer_calls, stream_calls
from imports.api.openapi.responses import RETRY_AFTER, describe_method, make_error_responses
from imports.api.serializers import QuerySerializer
from imports.authentication import HAS_TOKENS

# The views know nothing of their descriptions: drf-spectacular is an optional part of the app.
import_calls.describe_import_calls(views.ImportJobViewSet)
importer_calls.describe_importer_calls(importer_views.ImporterViewSet)
importer_calls.describe_root(importer_views.RootView)
file_calls.describe_original_file(downloads.OriginalFileView)
file_calls.describe_failed_rows_workbook(downloads.FailedRowsWorkbookView)
file_calls.describe_failed_rows_csv(downloads.FailedRowsCsvView)
file_calls.describe_import_template(downloads.TemplateView)
stream_calls.describe_import_stream(stream_views.ImportStreamView)
stream_calls.describe_feed(stream_views.FeedView)
if HAS_TOKENS:
    from imports.api import token_views
    from imports.api.openapi import token_calls

    token_calls.describe_token(token_views.TokenView)
    token_calls.describe_refresh(token_views.RefreshView)


class ApiSchemaGenerator(SchemaGenerator):
    """Describes the calls below the root of this API, and no other calls of the project."""

    def _get_paths_and_endpoints(self) -> list[Any]:
        root = reverse("imports:api:root")
        endpoints = super()._get_paths_and_endpoints()  # type: ignore[no-untyped-call]
        return [endpoint for endpoint in endpoints if endpoint[0].startswith(root)]


@cache
def render_schema(renderer: type[BaseRenderer]) -> bytes:
    """Return the description in the format of this renderer.

    The result is cached, because generating it takes as long as a hundred other responses.
    """
    with override("en"):
        schema = ApiSchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    content = renderer().render(schema, renderer_context={})
    return content.encode() if isinstance(content, str) else content


class SchemaQuery(QuerySerializer):
    format = serializers.ChoiceField(("json", "yaml"), required=False)


@method_decorator([cache_control(public=True, no_cache=True), conditional_page], name="dispatch")
class SchemaView(ApiView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    query_serializer_class = SchemaQuery
    renderer_classes = (
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer,
        OpenApiYamlRenderer2,
    )

    def get_format_suffix(self, **kwargs: Any) -> str | None:
        return self.request.query_params.get("format")

    @describe_method(
        operation_id="schema_retrieve",
        summary="Download this description (OpenAPI 3.1)",
        description="As JSON, or as YAML with `?format=yaml` or `Accept: application/yaml`.",
        tags=["description"],
        auth=[],
        parameters=[SchemaQuery, RETRY_AFTER],
        responses={200: dict, **make_error_responses(400, 404, 406)},
    )
    def get(self, request: Request) -> HttpResponse:
        renderer = type(request.accepted_renderer)
        content = render_schema(renderer)  # type: ignore[arg-type]  # A class is hashable.
        return HttpResponse(content, content_type=request.accepted_media_type)


def allow_own_fonts(view_class: type[View]) -> type[View]:
    """Decorate a view so that its page may use fonts of the site, where django-csp is installed."""
    if find_spec("csp") is None:
        return view_class
    from csp.decorators import csp_update

    return method_decorator(csp_update({"font-src": ["'self'"]}), name="dispatch")(view_class)


@allow_own_fonts  # The stylesheet of Swagger UI has fonts of its own.
class DocsView(SpectacularSwaggerSplitView):
    """A page to read the description and to try the calls. Its script has its own address."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = [TemplateHTMLRenderer]
    content_negotiation_class = ApiContentNegotiation
    versioning_class = None
    url_name = "imports:api:schema"
    throttle_classes = ()
    template_name = "api/docs.html"

    @describe_method(exclude=True)  # It is a page for people.
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)  # type: ignore[no-untyped-call, no-any-return]
