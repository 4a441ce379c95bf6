"""The URLs of the project."""

import json

from django.http import HttpResponse
from django.urls import include, path
from rest_framework.views import APIView


def show_host_view(request):
    """Return what a view of the project has from the settings."""
    return HttpResponse(
        json.dumps(
            {
                "permissions": [each.__name__ for each in APIView.permission_classes],
                "renderers": [each.__name__ for each in APIView.renderer_classes],
                "handler": APIView().get_exception_handler().__name__,
            }
        )
    )


urlpatterns = [
    path("host/", show_host_view),
    path("data/", include("imports.urls")),
    path("data/api/", include("customers.api.urls")),
]
