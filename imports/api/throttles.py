"""Rate limits of the API: reads and writes by user, logins by address.

The rates are those of the setting IMPORTS_THROTTLE_RATES. The counts are in Django's default cache.
"""

from __future__ import annotations

from hashlib import sha256
from math import ceil

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from imports.authentication import get_client_address
from imports.conf import app_settings

# The names that clients know from other APIs. RateLimit-* of the IETF is a draft whose format has
# changed with its versions.
LIMIT_HEADER = "X-RateLimit-Limit"
REMAINING_HEADER = "X-RateLimit-Remaining"
RESET_HEADER = "X-RateLimit-Reset"


class ApiThrottle(SimpleRateThrottle):
    """A limit of this API alone. The settings of REST framework do not change it."""

    # What REST framework parses the rate into.
    num_requests: int
    duration: int

    # The project may use the same scope for limits of its own.
    cache_format = "imports_throttle_%(scope)s_%(ident)s"

    def get_rate(self) -> str | None:
        return app_settings.THROTTLE_RATES[str(self.scope)]

    def get_ident(self, request: Request) -> str:
        """Return the address of the client, behind IMPORTS_TRUSTED_PROXIES proxies."""
        return get_client_address(request)

    def counts(self, request: Request) -> bool:
        """Whether a request of this method counts."""
        return True

    def allow_request(self, request: Request, view: APIView) -> bool:
        return not self.counts(request) or super().allow_request(request, view)

    def get_headers(self, request: Request, view: APIView) -> dict[str, str]:
        """Return the headers that say how many requests remain. Counts no request.

        They are empty if there is no limit for this request.
        """
        if self.rate is None or not self.counts(request):
            return {}
        now = self.timer()
        requests = self.cache.get(self.get_cache_key(request, view), [])
        counted = [time for time in requests if time > now - self.duration]
        reset = ceil(min(counted) + self.duration - now) if counted else 0
        return {
            LIMIT_HEADER: str(self.num_requests),
            REMAINING_HEADER: str(max(0, self.num_requests - len(counted))),
            RESET_HEADER: str(reset),
        }

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Count by user, and by address without a user."""
        is_known = request.user is not None and request.user.is_authenticated
        return self.make_cache_key(
            f"user {request.user.pk}" if is_known else self.get_ident(request)
        )

    def make_cache_key(self, ident: str) -> str:
        # The primary key of a user and the address of a proxy may be any text. A cache does not
        # accept every key.
        digest = sha256(ident.encode()).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": digest}


class ReadThrottle(ApiThrottle):
    scope = "reads"

    def counts(self, request: Request) -> bool:
        return request.method in SAFE_METHODS


class WriteThrottle(ApiThrottle):
    scope = "writes"

    def counts(self, request: Request) -> bool:
        return request.method not in SAFE_METHODS


class LoginThrottle(ApiThrottle):
    scope = "logins"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Count by address."""
        return self.make_cache_key(self.get_ident(request))
