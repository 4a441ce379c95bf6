"""The addresses of the streams, for URLs and for the description of the API.

A Channels consumer serves a stream: `imports.live.routing` passes the request to it before Django
receives it. The views here answer only in a project that has not added the streams.
"""

from __future__ import annotations

import logging
from typing import NoReturn
from uuid import UUID

from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from imports.api.base import ApiView, JsonErrorNegotiation
from imports.authentication import AUTHENTICATION_CLASSES

log = logging.getLogger(__name__)


class TicketAuthentication(BaseAuthentication):
    """The ticket in a stream's address, which `imports.authentication` verifies."""

    def authenticate(self, request: Request) -> None:
        return None


class StreamsNotServed(APIException):
    status_code = status.HTTP_501_NOT_IMPLEMENTED
    default_code = "streams_not_served"
    default_detail = (
        "This site serves no progress streams: its ASGI application lacks "
        "imports.live.routing.add_streams. Ask for the import itself, every poll_after_seconds."
    )


class StreamView(ApiView):
    """Base of the views of streams."""

    # An EventSource accepts text/event-stream only. The error is JSON all the same.
    content_negotiation_class = JsonErrorNegotiation
    permission_classes = (AllowAny,)
    query_serializer_class = None  # EventSource and its substitutes add parameters of their own.
    is_event_stream = True  # imports.live.routing recognises the view by this attribute.

    def refuse(self) -> NoReturn:
        """Raises: StreamsNotServed, after a warning in the log."""
        log.warning(
            "A progress stream was requested, but this process serves none. Use an ASGI server, "
            "and wrap the ASGI application in imports.live.routing.add_streams."
        )
        raise StreamsNotServed


class ImportStreamView(StreamView):
    """The stream of one import."""

    authentication_classes = (*AUTHENTICATION_CLASSES, TicketAuthentication)

    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002
        self.refuse()


class FeedView(StreamView):
    """The stream of all imports that the user may see."""

    def get(self, request: Request) -> Response:
        self.refuse()
