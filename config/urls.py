"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

handler500 = "imports.pages.views.failed"

urlpatterns = [
    path("", include("imports.pages.urls")),
    path("", include("customers.pages.urls")),
    path("api/", include("customers.api.urls")),
    path("api/", include("imports.api.urls")),
    path("admin/", admin.site.urls),
]
