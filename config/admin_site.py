"""The admin of the site, which needs a second factor if ADMIN_SECOND_FACTOR is on."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from config.second_factor import lacks_second_factor


class SiteAdmin(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not lacks_second_factor(request.user)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """If codes are needed, redirect to the log-in page of the site, which asks for the code."""
        if not settings.ADMIN_SECOND_FACTOR or self.has_permission(request):
            return super().login(request, extra_context)
        if request.user.is_authenticated and not lacks_second_factor(request.user):
            raise PermissionDenied  # Not a member of staff, so another log-in would not help.
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
