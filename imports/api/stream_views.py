"""The addresses of the streams, for URLs and for the description of the API.

A Channels consumer serves a stream: `imports.live.routing` passes the request to it before Django
receives it. The views here answer only in a project that has not added the streams.
"""

from __future__ import annotations

from uuid import UUID

from rest_framework import status
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from imports.api.openapi import stream_calls
from imports.authentication import BearerAuthentication


class StreamsNotServed(APIException):
    status_code = status.HTTP_501_NOT_IMPLEMENTED
    default_code = "streams_not_served"
    default_detail = (
        "This site serves no progress streams: its ASGI application lacks "
        "imports.live.routing.add_streams. Ask for the import itself, every poll_after_seconds."
    )


@stream_calls.describe_import_stream
class ImportStreamView(APIView):
    """The stream of one import."""

    authentication_classes = (
        BearerAuthentication,
        SessionAuthentication,
        stream_calls.TicketAuthentication,
    )
    permission_classes = (AllowAny,)
    is_event_stream = True  # imports.live.routing recognises the view by this attribute.

    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002
        raise StreamsNotServed


@stream_calls.describe_feed
class FeedView(APIView):
    """The stream of all imports that the user may see."""

    authentication_classes = (BearerAuthentication, SessionAuthentication)
    permission_classes = (AllowAny,)
    is_event_stream = True

    def get(self, request: Request) -> Response:
        raise StreamsNotServed
