"""Authorization of streams: who asks for which stream, and the error response if they may not.

Django's middleware does not run for streams. This module does what the middleware does for other
URLs: it checks the host name, identifies the user and adds the cross-origin headers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.utils.module_loading import import_string
from rest_framework.exceptions import AuthenticationFailed

from imports.authentication import authenticate_stream, get_login_hint
from imports.error_body import make_error_body
from imports.live.hub import ProcessLimitReached, Subscriber, UserLimitReached, hub
from imports.permissions import can_import, can_view_all, get_visible_imports
from imports.postgres import UNAVAILABLE_ERRORS
from imports.snapshots import (
    ALL_OWNERS,
    Snapshot,
    StreamTopic,
    TopicKind,
    make_import_topic,
    make_owner_topic,
    read_feed,
    read_snapshots,
)

log = logging.getLogger(__name__)

RawHeaders = list[tuple[bytes, bytes]]
NO_STORE_HEADERS: RawHeaders = [
    (b"Cache-Control", b"no-cache, no-store, no-transform"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
]

BEARER_CHALLENGE = {"WWW_Authenticate": 'Bearer realm="api"'}

CORS_MIDDLEWARE = "corsheaders.middleware.CorsMiddleware"


class HttpError(Exception):
    """An error response in place of a stream.

    `headers` are HTTP headers, with underscores in place of hyphens.
    """

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps(make_error_body(code, message)).encode()
        self.headers: RawHeaders = [
            (b"Content-Type", b"application/json"),
            *NO_STORE_HEADERS,
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ]


@dataclass(frozen=True)
class StreamRequest:
    """A request for the stream of one import, or for the feed if `job_id` is None."""

    request: ASGIRequest
    job_id: str | None

    def authorize(self) -> tuple[str, StreamTopic]:
        """Return the user's primary key as text and the topic of the stream. Queries the database.

        Raises:
            HttpError: The user is not logged in, or may not see the import or any feed.
            AuthenticationFailed: The token or the ticket is not valid.
        """
        user = authenticate_stream(self.request, self.job_id)
        if user is None:
            raise HttpError(401, "not_authenticated", get_login_hint(), **BEARER_CHALLENGE)
        if self.job_id is None:
            return str(user.pk), get_feed_topic(user)
        if not get_visible_imports(user).filter(pk=self.job_id).exists():
            raise HttpError(404, "not_found", "There is no such import.")
        return str(user.pk), make_import_topic(self.job_id)

    def is_still_authorized(self, subscriber: Subscriber) -> bool:
        """Whether the request would open the same stream again for the same user."""
        try:
            return self.authorize() == (subscriber.user_id, subscriber.topic)
        except (AuthenticationFailed, HttpError):
            return False


@asynccontextmanager
async def open_subscription(request: ASGIRequest, job_id: str | None) -> AsyncIterator[Subscriber]:
    """Subscribe to one import, or to the user's feed if `job_id` is None.

    The subscriber has the current snapshots as pending ones.

    Raises:
        HttpError: The user may not open the stream.
        AuthenticationFailed: The token or the ticket is not valid.
        ProcessLimitReached: The process has too many open streams.
        UserLimitReached: The user has too many open streams.
    """
    stream_request = StreamRequest(request, job_id)
    user_id, topic = await hub.run_query(stream_request.authorize)
    # The subscription begins before the snapshots are read. A change in between arrives twice
    # instead of being missed.
    with hub.subscribe(user_id, topic) as subscriber:
        subscriber.is_authorized = partial(stream_request.is_still_authorized, subscriber)
        for snapshot in await hub.run_query(partial(read_initial_snapshots, topic)):
            subscriber.push(snapshot)
        yield subscriber


def read_initial_snapshots(topic: StreamTopic) -> list[Snapshot]:
    if topic.kind == TopicKind.IMPORT:
        return read_snapshots([topic.key])
    return [snapshot for _, snapshot in read_feed([topic])]


def get_feed_topic(user: AbstractUser) -> StreamTopic:
    """Return whose imports the user's feed shows: those of the user, or of all owners.

    Raises:
        HttpError: The user may neither import nor see imports.
    """
    if can_view_all(user):
        return ALL_OWNERS
    if not can_import(user):
        raise HttpError(403, "permission_denied", "You may not see imports.")
    return make_owner_topic(user.pk)


def build_request(scope: dict[str, Any]) -> ASGIRequest:
    """Return the Django request of an ASGI scope. The method of a WebSocket is GET.

    Raises:
        DisallowedHost: The host name is not in ALLOWED_HOSTS.
    """
    request = ASGIRequest({"method": "GET", **scope}, BytesIO())
    request.get_host()
    return request


def get_job_id(scope: dict[str, Any]) -> str | None:
    """Return the import's id from the URL, or None for the URL of the feed."""
    job_id = scope["url_route"]["kwargs"].get("id")
    return None if job_id is None else str(job_id)


