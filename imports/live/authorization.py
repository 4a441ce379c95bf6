"""Who asks for a stream, and for what; and the answer when it is no.

Django's middleware does not run for streams, so what it does for other addresses is done by
hand: the host, cross-origin headers, who is logged in.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from rest_framework.exceptions import AuthenticationFailed

from imports.authentication import authenticate_stream, get_login_hint
from imports.live.hub import ProcessLimitReached, Subscriber, UserLimitReached, hub
from imports.permissions import can_import, can_view_all, get_visible_imports
from imports.snapshots import ALL_OWNERS, Snapshot, is_feed_topic, read_feed, read_snapshots

log = logging.getLogger(__name__)

RawHeaders = list[tuple[bytes, bytes]]
NO_STORE_HEADERS: RawHeaders = [
    (b"Cache-Control", b"no-cache, no-store, no-transform"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
]

BEARER_CHALLENGE = {"WWW_Authenticate": 'Bearer realm="api"'}

_cross_origin = CorsMiddleware(lambda request: HttpResponse())


class HttpError(Exception):
    """An answer in place of a stream."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"code": code, "message": message, "errors": []}).encode()
        self.headers: RawHeaders = [
            (b"Content-Type", b"application/json"),
            *NO_STORE_HEADERS,
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ]


@dataclass(frozen=True)
class StreamRequest:
    """To watch one import, or with `job_id` None all that the user may see."""

    request: ASGIRequest
    job_id: str | None

    def judge(self) -> tuple[int, int | str]:
        """Who it is, and the import or the owner to watch; or raise Refusal."""
        user = authenticate_stream(self.request, self.job_id)
        if user is None:
            raise HttpError(401, "not_authenticated", get_login_hint(), **BEARER_CHALLENGE)
        if self.job_id is None:
            return user.pk, get_feed_scope(user)
        if not get_visible_imports(user).filter(pk=self.job_id).exists():
            raise HttpError(404, "not_found", "There is no such import.")
        return user.pk, self.job_id

    def holds_for(self, viewer: Subscriber) -> bool:
        """Whether the same person may still watch the same: people log out and lose rights."""
        try:
            return self.judge() == (viewer.user_id, viewer.watched)
        except (AuthenticationFailed, HttpError):
            return False


@asynccontextmanager
async def open_subscription(request: ASGIRequest, job_id: str | None) -> AsyncIterator[Subscriber]:
    """Whoever asks as a viewer who has been shown how things stand; or raise what refuses."""
    wish = StreamRequest(request, job_id)
    user_id, watched = await hub.ask(wish.judge)
    # Listen first, look second: a change in between is seen twice, never missed.
    with hub.viewer(user_id, watched) as viewer:
        viewer.may_watch = partial(wish.holds_for, viewer)
        for snapshot in await hub.ask(partial(read_initial_snapshots, watched)):
            viewer.show(snapshot)
        yield viewer


def read_initial_snapshots(watched: int | str) -> list[Snapshot]:
    if is_feed_topic(watched):
        return [snapshot for _, snapshot in read_feed([watched])]
    return read_snapshots([watched])


def get_feed_scope(user: Any) -> int | str:
    """The owner whose imports the user's feed shows, or EVERYONE."""
    if can_view_all(user):
        return ALL_OWNERS
    if not can_import(user):
        raise HttpError(403, "permission_denied", "You may not see imports.")
    return user.pk


def build_request(scope: dict[str, Any]) -> ASGIRequest:
    """The request, if it is one for this site."""
    request = ASGIRequest({"method": "GET", **scope}, BytesIO())
    request.get_host()
    return request


def get_job_id(scope: dict[str, Any]) -> str | None:
    job_id = scope["url_route"]["kwargs"].get("job_id")
    return None if job_id is None else str(job_id)


def to_http_error(error: Exception) -> HttpError:
    if isinstance(error, HttpError):
        return error
    if isinstance(error, AuthenticationFailed):
        return HttpError(401, error.detail.code, str(error.detail), **BEARER_CHALLENGE)
    if isinstance(error, DisallowedHost):
        return HttpError(400, "invalid_host", "This site does not answer to that name.")
    if isinstance(error, UserLimitReached):
        message = "You have too many progress streams open. Close a tab."
        return HttpError(429, "throttled", message, Retry_After="10")
    if isinstance(error, ProcessLimitReached):
        message = "Too many progress streams are open. Ask again later."
        return HttpError(503, "unavailable", message, Retry_After="10")
    # Its text may quote a row.
    log.error("a progress stream did not start: %s", type(error).__name__)
    if isinstance(error, (OperationalError, InterfaceError)):
        message = "The database does not answer. Ask again later."
        return HttpError(503, "unavailable", message, Retry_After="5")
    return HttpError(500, "internal_error", "The stream could not be started.")


# --- From other sites --------------------------------------------------------


def get_cross_origin_headers(request: ASGIRequest) -> RawHeaders:
    """What lets a page of another site read the answer, if its origin is in the settings."""
    return list(_cross_origin_headers(request))


def _cross_origin_headers(request: ASGIRequest) -> Iterator[tuple[bytes, bytes]]:
    for name, value in _cross_origin(request).items():
        if name.lower() == "vary" or name.lower().startswith("access-control-"):
            yield name.encode(), value.encode()


def is_origin_allowed(request: ASGIRequest) -> bool:
    """Whether the page that opens a WebSocket may: browsers ask nobody before they do.

    A session's cookie comes by itself, so then the page must be ours; a token or a ticket
    only a page or a program has that was given it.
    """
    origin = request.headers.get("Origin")
    by_cookie = not ("Authorization" in request.headers or request.GET.get("ticket"))
    if origin is None:
        return not by_cookie
    own = urlsplit(origin)
    if own.scheme in {"http", "https"} and own.netloc == request.get_host():
        return True
    friends = settings.CSRF_TRUSTED_ORIGINS if by_cookie else settings.CORS_ALLOWED_ORIGINS
    return origin in friends
