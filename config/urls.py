"""URLs of the site."""

from django.contrib import admin
from django.urls import include, path, re_path

from config import errors
from imports.api.schema_views import SchemaView

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    # In place of the description of imports alone.
    path("api/schema/", SchemaView.as_view(is_of_site=True)),
    path("", include("imports.urls")),
    path("", include("customers.pages.urls")),
    path("api/", include("customers.api.urls")),
    path("accounts/", include("config.accounts")),
    path("admin/", admin.site.urls),
    re_path("^api/", errors.unknown_api_address),
]