def to_http_error(error: Exception) -> HttpError:
    """Return the error response for an exception that kept a stream from starting.

    An unexpected exception is logged, and becomes status 500 or 503.
    """
    if isinstance(error, HttpError):
        return error
    if isinstance(error, AuthenticationFailed):
        return HttpError(401, str(error.get_codes()), str(error.detail), **BEARER_CHALLENGE)
    if isinstance(error, DisallowedHost):
        return HttpError(
            400, "invalid_host", "This site does not serve the host name of this request."
        )
    if isinstance(error, SuspiciousOperation):  # More than a thousand query parameters.
        return HttpError(400, "malformed", "This request cannot be read.")
    if isinstance(error, UserLimitReached):
        message = "You have too many progress streams open. Close a tab."
        return HttpError(429, "throttled", message, Retry_After="10")
    if isinstance(error, ProcessLimitReached):
        message = "Too many progress streams are open. Ask again later."
        return HttpError(503, "unavailable", message, Retry_After="10")
    # Logged without the text of the error, which may quote a row.
    log.error("a progress stream did not start: %s", type(error).__name__)
    if isinstance(error, UNAVAILABLE_ERRORS):
        message = "The database does not answer. Ask again later."
        return HttpError(503, "unavailable", message, Retry_After="5")
    return HttpError(500, "internal_error", "The stream could not be started.")


# --- Pages of other sites ----------------------------------------------------


def get_cross_origin_headers(request: ASGIRequest) -> RawHeaders:
    """Return the headers that let a page of another site read the response.

    They are those of django-cors-headers, if the project uses it.
    """
    add_headers = _get_cors_middleware()
    return [
        (name.encode(), value.encode())
        for name, value in (add_headers(request).items() if add_headers else ())
        if name.lower() == "vary" or name.lower().startswith("access-control-")
    ]


@cache
def _get_cors_middleware() -> Callable[[ASGIRequest], HttpResponse] | None:
    """Return the middleware of django-cors-headers; None if the project does not use it."""
    if CORS_MIDDLEWARE not in settings.MIDDLEWARE:
        return None
    middleware: Callable[[ASGIRequest], HttpResponse]
    middleware = import_string(CORS_MIDDLEWARE)(lambda request: HttpResponse())
    return middleware


def is_origin_allowed(request: ASGIRequest) -> bool:
    """Whether the page that opens a WebSocket may do so.

    Browsers do not apply the cross-origin rules to WebSockets, so the server must. A browser sends
    a session cookie with every request, so a request with a session must come from a page of this
    site. A token or a ticket is known only to those who received it, so then the origins in
    CORS_ALLOWED_ORIGINS are allowed too.
    """
    origin = request.headers.get("Origin")
    has_session_only = not ("Authorization" in request.headers or request.GET.get("ticket"))
    if origin is None:
        return not has_session_only
    parts = urlsplit(origin)
    if parts.scheme in {"http", "https"} and parts.netloc == request.get_host():
        return True
    if has_session_only:
        return origin in settings.CSRF_TRUSTED_ORIGINS
    return origin in getattr(settings, "CORS_ALLOWED_ORIGINS", ())
