"""The URLs of the REST API. `imports.urls` includes them in the namespace `imports:api`."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from imports.api import downloads
from imports.api.fields import HAS_DESCRIPTION, has_docs_page
from imports.api.health_views import HealthView, WebHealthView
from imports.api.importer_views import ImporterViewSet, RootView
from imports.api.stream_views import FeedView, ImportStreamView
from imports.api.views import ImportJobViewSet
from imports.authentication import HAS_TOKENS

router = SimpleRouter(use_regex_path=False)
router.register("imports", ImportJobViewSet, basename="import")
router.register("importers", ImporterViewSet, basename="importer")

app_name = "api"
urlpatterns = [
    path("", RootView.as_view(), name="root"),
    path("health/", HealthView.as_view(), name="health"),
    path("health/web/", WebHealthView.as_view(), name="health-web"),
    path("imports/events/", FeedView.as_view(), name="feed"),
    path("imports/<uuid:id>/events/", ImportStreamView.as_view(), name="import-events"),
    path("imports/template.xlsx", downloads.TemplateView.as_view(), name="template"),
    path("imports/<uuid:pk>/file/", downloads.OriginalFileView.as_view(), name="import-file"),
    path(
        "imports/<uuid:pk>/failed-rows.xlsx",
        downloads.FailedRowsWorkbookView.as_view(),
        name="import-failed-rows-xlsx",
    ),
    path(
        "imports/<uuid:pk>/failed-rows.csv",
        downloads.FailedRowsCsvView.as_view(),
        name="import-failed-rows-csv",
    ),
    path(
        "imports/<uuid:pk>/kept-rows.xlsx",
        downloads.KeptRowsWorkbookView.as_view(),
        name="import-kept-rows-xlsx",
    ),
    path(
        "imports/<uuid:pk>/kept-rows.csv",
        downloads.KeptRowsCsvView.as_view(),
        name="import-kept-rows-csv",
    ),
    path("", include(router.urls)),
]
if HAS_TOKENS:
    from imports.api.token_views import RefreshView, RevokeView, TokenView

    urlpatterns += [
        path("auth/token/", TokenView.as_view(), name="token"),
        path("auth/token/refresh/", RefreshView.as_view(), name="token-refresh"),
        path("auth/token/revoke/", RevokeView.as_view(), name="token-revoke"),
    ]
if HAS_DESCRIPTION:
    from imports.api.schema_views import DocsView, SchemaView

    urlpatterns += [path("schema/", SchemaView.as_view(), name="schema")]
    if has_docs_page():
        urlpatterns += [path("docs/", DocsView.as_view(), name="docs")]
