"""The OpenAPI description and a page to read it. Both are public: they hold no data.

Importers are the exception: the description names those that its reader may use. A client sends its
login with the request, and without one the description names none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import lru_cache
from importlib.util import find_spec
from threading import Lock
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse, HttpResponseBase
from django.templatetags.static import static
from django.urls import include, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import override
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from django.views.decorators.vary import vary_on_headers
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.settings import SPECTACULAR_DEFAULTS, patched_settings
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer, TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from imports import permissions
from imports.api import downloads, health_views, importer_views, stream_views, views
from imports.api.base import ApiContentNegotiation, ApiView
from imports.api.openapi import (
    SPECTACULAR_SETTINGS,
    TITLE,
    extensions,
    file_calls,
    health_calls,
    import_calls,
    importer_calls,
    stream_calls,
)
from imports.api.openapi.responses import RETRY_AFTER, describe_method, make_error_responses
from imports.api.serializers import QuerySerializer
from imports.authentication import HAS_TOKENS
from imports.permissions import User

SWAGGER_UI_FOLDER = "drf_spectacular_sidecar/swagger-ui-dist"
# Descriptions in one process: two formats for each set of importers that some user may use.
MAX_CACHED_DESCRIPTIONS = 32
SWAGGER_UI_SETTINGS = {"deepLinking": True, "docExpansion": "list", "validatorUrl": None}

# The views know nothing of their descriptions: drf-spectacular is an optional part of the app.
import_calls.describe_import_calls(views.ImportJobViewSet)
importer_calls.describe_importer_calls(importer_views.ImporterViewSet)
importer_calls.describe_root(importer_views.RootView)
file_calls.describe_original_file(downloads.OriginalFileView)
file_calls.describe_failed_rows_workbook(downloads.FailedRowsWorkbookView)
file_calls.describe_failed_rows_csv(downloads.FailedRowsCsvView)
file_calls.describe_kept_rows_workbook(downloads.KeptRowsWorkbookView)
file_calls.describe_kept_rows_csv(downloads.KeptRowsCsvView)
file_calls.describe_import_template(downloads.TemplateView)
stream_calls.describe_import_stream(stream_views.ImportStreamView)
stream_calls.describe_feed(stream_views.FeedView)
health_calls.describe_health(health_views.HealthView)
health_calls.describe_web_health(health_views.WebHealthView)
if HAS_TOKENS:
    from imports.api import token_views
    from imports.api.openapi import token_calls

    token_calls.describe_token(token_views.TokenView)
    token_calls.describe_refresh(token_views.RefreshView)
    token_calls.describe_revoke(token_views.RevokeView)


# drf-spectacular has one set of settings in a process, which changes while the app is described.
_settings_lock = Lock()


def build_app_schema() -> dict[str, Any]:
    """Return the description of the app alone, at the addresses where the project has it.

    The project's settings of drf-spectacular do not change it.
    """
    root = reverse("imports:api:root")
    patterns = [path(root.lstrip("/"), include("imports.api.urls"))]
    defaults = {
        name: value
        for name, value in SPECTACULAR_DEFAULTS.items()
        if not name.startswith("SERVE_") and name != "DEFAULT_GENERATOR_CLASS"
    }
    with _settings_lock, patched_settings({**defaults, **SPECTACULAR_SETTINGS}):
        generator = SchemaGenerator(patterns=patterns)  # type: ignore[no-untyped-call]
        schema: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    return schema


def build_site_schema() -> dict[str, Any]:
    """Return the description of all calls of the project, with the project's settings."""
    with _settings_lock:
        generator = SchemaGenerator()  # type: ignore[no-untyped-call]
        schema: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    return schema


@lru_cache(maxsize=MAX_CACHED_DESCRIPTIONS)
def render_schema(
    build: Callable[[], dict[str, Any]], renderer: type[BaseRenderer], importers: tuple[str, ...]
) -> bytes:
    """Return the description in the format of this renderer. It names these importers only.

    The result is cached, because generating it takes as long as a hundred other responses.
    """
    with override("en"):
        schema = limit_importers(build(), importers)
    content = renderer().render(schema, renderer_context={})
    return content.encode() if isinstance(content, str) else content


