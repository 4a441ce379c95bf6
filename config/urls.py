"""URLs of the site."""

from django.contrib import admin
from django.urls import include, path

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("", include("imports.pages.urls")),
    path("", include("customers.pages.urls")),
    path("api/", include("customers.api.urls")),
    path("api/", include("imports.api.urls")),
    path("admin/", admin.site.urls),
]
