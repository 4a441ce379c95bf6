"""The addresses of customers under /api/."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from customers.api.legacy import views as legacy
from customers.api.views import CustomerViewSet

router = SimpleRouter(use_regex_path=False)
router.register("customers", CustomerViewSet, basename="customer")

app_name = "customers"
excel_root = "auth/customers/excel"
urlpatterns = [
    path("", include(router.urls)),
    path(f"{excel_root}/upload/", legacy.UploadView.as_view(), name="upload"),
    path(
        f"{excel_root}/bulk-create-async/",
        legacy.BulkCreateAsyncView.as_view(),
        name="bulk-create-async",
    ),
    path(f"{excel_root}/template/", legacy.TemplateView.as_view(), name="template"),
    path(f"{excel_root}/bulk-create/", legacy.BulkCreateView.as_view(), name="bulk-create"),
    path(
        f"{excel_root}/bulk-create/status/<task_id>/",
        legacy.StatusView.as_view(),
        name="bulk-create-status",
    ),
]
