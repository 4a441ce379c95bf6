"""The OpenAPI description and a page to read it. Both are public: they hold no data."""

from __future__ import annotations

from functools import cache

from csp.constants import SELF
from csp.decorators import csp_update
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

from imports.api.openapi.responses import RETRY_AFTER, make_error_responses
from imports.api.views import in_english


@cache
def render_schema(renderer: type[BaseRenderer]) -> bytes:
    """Return the description in the format of this renderer.

    The result is cached, because generating it takes as long as a hundred other responses.
    """
    with override("en"):
        schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    content = renderer().render(schema, renderer_context={})
    return content.encode() if isinstance(content, str) else content


@method_decorator(
    [in_english, cache_control(public=True, no_cache=True), conditional_page], name="dispatch"
)
class SchemaView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    renderer_classes = (
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer,
        OpenApiYamlRenderer2,
    )

    @extend_schema(
        operation_id="schema_retrieve",
        summary="Download this description (OpenAPI 3.1)",
        description="As JSON, or as YAML with `?format=yaml` or `Accept: application/yaml`.",
        tags=["description"],
        auth=[],
        parameters=[RETRY_AFTER],
        responses={200: dict, **make_error_responses(400, 404, 406)},
    )
    def get(self, request: Request) -> HttpResponse:
        renderer = type(request.accepted_renderer)
        content = render_schema(renderer)  # type: ignore[arg-type]  # A class is hashable.
        return HttpResponse(content, content_type=request.accepted_media_type)


# The stylesheet of Swagger UI has fonts of its own.
@method_decorator(csp_update({"font-src": [SELF]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """A page to read the description and to try the calls. Its script has its own address."""

    url_name = "imports:api:schema"
    throttle_classes = ()
    template_name = "api/docs.html"

    @extend_schema(exclude=True)  # It is a page for people.
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)  # type: ignore[no-untyped-call, no-any-return]
