"""URLs of the site."""

from django.contrib import admin
from django.urls import include, path, re_path

from config import errors

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("", include("imports.urls")),
    path("", include("customers.pages.urls")),
    path("api/", include("customers.api.urls")),
    path("accounts/", include("config.accounts")),
    path("admin/", admin.site.urls),
    re_path("^api/", errors.unknown_api_address),
]
