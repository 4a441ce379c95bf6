"""The description of the API, for programs and as a page. Both are open: they hold no data."""

from __future__ import annotations

from functools import cache

from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.utils.translation import override
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from imports.api.describing import RETRY_AFTER, error_responses
from imports.api.views import in_english

# Its icons are data: addresses. No
# script comes from anywhere but our files, and nothing is asked of another host.
POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "connect-src 'self'"),
        *("style-src 'self'", "img-src 'self' data:", "font-src 'self'"),
        *("base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"),
    )
)


@cache
def render_schema(renderer: type[BaseRenderer]) -> bytes:
    """The description, made once: it takes as long as a hundred answers."""
    with override("en"):
        described = SchemaGenerator().get_schema(public=True)
    return renderer().render(described, renderer_context={})


@method_decorator(
    [in_english, cache_control(public=True, no_cache=True), conditional_page], name="dispatch"
)
class SchemaView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    renderer_classes = (
        *(OpenApiJsonRenderer2, OpenApiJsonRenderer),
        *(OpenApiYamlRenderer, OpenApiYamlRenderer2),
    )

    @extend_schema(
        operation_id="schema_retrieve",
        summary="This description, as OpenAPI 3.1",
        description="JSON; YAML by `?format=yaml` or `Accept: application/yaml`.",
        tags=["description"],
        auth=[],
        parameters=[RETRY_AFTER],
        responses={200: dict, **error_responses(400, 404, 406)},
    )
    def get(self, request: Request) -> HttpResponse:
        renderer = request.accepted_renderer
        return HttpResponse(render_schema(type(renderer)), content_type=request.accepted_media_type)


class DocsView(SpectacularSwaggerSplitView):
    """A page to read and to try; its script is an address of its own."""

    url_name = "api:schema"
    throttle_classes = ()
    template_name = "api/docs.html"

    @extend_schema(exclude=True)  # A page, for people.
    def get(self, request: Request) -> HttpResponse:
        response = super().get(request)
        response["Content-Security-Policy"] = POLICY
        return response
