"""How often one may ask: generous to whoever polls, strict with whoever guesses passwords.

Counted by each process for itself, so that they hold with Redis away.
"""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle, UserRateThrottle


class ReadThrottle(UserRateThrottle):
    scope = "reads"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method not in SAFE_METHODS or super().allow_request(request, view)


class WriteThrottle(UserRateThrottle):
    scope = "writes"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or super().allow_request(request, view)


class LoginThrottle(SimpleRateThrottle):
    scope = "logins"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return f"logins-from-{self.get_ident(request)}"