def limit_importers(node: Any, names: Collection[str]) -> Any:
    """Return the description with these importers only. Without any, an importer is any text."""
    if isinstance(node, list):
        return [limit_importers(each, names) for each in node]
    if not isinstance(node, dict):
        return node
    limited = {key: limit_importers(each, names) for key, each in node.items()}
    if node.get("enum") == extensions.list_importer_names():
        limited["enum"] = [name for name in node["enum"] if name in names]
        if not limited["enum"]:
            del limited["enum"]
    return limited


def list_importer_names(user: User | None) -> tuple[str, ...]:
    """Return the names of the importers that the user may use.

    None is an anonymous user in a project with UNAUTHENTICATED_USER None.
    """
    if user is None:
        return ()
    return tuple(importer.name for importer in permissions.list_permitted_importers(user))


class SchemaQuery(QuerySerializer):
    format = serializers.ChoiceField(("json", "yaml"), required=False)


@method_decorator(
    [
        cache_control(private=True, no_cache=True),
        vary_on_headers("Authorization", "Cookie"),
        conditional_page,
    ],
    name="dispatch",
)
class SchemaView(ApiView):
    """The description of the app, or of the whole project with `is_of_site`."""

    is_of_site = False
    permission_classes = (AllowAny,)
    throttle_classes = ()
    query_serializer_class = SchemaQuery
    renderer_classes = (
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer,
        OpenApiYamlRenderer2,
    )

    def perform_authentication(self, request: Request) -> None:
        """Let a client with an expired login read the description that everyone may read."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            request.user = AnonymousUser()

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
        build = build_site_schema if self.is_of_site else build_app_schema
        names = list_importer_names(request.user)
        content = render_schema(build, renderer, names)  # type: ignore[arg-type]  # Hashable.
        return HttpResponse(content, content_type=request.accepted_media_type)


class DocsView(SpectacularSwaggerSplitView):
    """A page to read the description and to try the calls. Its script has its own address.

    The page and its files are the app's own, whatever the project has set for drf-spectacular.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = [TemplateHTMLRenderer]
    content_negotiation_class = ApiContentNegotiation
    versioning_class = None
    url_name = "imports:api:schema"
    throttle_classes = ()
    template_name = "imports/api_docs.html"
    title = TITLE

    @classmethod
    def as_view(cls, **options: Any) -> Any:
        return allow_own_fonts(super().as_view(**options))

    @describe_method(exclude=True)  # It is a page for people.
    def get(self, request: Request) -> Response:
        if "script" in request.query_params:
            script = {
                "schema_url": self._get_schema_url(request),  # type: ignore[no-untyped-call]
                "settings": json.dumps(SWAGGER_UI_SETTINGS),
                "oauth2_config": "{}",
                "csrf_header_name": self._get_csrf_header_name(),  # type: ignore[no-untyped-call]
                "schema_auth_names": "[]",
            }
            template, media_type = self.template_name_js, "application/javascript"
            return Response(script, template_name=template, content_type=media_type)
        page = {
            "title": self.title,
            "swagger_ui_css": static(f"{SWAGGER_UI_FOLDER}/swagger-ui.css"),
            "swagger_ui_bundle": static(f"{SWAGGER_UI_FOLDER}/swagger-ui-bundle.js"),
            "script_url": f"{request.path}?script=",
        }
        return Response(page, template_name=self.template_name)


def allow_own_fonts(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let the page use the fonts of its style sheet, if django-csp protects the project."""
    if find_spec("csp") is None:
        return view
    from csp.decorators import csp_update

    decorated: Callable[..., HttpResponseBase] = csp_update({"font-src": ["'self'"]})(view)
    return decorated
