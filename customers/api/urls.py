"""The URLs of customers under /api/."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from customers.api.legacy import views as legacy
from customers.api.views import CustomerViewSet
from imports.postgres import exempt_from_atomic_requests

router = SimpleRouter(use_regex_path=False)
router.register("customers", CustomerViewSet, basename="customer")

app_name = "customers"
LEGACY_ROOT = "auth/customers/excel"
urlpatterns = [
    path("", include(router.urls)),
    path(f"{LEGACY_ROOT}/upload/", legacy.UploadView.as_view(), name="upload"),
    path(
        f"{LEGACY_ROOT}/bulk-create-async/",
        legacy.BulkCreateAsyncView.as_view(),
        name="bulk-create-async",
    ),
    path(f"{LEGACY_ROOT}/template/", legacy.TemplateView.as_view(), name="template"),
    path(f"{LEGACY_ROOT}/bulk-create/", legacy.BulkCreateView.as_view(), name="bulk-create"),
    path(
        f"{LEGACY_ROOT}/bulk-create/status/<task_id>/",
        legacy.StatusView.as_view(),
        name="bulk-create-status",
    ),
]
exempt_from_atomic_requests(urlpatterns)
