"""Rate limits of the API: reads and writes by user, logins by address.

Each process counts for itself, so the limits work without Redis too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle, UserRateThrottle

if TYPE_CHECKING:  # The settings name this module, and rest_framework.views reads them.
    from rest_framework.views import APIView


class ReadThrottle(UserRateThrottle):
    scope = "reads"

    def allow_request(self, request: Request, view: APIView) -> bool:
        return request.method not in SAFE_METHODS or super().allow_request(request, view)


class WriteThrottle(UserRateThrottle):
    scope = "writes"

    def allow_request(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or super().allow_request(request, view)


class LoginThrottle(SimpleRateThrottle):
    scope = "logins"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"logins-from-{self.get_ident(request)}"
